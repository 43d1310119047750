"""Writes the figures of the run of record into the READMEs: `python tools/readme.py`.

They are the last two columns of the table of notebooks, and the chart docs/ladder.png.
"""

import hashlib
import io
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from lib import ROOT, cache, charts, results, run, summary, verdicts
from lib.verdicts import Row

RUNG = re.compile(r"^(\| \d+ \| `(\d\d_\w+)` \| [^|]+ \|).*$", re.MULTILINE)
READMES = (ROOT / "README.md", ROOT / "README.es.md")


def rows() -> list[Row]:
    """Returns the table of the run of record; without one, a table of published figures."""
    records = results.read_all(run.OF_RECORD)
    return verdicts.table(verdicts.same_conditions(records, profile="budget"))


def with_figures(text: str, rows: list[Row], *, comma: bool) -> str:
    """Returns a README with the published accuracy and ours behind each notebook's name.

    Args:
        text: the README.
        rows: of one protocol.
        comma: whether its language writes 62,56 for 62.56.
    """
    found = {row.experiment.slug: row for row in rows}

    def line(match: re.Match) -> str:
        row = found[match[2]]
        figures = f" {100 * row.experiment.accuracy:.2f} % | "
        if row.records:
            spread = "" if row.accuracy_sd is None else f" ± {100 * row.accuracy_sd:.2f}"
            figures += f"{100 * row.accuracy:.2f}{spread} % |"
        else:
            figures += "– |"
        return match[1] + (figures.replace(".", ",") if comma else figures)

    return RUNG.sub(line, text)


def digest(rows: list[Row]) -> str:
    """Returns the digest of what a chart shows; the chart carries it as its ``Source``."""
    return hashlib.sha256(summary.as_csv(rows).encode()).hexdigest()


def chart(rows: list[Row]) -> bytes:
    """Returns the ladder as PNG, on white, as READMEs are shown on any background."""
    buffer = io.BytesIO()
    metadata = {"Software": None, "Source": digest(rows)}
    charts.ladder(rows).savefig(
        buffer, format="png", dpi=160, facecolor="white", bbox_inches="tight", metadata=metadata
    )
    return buffer.getvalue()


def main() -> None:
    """Writes tables and chart."""
    table = rows()
    for path in READMES:
        text = path.read_text(encoding="utf-8")
        text = with_figures(text, table, comma=".es" in path.suffixes)
        with cache.atomic_file(path) as part:
            part.write_text(text, encoding="utf-8")
    with cache.atomic_file(ROOT / "docs" / "ladder.png") as part:
        part.write_bytes(chart(table))


if __name__ == "__main__":
    main()
