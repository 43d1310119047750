"""What the benchmarks share: turns, rows, trainings on noise."""

import math
import statistics
import time
from collections.abc import Callable

import numpy as np

from lib import inputs, models, parameters
from lib.engine import keras, tf

ROUNDS = 7


def by_turns(cases: dict[str, Callable[[], float]], rounds: int = ROUNDS) -> dict[str, list[float]]:
    """Calls all cases in turn, so that all see the same phases of the machine.

    Each case is called once more beforehand. Returns its results by name, one per round.
    """
    for case in cases.values():
        case()
    found: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, case in cases.items():
            found[name].append(case())
    return found


def row(
    case: str,
    figures: list[float] | float,
    unit: str,
    *,
    target: float | None = None,
    better: str = "higher",
    required: bool = False,
) -> dict:
    """Makes one row of a result: the median, and the spread beside the unit."""
    if isinstance(figures, list):
        unit += f" ({min(figures):.3g} to {max(figures):.3g}, n = {len(figures)})"
        figures = statistics.median(figures)
    return {
        "case": case,
        "figure": figures,
        "unit": unit,
        "target": target,
        "better": better,
        "required": required,
    }


def ratios(above: list[float], below: list[float]) -> list[float]:
    """Divides round by round."""
    return [a / b for a, b in zip(above, below, strict=True)]


def matrix_product() -> Callable[[], float]:
    """Returns a case: FLOP/s of this machine's float32 matrix product (2048 × 2048)."""
    size, count = 2048, 16
    a = tf.random.normal((size, size))

    @tf.function
    def multiply():
        return tf.reduce_sum(tf.linalg.matmul(a, a))

    def speed() -> float:
        began = time.perf_counter()
        for _ in range(count):
            multiply().numpy()
        return 2 * size**3 * count / (time.perf_counter() - began)

    return speed


def noise(count: int, size: int = 32) -> tuple[np.ndarray, np.ndarray]:
    """Returns uint8 images (count, size, size, 3) and labels of ten classes."""
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (count, size, size, 3), dtype=np.uint8), np.arange(count) % 10


def build(slug: str) -> tuple[keras.Model, dict]:
    """Returns a rung's network with random weights, and the values of its ``budget``."""
    values = parameters.of_profile("budget", slug)
    changes = {"imagenet": False} if "imagenet" in models.ARCHITECTURES[slug] else {}
    return models.build(slug, image_size=values.get("IMAGE_SIZE", 32), **changes), values


def training_speed(
    model: keras.Model, batch_size: int, *, augmented: bool, seconds: float = 3.0
) -> Callable[[], float]:
    """Returns a case: images/s of a compiled model, trained through our input pipeline."""
    x, y = noise(batch_size * 8)
    stream = inputs.training_batches(
        x, y, batch_size=batch_size, image_size=model.input_shape[1], augmented=augmented, seed=0
    )
    steps = 1

    def speed() -> float:
        began = time.perf_counter()
        model.fit(stream, steps_per_epoch=steps, epochs=1, verbose=0)
        return steps * batch_size / (time.perf_counter() - began)

    speed()  # makes the graph
    steps = 2
    steps = max(2, math.ceil(seconds * speed() / batch_size))
    return speed
