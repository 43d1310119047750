"""Reference architectures against published totals, shapes, and Keras' own networks."""

import ast
import json
import math
from functools import cache
from types import SimpleNamespace
from unittest.mock import MagicMock

import numpy as np
import pytest

from lib import models
from lib.companions import architectures
from lib.companions.published import REFERENCES
from lib.engine import keras, tf
from lib.results import parameters

PUBLISHED_VARIANT = {  # arguments of the variant with the published number of parameters
    "AlexNet": {"classes": 10},
    "NiN": {"channels": 1, "classes": 10},
    "ResNet-18": {"use_bias": False},
}
# Depth as the names and papers say; billions of multiply–adds as table 1 and section 4 of
# arXiv 1512.03385 (18, 50 layers, VGG19) and table 1 of arXiv 1409.4842 (GoogLeNet) have them.
DEPTH_AND_COST = {
    "LeNet": (5, None),
    "AlexNet": (8, None),
    "NiN": (12, None),
    "VGG16": (16, None),
    "VGG19": (19, 19.6e9),
    "GoogLeNet": (22, 1.5e9),
    "ResNet-18": (18, 1.8e9),
    "ResNet-50": (50, 3.8e9),
    "DenseNet-121": (121, None),
}


def graph(builder, *arguments, shape, **options) -> keras.Model:
    inputs = keras.Input(shape=shape)
    return keras.Model(inputs, builder(inputs, *arguments, name="block", **options))


@pytest.mark.parametrize("reference", REFERENCES, ids=lambda r: r.name)
def test_parameters_depth_and_cost_are_the_published_ones(reference):
    model = architectures.build(reference.name, **PUBLISHED_VARIANT.get(reference.name, {}))
    trainable = "trainable" in reference.params_of
    count = models.trainable_params(model) if trainable else model.count_params()
    assert count == reference.params
    depth, macs = DEPTH_AND_COST[reference.name]
    assert architectures.depth(model) == depth
    if macs:
        assert models.forward_macs(model) == pytest.approx(macs, rel=0.06)


def test_totals_of_the_sources():
    totals = {reference.name: reference.params for reference in REFERENCES}
    assert totals["AlexNet"] == 46_787_978
    assert (totals["VGG16"], totals["VGG19"]) == (138_357_544, 143_667_240)
    assert (totals["DenseNet-121"], totals["ResNet-50"]) == (8_062_504, 25_636_712)
    assert list(totals) == list(architectures.NETWORKS)


def notebook_cells() -> dict[str, str]:
    path = parameters.notebook_path("reference_architectures")
    return {c["id"]: "".join(c["source"]) for c in json.loads(path.read_text("utf-8"))["cells"]}


@pytest.mark.parametrize(
    ("epochs", "curves", "said"),
    [
        (20, ("flat", "flat"), "AlexNet has the highest validation accuracy, 60.0% (58.0% on"),
        (20, ("flat", "at chance level"), "no ranking, because of these networks: NiN (at chance"),
        (10, ("flat", "flat"), "no ranking, because that is less than 5,000 steps"),
    ],
)
def test_networks_are_ranked_only_if_all_have_learned(epochs, curves, said):
    names, accuracies = ("LeNet", "AlexNet", "NiN"), (0.9, 0.6, 0.5)
    small = [
        {"small network": name, "validation curve": curve, "million multiply–adds": 10.0}
        | {"validation accuracy": accuracy, "test accuracy": accuracy - 0.02}
        for name, curve, accuracy in zip(names, ("flat", *curves), accuracies, strict=True)
    ]
    networks = [{"network": n, "parameters": 9, "in dense layers": 3} for n in names]
    ours = {"math": math, "small": small, "networks": networks, "EPOCHS": epochs, "BATCH_SIZE": 32}
    nothing = dict.fromkeys(("errors", "stacks", "fits", "weights"))
    mocks = {name: MagicMock() for name in ("tables", "display", "Markdown", "run")}
    images = SimpleNamespace(y_train=range(10_000), y_test=range(10_000))
    exec(notebook_cells()["saw"], shown := ours | nothing | mocks | {"images": images})
    assert said in shown["SAW"]
    assert mocks["run"].write_companion.call_args.kwargs["summary"] == shown["SAW"]


def test_the_notebooks_listings_are_the_published_networks():
    """Its plain Keras code against `architectures`, which is compared with the sources."""
    cells = notebook_cells()
    shown: dict = {"keras": keras, "layers": keras.layers}
    for name in ("alexnet", "vgg"):
        definitions = [x for x in ast.parse(cells[name]).body if isinstance(x, ast.FunctionDef)]
        exec(compile(ast.Module(definitions, []), name, "exec"), shown)
    alexnet = shown["alexnet"]()
    assert alexnet.count_params() == 46_787_978
    assert alexnet.layers[-1].activation is keras.activations.linear  # logits, D13
    assert shown["vgg16"]().count_params() == 138_357_544
    images = np.random.default_rng(0).random((2, 96, 96, 3), dtype=np.float32)
    for name, builder in (("AlexNet", shown["alexnet"]), ("VGG16", shown["vgg16"])):
        listed = builder(image_size=96, classes=10)
        ours = architectures.build(name, image_size=96, classes=10)
        ours.set_weights(listed.get_weights())
        expected = np.asarray(listed(images))
        if name == "AlexNet":
            expected = np.asarray(keras.ops.softmax(expected))
        np.testing.assert_allclose(np.asarray(ours(images)), expected, atol=1e-6)
        assert np.ptp(expected) > 0


def test_alexnet_at_1000_classes():  # docs/study.md D13
    assert architectures.build("AlexNet").count_params() == 50_844_008


def test_googlenet_has_the_outputs_of_table_1_of_its_paper():
    """Its parameter counts are no test: 4c's 463 thousand do not follow from its filters."""
    model = architectures.build("GoogLeNet")
    table = {
        "3a": (28, 28, 256),
        "3b": (28, 28, 480),
        "4a": (14, 14, 512),
        "4b": (14, 14, 512),
        "4c": (14, 14, 512),
        "4d": (14, 14, 528),
        "4e": (14, 14, 832),
        "5a": (7, 7, 832),
        "5b": (7, 7, 1024),
    }
    for name, shape in table.items():
        assert model.get_layer(f"inception{name}_concat").output.shape[1:] == shape


def test_nin_has_the_shapes_of_d2l():
    model = architectures.build("NiN", channels=1, classes=10)
    shapes = [model.get_layer(f"nin{number}_1x1_2").output.shape[1:] for number in (1, 2, 3, 4)]
    assert shapes == [(54, 54, 96), (26, 26, 256), (12, 12, 384), (5, 5, 10)]


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("VGG16", keras.applications.VGG16),
        ("VGG19", keras.applications.VGG19),
        ("ResNet-50", keras.applications.ResNet50),
        ("DenseNet-121", keras.applications.DenseNet121),
    ],
)
def test_same_weights_same_output_as_keras(name, theirs):
    reference = theirs(weights=None, input_shape=(64, 64, 3), classes=10)
    rng = np.random.default_rng(0)
    for layer in reference.layers:  # biases and moving averages start at 0 and 1: move them
        layer.set_weights(
            [
                weight + 0.1 * np.abs(rng.normal(size=weight.shape)) if weight.ndim == 1 else weight
                for weight in layer.get_weights()
            ]
        )
    ours = architectures.build(name, image_size=64, classes=10)
    named = {layer.name: layer for layer in reference.layers if layer.weights}
    copied = [layer for layer in ours.layers if layer.weights]
    assert {layer.name for layer in copied} == set(named)
    for layer in copied:
        layer.set_weights(named[layer.name].get_weights())
    images = rng.random((3, 64, 64, 3), dtype=np.float32)
    for inner in (copied[-2].name, copied[-1].name):  # softmax alone would hide much
        pair = [
            np.asarray(keras.Model(model.input, model.get_layer(inner).output)(images))
            for model in (ours, reference)
        ]
        assert np.ptp(pair[1]) > 0
        assert np.abs(pair[0] - pair[1]).max() <= 1e-5 * max(np.abs(pair[1]).max(), 1)


@cache
def small(name: str) -> keras.Model:
    return architectures.build(name, small=True)


@pytest.mark.parametrize("name", architectures.NETWORKS)
def test_small_variant_learns_in_every_layer(name):
    model = small(name)
    assert model.input_shape == (None, 32, 32, 3)
    images = np.random.default_rng(0).random((8, 32, 32, 3), dtype=np.float32)
    labels = np.arange(8)
    with tf.GradientTape() as tape:
        outputs = model(images, training=True)
        loss = keras.ops.mean(keras.ops.sparse_categorical_crossentropy(labels, outputs))
    assert outputs.shape == (8, 10)
    np.testing.assert_allclose(np.asarray(outputs).sum(axis=1), 1, atol=1e-5)
    variables = [variable.value for variable in model.trainable_variables]
    gradients = tape.gradient(loss, variables)
    assert all(gradient is not None for gradient in gradients)
    kernels = [g for g in gradients if len(g.shape) > 1]
    assert all(float(keras.ops.max(keras.ops.abs(kernel))) > 0 for kernel in kernels)


def test_small_variants_cost_about_the_same():
    """So that equal epochs are an equal budget; LeNet is not compared."""
    compared = [small(name) for name in architectures.NETWORKS if name != "LeNet"]
    costs = [models.forward_macs(model) for model in compared]
    sizes = [model.count_params() for model in compared]
    assert max(costs) < 1.6 * min(costs)
    assert max(sizes) < 4 * min(sizes)


def test_inception_concatenates_four_paths():
    model = graph(architectures.inception_block, (1, 2, 3, 4, 5, 6), shape=(8, 8, 7))
    assert model.output_shape == (None, 8, 8, 1 + 3 + 5 + 6)
    paths = [tensor._keras_history.operation.name for tensor in model.layers[-1].input]
    assert paths == [f"block_{path}" for path in ("1x1", "3x3", "5x5", "pool_1x1")]


def test_residual_block_adds_its_input():
    model = graph(architectures.residual_block, 4, shape=(6, 6, 4))
    for layer in model.layers:  # f(x) = 0 leaves ReLU(x)
        layer.set_weights([np.zeros_like(weight) for weight in layer.get_weights()])
    x = np.random.default_rng(0).normal(size=(1, 6, 6, 4)).astype(np.float32)
    np.testing.assert_array_equal(np.asarray(model(x)), np.maximum(x, 0))


def test_residual_block_projects_where_channels_or_size_change():
    model = graph(architectures.residual_block, 8, stride=2, shape=(6, 6, 4))
    assert model.output_shape == (None, 3, 3, 8)
    assert model.get_layer("block_0_conv").kernel_size == (1, 1)
    smaller = graph(architectures.residual_block, 4, stride=2, shape=(6, 6, 4))
    assert smaller.get_layer("block_0_conv").strides == (2, 2)


def test_dense_block_keeps_all_maps_before():
    model = graph(architectures.dense_block, 3, 5, bottleneck=False, shape=(6, 6, 4))
    assert model.output_shape == (None, 6, 6, 4 + 3 * 5)
    x = np.random.default_rng(0).normal(size=(1, 6, 6, 4)).astype(np.float32)
    np.testing.assert_array_equal(np.asarray(model(x))[..., :4], x)


def test_transition_halves_size_and_channels():
    model = graph(architectures.transition_block, shape=(6, 6, 10))
    assert model.output_shape == (None, 3, 3, 5)


@pytest.mark.parametrize(("name", "size"), [("AlexNet", 66), ("VGG16", 31), ("LeNet", 8)])
def test_too_small_images_are_one_sentence(name, size):
    with pytest.raises(ValueError, match=f"{name}: {size} pixels are too few"):
        architectures.build(name, image_size=size)


def test_unknown_architecture_lists_the_known():
    with pytest.raises(ValueError, match=r"unknown architecture 'Inception'.*GoogLeNet"):
        architectures.build("Inception")
