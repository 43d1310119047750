"""Arrays to batches: order, resize, augmentation, scaling.

Pixels stay uint8 until the last step. Order and augmentation derive from (seed,
epoch, step) and nothing else, so they do not depend on threads or on where a run began.
"""

from functools import lru_cache
from typing import Any

import numpy as np

from lib.engine import tf
from lib.opencv import cv2

ROTATION_DEGREES = 15.0
SHIFT = 0.1
"""The study's augmentation, from experiment 5 on (docs/study.md)."""

PIXELS = 2
"""Largest shift of the other kinds, which flip too."""
KINDS = ("study", "random flip", "alternating flip")
"""Kinds of augmentation."""

EVALUATION_BATCH = 250
THREADS = 1
"""Threads that make batches; how many changes nothing but the speed. One makes them many times
faster than any network takes them; a second costs more processor time (`benchmarks.augmentation`).
"""


def resize(images: np.ndarray, size: int) -> np.ndarray:
    """Resizes uint8 images (n, h, w, 3) to (n, size, size, 3), bilinear, as the study does."""
    if images.shape[1:3] == (size, size):
        return images
    return np.stack([cv2.resize(image, (size, size)) for image in images])


def draw_augmentation(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    """Draws the parameters of ``count`` augmentations, as `ImageDataGenerator` does.

    Returns:
        ``theta`` in degrees, uniform in ±15; ``rows`` and ``columns``, shifts as a share
        of height and width, uniform in ±0.1; ``flip``, bool, true with probability ½.
        Each of shape (count,).
    """
    return {
        "theta": rng.uniform(-ROTATION_DEGREES, ROTATION_DEGREES, count),
        "rows": rng.uniform(-SHIFT, SHIFT, count),
        "columns": rng.uniform(-SHIFT, SHIFT, count),
        "flip": rng.random(count) < 0.5,
    }


def augment(images: np.ndarray, theta, rows, columns, flip) -> np.ndarray:
    """Rotates about the center, shifts and flips images (docs/study.md D9).

    One affine warp per image, bilinear, edge pixels repeated: what `ImageDataGenerator`
    does with ``fill_mode="nearest"``, within interpolation error.

    Args:
        images: uint8, shape (n, h, w, 3).
        theta, rows, columns, flip: as `draw_augmentation` returns them.

    Returns:
        uint8, shape (n, h, w, 3).
    """
    height, width = images.shape[1:3]
    angle = np.deg2rad(theta)
    cos, sin = np.cos(angle), np.sin(angle)
    center_y, center_x = (height - 1) / 2, (width - 1) / 2
    # Pixel (x, y) of the result comes from rotating (x + dx, y + dy) and adding the center.
    dx, dy = columns * width - center_x, rows * height - center_y
    inverse = np.empty((len(images), 2, 3))
    inverse[:, 0, 0], inverse[:, 0, 1] = cos, -sin
    inverse[:, 1, 0], inverse[:, 1, 1] = sin, cos
    inverse[:, 0, 2] = cos * dx - sin * dy + center_x
    inverse[:, 1, 2] = sin * dx + cos * dy + center_y
    # A flip reads the columns from the other end; it costs nothing here.
    inverse[flip, :, 2] += inverse[flip, :, 0] * (width - 1)
    inverse[flip, :, 0] *= -1
    out = np.empty_like(images)
    warp, size = cv2.warpAffine, (width, height)
    how, border = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, cv2.BORDER_REPLICATE
    for image, matrix, target in zip(images, inverse, out, strict=True):
        warp(image, matrix, size, target, how, border)
    return out


def shift_and_flip(images: np.ndarray, rows, columns, flip) -> np.ndarray:
    """Shifts images by whole pixels and then flips some; the border is reflected.

    Args:
        images: uint8, shape (n, h, w, 3).
        rows, columns: of each image, by how many pixels its content moves up and to the left.
        flip: bool, of each image.

    Returns:
        uint8, shape (n, h, w, 3).
    """

    def mirrored(numbers: np.ndarray, size: int) -> np.ndarray:
        return size - 1 - np.abs(size - 1 - np.abs(numbers))

    count, height, width = images.shape[:3]
    row = mirrored(np.arange(height) + np.reshape(rows, (-1, 1)), height)
    column = mirrored(np.arange(width) + np.reshape(columns, (-1, 1)), width)
    column[flip] = column[flip, ::-1]
    return images[np.arange(count)[:, None, None], row[:, :, None], column[:, None, :]]


@lru_cache(maxsize=2)
def first_flips(count: int, seed: int) -> np.ndarray:
    """Returns which images an alternating flip mirrors in the epochs 0, 2, 4 …: bool, (count,)."""
    return np.random.default_rng((seed, 0, 0, 1)).random(count) < 0.5


def scale(images: np.ndarray) -> np.ndarray:
    """Scales uint8 pixels to float32 in [0, 1], as the study does."""
    return np.multiply(images, np.float32(1 / 255), dtype=np.float32)


@lru_cache(maxsize=2)
def epoch_order(count: int, seed: int, epoch: int) -> np.ndarray:
    """Returns the order of an epoch's images: int64, shape (count,)."""
    return np.random.default_rng((seed, epoch)).permutation(count)


def training_batch(
    x: np.ndarray, y: np.ndarray, recipe: Any, *, step: int, image_size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Makes one batch.

    Args:
        x, y: uint8 images and int64 labels.
        recipe: `lib.training.Recipe`, of which the size of batches, the seed and the
            augmentation matter here.
        step: number of the batch, counted from the first of the first epoch.
        image_size: height and width to resize to, pixels.

    Returns:
        float32 images (n, image_size, image_size, 3) in [0, 1] and int64 labels (n,).
    """
    epoch, index, chosen = _chosen(len(y), recipe, step)
    images = resize(x[chosen], image_size)
    if recipe.augmented:
        rng = np.random.default_rng((recipe.seed, epoch, index))
        if recipe.augmentation == "study":
            images = augment(images, **draw_augmentation(rng, len(images)))
        else:
            rows, columns = rng.integers(-PIXELS, PIXELS, (2, len(images)), endpoint=True)
            flip = rng.random(len(images)) < 0.5
            if recipe.augmentation == "alternating flip":
                flip = first_flips(len(y), recipe.seed)[chosen] ^ (epoch % 2 == 1)
            images = shift_and_flip(images, rows, columns, flip)
    return scale(images), y[chosen]


def _chosen(count: int, recipe: Any, step: int) -> tuple[int, int, np.ndarray]:
    """Returns epoch, step in the epoch and the numbers of the images of one batch."""
    size = recipe.batch_size
    epoch, index = divmod(step, -(-count // size))
    return epoch, index, epoch_order(count, recipe.seed, epoch)[index * size : (index + 1) * size]


def training_batches(
    x: np.ndarray, y: np.ndarray, recipe: Any, *, image_size: int, first_step: int = 0
) -> tf.data.Dataset:
    """Returns the endless stream of training batches from ``first_step`` on.

    Batches are made beside the training, two ahead. Each epoch is a new permutation; its last
    batch may be smaller, as in Keras.

    Args:
        x, y, recipe, image_size: see `training_batch`.
        first_step: number of the first batch.
    """

    def make(step: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return training_batch(x, y, recipe, step=int(step), image_size=image_size)

    return _stream(_from(first_step), make, (image_size, image_size, 3))


def feature_batches(
    views: np.ndarray, y: np.ndarray, recipe: Any, *, first_step: int = 0
) -> tf.data.Dataset:
    """Returns the endless stream of batches of stored features, in the order of the images.

    Args:
        views: float32 (views, n, features); each epoch takes the next view.
        y: labels, int64 (n,).
        recipe, first_step: as in `training_batches`.
    """

    def make(step: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        epoch, _, chosen = _chosen(len(y), recipe, int(step))
        return views[epoch % len(views)][chosen], y[chosen]

    return _stream(_from(first_step), make, views.shape[2:])


def evaluation_batches(
    x: np.ndarray, y: np.ndarray, *, image_size: int, view: tuple[int, int] | None = None
) -> tf.data.Dataset:
    """Returns the images once, in their order, not shuffled; augmented only as a ``view``.

    Above 64 pixels batches are smaller, so that they need about the same memory.

    Args:
        x, y: uint8 images and int64 labels.
        image_size: height and width to resize to.
        view: seed and number of a set of augmentations, for features that are stored
            (`lib.training`); None leaves the images as they are.
    """
    batch_size = max(1, min(EVALUATION_BATCH, EVALUATION_BATCH * 64**2 // image_size**2))

    def make(start: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        part = slice(int(start), int(start) + batch_size)
        images = resize(x[part], image_size)
        if view is not None:
            rng = np.random.default_rng((*view, int(start)))
            images = augment(images, **draw_augmentation(rng, len(images)))
        return scale(images), y[part]

    starts = tf.data.Dataset.range(0, len(x), batch_size)
    return _stream(starts, make, (image_size, image_size, 3))


def _from(first_step: int) -> tf.data.Dataset:
    return tf.data.Dataset.range(first_step, np.iinfo(np.int64).max)


def _stream(steps: tf.data.Dataset, make, shape: tuple[int, ...]) -> tf.data.Dataset:
    def load(step):
        x, labels = tf.numpy_function(make, [step], (tf.float32, tf.int64))
        x.set_shape((None, *shape))
        labels.set_shape((None,))
        return x, labels

    options = tf.data.Options()
    options.deterministic = True
    # Nothing is left to tune, and the tuner can hold up the end of a training.
    options.autotune.enabled = False
    # A pool of its own: TensorFlow's operations have one inter-op thread (lib.engine).
    options.threading.private_threadpool_size = THREADS
    return steps.map(load, num_parallel_calls=THREADS).prefetch(2).with_options(options)
