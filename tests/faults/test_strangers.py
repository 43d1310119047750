"""Files from strangers: each is refused in one sentence, or shown as the text it is.

Nothing in them is run, nothing is written outside the cache, and what they declare is
measured before memory is given to it.
"""

import ast
import gzip
import io
import json
import os
import pickle
import re
import struct
import subprocess
import sys
import tarfile
import zipfile
import zlib
from html.parser import HTMLParser
from pathlib import Path

import cv2
import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ladder.report import sections, verdicts
from lib import ROOT, results, study
from lib.errors import RecordError, WeightsError
from lib.metrics import Score
from lib.results import record
from lib.results.record import DatasetFacts, ModelFacts, Record, TrainingFacts

MARKUP = "<img src=x onerror=alert(1)>"
SMALL = 100
"""MiB that a refusal may take."""

PLANTED = "<b id=planted>\"'&"
RECORD = {
    "schema": record.SCHEMA,
    "experiment": "00_base_cnn",
    "profile": "quick",
    "seed": 0,
    "fingerprint": "",
    "status": "complete",
    "dataset": {
        "name": "cifar10",
        "variant": "CIFAR-10",
        "sha256": "digest",
        "train": 1,
        "val": 1,
        "test": 1,
        "classes": ["cat"],
    },
    "weights": {"source": "source", "sha256": "digest"},
    "environment": dict.fromkeys(
        ("python", "tensorflow", "keras", "opencv", "numpy", "platform", "cpu", "cores", "git"), ""
    ),
    "model": {
        "total_params": 1,
        "trainable_params": 1,
        "forward_macs": 1,
        "architecture": study.EXPERIMENTS[0].architecture,
    },
    "training": {
        "images_seen": 1,
        "operations": 10**12,
        "best_epoch": 1,
        "stopped_by": "epochs",
        "at_chance": True,
    },
    "metrics": {key: {"accuracy": 0.5, "loss": 1.0} for key in ("train", "val", "test")},
    "history": {},
    "parameters": {},
    "memory": {},
    "timing": {"train_seconds": 1.0},
}
"""A record of the ladder, as JSON."""


# --- a reader whose memory is measured -------------------------------------------------------

# Every file is opened by a process of its own, with little memory and time to lose. It never
# loads TensorFlow, and OpenCV only after lib, as notebooks do.
READER = """
import contextlib, json, os, resource, signal, sys
from lib import data, pretrained
from lib.data import image_files

def peak():
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used / (2**20 if sys.platform == "darwin" else 2**10)

doors = {
    "data": data.open_source,
    "pictures": image_files.read,
    "weights": pretrained.load,
}
with contextlib.suppress(ValueError, OSError):  # not to be had on macOS
    resource.setrlimit(resource.RLIMIT_AS, (6 * 2**30, 6 * 2**30))
for line in sys.stdin:
    door, path, environment = json.loads(line)
    child = os.fork()
    if child == 0:
        signal.alarm(30)
        os.environ |= environment
        before = peak()
        try:
            doors[door](path)
            kind, text = "", ""
        except BaseException as error:
            kind, text = type(error).__name__, str(error)
        print(json.dumps([kind, text, peak() - before]), flush=True)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        print(json.dumps(["died", "", 0]), flush=True)
"""


@pytest.fixture(scope="module")
def reader():
    """A process that opens files as the notebooks do."""
    command = [sys.executable, "-c", READER]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, stdin=pipe, stdout=pipe, text=True, cwd=ROOT, env=os.environ | {"PYTHONPATH": "."}
    ) as process:
        yield process
        process.stdin.close()


@pytest.fixture
def opened(reader, tmp_path):
    """Opens a file with one of the doors; returns (error's type, its text, MiB it took)."""

    def run(door: str, path: Path | str, **environment: str) -> tuple[str, str, float]:
        environment["CIFAR10_LADDER_CACHE"] = str(tmp_path / "cache")
        reader.stdin.write(json.dumps([door, str(path), environment]) + "\n")
        reader.stdin.flush()
        while not (line := reader.stdout.readline()).startswith("["):
            assert line, "the reader has ended"
        return tuple(json.loads(line))

    return run


@pytest.fixture
def refused(opened):
    """Opens a file that must be refused; returns the sentence."""

    def run(door: str, path: Path | str, *, memory: int = SMALL, **environment: str) -> str:
        kind, sentence, grown = opened(door, path, **environment)
        assert kind == ("WeightsError" if door == "weights" else "DataError"), (kind, sentence)
        assert "\n" not in sentence.strip()
        assert grown < memory
        return sentence

    return run


@pytest.fixture
def refused_cifar10(refused):
    """Gives a folder or file as CIFAR-10; it must be refused."""
    return lambda path, **more: refused("data", "cifar10", CIFAR10_DIR=str(path), **more)


# --- images ----------------------------------------------------------------------------------

SIDE = 30_000  # 900 megapixels: fewer than OpenCV alone would refuse


def png(width: int, height: int, rows: int = 0) -> bytes:
    """A black PNG whose header is followed by ``rows`` rows of pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    packer = zlib.compressobj(1)
    pixels = b"".join(packer.compress(bytes(1 + 3 * width)) for _ in range(rows)) + packer.flush()
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


def small(suffix: str) -> bytes:
    """A gray image as a file."""
    return cv2.imencode(suffix, np.full((64, 64, 3), 128, np.uint8))[1].tobytes()


def patched(raw: bytes, after: bytes, skip: int, form: str) -> bytes:
    """A file with SIDE twice, in the given form, ``skip`` bytes from some others."""
    raw = bytearray(raw)
    struct.pack_into(form, raw, raw.index(after) + skip, SIDE, SIDE)
    return bytes(raw)


def tiff() -> bytes:
    tags = ((256, SIDE), (257, SIDE), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1))
    tags += ((278, SIDE), (279, SIDE * SIDE))
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)


def gif() -> bytes:
    size = struct.pack("<HH", SIDE, SIDE)
    picture = b"\x2c" + bytes(4) + size + b"\0" + b"\x02\x02\x4c\x01\x00"
    return b"GIF89a" + size + b"\x80\0\0" + bytes(6) + picture + b";"


def webp() -> bytes:
    raw = small(".webp")
    lossless = raw.index(b"VP8L") + 9 if b"VP8L" in raw else raw.index(b"\x9d\x01\x2a") + 3
    most = struct.pack("<I", 0x3FFF | 0x3FFF << 14) if b"VP8L" in raw else b"\xff\x3f\xff\x3f"
    return raw[:lossless] + most + raw[lossless + 4 :]


BOMBS = {
    "png": lambda: png(SIDE, SIDE),
    "jpg": lambda: patched(small(".jpg"), b"\xff\xc0", 5, ">HH"),
    "bmp": lambda: patched(small(".bmp"), b"BM", 18, "<ii"),
    "tiff": tiff,
    "gif": gif,
    "webp": webp,
    "ppm": lambda: f"P6\n{SIDE} {SIDE}\n255\n".encode() + bytes(99),
    "pgm": lambda: f"P5\n{SIDE} {SIDE}\n255\n".encode() + bytes(99),
    "pfm": lambda: f"PF\n{SIDE} {SIDE}\n-1.0\n".encode() + bytes(99),
    "hdr": lambda: f"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y {SIDE} +X {SIDE}\n".encode(),
    "ras": lambda: struct.pack(">8I", 0x59A66A95, SIDE, SIDE, 24, 0, 1, 0, 0) + bytes(99),
}


@pytest.mark.parametrize("form", BOMBS)
def test_image_whose_header_declares_900_megapixels(tmp_path, refused, form):
    """An image whose header declares 30,000 × 30,000 pixels, in every format"""
    path = tmp_path / f"bomb.{form}"
    path.write_bytes(BOMBS[form]())
    assert f"{path.name} is too large" in refused("pictures", path)


def test_image_of_3600_megapixels(tmp_path, refused):
    """An image of 60,000 × 60,000 pixels"""
    (tmp_path / "bomb.png").write_bytes(png(60_000, 60_000))
    assert "at most 67108864 pixels" in refused("pictures", tmp_path / "bomb.png")


def test_image_that_is_long_and_thin(tmp_path, refused):
    """An image of two million pixels in one row"""
    (tmp_path / "bomb.pgm").write_bytes(b"P5\n2000000 1\n255\n" + bytes(2_000_000))
    assert "bomb.pgm is too large" in refused("pictures", tmp_path / "bomb.pgm")


def test_image_that_packs_its_pixels_a_thousandfold(tmp_path, refused):
    """A sound image of 8,300 × 8,300 black pixels in a file of a few hundred kilobytes"""
    path = tmp_path / "bomb.png"
    path.write_bytes(png(8300, 8300, 8300))
    assert path.stat().st_size < 1e6
    assert "bomb.png is too large" in refused("pictures", path)


def own_images(folder: Path, *, classes=("cat", "dog"), images: int = 4) -> Path:
    """Black images in the reader's own layout."""
    for part in ("train", "test"):
        for name in classes:
            (folder / part / name).mkdir(parents=True)
            for number in range(images):
                (folder / part / name / f"{number}.png").write_bytes(png(8, 8, 8))
    return folder


def test_large_photograph_is_read(tmp_path, opened):
    """An image of 24 megapixels is no bomb"""
    folder = own_images(tmp_path / "own")
    (folder / "train" / "cat" / "photo.png").write_bytes(png(6000, 4000, 4000))
    assert opened("data", folder)[:2] == ("", "")


def test_bomb_among_own_images(tmp_path, refused):
    """An image bomb in a class folder"""
    folder = own_images(tmp_path / "own")
    (folder / "test" / "dog" / "bomb.jpg").write_bytes(BOMBS["jpg"]())
    assert f"{folder / 'test' / 'dog' / 'bomb.jpg'} is too large" in refused("data", folder)


def test_image_file_of_a_terabyte(tmp_path, refused):
    """An image file of a terabyte, which takes no space on disk"""
    folder = own_images(tmp_path / "own")
    path = folder / "train" / "cat" / "endless.png"
    with path.open("wb") as file:
        file.truncate(2**40)
    assert f"{path} has 1,099,511,627,776 bytes" in refused("data", folder)
    assert "1,099,511,627,776 bytes" in refused("pictures", path)


# --- CIFAR-10 as parquet ---------------------------------------------------------------------


def parquet(folder: Path, blob: bytes, rows: int = 20) -> Path:
    """The public edition's layout, the same image in all rows."""
    images = pa.array([{"bytes": blob, "path": ""}], pa.struct([("bytes", pa.binary())]))
    folder.mkdir()
    for part in ("train", "test"):
        with pq.ParquetWriter(
            folder / f"{part}-0.parquet",
            pa.schema([("img", images.type), ("label", pa.int64())]),
            dictionary_pagesize_limit=2**28,
        ) as file:
            taken = images.take(pa.array([0] * rows))
            file.write(pa.table({"img": taken, "label": [row % 10 for row in range(rows)]}))
    return folder


def test_bomb_in_parquet(tmp_path, refused_cifar10):
    """An image bomb in a parquet file"""
    folder = parquet(tmp_path / "own", png(SIDE, SIDE))
    assert "train-0.parquet, row 0 is too large" in refused_cifar10(folder, memory=150)


def test_pictures_in_parquet_are_not_cifars(tmp_path, refused_cifar10):
    """A parquet file of large images, of which the first is enough"""
    folder = parquet(tmp_path / "own", png(3000, 3000, 3000))
    sentence = refused_cifar10(folder, memory=250)
    assert "train-0.parquet, row 0: the image has shape (3000, 3000, 3)" in sentence


def test_row_that_repeats_in_parquet(tmp_path, refused_cifar10):
    """A parquet file of 3 MB with two hundred images of 2 MB, stored once"""
    noise = png(9, 9, 9) + np.random.default_rng(0).bytes(2_000_000)
    folder = parquet(tmp_path / "own", noise, rows=200)
    assert (folder / "train-0.parquet").stat().st_size < 3e6
    assert "row 0: the image has shape (9, 9, 3)" in refused_cifar10(folder, memory=200)


def test_parquet_of_too_many_rows(tmp_path, refused_cifar10):
    """A parquet file that declares more rows than CIFAR-10 has"""
    folder = parquet(tmp_path / "own", png(32, 32, 32), rows=70_000)
    assert "70,000 rows" in refused_cifar10(folder, memory=150)


# --- CIFAR-10 as .npz ------------------------------------------------------------------------


class Trap:
    """An object whose unpickling makes a folder."""

    def __init__(self, folder: Path):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


def npy(shape: str, kind: str = "|u1", content: bytes = b"") -> bytes:
    """An array's file by hand."""
    header = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + content


def npz(path: Path, **members: bytes) -> Path:
    arrays = {
        "x_train": npy("(0, 32, 32, 3)"),
        "y_train": npy("(0,)"),
        "x_test": npy("(0, 32, 32, 3)"),
        "y_test": npy("(0,)"),
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in (arrays | members).items():
            file.writestr(f"{name}.npy", content)
    return path


def test_npz_with_a_pickle(tmp_path, refused_cifar10):
    """An .npz whose array of objects makes a folder when it is unpickled"""
    trap = tmp_path / "sprung"
    objects = npy("(1,)", "|O", pickle.dumps([Trap(trap)]))
    sentence = refused_cifar10(npz(tmp_path / "cifar10.npz", x_train=objects))
    assert "is damaged or not CIFAR-10" in sentence
    assert not trap.exists()


def test_npz_whose_header_asks_for_terabytes(tmp_path, refused_cifar10):
    """An .npz whose header declares a billion images"""
    giant = npy("(1000000000, 32, 32, 3)")
    sentence = refused_cifar10(npz(tmp_path / "cifar10.npz", x_train=giant))
    assert "cifar10.npz is damaged or not CIFAR-10 (" in sentence


def test_npz_member_that_is_no_array(tmp_path, refused_cifar10):
    """An .npz whose member x_train is 150 MB of zeros and no array"""
    assert "magic" in refused_cifar10(npz(tmp_path / "cifar10.npz", x_train=bytes(150_000_000)))


def test_npz_whose_header_is_code(tmp_path, refused_cifar10):
    """An .npz whose header is an expression that makes a folder"""
    trap = tmp_path / "sprung"
    code = npy(f"__import__('os').mkdir({str(trap)!r})")
    assert "is damaged or not CIFAR-10" in refused_cifar10(
        npz(tmp_path / "cifar10.npz", x_train=code)
    )
    assert not trap.exists()


def test_decoded_copy_with_a_pickle(tmp_path, opened):
    """A decoded copy in the cache, replaced by a pickle, is made again and not unpickled"""
    trap = tmp_path / "sprung"
    assert opened("data", "digits")[0] == ""
    (copy_of_train,) = (tmp_path / "cache").rglob("x_train.npy")
    good = copy_of_train.read_bytes()
    copy_of_train.write_bytes(npy("(1,)", "|O", pickle.dumps([Trap(trap)])))
    assert opened("data", "digits")[0] == ""
    assert copy_of_train.read_bytes() == good
    assert not trap.exists()


# --- CIFAR-10 as an archive or batches -------------------------------------------------------


def member(name: str, content: bytes = b"", **fields) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for field, value in fields.items():
        setattr(info, field, value)
    return info, content


def archive(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w:gz", format=tarfile.PAX_FORMAT) as file:
        for info, content in members:
            file.addfile(info, io.BytesIO(content))
    return path


OUTSIDE = {
    "a path that leads upwards": member("../../data_batch_1", b"x"),
    "an absolute path": member("/tmp/cifar10-ladder-was-here/data_batch_1", b"x"),
    "a symbolic link": member("data_batch_1", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
    "a hard link": member("data_batch_1", type=tarfile.LNKTYPE, linkname="../../etc/passwd"),
    "a device": member("data_batch_1", type=tarfile.CHRTYPE, devmajor=1, devminor=5),
    "a pipe": member("data_batch_1", type=tarfile.FIFOTYPE),
}


@pytest.mark.parametrize("kind", OUTSIDE)
def test_archive_member_that_points_outside(tmp_path, refused_cifar10, kind):
    """An archive with a member that points outside, or is no file"""
    folder = tmp_path / "deep" / "down"
    folder.mkdir(parents=True)
    path = archive(folder / "cifar-10-python.tar.gz", OUTSIDE[kind])
    sentence = refused_cifar10(path)
    assert "points outside" in sentence or "is a link or no plain file" in sentence
    files = [path for path in tmp_path.rglob("*") if path.is_file() or path.is_symlink()]
    assert [path for path in files if path.parent.name != "locks"] == [path]
    assert not Path("/tmp/cifar10-ladder-was-here").exists()


def gzipped_zeros(count: int) -> bytes:
    """``count`` × 64 MiB of zeros, 64 KiB each."""
    return gzip.compress(bytes(2**26), 9) * count


def test_archive_that_unpacks_to_ten_gigabytes(tmp_path, refused_cifar10):
    """An archive of 10 MB with 10 GB of zeros in data_batch_1"""
    head = member("cifar-10-batches-py/data_batch_1", size=160 * 2**26)[0].tobuf()
    path = tmp_path / "cifar-10-python.tar.gz"
    path.write_bytes(gzip.compress(head) + gzipped_zeros(160))
    assert "unpacks to more than 268,435,456 bytes" in refused_cifar10(path, memory=900)


def test_archive_with_a_name_of_gigabytes(tmp_path, refused_cifar10):
    """An archive whose first member has a name of 4 GB"""
    head = member("././@LongLink", size=2**32, type=tarfile.GNUTYPE_LONGNAME)[0].tobuf()
    path = tmp_path / "cifar-10-python.tar.gz"
    path.write_bytes(gzip.compress(head) + gzipped_zeros(64))
    assert "unpacks to more than" in refused_cifar10(path, memory=900)


def test_archive_with_a_sparse_terabyte(tmp_path, refused_cifar10):
    """An archive whose data_batch_1 is a terabyte of holes"""
    holes = {"GNU.sparse.map": "0,0", "GNU.sparse.size": str(2**40)}
    path = archive(tmp_path / "x.tar.gz", member("data_batch_1", pax_headers=holes))
    assert "no plain file" in refused_cifar10(path)


def batches(folder: Path, first: bytes) -> Path:
    folder.mkdir()
    for name in (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"):
        (folder / name).write_bytes(first)
    return folder


def test_batch_that_makes_a_folder(tmp_path, refused_cifar10):
    """A batch whose unpickling makes a folder"""
    trap = tmp_path / "sprung"
    raw = pickle.dumps(Trap(trap))
    pickle.loads(raw)
    trap.rmdir()  # the trap works
    assert "0 bytes of pixels for 0 labels" in refused_cifar10(batches(tmp_path / "own", raw))
    assert not trap.exists()


def test_batch_of_a_terabyte(tmp_path, refused_cifar10):
    """A batch of a terabyte, which takes no space on disk"""
    folder = batches(tmp_path / "own", b"")
    with (folder / "data_batch_1").open("wb") as file:
        file.truncate(2**40)
    assert "data_batch_1 has 1,099,511,627,776 bytes" in refused_cifar10(folder)


def test_batch_with_a_string_of_exabytes(tmp_path, refused_cifar10):
    """A batch that announces a string of eight exabytes"""
    raw = b"\x80\x04\x8e" + struct.pack("<Q", 2**63 - 1) + b"short"
    assert "is damaged" in refused_cifar10(batches(tmp_path / "own", raw))


def test_batch_with_a_label_of_a_thousand_digits(tmp_path, refused_cifar10):
    """A batch with a label of a thousand digits"""
    labels = b"(dS'labels'\n(lI" + b"9" * 1000 + b"\nasS'data'\nB" + struct.pack("<I", 3072)
    raw = labels + bytes(3072) + b"s."
    assert "is damaged" in refused_cifar10(batches(tmp_path / "own", raw))


def test_variant_that_is_a_book(tmp_path, opened):
    """A VARIANT.txt of 100 MB that is no text"""
    folder = tmp_path / "own"
    parquet(folder, png(32, 32, 32))
    (folder / "VARIANT.txt").write_bytes(b"\xff<b>\n" * 20_000_000)
    assert opened("data", "cifar10", CIFAR10_DIR=str(folder))[0] == ""
    (facts,) = (tmp_path / "cache").rglob("facts.json")
    variant = json.loads(facts.read_text())["variant"]
    assert len(variant) < 300
    assert variant.isprintable()


# --- weights ---------------------------------------------------------------------------------


def weights(path: Path, make) -> Path:
    """A file in Keras' layout whose first convolution is what ``make`` puts there."""
    with h5py.File(path, "w") as file:
        group = file.create_group("block1_conv1")
        group.attrs["weight_names"] = [b"kernel", b"bias"]
        group["bias"] = np.zeros(64, np.float32)
        make(group)
    return path


def huge(group):
    group.create_dataset("kernel", (10**6, 10**6), "f4")  # no space until it is written


def packed(group):
    group.create_dataset("kernel", (3, 3, 512, 512), "f4", compression="gzip")


def in_another_file(group):
    layout = {"shape": (3, 3, 3, 64), "dtype": "f4"}
    group.create_dataset("kernel", external=[("/etc/passwd", 0, 4 * 1728)], **layout)


def linked_to_another_file(group):
    other = Path(group.file.filename).with_name("other.h5")
    with h5py.File(other, "w") as file:
        file["kernel"] = np.zeros((3, 3, 3, 64), np.float32)
    group["kernel"] = h5py.ExternalLink(str(other), "kernel")


def collected_from_another_file(group):
    layout = h5py.VirtualLayout((3, 3, 3, 64), "f4")
    layout[...] = h5py.VirtualSource("/etc/passwd", "kernel", shape=(3, 3, 3, 64))
    group.create_virtual_dataset("kernel", layout)


def linked_to_itself(group):
    group["kernel"] = h5py.SoftLink(f"{group.name}/kernel")


def of_words(group):
    group["kernel"] = [b"<script>"] * 9


def of_references(group):
    group.create_dataset("kernel", data=[group.ref] * 9, dtype=h5py.ref_dtype)


def a_group(group):
    group.create_group("kernel")


def named_by_numbers(group):
    group.attrs["weight_names"] = [1, 2]


def named_by_references(group):
    group.attrs.create("weight_names", [group.ref, group.ref], dtype=h5py.ref_dtype)


@pytest.mark.parametrize(
    "make",
    [
        huge,
        packed,
        in_another_file,
        linked_to_another_file,
        collected_from_another_file,
        linked_to_itself,
        of_words,
        of_references,
        a_group,
        named_by_numbers,
        named_by_references,
    ],
    ids=lambda make: make.__name__,
)
def test_weights_that_are_no_plain_arrays(tmp_path, refused, make):
    """Weights that declare terabytes, are packed, or lead to other files"""
    path = weights(tmp_path / "vgg16.h5", make)
    assert "vgg16.h5 is damaged or not VGG16's ImageNet weights" in refused("weights", path)


@pytest.mark.parametrize("name", ["mobilenet.h5", "mobilenet.keras", "mobilenet.weights.h5"])
def test_pickle_as_a_classifiers_weights(tmp_path, name):
    """A pickle given as CLASSIFIER_WEIGHTS, which makes a folder when it is unpickled"""
    from lib.companions import backbones

    trap = tmp_path / "sprung"
    (tmp_path / name).write_bytes(pickle.dumps(Trap(trap)))
    with pytest.raises(WeightsError) as caught:
        backbones.classifier("MobileNet", weights=str(tmp_path / name))
    assert "\n" not in str(caught.value)
    assert not trap.exists()


def test_model_with_code_inside(tmp_path):
    """A trained model in the report's folder whose Lambda layer makes a folder"""
    from lib.engine import keras

    trap = tmp_path / "sprung"
    path = tmp_path / "models" / "00_base_cnn-quick-seed0.keras"
    path.parent.mkdir()
    inputs = keras.Input((2,))
    code = f"lambda x: (__import__('os').makedirs({str(trap)!r}, exist_ok=True), x)[1]"
    model = keras.Model(inputs, keras.layers.Lambda(eval(code))(inputs))  # our own code, above
    model.save(path)
    trap.rmdir()  # the trap works
    of_run = tmp_path / "results" / f"{path.stem}.json"
    of_run.parent.mkdir()
    of_run.write_text(json.dumps(RECORD | {"digest": record.digest(RECORD)}))
    with pytest.raises(RecordError, match="holds code, which is not run"):
        results.trained_model(tmp_path, path.stem)
    assert not trap.exists()


# --- names -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["two\nlines", "red\x1b[31m", os.fsdecode(b"\xff\xfe")])
def test_folder_name_that_no_page_can_show(tmp_path, refused, name):
    """A folder name with a line break, a terminal's command, or bytes that are no text"""
    try:
        folder = own_images(tmp_path / "own", classes=("cat", name))
    except OSError:
        pytest.skip("this file system takes Unicode names only")
    assert "rename it" in refused("data", folder)
    assert "rename it" in refused("data", own_images(tmp_path / name))


class Page(HTMLParser):
    """What a browser would make of a page: its elements, and its text."""

    def __init__(self, html: str):
        super().__init__()
        self.elements, self.text = [], ""
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += data

    def hostile(self) -> list:
        """Elements that only a stranger's text can have brought."""
        return [
            (tag, attributes)
            for tag, attributes in self.elements
            if tag == "script"
            or attributes.get("id") == "planted"
            or any(name.startswith("on") for name in attributes)
        ]


def without_our_scripts(html: str) -> str:
    """Takes out the report's script, to the letter, and its data, in which no tag can begin."""
    ours = (ROOT / "ladder" / "report" / "templates" / "ladder" / "report.js").read_text(
        encoding="utf-8"
    )
    html = html.replace(f"<script>\n{ours}\n</script>", "")
    return re.sub(r"<script type=.application/json.>[^<]*</script>", "", html)


CLASSES = (MARKUP, "<script>alert(2)<", "$x_1$", "a_b^c {x} \\", "a" * 200)


def test_folder_whose_name_is_code(tmp_path, ladder):
    """Own images whose folder, class and file names are code for shell, YAML, Python and HTML"""
    name = rf"""a "q" {{x}} $(touch pwned) `touch pwned` \ ' x: y #z {MARKUP} é😀"""
    rng = np.random.default_rng(0)
    folder = tmp_path / name
    for part in ("train", "test"):
        for label, kind in enumerate(CLASSES):
            (folder / part / kind).mkdir(parents=True)
            for number in range(20):
                image = rng.integers(40 * label, 40 * label + 60, (16, 16, 3), dtype=np.uint8)
                path = folder / part / kind / f"{MARKUP}{number}.png"
                path.write_bytes(cv2.imencode(".png", image)[1].tobytes())
    out = tmp_path / "out"
    done = ladder("--profile", "smoke", "--only", "00", "--dataset", folder, "--out", out)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not [*tmp_path.rglob("pwned*"), *ROOT.glob("pwned*")]
    pages = out / "index.html", out / "notebooks" / "00_base_cnn-smoke-seed0.html"
    for page in (Page(without_our_scripts(path.read_text(encoding="utf-8"))) for path in pages):
        assert page.hostile() == []
        assert f"own images: {name}" in page.text
    (written,) = (out / "results").glob("*.json")
    classes = json.loads(written.read_text(encoding="utf-8"))["dataset"]["classes"]
    assert classes == sorted(CLASSES)


# --- records ---------------------------------------------------------------------------------


def planted(value, *, but: tuple[str, ...] = ()):
    """The same with markup in every text."""
    if isinstance(value, dict):
        return {key: v if key in but else planted(v, but=but) for key, v in value.items()}
    if isinstance(value, list):
        return [planted(part, but=but) for part in value]
    return PLANTED + value if isinstance(value, str) else value


def assert_is_text(html: str) -> None:
    page = Page(html)
    assert page.hostile() == []
    assert PLANTED in page.text


def test_record_of_an_experiment_with_markup(tmp_path):
    """A record of the ladder with HTML in every text"""
    content = planted(RECORD, but=("experiment", "architecture"))
    found = Record(
        **content
        | {
            "dataset": DatasetFacts(**content["dataset"]),
            "model": ModelFacts(**content["model"]),
            "training": TrainingFacts(**content["training"]),
            "metrics": {part: Score(**score) for part, score in content["metrics"].items()},
        }
    )
    assert_is_text(sections.facts([found]) + sections.notes([found]))
    assert_is_text(sections.conditions([found]))
    address = f"notebooks/00_base_cnn-{PLANTED}quick-seed0.html"
    (tmp_path / "notebooks").mkdir()
    (tmp_path / address).touch()
    page = Page(sections.table(verdicts.table([found]), out=tmp_path))
    assert page.hostile() == []
    (link,) = [attributes["href"] for tag, attributes in page.elements if tag == "a"]
    assert link == address


def test_record_of_a_companion_with_markup(tmp_path):
    """A companion's record with HTML in every text, in table and column names too"""
    content = {k: v for k, v in RECORD.items() if k not in record.ELEVEN}
    content = planted(content | {"title": "title", "summary": "summary"})
    content["tables"] = {PLANTED: [{PLANTED: PLANTED, "list": [PLANTED], "object": {PLANTED: 1}}]}
    content["timing"] = {PLANTED: [{f"{PLANTED} seconds": PLANTED}]}
    content |= {"experiment": "freezing_depth", "dataset": DatasetFacts(**content["dataset"])}
    found = Record(**content)
    assert_is_text(sections.companions([found], out=tmp_path))
    assert_is_text(sections.conditions([found]))


# --- settings of other programs --------------------------------------------------------------


def test_run_under_settings_of_everything(ladder_environment, tmp_path):
    """Settings of Python, Jupyter, IPython, Matplotlib, Keras, Snakemake and Bash, and no home"""
    files = {
        "here/lib/__init__.py": "1 / 0",
        **{f"here/{name}.py": "1 / 0" for name in ("random", "yaml", "numpy", "sitecustomize")},
        "here/matplotlibrc": "text.usetex: True\nbackend: nonsense\n",
        "here/profiles/default/config.yaml": "dry-run: true\n",
        "bashrc": "exit 1\n",
        "ipython/profile_default/startup/00.py": "1 / 0\n",
        "jupyter/kernels/python3/kernel.json": json.dumps({"argv": ["/bin/false"]}),
        "jupyter/nbconvert/templates/base/null.j2": "{{ 1 / 0 }}",
        "jupyter/jupyter_nbconvert_config.py": "1 / 0\n",
        "keras/keras.json": json.dumps({"floatx": "bfloat16"}),
        "snakemake/reader/config.yaml": "dry-run: true\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    given = {
        "BASH_ENV": "bashrc",
        "IPYTHONDIR": "ipython",
        "JUPYTER_CONFIG_DIR": "jupyter",
        "JUPYTER_DATA_DIR": "jupyter",
        "JUPYTER_PATH": "jupyter",
        "KERAS_HOME": "keras",
        "MATPLOTLIBRC": "here/matplotlibrc",
        "PYTHONPATH": "here",
        "SNAKEMAKE_PROFILE": "snakemake/reader",
    }
    environment = ladder_environment | {name: str(tmp_path / at) for name, at in given.items()}
    environment |= {"HOME": os.devnull, "LC_ALL": "xx_YY", "KERAS_MAX_EPOCHS": "none"}
    environment |= {"PYTHONOPTIMIZE": "2", "PYTHONUTF8": "0", "PYTHONWARNINGS": "error"}
    (tmp_path / "run").symlink_to(ROOT / "run_all.sh")
    done = subprocess.run(
        ["sh", "../run", "--profile", "smoke", "--only", "00", "--dataset", "digits", "--out=out"],
        cwd=tmp_path / "here",
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "here" / "out" / "index.html").is_file()
    there = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert {name for name in there if not name.startswith("here/out/")} == {*files, "run"}


# --- the code --------------------------------------------------------------------------------

UNPICKLERS = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}


def dangers(code: str) -> list[str]:
    """Names what in a piece of code could run what a file says, or write where it says."""
    found = []
    for node in ast.walk(ast.parse(code)):
        modules = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules = [node.module or ""]
        found += [name for name in modules if name.split(".")[0] in UNPICKLERS]
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        words = {word.arg: ast.unparse(word.value) for word in node.keywords}
        if called in {"eval", "exec", "__import__", "yaml.load", "yaml.unsafe_load", "os.system"}:
            found.append(called)
        if called.endswith((".extract", ".extractall", ".unpack_archive", ".read_pickle")):
            found.append(called)
        if called.endswith("enable_unsafe_deserialization"):
            found.append(called)
        for word, safe in (("allow_pickle", "False"), ("safe_mode", "True"), ("shell", "False")):
            if words.get(word, safe) != safe:
                found.append(word)
    return found


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from joblib import load",
        "import numpy, marshal",
        "eval(text)",
        "yaml.load(text)",
        "np.load(path, allow_pickle=True)",
        "keras.saving.load_model(path, safe_mode=False)",
        "keras.config.enable_unsafe_deserialization()",
        "subprocess.run(text, shell=True)",
        "archive.extractall(folder)",
    ],
)
def test_code_that_trusts_files_is_found(code):
    """A line of code that would run what a file says"""
    assert dangers(f"def f():\n    {code}")


def test_no_code_trusts_files():
    """The project's code never unpickles, evaluates or unpacks a file; its own model cells aside"""
    pieces = {path: path.read_text(encoding="utf-8") for path in ROOT.glob("lib/**/*.py")}
    pieces |= {path: path.read_text(encoding="utf-8") for path in ROOT.glob("tools/*.py")}
    for path in ROOT.glob("notebooks/**/*.ipynb"):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
        # A line for the shell (set-up, on Colab) is no Python.
        pieces[path] = re.sub(r"^(\s*)!.*", r"\1pass", "\n".join(code), flags=re.MULTILINE)
    assert len(pieces) > 30
    found = {path.name: dangers(code) for path, code in pieces.items() if dangers(code)}
    assert found == {"model_cell.py": ["exec"]}
