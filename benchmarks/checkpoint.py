"""Time that checkpoints take: each experiment as in `budget`, with and without them.

The thread that trains writes the checkpoint and waits for the disk, so the time it takes is its
cost, with a look at the clock after each step. It is due once a minute, or at the end of each epoch
that is longer, and every ten minutes inside an epoch (`lib.training.checkpoints`).
"""

import math
import statistics
import tempfile
import time
from unittest import mock

import numpy as np

from benchmarks._measure import build, dataset, row
from lib import cache, training
from lib.engine import keras
from lib.study import SLUGS
from lib.training import callbacks, checkpoints

CHECKPOINTS = 5
IMAGES = 40_000


class _ByTurns(callbacks.SaveCheckpoints):
    """Writes a checkpoint after every second epoch and takes the times."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.steps, self.writes, self.megabytes = [], [], 0.0
        _ByTurns.last = self

    def on_epoch_begin(self, epoch, logs=None):
        super().on_epoch_begin(epoch, logs)
        self.times = [time.perf_counter()]

    def on_train_batch_end(self, batch, logs=None):
        super().on_train_batch_end(batch, logs)
        self.times.append(time.perf_counter())

    def on_epoch_end(self, epoch, logs=None):
        if epoch:  # the first makes the graph
            self.steps += np.diff(self.times).tolist()
        super().on_epoch_end(epoch, logs)

    def _due(self, seconds):
        super()._due(seconds)  # for its time
        return self.step == 0 and self.epoch % 2 == 0

    def save(self):
        began = time.perf_counter()
        super().save()
        self.writes.append(time.perf_counter() - began)
        self.megabytes = self.checkpoint.path.stat().st_size / 1e6

    def call_seconds(self) -> float:
        """What Keras takes to call a callback after a step, its figures made into numbers."""
        calls, count = keras.callbacks.CallbackList([self], model=self.model), 1000
        logs = {name: keras.ops.ones(()) for name in ("loss", "accuracy")}
        began = time.perf_counter()
        for step in range(count):
            calls.on_train_batch_end(step, logs)
        return (time.perf_counter() - began) / count


def _train(slug: str) -> tuple[_ByTurns, int]:
    """Trains an experiment for some steps on noise; returns what was timed, and the batch size."""
    training.seed(0)
    model, values = build(slug)
    batch_size = values["BATCH_SIZE"]
    images = dataset(2 * batch_size, 50, 50)
    epochs = 2 * CHECKPOINTS + 1
    recipe = training.Recipe(
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=1e-4,
        patience=epochs,  # watched, so that checkpoints hold best weights too
        seed=0,
        augmented=values.get("AUGMENT", False),
    )
    with mock.patch.object(training, "SaveCheckpoints", _ByTurns):
        training.fit(model, images, recipe)
    return _ByTurns.last, batch_size


def measure() -> list[dict]:
    """Returns per experiment the share of training time that checkpoints take, and their size."""
    rows = []
    with (
        tempfile.TemporaryDirectory(dir=cache.folder()) as folder,
        mock.patch.dict("os.environ", CIFAR10_LADDER_CACHE=folder),
    ):
        for slug in SLUGS:
            timed, batch_size = _train(slug)
            step = statistics.median(timed.steps)
            epoch = step * math.ceil(IMAGES / batch_size)
            call = timed.call_seconds()
            write = statistics.median(timed.writes)
            per_epoch = 1 + epoch // checkpoints.STEP_SECONDS
            every = max(checkpoints.EPOCH_SECONDS, epoch / per_epoch)
            spread = f"{min(timed.writes):.2f} to {max(timed.writes):.2f}"
            share = 100 * (write / every + call / step)
            unit = f"% ({write:.2f} s ({spread}) in {every:.0f} s, and "
            unit += f"{1e6 * call:.0f} µs in each step of {1e3 * step:.0f} ms)"
            case = f"{slug}: checkpoints, of training time"
            rows += [
                row(case, share, unit, target=1, better="lower", required=True),
                row(f"{slug}: size of a checkpoint", timed.megabytes, "MB", better="lower"),
            ]
    return rows
