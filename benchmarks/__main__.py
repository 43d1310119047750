"""Runs benchmarks: writes ``benchmarks/results/NAME.json``, prints the same as a table.

``page`` writes the pages of `pages` anew from those files. Each benchmark does so too. To keep what
another machine measured, copy its file to ``NAME@MACHINE.json``.
"""

import argparse
import ast
import importlib
import itertools
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks import early_stopping, recipes
from lib import ROOT, cache
from lib.errors import LadderError
from lib.results import machine
from lib.study import SLUGS

FOLDER = Path(__file__).parent
NAMES = sorted(p.stem for p in FOLDER.glob("[!_]*.py"))
OF_TRAININGS = {"recipes": recipes, "early_stopping": early_stopping}  # one line per training


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("name", choices=[*NAMES, "page"])
    parser.add_argument(
        "trial", nargs="*", help="of recipes and early_stopping: SLUG NAME=VALUE ..."
    )
    options = parser.parse_args()
    if options.trial and options.name not in OF_TRAININGS:
        parser.error(f"{options.name} takes no arguments")
    try:
        if options.name in OF_TRAININGS:
            OF_TRAININGS[options.name].main(options.trial)
        elif options.name != "page":
            _run(options.name)
    except LadderError as error:
        parser.error(str(error))
    for path, text in pages().items():
        with cache.atomic_file(path) as part:
            part.write_text(text, encoding="utf-8")
    return 0


def _run(name: str) -> None:
    """Runs a benchmark, saves its result and prints it."""
    path = FOLDER / "results" / f"{name}.json"
    before = json.loads(path.read_text()).get("minutes") if path.is_file() else None
    if before:
        print(f"The last run of this benchmark took {before:.0f} minutes.", flush=True)
    began = time.monotonic()
    rows = importlib.import_module(f"benchmarks.{name}").measure()
    minutes = round((time.monotonic() - began) / 60, 1)
    about = machine.environment()
    measured = {"name": name, "machine": about, "minutes": minutes, "rows": rows}
    with cache.atomic_file(path) as part:
        part.write_text(json.dumps(measured, indent=1))
    print(f"\n{'case':<60} {'figure':>12} {'target':>10}  unit")
    for row in rows:
        print(f"{row['case']:<60} {row['figure']:>12.4g} {_target(row):>10}  {row['unit']}")


def pages() -> dict[Path, str]:
    """Returns the texts of all pages, by file."""
    texts = {
        "benchmarks": page(),
        "recipes": recipes.page(),
        "early-stopping": early_stopping.page(),
    }
    return {ROOT / "docs" / f"{name}.md": text for name, text in texts.items()}


def page() -> str:
    """Returns docs/benchmarks.md: speed by processor, other figures, missed targets, files."""
    of_trainings = {module.FILE for module in OF_TRAININGS.values()}
    paths = sorted(set((FOLDER / "results").glob("*.json")) - of_trainings)
    contents = {path.stem: json.loads(path.read_text()) for path in paths}
    found = {
        (stem, row["case"]): row for stem, content in contents.items() for row in content["rows"]
    }
    verdicts = [verdict for row in found.values() if (verdict := _verdict(row))]
    return TEMPLATE.format(
        speed="\n\n".join(_speed(contents)),
        other="\n".join(
            f"| {text} | {_figure(found[key])} {_unit(found[key])} |"
            for key, text in HEADLINES
            if key in found
        ),
        met=verdicts.count("✓"),
        targets=len(verdicts),
        missed="\n".join(_missed(found)),
        files="\n".join(_files(contents)),
    )


def _speed(contents: dict) -> list[str]:
    """Returns a heading and a table for each processor with a result of `throughput`."""
    processors: dict[str, dict] = {}
    for content in contents.values():
        rows = {(content["name"], row["case"]): row for row in content["rows"]}
        processors.setdefault(_processor(content), {}).update(rows)
    titles = ["experiment", *(title for title, _, _ in COLUMNS)]
    tables = []
    for processor, found in sorted(processors.items()):
        if any(name == "throughput" for name, _ in found):
            lines = [titles, ["---", *["---:"] * len(COLUMNS)]]
            for slug in (*SLUGS, "the eleven"):
                rows = [found.get((name, slug + end)) for _, name, end in COLUMNS]
                lines.append([slug, *(_figure(row) if row else "–" for row in rows)])
            table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
            tables.append(f"### {processor}\n\n{table}")
    return tables


def _missed(found: dict) -> list[str]:
    """Returns a line for each kind of measurement whose target is missed, with its cause."""
    kinds: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for (stem, case), row in found.items():
        if _verdict(row) == "✗":
            slug = next((slug for slug in SLUGS if case.startswith(slug)), "")
            kind = case.removeprefix(slug).lstrip(":, ")
            figure = f"{slug[:2]} {_figure(row)}".lstrip()
            name = f"{stem}: {kind}" if kind else stem
            name += f" ({unit})" if (unit := _unit(row)) not in ("×", "min", "of its speed") else ""
            kinds.setdefault((name, kind or stem), []).append((figure, _target(row)))
    lines, before = [], ""
    for (name, kind), pairs in sorted(kinds.items(), key=lambda item: item[0][::-1]):
        target = pairs[0][1]
        figures = [figure for figure, _ in pairs]
        if any(other != target for _, other in pairs):
            target, figures = "in parentheses", [f"{figure} ({own})" for figure, own in pairs]
        cause = CAUSES.get(kind, "")
        shown, before = "as above" if cause and cause == before else cause, cause
        lines.append(f"| {name} | {target} | {', '.join(figures)} | {shown} |")
    return lines


COLUMNS = (  # title, benchmark, end of the case
    ("minutes", "throughput", ": minutes of budget"),
    ("images/s", "throughput", ", float32: training"),
    ("× Keras", "throughput", ": against plain Keras"),
    ("× PyTorch", "against_torch", ", float32: ours against PyTorch"),
    ("× PyTorch, bfloat16", "against_torch", ", bfloat16: ours against PyTorch"),
    ("bfloat16 × float32", "throughput", ": bfloat16 against float32"),
)
CAUSES = {  # of missed targets, by what is measured
    "float32: share of the matrix product": "Activations, pooling and the optimizer take time "
    "too. `ceiling` measures convolutions and dense layers without them.",
    "bfloat16: ours against PyTorch": "TensorFlow's gradients of kernels are slow in "
    "bfloat16 (`ceiling`).",
    "float32: ours against PyTorch": "In 09, PyTorch's convolutions are faster.",
    "bfloat16 against float32": "Other layers gain less than convolutions do.",
    "against plain Keras": "Here only BatchNormalization is much faster than "
    "Keras' (`fast_layers`).",
    "minutes of budget": "It takes longer even at the speed of the matrix product.",
    "the eleven: minutes of budget": "05, 06, 08, 09 and 10 take nine tenths of it.",
    "budget, bfloat16: test accuracy": "More epochs of 00 are better ([recipes](recipes.md)).",
    "budget, bfloat16: training operations": "Shorter schedules were less accurate "
    "([recipes](recipes.md)).",
    "overhead": "VGG16 takes longer to build, and to measure for the estimate.",
}
HEADLINES = (  # (result file, case), meaning
    (
        ("augmentation", "32×32: ours against ImageDataGenerator"),
        "Augmented images per second, compared with Keras' `ImageDataGenerator`",
    ),
    (
        ("augmentation", "experiment 5: augmentation, of all cores' time"),
        "Share of experiment 5's training time that augmentation takes",
    ),
    (("memory", "ours, 128×128"), "Memory for 40,000 training images at 128×128"),
    (
        ("memory", "the study's way, 128×128"),
        "The same, if all images are resized before the training, as in the study",
    ),
    (
        ("frozen_features", "gain"),
        "Gain in speed from the stored features of experiment 7",
    ),
    (
        ("checkpoint", "06_vgg16_scratch: checkpoints, of training time"),
        "Share of experiment 6's training time that checkpoints take",
    ),
    (
        ("overhead", "00_base_cnn"),
        "Time of notebook 00 outside training: start, data, figures, page",
    ),
)
TEMPLATE = """# Benchmarks

<!-- Written by `python -m benchmarks page` from benchmarks/results: change those instead. -->

## Speed of the eleven experiments

- **minutes**: training and evaluation with profile `budget`, computed from the measured speed. The
  precision is that of `auto`.
- **images/s**: training images per second in float32, with the batch size of `budget`. `budget`
  trains experiment 7 faster, from stored features.
- **× Keras**, **× PyTorch**: our training speed, divided by that of the same network in plain Keras
  or in PyTorch. A ratio above 1 means that the project is faster.
- **bfloat16 × float32**: the speed of our training in bfloat16, divided by that in float32.

{speed}

## Other figures

| measurement | figure |
| --- | ---: |
{other}

## Missed targets

{met} of {targets} targets are met. The table has the others, with the number of the experiment.
Small differences can be chance: the result files have the spread. **minutes** and **bfloat16 ×
float32** have targets only where `auto` means bfloat16 ([profiles](profiles.md)). A share of the
matrix product is the speed of a training's multiply–adds, divided by that of a matrix product (2048
× 2048). Where convolutions and dense layers alone are slower than a target, their share (`ceiling`)
is the target.

| measurement | target | figure | cause |
| --- | --- | --- | --- |
{missed}

## All benchmarks

The cases of a benchmark take turns. Each figure is a median. A result file has every case with its
spread, the versions and the date.

```bash
source .venv/bin/activate
python -m benchmarks throughput
```

See also [recipes](recipes.md), the trials behind `budget`, and [early stopping](early-stopping.md).

| benchmark | content | results | minutes |
| --- | --- | --- | ---: |
{files}
"""


def _processor(content: dict) -> str:
    cpu = content["machine"]["cpu"].replace("(R)", "").replace(" Processor", "")
    return f"{cpu}, {content['machine']['cores']} cores"


def _files(contents: dict) -> Iterator[str]:
    """Yields a row per benchmark: what it says of itself, its results by machine, how long."""
    for name, stems in itertools.groupby(contents, lambda stem: contents[stem]["name"]):
        source = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
        about = ast.get_docstring(ast.parse(source)).partition("\n\n")[0]
        machines = ((stem, _processor(contents[stem]).partition(",")[0]) for stem in stems)
        links = [f"[{title}](../benchmarks/results/{stem}.json)" for stem, title in machines]
        minutes = f"{contents[name]['minutes']:.0f}" if "minutes" in contents[name] else "–"
        yield f"| {name} | {about} | {', '.join(links)} | {minutes} |"


def _unit(row: dict) -> str:
    return row["unit"].partition(" (")[0]


def _figure(row: dict) -> str:
    return f"{row['figure']:.3g}" if abs(row["figure"]) < 1000 else f"{row['figure']:,.0f}"


def _target(row: dict) -> str:
    if row["target"] is None:
        return ""
    return f"{'≥' if row['better'] == 'higher' else '≤'} {row['target']:g}"


def _verdict(row: dict) -> str:
    if row["target"] is None:
        return ""
    over, under = row["figure"] >= row["target"], row["figure"] <= row["target"]
    return "✓" if (over if row["better"] == "higher" else under) else "✗"


if __name__ == "__main__":
    sys.exit(main())
