"""The report's charts: SVG that stands in the page and takes its colors, light or dark.

Each can be drawn for a wide page or, ``narrow``, for a phone; `html` returns both.
"""

import io
import math
import re
from collections.abc import Callable
from html import escape

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from ladder.report.verdicts import Row
from lib.plots import BLUE, GRAY, ORANGE, epoch_axis, new_figure, styled

INK = "#1b1b1b"
_PAGE = {INK: "ink", GRAY: "soft", BLUE: "blue", ORANGE: "orange"}
"""Our colors and the page's variables that replace them."""
_WIDE, _NARROW = 6.6, 3.6
"""Widths of a chart in inches."""
_RC = dict.fromkeys(("text.color", "axes.labelcolor", "xtick.color", "ytick.color"), INK) | {
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "svg.fonttype": "none",  # text stays text: it can be searched and read aloud
    "font.family": "sans-serif",
}


def themed(draw):
    """Draws a chart in the project's style, in colors that `svg` replaces."""

    @styled
    def wrapper(*args, **kwargs):
        with mpl.rc_context(_RC):
            return draw(*args, **kwargs)

    wrapper.__doc__, wrapper.__name__ = draw.__doc__, draw.__name__
    return wrapper


def html(draw: Callable[..., Figure], *what, alt: str, **options) -> str:
    """Returns a chart for wide and for narrow pages, of which the style sheet shows one.

    Args:
        draw: one of this module's functions, called with ``what`` and ``options``.
        alt: the text alternative.
    """
    wide, narrow = (draw(*what, narrow=narrow, **options) for narrow in (False, True))
    return svg(wide, alt, kind="wide") + svg(narrow, alt, kind="narrow")


@styled
def svg(figure: Figure, alt: str, *, kind: str) -> str:
    """Returns a chart as an SVG element with a text alternative, the same text each time.

    Args:
        kind: ``"wide"`` or ``"narrow"``, the pages it is for.
    """
    buffer = io.StringIO()
    with mpl.rc_context(_RC | {"svg.hashsalt": kind + alt}):  # no id twice on a page
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    used = set(re.findall(r"#([\w.-]+)[\")]", text))
    text = re.sub(r' id="([^"]+)"', lambda m: m[0] if m[1] in used else "", text)
    for color, variable in _PAGE.items():
        text = re.sub(color, f"var(--{variable}, {color})", text, flags=re.IGNORECASE)
    text = re.sub(r"font-family: [^;]*; ", "", text)  # the page's
    text = re.sub(r' transform="rotate\(-0 [^)]*\)"', "", text)
    text = re.sub(r"(\.\d\d)\d+", r"\1", text)  # hundredths of a pixel are enough
    width = float(re.search(r'width="([\d.]+)pt"', text)[1]) / 0.75  # pixels
    text = re.sub(r'<svg ([^>]*?)height="[\d.]+pt"', r"<svg \1", text, count=1)
    text = re.sub(
        r'<svg ([^>]*?)width="[\d.]+pt"',
        rf'<svg role="img" aria-label="{escape(alt)}" \1style="width: {width:.0f}px"',
        text,
        count=1,
    )
    return f"<div class='chart {kind}'>{text}</div>"


@themed
def ladder(rows: list[Row], *, comparable: bool = True, narrow: bool = False) -> Figure:
    """Shows test accuracy of the eleven experiments: published against ours.

    Args:
        rows: of `ladder.report.verdicts.table`.
        comparable: whether the data are CIFAR-10, to which the published figures apply.
    """
    figure, (axis,) = _of_rungs(rows, narrow)
    done = [row for row in rows if row.records]
    if comparable:
        axis.plot(
            [100 * row.experiment.accuracy for row in rows],
            [row.experiment.number for row in rows],
            color=GRAY,
            marker="o",
            markerfacecolor="none",
            linestyle="none",
            label="published",
        )
    if done:
        axis.errorbar(
            [100 * row.accuracy for row in done],
            [row.experiment.number for row in done],
            xerr=[100 * (row.accuracy_sd or 0) for row in done],
            color=BLUE,
            marker="s",
            linestyle="none",
            capsize=3,
            label="ours" + " (± SD over seeds)" * any(row.accuracy_sd for row in done),
        )
    for row in rows:
        if row.records or comparable:
            seen = [100 * row.accuracy] if row.records else []
            seen += [100 * row.experiment.accuracy] if comparable else []
            axis.annotate(
                f"{seen[0]:.2f}",
                (max(seen) + 100 * (row.accuracy_sd or 0), row.experiment.number),
                xytext=(8, 0),
                textcoords="offset points",
                va="center",
                fontsize=9,
                color=BLUE if row.records else GRAY,
            )
    axis.set_xlabel("test top-1 accuracy (%)")
    figure.legend(loc="outside upper left", ncols=2)  # where it is not taken for a point
    return figure


def _of_rungs(rows: list[Row], narrow: bool):
    """Returns a figure with a line for each rung, and its axes."""
    figure, axes = new_figure(_NARROW if narrow else _WIDE, 0.34 * len(rows) + 0.9)
    names = [f"{row.experiment.title}  {row.experiment.number}" for row in rows]
    axes[0].set_yticks(range(len(rows)), names, fontsize=8 if narrow else 10)
    axes[0].margins(x=0.2 if narrow else 0.08, y=0.05)
    return figure, axes


@themed
def all_curves(rows: list[Row], name: str = "accuracy", *, narrow: bool = False) -> Figure:
    """Shows all learning curves as small multiples on common axes.

    Args:
        rows: of `ladder.report.verdicts.table`; the first record of each is drawn.
        name: ``"accuracy"`` or ``"loss"``.
    """
    factor, label = (100, "accuracy (%)") if name == "accuracy" else (1, "cross-entropy (nats)")
    columns, width, height, small = (2, _NARROW, 1.6, 8) if narrow else (4, 10, 2.3, 10)
    lines = math.ceil(len(rows) / columns)
    figure, axes = new_figure(width, height * lines, nrows=lines, ncols=columns, sharey=True)
    for axis in axes.flat[len(rows) :]:
        axis.set_axis_off()
    for axis, row in zip(axes.flat, rows, strict=False):
        title = row.experiment.heading
        axis.set_title(title, fontsize=7.5 if narrow else 8.5)
        if not row.records:
            axis.text(0.5, 0.5, "not run", transform=axis.transAxes, ha="center", color=GRAY)
            axis.set_xticks([])
            continue
        history = row.records[0]["history"]
        epoch_axis(axis, history, intervals=5 if narrow else "auto")
        for key, color, word in (
            (name, BLUE, "training"),
            (f"val_{name}", ORANGE, "validation"),
        ):
            values = factor * np.array(history[key])
            marker = "." if len(values) < 30 else ""  # many would hide the line
            axis.plot(history["epoch"], values, color=color, label=word, marker=marker)
        best = row.records[0]["training"]["best_epoch"]
        axis.axvline(best, color=GRAY, linestyle="--", linewidth=1, label="chosen epoch")
    if name == "loss":
        highest = max(
            (max(row.records[0]["history"]["val_loss"][0], 2.4) for row in rows if row.records),
            default=2.4,
        )
        axes.flat[0].set_ylim(0, min(highest, 5) * 1.05)
    for axis in axes[:, 0]:
        axis.set_ylabel(label, fontsize=small)
    for axis in axes.flat[max(len(rows) - columns, 0) : len(rows)]:
        axis.set_xlabel("epoch")
    handles = next((a.get_legend_handles_labels() for a in axes.flat if a.lines), ([], []))
    figure.legend(*handles, loc="outside upper left", ncols=3, fontsize=small)
    return figure


@themed
def gaps(rows: list[Row], *, comparable: bool = True, narrow: bool = False) -> Figure:
    """Shows training and test accuracy of each rung; the line between them is the gap.

    Args:
        rows: of `ladder.report.verdicts.table`; those without records are left out.
        comparable: whether the published training accuracy is about these data; the study gives
            none for some rungs.
    """
    done = [row for row in rows if row.records]
    figure, (axis,) = _of_rungs(done, narrow)
    places = range(len(done))
    test = [100 * row.accuracy for row in done]
    train = [100 * row.train_accuracy for row in done]
    axis.hlines(places, test, train, color=GRAY, linewidth=1.5)
    axis.plot(test, places, color=BLUE, marker="s", linestyle="none", label="test")
    axis.plot(train, places, color=ORANGE, marker="o", linestyle="none", label="training")
    told = {
        place: 100 * row.experiment.train_accuracy
        for place, row in enumerate(done)
        if comparable and row.experiment.train_accuracy
    }
    if told:
        axis.plot(
            list(told.values()),
            list(told),
            color=ORANGE,
            marker="o",
            markerfacecolor="none",
            linestyle="none",
            label="training, published",
        )
    for place, low, high in zip(places, test, train, strict=True):
        axis.annotate(
            f"{high - low:+.1f}",
            (max(low, high, told.get(place, 0)), place),
            xytext=(8, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
        )
    note = "" if narrow else ", measured without dropout or augmentation"
    axis.set_xlabel(f"top-1 accuracy (%){note}")
    # Outside, where it is not taken for a point.
    figure.legend(loc="outside upper left", ncols=2 if narrow else 3)
    return figure


@themed
def accuracy_and_work(rows: list[Row], *, narrow: bool = False) -> Figure:
    """Shows accuracy against the work of training, one numbered point per rung.

    Args:
        rows: of `ladder.report.verdicts.table`; those without records are left out.
    """
    done = [row for row in rows if row.records]
    figure, (axis,) = new_figure(_NARROW if narrow else _WIDE, 3.6)
    axis.set_xscale("log")
    for row in done:
        at = (row.operations / 1e12, 100 * row.accuracy)
        axis.plot(*at, color=BLUE, marker="s", linestyle="none")
        axis.annotate(
            str(row.experiment.number), at, xytext=(6, 4), textcoords="offset points", fontsize=9
        )
    axis.margins(0.08, 0.12)
    axis.set_xlabel("multiply–adds of training (10¹²)")
    axis.set_ylabel("test top-1 accuracy (%)")
    return figure
