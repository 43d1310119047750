"""Figures of an experiment in one style, each with a text alternative."""

import base64
import io
import warnings
from collections import Counter
from collections.abc import Sequence

import matplotlib as mpl
import matplotlib.ticker
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

# Okabe–Ito: color-blind readers can distinguish these too.
BLUE, ORANGE, GREEN, GRAY = "#0072B2", "#D55E00", "#009E73", "#767676"

MOST_NAMES = 25
"""Classes whose names have place beside a confusion matrix."""

_STYLE = {
    "axes.edgecolor": GRAY,
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.size": 10,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "savefig.bbox": "tight",
    "savefig.dpi": 160,
}

mpl.rcdefaults()  # no figure depends on the reader's matplotlibrc, those of notebooks' cells too

styled = mpl.rc_context(_STYLE)
"""Decorator: the function draws in the project's style."""


@styled
def new_figure(width: float, height: float, **grid) -> tuple[Figure, np.ndarray]:
    """Creates a figure in the project's style, outside of pyplot.

    Args:
        width, height: inches.
        **grid: arguments of `Figure.subplots`.

    Returns:
        The figure and its axes as an array.
    """
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, np.atleast_1d(figure.subplots(**grid))


def show(figure: Figure, alt: str = "") -> None:
    """Displays a figure, sharp on high-density screens, with its text alternative.

    Args:
        figure: any figure.
        alt: the text alternative. By default the figure's label, which every function of this
            module sets, `pictures` aside.
    """
    _display(*as_output(figure, alt))


def as_output(figure: Figure, alt: str = "") -> tuple[dict, dict]:
    """Returns a figure as the data and metadata of a cell's output; see `show`."""
    alt = alt or figure.get_label()
    png, width = to_png(figure)
    data = {"image/png": base64.b64encode(png).decode(), "text/plain": alt}
    return data, {"image/png": {"width": width, "alt": alt}}


def show_text(text: str) -> None:
    """Displays text that belongs on the page but not in the log of a batch run."""
    _display({"text/plain": text})


def _display(data: dict[str, str], metadata: dict | None = None) -> None:
    """Displays a cell's output; where there are no cells, prints its text."""
    from IPython import get_ipython
    from IPython.display import display

    if get_ipython():
        display(data, metadata=metadata, raw=True)
    else:
        print(data["text/plain"])


@styled
def to_png(figure: Figure) -> tuple[bytes, int]:
    """Renders a figure. The same figure gives the same bytes.

    A figure without photographs has a palette of 256 colors: it looks the same and takes at most
    half of the bytes.

    Returns:
        The PNG file and its width in CSS pixels.
    """
    drawn, png = io.BytesIO(), io.BytesIO()
    with warnings.catch_warnings():  # with a path of this machine, which belongs on no page
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        figure.savefig(drawn, format="png", facecolor="white", metadata={"Software": None})
    picture = Image.open(drawn).convert("RGB")
    shown = [image.get_array() for axis in figure.axes for image in axis.images]
    if all(array.ndim == 2 for array in shown):
        picture = picture.quantize(256)
    picture.save(png, format="png")
    return png.getvalue(), round(picture.width * 96 / _STYLE["savefig.dpi"])


def samples(images) -> Figure:
    """Shows the first twenty training images with their classes.

    Args:
        images: `lib.data.Dataset`.
    """
    names, labels = short_names(images.classes), images.y_train[:20]
    figure = pictures(images.x_train[:20], [names[label] for label in labels], columns=10)
    named = ", ".join(images.classes[label] for label in labels)
    figure.set_label(f"{len(labels)} training images with their classes: {named}.")
    return figure


def augmented_samples(images, *, seed: int, image_size: int) -> Figure:
    """Shows the first ten training images above the same ten, augmented.

    Args:
        images: `lib.data.Dataset`.
        seed: the augmentation's.
        image_size: height and width to resize to before the augmentation, pixels.
    """
    from lib import inputs  # imports TensorFlow

    shown = inputs.resize(images.x_train[:10], image_size)
    drawn = inputs.draw_augmentation(np.random.default_rng(seed), len(shown))
    names = short_names(images.classes)
    titles = [names[label] for label in images.y_train[:10]]
    both = np.concatenate([shown, inputs.augment(shown, **drawn)])
    figure = pictures(both, 2 * titles, columns=len(shown))
    figure.set_label(
        f"{len(shown)} training images above the same images rotated, shifted and flipped."
    )
    return figure


def learning_curves(fit) -> Figure:
    """Shows accuracy and cross-entropy per epoch, and marks the chosen epoch.

    Args:
        fit: `lib.training.Fit`.
    """
    history = fit.history
    figure = curves_so_far(history, history["epoch"][-1])
    for axis in figure.axes:
        axis.axvline(fit.best_epoch, color=GRAY, linestyle="--", linewidth=1, label="chosen epoch")
    figure.axes[0].legend()
    figure.set_label(
        f"Learning curves over {len(history['epoch'])} epochs. Validation accuracy ends at "
        f"{history['val_accuracy'][-1]:.1%}; epoch {fit.best_epoch} is chosen."
    )
    return figure


@styled
def curves_so_far(history: dict[str, list[float]], epochs: int) -> Figure:
    """Shows accuracy and cross-entropy per epoch.

    Args:
        history: of `lib.training.Fit`; of a training that runs, so far.
        epochs: the last one that may run, at which the axes end.
    """
    figure, axes = new_figure(7.4, 3, ncols=2)
    for axis, name, label, factor in (
        (axes[0], "accuracy", "top-1 accuracy (%)", 100),
        (axes[1], "loss", "cross-entropy (nats)", 1),
    ):
        for key, color, part in ((name, BLUE, "training"), (f"val_{name}", ORANGE, "validation")):
            values = factor * np.array(history[key])
            axis.plot(history["epoch"], values, color=color, label=part, marker=".")
        axis.set_xlabel("epoch")
        axis.set_ylabel(label)
        epoch_axis(axis, epochs)
    axes[0].legend()
    figure.set_label(f"Learning curves after {len(history['epoch'])} of {epochs} epochs.")
    return figure


@styled
def confusion_matrix(images, evaluation) -> Figure:
    """Shows the share of each true class, in percent, that the network assigns to each class.

    Args:
        images: `lib.data.Dataset`.
        evaluation: `lib.training.Evaluation`.
    """
    from sklearn.metrics import confusion_matrix as count

    labels, predicted = images.y_test, evaluation.probabilities.argmax(axis=1)
    names = images.classes
    shares = 100 * count(labels, predicted, labels=range(len(names)), normalize="true")
    if len(names) <= MOST_NAMES:
        figure, (axis,) = new_figure(6.2, 5.2)
        short = short_names(names)
        axis.set_xticks(range(len(names)), short, rotation=45, ha="right", parse_math=False)
        axis.set_yticks(range(len(names)), short, parse_math=False)
        for (row, column), share in np.ndenumerate(shares):
            color = "white" if share > 55 else "black"
            place = {"ha": "center", "va": "center", "fontsize": 8}
            axis.text(column, row, f"{share:.0f}", color=color, **place)
    else:
        figure, axis = _numbered_matrix(names)
    image = axis.imshow(shares, cmap="Blues", vmin=0, vmax=100)
    axis.grid(visible=False)
    axis.set_xlabel("predicted class")
    axis.set_ylabel("true class")
    figure.colorbar(image, ax=axis, label="share of the true class (%)", shrink=0.8)
    errors = shares * (1 - np.eye(len(names)))
    true, other = np.unravel_index(errors.argmax(), errors.shape)
    figure.set_label(
        f"Confusion matrix of the test images. Largest error: {errors.max():.0f} % of the class "
        f"{names[true]} are classified as {names[other]}."
    )
    return figure


def _numbered_matrix(names: Sequence[str], columns: int = 4) -> tuple[Figure, mpl.axes.Axes]:
    """Returns a figure for a matrix of many classes: numbers, and below it what they mean."""
    lines = -(-len(names) // columns)
    below = 0.145 * lines + 0.1
    figure, (axis, legend) = new_figure(9, 7.6 + below, nrows=2, height_ratios=(7.6, below))
    step = next((step for step in (1, 2, 5) if len(names) <= 50 * step), 10)
    ticks = range(step - 1, len(names), step)
    for one, turned in ((axis.xaxis, 90), (axis.yaxis, 0)):
        one.set_ticks(ticks, [number + 1 for number in ticks], fontsize=8, rotation=turned)
        one.set_ticks(range(len(names)), minor=True)
    legend.set_axis_off()
    # After U+200E a name from right to left leaves its number in its place.
    entries = [f"{number}  \u200e{name}" for number, name in enumerate(short_names(names, 24), 1)]
    for column in range(columns):
        text = "\n".join(entries[column * lines : (column + 1) * lines])
        place = {"va": "top", "fontsize": 8, "parse_math": False, "transform": legend.transAxes}
        legend.text(column / columns, 1, text, **place)
    return figure, axis


def confident_errors(images, evaluation) -> Figure:
    """Shows the sixteen wrong test images to which the network gives the highest probability.

    Args:
        images: `lib.data.Dataset`.
        evaluation: `lib.training.Evaluation`.
    """
    labels, probabilities = images.y_test, evaluation.probabilities
    predicted, certainty = probabilities.argmax(axis=1), probabilities.max(axis=1)
    wrong = np.flatnonzero(predicted != labels)
    worst = wrong[np.argsort(-certainty[wrong], kind="stable")][:16]

    def captions(names: Sequence[str]) -> list[str]:
        return [f"{names[predicted[i]]} {certainty[i]:.0%}\nis {names[labels[i]]}" for i in worst]

    figure = pictures(images.x_test[worst], captions(short_names(images.classes)))
    listed = "; ".join(captions(images.classes)).replace("\n", ", ") or "none"
    figure.set_label(f"Wrong test images with the highest probability: {listed}.")
    return figure


@styled
def pictures(images: Sequence[np.ndarray], titles: list[str], *, columns: int = 8) -> Figure:
    """Shows images with a caption each.

    Args:
        images: uint8 (h, w, 3) each, of any size; may be empty.
        titles: one per image.
        columns: at most, per row.
    """
    rows = max(-(-len(images) // columns), 1)
    columns = columns if rows > 1 else max(len(images), 1)
    width = min(1.6, 9 / columns)
    figure, axes = new_figure(width * columns, (width + 0.35) * rows, nrows=rows, ncols=columns)
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, image, title in zip(axes.flat, images, titles, strict=False):
        axis.imshow(image, interpolation="nearest")
        axis.set_title(title, fontsize=8, parse_math=False)
    return figure


def epoch_axis(axis, last: int, *, intervals: int | str = "auto") -> None:
    """Gives an x-axis whole epochs from 1 to the last one."""
    axis.set_xlim(0.5, last + 0.5)
    axis.xaxis.set_major_locator(mpl.ticker.MaxNLocator(intervals, integer=True, min_n_ticks=1))


def short_names(names: Sequence[str], most: int = 12) -> list[str]:
    """Shortens class names so that all stay different.

    Args:
        names: all that are shown together; equal ones stay equal.
        most: letters of a shortened name. Names that are then alike keep both ends, and, if that
            is not enough, more letters.
    """

    def cut(name: str, width: int, end: int) -> str:
        kept = name[: width - 1 - end], name[len(name) - end :]
        return name if len(name) <= width else "…".join(kept)

    short = {name: cut(name, most, 0) for name in names}
    for width in range(most, max(map(len, names), default=0) + 2):
        times = Counter(text.casefold() for text in short.values())
        alike = [name for name in short if times[short[name].casefold()] > 1]
        short |= {name: cut(name, width, width // 2) for name in alike}
    return [short[name] for name in names]
