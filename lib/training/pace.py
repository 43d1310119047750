"""How fast this machine trains a network, measured on a few steps."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from lib import clock, models
from lib.data import PARTS, Dataset
from lib.engine import keras, tf
from lib.results import machine

GRAPH_SECONDS = 4.0
"""What TensorFlow takes to make the graphs of one more model and to set it up."""
LONG = 600.0
"""Seconds from which a training is long."""
CALIBRATION_MACS = 3e10
"""Multiply–adds of a step that is timed: a fraction of a second."""


@dataclass(frozen=True)
class Pace:
    """Seconds that one image takes on this machine.

    Attributes:
        training: forward, backward and update.
        forward: inference.
    """

    training: float
    forward: float


def measure_pace(model: keras.Model, batch_size: int) -> Pace:
    """Times a few steps of a model on noise, for about a second; the model stays as it is.

    Args:
        model: the model.
        batch_size: of the training. A large network is timed on fewer images.
    """
    size, classes = model.input_shape[1], model.output_shape[-1]
    count = min(batch_size, max(4, round(CALIBRATION_MACS / max(1, models.training_macs(model)))))
    rng = np.random.default_rng(0)
    x = tf.constant(rng.random((count, size, size, 3), np.float32))
    y = tf.constant(np.arange(count) % classes)
    kept = [variable.numpy() for variable in model.variables]
    trainable = [variable.value for variable in model.trainable_variables]

    @tf.function
    def train():
        with tf.GradientTape() as tape:
            loss = keras.losses.sparse_categorical_crossentropy(y, model(x, training=True))
        return [tf.reduce_sum(gradient) for gradient in tape.gradient(loss, trainable)]

    @tf.function
    def infer():
        return model(x, training=False)

    pace = Pace(training=_shortest(train) / count, forward=_shortest(infer) / count)
    for variable, value in zip(model.variables, kept, strict=True):
        variable.assign(value)
    return pace


def _shortest(work: Callable) -> float:
    """Returns the seconds of the shortest of a few runs; the first makes the graph."""
    work()
    seconds, began = [], time.perf_counter()
    while len(seconds) < 2 or time.perf_counter() - began < 0.3:
        one = time.perf_counter()
        tf.nest.map_structure(lambda tensor: tensor.numpy(), work())
        seconds.append(time.perf_counter() - one)
    return min(seconds)


def training_seconds(pace: Pace, recipe, *, train: int, val: int, test: int) -> float:
    """Estimates the seconds of training and evaluation.

    Args:
        pace: see `measure_pace`.
        recipe: `lib.training.Recipe`; early stopping may end sooner.
        train, val, test: images of each part.
    """
    forward = recipe.head_epochs * (train + val) + train + val + test
    trained = 0
    if recipe.views:  # the head alone learns in next to no time
        forward += recipe.views * train + val
    else:
        forward += recipe.epochs * val
        trained = recipe.epochs * train
    return GRAPH_SECONDS + trained * pace.training + forward * pace.forward


def announce(model: keras.Model, images: Dataset, recipe, shorter: dict[str, dict]) -> None:
    """Prints how long training is likely to take here and, where it is long, what takes less.

    Args:
        model: functional.
        images: the data.
        recipe: `lib.training.Recipe`.
        shorter: parameters of the profiles that may take less, by name.
    """
    pace = measure_pace(model, recipe.batch_size)
    sizes = {part: len(getattr(images, f"x_{part}")) for part in PARTS}
    seconds = training_seconds(pace, recipe, **sizes)
    device = ", ".join(machine.gpus()) or "the CPU"
    print(
        f"Training and evaluation take about {clock(seconds)} here, on {device}, if all epochs run."
    )
    if seconds < LONG:
        return
    for profile, values in shorter.items():
        fewer = {part: min(count, values[f"{part.upper()}_SIZE"]) for part, count in sizes.items()}
        epochs = {name: values.get(name.upper(), 0) for name in ("epochs", "head_epochs", "views")}
        less = training_seconds(pace, replace(recipe, **epochs), **fewer)
        if less < seconds:
            print(f'With PROFILE = "{profile}" in the parameters cell they take {clock(less)}.')
