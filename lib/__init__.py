"""What the notebooks of the CIFAR-10 ladder share."""

import os
import sys
import time
from pathlib import Path

# nbformat's jsonschema would load a large grammar, for a format that no notebook uses.
sys.modules.setdefault("rfc3987_syntax", None)

# OpenCV reads it when it is first imported, and then refuses larger images of any format from
# their header alone: 64 megapixels.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(2**26))

# The kernels are TensorFlow's, whatever Keras is set to elsewhere.
os.environ["KERAS_BACKEND"] = "tensorflow"

# A run works in the project's folder, wherever it was started: relative paths are of the start.
for _name in ("CIFAR10_DIR", "CIFAR10_LADDER_CACHE", "KERAS_HOME", "VGG16_WEIGHTS"):
    if os.environ.get(_name, "auto") != "auto":
        os.environ[_name] = os.path.abspath(os.environ[_name])

BEGAN = time.perf_counter()
"""When this process began to use the project; `perf_counter` seconds."""

ROOT = Path(__file__).resolve().parent.parent
"""The project's top folder; the one place from which paths are found."""


def clock(seconds: float) -> str:
    """Writes a duration as a person would: ``"8 s"``, ``"12 min"``, ``"3.5 h"``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
