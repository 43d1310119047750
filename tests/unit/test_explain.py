"""Looking into a network whose answer is known."""

import numpy as np
import pytest

from lib import inputs
from lib.companions import explain
from lib.engine import keras, tf
from lib.results import parameters


@pytest.fixture(scope="module")
def corner():
    """Says class 1 the more certainly, the redder the upper left quarter is."""
    inputs = keras.Input(shape=(8, 8, 3))
    x = keras.layers.Conv2D(2, 1, activation="relu", name="conv")(inputs)
    mask = np.zeros((1, 8, 8, 1), np.float32)
    mask[:, :4, :4] = 1
    x = keras.layers.Multiply()([x, keras.ops.convert_to_tensor(mask)])
    x = keras.layers.GlobalAveragePooling2D(name="hidden")(x)
    outputs = keras.layers.Dense(2, activation="softmax", name="predictions")(x)
    model = keras.Model(inputs, outputs)
    model.get_layer("conv").set_weights([np.eye(3)[None, None, :, :2], np.zeros(2)])
    weights = np.array([[0.0, 5.0], [0.0, 0.0]])
    model.get_layer("predictions").set_weights([weights, np.zeros(2)])
    return model


@pytest.fixture(scope="module")
def grad_cam():
    """The function that the notebook shows."""
    cells = parameters.working_code(parameters.notebook_path("inspect_a_model"))
    (cell,) = [code for code in cells if "def grad_cam(" in code]
    names = {"explain": explain, "inputs": inputs, "keras": keras, "np": np, "tf": tf}
    exec(cell, names)
    return names["grad_cam"]


@pytest.fixture
def red_corners():
    """Red in the upper left and in the lower right."""
    image = np.zeros((8, 8, 3), np.uint8)
    image[1:3, 1:3, 0] = image[5:7, 5:7, 0] = 255
    return image


def test_grad_cam_shows_what_speaks_for_the_class(grad_cam, corner, red_corners):
    heat = grad_cam(corner, red_corners, label=1)
    assert heat.shape == (8, 8)
    assert (heat.min(), heat.max()) == (0, 1)
    assert heat[1, 1] == 1
    assert heat[0, 0] == 0


def test_grad_cam_is_empty_where_nothing_speaks_for_the_class(grad_cam, corner, red_corners):
    assert grad_cam(corner, red_corners, label=0).max() == 0


def test_grad_cam_of_a_sure_network_does_not_vanish(grad_cam, corner, red_corners):
    sure = keras.models.clone_model(corner)
    sure.set_weights(corner.get_weights())
    kernel, bias = sure.get_layer("predictions").get_weights()
    sure.get_layer("predictions").set_weights([1e4 * kernel, bias])
    assert float(sure(red_corners[None] / np.float32(255))[0, 1]) == 1  # nothing left to gain
    np.testing.assert_array_equal(
        grad_cam(sure, red_corners, label=1),
        grad_cam(corner, red_corners, label=1),
    )


def test_activations_are_the_layers(corner, red_corners):
    maps = explain.activations(corner, red_corners, "conv")
    assert maps.shape == (8, 8, 2)
    np.testing.assert_allclose(maps[..., 0], red_corners[..., 0] / 255)


def test_activations_are_those_of_inference(red_corners):
    inputs = keras.Input(shape=(8, 8, 3))
    model = keras.Model(inputs, keras.layers.Dropout(0.9, name="drop")(inputs))
    maps = explain.activations(model, red_corners, "drop")
    np.testing.assert_allclose(maps, red_corners / 255)


def test_larger_pictures_are_resized(corner):
    picture = np.full((40, 40, 3), 255, np.uint8)
    assert explain.activations(corner, picture, "conv").shape == (8, 8, 2)


@pytest.mark.parametrize("name", ["con", "predictions"])
def test_layer_without_a_map_is_one_sentence(corner, red_corners, name):
    with pytest.raises(ValueError, match=f"no feature map '{name}': expected one of .*conv"):
        explain.activations(corner, red_corners, name)


def test_last_convolution(corner):
    assert explain.last_convolution(corner) == "conv"


def test_the_last_layers_input_has_length_1(corner):
    images = np.zeros((20, 8, 8, 3), np.uint8)
    images[..., 0], images[..., 1] = 100, 5 * np.arange(1, 21)[:, None, None]
    vectors = explain.embed(corner, images)
    assert vectors.shape == (20, 2)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
