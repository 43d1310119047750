"""CIFAR-10: found, downloaded, verified, read in any layout it is passed around in.

It is looked for in this order: ``$CIFAR10_DIR``, ``data/cifar10/``, Keras' cache; then it is
downloaded.
"""

import gzip
import io
import math
import os
import pickletools
import shutil
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO

import numpy as np

from lib import ROOT, cache
from lib.image_files import DataError, decode, digest_files

CLASSES = (
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
MEAN = (0.4914, 0.4822, 0.4465)
STD = (0.2470, 0.2435, 0.2616)

PARQUET_URL = "https://huggingface.co/datasets/uoft-cs/cifar10/resolve/main/plain_text/"
PARQUET_FILES = ("train-00000-of-00001.parquet", "test-00000-of-00001.parquet")
ARCHIVE_URL = "https://www.cs.toronto.edu/~kriz/"
ARCHIVE_FILE = "cifar-10-python.tar.gz"
ARCHIVE_SHA256 = "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"

HOW_TO_BRING_IT = (
    "set CIFAR10_DIR to a folder that holds CIFAR-10 (parquet, Keras archive or .npz), "
    "or use the data set 'digits', which needs no download"
)

ARRAYS = ("x_train", "y_train", "x_test", "y_test")

# What strangers' files may ask for; CIFAR-10's archive unpacks to 186 MB.
_MOST_ARCHIVE_BYTES = 2**28
_MOST_ARRAY_BYTES = 2**30
_MOST_ROWS = 60_000


def find() -> Path | None:
    """Returns the folder or file of a local CIFAR-10, or None.

    Raises:
        DataError: if ``$CIFAR10_DIR`` is set but holds no CIFAR-10.
    """
    wanted = os.environ.get("CIFAR10_DIR")
    if wanted:
        if not _holds_it(Path(wanted)):
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
    return next((path for path in candidates if _holds_it(path)), None)


def digest(path: Path) -> str:
    """Returns the digest of the files that make up a copy, as `find` returned it."""
    folder = path if path.is_dir() else path.parent
    files = [*_layout(path)[1], folder / "VARIANT.txt"]
    return digest_files(folder, (file for file in files if file.is_file()))


def _holds_it(path: Path) -> bool:
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


def read(path: Path) -> dict:
    """Reads CIFAR-10 in any accepted layout.

    Args:
        path: as `find` or `download` returned it.

    Returns:
        The `ARRAYS`, and ``variant``, ``classes`` and ``max_val`` as in `lib.data.Source`.

    Raises:
        DataError: if a file is damaged or holds something else.
    """
    layout, files = _layout(path)
    readers = {
        "parquet": _read_parquet,
        "batches": _read_batches,
        "archive": lambda files: _read_archive(files[0]),
        "npz": lambda files: _read_npz(files[0]),
    }
    arrays = dict(zip(ARRAYS, readers[layout](files), strict=True))
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
        "classes": list(CLASSES),
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
    if not note.is_file() and np.abs(statistics - (MEAN + STD)).max() > 5e-4:
        variant += " [not the canonical pixels]"
    return variant


def _read_parquet(files: list[Path]) -> tuple[np.ndarray, ...]:
    """Column layout of the public edition: ``img: struct<bytes, path>``, ``label``."""
    parts = []
    for part in ("train", "test"):
        images, labels = [], []
        for file in (file for file in files if file.name.startswith(f"{part}-")):
            for row, (blob, label) in enumerate(_parquet_rows(file)):
                image = decode(blob, f"{file}, row {row}")
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
            for name in ARRAYS:
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


def download() -> Path:
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
            reasons.append(getattr(error, "strerror", None) or type(error).__name__)
    raise DataError(
        f"CIFAR-10 is not on this machine and cannot be downloaded ({', '.join(reasons)}); "
        + HOW_TO_BRING_IT
    )


def _fetch_parquet() -> Path:
    path = cache.folder("downloads", "parquet")
    cache.download(PARQUET_URL, dict.fromkeys(PARQUET_FILES), path)
    try:  # no digest of this edition is known: judge it by structure, counts and pixels
        variant = read(path)["variant"]
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
