"""Draws docs/ladder.png: the published ladder, and ours where a report of record is there."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from lib import ROOT, cache, charts, plots, results, verdicts


def main() -> None:
    """Writes the picture of the README."""
    records = verdicts.same_conditions(results.read_all(ROOT / "reports" / "of-record"))
    png, _ = plots.to_png(charts.ladder(verdicts.table(records)))
    with cache.atomic_file(ROOT / "docs" / "ladder.png") as part:
        part.write_bytes(png)


if __name__ == "__main__":
    main()
