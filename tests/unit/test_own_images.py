"""Folders of one's own from the command to the report, and the one that is drawn to try it."""

import json
import subprocess
import sys
from dataclasses import asdict

import cv2
import numpy as np
import pytest
from pydantic import TypeAdapter

from ladder import __main__ as command
from ladder.reasons import UsageError
from ladder.report import sections
from lib import ROOT, data, results
from lib.results import parameters, record
from lib.results.record import DatasetFacts
from tests.report import made_up
from tests.unit.made_data import write_set


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


USUAL = {f"{part}/{kind}": 4 for part in ("train", "test") for kind in ("cat", "dog")}


def test_the_account_is_printed_once_before_a_run(tmp_path, capsys):
    folder = write_set(tmp_path / "pets", USUAL)
    (folder / "train" / "cat" / "a.json").write_text("{}")
    options = ["--profile", "few", "--only", "00", "--dry-run", "--out", str(tmp_path / "out")]
    assert command.main([*options, "--dataset", str(folder)]) == 0
    said = capsys.readouterr().out
    assert said.startswith("own images: pets: 17 files found, 16 read (train 8, test 8), ignored: ")
    assert said.count("1 file is ignored (not images), for example train/cat/a.json.") == 1


def test_records_and_reports_keep_the_account(tmp_path):
    folder = write_set(tmp_path / "pets", USUAL)
    (folder / "test" / "cat" / "seen <b>.png").write_bytes(
        (folder / "train" / "cat" / "0.png").read_bytes()
    )
    images = data.load(str(folder))
    values = parameters.of_profile("few", "00_base_cnn") | {"PROFILE": "few", "SEED": 0}
    facts = results.Run("00_base_cnn", values, 0.0)._common(images, None)["dataset"]
    text = json.dumps(asdict(facts))
    assert str(tmp_path) not in text
    assert TypeAdapter(DatasetFacts).validate_json(text, strict=True) == facts
    assert facts.files["found"] == facts.files["read"] == 17
    shown = [made_up.changed(made_up.record(), dataset=asdict(facts))]
    warning = "1 file is in both parts, train and test, for example test/cat/seen &lt;b&gt;.png"
    assert f"Warning: {warning}" in sections.notes(shown)
    assert "Files: own/pets: 17 files found, 17 read" in sections.conditions(shown)
    assert "Files:" not in sections.conditions([made_up.record()])


def test_a_report_inside_of_the_images_is_refused(tmp_path, capsys):
    folder = write_set(tmp_path / "own", {"cat": 4, "dog": 4})
    for out in (folder, folder / "new"):
        assert command.main(["--dataset", str(folder), "--out", str(out), "--dry-run"]) == 2
        assert f"--out {out} lies in the folder of the images" in capsys.readouterr().err
    assert not (folder / "new").exists()


def test_one_folder_for_the_records_of_two_sets_is_refused(tmp_path, monkeypatch):
    mine, theirs = (
        data.open_source(str(write_set(tmp_path / name / "pets", USUAL | {"train/cat": count})))
        for name, count in (("a", 4), ("b", 5))
    )
    assert mine.name == theirs.name
    monkeypatch.setattr(record, "paths", lambda out: [out / "results" / "05-quick-seed0.json"])
    found = made_up.changed(made_up.record(), dataset={"name": mine.name, "sha256": mine.sha256})
    monkeypatch.setattr(record, "read", lambda path: found)
    command.refuse_to_replace([], tmp_path, mine)
    with pytest.raises(UsageError, match=r"of other images .*changed since\).*another --out"):
        command.refuse_to_replace([], tmp_path, theirs)
    for name in ("cifar10", "digits"):  # of other experiments: kept beside
        found = made_up.changed(made_up.record(), dataset={"name": name})
        command.refuse_to_replace([], tmp_path, theirs)


@pytest.mark.parametrize(("profile", "exit_code"), [("smoke", 2), ("few", 0)])
def test_more_classes_than_a_profile_takes_images_name_one_that_takes_more(
    tmp_path, capsys, profile, exit_code
):
    places = {f"{part}/kind {n}": 2 for part in ("train", "test") for n in range(51)}
    folder = write_set(tmp_path / "many", places)
    options = ["--profile", profile, "--only", "00", "--out", str(tmp_path / "out"), "--dry-run"]
    assert command.main([*options, "--dataset", str(folder)]) == exit_code
    told = "has VAL_SIZE = 50 for 00_base_cnn, less than the 51 classes; take --profile few\n"
    assert (told in capsys.readouterr().err) == bool(exit_code)
    assert not (tmp_path / "out").exists()
