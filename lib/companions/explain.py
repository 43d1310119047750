"""Explanations of a trained network: feature maps and similar images."""

import numpy as np

from lib import inputs, training
from lib.engine import keras
from lib.errors import ParameterError


def last_convolution(model: keras.Model) -> str:
    """Returns the name of a model's last convolution."""
    names = [layer.name for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    return names[-1]


def _layer(model: keras.Model, name: str) -> keras.Layer:
    """Returns a layer whose output is a feature map."""
    maps = [layer.name for layer in model.layers if len(layer.output.shape) == 4]
    if name not in maps:
        raise ParameterError(f"no feature map {name!r}: expected one of {', '.join(maps)}")
    return model.get_layer(name)


def _batch(model: keras.Model, image: np.ndarray) -> np.ndarray:
    return inputs.scale(inputs.resize(image[np.newaxis], model.input_shape[1]))


def activations(model: keras.Model, image: np.ndarray, layer: str) -> np.ndarray:
    """Returns a layer's feature map for one image.

    Args:
        model: from images in [0, 1].
        image: uint8 (h, w, 3); resized to the model's input.
        layer: its name.

    Returns:
        float32 (height, width, channels).

    Raises:
        ParameterError: if there is no such layer or its output is not a feature map.
    """
    part = keras.Model(model.input, _layer(model, layer).output)
    return np.asarray(part(_batch(model, image), training=False))[0]


def embed(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """Returns the input of a network's last layer for images, scaled to length 1.

    Args:
        model: from images in [0, 1] to probabilities.
        images: uint8 (n, h, w, 3); resized to the model's input.

    Returns:
        float32 (n, features).
    """
    vectors = training.predict(keras.Model(model.input, model.layers[-1].input), images)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
