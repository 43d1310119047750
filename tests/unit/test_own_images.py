"""The data set that is drawn to try the ladder on: read as a folder of one's own."""

import subprocess
import sys

import cv2
import numpy as np
import pytest

from ladder import __main__ as command
from lib import ROOT, data


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own") / "shapes"
    subprocess.run([sys.executable, str(ROOT / "tools/draw_shapes.py"), str(folder)], check=True)
    return folder


def test_it_has_the_oddities_of_real_folders(shapes):
    files = [path for path in shapes.rglob("*.*") if path.is_file()]
    assert {path.suffix for path in files} == {".png", ".jpg", ".webp", ".bmp"}
    assert any(b"Exif" in path.read_bytes()[:40] for path in files)
    kinds = {cv2.imread(str(path), cv2.IMREAD_UNCHANGED).shape[2:] for path in files}
    assert kinds == {(), (3,), (4,)}
    assert len({cv2.imread(str(path)).shape[:2] for path in files}) > 100


def test_it_is_read_whole(shapes):
    images = data.load(str(shapes))
    assert images.classes == ("circle", "square", "triangle")
    assert images.name == "own/shapes"
    counts = np.bincount(images.y_train) + np.bincount(images.y_val)
    assert list(counts) == [960, 640, 400]
    assert list(np.bincount(images.y_test)) == [240, 160, 100]
    assert images.x_train.shape[1:] == (32, 32, 3)


def test_turned_pictures_are_turned_back(shapes):
    path = next(p for p in sorted(shapes.rglob("*.jpg")) if b"Exif" in p.read_bytes()[:40])
    stored = cv2.imread(str(path), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    shown = cv2.imread(str(path), cv2.IMREAD_COLOR)
    assert shown.shape[:2] == stored.shape[1::-1]


@pytest.mark.parametrize(("options", "profile"), [([], "few"), (["--profile", "quick"], "quick")])
def test_own_images_are_all_used_unless_a_profile_is_named(
    shapes, tmp_path, capsys, options, profile
):
    options = [*options, "--dataset", str(shapes), "--only", "00", "--out", str(tmp_path / "out")]
    assert command.main([*options, "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert f"00_base_cnn-{profile}-seed0" in printed
    assert ("uses a part of your images" in printed) == (profile == "quick")


def test_without_a_folder_it_says_how_to_use_it():
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools/draw_shapes.py")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "python tools/draw_shapes.py FOLDER" in done.stderr
