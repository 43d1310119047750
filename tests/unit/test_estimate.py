"""Estimates before a run: derived from the networks, growing with the work."""

import numpy as np
import pytest

from ladder import estimate
from lib import data, models, results
from lib.companions import backbones
from lib.results import parameters
from lib.study import COMPANIONS, SLUGS
from lib.training import pace


@pytest.fixture(scope="module")
def digits():
    return data.open_source("digits")


@pytest.mark.parametrize("size", [32, 48, 96])
def test_vgg16s_blocks_cost_what_the_network_costs(size):
    model = backbones.build("VGG16", image_size=size)
    blocks = estimate._vgg16_macs(size)
    assert len(blocks) == 5
    assert sum(blocks) == models.forward_macs(model)


@pytest.mark.parametrize("slug", [*SLUGS, *COMPANIONS])
def test_more_work_takes_longer(slug, digits, monkeypatch):
    def seconds(profile, pace):
        monkeypatch.setattr(estimate, "_pace", lambda *_: pace)
        return estimate.job_seconds(slug, parameters.of_profile(profile, slug), digits)

    slow, fast = pace.Pace(2e-3, 1e-3), pace.Pace(1e-3, 5e-4)
    quick, study = seconds("quick", slow), seconds("study", slow)
    if slug == "imagenet_prediction":  # the same few pictures in every profile
        assert quick == study > 0
        return
    assert study > quick > estimate.NOTEBOOK_SECONDS
    assert seconds("study", fast) < study


def test_calibration_leaves_the_model_as_it_was():
    model = models.build("04_batch_norm")
    before = [variable.numpy() for variable in model.variables]
    found = pace.measure_pace(model, 8)
    assert 0 < found.forward < found.training
    for variable, value in zip(model.variables, before, strict=True):
        assert np.array_equal(variable.numpy(), value), variable.path


def test_it_says_on_what(monkeypatch, capsys):
    model, images = models.build("00_base_cnn"), data.load("digits")
    pace.announce(model, images, epochs=1, batch_size=8)
    monkeypatch.setattr(results, "gpus", lambda: ["A GPU"])
    pace.announce(model, images, epochs=1, batch_size=8)
    first, _, second, _ = capsys.readouterr().out.splitlines()
    assert first.endswith(" here, on the CPU, if all epochs run.")
    assert second.endswith(" here, on A GPU, if all epochs run.")


def test_epochs_are_counted_by_what_they_do():
    one = pace.Pace(training=3.0, forward=1.0)
    sizes = {"train": 100, "val": 10, "test": 5}

    def seconds(**plan):
        return pace.training_seconds(one, **plan, **sizes) - pace.GRAPH_SECONDS - 115

    assert seconds(epochs=2) == 2 * (300 + 10)
    assert seconds(epochs=2, head_epochs=1) == 2 * (300 + 10) + 110
    assert seconds(epochs=9, views=4) == 4 * 100 + 10  # features; their head is almost free


def test_a_network_is_timed_once_whatever_it_starts_from(monkeypatch):
    timed = []
    monkeypatch.setattr(estimate, "measure_pace", lambda model, _: timed.append(model.name))
    estimate._measured_pace.cache_clear()
    for slug in SLUGS:
        estimate._pace(slug, 64 if slug.startswith("10") else 32, 10, 256)
    estimate._measured_pace.cache_clear()  # what was measured here is nothing
    names = ["base_cnn", "deeper_cnn", "dropout", "double_conv", "batch_norm", "vgg16_scratch"]
    assert timed == [*names, "vgg16_frozen", "mini_vgg16", "vgg16_scratch"]
