"""Error of the time estimate, before the training and after a third of it.

Each experiment is trained and evaluated as in `budget`, on fewer images of noise, as many as take
about 12 seconds, in turns. A figure is how far the median of estimate ÷ truth is from 1.
"""

import math
import statistics
import time
from unittest import mock

from benchmarks._measure import build, dataset, forget, recipe, row
from lib import training
from lib.engine import keras
from lib.study import SLUGS
from lib.training import callbacks, pace

SECONDS = 12.0
ROUNDS = 5


def measure() -> list[dict]:
    """Returns per experiment how far both estimates are off."""
    before: dict[str, list[float]] = {slug: [] for slug in SLUGS}
    within: dict[str, list[float]] = {slug: [] for slug in SLUGS}
    for _ in range(ROUNDS):
        for slug in SLUGS:
            one, other = _once(slug)
            print(f"{slug}: estimates {one:.2f} and {other:.2f} of the truth", flush=True)
            before[slug].append(one)
            within[slug].append(other)
    rows = []
    for slug in SLUGS:
        rows.append(_off(f"{slug}: before the training", before[slug]))
        rows.append(_off(f"{slug}: time left after a third of it", within[slug]))
    return rows


def _off(case: str, found: list[float]) -> dict:
    percent = 100 * abs(statistics.median(found) - 1)
    unit = f"% off ({min(found):.2f} to {max(found):.2f} of the truth, n = {len(found)})"
    return row(case, percent, unit, target=30, better="lower")


def _once(slug: str) -> tuple[float, float]:
    """Returns estimate ÷ truth of a whole training, and of what is left after a third of it."""
    keras.utils.clear_session()
    model, values = build(slug)
    plan = recipe(
        values,
        epochs=values["EPOCHS"] if "VIEWS" in values else 3,
        head_epochs=min(1, values.get("HEAD_EPOCHS", 0)),
        learning_rate=1e-5,
        schedule="constant",
    )
    measured = pace.measure_pace(model, plan.batch_size)
    one = pace.training_seconds(measured, plan, train=1000, val=100, test=200)
    count = math.ceil(SECONDS / (one - pace.GRAPH_SECONDS) * 1000)
    sizes = {"train": count, "val": math.ceil(count / 10), "test": math.ceil(count / 5)}
    expected = pace.training_seconds(measured, plan, **sizes)
    images = dataset(**sizes)
    with mock.patch.object(training, "Progress", _Watched):
        began = time.perf_counter()
        fit = training.fit(model, images, plan)
        ended = time.perf_counter()
        training.evaluate(model, images)
        took = time.perf_counter() - began
    forget(fit)
    at, left = _Watched.seen
    return expected / took, left / (ended - at)


class _Watched(callbacks.Progress):
    """Writes down when a third of the work was done, and how long the rest was expected to take."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        _Watched.seen = (0.0, 0.0)

    def on_train_batch_end(self, batch, logs):
        super().on_train_batch_end(batch, logs)
        if not self.seen[0] and self._spent() > sum(self.costs) / 3:
            _Watched.seen = (time.perf_counter(), self.left())
