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
    """Returns docs/benchmarks.md: the targets that are missed, and a table for every file."""
    sections, missed, targets = [], [], 0
    for path in sorted((FOLDER / "results").glob("*.json")):
        content = json.loads(path.read_text())
        name, machine = content["name"], content["machine"]
        lines = ["| case | figure | | target |", "| --- | ---: | --- | --- |"]
        for row in content["rows"]:
            case, figure, unit = row["case"], _figure(row), row["unit"]
            target = f"{_target(row)} {_verdict(row)}".strip()
            lines.append(f"| {case} | {figure} | {unit} | {target} |")
            targets += bool(target)
            if _verdict(row) == "✗":
                goal = _target(row) + ", required" * row["required"]
                unit = unit.partition(" (")[0]
                missed.append(f"| {path.stem} | {case} | {figure} {unit} | {goal} |")
        sections.append(
            f"## {path.stem}\n\n{_about(name)}\n\n`python -m benchmarks {name}` · "
            f"{machine['cpu']}, {machine['cores']} cores · TensorFlow {machine['tensorflow']}, "
            f"Keras {machine['keras']}\n\n" + "\n".join(lines)
        )
    met = f"{targets - len(missed)} of {targets} targets are met. Missed are:"
    head = "| benchmark | case | figure | target |\n| --- | --- | ---: | --- |"
    first = "\n".join([f"## Targets\n\n{met}\n", head, *missed])
    return "\n\n".join([HEADER, first, *sections]) + "\n"


HEADER = """# Benchmarks

<!-- Written by `python -m benchmarks page` from benchmarks/results: change those instead. -->

Side by side, interleaved, in one run; a figure is the median, its spread in parentheses.
✓ and ✗ say whether a target is met; *required* ones are bounds, the others aims. On another
processor ratios differ too: compare *convolutions* and *convolutions@intel*."""


def _about(name: str) -> str:
    """Returns what a benchmark says of itself."""
    return ast.get_docstring(ast.parse((FOLDER / f"{name}.py").read_text(encoding="utf-8")))


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
