"""One door to data sets: open, keep a decoded copy, split. Images are uint8 arrays.

``cifar10`` is found or downloaded (`lib.data.cifar10`), ``digits`` needs no file at all. Anything
else is the path of a folder with the reader's own images (`lib.data.image_files`).
"""

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from lib import cache
from lib.data import cifar10, image_files
from lib.errors import DataError, UnknownDatasetError

PARTS = ("train", "val", "test")
"""Endings of a `Dataset`'s fields."""

_SPLIT_SEED = 0  # of what must not change with the run's seed: test subsets, digits' test set


@dataclass(frozen=True)
class Dataset:
    """Images and labels, split.

    Attributes:
        name: ``"cifar10"``, ``"digits"`` or ``"own/<name of the reader's folder>"``.
        variant: what distinguishes this copy, e.g. ``"CIFAR-10 (JPEG q75 copy)"``.
        sha256: digest of all pixels and labels, before any subset is taken; of the
            reader's own images that of their files, the same at every ``image_size``.
        classes: class names; a label is an index into them.
        x_train, x_val, x_test: uint8, shape (n, height, width, 3), RGB, 0 to 255.
        y_train, y_val, y_test: int64, shape (n,).
    """

    name: str
    variant: str
    sha256: str
    classes: tuple[str, ...]
    x_train: np.ndarray
    y_train: np.ndarray
    x_val: np.ndarray
    y_val: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray

    @property
    def image_size(self) -> int:
        """Height and width of the images, pixels."""
        return self.x_train.shape[1]

    def __str__(self) -> str:
        height, width = self.x_train.shape[1:3]
        return (
            f"{self.variant}: {len(self.x_train):,} training, {len(self.x_val):,} validation "
            f"and {len(self.x_test):,} test images, {height}×{width}, {len(self.classes)} classes"
        )

    def describe(self) -> dict:
        """Returns what a record says of the data."""
        return {
            "name": self.name,
            "variant": self.variant,
            "sha256": self.sha256,
            "train": len(self.x_train),
            "val": len(self.x_val),
            "test": len(self.x_test),
            "classes": list(self.classes),
        }


@dataclass(frozen=True)
class Source:
    """A data set before it is split; the arrays are read-only maps of the user cache.

    Attributes:
        max_val: the most images that may be held out of training for validation.
        x_train, y_train, x_test, y_test: as in `Dataset`.
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


def load(
    name: str = "auto",
    *,
    seed: int = 0,
    train_size: int = 40_000,
    val_size: int = 10_000,
    test_size: int = 10_000,
    image_size: int = 32,
    classes: tuple[str, ...] = (),
) -> Dataset:
    """Loads a data set and splits it.

    Sizes are upper bounds. The validation part is drawn from the training images,
    stratified, by ``seed`` (docs/study.md D5), and never exceeds a fifth of them (300 of
    the digits). A test subset is the same for every seed.

    Args:
        name: ``"auto"``, ``"cifar10"``, ``"digits"`` or the path of a folder.
        seed: draws the validation part and the training subset.
        train_size: training images, at most.
        val_size: validation images, at most.
        test_size: test images, at most.
        image_size: the reader's own images are read at this size; the other sets
            come at 32×32, and `lib.inputs` resizes them on the fly.
        classes: names of the only classes to keep, labelled in this order; by default all.

    Raises:
        DataError: if the data set cannot be had or used, or has no such classes.
    """
    source = open_source(name, image_size=image_size)
    if classes:
        source = _only(source, classes)
    count = len(source.classes)
    for word, size in (
        ("TRAIN_SIZE", train_size),
        ("VAL_SIZE", val_size),
        ("TEST_SIZE", test_size),
    ):
        if size < count:
            raise DataError(
                f"{word} = {size} is too small: {source.variant} has {count} classes, "
                f"so give at least {count}"
            )
    everything = np.arange(len(source.y_train))
    val_size = min(val_size, max(source.max_val, count))
    train, val = _stratified(everything, source.y_train, val_size, seed)
    # A stratified draw leaves out one image per class or more.
    if train_size < len(train):
        _, train = _stratified(train, source.y_train, min(train_size, len(train) - count), seed)
    test = np.arange(len(source.y_test))
    if test_size < len(test):
        take = min(test_size, len(test) - count)
        _, test = _stratified(test, source.y_test, take, _SPLIT_SEED)
    return Dataset(
        name=source.name,
        variant=source.variant,
        sha256=source.sha256,
        classes=source.classes,
        x_train=source.x_train[train],
        y_train=source.y_train[train],
        x_val=source.x_train[val],
        y_val=source.y_train[val],
        x_test=source.x_test[test],
        y_test=source.y_test[test],
    )


def _only(source: Source, classes: tuple[str, ...]) -> Source:
    """Keeps the images of some classes; the digest stays that of the whole data set."""
    unknown = [name for name in classes if name not in source.classes]
    if unknown or len(set(classes)) < max(len(classes), 2):
        raise DataError(
            f"classes {', '.join(classes)!r} of {source.variant}: expected two or more different "
            f"ones of {', '.join(source.classes)}"
        )
    new = np.full(len(source.classes), -1)
    new[[source.classes.index(name) for name in classes]] = np.arange(len(classes))
    kept = {}
    for part in ("train", "test"):
        labels = new[getattr(source, f"y_{part}")]
        kept[f"x_{part}"] = getattr(source, f"x_{part}")[labels >= 0]
        kept[f"y_{part}"] = labels[labels >= 0]
    max_val = source.max_val * len(kept["y_train"]) // len(source.y_train)
    return replace(source, classes=classes, max_val=max_val, **kept)


def _stratified(
    index: np.ndarray, labels: np.ndarray, take: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Splits ``index`` into (rest, taken) with the classes' shares kept; both sorted."""
    from sklearn.model_selection import train_test_split  # slow to import, seldom needed

    try:
        rest, taken = train_test_split(
            index, test_size=take, stratify=labels[index], random_state=seed
        )
    except ValueError as error:
        raise DataError(
            f"cannot take {take} of {len(index)} images with every class in both parts "
            f"({error}); give more images per class"
        ) from error
    return np.sort(rest), np.sort(taken)


def open_source(name: str, *, image_size: int = 32) -> Source:
    """Finds a data set and opens its decoded copy in the user cache.

    The copy is made on first use and checked against its digest at each opening.
    Two processes may do this at once.

    Args:
        name: as in `load`.
        image_size: as in `load`.

    Raises:
        DataError: if the data set cannot be had or used.
    """
    if name == "digits":
        return _cached("digits", "1", _read_digits)
    if name == "cifar10":
        path = cifar10.find()
        if path is None:
            source = _cached("cifar10", _DOWNLOADED, cifar10.download)
            cifar10.remove_downloads()
            return source
        # Copies made by earlier versions were not in Toronto's order.
        key = f"in Toronto's order: {cifar10.digest(path)}"
        return _cached("cifar10", key, lambda: cifar10.read(path))
    if name == "auto":
        try:
            return open_source("cifar10")
        except DataError as error:
            if cifar10.find():  # a broken copy is not "no copy"
                raise
            print(f"Using the data set 'digits': {error}.")
            return open_source("digits")
    folder = Path(name)
    if not folder.is_dir():
        raise UnknownDatasetError(
            f"unknown data set {name!r}: expected auto, cifar10, digits or the path of a folder "
            "with train/<class>/ and test/<class>/"
        )
    digest = image_files.digest_folder(folder)
    return _cached(
        f"own/{folder.resolve().name}",
        f"{digest}-{image_size}",
        lambda: {"sha256": digest, **image_files.read_folder(folder, image_size)},
    )


def cifar10_is_here() -> bool:
    """Returns whether CIFAR-10 can be opened without a download."""
    return bool(cifar10.find() or _open_copy(_place("cifar10", _DOWNLOADED)))


_DOWNLOADED = "downloaded"
"""Key of the decoded copy of a download, whose files are removed."""


def _place(name: str, key: str) -> Path:
    return cache.folder("data") / hashlib.sha256(f"{name}:{key}".encode()).hexdigest()[:32]


def _cached(name: str, key: str, read: Callable[[], dict]) -> Source:
    """Opens the decoded copy ``key``, which ``read`` makes if it is missing or damaged."""
    path = _place(name, key)
    source = _open_copy(path)
    if source is None:
        with cache.lock(path.name):
            # Another process may have made it meanwhile.
            source = _open_copy(path) or _make_copy(path, name, read)
    return source


def _make_copy(path: Path, name: str, read: Callable[[], dict]) -> Source:
    shutil.rmtree(path, ignore_errors=True)
    content = read()
    try:
        with cache.atomic_folder(path) as part:
            arrays = {part_name: content.pop(part_name) for part_name in cifar10.ARRAYS}
            for part_name, array in arrays.items():
                np.save(part / f"{part_name}.npy", array, allow_pickle=False)
            pixels = _digest_arrays(arrays)
            facts = {"name": name, "sha256": pixels, **content}
            (part / "pixels.sha256").write_text(pixels)
            (part / "facts.json").write_text(json.dumps(facts))
    except OSError as error:
        raise OSError(
            f"the decoded copy of {name} cannot be written to {path.parent} "
            f"({error.strerror or error}); free 300 MB, or set CIFAR10_LADDER_CACHE to a folder "
            "on another disk"
        ) from error
    source = _open_copy(path)
    if source is None:
        raise DataError(
            f"the decoded copy of {name} in {path} cannot be read back; "
            "check the disk, or set CIFAR10_LADDER_CACHE to a folder on another one"
        )
    return source


def _open_copy(path: Path) -> Source | None:
    try:
        facts = json.loads((path / "facts.json").read_text())
        arrays = {
            name: np.load(path / f"{name}.npy", mmap_mode="r", allow_pickle=False)
            for name in cifar10.ARRAYS
        }
        if _digest_arrays(arrays) != (path / "pixels.sha256").read_text():
            return None
        return Source(**{**facts, "classes": tuple(facts["classes"])}, **arrays)
    except Exception:  # a damaged file fails in many ways; all mean: make the copy again
        return None


def _digest_arrays(arrays: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name in cifar10.ARRAYS:
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array.data)
    return digest.hexdigest()


def _read_digits() -> dict:
    """Scikit-learn's handwritten digits, 8×8, enlarged to 32×32×3: 1,397 + 400 images."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    small = (digits.images * (255 / 16)).round().astype(np.uint8)
    gray = np.stack([cv2.resize(image, (32, 32)) for image in small])
    x = np.repeat(gray[..., np.newaxis], 3, axis=-1)
    y = digits.target.astype(np.int64)
    train, test = _stratified(np.arange(len(y)), y, 400, _SPLIT_SEED)
    return {
        "variant": "scikit-learn digits (not CIFAR-10)",
        "classes": [str(digit) for digit in range(10)],
        "max_val": 300,
        "x_train": x[train],
        "y_train": y[train],
        "x_test": x[test],
        "y_test": y[test],
    }
