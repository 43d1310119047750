"""The published figures, against the source document's own sums."""

import json
import re
import statistics
import subprocess

import numpy as np
import pytest

from lib import ROOT, models, study
from lib.metrics import Score
from lib.results import model_cell


def test_eleven_experiments_in_order():
    assert [e.number for e in study.EXPERIMENTS] == list(range(11))
    assert all(e.slug.startswith(f"{e.number:02d}_") for e in study.EXPERIMENTS)


def test_published_figures():
    accuracies = [62.56, 72.30, 77.30, 78.41, 81.73, 85.94, 81.80, 60.94, 86.88, 87.80, 91.66]
    losses = [1.070, 0.902, 0.673, 0.672, 0.660, 0.426, 0.559, 1.118, 0.411, 0.388, 0.279]
    assert [round(100 * e.accuracy, 2) for e in study.EXPERIMENTS] == accuracies
    assert [e.loss for e in study.EXPERIMENTS] == losses
    missing = [e.number for e in study.EXPERIMENTS if e.train_accuracy is None]
    assert missing == [1, 8]
    times = "0:47.380263 0:45.206875 1:23.477872 2:16.842777 2:28.758790 20:25.159844 "
    times += "15:48.826757 22:47.992402 9:42.279129 13:09.168614 15:48.318542"
    seconds = [60 * int(t.split(":")[0]) + float(t.split(":")[1]) for t in times.split()]
    assert [e.train_seconds for e in study.EXPERIMENTS] == pytest.approx(seconds)


def test_training_accuracies_are_of_forty_thousand_images():
    """D5: each is a number of images, as printed with three decimals of a percent."""
    printed = [100 * e.train_accuracy for e in study.EXPERIMENTS if e.train_accuracy is not None]

    def fits(accuracy: float, images: int) -> bool:
        right = round(accuracy * images / 100)
        return abs(100 * right / images - accuracy) <= 0.0005 + 1e-9

    fitting = {n: sum(fits(a, n) for a in printed) for n in range(20_000, 50_001, 100)}
    assert [n for n, count in fitting.items() if count == len(printed)] == [40_000]
    assert (fitting[45_000], fitting[50_000]) == (4, 5)


def test_the_page_on_the_jpeg_copy_has_the_figures_of_the_records():
    def accuracy(text: str) -> str:
        return f"{100 * json.loads(text)['metrics']['test']['accuracy']:.2f}"

    def before(name: str) -> str | None:
        command = ["git", "-C", ROOT, "show", f"0516e36:reports/of-record/results/{name}.json"]
        found = subprocess.run(command, capture_output=True, text=True, check=False)
        return accuracy(found.stdout) if found.returncode == 0 else None  # a shallow clone

    page = (ROOT / "docs" / "jpeg-copy.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d\d_\w+) \| (.+) \|$", page, re.MULTILINE)
    assert len(rows) == 8
    for slug, cells in rows:
        published, jpeg, ours, *seeds, difference = cells.replace(" %", "").split(" | ")
        profile = "study" if seeds else "budget"
        folder = ROOT / "reports" / "of-record" / "results"
        now = [
            accuracy((folder / f"{slug}-{profile}-seed{n}.json").read_text(encoding="utf-8"))
            for n in range(3 if seeds else 1)
        ]
        mean = statistics.fmean(map(float, now))
        assert published == f"{100 * study.experiment(slug).accuracy:.2f}"
        assert jpeg == (before(f"{slug}-{profile}-seed0") or jpeg)
        assert ours == f"{mean:.2f}"
        assert float(difference.replace("−", "-")) == pytest.approx(mean - float(jpeg), abs=0.0051)
        assert seeds == ([f"{min(now)} to {max(now)}"] if seeds else [])


def test_the_seeds_of_experiment_5_are_as_the_study_page_says():
    page = (ROOT / "docs" / "study.md").read_text(encoding="utf-8")
    folder = ROOT / "reports" / "of-record" / "results"
    runs = [
        json.loads((folder / f"05_data_augmentation-study-seed{n}.json").read_text("utf-8"))
        for n in range(3)
    ]
    epochs = [len(run["history"]["epoch"]) for run in runs]
    first, second, third = (f"{100 * run['metrics']['test']['accuracy']:.2f}" for run in runs)
    said = f"ran for {epochs[0]} and {epochs[1]} epochs and reached {first} and {second} %. "
    said += f"Seed 2 stopped after {epochs[2]} epochs, at {third} %."
    assert said in " ".join(page.split())


def test_unknown_experiment_lists_the_known():
    with pytest.raises(KeyError, match=r"11_vgg19.*10_vgg16_64x64"):
        study.experiment("11_vgg19")


@pytest.mark.parametrize("e", study.EXPERIMENTS, ids=lambda e: e.slug)
def test_the_model_cell_builds_the_studys_network(e):
    model = model_cell.build(e.slug, image_size=64 if e.number == 10 else 32)
    assert model.count_params() == e.total_params
    assert models.trainable_params(model) == e.trainable_params
    assert models.architecture(model) == e.architecture


def test_comparison_is_with_what_can_be_compared():
    test = Score(accuracy=0.7, loss=1.0)
    assert study.comparison("00_base_cnn", test, dataset="cifar10") == (
        "published 62.56% (cross-entropy 1.070), ours 70.00% (1.000), difference +7.44 points"
    )
    for other in ({"dataset": "digits"}, {"dataset": "cifar10", "other": "another network"}):
        said = study.comparison("00_base_cnn", test, **other)
        assert "62.56" not in said
        assert "70.00%" in said


def test_a_difference_that_can_be_chance():
    """Of two draws with the spread of seeds and of test images, one in twenty differs by more."""
    rng, images, accuracy = np.random.default_rng(0), 2000, 0.6
    runs = rng.normal(accuracy, study.LITERATURE_SD, (2, 20_000))
    measured = rng.binomial(images, runs) / images
    beyond = np.abs(measured[0] - measured[1]) > study.chance_difference(accuracy, images)
    assert beyond.mean() == pytest.approx(0.05, abs=0.01)
