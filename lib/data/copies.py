"""Decoded copies of data sets in the user cache: made once, verified at each opening."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lib import cache, digests
from lib.errors import DataError

ARRAYS = ("x_train", "y_train", "x_test", "y_test")
"""Names of the arrays of a `Source`."""
_VALIDATION = ("x_val", "y_val")


@dataclass(frozen=True)
class Source:
    """A data set before it is split; the arrays are read-only maps of files in the user cache.

    Attributes:
        name: ``"cifar10"``, ``"digits"`` or ``"own/<name of the reader's folder>"``.
        variant: what distinguishes this copy, e.g. ``"CIFAR-10 (JPEG q75 copy)"``.
        sha256: digest of all pixels and labels; of the reader's own images that of their files,
            the same at every size.
        classes: class names; a label is an index into them.
        max_val: the most images that may be held out of training for validation.
        x_train, x_test: uint8, shape (n, height, width, 3), RGB, 0 to 255.
        y_train, y_test: int64, shape (n,).
        x_val, y_val: the same of a validation part, where the set has one of its own.
        files: account of the files of the reader's own images, else None: how many were ``found``
            and ``read``; how many were ``ignored``, by reason; the same by part and class in
            ``classes``; ``notes`` and ``warnings``, sentences; ``white``, the value of 16-bit
            files that becomes 255, or 0. Names are relative to the folder.
    """

    name: str
    variant: str
    sha256: str
    classes: tuple[str, ...]
    max_val: int
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    x_val: np.ndarray | None = None
    y_val: np.ndarray | None = None
    files: dict | None = None

    @property
    def images(self) -> int:
        """How many images there are for training and validation."""
        return len(self.y_train) + (0 if self.y_val is None else len(self.y_val))


def place(name: str, key: str) -> Path:
    """Returns the folder of a decoded copy.

    Args:
        name: of the data set, as in `Source`.
        key: what distinguishes this copy of it, e.g. a digest of the files that it is made of.
    """
    return cache.folder("data") / digests.of_text(f"{name}:{key}")[:32]


def open_copy(path: Path) -> Source | None:
    """Opens the decoded copy in a folder, or returns None if it is missing or damaged."""
    try:
        facts = json.loads((path / "facts.json").read_text())
        names = [*ARRAYS, *(x for x in _VALIDATION if (path / f"{x}.npy").is_file())]
        arrays = {x: np.load(path / f"{x}.npy", mmap_mode="r", allow_pickle=False) for x in names}
        if digests.of_arrays(arrays) != (path / "pixels.sha256").read_text():
            return None
        return Source(**{**facts, "classes": tuple(facts["classes"])}, **arrays)
    except Exception:  # a damaged file fails in many ways; the copy is then made again
        return None


def opened(name: str, key: str, read: Callable[[], dict]) -> Source:
    """Opens a decoded copy, and makes it if it is missing or damaged.

    If two processes need the same copy, the second one waits for the first.

    Args:
        name, key: as in `place`.
        read: returns `ARRAYS`, ``variant``, ``classes`` and ``max_val``; ``sha256`` too where it
            is not the digest of the arrays; perhaps ``x_val``, ``y_val`` and ``files``.

    Raises:
        DataError: if the copy cannot be read back, and what ``read`` raises.
        OSError: if the copy cannot be written.
    """
    path = place(name, key)
    if (source := open_copy(path)) is None:
        with cache.lock(path.name):  # another process may make it meanwhile
            if (source := open_copy(path)) is None:
                shutil.rmtree(path, ignore_errors=True)
                _write(path, name, read())
                source = open_copy(path)
    if source is None:
        raise DataError(f"the decoded copy of {name} cannot be read back; {cache.ANOTHER_DISK}")
    return source


def _write(path: Path, name: str, content: dict) -> None:
    arrays = {name: content.pop(name) for name in (*ARRAYS, *_VALIDATION) if name in content}
    pixels = digests.of_arrays(arrays)
    try:
        with cache.atomic_folder(path) as part:
            for array, values in arrays.items():
                np.save(part / f"{array}.npy", values, allow_pickle=False)
            (part / "pixels.sha256").write_text(pixels)
            (part / "facts.json").write_text(json.dumps({"name": name, "sha256": pixels} | content))
    except OSError as error:
        raise OSError(
            f"the decoded copy of {name} cannot be written to {path.parent} "
            f"({error.strerror or error}); free 300 MB, or {cache.ANOTHER_DISK}"
        ) from error
