"""What a network learns from: images, or the stored features of its frozen layers."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lib import clock, inputs, models
from lib.data import Dataset
from lib.engine import keras, tf
from lib.errors import ModelError
from lib.training import checkpoints


@dataclass(frozen=True)
class Feed:
    """A network and its batches.

    Attributes:
        network: the model, or its head, which shares its weights.
        train: from a step, counted from the first of the first epoch, to the batches from it on.
        val: the validation batches.
        operations: multiply–adds spent on features.
        seconds: wall time they took.
        checkpoints: files that can be removed once the run is recorded.
    """

    network: keras.Model
    train: Callable[[int], tf.data.Dataset]
    val: tf.data.Dataset
    operations: int = 0
    seconds: float = 0.0
    checkpoints: tuple[Path, ...] = ()


def of(model: keras.Model, images: Dataset, recipe) -> Feed:
    """Feeds a model with images, or, where the recipe has ``views``, its head with features.

    Args:
        model: functional.
        images: the data.
        recipe: `lib.training.Recipe`.

    Raises:
        ModelError: if features are wanted of layers that learn, or there is no head.
    """
    if recipe.views:
        return _of_features(model, images, recipe)
    size = model.input_shape[1]
    return Feed(
        model,
        lambda step: inputs.training_batches(
            images.x_train, images.y_train, recipe, image_size=size, first_step=step
        ),
        inputs.evaluation_batches(images.x_val, images.y_val, image_size=size),
    )


def _of_features(model: keras.Model, images: Dataset, recipe) -> Feed:
    """Runs the frozen layers once for each view of the images, and feeds the head."""
    flat = models.head_input(model, f"VIEWS = {recipe.views}")
    base = keras.Model(model.inputs, flat)
    if base.trainable_weights:
        raise ModelError(
            f"VIEWS = {recipe.views}: layers before the head learn, so their features change and "
            "cannot be stored; set VIEWS = 0"
        )
    settings = {"views": recipe.views, "augmented": recipe.augmented, "seed": recipe.seed}
    checkpoint = checkpoints.of_training(base, images, settings)
    began = time.perf_counter()
    facts, stored = checkpoint.load() or ({"seconds": 0.0}, {"train": []})
    began = saved = began - facts["seconds"]
    size = model.input_shape[1]
    if "val" not in stored:
        val = inputs.evaluation_batches(images.x_val, images.y_val, image_size=size)
        stored["val"] = [base.predict(val, verbose=0).astype(np.float32)]
    for view in range(len(stored["train"]), recipe.views):
        batches = inputs.evaluation_batches(
            images.x_train,
            images.y_train,
            image_size=size,
            view=(recipe.seed, view) if recipe.augmented else None,
        )
        stored["train"].append(base.predict(batches, verbose=0).astype(np.float32))
        now = time.perf_counter()
        left = (now - began) / (view + 1) * (recipe.views - view - 1)
        print(
            f"features of view {view + 1} of {recipe.views}, about {clock(left)} left", flush=True
        )
        if now - saved >= checkpoints.seconds_between(checkpoints.EPOCH_SECONDS):
            checkpoint.save({"seconds": now - began}, stored)
            saved = now
    features = np.stack(stored["train"])
    return Feed(
        keras.Model(flat, model.outputs),
        lambda step: inputs.feature_batches(features, images.y_train, recipe, first_step=step),
        tf.data.Dataset.from_tensor_slices((stored["val"][0], images.y_val)).batch(1000),
        operations=recipe.views * len(images.y_train) * models.forward_macs(base),
        seconds=time.perf_counter() - began,
        checkpoints=(checkpoint.path,),
    )
