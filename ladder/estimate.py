"""How long a notebook is likely to take on this machine."""

import math
from functools import cache

from lib import models, pretrained
from lib.companions import architectures
from lib.data import Source
from lib.study import COMPANIONS
from lib.training.pace import GRAPH_SECONDS, Pace, measure_pace, training_seconds

NOTEBOOK_SECONDS = 12.0
"""What a notebook takes beside training and evaluation: start, figures, page."""


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
