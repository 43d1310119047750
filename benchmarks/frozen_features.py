"""Experiment 7 from stored features, compared with training through its frozen layers.

The schedule of `budget`, fewer images; both by turns, evaluation of the features included.
"""

import time

from benchmarks._measure import build, by_turns, dataset, forget, ratios, recipe, row
from lib import training

IMAGES = 600


def measure() -> list[dict]:
    """Returns the seconds of both and their ratio."""
    _, values = build("07_vgg16_frozen")
    images = dataset(IMAGES, IMAGES // 5, 10)

    def seconds(views: int) -> float:
        training.seed(0)
        model, _ = build("07_vgg16_frozen")
        began = time.perf_counter()
        fit = training.fit(model, images, recipe(values, views=views))
        took = time.perf_counter() - began
        forget(fit)
        return took

    found = by_turns(
        {"stored": lambda: seconds(values["VIEWS"]), "through": lambda: seconds(0)}, rounds=5
    )
    return [
        row("features stored", found["stored"], "s", better="lower"),
        row("through the frozen base", found["through"], "s", better="lower"),
        row("gain", ratios(found["through"], found["stored"]), "×", target=4),
    ]
