"""Speed of an experiment's convolutions and dense layers alone: the limit of `throughput`.

For the experiments that miss their share there: the same share, of these products only, at the
batch size of ``budget``. 1 is the speed of a float32 matrix product (sgemm, 2048 × 2048); more is
possible, as what a kernel would multiply beyond the border counts too. oneDNN's gradients of
kernels are the slowest part. Where "all three" is near the target of `throughput`, almost no time
is left for the rest of a step: activations, pooling, Dropout, BatchNormalization, optimizer, input.
"""

import time
from collections.abc import Callable

from benchmarks._measure import build, by_turns, matrix_product, ratios, row
from lib import models
from lib.engine import keras, tf

SLUGS = ("01_deeper_cnn", "02_dropout", "03_double_conv", "10_vgg16_64x64")
ROUNDS = 15


def measure() -> list[dict]:
    """Returns the share of forward passes, of both gradients, and of the three together."""
    rows = []
    for slug in SLUGS:
        keras.utils.clear_session()
        model, values = build(slug)
        macs = _macs(model)
        cases = {part: _timed(step) for part, step in _steps(model, values["BATCH_SIZE"]).items()}
        found = by_turns(cases | {"product": matrix_product()}, rounds=ROUNDS)
        product = found.pop("product")
        found["all three"] = [sum(seconds) for seconds in zip(*found.values(), strict=True)]
        for part, seconds in found.items():
            speed = [2 * macs[part] * values["BATCH_SIZE"] / s for s in seconds]
            rows.append(row(f"{slug}: {part}", ratios(speed, product), "of sgemm"))
            print(f"{rows[-1]['case']}: {rows[-1]['figure']:.3f}", flush=True)
    return rows


def _macs(model: keras.Model) -> dict[str, int]:
    """Returns the multiply–adds of one image by part; the first layer needs no maps' gradient."""
    forward, first = models.forward_macs(model), models.layer_macs(_layers(model)[0])
    parts = {"forward": forward, "gradients of maps": forward - first}
    parts |= {"gradients of kernels": forward, "all three": models.training_macs(model)}
    return parts


def _layers(model: keras.Model) -> list[keras.Layer]:
    return [layer for layer in model.layers if models.layer_macs(layer)]


def _steps(model: keras.Model, batch_size: int) -> dict[str, Callable[[], list]]:
    """Returns by part what computes it, for all layers, on noise."""
    layers = []
    for layer in _layers(model):
        product = getattr(layer, "convolution_op", tf.matmul)
        maps = tf.random.normal((batch_size, *layer.input.shape[1:]))
        kernel = tf.constant(layer.kernel)
        layers.append((product, maps, kernel, tf.random.normal(product(maps, kernel).shape)))

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
