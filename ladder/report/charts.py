"""The report's charts: SVG in the page, whose style sheet gives the colors of light and dark.

Each can be drawn for a wide page or, ``narrow``, for a phone; `html` returns both.
"""

import io
import math
from collections.abc import Callable
from itertools import count

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ladder.report.render import render
from ladder.report.verdicts import Row
from lib import digests
from lib.plots import BLUE, GRAY, ORANGE, epoch_axis, new_figure, styled

INK = "#1b1b1b"
"""Color of text; style.css replaces it, and those of `lib.plots`, by the page's."""
_WIDE, _NARROW = 6.6, 3.6
"""Widths of a chart in inches."""
_RC = dict.fromkeys(("text.color", "axes.labelcolor", "xtick.color", "ytick.color"), INK) | {
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "svg.fonttype": "none",  # text stays text: it can be searched
}
_HOLLOW = {"marker": "o", "markerfacecolor": "none"}
_NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))


def _themed(draw: Callable) -> Callable:
    """Draws in the project's style and in colors that the style sheet replaces."""
    return styled(mpl.rc_context(_RC)(draw))


def html(draw: Callable[..., Figure], *what, alt: str, **options) -> str:
    """Returns a chart for wide and for narrow pages, of which the style sheet shows one.

    Args:
        draw: one of this module's functions, called with ``what`` and ``options``.
        alt: the text alternative; no two charts of a page have the same.
    """
    drawn = {
        kind: _svg(draw(*what, narrow=kind == "narrow", **options), salt=kind + alt)
        for kind in ("wide", "narrow")
    }
    return render("chart.html.j2", drawn=drawn, alt=alt)


@_themed
def _svg(figure: Figure, *, salt: str) -> str:
    """Returns a chart as an SVG element, the same text each time.

    Args:
        salt: of its ids, which no other chart of the page has.
    """
    figure.draw_without_rendering()  # makes the ticks
    prefix, numbers = digests.of_json(salt)[:6], count()
    for artist in figure.findobj():
        artist.set_gid(f"c{prefix}-{next(numbers)}")
    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": salt}):
        figure.savefig(buffer, format="svg", metadata=_NO_METADATA)
    text = buffer.getvalue()
    return text[text.index("<svg") :]  # without what makes it a file


@_themed
def ladder(rows: list[Row], *, comparable: bool = True, narrow: bool = False) -> Figure:
    """Shows test accuracy of the eleven experiments: published against ours.

    Args:
        rows: of `ladder.report.verdicts.table`.
        comparable: whether the data are CIFAR-10, to which the published figures apply.
    """
    figure, axis = _by_experiment(rows, narrow)
    published = {n: row.experiment.accuracy for n, row in enumerate(rows) if comparable}
    ours = {n: row.accuracy for n, row in enumerate(rows) if row.records}
    spread = {n: rows[n].accuracy_sd or 0 for n in ours}
    _dots(axis, published, color=GRAY, label="published", **_HOLLOW)
    label = "ours" + " (± SD over seeds)" * any(spread.values())
    _dots(axis, ours, spread, color=BLUE, marker="s", capsize=3, label=label)
    for n in sorted(published | ours):
        right = max(published.get(n, 0), ours.get(n, 0)) + spread.get(n, 0)
        shown, color = (ours[n], BLUE) if n in ours else (published[n], GRAY)
        _note(axis, f"{100 * shown:.2f}", (100 * right, n), color=color)
    axis.set_xlabel("test top-1 accuracy (%)")
    _legend(figure, columns=2)
    return figure


def _by_experiment(rows: list[Row], narrow: bool) -> tuple[Figure, Axes]:
    """Returns a figure with a line for each experiment, and its axes."""
    figure, axes = new_figure(_NARROW if narrow else _WIDE, 0.34 * len(rows) + 0.9)
    names = [f"{row.experiment.title}  {row.experiment.number}" for row in rows]
    axes[0].set_yticks(range(len(rows)), names, fontsize=8 if narrow else 10)
    axes[0].margins(x=0.2 if narrow else 0.08, y=0.05)
    return figure, axes[0]


def _dots(axis: Axes, places: dict, spread: dict | None = None, **style) -> None:
    """Draws accuracies, 0 to 1, by line, with error bars if there is a spread."""
    if places:
        error = spread and [100 * spread[place] for place in places]
        found = [100 * accuracy for accuracy in places.values()]
        axis.errorbar(found, list(places), xerr=error, linestyle="none", **style)


def _note(axis: Axes, text: str, at: tuple[float, float], **style) -> None:
    """Writes a figure to the right of a point."""
    style = {"xytext": (8, 0), "va": "center", "fontsize": 9} | style
    axis.annotate(text, at, textcoords="offset points", **style)


def _legend(figure: Figure, *handles, columns: int, **style) -> None:
    """Puts the legend outside the axes, where none of its marks looks like a point."""
    figure.legend(*handles, loc="outside upper left", ncols=columns, **style)


@_themed
def all_curves(rows: list[Row], name: str = "accuracy", *, narrow: bool = False) -> Figure:
    """Shows all learning curves as small multiples on common axes.

    Args:
        rows: of `ladder.report.verdicts.table`; the first record of each is drawn.
        name: ``"accuracy"`` or ``"loss"``.
    """
    columns, width, height, small = (2, _NARROW, 1.6, 8) if narrow else (4, 10, 2.3, 10)
    lines = math.ceil(len(rows) / columns)
    figure, axes = new_figure(width, height * lines, nrows=lines, ncols=columns, sharey=True)
    for axis in axes.flat[len(rows) :]:
        axis.set_axis_off()
    for axis, row in zip(axes.flat, rows, strict=False):
        axis.set_title(row.experiment.heading, fontsize=7.5 if narrow else 8.5)
        if row.records:
            epoch_axis(axis, row.records[0].history["epoch"][-1], intervals=5 if narrow else "auto")
            _curves(axis, row, name)
        else:
            axis.text(0.5, 0.5, "not run", transform=axis.transAxes, ha="center", color=GRAY)
            axis.set_xticks([])
    if name == "loss":
        first = [row.records[0].history["val_loss"][0] for row in rows if row.records]
        axes.flat[0].set_ylim(0, min(max([2.4, *first]), 5) * 1.05)
    label = "accuracy (%)" if name == "accuracy" else "cross-entropy (nats)"
    figure.supylabel(label, fontsize=small)
    figure.supxlabel("epoch", fontsize=small)
    handles = next((a.get_legend_handles_labels() for a in axes.flat if a.lines), ([], []))
    _legend(figure, *handles, columns=3, fontsize=small)
    return figure


def _curves(axis: Axes, row: Row, name: str) -> None:
    """Draws the learning curves of an experiment's first record."""
    history = row.records[0].history
    marker = "." if len(history["epoch"]) < 30 else ""  # many would hide the line
    for key, color, word in ((name, BLUE, "training"), (f"val_{name}", ORANGE, "validation")):
        values = np.array(history[key]) * (100 if name == "accuracy" else 1)
        axis.plot(history["epoch"], values, color=color, label=word, marker=marker)
    best = row.records[0].training.best_epoch
    axis.axvline(best, color=GRAY, linestyle="--", linewidth=1, label="chosen epoch")


@_themed
def gaps(rows: list[Row], *, comparable: bool = True, narrow: bool = False) -> Figure:
    """Shows training and test accuracy of each experiment; the line between them is the gap.

    Args:
        rows: of `ladder.report.verdicts.table`; those without records are left out.
        comparable: whether the published training accuracy is about these data; the study gives
            none for some experiments.
    """
    done = [row for row in rows if row.records]
    figure, axis = _by_experiment(done, narrow)
    test = {n: row.accuracy for n, row in enumerate(done)}
    train = {n: row.train_accuracy for n, row in enumerate(done)}
    published = {n: row.experiment.train_accuracy for n, row in enumerate(done) if comparable}
    published = {n: accuracy for n, accuracy in published.items() if accuracy}
    for n in test:
        axis.hlines(n, 100 * test[n], 100 * train[n], color=GRAY, linewidth=1.5)
        right = max(test[n], train[n], published.get(n, 0))
        _note(axis, f"{100 * (train[n] - test[n]):+.1f}", (100 * right, n))
    _dots(axis, test, color=BLUE, marker="s", label="test")
    _dots(axis, train, color=ORANGE, marker="o", label="training")
    _dots(axis, published, color=ORANGE, label="training, published", **_HOLLOW)
    note = "" if narrow else ", measured without dropout or augmentation"
    axis.set_xlabel(f"top-1 accuracy (%){note}")
    _legend(figure, columns=2 if narrow else 3)
    return figure


@_themed
def accuracy_and_work(rows: list[Row], *, narrow: bool = False) -> Figure:
    """Shows accuracy against the work of training, one numbered point per experiment.

    Args:
        rows: of `ladder.report.verdicts.table`; those without records are left out.
    """
    figure, (axis,) = new_figure(_NARROW if narrow else _WIDE, 3.6)
    axis.set_xscale("log")
    for row in rows:
        if row.records:
            at = (row.operations / 1e12, 100 * row.accuracy)
            axis.plot(*at, color=BLUE, marker="s")
            _note(axis, str(row.experiment.number), at, xytext=(6, 4), va="baseline")
    axis.margins(0.08, 0.12)
    axis.set_xlabel("multiply–adds of training (10¹²)")
    axis.set_ylabel("test top-1 accuracy (%)")
    return figure
