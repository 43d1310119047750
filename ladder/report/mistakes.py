"""Which test images a rung gets wrong: confusion matrices and hard images, as HTML."""

import json
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ladder.report.verdicts import Row
from lib import results, tables

MOST_CLASSES = 25
"""Classes of a confusion matrix that can still be read."""
SHOWN = 10
"""Images listed."""


@dataclass(frozen=True)
class Predicted:
    """The stored predictions of one run: the first seed of a rung.

    Attributes:
        row: the rung.
        named: predicted classes of the test images, int (n,).
        labels: true classes, int (n,).
    """

    row: Row
    named: np.ndarray
    labels: np.ndarray

    def confusion(self, classes: int) -> np.ndarray:
        """Returns counts, int (true class, predicted class)."""
        counts = np.zeros((classes, classes), int)
        np.add.at(counts, (self.labels, self.named), 1)
        return counts


def predicted(rows: list[Row], out: Path) -> list[Predicted]:
    """Reads the predictions beside the records; leaves out rungs that have none."""
    found = []
    for row in rows:
        stored = results.predictions(out, row.records[0]) if row.records else None
        if stored is not None:
            found.append(Predicted(row, stored[0].argmax(axis=1), stored[1]))
    return found


def confusions(runs: list[Predicted], classes: list[str]) -> str:
    """Returns the confusion matrices of two rungs that the reader picks, side by side.

    Args:
        runs: of `predicted`.
        classes: names by label.
    """
    if not runs:
        return "<p>No predictions are stored.</p>"
    if len(classes) > MOST_CLASSES:
        return f"<p>A matrix of {len(classes)} classes cannot be read; see each page.</p>"
    content = {
        "classes": classes,
        "rungs": [
            {
                "name": run.row.experiment.heading,
                "counts": run.confusion(len(classes)).tolist(),
            }
            for run in runs
        ],
    }
    text = json.dumps(content, ensure_ascii=False).replace("<", "\\u003c")
    return (
        "<div id='confusions'><p>Rows are true classes, columns predicted ones, figures percent of "
        "the true class: the stronger a cell's color, the larger its share.</p>"
        f"<script type='application/json'>{text}</script>"
        "<noscript>Without JavaScript: each page has its own matrix.</noscript></div>"
    )


def hard_images(runs: list[Predicted]) -> dict[str, np.ndarray]:
    """Returns the test images (their numbers) that tell rungs apart, by what is special.

    Nothing where the runs were tested on different images.
    """
    if len({tuple(run.labels) for run in runs}) > 1 or len(runs) < 2:
        return {}
    wrong = np.array([run.named != run.labels for run in runs])
    last = runs[-1].row.experiment.heading
    return {
        f"wrong in all {len(runs)} rungs": np.flatnonzero(wrong.all(axis=0)),
        f"right only in {last}": np.flatnonzero(wrong[:-1].all(axis=0) & ~wrong[-1]),
    }


def hard_table(runs: list[Predicted], numbers: np.ndarray, classes: list[str]) -> str:
    """Returns images by number, with their class and what the rungs took them for.

    Args:
        runs: of `predicted`.
        numbers: of `hard_images`; the first `SHOWN` are listed.
        classes: names by label.
    """
    content = []
    for number in numbers[:SHOWN]:
        named = Counter(classes[run.named[number]] for run in runs)
        content.append(
            {
                "test image": int(number),
                "class": classes[runs[0].labels[number]],
                "taken for": ", ".join(f"{name} ({n})" for name, n in named.most_common()),
            }
        )
    more = "" if len(numbers) <= SHOWN else f"<p class='facts'>The first {SHOWN} of them.</p>"
    return tables.rows(content) + more


def show_hard_images(runs: list[Predicted], dataset: str, records: list[dict]) -> None:
    """Shows the pictures of `hard_images`, if the data set is at hand.

    Args:
        runs: of `predicted`.
        dataset: name or path of the data set, as for `lib.data.load`.
        records: those whose images they are.
    """
    from lib import data, plots

    found = hard_images(runs)
    if not any(map(len, found.values())):
        return
    wanted = records[0]["dataset"]
    name = wanted["name"] if wanted["name"] in ("cifar10", "digits") else dataset
    images = None
    if name != "cifar10" or data.cifar10_is_here():
        with suppress(data.DataError):
            images = data.load(name, test_size=wanted["test"])
    if images is None or not np.array_equal(images.y_test, runs[0].labels):
        print(f"No pictures: these images ({wanted['variant']}) are not at hand.")
        return
    for what, numbers in found.items():
        numbers = numbers[:SHOWN]
        titles = [f"{number}\n{images.classes[images.y_test[number]]}" for number in numbers]
        if titles:
            figure = plots.pictures([images.x_test[number] for number in numbers], titles)
            plots.show(figure, f"Test images {what}, with number and class.")
