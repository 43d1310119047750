"""Image files of any origin: read strictly, in bounds, as uint8 RGB arrays.

A data set of the reader's own is a folder ``train/<class>/*`` and ``test/<class>/*``.
"""

import hashlib
import os
import unicodedata
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from lib.errors import DataError

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
    files = _image_files(place) if place.is_dir() else [place]
    if not files or not files[0].is_file():
        raise DataError(
            f"PICTURE = {path!r}: expected the path of an image, or of a folder with images"
        )
    for file in files:
        _check_file_size(file)
    return {file.name: decode(file.read_bytes(), file.name) for file in files}


def fit_size(image: np.ndarray, size: int) -> np.ndarray:
    """Resizes one image, uint8 (h, w, 3), to (size, size, 3)."""
    shrinks = max(image.shape[:2]) > size
    return cv2.resize(
        image,
        (size, size),
        interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR,
    )


def read_folder(folder: Path, image_size: int) -> dict:
    """Reads ``train/<class>/*`` and ``test/<class>/*``.

    Args:
        folder: with the two.
        image_size: height and width that all images are resized to.

    Returns:
        Images, labels, and ``variant``, ``classes`` and ``max_val`` as in `lib.data.Source`.

    Raises:
        DataError: if classes or images are missing, or an image cannot be read.
    """
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
                image = decode(file.read_bytes(), str(file))
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


def digest_folder(folder: Path) -> str:
    """Returns the digest of the files that `read_folder` reads.

    Raises:
        DataError: if a folder is missing, or has a name that cannot be shown.
    """
    _check_text(folder.resolve().name)
    classes = [p / name for p in (folder / "train", folder / "test") for name in _class_names(p)]
    return digest_files(folder, (file for path in classes for file in _image_files(path)))


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


def decode(blob: bytes | memoryview | None, where: str) -> np.ndarray:
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


def digest_files(folder: Path, files: Iterable[Path]) -> str:
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
    if size > MOST_FILE_BYTES:
        raise DataError(
            f"{file} has {size:,} bytes; expected at most {MOST_FILE_BYTES:,}, remove it"
        )
