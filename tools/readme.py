"""Writes the figures of the run of record into the READMEs: `python tools/readme.py`.

They are the last three columns of the table of notebooks, its last line with the verdicts, the
chart docs/ladder.png, and, with Chromium, the screenshots of its report.
"""

import hashlib
import io
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image, PngImagePlugin

from ladder import run
from ladder.report import charts, summary, verdicts
from ladder.report.verdicts import Row
from lib import ROOT, cache
from lib.results import record

ROW = re.compile(r"^(\| \d+ \| `(\d\d_\w+)` \| [^|]+ \|).*$", re.MULTILINE)
VERDICTS = re.compile(r"^(\| \| \[\w+\]\(docs/reading-the-report\.md\) \| \| \|).*$", re.MULTILINE)
READMES = (ROOT / "README.md", ROOT / "README.es.md")
REPORT = run.OF_RECORD / "index.html"
SCREENS = {"report.png": (1280, 1310), "report-phone.png": (390, 1310)}  # pixels
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def rows(profile: str = "budget") -> list[Row]:
    """Returns the table of the run of record; without one, a table of published figures."""
    records = record.read_all(run.OF_RECORD)
    return verdicts.table(verdicts.same_conditions(records, profile=profile))


def with_figures(text: str, rows: list[Row], study_rows: list[Row], *, comma: bool) -> str:
    """Returns a README with published accuracy, the same protocol's and ours for each notebook.

    Args:
        text: the README.
        rows: of our schedule.
        study_rows: of the published protocol.
        comma: whether its language writes 62,56 for 62.56.
    """

    def line(match: re.Match) -> str:
        number = int(match[2][:2])
        published = 100 * rows[number].experiment.accuracy
        cells = f"{published:.2f} % | {_figures(study_rows[number])} | {_figures(rows[number])}"
        return f"{match[1]} {cells.replace('.', ',') if comma else cells} |"

    verdict_line = rf"\1 {_verdicts(study_rows)} | {_verdicts(rows)} |"
    return VERDICTS.sub(verdict_line, ROW.sub(line, text))


def _verdicts(rows: list[Row]) -> str:
    found = verdicts.tally(rows)
    words = found.counts.most_common() if found else ()
    return ", ".join(f"{count} {word}" for word, count in words) or "–"


def _figures(row: Row) -> str:
    """Writes the mean accuracy and the standard deviation of an experiment."""
    if not row.records:
        return "–"
    spread = "" if row.accuracy_sd is None else f" ± {100 * row.accuracy_sd:.2f}"
    return f"{100 * row.accuracy:.2f}{spread} %"


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


def label() -> str:
    """Returns the digest that the report carries; its screenshots carry it as ``Source``."""
    return re.search(r'<meta content="(\w+)" name="ladder-digest"', REPORT.read_text("utf-8"))[1]


def screenshot(browser: str, width: int, height: int) -> bytes:
    """Returns the top of the report as Chromium shows it, PNG with a palette."""
    with tempfile.TemporaryDirectory() as folder:
        shot = Path(folder) / "shot.png"
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        options += [f"--window-size={width},{height}", f"--screenshot={shot}"]
        subprocess.run([browser, *options, REPORT.as_uri()], check=True, capture_output=True)
        source = PngImagePlugin.PngInfo()
        source.add_text("Source", label())
        buffer = io.BytesIO()
        Image.open(shot).convert("RGB").quantize(256).save(
            buffer, "PNG", pnginfo=source, optimize=True
        )
        return buffer.getvalue()


def main() -> None:
    """Writes tables, chart and screenshots."""
    table = rows()
    for path in READMES:
        text = path.read_text(encoding="utf-8")
        text = with_figures(text, table, rows("study"), comma=".es" in path.suffixes)
        with cache.atomic_file(path) as part:
            part.write_text(text, encoding="utf-8")
    with cache.atomic_file(ROOT / "docs" / "ladder.png") as part:
        part.write_bytes(chart(table))
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        sys.exit("The screenshots of the report are not renewed: no Chromium was found.")
    for name, size in SCREENS.items():
        with cache.atomic_file(ROOT / "docs" / name) as part:
            part.write_bytes(screenshot(browser, *size))


if __name__ == "__main__":
    main()
