"""How long a run is likely to take on this machine."""

import math
import time

from lib import architectures, models, pretrained
from lib.callbacks import clock
from lib.data import Dataset, Source
from lib.engine import keras, tf
from lib.study import COMPANIONS

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
    if slug == "inspect_a_model":
        slug = values["EXPERIMENT"]
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
