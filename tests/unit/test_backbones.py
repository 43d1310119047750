"""Networks of keras.applications by name: scaling, weights, class names."""

import json
import shutil
import socket
import sys
import zipfile

import numpy as np
import pytest

from lib import cache, digests, downloads, pretrained
from lib.companions import backbones
from lib.engine import keras

class_index = sys.modules["lib.pretrained.class_index"]  # the package has a function of that name


@pytest.fixture(autouse=True)
def own_caches(tmp_path, monkeypatch):
    monkeypatch.setenv("CIFAR10_LADDER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))


@pytest.fixture
def offline(monkeypatch):
    """No way out: neither Keras' server nor a package index."""
    monkeypatch.setattr(class_index, "URL", "http://127.0.0.1:9/")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple/")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)


@pytest.mark.parametrize("name", backbones.NAMES)
def test_every_name_of_the_chapter_has_network_and_scaling(name):
    module = backbones._module(name)
    assert callable(getattr(module, name))
    assert backbones.preprocess_input(name) is module.preprocess_input


def test_chapter_lists_these():
    chapter = {"Xception", "VGG16", "VGG19", "ResNet152V2", "InceptionV3", "InceptionResNetV2"}
    chapter |= {"MobileNet", "MobileNetV2", "DenseNet201", "NASNetLarge", "EfficientNetB7"}
    chapter |= {"EfficientNetV2L", "ConvNeXtXLarge"}
    assert chapter <= set(backbones.NAMES)
    assert len(set(backbones.NAMES)) == len(backbones.NAMES)


@pytest.mark.parametrize(("name", "size"), [("VGG16", 32), ("MobileNetV2", 32), ("ResNet50V2", 32)])
def test_scaling_inside_equals_keras_outside(name, size):
    keras.utils.set_random_seed(0)
    model = backbones.build(name, image_size=size)
    pixels = np.random.default_rng(0).integers(0, 256, (2, size, size, 3)).astype(np.float32)
    bare = getattr(keras.applications, name)(
        include_top=False, weights=None, input_shape=(size, size, 3)
    )
    bare.set_weights(model.get_weights())
    expected = bare(backbones.preprocess_input(name)(pixels.copy()), training=False)
    np.testing.assert_allclose(model(pixels / 255, training=False), expected, atol=1e-4)


def test_x_255_leaves_pixels_alone():
    model = backbones.build("VGG16", image_size=32, scaling="x/255")
    first = model.get_layer("block1_conv1")
    first.set_weights([np.ones((3, 3, 3, 64)), np.zeros(64)])
    part = keras.Model(model.input, first.output)
    ones = np.ones((1, 32, 32, 3), np.float32)
    assert float(part(ones)[0, 16, 16, 0]) == pytest.approx(27)


def test_given_weights_are_vgg16s_and_go_nowhere_else():
    rng = np.random.default_rng(0)
    tensors = {
        name: (rng.normal(size=shape).astype("f4"), rng.normal(size=shape[-1]).astype("f4"))
        for name, shape in pretrained.SHAPES.items()
    }
    weights = pretrained.Weights(tensors, "test", "0")
    model = backbones.build("VGG16", image_size=32, weights=weights)
    kernel, bias = model.get_layer("block5_conv3").get_weights()
    np.testing.assert_array_equal(kernel, tensors["block5_conv3"][0])
    np.testing.assert_array_equal(bias, tensors["block5_conv3"][1])
    with pytest.raises(ValueError, match="these weights are VGG16's"):
        backbones.build("VGG19", image_size=32, weights=weights)


@pytest.mark.parametrize("call", [backbones.classifier, backbones.preprocess_input])
def test_unknown_name_lists_the_known(call):
    with pytest.raises(ValueError, match=r"unknown backbone 'VGG17': expected one of .*VGG16"):
        call("VGG17")


def test_unknown_scaling_lists_the_known():
    with pytest.raises(ValueError, match="unknown scaling 'raw': expected one of preprocess_input"):
        backbones.build("VGG16", image_size=32, scaling="raw")


@pytest.mark.parametrize(("name", "size", "least"), [("VGG16", 31, 32), ("Xception", 70, 71)])
def test_too_small_images_are_one_sentence(name, size, least):
    with pytest.raises(ValueError, match=f"image size {size} is too small for {name}: .* {least}"):
        backbones.build(name, image_size=size)


def test_weights_that_are_not_available_are_one_sentence(monkeypatch):
    seen = []

    def download(**_):
        seen.append(socket.getdefaulttimeout())
        raise Exception("URL fetch failure on https://somewhere: None -- timed out")

    monkeypatch.setattr(keras.applications.vgg16, "VGG16", download)
    with pytest.raises(
        pretrained.WeightsError, match="ImageNet weights of VGG16 are not available"
    ) as e:
        backbones.classifier("VGG16")
    assert "\n" not in str(e.value)
    assert seen == [backbones.NETWORK_SECONDS]
    assert socket.getdefaulttimeout() is None


@pytest.mark.parametrize("content", [None, b"no weights"])
def test_a_file_without_weights_is_named_without_its_path(tmp_path, content):
    path = tmp_path / "mine.h5"
    if content:
        path.write_bytes(content)
    with pytest.raises(pretrained.WeightsError, match=r"^mine\.h5 does not have Mobile") as e:
        backbones.classifier("MobileNetV2", weights=str(path))
    assert str(tmp_path) not in str(e.value)
    assert "network connection" not in str(e.value)


def test_classifier_reads_a_file_that_is_given(tmp_path):
    path = tmp_path / "mobile.weights.h5"
    keras.utils.set_random_seed(3)
    saved = keras.applications.MobileNetV2(weights=None)
    saved.save_weights(path)
    model = backbones.classifier("MobileNetV2", weights=str(path))
    assert model.output_shape == (None, 1000)
    for ours, theirs in zip(model.get_weights(), saved.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_classifier_has_the_size_that_is_asked_for(tmp_path):
    path = tmp_path / "mobile.weights.h5"
    saved = keras.applications.MobileNetV2(weights=None, input_shape=(96, 96, 3))
    saved.save_weights(path)
    model = backbones.classifier("MobileNetV2", weights=str(path), image_size=96)
    image = np.random.default_rng(0).uniform(-1, 1, (1, 96, 96, 3)).astype(np.float32)
    np.testing.assert_array_equal(model(image), saved(image))
    with pytest.raises(ValueError, match="image size 16 is too small for MobileNetV2"):
        backbones.classifier("MobileNetV2", weights=str(path), image_size=16)


def test_dense_layers_allow_one_size(monkeypatch):
    def flat(_, *, weights, input_shape=(8, 8, 3)):
        layers = [keras.Input(input_shape), keras.layers.Flatten(), keras.layers.Dense(2)]
        return keras.Sequential(layers)

    monkeypatch.setattr(backbones, "_construct", flat)
    assert backbones.classifier("VGG16").input_shape == (None, 8, 8, 3)
    with pytest.raises(ValueError, match="the dense layers of VGG16 need 8 pixels, not 9"):
        backbones.classifier("VGG16", image_size=9)


# --- class names -----------------------------------------------------------------------

NAMES = [(f"n{number:08}", f"class_{number}") for number in range(1000)]


def put_keras_index(content: object = None) -> None:
    folder = cache.keras_home() / "models"
    folder.mkdir(parents=True)
    content = dict(enumerate(NAMES)) if content is None else content
    (folder / class_index.FILE).write_text(json.dumps(content))


def test_class_names_from_keras_file():
    put_keras_index()
    assert pretrained.class_index() == NAMES


def test_damaged_class_index_is_left_out_in_one_sentence(offline, capsys):
    put_keras_index({"0": ["n0", "zero"]})
    with pytest.raises(pretrained.WeightsError, match="class names are not on this machine"):
        pretrained.class_index()
    (line,) = capsys.readouterr().out.splitlines()[:1]
    assert line.startswith("Left out: imagenet_class_index.json is not ImageNet's class index")


def test_class_names_that_are_not_available_are_one_sentence(offline):
    with pytest.raises(pretrained.WeightsError, match="class names are not on this machine") as e:
        pretrained.class_index()
    assert "\n" not in str(e.value)


def test_class_names_from_a_wheel_are_kept(offline, tmp_path, monkeypatch):
    wheel = tmp_path / "names.whl"
    with zipfile.ZipFile(wheel, "w") as file:
        synsets = "\n".join(synset for synset, _ in NAMES)
        lemmas = "\n".join(f"{synset}\t{name.replace('_', ' ')}, other" for synset, name in NAMES)
        file.writestr("timm/data/_info/imagenet_synsets.txt", synsets)
        file.writestr("timm/data/_info/imagenet_synset_to_lemma.txt", lemmas)
    fetched = []

    def download(size, url, output_file, _):
        fetched.append(url)
        shutil.copy(wheel, output_file)

    monkeypatch.setattr(downloads, "_package", download)
    monkeypatch.setattr(class_index, "WHEEL_SHA256", digests.of_file(wheel))
    assert pretrained.class_index() == NAMES
    assert pretrained.class_index() == NAMES
    assert fetched == [f"pip:{class_index.WHEEL}/wheel.whl"]
