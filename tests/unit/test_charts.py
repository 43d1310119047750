"""The report's charts: SVG with a text alternative, in the page's colors, the same each time."""

import re
from xml.etree import ElementTree

import pytest

from ladder.report import charts, verdicts
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


DRAWN = {
    "ladder": lambda **how: charts.ladder(rows(seeds=2), **how),
    "ladder of other data": lambda **how: charts.ladder(
        rows(name="own/a"), comparable=False, **how
    ),
    "published only": lambda **how: charts.ladder(verdicts.table([]), **how),
    "accuracy": lambda **how: charts.all_curves(rows(), **how),
    "loss": lambda **how: charts.all_curves(rows(), "loss", **how),
    "gaps": lambda **how: charts.gaps(rows(), **how),
    "work": lambda **how: charts.accuracy_and_work(rows(), **how),
}


def html(name: str, alt: str = "A chart.") -> str:
    return charts.html(DRAWN[name], alt=alt)


@pytest.mark.parametrize("name", DRAWN)
def test_charts_are_themed_svg(name):
    page = html(name, 'A chart of <b> & "c".')
    assert page == html(name, 'A chart of <b> & "c".')
    boxes = ElementTree.fromstring(f"<body>{page}</body>")
    assert [box.get("class") for box in boxes] == ["chart wide", "chart narrow"]
    for svg in (box.find("{http://www.w3.org/2000/svg}svg") for box in boxes):
        assert svg.get("role") == "img"
        assert svg.get("aria-label") == 'A chart of <b> & "c".'
    assert "var(--ink, #1b1b1b)" in page
    # No color that a dark page would swallow, nothing that differs by machine or time.
    assert not re.search(r"(?<!, )#(?:1b1b1b|0072b2|d55e00|000000)", page, flags=re.IGNORECASE)
    assert not re.search(r"fill: ?#fff", page)
    assert "dc:date" not in page


@pytest.mark.parametrize("name", DRAWN)
def test_narrow_charts_fit_a_phone(name):
    """360 pixels with a margin; the text is not shrunk more than by a tenth."""
    wide, narrow = (float(width) for width in re.findall(r"style=\"width: (\d+)px", html(name)))
    assert narrow <= 360 < wide


def test_charts_of_one_page_have_no_id_in_common():
    found = [name for drawn in DRAWN for name in re.findall(r' id="([^"]+)"', html(drawn, drawn))]
    assert len(found) == len(set(found)) > 0


def test_axes_are_labelled_with_units():
    assert DRAWN["ladder"]().axes[0].get_xlabel() == "test top-1 accuracy (%)"
    assert DRAWN["work"]().axes[0].get_xlabel() == "multiply–adds of training (10¹²)"
    assert DRAWN["loss"]().axes[0].get_ylabel() == "cross-entropy (nats)"


def test_error_bars_where_there_are_several_seeds():
    several, one = charts.ladder(rows(seeds=2)), charts.ladder(rows())
    legends = [f.legends[0].get_texts()[-1].get_text() for f in (several, one)]
    assert legends == ["ours (± SD over seeds)", "ours"]


def test_gaps_have_the_published_training_accuracy_where_there_is_one():
    figure = charts.gaps(rows())  # of rungs 0 and 10
    assert list(figure.axes[0].lines[-1].get_xdata()) == pytest.approx([71.342, 98.153])
    assert [text.xy[0] for text in figure.axes[0].texts] == pytest.approx([71.342, 98.153])
    assert len(charts.gaps(rows(), comparable=False).axes[0].lines) == 2


def test_published_figures_are_absent_where_they_do_not_apply():
    page = html("ladder of other data")
    assert "published" not in page
    assert ">91.66<" not in page


def test_long_curves_have_no_markers_that_hide_the_line():
    long = rows()
    history = long[10].records[0]["history"]
    history |= {name: values * 20 for name, values in history.items()}
    axes = charts.all_curves(long).axes
    markers = [{line.get_marker() for line in axes[number].lines[:2]} for number in (0, 10)]
    assert markers == [{"."}, {""}]
