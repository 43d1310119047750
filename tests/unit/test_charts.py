"""The report's charts: SVG with a text alternative, in the page's colors, the same each time."""

import re
from xml.etree import ElementTree

import pytest

from ladder.report import charts, claims, verdicts
from ladder.report.render import TEMPLATES
from lib.study import SLUGS
from tests.report import made_up

HISTORY = {
    "epoch": [1, 2, 3],
    "loss": [2.0, 1.5, 1.2],
    "accuracy": [0.2, 0.4, 0.5],
    "val_loss": [2.1, 1.6, 1.5],
    "val_accuracy": [0.25, 0.35, 0.45],
}


def rows(seeds: int = 1, **dataset):
    records = [
        made_up.record(
            slug,
            0.63 + 0.01 * seed,
            seed=seed,
            dataset=dataset,
            history=HISTORY | {"loss": [2.0 + seed, 1.5, 1.2]},
        )
        for slug in (SLUGS[0], SLUGS[10])
        for seed in range(seeds)
    ]
    return verdicts.table(records)


JUDGED = [
    claims.Judgement(claims.CLAIMS[0], "holds", "", (1, 0), 0.09, 0.01),
    claims.Judgement(claims.CLAIMS[1], "not tested", ""),
    claims.Judgement(claims.CLAIMS[10], "does not hold", "", (10, 8), -0.05, 0.02),
]
LONGER = made_up.record(SLUGS[0], 0.6, profile="custom", parameters={"EPOCHS": 3})
TRIED = [(row, verdicts.others(row, [*row.records, LONGER])) for row in rows()]
DRAWN = {
    "ladder": lambda **how: charts.ladder(rows(seeds=2), **how),
    "ladder of other data": lambda **how: charts.ladder(
        rows(name="own/a"), comparable=False, **how
    ),
    "published only": lambda **how: charts.ladder(verdicts.table([]), **how),
    "differences": lambda **how: charts.differences(rows(seeds=2), **how),
    "claims": lambda **how: charts.claims(JUDGED, **how),
    "schedules": lambda **how: charts.schedules(TRIED, **how),
    "accuracy": lambda **how: charts.all_curves(rows(), **how),
    "loss": lambda **how: charts.all_curves(rows(), "loss", **how),
    "gaps": lambda **how: charts.gaps(rows(), **how),
    "work": lambda **how: charts.accuracy_and_work(rows(), **how),
}


def html(name: str, alt: str = "A chart.") -> str:
    return charts.html(DRAWN[name], alt=alt)


@pytest.mark.parametrize("name", DRAWN)
def test_charts_are_svg_with_a_text_alternative(name):
    page = html(name, 'A chart of <b> & "c".')
    assert page == html(name, 'A chart of <b> & "c".')
    boxes = ElementTree.fromstring(f"<body>{page}</body>")
    assert [box.get("class") for box in boxes[0]] == ["chart wide", "chart narrow"]
    for box in boxes[0]:
        assert box.get("role") == "img"
        assert box.get("aria-label") == 'A chart of <b> & "c".'
        assert [part.tag for part in box] == ["{http://www.w3.org/2000/svg}svg"]
    assert "metadata" not in page  # it would differ by time


STYLE = (TEMPLATES / "ladder" / "style.css").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", DRAWN)
def test_the_style_sheet_replaces_every_color(name):
    """No color that a dark page would swallow, no white that it would show."""
    used = set(re.findall(r"(?:fill|stroke): ?#[0-9a-f]{6}", html(name)))
    replaced = set(re.findall(r'\[style\*="(.+)"\] \{ (?:fill|stroke): var', STYLE))
    assert len(used) > 1
    assert used - replaced <= {"stroke: #b0b0b0"}  # the grid, which is seen on both


@pytest.mark.parametrize("name", DRAWN)
def test_narrow_charts_fit_a_phone(name):
    """360 pixels with a margin; the text is not shrunk more than by a tenth."""
    widths = re.findall(r'<svg [^>]*?width="([\d.]+)pt"', html(name))
    wide, narrow = (float(width) / 0.75 for width in widths)
    assert narrow <= 360 < wide


def test_charts_of_one_page_have_no_id_in_common():
    found = [name for drawn in DRAWN for name in re.findall(r' id="([^"]+)"', html(drawn, drawn))]
    assert len(found) == len(set(found)) > 0


def test_axes_are_labelled_with_units():
    assert DRAWN["ladder"]().axes[0].get_xlabel().startswith("test top-1 accuracy (%)")
    assert DRAWN["work"]().axes[0].get_xlabel() == "multiply–adds of training (10¹²)"
    assert DRAWN["loss"]().get_supylabel() == "cross-entropy (nats)"
    assert DRAWN["loss"]().get_supxlabel() == "epoch"


def test_differences_have_the_interval_of_the_verdict():
    table = rows(seeds=3)
    figure = charts.differences(table)
    judged = verdicts.verdict(table[10], verdicts.spread(table))
    bars = figure.axes[0].containers[1]
    ((low, high),) = [part[:, 0] for part in bars.lines[2][0].get_segments()]
    assert low == pytest.approx(100 * (judged.low - 0.9166))
    assert high == pytest.approx(100 * (judged.high - 0.9166))
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts[1] == "−27.66  not reproduced"


def test_few_seeds_are_hollow():
    for seeds, hollow in ((1, True), (2, True), (3, False)):
        marker = charts.differences(rows(seeds=seeds)).axes[0].containers[0].lines[0]
        assert (marker.get_markerfacecolor() == "none") == hollow


def test_each_step_of_the_ladder_says_what_it_adds():
    table = verdicts.table([made_up.record(slug, accuracy) for slug, accuracy in STEPS])
    texts = [text.get_text() for text in charts.ladder(table).axes[0].texts]
    assert texts[:3] == ["60.00", "70.00  (+10.0)", "69.00  (−1.0)"]


STEPS = (("00_base_cnn", 0.6), ("01_deeper_cnn", 0.7), ("02_dropout", 0.69))


def test_what_is_about_an_experiment_is_marked():
    for name in ("ladder", "differences", "gaps", "work", "accuracy", "schedules"):
        marked = set(re.findall(r' id="c\w{6}-(e\d+)-', html(name)))
        assert "e0" in marked, name


def test_error_bars_where_there_are_several_seeds():
    several, one = charts.ladder(rows(seeds=2)), charts.ladder(rows())
    legends = [f.legends[0].get_texts()[-1].get_text() for f in (several, one)]
    assert legends == ["ours (± SD over seeds)", "ours"]


def test_gaps_have_the_published_training_accuracy_where_there_is_one():
    figure = charts.gaps(rows())  # of experiments 0 and 10
    published = figure.axes[0].containers[-2:]
    assert published[0].get_label() == "training, published"
    found = [one.lines[0].get_xdata()[0] for one in published]
    assert found == pytest.approx([71.342, 98.153])
    assert [text.xy[0] for text in figure.axes[0].texts] == pytest.approx([71.342, 98.153])
    assert len(charts.gaps(rows(), comparable=False).axes[0].containers) == 4


def test_published_figures_are_absent_where_they_do_not_apply():
    page = html("ladder of other data")
    assert "published" not in page
    assert ">91.66<" not in page


def test_long_curves_have_no_markers_that_hide_the_line():
    long = rows()
    history = long[10].records[0].history
    history |= {name: values * 20 for name, values in history.items()}
    axes = charts.all_curves(long).axes
    markers = [{line.get_marker() for line in axes[number].lines[:2]} for number in (0, 10)]
    assert markers == [{"."}, {""}]
