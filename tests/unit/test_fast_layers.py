"""Our layers and optimizer against Keras' own: same variables, same figures."""

import importlib

import numpy as np
import pytest

from lib import models, training
from lib.engine import fast_layers, keras, tf
from lib.results import model_cell


def close(ours, theirs, tolerance: float) -> None:
    """Compares by the norm of the difference."""
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.shape == theirs.shape
    assert np.linalg.norm(ours - theirs) <= tolerance * np.linalg.norm(theirs)


def run(layer, x, *, training=True, in_graph=True):
    """Returns output, gradients of input and weights, and the layer's variables afterwards."""
    weights = np.random.default_rng(1)
    upstream = tf.constant(weights.normal(size=(*x.shape[:3], 16)).astype("f4"))
    layer.build(x.shape)
    layer.set_weights([weights.normal(1, 0.2, v.shape).astype("f4") for v in layer.weights])

    def step(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            output = layer(x, training=training)
            loss = tf.reduce_sum(output * upstream)
        return [output, *tape.gradient(loss, [x, *(v.value for v in layer.trainable_variables)])]

    return (tf.function(step) if in_graph else step)(tf.constant(x)), layer.get_weights()


def maps(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(2, 3, shape).astype("f4")


@pytest.mark.parametrize("in_graph", [True, False])
@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((6, 2, 2, 8), {"padding": "same"}),
        ((6, 2, 2, 8), {"padding": "same", "activation": "relu", "use_bias": False}),
        ((6, 2, 4, 8), {"padding": "same"}),
    ],
)
def test_convolution_equals_keras(shape, options, in_graph):
    ours, theirs = (
        run(module.Conv2D(16, 3, **options), maps(*shape), in_graph=in_graph)
        for module in (fast_layers, keras.layers)
    )
    for mine, his in zip(ours[0], theirs[0], strict=True):
        close(mine, his, 2e-6)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("size", [(4, 4), (8, 5)])
def test_the_product_of_neighbors_is_the_gradient_of_a_convolution(size, dtype):
    x = tf.cast(maps(3, *size, 6), dtype)
    kernel, upstream = (
        tf.cast(np.random.default_rng(1).normal(size=s).astype("f4"), dtype)
        for s in ((3, 3, 6, 7), (3, *size, 7))
    )
    found = []
    for convolve in (fast_layers._convolve, lambda *both: tf.nn.conv2d(*both, 1, "SAME")):
        with tf.GradientTape() as tape:
            tape.watch([x, kernel])
            output = convolve(x, kernel)
        found.append([output, *tape.gradient(output, [x, kernel], upstream)])
    for mine, his in zip(*found, strict=True):
        assert mine.dtype == dtype
        mine, his = (tf.cast(one, "float32") for one in (mine, his))
        close(mine, his, {"float32": 2e-6, "bfloat16": 1e-2}[dtype])


def test_only_plain_3x3_kernels_on_small_maps_take_another_way(monkeypatch):
    calls = []
    for way in ("_convolve_2x2", "_convolve"):
        monkeypatch.setattr(fast_layers, way, lambda x, _, way=way: calls.append(way) or x)
    many = tf.zeros((1, 8, 8, 128), "bfloat16")
    few = tf.zeros((1, 2, 2, 8))
    bfloat16 = {"dtype": "bfloat16"}
    for options in ({"strides": 2}, {"dilation_rate": 2}, {"groups": 2}, {"kernel_size": 1}):
        options = {"kernel_size": 3, "padding": "same"} | options
        fast_layers.Conv2D(8, **options)(few)
        fast_layers.Conv2D(8, **options | bfloat16)(many)
    for other in ((1, 3, 3, 8), (1, 4, 4, 8), (1, 8, 8, 128)):
        fast_layers.Conv2D(8, 3, padding="same")(tf.zeros(other))
    for other in ((1, 9, 9, 128), (1, 8, 8, 127)):
        fast_layers.Conv2D(8, 3, padding="same", **bfloat16)(tf.zeros(other, "bfloat16"))
    assert calls == []
    fast_layers.Conv2D(8, 3, padding="same")(few)
    fast_layers.Conv2D(8, 3, padding="same", **bfloat16)(many)
    assert calls == ["_convolve_2x2", "_convolve"]


@pytest.mark.parametrize("scale", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_batch_normalization_equals_keras(training, scale):
    options = {"momentum": 0.9, "scale": scale}
    ours, theirs = (
        run(module.BatchNormalization(**options), maps(7, 5, 5, 16), training=training)
        for module in (fast_layers, keras.layers)
    )
    for mine, his, tolerance in zip(ours[0], theirs[0], (2e-6, 3e-5, 1e-5, 1e-5)):  # noqa: B905
        close(mine, his, tolerance)
    for mine, his in zip(ours[1], theirs[1], strict=True):
        close(mine, his, 1e-6)


def test_frozen_batch_normalization_keeps_its_averages():
    layer = fast_layers.BatchNormalization(trainable=False)
    layer.build((7, 5, 5, 16))
    before = layer.get_weights()
    layer(maps(7, 5, 5, 16), training=True)
    assert all(np.array_equal(a, b) for a, b in zip(before, layer.get_weights(), strict=True))


@pytest.mark.parametrize("clipnorm", [None, 0.5, 1e6])
def test_adam_equals_keras(clipnorm):
    def steps(module) -> np.ndarray:
        variable = keras.Variable(np.linspace(-1, 1, 40, dtype="f4").reshape(8, 5))
        optimizer = module.Adam(training.LinearDecay(0.1, 3, 12), clipnorm=clipnorm)
        optimizer.build([variable])
        for number in range(12):
            gradient = np.random.default_rng(number).normal(size=(8, 5)).astype("f4")
            optimizer.apply([tf.constant(gradient)], [variable])
        return np.asarray(variable), [np.asarray(v) for v in optimizer.variables]

    (ours, state), (theirs, their_state) = steps(fast_layers), steps(keras.optimizers)
    for mine, his in zip([ours, *state], [theirs, *their_state], strict=True):
        close(mine, his, 2e-5)  # float32 knows 1 - 0.999 to five digits


@pytest.mark.parametrize("slug", ["04_batch_norm", "06_vgg16_scratch"])
def test_the_same_network_of_keras_own_layers(slug):
    model = model_cell.build(slug)
    plain = models.as_keras(model)
    assert {type(layer).__module__.split(".")[0] for layer in plain.layers} == {"keras"}
    assert [layer.name for layer in plain.layers] == [layer.name for layer in model.layers]
    x = np.random.default_rng(0).random((5, 32, 32, 3), dtype=np.float32)
    close(model(x, training=False), plain(x, training=False), 1e-5)
    config = [layer.get_config() for layer in model.layers]
    assert config == [layer.get_config() for layer in plain.layers]


def test_a_plain_layer_is_keras_own_with_the_same_configuration():
    for ours in (fast_layers.Conv2D(8, 3), fast_layers.BatchNormalization(momentum=0.9)):
        layer = fast_layers.plain(ours)
        assert type(layer) is getattr(keras.layers, type(ours).__name__)
        assert layer.get_config() == ours.get_config()
    other = keras.layers.Dense(4)
    assert type(fast_layers.plain(other)) is keras.layers.Dense


FAST = ("Conv2D", "BatchNormalization", "Adam")


@pytest.fixture
def listed(monkeypatch):
    """Loads the module anew as TensorFlow lists some GPUs, and once more afterwards."""

    def load(gpus: list[str]) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(tf.config, "list_physical_devices", lambda kind=None: gpus)
            importlib.reload(fast_layers)

    yield load
    importlib.reload(fast_layers)


def test_on_a_gpu_all_are_keras_own(listed):
    listed([])
    assert [getattr(fast_layers, name).__module__ for name in FAST] == 3 * [fast_layers.__name__]
    listed(["/physical_device:GPU:0"])
    theirs = [keras.layers.Conv2D, keras.layers.BatchNormalization]
    assert [getattr(fast_layers, name) for name in FAST] == [*theirs, keras.optimizers.Adam]
    model = models.cnn(
        image_size=8, classes=10, blocks=((1, 4),), dense=(4,), dropout_after=(1,), batch_norm=True
    )
    assert not [x for x in model.layers if not type(x).__module__.startswith("keras.")]
    training.compile(model, learning_rate=1e-3)
    assert type(model.optimizer) is keras.optimizers.Adam
    plain = models.as_keras(model)
    x = maps(2, 8, 8, 3)
    assert np.array_equal(model(x), plain(x))
