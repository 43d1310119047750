"""Which test images an experiment gets wrong: confusion matrices and hard images, as HTML."""

import unicodedata
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.metrics import confusion_matrix

from ladder.report.render import render
from ladder.report.verdicts import Row
from lib import data, plots
from lib.errors import DataError
from lib.results import record
from lib.results.record import Record

SHOWN = 10
"""Images, or pairs of classes, listed."""


@dataclass(frozen=True)
class Predicted:
    """The stored predictions of one run: the first seed of an experiment.

    Attributes:
        row: the experiment.
        named: predicted classes of the test images, int (n,).
        labels: true classes, int (n,).
    """

    row: Row
    named: np.ndarray
    labels: np.ndarray


def predicted(rows: list[Row], out: Path) -> list[Predicted]:
    """Reads the predictions beside the records; leaves out experiments that have none."""
    found = []
    for row in rows:
        stored = record.predictions(out, row.records[0]) if row.records else None
        if stored is not None:
            found.append(Predicted(row, stored[0].argmax(axis=1), stored[1]))
    return found


def confusions(runs: list[Predicted], classes: list[str]) -> str:
    """Returns the confusion matrices of two experiments that the reader picks, side by side.

    Of more classes than a matrix has place for it is a table of the most frequent confusions.

    Args:
        runs: of `predicted`.
        classes: names by label.
    """
    labels = range(len(classes))
    counts = [confusion_matrix(run.labels, run.named, labels=labels) for run in runs]
    if runs and len(classes) > plots.MOST_NAMES:
        pairs = _frequent(np.sum(counts, axis=0), classes)
        return render("confusions.html.j2", content=None, pairs=pairs, runs=runs)
    experiments = [
        {"name": run.row.experiment.heading, "counts": each.tolist()}
        for run, each in zip(runs, counts, strict=True)
    ]
    short = plots.short_names(classes)
    content = {"classes": list(classes), "short": short, "experiments": experiments}
    return render("confusions.html.j2", content=content)


def _frequent(counts: np.ndarray, classes: list[str]) -> list[dict]:
    """Returns rows of the `SHOWN` largest shares of a class that are taken for another."""
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    np.fill_diagonal(shares, 0)
    largest = np.argsort(-shares, axis=None, kind="stable")[:SHOWN]
    return [
        {
            "class": classes[true],
            "taken for": classes[other],
            "share": f"{shares[true, other]:.1%}",
            "images": f"{counts[true, other]:,} of {counts[true].sum():,}",
        }
        for true, other in zip(*np.unravel_index(largest, shares.shape), strict=True)
        if shares[true, other]
    ]


def hard_images(runs: list[Predicted]) -> dict[str, np.ndarray]:
    """Returns the test images (their numbers) that set experiments apart, by what is special.

    Nothing where the runs were tested on different images.
    """
    if len({tuple(run.labels) for run in runs}) > 1 or len(runs) < 2:
        return {}
    wrong = np.array([run.named != run.labels for run in runs])
    last = runs[-1].row.experiment.heading
    return {
        f"wrong in all {len(runs)} experiments": np.flatnonzero(wrong.all(axis=0)),
        f"right only in {last}": np.flatnonzero(wrong[:-1].all(axis=0) & ~wrong[-1]),
    }


def hard_tables(runs: list[Predicted], classes: list[str]) -> str:
    """Returns the first `SHOWN` of each of `hard_images`, with true and predicted classes.

    Args:
        runs: of `predicted`.
        classes: names by label.
    """
    found = hard_images(runs)
    tables = {
        what: [_confused(runs, number, classes) for number in numbers[:SHOWN]]
        for what, numbers in found.items()
    }
    return render("hard_images.html.j2", tables=tables, found=found, runs=runs, shown=SHOWN)


def _confused(runs: list[Predicted], number: int, classes: list[str]) -> dict:
    """Returns a row for `hard_tables`."""
    named = Counter(_isolated(classes[run.named[number]]) for run in runs)
    return {
        "test image": str(number),
        "class": classes[runs[0].labels[number]],
        "taken for": ", ".join(f"{name} ({count})" for name, count in named.most_common()),
    }


def _isolated(name: str) -> str:
    """Keeps a name that is written from right to left from reordering the text around it."""
    reorders = any(unicodedata.bidirectional(character) in ("R", "AL") for character in name)
    return f"\u2068{name}\u2069" if reorders else name


def show_hard_images(runs: list[Predicted], dataset: str, records: list[Record]) -> None:
    """Shows the pictures of `hard_images`, if the data set is available.

    Args:
        runs: of `predicted`.
        dataset: name or path of the data set, as for `lib.data.load`.
        records: those whose images they are.
    """
    found = hard_images(runs)
    if not any(map(len, found.values())):
        return
    wanted, images = records[0].dataset, None
    name = wanted.name if wanted.name in ("cifar10", "digits") else dataset
    with suppress(DataError):
        if name != "cifar10" or data.cifar10_is_here():
            images = data.load(name, test_size=wanted.test)
    if images is None or not np.array_equal(images.y_test, runs[0].labels):
        print(f"No pictures: these images ({wanted.variant}) are not available here.")
        return
    names = plots.short_names(images.classes)
    for what, numbers in found.items():
        shown = numbers[:SHOWN]
        titles = [f"{number}\n{names[images.y_test[number]]}" for number in shown]
        if titles:
            figure = plots.pictures([images.x_test[number] for number in shown], titles)
            plots.show(figure, f"Test images {what}, with number and class.")
