"""What a network learns from: images, or the stored features of its frozen layers."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from lib import checkpoint, clock, inputs, models
from lib.data import Dataset
from lib.engine import keras, tf


@dataclass(frozen=True)
class Feed:
    """A network and its batches.

    Attributes:
        network: the model, or its head, which shares its weights.
        train: from a step, counted from the first of the first epoch, to the batches from it on.
        val: the validation batches.
        operations: multiply–adds spent on features.
        seconds: wall time they took.
    """

    network: keras.Model
    train: Callable[[int], tf.data.Dataset]
    val: tf.data.Dataset
    operations: int = 0
    seconds: float = 0.0


def of(
    model: keras.Model,
    images: Dataset,
    views: int,
    *,
    batch_size: int,
    augmented: bool,
    seed: int,
) -> Feed:
    """Feeds a model with images, or with ``views`` its head with features (`lib.training.fit`).

    Raises:
        ValueError: if features are asked for of layers that learn.
    """
    size = model.input_shape[1]
    val = inputs.evaluation_batches(images.x_val, images.y_val, image_size=size)
    if not views:
        return Feed(
            model,
            lambda step: inputs.training_batches(
                images.x_train,
                images.y_train,
                batch_size=batch_size,
                image_size=size,
                augmented=augmented,
                seed=seed,
                first_step=step,
            ),
            val,
        )
    began = time.perf_counter()
    flat = next(layer for layer in model.layers if isinstance(layer, keras.layers.Flatten))
    base = keras.Model(model.input, flat.output)
    if base.trainable_weights:
        raise ValueError(
            f"VIEWS = {views}: layers before Flatten learn, so their features change and cannot "
            "be kept; set VIEWS = 0"
        )
    settings = {"views": views, "augmented": augmented, "seed": seed}
    content = [*base.get_weights(), images.x_train, images.x_val]
    bundle = checkpoint.Bundle(checkpoint.fingerprint(settings, base.to_json(), content))
    facts, stored = bundle.load() or ({"seconds": 0.0}, {"train": []})
    began = saved = began - facts["seconds"]
    if "val" not in stored:
        stored["val"] = [base.predict(val, verbose=0)]
    for view in range(len(stored["train"]), views):
        batches = inputs.evaluation_batches(
            images.x_train,
            images.y_train,
            image_size=size,
            view=(seed, view) if augmented else None,
        )
        stored["train"].append(base.predict(batches, verbose=0))
        now = time.perf_counter()
        left = (now - began) / (view + 1) * (views - view - 1)
        print(f"features of view {view + 1} of {views}, about {clock(left)} left", flush=True)
        if now - saved >= checkpoint.seconds_between(checkpoint.EPOCH_SECONDS):
            bundle.save({"seconds": now - began}, stored)
            saved = now
    bundle.end()
    features = np.stack(stored["train"])
    return Feed(
        keras.Model(flat.output, model.output),
        lambda step: inputs.feature_batches(
            features, images.y_train, batch_size=batch_size, seed=seed, first_step=step
        ),
        tf.data.Dataset.from_tensor_slices((stored["val"][0], images.y_val)).batch(1000),
        operations=views * len(images.y_train) * models.forward_macs(base),
        seconds=time.perf_counter() - began,
    )
