"""OpenCV, with a bound on the size of images and without threads of its own.

The bound must be set before OpenCV's library is first loaded: every module of this project
imports ``cv2`` from here. This module is not in `lib.engine`, because that loads TensorFlow,
which the command line and the readers of files do not need.
"""

import os

MOST_PIXELS = os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(2**26))
"""OpenCV reads no larger image of any format; the header is enough to refuse it."""

import cv2  # noqa: E402

# Images are small, and batches are made side by side: OpenCV's own threads would only wait.
cv2.setNumThreads(1)

__all__ = ["MOST_PIXELS", "cv2"]
