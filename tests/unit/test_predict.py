"""New pictures and a saved model: the CSV holds what the training's own test would say."""

import csv
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tracemalloc
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from ladder import predict
from lib import ROOT, data, models, results, training
from lib.engine import keras
from lib.results import parameters, record

COLORS = {"blue, dark": (150, 40, 30), "grün": (40, 160, 60), "red": (50, 40, 170)}


def picture(color: tuple[int, int, int], rng: np.random.Generator) -> np.ndarray:
    """A picture of a color, of any size, as a PNG."""
    noise = rng.normal(color, 60, (*rng.integers(20, 120, 2), 3))
    return cv2.imencode(".png", np.clip(noise, 0, 255).astype(np.uint8))[1]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    """A data set of three colors."""
    rng, folder = np.random.default_rng(0), tmp_path_factory.mktemp("own") / "colors"
    for part, count in (("train", 16), ("test", 9)):
        for name, color in COLORS.items():
            (folder / part / name).mkdir(parents=True)
            for number in range(count):
                (folder / part / name / f"{number:02}.png").write_bytes(picture(color, rng))
    return folder


def trained(slug: str, folder: Path, out: Path, size: int) -> Path:
    """Trains a small network for an epoch and records it; returns its model file."""
    training.seed(0)
    images = data.load(str(folder), train_size=30, val_size=6, image_size=size)
    model = models.cnn(image_size=size, classes=3, blocks=((1, 4), (1, 4)), dense=(8,))
    recipe = training.Recipe(epochs=3, batch_size=8, learning_rate=1e-2, patience=0, seed=0)
    fit, values = training.fit(model, images, recipe), parameters.of_profile("study", slug)
    values |= {"OUT": str(out), "DATASET": str(folder)}
    evaluation = training.evaluate(model, images)
    done = {"images": images, "model": model, "fit": fit, "evaluation": evaluation}
    path = results.Run(slug, values, 0.0).write(**done)
    return out / "models" / f"{path.stem}.keras"


@pytest.fixture(scope="module")
def model(pictures, tmp_path_factory) -> Path:
    """The model file of a run on them."""
    return trained("00_base_cnn", pictures, tmp_path_factory.mktemp("report"), 32)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def lines(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def probabilities(found: list[dict[str, str]]) -> np.ndarray:
    return np.array([[line[name] for name in COLORS] for line in found], np.float32)


@pytest.mark.parametrize(("slug", "size"), [("00_base_cnn", 32), ("10_vgg16_64x64", 64)])
def test_a_fresh_process_repeats_the_records_test(pictures, tmp_path, slug, size, ladder):
    path = trained(slug, pictures, tmp_path / "report", size)
    moved = shutil.copy(path, tmp_path / "moved.keras")
    done = ladder("predict", moved, pictures / "test", "--out", tmp_path / "new" / "found.csv")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"27 pictures: {tmp_path / 'new' / 'found.csv'}\n"
    found = lines(tmp_path / "new" / "found.csv")
    of_run = record.read(path.parents[1] / "results" / f"{path.stem}.json")
    stored, _ = record.predictions(path.parents[1], of_run)
    np.testing.assert_array_equal(probabilities(found), stored)
    assert [line["file"] for line in found] == [f"{c}/{n:02}.png" for c in COLORS for n in range(9)]
    right = np.mean([line["predicted"] == line["file"].split("/")[0] for line in found])
    assert right == of_run.metrics["test"].accuracy
    assert right > 0.4
    assert all(float(line["probability"]) == float(line[line["predicted"]]) for line in found)


def test_the_pages_code_says_the_same_without_the_project(pictures, model, tmp_path):
    text = (ROOT / "docs" / "own-images.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    alone = "assert not {'lib', 'ladder'} & set(sys.modules)\n"
    (tmp_path / "code.py").write_text(code + alone, encoding="utf-8")
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "KERAS_BACKEND")}
    done = subprocess.run(
        [sys.executable, "-P", "code.py", str(model), str(pictures / "test" / "red")],
        env=environment | {"PYTHONUTF8": "1", "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert predict.main([str(model), str(pictures / "test" / "red")]) == 0
    found = lines(tmp_path / "predictions.csv")
    said = [line.split("\t") for line in done.stdout.splitlines()]
    assert [line[:2] for line in said] == [[line["file"], line["predicted"]] for line in found]
    ours = [float(line["probability"]) for line in found]
    np.testing.assert_allclose([float(line[2]) for line in said], ours, rtol=1e-5)


def without_classes(model: Path, target: Path) -> None:
    """Copies a model as Keras alone would have saved it."""
    with zipfile.ZipFile(model) as archive, zipfile.ZipFile(target, "w") as copy:
        for name in archive.namelist():
            if name != results.ABOUT:
                copy.writestr(name, archive.read(name))


def test_odd_names_come_back_from_the_file(model, tmp_path):
    names = ['a, "b".png', "two\nlines.png", "cr\r.png", "é e\u0301 日本.png", "=1+1.png", " .png"]
    place, rng = tmp_path / "new", np.random.default_rng(1)
    place.mkdir()
    for name in names:
        (place / name).write_bytes(picture(COLORS["red"], rng))
    Path(os.fsdecode(os.fsencode(place) + b"/\xff.png")).write_bytes(picture(COLORS["red"], rng))
    assert predict.main([str(model), str(place)]) == 0
    found = [line["file"] for line in lines(tmp_path / "predictions.csv")]
    assert sorted(found) == sorted([*names, "\\udcff.png"])


def test_pictures_of_12_bits_are_scaled_as_in_the_training(tmp_path):
    rng, own = np.random.default_rng(2), tmp_path / "own"
    for part, count in (("train", 16), ("test", 9)):
        for name, color in COLORS.items():
            (own / part / name).mkdir(parents=True)
            for number in range(count):
                noise = rng.normal(np.multiply(color, 16), 900, (*rng.integers(20, 90, 2), 3))
                image = np.clip(noise, 0, 4095).astype(np.uint16)
                (own / part / name / f"{number:02}.png").write_bytes(cv2.imencode(".png", image)[1])
    path = trained("00_base_cnn", own, tmp_path / "report", 32)
    (own / "test" / "Thumbs.db").write_bytes(b"no picture")  # is of the system
    assert predict.main([str(path), str(own / "test")]) == 0
    stored = np.load(tmp_path / "report" / "results" / f"{path.stem}.npz")["probabilities"]
    np.testing.assert_array_equal(probabilities(lines(tmp_path / "predictions.csv")), stored)
    # Neither a dark nor a bright picture shows the set's range.
    for value, expected in ((1023, 64), (65535, 255)):
        flat = np.full((40, 40, 3), value, np.uint16)
        (tmp_path / "flat.png").write_bytes(cv2.imencode(".png", flat)[1])
        assert (predict.load(path).read(tmp_path / "flat.png") == expected).all()


def test_pictures_of_16_bits_for_a_model_of_8(model, tmp_path):
    flat = np.full((40, 40, 3), 30_000, np.uint16)
    (tmp_path / "flat.png").write_bytes(cv2.imencode(".png", flat)[1])
    assert (predict.load(model).read(tmp_path / "flat.png") == 117).all()


def test_subfolders_and_links_are_read_once_and_hidden_files_never(pictures, model, tmp_path):
    place = tmp_path / "new"
    (place / "deep" / "er").mkdir(parents=True)
    shutil.copy(pictures / "test" / "red" / "00.png", place / "deep" / "er" / "a.png")
    (place / "deep" / "ring").symlink_to(place)
    (place / "linked").symlink_to(pictures / "test" / "grün")
    (place / ".hidden.png").write_bytes(b"no picture")
    (place / ".git").mkdir()
    (place / ".git" / "b.png").write_bytes(b"no picture")
    assert predict.main([str(model), str(place)]) == 0
    found = [line["file"] for line in lines(tmp_path / "predictions.csv")]
    assert found == ["deep/er/a.png", *(f"linked/{number:02}.png" for number in range(9))]


def test_one_picture_will_do(pictures, model, tmp_path):
    assert predict.main([str(model), str(pictures / "test" / "red" / "03.png")]) == 0
    assert [line["file"] for line in lines(tmp_path / "predictions.csv")] == ["03.png"]


def test_what_is_no_picture_is_left_out_and_said(pictures, model, tmp_path, capsys, monkeypatch):
    shutil.copytree(pictures / "test" / "red", tmp_path / "new")
    (tmp_path / "new" / "00.txt").write_text("no picture")
    (tmp_path / "new" / "gone.png").symlink_to(tmp_path / "nowhere")
    monkeypatch.setattr(predict, "CHUNK", 4)
    assert predict.main([str(model), "new"]) == 1
    found = lines(tmp_path / "predictions.csv")
    assert [line["file"] for line in found] == [f"{number:02}.png" for number in range(9)]
    printed = capsys.readouterr()
    assert printed.out == "9 pictures: predictions.csv\n"
    assert re.search(r"^Left out: 2 files, for example: .*00\.txt", printed.err, re.MULTILINE)
    assert printed.err.startswith("4 of 11 files\n8 of 11 files\n11 of 11 files\n")
    monkeypatch.undo()
    classifier = predict.load(model)
    images = [classifier.read(path) for path in sorted((tmp_path / "new").glob("0*.png"))]
    whole = classifier.probabilities(images)
    np.testing.assert_allclose(probabilities(found), whole, rtol=1e-5)


def test_pictures_are_not_held_in_their_own_size(model, tmp_path):
    files = [tmp_path / f"{number:02}.png" for number in range(30)]
    for file in files:
        file.write_bytes(cv2.imencode(".png", np.zeros((1500, 1500, 3), np.uint8))[1])
    classifier = predict.load(model)
    tracemalloc.start()
    assert len(list(predict.classify(classifier, files, []))) == 30
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5 * 1500 * 1500 * 3


def test_only_predictions_are_replaced(pictures, model, tmp_path, capsys):
    out, place = tmp_path / "found.csv", pictures / "test" / "red"
    command = [str(model), str(place), "--out", str(out)]
    for before in ("file,label\n", "file"):
        out.write_text(before)
        assert predict.main(command) == (2 if "label" in before else 0)
        assert (out.read_text() == before) == ("label" in before)
    assert predict.main(command) == 0  # those of the run before
    capsys.readouterr()
    kept = out.read_bytes()
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("no picture")
    assert predict.main([str(model), str(tmp_path / "texts"), "--out", str(out)]) == 1
    assert out.read_bytes() == kept
    assert one_sentence(capsys).startswith("no file in ")
    inside = place / "predictions.csv"
    command[-1] = str(inside)
    try:
        assert [predict.main(command), predict.main(command)] == [0, 0]  # is no input itself
    finally:
        inside.unlink()
    assert [path.name for path in tmp_path.glob(".*")] == []


def one_sentence(capsys) -> str:
    sentence = capsys.readouterr().err
    assert sentence.count("\n") == 1, sentence
    return sentence


@pytest.mark.parametrize(
    ("given", "code", "says"),
    [
        (("none.keras", "test"), 2, "none.keras is not a file; expected a model"),
        ((".", "test"), 2, "is not a file"),
        (("MODEL", "none"), 2, "none does not exist; expected a folder of pictures"),
        (("MODEL", "empty"), 1, "empty has no files"),
        (("text.keras", "test"), 1, "text.keras is not a model that a run of this project saved"),
        (
            ("foreign.keras", "test"),
            1,
            "foreign.keras is not a model that a run of this project saved",
        ),
        (("damaged.keras", "test"), 1, "damaged.keras is damaged or holds code"),
        (("code.keras", "test"), 1, "code.keras is damaged or holds code, which is not run"),
        (("flat.keras", "test"), 1, "flat.keras takes (None, 4) and has 3 outputs; expected"),
        (("MODEL", "test", "--out", "empty"), 2, "--out empty is a folder"),
        (("MODEL", "test", "--out", "socket"), 2, "--out socket is no regular file"),
        (("MODEL", "test", "--out", "text.keras/x.csv"), 1, "text.keras/x.csv cannot be written ("),
    ],
)
def test_what_cannot_be_used_is_one_sentence(pictures, model, tmp_path, capsys, given, code, says):
    (tmp_path / "test").symlink_to(pictures / "test")
    (tmp_path / "empty").mkdir()
    with socket.socket(socket.AF_UNIX) as held:  # as devices, which a rename would replace
        held.bind("socket")
    (tmp_path / "text.keras").write_text("no model")
    without_classes(model, tmp_path / "foreign.keras")
    about = json.dumps({"classes": list(COLORS), "image_size": 32})
    with zipfile.ZipFile(tmp_path / "damaged.keras", "w") as archive:
        archive.writestr(results.ABOUT, about)
    inputs = keras.Input((4,))
    trap = tmp_path / "sprung"
    body = f"lambda x: (__import__('os').makedirs({str(trap)!r}, exist_ok=True), x)[1]"
    outputs = {
        "flat.keras": keras.layers.Dense(3)(inputs),
        "code.keras": keras.layers.Lambda(eval(body))(inputs),  # our own, above
    }
    trap.rmdir()  # the trap works
    for name, output in outputs.items():
        keras.Model(inputs, output).save(tmp_path / name)
        with zipfile.ZipFile(tmp_path / name, "a") as archive:
            archive.writestr(results.ABOUT, about)
    assert predict.main([str(model) if word == "MODEL" else word for word in given]) == code
    assert says in one_sentence(capsys)
    assert not trap.exists()
    assert not (tmp_path / "predictions.csv").exists()


def test_a_home_is_expanded(pictures, model, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    shutil.copy(model, tmp_path / "m.keras")
    (tmp_path / "new").symlink_to(pictures / "test" / "red")
    assert predict.main(["~/m.keras", "~/new", "--out=~/out.csv"]) == 0
    assert len(lines(tmp_path / "out.csv")) == 9


def test_a_class_may_be_called_as_a_column():
    columns = ["file", "predicted", "probability", "probability of file", "x"]
    assert predict.header(["file", "x"]) == columns


def test_help_is_there(ladder):
    assert "predict" in ladder("--help").stdout
    assert "a saved model" in ladder("predict", "--help").stdout
    assert ladder("predict").returncode == 2
