"""Speed of an experiment's convolutions and dense layers alone: the limit of `throughput`.

For every experiment but the frozen one, in both precisions, at the batch size of ``budget``: the
speed of these multiply–adds, divided by that of a matrix product in the same precision, and the
gain of bfloat16. A share above 1 is possible, because products with the zeros beyond a map's border
count too. In bfloat16 the gradients of kernels are the slowest part, except in experiment 0. The
rest of a training step is activations, pooling, Dropout, BatchNormalization, optimizer and input.
Takes at most 6 minutes on two idle cores.
"""

import time
from collections.abc import Callable

from benchmarks._measure import PRECISIONS, build, by_turns, matrix_product, ratios, row
from lib import models
from lib.engine import keras, tf
from lib.study import SLUGS

ROUNDS = 7
FROZEN = "07_vgg16_frozen"


def measure() -> list[dict]:
    """Returns the share of forward passes, of both gradients, and of the three together."""
    return [one for slug in SLUGS if slug != FROZEN for one in _rows(slug)]


def _rows(slug: str) -> list[dict]:
    keras.utils.clear_session()
    model, values = build(slug)
    macs, batch_size = _macs(model), values["BATCH_SIZE"]
    steps = {dtype: _steps(model, batch_size, dtype) for dtype in PRECISIONS}
    cases = {(dtype, part): _timed(step) for dtype in steps for part, step in steps[dtype].items()}
    cases |= {(dtype, "product"): matrix_product(dtype) for dtype in PRECISIONS}
    found = by_turns(cases, ROUNDS)
    rows = []
    for dtype in PRECISIONS:
        parts = [found[dtype, part] for part in steps[dtype]]
        found[dtype, "all three"] = [sum(seconds) for seconds in zip(*parts, strict=True)]
        for part in macs:
            speed = [2 * macs[part] * batch_size / seconds for seconds in found[dtype, part]]
            share = ratios(speed, found[dtype, "product"])
            rows.append(row(f"{slug}, {dtype}: {part}", share, "of its speed"))
    gain = ratios(*(found[dtype, "all three"] for dtype in PRECISIONS))
    rows.append(row(f"{slug}: bfloat16 against float32", gain, "×"))
    print(*(f"{one['case']}: {one['figure']:.3f}" for one in rows), sep="\n", flush=True)
    return rows


def _macs(model: keras.Model) -> dict[str, int]:
    """Returns the multiply–adds of one image by part; the first layer needs no maps' gradient."""
    forward, first = models.forward_macs(model), models.layer_macs(_layers(model)[0])
    parts = {"forward": forward, "gradients of maps": forward - first}
    parts |= {"gradients of kernels": forward, "all three": models.training_macs(model)}
    return parts


def _layers(model: keras.Model) -> list[keras.Layer]:
    return [layer for layer in model.layers if models.layer_macs(layer)]


def _steps(model: keras.Model, batch_size: int, dtype: str) -> dict[str, Callable[[], list]]:
    """Returns by part what computes it in a precision, for all layers, on noise."""
    layers = []
    for layer in _layers(model):
        product = getattr(layer, "convolution_op", tf.matmul)
        maps = tf.cast(tf.random.normal((batch_size, *layer.input.shape[1:])), dtype)
        kernel = tf.cast(layer.kernel, dtype)
        upstream = tf.cast(tf.random.normal((batch_size, *layer.output.shape[1:])), dtype)
        layers.append((product, maps, kernel, upstream))

    def gradients(of: int, layers: list) -> list:
        found = []
        for product, *inputs, upstream in layers:
            with tf.GradientTape() as tape:
                tape.watch(inputs)
                outputs = product(*inputs)
            found.append(tape.gradient(outputs, inputs[of], upstream))
        return found

    return {  # graphs without what nothing needs: gradients run no forward pass
        "forward": tf.function(lambda: [product(*inputs) for product, *inputs, _ in layers]),
        "gradients of maps": tf.function(lambda: gradients(0, layers[1:])),
        "gradients of kernels": tf.function(lambda: gradients(1, layers)),
    }


def _timed(step: Callable[[], list]) -> Callable[[], float]:
    def seconds() -> float:
        began = time.perf_counter()
        step()
        return time.perf_counter() - began

    return seconds
