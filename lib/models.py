"""Builders of the study's networks, and facts about any network."""

import math
import re
from typing import Any

from lib import digests
from lib.engine import fast_layers, keras
from lib.errors import ModelError
from lib.pretrained.weight_files import BLOCKS as VGG16_BLOCKS

layers = keras.layers

DROPOUT = 0.25
"""Rate of every Dropout of the study."""


def cnn(
    *,
    image_size: int,
    classes: int,
    blocks: tuple[tuple[int, int], ...],
    dense: tuple[int, ...],
    dropout_after: tuple[int | str, ...] = (),
    batch_norm: bool = False,
) -> keras.Model:
    """Builds a plain convolutional network, as in experiments 0 to 5.

    Args:
        image_size: height and width of the input, pixels.
        classes: units of the softmax.
        blocks: (convolutions, filters) per block: 3×3, ReLU, same padding, then 2×2 pooling.
        dense: units of the hidden layers, ReLU.
        dropout_after: blocks, from 1 on, that end in Dropout, and ``"dense"`` for the
            last hidden layer.
        batch_norm: whether BatchNormalization follows every convolution and hidden layer.

    Returns:
        A model from float32 (n, image_size, image_size, 3) in [0, 1] to class probabilities
        float32 (n, classes). Not compiled.
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
            x = layers.Dropout(DROPOUT)(x)
    x = layers.Flatten()(x)
    outputs = head(x, dense, classes, batch_norm=batch_norm, dropout="dense" in dropout_after)
    return keras.Model(inputs, outputs)


def vgg16(
    *,
    image_size: int,
    classes: int,
    weights: Any,
    blocks: int = 5,
    frozen: bool = False,
    dense: tuple[int, ...] = (256, 128),
) -> keras.Model:
    """Builds VGG16 without its top, with the study's head, as in experiments 6 to 10.

    Layers have Keras' names, ``block1_conv1`` to ``block5_pool``.

    Args:
        image_size: height and width of the input, pixels, at least 32.
        classes: units of the softmax.
        weights: ImageNet weights (`lib.pretrained.Weights`), or None for random ones.
        blocks: how many of the five blocks to keep, from the first.
        frozen: whether VGG16's layers keep their weights in training.
        dense: units of the hidden layers of the head.

    Returns:
        As `cnn`.
    """
    inputs = x = keras.Input(shape=(image_size, image_size, 3))
    for block, (convolutions, filters) in enumerate(VGG16_BLOCKS[:blocks], start=1):
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
    model = keras.Model(inputs, head(x, dense, classes, batch_norm=True, dropout=True))
    if weights is not None:
        assign(model, weights)
    return model


def assign(model: keras.Model, weights: Any) -> None:
    """Puts ImageNet weights into the convolutions of a model that have VGG16's names."""
    for layer in model.layers:
        if layer.name in weights.tensors:
            layer.set_weights(weights.tensors[layer.name])


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
        x = layers.Dropout(DROPOUT)(x)
    return layers.Dense(classes, activation="softmax", dtype="float32")(x)


def trainable_params(model: keras.Model) -> int:
    """Returns the number of parameters that training changes."""
    return sum(math.prod(weight.shape) for weight in model.trainable_weights)


def summary(model: keras.Model) -> str:
    """Returns Keras' table of the layers as plain text."""
    from IPython.utils.capture import capture_output

    lines: list[str] = []
    with capture_output():  # rich, which draws the table, shows an empty output in a notebook
        model.summary(print_fn=lambda line, **_: lines.append(line), line_length=80)
    return "\n".join(lines)


def all_layers(model: keras.Model) -> list[keras.Layer]:
    """Returns a model's layers in order; of a nested model its layers. Inputs are left out.

    Raises:
        AttributeError: if a model is a subclass of Keras', so that its layers cannot be seen.
    """
    found = []
    model.inputs  # noqa: B018
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            found += all_layers(layer)
        elif not isinstance(layer, layers.InputLayer):
            found.append(layer)
    return found


def forward_macs(model: keras.Model) -> int:
    """Returns the multiply–adds of one image's forward pass (convolutions and dense layers)."""
    return sum(map(layer_macs, all_layers(model)))


def training_macs(model: keras.Model) -> int:
    """Returns the multiply–adds of one image's training step.

    Every layer runs forward. From the first trainable layer on, the gradient of the input takes
    as many again; a trainable layer also computes the gradient of its weights.
    """
    total, backward = 0, False
    for layer in all_layers(model):
        macs, learns = layer_macs(layer), bool(layer.trainable_weights)
        total += macs * (1 + learns + backward)
        backward = backward or learns
    return total


def layer_macs(layer: keras.Layer) -> int:
    """Returns the multiply–adds of one layer for one image."""
    if isinstance(layer, layers.Conv2D):
        height, width = layer.output.shape[1:3]
        return height * width * math.prod(layer.kernel.shape)
    return math.prod(layer.kernel.shape) if isinstance(layer, layers.Dense) else 0


def base_layers(model: keras.Model, wanted: str) -> list[keras.Layer]:
    """Returns the layers before the head, which begins with the last Flatten or global pooling.

    Args:
        model: functional.
        wanted: the parameter that needs them, for the message.

    Raises:
        ModelError: if the model has no such layer.
    """
    found = all_layers(model)
    return found[: found.index(_head_begins(found, wanted))]


def head_input(model: keras.Model, wanted: str) -> Any:
    """Returns the symbolic output of the layer with which the head begins; see `base_layers`.

    Raises:
        ModelError: if the model has no such layer, or has it inside of a nested model.
    """
    return _head_begins(model.layers, wanted).output


def _head_begins(found: list[keras.Layer], wanted: str) -> keras.Layer:
    kinds = (layers.Flatten, layers.GlobalAveragePooling2D, layers.GlobalMaxPooling2D)
    for layer in reversed(found):
        if isinstance(layer, kinds):
            return layer
    raise ModelError(
        f"{wanted} needs a head that begins with a Flatten or global pooling layer of its own, and "
        f"this network has none; add one, or set {wanted.split()[0]} = 0"
    )


_NOT_COMPUTED = (
    *("name", "dtype", "seed", "trainable", "data_format"),
    "renorm_momentum",  # of BatchNormalization since Keras 3.15, used with renorm only
)
"""Of a layer's configuration the parts that do not decide what it computes."""


def architecture(model: keras.Model) -> str:
    """Returns a digest of a network's layers: their classes, configurations, trainability.

    Names, initial weights, the input's size and the number of classes are left out, so that the
    same network on other images has the same digest. So is what is off (False, None), so that
    the digest is the same with every version of Keras.

    Args:
        model: any; layers of nested models are taken as its own.
    """
    found, made_by = [], {id(tensor): -1 for tensor in model.inputs}
    for index, layer in enumerate(all_layers(model)):
        facts = {
            name: value
            for name, value in layer.get_config().items()
            if value and name not in _NOT_COMPUTED and not name.endswith("initializer")
        }
        learns = layer.trainable if layer.weights else None
        inputs = layer.input if isinstance(layer.input, list) else [layer.input]
        before = [made_by.get(id(tensor), index - 1) for tensor in inputs]
        made_by[id(layer.output)] = index
        joined = [before] if before != [index - 1] else []  # not the layer before alone
        found.append([type(layer).__name__, facts, learns, *joined])
    if found and "units" in found[-1][1]:
        found[-1][1]["units"] = "classes"
    return digests.of_json(found + _operations(model))[:12]


def _operations(model: keras.Model) -> list:
    """Returns what a network computes outside of layers, such as ``2 * x``."""
    found = []
    for operation in getattr(model, "operations", ()):
        if isinstance(operation, keras.Model):
            found += _operations(operation)
        elif not isinstance(operation, keras.Layer):
            arguments = operation._inbound_nodes[0].arguments
            given = [*arguments.args, *arguments.kwargs.values()]
            constants = [str(x) for x in given if not keras.utils.is_keras_tensor(x)]
            found.append([type(operation).__name__, constants])
    return found


def functional(model: keras.Model, image_size: int) -> keras.Model:
    """Returns a model whose layers can be seen, with the same layers and weights.

    Args:
        model: sequential, with or without an Input, or functional.
        image_size: height and width of its input, where it does not say.

    Raises:
        ModelError: if it is neither, or its layers do not fit together.
    """
    if not isinstance(model, keras.Model):
        raise ModelError(f"model is a {type(model).__name__}; expected a keras.Model")
    try:
        if isinstance(model, keras.Sequential):
            if not model.built:
                model.build((None, image_size, image_size, 3))
            model = keras.Model(model.inputs[0], model.outputs[0], name=model.name)
        forward_macs(model)
        one = all(hasattr(tensor, "shape") for tensor in (model.input, model.output))
    except (AttributeError, RuntimeError) as error:
        raise ModelError(
            f"model is a {type(model).__name__} with layers that cannot be seen ({error}); build "
            "it with models.cnn, models.vgg16, keras.Sequential or keras.Model(inputs, outputs)"
        ) from error
    except (ValueError, TypeError) as error:
        lines = [line for line in str(error).splitlines() if line.strip()] or ["no reason given"]
        reason = lines[lines[0].startswith("Exception encountered") and len(lines) > 1]
        reason = re.sub(r"\x1b\[\d+m", "", reason)
        raise ModelError(f"the network cannot be built: {reason}") from error
    if not one:
        raise ModelError("the network has several inputs or outputs; expected one of each")
    return model


def checked(model: keras.Model, images: Any) -> keras.Model:
    """Returns a model as `functional` does, after checking that it can learn these images.

    Its last layer computes in float32 from then on.

    Args:
        model: the network.
        images: `lib.data.Dataset`.

    Raises:
        ModelError: if its input is not images, or its outputs are not one probability per class.
    """
    model = functional(model, images.image_size)
    last = all_layers(model)[-1]
    if last.compute_dtype != "float32":  # probabilities of half precision are too coarse
        last.dtype_policy = keras.DTypePolicy("float32")
    size, classes = model.input_shape[1], len(images.classes)
    if model.input_shape != (None, size, size, 3) or not size:
        raise ModelError(
            f"the network's input is {model.input_shape[1:]}; expected square color images, like "
            f"{(images.image_size, images.image_size, 3)}"
        )
    binary = classes == 2 and model.output_shape == (None, 1)
    if model.output_shape != (None, classes) and not binary:
        raise ModelError(
            f"the network's output is {model.output_shape[1:]}; expected {(classes,)}, one "
            f"probability for each of {classes} classes"
        )
    outputs = keras.ops.convert_to_numpy(model(keras.ops.zeros((1, size, size, 3))))
    total = 1 if binary else outputs.sum()
    if not (outputs.min() >= 0 and outputs.max() <= 1 and abs(total - 1) < 0.01):
        raise ModelError(
            "the network's outputs are not probabilities that add up to 1; end it with "
            'layers.Dense(classes, activation="softmax")'
        )
    return model


def as_keras(model: keras.Model) -> keras.Model:
    """Returns the same network and weights in float32 of Keras' own layers, for any Keras."""
    model = functional(model, model.input_shape[1])
    bare = keras.Model(model.inputs[0], model.outputs[0], name=model.name)  # without the optimizer
    inputs = keras.Input(bare.input_shape[1:], name=bare.layers[0].name)
    copy = keras.models.clone_model(
        bare, input_tensors=inputs, clone_function=fast_layers.plain, recursive=True
    )
    copy.set_weights(bare.get_weights())
    return copy
