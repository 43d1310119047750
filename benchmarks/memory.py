"""Resident memory of the training data by size of the input: ours and the study's way.

40,000 images of 32×32, as CIFAR-10 has them. The study resizes them all beforehand and hands the
array to `ImageDataGenerator`, which makes floats of it. A process per case makes batches of as many
pixels each and says how much its peak memory has grown.
"""

import subprocess
import sys
from types import SimpleNamespace

from benchmarks._measure import row

IMAGES = 40_000
PIXELS = 64 * 64**2
ROUNDS = 5
CASES = {"ours": (32, 64, 128, 224), "the study's way": (32, 64, 128)}


def measure() -> list[dict]:
    """Returns the mebibytes of each case, and ours at 224 against 64."""
    rows, found = [], {}
    for way, sizes in CASES.items():
        for size in sizes:
            found[way, size] = [_grown(way, size) for _ in range(ROUNDS)]
            rows.append(row(f"{way}, {size}×{size}", found[way, size], "MiB", better="lower"))
    return [
        *rows,
        row(
            "ours, 224×224 against 64×64",
            [a / b for a, b in zip(found["ours", 224], found["ours", 64], strict=True)],
            "×",
            target=1.1,
            better="lower",
            required=True,
        ),
    ]


def _grown(way: str, size: int) -> float:
    command = [sys.executable, "-m", "benchmarks.memory", way, str(size)]
    return float(subprocess.run(command, capture_output=True, check=True, text=True).stdout)


def _child(way: str, size: int) -> None:
    """Prints by how much making some batches of all images raises this process' memory, in MiB."""
    import psutil

    from benchmarks._measure import noise
    from lib import inputs
    from lib.engine import tf
    from lib.results import machine

    batch = max(1, PIXELS // size**2)

    def make(count: int, batches: int) -> None:
        x, y = noise(count)
        if way == "ours":
            recipe = SimpleNamespace(batch_size=batch, augmented=True, seed=0)
            stream = iter(inputs.training_batches(x, y, recipe, image_size=size))
        else:
            stream = tf.keras.preprocessing.image.ImageDataGenerator(
                rescale=1 / 255, rotation_range=15, horizontal_flip=True
            ).flow(inputs.resize(x, size), y, batch_size=batch)
        for _ in range(batches):
            next(stream)

    make(count=4, batches=2)  # what the machinery needs
    before = psutil.Process().memory_info().rss / 2**20
    make(count=IMAGES, batches=12)
    print(machine.peak_rss_mb() - before)


if __name__ == "__main__":
    _child(sys.argv[1], int(sys.argv[2]))
