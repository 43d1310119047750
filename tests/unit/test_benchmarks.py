"""The benchmarks' results and page; that their cases run is tested on small sizes."""

import importlib
import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import __main__ as command
from benchmarks import _measure, augmentation, ceiling, convolutions, recipes, time_to_accuracy
from lib import data, models, training
from lib.engine import fast_layers, tf
from lib.results import model_cell, parameters
from lib.study import SLUGS
from tests.report import made_up

WANTED = {
    *("augmentation", "throughput", "against_torch", "memory", "overhead", "time_to_accuracy"),
    *("checkpoint", "settings", "estimate", "convolutions", "frozen_features", "recipes"),
    "ceiling",
}


def test_all_benchmarks_can_be_called():
    assert set(command.NAMES) == WANTED
    for name in command.NAMES:
        assert callable(importlib.import_module(f"benchmarks.{name}").measure)


@pytest.mark.parametrize("path", sorted((command.FOLDER / "results").glob("*.json")), ids=str)
def test_results_are_as_agreed(path):
    content = json.loads(path.read_text())
    assert list(content) == ["name", "machine", "rows"]
    assert content["name"] == path.stem.partition("@")[0]
    assert content["rows"]
    for row in content["rows"]:
        assert list(row) == ["case", "figure", "unit", "target", "better", "required"]
        assert np.isfinite(row["figure"])
        assert row["better"] in ("higher", "lower")
        assert row["target"] is not None or not row["required"]


def test_the_page_is_that_of_the_results():
    assert command.PAGE.read_text(encoding="utf-8") == command.page(), "python -m benchmarks page"


def test_the_page_shows_headlines_and_missed_targets(monkeypatch, tmp_path):
    machine = {"date": "2026-01-02", "cpu": "a processor", "cores": 2}
    rows = [
        _measure.row("ours, 128×128", [126.4, 120.0, 130.0], "MiB", target=150, better="lower"),
        _measure.row("the study's way, 128×128", 11375.6, "MiB"),
        _measure.row("too slow", [0.25, 0.5, 0.75], "×", target=1, required=True),
        _measure.row("missed, but not required", 0.5, "×", target=1),
        _measure.row("07_vgg16_frozen: training", 635.2, "images/s"),
    ]
    (tmp_path / "results").mkdir()
    content = {"name": "memory", "machine": machine, "rows": rows}
    (tmp_path / "results" / "memory@other.json").write_text(json.dumps(content))
    (tmp_path / "memory.py").write_text('"""Memory."""\n')
    monkeypatch.setattr(command, "FOLDER", tmp_path)
    monkeypatch.setattr(command, "COLUMNS", (("memory@other", ": training"),))
    keys = (("memory@other", row["case"]) for row in rows[:2])
    monkeypatch.setattr(command, "HEADLINES", tuple(zip(keys, ("A", "B"), strict=True)))
    lines = command.page().splitlines()
    assert {"| 07_vgg16_frozen | 635 |", "| 08_vgg16_finetuned | – |"} <= {*lines}
    assert {"| A | 126 MiB |", "| B | 11,376 MiB |"} <= {*lines}
    assert any("1 of 3 targets are met." in line for line in lines)
    assert "| memory@other | too slow | 0.5 | ≥ 1 |" in lines
    assert not any("not required" in line for line in lines)
    link = "[memory@other](../benchmarks/results/memory@other.json)"
    assert f"| {link} | Memory. | a processor, 2 cores | 2026-01-02 |" in lines


def test_the_ceiling_is_of_what_a_training_multiplies():
    model, _ = _measure.build("01_deeper_cnn")
    layers, macs, steps = ceiling._layers(model), ceiling._macs(model), ceiling._steps(model, 2)
    assert [layer.name.split("_")[0] for layer in layers] == ["conv2d"] * 3 + ["dense"] * 3
    assert sum(macs[part] for part in steps) == macs["all three"]

    def shapes(part):
        return [tuple(tensor.shape) for tensor in steps[part]()]

    assert shapes("forward") == [(2, *layer.output.shape[1:]) for layer in layers]
    assert shapes("gradients of maps") == [(2, *layer.input.shape[1:]) for layer in layers[1:]]
    assert shapes("gradients of kernels") == [tuple(layer.kernel.shape) for layer in layers]


def test_turns_are_taken_by_all_cases_in_each_round():
    calls = []
    found = _measure.by_turns(
        {name: lambda name=name: calls.append(name) or len(calls) for name in "ab"}, rounds=3
    )
    assert calls == list("abababab")
    assert found == {"a": [3, 5, 7], "b": [4, 6, 8]}
    assert _measure.ratios(found["b"], found["a"]) == [4 / 3, 6 / 5, 8 / 7]
    row = _measure.row("b", found["b"], "calls", target=5, required=True)
    assert row["figure"] == 6
    assert row["unit"] == "calls (4 to 8, n = 3)"


WAYS = [fast_layers._convolve_patches, convolutions.slices, convolutions.winograd]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("size", [2, 8])
def test_every_way_to_convolve_is_a_convolution(way, size):
    rng = np.random.default_rng(0)
    maps = tf.constant(rng.normal(size=(3, size, size, 5)).astype("f4"))
    kernel = tf.constant(rng.normal(size=(3, 3, 5, 4)).astype("f4"))
    upstream = rng.normal(size=(3, size, size, 4)).astype("f4")

    def run(convolve):
        with tf.GradientTape() as tape:
            tape.watch([maps, kernel])
            output = convolve(maps, kernel)
            loss = tf.reduce_sum(output * upstream)
        return [output, *tape.gradient(loss, [maps, kernel])]

    for ours, theirs in zip(run(way), run(convolutions.tensorflow), strict=True):
        assert np.allclose(ours, theirs, atol=2e-4)


def test_augmentation_is_measured_on_augmented_batches():
    assert augmentation._ours(32, 1)() > 0
    assert augmentation._theirs(32, 1)() > 0


def test_a_budget_is_counted_in_epochs_of_its_own_network():
    slug, size = "10_vgg16_64x64", {"IMAGE_SIZE": 48}
    network = model_cell.build(slug, **size)
    one = models.training_macs(network)
    record = SimpleNamespace(
        experiment=slug,
        parameters=size | {"DATASET": "cifar10"},
        dataset=SimpleNamespace(train=100, classes=list("abcdefghij")),
        training=SimpleNamespace(operations=100 * (2 * one + models.forward_macs(network))),
    )
    epochs = time_to_accuracy._epochs(record)
    assert epochs == pytest.approx(2 + 1 / 3, abs=0.01)


def test_training_times_name_their_machines(tmp_path, monkeypatch):
    made_up.write(tmp_path / "reports" / "latest", profiles={"budget": {0: 2}})
    monkeypatch.setattr(time_to_accuracy, "ROOT", tmp_path)
    (minutes,) = [r for r in time_to_accuracy.measure() if r["case"].endswith(": training")]
    assert minutes["unit"].startswith(f"minutes on {made_up.ENVIRONMENT['cpu']} (")


def test_recipes_are_named_by_what_they_change(monkeypatch):
    slug, given = "05_data_augmentation", []

    def fit(model, images, recipe):
        given.append(recipe)
        history = {"val_accuracy": [0.0, recipe.learning_rate]}
        return SimpleNamespace(history=history, checkpoints=())

    few = data.load("digits", train_size=64, val_size=50, test_size=20)
    monkeypatch.setattr(data, "load", lambda *_, **__: few)
    monkeypatch.setattr(training, "fit", fit)
    monkeypatch.setattr(recipes, "TRIED", {slug: ({}, {"LEARNING_RATE": 0.25})})
    rows = recipes.measure()
    assert [row["case"] for row in rows] == [f"{slug}: as in budget", f"{slug}: LEARNING_RATE 0.25"]
    assert rows[1]["figure"] == 25  # the last epoch's
    usual, other = given
    budget = parameters.of_profile("budget", slug)
    assert usual.learning_rate == budget["LEARNING_RATE"]
    assert replace(usual, learning_rate=0.25) == other
    assert (usual.schedule, usual.augmented) == ("linear", True)
    assert rows[0]["unit"] == f"% of validation, after {usual.epochs} epochs"


@pytest.mark.parametrize("slug", SLUGS)
def test_networks_and_recipes_are_those_of_budget(slug):
    model, values = _measure.build(slug)
    recipe = _measure.recipe(values)
    assert model.input_shape[1] == values.get("IMAGE_SIZE", 32)
    names = [
        "EPOCHS",
        "BATCH_SIZE",
        "LEARNING_RATE",
        "SCHEDULE",
        "CLIPNORM",
        "HEAD_EPOCHS",
        "VIEWS",
    ]
    expected = {name: values[name] for name in names if name in values}
    assert {name: getattr(recipe, name.lower()) for name in expected} == expected
    assert recipe.augmented == values.get("AUGMENT", False)
    assert (recipe.patience, recipe.seed) == (0, 0)
    assert _measure.recipe(values, views=0, epochs=2).epochs == 2


def test_a_network_has_what_its_profile_says(monkeypatch):
    values = parameters.of_profile("budget", "10_vgg16_64x64") | {"IMAGE_SIZE": 48}
    monkeypatch.setattr(parameters, "of_profile", lambda *_: values)
    assert _measure.build("10_vgg16_64x64")[0].input_shape[1] == 48


def test_a_training_does_not_resume_from_the_one_before(tmp_path):
    kept, gone = tmp_path / "kept.npz", tmp_path / "gone.npz"
    kept.touch()
    _measure.forget(SimpleNamespace(checkpoints=(kept, gone)))
    assert not kept.exists()
