"""Figures: labelled, with a text alternative, the same bytes each time."""

import io

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from lib import plots

HISTORY = {
    "epoch": [1, 2, 3],
    "loss": [2.0, 1.5, 1.2],
    "accuracy": [0.2, 0.4, 0.5],
    "val_loss": [2.1, 1.6, 1.5],
    "val_accuracy": [0.25, 0.35, 0.45],
}
CLASSES = ("cat", "a_very_long_class_name", "$dollar$")


def figures() -> dict:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (12, 32, 32, 3), dtype=np.uint8)
    labels = np.arange(12) % 3
    probabilities = rng.dirichlet(np.ones(3), 12)
    return {
        "samples": plots.samples(images, labels, CLASSES),
        "curves": plots.learning_curves(HISTORY, 2),
        "confusion": plots.confusion_matrix(labels, probabilities, CLASSES),
        "errors": plots.confident_errors(images, labels, probabilities, CLASSES),
        "pictures": plots.pictures(list(images), ["$a$"] * 12, heats=[rng.random((4, 4))] * 12),
        "predictions": plots.predictions([images[0]] * 2, [[("a_b", 0.5), ("$c", 0.2)]] * 2),
        "lines": plots.lines([0, 1], {"a": [1, 2], "b": [2, 1]}, x_label="x", y_label="y (%)"),
        "bars": plots.bars({"a": 1.0, "b": 2.0}, x_label="accuracy (%)", y_label="what"),
        "cost": plots.cost_and_accuracy([("A", 1e6, 0.5), ("B", 2e7, 0.6)]),
        "heat": plots.heat_map(
            rng.random((2, 3)), rows=["r", "s"], columns=list("abc"), x_label="x", y_label="y"
        ),
        "filters": plots.filters(
            {"a": rng.normal(size=(3, 3, 3, 64)), "b": rng.normal(size=(11, 11, 3, 96))}
        ),
        "maps": plots.maps(rng.random((7, 7, 70))),
        "scatter": plots.scatter(rng.normal(size=(12, 2)), labels, CLASSES),
    }


def test_every_figure_renders_the_same_each_time():
    first, second = figures(), figures()
    for name in first:
        png, width = plots.to_png(first[name])
        assert png[:8] == b"\x89PNG\r\n\x1a\n"
        assert 200 < width < 1150
        assert png == plots.to_png(second[name])[0], name


def test_a_palette_where_nobody_sees_it():
    """Photographs keep their colors; other figures lose bytes, not looks."""
    again = figures()
    for name, figure in figures().items():
        drawn = io.BytesIO()
        with mpl.rc_context(plots._STYLE):
            figure.savefig(drawn, format="png")
        png = plots.to_png(again[name])[0]
        before, after = (
            np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), dtype=int)
            for data in (drawn.getvalue(), png)
        )
        off = np.abs(before - after)
        if name in ("samples", "errors", "pictures", "predictions", "filters"):
            assert off.max() == 0, name
        else:
            assert len(png) < 0.6 * len(drawn.getvalue()), name
            assert off.mean() < 1, name


def test_axes_are_labelled_with_units():
    drawn = figures()
    accuracy, loss = drawn["curves"].axes
    assert (accuracy.get_xlabel(), accuracy.get_ylabel()) == ("epoch", "top-1 accuracy (%)")
    assert loss.get_ylabel() == "cross-entropy (nats)"
    assert drawn["confusion"].axes[0].get_xlabel() == "predicted class"


def test_chosen_epoch_is_marked():
    axis = figures()["curves"].axes[0]
    assert [2, 2] in [list(line.get_xdata()) for line in axis.lines]


def test_confident_errors_come_worst_first():
    images = np.zeros((3, 8, 8, 3), dtype=np.uint8)
    probabilities = np.array([[0.6, 0.4], [0.9, 0.1], [0.2, 0.8]])
    figure = plots.confident_errors(images, np.array([1, 1, 1]), probabilities, ("cat", "dog"))
    titles = [axis.get_title() for axis in figure.axes if axis.get_title()]
    assert titles == ["cat 90%\nis dog", "cat 60%\nis dog"]


def test_shown_figure_has_a_text_alternative(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda *a, **k: shown.append((a, k)))
    plots.show(plots.learning_curves(HISTORY, 2), "Curves that rise.")
    (data,), options = shown[0]
    assert options["metadata"]["image/png"]["alt"] == "Curves that rise."
    assert data["text/plain"] == "Curves that rise."


@pytest.mark.parametrize("name", ["lines", "bars", "cost", "heat", "scatter"])
def test_axes_of_companion_figures_are_labelled(name):
    axis = figures()[name].axes[0]
    assert axis.get_xlabel()
    assert axis.get_ylabel()


def test_heat_map_shows_its_figures():
    values = np.array([[0.101, 0.202], [0.303, 0.404]])
    figure = plots.heat_map(values, rows=["r", "s"], columns=["a", "b"], x_label="x", y_label="y")
    written = [text.get_text() for text in figure.axes[0].texts]
    assert written == ["10.1", "20.2", "30.3", "40.4"]


def test_tiles_stand_in_reading_order():
    tiles = plots._tiles(np.arange(5)[:, None, None] * np.ones((5, 2, 2)), columns=3, gap=9)
    assert tiles.shape == (5, 8)
    assert tiles[0].tolist() == [0, 0, 9, 1, 1, 9, 2, 2]
    assert tiles[3].tolist() == [3, 3, 9, 4, 4, 9, 9, 9]
