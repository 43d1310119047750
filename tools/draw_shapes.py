"""Draws a data set of your own kind to try the ladder with: `python tools/draw_shapes.py FOLDER`.

Three classes of shapes in noise, unbalanced, in the formats, sizes and oddities that folders of
pictures have: PNG, JPEG, WebP and BMP, 24 to 160 pixels, grey-scale, transparent, turned by EXIF.
"""

import struct
import sys
from pathlib import Path

import cv2
import numpy as np

CLASSES = {"circle": 960, "square": 640, "triangle": 400}
TEST_SHARE = 4  # one test image for so many training images
FORMATS = (".png", ".jpg", ".webp", ".bmp")


def draw(rng: np.random.Generator, shape: str) -> np.ndarray:
    """Draws one picture, uint8 BGR (h, w, 3)."""
    height, width = rng.integers(24, 161, 2)
    ground = rng.integers(60, 200, 3)
    image = rng.normal(ground, 12, (height, width, 3))
    image = np.clip(image, 0, 255).astype(np.uint8)
    size = int(min(height, width) * rng.uniform(0.3, 0.48))
    x, y = (int(rng.integers(size, length - size + 1)) for length in (width, height))
    color = tuple(int(value + (120 if value < 128 else -120)) for value in ground)
    if shape == "circle":
        cv2.circle(image, (x, y), size, color, -1)
        return image
    corners = 4 if shape == "square" else 3
    angles = np.pi * (rng.uniform(-0.1, 0.1) + 2 * np.arange(corners) / corners)
    points = np.stack([x + size * np.cos(angles), y + size * np.sin(angles)], axis=1)
    cv2.fillPoly(image, [points.round().astype(np.int32)], color)
    return image


def write(path: Path, image: np.ndarray, number: int) -> None:
    """Writes a picture; every seventh grey, every fifth PNG with alpha, every third JPEG turned."""
    if number % 7 == 0:
        image = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    elif path.suffix == ".png" and number % 5 == 0:
        image = cv2.cvtColor(image, cv2.COLOR_BGR2BGRA)
    turned = path.suffix == ".jpg" and number % 3 == 0
    if turned:
        image = cv2.rotate(image, cv2.ROTATE_90_COUNTERCLOCKWISE)
    blob = cv2.imencode(path.suffix, image)[1].tobytes()
    if turned:  # orientation 6: to be shown turned clockwise
        tag = struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0)
        exif = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", 1) + tag + b"\0\0\0\0"
        blob = blob[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + blob[2:]
    path.write_bytes(blob)


def main(folder: Path) -> None:
    """Writes ``folder/train/<class>`` and ``folder/test/<class>``."""
    rng = np.random.default_rng(0)
    for shape, count in CLASSES.items():
        for part, size in (("train", count), ("test", count // TEST_SHARE)):
            place = folder / part / shape
            place.mkdir(parents=True, exist_ok=True)
            for number in range(size):
                suffix = FORMATS[number % len(FORMATS)]
                write(place / f"{shape}-{number:03}{suffix}", draw(rng, shape), number)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
