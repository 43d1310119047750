"""Data sets by name: found or downloaded, decoded once, split. Images are uint8 arrays.

``cifar10`` is found or downloaded (`lib.data.cifar10`), ``digits`` needs no file. Any other name
is the path of a folder with the reader's own images (`lib.data.folders`).
"""

import os
from dataclasses import dataclass, replace

import numpy as np

from lib import cache, in_batch_run
from lib.data import cifar10, copies, folders
from lib.data.copies import Source
from lib.data.folders import account, many
from lib.errors import DataError, UnknownDatasetError
from lib.opencv import cv2

PARTS = ("train", "val", "test")
"""Endings of a `Dataset`'s fields."""

DOWNLOADED = "downloaded"
"""Key of the decoded copy of a downloaded CIFAR-10, whose files are removed."""

_SPLIT_SEED = 0  # of what must not change with the run's seed: test subsets, digits' test set


@dataclass(frozen=True)
class Dataset:
    """Images and labels, split.

    Attributes:
        name, variant, classes: as in `lib.data.copies.Source`.
        sha256: as in `lib.data.copies.Source`, before any subset is taken.
        x_train, x_val, x_test: uint8, shape (n, height, width, 3), RGB, 0 to 255.
        y_train, y_val, y_test: int64, shape (n,).
        files: as in `lib.data.copies.Source`, of the whole data set.
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
    files: dict | None = None

    @property
    def image_size(self) -> int:
        """Height and width of the images, pixels."""
        return self.x_train.shape[1]

    def __str__(self) -> str:
        height, width = self.x_train.shape[1:3]
        return (
            f"{self.variant}: {len(self.x_train):,} training, {len(self.x_val):,} validation "
            f"and {len(self.x_test):,} test images, {height}×{width}, "
            f"{many(len(self.classes), 'class')}"
        )


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

    The validation part is drawn from the training images, stratified, by ``seed`` (docs/study.md
    D5), at most a fifth of them (300 of the digits), unless the reader's own images have one.
    A test subset is the same for every seed. Own images are accounted for in a notebook that a
    reader runs by hand; ``python -m ladder`` does it once for all notebooks.

    Args:
        name: ``"auto"``, ``"cifar10"``, ``"digits"`` or the path of a folder.
        seed: draws the validation part and the training subset.
        train_size, val_size, test_size: images of each part, at most.
        image_size: height and width, pixels, at which the reader's own images are read; the
            other sets are 32×32, and `lib.inputs` resizes them on the fly.
        classes: names of the only classes to keep, labelled in this order; by default all.

    Raises:
        DataError: if the data set is not available, cannot be used, or has no such classes.
    """
    source = open_source(name, image_size=image_size)
    if not in_batch_run():
        print(*account(source.variant, source.files), sep="\n", end="\n" if source.files else "")
    if classes:
        source = _only(source, classes)
    count = len(source.classes)
    sizes = {"TRAIN_SIZE": train_size, "VAL_SIZE": val_size, "TEST_SIZE": test_size}
    for word, size in sizes.items():
        if size < count:
            raise DataError(f"{word} = {size} is less than the {count} classes of {source.variant}")
    if source.y_val is None:
        val_size = min(val_size, max(source.max_val, count))
        train, val = _stratified(np.arange(len(source.y_train)), source.y_train, val_size, seed)
        x_val, y_val = source.x_train[val], source.y_train[val]
    else:
        train = np.arange(len(source.y_train))
        val = _at_most(val_size, np.arange(len(source.y_val)), source.y_val, _SPLIT_SEED)
        x_val, y_val = source.x_val[val], source.y_val[val]
    train = _at_most(train_size, train, source.y_train, seed)
    test = _at_most(test_size, np.arange(len(source.y_test)), source.y_test, _SPLIT_SEED)
    return Dataset(
        name=source.name,
        variant=source.variant,
        sha256=source.sha256,
        classes=source.classes,
        x_train=source.x_train[train],
        y_train=source.y_train[train],
        x_val=x_val,
        y_val=y_val,
        x_test=source.x_test[test],
        y_test=source.y_test[test],
        files=source.files,
    )


def _only(source: Source, classes: tuple[str, ...]) -> Source:
    """Keeps the images of some classes; the digest is still that of the whole data set."""
    if set(classes) - set(source.classes) or len(set(classes)) < max(len(classes), 2):
        raise DataError(
            f"classes {classes}: expected two or more different ones of {', '.join(source.classes)}"
        )
    new = np.full(len(source.classes), -1)
    new[[source.classes.index(name) for name in classes]] = np.arange(len(classes))
    kept = {}
    for part in PARTS if source.y_val is not None else ("train", "test"):
        labels = new[getattr(source, f"y_{part}")]
        kept[f"x_{part}"] = getattr(source, f"x_{part}")[labels >= 0]
        kept[f"y_{part}"] = labels[labels >= 0]
    max_val = source.max_val * len(kept["y_train"]) // len(source.y_train)
    return replace(source, classes=classes, max_val=max_val, **kept)


def _at_most(size: int, index: np.ndarray, labels: np.ndarray, seed: int) -> np.ndarray:
    """Draws a stratified subset of ``index``; a draw leaves out one image per class or more."""
    if size >= len(index):
        return index
    return _stratified(index, labels, min(size, len(index) - len(np.unique(labels))), seed)[1]


def _stratified(
    index: np.ndarray, labels: np.ndarray, take: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Splits ``index`` into (rest, taken) with the classes' shares kept; both sorted.

    Every class has an image in ``taken``, also one whose share is less.
    """
    from sklearn.model_selection import train_test_split  # slow to import, seldom needed

    counts = np.bincount(labels[index])
    rare = np.zeros(len(counts), dtype=bool)
    while True:  # an image of each rare class leaves less for the others
        left = take - rare.sum()
        more = ~rare & (counts > 0) & (counts * left < counts[~rare].sum())
        if not more.any():
            break
        rare |= more
    rng = np.random.default_rng(seed)
    taken = [rng.choice(index[labels[index] == x]) for x in np.flatnonzero(rare)]
    try:
        if left < 0:
            raise ValueError(f"{np.count_nonzero(counts)} classes")
        if left:
            usual = index[~rare[labels[index]]]
            taken += train_test_split(
                usual, test_size=left, stratify=labels[usual], random_state=seed
            )[1].tolist()
    except ValueError as error:
        raise DataError(
            f"cannot draw {take} of {many(len(index), 'image')} ({error}); give more images per "
            "class"
        ) from error
    return np.setdiff1d(index, taken), np.sort(taken)


def open_source(name: str, *, image_size: int = 32) -> Source:
    """Finds a data set and opens its decoded copy in the user cache.

    The copy is made on first use and checked against its digest at each opening.
    Two processes may do this at once.

    Args:
        name: as in `load`.
        image_size: as in `load`.

    Raises:
        DataError: if the data set is not available or cannot be used.
    """
    if name == "digits":
        return copies.opened("digits", "1", _read_digits)
    if name == "cifar10":
        path = cifar10.find()
        if path is None:
            source = copies.opened("cifar10", DOWNLOADED, cifar10.download)
            cifar10.remove_downloads()
            return source
        # Copies made by earlier versions were not in Toronto's order.
        key = f"in Toronto's order: {cifar10.digest(path)}"
        return copies.opened("cifar10", key, lambda: cifar10.read(path))
    if name == "auto":
        try:
            return open_source("cifar10")
        except DataError as error:
            if cifar10.find():  # a broken copy is not "no copy"
                raise
            print(f"Using the data set 'digits': {error}.")
            return open_source("digits")
    folder = cache.expanded(name)
    if not name or not os.path.isdir(folder):  # an empty path would be the working directory
        raise UnknownDatasetError(
            f"unknown data set {name!r}: expected auto, cifar10, digits or the path of a folder"
        )
    found = folders.survey(folder)

    def read() -> dict:
        return {"sha256": found.sha256, **folders.read(found, image_size)}

    # Copies made by earlier versions had transparency dropped, or 12 bits as 16.
    key = f"on white, with the range: {found.sha256}-{image_size}"
    source = copies.opened(f"own/{folder.resolve().name}", key, read)
    notes = found.files["notes"] + source.files["notes"]
    return replace(source, files=found.files | source.files | {"notes": notes})


def cifar10_is_here() -> bool:
    """Returns whether CIFAR-10 can be opened without a download."""
    return bool(cifar10.find() or copies.open_copy(copies.place("cifar10", DOWNLOADED)))


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
