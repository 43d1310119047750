"""Schedules tried for `budget`, each on all training images and judged by validation images.

``python -m benchmarks recipes SLUG NAME=VALUE ...`` trains an experiment with ``budget``'s values
and these changes, and adds a line to ``results/recipes.json``. ``python -m benchmarks recipes``
prints what was tried, the table of docs/recipes.md. A training that was interrupted resumes. The
test images are thrown away before the training, so nothing can measure them.
"""

import json
import statistics
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

from benchmarks._measure import (
    PRECISIONS,
    add_line,
    changes_of,
    forget,
    line,
    prepared,
    read_lines,
    recipe,
)
from lib import training
from lib.results import parameters
from lib.study import experiment

FILE = Path(__file__).parent / "results" / "recipes.json"
PAGE = """# Recipes that were tried

<!-- Written by `python -m benchmarks page` from benchmarks/results/recipes.json. -->

A trial trains one experiment on CIFAR-10 with the schedule of `budget` and some changes. Validation
images judge it after the last epoch: 10,000 of the 50,000 training images, if `VAL_SIZE` is not
changed. Trials never use the test images. *changes* are relative to the present `budget`. *epochs*
includes the epochs of the head. One T is 10¹². *validation* is the accuracy on validation images,
and *published* is the published accuracy on test images.

```bash
python -m benchmarks recipes 03_double_conv EPOCHS=8 LEARNING_RATE=2e-3
```

| experiment | changes | seed | precision | epochs | T multiply–adds | validation | published |
| --- | --- | ---: | --- | ---: | ---: | ---: | ---: |
{rows}
"""
IN_TWO_PRECISIONS = """
## Accuracy in two precisions

Means and standard deviations of the validation accuracy, over the seeds that were trained in both.

| experiment | epochs | seeds | float32 | bfloat16 |
| --- | ---: | ---: | ---: | ---: |
{precisions}
"""


def main(arguments: list[str]) -> None:
    """Makes one trial, if there are arguments, and prints the table of all.

    Args:
        arguments: the experiment's name, then ``NAME=VALUE`` for each change.

    Raises:
        ParameterError: if the experiment or a parameter is unknown or has a wrong value.
    """
    if arguments:
        add_line(FILE, trial(arguments[0], changes_of(arguments[1:])))
    print(page().partition("```\n\n")[2])


def trial(slug: str, changes: parameters.Values) -> dict:
    """Trains an experiment as ``budget`` does, with changes, and returns what came of it."""
    values = parameters.check(slug, parameters.of_profile("budget", slug) | changes)
    dtype, images, model = prepared(slug, values)
    images = replace(images, x_test=None, y_test=None)
    fit = training.fit(model, images, recipe(values))
    forget(fit)
    return line(
        slug,
        values,
        dtype,
        epochs=len(fit.history["epoch"]),
        operations=fit.operations,
        val_accuracy=[round(value, 4) for value in fit.history["val_accuracy"]],
        val_loss=round(fit.history["val_loss"][-1], 4),
    )


def page() -> str:
    """Returns docs/recipes.md."""
    text = PAGE.format(rows="\n".join(map(_line, read_lines(FILE))) or "| none yet |")
    compared = "\n".join(_precisions())
    return text + IN_TWO_PRECISIONS.format(precisions=compared) if compared else text


def _precisions() -> list[str]:
    """Returns a line for each schedule that has trials of one seed in both precisions."""
    found: dict[tuple, dict] = defaultdict(lambda: {dtype: {} for dtype in PRECISIONS})
    for row in read_lines(FILE):
        values = {name: value for name, value in row["values"].items() if name != "PRECISION"}
        trials = found[row["experiment"], row["epochs"], json.dumps(values)]
        trials.setdefault(row["precision"], {})[row["seed"]] = 100 * row["val_accuracy"][-1]
    lines = []
    for (slug, epochs, _), trials in found.items():
        if seeds := set.intersection(*(set(trials[dtype]) for dtype in PRECISIONS)):
            cells = [slug, epochs, len(seeds)]
            for dtype in PRECISIONS:
                some = [trials[dtype][seed] for seed in seeds]
                sd = f" ± {statistics.stdev(some):.2f}" if len(some) > 1 else ""
                cells.append(f"{statistics.fmean(some):.2f}{sd} %")
            lines.append(f"| {' | '.join(map(str, cells))} |")
    return lines


def _line(row: dict) -> str:
    """Returns a trial's line of the table."""
    slug = row["experiment"]
    budget = parameters.of_profile("budget", slug)
    changes = (
        f"{name} = {value:g}" if isinstance(value, float) else f"{name} = {value}"
        for name, value in row["values"].items()
        if value != budget.get(name) and name != "PRECISION"  # which has a column
    )
    cells = [
        slug,
        ", ".join(changes) or "none",
        row["seed"],
        row["precision"],
        row["epochs"],
        f"{row['operations'] / 1e12:.4g}",
        f"{100 * row['val_accuracy'][-1]:.2f} %",
        f"{100 * experiment(slug).accuracy:.2f} %",
    ]
    return f"| {' | '.join(map(str, cells))} |"
