"""The benchmarks' results and page; that their cases run is tested on small sizes."""

import importlib
import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import __main__ as command
from benchmarks import (
    _covariance,
    _measure,
    augmentation,
    ceiling,
    early_stopping,
    fast_layers,
    recipes,
    throughput,
    time_to_accuracy,
)
from lib import data, models
from lib.engine import fast_layers as layers
from lib.engine import keras, precision, tf
from lib.errors import ParameterError
from lib.results import model_cell, parameters
from lib.study import SLUGS
from lib.training.callbacks import EarlyStopping
from tests.report import made_up

WANTED = {
    *("augmentation", "throughput", "against_torch", "memory", "overhead", "time_to_accuracy"),
    *("checkpoint", "settings", "estimate", "fast_layers", "frozen_features", "recipes"),
    *("ceiling", "early_stopping"),
}
RESULTS = set((command.FOLDER / "results").glob("*.json")) - {recipes.FILE, early_stopping.FILE}


@pytest.fixture(autouse=True)
def restored_precision():
    """Other tests build networks in float32."""
    yield
    precision.use("float32")


def test_all_benchmarks_can_be_called():
    assert set(command.NAMES) == WANTED
    for name in WANTED - set(command.OF_TRAININGS):
        assert callable(importlib.import_module(f"benchmarks.{name}").measure)


@pytest.mark.parametrize("path", sorted(RESULTS), ids=str)
def test_results_are_as_agreed(path):
    content = json.loads(path.read_text())
    assert [key for key in content if key != "minutes"] == ["name", "machine", "rows"]
    assert content["name"] == path.stem.partition("@")[0]
    assert content["rows"]
    for row in content["rows"]:
        assert list(row) == ["case", "figure", "unit", "target", "better", "required"]
        assert np.isfinite(row["figure"])
        assert row["better"] in ("higher", "lower")
        assert row["target"] is not None or not row["required"]


def test_the_pages_are_those_of_the_results():
    for path, text in command.pages().items():
        assert path.read_text(encoding="utf-8") == text, "python -m benchmarks page"
    assert all(f"| {text} |" in command.page() for _, text in command.HEADLINES)
    words = [word for word in command.page().split() if any(map(str.isalnum, word))]
    assert len(words) < 1000


def test_a_benchmark_saves_its_result_and_how_long_it_took(monkeypatch, tmp_path, capsys):
    (tmp_path / "results").mkdir()
    monkeypatch.setattr(command, "FOLDER", tmp_path)
    rows = [_measure.row("a case", 1.5, "×", target=1)]
    monkeypatch.setattr(importlib, "import_module", lambda _: SimpleNamespace(measure=lambda: rows))
    monkeypatch.setattr(command.time, "monotonic", iter([0, 120, 0, 120]).__next__)
    for _ in range(2):
        command._run("memory")
    content = json.loads((tmp_path / "results" / "memory.json").read_text())
    assert (content["rows"], content["minutes"]) == (rows, 2.0)
    assert capsys.readouterr().out.count("The last run of this benchmark took 2 minutes.") == 1


def test_the_page_has_a_table_for_each_processor_and_the_missed_targets(monkeypatch, tmp_path):
    (tmp_path / "results").mkdir()
    monkeypatch.setattr(command, "FOLDER", tmp_path)
    row = _measure.row
    for stem, cpu, rows in (
        ("throughput", "One", [row("07_vgg16_frozen: minutes of budget", 4.321, "min")]),
        (
            "throughput@other",
            "Other",
            [
                row("07_vgg16_frozen, float32: training", [700, 600, 635.2], "images/s"),
                row("04_batch_norm: against plain Keras", [0.5, 1.2, 1.3], "×", target=1.4),
                row("05_data_augmentation: against plain Keras", 1.1, "×", target=1.4),
            ],
        ),
        (
            "against_torch",
            "Other",
            [row("07_vgg16_frozen, bfloat16: ours against PyTorch", 2, "×")],
        ),
        (
            "memory",
            "Third",
            [
                row("ours, 128×128", [126.4, 120.0], "MiB", target=150, better="lower"),
                row("00_base_cnn, x", 2, "s", target=1, better="lower"),
                row("01_deeper_cnn, x", 4, "s", target=3, better="lower"),
            ],
        ),
    ):
        name = stem.partition("@")[0]
        content = {"name": name, "machine": {"cpu": cpu, "cores": 2}, "minutes": 7.6, "rows": rows}
        (tmp_path / "results" / f"{stem}.json").write_text(json.dumps(content))
        (tmp_path / f"{name}.py").write_text(f'"""About {name}."""\n')
    text = command.page()
    first, second = text.split("### ")[1:]
    assert first.startswith("One, 2 cores\n\n| experiment | minutes |")
    assert "| 07_vgg16_frozen | 4.32 | – | – | – | – | – |" in first
    assert second.startswith("Other, 2 cores\n")
    assert "| 07_vgg16_frozen | – | 635 | – | – | 2 | – |" in second
    lines = text.splitlines()
    assert any(line.startswith("1 of 5 targets are met.") for line in lines)
    cause = command.CAUSES["against plain Keras"]
    assert f"| throughput@other: against plain Keras | ≥ 1.4 | 04 1.2, 05 1.1 | {cause} |" in lines
    assert "| memory: x (s) | in parentheses | 00 2 (≤ 1), 01 4 (≤ 3) |  |" in lines
    assert "| Memory for 40,000 training images at 128×128 | 123 MiB |" in lines
    links = (
        "[One](../benchmarks/results/throughput.json), "
        "[Other](../benchmarks/results/throughput@other.json)"
    )
    assert f"| throughput | About throughput. | {links} | 8 |" in lines


def test_the_ceiling_is_of_what_a_training_multiplies():
    model, _ = _measure.build("01_deeper_cnn")
    layers, macs = ceiling._layers(model), ceiling._macs(model)
    steps = ceiling._steps(model, 2, "bfloat16")
    assert {tensor.dtype.name for step in steps.values() for tensor in step()} == {"bfloat16"}
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


USED = {
    "00_base_cnn": ["Adam"],
    "02_dropout": ["Adam"],
    "04_batch_norm": ["BatchNormalization", "Adam"],
    "06_vgg16_scratch": ["Conv2D on 2×2 maps", "Adam"],
    "09_mini_vgg16": ["Adam"],
    "10_vgg16_64x64": ["Adam"],
}


@pytest.mark.parametrize("slug", USED)
def test_a_fast_class_is_measured_where_a_network_has_use_for_it(slug):
    assert fast_layers._used(_measure.build(slug)[0]) == USED[slug]


@pytest.mark.parametrize("slug", ["04_batch_norm", "06_vgg16_scratch", "10_vgg16_64x64"])
def test_kernel_gradients_are_measured_in_bfloat16(slug):
    used = fast_layers._used(_measure.build(slug, "bfloat16")[0])
    assert [name for name in used if name not in USED.get(slug, [])] == [
        "Conv2D's kernel gradients"
    ]


@pytest.mark.parametrize("way", fast_layers.WAYS)
def test_without_a_way_only_its_maps_are_convolved_by_keras(way, monkeypatch):
    calls = []
    for kind in (keras.layers.Conv2D, layers.Conv2D):
        monkeypatch.setattr(kind, "convolution_op", lambda _, x, k, kind=kind: calls.append(kind))
    maps = {
        "Conv2D on 2×2 maps": tf.zeros((1, 2, 2, 8)),
        "Conv2D's kernel gradients": tf.zeros((1, 8, 8, 128), "bfloat16"),
    }
    for x in maps.values():
        fast_layers._without(way)(8, 3).convolution_op(x, None)
    assert calls == [keras.layers.Conv2D if name == way else layers.Conv2D for name in maps]


@pytest.mark.parametrize("name", fast_layers.THEIRS)
def test_one_class_at_a_time_is_keras_own(name, monkeypatch):
    built = []
    monkeypatch.setattr(fast_layers, "ours", lambda *_: built.append(vars(layers).copy()) or Case())
    monkeypatch.setattr(fast_layers, "_used", lambda _: [name])
    monkeypatch.setattr(fast_layers, "ROUNDS", 1)
    (row,) = fast_layers._gains("00_base_cnn", "float32")
    assert row["case"] == f"00_base_cnn, float32: {name}"
    attribute, theirs = fast_layers.THEIRS[name]
    usual, replaced = built
    assert {key for key in usual if usual[key] is not replaced[key]} == {attribute}
    assert replaced[attribute] is theirs


class Case:
    """Stands in for `_measure.Training`."""

    model = None

    def __call__(self):
        return 1.0


def test_a_class_stays_if_it_brings_enough_somewhere():
    rows = [
        _measure.row(f"0{n}, float32: Adam", gain, "×") for n, gain in enumerate((1.02, 1.1, 1))
    ]
    largest = fast_layers._largest("Adam", rows)
    assert (largest["figure"], largest["unit"]) == (1.1, "× (01, float32): stays")
    assert fast_layers._largest("Adam", rows[::2])["unit"] == "× (00, float32): goes"


def test_the_ceiling_is_the_target_where_it_is_lower(tmp_path, monkeypatch):
    content = json.loads(throughput.CEILING.read_text())
    content["rows"] = [_measure.row("one", 0.5, ""), _measure.row("two", 0.9, "")]
    monkeypatch.setattr(throughput, "CEILING", tmp_path / "ceiling.json")
    for cpu, expected in (("this one", 0.5), ("another", 0.7)):
        content["machine"]["cpu"] = cpu
        throughput.CEILING.write_text(json.dumps(content))
        monkeypatch.setattr(throughput.machine, "environment", lambda: {"cpu": "this one"})
        assert throughput._at_most_the_ceiling("one", 0.7) == expected
        assert throughput._at_most_the_ceiling("two", 0.7) == 0.7
        assert throughput._at_most_the_ceiling("three", 0.7) == 0.7
    assert throughput._at_most_the_ceiling("one", None) is None


def test_throughput_has_every_figure_and_bfloat16_has_targets_where_auto_means_it(monkeypatch):
    speeds = {"float32": 100.0, "bfloat16": 150.0, "keras": 80.0}
    speeds |= {"float32 product": 1e12, "bfloat16 product": 2e12}
    model = _measure.build("10_vgg16_64x64")[0]
    monkeypatch.setattr(throughput, "ours", lambda *_: SimpleNamespace(model=model))
    monkeypatch.setattr(throughput, "_plain", lambda *_: None)
    monkeypatch.setattr(throughput, "_at_most_the_ceiling", lambda _, wanted: wanted)
    monkeypatch.setattr(
        throughput, "by_turns", lambda cases, _: {name: [speeds[name]] for name in cases}
    )
    for fastest in ("bfloat16", "float32"):
        monkeypatch.setattr(precision, "fastest", lambda fastest=fastest: fastest)
        rows = {row["case"]: row for row in throughput._rows("10_vgg16_64x64")}
        share = rows["10_vgg16_64x64, bfloat16: share of the matrix product"]["figure"]
        assert share == pytest.approx(150 / 2e12 * 2 * models.training_macs(model))
        assert rows["10_vgg16_64x64: against plain Keras"]["figure"] == 1.25
        gain = rows["10_vgg16_64x64: bfloat16 against float32"]
        minutes = rows["10_vgg16_64x64: minutes of budget"]
        assert gain["figure"] == 1.5
        assert (gain["target"], minutes["target"]) == (
            (1.7, 25) if fastest == "bfloat16" else (None, None)
        )
        assert gain["required"] == (fastest == "bfloat16")


def test_minutes_count_all_epochs(monkeypatch):
    values = parameters.of_profile("budget", "00_base_cnn") | {"EPOCHS": 3}
    monkeypatch.setattr(parameters, "of_profile", lambda *_: values)
    model = model_cell.build("00_base_cnn")
    forward = models.forward_macs(model) / models.training_macs(model)
    passes = 40_000 + 10_000 + 10_000 + 3 * 10_000  # the evaluation, and validation
    expected = (3 * 40_000 + passes * forward) / 100 / 60
    assert throughput._minutes("00_base_cnn", model, 100.0) == pytest.approx(expected, abs=0.1)


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


def test_records_of_two_precisions_are_two_cases(tmp_path, monkeypatch):
    made_up.write(tmp_path / "reports" / "latest", profiles={"budget": {0: 2}})
    monkeypatch.setattr(time_to_accuracy, "ROOT", tmp_path)
    records = [
        made_up.record(profile="budget", training={"precision": dtype}, timing={"train_seconds": s})
        for dtype, s in (("float32", 60), ("bfloat16", 30), ("float32", 180))
    ]
    gpu = {"training": {"precision": "bfloat16"}, "environment": {"gpus": ["NVIDIA H200"]}}
    records.append(made_up.changed(records[1], timing={"train_seconds": 6}, **gpu))  # not timed
    monkeypatch.setattr(time_to_accuracy.record, "read_all", lambda _: records)
    found = {row["case"]: row["figure"] for row in time_to_accuracy.measure()}
    assert found["00_base_cnn, budget, float32: training"] == 2
    assert found["00_base_cnn, budget, bfloat16: training"] == 0.5


class Unusable:
    """Test images that fail whatever is done with them."""

    def __getattribute__(self, name):
        raise AssertionError("the test part was touched")

    def __array__(self, *_, **__):
        raise AssertionError("the test part was touched")

    def __len__(self):
        raise AssertionError("the test part was touched")


@pytest.fixture
def trials(monkeypatch, tmp_path):
    """Puts an empty file in place of the trials, and a few digits in place of CIFAR-10."""
    load, nothing = data.load, {"x_test": Unusable(), "y_test": Unusable()}
    sizes = {"train_size": 64, "val_size": 50, "test_size": 20}
    monkeypatch.setattr(data, "load", lambda *_, **__: replace(load("digits", **sizes), **nothing))
    monkeypatch.setattr(recipes, "FILE", tmp_path / "recipes.json")
    recipes.FILE.write_text("[]")
    monkeypatch.setenv("CIFAR10_LADDER_CACHE", str(tmp_path / "cache"))


def test_a_trial_trains_without_the_test_images_and_is_on_file(trials, capsys):
    changes = ["EPOCHS=2", "LEARNING_RATE=5e-3", "PATIENCE=9", "SEED=3"]
    recipes.main(["01_deeper_cnn", "EPOCHS=1"])
    recipes.main(["00_base_cnn", *changes])
    first, second = _measure.read_lines(recipes.FILE)
    assert (first["experiment"], second["experiment"]) == ("00_base_cnn", "01_deeper_cnn")
    assert len(recipes.FILE.read_text().splitlines()) == 4
    macs = models.training_macs(model_cell.build("00_base_cnn"))
    assert (first["epochs"], first["seed"], first["operations"]) == (2, 3, 2 * 64 * macs)
    assert len(first["val_accuracy"]) == 2
    assert first["values"]["LEARNING_RATE"] == 0.005
    assert first["precision"] in ("float32", "bfloat16", "float16")
    assert first["cpu"]
    assert "git" in first
    line = next(x for x in capsys.readouterr().out.splitlines() if x.startswith("| 00_base_cnn"))
    assert "| EPOCHS = 2, LEARNING_RATE = 0.005, PATIENCE = 9 | 3 |" in line
    assert f"| {100 * first['val_accuracy'][-1]:.2f} % | 62.56 % |" in line


def test_a_trial_as_in_budget_has_no_changes(trials):
    values = parameters.computed(parameters.of_profile("budget", "02_dropout"))
    row = {"experiment": "02_dropout", "values": values, "precision": "float32", "seed": 0}
    row |= {"epochs": 16, "operations": 3e12, "val_accuracy": [0.5, 0.7654]}
    _measure.add_line(recipes.FILE, row)
    cells = "| 02_dropout | none | 0 | float32 | 16 | 3 | 76.54 % | 77.30 % |"
    assert cells in recipes.page().splitlines()


def test_trials_of_the_same_seeds_in_two_precisions_are_compared(trials):
    values = parameters.computed(parameters.of_profile("budget", "02_dropout"))
    row = {"experiment": "02_dropout", "epochs": 13, "operations": 3e12}
    for dtype, seed, accuracy, changes in (
        ("float32", 0, 0.78, {}),
        ("float32", 1, 0.80, {"PRECISION": "float32"}),
        ("bfloat16", 1, 0.77, {}),
        ("bfloat16", 0, 0.79, {"PRECISION": "bfloat16"}),
        ("bfloat16", 2, 0.10, {}),  # not in float32
        ("float32", 2, 0.20, {"LEARNING_RATE": 0.5}),  # another schedule
    ):
        one = {"precision": dtype, "seed": seed, "val_accuracy": [accuracy]}
        _measure.add_line(recipes.FILE, row | one | {"values": values | changes})
    line = "| 02_dropout | 13 | 2 | 79.00 ± 1.41 % | 78.00 ± 1.41 % |"
    assert recipes.page().splitlines()[-1] == line


@pytest.mark.parametrize("wrong", ["EPOCHS", "DATASET=digits", "NO_SUCH=1", "EPOCHS='many'"])
def test_a_wrong_change_is_refused(trials, wrong):
    with pytest.raises(ParameterError, match=wrong.partition("=")[0]):
        recipes.main(["00_base_cnn", wrong])
    assert _measure.read_lines(recipes.FILE) == []


def test_curves_are_measured_on_all_parts_after_each_epoch(monkeypatch, tmp_path, capsys):
    images = data.load("digits", train_size=64, val_size=50, test_size=20)
    monkeypatch.setattr(data, "load", lambda *_, **__: images)
    monkeypatch.setattr(early_stopping, "FILE", tmp_path / "curves.json")
    early_stopping.main(["00_base_cnn", "EPOCHS=3", "BATCH_SIZE=32", "SEED=4"])
    (run,) = _measure.read_lines(early_stopping.FILE)
    assert (run["seed"], run["precision"]) == (4, "float32")
    assert {len(values) for values in run["curves"].values()} == {3}
    assert run["curves"]["train loss"][2] < run["curves"]["train loss"][0]
    sizes = {"train": 64, "val": 50, "test": 20}
    for part, size in sizes.items():
        for accuracy in run["curves"][f"{part} accuracy"]:
            assert accuracy * size == pytest.approx(round(accuracy * size))
    assert (
        "00_base_cnn: 40,000 training images, float32, 3 epochs, 1 seed\n"
        in capsys.readouterr().out
    )


def test_curves_are_of_the_published_clipping_and_weights(monkeypatch):
    taken, images = {}, data.load("digits")
    monkeypatch.setattr(_measure.pretrained, "load", lambda _: "the weights")
    monkeypatch.setattr(data, "load", lambda *_, **__: images)
    monkeypatch.setattr(_measure.model_cell, "build", lambda *_, **options: taken.update(options))
    monkeypatch.setattr(early_stopping, "Curves", lambda _: None)

    def compiled(_, **options):
        taken.update(options)
        raise StopIteration

    monkeypatch.setattr(early_stopping.training, "compile", compiled)
    with pytest.raises(StopIteration):
        early_stopping.train("09_mini_vgg16", {})
    assert taken["weights"] == "the weights"
    assert (taken["learning_rate"], taken["clipnorm"]) == (1e-4, 1.0)


def test_stopping_rules_are_those_of_training():
    losses, accuracies = [5, 4, 3, 3.5, 3.6, 3.7, 3.8], [0.1, 0.2, 0.3, 0.4, 0.35, 0.5, 0.45]
    curves = {"val loss": losses, "val accuracy": accuracies}
    for patience in (1, 2, 3, 4, 5):
        ours = EarlyStopping(patience)
        ours.set_model(SimpleNamespace(get_weights=lambda: [1], set_weights=lambda _: None))
        for epoch, (loss, accuracy) in enumerate(zip(losses, accuracies, strict=True)):
            ours.on_epoch_end(epoch, {"val_loss": loss, "val_accuracy": accuracy})
            if ours.stopped_by != "epochs":
                break
        found = early_stopping.stop(curves, patience, early_stopping.BOTH)
        expected = None if ours.stopped_by == "epochs" else ours.best_epoch - 1
        assert found == expected
    assert early_stopping.stop(curves, 1, early_stopping.ACCURACY) == 3
    assert early_stopping.stop(curves, 2, early_stopping.ACCURACY) is None


def test_rules_are_compared_with_the_published_figures(monkeypatch, tmp_path):
    monkeypatch.setattr(early_stopping, "FILE", tmp_path / "curves.json")
    values = parameters.of_profile("study", "02_dropout")
    for seed in (0, 1):
        losses = [1, 0.5 - seed * 0.1, *[0.9] * 6]
        curves = {f"{part} loss": losses for part in data.PARTS}
        curves |= {f"{part} accuracy": [0.5, 0.7 + 0.02 * seed, *[0.6] * 6] for part in data.PARTS}
        row = {"experiment": "02_dropout", "values": values, "precision": "float32"}
        _measure.add_line(early_stopping.FILE, row | {"seed": seed, "curves": curves})
    lines = early_stopping.page().splitlines()
    assert "### 02_dropout: 40,000 training images, float32, 8 epochs, 2 seeds" in lines
    assert "| published | – | 92.06 % | 0.268 | 77.30 % | 0.673 |" in lines
    kept = "| 2 ± 0 | 71.00 ± 1.41 % | 0.450 ± 0.071 | 71.00 ± 1.41 % | 0.450 ± 0.071 |"
    assert f"| {early_stopping.RULES[0][0]} {kept}" in lines
    assert f"| {early_stopping.RULES[2][0]} (0 of 2 seeds) | – | – | – | – | – |" in lines


def stopped_runs(rng, slope=0.5, noise=0.004, sizes=(3, 3, 3, 2)):
    """Training and test accuracies of experiments, each on its own line."""
    for n, size in enumerate(sizes):
        x = 0.8 + 0.03 * n + rng.normal(0, 0.02, size)
        yield x, 0.6 + 0.05 * n + slope * x + rng.normal(0, noise, size)


def test_the_line_is_that_of_least_squares_with_a_level_for_each_experiment():
    groups = list(stopped_runs(np.random.default_rng(0)))
    line = _covariance.fit(groups)
    levels = np.repeat(np.eye(4), [len(x) for x, _ in groups], axis=0)
    matrix = np.column_stack([np.concatenate([x for x, _ in groups]), levels])
    y = np.concatenate([y for _, y in groups])
    solution, squares, *_ = np.linalg.lstsq(matrix, y)
    assert line.slope == pytest.approx(solution[0])
    assert line.degrees == 11 - 5
    assert line.after == pytest.approx((squares[0] / line.degrees) ** 0.5)
    assert line.at(0.9, *groups[2])[0] == pytest.approx(0.9 * solution[0] + solution[3])


def test_one_more_run_is_inside_its_interval_19_times_in_20():
    rng, inside, count = np.random.default_rng(1), 0, 400
    for _ in range(count):
        *groups, (x, y) = stopped_runs(rng)
        mean, half = _covariance.fit([*groups, (x, y)]).at(0.95, x, y)
        more = 0.6 + 0.05 * 3 + 0.5 * 0.95 + rng.normal(0, 0.004)
        inside += abs(more - mean) <= half
    assert 0.92 <= inside / count <= 0.98


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
    assert _measure.recipe(values | {"PATIENCE": 7}).patience == 7


@pytest.mark.parametrize("dtype", _measure.PRECISIONS)
def test_a_network_has_the_precision_that_is_measured(dtype):
    model, _ = _measure.build("00_base_cnn", dtype)
    assert model.layers[1].compute_dtype == dtype
    assert model.layers[-1].compute_dtype == "float32"
    assert keras.config.dtype_policy().compute_dtype == dtype


def test_a_network_has_what_its_profile_says(monkeypatch):
    values = parameters.of_profile("budget", "10_vgg16_64x64") | {"IMAGE_SIZE": 48}
    monkeypatch.setattr(parameters, "of_profile", lambda *_: values)
    assert _measure.build("10_vgg16_64x64")[0].input_shape[1] == 48


def test_a_training_does_not_resume_from_the_one_before(tmp_path):
    kept, gone = tmp_path / "kept.npz", tmp_path / "gone.npz"
    kept.touch()
    _measure.forget(SimpleNamespace(checkpoints=(kept, gone)))
    assert not kept.exists()
