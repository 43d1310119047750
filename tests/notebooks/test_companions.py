"""The companion notebooks themselves, with a profile that only shows that they run."""

import ast
import dataclasses
import html
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import sklearn

from lib import models, pretrained
from lib.companions import backbones, published, transfer
from lib.engine import keras
from lib.results import parameters, record
from lib.study import COMPANIONS
from lib.training import checkpoints

BASE = Path("results", "00_base_cnn-smoke-seed0.json")


@pytest.fixture(scope="module")
def accompanied(ladder, weights, tmp_path_factory) -> tuple[Path, str, bytes]:
    """The report's folder, the printed text, and an experiment's record from before."""
    out = tmp_path_factory.mktemp("companions") / "out"
    smoke = ("--profile", "smoke", "--dataset", "digits", "--out", out)
    assert ladder(*smoke, "--only", "00").returncode == 0
    before = (out / BASE).read_bytes()
    process = ladder(
        *(*smoke, "--only", "companions"),
        KERAS_HOME=str(tmp_path_factory.mktemp("keras")),
    )
    assert process.returncode == 0, process.stdout + process.stderr
    return out, process.stdout, before


def test_every_companion_has_its_record_and_page(accompanied):
    out, *_ = accompanied
    for slug in COMPANIONS:
        found = record.read(out / "results" / f"{slug}-smoke-seed0.json")
        assert found.dataset.name == "digits"
        assert len(found.summary) > 80
        assert all(rows for rows in found.tables.values()) or slug == "imagenet_prediction"
        page = (out / "notebooks" / f"{slug}-smoke-seed0.html").read_text(encoding="utf-8")
        assert "Results" in page
        assert len(page.encode()) < 1.5e6
        assert "Warning" not in page
        assert str(parameters.ROOT) not in page
        assert "<script" not in page
        # A link that a reader may follow is no request.
        assert not re.findall(r"""(?:src|<link[^>]* href)=["']?(?:https?:)?//""", page)
        assert str(out) not in page
        images = re.findall(r"<img[^>]*>", page)
        assert images
        assert all(re.search(r'alt="[^"]{20,}"', image) for image in images)


@pytest.mark.parametrize("slug", COMPANIONS)
def test_every_training_is_given_to_the_record(slug):
    code = "\n".join(parameters.working_code(parameters.notebook_path(slug)))
    assert ("training.fit(" in code) == ("    fits=fits," in code)
    assert code.count("training.fit(") == code.count("fits.append(") + code.count("[filters_fit]")


def test_companions_have_their_own_section_and_change_no_other_record(accompanied):
    out, _, before = accompanied
    page = html.unescape((out / "index.html").read_text(encoding="utf-8"))
    for slug in COMPANIONS:
        assert f'href="notebooks/{slug}-smoke-seed0.html"' in page
        assert record.read(out / "results" / f"{slug}-smoke-seed0.json").summary in page
    assert (out / BASE).read_bytes() == before


def test_figures_of_the_companions_are_those_of_their_tables(accompanied):
    out, *_ = accompanied

    def tables(slug):
        return record.read(out / "results" / f"{slug}-smoke-seed0.json").tables

    depth = tables("freezing_depth")["freezing depth"]
    assert [row["trainable blocks"] for row in depth] == [0, 1, 2, 3, 4, 5]
    learning = [row["trainable parameters"] for row in depth]
    assert learning == sorted(set(learning))
    assert learning[1] - learning[0] == 3 * 2_359_808  # block 5
    assert (learning[0], learning[5]) == (published.POST_TRAINABLE, published.POST_PARAMS)
    for row in tables("freezing_depth")["frozen, as published"]:
        assert row["parameters"] == published.POST_PARAMS
        assert row["trainable"] == published.POST_TRAINABLE
    strategies = {row["strategy"]: row for row in tables("transfer_strategies")["strategies"]}
    for name, trainable in published.COURSE_TRAINABLE.items():
        assert strategies[name]["parameters"] == published.COURSE_TRAINABLE["all"]
        assert strategies[name]["trainable"] == trainable
    chapter = strategies["chapter's head, first 15 layers frozen"]
    assert chapter["parameters"] == published.CHAPTER_PARAMS
    assert chapter["trainable"] == published.CHAPTER_TRAINABLE
    for row in tables("transfer_strategies")["forgotten"]:
        frozen = "head only" in row["strategy"]
        assert (row["weights moved by"] == 0) == frozen
        assert row["accuracy after, old head"] == row["accuracy before"] or not frozen
    settings = tables("why_frozen_fails")["settings"]
    assert [(row["pixels"], row["scaling"]) for row in settings] == [
        (size, scaling) for size in (32, 48, 64, 96) for scaling in ("x/255", "preprocess_input")
    ]
    assert [row["features"] for row in settings] == [512] * 4 + [2048] * 2 + [4608] * 2
    networks = tables("reference_architectures")["networks"]
    assert len(networks) == 9
    assert all(row["million multiply–adds"] > 0 for row in networks)  # LeNet: less than one


def test_what_we_saw_says_where_an_accuracy_is_not_above_chance(accompanied):
    out, *_ = accompanied

    def found(slug):
        return record.read(out / "results" / f"{slug}-smoke-seed0.json")

    strategies, depth = found("transfer_strategies"), found("freezing_depth")
    forgotten = [row["accuracy after, old head"] for row in strategies.tables["forgotten"]]
    shown = [(strategies, row["test accuracy"], 2) for row in strategies.tables["strategies"]]
    shown += [(depth, row["test accuracy"], 10) for row in depth.tables["frozen, as published"]]
    for companion, accuracy, classes in [*shown, (strategies, min(forgotten), 8)]:
        images = SimpleNamespace(classes=range(classes), y_test=range(20))
        assert transfer.in_words(accuracy, images) in companion.summary


@pytest.mark.parametrize("scaling", backbones.SCALINGS)
@pytest.mark.parametrize("slug", ["freezing_depth", "transfer_strategies"])
def test_vgg16_in_plain_keras_is_that_of_lib(slug, scaling):
    code = ast.parse("\n".join(parameters.working_code(parameters.notebook_path(slug))))
    (made,) = [x for x in code.body if getattr(x, "name", "") == "vgg16_base"]
    rng = np.random.default_rng(0)
    tensors = {
        name: [rng.normal(0, 0.05, shape).astype("f4"), rng.normal(size=shape[-1]).astype("f4")]
        for name, shape in pretrained.SHAPES.items()
    }
    names = {"keras": keras, "models": models, "backbones": backbones}
    names |= {"weights": pretrained.Weights(tensors, "test", "0")}
    names |= {"IMAGE_SIZE": 32, "SCALING": scaling}
    exec(ast.unparse(made), names)
    plain = names["vgg16_base"]()
    ours = backbones.build("VGG16", image_size=32, weights=names["weights"], scaling=scaling)
    assert plain.layers[15].name == "block5_conv1"
    pixels = rng.random((2, 32, 32, 3), np.float32)
    np.testing.assert_allclose(plain(pixels), ours(pixels), rtol=1e-5)
    assert np.asarray(ours(pixels)).any()


def test_layers_are_listed_with_index_name_and_state(accompanied):
    out, *_ = accompanied
    page = (out / "notebooks" / "transfer_strategies-smoke-seed0.html").read_text(encoding="utf-8")
    text = re.sub(r"(<[^>]+>|\s)+", " ", page)
    assert " 14 block4_pool 2×2×512 0 – " in text
    assert " 13 block4_conv3 4×4×512 2,359,808 frozen " in text
    assert " 15 block5_conv1 2×2×512 2,359,808 learns " in text


def test_a_companion_run_again_says_the_same(accompanied, ladder, tmp_path):
    out, *_ = accompanied
    lost = Path("results", "feature_extraction-smoke-seed0.json")
    shutil.copytree(out, tmp_path / "copy")
    (tmp_path / "copy" / lost).unlink()
    process = ladder(
        *("--profile", "smoke", "--dataset", "digits", "--only", "companions"),
        *("--out", tmp_path / "copy"),
    )
    assert "7 of 8 up to date" in process.stdout
    first, again = (
        dataclasses.asdict(record.read(folder / lost)) for folder in (out, tmp_path / "copy")
    )
    for key in set(first) - {"timing", "memory", "environment", "digest"}:
        assert again[key] == first[key], key


def test_without_imagenets_classifier_the_page_says_so_once(accompanied):
    out, printed, _ = accompanied
    found = record.read(out / "results" / "imagenet_prediction-smoke-seed0.json")
    assert found.tables == {}
    missing = "ImageNet weights of VGG16 are not available"
    assert found.summary.startswith(f"No prediction: {missing}")
    page = (out / "notebooks" / "imagenet_prediction-smoke-seed0.html").read_text(encoding="utf-8")
    assert page.count(missing) == 3  # at the beginning, where it is found, and at the end
    assert "No rows" not in page
    assert "FAILED" not in printed


def test_second_run_of_the_companions_does_nothing(accompanied, ladder, snapshot):
    out, *_ = accompanied
    before = snapshot(out)
    process = ladder(
        *("--profile", "smoke", "--dataset", "digits", "--only", "companions", "--out", out)
    )
    assert process.returncode == 0, process.stderr
    assert "8 of 8 up to date" in process.stdout
    assert snapshot(out) == before


def by_hand(slug: str, values: dict, environment: dict) -> subprocess.CompletedProcess:
    """Runs a companion's own code, like a reader who changes parameters and runs all cells."""
    chosen = parameters.of_profile("smoke", slug) | {"DATASET": "digits", "PROFILE": "smoke"}
    cell = "\n".join(f"{name} = {value!r}" for name, value in (chosen | values).items())
    work = parameters.working_code(parameters.notebook_path(slug))
    return subprocess.run(
        [sys.executable, "-c", "\n".join([cell, *work])],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        cwd=parameters.ROOT,
    )


@pytest.mark.usefixtures("weights")
@pytest.mark.parametrize(
    ("slug", "values", "message"),
    [
        ("freezing_depth", {"DEPTHS": "0,6"}, "DEPTHS = '0,6': expected whole numbers from 0 to 5"),
        ("why_frozen_fails", {"SIZES": "32,24"}, "SIZES = '32,24': expected whole numbers from 32"),
        ("transfer_strategies", {"CLASSES": "0,cat"}, "expected two or more different ones of 0"),
        ("transfer_strategies", {"CLASSES": "3"}, "CLASSES = '3': expected two names"),
        ("feature_extraction", {"IMAGE_SIZE": 16}, "image size 16 is too small for VGG16"),
        ("inspect_a_model", {"RUN": "x"}, "RUN = 'x': no model of that run"),
        ("inspect_a_model", {"EXPERIMENT": "report"}, "EXPERIMENT = 'report': expected one of 00"),
        ("inspect_a_model", {"PICTURE": "none.png"}, "PICTURE = 'none.png'"),
        ("reference_architectures", {"NETWORKS": "VGG17"}, "unknown architecture 'VGG17'"),
    ],
)
def test_wrong_values_are_one_sentence(slug, values, message, ladder_environment):
    process = by_hand(slug, values, ladder_environment)
    assert process.returncode == 1
    assert message in process.stderr.strip().splitlines()[-1]


def test_own_pictures_are_predicted_where_weights_are_available(ladder_environment, tmp_path):
    """With random weights and invented class names: the test is that all steps work together."""
    keras.utils.set_random_seed(0)
    keras.applications.MobileNetV2(weights=None).save_weights(tmp_path / "mobile.weights.h5")
    index = {number: (f"n{number}", f"class_{number}") for number in range(1000)}
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "imagenet_class_index.json").write_text(json.dumps(index))
    (tmp_path / "mine").mkdir()
    for name, gray in (("dark.png", 20), ("light.png", 220)):
        cv2.imwrite(str(tmp_path / "mine" / name), np.full((50, 40, 3), gray, np.uint8))
    values = {
        "MODEL": "MobileNetV2",
        "CLASSIFIER_WEIGHTS": str(tmp_path / "mobile.weights.h5"),
        "PICTURE": str(tmp_path / "mine"),
        "OUT": str(tmp_path),
    }
    environment = ladder_environment | {"KERAS_HOME": str(tmp_path)}
    process = by_hand("imagenet_prediction", values, environment)
    assert process.returncode == 0, process.stderr
    (path,) = (tmp_path / "results").glob("imagenet_prediction-custom-*-seed0.json")
    found = record.read(path)
    rows = found.tables["predictions"]
    assert [(row["picture"], row["rank"]) for row in rows] == [
        (name, rank) for name in ("dark.png", "light.png") for rank in (1, 2, 3)
    ]
    assert rows[0]["probability"] >= rows[1]["probability"] >= rows[2]["probability"] > 0
    assert rows[0]["class"] == f"class {rows[0]['synset'][1:]}"
    assert "of each: “class " in found.summary
    assert str(tmp_path) not in path.read_text(encoding="utf-8")


def test_an_experiments_model_can_be_inspected(accompanied, ladder_environment):
    out, *_ = accompanied
    values = {"RUN": "00_base_cnn-smoke-seed0", "RECORDS": str(out), "OUT": str(out)}
    values["PICTURE"] = str(Path(sklearn.__file__).parent / "datasets" / "images" / "china.jpg")
    process = by_hand("inspect_a_model", values, ladder_environment)
    assert process.returncode == 0, process.stderr
    (path,) = (out / "results").glob("inspect_a_model-custom-*-seed0.json")
    found, text = record.read(path), path.read_text(encoding="utf-8")
    path.unlink()
    assert found.summary.startswith("00_base_cnn-smoke-seed0 (")
    assert {row["picture"] for row in found.tables["predictions"]} == {"china.jpg"}
    neighbors = found.tables["neighbors"]
    similar = [row["similarity"] for row in neighbors]
    assert similar == sorted(similar, reverse=True)
    same = sum(row["class"] == row["predicted class"] for row in neighbors)
    of = "of the 8 nearest training images have the predicted class of their picture"
    assert found.summary.endswith(f" {same} {of}.")
    assert str(out) not in text
    assert found.weights is None


def test_a_network_without_a_base_has_no_epochs_of_the_head_alone(tmp_path, ladder_environment):
    values = {"EXPERIMENT": "00_base_cnn", "HEAD_EPOCHS": 1, "EPOCHS": 1, "OUT": str(tmp_path)}
    environment = ladder_environment | {
        "CIFAR10_LADDER_CACHE": str(tmp_path / "cache"),
        checkpoints.EVERY: "0",  # so that even a short training leaves some
    }
    process = by_hand("inspect_a_model", values, environment)
    assert process.returncode == 0, process.stderr
    assert "epoch 1/1 " in process.stdout
    of = "of the 24 nearest training images have the true class of their picture"
    assert of in next((tmp_path / "results").glob("*.json")).read_text(encoding="utf-8")
    assert list((tmp_path / "cache" / "checkpoints").iterdir()) == []


def test_cat_or_dog_on_real_images(ladder, real_cache, tmp_path):
    """The only companion that uses the classes' names."""
    process = ladder(
        *("--profile", "smoke", "--dataset", "cifar10", "--out", tmp_path),
        *("--only", "transfer_strategies"),
        CIFAR10_LADDER_CACHE=real_cache,
    )
    assert process.returncode == 0, process.stdout + process.stderr
    (found,) = record.read_all(tmp_path)
    assert found.summary.startswith("Test accuracy for cat or dog at 32×32 pixels")
