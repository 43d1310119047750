"""Image files of any origin: recognized by content, read strictly, in bounds, as RGB arrays."""

import io
import re
import warnings
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from lib import cache, digests
from lib.errors import DataError
from lib.opencv import MOST_PIXELS, cv2, quiet

MOST_FILE_BYTES = 2**29
"""The largest file of a data set that is read: CIFAR-10's parquet edition has 142 MB."""
HEAD_BYTES = 512
"""Bytes at a file's beginning that `format_of` needs."""
CUT_OFF = "cut off"
DAMAGED = "damaged, cut off, empty or unknown to OpenCV"
"""Why an image cannot be read where nothing more is known."""

_JPEG = b"\xff\xd8\xff"
_READ = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r\n|GIF8[79]a|RIFF....WEBP|II\*\0|MM\0\*|BM.{4}\0{4}"
    rb"|\0\0\0\x0cjP  |\xff\x4f\xff\x51|....ftyp(?:avi[fs]|mif1.{0,40}avif)",
    re.DOTALL,
)
_OTHER = {
    "HEIC": re.compile(rb"....ftyp(?:hei|hev|mif1|msf1)", re.DOTALL),
    "JPEG XL": re.compile(rb"\xff\x0a|\0\0\0\x0cJXL "),
    "PDF": re.compile(rb"%PDF"),
    "Photoshop": re.compile(rb"8BPS"),
    "SVG": re.compile(rb"\s*<(?!(?i:!doctype )?(?i:html)).*<svg[\s>]|\s*<svg[\s>]", re.DOTALL),
    "DICOM": re.compile(rb".{128}DICM", re.DOTALL),
}
_RAW = "camera RAW"
_SUFFIXES = {
    "": ".jpg .jpeg .jpe .jfif .png .apng .gif .webp .bmp .dib .tif .tiff .jp2 .j2k .avif "
    ".ppm .pgm .pbm .pnm .pfm .hdr .pic .sr .ras",
    "HEIC": ".heic .heif .hif",
    _RAW: ".arw .cr2 .cr3 .crw .dng .nef .nrw .orf .pef .raf .raw .rw2 .sr2 .srw",
    "JPEG XL": ".jxl",
    "PDF": ".pdf",
    "Photoshop": ".psd .psb",
    "SVG": ".svg .svgz",
    "DICOM": ".dcm",
    "OpenEXR": ".exr",
    **{name: f".{name.lower()}" for name in ("ICO", "TGA", "PCX", "DDS", "XCF", "EPS", "WMF")},
}
"""Suffixes of image files by format; of those with no name OpenCV reads the content."""
_FORMAT = {suffix: name for name, suffixes in _SUFFIXES.items() for suffix in suffixes.split()}


_LITTER = {
    *("thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "__macosx", "@eadir", "lost+found"),
    *("$recycle.bin", "system volume information"),
}


class UnreadableError(DataError):
    """An image that cannot be read; the message is the reason alone, for sentences about many."""


def format_of(name: str, first: bytes) -> str | None:
    """Returns ``""`` for an image to read, another format's name, or None for no image.

    Args:
        name: of the file. It decides where the content does not: for camera RAW, which looks like
            TIFF but shows a thumbnail only, and for files that are damaged or empty.
        first: its first `HEAD_BYTES`.
    """
    of_name = _FORMAT.get(Path(name).suffix.lower())
    if _READ.match(first) and of_name != _RAW:
        return ""
    return next((other for other, form in _OTHER.items() if form.match(first)), of_name)


def is_litter(path: Path) -> bool:
    """Returns whether a file or folder is hidden or one of those that systems leave behind."""
    name = path.name.lower()
    return name[0] == "." or name in _LITTER or (name[-1] == "~" and not path.is_dir())


def head(path: Path) -> bytes:
    """Returns a file's first bytes; none of a link that leads nowhere."""
    if not path.is_file():
        return b""
    with path.open("rb") as file:
        return file.read(HEAD_BYTES)


def read(path: str) -> dict[str, np.ndarray]:
    """Reads one image file, or all of a folder.

    Args:
        path: of an image in any format OpenCV reads, or of a folder, whose other files are named
            and ignored; ``~`` is the reader's home.

    Returns:
        uint8 RGB (height, width, 3), each in its own size, by file name.

    Raises:
        DataError: if there is none, or one cannot be read.
    """
    place = cache.expanded(path)
    files = [place]
    if place.is_dir():
        there = [x for x in sorted(place.iterdir()) if x.is_file() and not is_litter(x)]
        files = [file for file in there if format_of(file.name, head(file)) is not None]
        if others := len(there) - len(files):
            print(f"Files in {place.name} that are not images and are ignored: {others}.")
    if not files or not files[0].is_file():
        raise DataError(f"PICTURE = {path!r}: expected the path of an image or a folder of images")
    images = {}
    for file in files:
        try:
            images[file.name] = picture(bounded(file).read_bytes(), file.name)[0]
        except UnreadableError as error:
            raise DataError(
                f"{file.name} is not an image OpenCV can read ({error}); replace or remove it"
            ) from error
    white = white_of(max(int(image.max()) for image in images.values()))
    return {name: eight_bits(image, white) for name, image in images.items()}


def fit_size(image: np.ndarray, size: int) -> np.ndarray:
    """Resizes one image, uint8 or uint16 (h, w, 3), to (size, size, 3), pixels."""
    how = cv2.INTER_AREA if max(image.shape[:2]) > size else cv2.INTER_LINEAR
    return cv2.resize(image, (size, size), interpolation=how)


def white_of(largest: int) -> int:
    """Returns the value that is white in 16-bit files with at most this value.

    Cameras, microscopes and scanners store 10, 12 or 14 bits in 16.
    """
    return next(2**bits - 1 for bits in (8, 10, 12, 14, 16) if largest < 2**bits)


def eight_bits(image: np.ndarray, white: int) -> np.ndarray:
    """Scales a 16-bit image to uint8, with ``white`` as 255; returns an 8-bit one as it is."""
    if image.dtype == np.uint8:
        return image
    return np.rint(np.minimum(image, white) * (255 / white)).astype(np.uint8)


def content_digests(folder: Path, files: Iterable[Path]) -> dict[str, str]:
    """Returns the digests of files below a folder, by their path in it.

    Raises:
        DataError: if a file is too large.
    """
    return {str(x.relative_to(folder)): digests.of_file(bounded(x)) for x in files}


def decode(blob: bytes | memoryview | None, where: str) -> np.ndarray:
    """Decodes an 8-bit image to RGB (h, w, 3): EXIF is applied, transparency is dropped.

    Args:
        blob: the content of the file.
        where: what messages call it.

    Raises:
        DataError: if it is no image, or a too large one.
    """
    image = _decoded(blob, where, cv2.IMREAD_COLOR)
    if image is None:
        raise DataError(f"{where} is not an image OpenCV can read; replace or remove it")
    return _rgb(image)


def picture(blob: bytes, where: str) -> tuple[np.ndarray, bool]:
    """Decodes any image to RGB: EXIF is applied, transparency is laid on white.

    Args:
        blob: the content of the file.
        where: what messages call it.

    Returns:
        uint8, or uint16 of a 16-bit file, (h, w, 3), of the first frame or page; and whether there
        are more.

    Raises:
        UnreadableError: if it cannot be read; the message says why.
        DataError: if it is too large.
    """
    if blob.startswith(_JPEG) and not _is_whole(blob):
        raise UnreadableError(CUT_OFF)
    image = _decoded(blob, where, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    if image is None:  # OpenCV makes no colors of some values
        image = _decoded(blob, where, cv2.IMREAD_UNCHANGED)
    if image is None:
        raise UnreadableError(format_of(where, blob[:HEAD_BYTES]) or DAMAGED)
    if image.dtype not in (np.uint8, np.uint16):
        raise UnreadableError(f"values of type {image.dtype}")
    on_white, more = (None, False) if blob.startswith(_JPEG) else _on_white(blob)
    return (_rgb(image) if on_white is None else on_white), more


def _rgb(image: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _decoded(blob: bytes | memoryview | None, where: str, how: int) -> np.ndarray | None:
    """Returns what OpenCV makes of a file, BGR, or None."""
    try:
        with quiet():
            return cv2.imdecode(np.frombuffer(blob, np.uint8), how) if blob else None
    except cv2.error as error:
        if "CV_IO_MAX_IMAGE" in str(error):
            text = (
                f"{where} is too large: at most {MOST_PIXELS} pixels are read; shrink or remove it"
            )
            raise DataError(text) from error
        return None


def _on_white(blob: bytes) -> tuple[np.ndarray | None, bool]:
    """Returns an image that has transparency, on white, as uint8 RGB, and if there are more frames.

    Pillow does this: OpenCV drops the alpha of some formats and has multiplied it into others.
    """
    kinds = ("PNG", "TIFF", "GIF", "WEBP", "JPEG2000", "AVIF", "BMP")
    try:
        with (
            quiet(),
            warnings.catch_warnings(action="ignore"),
            Image.open(io.BytesIO(blob), formats=kinds) as found,
        ):
            more = getattr(found, "is_animated", False)
            if not found.has_transparency_data:
                return None, more
            upright = ImageOps.exif_transpose(found).convert("RGBA")
            low, high = upright.getextrema()[3]
            if low == 255 or (found.format == "BMP" and high == 0):  # many BMPs leave it empty
                return None, more  # so 16 bits stay 16
            white = Image.new("RGBA", upright.size, "white")
            return np.array(Image.alpha_composite(white, upright).convert("RGB")), more
    except Exception:  # a format that Pillow lacks, or another of its many; OpenCV has read it
        return None, False


def _is_whole(jpeg: bytes) -> bool:
    """Returns whether a JPEG file has its end marker.

    OpenCV 4 fills what is missing with gray or with another picture's pixels. A marker of a
    thumbnail in the header does not count.
    """
    at = 2
    while jpeg[at : at + 1] == b"\xff" and jpeg[at + 1 : at + 2] != b"\xda":  # to the first scan
        at += 1 if jpeg[at + 1 : at + 2] == b"\xff" else 2 + int.from_bytes(jpeg[at + 2 : at + 4])
    return jpeg.find(b"\xff\xd9", at) >= 0


def bounded(file: Path) -> Path:
    """Returns a file if it is not too large.

    Raises:
        DataError: if it is.
    """
    size = file.stat().st_size
    if size > MOST_FILE_BYTES:
        raise DataError(f"{file} has {size:,} bytes, more than {MOST_FILE_BYTES:,}; remove it")
    return file
