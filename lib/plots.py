"""Every figure, in one style: one message, labelled axes with units, a text alternative."""

import base64
import io
import textwrap

import matplotlib as mpl
import matplotlib.ticker
import numpy as np
from matplotlib.figure import Figure

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


def _figure(width: float, height: float, **grid) -> tuple[Figure, np.ndarray]:
    """Returns a figure (sizes in inches) and its axes as an array."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, np.atleast_1d(figure.subplots(**grid))


def _styled(draw):
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
    """Renders a figure, the same bytes each time; returns them and the width in CSS pixels."""
    buffer = io.BytesIO()
    with mpl.rc_context(_STYLE):
        figure.savefig(buffer, format="png", metadata={"Software": None})
    png = buffer.getvalue()
    pixels = int.from_bytes(png[16:20], "big")
    return png, round(pixels * 96 / _STYLE["savefig.dpi"])


@_styled
def samples(images: np.ndarray, labels: np.ndarray, classes: tuple[str, ...]) -> Figure:
    """Shows images with their classes.

    Args:
        images: uint8 (n, h, w, 3) or float in [0, 1]; the first 20 are shown.
        labels: int (n,).
        classes: names by label.
    """
    count = min(len(images), 20)
    figure, axes = _figure(10, 1.15 * -(-count // 10) + 0.2, nrows=-(-count // 10), ncols=10)
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, image, label in zip(axes.flat, images[:count], labels[:count], strict=False):
        axis.imshow(image, interpolation="nearest")
        axis.set_title(_short(classes[label]), fontsize=8)
    return figure


@_styled
def learning_curves(history: dict[str, list[float]], best_epoch: int) -> Figure:
    """Shows accuracy and cross-entropy per epoch, with the chosen epoch marked."""
    figure, axes = _figure(9, 3.2, ncols=2)
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
        _epoch_axis(axis, history)
    axes[0].legend()
    return figure


@_styled
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
    figure, (axis,) = _figure(6.2, 5.2)
    image = axis.imshow(shares, cmap="Blues", vmin=0, vmax=100)
    axis.grid(visible=False)
    names = [_short(name) for name in classes]
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


@_styled
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
    figure, axes = _figure(10, 3.6, nrows=2, ncols=8)
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, index in zip(axes.flat, worst, strict=False):
        axis.imshow(images[index], interpolation="nearest")
        axis.set_title(
            f"{_short(classes[predicted[index]])} {certainty[index]:.0%}\n"
            f"is {_short(classes[labels[index]])}",
            fontsize=8,
        )
    return figure


@_styled
def ladder(rows, *, comparable: bool = True) -> Figure:
    """Shows test accuracy of the eleven experiments: published against ours.

    Args:
        rows: of `lib.verdicts.table`.
        comparable: whether the data are CIFAR-10, to which the published figures apply.
    """
    figure, (axis,) = _figure(9, 4.6)
    numbers = np.array([row.experiment.number for row in rows])
    done = [row for row in rows if row.accuracy is not None]
    if comparable:
        axis.plot(
            numbers,
            [100 * row.experiment.accuracy for row in rows],
            color=GRAY,
            marker="o",
            markerfacecolor="white",
            linestyle=":",
            label="published",
        )
    if done:
        axis.errorbar(
            [row.experiment.number for row in done],
            [100 * row.accuracy for row in done],
            yerr=[100 * (row.accuracy_sd or 0) for row in done],
            color=BLUE,
            marker="s",
            linestyle="none",
            capsize=3,
            label="ours",
        )
    for row in rows:
        ours = row.accuracy is not None
        accuracy = 100 * (row.accuracy if ours else row.experiment.accuracy)
        if ours or comparable:
            axis.annotate(
                f"{accuracy:.1f}",
                (row.experiment.number, accuracy),
                xytext=(0, -14),
                textcoords="offset points",
                ha="center",
                fontsize=8,
                color=BLUE if ours else GRAY,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6},
            )
    titles = (f"{row.experiment.number} {row.experiment.title}" for row in rows)
    names = ["\n".join(textwrap.wrap(title, 13, break_on_hyphens=False)) for title in titles]
    axis.set_xticks(numbers, names, fontsize=7)
    axis.margins(y=0.12)
    axis.set_ylabel("test top-1 accuracy (%)")
    axis.set_xlabel("experiment")
    axis.legend(loc="lower right")
    return figure


@_styled
def all_curves(rows, name: str = "accuracy") -> Figure:
    """Shows all learning curves as small multiples on common axes.

    Args:
        rows: of `lib.verdicts.table`; the first record of each is drawn.
        name: ``"accuracy"`` or ``"loss"``.
    """
    factor, label = (100, "accuracy (%)") if name == "accuracy" else (1, "cross-entropy (nats)")
    figure, axes = _figure(10, 7, nrows=3, ncols=4, sharex=False, sharey=True)
    for axis in axes.flat[len(rows) :]:
        axis.set_axis_off()
    for axis, row in zip(axes.flat, rows, strict=False):
        axis.set_title(f"{row.experiment.number} {row.experiment.title}", fontsize=8.5)
        if not row.records:
            axis.text(0.5, 0.5, "not run", transform=axis.transAxes, ha="center", color=GRAY)
            axis.set_xticks([])
            continue
        history = row.records[0]["history"]
        _epoch_axis(axis, history)
        for key, color, word in (
            (name, BLUE, "training"),
            (f"val_{name}", ORANGE, "validation"),
        ):
            values = factor * np.array(history[key])
            axis.plot(history["epoch"], values, color=color, label=word, marker=".")
        best = row.records[0]["training"]["best_epoch"]
        axis.axvline(best, color=GRAY, linestyle="--", linewidth=1, label="chosen epoch")
    if name == "loss":
        highest = max(
            (max(row.records[0]["history"]["val_loss"][0], 2.4) for row in rows if row.records),
            default=2.4,
        )
        axes.flat[0].set_ylim(0, min(highest, 5) * 1.05)
    for axis in axes[:, 0]:
        axis.set_ylabel(label)
    for axis in axes.flat[max(len(rows) - 4, 0) : len(rows)]:
        axis.set_xlabel("epoch")
    handles = next((a.get_legend_handles_labels() for a in axes.flat if a.lines), ([], []))
    figure.legend(*handles, loc="lower right", bbox_to_anchor=(0.98, 0.1))
    return figure


def _epoch_axis(axis, history: dict[str, list[float]]) -> None:
    axis.set_xlim(0.5, history["epoch"][-1] + 0.5)
    axis.xaxis.set_major_locator(mpl.ticker.MaxNLocator(integer=True, min_n_ticks=1))


def _short(name: str) -> str:
    """Shortens a class name and keeps matplotlib from reading it as a formula."""
    name = name if len(name) <= 12 else name[:11] + "…"
    return name.replace("$", r"\$")
