"""Each network against the published summaries: layers, shapes, parameters."""

import numpy as np
import pytest

from lib import models, pretrained
from lib.study import EXPERIMENTS, experiment

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


def build(slug, weights, **changes):
    return models.build(
        slug,
        image_size=experiment(slug).image_size,
        weights=weights if experiment(slug).uses_imagenet else None,
        **changes,
    )


@pytest.mark.parametrize("slug", models.ARCHITECTURES)
def test_network_is_the_published_one(slug, weights):
    model = build(slug, weights)
    rows = [
        (type(layer).__name__, tuple(layer.output.shape[1:]), layer.count_params())
        for layer in model.layers[1:]
    ]
    assert rows == SUMMARIES[slug]
    assert model.count_params() == experiment(slug).total_params
    assert models.trainable_params(model) == experiment(slug).trainable_params


def test_every_rung_has_a_network():
    assert tuple(models.ARCHITECTURES) == tuple(e.slug for e in EXPERIMENTS)


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
        for slug in models.ARCHITECTURES
        for layer in build(slug, weights).layers
        if type(layer).__name__ == O
    }
    assert rates == {0.25}


def test_other_head_of_double_conv():
    assert models.build("03_double_conv", dense=(256, 128)).count_params() == 845_738


@pytest.mark.parametrize("slug", ["07_vgg16_frozen", "09_mini_vgg16"])
def test_imagenet_weights_go_where_they_belong(slug, weights):
    model = build(slug, weights)
    convolutions = [layer for layer in model.layers if type(layer).__name__ == C]
    for layer in convolutions:
        kernel, bias = layer.get_weights()
        assert np.array_equal(kernel, weights.tensors[layer.name][0])
        assert np.array_equal(bias, weights.tensors[layer.name][1])
    assert len(convolutions) == (13 if "frozen" in slug else 7)


def test_scratch_network_takes_no_weights(weights):
    with pytest.raises(ValueError, match="06_vgg16_scratch does not use ImageNet weights"):
        models.build("06_vgg16_scratch", weights=weights)


def test_weights_are_never_replaced_by_random_ones():
    with pytest.raises(ValueError, match="08_vgg16_finetuned needs ImageNet weights"):
        models.build("08_vgg16_finetuned")


def test_unknown_network():
    with pytest.raises(KeyError, match="11_vgg19"):
        models.build("11_vgg19")


def test_multiply_adds_by_hand():
    base = models.build("00_base_cnn")
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
    text = models.summary(models.build("00_base_cnn"))
    assert "263,402" in text
    assert "\x1b" not in text
