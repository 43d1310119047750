"""What bundles cost: each rung at ``budget`` size, with and without them by turns in one run.

The thread that trains writes the bundle and waits for the disk, so the time it takes is its cost,
with a look at the clock after each step. It is due once a minute, or at the end of each epoch that
is longer, and every ten minutes inside an epoch (`lib.training.checkpoints`).
"""

import math
import statistics
import tempfile
import time
from unittest import mock

import numpy as np

from benchmarks._measure import build, dataset
from lib import training
from lib.engine import keras
from lib.study import SLUGS
from lib.training import checkpoints

BUNDLES = 5
IMAGES = 40_000


class _ByTurns(training.Checkpoints):
    """Writes a bundle after every second epoch and takes the times."""

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
        self.megabytes = self.bundle.path.stat().st_size / 1e6

    def call_seconds(self) -> float:
        """What Keras takes to call a callback after a step, its figures made into numbers."""
        calls, count = keras.callbacks.CallbackList([self], model=self.model), 1000
        logs = {name: keras.ops.ones(()) for name in ("loss", "accuracy")}
        began = time.perf_counter()
        for step in range(count):
            calls.on_train_batch_end(step, logs)
        return (time.perf_counter() - began) / count


def _train(slug: str) -> tuple[_ByTurns, int]:
    """Trains a rung for some steps on noise; returns what was timed, and the batch size."""
    training.start(0)
    model, values = build(slug)
    batch_size = values["BATCH_SIZE"]
    images = dataset(2 * batch_size, 50, 50)
    epochs = 2 * BUNDLES + 1
    with mock.patch.object(training, "Checkpoints", _ByTurns):
        training.fit(
            model,
            images,
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=1e-4,
            patience=epochs,  # watched, so that bundles hold best weights too
            seed=0,
            augmented=values.get("AUGMENT", False),
        )
    return _ByTurns.last, batch_size


def measure() -> list[dict]:
    """Returns per rung the share of training time that bundles take, and what a bundle weighs."""
    rows = []
    with (
        tempfile.TemporaryDirectory(dir=checkpoints.cache.folder()) as folder,
        mock.patch.dict("os.environ", CIFAR10_LADDER_CACHE=folder),
    ):
        for slug in SLUGS:
            timed, batch_size = _train(slug)
            step = statistics.median(timed.steps)
            epoch = step * math.ceil(IMAGES / batch_size)
            call = timed.call_seconds()
            write = statistics.median(timed.writes)
            bundles_per_epoch = 1 + epoch // checkpoints.STEP_SECONDS
            every = max(checkpoints.EPOCH_SECONDS, epoch / bundles_per_epoch)
            spread = f"{min(timed.writes):.2f} to {max(timed.writes):.2f}"
            rows += [
                {
                    "case": f"{slug}: bundles, of training time",
                    "figure": 100 * (write / every + call / step),
                    "unit": f"% ({write:.2f} s ({spread}) in {every:.0f} s, and "
                    f"{1e6 * call:.0f} µs in each step of {1e3 * step:.0f} ms)",
                    "target": 3,
                    "better": "lower",
                    "required": True,
                },
                {
                    "case": f"{slug}: size of a bundle",
                    "figure": timed.megabytes,
                    "unit": "MB",
                    "target": None,
                    "better": "lower",
                    "required": False,
                },
            ]
    return rows
