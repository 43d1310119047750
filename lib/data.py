"""One door to data sets: find, download, verify, split. Images are uint8 arrays.

Sources of ``cifar10`` in this order: ``$CIFAR10_DIR``, ``data/cifar10/``, Keras'
cache, a download. ``digits`` needs no file at all. Anything else is the path of a
folder ``train/<class>/*`` and ``test/<class>/*`` with the reader's own images.
"""

import gzip
import hashlib
import io
import json
import math
import os
import pickletools
import shutil
import tarfile
import unicodedata
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import IO

import cv2
import numpy as np

from lib import ROOT, cache

CIFAR10_CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
# Mean and standard deviation of the canonical training pixels, 0 to 1.
CIFAR10_MEAN = (0.4914, 0.4822, 0.4465)
CIFAR10_STD = (0.2470, 0.2435, 0.2616)

PARQUET_URL = "https://huggingface.co/datasets/uoft-cs/cifar10/resolve/main/plain_text/"
PARQUET_FILES = ("train-00000-of-00001.parquet", "test-00000-of-00001.parquet")
ARCHIVE_URL = "https://www.cs.toronto.edu/~kriz/"
ARCHIVE_FILE = "cifar-10-python.tar.gz"
ARCHIVE_SHA256 = "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"

HOW_TO_BRING_CIFAR10 = (
    "set CIFAR10_DIR to a folder that holds CIFAR-10 (parquet, Keras archive or .npz), "
    "or use the data set 'digits', which needs no download"
)
PARTS = ("train", "val", "test")
"""Endings of a `Dataset`'s fields."""

# What strangers' files may ask for. CIFAR-10's archive unpacks to 186 MB, one batch of it is
# 31 MB, its parquet edition holds 142 MB.
_MOST_FILE_BYTES = 2**29
_MOST_ARCHIVE_BYTES = 2**28
_MOST_ARRAY_BYTES = 2**30
_MOST_ROWS = 60_000

_SPLIT_SEED = 0  # of what must not change with the run's seed: test subsets, digits' test set


class DataError(ValueError):
    """A data set that cannot be used; the message says which, why, and what to do."""


class UnknownDatasetError(DataError):
    """A name that means no data set."""


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
        path = find_cifar10() or download_cifar10()
        return _cached("cifar10", _digest_cifar10(path), lambda: _read_cifar10(path))
    if name == "auto":
        try:
            return open_source("cifar10")
        except DataError as error:
            if find_cifar10() is not None:  # a broken copy is not "no copy"
                raise
            print(f"Using the data set 'digits': {error}.")
            return open_source("digits")
    folder = Path(name)
    if not folder.is_dir():
        raise UnknownDatasetError(
            f"unknown data set {name!r}: expected auto, cifar10, digits or the path of a folder "
            "with train/<class>/ and test/<class>/"
        )
    _check_text(folder.resolve().name)
    classes = [p / name for p in (folder / "train", folder / "test") for name in _class_names(p)]
    digest = _digest_files(folder, (file for path in classes for file in _image_files(path)))
    return _cached(
        f"own/{folder.resolve().name}",
        f"{digest}-{image_size}",
        lambda: {"sha256": digest, **_read_image_folder(folder, image_size)},
    )


# --- the decoded copy -------------------------------------------------------------------


def _cached(name: str, key: str, read: Callable[[], dict]) -> Source:
    """Opens the decoded copy ``key``, which ``read`` makes if it is missing or damaged."""
    path = cache.folder("data") / hashlib.sha256(f"{name}:{key}".encode()).hexdigest()[:32]
    source = _open_copy(path)
    if source is None:
        shutil.rmtree(path, ignore_errors=True)
        content = read()
        with cache.atomic_folder(path) as part:
            arrays = {part_name: content.pop(part_name) for part_name in _ARRAYS}
            for part_name, array in arrays.items():
                np.save(part / f"{part_name}.npy", array, allow_pickle=False)
            pixels = _digest_arrays(arrays)
            facts = {"name": name, "sha256": pixels, **content}
            (part / "pixels.sha256").write_text(pixels)
            (part / "facts.json").write_text(json.dumps(facts))
        source = _open_copy(path)
        if source is None:
            raise DataError(
                f"the decoded copy of {name} in {path} cannot be read back; "
                "check the disk, or set CIFAR10_LADDER_CACHE to a folder on another one"
            )
    return source


_ARRAYS = ("x_train", "y_train", "x_test", "y_test")


def _open_copy(path: Path) -> Source | None:
    try:
        facts = json.loads((path / "facts.json").read_text())
        arrays = {
            name: np.load(path / f"{name}.npy", mmap_mode="r", allow_pickle=False)
            for name in _ARRAYS
        }
        if _digest_arrays(arrays) != (path / "pixels.sha256").read_text():
            return None
        return Source(**{**facts, "classes": tuple(facts["classes"])}, **arrays)
    except Exception:  # a damaged file fails in many ways; all mean: make the copy again
        return None


def _digest_arrays(arrays: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name in _ARRAYS:
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array.data)
    return digest.hexdigest()


def _digest_files(folder: Path, files: Iterable[Path]) -> str:
    """Digest over the names and contents of files below a folder."""
    digest = hashlib.sha256()
    for file in sorted(files):
        _check_file_size(file)
        digest.update(os.fsencode(file.relative_to(folder)))
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


def _check_file_size(file: Path) -> None:
    size = file.stat().st_size
    if size > _MOST_FILE_BYTES:
        raise DataError(
            f"{file} has {size:,} bytes; expected at most {_MOST_FILE_BYTES:,}, remove it"
        )


# --- digits -----------------------------------------------------------------------------


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


# --- CIFAR-10 ---------------------------------------------------------------------------


def _digest_cifar10(path: Path) -> str:
    folder = path if path.is_dir() else path.parent
    files = [*_layout(path)[1], folder / "VARIANT.txt"]
    return _digest_files(folder, (file for file in files if file.is_file()))


def find_cifar10() -> Path | None:
    """Returns the folder or file of a local CIFAR-10, or None.

    Raises:
        DataError: if ``$CIFAR10_DIR`` is set but holds no CIFAR-10.
    """
    wanted = os.environ.get("CIFAR10_DIR")
    if wanted:
        if not _holds_cifar10(Path(wanted)):
            raise DataError(
                f"CIFAR10_DIR = {wanted!r} holds no CIFAR-10: expected plain_text/*.parquet, "
                "cifar-10-batches-py/, cifar-10-python.tar.gz or one .npz with "
                "x_train, y_train, x_test, y_test"
            )
        return Path(wanted)
    home = cache.keras_home() / "datasets"
    candidates = (
        ROOT / "data" / "cifar10",
        home / "cifar-10-batches-py-target",
        home / "cifar-10-batches-py-target_archive",
        home / "cifar-10-batches-py",
        home / "cifar-10-batches-py.tar.gz",
        cache.folder("downloads", "parquet"),
        cache.folder("downloads", "archive"),
    )
    return next((path for path in candidates if _holds_cifar10(path)), None)


def _holds_cifar10(path: Path) -> bool:
    return path.is_file() or _layout(path)[0] != ""


def _layout(path: Path) -> tuple[str, list[Path]]:
    """Returns the layout of a CIFAR-10 folder or file and the files that make it up."""
    if path.is_file():
        return ("npz" if path.suffix == ".npz" else "archive"), [path]
    for folder in (path / "plain_text", path):
        train, test = (sorted(folder.glob(f"{part}-*.parquet")) for part in ("train", "test"))
        if train and test:
            return "parquet", train + test
    for folder in (path / "cifar-10-batches-py", path):
        if (folder / "data_batch_1").is_file():
            return "batches", [folder / name for name in _BATCHES]
    for pattern, layout in (("*.tar.gz", "archive"), ("*.npz", "npz")):
        files = sorted(path.glob(pattern))
        if files:
            return layout, files[:1]
    return "", []


def _read_cifar10(path: Path) -> dict:
    """Reads CIFAR-10 in any accepted layout."""
    layout, files = _layout(path)
    readers = {
        "parquet": _read_parquet,
        "batches": _read_batches,
        "archive": lambda files: _read_archive(files[0]),
        "npz": lambda files: _read_npz(files[0]),
    }
    arrays = dict(zip(_ARRAYS, readers[layout](files), strict=True))
    for part in ("train", "test"):
        x, y = arrays[f"x_{part}"], arrays[f"y_{part}"]
        if x.dtype != np.uint8 or x.shape[1:] != (32, 32, 3) or y.shape != (len(x),):
            raise DataError(
                f"{path}: {part} images have shape {x.shape} and type {x.dtype}, labels "
                f"{y.shape}; expected uint8 (n, 32, 32, 3) and (n,)"
            )
        if not np.array_equal(np.unique(y), np.arange(10)):
            raise DataError(
                f"{path}: the {part} labels are {np.unique(y).tolist()[:12]}; "
                "expected all of 0 to 9, as in CIFAR-10"
            )
    count = (len(arrays["x_train"]), len(arrays["x_test"]))
    arrays |= {name: arrays[name].astype(np.int64) for name in ("y_train", "y_test")}
    return {
        "variant": _variant(path, count, arrays["x_train"]),
        "classes": list(CIFAR10_CLASSES),
        "max_val": count[0] // 5,
        **arrays,
    }


def _variant(path: Path, count: tuple[int, int], x_train: np.ndarray) -> str:
    """Names a copy: by its VARIANT.txt, its size, and how far its pixels are from canonical."""
    note = (path if path.is_dir() else path.parent) / "VARIANT.txt"
    variant = "CIFAR-10"
    if note.is_file():
        with note.open(encoding="utf-8", errors="replace") as file:
            variant = " ".join(file.read(200).split())
    if count != (50_000, 10_000):
        return f"{variant} [{count[0]:,} + {count[1]:,} of 50,000 + 10,000 images]"
    pixels = x_train.reshape(-1, 3)
    statistics = np.concatenate([pixels.mean(axis=0), pixels.std(axis=0)]) / 255
    if not note.is_file() and np.abs(statistics - (CIFAR10_MEAN + CIFAR10_STD)).max() > 5e-4:
        variant += " [not the canonical pixels]"
    return variant


def _read_parquet(files: list[Path]) -> tuple[np.ndarray, ...]:
    """Column layout of the public edition: ``img: struct<bytes, path>``, ``label``."""
    parts = []
    for part in ("train", "test"):
        images, labels = [], []
        for file in (file for file in files if file.name.startswith(f"{part}-")):
            for row, (blob, label) in enumerate(_parquet_rows(file)):
                image = _decode(blob, f"{file}, row {row}")
                if image.shape != (32, 32, 3):
                    raise DataError(
                        f"{file}, row {row}: the image has shape {image.shape}; "
                        "expected (32, 32, 3), as in CIFAR-10"
                    )
                images.append(image)
                labels.append(label)
        if not images:
            raise DataError(f"{files[0].parent} has no {part} images; download it again")
        parts += [np.stack(images), np.array(labels, dtype=np.int64)]
    return tuple(parts)


def _parquet_rows(file: Path) -> Iterator[tuple[memoryview | None, int]]:
    """Yields (image file, label), few at a time: a row that repeats takes no space on disk."""
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(file) as table:
            facts = table.metadata
            groups = [facts.row_group(index) for index in range(facts.num_row_groups)]
            size = sum(group.total_byte_size for group in groups)
            if facts.num_rows > _MOST_ROWS or size > _MOST_ARRAY_BYTES:
                raise ValueError(f"{facts.num_rows:,} rows of {size:,} bytes are too many")
            for batch in table.iter_batches(16, columns=["img", "label"]):
                labels = np.asarray(batch["label"], dtype=np.int64).tolist()
                for blob, label in zip(batch["img"].field("bytes"), labels, strict=True):
                    yield blob.as_buffer(), label
    except Exception as error:  # Arrow's, the system's and those of another layout
        raise DataError(
            f"{file} is damaged or not CIFAR-10 ({_first_line(error)}); download it again"
        ) from error


def _decode(blob: bytes | memoryview | None, where: str) -> np.ndarray:
    """Decodes an image file to uint8 RGB; grey, alpha and EXIF orientation are resolved."""
    try:
        image = cv2.imdecode(np.frombuffer(blob, np.uint8), cv2.IMREAD_COLOR) if blob else None
    except cv2.error as error:
        if "CV_IO_MAX_IMAGE" in str(error):
            most = os.environ["OPENCV_IO_MAX_IMAGE_PIXELS"]
            raise DataError(
                f"{where} is too large: at most {most} pixels are read; shrink or remove it"
            ) from error
        image = None
    if image is None:
        raise DataError(f"{where} is not an image OpenCV can read; replace or remove it")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


_BATCHES = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch")


def _read_batches(files: list[Path]) -> tuple[np.ndarray, ...]:
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise DataError(f"{files[0].parent} lacks {', '.join(missing)}; unpack the archive again")
    return _join_batches((file.read_bytes(), str(file)) for file in files)


def _read_archive(path: Path) -> tuple[np.ndarray, ...]:
    """Keras' archive, read member by member in memory; nothing is unpacked to disk."""
    members = {}
    try:
        with gzip.open(path) as file:  # to the end, where gzip's checksum stands
            raw = file.read(_MOST_ARCHIVE_BYTES + 1)
        if len(raw) > _MOST_ARCHIVE_BYTES:
            raise ValueError(f"it unpacks to more than {_MOST_ARCHIVE_BYTES:,} bytes")
        with tarfile.open(fileobj=io.BytesIO(raw)) as archive:
            for member in archive:
                name = PurePosixPath(member.name)
                if name.is_absolute() or ".." in name.parts:
                    raise ValueError(f"its member {member.name!r} points outside")
                if not member.isdir() and (member.type not in _PLAIN or member.issparse()):
                    raise ValueError(f"its member {member.name!r} is a link or no plain file")
                if member.isfile() and name.name in _BATCHES:
                    members[name.name] = archive.extractfile(member).read()
        batches = [(members[name], f"{path}: {name}") for name in _BATCHES]
    except Exception as error:  # tar, gzip, zlib and system errors, all of them the file's
        raise DataError(
            f"{path} is damaged or not CIFAR-10's archive ({_first_line(error)}); download it again"
        ) from error
    return _join_batches(batches)


_PLAIN = (tarfile.REGTYPE, tarfile.AREGTYPE)


def _join_batches(batches: Iterable[tuple[bytes, str]]) -> tuple[np.ndarray, ...]:
    pairs = [_parse_batch(raw, where) for raw, where in batches]
    x_train, y_train = (np.concatenate(part) for part in zip(*pairs[:5], strict=True))
    return x_train, y_train, *pairs[5]


def _parse_batch(raw: bytes, where: str) -> tuple[np.ndarray, np.ndarray]:
    """Reads one of CIFAR-10's batches, which are Python pickles, without unpickling.

    The file's operations are scanned as data: the one string of n × 3,072 bytes holds
    the pixels (channels first), the integers after the key ``labels`` the labels.
    (Python 3 writes a key of bytes as a text followed by "latin1".)
    """
    pixels, labels, key = b"", [], ""
    try:
        for op, value, _ in pickletools.genops(io.BytesIO(raw)):
            if isinstance(value, bytes | str):
                text = value if isinstance(value, bytes) else value.encode("latin-1", "replace")
                if len(text) >= 3072 and len(text) % 3072 == 0:
                    pixels = text
                elif op.name not in {"PUT", "GET", "GLOBAL"} and text != b"latin1":
                    key = text.decode("latin-1")
            elif key == "labels" and op.name in {"BININT1", "BININT", "BININT2", "INT"}:
                labels.append(int(value))
        y = np.array(labels, dtype=np.int64)
    except Exception as error:  # a damaged file fails in many ways, none of them ours
        raise DataError(f"{where} is damaged ({_first_line(error)}); unpack it again") from error
    if not pixels or len(pixels) != 3072 * len(labels):
        raise DataError(
            f"{where} is not a batch of CIFAR-10: {len(pixels):,} bytes of pixels for "
            f"{len(labels):,} labels; unpack the archive again"
        )
    x = np.frombuffer(pixels, np.uint8).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(x), y


def _read_npz(path: Path) -> tuple[np.ndarray, ...]:
    """One ``.npz`` as Keras' older caches and many readers keep it; never unpickled."""
    arrays = []
    try:
        with zipfile.ZipFile(path) as archive:
            for name in _ARRAYS:
                with archive.open(f"{name}.npy") as file:
                    arrays.append(_read_npy(name, file))
    except Exception as error:  # zip, header and pickle errors, all of them the file's
        raise DataError(
            f"{path} is no usable .npz ({_first_line(error)}); expected plain arrays "
            "x_train, y_train, x_test, y_test"
        ) from error
    x_train, y_train, x_test, y_test = arrays
    return x_train, np.ravel(y_train), x_test, np.ravel(y_test)


def _read_npy(name: str, file: IO[bytes]) -> np.ndarray:
    """Reads an array, if its header does not ask for too much: zeros pack a thousandfold."""
    version = np.lib.format.read_magic(file)
    headers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    shape, _, dtype = headers[version](file)
    size = math.prod(shape) * dtype.itemsize
    if size > _MOST_ARRAY_BYTES:
        raise ValueError(f"{name} asks for {size:,} bytes, at most {_MOST_ARRAY_BYTES:,} are read")
    file.seek(0)
    return np.lib.format.read_array(file, allow_pickle=False)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def download_cifar10() -> Path:
    """Downloads CIFAR-10: the parquet edition first, the Toronto archive second.

    Returns:
        The folder in the user cache that holds it.

    Raises:
        DataError: if neither can be had.
    """
    reasons = []
    for fetch in (_fetch_parquet, _fetch_archive):
        try:
            return fetch()
        except Exception as error:  # requests, urllib3, pooch and the system each have their own
            reasons.append(type(error).__name__)
    raise DataError(
        f"CIFAR-10 is not on this machine and cannot be downloaded ({', '.join(reasons)}); "
        + HOW_TO_BRING_CIFAR10
    )


def _fetch_parquet() -> Path:
    path = cache.folder("downloads", "parquet")
    cache.download(PARQUET_URL, dict.fromkeys(PARQUET_FILES), path)
    try:  # no digest of this edition is known: judge it by structure, counts and pixels
        variant = _read_cifar10(path)["variant"]
    except DataError as error:
        variant = str(error)
    if variant != "CIFAR-10":
        shutil.rmtree(path)
        raise ValueError(f"the downloaded parquet edition is not CIFAR-10: {variant}")
    return path


def _fetch_archive() -> Path:
    path = cache.folder("downloads", "archive")
    cache.download(ARCHIVE_URL, {ARCHIVE_FILE: f"sha256:{ARCHIVE_SHA256}"}, path)
    return path


# --- the reader's own images ------------------------------------------------------------


def read_pictures(path: str) -> dict[str, np.ndarray]:
    """Reads one image file, or all of a folder.

    Args:
        path: of an image in any format OpenCV reads, or of a folder with nothing else.

    Returns:
        uint8 RGB (height, width, 3), each in its own size, by file name.

    Raises:
        DataError: if there is none, or one cannot be read.
    """
    place = Path(path)
    files = _image_files(place) if place.is_dir() else [place]
    if not files or not files[0].is_file():
        raise DataError(
            f"PICTURE = {path!r}: expected the path of an image, or of a folder with images"
        )
    for file in files:
        _check_file_size(file)
    return {file.name: _decode(file.read_bytes(), file.name) for file in files}


def fit_size(image: np.ndarray, size: int) -> np.ndarray:
    """Resizes one image, uint8 (h, w, 3), to (size, size, 3)."""
    shrinks = max(image.shape[:2]) > size
    return cv2.resize(
        image,
        (size, size),
        interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR,
    )


def _read_image_folder(folder: Path, image_size: int) -> dict:
    """Reads ``train/<class>/*`` and ``test/<class>/*`` at ``image_size`` × ``image_size``."""
    classes = _class_names(folder / "train")
    if classes != _class_names(folder / "test"):
        only = sorted(set(classes) ^ set(_class_names(folder / "test")))
        raise DataError(
            f"{folder}: train/ and test/ do not have the same classes ({', '.join(only)} in one "
            "only); give both the same class folders"
        )
    if len(classes) < 2:
        raise DataError(
            f"{folder} has {len(classes)} class ({', '.join(classes)}); expected at least two "
            "class folders below train/ and test/"
        )
    content = {}
    for part in ("train", "test"):
        images, labels = [], []
        for label, name in enumerate(classes):
            files = _image_files(folder / part / name)
            if len(files) < 2:
                raise DataError(
                    f"{folder}: {part}/{name}/ has {len(files)} images; expected at least 2"
                )
            for file in files:
                image = _decode(file.read_bytes(), str(file))
                images.append(fit_size(image, image_size))
                labels.append(label)
        content[f"x_{part}"] = np.stack(images)
        content[f"y_{part}"] = np.array(labels, dtype=np.int64)
    return {
        "variant": f"own images: {folder.resolve().name}",
        "classes": classes,
        "max_val": len(content["y_train"]) // 5,
        **content,
    }


def _class_names(folder: Path) -> list[str]:
    if not folder.is_dir():
        raise DataError(
            f"{folder} does not exist; expected a folder with train/<class>/ and test/<class>/"
        )
    names = sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    for name in names:
        _check_text(name)
    return names


def _check_text(name: str) -> None:
    """Refuses names of folders that no page can show, e.g. with a line break."""
    if any(unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") for letter in name):
        raise DataError(
            f"the folder name {name!a} holds letters that cannot be shown, such as a line break; "
            "rename it"
        )


def _image_files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith("."))
