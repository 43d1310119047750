"""Transfer learning: stored features, classifiers that learn on them, freezing."""

import time
from dataclasses import dataclass
from functools import partial

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import LinearSVC

from lib import metrics, models, training
from lib.data import PARTS, Dataset
from lib.engine import keras
from lib.errors import ParameterError

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


def join(backbone: keras.Model, head: keras.Model) -> keras.Model:
    """Puts a head on a backbone. The new model shares the layers of both."""
    return keras.Model(backbone.input, head(backbone.output), name="with_head")


def freeze_before(backbone: keras.Model, first: int | str) -> None:
    """Freezes the layers before one layer and unfreezes the others.

    Args:
        backbone: changed in place.
        first: index or name of the first layer that learns; the number of layers freezes all.

    Raises:
        ParameterError: if there is no such layer.
    """
    names = [layer.name for layer in backbone.layers]
    if first not in (*names, *range(len(names) + 1)):
        expected = f"0 to {len(names)} or {', '.join(names)}"
        raise ParameterError(f"no layer {first!r}: expected {expected}")
    count = names.index(first) if isinstance(first, str) else first
    for index, layer in enumerate(backbone.layers):
        layer.trainable = index >= count


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


CLASSIFIERS = {
    "logistic regression": LogisticRegression,
    # Its own tolerance of 1e-4 takes longer and gives nearly the same accuracy.
    "linear SVM": partial(LinearSVC, tol=1e-2),
}
STRENGTHS = (0.0001, 0.001, 0.01)
"""Inverse regularization strengths C that `fit_linear` tries."""


def _flat(maps: np.ndarray, pooled: bool) -> np.ndarray:
    return maps.mean(axis=(1, 2)) if pooled else maps.reshape(len(maps), -1)


def fit_linear(
    stored: Features, images: Dataset, kind: str = "logistic regression", *, pooled: bool = False
) -> Pipeline:
    """Trains a linear classifier on standardized features.

    Args:
        stored: see `features`.
        images: provides the labels.
        kind: a key of `CLASSIFIERS`.
        pooled: whether each channel is averaged over the map first.

    Returns:
        Of one classifier for each C in `STRENGTHS` the one with the highest validation accuracy:
        scikit-learn's, from feature maps (n, height, width, channels) to labels.
    """
    tried = []
    for strength in STRENGTHS:
        tried.append(
            make_pipeline(
                FunctionTransformer(_flat, kw_args={"pooled": pooled}),
                StandardScaler(),
                CLASSIFIERS[kind](C=strength, max_iter=1000, random_state=0),
            ).fit(stored["train"], images.y_train)
        )
    return max(tried, key=lambda pipeline: pipeline.score(stored["val"], images.y_val))


def drift(before: list[np.ndarray], after: list[np.ndarray]) -> float:
    """Returns how far weights moved, ‖after − before‖ / ‖before‖; 0 if they did not."""
    moved = sum(float(((b - a) ** 2).sum()) for a, b in zip(before, after, strict=True))
    return (moved / sum(float((a**2).sum()) for a in before)) ** 0.5
