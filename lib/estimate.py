"""How long a run is likely to take on this machine."""

import math
import time

from lib import models
from lib.data import Dataset, Source
from lib.engine import keras, tf
from lib.study import COMPANIONS
from lib.training import clock

# Share of the machine's matrix-product speed that training reaches, by kind of network: rough.
SHARES = {"small": 0.25, "cnn": 0.6, "batch_norm": 0.4, "vgg16": 0.55, "vgg16_64": 0.9}

NOTEBOOK_SECONDS = 12.0
"""What a notebook takes beside training and evaluation: start, figures, page."""


def machine_flops() -> float:
    """Measures the machine's float32 matrix product, FLOP/s, in about half a second."""
    a = tf.random.normal((1024, 1024))
    tf.linalg.matmul(a, a).numpy()
    best, began = math.inf, time.perf_counter()
    while time.perf_counter() - began < 0.5:
        one = time.perf_counter()
        tf.linalg.matmul(a, a).numpy()
        best = min(best, time.perf_counter() - one)
    return 2 * 1024**3 / best


def estimate_seconds(
    model: keras.Model,
    *,
    epochs: int,
    head_epochs: int = 0,
    train: int,
    val: int,
    test: int,
    flops: float,
) -> float:
    """Estimates the seconds of training and evaluation on this machine.

    Args:
        model: the model, as it will be trained.
        epochs: at most; early stopping may end sooner.
        head_epochs: epochs in which only the head learns.
        train, val, test: images of each part.
        flops: what `machine_flops` returned.
    """
    forward, training = models.forward_macs(model), models.training_macs(model)
    if forward < 5e6:
        kind = "small"
    elif any(layer.name.startswith("block1_conv") for layer in model.layers):
        kind = "vgg16_64" if model.input_shape[1] >= 64 else "vgg16"
    else:
        kinds = {type(layer).__name__ for layer in model.layers}
        kind = "batch_norm" if "BatchNormalization" in kinds else "cnn"
    macs = epochs * (train * training + val * forward) + (train + val + test) * forward
    macs += head_epochs * (train + val) * forward
    return 5 + 2 * macs / (flops * SHARES[kind])


def job_seconds(slug: str, values: dict, source: Source, flops: float) -> float:
    """Estimates the seconds of one notebook, all of it, before it runs.

    Args:
        slug: the notebook.
        values: its parameters.
        source: the data set.
        flops: what `machine_flops` returned.
    """
    if slug in COMPANIONS:
        macs, graphs = _companion_macs(slug, values, source)
        seconds = GRAPH_SECONDS * graphs + 2 * macs / (flops * SHARES["vgg16"])
        return NOTEBOOK_SECONDS + seconds
    model = models.build(
        slug,
        image_size=values.get("IMAGE_SIZE", 32),
        classes=len(source.classes),
        **({"imagenet": False} if "imagenet" in models.ARCHITECTURES[slug] else {}),
    )
    val = min(values["VAL_SIZE"], source.max_val)
    return NOTEBOOK_SECONDS + estimate_seconds(
        model,
        epochs=values["EPOCHS"],
        head_epochs=values.get("HEAD_EPOCHS", 0),
        train=min(values["TRAIN_SIZE"], len(source.y_train) - val),
        val=val,
        test=min(values["TEST_SIZE"], len(source.y_test)),
        flops=flops,
    )


def announce(model: keras.Model, images: Dataset, *, epochs: int, head_epochs: int = 0) -> None:
    """Prints how long training is likely to take here and what makes it shorter."""
    seconds = estimate_seconds(
        model,
        epochs=epochs,
        head_epochs=head_epochs,
        train=len(images.x_train),
        val=len(images.x_val),
        test=len(images.x_test),
        flops=machine_flops(),
    )
    print(
        f"Training and evaluation take about {clock(seconds)} here if all epochs run.\n"
        "Smaller EPOCHS, TRAIN_SIZE, VAL_SIZE and TEST_SIZE make it shorter."
    )


GRAPH_SECONDS = 4.0
"""What TensorFlow takes to make the graphs of one more model and to set it up."""

VGG16_BLOCK_SHARES = (0.126, 0.181, 0.301, 0.301, 0.091)
"""Of the multiply–adds of VGG16's convolutions, by block."""


def _vgg16_macs(size: int) -> float:
    """Returns the multiply–adds of VGG16's convolutions for one image."""
    return 15.35e9 * (size / 224) ** 2


def _companion_macs(slug: str, values: dict, source: Source) -> tuple[float, int]:
    """Returns the multiply–adds of a companion notebook, about, and how many models it makes."""
    val = min(values.get("VAL_SIZE", 0), source.max_val)
    train = min(values.get("TRAIN_SIZE", 0), len(source.y_train) - val)
    test = min(values.get("TEST_SIZE", 0), len(source.y_test))
    every, epochs = train + val + test, values.get("EPOCHS", 0)
    if slug == "reference_architectures":
        filters = values["FILTER_EPOCHS"] * train * 4.4e8 * (values["FILTER_SIZE"] / 96) ** 2
        count = 9 if values["NETWORKS"] == "all" else values["NETWORKS"].count(",") + 1
        return filters + count * values["OPERATIONS"], 3 * count + 4
    if slug == "feature_extraction":
        return every * _vgg16_macs(values["IMAGE_SIZE"]), 4
    if slug == "freezing_depth":
        images = 2 * every
        fewer = min(values["UNFROZEN_SIZE"], train)
        for depth in map(int, values["DEPTHS"].split(",")):
            cost = 1 + 2 * sum(VGG16_BLOCK_SHARES[5 - depth :])
            images += values["UNFROZEN_EPOCHS"] * (fewer * cost + val) + test
        return images * _vgg16_macs(values["IMAGE_SIZE"]), 8
    if slug == "transfer_strategies":
        full, last_block = 3, 1 + 2 * VGG16_BLOCK_SHARES[-1]
        images = epochs * train * (full + 2 * last_block) + 4 * every
        images += 4 * (min(values["OTHERS_SIZE"], len(source.y_train)) + val + test)
        return images * _vgg16_macs(values["IMAGE_SIZE"]), 8
    if slug == "why_frozen_fails":
        sizes = [int(size) for size in values["SIZES"].split(",")]
        return 2 * every * sum(map(_vgg16_macs, sizes)), 2 * len(sizes)
    if slug == "inspect_a_model":
        return epochs * train * 3 * 2.0e8 + every * 2.0e8, 3
    return 0.0, 2
