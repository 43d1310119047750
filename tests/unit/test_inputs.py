"""Batches and augmentation, against Keras' own ImageDataGenerator."""

from types import SimpleNamespace

import numpy as np
import pytest

from lib import inputs
from lib.engine import tf


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    """Smooth random pictures: what photographs are like, at 32×32."""
    import cv2

    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (64, 8, 8, 3), dtype=np.uint8)
    return np.stack([cv2.resize(image, (32, 32), interpolation=cv2.INTER_CUBIC) for image in noise])


@pytest.mark.parametrize("size", [32, 64])
def test_augmentation_equals_image_data_generator(images, size):
    generator = tf.keras.preprocessing.image.ImageDataGenerator(fill_mode="nearest")
    images = inputs.resize(images, size)
    drawn = inputs.draw_augmentation(np.random.default_rng(1), len(images))
    ours = inputs.augment(images, **drawn)
    for index, image in enumerate(images):
        theirs = generator.apply_transform(
            image.astype(np.float32),
            {
                "theta": drawn["theta"][index],
                "tx": drawn["columns"][index] * size,  # Keras swaps the axes once more
                "ty": drawn["rows"][index] * size,
                "flip_horizontal": bool(drawn["flip"][index]),
            },
        )
        assert np.abs(ours[index] - theirs).mean() <= 1


def test_drawn_parameters_have_the_generators_distribution():
    from scipy import stats

    generator = tf.keras.preprocessing.image.ImageDataGenerator(
        rotation_range=15, width_shift_range=0.1, height_shift_range=0.1, horizontal_flip=True
    )
    theirs = [generator.get_random_transform((32, 32, 3), seed=seed) for seed in range(3000)]
    ours = inputs.draw_augmentation(np.random.default_rng(0), 3000)
    for name, key, factor in (("theta", "theta", 1), ("rows", "ty", 32), ("columns", "tx", 32)):
        test = stats.ks_2samp(factor * ours[name], [draw[key] for draw in theirs])
        assert test.pvalue > 0.001, name
    assert abs(ours["flip"].mean() - np.mean([d["flip_horizontal"] for d in theirs])) < 0.05


def test_no_augmentation_is_the_identity(images):
    nothing = np.zeros(len(images))
    same = inputs.augment(images, nothing, nothing, nothing, nothing.astype(bool))
    assert np.array_equal(same, images)


def test_shifts_reflect_the_border_and_flips_mirror(images):
    rng = np.random.default_rng(0)
    rows, columns = rng.integers(-2, 3, (2, len(images)))
    flip = rng.random(len(images)) < 0.5
    padded = np.pad(images, ((0, 0), (2, 2), (2, 2), (0, 0)), mode="reflect")
    ours = inputs.shift_and_flip(images, rows, columns, flip)
    for n, (row, column) in enumerate(zip(2 + rows, 2 + columns, strict=True)):
        expected = padded[n, row : row + 32, column : column + 32]
        assert np.array_equal(ours[n], expected[:, ::-1] if flip[n] else expected)


def test_an_alternating_flip_mirrors_each_image_in_every_other_epoch():
    """Of images that brighten to the right; a shift of two pixels does not change that."""
    ramp = np.broadcast_to(np.arange(0, 256, 8, np.uint8)[:, None], (40, 32, 32, 3))

    def mirrored(kind: str) -> np.ndarray:
        batches = stream(ramp, augmentation=kind, batch_size=20)
        found = np.zeros((7, 40), bool)
        for step, (pixels, labels) in enumerate(batches):
            brightness = pixels.mean(axis=(1, 3))
            found[step // 2, labels] = brightness[:, 5] > brightness[:, -5]
        return found

    alternating, random = mirrored("alternating flip"), mirrored("random flip")
    assert 10 < alternating[0].sum() < 30
    assert (alternating[1:] != alternating[:-1]).all()
    assert 0.3 < (random[1:] != random[:-1]).mean() < 0.7


def test_scaling_once():
    scaled = inputs.scale(np.array([0, 51, 255], dtype=np.uint8))
    assert scaled.dtype == np.float32
    assert scaled == pytest.approx([0, 0.2, 1])


def test_resize_is_bilinear(images):
    import cv2

    assert np.array_equal(inputs.resize(images, 64)[3], cv2.resize(images[3], (64, 64)))
    assert inputs.resize(images, 32) is images


def stream(images, **changes) -> list:
    labels = np.arange(len(images))
    first = changes.pop("first_step", 0)
    recipe = {"batch_size": 10, "augmented": True, "augmentation": "study", "seed": 0, **changes}
    recipe = SimpleNamespace(**recipe)
    batches = inputs.training_batches(images, labels, recipe, image_size=32, first_step=first)
    return list(batches.take(14).as_numpy_iterator())


def test_each_epoch_shows_every_image_once_in_a_new_order(images):
    seen = [labels for _, labels in stream(images)]
    first, second = np.concatenate(seen[:7]), np.concatenate(seen[7:])
    assert len(seen[6]) == 4  # 64 = 6 × 10 + 4
    assert sorted(first) == sorted(second) == list(range(64))
    assert not np.array_equal(first, second)


def test_batches_depend_on_seed_and_step_only(images):
    once, again = stream(images), stream(images)
    assert all(np.array_equal(a[0], b[0]) for a, b in zip(once, again, strict=True))
    later = stream(images, first_step=5)
    assert np.array_equal(later[0][0], once[5][0])
    assert not np.array_equal(stream(images, seed=1)[0][1], once[0][1])


def test_without_augmentation_pixels_are_the_images_own(images):
    pixels, labels = stream(images, augmented=False)[0]
    assert np.array_equal(pixels, inputs.scale(images[labels]))


def test_evaluation_neither_shuffles_nor_augments(images, monkeypatch):
    monkeypatch.setattr(inputs, "EVALUATION_BATCH", 50)
    batches = inputs.evaluation_batches(images, np.arange(64), image_size=32)
    pairs = zip(*batches.as_numpy_iterator(), strict=True)
    pixels, labels = (np.concatenate(part) for part in pairs)
    assert np.array_equal(labels, np.arange(64))
    assert np.array_equal(pixels, inputs.scale(images))


@pytest.mark.parametrize(("size", "first"), [(32, 250), (64, 250), (128, 62), (2048, 1)])
def test_evaluation_batches_shrink_with_the_square_of_the_size(size, first):
    x = np.zeros((first + 1, 8, 8, 3), np.uint8)
    batches = inputs.evaluation_batches(x, np.zeros(len(x), np.int64), image_size=size)
    assert next(batches.as_numpy_iterator())[0].shape == (first, size, size, 3)
