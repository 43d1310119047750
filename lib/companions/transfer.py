"""Transfer learning: stored features, classifiers that learn on them, forgetting."""

import math
import time
from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from lib import metrics, models, training
from lib.data import PARTS, Dataset
from lib.engine import keras

Features = dict[str, np.ndarray]


def features(backbone: keras.Model, images: Dataset) -> Features:
    """Computes the last feature map of all images, once.

    Args:
        backbone: from images in [0, 1] to a feature map (`lib.companions.backbones.build`).
        images: any data set; resized to the backbone's input.

    Returns:
        ``train``, ``val`` and ``test``: float32 (n, height, width, channels).
    """
    return {part: training.predict(backbone, getattr(images, f"x_{part}")) for part in PARTS}


def study_head(feature_shape: tuple[int, int, int], classes: int) -> keras.Model:
    """Builds the head of the study's VGG16 experiments, which takes a feature map.

    Args:
        feature_shape: height, width, channels.
        classes: units of the softmax.
    """
    inputs = keras.Input(shape=feature_shape)
    flat = keras.layers.Flatten()(inputs)
    head = models.head(flat, (256, 128), classes, batch_norm=True, dropout=True)
    return keras.Model(inputs, head, name="head")


@dataclass(frozen=True)
class HeadFit:
    """The result of training a head on stored features.

    Attributes:
        history: per epoch ``loss``, ``accuracy``, ``val_loss``, ``val_accuracy``.
        metrics: of ``train``, ``val`` and ``test``.
        seconds: wall time of the training, without the features.
    """

    history: dict[str, list[float]]
    metrics: dict[str, metrics.Score]
    seconds: float


def fit_head(
    head: keras.Model,
    stored: Features,
    images: Dataset,
    *,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
) -> HeadFit:
    """Trains a head on stored features; the result is that of training with a frozen backbone.

    Args:
        head: from a feature map to probabilities; trained in place.
        stored: see `features`.
        images: provides the labels.
        epochs, batch_size, learning_rate: of Adam, at a constant rate.
        seed: of the order and of Dropout.
    """
    keras.utils.set_random_seed(seed)
    training.compile(head, learning_rate=learning_rate)
    began = time.perf_counter()
    history = head.fit(
        stored["train"],
        images.y_train,
        validation_data=(stored["val"], images.y_val),
        epochs=epochs,
        batch_size=batch_size,
        verbose=0,
    ).history
    seconds = time.perf_counter() - began
    scores = {}
    for part in PARTS:
        outputs = training.two_columns(np.asarray(head(stored[part], training=False)))
        scores[part] = metrics.score(outputs, getattr(images, f"y_{part}"))
    plain = {key: [float(value) for value in values] for key, values in history.items()}
    return HeadFit(plain, scores, seconds)


STRENGTHS = (0.0001, 0.001, 0.01)
"""Inverse regularization strengths C that `fit_linear` tries."""


def _flat(maps: np.ndarray, pooled: bool) -> np.ndarray:
    return maps.mean(axis=(1, 2)) if pooled else maps.reshape(len(maps), -1)


def fit_linear(stored: Features, images: Dataset, *, pooled: bool = False) -> Pipeline:
    """Trains a logistic regression on standardized features.

    Args:
        stored: see `features`.
        images: provides the labels.
        pooled: whether each channel is averaged over the map first.

    Returns:
        Of one regression for each C in `STRENGTHS` the one with the highest validation accuracy:
        scikit-learn's, from feature maps (n, height, width, channels) to labels.
    """
    tried = []
    for strength in STRENGTHS:
        tried.append(
            make_pipeline(
                FunctionTransformer(_flat, kw_args={"pooled": pooled}),
                StandardScaler(),
                LogisticRegression(C=strength, max_iter=1000, random_state=0),
            ).fit(stored["train"], images.y_train)
        )
    return max(tried, key=lambda pipeline: pipeline.score(stored["val"], images.y_val))


def drift(before: list[np.ndarray], after: list[np.ndarray]) -> float:
    """Returns how far weights moved, ‖after − before‖ / ‖before‖; 0 if they did not."""
    moved = sum(float(((b - a) ** 2).sum()) for a, b in zip(before, after, strict=True))
    return (moved / sum(float((a**2).sum()) for a in before)) ** 0.5


def in_words(accuracy: float, images: Dataset) -> str:
    """Writes a test accuracy, and in parentheses whether it is at or below chance level.

    Chance is 1 / classes. Two standard errors around it count as chance level.

    Args:
        accuracy: on the test images, 0 to 1.
        images: the data set.
    """
    chance = 1 / len(images.classes)
    margin = 2 * math.sqrt(chance * (1 - chance) / len(images.y_test))
    if accuracy > chance + margin:
        return f"{accuracy:.1%}"
    below = "below" if accuracy < chance - margin else "at"
    return f"{accuracy:.1%} ({below} chance level, {chance:.1%})"
