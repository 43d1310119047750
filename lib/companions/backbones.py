"""The networks of ``keras.applications`` by name, each with its own input scaling.

VGG16's convolutions come through `lib.pretrained`, all other weights are Keras' download.
"""

import os
import socket
from collections.abc import Callable
from pathlib import Path

from lib import models, pretrained
from lib.engine import keras
from lib.errors import ParameterError

_MODULES = {
    name: module
    for module in vars(keras.applications).values()
    if hasattr(module, "preprocess_input")
    for name in vars(module)
    if name[0].isupper()
}
NAMES = tuple(_MODULES)
"""Every network of ``keras.applications`` whose input scaling Keras gives beside it."""

SCALINGS = ("preprocess_input", "x/255")

NETWORK_SECONDS = 15
"""How long a download may be silent before it fails."""


def _module(name: str):
    if name not in _MODULES:
        raise ParameterError(f"unknown backbone {name!r}: expected one of {', '.join(NAMES)}")
    return _MODULES[name]


def preprocess_input(name: str) -> Callable:
    """Returns the input scaling of a network, a function of float32 RGB images, 0 to 255.

    Raises:
        ParameterError: if there is no such network.
    """
    return _module(name).preprocess_input


def scaled(inputs: keras.KerasTensor, name: str, scaling: str) -> keras.KerasTensor:
    """Scales the input of a network.

    Args:
        inputs: symbolic, RGB (n, height, width, 3) in [0, 1].
        name: one of `NAMES`.
        scaling: ``"preprocess_input"``: the network's own; ``"x/255"``: pixels stay in [0, 1].

    Raises:
        ParameterError: if there is no such network or scaling.
    """
    if scaling not in SCALINGS:
        raise ParameterError(f"unknown scaling {scaling!r}: expected one of {', '.join(SCALINGS)}")
    module = _module(name)
    return module.preprocess_input(255 * inputs) if scaling == "preprocess_input" else inputs


def build(
    name: str,
    *,
    image_size: int,
    weights: pretrained.Weights | str | None = None,
    scaling: str = "preprocess_input",
) -> keras.Model:
    """Builds a network without its top, with the scaling of its input inside.

    Args:
        name: one of `NAMES`.
        image_size: height and width of the input, pixels.
        weights: `pretrained.Weights` for VGG16, ``"imagenet"`` for Keras' download, None
            for random ones.
        scaling: see `scaled`.

    Returns:
        A model from float32 RGB (n, image_size, image_size, 3) in [0, 1] to the last
        feature map (n, height, width, channels). Layers carry Keras' names.

    Raises:
        ParameterError: if an argument is not one of these or the images are too small.
        pretrained.WeightsError: if the weights are not available.
    """
    inputs = keras.Input(shape=(image_size, image_size, 3))
    x = scaled(inputs, name, scaling)
    assigned = isinstance(weights, pretrained.Weights)
    if assigned and name != "VGG16":
        raise ParameterError(f"these weights are VGG16's; give weights='imagenet' for {name}")
    model = _construct(
        name,
        include_top=False,
        weights=None if assigned else weights,
        input_tensor=x,
        input_shape=(image_size, image_size, 3),
    )
    if assigned:
        models.assign(model, weights)
    return keras.Model(inputs, model.output, name=name)  # Keras' own expects a list of inputs


def classifier(name: str, *, weights: str = "imagenet", image_size: int = 0) -> keras.Model:
    """Builds a whole network for ImageNet's 1,000 classes.

    Args:
        name: one of `NAMES`.
        weights: ``"imagenet"`` for Keras' download (528 MB for VGG16), or the path of its file.
        image_size: height and width of the input, pixels; 0 for the network's own.

    Returns:
        A model from float32 images, as `preprocess_input` scales them, to probabilities
        float32 (n, 1000).

    Raises:
        ParameterError: if there is no such network, or it cannot have this input size.
        pretrained.WeightsError: if the weights are not available.
    """
    model = _construct(name, weights=os.path.expanduser(weights))
    own = model.input_shape[1]
    if image_size in (0, own):
        return model
    resized = _construct(name, weights=None, input_shape=(image_size, image_size, 3))
    if resized.count_params() != model.count_params():
        raise ParameterError(f"the dense layers of {name} need {own} pixels, not {image_size}")
    resized.set_weights(model.get_weights())
    return resized


def _construct(name: str, **arguments) -> keras.Model:
    """Calls Keras' constructor with a time-out for its download, and shortens its errors."""
    constructor = getattr(_module(name), name)
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(NETWORK_SECONDS)
    try:
        return constructor(**arguments)
    except Exception as error:
        _, too_small, rest = str(error).partition("Input size must be at least ")
        if too_small:
            raise ParameterError(
                f"image size {arguments['input_shape'][0]} is too small for {name}: expected at "
                f"least {rest.split('x')[0]} pixels"
            ) from error
        weights = arguments["weights"]
        if weights is None:
            raise
        file = Path(weights).name  # a page shows the reason, and no path
        reason = " ".join(str(error).split(" on http")[0].replace(weights, file).split())[:120]
        if weights != "imagenet":
            raise pretrained.WeightsError(
                f"{file} does not have {name}'s weights ({reason}); give another file, or "
                "'imagenet' for Keras' download"
            ) from error
        raise pretrained.WeightsError(
            f"ImageNet weights of {name} are not available ({reason}); with a network connection, "
            f"run keras.applications.{name}() once, or put its file into ~/.keras/models"
        ) from error
    finally:
        socket.setdefaulttimeout(before)
