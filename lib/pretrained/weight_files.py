"""VGG16's convolutions as files in Keras' ``.h5`` layout: shapes, reading, writing, verifying."""

import hashlib
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
    """Reads ImageNet's VGG16, and no other weights, from a file in Keras' ``.h5`` layout.

    Returns:
        The tensors and their digest.

    Raises:
        WeightsError: if the file is missing, or has another layout, other shapes or other weights.
    """
    if not path.is_file():
        raise WeightsError(f"weights file {str(path)!r} does not exist; give the path of one")
    tensors = {}
    try:
        with h5py.File(path, "r") as file:
            groups = file.get("model_weights", file)
            for name, shape in SHAPES.items():
                kernel, bias = (groups[name][x] for x in groups[name].attrs["weight_names"])
                kernel = _read_plain(kernel, shape, path)
                tensors[name] = (kernel, _read_plain(bias, shape[-1:], path))
        value = digest(tensors)
        if value != TENSORS_SHA256 and digests.of_file(path, "md5") != KERAS_MD5:
            raise ValueError("its tensors have another digest")
    except Exception as error:  # HDF5's, the system's and those of another layout
        raise WeightsError(
            f"{path.name} is damaged or not VGG16's ImageNet weights ({error}); give {KERAS_FILE}"
        ) from error
    return tensors, value


def _read_plain(stored: h5py.Dataset, shape: tuple[int, ...], path: Path) -> np.ndarray:
    """Reads a dataset that is as Keras writes it: plain numbers, unpacked, in this file."""
    elsewhere = stored.file.filename != str(path) or stored.external or stored.is_virtual
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
