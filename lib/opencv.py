"""OpenCV, with a bound on the size of images, without threads of its own, and silent.

The bound must be set before OpenCV's library is first loaded: every module of this project
imports ``cv2`` from here. This module is not in `lib.engine`, because that loads TensorFlow,
which the command line and the readers of files do not need.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

MOST_PIXELS = os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(2**26))
"""OpenCV reads no larger image of any format; the header is enough to refuse it."""

import cv2  # noqa: E402

# Images are small, and batches are made side by side: OpenCV's own threads would only wait.
cv2.setNumThreads(1)
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # we say what is wrong

__all__ = ["MOST_PIXELS", "cv2", "quiet"]


@contextmanager
def quiet() -> Iterator[None]:
    """Drops what libraries write past Python to file descriptor 2: libpng, libtiff, TensorFlow."""
    try:
        kept = os.dup(2)
    except OSError:  # there is no standard error
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
