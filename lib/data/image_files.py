"""Image files of any origin: read strictly, in bounds, as uint8 RGB arrays.

A data set of the reader's own is a folder ``train/<class>/*`` and ``test/<class>/*``.
"""

import unicodedata
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from lib import digests
from lib.errors import DataError
from lib.opencv import MOST_PIXELS, cv2

MOST_FILE_BYTES = 2**29
"""The largest file of a data set that is read: CIFAR-10's parquet edition has 142 MB."""


def read(path: str) -> dict[str, np.ndarray]:
    """Reads one image file, or all of a folder.

    Args:
        path: of an image in any format OpenCV reads, or of a folder with nothing else.

    Returns:
        uint8 RGB (height, width, 3), each in its own size, by file name.

    Raises:
        DataError: if there is none, or one cannot be read.
    """
    place = Path(path)
    files = _visible(place, Path.is_file) if place.is_dir() else [place]
    if not files or not files[0].is_file():
        raise DataError(f"PICTURE = {path!r}: expected the path of an image or a folder of images")
    return {file.name: decode(_bounded(file).read_bytes(), file.name) for file in files}


def fit_size(image: np.ndarray, size: int) -> np.ndarray:
    """Resizes one image, uint8 (h, w, 3), to (size, size, 3), pixels."""
    how = cv2.INTER_AREA if max(image.shape[:2]) > size else cv2.INTER_LINEAR
    return cv2.resize(image, (size, size), interpolation=how)


def read_folder(folder: Path, image_size: int) -> dict:
    """Reads ``train/<class>/*`` and ``test/<class>/*``.

    Args:
        folder: with the two.
        image_size: height and width, pixels, that all images are resized to.

    Returns:
        Images, labels, and ``variant``, ``classes`` and ``max_val`` as in `lib.data.Source`.

    Raises:
        DataError: if classes or images are missing, or an image cannot be read.
    """
    classes = _class_names(folder)
    content = {"variant": f"own images: {folder.resolve().name}", "classes": classes}
    for part in ("train", "test"):
        images, labels = [], []
        for label, name in enumerate(classes):
            files = _visible(folder / part / name, Path.is_file)
            if len(files) < 2:
                raise DataError(f"{folder}: {part}/{name}/ has {len(files)} images; give 2 or more")
            images += [fit_size(decode(file.read_bytes(), str(file)), image_size) for file in files]
            labels += [label] * len(files)
        content[f"x_{part}"] = np.stack(images)
        content[f"y_{part}"] = np.array(labels, dtype=np.int64)
    return content | {"max_val": len(content["y_train"]) // 5}


def digest_folder(folder: Path) -> str:
    """Returns the digest of the files that `read_folder` reads.

    Raises:
        DataError: if the folder's classes are not usable, or a name cannot be shown.
    """
    places = [folder / part / name for name in _class_names(folder) for part in ("train", "test")]
    return digest_files(folder, [file for p in places for file in _visible(p, Path.is_file)])


def digest_files(folder: Path, files: Iterable[Path]) -> str:
    """Returns the digest of the names and contents of files below a folder, in any order.

    Raises:
        DataError: if a file is too large.
    """
    contents = {str(x.relative_to(folder)): digests.of_file(_bounded(x)) for x in files}
    return digests.of_json(contents)


def _class_names(folder: Path) -> list[str]:
    """Returns the names of a data set's classes, after checking that all are usable."""
    train, test = folder / "train", folder / "test"
    if not (train.is_dir() and test.is_dir()):
        raise DataError(f"{folder}: expected a folder with train/<class>/ and test/<class>/")
    names, others = ([p.name for p in _visible(part, Path.is_dir)] for part in (train, test))
    for name in (folder.resolve().name, *names, *others):
        # E.g. a line break, which no page can show.
        if any(unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") for letter in name):
            raise DataError(f"the folder name {name!a} cannot be shown on a page; rename it")
    if names != others:
        only = ", ".join(sorted(set(names) ^ set(others)))
        raise DataError(f"{folder}: give train/ and test/ the same classes; only one has {only}")
    if len(names) < 2:
        raise DataError(f"{folder} has {len(names)} class ({', '.join(names)}); give 2 or more")
    return names


def _visible(folder: Path, kind: Callable[[Path], bool]) -> list[Path]:
    """Returns what a folder holds of a kind, without hidden files, sorted by name."""
    return sorted(path for path in folder.iterdir() if kind(path) and path.name[0] != ".")


def decode(blob: bytes | memoryview | None, where: str) -> np.ndarray:
    """Decodes an image file to uint8 RGB (h, w, 3); gray, alpha, EXIF orientation are resolved.

    Args:
        blob: the content of the file.
        where: what messages call it.

    Raises:
        DataError: if it is no image, or a too large one.
    """
    try:
        image = cv2.imdecode(np.frombuffer(blob, np.uint8), cv2.IMREAD_COLOR) if blob else None
    except cv2.error as error:
        if "CV_IO_MAX_IMAGE" in str(error):
            text = (
                f"{where} is too large: at most {MOST_PIXELS} pixels are read; shrink or remove it"
            )
            raise DataError(text) from error
        image = None
    if image is None:
        raise DataError(f"{where} is not an image OpenCV can read; replace or remove it")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _bounded(file: Path) -> Path:
    """Returns a file if it is not too large."""
    size = file.stat().st_size
    if size > MOST_FILE_BYTES:
        raise DataError(f"{file} has {size:,} bytes, more than {MOST_FILE_BYTES:,}; remove it")
    return file
