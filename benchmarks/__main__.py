"""Runs one benchmark, writes ``benchmarks/results/NAME.json`` and prints the same as a table."""

import argparse
import importlib
import json
import sys
from pathlib import Path

from lib import cache, results

FOLDER = Path(__file__).parent
NAMES = sorted(p.stem for p in FOLDER.glob("[!_]*.py"))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("name", choices=NAMES)
    name = parser.parse_args().name
    rows = importlib.import_module(f"benchmarks.{name}").measure()
    machine = results.environment()
    with cache.atomic_file(FOLDER / "results" / f"{name}.json") as part:
        part.write_text(json.dumps({"name": name, "machine": machine, "rows": rows}, indent=1))
    print(f"{'case':<44} {'figure':>12} {'target':>10}  unit")
    for row in rows:
        target = "" if row["target"] is None else f"{row['target']:g}"
        print(f"{row['case']:<44} {row['figure']:>12.4g} {target:>10}  {row['unit']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
