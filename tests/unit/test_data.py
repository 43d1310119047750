"""The door to data sets: what it accepts, what it refuses, what it keeps."""

import errno
import hashlib
import http.server
import io
import os
import pickle
import shutil
import subprocess
import sys
import tarfile
import threading
import time
import types
import warnings
from pathlib import Path

import cv2
import numpy as np
import pooch
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lib import ROOT, cache, cifar10, data, image_files

REAL_DATA = os.environ.get("CIFAR10_DIR")
NOWHERE = "http://127.0.0.1:9/"  # the discard port: refuses at once
ARRAYS = ("x_train", "y_train", "x_test", "y_test")


@pytest.fixture(autouse=True)
def isolated(tmp_path, monkeypatch):
    """No cache, no data and no network but what a test makes."""
    monkeypatch.setenv("CIFAR10_LADDER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.delenv("CIFAR10_DIR", raising=False)
    monkeypatch.delenv("VGG16_WEIGHTS", raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(cifar10, "ROOT", tmp_path / "checkout")
    monkeypatch.setattr(cifar10, "PARQUET_URL", NOWHERE)
    monkeypatch.setattr(cifar10, "ARCHIVE_URL", NOWHERE)


@pytest.fixture
def no_pauses(monkeypatch):
    """Downloads are tried again without pauses."""
    monkeypatch.setattr(pooch.core, "time", types.SimpleNamespace(sleep=lambda seconds: None))


@pytest.fixture
def server(monkeypatch, no_pauses):
    """A server on this machine: ``files`` by path, ``requests`` made, and where data looks."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.server.requests.append(self.path)
            body = self.server.files.get(self.path)
            if body is None and self.server.page is not None:
                body = self.server.page
            self.send_response(404 if body is None else 200)
            body = b"" if body is None else body
            promised = len(body) + (1000 if self.path in self.server.cut_short else 0)
            self.send_header("Content-Length", str(promised))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.files, server.requests, server.page, server.cut_short = {}, [], None, set()
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        base = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setattr(cifar10, "PARQUET_URL", f"{base}/parquet/")
        monkeypatch.setattr(cifar10, "ARCHIVE_URL", f"{base}/archive/")
        yield server
        server.shutdown()


# --- making data -------------------------------------------------------------------------


def tiny(seed: int = 0) -> dict[str, np.ndarray]:
    """50 + 20 random images in CIFAR-10's ten classes."""
    rng = np.random.default_rng(seed)
    arrays = {}
    for part, count in (("train", 50), ("test", 20)):
        arrays[f"x_{part}"] = rng.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
        arrays[f"y_{part}"] = rng.permutation(np.arange(count) % 10)
    return arrays


def encoded(image: np.ndarray, suffix: str = ".png") -> bytes:
    """An RGB, RGBA or gray image as a file."""
    to_opencv = {2: None, 3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}
    code = to_opencv[2 if image.ndim == 2 else image.shape[2]]
    return cv2.imencode(suffix, image if code is None else cv2.cvtColor(image, code))[1].tobytes()


PUBLIC_TYPE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def write_parquet(folder: Path, arrays: dict[str, np.ndarray]) -> Path:
    """The public parquet edition's layout; several row groups make several chunks."""
    (folder / "plain_text").mkdir(parents=True, exist_ok=True)
    for part in ("train", "test"):
        rows = [
            {"bytes": encoded(image), "path": f"{row}.png"}
            for row, image in enumerate(arrays[f"x_{part}"])
        ]
        columns = {
            "img": pa.array(rows, PUBLIC_TYPE),
            "label": pa.array(arrays[f"y_{part}"], pa.int64()),
        }
        file = folder / "plain_text" / f"{part}-00000-of-00001.parquet"
        pq.write_table(pa.table(columns), file, row_group_size=16)
    return folder


def channels_first(images: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2)).reshape(len(images), 3072)


def python2_batch(x: np.ndarray, labels: np.ndarray) -> bytes:
    """A batch as Python 2's cPickle wrote the original files, operation by operation."""

    def text(value: bytes) -> bytes:
        return b"U" + bytes([len(value)]) + value  # SHORT_BINSTRING

    pixels = channels_first(x).tobytes()
    out = b"\x80\x02}q\x01("
    out += text(b"batch_label") + b"q\x02" + text(b"training batch 1 of 5") + b"q\x03"
    out += text(b"labels") + b"q\x04]q\x05(" + b"".join(b"K" + bytes([y]) for y in labels) + b"e"
    out += text(b"data") + b"q\x06cnumpy.core.multiarray\n_reconstruct\nq\x07"
    out += b"cnumpy\nndarray\nq\x08K\x00\x85q\x09" + text(b"b") + b"\x87q\x0aRq\x0b"
    out += b"(K\x01K" + bytes([len(x)]) + b"M\x00\x0c\x86q\x0c"
    out += b"cnumpy\ndtype\nq\x0d" + text(b"u1") + b"K\x00K\x01\x87q\x0eRq\x0f"
    out += b"(K\x03" + text(b"|") + b"q\x10NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tq\x11b\x89"
    out += b"T" + len(pixels).to_bytes(4, "little") + pixels + b"q\x12tq\x13b"  # BINSTRING
    out += text(b"filenames") + b"q\x14]q\x15("
    out += b"".join(text(b"leptodactylus_s_%06d.png" % row) for row in range(len(x)))
    return out + b"eu."


def bytes_batch(x: np.ndarray, labels: np.ndarray, **more) -> bytes:
    content = {b"batch_label": b"training batch", b"labels": labels.tolist()}
    return pickle.dumps({**content, b"data": channels_first(x), **more}, protocol=2)


def labels_first_batch(x: np.ndarray, labels: np.ndarray) -> bytes:
    return pickle.dumps({b"labels": labels.tolist(), b"data": channels_first(x)}, protocol=2)


def text_batch(x: np.ndarray, labels: np.ndarray) -> bytes:
    return pickle.dumps({"data": channels_first(x), "labels": labels.tolist()}, protocol=2)


def batches(arrays: dict[str, np.ndarray], make=python2_batch) -> dict[str, bytes]:
    """Keras' six files: five of training images, one of test images."""
    pairs = zip(
        np.split(arrays["x_train"], 5), np.split(arrays["y_train"].astype(np.uint8), 5), strict=True
    )
    files = {f"data_batch_{k}": make(x, y) for k, (x, y) in enumerate(pairs, start=1)}
    return files | {"test_batch": make(arrays["x_test"], arrays["y_test"].astype(np.uint8))}


def write_batches(folder: Path, files: dict[str, bytes]) -> Path:
    (folder / "cifar-10-batches-py").mkdir(parents=True)
    for name, raw in files.items():
        (folder / "cifar-10-batches-py" / name).write_bytes(raw)
    return folder


def archive(files: dict[str, bytes]) -> bytes:
    """Keras' archive, with the files beside the batches that it has too."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, raw in {"batches.meta": b"not read", **files, "readme.html": b"<p>"}.items():
            member = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            member.size = len(raw)
            tar.addfile(member, io.BytesIO(raw))
    return buffer.getvalue()


def write_npz(folder: Path, arrays: dict[str, np.ndarray]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "cifar10.npz", **arrays)
    return folder


def assert_holds(source: data.Source, arrays: dict[str, np.ndarray]) -> None:
    for name in ARRAYS:
        array = getattr(source, name)
        assert array.dtype == (np.uint8 if name.startswith("x") else np.int64)
        np.testing.assert_array_equal(array, arrays[name], err_msg=name)


class Trap:
    """An object whose unpickling makes a folder."""

    def __init__(self, folder: Path):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


def refusal(name: str = "cifar10", **sizes: int) -> str:
    """The one sentence with which a data set is refused."""
    with pytest.raises(data.DataError) as caught:
        data.load(name, **sizes)
    sentence = str(caught.value)
    assert sentence.strip()
    assert "\n" not in sentence
    return sentence


def downloaded_files() -> list[Path]:
    return [path for path in cache.folder("downloads").rglob("*") if path.is_file()]


# --- digits and splits -------------------------------------------------------------------


def assert_stratified(part: np.ndarray, whole: np.ndarray) -> None:
    shares = np.bincount(whole) * len(part) / len(whole)
    assert np.abs(np.bincount(part, minlength=len(shares)) - shares).max() <= 1


def test_digits():
    digits = data.load("digits")
    assert (digits.name, digits.classes) == ("digits", tuple("0123456789"))
    assert "not CIFAR-10" in digits.variant
    everything = np.concatenate([digits.y_train, digits.y_val, digits.y_test])
    for part, count in (("train", 1_097), ("val", 300), ("test", 400)):
        x, y = getattr(digits, f"x_{part}"), getattr(digits, f"y_{part}")
        assert (x.shape, x.dtype) == ((count, 32, 32, 3), np.uint8)
        assert (y.shape, y.dtype) == ((count,), np.int64)
        assert_stratified(y, everything)
        assert x.min() == 0
        assert x.max() == 255
        np.testing.assert_array_equal(x[..., 0], x[..., 2])


def test_digits_look_like_digits():
    """Labels belong to their images: neighbors in pixel space agree."""
    digits = data.load("digits")
    from sklearn.neighbors import KNeighborsClassifier

    train, test = (x[:, ::4, ::4, 0].reshape(len(x), -1) for x in (digits.x_train, digits.x_test))
    neighbors = KNeighborsClassifier(1).fit(train, digits.y_train)
    assert neighbors.score(test, digits.y_test) > 0.95


def test_seed_draws_validation_but_never_the_test_set():
    first, again, other = (data.load("digits", seed=seed, test_size=100) for seed in (1, 1, 2))
    for part in ("train", "val", "test"):
        for kind in "xy":
            name = f"{kind}_{part}"
            np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    np.testing.assert_array_equal(first.x_test, other.x_test)
    np.testing.assert_array_equal(first.y_test, other.y_test)
    assert not np.array_equal(first.x_val, other.x_val)
    assert first.sha256 == other.sha256


@pytest.mark.parametrize("sizes", [{}, {"train_size": 20, "val_size": 10, "test_size": 10}])
@pytest.mark.parametrize("seed", [0, 1])
def test_parts_are_disjoint(tmp_path, monkeypatch, sizes, seed):
    arrays = tiny()
    monkeypatch.setenv("CIFAR10_DIR", str(write_npz(tmp_path / "own", arrays)))
    dataset = data.load("cifar10", seed=seed, **sizes)
    train, val, test = (
        {image.tobytes() for image in x} for x in (dataset.x_train, dataset.x_val, dataset.x_test)
    )
    assert len(train | val | test) == len(train) + len(val) + len(test)
    assert train | val <= {image.tobytes() for image in arrays["x_train"]}
    assert test <= {image.tobytes() for image in arrays["x_test"]}
    if not sizes:
        assert len(train) + len(val) + len(test) == 70
    labels = {
        image.tobytes(): label
        for part in ("train", "test")
        for image, label in zip(arrays[f"x_{part}"], arrays[f"y_{part}"], strict=True)
    }
    for part in ("train", "val", "test"):
        x, y = getattr(dataset, f"x_{part}"), getattr(dataset, f"y_{part}")
        assert [labels[image.tobytes()] for image in x] == y.tolist()


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        ((100, 50, 60), (100, 50, 60)),
        ((10, 10, 10), (10, 10, 10)),
        ((50_000, 50_000, 50_000), (1_097, 300, 400)),
        ((1_097, 300, 400), (1_097, 300, 400)),
        ((1_095, 300, 395), (1_087, 300, 390)),  # a stratified draw drops one per class
    ],
)
def test_sizes_are_upper_bounds(asked, given):
    sizes = dict(zip(("train_size", "val_size", "test_size"), asked, strict=True))
    digits = data.load("digits", **sizes)
    parts = (digits.y_train, digits.y_val, digits.y_test)
    assert tuple(len(part) for part in parts) == given
    for part in parts:
        assert_stratified(part, np.concatenate([digits.y_train, digits.y_val, digits.y_test]))


@pytest.mark.parametrize("size", ["train_size", "val_size", "test_size"])
def test_fewer_images_than_classes_are_refused(size):
    assert size.upper() in refusal("digits", **{size: 9})
    data.load("digits", **{size: 10})


def test_description_is_what_a_record_holds():
    digits = data.load("digits", train_size=100)
    assert digits.describe() == {
        "name": "digits",
        "variant": digits.variant,
        "sha256": digits.sha256,
        "train": 100,
        "val": 300,
        "test": 400,
        "classes": list("0123456789"),
    }
    assert digits.variant in str(digits)


# --- CIFAR-10 on disk --------------------------------------------------------------------


def test_parquet_reads_back_exactly(tmp_path, monkeypatch):
    arrays = tiny()
    monkeypatch.setenv("CIFAR10_DIR", str(write_parquet(tmp_path / "own", arrays)))
    source = data.open_source("cifar10")
    assert_holds(source, arrays)
    assert source.classes == cifar10.CLASSES
    assert source.name == "cifar10"


def test_variant_text_names_the_copy(tmp_path, monkeypatch):
    folder = write_parquet(tmp_path / "own", tiny())
    monkeypatch.setenv("CIFAR10_DIR", str(folder))
    assert data.load("cifar10").variant.startswith("CIFAR-10 [50 + 20 of ")
    (folder / "VARIANT.txt").write_text("CIFAR-10 (déjà vu copy)\n", encoding="utf-8")
    dataset = data.load("cifar10")
    assert dataset.variant.startswith("CIFAR-10 (déjà vu copy) [50 + 20 of ")
    assert dataset.describe()["variant"] == dataset.variant


def test_only_canonical_pixels_are_called_cifar10(tmp_path, monkeypatch):
    """The whole number of images is not enough: the channels' statistics must agree."""
    x = tiny()["x_train"]
    mean, std = (tuple(f(x.reshape(-1, 3) / 255.0, axis=0).tolist()) for f in (np.mean, np.std))
    monkeypatch.setattr(cifar10, "MEAN", mean)
    monkeypatch.setattr(cifar10, "STD", std)
    whole = (50_000, 10_000)
    assert cifar10._variant(tmp_path, whole, x) == "CIFAR-10"
    assert cifar10._variant(tmp_path, whole, x // 2 + 64) == "CIFAR-10 [not the canonical pixels]"
    assert cifar10._variant(tmp_path, whole, x[..., ::-1]) == "CIFAR-10 [not the canonical pixels]"
    (tmp_path / "VARIANT.txt").write_text("blurred")
    assert cifar10._variant(tmp_path, whole, x // 2 + 64) == "blurred"


BATCHES = {
    "python 2": python2_batch,
    "keys of bytes": bytes_batch,
    "labels first": labels_first_batch,
    "keys of text": text_batch,
}


@pytest.mark.parametrize("style", BATCHES)
@pytest.mark.parametrize("packed", [False, True], ids=["folder", "archive"])
def test_batches_read_back_exactly(tmp_path, monkeypatch, style, packed):
    arrays = tiny()
    files = batches(arrays, BATCHES[style])
    with warnings.catch_warnings():  # what these bytes are for Python itself
        warnings.simplefilter("ignore")
        pickled = pickle.loads(files["test_batch"], encoding="bytes")
    pickled = {key if isinstance(key, bytes) else key.encode(): pickled[key] for key in pickled}
    np.testing.assert_array_equal(pickled[b"data"], channels_first(arrays["x_test"]))
    assert pickled[b"labels"] == arrays["y_test"].tolist()

    folder = tmp_path / "own"
    if packed:
        folder.mkdir()
        (folder / "cifar-10-python.tar.gz").write_bytes(archive(files))
    else:
        write_batches(folder, files)
    monkeypatch.setenv("CIFAR10_DIR", str(folder))
    assert_holds(data.open_source("cifar10"), arrays)


@pytest.mark.parametrize("packed", [False, True], ids=["folder", "archive"])
def test_batches_are_never_unpickled(tmp_path, monkeypatch, packed):
    arrays, sprung = tiny(), tmp_path / "sprung"
    files = batches(arrays, lambda x, y: bytes_batch(x, y, trap=Trap(sprung)))
    pickle.loads(files["data_batch_1"])
    sprung.rmdir()  # the trap works

    folder = write_batches(tmp_path / "own", files)
    if packed:
        shutil.rmtree(folder / "cifar-10-batches-py")
        (folder / "cifar-10-python.tar.gz").write_bytes(archive(files))
    monkeypatch.setenv("CIFAR10_DIR", str(folder))
    assert_holds(data.open_source("cifar10"), arrays)
    assert not sprung.exists()


@pytest.mark.parametrize("column", [False, True], ids=["flat labels", "labels in a column"])
@pytest.mark.parametrize("labels", ["uint8", "int64"])
def test_npz_reads_back_exactly(tmp_path, monkeypatch, labels, column):
    arrays = tiny()
    shape = (-1, 1) if column else -1
    stored = {name: arrays[name].astype(labels).reshape(shape) for name in ("y_train", "y_test")}
    folder = write_npz(tmp_path / "own", arrays | stored)
    for path in (folder, folder / "cifar10.npz"):
        monkeypatch.setenv("CIFAR10_DIR", str(path))
        assert_holds(data.open_source("cifar10"), arrays)


def test_order_of_places(tmp_path, monkeypatch):
    """What the reader names, then the project's data, then Keras' folder, then its archive."""
    keras = tmp_path / "keras" / "datasets"
    keras.mkdir(parents=True)
    (keras / "cifar-10-batches-py-target_archive").write_bytes(archive(batches(tiny(1))))
    assert_holds(data.open_source("cifar10"), tiny(1))
    write_batches(keras / "cifar-10-batches-py-target", batches(tiny(2)))
    assert_holds(data.open_source("cifar10"), tiny(2))
    write_parquet(tmp_path / "checkout" / "data" / "cifar10", tiny(3))
    assert_holds(data.open_source("cifar10"), tiny(3))
    assert_holds(data.open_source("auto"), tiny(3))
    monkeypatch.setenv("CIFAR10_DIR", str(write_npz(tmp_path / "own", tiny(4))))
    assert_holds(data.open_source("cifar10"), tiny(4))


@pytest.mark.parametrize("name", ["cifar-10-batches-py", "cifar-10-batches-py.tar.gz"])
def test_keras_older_cache_is_found(tmp_path, name):
    keras = tmp_path / "keras" / "datasets"
    if name.endswith(".gz"):
        keras.mkdir(parents=True)
        (keras / name).write_bytes(archive(batches(tiny())))
    else:
        write_batches(keras, batches(tiny()))
    assert_holds(data.open_source("cifar10"), tiny())


# --- CIFAR-10 on disk, damaged -----------------------------------------------------------


def cut(file: Path, share: float = 0.7) -> None:
    raw = file.read_bytes()
    file.write_bytes(raw[: int(len(raw) * share)])


def parquet_cut(folder):
    cut(write_parquet(folder, tiny()) / "plain_text" / "train-00000-of-00001.parquet")
    return "train-00000-of-00001.parquet"


def parquet_with_no_picture(folder, blob: bytes | None = b"no picture"):
    write_parquet(folder, tiny())
    file = folder / "plain_text" / "test-00000-of-00001.parquet"
    rows = pq.read_table(file).to_pylist()
    rows[7]["img"]["bytes"] = blob
    images = pa.array([row["img"] for row in rows], PUBLIC_TYPE)
    labels = pa.array([row["label"] for row in rows])
    pq.write_table(pa.table({"img": images, "label": labels}), file)
    return "test-00000-of-00001.parquet, row 7"


def parquet_with_a_hole(folder):
    return parquet_with_no_picture(folder, None)


def parquet_with_an_odd_size(folder):
    parquet_with_no_picture(folder, encoded(np.zeros((8, 9, 3), np.uint8)))
    return "test-00000-of-00001.parquet, row 7: the image has shape (8, 9, 3)"


def parquet_of_another_layout(folder, image=b"flat", label=0, name="img"):
    write_parquet(folder, tiny())
    file = folder / "plain_text" / "train-00000-of-00001.parquet"
    pq.write_table(pa.table({name: [image], "label": [label]}), file)
    return "train-00000-of-00001.parquet"


def parquet_without_column(folder):
    return parquet_of_another_layout(folder, name="image")


def parquet_with_words_as_labels(folder):
    image = {"bytes": encoded(np.zeros((32, 32, 3), np.uint8)), "path": ""}
    return parquet_of_another_layout(folder, image, "frog")


def archive_cut(folder):
    folder.mkdir()
    file = folder / "cifar-10-python.tar.gz"
    file.write_bytes(archive(batches(tiny())))
    cut(file)
    return file.name


def archive_with_flipped_bit(folder):
    """Random pixels are stored as they are: only gzip's checksum at the end can tell."""
    folder.mkdir()
    file = folder / "cifar-10-python.tar.gz"
    raw = bytearray(archive(batches(tiny())))
    raw[len(raw) // 2] ^= 1
    file.write_bytes(raw)
    return file.name


def archive_that_does_not_inflate(folder):
    """Compressed pixels, so that the damage is an error of zlib's own."""
    folder.mkdir()
    file = folder / "cifar-10-python.tar.gz"
    arrays = tiny()
    flat = {name: arrays[name] // 64 for name in ("x_train", "x_test")}
    raw = bytearray(archive(batches(arrays | flat)))
    raw[5_000:5_100] = bytes(100)
    file.write_bytes(raw)
    return file.name


def archive_lacks_a_batch(folder):
    folder.mkdir()
    files = batches(tiny())
    del files["data_batch_3"]
    (folder / "cifar-10-python.tar.gz").write_bytes(archive(files))
    return "data_batch_3"


def no_archive(folder):
    folder.mkdir()
    (folder / "cifar-10-python.tar.gz").write_bytes(b"<html>Please log in</html>\n" * 100)
    return "cifar-10-python.tar.gz"


def batches_lack_one(folder):
    write_batches(folder, batches(tiny()))
    (folder / "cifar-10-batches-py" / "data_batch_4").unlink()
    return "data_batch_4"


def batch_cut(folder):
    write_batches(folder, batches(tiny()))
    cut(folder / "cifar-10-batches-py" / "data_batch_2")
    return "data_batch_2"


def batch_with_too_few_labels(folder):
    write_batches(folder, batches(tiny(), lambda x, y: python2_batch(x, y[1:])))
    return "data_batch_1"


def npz_cut(folder):
    cut(write_npz(folder, tiny()) / "cifar10.npz")
    return "cifar10.npz"


def npz_channels_first(folder):
    arrays = tiny()
    write_npz(folder, arrays | {"x_train": arrays["x_train"].transpose(0, 3, 1, 2)})
    return "(50, 3, 32, 32)"


def npz_of_floats(folder):
    write_npz(folder, tiny() | {"x_test": tiny()["x_test"] / 255})
    return "float64"


def npz_of_unequal_lengths(folder):
    write_npz(folder, tiny() | {"y_test": tiny()["y_test"][1:]})
    return "(19,)"


def npz_without_test(folder):
    arrays = tiny()
    write_npz(folder, {name: arrays[name] for name in ("x_train", "y_train")})
    return "cifar10.npz"


def npz_labels_up_to_10(folder):
    write_npz(folder, tiny() | {"y_train": tiny()["y_train"] + 1})
    return "10]"


def npz_labels_lack_a_class(folder):
    write_npz(folder, tiny() | {"y_test": tiny()["y_test"] % 9})
    return "test labels"


def nothing(folder):
    folder.mkdir()
    (folder / "notes.txt").write_text("CIFAR-10 comes here")
    return "CIFAR10_DIR"


def nowhere(folder):
    return "CIFAR10_DIR"


@pytest.mark.parametrize(
    "damaged",
    [
        nothing,
        nowhere,
        parquet_cut,
        parquet_with_no_picture,
        parquet_with_a_hole,
        parquet_with_an_odd_size,
        parquet_of_another_layout,
        parquet_without_column,
        parquet_with_words_as_labels,
        archive_cut,
        archive_with_flipped_bit,
        archive_that_does_not_inflate,
        archive_lacks_a_batch,
        no_archive,
        batches_lack_one,
        batch_cut,
        batch_with_too_few_labels,
        npz_cut,
        npz_channels_first,
        npz_of_floats,
        npz_of_unequal_lengths,
        npz_without_test,
        npz_labels_up_to_10,
        npz_labels_lack_a_class,
    ],
    ids=lambda damaged: damaged.__name__,
)
def test_damaged_cifar10_is_refused_in_one_sentence(tmp_path, monkeypatch, capsys, damaged):
    """The sentence names the input; "auto" does not hide that the reader's copy is broken."""
    folder = tmp_path / "own"
    named = damaged(folder)
    monkeypatch.setenv("CIFAR10_DIR", str(folder))
    for name in ("cifar10", "auto"):
        sentence = refusal(name)
        assert named in sentence
        assert str(folder) in sentence
    assert "digits" not in capsys.readouterr().out


def test_pickled_array_in_npz_is_refused_unread(tmp_path, monkeypatch):
    sprung = tmp_path / "sprung"
    objects = np.array([Trap(sprung)] * 50, dtype=object)
    file = write_npz(tmp_path / "own", tiny() | {"x_train": objects}) / "cifar10.npz"
    with np.load(file, allow_pickle=True) as content:
        assert len(content["x_train"]) == 50
    sprung.rmdir()  # the trap works

    monkeypatch.setenv("CIFAR10_DIR", str(file))
    assert str(file) in refusal()
    assert not sprung.exists()


def test_pickle_named_npz_is_refused_unread(tmp_path, monkeypatch):
    file = tmp_path / "cifar10.npz"
    file.write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    monkeypatch.setenv("CIFAR10_DIR", str(file))
    assert str(file) in refusal()
    assert not (tmp_path / "sprung").exists()


# --- CIFAR-10 downloaded -----------------------------------------------------------------


def serve_parquet(server, arrays, folder: Path) -> None:
    write_parquet(folder, arrays)
    for file in (folder / "plain_text").iterdir():
        server.files[f"/parquet/{file.name}"] = file.read_bytes()


def serve_archive(server, arrays, monkeypatch, *, good: bool = True) -> None:
    raw = archive(batches(arrays))
    server.files[f"/archive/{cifar10.ARCHIVE_FILE}"] = raw
    if good:
        monkeypatch.setattr(cifar10, "ARCHIVE_SHA256", hashlib.sha256(raw).hexdigest())


@pytest.fixture
def tiny_is_canonical(monkeypatch):
    monkeypatch.setattr(cifar10, "_variant", lambda path, count, x_train: "CIFAR-10")


def test_parquet_edition_is_downloaded_first_and_once(
    server, tmp_path, monkeypatch, tiny_is_canonical
):
    serve_parquet(server, tiny(1), tmp_path / "served")
    serve_archive(server, tiny(2), monkeypatch)
    assert_holds(data.open_source("auto"), tiny(1))
    assert server.requests == [f"/parquet/{name}" for name in cifar10.PARQUET_FILES]
    assert_holds(data.open_source("cifar10"), tiny(1))
    assert len(server.requests) == 2


def test_archive_is_downloaded_second_and_once(server, monkeypatch):
    serve_archive(server, tiny(2), monkeypatch)
    assert_holds(data.open_source("cifar10"), tiny(2))
    assert server.requests[0].startswith("/parquet/")
    assert server.requests[-1] == f"/archive/{cifar10.ARCHIVE_FILE}"
    count = len(server.requests)
    assert_holds(data.open_source("auto"), tiny(2))
    assert len(server.requests) == count


def test_another_parquet_edition_is_not_kept(server, tmp_path, monkeypatch):
    """No digest of the edition is known: size and pixels decide, here too few images."""
    serve_parquet(server, tiny(1), tmp_path / "served")
    serve_archive(server, tiny(2), monkeypatch)
    assert_holds(data.open_source("cifar10"), tiny(2))
    assert [file.name for file in downloaded_files()] == [cifar10.ARCHIVE_FILE]


def test_parquet_of_another_layout_is_not_kept(server, tmp_path, monkeypatch):
    parquet_of_another_layout(tmp_path / "served")
    for file in (tmp_path / "served" / "plain_text").iterdir():
        server.files[f"/parquet/{file.name}"] = file.read_bytes()
    serve_archive(server, tiny(2), monkeypatch)
    assert_holds(data.open_source("cifar10"), tiny(2))
    assert [file.name for file in downloaded_files()] == [cifar10.ARCHIVE_FILE]


def test_archive_with_wrong_digest_is_refused_and_not_kept(server, monkeypatch):
    serve_archive(server, tiny(), monkeypatch, good=False)
    assert "CIFAR10_DIR" in refusal()
    assert f"/archive/{cifar10.ARCHIVE_FILE}" in server.requests
    assert downloaded_files() == []
    assert cifar10.find() is None
    assert "CIFAR10_DIR" in refusal()


def test_login_page_in_place_of_data_is_refused_and_not_kept(server):
    server.page = b"<html>Please log in to the network of this hotel</html>"
    assert "CIFAR10_DIR" in refusal()
    assert downloaded_files() == []
    assert cifar10.find() is None


def test_download_cut_short_is_refused_and_not_kept(
    server, tmp_path, monkeypatch, tiny_is_canonical
):
    serve_parquet(server, tiny(1), tmp_path / "served")
    serve_archive(server, tiny(2), monkeypatch)
    server.cut_short = set(server.files)
    assert "CIFAR10_DIR" in refusal()
    assert downloaded_files() == []
    server.cut_short = set()
    assert_holds(data.open_source("cifar10"), tiny(1))


def test_a_full_disk_is_named(monkeypatch):
    def full():
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(cifar10, "_fetch_parquet", full)
    assert "cannot be downloaded (No space left on device, " in refusal("cifar10")


def test_without_network_the_reader_is_told_soon_what_to_do():
    start = time.monotonic()
    sentence = refusal("cifar10")
    assert time.monotonic() - start < 15
    assert "CIFAR10_DIR" in sentence
    assert "'digits'" in sentence


def test_auto_falls_back_to_digits_with_one_line(capsys, no_pauses):
    assert data.load("auto").name == "digits"
    (line,) = capsys.readouterr().out.splitlines()
    assert "'digits'" in line
    assert "CIFAR10_DIR" in line


# --- the decoded copy --------------------------------------------------------------------


@pytest.fixture
def decodings(monkeypatch) -> list[Path]:
    """Grows with each decoding of CIFAR-10."""
    calls, read = [], cifar10.read

    def counted(path):
        calls.append(path)
        return read(path)

    monkeypatch.setattr(cifar10, "read", counted)
    return calls


@pytest.fixture
def own(tmp_path, monkeypatch) -> Path:
    folder = write_parquet(tmp_path / "own", tiny())
    monkeypatch.setenv("CIFAR10_DIR", str(folder))
    return folder


def copy_of(sha256: str) -> Path:
    """The folder of a decoded copy."""
    (facts,) = (
        file for file in cache.folder("data").glob("*/facts.json") if sha256 in file.read_text()
    )
    return facts.parent


def test_images_are_decoded_once(own, decodings):
    first = data.open_source("cifar10")
    again = data.open_source("cifar10")
    assert len(decodings) == 1
    assert_holds(again, tiny())
    assert first.sha256 == again.sha256
    data.load("cifar10", seed=3, train_size=20)
    assert len(decodings) == 1


def test_decoded_copy_cannot_be_written_to(own):
    source = data.open_source("cifar10")
    with pytest.raises(ValueError, match="read-only"):
        source.x_train[0] = 0


def emptied(raw: bytes) -> bytes:
    return b""


def cut_by_one(raw: bytes) -> bytes:
    return raw[:-1]


def cut_in_header(raw: bytes) -> bytes:
    return raw[:40]


def last_byte_flipped(raw: bytes) -> bytes:
    return raw[:-1] + bytes([raw[-1] ^ 1])


def header_flipped(raw: bytes) -> bytes:
    return raw.replace(b"'shape': (", b"'shape': \x00", 1)


def transposed_in_header(raw: bytes) -> bytes:
    return raw.replace(b"'fortran_order': False", b"'fortran_order': True ", 1)


DAMAGES = (emptied, cut_by_one, cut_in_header, last_byte_flipped, header_flipped)


@pytest.mark.parametrize(
    ("array", "damage"),
    [
        *((name, damage) for name in ARRAYS for damage in DAMAGES),
        *((name, transposed_in_header) for name in ("x_train", "x_test")),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_damaged_copy_is_made_again(own, decodings, array, damage):
    sha256 = data.open_source("cifar10").sha256
    file = copy_of(sha256) / f"{array}.npy"
    raw = file.read_bytes()
    file.unlink()
    file.write_bytes(damage(raw))
    assert file.read_bytes() != raw
    again = data.open_source("cifar10")
    assert len(decodings) == 2
    assert again.sha256 == sha256
    assert_holds(again, tiny())
    data.open_source("cifar10")
    assert len(decodings) == 2


@pytest.mark.parametrize("file", [*(f"{name}.npy" for name in ARRAYS), "facts.json"])
def test_copy_that_lacks_a_file_is_made_again(own, decodings, file):
    sha256 = data.open_source("cifar10").sha256
    (copy_of(sha256) / file).unlink()
    assert_holds(data.open_source("cifar10"), tiny())
    assert len(decodings) == 2


def test_changed_source_is_decoded_again(own, decodings):
    old = data.open_source("cifar10")
    write_parquet(own, tiny(1))
    new = data.open_source("cifar10")
    assert len(decodings) == 2
    assert_holds(new, tiny(1))
    assert new.sha256 != old.sha256


def test_interrupted_decoding_leaves_nothing(own, monkeypatch):
    def stop(path, array, **options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(data.np, "save", stop)
        with pytest.raises(KeyboardInterrupt):
            data.open_source("cifar10")
    assert list(cache.folder("data").iterdir()) == []
    assert_holds(data.open_source("cifar10"), tiny())


TWO_AT_ONCE = """
import sys, time
from pathlib import Path
from lib import cifar10, data

meeting, read = Path(sys.argv[1]), cifar10.read

def read_when_both_are_here(path):
    (meeting / sys.argv[2]).touch()
    while len(list(meeting.iterdir())) < 2:
        time.sleep(0.01)
    return read(path)

cifar10.read = read_when_both_are_here
print(data.load("cifar10").sha256)
"""


def test_two_processes_decode_at_once(own, tmp_path):
    meeting = tmp_path / "meeting"
    meeting.mkdir()
    both = [
        subprocess.Popen(
            [sys.executable, "-c", TWO_AT_ONCE, meeting, name],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in ("one", "other")
    ]
    try:
        ends = [process.communicate(timeout=60) for process in both]
    finally:
        for process in both:
            process.kill()
    assert [process.returncode for process in both] == [0, 0], ends
    assert len(list(cache.folder("data").iterdir())) == 1
    sha256 = data.load("cifar10").sha256
    assert [out.strip() for out, _ in ends] == [sha256, sha256]


# --- the reader's own images -------------------------------------------------------------

COLORS = {"bus": (10, 200, 30), "big cat": (220, 60, 20), "águila": (90, 90, 90)}
SIZES = ((32, 32), (20, 31), (64, 48), (7, 90))


def write_images(folder: Path, counts=None) -> Path:
    """Plain images: buses with alpha, cats as JPEG, eagles gray; unbalanced, of many sizes."""
    counts = counts or {"train": (12, 7, 5), "test": (3, 2, 2)}
    for part, numbers in counts.items():
        for (name, color), count in zip(COLORS.items(), numbers, strict=True):
            (folder / part / name).mkdir(parents=True)
            for row in range(count):
                shape = SIZES[row % len(SIZES)]
                if name == "bus":
                    image, suffix = np.full((*shape, 4), (*color, 128), np.uint8), ".png"
                elif name == "big cat":
                    image, suffix = np.full((*shape, 3), color, np.uint8), ".jpg"
                else:
                    image, suffix = np.full(shape, color[0], np.uint8), ".png"
                file = folder / part / name / f"picture n° {row}{suffix}"
                file.write_bytes(encoded(image, suffix))
    return folder


def test_own_images(tmp_path):
    folder = write_images(tmp_path / "my animals")
    for image_size in (32, 48, 32):
        dataset = data.load(str(folder), image_size=image_size)
        assert dataset.name == "own/my animals"
        assert "my animals" in dataset.variant
        assert dataset.classes == ("big cat", "bus", "águila")
        for part, counts in {"train": (6, 10, 4), "val": (1, 2, 1), "test": (2, 3, 2)}.items():
            x, y = getattr(dataset, f"x_{part}"), getattr(dataset, f"y_{part}")
            assert x.shape == (sum(counts), image_size, image_size, 3)
            assert (x.dtype, y.dtype) == (np.uint8, np.int64)
            assert tuple(np.bincount(y)) == counts
            for label, name in enumerate(dataset.classes):
                difference = np.abs(x[y == label].astype(int) - COLORS[name])
                assert difference.max() <= (3 if name == "big cat" else 0), name


def test_own_images_are_resized_upright(tmp_path):
    """What is at the top right stays there, in larger and in smaller images."""
    folder = write_images(tmp_path / "own")
    for height, width in ((64, 96), (16, 24)):
        image = np.zeros((height, width, 3), np.uint8)
        image[: height // 2, width // 2 :] = (255, 0, 0)
        (folder / "test" / "bus" / "picture n° 0.png").write_bytes(encoded(image))
        x = data.open_source(str(folder)).x_test[2]
        np.testing.assert_array_equal(x[:15, 17:], np.broadcast_to((255, 0, 0), (15, 15, 3)))
        assert x[17:].max() == 0
        assert x[:, :15].max() == 0


def test_own_images_are_the_same_data_at_every_size(tmp_path):
    folder = write_images(tmp_path / "own")
    small, large = (data.load(str(folder), image_size=size) for size in (32, 64))
    assert small.x_train.shape[1:] != large.x_train.shape[1:]
    assert small.sha256 == large.sha256


def test_image_size_leaves_the_other_sets_alone():
    assert data.load("digits", image_size=64).x_train.shape[1:] == (32, 32, 3)


def test_changed_image_is_read_again(tmp_path):
    folder = write_images(tmp_path / "own")
    before = data.load(str(folder))
    file = folder / "train" / "bus" / "picture n° 0.png"
    file.write_bytes(encoded(np.zeros((9, 9, 3), np.uint8)))
    assert data.load(str(folder)).sha256 != before.sha256


def test_hidden_files_are_no_images(tmp_path):
    folder = write_images(tmp_path / "own")
    before = data.load(str(folder))
    (folder / "train" / "bus" / ".DS_Store").write_bytes(b"\x00")
    (folder / "train" / ".ipynb_checkpoints").mkdir()
    assert data.load(str(folder)).sha256 == before.sha256


def test_file_name_that_is_no_text(tmp_path):
    folder = write_images(tmp_path / "own")
    images = folder / "train" / "bus"
    try:
        (images / "picture n° 0.png").rename(images / os.fsdecode(b"caf\xe9.png"))
    except OSError:
        pytest.skip("this file system takes Unicode names only")
    assert len(data.open_source(str(folder)).x_train) == 24


def empty(folder):
    folder.mkdir()
    return "train"


def only_train(folder):
    shutil.rmtree(write_images(folder) / "test")
    return "test"


def no_classes(folder):
    for part in ("train", "test"):
        (folder / part).mkdir(parents=True)
    return "0 class"


def one_class(folder):
    write_images(folder)
    for part in ("train", "test"):
        for name in ("bus", "águila"):
            shutil.rmtree(folder / part / name)
    return "big cat"


def class_only_in_train(folder):
    shutil.rmtree(write_images(folder) / "test" / "águila")
    return "águila"


def class_only_in_test(folder):
    shutil.rmtree(write_images(folder) / "train" / "bus")
    return "bus"


def unreadable_image(folder):
    file = write_images(folder) / "test" / "big cat" / "picture n° 1.jpg"
    file.write_bytes(b"no picture")
    return str(file)


def empty_image(folder):
    file = write_images(folder) / "train" / "bus" / "picture n° 3.png"
    file.write_bytes(b"")
    return str(file)


def class_without_images(folder):
    write_images(folder, {"train": (12, 7, 0), "test": (3, 2, 2)})
    return "train/águila/"


def class_with_one_image(folder):
    write_images(folder, {"train": (12, 7, 5), "test": (1, 2, 2)})
    return "test/bus/"


@pytest.mark.parametrize(
    "bad",
    [
        empty,
        only_train,
        no_classes,
        one_class,
        class_only_in_train,
        class_only_in_test,
        unreadable_image,
        empty_image,
        class_without_images,
        class_with_one_image,
    ],
    ids=lambda bad: bad.__name__,
)
def test_bad_folder_is_refused_in_one_sentence(tmp_path, bad):
    folder = tmp_path / "own"
    named = bad(folder)
    sentence = refusal(str(folder))
    assert named in sentence
    assert str(folder) in sentence


def test_too_few_own_images_to_split_are_refused(tmp_path):
    folder = write_images(tmp_path / "own", {"train": (2, 2, 3), "test": (2, 2, 2)})
    assert "more images" in refusal(str(folder), train_size=3)


@pytest.mark.parametrize("size", ["train_size", "val_size", "test_size"])
def test_fewer_own_images_than_classes_are_refused(tmp_path, size):
    folder = write_images(tmp_path / "own")
    sentence = refusal(str(folder), **{size: 2})
    assert f"{size.upper()} = 2" in sentence
    assert "3 classes" in sentence


@pytest.mark.parametrize("name", ["cifar100", "Digits", "no/such/folder", "CIFAR10"])
def test_unknown_name_is_refused_in_one_sentence(name):
    sentence = refusal(name)
    assert repr(name) in sentence
    assert "digits" in sentence


# --- the real thing ----------------------------------------------------------------------


@pytest.mark.skipif(not REAL_DATA, reason="CIFAR10_DIR is not set")
def test_real_cifar10(monkeypatch):
    monkeypatch.setenv("CIFAR10_DIR", str(REAL_DATA))
    try:
        first, again = data.load("cifar10"), data.load("cifar10", seed=1)
        assert first.sha256 == again.sha256
        assert not np.array_equal(first.y_val, again.y_val)
        for dataset in (first, again):
            for part, count in (("train", 40_000), ("val", 10_000), ("test", 10_000)):
                x, y = getattr(dataset, f"x_{part}"), getattr(dataset, f"y_{part}")
                assert (x.shape, x.dtype) == ((count, 32, 32, 3), np.uint8)
                assert np.bincount(y).tolist() == [count // 10] * 10
        note = Path(REAL_DATA, "VARIANT.txt")
        assert first.variant == (note.read_text().strip() if note.is_file() else "CIFAR-10")
        pixels = np.concatenate([first.x_train, first.x_val]).reshape(-1, 3)
        assert pixels.mean(axis=0) / 255 == pytest.approx(cifar10.MEAN, abs=1e-3)
    finally:
        shutil.rmtree(cache.folder("data"))  # 184 MB


# --- some classes only, and pictures -----------------------------------------------------


def test_some_classes_are_labelled_in_the_order_asked_for():
    everything = data.load("digits", seed=1)
    pair = data.load("digits", seed=1, train_size=100, test_size=40, classes=("7", "3"))
    assert pair.classes == ("7", "3")
    assert pair.sha256 == everything.sha256
    assert (len(pair.y_train), len(pair.y_test)) == (100, 40)
    sevens = {image.tobytes() for image in everything.x_test[everything.y_test == 7]}
    assert all(image.tobytes() in sevens for image in pair.x_test[pair.y_test == 0])
    assert set(pair.y_train) == set(pair.y_val) == set(pair.y_test) == {0, 1}
    parts = [{image.tobytes() for image in x} for x in (pair.x_train, pair.x_val, pair.x_test)]
    assert not parts[0] & parts[1]
    assert not parts[0] & parts[2]


@pytest.mark.parametrize("classes", [("7", "cat"), ("7", "7"), ("7",)])
def test_classes_that_do_not_fit_are_one_sentence(classes):
    with pytest.raises(data.DataError, match="expected two or more different ones of 0, 1, 2"):
        data.load("digits", classes=classes)


def test_pictures_of_a_folder_or_one(tmp_path):
    image = np.zeros((5, 7, 3), np.uint8)
    image[..., 2] = 200  # red, in OpenCV's order
    for name in ("b.png", "a.png"):
        cv2.imwrite(str(tmp_path / name), image)
    read = image_files.read(str(tmp_path))
    assert list(read) == ["a.png", "b.png"]
    assert read["a.png"].shape == (5, 7, 3)
    assert read["a.png"][0, 0].tolist() == [200, 0, 0]
    assert list(image_files.read(str(tmp_path / "b.png"))) == ["b.png"]


def test_picture_that_is_none_is_one_sentence(tmp_path):
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "empty", tmp_path / "missing.png"):
        with pytest.raises(data.DataError, match=r"PICTURE = .*: expected the path of an image"):
            image_files.read(str(path))
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(data.DataError, match=r"text.png is not an image OpenCV can read"):
        image_files.read(str(tmp_path / "text.png"))


def test_what_is_shared_can_be_read_by_others(tmp_path):
    with cache.atomic_folder(tmp_path / "folder") as part:
        (part / "file").touch()
    plain = tmp_path / "plain"
    plain.mkdir()
    assert (tmp_path / "folder").stat().st_mode == plain.stat().st_mode


def test_a_cache_that_cannot_be_made_says_what_to_do(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("CIFAR10_LADDER_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(OSError, match="set CIFAR10_LADDER_CACHE to a folder that can be written"):
        cache.folder("weights")
