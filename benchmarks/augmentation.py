"""Augmentation speed, compared with Keras' `ImageDataGenerator`.

Rotation, shift, flip and scaling of batches of 256 images; one thread, processor time. What it
costs in training: experiment 5 with and without augmentation, by turns, wall time; as that is
noisy, also the processor time of as many augmented images. And what a second thread for batches
brings and costs.
"""

import os
import statistics
import time
import warnings
from collections.abc import Callable
from types import SimpleNamespace
from unittest import mock

import numpy as np

from benchmarks._measure import Training, build, by_turns, closing, noise, ratios, row
from lib import inputs, training
from lib.engine import tf

BATCH = 256
RECIPE = SimpleNamespace(batch_size=BATCH, augmented=True, seed=0)


def measure() -> list[dict]:
    """Returns images/s of both, their ratio, and the share of experiment 5's training time."""
    rows, ours_at_32 = [], []
    for size in (32, 64, 224):
        batches = max(1, 8 * 32**2 // size**2)
        # As long for both, about.
        found = by_turns({"ours": _ours(size, 15 * batches), "theirs": _theirs(size, batches)})
        ours_at_32 = ours_at_32 or found["ours"]
        rows += [
            row(f"{size}×{size}: ours", found["ours"], "images/s per core"),
            row(f"{size}×{size}: ImageDataGenerator", found["theirs"], "images/s per core"),
            row(
                f"{size}×{size}: ours against ImageDataGenerator",
                ratios(found["ours"], found["theirs"]),
                "×",
                target=20 if size == 32 else None,
                required=size == 32,
            ),
        ]
    threads = by_turns({str(number): _pipeline(number) for number in (1, 2)})
    for figure, unit in enumerate(("of the wall time", "of the processor time")):
        above, below = ([one[figure] for one in threads[number]] for number in ("2", "1"))
        rows.append(row("two threads against one", ratios(above, below), unit, better="lower"))
    model, values = build("05_data_augmentation")
    training.compile(model, learning_rate=1e-5)
    batch_size = values["BATCH_SIZE"]
    other, _ = build("05_data_augmentation")
    training.compile(other, learning_rate=1e-5)
    with closing(
        augmented=Training(model, batch_size, augmented=True),
        plain=Training(other, batch_size),
    ) as cases:
        speeds = by_turns(cases, rounds=25)
    share = [100 * (1 - ratio) for ratio in ratios(speeds["augmented"], speeds["plain"])]
    rows.append(
        row(
            "experiment 5: wall time that augmentation adds",
            share,
            "%",
            target=3,
            better="lower",
            required=True,
        )
    )
    augmenting = statistics.median(ours_at_32) * os.cpu_count()
    taken = [100 * speed / augmenting for speed in speeds["augmented"]]
    rows.append(
        row("experiment 5: augmentation, of all cores' time", taken, "%", target=3, better="lower")
    )
    return rows


def _per_core(batch: Callable[[], np.ndarray], batches: int) -> Callable[[], float]:
    def speed() -> float:
        count, began = 0, time.process_time()
        for _ in range(batches):
            count += len(batch())
        return count / (time.process_time() - began)

    return speed


def _pipeline(threads: int) -> Callable[[], tuple[float, float]]:
    """Returns a case: wall and processor seconds of some augmented 32×32 batches."""
    x, y = noise(8 * BATCH)
    with mock.patch.object(inputs, "THREADS", threads):
        stream = iter(inputs.training_batches(x, y, RECIPE, image_size=32))

    def seconds() -> tuple[float, float]:
        began = time.perf_counter(), time.process_time()
        for _ in range(80):
            next(stream)
        return time.perf_counter() - began[0], time.process_time() - began[1]

    return seconds


def _ours(size: int, batches: int) -> Callable[[], float]:
    x, y = noise(BATCH, size)
    steps = iter(range(1_000_000))
    return _per_core(
        lambda: inputs.training_batch(x, y, RECIPE, step=next(steps), image_size=size)[0],
        batches,
    )


def _theirs(size: int, batches: int) -> Callable[[], float]:
    warnings.simplefilter("ignore", DeprecationWarning)
    generator = tf.keras.preprocessing.image.ImageDataGenerator(
        rescale=1 / 255,
        rotation_range=inputs.ROTATION_DEGREES,
        width_shift_range=inputs.SHIFT,
        height_shift_range=inputs.SHIFT,
        horizontal_flip=True,
        fill_mode="nearest",
    )
    stream = generator.flow(*noise(BATCH, size), batch_size=BATCH, seed=0)
    return _per_core(lambda: next(stream)[0], batches)
