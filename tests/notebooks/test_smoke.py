"""All notebooks and the report, for real, with a profile that only proves that everything runs."""

import html
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from lib import parameters, results, study
from lib.engine import keras
from lib.study import COMPANIONS, EXPERIMENTS, SLUGS

REAL_DATA = os.environ.get("CIFAR10_DIR")


@pytest.fixture(scope="module")
def climbed(ladder, tmp_path_factory) -> tuple[Path, str]:
    """The report's folder after one run of everything on digits, and what the run printed."""
    out = tmp_path_factory.mktemp("ladder") / "out"
    process = ladder("--profile", "smoke", "--dataset", "digits", "--out", out)
    assert process.returncode == 0, process.stdout + process.stderr
    return out, process.stdout


def test_every_notebook_has_its_record_predictions_and_page(climbed):
    out, _ = climbed
    for e in EXPERIMENTS:
        name = f"{e.slug}-smoke-seed0"
        record = results.read(out / "results" / f"{name}.json")
        assert record["model"]["total_params"] == e.total_params
        assert record["model"]["trainable_params"] == e.trainable_params
        assert (record["weights"] is not None) == e.uses_imagenet
        assert record["dataset"]["name"] == "digits"
        assert record["timing"]["total_seconds"] > record["timing"]["train_seconds"]
        assert (out / "results" / f"{name}.npz").is_file()
        assert (out / "notebooks" / f"{name}.html").is_file()


def test_epochs_reach_the_terminal_in_order(climbed):
    _, printed = climbed
    ran = re.findall(r"^(\w+) +epoch 1/1 ", printed, flags=re.MULTILINE)
    assert ran == list(SLUGS)


def test_pages_make_no_request_and_describe_their_pictures(climbed):
    out, _ = climbed
    pages = [out / "index.html", *(out / "notebooks").glob("*.html")]
    assert len(pages) == 12
    for path in pages:
        page = path.read_text(encoding="utf-8")
        assert "<script" not in page
        assert not re.findall(r"""(?:src|href)=["']?(?:https?:)?//""", page)
        images = re.findall(r"<img[^>]*>", page)
        assert images
        for image in images:
            assert re.search(r'alt="[^"]{20,}"', image)
            assert "No description" not in image
        assert str(out) not in page


def test_links_of_the_report_lead_somewhere(climbed):
    out, _ = climbed
    for path in [out / "index.html", *(out / "notebooks").glob("*.html")]:
        links = re.findall(r"""href=["']([^"'#:]+)["']""", path.read_text(encoding="utf-8"))
        assert links
        for link in links:
            assert (path.parent / link).is_file(), (path.name, link)


def test_report_shows_the_records_figures(climbed):
    out, _ = climbed
    page = (out / "index.html").read_text(encoding="utf-8")
    for slug in SLUGS:
        record = results.read(out / "results" / f"{slug}-smoke-seed0.json")
        assert f"{record['metrics']['test']['accuracy']:.2%}" in page
    assert "not CIFAR-10" in page
    assert "smoke" in page


def snapshot(out: Path) -> dict[str, bytes]:
    kept = [out / "index.html", *(out / "results").iterdir(), *(out / "notebooks").iterdir()]
    return {str(path.relative_to(out)): path.read_bytes() for path in kept}


def test_second_run_does_nothing_also_on_a_copy(climbed, ladder, tmp_path):
    out, _ = climbed
    copy = tmp_path / "copy"
    for folder in ("results", "notebooks"):  # as a clone has it: no state, other file times
        shutil.copytree(out / folder, copy / folder, copy_function=shutil.copyfile)
    shutil.copyfile(out / "index.html", copy / "index.html")
    for folder in (out, copy):
        before, began = snapshot(folder), time.monotonic()
        process = ladder("--profile", "smoke", "--dataset", "digits", "--out", folder)
        assert process.returncode == 0, process.stderr
        assert "11 of 11 up to date" in process.stdout
        assert "epoch" not in process.stdout
        assert time.monotonic() - began < 40  # beside other tests; about 10 s alone
        assert snapshot(folder) == before


def test_a_missing_record_alone_is_made_again_the_same(climbed, ladder, tmp_path):
    out, _ = climbed
    copy = tmp_path / "copy"
    shutil.copytree(out, copy)
    lost = copy / "results" / "04_batch_norm-smoke-seed0.json"
    first = results.read(lost)
    lost.unlink()
    process = ladder("--profile", "smoke", "--dataset", "digits", "--out", copy)
    assert process.returncode == 0, process.stderr
    assert "10 of 11 up to date" in process.stdout
    assert re.findall(r"^(\w+) +epoch", process.stdout, flags=re.MULTILINE) == ["04_batch_norm"]
    again = results.read(lost)
    for key in set(first) - {"timing", "memory", "environment"}:
        assert again[key] == first[key], key


def test_without_weights_the_others_run_and_the_rest_is_named(ladder, tmp_path):
    (tmp_path / "weights.h5").write_bytes(b"these are no weights")
    process = ladder(
        *("--profile", "smoke", "--dataset", "digits", "--only", "00,07,10"),
        *("--out", tmp_path / "out"),
        VGG16_WEIGHTS=str(tmp_path / "weights.h5"),
    )
    assert process.returncode == 1
    assert [p.stem for p in (tmp_path / "out" / "results").glob("*.json")] == [
        "00_base_cnn-smoke-seed0"
    ]
    for slug in ("07_vgg16_frozen", "10_vgg16_64x64"):
        assert f"FAILED {slug}-smoke-seed0: weights.h5 is damaged" in process.stdout
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert "Not run:" in page


# --- companions --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def accompanied(climbed, ladder, tmp_path_factory) -> tuple[Path, str]:
    """A copy of the eleven's folder after a run of the companions, and what was printed."""
    out = tmp_path_factory.mktemp("companions") / "out"
    shutil.copytree(climbed[0], out)
    process = ladder(
        *("--profile", "smoke", "--dataset", "digits", "--only", "companions", "--out", out),
        PIP_NO_INDEX="1",  # ImageNet's class names are not to be had, nor are its classifiers
        KERAS_HOME=str(tmp_path_factory.mktemp("keras")),
    )
    assert process.returncode == 0, process.stdout + process.stderr
    return out, process.stdout


def test_every_companion_has_its_record_and_page(accompanied):
    out, _ = accompanied
    for slug in COMPANIONS:
        record = results.read(out / "results" / f"{slug}-smoke-seed0.json")
        assert record["dataset"]["name"] == "digits"
        assert len(record["summary"]) > 80
        assert all(rows for rows in record["tables"].values()) or slug == "imagenet_prediction"
        page = (out / "notebooks" / f"{slug}-smoke-seed0.html").read_text(encoding="utf-8")
        assert "What we saw" in page
        assert "Warning" not in page
        assert str(parameters.ROOT) not in page
        assert "<script" not in page
        assert not re.findall(r"""(?:src|href)=["']?(?:https?:)?//""", page)
        assert str(out) not in page
        images = re.findall(r"<img[^>]*>", page)
        assert images
        assert all(re.search(r'alt="[^"]{20,}"', image) for image in images)


def test_companions_stand_in_a_section_of_their_own_and_disturb_nothing(accompanied, climbed):
    out, _ = accompanied
    page = html.unescape((out / "index.html").read_text(encoding="utf-8"))
    for slug in COMPANIONS:
        record = results.read(out / "results" / f"{slug}-smoke-seed0.json")
        assert f'href="notebooks/{slug}-smoke-seed0.html"' in page
        assert record["summary"] in page
    assert "Not run:" not in page
    for path in (climbed[0] / "results").iterdir():
        assert (out / "results" / path.name).read_bytes() == path.read_bytes()


def test_figures_of_the_companions_are_those_of_their_tables(accompanied):
    out, _ = accompanied

    def tables(slug):
        return results.read(out / "results" / f"{slug}-smoke-seed0.json")["tables"]

    depth = tables("freezing_depth")["freezing depth"]
    assert [row["trainable blocks"] for row in depth] == [0, 1, 2, 3, 4, 5]
    learning = [row["trainable parameters"] for row in depth]
    assert learning == sorted(set(learning))
    strategies = {row["strategy"]: row for row in tables("transfer_strategies")["strategies"]}
    assert {n: strategies[n]["trainable"] for n in study.COURSE_TRAINABLE} == study.COURSE_TRAINABLE
    assert {row["parameters"] for row in strategies.values()} == {
        study.COURSE_PARAMS,
        study.CHAPTER_PARAMS,
    }
    for row in tables("transfer_strategies")["forgotten"]:
        frozen = "head only" in row["strategy"]
        assert (row["weights moved by"] == 0) == frozen
        assert row["accuracy after, old head"] == row["accuracy before"] or not frozen
    settings = tables("why_frozen_fails")["settings"]
    assert [(row["pixels"], row["scaling"]) for row in settings] == [
        (size, scaling) for size in (32, 48, 64, 96) for scaling in ("x/255", "preprocess_input")
    ]
    assert [row["features"] for row in settings] == [512] * 4 + [2048] * 2 + [4608] * 2
    assert len(tables("reference_architectures")["networks"]) == 9


def test_a_companion_run_again_says_the_same(accompanied, ladder, tmp_path):
    out, _ = accompanied
    lost = Path("results", "feature_extraction-smoke-seed0.json")
    shutil.copytree(out, tmp_path / "copy")
    (tmp_path / "copy" / lost).unlink()
    process = ladder(
        *("--profile", "smoke", "--dataset", "digits", "--only", "companions"),
        *("--out", tmp_path / "copy"),
    )
    assert "6 of 7 up to date" in process.stdout
    first, again = results.read(out / lost), results.read(tmp_path / "copy" / lost)
    for key in set(first) - {"timing", "memory", "environment"}:
        assert again[key] == first[key], key


def test_without_imagenets_classifier_the_page_says_so_once(accompanied):
    out, printed = accompanied
    record = results.read(out / "results" / "imagenet_prediction-smoke-seed0.json")
    assert record["tables"]["predictions"] == []
    assert "ImageNet weights of VGG16 cannot be had" in record["summary"]
    assert "FAILED" not in printed


def test_second_run_of_the_companions_does_nothing(accompanied, ladder):
    out, _ = accompanied
    before = snapshot(out)
    process = ladder(
        *("--profile", "smoke", "--dataset", "digits", "--only", "companions", "--out", out)
    )
    assert process.returncode == 0, process.stderr
    assert "7 of 7 up to date" in process.stdout
    assert snapshot(out) == before


def by_hand(slug: str, values: dict, environment: dict) -> subprocess.CompletedProcess:
    """Runs a companion's own code, as a reader does who changes parameters and runs all cells."""
    chosen = parameters.of_profile("smoke", slug) | {"DATASET": "digits", "PROFILE": "smoke"}
    setup, _, *story = [code for _, code in parameters._code_cells(parameters.notebook_path(slug))]
    cell = "\n".join(f"{name} = {value!r}" for name, value in (chosen | values).items())
    return subprocess.run(
        [sys.executable, "-c", "\n".join([setup, cell, *story])],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        cwd=parameters.ROOT,
    )


@pytest.mark.parametrize(
    ("slug", "values", "message"),
    [
        ("freezing_depth", {"DEPTHS": "0,6"}, "DEPTHS = '0,6': expected whole numbers from 0 to 5"),
        ("why_frozen_fails", {"SIZES": "32,24"}, "SIZES = '32,24': expected whole numbers from 32"),
        ("transfer_strategies", {"CLASSES": "0,cat"}, "expected two or more different ones of 0"),
        ("transfer_strategies", {"CLASSES": "3"}, "CLASSES = '3': expected two names"),
        ("feature_extraction", {"IMAGE_SIZE": 16}, "image size 16 is too small for VGG16"),
        ("inspect_a_model", {"RUN": "x"}, "RUN = 'x': no model of that run"),
        ("inspect_a_model", {"PICTURE": "none.png"}, "PICTURE = 'none.png'"),
        ("reference_architectures", {"NETWORKS": "VGG17"}, "unknown architecture 'VGG17'"),
    ],
)
def test_what_does_not_fit_is_one_sentence(slug, values, message, ladder_environment):
    process = by_hand(slug, values, ladder_environment)
    assert process.returncode == 1
    assert message in process.stderr.strip().splitlines()[-1]


def test_own_pictures_are_predicted_where_a_classifier_can_be_had(ladder_environment, tmp_path):
    """With random weights and made-up class names: what counts is the way through."""
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
    record = results.read(tmp_path / "results" / "imagenet_prediction-custom-seed0.json")
    rows = record["tables"]["predictions"]
    assert [(row["picture"], row["rank"]) for row in rows] == [
        (name, rank) for name in ("dark.png", "light.png") for rank in (1, 2, 3)
    ]
    assert rows[0]["probability"] >= rows[1]["probability"] >= rows[2]["probability"] > 0
    assert rows[0]["class"] == f"class {rows[0]['synset'][1:]}"
    assert "was surest of “class " in record["summary"]
    assert str(tmp_path) not in json.dumps(record)


def test_a_model_of_the_ladder_can_be_inspected(climbed, ladder_environment):
    out, _ = climbed
    values = {"RUN": "00_base_cnn-smoke-seed0", "RECORDS": str(out), "OUT": str(out)}
    process = by_hand("inspect_a_model", values, ladder_environment)
    assert process.returncode == 0, process.stderr
    path = out / "results" / "inspect_a_model-custom-seed0.json"
    record = results.read(path)
    path.unlink()
    assert record["summary"].startswith("00_base_cnn-smoke-seed0 (")
    assert str(out) not in json.dumps(record)
    assert record["weights"] is None


@pytest.mark.skipif(not REAL_DATA, reason="CIFAR10_DIR is not set")
def test_cat_or_dog_on_real_images(ladder, tmp_path):
    """The one whose classes have names of their own; the others are told apart by nothing."""
    process = ladder(
        *("--profile", "smoke", "--dataset", "cifar10", "--out", tmp_path),
        *("--only", "transfer_strategies"),
        CIFAR10_DIR=REAL_DATA,
    )
    assert process.returncode == 0, process.stdout + process.stderr
    (record,) = results.read_all(tmp_path)
    assert record["summary"].startswith("Telling cat from dog")


@pytest.mark.skipif(not REAL_DATA, reason="CIFAR10_DIR is not set")
def test_rungs_on_real_images(ladder, tmp_path):
    """One of each kind: small, augmented, frozen, enlarged; the digits go through all eleven."""
    process = ladder(
        *("--profile", "smoke", "--dataset", "cifar10", "--only", "00,05,07,10"),
        *("--out", tmp_path),
        CIFAR10_DIR=REAL_DATA,
    )
    assert process.returncode == 0, process.stdout + process.stderr
    records = results.read_all(tmp_path)
    assert [record["experiment"][:2] for record in records] == ["00", "05", "07", "10"]
    assert {record["dataset"]["name"] for record in records} == {"cifar10"}
    assert len({record["dataset"]["sha256"] for record in records}) == 1
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert records[0]["dataset"]["variant"] in page
    assert "62.56%" in page
