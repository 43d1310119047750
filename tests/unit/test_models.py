"""Each network against the published summaries; networks from elsewhere, checked and compared."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from lib import data, models, pretrained, training
from lib.engine import fast_layers, keras
from lib.errors import ModelError, ParameterError
from lib.results import model_cell, parameters
from lib.study import SLUGS, experiment

layers = keras.layers

C, P, D, B, F, O = "Conv2D", "MaxPooling2D", "Dense", "BatchNormalization", "Flatten", "Dropout"  # noqa: E741

# (layer, output shape without the batch, parameters) as printed in the source document.
SUMMARIES = {
    "00_base_cnn": [
        (C, (32, 32, 32), 896),
        (P, (16, 16, 32), 0),
        (F, (8192,), 0),
        (D, (32,), 262_176),
        (D, (10,), 330),
    ],
    "01_deeper_cnn": [
        (C, (32, 32, 32), 896),
        (P, (16, 16, 32), 0),
        (C, (16, 16, 64), 18_496),
        (P, (8, 8, 64), 0),
        (C, (8, 8, 128), 73_856),
        (P, (4, 4, 128), 0),
        (F, (2048,), 0),
        (D, (256,), 524_544),
        (D, (128,), 32_896),
        (D, (10,), 1_290),
    ],
    "02_dropout": [
        (C, (32, 32, 32), 896),
        (P, (16, 16, 32), 0),
        (C, (16, 16, 64), 18_496),
        (P, (8, 8, 64), 0),
        (O, (8, 8, 64), 0),
        (C, (8, 8, 128), 73_856),
        (P, (4, 4, 128), 0),
        (O, (4, 4, 128), 0),
        (F, (2048,), 0),
        (D, (256,), 524_544),
        (D, (128,), 32_896),
        (O, (128,), 0),
        (D, (10,), 1_290),
    ],
    "03_double_conv": [
        (C, (32, 32, 32), 896),
        (C, (32, 32, 32), 9_248),
        (P, (16, 16, 32), 0),
        (O, (16, 16, 32), 0),
        (C, (16, 16, 64), 18_496),
        (C, (16, 16, 64), 36_928),
        (P, (8, 8, 64), 0),
        (O, (8, 8, 64), 0),
        (C, (8, 8, 128), 73_856),
        (C, (8, 8, 128), 147_584),
        (P, (4, 4, 128), 0),
        (O, (4, 4, 128), 0),
        (F, (2048,), 0),
        (D, (512,), 1_049_088),
        (O, (512,), 0),
        (D, (10,), 5_130),
    ],
    "04_batch_norm": [
        (C, (32, 32, 32), 896),
        (B, (32, 32, 32), 128),
        (C, (32, 32, 32), 9_248),
        (B, (32, 32, 32), 128),
        (P, (16, 16, 32), 0),
        (O, (16, 16, 32), 0),
        (C, (16, 16, 64), 18_496),
        (B, (16, 16, 64), 256),
        (C, (16, 16, 64), 36_928),
        (B, (16, 16, 64), 256),
        (P, (8, 8, 64), 0),
        (O, (8, 8, 64), 0),
        (C, (8, 8, 128), 73_856),
        (B, (8, 8, 128), 512),
        (C, (8, 8, 128), 147_584),
        (B, (8, 8, 128), 512),
        (P, (4, 4, 128), 0),
        (O, (4, 4, 128), 0),
        (F, (2048,), 0),
        (D, (256,), 524_544),
        (B, (256,), 1_024),
        (D, (128,), 32_896),
        (B, (128,), 512),
        (O, (128,), 0),
        (D, (10,), 1_290),
    ],
}
SUMMARIES["05_data_augmentation"] = SUMMARIES["04_batch_norm"]


def vgg16_summary(size: int, blocks: int, dense_in: int) -> list[tuple]:
    """VGG16's part as printed (at 32×32; shapes scale with the size), then the study's head."""
    convolutions = [
        [1_792, 36_928],
        [73_856, 147_584],
        [295_168, 590_080, 590_080],
        [1_180_160, 2_359_808, 2_359_808],
        [2_359_808, 2_359_808, 2_359_808],
    ]
    rows = []
    for params, filters in zip(convolutions[:blocks], (64, 128, 256, 512, 512), strict=False):
        rows += [(C, (size, size, filters), count) for count in params]
        size //= 2
        rows.append((P, (size, size, filters), 0))
    return [
        *rows,
        (F, (dense_in,), 0),
        (D, (256,), dense_in * 256 + 256),
        (B, (256,), 1_024),
        (D, (128,), 32_896),
        (B, (128,), 512),
        (O, (128,), 0),
        (D, (10,), 1_290),
    ]


for _slug in ("06_vgg16_scratch", "07_vgg16_frozen", "08_vgg16_finetuned"):
    SUMMARIES[_slug] = vgg16_summary(32, 5, 512)
SUMMARIES["09_mini_vgg16"] = vgg16_summary(32, 3, 4096)
SUMMARIES["10_vgg16_64x64"] = vgg16_summary(64, 5, 2048)


@pytest.fixture(scope="module")
def weights():
    """Random tensors of VGG16's shapes: what matters here is where they go."""
    rng = np.random.default_rng(0)
    tensors = {
        name: (rng.normal(size=shape).astype("f4"), rng.normal(size=shape[-1]).astype("f4"))
        for name, shape in pretrained.SHAPES.items()
    }
    return pretrained.Weights(tensors, "test", pretrained.weight_files.digest(tensors))


IMAGENET = [slug for slug in SLUGS if "WEIGHTS" in parameters.defaults(slug)]


def build(slug, weights, **values):
    return model_cell.build(slug, weights=weights if slug in IMAGENET else None, **values)


@pytest.mark.parametrize("slug", SLUGS)
def test_network_is_the_published_one(slug, weights):
    model = build(slug, weights)
    rows = [
        (type(layer).__name__, tuple(layer.output.shape[1:]), layer.count_params())
        for layer in model.layers[1:]
    ]
    assert rows == SUMMARIES[slug]
    assert model.count_params() == experiment(slug).total_params
    assert models.trainable_params(model) == experiment(slug).trainable_params
    assert models.architecture(model) == experiment(slug).architecture


def test_four_experiments_start_from_imagenet():
    assert [slug[:2] for slug in IMAGENET] == ["07", "08", "09", "10"]


@pytest.mark.parametrize("slug", ["00_base_cnn", "06_vgg16_scratch"])
def test_activations_and_padding(slug, weights):
    *hidden, last = (layer for layer in build(slug, weights).layers if hasattr(layer, "activation"))
    assert {layer.activation.__name__ for layer in hidden} == {"relu"}
    assert last.activation.__name__ == "softmax"
    for layer in hidden:
        if type(layer).__name__ == C:
            assert (layer.kernel_size, layer.strides, layer.padding) == ((3, 3), (1, 1), "same")


def test_dropout_is_a_quarter(weights):
    rates = {
        layer.rate
        for slug in SLUGS
        for layer in build(slug, weights).layers
        if type(layer).__name__ == O
    }
    assert rates == {0.25}


def test_other_head_of_double_conv():
    slug = "03_double_conv"
    assert model_cell.build(slug, HEAD="code").count_params() == 845_738
    drops = {on: model_cell.build(slug, POOL1_DROPOUT=on).layers for on in (True, False)}
    assert [sum(type(x).__name__ == O for x in drops[on]) for on in (True, False)] == [4, 3]


@pytest.mark.parametrize("slug", ["07_vgg16_frozen", "09_mini_vgg16"])
def test_imagenet_weights_go_where_they_belong(slug, weights):
    model = build(slug, weights)
    convolutions = [layer for layer in model.layers if type(layer).__name__ == C]
    for layer in convolutions:
        kernel, bias = layer.get_weights()
        assert np.array_equal(kernel, weights.tensors[layer.name][0])
        assert np.array_equal(bias, weights.tensors[layer.name][1])
    assert len(convolutions) == (13 if "frozen" in slug else 7)


def test_unknown_network():
    with pytest.raises(ParameterError, match="11_vgg19"):
        model_cell.build("11_vgg19")


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ([("", "model = 1")], "has 0 cells tagged 'model', expected 1"),
        (2 * [("model", "model = 1")], "has 2 cells tagged 'model', expected 1"),
        ([("model", "model = 1 / 0")], "fails: ZeroDivisionError: division by zero"),
        ([("model", "network = 1")], "does not set `model`"),
    ],
)
def test_model_cell_that_makes_no_network(cells, message, monkeypatch):
    made = tuple((frozenset([tag]), code) for tag, code in (("parameters", "SEED = 0"), *cells))
    monkeypatch.setattr(parameters, "code_cells", lambda path: made)
    with pytest.raises(ModelError) as caught:
        model_cell.build("00_base_cnn")
    assert message in str(caught.value)
    assert "00_base_cnn.ipynb" in str(caught.value)


def test_multiply_adds_by_hand():
    base = model_cell.build("00_base_cnn")
    convolution, dense, last = 32 * 32 * 27 * 32, 8192 * 32, 32 * 10
    assert models.forward_macs(base) == convolution + dense + last
    # The first layer's input needs no gradient.
    assert models.training_macs(base) == 2 * convolution + 3 * (dense + last)


def test_frozen_layers_cost_only_their_forward_pass(weights):
    model = build("07_vgg16_frozen", weights)
    head = 512 * 256 + 256 * 128 + 128 * 10
    # The head's first layer needs no gradient of its input.
    assert models.training_macs(model) == models.forward_macs(model) + 2 * head - 512 * 256


def test_summary_is_plain_text():
    text = models.summary(model_cell.build("00_base_cnn"))
    assert "263,402" in text
    assert "\x1b" not in text


# --- networks from elsewhere -----------------------------------------------------------------


def images(size: int = 32, classes: int = 10) -> SimpleNamespace:
    """As much of a data set as the checks look at."""
    return SimpleNamespace(image_size=size, classes=tuple(range(classes)))


def ours(**changes) -> keras.Model:
    """A small network by our builder."""
    options = {"image_size": 32, "classes": 10, "blocks": ((1, 4), (2, 8)), "dense": (16,)}
    options |= {"dropout_after": (1, "dense"), "batch_norm": True}
    return models.cnn(**(options | changes))


def pasted(classes: int = 10) -> list[keras.Layer]:
    """The layers of the same network, as a reader would paste them."""
    convolution = {"kernel_size": 3, "padding": "same", "activation": "relu"}
    return [
        layers.Conv2D(4, **convolution),
        layers.BatchNormalization(),
        layers.MaxPooling2D(),
        layers.Dropout(0.25),
        layers.Conv2D(8, **convolution),
        layers.BatchNormalization(),
        layers.Conv2D(8, **convolution),
        layers.BatchNormalization(),
        layers.MaxPooling2D(),
        layers.Flatten(),
        layers.Dense(16, activation="relu"),
        layers.BatchNormalization(),
        layers.Dropout(0.25),
        layers.Dense(classes, activation="softmax"),
    ]


def functional(made: list[keras.Layer], size: int = 32) -> keras.Model:
    inputs = x = keras.Input((size, size, 3))
    for layer in made:
        x = layer(x)
    return keras.Model(inputs, x)


def nested_vgg16(*, frozen: bool = False, with_input: bool = True, **options) -> keras.Model:
    """Keras' VGG16 inside a Sequential, with the study's head."""
    base = keras.applications.VGG16(
        include_top=False, weights=None, input_shape=(32, 32, 3), **options
    )
    base.trainable = not frozen
    return keras.Sequential(
        [
            *([keras.Input((32, 32, 3))] if with_input else []),
            base,
            *([] if "pooling" in options else [layers.Flatten()]),
            layers.Dense(256, activation="relu"),
            layers.BatchNormalization(),
            layers.Dense(128, activation="relu"),
            layers.BatchNormalization(),
            layers.Dropout(0.25),
            layers.Dense(10, activation="softmax"),
        ]
    )


def assert_same_network(model: keras.Model, builders: keras.Model) -> None:
    """Compares what records and estimates say of two networks."""
    for fact in (
        models.architecture,
        models.forward_macs,
        models.training_macs,
        models.trainable_params,
        keras.Model.count_params,
    ):
        assert fact(model) == fact(builders), fact.__name__


FORMS = {
    "sequential without Input": lambda: keras.Sequential(pasted()),
    "sequential with Input": lambda: keras.Sequential([keras.Input((32, 32, 3)), *pasted()]),
    "functional": lambda: functional(pasted()),
    "sequential in a sequential": lambda: keras.Sequential(
        [keras.Sequential(pasted()[:9]), *pasted()[9:]]
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_pasted_network_is_that_of_the_builder(form):
    assert_same_network(models.checked(FORMS[form](), images()), ours())


@pytest.mark.parametrize("with_input", [True, False])
@pytest.mark.parametrize("frozen", [True, False])
def test_nested_vgg16_is_that_of_the_builder(frozen, with_input):
    model = models.checked(nested_vgg16(frozen=frozen, with_input=with_input), images())
    builders = models.vgg16(image_size=32, classes=10, weights=None, frozen=frozen)
    assert_same_network(model, builders)
    slug = "07_vgg16_frozen" if frozen else "06_vgg16_scratch"
    assert models.architecture(model) == experiment(slug).architecture


def test_checking_keeps_a_networks_weights():
    model = keras.Sequential(pasted())
    found = models.checked(model, images())
    assert all(a is b for a, b in zip(model.weights, found.weights, strict=True))
    assert models.checked(found, images()) is found


def test_one_sigmoid_unit_tells_two_classes():
    model = functional([layers.Flatten(), layers.Dense(1, activation="sigmoid")])
    assert models.checked(model, images(classes=2)) is model
    with pytest.raises(ModelError, match="one probability for each of 10 classes"):
        models.checked(model, images())


def test_input_of_another_size_than_the_images():
    assert models.checked(functional(pasted(), size=48), images()).input_shape[1] == 48
    assert models.checked(keras.Sequential(pasted()), images(size=64)).input_shape[1] == 64


class Subclassed(keras.Model):
    """A network whose layers only its own code knows."""

    def __init__(self):
        super().__init__()
        self.flat, self.dense = layers.Flatten(), layers.Dense(10, activation="softmax")

    def call(self, x):
        return self.dense(self.flat(x))


def subclassed_and_called() -> keras.Model:
    model = Subclassed()
    model(np.zeros((1, 32, 32, 3), "f4"))
    return model


def two_inputs() -> keras.Model:
    both = [keras.Input((32, 32, 3)) for _ in range(2)]
    return keras.Model(both, layers.Dense(10)(layers.Flatten()(layers.Add()(both))))


def named_output() -> keras.Model:
    images = keras.Input((32, 32, 3))
    last = layers.Dense(10, activation="softmax")
    return keras.Model(images, {"classes": last(layers.Flatten()(images))})


def ending_in(last: keras.Layer, shape=(32, 32, 3)) -> keras.Model:
    return keras.Sequential([keras.Input(shape), layers.Flatten(), last])


REFUSED = {
    "subclassed": (Subclassed, "model is a Subclassed with layers that cannot be seen"),
    "subclassed and called": (
        subclassed_and_called,
        "a Subclassed with layers that cannot be seen",
    ),
    "subclassed inside": (
        lambda: keras.Sequential([keras.Input((32, 32, 3)), Subclassed()]),
        "with layers that cannot be seen",
    ),
    "two inputs": (two_inputs, "has several inputs or outputs; expected one of each"),
    "a dictionary as output": (named_output, "has several inputs or outputs"),
    "too much pooling": (
        lambda: keras.Sequential([*(layers.MaxPooling2D(2) for _ in range(6)), *pasted()[-2:]]),
        "cannot be built: Computed output size would be",
    ),
    "units": (
        lambda: ending_in(layers.Dense(7, activation="softmax")),
        "output is (7,); expected (10,), one probability for each of 10 classes",
    ),
    "maps": (
        lambda: keras.Sequential([layers.Dense(10, activation="softmax")]),
        "output is (32, 32, 10); expected (10,)",
    ),
    "no softmax": (lambda: ending_in(layers.Dense(10)), "not probabilities that add up to 1"),
    "sigmoid": (
        lambda: ending_in(layers.Dense(10, activation="sigmoid")),
        'end it with layers.Dense(classes, activation="softmax")',
    ),
    "gray images": (
        lambda: ending_in(layers.Dense(10, activation="softmax"), (32, 32, 1)),
        "input is (32, 32, 1); expected square color images, like (32, 32, 3)",
    ),
    "oblong images": (
        lambda: ending_in(layers.Dense(10, activation="softmax"), (32, 48, 3)),
        "input is (32, 48, 3); expected square color images",
    ),
    "no images": (
        lambda: ending_in(layers.Dense(10, activation="softmax"), (3072,)),
        "input is (3072,); expected square color images",
    ),
    "images of any size": (
        lambda: keras.Sequential(
            [
                keras.Input((None, None, 3)),
                layers.GlobalAveragePooling2D(),
                layers.Dense(10, activation="softmax"),
            ]
        ),
        "input is (None, None, 3); expected square color images",
    ),
    "no layers": (lambda: keras.Sequential([]), "cannot be built"),
    "layers that do not fit": (
        lambda: keras.Sequential([layers.Flatten(), *pasted()]),
        "cannot be built: Input 0",
    ),
    "text": (lambda: "vgg16", "model is a str; expected a keras.Model"),
    "a layer": (lambda: layers.Dense(10), "model is a Dense; expected a keras.Model"),
    "nothing": (lambda: None, "model is a NoneType; expected a keras.Model"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_network_that_cannot_be_trained_gets_one_sentence(kind):
    make, message = REFUSED[kind]
    with pytest.raises(ModelError) as caught:
        models.checked(make(), images())
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_architecture_is_the_same_for_other_images_and_names():
    digest = models.architecture(ours())
    assert models.architecture(ours(image_size=64, classes=3)) == digest
    named = pasted()
    for number, layer in enumerate(named):
        layer.name = f"layer_{number}"
    model = keras.Sequential(named, name="mine")
    model.build((None, 48, 48, 3))
    assert models.architecture(model) == digest


def changed(index: int, layer: keras.Layer) -> keras.Model:
    """The small network with another layer in place of one of its own."""
    made = pasted()
    made[index] = layer
    return functional(made)


def in_another_order() -> keras.Model:
    made = pasted()
    made[2], made[3] = made[3], made[2]
    return functional(made)


def with_one_frozen() -> keras.Model:
    model = ours()
    model.layers[1].trainable = False
    return model


def conv(filters: int = 4, size: int = 3, **changes) -> keras.Layer:
    return layers.Conv2D(filters, size, **({"padding": "same", "activation": "relu"} | changes))


OTHER_NETWORKS = {
    "filters": lambda: changed(0, conv(filters=5)),
    "kernel size": lambda: changed(0, conv(size=5)),
    "strides": lambda: changed(0, conv(strides=2)),
    "padding": lambda: changed(0, conv(padding="valid")),
    "activation": lambda: changed(0, conv(activation="elu")),
    "no bias": lambda: changed(0, conv(use_bias=False)),
    "regularizer": lambda: changed(0, conv(kernel_regularizer="l2")),
    "momentum": lambda: changed(1, layers.BatchNormalization(momentum=0.9)),
    "kind of pooling": lambda: changed(2, layers.AveragePooling2D(2)),
    "pool size": lambda: changed(2, layers.MaxPooling2D(4)),
    "dropout rate": lambda: changed(3, layers.Dropout(0.5)),
    "units": lambda: changed(10, layers.Dense(17, activation="relu")),
    "last activation": lambda: changed(13, layers.Dense(10, activation="sigmoid")),
    "one layer fewer": lambda: ours(dropout_after=(1,)),
    "order": in_another_order,
    "one frozen": with_one_frozen,
}


def test_architecture_differs_where_networks_do():
    digests = {name: models.architecture(make()) for name, make in OTHER_NETWORKS.items()}
    digests["ours"] = models.architecture(ours())
    assert len(set(digests.values())) == len(digests), digests


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (lambda: changed(0, conv()), lambda: changed(0, conv(kernel_constraint="non_neg"))),
        (
            lambda: changed(3, layers.GaussianNoise(0.1)),
            lambda: changed(3, layers.GaussianNoise(0.2)),
        ),
        (lambda: changed(3, layers.LeakyReLU(0.1)), lambda: changed(3, layers.LeakyReLU(0.2))),
    ],
    ids=["constraint", "noise", "leak"],
)
def test_architecture_sees_what_other_layers_compute(one, other):
    """A training must not resume from the checkpoint of another network with the same weights."""
    assert models.architecture(one()) != models.architecture(other())


@pytest.mark.parametrize(
    "other", [lambda x: 2 * x - 1, lambda x: 3 * x - 1, keras.ops.relu, layers.Lambda(abs)]
)
def test_architecture_sees_what_is_computed_outside_of_layers(other):
    def network(before):
        images = keras.Input((8, 8, 3))
        x = layers.Flatten()(before(images))
        return keras.Model(images, layers.Dense(10, activation="softmax")(x))

    plain, scaled = (network(lambda x, factor=f: factor * x) for f in (1, 2))
    digests = {models.architecture(model) for model in (plain, scaled, network(other))}
    assert len(digests) == 3


def test_network_with_own_computations_is_saved():
    images = keras.Input((32, 32, 3))
    x = layers.Lambda(lambda x: 2 * x - 1)(images)
    x = fast_layers.Conv2D(3, 3)(x) + 1
    model = keras.Model(images, layers.Dense(10, activation="softmax")(layers.Flatten()(x)))
    saved = models.as_keras(model)
    pixels = np.random.default_rng(0).random((2, 32, 32, 3), dtype=np.float32)
    np.testing.assert_allclose(saved(pixels), model(pixels), rtol=1e-5, atol=1e-6)


def test_architecture_sees_how_layers_are_joined():
    def skipping(frm: int) -> keras.Model:
        tensors = [keras.Input((8, 8, 3))]
        for _ in range(3):
            tensors.append(layers.Conv2D(3, 3, padding="same")(tensors[-1]))
        x = layers.Flatten()(layers.Add()([tensors[frm], tensors[3]]))
        return keras.Model(tensors[0], layers.Dense(2, activation="softmax")(x))

    assert models.architecture(skipping(1)) != models.architecture(skipping(2))
    assert models.architecture(skipping(1)) == models.architecture(skipping(1))


def test_head_begins_after_a_nested_base():
    model = models.checked(nested_vgg16(), images())
    base = models.base_layers(model, "HEAD_EPOCHS = 1")
    assert [x.name for x in base] == [x.name for x in models.all_layers(model)][:18]
    assert (base[0].name, base[-1].name) == ("block1_conv1", "block5_pool")
    assert tuple(models.head_input(model, "VIEWS = 1").shape) == (None, 512)


def test_head_that_begins_inside_the_nested_base():
    model = models.checked(nested_vgg16(pooling="avg"), images())
    assert models.base_layers(model, "HEAD_EPOCHS = 1")[-1].name == "block5_pool"
    with pytest.raises(ModelError, match="VIEWS = 1 needs a head that begins with a Flatten"):
        models.head_input(model, "VIEWS = 1")


def test_head_begins_with_the_last_pooling():
    """Squeeze and excitation has a global pooling inside of the base."""
    pictures = keras.Input((32, 32, 3))
    x = layers.Conv2D(4, 3, name="conv")(pictures)
    scale = layers.Dense(4, activation="sigmoid")(layers.GlobalAveragePooling2D()(x))
    x = layers.Multiply(name="excite")([x, layers.Reshape((1, 1, 4))(scale)])
    x = layers.Flatten()(x)
    model = keras.Model(pictures, layers.Dense(10, activation="softmax")(x))
    assert models.base_layers(model, "HEAD_EPOCHS = 1")[-1].name == "excite"
    assert models.head_input(model, "VIEWS = 1") is x


@pytest.mark.parametrize(
    ("find", "wanted"), [(models.base_layers, "HEAD_EPOCHS = 2"), (models.head_input, "VIEWS = 3")]
)
def test_network_without_a_head_gets_one_sentence(find, wanted):
    model = functional(
        [conv(10, 32, padding="valid"), layers.Reshape((10,)), layers.Softmax()],
    )
    with pytest.raises(ModelError) as caught:
        find(models.checked(model, images()), wanted)
    name = wanted.split()[0]
    assert str(caught.value) == (
        f"{wanted} needs a head that begins with a Flatten or global pooling layer of its own, and "
        f"this network has none; add one, or set {name} = 0"
    )


RECIPE = training.Recipe(epochs=1, batch_size=16, learning_rate=1e-3, patience=0, seed=0)


@pytest.fixture(scope="module")
def digits() -> data.Dataset:
    return data.load("digits", train_size=32, val_size=20, test_size=20)


def test_head_first_freezes_nested_layers_and_restores_their_own_flags(digits, monkeypatch):
    training.seed(0)
    model = nested_vgg16()
    vgg16 = model.layers[0]
    own = {layer.name: layer.name not in ("block1_conv1", "block1_conv2") for layer in vgg16.layers}
    for layer in vgg16.layers:
        layer.trainable = own[layer.name]
    before, seen = vgg16.get_weights(), []

    class Watch(training.Progress):
        def on_epoch_end(self, epoch, logs):
            super().on_epoch_end(epoch, logs)
            same = [np.array_equal(a, b) for a, b in zip(before, vgg16.get_weights(), strict=True)]
            seen.append(same)

    monkeypatch.setattr(training, "Progress", Watch)
    training.fit(model, digits, replace(RECIPE, head_epochs=1))
    first, second = seen
    assert all(first)
    assert second == 4 * [True] + 22 * [False]  # kernels and biases; two layers are frozen
    learns = {layer.name: layer.trainable for layer in vgg16.layers if layer.weights}
    assert learns == {name: own[name] for name in learns}


def test_features_of_a_nested_frozen_vgg16(digits):
    training.seed(0)
    model = nested_vgg16(frozen=True)
    before = model.layers[0].get_weights(), model.layers[-1].get_weights()
    fit = training.fit(model, digits, replace(RECIPE, views=2))
    after = model.layers[0].get_weights(), model.layers[-1].get_weights()
    same = [
        [np.array_equal(a, b) for a, b in zip(*pair, strict=True)]
        for pair in zip(before, after, strict=True)
    ]
    assert all(same[0])
    assert not any(same[1])
    whole = models.checked(model, digits)
    head = 512 * 256 + 256 * 128 + 128 * 10
    base = models.forward_macs(whole) - head
    assert fit.operations == 32 * (2 * base + 3 * head - 512 * 256)


def test_features_of_a_nested_vgg16_that_learns_are_refused(digits):
    with pytest.raises(ModelError, match="layers before the head learn"):
        training.fit(nested_vgg16(), digits, replace(RECIPE, views=2))


def test_pasted_sequential_trains_and_is_saved_for_any_keras(digits, tmp_path):
    training.seed(0)
    model = keras.Sequential(pasted())
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    fit = training.fit(model, digits, RECIPE)
    assert fit.operations == 32 * models.training_macs(ours())
    evaluation = training.evaluate(model, digits)
    assert evaluation.probabilities.shape == (20, 10)
    models.as_keras(model).save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", compile=False)
    np.testing.assert_array_equal(training.predict(loaded, digits.x_test), evaluation.probabilities)
    assert models.architecture(loaded) == models.architecture(ours())


def saved_layers(model: keras.Model) -> list[str]:
    return [type(layer).__module__.partition(".")[0] for layer in models.all_layers(model)]


def test_saved_network_is_called_as_any_keras_model(recwarn):
    model = models.as_keras(ours())
    x = np.zeros((2, 32, 32, 3), "f4")
    assert model(x).shape == (2, 10)
    assert not [w for w in recwarn if "structure of `inputs`" in str(w.message)]


def test_builders_network_nested_in_another_is_saved_for_any_keras():
    inner = ours()
    base = keras.Model(inner.inputs[0], inner.layers[-2].output)
    last = layers.Dense(10, activation="softmax")
    model = keras.Sequential([keras.Input((32, 32, 3)), base, last])
    assert type(base.layers[1]) is fast_layers.Conv2D
    plain = models.as_keras(model)
    assert set(saved_layers(plain)) == {"keras"}
    x = np.random.default_rng(0).random((3, 32, 32, 3), dtype=np.float32)
    np.testing.assert_allclose(plain(x), model(x), rtol=1e-5, atol=1e-6)
