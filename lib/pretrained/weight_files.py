"""VGG16's convolutions as files in Keras' ``.h5`` layout: shapes, reading, writing, verifying."""

import hashlib
import re
from pathlib import Path

import h5py
import numpy as np

from lib import cache, digests
from lib.errors import WeightsError

BLOCKS = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))
"""(Convolutions, filters) of VGG16's blocks (arXiv 1409.1556)."""

_INPUTS = (3, *(filters for _, filters in BLOCKS))

SHAPES = {
    f"block{block + 1}_conv{conv + 1}": (3, 3, filters if conv else _INPUTS[block], filters)
    for block, (convolutions, filters) in enumerate(BLOCKS)
    for conv in range(convolutions)
}
"""Kernel shape, HWIO, of each convolution, in order."""

TENSORS_SHA256 = "d9a27cc1fc7f975ef8cff49180e794ccd7c4bc868ebb49740803b3bbaa8dbefd"
"""Digest of the 13 kernels and biases of ImageNet's VGG16, see `digest`."""

KERAS_FILE = "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"
KERAS_MD5 = "6d6bbae143d832006294945121d1f1fc"

FORMATS = {
    b"PK": "a zip archive, as PyTorch and NumPy write them",
    b"<": "a web page",
    b"version https://git-lfs": "a Git LFS pointer",
}
"""What files that are not HDF5 begin with."""

_PARTS = re.compile(r"(\d+)").split

Tensors = dict[str, tuple[np.ndarray, np.ndarray]]
"""Kernel (HWIO) and bias, float32, by layer name."""


def digest(tensors: Tensors) -> str:
    """SHA-256 over kernel (HWIO, little-endian float32, C order) then bias, by layer name."""
    result = hashlib.sha256()
    for name in sorted(tensors):
        for tensor in tensors[name]:
            result.update(np.ascontiguousarray(tensor, dtype="<f4").data)
    return result.hexdigest()


def read(path: Path) -> tuple[Tensors, str]:
    """Reads ImageNet's VGG16, and no other weights, from an HDF5 file of any version of Keras.

    The model may be whole, or a part of another one: the digest says which tensors are right.

    Returns:
        The tensors and their digest.

    Raises:
        WeightsError: if the file is missing, or has another format, other shapes or other weights.
    """
    if other := _other_format(path):
        raise WeightsError(f"weights file {str(path)!r} {other}; give {KERAS_FILE}")
    tensors = {}
    try:
        with h5py.File(path, "r") as file:
            pairs = _convolutions(file)
            if len(pairs) != len(SHAPES):
                raise ValueError(f"it has {len(pairs)} of the {len(SHAPES)} convolutions")
            for (name, shape), (kernel, bias) in zip(SHAPES.items(), pairs, strict=True):
                tensors[name] = (_read_plain(kernel, shape), _read_plain(bias, shape[-1:]))
        value = digest(tensors)
        if value != TENSORS_SHA256 and digests.of_file(path, "md5") != KERAS_MD5:
            raise ValueError("its tensors have another digest")
    except Exception as error:  # HDF5's, the system's and those of another network
        raise WeightsError(
            f"{path.name} is damaged or not VGG16's ImageNet weights ({error}); give {KERAS_FILE}"
        ) from error
    return tensors, value


def _other_format(path: Path) -> str:
    """Says what a file is if it is not HDF5."""
    if path.is_dir():
        saved = " (a TensorFlow SavedModel)" if (path / "saved_model.pb").is_file() else ""
        return f"is a folder{saved}, expected one file"
    if path.with_name(f"{path.name}.index").is_file():
        return "is a TensorFlow checkpoint, expected an HDF5 file of Keras"
    if not path.is_file():
        return "does not exist, expected an HDF5 file of Keras"
    with path.open("rb") as file:
        begins = file.read(64)
    if begins.startswith(b"\x89HDF\r\n\x1a\n"):
        return ""
    if path.suffix == ".keras" and begins.startswith(b"PK"):
        return "is a whole model, expected its weights alone, as model.save_weights(name) writes"
    what = next((what for start, what in FORMATS.items() if begins.startswith(start)), "no HDF5")
    return f"is {what}, expected an HDF5 file of Keras"


def _convolutions(file: h5py.File) -> list[tuple[h5py.Dataset, h5py.Dataset]]:
    """Finds kernels of VGG16's shapes and the biases beside them, in the order of their names.

    Versions of Keras differ in names, not in this. Links out of the file are not followed.
    """
    found: dict[str, dict[int, h5py.Dataset]] = {}

    def note(name: str, item) -> None:
        if isinstance(item, h5py.Dataset) and not name.startswith("optimizer"):
            found.setdefault(name.rpartition("/")[0], {})[item.ndim] = item

    file.visititems(note)
    places = sorted(found, key=lambda name: [int(x) if x.isdigit() else x for x in _PARTS(name)])
    both = [(found[place][4], found[place][1]) for place in places if {1, 4} <= set(found[place])]
    return [pair for pair in both if pair[0].shape in SHAPES.values()]


def _read_plain(stored: h5py.Dataset, shape: tuple[int, ...]) -> np.ndarray:
    """Reads a dataset that is as Keras writes it: plain numbers, unpacked, in this file."""
    elsewhere = stored.external or stored.is_virtual
    if elsewhere or stored.chunks or stored.dtype.kind != "f" or stored.shape != shape:
        raise ValueError(f"{stored.name!r} is no plain array of shape {shape} in this file")
    return stored[()]


def write(path: Path, tensors: Tensors) -> None:
    """Writes convolutions in Keras' ``.h5`` layout, the whole file or nothing."""
    with cache.atomic_file(path) as part, h5py.File(part, "w") as file:
        file.attrs["layer_names"] = [name.encode() for name in tensors]
        for name, values in tensors.items():
            names = [f"{name}/kernel:0", f"{name}/bias:0"]
            file.create_group(name).attrs["weight_names"] = [weight.encode() for weight in names]
            for weight, value in zip(names, values, strict=True):
                file[name][weight] = value
