"""Augmented batches per second and core: ours against Keras' `ImageDataGenerator`.

Rotation, shift, flip and scaling of batches of 256 images; one thread, processor time. What it
costs in training: rung 5 with and without augmentation, by turns, wall time.
"""

import time
import warnings
from collections.abc import Callable

import numpy as np

from benchmarks._measure import build, by_turns, noise, ratios, row, training_speed
from lib import inputs, training
from lib.engine import tf

BATCH = 256


def measure() -> list[dict]:
    """Returns images/s of both, their ratio, and the share of rung 5's training time."""
    rows = []
    for size in (32, 64, 224):
        batches = max(1, 8 * 32**2 // size**2)
        found = by_turns({"ours": _ours(size, batches), "theirs": _theirs(size, batches)})
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
    model, values = build("05_data_augmentation")
    training.compile(model, learning_rate=1e-5)
    speeds = by_turns(
        {
            name: training_speed(model, values["BATCH_SIZE"], augmented=name == "with")
            for name in ("with", "without")
        },
        rounds=11,
    )
    share = [100 * (1 - ratio) for ratio in ratios(speeds["with"], speeds["without"])]
    rows.append(
        row(
            "rung 5: wall time that augmentation adds",
            share,
            "%",
            target=3,
            better="lower",
            required=True,
        )
    )
    return rows


def _per_core(batch: Callable[[], np.ndarray], batches: int) -> Callable[[], float]:
    def speed() -> float:
        count, began = 0, time.process_time()
        for _ in range(batches):
            count += len(batch())
        return count / (time.process_time() - began)

    return speed


def _ours(size: int, batches: int) -> Callable[[], float]:
    x, y = noise(BATCH, size)
    steps = iter(range(1_000_000))
    return _per_core(
        lambda: inputs.training_batch(
            x, y, next(steps), batch_size=BATCH, image_size=size, augmented=True, seed=0
        )[0],
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
