"""Gain of each class in `lib.engine.fast_layers` on an experiment's whole training step.

The project's training, compared with the same after one class was replaced by Keras' own. All
variants of an experiment take turns, at the batch size of ``budget``, in float32 and in bfloat16. A
class stays if it brings 1.10 or more in some experiment and precision. BatchNormalization is
measured on feature maps only. Takes at most 12 minutes on two idle cores.

A Dropout that draws one byte per unit was removed: it brought at most 1.07. Three other ways to
convolve were rejected. On maps of 4×4 pixels a product of each pixel's neighbors brought at most
1.09 (experiment 8, Intel Xeon, float32), and 0.88 in experiment 7 in bfloat16. Winograd's way and
nine shifted products were slower: ``git show 27203db:benchmarks/results/convolutions.json``.
"""

from unittest import mock

from benchmarks._measure import PRECISIONS, by_turns, closing, ours, ratios, row
from lib import models
from lib.engine import fast_layers, keras
from lib.study import SLUGS

ENOUGH = 1.10
ROUNDS = 7


WAYS = {  # of `fast_layers.Conv2D`, and the maps that take it
    "Conv2D on 2×2 maps": lambda maps: maps.shape[1] == 2,
    "Conv2D's kernel gradients": lambda maps: (
        maps.dtype == "bfloat16" and 2 < maps.shape[1] <= 8 and maps.shape[-1] >= 128
    ),
}


def _without(way: str) -> type[keras.layers.Conv2D]:
    """Returns our Conv2D without one of its ways."""

    ours_with_it = fast_layers.Conv2D

    class Conv2D(ours_with_it):
        def convolution_op(self, inputs, kernel):
            kind = keras.layers.Conv2D if WAYS[way](inputs) else ours_with_it
            return kind.convolution_op(self, inputs, kernel)

    return Conv2D


THEIRS = {way: ("Conv2D", _without(way)) for way in WAYS} | {  # what takes a class's place
    "BatchNormalization": ("BatchNormalization", keras.layers.BatchNormalization),
    "Adam": ("Adam", keras.optimizers.Adam),
}


def measure() -> list[dict]:
    """Returns the gain of each class by experiment and precision, and its largest one."""
    rows = []
    for dtype in PRECISIONS:
        for slug in SLUGS:
            rows += _gains(slug, dtype)
    return rows + [_largest(name, rows) for name in THEIRS]


def _gains(slug: str, dtype: str) -> list[dict]:
    keras.utils.clear_session()
    cases = {"ours": ours(slug, dtype)}
    for name in _used(cases["ours"].model):
        with mock.patch.object(fast_layers, *THEIRS[name]):
            cases[name] = ours(slug, dtype)
    with closing(**cases):
        found = by_turns(cases, ROUNDS)
    rows = []
    for name in list(cases)[1:]:
        rows.append(row(f"{slug}, {dtype}: {name}", ratios(found["ours"], found[name]), "×"))
        print(f"{rows[-1]['case']}: {rows[-1]['figure']:.3f} {rows[-1]['unit']}", flush=True)
    return rows


def _used(model: keras.Model) -> list[str]:
    """Returns the classes that a network has use for, by their names in `THEIRS`."""
    layers = [layer for layer in models.all_layers(model) if len(layer.output.shape) == 4]
    maps = [layer.input for layer in layers if type(layer).__name__ == "Conv2D"]
    used = [way for way, takes in WAYS.items() if any(map(takes, maps))]
    if any(type(layer).__name__ == "BatchNormalization" for layer in layers):
        used.append("BatchNormalization")
    return [*used, "Adam"]


def _largest(name: str, rows: list[dict]) -> dict:
    best = max((r for r in rows if r["case"].endswith(f": {name}")), key=lambda r: r["figure"])
    verdict = "stays" if best["figure"] >= ENOUGH else "goes"
    where = best["case"].partition(":")[0]
    return row(f"{name}: largest gain", best["figure"], f"× ({where}): {verdict}")
