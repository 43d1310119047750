"""Figures: labeled, with a text alternative, the same bytes each time."""

import io
import itertools
from types import SimpleNamespace

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from PIL import Image

from lib import plots, tables
from lib.companions import figures

FIT = SimpleNamespace(
    best_epoch=2,
    history={
        "epoch": [1, 2, 3],
        "loss": [2.0, 1.5, 1.2],
        "accuracy": [0.2, 0.4, 0.5],
        "val_loss": [2.1, 1.6, 1.5],
        "val_accuracy": [0.25, 0.35, 0.45],
    },
)
CLASSES = ("cat", "a_very_long_class_name", r"$\dollar$")


def dataset(count: int = 12) -> SimpleNamespace:
    """Random pictures of three classes, as `lib.data.Dataset` has them."""
    pixels = np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    labels = np.arange(count) % 3
    return SimpleNamespace(
        x_train=pixels, y_train=labels, x_test=pixels, y_test=labels, classes=CLASSES
    )


def drawn() -> dict:
    rng, images = np.random.default_rng(0), dataset()
    evaluation = SimpleNamespace(probabilities=rng.dirichlet(np.ones(3), 12))
    named = dict(zip(("one.png", "two.png"), images.x_test, strict=False))
    rows = [
        {"picture": name, "class": text, "probability": value}
        for name in named
        for text, value in ((r"$\c$", 0.6), ("dog", 0.3))
    ]
    return {
        "samples": plots.samples(images),
        "augmented": plots.augmented_samples(images, seed=0, image_size=48),
        "curves": plots.learning_curves(FIT),
        "confusion": plots.confusion_matrix(images, evaluation),
        "errors": plots.confident_errors(images, evaluation),
        "pictures": plots.pictures(list(images.x_test), [r"$\a$"] * 12),
        "predictions": figures.predictions(named, rows),
        "lines": figures.lines([0, 1], {"a": [1, 2], "b": [2, 1]}, x_label="x", y_label="y (%)"),
        "bars": figures.bars({"a": 1.0, r"$\b$": 2.0}, x_label="accuracy (%)", y_label="class"),
        "maps": figures.maps(rng.normal(size=(7, 7, 70))),
    }


def titles(figure) -> list[str]:
    return [axis.get_title() for axis in figure.axes if axis.get_title()]


def test_every_figure_renders_the_same_each_time():
    first, second = drawn(), drawn()
    for name in first:
        png, width = plots.to_png(first[name])
        assert png[:8] == b"\x89PNG\r\n\x1a\n"
        assert 200 < width < 1150
        assert png == plots.to_png(second[name])[0], name


def smallest_text(figure) -> float:
    """Its font size, points."""
    return min(text.get_fontsize() for text in figure.findobj(Text) if text.get_text())


def test_text_is_readable_on_a_phone():
    """A page shows figures at 85 % or more of their size (style.css); text has 9 CSS pixels."""
    for name, figure in drawn().items():
        assert smallest_text(figure) * 96 / 72 * 0.85 >= 9, name


@pytest.mark.parametrize(
    ("caption", "columns"), [("automobile 100%\nis automobile", 8), ("chrysanthem…", 10)]
)
def test_captions_stay_apart(caption, columns):
    images = [np.zeros((8, 8, 3), np.uint8)] * 2 * columns
    figure = plots.pictures(images, [caption] * 2 * columns, columns=columns)
    FigureCanvasAgg(figure).draw()
    boxes = [axis.title.get_window_extent() for axis in figure.axes[:columns]]
    assert all(a.x1 < b.x0 for a, b in itertools.pairwise(boxes))


def test_a_palette_only_where_it_is_invisible():
    """Photographs keep their colors; other figures lose bytes, not looks."""
    again = drawn()
    for name, figure in drawn().items():
        whole = io.BytesIO()
        with mpl.rc_context(plots._STYLE):
            figure.savefig(whole, format="png")
        png = plots.to_png(again[name])[0]
        before, after = (
            np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), dtype=int)
            for data in (whole.getvalue(), png)
        )
        off = np.abs(before - after)
        if name in ("samples", "augmented", "errors", "pictures", "predictions"):
            assert off.max() == 0, name
        else:
            assert len(png) < 0.6 * len(whole.getvalue()), name
            assert off.mean() < 1, name


def test_samples_show_twenty_training_images_with_their_classes():
    figure = plots.samples(dataset(30))
    assert titles(figure) == (["cat", "a_very_long…", r"$\dollar$"] * 7)[:20]
    np.testing.assert_array_equal(figure.axes[7].images[0].get_array(), dataset(30).x_train[7])
    assert "20 training images" in figure.get_label()


@pytest.mark.parametrize("count", [12, 3])
def test_augmented_samples_are_below_their_originals(count):
    from lib import inputs

    images = dataset(count)
    figure = plots.augmented_samples(images, seed=3, image_size=48)
    shown = [axis.images[0].get_array() for axis in figure.axes]
    half = min(count, 10)
    assert len(shown) == 2 * half
    resized = inputs.resize(images.x_train[:half], 48)
    np.testing.assert_array_equal(shown[:half], resized)
    augmentation = inputs.draw_augmentation(np.random.default_rng(3), half)
    np.testing.assert_array_equal(shown[half:], inputs.augment(resized, **augmentation))
    assert titles(figure)[:half] == titles(figure)[half:]
    rows = [axis.get_subplotspec().rowspan.start for axis in figure.axes]
    assert rows == [0] * half + [1] * half


def test_axes_are_labeled_with_units():
    shown = drawn()
    accuracy, loss = shown["curves"].axes
    assert (accuracy.get_xlabel(), accuracy.get_ylabel()) == ("epoch", "top-1 accuracy (%)")
    assert loss.get_ylabel() == "cross-entropy (nats)"
    assert shown["confusion"].axes[0].get_xlabel() == "predicted class"
    for name in ("lines", "bars"):
        assert shown[name].axes[0].get_xlabel()
        assert shown[name].axes[0].get_ylabel()
    assert shown["predictions"].axes[-1].get_xlabel() == "probability (%)"


def test_chosen_epoch_is_marked():
    figure = plots.learning_curves(FIT)
    assert [2, 2] in [list(line.get_xdata()) for line in figure.axes[0].lines]
    assert figure.get_label().endswith("ends at 45.0%; epoch 2 is chosen.")


def test_confusion_matrix_counts_shares_of_the_true_class():
    images = SimpleNamespace(y_test=np.array([0, 0, 0, 0, 1]), classes=("cat", "dog"))
    predicted = np.eye(2)[[0, 1, 1, 1, 1]]
    figure = plots.confusion_matrix(images, SimpleNamespace(probabilities=predicted))
    assert [text.get_text() for text in figure.axes[0].texts] == ["25", "75", "0", "100"]
    assert "75 % of the class cat are classified as dog" in figure.get_label()


LONG = ["Tomato___Target_Spot", "Tomato___Target_Leaf", "Corn_(maize)___Common_rust_"]


@pytest.mark.parametrize(
    ("names", "short"),
    [
        (["cat", "a_very_long_class_name"], ["cat", "a_very_long…"]),
        (LONG, ["Tomat…t_Spot", "Tomat…t_Leaf", "Corn_(maize…"]),
        (["mosaic_of_a_virus", "mosaic_of_A_VIRUS"], ["mosaic_of_a_virus", "mosaic_of_A_VIRUS"]),
        (["train_image_1_of_set", "train_image_2_of_set"], None),
        (["a" * 30 + "X" + "b" * 30, "a" * 30 + "Y" + "b" * 30, "a" * 61], None),
        (["a" * 12 + "b", "a" * 11 + "…"], None),
        (["", "same", "same"], ["", "same", "same"]),
        ([], []),
    ],
)
def test_short_names_stay_different(names, short):
    found = plots.short_names(names)
    assert len(set(found)) == len(set(names))
    assert short is None or found == short
    assert all(len(text) <= max(12, len(name)) for text, name in zip(found, names, strict=True))


HARD = (r"$\frac{$", "a_b^c", "$", "חתול", "👍", "%s {0}", "\\", "x" * 300)


@pytest.mark.parametrize("count", [2, 25, 26, 120, 200])
def test_confusion_matrix_of_any_names_and_of_many_classes(count):
    names = (
        *(f"{text} of a long name" for text in (*HARD, *LONG)),
        *map("number {}".format, range(200)),
    )
    names = tuple(names[:count])
    labels = np.arange(count)
    images = SimpleNamespace(
        y_test=labels, classes=names, x_test=np.zeros((count, 8, 8, 3), np.uint8)
    )
    evaluation = SimpleNamespace(probabilities=np.eye(count)[np.roll(labels, 1)])
    figure = plots.confusion_matrix(images, evaluation)
    width = plots.to_png(figure)[1]
    assert 400 < width < 1150
    assert smallest_text(figure) >= 8
    assert names[0] in figure.get_label()
    axis = figure.axes[0]
    shown = {text.get_text() for text in axis.get_yticklabels()}
    if count <= 25:
        assert shown == set(plots.short_names(names))
    else:
        assert 20 <= len(shown) <= 50
        texts = figure.axes[1].texts
        legend = "\n".join(text.get_text() for text in texts).replace("\u200e", "").split("\n")
        assert legend == [f"{i}  {name}" for i, name in enumerate(plots.short_names(names, 24), 1)]
        FigureCanvasAgg(figure).draw()
        boxes = [text.get_window_extent() for text in texts]
        assert all(a.x1 < b.x0 for a, b in itertools.pairwise(boxes))
        assert all(box.y0 >= 0 for box in boxes)
        assert str(count) in shown
    assert plots.to_png(plots.confident_errors(images, evaluation))[0]


def test_confident_errors_are_sorted_by_probability():
    images = SimpleNamespace(
        x_test=np.zeros((3, 8, 8, 3), dtype=np.uint8),
        y_test=np.array([1, 1, 1]),
        classes=("cat", "dog"),
    )
    probabilities = np.array([[0.6, 0.4], [0.9, 0.1], [0.2, 0.8]])
    figure = plots.confident_errors(images, SimpleNamespace(probabilities=probabilities))
    assert titles(figure) == ["cat 90%\nis dog", "cat 60%\nis dog"]
    assert "cat 90%, is dog; cat 60%, is dog" in figure.get_label()


def test_no_errors_are_a_figure_too():
    images = dataset()
    figure = plots.confident_errors(images, SimpleNamespace(probabilities=np.eye(3)[images.y_test]))
    assert figure.get_label().endswith("none.")
    assert plots.to_png(figure)[0]


@pytest.mark.parametrize(("given", "expected"), [((), "The label."), (("Other.",), "Other.")])
def test_shown_figure_has_a_text_alternative(monkeypatch, given, expected):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda *a, **k: shown.append((a, k)))
    monkeypatch.setattr("IPython.get_ipython", object)
    figure = plots.learning_curves(FIT)
    figure.set_label("The label.")
    plots.show(figure, *given)
    (data,), options = shown[0]
    assert options["metadata"]["image/png"]["alt"] == expected
    assert data["text/plain"] == expected


def test_a_letter_that_no_font_has_is_no_warning(recwarn):
    plots.to_png(plots.pictures([np.zeros((2, 2, 3), np.uint8)], ["猫"]))
    assert not recwarn.list


def test_without_a_notebook_only_text_is_printed(capsys):
    figure = plots.learning_curves(FIT)
    plots.show(figure, "A figure.")
    plots.show_text("Its text.")
    assert capsys.readouterr().out == "A figure.\nIts text.\n"


def test_figures_of_an_experiment_have_a_text_alternative():
    shown = drawn()
    for name in ("samples", "augmented", "curves", "confusion", "errors"):
        assert len(shown[name].get_label()) > 40, name


def test_predictions_show_each_pictures_own_rows():
    axis = drawn()["predictions"].axes[1]
    assert [text.get_text() for text in axis.get_yticklabels()] == [r"$\c$", "dog"]
    assert [bar.get_width() for bar in axis.patches] == [60, 30]


def test_maps_show_nothing_below_zero():
    image = figures.maps(np.array([[[-5.0, 2.0]]])).axes[0].images[0]
    assert image.get_array().tolist() == [[0, image.get_clim()[1], 2]]


def test_table_escapes_its_text(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", shown.append)
    tables.show([{"network": "<b>", "test accuracy": 0.5}])
    assert "&lt;b&gt;" in shown[0].data
    assert "50.00 %" in shown[0].data


def test_tiles_are_in_reading_order():
    tiles = figures.tiles(np.arange(5)[:, None, None] * np.ones((5, 2, 2)), columns=3, gap=9)
    assert tiles.shape == (5, 8)
    assert tiles[0].tolist() == [0, 0, 9, 1, 1, 9, 2, 2]
    assert tiles[3].tolist() == [3, 3, 9, 4, 4, 9, 9, 9]
    assert figures.tiles(np.zeros((4, 3, 3, 3)), columns=2).shape == (7, 7, 3)
