"""Rung 7 from stored features against training through its frozen base, end to end.

The schedule of `budget`, fewer images; both by turns, evaluation of the features included.
"""

import time

from benchmarks._measure import build, by_turns, dataset, ratios, row
from lib import training
from lib.training import checkpoints

IMAGES = 600


def measure() -> list[dict]:
    """Returns the seconds of both and their ratio."""
    _, values = build("07_vgg16_frozen")
    images = dataset(IMAGES, IMAGES // 5, 10)

    def seconds(views: int) -> float:
        training.start(0)
        model, _ = build("07_vgg16_frozen")
        began = time.perf_counter()
        training.fit(
            model,
            images,
            epochs=values["EPOCHS"],
            batch_size=values["BATCH_SIZE"],
            learning_rate=values["LEARNING_RATE"],
            patience=0,
            seed=0,
            clipnorm=values["CLIPNORM"],
            augmented=True,
            views=views,
        )
        took = time.perf_counter() - began
        checkpoints.remove(checkpoints.finished())  # the next one is not to go on from here
        return took

    found = by_turns(
        {"stored": lambda: seconds(values["VIEWS"]), "through": lambda: seconds(0)}, rounds=5
    )
    return [
        row("features stored", found["stored"], "s", better="lower"),
        row("through the frozen base", found["through"], "s", better="lower"),
        row("gain", ratios(found["through"], found["stored"]), "×", target=3),
    ]
