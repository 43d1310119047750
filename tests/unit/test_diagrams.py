"""Diagrams are drawn from the models: every layer, every connection."""

import pytest

from lib import plots
from lib.companions import architectures, diagrams
from lib.engine import keras


def block(builder, *arguments, shape=(28, 28, 64), **options) -> keras.Model:
    inputs = keras.Input(shape=shape)
    return keras.Model(inputs, builder(inputs, *arguments, name="block", **options))


@pytest.fixture(scope="module")
def blocks():
    return {
        "inception": block(architectures.inception_block, (64, 96, 128, 16, 32, 32)),
        "residual": block(architectures.residual_block, 64),
        "projection": block(architectures.residual_block, 128, stride=2),
    }


def test_every_layer_has_a_box_and_a_place_of_its_own(blocks):
    figure = diagrams.blocks(blocks)
    for axis, (title, model) in zip(figure.axes, blocks.items(), strict=True):
        assert axis.get_title() == title
        written = sorted(text.get_text() for text in axis.texts if text.get_text())
        assert written == sorted(diagrams.label(layer) for layer in model.layers)
        places = list(diagrams._layout(model).values())
        assert len(set(places)) == len(model.layers)


def test_every_connection_has_an_arrow(blocks):
    figure = diagrams.blocks(blocks)
    for axis, model in zip(figure.axes, blocks.values(), strict=True):
        arrows = [text for text in axis.texts if getattr(text, "arrow_patch", None)]
        connections = sum(len(diagrams._inputs(layer)) for layer in model.layers[1:])
        assert len(arrows) == connections


def test_paths_of_the_inception_block_are_side_by_side(blocks):
    place = diagrams._layout(blocks["inception"])
    assert len({place[f"block_{path}"][0] for path in ("1x1", "3x3", "5x5", "pool_1x1")}) == 4
    assert place["block_3x3"][0] == place["block_3x3_reduce"][0]


def test_labels():
    layers = keras.layers
    x = keras.Input(shape=(8, 8, 3))
    for layer, text in (
        (layers.Conv2D(96, 5, strides=4), "Conv 5×5, 96, /4"),
        (layers.MaxPooling2D(3, strides=1), "Max pool 3×3"),
        (layers.AveragePooling2D(2), "Avg pool 2×2, /2"),
        (layers.BatchNormalization(), "BN"),
        (layers.ReLU(), "ReLU"),
    ):
        layer(x)
        assert diagrams.label(layer) == text


@pytest.mark.parametrize("name", architectures.NETWORKS)
def test_stages_count_every_convolution_and_dense_layer(name):
    model = architectures.build(name, small=True)
    stages = diagrams.stages(model)
    kinds = keras.layers.Conv2D | keras.layers.Dense
    assert sum(stage["weighted"] for stage in stages) == sum(
        isinstance(layer, kinds) for layer in model.layers
    )
    assert stages[-1]["output"] == "10"
    assert len({stage["name"] for stage in stages}) == len(stages)


def test_poolings_join_the_stage_before():
    stages = diagrams.stages(architectures.build("AlexNet", classes=10))
    convolutions, dense = [f"conv{number}" for number in range(1, 6)], ["fc1", "fc2"]
    assert [stage["name"] for stage in stages] == [*convolutions, *dense, "output"]
    assert (stages[0]["output"], stages[4]["output"]) == ("26×26×96", "5×5×256")


def test_networks_render():
    drawn = {
        name: diagrams.stages(architectures.build(name, small=True)) for name in ("NiN", "VGG16")
    }
    figure = diagrams.networks(drawn)
    assert [axis.get_title(loc="left") for axis in figure.axes] == list(drawn)
    assert plots.to_png(figure)[0][:4] == b"\x89PNG"
