"""Runs benchmarks: writes ``benchmarks/results/NAME.json``, prints the same as a table.

``page`` writes docs/benchmarks.md anew from those files, which each benchmark does as well. To keep
what another machine measured, copy its file to ``NAME@MACHINE.json``.
"""

import argparse
import ast
import importlib
import json
import sys
from pathlib import Path

from lib import ROOT, cache
from lib.results import machine
from lib.study import SLUGS

FOLDER = Path(__file__).parent
NAMES = sorted(p.stem for p in FOLDER.glob("[!_]*.py"))
PAGE = ROOT / "docs" / "benchmarks.md"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("name", choices=[*NAMES, "page"])
    name = parser.parse_args().name
    if name != "page":
        rows = importlib.import_module(f"benchmarks.{name}").measure()
        measured = {"name": name, "machine": machine.environment(), "rows": rows}
        with cache.atomic_file(FOLDER / "results" / f"{name}.json") as part:
            part.write_text(json.dumps(measured, indent=1))
        print(f"\n{'case':<60} {'figure':>12} {'target':>10}  unit")
        for row in rows:
            print(f"{row['case']:<60} {row['figure']:>12.4g} {_target(row):>10}  {row['unit']}")
    with cache.atomic_file(PAGE) as part:
        part.write_text(page(), encoding="utf-8")
    return 0


def page() -> str:
    """Returns docs/benchmarks.md: headline figures, and where the others are."""
    paths = sorted((FOLDER / "results").glob("*.json"))
    contents = {path.stem: json.loads(path.read_text()) for path in paths}
    found = {
        (stem, row["case"]): row for stem, content in contents.items() for row in content["rows"]
    }
    rows = [row for row in found.values() if row["target"] is not None]
    missed = [key for key, row in found.items() if row["required"] and _verdict(row) == "✗"]
    speed = [
        f"| {name} |" + "".join(f" {_cell(found, name, c)} |" for c in COLUMNS) for name in SLUGS
    ]
    other = [f"| {text} | {_figure(found[key])} {_unit(found[key])} |" for key, text in HEADLINES]
    late = [
        f"| {stem} | {case} | {_figure(found[stem, case])} | {_target(found[stem, case])} |"
        for stem, case in missed
    ]
    files = [_file(stem, content) for stem, content in contents.items()]
    met = sum(_verdict(row) == "✓" for row in rows)
    return TEMPLATE.format(
        speed="\n".join(speed),
        other="\n".join(other),
        met=met,
        targets=len(rows),
        missed="\n".join(late),
        files="\n".join(files),
    )


COLUMNS = (  # result file, end of the case
    ("throughput", ": training"),
    ("throughput", ": against plain Keras"),
    ("against_torch", ": ours against PyTorch"),
    ("time_to_accuracy", ", budget: training"),
    ("time_to_accuracy", ", study: training"),
)
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
        ("checkpoint", "06_vgg16_scratch: bundles, of training time"),
        "Share of experiment 6's training time that checkpoints take",
    ),
    (
        ("overhead", "00_base_cnn"),
        "Time of notebook 00 outside training: start, data, figures, page",
    ),
)
TEMPLATE = """# Benchmarks

<!-- Written by `python -m benchmarks page` from benchmarks/results: change those instead. -->

A benchmark compares the project with plain Keras, PyTorch or another way to do the same work. All
cases run in turn, in one session. Each figure is the median.

```bash
source .venv/bin/activate
python -m benchmarks throughput
```

A benchmark prints its table, saves it in `benchmarks/results/NAME.json` and renews this page. Other
processors give other ratios.

## Speed of the eleven experiments

Training speed is measured with float32 and the batch size of `budget`. "× plain Keras" and
"× PyTorch" are ratios of training speeds. A ratio above 1 means that the project is faster. Minutes
are those of the committed run.

| experiment | images/s | × plain Keras | × PyTorch | minutes, `budget` | minutes, `study` |
| --- | ---: | ---: | ---: | ---: | ---: |
{speed}

## Other headline figures

| measurement | figure |
| --- | ---: |
{other}

## Targets

A share of the matrix product is the speed of a training's multiply–adds, divided by that of a
float32 matrix product on the same machine. {met} of {targets} targets are met. These required ones
are missed:

| benchmark | case | figure | target |
| --- | --- | ---: | --- |
{missed}

## All benchmarks

A result file has every case, with its spread and its target, and the versions. A name with `@` is
the same benchmark on another machine.

| result file | content | machine | date |
| --- | --- | --- | --- |
{files}
"""


def _cell(found: dict, slug: str, column: tuple[str, str]) -> str:
    stem, end = column
    row = found.get((stem, slug + end))
    return _figure(row) if row else "–"


def _file(stem: str, content: dict) -> str:
    """Returns a result file's row: what its benchmark says of itself, where and when."""
    source = (FOLDER / f"{content['name']}.py").read_text(encoding="utf-8")
    about = ast.get_docstring(ast.parse(source)).partition("\n\n")[0]
    machine = content["machine"]
    where = f"{machine['cpu']}, {machine['cores']} cores"
    link = f"[{stem}](../benchmarks/results/{stem}.json)"
    return f"| {link} | {about} | {where} | {machine['date']} |"


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
