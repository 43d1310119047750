"""How well the time is estimated: before the training, and from a third of it on.

Each rung is trained and evaluated as in `budget`, on fewer images of noise, as many as take about
40 seconds. Off by 30 % means that the estimate is 0.7 or 1.3 times the truth.
"""

import math
import time
from unittest import mock

from benchmarks._measure import build, dataset, row
from lib import callbacks, checkpoint, estimate, training
from lib.engine import keras
from lib.study import SLUGS

SECONDS = 40.0


def measure() -> list[dict]:
    """Returns per rung how far both estimates are off."""
    rows = []
    for slug in SLUGS:
        keras.utils.clear_session()
        model, values = build(slug)
        plan = {
            "epochs": max(3, values["EPOCHS"] if "VIEWS" in values else 3),
            "head_epochs": min(1, values.get("HEAD_EPOCHS", 0)),
            "views": values.get("VIEWS", 0),
        }
        pace = estimate.measure_pace(model, values["BATCH_SIZE"])
        one = estimate.training_seconds(pace, **plan, train=1000, val=100, test=200)
        count = math.ceil(SECONDS / (one - estimate.GRAPH_SECONDS) * 1000)
        expected = estimate.training_seconds(
            pace, **plan, train=count, val=count // 10, test=count // 5
        )
        images = dataset(count, count // 10, count // 5)
        with mock.patch.object(training, "Progress", _Watched):
            began = time.perf_counter()
            training.fit(
                model,
                images,
                **plan,
                batch_size=values["BATCH_SIZE"],
                learning_rate=1e-5,
                clipnorm=values.get("CLIPNORM", 0.0),
                patience=0,
                seed=0,
                augmented=values.get("AUGMENT", False),
            )
            ended = time.perf_counter()
            training.evaluate(model, images)
            took = time.perf_counter() - began
        checkpoint.remove(checkpoint.finished())
        off = [100 * abs(expected / took - 1)]
        case = f"{slug}: estimate beforehand ({expected:.0f} s for {took:.0f} s)"
        rows.append(row(case, off, "% off", target=30, better="lower"))
        at, left = _Watched.seen
        if left:
            case = f"{slug}: time left after a third ({left:.0f} s for {ended - at:.0f} s)"
            off = [100 * abs(left / (ended - at) - 1)]
            rows.append(row(case, off, "% off", target=30, better="lower"))
        print(*(f"{r['case']}: {r['figure']:.0f} {r['unit']}" for r in rows[-2:]), sep="\n")
    return rows


class _Watched(callbacks.Progress):
    """Writes down when a third of the work was done, and how long the rest was said to take."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        _Watched.seen = (0.0, 0.0)

    def on_train_batch_end(self, batch, logs):
        super().on_train_batch_end(batch, logs)
        if not self.seen[0] and self._spent() > sum(self.costs) / 3:
            _Watched.seen = (time.perf_counter(), self.left())
