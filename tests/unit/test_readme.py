"""The READMEs' figures are those of the committed run of record."""

import io

import pytest
from PIL import Image

from ladder.report import verdicts
from lib.results import record
from lib.study import SLUGS
from tests.report import made_up
from tools import readme

AGAIN = "run: python tools/readme.py"


@pytest.mark.parametrize("path", readme.READMES, ids=lambda path: path.name)
def test_tables_are_those_of_the_records(path):
    text = path.read_text("utf-8")
    rows = readme.ROW.findall(text)
    assert [slug for _, slug in rows] == list(SLUGS)
    assert len(readme.VERDICTS.findall(text)) == 1
    assert all(row.startswith(f"| {int(slug[:2])} |") for row, slug in rows)
    both = readme.rows(), readme.rows("study")
    assert readme.with_figures(text, *both, comma=".es" in path.suffixes) == text, AGAIN


def test_the_chart_is_that_of_the_records():
    with Image.open(readme.ROOT / "docs" / "ladder.png") as image:
        assert image.info["Source"] == readme.digest(readme.rows()), AGAIN


@pytest.mark.parametrize("name", readme.SCREENS)
def test_the_screenshots_are_those_of_the_report(name):
    with Image.open(readme.ROOT / "docs" / name) as image:
        assert image.size == readme.SCREENS[name]
        assert image.info["Source"] == readme.label(), AGAIN


def test_figures_follow_the_records(tmp_path):
    made_up.write(tmp_path)
    records = record.read_all(tmp_path)
    rows, study_rows = (
        verdicts.table(verdicts.same_conditions(records, profile=p)) for p in ("budget", "study")
    )
    last = "| | [verdicts](docs/reading-the-report.md) | | |"
    text = f"| 0 | `00_base_cnn` | one convolution | 1 |\n{last} old |\n\nAt the end.\n"
    base = rows[0]
    ours = f"{100 * base.accuracy:.2f} ± {100 * base.accuracy_sd:.2f} %"
    both = f"62.56 % | {100 * study_rows[0].accuracy:.2f} % | {ours}"
    row = f"| 0 | `00_base_cnn` | one convolution | {both} |\n"
    row += f"{last} 6 reproduced | 11 reproduced |\n\nAt the end.\n"
    assert readme.with_figures(text, rows, study_rows, comma=False) == row
    in_spanish = readme.with_figures(text, rows, study_rows, comma=True)
    assert both.replace(".", ",") in in_spanish
    with Image.open(io.BytesIO(readme.chart(rows))) as image:
        assert image.info["Source"] == readme.digest(rows) != readme.digest(readme.rows())


def test_the_screenshot_of_a_notebook_is_small():
    path = readme.ROOT / "docs" / "notebook.png"
    with Image.open(path) as image:
        assert image.mode == "P"
    assert path.stat().st_size < 250_000
