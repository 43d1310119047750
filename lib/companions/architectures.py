"""The reference architectures of the book chapter, from reusable blocks (docs/study.md).

Each builder makes the network as published, and, with other arguments, the narrow one that
fits 32×32 images: see `FULL` and `SMALL`. Layers are named ``<stage>_…``; where Keras has the
same network they carry Keras' names. Weights start as He et al. advise (arXiv 1502.01852).
"""

from collections.abc import Callable
from typing import Any

from lib.engine import keras

layers = keras.layers

_EPSILON = 1.001e-5  # of BatchNormalization in Keras' ResNet and DenseNet
_MOMENTUM = 0.9  # with Keras' 0.99 a short training has no usable moving averages


def _conv(x, filters: int, kernel: int, *, name: str, **options):
    """Convolution and ReLU, same padding by default."""
    options = {"padding": "same", "activation": "relu"} | options
    return layers.Conv2D(filters, kernel, kernel_initializer="he_normal", name=name, **options)(x)


def _dense(x, units: int, *, name: str, activation: str = "relu"):
    start = "he_normal" if activation == "relu" else "glorot_uniform"
    return layers.Dense(units, activation=activation, kernel_initializer=start, name=name)(x)


def _batch_norm(x, *, name: str):
    return layers.BatchNormalization(momentum=_MOMENTUM, epsilon=_EPSILON, name=name)(x)


def _model(inputs, x, classes: int, name: str, *, activation: str = "softmax") -> keras.Model:
    """Closes a network with its classifier."""
    outputs = _dense(x, classes, activation=activation, name="predictions")
    return keras.Model(inputs, outputs, name=name)


# --- blocks: each takes a tensor (n, h, w, c) and returns one -----------------------------


def vgg_block(x, convolutions: int, filters: int, *, name: str):
    """VGG: 3×3 convolutions with ReLU, then 2×2 max pooling that halves height and width."""
    for number in range(1, convolutions + 1):
        x = _conv(x, filters, 3, name=f"{name}_conv{number}")
    return layers.MaxPooling2D(2, name=f"{name}_pool")(x)


def nin_block(x, filters: int, kernel: int, *, strides: int = 1, padding: str = "same", name: str):
    """Network in Network: a convolution, then two of 1×1, dense layers for each pixel."""
    x = _conv(x, filters, kernel, strides=strides, padding=padding, name=f"{name}_conv")
    x = _conv(x, filters, 1, name=f"{name}_1x1_1")
    return _conv(x, filters, 1, name=f"{name}_1x1_2")


def inception_block(x, filters: tuple[int, int, int, int, int, int], *, name: str):
    """GoogLeNet: four parallel paths, concatenated.

    Args:
        x: the input.
        filters: of 1×1; of the 1×1 before 3×3 and of 3×3; of the 1×1 before 5×5 and of
            5×5; of the 1×1 after max pooling (table 1 of arXiv 1409.4842).
        name: prefix of the layers' names.
    """
    one, before3, three, before5, five, after_pool = filters
    path1 = _conv(x, one, 1, name=f"{name}_1x1")
    path2 = _conv(x, before3, 1, name=f"{name}_3x3_reduce")
    path2 = _conv(path2, three, 3, name=f"{name}_3x3")
    path3 = _conv(x, before5, 1, name=f"{name}_5x5_reduce")
    path3 = _conv(path3, five, 5, name=f"{name}_5x5")
    path4 = layers.MaxPooling2D(3, strides=1, padding="same", name=f"{name}_pool")(x)
    path4 = _conv(path4, after_pool, 1, name=f"{name}_pool_1x1")
    return layers.Concatenate(name=f"{name}_concat")([path1, path2, path3, path4])


def residual_block(
    x,
    filters: int,
    *,
    stride: int = 1,
    bottleneck: bool = False,
    project: bool = False,
    use_bias: bool = True,
    name: str,
):
    """ResNet: g(x) = x + f(x), then ReLU (arXiv 1512.03385).

    Args:
        x: the input.
        filters: channels of f's convolutions; a bottleneck ends in four times as many.
        stride: of f's first convolution, as in Keras' ResNet.
        bottleneck: f is 1×1, 3×3, 1×1 instead of two 3×3.
        project: the shortcut is a 1×1 convolution; needed where channels or size change.
        use_bias: whether convolutions have a bias, as in Keras but not in the paper.
        name: prefix of the layers' names.
    """
    kernels = (1, 3, 1) if bottleneck else (3, 3)
    out = 4 * filters if bottleneck else filters

    def conv_bn(x, width: int, kernel: int, step: int, part: int):
        x = _conv(
            x,
            width,
            kernel,
            strides=step,
            activation=None,
            use_bias=use_bias,
            name=f"{name}_{part}_conv",
        )
        return _batch_norm(x, name=f"{name}_{part}_bn")

    shortcut = conv_bn(x, out, 1, stride, 0) if project else x
    for part, kernel in enumerate(kernels, start=1):
        last = part == len(kernels)
        x = conv_bn(x, out if last else filters, kernel, stride if part == 1 else 1, part)
        if not last:
            x = layers.ReLU(name=f"{name}_{part}_relu")(x)
    x = layers.Add(name=f"{name}_add")([shortcut, x])
    return layers.ReLU(name=f"{name}_out")(x)


def dense_block(x, convolutions: int, growth: int, *, bottleneck: bool = True, name: str):
    """DenseNet: each convolution sees all maps before it (arXiv 1608.06993).

    Args:
        x: the input.
        convolutions: how many times BN, ReLU, 3×3 convolution, concatenation.
        growth: channels that each adds.
        bottleneck: whether BN, ReLU, 1×1 convolution to four times ``growth`` comes before.
        name: prefix of the layers' names.
    """
    for number in range(1, convolutions + 1):
        part, y = f"{name}_block{number}", x
        steps = [(4 * growth, 1), (growth, 3)] if bottleneck else [(growth, 3)]
        for step, (filters, kernel) in enumerate(steps):
            y = _batch_norm(y, name=f"{part}_{step}_bn")
            y = layers.ReLU(name=f"{part}_{step}_relu")(y)
            y = _conv(
                y, filters, kernel, activation=None, use_bias=False, name=f"{part}_{step + 1}_conv"
            )
        x = layers.Concatenate(name=f"{part}_concat")([x, y])
    return x


def transition_block(x, *, name: str):
    """DenseNet: BN, ReLU, 1×1 convolution to half the channels, 2×2 average pooling."""
    channels = x.shape[-1] // 2
    x = _batch_norm(x, name=f"{name}_bn")
    x = layers.ReLU(name=f"{name}_relu")(x)
    x = _conv(x, channels, 1, activation=None, use_bias=False, name=f"{name}_conv")
    return layers.AveragePooling2D(2, name=f"{name}_pool")(x)


# --- networks ------------------------------------------------------------------------------


def lenet(*, image_size: int = 28, channels: int = 1, classes: int = 10) -> keras.Model:
    """LeNet-5 as taught today: sigmoid, average pooling (d2l.ai 7.6; LeCun et al. 1998).

    The first convolution keeps 28×28 pixels as they are and cuts 32×32 to that size.
    """
    inputs = keras.Input(shape=(image_size, image_size, channels))
    start = {"activation": "sigmoid", "kernel_initializer": "glorot_uniform"}
    padding = "same" if image_size <= 28 else "valid"
    x = layers.Conv2D(6, 5, padding=padding, name="conv1", **start)(inputs)
    x = layers.AveragePooling2D(2, name="pool1")(x)
    x = layers.Conv2D(16, 5, name="conv2", **start)(x)
    x = layers.AveragePooling2D(2, name="pool2")(x)
    x = layers.Flatten(name="flatten")(x)
    for number, units in enumerate((120, 84), start=1):
        x = _dense(x, units, activation="sigmoid", name=f"fc{number}")
    return _model(inputs, x, classes, "LeNet")


def alexnet(
    *,
    image_size: int = 224,
    classes: int = 10,
    stem: tuple[int, int, int, str] = (96, 11, 4, "valid"),
    filters: tuple[int, ...] = (256, 384, 384, 256),
    dense: tuple[int, ...] = (4096, 4096),
    dropout: float = 0.0,
    activation: str | None = "softmax",
) -> keras.Model:
    """AlexNet as the chapter lists it: one path, no normalization, Dropout optional.

    Args:
        image_size: height and width, pixels; the full network needs at least 67.
        classes: units of the output.
        stem: filters, kernel, stride and padding of the first convolution.
        filters: of the second (5×5) to fifth (3×3) convolution.
        dense: units of the hidden dense layers.
        dropout: rate after each of them.
        activation: of the output; None for logits, as the chapter's listing ends (D13).
    """
    inputs = keras.Input(shape=(image_size, image_size, 3))
    width, kernel, stride, padding = stem
    x = _conv(inputs, width, kernel, strides=stride, padding=padding, name="conv1")
    x = layers.MaxPooling2D(3, strides=2, name="pool1")(x)
    for number, width in enumerate(filters, start=2):
        x = _conv(x, width, 5 if number == 2 else 3, name=f"conv{number}")
        if number in (2, 5):
            x = layers.MaxPooling2D(3, strides=2, name=f"pool{number}")(x)
    x = layers.Flatten(name="flatten")(x)
    for number, units in enumerate(dense, start=6):
        x = _dense(x, units, name=f"fc{number}")
        if dropout:
            x = layers.Dropout(dropout, name=f"drop{number}")(x)
    return _model(inputs, x, classes, "AlexNet", activation=activation)


def vgg(
    *,
    image_size: int = 224,
    classes: int = 1000,
    blocks: tuple[tuple[int, int], ...],
    dense: tuple[int, ...] = (4096, 4096),
    name: str,
) -> keras.Model:
    """VGG from blocks (convolutions, filters); arXiv 1409.1556."""
    inputs = keras.Input(shape=(image_size, image_size, 3))
    x = inputs
    for number, (convolutions, filters) in enumerate(blocks, start=1):
        x = vgg_block(x, convolutions, filters, name=f"block{number}")
    x = layers.Flatten(name="flatten")(x)
    for number, units in enumerate(dense, start=1):
        x = _dense(x, units, name=f"fc{number}")
    return _model(inputs, x, classes, name)


def nin(
    *,
    image_size: int = 224,
    channels: int = 3,
    classes: int = 1000,
    blocks: tuple[tuple[int, int, int, str], ...] = (
        (96, 11, 4, "valid"),
        (256, 5, 1, "same"),
        (384, 3, 1, "same"),
    ),
) -> keras.Model:
    """Network in Network: blocks of (filters, kernel, stride, padding), 3×3 pooling after each.

    The last block has one channel per class; global average pooling takes the place of dense
    layers (arXiv 1312.4400, in the sizes of d2l.ai 8.3).
    """
    inputs = keras.Input(shape=(image_size, image_size, channels))
    x = inputs
    for number, (filters, kernel, strides, padding) in enumerate(blocks, start=1):
        x = nin_block(x, filters, kernel, strides=strides, padding=padding, name=f"nin{number}")
        x = layers.MaxPooling2D(3, strides=2, name=f"pool{number}")(x)
    x = layers.Dropout(0.5, name="dropout")(x)
    x = nin_block(x, classes, 3, name=f"nin{len(blocks) + 1}")
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
    return keras.Model(inputs, layers.Softmax(name="predictions")(x), name="NiN")


INCEPTION = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}
"""Filters of GoogLeNet's blocks, table 1 of arXiv 1409.4842."""


def googlenet(
    *, image_size: int = 224, classes: int = 1000, width: float = 1.0, small_stem: bool = False
) -> keras.Model:
    """GoogLeNet without its auxiliary classifiers; arXiv 1409.4842.

    Args:
        image_size: height and width, pixels.
        classes: units of the softmax.
        width: factor for all filters.
        small_stem: one 3×3 convolution and one pooling instead of the stem for 224×224.
    """
    inputs = keras.Input(shape=(image_size, image_size, 3))

    def pool(x, name: str):
        return layers.MaxPooling2D(3, strides=2, padding="same", name=name)(x)

    if small_stem:
        x = _conv(inputs, int(192 * width), 3, name="conv1")
    else:
        x = _conv(inputs, int(64 * width), 7, strides=2, name="conv1")
        x = pool(x, "pool1")
        x = _conv(x, int(64 * width), 1, name="conv2_reduce")
        x = _conv(x, int(192 * width), 3, name="conv2")
    x = pool(x, "pool2")
    for name, filters in INCEPTION.items():
        scaled = tuple(int(count * width) for count in filters)
        x = inception_block(x, scaled, name=f"inception{name}")
        if name in ("3b", "4e"):
            x = pool(x, f"pool{name[0]}")
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
    return _model(inputs, x, classes, "GoogLeNet")


def _stem(x, filters: int, *, small: bool, use_bias: bool):
    """The start that ResNet and DenseNet share: 7×7 stride 2 and pooling, or one 3×3."""
    if small:
        x = _conv(x, filters, 3, activation=None, use_bias=use_bias, name="conv1_conv")
    else:
        x = layers.ZeroPadding2D(3, name="conv1_pad")(x)
        x = _conv(
            x,
            filters,
            7,
            strides=2,
            padding="valid",
            activation=None,
            use_bias=use_bias,
            name="conv1_conv",
        )
    x = _batch_norm(x, name="conv1_bn")
    x = layers.ReLU(name="conv1_relu")(x)
    if small:
        return x
    x = layers.ZeroPadding2D(1, name="pool1_pad")(x)
    return layers.MaxPooling2D(3, strides=2, name="pool1_pool")(x)


def resnet(
    *,
    image_size: int = 224,
    classes: int = 1000,
    blocks: tuple[int, ...],
    filters: int = 64,
    bottleneck: bool,
    use_bias: bool = True,
    small_stem: bool = False,
    name: str,
) -> keras.Model:
    """ResNet; arXiv 1512.03385.

    Args:
        image_size: height and width, pixels.
        classes: units of the softmax.
        blocks: residual blocks per stage; filters double from stage to stage.
        filters: of the stem and of the first stage.
        bottleneck: see `residual_block`.
        use_bias: see `residual_block`.
        small_stem: for small images, see `_stem`.
        name: the model's name.
    """
    inputs = keras.Input(shape=(image_size, image_size, 3))
    x = _stem(inputs, filters, small=small_stem, use_bias=use_bias)
    for stage, count in enumerate(blocks):
        for number in range(1, count + 1):
            x = residual_block(
                x,
                filters * 2**stage,
                stride=2 if number == 1 and stage > 0 else 1,
                bottleneck=bottleneck,
                project=number == 1 and (bottleneck or stage > 0),
                use_bias=use_bias,
                name=f"conv{stage + 2}_block{number}",
            )
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
    return _model(inputs, x, classes, name)


def densenet(
    *,
    image_size: int = 224,
    classes: int = 1000,
    blocks: tuple[int, ...] = (6, 12, 24, 16),
    growth: int = 32,
    small_stem: bool = False,
    name: str = "DenseNet-121",
) -> keras.Model:
    """DenseNet with bottlenecks; arXiv 1608.06993.

    Args:
        image_size: height and width, pixels.
        classes: units of the softmax.
        blocks: convolution pairs per dense block, with a transition between blocks.
        growth: channels that each pair adds.
        small_stem: for small images, see `_stem`.
        name: the model's name.
    """
    inputs = keras.Input(shape=(image_size, image_size, 3))
    x = _stem(inputs, 2 * growth, small=small_stem, use_bias=False)
    for stage, convolutions in enumerate(blocks, start=2):
        x = dense_block(x, convolutions, growth, name=f"conv{stage}")
        if stage <= len(blocks):
            x = transition_block(x, name=f"pool{stage}")
    x = _batch_norm(x, name="bn")
    x = layers.ReLU(name="relu")(x)
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
    return _model(inputs, x, classes, name)


_VGG16 = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))
_VGG19 = ((2, 64), (2, 128), (4, 256), (4, 512), (4, 512))


def _quarter(blocks: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
    return tuple((convolutions, filters // 4) for convolutions, filters in blocks)


Variant = tuple[Callable[..., keras.Model], dict[str, Any]]

FULL: dict[str, Variant] = {
    "LeNet": (lenet, {}),
    "AlexNet": (alexnet, {"classes": 1000}),
    "NiN": (nin, {}),
    "VGG16": (vgg, {"blocks": _VGG16, "name": "VGG16"}),
    "VGG19": (vgg, {"blocks": _VGG19, "name": "VGG19"}),
    "GoogLeNet": (googlenet, {}),
    "ResNet-18": (resnet, {"blocks": (2, 2, 2, 2), "bottleneck": False, "name": "ResNet-18"}),
    "ResNet-50": (resnet, {"blocks": (3, 4, 6, 3), "bottleneck": True, "name": "ResNet-50"}),
    "DenseNet-121": (densenet, {}),
}
"""The networks as published, in the order of their papers; builder and arguments."""

_FOR_32 = {"image_size": 32, "classes": 10}

SMALL: dict[str, Variant] = {
    "LeNet": (lenet, {**_FOR_32, "channels": 3}),
    "AlexNet": (
        alexnet,
        {
            **_FOR_32,
            "stem": (48, 5, 2, "same"),
            "filters": (128, 192, 192, 128),
            "dense": (256, 256),
        },
    ),
    "NiN": (
        nin,
        {**_FOR_32, "channels": 3, "blocks": ((48, 5, 1, "same"), (96, 3, 1, "same"))},
    ),
    "VGG16": (vgg, FULL["VGG16"][1] | _FOR_32 | {"blocks": _quarter(_VGG16), "dense": (256,)}),
    "VGG19": (vgg, FULL["VGG19"][1] | _FOR_32 | {"blocks": _quarter(_VGG19), "dense": (256,)}),
    "GoogLeNet": (googlenet, {**_FOR_32, "width": 0.25, "small_stem": True}),
    "ResNet-18": (resnet, FULL["ResNet-18"][1] | _FOR_32 | {"filters": 16, "small_stem": True}),
    "ResNet-50": (resnet, FULL["ResNet-50"][1] | _FOR_32 | {"filters": 8, "small_stem": True}),
    "DenseNet-121": (
        densenet,
        {**_FOR_32, "blocks": (3, 6, 6, 4), "growth": 12, "small_stem": True},
    ),
}
"""Variants for 32×32 images: narrower (LeNet is not), some shorter, most with stems that keep the
size."""


def build(name: str, *, small: bool = False, **changes: Any) -> keras.Model:
    """Builds a reference architecture.

    Args:
        name: a key of `FULL`.
        small: the narrow variant for 32×32 images instead of the published network.
        **changes: other arguments of its builder.

    Returns:
        A model from float32 (n, image_size, image_size, channels) to class probabilities
        float32 (n, classes). Not compiled.

    Raises:
        ValueError: if there is no such architecture or the images are too small for it.
    """
    if name not in FULL:
        raise ValueError(f"unknown architecture {name!r}: expected one of {', '.join(FULL)}")
    builder, arguments = (SMALL if small else FULL)[name]
    arguments = arguments | changes
    try:
        return builder(**arguments)
    except ValueError as error:
        if "dimension size" not in str(error) and "output size" not in str(error):
            raise
        raise ValueError(
            f"{name}: {arguments.get('image_size')} pixels are too few for its poolings; "
            "give a larger image_size"
        ) from error


def depth(model: keras.Model) -> int:
    """Returns the number of convolutions and dense layers on the longest path."""
    depths: dict[int, int] = {}
    for layer in model.layers:
        inputs = layer.input if isinstance(layer.input, list) else [layer.input]
        before = max((depths.get(id(tensor), 0) for tensor in inputs), default=0)
        weighted = isinstance(layer, layers.Conv2D | layers.Dense)
        depths[id(layer.output)] = before + weighted
    return max(depths.values())
