"""The reference architectures of the book chapter, from reusable blocks (docs/study.md).

Each network has a published variant and a narrow one for 32×32 images, see `NETWORKS`. Layers are
named ``<stage>_…``; where Keras has the same network, they have Keras' names. Initial weights
follow He et al. (arXiv 1502.01852).
"""

from typing import Any

from lib.engine import keras
from lib.errors import ParameterError
from lib.models import VGG16_BLOCKS

layers = keras.layers


# --- blocks: each takes a tensor (n, h, w, c) and returns one -----------------------------


def _conv(x, filters: int, kernel: int, name: str, **options):
    """Adds a convolution; ReLU and same padding by default."""
    options = {"padding": "same", "activation": "relu", "kernel_initializer": "he_normal"} | options
    return layers.Conv2D(filters, kernel, name=name, **options)(x)


def _norm(x, name: str):
    # With Keras' momentum of 0.99 a short training has no usable moving averages.
    return layers.BatchNormalization(momentum=0.9, epsilon=1.001e-5, name=name)(x)


def _norm_relu(x, prefix: str):
    return layers.ReLU(name=f"{prefix}relu")(_norm(x, f"{prefix}bn"))


def vgg_block(x, convolutions: int, filters: int, *, name: str):
    """VGG: 3×3 convolutions with ReLU, then 2×2 max pooling that halves height and width."""
    for number in range(1, convolutions + 1):
        x = _conv(x, filters, 3, f"{name}_conv{number}")
    return layers.MaxPooling2D(2, name=f"{name}_pool")(x)


def nin_block(x, filters: int, kernel: int, *, name: str, **options):
    """Network in Network: a convolution, then two of 1×1, which are dense layers per pixel."""
    x = _conv(x, filters, kernel, f"{name}_conv", **options)
    x = _conv(x, filters, 1, f"{name}_1x1_1")
    return _conv(x, filters, 1, f"{name}_1x1_2")


def inception_block(x, filters: tuple[int, int, int, int, int, int], *, name: str):
    """GoogLeNet: four parallel paths, concatenated.

    Args:
        x: the input.
        filters: of 1×1; of the 1×1 before 3×3 and of 3×3; of the 1×1 before 5×5 and of
            5×5; of the 1×1 after max pooling (table 1 of arXiv 1409.4842).
        name: prefix of the layers' names.
    """
    one, before3, three, before5, five, after_pool = filters
    path1 = _conv(x, one, 1, f"{name}_1x1")
    path2 = _conv(_conv(x, before3, 1, f"{name}_3x3_reduce"), three, 3, f"{name}_3x3")
    path3 = _conv(_conv(x, before5, 1, f"{name}_5x5_reduce"), five, 5, f"{name}_5x5")
    path4 = layers.MaxPooling2D(3, strides=1, padding="same", name=f"{name}_pool")(x)
    path4 = _conv(path4, after_pool, 1, f"{name}_pool_1x1")
    return layers.Concatenate(name=f"{name}_concat")([path1, path2, path3, path4])


def residual_block(
    x, filters: int, *, name: str, stride: int = 1, bottleneck: bool = False, use_bias: bool = True
):
    """ResNet: g(x) = x + f(x), then ReLU (arXiv 1512.03385).

    The shortcut is a 1×1 convolution if channels or size change.

    Args:
        x: the input.
        filters: channels of f's convolutions; a bottleneck ends in four times as many.
        name: prefix of the layers' names.
        stride: of f's first convolution, as in Keras' ResNet.
        bottleneck: f is 1×1, 3×3, 1×1 instead of two 3×3.
        use_bias: whether convolutions have a bias, as in Keras but not in the paper.
    """
    steps = [(filters, 3), (filters, 3)]
    if bottleneck:
        steps = [(filters, 1), (filters, 3), (4 * filters, 1)]

    def conv_norm(x, width: int, kernel: int, part: int):
        options = {"activation": None, "use_bias": use_bias, "strides": stride if part < 2 else 1}
        return _norm(_conv(x, width, kernel, f"{name}_{part}_conv", **options), f"{name}_{part}_bn")

    out = steps[-1][0]
    shortcut = x if stride == 1 and x.shape[-1] == out else conv_norm(x, out, 1, 0)
    for part, (width, kernel) in enumerate(steps, start=1):
        if part > 1:
            x = layers.ReLU(name=f"{name}_{part - 1}_relu")(x)
        x = conv_norm(x, width, kernel, part)
    x = layers.Add(name=f"{name}_add")([shortcut, x])
    return layers.ReLU(name=f"{name}_out")(x)


_BARE = {"activation": None, "use_bias": False}


def dense_block(x, convolutions: int, growth: int, *, name: str, bottleneck: bool = True):
    """DenseNet: each convolution sees all maps before it (arXiv 1608.06993).

    Args:
        x: the input.
        convolutions: how many times BN, ReLU, 3×3 convolution, concatenation.
        growth: channels that each adds.
        name: prefix of the layers' names.
        bottleneck: whether BN, ReLU, 1×1 convolution to four times ``growth`` comes before.
    """
    steps = [(4 * growth, 1), (growth, 3)] if bottleneck else [(growth, 3)]
    for number in range(1, convolutions + 1):
        part, y = f"{name}_block{number}", x
        for step, (filters, kernel) in enumerate(steps):
            y = _norm_relu(y, f"{part}_{step}_")
            y = _conv(y, filters, kernel, f"{part}_{step + 1}_conv", **_BARE)
        x = layers.Concatenate(name=f"{part}_concat")([x, y])
    return x


def transition_block(x, *, name: str):
    """DenseNet: BN, ReLU, 1×1 convolution to half the channels, 2×2 average pooling."""
    x = _conv(_norm_relu(x, f"{name}_"), x.shape[-1] // 2, 1, f"{name}_conv", **_BARE)
    return layers.AveragePooling2D(2, name=f"{name}_pool")(x)


def _stem(x, filters: int, *, small: bool, use_bias: bool):
    """The start of ResNet and DenseNet: 7×7 with stride 2 and pooling, or one 3×3."""
    kernel, stride = (3, 1) if small else (7, 2)
    x = layers.ZeroPadding2D(kernel // 2, name="conv1_pad")(x)
    options = {"strides": stride, "padding": "valid", "activation": None, "use_bias": use_bias}
    x = _norm_relu(_conv(x, filters, kernel, "conv1_conv", **options), "conv1_")
    if small:
        return x
    x = layers.ZeroPadding2D(1, name="pool1_pad")(x)
    return layers.MaxPooling2D(3, strides=2, name="pool1_pool")(x)


def _dense(x, units: int, name: str, activation: str):
    start = "he_normal" if activation == "relu" else "glorot_uniform"
    return layers.Dense(units, activation=activation, kernel_initializer=start, name=name)(x)


def _dense_top(x, dense, classes: int, *, activation="relu"):
    """Adds hidden dense layers with ``activation``, then the classifier."""
    x = layers.Flatten(name="flatten")(x)
    for number, units in enumerate(dense, start=1):
        x = _dense(x, units, f"fc{number}", activation)
    return _dense(x, classes, "predictions", "softmax")


def _average_top(x, classes: int):
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
    return _dense(x, classes, "predictions", "softmax")


# --- networks: from images (n, h, w, c) to class probabilities (n, classes) -----------------


def lenet(x, classes: int):
    """LeNet-5 as taught today: sigmoid, average pooling (d2l.ai 7.6; LeCun et al. 1998).

    The first convolution keeps the size of 28×28 pixels and cuts 32×32 to it.
    """
    start = {"activation": "sigmoid", "kernel_initializer": "glorot_uniform"}
    x = _conv(x, 6, 5, "conv1", padding="same" if x.shape[1] <= 28 else "valid", **start)
    x = layers.AveragePooling2D(2, name="pool1")(x)
    x = _conv(x, 16, 5, "conv2", padding="valid", **start)
    x = layers.AveragePooling2D(2, name="pool2")(x)
    return _dense_top(x, (120, 84), classes, activation="sigmoid")


def alexnet(
    x,
    classes: int,
    *,
    stem: tuple[int, int, int, str] = (96, 11, 4, "valid"),
    filters: tuple[int, ...] = (256, 384, 384, 256),
    dense: tuple[int, ...] = (4096, 4096),
):
    """AlexNet as the chapter lists it, plus the softmax: one path, no normalization, no Dropout.

    Args:
        x: the input; the full network needs at least 67×67 pixels.
        classes: units of the output.
        stem: filters, kernel, stride and padding of the first convolution.
        filters: of the second (5×5) to fifth (3×3) convolution.
        dense: units of the hidden dense layers.
    """
    width, kernel, stride, padding = stem
    x = _conv(x, width, kernel, "conv1", strides=stride, padding=padding)
    x = layers.MaxPooling2D(3, strides=2, name="pool1")(x)
    for number, width in enumerate(filters, start=2):
        x = _conv(x, width, 5 if number == 2 else 3, f"conv{number}")
        if number in (2, 5):
            x = layers.MaxPooling2D(3, strides=2, name=f"pool{number}")(x)
    return _dense_top(x, dense, classes)


def vgg(
    x, classes: int, *, blocks: tuple[tuple[int, int], ...], dense: tuple[int, ...] = (4096, 4096)
):
    """VGG from blocks of (convolutions, filters); arXiv 1409.1556."""
    for number, (convolutions, filters) in enumerate(blocks, start=1):
        x = vgg_block(x, convolutions, filters, name=f"block{number}")
    return _dense_top(x, dense, classes)


def nin(x, classes: int, *, blocks: tuple[tuple[int, int, int, str], ...]):
    """Network in Network: blocks of (filters, kernel, stride, padding), 3×3 pooling after each.

    The last block has one channel per class; global average pooling replaces dense layers
    (arXiv 1312.4400, in the sizes of d2l.ai 8.3).
    """
    for number, (filters, kernel, strides, padding) in enumerate(blocks, start=1):
        x = nin_block(x, filters, kernel, strides=strides, padding=padding, name=f"nin{number}")
        x = layers.MaxPooling2D(3, strides=2, name=f"pool{number}")(x)
    x = layers.Dropout(0.5, name="dropout")(x)
    x = nin_block(x, classes, 3, name=f"nin{len(blocks) + 1}")
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
    return layers.Softmax(name="predictions")(x)


# fmt: off
INCEPTION = {
    "3a": (64, 96, 128, 16, 32, 32), "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64), "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64), "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128), "5b": (384, 192, 384, 48, 128, 128),
}
# fmt: on
"""Filters of GoogLeNet's blocks, table 1 of arXiv 1409.4842."""


def googlenet(x, classes: int, *, width: float = 1.0, small_stem: bool = False):
    """GoogLeNet without its auxiliary classifiers; arXiv 1409.4842.

    Args:
        x: the input.
        classes: units of the softmax.
        width: factor for all filters.
        small_stem: one 3×3 convolution and one pooling instead of the stem for 224×224.
    """

    def pool(x, name: str):
        return layers.MaxPooling2D(3, strides=2, padding="same", name=name)(x)

    if small_stem:
        x = _conv(x, int(192 * width), 3, "conv1")
    else:
        x = pool(_conv(x, int(64 * width), 7, "conv1", strides=2), "pool1")
        x = _conv(x, int(64 * width), 1, "conv2_reduce")
        x = _conv(x, int(192 * width), 3, "conv2")
    x = pool(x, "pool2")
    for name, filters in INCEPTION.items():
        x = inception_block(x, [int(count * width) for count in filters], name=f"inception{name}")
        if name in ("3b", "4e"):
            x = pool(x, f"pool{name[0]}")
    return _average_top(x, classes)


def resnet(
    x,
    classes: int,
    *,
    blocks: tuple[int, ...],
    bottleneck: bool,
    filters: int = 64,
    use_bias: bool = True,
    small_stem: bool = False,
):
    """ResNet; arXiv 1512.03385.

    Args:
        x: the input.
        classes: units of the softmax.
        blocks: residual blocks per stage; filters double from stage to stage.
        bottleneck: see `residual_block`.
        filters: of the stem and of the first stage.
        use_bias: see `residual_block`.
        small_stem: a first convolution that keeps the size, for small images.
    """
    x = _stem(x, filters, small=small_stem, use_bias=use_bias)
    for stage, count in enumerate(blocks):
        for number in range(1, count + 1):
            x = residual_block(
                x,
                filters * 2**stage,
                name=f"conv{stage + 2}_block{number}",
                stride=2 if number == 1 and stage > 0 else 1,
                bottleneck=bottleneck,
                use_bias=use_bias,
            )
    return _average_top(x, classes)


def densenet(
    x, classes: int, *, blocks: tuple[int, ...], growth: int = 32, small_stem: bool = False
):
    """DenseNet with bottlenecks; arXiv 1608.06993.

    Args:
        x: the input.
        classes: units of the softmax.
        blocks: convolution pairs per dense block, with a transition between blocks.
        growth: channels that each pair adds.
        small_stem: as in `resnet`.
    """
    x = _stem(x, 2 * growth, small=small_stem, use_bias=False)
    for stage, convolutions in enumerate(blocks, start=2):
        x = dense_block(x, convolutions, growth, name=f"conv{stage}")
        if stage <= len(blocks):
            x = transition_block(x, name=f"pool{stage}")
    return _average_top(_norm_relu(x, ""), classes)


_VGG19_BLOCKS = ((2, 64), (2, 128), (4, 256), (4, 512), (4, 512))
_NIN_BLOCKS = ((96, 11, 4, "valid"), (256, 5, 1, "same"), (384, 3, 1, "same"))
_SMALL_NIN_BLOCKS = ((24, 5, 1, "same"), (64, 3, 1, "same"), (160, 3, 1, "same"))


def _narrow_vgg(blocks, width: float) -> dict[str, Any]:
    return {"blocks": [(count, int(filters * width)) for count, filters in blocks], "dense": (128,)}


# fmt: off
NETWORKS = {
    "LeNet": (lenet, {}, {}),
    "AlexNet": (alexnet, {}, {"stem": (48, 5, 2, "same"), "filters": (96, 128, 128, 96),
                              "dense": (128, 128)}),
    "NiN": (nin, {"blocks": _NIN_BLOCKS}, {"blocks": _SMALL_NIN_BLOCKS}),
    "VGG16": (vgg, {"blocks": VGG16_BLOCKS}, _narrow_vgg(VGG16_BLOCKS, 3 / 16)),
    "VGG19": (vgg, {"blocks": _VGG19_BLOCKS}, _narrow_vgg(_VGG19_BLOCKS, 5 / 32)),
    "GoogLeNet": (googlenet, {}, {"width": 3 / 16, "small_stem": True}),
    "ResNet-18": (resnet, {"blocks": (2, 2, 2, 2), "bottleneck": False},
                  {"filters": 10, "small_stem": True}),
    "ResNet-50": (resnet, {"blocks": (3, 4, 6, 3), "bottleneck": True},
                  {"filters": 6, "small_stem": True}),
    "DenseNet-121": (densenet, {"blocks": (6, 12, 24, 16)},
                     {"blocks": (1, 3, 8, 8), "growth": 10, "small_stem": True}),
}
# fmt: on
"""Builder, arguments of the published network, changes for the small variant; in the order of the
papers. The small variants, LeNet aside, take 10 to 15 million multiply–adds per 32×32 image."""


def build(
    name: str,
    *,
    small: bool = False,
    image_size: int | None = None,
    channels: int | None = None,
    classes: int | None = None,
    **changes: Any,
) -> keras.Model:
    """Builds a reference architecture.

    Args:
        name: a key of `NETWORKS`.
        small: the variant for 32×32 RGB images and 10 classes instead of the published network.
        image_size: height and width of the input, pixels; by default 224, LeNet 28.
        channels: of the input; by default 3, LeNet 1.
        classes: units of the output; by default 1,000, LeNet 10.
        **changes: other arguments of the network's function.

    Returns:
        A model from float32 (n, image_size, image_size, channels) to class probabilities
        float32 (n, classes). Not compiled.

    Raises:
        ParameterError: if there is no such architecture or the images are too small for it.
    """
    if name not in NETWORKS:
        raise ParameterError(f"unknown architecture {name!r}: expected {', '.join(NETWORKS)}")
    builder, published, narrow = NETWORKS[name]
    defaults = (32, 3, 10) if small else (28, 1, 10) if name == "LeNet" else (224, 3, 1000)
    given = zip((image_size, channels, classes), defaults, strict=True)
    size, channels, classes = (usual if value is None else value for value, usual in given)
    inputs = keras.Input(shape=(size, size, channels))
    arguments = published | (narrow if small else {}) | changes
    try:
        return keras.Model(inputs, builder(inputs, classes, **arguments))
    except ValueError as error:
        if "dimension size" not in str(error) and "output size" not in str(error):
            raise
        raise ParameterError(
            f"{name}: {size} pixels are too few for its poolings; give a larger image_size"
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
