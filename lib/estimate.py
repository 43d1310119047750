"""How long a run is likely to take on this machine."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np

from lib import architectures, clock, models, pretrained, results
from lib.data import Dataset, Source
from lib.engine import keras, tf
from lib.study import COMPANIONS

NOTEBOOK_SECONDS = 12.0
"""What a notebook takes beside training and evaluation: start, figures, page."""
GRAPH_SECONDS = 4.0
"""What TensorFlow takes to make the graphs of one more model and to set it up."""
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
    count = min(batch_size, max(4, round(CALIBRATION_MACS / models.training_macs(model))))
    rng = np.random.default_rng(0)
    x = tf.constant(rng.random((count, size, size, 3), np.float32))
    y = tf.constant(np.arange(count) % classes)
    kept = [variable.numpy() for variable in model.variables]
    learnt = [variable.value for variable in model.trainable_variables]

    @tf.function
    def train():
        with tf.GradientTape() as tape:
            loss = keras.losses.sparse_categorical_crossentropy(y, model(x, training=True))
        return [tf.reduce_sum(gradient) for gradient in tape.gradient(loss, learnt)]

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


def training_seconds(
    pace: Pace,
    *,
    epochs: int,
    train: int,
    val: int,
    test: int,
    head_epochs: int = 0,
    views: int = 0,
) -> float:
    """Estimates the seconds of training and evaluation.

    Args:
        pace: see `measure_pace`.
        epochs: at most; early stopping may end sooner.
        train, val, test: images of each part.
        head_epochs, views: see `lib.training.fit`.
    """
    forward = head_epochs * (train + val) + train + val + test
    trained = 0
    if views:  # the head alone learns in next to no time
        forward += views * train + val
    else:
        forward += epochs * val
        trained = epochs * train
    return GRAPH_SECONDS + trained * pace.training + forward * pace.forward


def _pace(slug: str, image_size: int, classes: int, batch_size: int) -> Pace:
    def network(slug: str) -> dict:
        return models.ARCHITECTURES[slug] | {"imagenet": False}

    alike = next(other for other in models.ARCHITECTURES if network(other) == network(slug))
    return _measured_pace(alike, image_size, classes, batch_size)


@cache
def _measured_pace(slug: str, image_size: int, classes: int, batch_size: int) -> Pace:
    changes = {"imagenet": False} if "imagenet" in models.ARCHITECTURES[slug] else {}
    model = models.build(slug, image_size=image_size, classes=classes, **changes)
    return measure_pace(model, batch_size)


def job_seconds(slug: str, values: dict, source: Source) -> float:
    """Estimates the seconds of one notebook, all of it, before it runs.

    Args:
        slug: the notebook.
        values: its parameters.
        source: the data set.
    """
    if slug == "inspect_a_model":
        slug = values["EXPERIMENT"]
    if slug in COMPANIONS:
        macs, graphs = _companion_macs(slug, values, source)
        pace, one = _pace("08_vgg16_finetuned", 32, 10, 32), sum(_vgg16_macs(32))
        return NOTEBOOK_SECONDS + GRAPH_SECONDS * graphs + macs * pace.forward / one
    val = min(values["VAL_SIZE"], source.max_val)
    return NOTEBOOK_SECONDS + training_seconds(
        _pace(slug, values.get("IMAGE_SIZE", 32), len(source.classes), values["BATCH_SIZE"]),
        epochs=values["EPOCHS"],
        head_epochs=values.get("HEAD_EPOCHS", 0),
        views=values.get("VIEWS", 0),
        train=min(values["TRAIN_SIZE"], len(source.y_train) - val),
        val=val,
        test=min(values["TEST_SIZE"], len(source.y_test)),
    )


def announce(
    model: keras.Model,
    images: Dataset,
    *,
    epochs: int,
    batch_size: int,
    head_epochs: int = 0,
    views: int = 0,
) -> None:
    """Prints how long training is likely to take here and what makes it shorter."""
    seconds = training_seconds(
        measure_pace(model, batch_size),
        epochs=epochs,
        head_epochs=head_epochs,
        views=views,
        train=len(images.x_train),
        val=len(images.x_val),
        test=len(images.x_test),
    )
    device = ", ".join(results.gpus()) or "the CPU"
    print(
        f"Training and evaluation take about {clock(seconds)} here, on {device}, if all epochs "
        "run.\n"
        "Smaller EPOCHS, TRAIN_SIZE, VAL_SIZE and TEST_SIZE make it shorter."
    )


def _vgg16_macs(size: int) -> list[float]:
    """Returns the multiply–adds of VGG16's five blocks for one image."""
    totals = [0.0] * 5
    for name, kernel in pretrained.SHAPES.items():
        block = int(name.removeprefix("block")[0]) - 1
        totals[block] += (size // 2**block) ** 2 * math.prod(kernel)
    return totals


def _companion_macs(slug: str, values: dict, source: Source) -> tuple[float, int]:
    """Returns the multiply–adds of a companion notebook, about, and how many models it makes."""
    val = min(values.get("VAL_SIZE", 0), source.max_val)
    train = min(values.get("TRAIN_SIZE", 0), len(source.y_train) - val)
    test = min(values.get("TEST_SIZE", 0), len(source.y_test))
    every, epochs = train + val + test, values.get("EPOCHS", 0)
    if slug == "reference_architectures":
        alexnet = architectures.build("AlexNet", image_size=values["FILTER_SIZE"])
        filters = values["FILTER_EPOCHS"] * train * models.training_macs(alexnet)
        count = 9 if values["NETWORKS"] == "all" else values["NETWORKS"].count(",") + 1
        return filters + count * values["OPERATIONS"], 3 * count + 4
    if slug == "feature_extraction":
        return every * sum(_vgg16_macs(values["IMAGE_SIZE"])), 4
    if slug == "freezing_depth":
        blocks = _vgg16_macs(values["IMAGE_SIZE"])
        macs = 2 * every * sum(blocks)
        fewer = min(values["UNFROZEN_SIZE"], train)
        for depth in map(int, values["DEPTHS"].split(",")):
            trained = sum(blocks) + 2 * sum(blocks[5 - depth :])
            macs += values["UNFROZEN_EPOCHS"] * (fewer * trained + val * sum(blocks))
            macs += test * sum(blocks)
        return macs, 8
    if slug == "transfer_strategies":
        blocks = _vgg16_macs(values["IMAGE_SIZE"])
        trained = 3 * sum(blocks) + 2 * (sum(blocks) + 2 * blocks[-1])
        others = min(values["OTHERS_SIZE"], len(source.y_train)) + val + test
        return epochs * train * trained + 4 * (every + others) * sum(blocks), 8
    if slug == "why_frozen_fails":
        sizes = [int(size) for size in values["SIZES"].split(",")]
        return 2 * every * sum(sum(_vgg16_macs(size)) for size in sizes), 2 * len(sizes)
    return 0.0, 2  # imagenet_prediction
