"""Every figure, in one style: one message, labelled axes with units, a text alternative."""

import base64
import io
from collections.abc import Sequence

import matplotlib as mpl
import matplotlib.ticker
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

# Okabe–Ito: told apart by colour-blind readers too.
BLUE, ORANGE, GREEN, GRAY = "#0072B2", "#D55E00", "#009E73", "#767676"

_STYLE = {
    "axes.edgecolor": GRAY,
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.facecolor": "white",
    "font.size": 10,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "savefig.bbox": "tight",
    "savefig.dpi": 160,
}


def new_figure(width: float, height: float, **grid) -> tuple[Figure, np.ndarray]:
    """Returns a figure (sizes in inches) and its axes as an array."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, np.atleast_1d(figure.subplots(**grid))


def styled(draw):
    """Draws under the project's style."""

    def wrapper(*args, **kwargs):
        with mpl.rc_context(_STYLE):
            return draw(*args, **kwargs)

    wrapper.__doc__, wrapper.__name__ = draw.__doc__, draw.__name__
    return wrapper


def show(figure: Figure, alt: str) -> None:
    """Displays a figure, sharp on high-density screens, with its text alternative."""
    from IPython.display import display

    png, width = to_png(figure)
    display(
        {"image/png": base64.b64encode(png).decode(), "text/plain": alt},
        raw=True,
        metadata={"image/png": {"width": width, "alt": alt}},
    )


def show_text(text: str) -> None:
    """Displays text that belongs on the page but not into the log of a batch run."""
    from IPython.display import display

    display({"text/plain": text}, raw=True)


def to_png(figure: Figure) -> tuple[bytes, int]:
    """Renders a figure, the same bytes each time; returns them and the width in CSS pixels.

    A figure without photographs has a palette of 256 colors: nobody sees it, and half of the bytes
    or less is left.
    """
    drawn, png = io.BytesIO(), io.BytesIO()
    with mpl.rc_context(_STYLE):
        figure.savefig(drawn, format="png", metadata={"Software": None})
    picture = Image.open(drawn).convert("RGB")
    shown = [image.get_array() for axis in figure.axes for image in axis.images]
    if all(array.ndim == 2 for array in shown):
        picture = picture.quantize(256)
    picture.save(png, format="png")
    return png.getvalue(), round(picture.width * 96 / _STYLE["savefig.dpi"])


@styled
def samples(images: np.ndarray, labels: np.ndarray, classes: tuple[str, ...]) -> Figure:
    """Shows images with their classes.

    Args:
        images: uint8 (n, h, w, 3) or float in [0, 1]; the first 20 are shown.
        labels: int (n,).
        classes: names by label.
    """
    titles = [_short(classes[label]) for label in labels[:20]]
    return pictures(images[:20], titles, columns=10)


@styled
def learning_curves(history: dict[str, list[float]], best_epoch: int) -> Figure:
    """Shows accuracy and cross-entropy per epoch, with the chosen epoch marked."""
    figure, axes = new_figure(9, 3.2, ncols=2)
    for axis, name, label in (
        (axes[0], "accuracy", "top-1 accuracy (%)"),
        (axes[1], "loss", "cross-entropy (nats)"),
    ):
        factor = 100 if name == "accuracy" else 1
        for key, color, word in (
            (name, BLUE, "training"),
            (f"val_{name}", ORANGE, "validation"),
        ):
            values = factor * np.array(history[key])
            axis.plot(history["epoch"], values, color=color, label=word, marker=".")
        axis.axvline(best_epoch, color=GRAY, linestyle="--", linewidth=1, label="chosen epoch")
        axis.set_xlabel("epoch")
        axis.set_ylabel(label)
        epoch_axis(axis, history)
    axes[0].legend()
    return figure


@styled
def confusion_matrix(
    labels: np.ndarray, probabilities: np.ndarray, classes: tuple[str, ...]
) -> Figure:
    """Shows which class is taken for which: share of each true class, in percent."""
    from sklearn.metrics import confusion_matrix as count

    shares = 100 * count(
        labels,
        probabilities.argmax(axis=1),
        labels=range(len(classes)),
        normalize="true",
    )
    figure, (axis,) = new_figure(6.2, 5.2)
    image = axis.imshow(shares, cmap="Blues", vmin=0, vmax=100)
    axis.grid(visible=False)
    names = [_plain(_short(name)) for name in classes]
    if len(classes) <= 25:
        axis.set_xticks(range(len(classes)), names, rotation=45, ha="right")
        axis.set_yticks(range(len(classes)), names)
        for row, column in np.ndindex(shares.shape):
            value = shares[row, column]
            axis.text(
                column,
                row,
                f"{value:.0f}",
                ha="center",
                va="center",
                fontsize=8,
                color="white" if value > 55 else "black",
            )
    axis.set_xlabel("predicted class")
    axis.set_ylabel("true class")
    figure.colorbar(image, ax=axis, label="share of the true class (%)", shrink=0.8)
    return figure


@styled
def confident_errors(
    images: np.ndarray,
    labels: np.ndarray,
    probabilities: np.ndarray,
    classes: tuple[str, ...],
) -> Figure:
    """Shows the wrongly classified images of which the network was most certain."""
    predicted, certainty = probabilities.argmax(axis=1), probabilities.max(axis=1)
    wrong = np.flatnonzero(predicted != labels)
    worst = wrong[np.argsort(-certainty[wrong], kind="stable")][:16]
    titles = [
        f"{_short(classes[predicted[index]])} {certainty[index]:.0%}\n"
        f"is {_short(classes[labels[index]])}"
        for index in worst
    ]
    return pictures(images[worst], titles)


@styled
def pictures(
    images: Sequence[np.ndarray],
    titles: list[str],
    *,
    columns: int = 8,
    heats: list | None = None,
) -> Figure:
    """Shows images with a caption each, with a heat map over them if one is given.

    Args:
        images: uint8 (h, w, 3) each, of any size; may be none.
        titles: one per image.
        columns: at most, per row.
        heats: float (any, any) in [0, 1], one per image; None for none.
    """
    rows = max(-(-len(images) // columns), 1)
    columns = columns if rows > 1 else max(len(images), 1)
    width = min(1.6, 11 / columns)
    figure, axes = new_figure(width * columns, (width + 0.35) * rows, nrows=rows, ncols=columns)
    for axis in axes.flat:
        axis.set_axis_off()
    for index, (axis, image) in enumerate(zip(axes.flat, images, strict=False)):
        height, width = image.shape[:2]
        axis.imshow(image, interpolation="nearest", extent=(0, width, height, 0))
        heat = heats[index] if heats else None
        if heat is not None:
            axis.imshow(
                heat,
                cmap="inferno",
                alpha=0.55,
                vmin=0,
                vmax=1,
                interpolation="bilinear",
                extent=(0, width, height, 0),
            )
        axis.set_title(_plain(titles[index]), fontsize=8)
    return figure


@styled
def predictions(images: list[np.ndarray], named: list[list[tuple[str, float]]]) -> Figure:
    """Shows each image beside the probabilities of its likeliest classes.

    Args:
        images: uint8 (h, w, 3) each.
        named: per image (class, probability), the likeliest first.
    """
    figure, axes = new_figure(
        8, 1.5 * len(images) + 0.3, nrows=len(images), ncols=2, width_ratios=(1, 4), squeeze=False
    )
    for (left, right), image, best in zip(axes, images, named, strict=True):
        left.imshow(image, interpolation="nearest")
        left.set_axis_off()
        names = [_plain(name.replace("_", " ")[:28]) for name, _ in best]
        bars = right.barh(range(len(best)), [100 * value for _, value in best], color=BLUE)
        right.bar_label(bars, fmt="%.1f", padding=3, fontsize=8)
        right.set_yticks(range(len(best)), names)
        right.invert_yaxis()
        right.set_xlim(0, 108)
        right.set_ylabel("class")
    axes[-1, 1].set_xlabel("probability (%)")
    return figure


@styled
def lines(
    x: list,
    series: dict[str, list[float]],
    *,
    x_label: str,
    y_label: str,
    connected: bool = True,
    width: float = 7,
) -> Figure:
    """Shows one or more series over the same places, in percent where they are accuracies.

    Args:
        x: places on the axis, numbers or names.
        series: values by name.
        x_label, y_label: with units.
        connected: whether the places have an order, so that lines mean something.
        width: of the figure, inches.
    """
    figure, (axis,) = new_figure(width, 3.6)
    styles = zip(series.items(), (BLUE, ORANGE, GREEN, GRAY), "os^D", strict=False)
    for (name, values), color, marker in styles:
        style = "-" if connected else "none"
        axis.plot(range(len(x)), values, color=color, marker=marker, linestyle=style, label=name)
    axis.set_xticks(range(len(x)), [str(place) for place in x])
    axis.set_xlabel(x_label)
    axis.set_ylabel(y_label)
    axis.legend()
    return figure


@styled
def bars(values: dict[str, float], *, x_label: str, y_label: str = "") -> Figure:
    """Shows one horizontal bar per name."""
    figure, (axis,) = new_figure(7, 0.38 * len(values) + 1)
    drawn = axis.barh(range(len(values)), list(values.values()), color=BLUE)
    axis.bar_label(drawn, fmt="%.1f", padding=3, fontsize=8)
    axis.set_yticks(range(len(values)), list(values))
    axis.invert_yaxis()
    axis.margins(x=0.12)
    axis.set_xlabel(x_label)
    axis.set_ylabel(y_label)
    return figure


@styled
def cost_and_accuracy(points: list[tuple[str, float, float]]) -> Figure:
    """Shows accuracy against the cost of a forward pass, one labelled point per network.

    Args:
        points: (name, multiply–adds, accuracy from 0 to 1).
    """
    figure, (axis,) = new_figure(7.5, 4.2)
    axis.set_xscale("log")
    axis.scatter([macs / 1e6 for _, macs, _ in points], [100 * a for *_, a in points], color=BLUE)
    for number, (name, macs, accuracy) in enumerate(sorted(points, key=lambda p: p[1])):
        above = number % 2 == 0  # neighbors' labels do not cover each other
        axis.annotate(
            name,
            (macs / 1e6, 100 * accuracy),
            xytext=(0, 7 if above else -13),
            textcoords="offset points",
            ha="center",
            fontsize=8,
        )
    axis.margins(0.12, 0.15)
    axis.set_xlabel("multiply–adds of one forward pass (millions)")
    axis.set_ylabel("test top-1 accuracy (%)")
    return figure


@styled
def heat_map(
    values: np.ndarray, *, rows: list[str], columns: list[str], x_label: str, y_label: str
) -> Figure:
    """Shows a table of accuracies (0 to 1) as colors with their figures, in percent."""
    figure, (axis,) = new_figure(1.1 * len(columns) + 3, 0.65 * len(rows) + 1.4)
    shown = 100 * np.asarray(values)
    image = axis.imshow(shown, cmap="viridis", aspect="auto")
    axis.grid(visible=False)
    axis.set_xticks(range(len(columns)), columns)
    axis.set_yticks(range(len(rows)), rows)
    middle = (shown.min() + shown.max()) / 2
    for row, column in np.ndindex(shown.shape):
        value = shown[row, column]
        color = "black" if value > middle else "white"
        axis.text(column, row, f"{value:.1f}", ha="center", va="center", color=color)
    axis.set_xlabel(x_label)
    axis.set_ylabel(y_label)
    figure.colorbar(image, ax=axis, label="test top-1 accuracy (%)")
    return figure


@styled
def filters(groups: dict[str, np.ndarray]) -> Figure:
    """Shows first-layer filters as colors, each scaled to its own range.

    Args:
        groups: kernels, float (height, width, 3, filters), by name; 32 filters per row.
    """
    heights = [-(-kernels.shape[-1] // 32) for kernels in groups.values()]
    figure, axes = new_figure(
        10, 0.34 * sum(heights) + 0.5 * len(heights), nrows=len(groups), height_ratios=heights
    )
    for axis, (name, kernels) in zip(axes, groups.items(), strict=True):
        low, high = kernels.min(axis=(0, 1, 2)), kernels.max(axis=(0, 1, 2))
        scaled = (kernels - low) / np.maximum(high - low, 1e-12)
        axis.imshow(_tiles(scaled.transpose(3, 0, 1, 2), columns=32), interpolation="nearest")
        axis.set_axis_off()
        axis.set_title(name, fontsize=9)
    return figure


@styled
def maps(tensor: np.ndarray, *, columns: int = 32) -> Figure:
    """Shows all channels of a feature map as gray tiles on one scale, dark for 0.

    White is the 99th percentile, so that one strong channel does not darken the others.

    Args:
        tensor: float (height, width, channels), not negative.
        columns: tiles per row.
    """
    channels = tensor.shape[-1]
    columns = min(columns, channels)
    figure, (axis,) = new_figure(9, 9 * -(-channels // columns) / columns + 0.6)
    white = float(np.percentile(tensor, 99)) or float(tensor.max()) or 1.0
    tiles = _tiles(tensor.transpose(2, 0, 1), columns=columns, gap=white)
    image = axis.imshow(tiles, cmap="gray", vmin=0, vmax=white, interpolation="nearest")
    axis.set_axis_off()
    label = "activation (white: 99th percentile and above)"
    figure.colorbar(image, ax=axis, label=label, shrink=0.6, extend="max")
    return figure


def _tiles(images: np.ndarray, *, columns: int, gap: float = 1.0) -> np.ndarray:
    """Puts small images, (n, h, w) or (n, h, w, 3), into one, with lines of ``gap`` between."""
    count, height, width = images.shape[:3]
    rows = -(-count // columns)
    canvas = np.full(
        (rows * (height + 1) - 1, columns * (width + 1) - 1, *images.shape[3:]), float(gap)
    )
    for index, image in enumerate(images):
        top, left = (height + 1) * (index // columns), (width + 1) * (index % columns)
        canvas[top : top + height, left : left + width] = image
    return canvas


@styled
def scatter(points: np.ndarray, labels: np.ndarray, classes: tuple[str, ...]) -> Figure:
    """Shows points in the plane, colored and marked by class.

    Args:
        points: float (n, 2).
        labels: int (n,).
        classes: names by label; colors repeat after ten, markers do not.
    """
    figure, (axis,) = new_figure(7.5, 5)
    colors, markers = mpl.color_sequences["tab10"], "os^Dv<>pP*"
    for label, name in enumerate(classes[:50]):
        chosen = points[labels == label]
        axis.scatter(
            chosen[:, 0],
            chosen[:, 1],
            s=12,
            color=colors[label % 10],
            marker=markers[(label + label // 10) % 10],
            alpha=0.75,
            label=_plain(_short(name)),
        )
    axis.set_xlabel("first dimension (no unit)")
    axis.set_ylabel("second dimension (no unit)")
    axis.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8)
    return figure


def epoch_axis(axis, history: dict[str, list[float]], *, intervals: int | str = "auto") -> None:
    axis.set_xlim(0.5, history["epoch"][-1] + 0.5)
    axis.xaxis.set_major_locator(mpl.ticker.MaxNLocator(intervals, integer=True, min_n_ticks=1))


def _short(name: str) -> str:
    """Shortens a class name."""
    return name if len(name) <= 12 else name[:11] + "…"


def _plain(text: str) -> str:
    """Keeps matplotlib from reading a text as a formula."""
    return text.replace("$", r"\$")
