"""Which test images an experiment gets wrong: confusion matrices and hard images, as HTML."""

import base64
import itertools
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
from lib.opencv import cv2
from lib.results import record

SHOWN = 10
"""Images, or pairs of classes, listed."""
PICTURES = 3
"""Pictures for each pair of classes."""


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
    if not runs or len(classes) > plots.MOST_NAMES:
        pairs = _frequent(np.sum(counts, axis=0), classes) if runs else []
        return render("confusions.html.j2", pairs=pairs, runs=runs)
    experiments = [
        {"name": run.row.experiment.heading, "named": _digits(run.named)}
        | ({} if np.array_equal(run.labels, runs[0].labels) else {"labels": _digits(run.labels)})
        for run in runs
    ]
    content = {
        "classes": list(classes),
        "short": plots.short_names(classes),
        "labels": _digits(runs[0].labels),
        "experiments": experiments,
    }
    shares = counts[-1] / np.maximum(counts[-1].sum(axis=1, keepdims=True), 1)
    return render(
        "confusions.html.j2",
        pairs=[],
        runs=runs,
        content=content,
        classes=classes,
        shares=shares,
        worst=_frequent(counts[-1], classes)[:1],
    )


def _digits(labels: np.ndarray) -> str:
    """Writes labels below 36 with one digit each, as report.js reads them."""
    return "".join(map("0123456789abcdefghijklmnopqrstuvwxyz".__getitem__, labels))


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


def hard_tables(
    runs: list[Predicted], classes: list[str], images: data.Dataset | None = None
) -> str:
    """Returns the first `SHOWN` of each of `hard_images`: picture, true and predicted classes.

    Args:
        runs: of `predicted`.
        classes: names by label.
        images: of `images_of`; without them there are no pictures.
    """
    found = hard_images(runs)
    tables = {
        what: [_confused(runs, number, classes, images) for number in numbers[:SHOWN]]
        for what, numbers in found.items()
    }
    return render(
        "hard_images.html.j2", tables=tables, found=found, runs=runs, images=images, shown=SHOWN
    )


def _confused(
    runs: list[Predicted], number: int, classes: list[str], images: data.Dataset | None
) -> dict:
    """Returns a row for `hard_tables`."""
    label = runs[0].labels[number]
    wrong = [run.named[number] for run in runs if run.named[number] != label]
    named = Counter(_isolated(classes[name]) for name in wrong)
    return {
        "picture": images and _png(_fitted(images.x_test[number], 64)),
        "test image": str(number),
        "class": classes[label],
        "taken for": ", ".join(f"{name} ({count})" for name, count in named.most_common()),
    }


def _isolated(name: str) -> str:
    """Keeps a name that is written from right to left from reordering the text around it."""
    reorders = any(unicodedata.bidirectional(character) in ("R", "AL") for character in name)
    return f"\u2068{name}\u2069" if reorders else name


def pictures(runs: list[Predicted], images: data.Dataset | None) -> str:
    """Returns, for report.js, pictures of the images that most experiments confuse, as HTML.

    They are of each pair of classes the `PICTURES` that most experiments confuse, on one sheet.

    Args:
        runs: of `predicted`.
        images: of `images_of`.

    Returns:
        ``""`` if the images are not available, or have too many classes for a matrix.
    """
    if images is None or len(images.classes) > plots.MOST_NAMES:
        return ""
    runs = [run for run in runs if np.array_equal(run.labels, runs[0].labels)]
    named, labels, numbers = np.array([run.named for run in runs]), runs[0].labels, set()
    for truth, other in itertools.permutations(range(len(images.classes)), 2):
        votes = (named == other).sum(axis=0) * (labels == truth)
        chosen = np.argsort(-votes, kind="stable")[:PICTURES]
        numbers |= {int(number) for number in chosen if votes[number]}
    for found in hard_images(runs).values():
        numbers |= set(map(int, found[:SHOWN]))
    numbers, columns = sorted(numbers), 24
    tiles = [_fitted(images.x_test[n], 32) for n in numbers]
    tiles += [np.full((32, 32, 3), 255, np.uint8)] * (-len(tiles) % columns)
    sheet = np.vstack([np.hstack(tiles[n : n + columns]) for n in range(0, len(tiles), columns)])
    content = {"numbers": numbers, "columns": columns, "sheet": _png(sheet)}
    return render("pictures.html.j2", content=content)


def _fitted(image: np.ndarray, most: int) -> np.ndarray:
    """Returns a square image that is at most so many pixels high."""
    size = min(most, len(image))
    return cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)


def _png(image: np.ndarray) -> str:
    """Returns an RGB image as the address of a PNG."""
    png = cv2.imencode(".png", image[..., ::-1])[1].tobytes()
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def images_of(runs: list[Predicted], dataset: str) -> data.Dataset | None:
    """Returns the data set of the runs, if it is available.

    Args:
        runs: of `predicted`.
        dataset: name or path of the data set, as for `lib.data.load`.
    """
    if not runs:
        return None
    wanted = runs[0].row.records[0].dataset
    name = wanted.name if wanted.name in ("cifar10", "digits") else dataset
    with suppress(DataError):
        if name != "cifar10" or data.cifar10_is_here():
            images = data.load(name, test_size=wanted.test)
            if np.array_equal(images.y_test, runs[0].labels):
                return images
    return None
