"""The door to data sets: what it accepts, what it refuses, what it keeps."""

import errno
import io
import os
import pickle
import shutil
import subprocess
import sys
import time
import warnings
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from lib import ROOT, cache, data
from lib.data import cifar10, copies, image_files
from lib.data.cifar10 import ARRAYS
from tests.unit.made_data import (
    PUBLIC_TYPE,
    archive,
    assert_holds,
    batches,
    bytes_batch,
    channels_first,
    encoded,
    labels_first_batch,
    make_canonical,
    noise,
    pictures,
    python2_batch,
    refusal,
    tarball,
    text_batch,
    tiny,
    write_batches,
    write_npz,
    write_parquet,
    write_set,
)

pytestmark = pytest.mark.usefixtures("isolated")


class Trap:
    """An object whose unpickling makes a folder."""

    def __init__(self, folder: Path):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


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
    ("wanted", "given"),
    [
        ((100, 50, 60), (100, 50, 60)),
        ((10, 10, 10), (10, 10, 10)),
        ((50_000, 50_000, 50_000), (1_097, 300, 400)),
        ((1_097, 300, 400), (1_097, 300, 400)),
        ((1_095, 300, 395), (1_087, 300, 390)),  # a stratified draw drops one per class
    ],
)
def test_sizes_are_upper_bounds(wanted, given):
    sizes = dict(zip(("train_size", "val_size", "test_size"), wanted, strict=True))
    digits = data.load("digits", **sizes)
    parts = (digits.y_train, digits.y_val, digits.y_test)
    assert tuple(len(part) for part in parts) == given
    for part in parts:
        assert_stratified(part, np.concatenate([digits.y_train, digits.y_val, digits.y_test]))


@pytest.mark.parametrize("size", ["train_size", "val_size", "test_size"])
def test_fewer_images_than_classes_are_refused(size):
    assert size.upper() in refusal("digits", **{size: 9})
    data.load("digits", **{size: 10})


def test_a_data_set_is_printed_in_one_line():
    digits = data.load("digits", train_size=100)
    sizes = "100 training, 300 validation and 400 test images, 32×32, 10 classes"
    assert str(digits) == f"{digits.variant}: {sizes}"


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
    assert data.load("cifar10").variant.startswith("CIFAR-10 [not the canonical images] [50 + 20")
    (folder / "VARIANT.txt").write_text("CIFAR-10 (déjà vu copy)\n", encoding="utf-8")
    dataset = data.load("cifar10")
    assert dataset.variant.startswith("CIFAR-10 (déjà vu copy) [50 + 20 of ")
    assert dataset.variant == data.open_source("cifar10").variant


# --- which CIFAR-10 it is ----------------------------------------------------------------


@pytest.fixture
def opened(tmp_path, monkeypatch):
    """Opens arrays as a copy of CIFAR-10, with a VARIANT.txt if one is given."""

    def run(arrays: dict[str, np.ndarray], note: str = "") -> data.Source:
        shutil.rmtree(tmp_path / "own", ignore_errors=True)
        monkeypatch.setenv("CIFAR10_DIR", str(write_npz(tmp_path / "own", arrays)))
        if note:
            (tmp_path / "own" / "VARIANT.txt").write_text(note)
        return data.open_source("cifar10")

    return run


@pytest.fixture
def canonical(monkeypatch) -> dict[str, np.ndarray]:
    """Images that pass for CIFAR-10's own: ten in each batch, one of each class."""
    arrays = tiny(test=10) | {"y_train": np.arange(50) % 10}
    make_canonical(monkeypatch, arrays)
    return arrays


def in_batches(arrays: dict[str, np.ndarray], order: list[int]) -> dict[str, np.ndarray]:
    """The same six batches in another sequence."""
    moved = {}
    for kind in "xy":
        parts = np.split(np.concatenate([arrays[f"{kind}_train"], arrays[f"{kind}_test"]]), 6)
        parts = [parts[batch] for batch in order]
        moved |= {f"{kind}_train": np.concatenate(parts[:5]), f"{kind}_test": parts[5]}
    return moved


def shuffled(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The same images in another order, training and test images apart."""
    order = np.random.default_rng(1).permutation(50)
    return arrays | {name: arrays[name][order] for name in ("x_train", "y_train")}


def test_canonical_images_are_called_cifar10_whatever_the_note_says(opened, canonical):
    assert opened(canonical).variant == "CIFAR-10"
    assert opened(canonical, "blurred").variant == "CIFAR-10"


def one_pixel_changed(arrays):
    x = arrays["x_train"].copy()
    x[7, 3, 5, 1] ^= 1
    return arrays | {"x_train": x}


def one_label_changed(arrays):
    y = arrays["y_test"].copy()
    y[[0, 1]] = y[[1, 0]]
    return arrays | {"y_test": y}


def channels_swapped(arrays):
    return arrays | {f"x_{part}": arrays[f"x_{part}"][..., ::-1] for part in ("train", "test")}


def image_in_the_other_part(arrays):
    x, test = arrays["x_train"].copy(), arrays["x_test"].copy()
    one = int(np.flatnonzero(arrays["y_train"] == arrays["y_test"][0])[0])
    x[one], test[0] = test[0].copy(), x[one].copy()
    return arrays | {"x_train": x, "x_test": test}


@pytest.mark.parametrize(
    "change", [one_pixel_changed, one_label_changed, channels_swapped, image_in_the_other_part]
)
@pytest.mark.parametrize("note", ["", "CIFAR-10", "CIFAR-10, other order\n", "blurred"])
def test_other_images_are_never_called_cifar10(opened, canonical, change, note):
    whole = "[50 + 10 of 50,000 + 10,000 images]"
    expected = note if note == "blurred" else "CIFAR-10 [not the canonical images]"
    assert opened(change(canonical), note).variant == f"{expected} {whole}"


@pytest.mark.parametrize("order", [[3, 5, 2, 1, 4, 0], [4, 3, 2, 1, 0, 5]])
def test_whole_batches_are_put_into_torontos_order(opened, canonical, order):
    """Two readers with different downloads have the same data, split and figures."""
    usual, moved = opened(canonical), opened(in_batches(canonical, order))
    assert moved.variant == "CIFAR-10"
    assert moved.sha256 == usual.sha256
    assert_holds(moved, canonical)


def test_any_other_order_is_recognized(opened, canonical):
    usual, other = opened(canonical), opened(shuffled(canonical))
    assert other.variant == "CIFAR-10, other order"
    assert other.sha256 != usual.sha256
    assert_holds(other, shuffled(canonical))


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


@pytest.fixture
def ten_rows(monkeypatch) -> dict[str, np.ndarray]:
    """Batches of ten images instead of 10,000."""
    monkeypatch.setattr(cifar10, "_BATCH_IMAGES", 10)
    return tiny(test=10)


@pytest.mark.parametrize("as_file", [False, True], ids=["folder", "file"])
def test_npm_package_reads_back_exactly(tmp_path, monkeypatch, ten_rows, as_file):
    path = tmp_path / "own" / cifar10.NPM_FILE
    path.parent.mkdir()
    path.write_bytes(tarball(pictures(ten_rows)))
    monkeypatch.setenv("CIFAR10_DIR", str(path if as_file else path.parent))
    assert_holds(data.open_source("cifar10"), ten_rows)


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


def package(folder, change) -> str:
    """The npm package after a change of its files, which returns the name of the changed one."""
    folder.mkdir()
    files = pictures(tiny(test=10))
    name = change(files)
    (folder / cifar10.NPM_FILE).write_bytes(tarball(files))
    return name


def replaced(name, raw):
    def change(files):
        files[name] = raw if isinstance(raw, bytes) else raw(files[name])
        return name

    return lambda folder: package(folder, change)


def package_lacks_a_picture(folder):
    return package(folder, lambda files: files.pop("data_batch_3.png") and "data_batch_3.png")


def package_lacks_labels(folder):
    return package(folder, lambda files: files.pop("test_lables.json") and "test_lables.json")


def package_cut(folder):
    package(folder, lambda files: "")
    cut(folder / cifar10.NPM_FILE)
    return cifar10.NPM_FILE


LABELS = "train_lables.json"
NINE_ROWS = encoded(np.zeros((9, 1024, 3), np.uint8))
OF_PACKAGE = {
    "package_cut": package_cut,
    "package_lacks_a_picture": package_lacks_a_picture,
    "package_lacks_labels": package_lacks_labels,
    "package_with_a_picture_cut": replaced("data_batch_2.png", lambda raw: raw[:-50]),
    "package_with_a_picture_of_another_size": replaced("data_batch_5.png", NINE_ROWS),
    "package_with_no_picture": replaced("test_batch.png", b"<html>"),
    "package_with_no_json": replaced(LABELS, b"[0, 1"),
    "package_with_deep_json": replaced(LABELS, b"[" * 200_000),
    "package_with_no_list": replaced(LABELS, b'{"0": 1}'),
    "package_with_too_few_labels": replaced(LABELS, lambda raw: b"[" + raw.split(b",", 1)[1]),
    "package_with_label_10": replaced(LABELS, lambda raw: raw.replace(b"9", b"10")),
    "package_with_words_as_labels": replaced(LABELS, lambda raw: raw.replace(b"9", b'"9"')),
    "package_with_half_labels": replaced(LABELS, lambda raw: raw.replace(b"9", b"8.5")),
    "package_with_true_as_label": replaced(LABELS, lambda raw: raw.replace(b"1", b"true")),
}


@pytest.mark.usefixtures("ten_rows")
@pytest.mark.parametrize("damaged", OF_PACKAGE)
def test_damaged_npm_package_is_refused_in_one_sentence(tmp_path, monkeypatch, damaged):
    folder = tmp_path / "own"
    named = OF_PACKAGE[damaged](folder)
    monkeypatch.setenv("CIFAR10_DIR", str(folder))
    sentence = refusal()
    assert named in sentence
    assert str(folder / cifar10.NPM_FILE) in sentence
    assert "download it again" in sentence or "replace or remove it" in sentence


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


def npz_of_one_number(folder):
    write_npz(folder, tiny() | {"x_train": np.array(3, np.uint8)})
    return "train images are uint8 ()"


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
        npz_of_one_number,
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
        patch.setattr(copies.np, "save", stop)
        with pytest.raises(KeyboardInterrupt):
            data.open_source("cifar10")
    assert list(cache.folder("data").iterdir()) == []
    assert_holds(data.open_source("cifar10"), tiny())


TWO_AT_ONCE = """
import sys, time
from pathlib import Path
from lib import data
from lib.data import cifar10

started, read = Path(sys.argv[1]), cifar10.read

def read_slowly(path):
    started.touch()
    time.sleep(1)
    return read(path)

cifar10.read = read_slowly
print(data.load("cifar10").sha256)
"""


def test_of_two_processes_one_decodes_and_the_other_waits(own, tmp_path):
    started = tmp_path / "started"

    def start() -> subprocess.Popen:
        return subprocess.Popen(
            [sys.executable, "-c", TWO_AT_ONCE, started],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )

    with start() as one:
        while not started.is_file():
            assert one.poll() is None
            time.sleep(0.01)
        started.unlink()
        with start() as other:
            said = [process.communicate(timeout=60)[0].splitlines() for process in (one, other)]
    assert not started.is_file()
    sha256 = data.load("cifar10").sha256
    assert said[0] == [sha256]
    assert said[1] == ["Waiting for another process that prepares the same data …", sha256]
    assert len(list(cache.folder("data").iterdir())) == 1


def test_a_disk_that_cannot_lock_files_is_no_reason_to_stop(own, monkeypatch):
    def flock(*_):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(cache.fcntl, "flock", flock)
    assert_holds(data.open_source("cifar10"), tiny())


def test_a_disk_that_is_full_while_decoding_is_one_sentence(own, monkeypatch, capsys):
    def save(path, array, **_):
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(copies.np, "save", save)
        for name in ("cifar10", "auto"):
            with pytest.raises(OSError, match=r"^the decoded copy of cifar10 cannot be .* disk$"):
                data.open_source(name)
    assert list(cache.folder("data").iterdir()) == []
    assert "digits" not in capsys.readouterr().out
    assert_holds(data.open_source("cifar10"), tiny())


# --- the reader's own images -------------------------------------------------------------

COLORS = {"bus": (10, 200, 30), "big cat": (220, 60, 20), "águila": (90, 90, 90)}
ON_WHITE = (132, 227, 142)  # the half transparent buses
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
                color = ON_WHITE if name == "bus" else COLORS[name]
                difference = np.abs(x[y == label].astype(int) - color)
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


def no_classes(folder):
    for part in ("train", "test"):
        (folder / part).mkdir(parents=True)
    return "has no class folder"


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
    return f"1 file cannot be read ({image_files.DAMAGED}), for example test/big cat/"


def empty_image(folder):
    file = write_images(folder) / "train" / "bus" / "picture n° 3.png"
    file.write_bytes(b"")
    return "for example train/bus/picture n° 3.png: replace or remove"


def class_without_images(folder):
    write_images(folder, {"train": (12, 7, 0), "test": (3, 2, 2)})
    return "train/águila/ has 0 images"


def class_with_one_image(folder):
    write_images(folder, {"train": (12, 7, 5), "test": (1, 2, 2)})
    return "test/bus/ has 1 image;"


@pytest.mark.parametrize(
    "bad",
    [
        empty,
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


@pytest.mark.parametrize("name", ["cifar100", "Digits", "no/such/folder", "CIFAR10", ""])
def test_unknown_name_is_refused_in_one_sentence(name):
    sentence = refusal(name)
    assert repr(name) in sentence
    assert "digits" in sentence


# --- own images: layouts and accounts ----------------------------------------------------


USUAL = {"train/cat": 6, "train/dog": 6, "test/cat": 3, "test/dog": 3}


def counts(source: data.Source) -> dict[str, list[int]]:
    parts = {part: getattr(source, f"y_{part}") for part in ("train", "val", "test")}
    return {part: np.bincount(y).tolist() for part, y in parts.items() if y is not None}


def said(source: data.Source) -> str:
    return "\n".join(data.account("it", source.files))


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("Training", "VALID", "Testing"), {"train": [5, 5], "val": [3, 3], "test": [4, 4]}),
        (("train", "val", None), {"train": [5, 5], "test": [3, 3]}),
        (("train", None, "test"), {"train": [5, 5], "test": [4, 4]}),
    ],
)
def test_parts_by_their_usual_names(tmp_path, names, expected):
    sizes = dict(zip(names, (5, 3, 4), strict=True))
    places = {f"{part}/{kind}": sizes[part] for part in names if part for kind in ("cat", "dog")}
    source = data.open_source(str(write_set(tmp_path / "own", places)))
    assert counts(source) == expected
    assert ("val/ is the test part" in said(source)) == (names[2] is None)
    (rows,) = {tuple(row["read"] for row in source.files["classes"])}
    assert sum(rows) == source.files["read"] == source.files["found"] == sum(places.values())


def test_a_validation_folder_validates(tmp_path):
    folder = write_set(tmp_path / "own", USUAL | {"val/cat": 4, "val/dog": 4})
    source = data.open_source(str(folder))
    for seed in (0, 1):
        images = data.load(str(folder), seed=seed)
        np.testing.assert_array_equal(images.x_val, source.x_val)
        np.testing.assert_array_equal(images.x_train, source.x_train)
    few = data.load(str(folder), val_size=2)
    assert len(few.x_train) == 12
    assert sorted(few.y_val) == [0, 1]
    pair = data.load(str(folder), classes=("dog", "cat"))
    np.testing.assert_array_equal(np.sort(pair.y_val), np.repeat([0, 1], 4))
    np.testing.assert_array_equal(pair.x_val[pair.y_val == 0], source.x_val[source.y_val == 1])


@pytest.mark.parametrize("place", ["", "train/"])
def test_without_a_test_folder_a_fifth_is_held_out(tmp_path, place):
    folder = write_set(tmp_path / "own", {f"{place}cat": 20, f"{place}dog": 3})
    for row in range(20):
        images = folder / place / "cat"
        shutil.copy(images / f"{row}.png", images / f"copy {row}.png")
    source = data.open_source(str(folder))
    assert counts(source) == {"train": [32, 2], "test": [8, 1]}
    assert [row["read"] for row in source.files["classes"]] == [32, 2, 8, 1]
    assert "a fifth of each class, are held out as the test part" in said(source)
    assert "in both parts" not in said(source)  # copies stay together
    again = data.load(str(folder), seed=1, image_size=48)
    assert again.sha256 == source.sha256
    assert len(again.y_test) == len(source.y_test)
    parts = [{x.tobytes() for x in part} for part in (source.x_train, source.x_test)]
    assert not parts[0] & parts[1]


@pytest.mark.parametrize(
    ("sizes", "take"),
    [
        ([200, 2, 3], 20),
        ([5, 2, 6, 2, 2, 14, 2, 3, 8, 3, 6], 11),  # rare ones leave less than one for others
    ],
)
def test_rare_classes_are_in_every_part(sizes, take):
    labels = np.repeat(range(len(sizes)), sizes)
    for seed in range(20):
        rest, taken = data._stratified(np.arange(len(labels)), labels, take, seed)
        assert set(labels[taken]) == set(labels[rest]) == set(range(len(sizes)))
        assert len(taken) == take
        assert not set(rest) & set(taken)


def nested(folder):
    write_set(folder, USUAL)
    shutil.move(folder / "train" / "cat" / "0.png", folder / "moved.png")
    (folder / "train" / "cat" / "day" / "one").mkdir(parents=True)
    shutil.move(folder / "moved.png", folder / "train" / "cat" / "day" / "one" / "0.png")


def linked(folder):
    write_set(folder, USUAL)
    shutil.move(folder / "train" / "cat", folder.parent / "elsewhere")
    (folder / "train" / "cat").symlink_to(folder.parent / "elsewhere")
    (folder.parent / "elsewhere" / "loop").symlink_to(folder / "train" / "cat")


@pytest.mark.parametrize("arrange", [nested, linked], ids=lambda arrange: arrange.__name__)
def test_images_in_subfolders_and_linked_folders_are_read(tmp_path, arrange):
    arrange(tmp_path / "own")
    assert counts(data.open_source(str(tmp_path / "own"))) == {"train": [6, 6], "test": [3, 3]}


@pytest.mark.parametrize(
    ("places", "named"),
    [
        (("cat/train", "cat/test", "dog/train", "dog/test"), "'test', 'train'"),
        (("train_set/cat", "train_set/dog", "test_set/cat", "test_set/dog"), "'cat', 'dog'"),
        (("archive/Train/cat", "archive/Train/dog", "more"), "'Train'"),
        (("cat/day", "dog/night"), ""),
    ],
)
def test_a_split_inside_of_class_folders_is_not_passed_over(tmp_path, places, named):
    warnings = data.open_source(str(write_set(tmp_path / "own", dict.fromkeys(places, 4)))).files[
        "warnings"
    ]
    assert [f"class folders have subfolders ({named}) whose" in x for x in warnings] == (
        [True] if named else []
    )


def test_every_file_is_accounted_for(tmp_path):
    folder = write_set(tmp_path / "own", USUAL | {"notes": 0})
    for name in ("Thumbs.db", "desktop.ini", ".DS_Store", "1.png~"):
        (folder / "train" / "cat" / name).write_bytes(b"\0")
    (folder / "__MACOSX").mkdir()
    for row in range(3):
        (folder / "train" / "dog" / f"{row}.json").write_text("{}")
    (folder / "notes" / "labels.csv").write_text("a,b")
    (folder / "README.md").write_text("# Pets")
    (folder / "test" / "loose.png").write_bytes(encoded(noise(99)))
    (folder / "train" / "cat" / "no suffix").write_bytes(encoded(noise(98)))
    files = data.open_source(str(folder)).files
    ignored = {"not images": 3, "hidden or of the system": 5, "outside of class folders": 3}
    assert (files["found"], files["read"], files["ignored"]) == (30, 19, ignored)
    assert files["classes"][0] == {
        "part": "train",
        "class": "cat",
        "found": 11,
        "read": 7,
        "hidden or of the system": 4,
    }
    text = "\n".join(data.account("pets", files))
    assert text.startswith("pets: 30 files found, 19 read (train 13, test 6), ignored: 3 not im")
    assert "3 files are ignored (not images), for example train/dog/0.json." in text
    assert "3 files are ignored (outside of class folders), for example test/loose.png." in text
    assert str(tmp_path) not in text
    assert len(text.splitlines()) <= 6


def test_the_account_is_printed_by_hand_and_not_in_a_batch_run(tmp_path, capsys, monkeypatch):
    folder = write_set(tmp_path / "own", USUAL)
    data.load(str(folder))
    assert capsys.readouterr().out.startswith("own images: own: 18 files found, 18 read (train 12")
    monkeypatch.setenv("CIFAR10_LADDER_BATCH", "1")
    data.load(str(folder))
    monkeypatch.delenv("CIFAR10_LADDER_BATCH")
    data.load("digits")
    assert capsys.readouterr().out == ""


def test_files_that_are_in_two_parts_or_classes_are_named(tmp_path):
    folder = write_set(tmp_path / "own", USUAL | {"val/cat": 2, "val/dog": 2})
    shutil.copy(folder / "train/cat/0.png", folder / "test/cat/seen.png")
    shutil.copy(folder / "train/cat/1.png", folder / "test/cat/too.png")
    shutil.copy(folder / "train/dog/0.png", folder / "val/dog/seen.png")
    shutil.copy(folder / "train/dog/2.png", folder / "train/cat/dog.png")
    shutil.copy(folder / "train/dog/3.png", folder / "train/dog/copy.png")
    text = said(data.open_source(str(folder)))
    assert "Warning: 2 files are in both parts, train and test, for example test/cat/seen" in text
    assert "Warning: 1 file is in both parts, train and val, for example val/dog/seen.png" in text
    assert "Warning: 2 files are in more than one class, for example train/cat/dog.png" in text
    assert "both parts" not in said(data.open_source(str(write_set(tmp_path / "new", USUAL))))


def test_home_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write_set(tmp_path / "pets", USUAL)
    assert data.open_source("~/pets").name == "own/pets"
    write_npz(tmp_path / "copy", tiny())
    monkeypatch.setenv("CIFAR10_DIR", "~/copy")
    assert_holds(data.open_source("cifar10"), tiny())
    (tmp_path / "one.png").write_bytes(encoded(noise(1)))
    assert list(image_files.read("~/one.png")) == ["one.png"]


def two_of_a_meaning(folder):
    write_set(folder, USUAL | {"Training/cat": 3})
    return "'train' holds images and lies beside the parts of a set (Training/, test/)"


def parts_beside_classes(folder):
    write_set(folder, USUAL | {"bird": 3})
    return "'bird' holds images and lies beside the parts of a set (test/, train/); put its images"


def wrapped_twice(folder):
    write_set(folder / "pets", USUAL)
    return f"give {folder / 'pets'}"


def no_train(folder):
    write_set(folder, {"test/cat": 3, "test/dog": 3})
    return "expected a folder with train/<class>/ and test/<class>/"


def no_train_but_valid(folder):
    write_set(folder, {"valid/cat": 3, "valid/dog": 3})
    return "expected a folder with train/<class>/ and test/<class>/"


def no_class_folders(folder):
    write_set(folder, {"train/cat": 6, "train/dog": 6, "test": 7})
    return "test/ has no class folder; put the images of each class into a folder, or move test/"


def single_images(folder):
    write_set(folder, {"cat": 6, "dog": 1, "bird": 2})
    return "bird/ has 2 images, dog/ has 1 image; give 3 different ones or more"


def arrays_only(folder):
    write_set(folder, {"cat": 3, "dog": 3, "bird": 0})
    (folder / "bird" / "all.npy").write_bytes(b"\x93NUMPY")
    return "bird/ has 0 images, and 1 file is ignored (not images), for example bird/all.npy; give"


def other_letter_case(folder):
    write_set(folder, {"train/Cat": 3, "train/dog": 3, "test/cat": 3, "test/dog": 3})
    return "test/ lacks 'Cat' and train/ lacks 'cat', where 'Cat' and 'cat' differ only in letter"


def a_space_more(folder):
    write_set(folder, {"train/cat ": 3, "train/dog": 3, "test/cat": 3, "test/dog": 3})
    return "test/ lacks 'cat ' and train/ lacks 'cat', where 'cat ' and 'cat' differ only in"


def other_accents(folder):
    names = ("caf\u00e9", "cafe\u0301")
    write_set(folder, {f"train/{names[0]}": 3, "train/x": 3, f"test/{names[1]}": 3, "test/x": 3})
    return r"where 'caf\xe9' and 'cafe\u0301' differ only in"


def twins(folder):
    write_set(folder, {"caf\u00e9": 3, "cafe\u0301": 3, "x": 3})
    return "look the same; rename one"


def missing_links(folder):
    write_set(folder, USUAL)
    for row in range(4):
        (folder / "train" / "cat" / f"lost {row}.png").symlink_to(folder / "gone" / str(row))
    return "4 files cannot be read (link whose target is missing), for example train/cat/"


def missing_folders(folder):
    write_set(folder, USUAL)
    for part in ("train", "test"):
        (folder / part / "bird").symlink_to(folder / "gone")
    return "2 files cannot be read (link whose target is missing), for example test/bird"


def lfs_pointers(folder):
    write_set(folder, USUAL)
    for row in range(2):
        text = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n"
        (folder / "test" / "dog" / f"{row}.png").write_text(text)
    return "2 files cannot be read (Git LFS pointer), for example test/dog/0.png, test"


def line_break_in_a_file_name(folder):
    write_set(folder, USUAL)
    (folder / "train" / "cat" / "two\nlines.png").write_bytes(b"none")
    return r"for example 'train/cat/two\nlines.png'"


def a_pipe(folder):
    write_set(folder, USUAL)
    os.mkfifo(folder / "train" / "cat" / "pipe.png")
    return "no regular file"


@pytest.mark.parametrize(
    "bad",
    [
        two_of_a_meaning,
        parts_beside_classes,
        wrapped_twice,
        no_train,
        no_train_but_valid,
        no_class_folders,
        single_images,
        arrays_only,
        other_letter_case,
        a_space_more,
        other_accents,
        twins,
        missing_links,
        missing_folders,
        lfs_pointers,
        line_break_in_a_file_name,
        a_pipe,
    ],
    ids=lambda bad: bad.__name__,
)
def test_an_odd_layout_is_refused_in_one_sentence(tmp_path, bad):
    named = bad(tmp_path / "own")
    if bad in (other_letter_case, other_accents, twins) and len(list(tmp_path.rglob("*.png"))) < 9:
        pytest.skip("this file system does not tell such names apart")
    assert named in refusal(str(tmp_path / "own"))


def test_a_class_may_have_a_tilde_and_a_file_with_one_is_a_backup(tmp_path):
    folder = write_set(tmp_path / "own", {"cat~": 4, "dog": 4})
    (folder / "dog" / "0.png~").write_bytes(encoded(noise(99)))
    source = data.open_source(str(folder))
    assert source.classes == ("cat~", "dog")
    assert source.files["ignored"] == {"hidden or of the system": 1}


def test_classes_that_differ_in_case_alone_are_two(tmp_path):
    """Letters of handwriting: a and A."""
    folder = write_set(tmp_path / "own", {"a": 5, "A": 5})
    if len(list(folder.iterdir())) == 1:
        pytest.skip("this file system does not tell letter case")
    assert data.open_source(str(folder)).classes == ("A", "a")


def test_what_cannot_be_opened_is_one_sentence(tmp_path, monkeypatch):
    folder = write_set(tmp_path / "own", USUAL)
    opened = Path.open

    def refused(path, *args, **options):
        if path.name == "2.png":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return opened(path, *args, **options)

    monkeypatch.setattr(Path, "open", refused)
    assert "cat/2.png cannot be read (Permission denied)" in refusal(str(folder))
    assert "unknown data set" in refusal("x/" * 3000)


# --- own images: formats and pixels ------------------------------------------------------


def one_more(folder: Path, name: str, blob: bytes) -> Path:
    """A set with one more file in train/cat, which comes first."""
    write_set(folder, USUAL)
    (folder / "train" / "cat" / name).write_bytes(blob)
    return folder


def by_pillow(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(64)


@pytest.mark.parametrize(
    ("name", "blob", "reason"),
    [
        ("0a.heic", HEIC, "HEIC"),
        ("0a.jpg", HEIC, "HEIC"),
        ("0a.jxl", b"\xff\x0a" + bytes(64), "JPEG XL"),
        ("0a.svg", b"<?xml version='1.0'?>\n<svg width='9'/>", "SVG"),
        ("0a.pdf", b"%PDF-1.7", "PDF"),
        ("0a.psd", b"8BPS\0\1", "Photoshop"),
        ("0a.nef", b"II*\0" + bytes(64), "camera RAW"),
        ("0a", bytes(128) + b"DICM", "DICOM"),
        ("0a.avif", b"\0\0\0\x1cftypavif" + bytes(64), "damaged"),
        ("0a.jpg", b"<!DOCTYPE html>\n<html><svg width='9'/>Not found</html>", "damaged"),
    ],
)
def test_formats_that_are_not_read_are_named(tmp_path, name, blob, reason):
    sentence = refusal(str(one_more(tmp_path / "own", name, blob)))
    assert f"1 file cannot be read ({reason}" in sentence
    assert f"train/cat/{name}" in sentence
    assert ("ImageMagick" in sentence) == (reason != "damaged")


@pytest.mark.parametrize("name", ["0a.jpg", "0a.heic", "0a", "0a.JPEG"])
def test_the_content_decides_and_not_the_suffix(tmp_path, name):
    folder = one_more(tmp_path / "own", name, encoded(np.full((32, 32, 3), 77, np.uint8)))
    x = data.open_source(str(folder)).x_train
    assert len(x) == 13
    assert sorted(image.max() for image in x)[0] == 77


def drawing(mode: str) -> Image.Image:
    """Black, with a transparent left half."""
    alpha = np.zeros((32, 32), np.uint8)
    alpha[:, 16:] = 255
    layers = [np.zeros((32, 32), np.uint8)] * (len(mode) - 1)
    return Image.fromarray(np.dstack([*layers, alpha]), mode)


def with_transparent_color(mode: str, kind: str) -> bytes:
    """A color that is transparent by name; the right half is black."""
    image = Image.fromarray(np.repeat(np.uint8([[200, 0]]), 16, axis=1).repeat(32, axis=0))
    color = {"L": 200, "P": 0, "RGB": (200, 200, 200)}[mode]
    image = image.quantize(2) if mode == "P" else image.convert(mode)
    if mode == "P":
        color = int(np.asarray(image)[0, 0])
    return by_pillow(image, kind, transparency=color)


@pytest.mark.parametrize(
    "blob",
    [
        by_pillow(drawing("RGBA"), "PNG"),
        by_pillow(drawing("LA"), "PNG"),
        by_pillow(drawing("RGBA"), "TIFF"),
        by_pillow(drawing("LA"), "TIFF"),
        by_pillow(drawing("RGBA"), "WEBP", lossless=True),
        with_transparent_color("L", "PNG"),
        with_transparent_color("P", "PNG"),
        with_transparent_color("RGB", "PNG"),
        with_transparent_color("P", "GIF"),
        encoded(np.asarray(drawing("RGBA"))[..., [0, 1, 2, 3]].astype(np.uint16) * 257),
        encoded(np.asarray(drawing("RGBA")), ".bmp"),
    ],
    ids=["png", "gray", "tiff", "gray tiff", "webp", "L", "P", "RGB", "gif", "16 bits", "bmp"],
)
def test_transparency_is_white(blob):
    image, more = image_files.picture(blob, "it")
    assert (image.shape, image.dtype, more) == ((32, 32, 3), np.uint8, False)
    assert image[:, :16].min() == 255
    assert image[:, 16:].max() == 0


def test_an_alpha_channel_that_is_full_keeps_16_bits_and_an_empty_one_of_bmp_is_none():
    image, _ = image_files.picture(encoded(np.full((9, 9, 4), (4095, 0, 9, 65535), "u2")), "it")
    assert (image.dtype, image[0, 0].tolist()) == (np.uint16, [4095, 0, 9])
    image, _ = image_files.picture(encoded(np.full((9, 9, 4), (8, 7, 6, 0), "u1"), ".bmp"), "it")
    assert image[0, 0].tolist() == [8, 7, 6]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_turned_images_are_turned_back(kind, mode):
    if (kind, mode) == ("JPEG", "RGBA"):
        pytest.skip("JPEG has no transparency")
    pixels = np.full((16, 32, len(mode)), 255, np.uint8)
    pixels[8:, :16, :3] = 0  # black at the bottom left, which is the top left when turned
    exif = Image.Exif()
    exif[0x0112] = 6
    options = {"lossless": True} if kind == "WEBP" else {}
    blob = by_pillow(Image.fromarray(pixels, mode), kind, exif=exif, **options)
    image, _ = image_files.picture(blob, "it")
    assert image.shape == (32, 16, 3)
    assert image[2:14, 2:6].max() < 40
    assert image[18:].min() > 200
    assert image[:, 10:].min() > 200


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK"])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "BMP", "GIF"])
def test_other_color_models(kind, mode):
    if (kind in ("PNG", "BMP", "GIF") and mode == "CMYK") or (kind, mode) == ("JPEG", "P"):
        pytest.skip(f"{kind} has no {mode}")
    pixels = np.zeros((32, 32, 3), np.uint8)
    pixels[:16] = 255 if mode in ("1", "L") else (255, 204, 51)
    blob = by_pillow(Image.fromarray(pixels).convert(mode), kind)
    image, _ = image_files.picture(blob, "it")
    assert np.abs(image.astype(int) - pixels).max() <= (30 if kind == "JPEG" else 3)


@pytest.mark.parametrize(("bits", "white"), [(10, 1023), (12, 4095), (14, 16383), (16, 65535)])
def test_16_bit_files_are_scaled_by_the_range_of_the_whole_set(tmp_path, bits, white):
    folder = write_set(tmp_path / "own", USUAL)
    for place, values in (("train/cat", (0, white)), ("test/dog", (white // 2, white // 2))):
        image = np.repeat(np.uint16(values), 16)[np.newaxis].repeat(32, axis=0)
        (folder / place / "0.png").write_bytes(cv2.imencode(".png", image)[1].tobytes())
    source = data.open_source(str(folder))
    assert source.x_train[0][0, ::16, 0].tolist() == [0, 255]
    assert source.x_test[3].min() == source.x_test[3].max() == 127
    large = data.load(str(folder), image_size=64)
    assert large.x_test[3].max() == 127
    assert source.files["white"] == white
    note = f"16-bit files hold values up to {white:,}: {white:,} is taken for white"
    assert (note in said(source)) == (bits < 16)


@pytest.mark.parametrize("suffix", [".tiff", ".hdr", ".pfm"])
def test_floating_point_images_are_refused_by_name(tmp_path, suffix):
    image = np.random.default_rng(0).random((9, 9, 3), dtype=np.float32)
    blob = cv2.imencode(suffix, image)[1].tobytes()
    sentence = refusal(str(one_more(tmp_path / "own", f"0a{suffix}", blob)))
    assert "(values of type float32)" in sentence
    assert "8-bit" in sentence


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_several_frames_the_first_is_used(tmp_path, kind):
    frames = [Image.new("RGB", (32, 32), (shade,) * 3) for shade in (200, 90)]
    blob = by_pillow(frames[0], kind, save_all=True, append_images=frames[1:])
    source = data.open_source(str(one_more(tmp_path / "own", f"0a.{kind.lower()}", blob)))
    assert abs(int(source.x_train[1].mean()) - 200) < 3
    assert f"1 file has several frames or pages, for example train/cat/0a.{kind}".lower() in (
        said(source).lower()
    )


def test_masks_are_called_dark(tmp_path):
    folder = tmp_path / "own"
    for number, place in enumerate(USUAL):
        (folder / place).mkdir(parents=True)
        for row in range(3):
            image = noise(10 * number + row) % 2
            (folder / place / f"{row}.png").write_bytes(encoded(image))
    assert "the largest value of all 8-bit images is 1 of 255" in said(
        data.open_source(str(folder))
    )


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "TIFF", "GIF", "WEBP", "PPM"])
@pytest.mark.parametrize("lost", [1, 9_000])
def test_what_is_cut_off_is_one_sentence_without_lines_of_libraries(tmp_path, capfd, kind, lost):
    blob = by_pillow(Image.fromarray(noise(1, (120, 120, 3))), kind)
    name = f"0a.{kind.lower()}"
    folder = one_more(tmp_path / "own", name, blob[:-lost])
    assert f"for example train/cat/{name}: replace or remove" in refusal(str(folder))
    assert capfd.readouterr() == ("", "")


def test_a_jpeg_without_its_end_is_cut_off_whatever_opencv_makes_of_it(monkeypatch):
    """OpenCV 4.10 returns another picture's pixels; a thumbnail in the header has an end too."""
    monkeypatch.setattr(image_files.cv2, "imdecode", lambda *_: np.zeros((9, 9, 3), np.uint8))
    pixels = Image.fromarray(noise(1, (64, 64, 3)))
    thumbnail = b"\xff\xe1" + (2 + 900).to_bytes(2) + by_pillow(pixels, "JPEG")[:898] + b"\xff\xd9"
    for options in ({}, {"progressive": True}):
        whole = by_pillow(pixels, "JPEG", **options)
        for blob in (whole, whole[:2] + thumbnail + whole[2:]):
            assert image_files.picture(blob + b"trailing", "it")[0].shape == (9, 9, 3)
            for lost in (1, 2, 500):
                with pytest.raises(image_files.UnreadableError, match="cut off"):
                    image_files.picture(blob[:-lost], "it")


def test_all_bad_files_are_named_at_once(tmp_path):
    folder = write_set(tmp_path / "own", USUAL)
    for row in range(5):
        (folder / "train" / "dog" / f"bad {row}.png").write_bytes(b"none")
    sentence = refusal(str(folder))
    assert f"5 files cannot be read ({image_files.DAMAGED}), for example" in sentence
    assert "train/dog/bad 0.png, train/dog/bad 1.png, train/dog/bad 2.png: replace" in sentence


# --- the real thing ----------------------------------------------------------------------


def test_real_cifar10(real_cache, monkeypatch):
    monkeypatch.setenv("CIFAR10_LADDER_CACHE", real_cache)
    first, again = data.load("cifar10"), data.load("cifar10", seed=1)
    assert first.sha256 == again.sha256
    assert not np.array_equal(first.y_val, again.y_val)
    for dataset in (first, again):
        for part, count in (("train", 40_000), ("val", 10_000), ("test", 10_000)):
            x, y = getattr(dataset, f"x_{part}"), getattr(dataset, f"y_{part}")
            assert (x.shape, x.dtype) == ((count, 32, 32, 3), np.uint8)
            assert np.bincount(y).tolist() == [count // 10] * 10


@pytest.fixture
def real_arrays(real_cache, monkeypatch) -> dict[str, np.ndarray]:
    """CIFAR-10's own images; skips where the reader has another copy."""
    monkeypatch.setenv("CIFAR10_LADDER_CACHE", real_cache)
    source = data.open_source("cifar10")
    if abs(source.x_train.mean() - 120.70756512369792) > 1e-9:
        pytest.skip(f"the copy at hand is {source.variant}")
    assert source.variant in (cifar10.CANONICAL, cifar10.OTHER_ORDER)
    return {name: np.array(getattr(source, name)) for name in ARRAYS}


def test_real_cifar10_is_recognized_in_any_order(real_arrays):
    ordered = cifar10._in_torontos_order(in_batches(real_arrays, [3, 2, 1, 4, 0, 5]))
    assert ordered["x_train"][0, 0, :3].tolist() == [[59, 62, 63], [43, 46, 45], [50, 48, 43]]
    assert ordered["x_train"].std() == pytest.approx(64.15007589112122, abs=1e-6)
    order = np.random.default_rng(0).permutation(50_000)
    arrays = real_arrays | {name: real_arrays[name][order] for name in ("x_train", "y_train")}
    assert cifar10._in_torontos_order(arrays) is None
    assert cifar10._name_of_copy(Path(), arrays) == "CIFAR-10, other order"
    arrays["x_test"][0, 0, 0, 0] ^= 1
    assert cifar10._name_of_copy(Path(), arrays) == "CIFAR-10 [not the canonical images]"


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


def test_pictures_of_a_folder_or_one(tmp_path, capsys):
    image = np.zeros((5, 7, 3), np.uint8)
    image[..., 2] = 200  # red, in OpenCV's order
    for name in ("b.png", "a.png"):
        cv2.imwrite(str(tmp_path / name), image)
    read = image_files.read(str(tmp_path))
    assert list(read) == ["a.png", "b.png"]
    assert read["a.png"].shape == (5, 7, 3)
    assert read["a.png"][0, 0].tolist() == [200, 0, 0]
    assert list(image_files.read(str(tmp_path / "b.png"))) == ["b.png"]
    for name in ("Thumbs.db", "labels.csv"):
        (tmp_path / name).write_text("none")
    assert list(image_files.read(str(tmp_path))) == ["a.png", "b.png"]
    assert "not images and are ignored: 1." in capsys.readouterr().out


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
    with pytest.raises(
        OSError, match=r"cannot be written .*; set CIFAR10_LADDER_CACHE to another folder"
    ):
        cache.folder("weights")
