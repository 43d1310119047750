"""Transfer learning: features computed once, heads, what is frozen, what is kept."""

import time
from dataclasses import dataclass
from functools import partial

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from lib import metrics, models, training
from lib.data import PARTS, Dataset
from lib.engine import keras

layers = keras.layers

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


def head(kind: str, feature_shape: tuple[int, int, int], classes: int) -> keras.Model:
    """Builds a classifier that takes a feature map.

    Args:
        kind: ``"study"``: the eleven experiments' 256, 128, BatchNormalization, Dropout;
            ``"post"``: the blog post's Dense 1000, Dropout 0.3; ``"course"``: the course
            page's Dense 256 and one sigmoid, for two classes; ``"chapter"``: the book
            chapter's global average pooling and Dense 1024.
        feature_shape: height, width, channels.
        classes: units of the softmax.

    Raises:
        ValueError: if there is no such head, or ``"course"`` is asked for more classes.
    """
    inputs = keras.Input(shape=feature_shape)
    flat = layers.Flatten()
    if kind == "study":
        x = models.head(flat(inputs), (256, 128), classes, batch_norm=True, dropout=True)
    elif kind == "post":
        x = layers.Dense(1000, activation="relu", name="fc1")(flat(inputs))
        x = layers.Dropout(0.3)(x)
        x = layers.Dense(classes, activation="softmax", name="predictions")(x)
    elif kind == "course" and classes == 2:
        x = layers.Dense(256, activation="relu")(flat(inputs))
        x = layers.Dense(1, activation="sigmoid")(x)
    elif kind == "chapter":
        x = layers.GlobalAveragePooling2D()(inputs)
        x = layers.Dense(1024, activation="relu")(x)
        x = layers.Dense(classes, activation="softmax")(x)
    else:
        raise ValueError(
            f"head {kind!r} for {classes} classes: expected study, post or chapter, or course "
            "for two classes"
        )
    return keras.Model(inputs, x, name=f"{kind}_head")


def join(backbone: keras.Model, top: keras.Model) -> keras.Model:
    """Puts a head on a backbone; both stay shared with the new model."""
    return keras.Model(backbone.input, top(backbone.output), name="with_head")


def unfreeze_blocks(backbone: keras.Model, count: int) -> None:
    """Leaves the last ``count`` of VGG16's five blocks trainable, and freezes the others.

    Raises:
        ValueError: if VGG16 has no so many blocks.
    """
    if not 0 <= count <= 5:
        raise ValueError(f"{count} trainable blocks: expected 0 to 5, VGG16 has five")
    for layer in backbone.layers:
        number = layer.name.removeprefix("block")[:1]
        layer.trainable = number.isdigit() and int(number) > 5 - count


def unfreeze_from(backbone: keras.Model, name: str) -> None:
    """Freezes the layers before the one of that name, and no other.

    Raises:
        ValueError: if there is no such layer.
    """
    names = [layer.name for layer in backbone.layers]
    if name not in names:
        raise ValueError(f"no layer {name!r}: expected one of {', '.join(names)}")
    freeze_first(backbone, names.index(name))


def freeze_first(backbone: keras.Model, count: int) -> None:
    """Freezes the first ``count`` layers, and no other.

    Raises:
        ValueError: if there are fewer layers.
    """
    if not 0 <= count <= len(backbone.layers):
        raise ValueError(f"{count} frozen layers: expected 0 to {len(backbone.layers)}")
    for index, layer in enumerate(backbone.layers):
        layer.trainable = index >= count


def layer_list(model: keras.Model) -> list[dict]:
    """Returns index, name, output shape, parameters and state of each layer."""
    return [
        {
            "index": index,
            "layer": layer.name,
            "output": "×".join(map(str, layer.output.shape[1:])),
            "parameters": layer.count_params(),
            "state": "–" if not layer.weights else "learns" if layer.trainable else "frozen",
        }
        for index, layer in enumerate(model.layers)
    ]


@dataclass(frozen=True)
class HeadFit:
    """What the training of a head on stored features left behind.

    Attributes:
        history: per epoch ``loss``, ``accuracy``, ``val_loss``, ``val_accuracy``.
        metrics: ``train``, ``val``, ``test``, each ``accuracy`` (0 to 1) and ``loss`` (nats).
        seconds: wall time of the training, features not included.
    """

    history: dict[str, list[float]]
    metrics: dict[str, metrics.Score]
    seconds: float


def fit_head(
    top: keras.Model,
    stored: Features,
    images: Dataset,
    *,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
) -> HeadFit:
    """Trains a head on stored features; the same as training with a frozen backbone.

    Args:
        top: see `head`; trained in place.
        stored: see `features`.
        images: whose labels are learnt.
        epochs, batch_size, learning_rate: of Adam, at a constant rate.
        seed: of the order and of Dropout.
    """
    keras.utils.set_random_seed(seed)
    training.compile(top, learning_rate=learning_rate)
    began = time.perf_counter()
    history = top.fit(
        stored["train"],
        images.y_train,
        validation_data=(stored["val"], images.y_val),
        epochs=epochs,
        batch_size=batch_size,
        verbose=0,
    ).history
    seconds = time.perf_counter() - began
    return HeadFit(
        history={key: [float(value) for value in values] for key, values in history.items()},
        metrics={part: score_head(top, stored, images, part) for part in PARTS},
        seconds=seconds,
    )


def score_head(
    top: keras.Model, stored: Features, images: Dataset, part: str = "test"
) -> metrics.Score:
    """Returns accuracy (0 to 1) and cross-entropy (nats) of a head on stored features."""
    outputs = training.two_columns(np.asarray(top(stored[part], training=False)))
    return metrics.score(outputs, getattr(images, f"y_{part}"))


CLASSIFIERS = {
    "logistic regression": LogisticRegression,
    # Coarser than its own 1e-4, which takes longer and hardly scores otherwise.
    "linear SVM": partial(LinearSVC, tol=1e-2),
}
STRENGTHS = (0.0001, 0.001, 0.01)
"""Inverse regularization strengths C that `fit_linear` tries."""


@dataclass(frozen=True)
class Linear:
    """A linear classifier on standardized features.

    Attributes:
        pipeline: scikit-learn's.
        pooled: whether each channel is averaged over the map first.
        strength: the inverse regularization strength C, chosen on validation.
        val: validation accuracy, 0 to 1.
    """

    pipeline: Pipeline
    pooled: bool
    strength: float
    val: float

    def accuracy(self, stored: Features, images: Dataset, part: str = "test") -> float:
        """Returns the accuracy, 0 to 1, on one part of other or the same features."""
        flat = _flat(stored[part], self.pooled)
        return float(self.pipeline.score(flat, getattr(images, f"y_{part}")))


def _flat(maps: np.ndarray, pooled: bool) -> np.ndarray:
    return maps.mean(axis=(1, 2)) if pooled else maps.reshape(len(maps), -1)


def fit_linear(
    stored: Features, images: Dataset, kind: str = "logistic regression", *, pooled: bool = False
) -> Linear:
    """Trains a linear classifier on stored features, with the C that validates best.

    Args:
        stored: see `features`.
        images: whose labels are learnt.
        kind: a key of `CLASSIFIERS`.
        pooled: see `Linear`.
    """
    train, val = _flat(stored["train"], pooled), _flat(stored["val"], pooled)
    tried = []
    for strength in STRENGTHS:
        classifier = CLASSIFIERS[kind](C=strength, max_iter=1000, random_state=0)
        pipeline = make_pipeline(StandardScaler(), classifier).fit(train, images.y_train)
        accuracy = float(pipeline.score(val, images.y_val))
        tried.append(Linear(pipeline, pooled, strength, accuracy))
    return max(tried, key=lambda linear: linear.val)


def drift(before: list[np.ndarray], after: list[np.ndarray]) -> float:
    """Returns how far weights have moved: ‖after − before‖ / ‖before‖, 0 for not at all."""
    moved = sum(float(((b - a) ** 2).sum()) for a, b in zip(before, after, strict=True))
    return (moved / sum(float((a**2).sum()) for a in before)) ** 0.5
