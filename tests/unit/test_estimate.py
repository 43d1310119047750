"""Estimates before a run: derived from networks and records, growing with the work."""

import numpy as np
import pytest

from ladder import estimate
from lib import data, models
from lib.results import machine, model_cell, parameters
from lib.study import COMPANIONS, SLUGS
from lib.training import Recipe, pace


@pytest.fixture(scope="module")
def digits():
    return data.open_source("digits")


@pytest.mark.parametrize("slug", [*SLUGS, *COMPANIONS])
def test_more_work_takes_longer(slug, digits, monkeypatch, tmp_path):
    def seconds(profile, pace):
        monkeypatch.setattr(estimate.Estimator, "_pace", lambda *_: pace)
        estimator = estimate.Estimator(digits, tmp_path)
        return estimator.seconds(slug, parameters.of_profile(profile, slug))

    slow, fast = pace.Pace(2e-3, 1e-3), pace.Pace(1e-3, 5e-4)
    quick, study = seconds("quick", slow), seconds("study", slow)
    assert seconds("study", fast) < study
    if slug == "imagenet_prediction":  # the same few pictures in every profile
        assert quick == study > estimate.NOTEBOOK_SECONDS
        return
    assert study > quick > estimate.NOTEBOOK_SECONDS


def test_a_companions_own_record_says_how_long_it_takes(digits, monkeypatch, tmp_path):
    (tmp_path / "results").mkdir()
    name = "feature_extraction-budget-seed0.json"
    text = (estimate.OF_RECORD / "results" / name).read_text()
    (tmp_path / "results" / name).write_text(text)
    values = parameters.of_profile("budget", "feature_extraction")
    (found,) = estimate._records(tmp_path, "feature_extraction-*")
    estimator = estimate.Estimator(digits, tmp_path)
    monkeypatch.setattr(estimator, "_pace", lambda *_: pytest.fail("this machine's own record"))
    seconds = estimator.seconds("feature_extraction", values) - estimate.NOTEBOOK_SECONDS
    assert seconds == pytest.approx(found.timing["total_seconds"])
    more = estimator.seconds("feature_extraction", values | {"EPOCHS": 2 * values["EPOCHS"]})
    assert more - estimate.NOTEBOOK_SECONDS == pytest.approx(2 * seconds, rel=1e-3)


def test_calibration_leaves_the_model_as_it_was():
    model = model_cell.build("04_batch_norm")
    before = [variable.numpy() for variable in model.variables]
    found = pace.measure_pace(model, 8)
    assert 0 < found.forward < found.training
    for variable, value in zip(model.variables, before, strict=True):
        assert np.array_equal(variable.numpy(), value), variable.path


def recipe(**changes) -> Recipe:
    fixed = {"batch_size": 8, "learning_rate": 1e-3, "patience": 0, "seed": 0}
    return Recipe(**fixed | {"epochs": 1} | changes)


def test_it_says_on_what(monkeypatch, capsys):
    model, images = model_cell.build("00_base_cnn"), data.load("digits")
    pace.announce(model, images, recipe(), {})
    monkeypatch.setattr(machine, "gpus", lambda: ["A GPU"])
    pace.announce(model, images, recipe(), {})
    first, second = capsys.readouterr().out.splitlines()
    assert first.endswith(" here, on the CPU, if all epochs run.")
    assert second.endswith(" here, on A GPU, if all epochs run.")


def test_a_long_training_names_the_profiles_that_are_shorter(monkeypatch, capsys):
    monkeypatch.setattr(pace, "measure_pace", lambda *_: pace.Pace(training=0.1, forward=0.01))
    images = data.load("digits")  # 1,097 for training
    shorter = {
        name: parameters.of_profile("smoke", "00_base_cnn") | {"TRAIN_SIZE": size, "EPOCHS": epochs}
        for name, size, epochs in (("quick", 100, 2), ("budget", 10**6, 4), ("few", 10**6, 50))
    }
    pace.announce(None, images, recipe(epochs=40), shorter)
    first, *others = capsys.readouterr().out.splitlines()
    assert first.startswith("Training and evaluation take about 75 min here")
    assert [line.split(" in the ")[0] for line in others] == [
        'With PROFILE = "quick"',
        'With PROFILE = "budget"',
    ]
    assert others[0].endswith("they take 28 s.")
    pace.announce(None, images, recipe(epochs=4), shorter)
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_epochs_are_counted_by_what_they_do():
    one = pace.Pace(training=3.0, forward=1.0)
    sizes = {"train": 100, "val": 10, "test": 5}

    def seconds(**plan):
        return pace.training_seconds(one, recipe(**plan), **sizes) - pace.GRAPH_SECONDS - 115

    assert seconds(epochs=2) == 2 * (300 + 10)
    assert seconds(epochs=2, head_epochs=1) == 2 * (300 + 10) + 110
    assert seconds(epochs=9, views=4) == 4 * 100 + 10  # features; their head is almost free


def test_a_network_is_timed_once_whatever_it_starts_from(digits, monkeypatch, tmp_path):
    timed = []
    monkeypatch.setattr(
        estimate, "measure_pace", lambda model, _: timed.append(models.architecture(model)) or True
    )
    estimator = estimate.Estimator(digits, tmp_path)
    for slug in SLUGS:
        estimator._pace(slug, parameters.defaults(slug) | {"BATCH_SIZE": 256})
    assert len(timed) == 9  # 05 has the network of 04, 08 that of 06
    assert len(set(timed)) == 8  # 10 has it too, on larger images
    estimator._pace("10_vgg16_64x64", {"BATCH_SIZE": 256, "IMAGE_SIZE": 96})
    estimator._pace("03_double_conv", {"BATCH_SIZE": 256, "HEAD": "code"})
    assert len(timed) == 11
