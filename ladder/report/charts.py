"""The report's charts: SVG in the page, whose style sheet gives the colors of light and dark.

Each can be drawn for a wide page or, ``narrow``, for a phone; `html` returns both.
"""

import io
import math
import textwrap
from collections.abc import Callable
from itertools import count

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ladder.report import verdicts
from ladder.report.claims import Judgement
from ladder.report.render import render, signed
from ladder.report.verdicts import Other, Row
from lib import digests
from lib.plots import BLUE, GRAY, GREEN, ORANGE, epoch_axis, new_figure, styled
from lib.study import SLUGS

INK = "#1b1b1b"
"""Color of text; style.css replaces it, and those of `lib.plots`, by the page's."""
_WIDE, _NARROW = 6.6, 3.6
"""Widths of a chart in inches."""
_RC = dict.fromkeys(("text.color", "axes.labelcolor", "xtick.color", "ytick.color"), INK) | {
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "svg.fonttype": "none",  # text stays text: it can be searched
}
_COLORS = {"reproduced": BLUE, "not reproduced": ORANGE, "better": GREEN, "undetermined": GRAY}
_COLORS |= {"holds": GREEN, "does not hold": ORANGE}
_HOLLOW = {"marker": "o", "markerfacecolor": "none"}
_NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))


def _themed(draw: Callable) -> Callable:
    """Draws in the project's style and in colors that the style sheet replaces."""
    return styled(mpl.rc_context(_RC)(draw))


def html(draw: Callable[..., Figure], *what, alt: str, fallback: str = "", **options) -> str:
    """Returns a chart for wide and for narrow pages, of which the style sheet shows one.

    Args:
        draw: one of this module's functions, called with ``what`` and ``options``.
        alt: the text alternative; no two charts of a page have the same.
        fallback: what report.js puts in its place. Such a chart is only drawn wide.
    """
    drawn = {
        kind: _svg(draw(*what, narrow=kind == "narrow", **options), salt=kind + alt)
        for kind in (("wide",) if fallback else ("wide", "narrow"))
    }
    return render("chart.html.j2", drawn=drawn, alt=alt, fallback=fallback, name=draw.__name__)


@_themed
def _svg(figure: Figure, *, salt: str) -> str:
    """Returns a chart as an SVG element, the same text each time.

    Args:
        salt: of its ids, which no other chart of the page has.
    """
    figure.draw_without_rendering()  # makes the ticks
    prefix, numbers = digests.of_json(salt)[:6], count()
    for artist in figure.findobj():
        artist.set_gid(f"c{prefix}-{artist.get_gid() or ''}-{next(numbers)}")
    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": salt}):
        figure.savefig(buffer, format="svg", metadata=_NO_METADATA)
    text = buffer.getvalue()
    return text[text.index("<svg") :]  # without what makes it a file


@_themed
def ladder(rows: list[Row], *, comparable: bool = True, narrow: bool = False) -> Figure:
    """Shows test accuracy of the eleven experiments, and what each adds to the one before.

    Args:
        rows: of `ladder.report.verdicts.table`.
        comparable: whether the data are CIFAR-10, to which the published figures apply.
    """
    figure, axis = _by_experiment(rows, narrow)
    published = {n: row.experiment.accuracy for n, row in enumerate(rows) if comparable}
    ours = {n: row.accuracy for n, row in enumerate(rows) if row.records}
    spread = {n: rows[n].accuracy_sd or 0 for n in ours}
    _dots(axis, rows, published, color=GRAY, label="published", **_HOLLOW)
    label = "ours" + " (± SD over seeds)" * any(spread.values())
    _dots(axis, rows, ours, spread, color=BLUE, marker="s", capsize=3, label=label)
    for n in sorted(published | ours):
        right = max(published.get(n, 0), ours.get(n, 0)) + spread.get(n, 0)
        shown, color = (ours, BLUE) if n in ours else (published, GRAY)
        before = SLUGS.index(rows[n].experiment.before) if n else None
        step = ""
        if before in shown and not narrow:
            against = f" vs {before}" * (before != n - 1)
            step = f"  ({signed(shown[n] - shown[before], 1)}{against})"
        _note(axis, f"{100 * shown[n]:.2f}{step}", (100 * right, n), rows[n], color=color)
    _leave_room(axis, 0.3 if narrow else 0.15)
    axis.set_xticks([tick for tick in axis.get_xticks() if tick <= 100], minor=False)
    note = "" if narrow else ", and change from the experiment before"
    axis.set_xlabel(f"test top-1 accuracy (%){note}")
    _legend(figure, columns=2)
    return figure


@_themed
def differences(rows: list[Row], *, narrow: bool = False) -> Figure:
    """Shows our accuracy minus the published one, with the interval that decides the verdict.

    Args:
        rows: of `ladder.report.verdicts.table`; those without a verdict are left out.
    """
    found = verdicts.tally(rows).judged
    figure, axis = _by_experiment([row for row, _ in found], narrow)
    points = [
        (row, row.difference, (judged.high - judged.low) / 2, judged.word, judged.indicative)
        for row, judged in found
    ]
    _with_intervals(axis, points, narrow)
    hollow = any(judged.indicative for _, judged in found)
    label = ["ours minus published (points)", "95 % interval", *["hollow: 1 or 2 seeds"] * hollow]
    axis.set_xlabel(("\n" if narrow else ", ").join(label))
    return figure


@_themed
def claims(judged: list[Judgement], *, narrow: bool = False) -> Figure:
    """Shows the differences that decide the study's claims, with their 95 % intervals.

    Args:
        judged: of `ladder.report.claims.judge`; those without a difference are left out.
    """
    shown = [j for j in judged if j.difference is not None]
    names = [f"{j.claim.number}:  {j.compared[0]} − {j.compared[1]}" for j in shown]
    figure, axis = _lines(names, narrow)
    points = [(None, j.difference, j.half, j.word, False) for j in shown]
    _with_intervals(axis, points, narrow)
    axis.invert_yaxis()
    axis.set_ylabel("claim: experiments")
    axis.set_xlabel("difference of accuracies (points)")
    return figure


def _with_intervals(axis: Axes, points: list[tuple], narrow: bool) -> None:
    """Draws a difference with its interval on each line, and writes both at its right.

    Args:
        axis: of `_lines`.
        points: the experiment or None, difference and half interval (0 to 1), word, whether hollow.
        narrow: whether there is no place for the word.
    """
    axis.axvline(0, color=GRAY, linewidth=1)
    for n, (row, difference, half, word, hollow) in enumerate(points):
        style = dict(_HOLLOW) if hollow else {"marker": "o"}
        style |= {"capsize": 3, "color": _COLORS[word]}
        _tag(axis.errorbar(100 * difference, n, xerr=100 * half, **style).get_children(), row)
        text = signed(difference) + f"  {word}" * (not narrow)
        _note(axis, text, (100 * (difference + half), n), row, color=_COLORS[word])
    axis.margins(y=0.06)
    _leave_room(axis, 0.25 if narrow else 0.3)


def _leave_room(axis: Axes, share: float) -> None:
    """Widens axes at the right, for notes, by a share of their width."""
    low, high = axis.get_xlim()
    axis.set_xlim(low, high + share * (high - low))


def _by_experiment(rows: list[Row], narrow: bool) -> tuple[Figure, Axes]:
    """Returns a figure with a line for each experiment, and its axes."""
    names = [
        row.experiment.heading if narrow else f"{row.experiment.title}  {row.experiment.number}"
        for row in rows
    ]
    figure, axis = _lines(names, narrow)
    for label, row in zip(axis.get_yticklabels(), rows, strict=True):
        _tag([label], row)
    return figure, axis


def _lines(names: list[str], narrow: bool) -> tuple[Figure, Axes]:
    """Returns a figure with a line for each name, and its axes."""
    figure, axes = new_figure(_NARROW if narrow else _WIDE, 0.34 * len(names) + 0.9)
    names = [textwrap.fill(name, 19, break_on_hyphens=False) for name in names] if narrow else names
    axes[0].set_yticks(range(len(names)), names, fontsize=8 if narrow else 10)
    axes[0].margins(x=0.2 if narrow else 0.08, y=0.05)
    axes[0].xaxis.label.set_size(8 if narrow else 10)
    return figure, axes[0]


def _tag(artists: list[Artist], row: Row | None) -> None:
    """Marks what is about an experiment; the page highlights it with the experiment's row."""
    for artist in artists if row else ():
        artist.set_gid(f"e{row.experiment.number}")


def _dots(axis: Axes, rows: list[Row], places: dict, spread: dict | None = None, **style) -> None:
    """Draws accuracies, 0 to 1, by line, with error bars if there is a spread."""
    for place, accuracy in places.items():
        error = spread and 100 * spread[place]
        drawn = axis.errorbar(100 * accuracy, place, xerr=error, linestyle="none", **style)
        _tag(drawn.get_children(), rows[place])
        style.pop("label", None)  # once in the legend


def _note(axis: Axes, text: str, at: tuple[float, float], row: Row | None = None, **style) -> None:
    """Writes a figure to the right of a point."""
    style = {"xytext": (8, 0), "va": "center", "fontsize": 9} | style
    _tag([axis.annotate(text, at, textcoords="offset points", **style)], row)


def _legend(figure: Figure, *what, columns: int, **style) -> None:
    """Puts the legend outside the axes, where none of its marks looks like a point."""
    figure.legend(*what, loc="outside upper left", ncols=columns, **style)


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
        _tag([axis.set_title(row.experiment.heading, fontsize=7.5 if narrow else 8.5)], row)
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
        gap = axis.hlines(n, 100 * test[n], 100 * train[n], color=GRAY, linewidth=1.5)
        _tag([gap], done[n])
        right = max(test[n], train[n], published.get(n, 0))
        _note(axis, signed(train[n] - test[n], 1), (100 * right, n), done[n])
    _dots(axis, done, test, color=BLUE, marker="s", label="test")
    _dots(axis, done, train, color=ORANGE, marker="o", label="training")
    _dots(axis, done, published, color=ORANGE, label="training, published", **_HOLLOW)
    note = "" if narrow else ", measured without dropout or augmentation"
    axis.set_xlabel(f"top-1 accuracy (%){note}")
    _legend(figure, columns=2 if narrow else 3)
    return figure


@_themed
def accuracy_and_work(rows: list[Row], *, narrow: bool = False) -> Figure:
    """Shows accuracy against the work of training; a line joins the experiments that pay off.

    Args:
        rows: of `ladder.report.verdicts.table`; those without records are left out.
    """
    figure, (axis,) = new_figure(_NARROW if narrow else _WIDE, 3.6)
    axis.set_xscale("log")
    found = verdicts.payoff(rows)
    efficient = found.rows if found else ()
    frontier = [(row.operations / 1e12, 100 * row.accuracy) for row in efficient]
    axis.plot(*zip(*frontier, strict=True), color=GRAY, linewidth=1, drawstyle="steps-post")
    for row in rows:
        if row.records:
            at = (row.operations / 1e12, 100 * row.accuracy)
            color = BLUE if row in efficient else GRAY
            _tag(axis.plot(*at, color=color, marker="s"), row)
            number = str(row.experiment.number)
            side = {"xytext": (-5, 8), "ha": "right"} if row in efficient else {"xytext": (5, -8)}
            _note(axis, number, at, row, color=color, **side)
    axis.margins(0.08, 0.12)
    axis.set_xlabel("multiply–adds of training (10¹²)")
    axis.set_ylabel("test top-1 accuracy (%)")
    return figure


@_themed
def schedules(tried: list[tuple[Row, list[Other]]], *, narrow: bool = False) -> Figure:
    """Shows the test accuracies of all runs of the experiments that were trained in several ways.

    Args:
        tried: rows, each with `ladder.report.verdicts.others` of it.
    """
    tried = [(row, others) for row, others in tried if row.records and others]
    rows = [row for row, _ in tried]
    figure, axis = _by_experiment(rows, narrow)
    for n, (row, others) in enumerate(tried):
        places, label = [100 * other.row.accuracy for other in others], "" if n else "another"
        _tag(axis.plot(places, [n] * len(places), "|", color=GRAY, label=label), row)
    ours = {n: row.accuracy for n, row in enumerate(rows)}
    published = {n: row.experiment.accuracy for n, row in enumerate(rows)}
    _dots(axis, rows, ours, color=BLUE, marker="s", label="this schedule")
    _dots(axis, rows, published, color=GRAY, label="published", **_HOLLOW)
    axis.set_xlabel("test top-1 accuracy (%)")
    _legend(figure, columns=2 if narrow else 3)
    return figure
