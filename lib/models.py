"""Builders of the eleven networks. An architecture is data; two builders read it."""

import math
from typing import Any

from lib import pretrained
from lib.engine import fast_layers, keras

layers = keras.layers

DROPOUT = 0.25
VGG16_BLOCKS = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))

# blocks: (convolutions, filters) per block, each block closed by 2×2 max pooling.
# dropout_after: block numbers from 1 on, and "dense" for the last hidden layer.
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "00_base_cnn": {"blocks": ((1, 32),), "dense": (32,)},
    "01_deeper_cnn": {"blocks": ((1, 32), (1, 64), (1, 128)), "dense": (256, 128)},
    "02_dropout": {
        "blocks": ((1, 32), (1, 64), (1, 128)),
        "dense": (256, 128),
        "dropout_after": (2, 3, "dense"),
    },
    "03_double_conv": {  # D1: the head of the printed summary; the code shows (256, 128)
        "blocks": ((2, 32), (2, 64), (2, 128)),
        "dense": (512,),
        "dropout_after": (1, 2, 3, "dense"),
    },
    "04_batch_norm": {
        "blocks": ((2, 32), (2, 64), (2, 128)),
        "dense": (256, 128),
        "dropout_after": (1, 2, 3, "dense"),
        "batch_norm": True,
    },
    "05_data_augmentation": {  # the network of 04
        "blocks": ((2, 32), (2, 64), (2, 128)),
        "dense": (256, 128),
        "dropout_after": (1, 2, 3, "dense"),
        "batch_norm": True,
    },
    "06_vgg16_scratch": {"vgg16_blocks": 5},
    "07_vgg16_frozen": {"vgg16_blocks": 5, "imagenet": True, "frozen": True},
    "08_vgg16_finetuned": {"vgg16_blocks": 5, "imagenet": True},
    "09_mini_vgg16": {"vgg16_blocks": 3, "imagenet": True},
    "10_vgg16_64x64": {"vgg16_blocks": 5, "imagenet": True},
}


def build(
    slug: str,
    *,
    image_size: int = 32,
    classes: int = 10,
    weights: "pretrained.Weights | None" = None,
    **changes: Any,
) -> keras.Model:
    """Builds the network of one experiment.

    Args:
        slug: a key of `ARCHITECTURES`.
        image_size: height and width of the input, pixels.
        classes: units of the softmax.
        weights: ImageNet weights, needed where the architecture says ``imagenet``;
            nothing is ever replaced by random weights in silence.
        **changes: what to change in the architecture, e.g. ``dense=(256, 128)``.

    Returns:
        A model from float32 (n, image_size, image_size, 3) in [0, 1] to class
        probabilities float32 (n, classes). Not compiled.

    Raises:
        KeyError: if there is no such experiment or nothing of that name to change.
        ValueError: if ImageNet weights are needed and not given, or given and not used.
    """
    if slug not in ARCHITECTURES:
        raise KeyError(f"unknown experiment {slug!r}: expected one of {', '.join(ARCHITECTURES)}")
    spec = ARCHITECTURES[slug] | changes
    needs_weights = spec.pop("imagenet", False)
    if needs_weights != (weights is not None):
        raise ValueError(
            f"{slug} {'needs' if needs_weights else 'does not use'} ImageNet weights: "
            f"pass {'weights=pretrained.load()' if needs_weights else 'none'}"
        )
    builder = vgg16 if "vgg16_blocks" in spec else cnn
    extra = {"weights": weights} if weights else {}
    return builder(image_size=image_size, classes=classes, name=slug[3:], **spec, **extra)


def cnn(
    *,
    image_size: int,
    classes: int,
    blocks: tuple[tuple[int, int], ...],
    dense: tuple[int, ...],
    dropout_after: tuple[int | str, ...] = (),
    batch_norm: bool = False,
    name: str | None = None,
) -> keras.Model:
    """Builds the plain convolutional networks of experiments 0 to 5.

    Args:
        image_size: height and width of the input, pixels.
        classes: units of the softmax.
        blocks: (convolutions, filters) per block: 3×3, ReLU, same padding, then 2×2 pooling.
        dense: units of the hidden layers, ReLU.
        dropout_after: blocks, from 1 on, that end in Dropout, and ``"dense"`` for the
            last hidden layer.
        batch_norm: whether BatchNormalization follows every convolution and hidden layer.
        name: the model's name.
    """
    inputs = keras.Input(shape=(image_size, image_size, 3))
    x = inputs
    for number, (convolutions, filters) in enumerate(blocks, start=1):
        for _ in range(convolutions):
            x = fast_layers.Conv2D(filters, 3, padding="same", activation="relu")(x)
            if batch_norm:
                x = fast_layers.BatchNormalization()(x)
        x = layers.MaxPooling2D(2)(x)
        if number in dropout_after:
            x = fast_layers.Dropout(DROPOUT)(x)
    x = layers.Flatten()(x)
    return keras.Model(
        inputs,
        head(x, dense, classes, batch_norm=batch_norm, dropout="dense" in dropout_after),
        name=name,
    )


def vgg16(
    *,
    image_size: int,
    classes: int,
    vgg16_blocks: int = 5,
    frozen: bool = False,
    weights: "pretrained.Weights | None" = None,
    dense: tuple[int, ...] = (256, 128),
    name: str | None = None,
) -> keras.Model:
    """Builds VGG16 without its top, with the study's head (experiments 6 to 10).

    Layers carry Keras' names, ``block1_conv1`` to ``block5_pool``.

    Args:
        image_size: height and width of the input, pixels, at least 32.
        classes: units of the softmax.
        vgg16_blocks: how many of the five blocks to keep, from the first.
        frozen: whether VGG16's layers keep their weights in training.
        weights: ImageNet weights, or None for random ones.
        dense: units of the hidden layers of the head.
        name: the model's name.
    """
    inputs = x = keras.Input(shape=(image_size, image_size, 3))
    for block, (convolutions, filters) in enumerate(VGG16_BLOCKS[:vgg16_blocks], start=1):
        for number in range(1, convolutions + 1):
            x = fast_layers.Conv2D(
                filters,
                3,
                padding="same",
                activation="relu",
                trainable=not frozen,
                name=f"block{block}_conv{number}",
            )(x)
        x = layers.MaxPooling2D(2, name=f"block{block}_pool")(x)
    x = layers.Flatten()(x)
    outputs = head(x, dense, classes, batch_norm=True, dropout=True)
    model = keras.Model(inputs, outputs, name=name)
    if weights is not None:
        pretrained.assign(model, weights)
    return model


def head(x, dense: tuple[int, ...], classes: int, *, batch_norm: bool, dropout: bool):
    """Adds the study's classifier: hidden layers with ReLU, then softmax.

    Args:
        x: flat features, shape (n, features).
        dense: units of the hidden layers.
        classes: units of the softmax.
        batch_norm: whether BatchNormalization follows each hidden layer.
        dropout: whether Dropout comes before the softmax.
    """
    for units in dense:
        x = layers.Dense(units, activation="relu")(x)
        if batch_norm:
            x = fast_layers.BatchNormalization()(x)
    if dropout:
        x = fast_layers.Dropout(DROPOUT)(x)
    return layers.Dense(classes, activation="softmax")(x)


def trainable_params(model: keras.Model) -> int:
    """Returns the number of parameters that training changes."""
    return sum(math.prod(weight.shape) for weight in model.trainable_weights)


def summary(model: keras.Model) -> str:
    """Returns Keras' table of the layers as plain text."""
    lines: list[str] = []
    model.summary(print_fn=lambda line, **_: lines.append(line), line_length=80)
    return "\n".join(lines)


def forward_macs(model: keras.Model) -> int:
    """Returns the multiply–adds of one image's forward pass (convolutions and dense layers)."""
    return sum(layer_macs(layer) for layer in model.layers)


def training_macs(model: keras.Model) -> int:
    """Returns the multiply–adds of one image's training step.

    Every layer runs forward. From the first trainable layer on, the gradient of the
    input costs as much again; a trainable layer also pays for the gradient of its weights.
    """
    total, backward = 0, False
    for layer in model.layers:
        macs, learns = layer_macs(layer), bool(layer.trainable_weights)
        total += macs * (1 + learns + backward)
        backward = backward or learns
    return total


def layer_macs(layer: keras.Layer) -> int:
    """Returns the multiply–adds of one layer for one image."""
    if isinstance(layer, layers.Conv2D):
        height, width = layer.output.shape[1:3]
        return height * width * math.prod(layer.kernel.shape)
    if isinstance(layer, layers.Dense):
        return math.prod(layer.kernel.shape)
    return forward_macs(layer) if isinstance(layer, keras.Model) else 0
