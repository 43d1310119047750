"""The networks of ``keras.applications`` by name, each with its own input scaling.

The names are those that the book chapter lists. VGG16's convolutions come through
`lib.pretrained`; all other weights are Keras' download.
"""

import socket
from collections.abc import Callable

import numpy as np

from lib import models, pretrained
from lib.engine import keras

FAMILIES = {
    "xception": ("Xception",),
    "vgg16": ("VGG16",),
    "vgg19": ("VGG19",),
    "resnet": ("ResNet50", "ResNet101", "ResNet152"),
    "resnet_v2": ("ResNet50V2", "ResNet101V2", "ResNet152V2"),
    "inception_v3": ("InceptionV3",),
    "inception_resnet_v2": ("InceptionResNetV2",),
    "mobilenet": ("MobileNet",),
    "mobilenet_v2": ("MobileNetV2",),
    "densenet": ("DenseNet121", "DenseNet169", "DenseNet201"),
    "nasnet": ("NASNetMobile", "NASNetLarge"),
    "efficientnet": tuple(f"EfficientNetB{number}" for number in range(8)),
    "efficientnet_v2": tuple(
        f"EfficientNetV2{size}" for size in ("B0", "B1", "B2", "B3", "S", "M", "L")
    ),
    "convnext": tuple(f"ConvNeXt{size}" for size in ("Tiny", "Small", "Base", "Large", "XLarge")),
}
"""Module of ``keras.applications`` and the networks in it."""

NAMES = tuple(name for names in FAMILIES.values() for name in names)

SCALINGS = ("preprocess_input", "x/255")

NETWORK_SECONDS = 15
"""How long Keras' download may stay silent before it counts as not to be had."""


def _module(name: str):
    for module, names in FAMILIES.items():
        if name in names:
            return getattr(keras.applications, module)
    raise ValueError(f"unknown backbone {name!r}: expected one of {', '.join(NAMES)}")


def preprocess_input(name: str) -> Callable:
    """Returns the input scaling of a network: from RGB, 0 to 255, to what it was trained on.

    Raises:
        ValueError: if there is no such network.
    """
    return _module(name).preprocess_input


def build(
    name: str,
    *,
    image_size: int,
    weights: "pretrained.Weights | str | None" = None,
    scaling: str = "preprocess_input",
) -> keras.Model:
    """Builds a network without its top.

    Args:
        name: one of `NAMES`.
        image_size: height and width of the input, pixels.
        weights: `pretrained.Weights` for VGG16, ``"imagenet"`` for Keras' download, None
            for random ones.
        scaling: ``"preprocess_input"``: the network's own; ``"x/255"``: pixels stay in [0, 1].

    Returns:
        A model from float32 RGB (n, image_size, image_size, 3) in [0, 1] to the last
        feature map (n, height, width, channels). Layers carry Keras' names.

    Raises:
        ValueError: if an argument is not one of these or the images are too small.
        pretrained.WeightsError: if weights cannot be downloaded.
    """
    if scaling not in SCALINGS:
        raise ValueError(f"unknown scaling {scaling!r}: expected one of {', '.join(SCALINGS)}")
    module = _module(name)
    inputs = keras.Input(shape=(image_size, image_size, 3))
    x = module.preprocess_input(255 * inputs) if scaling == "preprocess_input" else inputs
    assigned = isinstance(weights, pretrained.Weights)
    if assigned and name != "VGG16":
        raise ValueError(f"these weights are VGG16's; give weights='imagenet' for {name}")
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


def classifier(name: str, *, weights: str = "imagenet") -> keras.Model:
    """Builds a whole network, for ImageNet's 1,000 classes at its own input size.

    Args:
        name: one of `NAMES`.
        weights: ``"imagenet"`` for Keras' download (528 MB for VGG16), or the path of its file.

    Returns:
        A model from what `preprocess_input` returns to probabilities (n, 1000).

    Raises:
        ValueError: if there is no such network.
        pretrained.WeightsError: if the weights cannot be had.
    """
    return _construct(name, weights=weights)


def _construct(name: str, **arguments) -> keras.Model:
    """Calls Keras' constructor; gives its download a time-out and its errors one sentence."""
    constructor = getattr(_module(name), name)
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(NETWORK_SECONDS)
    try:
        return constructor(**arguments)
    except Exception as error:
        _, too_small, rest = str(error).partition("Input size must be at least ")
        if too_small:
            raise ValueError(
                f"image size {arguments['input_shape'][0]} is too small for {name}: expected at "
                f"least {rest.split('x')[0]} pixels"
            ) from error
        if arguments["weights"] is None:
            raise
        reason = " ".join(str(error).split(" on http")[0].split())[:120]
        raise pretrained.WeightsError(
            f"ImageNet weights of {name} cannot be had ({reason}); with a network, "
            f"run keras.applications.{name}() once, or put its file into ~/.keras/models"
        ) from error
    finally:
        socket.setdefaulttimeout(before)


def decode_predictions(
    probabilities: np.ndarray, *, top: int = 3
) -> list[list[tuple[str, str, float]]]:
    """Names the likeliest ImageNet classes, as Keras' function of that name does.

    Unlike Keras' it also works where only a package index can be reached.

    Args:
        probabilities: shape (n, 1000).
        top: how many per image.

    Returns:
        For each image (synset, name, probability), the likeliest first.

    Raises:
        pretrained.WeightsError: if the class index cannot be had.
    """
    names = pretrained.class_index()
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :top]
    return [
        [(*names[index], float(row[index])) for index in best]
        for row, best in zip(probabilities, order, strict=True)
    ]
