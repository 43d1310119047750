"""The published protocol without early stopping: which stopping rule gives the published figures.

``python -m benchmarks early_stopping SLUG NAME=VALUE ...`` trains an experiment with ``study``'s
values and these changes, at a constant rate for EPOCHS epochs, measures all images after each epoch
in inference mode, and adds a line to ``results/early_stopping.json``. Any stopping rule can then be
tried on the curves. ``python -m benchmarks early_stopping`` prints the tables of
docs/early-stopping.md. Nothing here chooses a schedule.
"""

import math
import statistics
from collections import defaultdict
from pathlib import Path

from benchmarks import _covariance
from benchmarks._measure import add_line, changes_of, line, prepared, read_lines, recipe
from lib import data, metrics, training
from lib.engine import keras
from lib.results import parameters
from lib.study import experiment
from lib.training import feeds

FILE = Path(__file__).parent / "results" / "early_stopping.json"
BOTH, ACCURACY = ("val_loss", "val_accuracy"), ("val_accuracy",)
RULES = (  # text, factor on the published patience, monitors
    ("published patience, both monitors (`study`)", 1, BOTH),
    ("published patience, `val_accuracy` only", 1, ACCURACY),
    ("twice the patience, both monitors", 2, BOTH),
    ("twice the patience, `val_accuracy` only", 2, ACCURACY),
)
PAGE = """# Early stopping in the published protocol

<!-- Written by `python -m benchmarks page` from the records of `study` and from
benchmarks/results/early_stopping.json. -->

Early stopping ends a training when a monitored value has not improved for a number of epochs, the
patience. The study gives the test figures of its runs and most training figures, but not the number
of epochs. This page asks how far early stopping explains the differences between the published
figures and ours.

{at_published}
## Trainings without early stopping

These trainings use the published protocol without early stopping. After each epoch, accuracy and
cross-entropy of all images are computed. Any stopping rule can then be applied to these curves, and
the result compared with the published figures.

```bash
python -m benchmarks early_stopping 00_base_cnn SEED=0 EPOCHS=60
```

Each row shows the epoch whose weights a rule restores, and the figures of these weights: means, and
with several seeds ± standard deviations. A dash means that the rule did not stop within the epochs.

{tables}
"""
FIGURES = ("train accuracy", "train loss", "test accuracy", "test loss")


def main(arguments: list[str]) -> None:
    """Makes one training, if there are arguments, and prints the tables of all.

    Args:
        arguments: the experiment's name, then ``NAME=VALUE`` for each change.

    Raises:
        ParameterError: if the experiment or a parameter is unknown or has a wrong value.
    """
    if arguments:
        add_line(FILE, train(arguments[0], changes_of(arguments[1:])))
    print(tables())


def train(slug: str, changes: parameters.Values) -> dict:
    """Trains an experiment without early stopping and returns its curves."""
    values = parameters.check(slug, parameters.of_profile("study", slug) | changes)
    dtype, images, model = prepared(slug, values)
    plan, curves = recipe(values), Curves(images)
    training.compile(model, learning_rate=plan.learning_rate, clipnorm=plan.clipnorm)
    model.fit(
        feeds.of(model, images, plan).train(0),
        epochs=plan.epochs,
        steps_per_epoch=math.ceil(len(images.y_train) / plan.batch_size),
        callbacks=[curves],
        shuffle=False,  # the stream is
        verbose=0,
    )
    return line(slug, values, dtype, curves=curves.found)


class Curves(keras.callbacks.Callback):
    """Measures a model on all parts of a data set after each epoch.

    Attributes:
        found: values per epoch of ``train accuracy``, ``train loss``, ``val accuracy`` and so on;
            accuracies 0 to 1, losses in nats.
    """

    def __init__(self, images: data.Dataset):
        super().__init__()
        self.images, self.found = images, defaultdict(list)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        for part in data.PARTS:
            x, y = getattr(self.images, f"x_{part}"), getattr(self.images, f"y_{part}")
            score = metrics.score(training.predict(self.model, x), y)
            self.found[f"{part} accuracy"].append(score.accuracy)
            self.found[f"{part} loss"].append(round(score.loss, 4))
        said = ", ".join(f"{name} {values[-1]:.4f}" for name, values in self.found.items())
        print(f"epoch {epoch + 1}: {said}", flush=True)


def stop(curves: dict[str, list[float]], patience: int, monitors: tuple[str, ...]) -> int | None:
    """Returns the index of the epoch whose weights early stopping restores (docs/study.md D7).

    Args:
        curves: of a training that no rule has stopped.
        patience: epochs without improvement.
        monitors: ``val_loss``, ``val_accuracy`` or both, in the order of the callbacks.

    Returns:
        None if the rule does not stop the training within the curves.
    """
    signed = {
        monitor: [-value for value in curves["val loss"]]
        if monitor == "val_loss"
        else curves["val accuracy"]
        for monitor in monitors
    }
    for now in range(len(curves["val loss"])):
        until = {monitor: values[: now + 1] for monitor, values in signed.items()}
        best = [values.index(max(values)) for values in until.values()]
        ended = [epoch for epoch in best if now - epoch >= patience]
        if ended:
            return ended[-1]
    return None


def page() -> str:
    """Returns docs/early-stopping.md."""
    return PAGE.format(at_published=_covariance.section(), tables=tables())


def tables() -> str:
    """Returns a table for each experiment: published, each rule, and the published training loss.

    Figures are means ± standard deviations over the seeds.
    """
    groups = defaultdict(list)
    for run in read_lines(FILE):
        values = run["values"]
        groups[run["experiment"], values["TRAIN_SIZE"], run["precision"]].append(run)
    return "\n\n".join(_table(*key, runs) for key, runs in sorted(groups.items()))


def _table(slug: str, images: int, dtype: str, runs: list[dict]) -> str:
    e, curves = experiment(slug), [run["curves"] for run in runs]
    published = (e.train_accuracy, e.train_loss, e.accuracy, e.loss)
    patience = parameters.of_profile("study", slug)["PATIENCE"]
    shown = [
        _cell([value] if value is not None else [], name)
        for value, name in zip(published, FIGURES, strict=True)
    ]
    lines = [["published", "–", *shown]]
    for text, factor, monitors in RULES:
        lines.append(
            _line(text, curves, [stop(one, factor * patience, monitors) for one in curves])
        )
    if e.train_loss is not None:
        reached = [
            next((n for n, loss in enumerate(one["train loss"]) if loss <= e.train_loss), None)
            for one in curves
        ]
        lines.append(_line("first epoch at the published training cross-entropy", curves, reached))
    seeds, epochs = len(runs), len(curves[0]["val loss"])
    head = (
        "weights",
        "epoch",
        "training accuracy",
        "training cross-entropy",
        "test accuracy",
        "test cross-entropy",
    )
    rows = [head, ("---", *["---:"] * 5), *lines]
    title = f"### {slug}: {images:,} training images, {dtype}, {epochs} epochs, {seeds} seed"
    title += "s" * (seeds > 1)
    return "\n".join([title, "", *(f"| {' | '.join(row)} |" for row in rows)])


def _line(text: str, curves: list[dict], epochs: list[int | None]) -> list[str]:
    """Returns a line of a table: the mean figures after these epochs, of those that exist."""
    pairs = [(one, epoch) for one, epoch in zip(curves, epochs, strict=True) if epoch is not None]
    if len(pairs) < len(curves):
        text += f" ({len(pairs)} of {len(curves)} seeds)"
    cells = [_cell([one[name][epoch] for one, epoch in pairs], name) for name in FIGURES]
    return [text, _cell([epoch + 1 for _, epoch in pairs], "epoch"), *cells]


def _cell(values: list[float], name: str) -> str:
    """Writes a mean and, of several values, their standard deviation."""
    if not values:
        return "–"
    factor, digits = (100, 2) if "accuracy" in name else (1, 0 if name == "epoch" else 3)
    values = [factor * value for value in values]
    sd = f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.{digits}f}{sd}{' %' if factor == 100 else ''}"
