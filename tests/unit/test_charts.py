"""The report's charts: SVG with a text alternative, in the page's colors, the same each time."""

import re
from xml.etree import ElementTree

import pytest

from lib import charts, verdicts
from lib.study import SLUGS
from tests.unit.test_plots import HISTORY


def rows(seeds: int = 1, **dataset):
    records = [
        {
            "experiment": slug,
            "seed": seed,
            "profile": "study",
            "dataset": {"name": "cifar10", "sha256": "a"} | dataset,
            "metrics": {
                "train": {"accuracy": 0.7, "loss": 0.9},
                "test": {"accuracy": 0.63 + 0.01 * seed, "loss": 1.1},
            },
            "timing": {"train_seconds": 60.0},
            "training": {"at_chance": False, "best_epoch": 2, "operations": 10**12},
            "history": HISTORY | {"loss": [2.0 + seed, 1.5, 1.2]},
        }
        for slug in (SLUGS[0], SLUGS[10])
        for seed in range(seeds)
    ]
    return verdicts.table(records)


CHARTS = {
    "ladder": lambda: charts.ladder(rows(seeds=2)),
    "ladder of other data": lambda: charts.ladder(rows(name="own/a"), comparable=False),
    "published only": lambda: charts.ladder(verdicts.table([])),
    "accuracy": lambda: charts.all_curves(rows()),
    "loss": lambda: charts.all_curves(rows(), "loss"),
    "gaps": lambda: charts.gaps(rows()),
    "work": lambda: charts.accuracy_and_work(rows()),
}


@pytest.mark.parametrize("name", CHARTS)
def test_charts_are_themed_svg(name):
    html = charts.svg(CHARTS[name](), 'A chart of <b> & "c".')
    assert html == charts.svg(CHARTS[name](), 'A chart of <b> & "c".')
    svg = ElementTree.fromstring(html).find("{http://www.w3.org/2000/svg}svg")
    assert svg.get("role") == "img"
    assert svg.get("aria-label") == 'A chart of <b> & "c".'
    assert "var(--ink, #1b1b1b)" in html
    # No color that a dark page would swallow, nothing that differs by machine or time.
    assert not re.search(r"(?<!, )#(?:1b1b1b|0072b2|d55e00|000000)", html, flags=re.IGNORECASE)
    assert not re.search(r"fill: ?#fff", html)
    assert "dc:date" not in html


def test_charts_of_one_page_have_no_id_in_common():
    ids = [set(re.findall(r' id="([^"]+)"', charts.svg(CHARTS[n](), n))) for n in CHARTS]
    for number, one in enumerate(ids):
        for other in ids[:number]:
            assert not one & other


def test_axes_are_labelled_with_units():
    assert CHARTS["ladder"]().axes[0].get_xlabel() == "test top-1 accuracy (%)"
    assert CHARTS["work"]().axes[0].get_xlabel() == "multiply–adds of training (10¹²)"
    assert CHARTS["loss"]().axes[0].get_ylabel() == "cross-entropy (nats)"


def test_error_bars_where_there_are_several_seeds():
    several, one = charts.ladder(rows(seeds=2)), charts.ladder(rows())
    legends = [f.axes[0].get_legend().get_texts()[-1].get_text() for f in (several, one)]
    assert legends == ["ours (± SD over seeds)", "ours"]


def test_published_figures_are_absent_where_they_do_not_apply():
    html = charts.svg(CHARTS["ladder of other data"](), "x")
    assert "published" not in html
    assert "91.7" not in html
