"""The record: its form, its atomic writing, its checks."""

import json
import re
import shutil
import subprocess
import types
from dataclasses import replace

import numpy as np
import pytest

from lib import data, metrics, models, results, study, training
from lib.engine import keras, tf
from lib.errors import ParameterError, RecordError
from lib.results import fingerprint, machine, model_cell, parameters, record, shown
from tests.report import made_up

RECIPE = training.Recipe(epochs=2, batch_size=32, learning_rate=1e-3, patience=0, seed=0)


@pytest.fixture(scope="module")
def finished():
    """A finished run of 00 on a few digits, ready to be recorded."""
    return trained(dense=(32,))


def trained(**changes) -> dict:
    """Trains the network of 00, or one like it, on a few digits."""
    training.seed(0)
    images = data.load("digits", train_size=60, val_size=20, test_size=30)
    model = models.cnn(image_size=32, classes=10, blocks=((1, 32),), **changes)
    fit = training.fit(model, images, RECIPE)
    evaluation = training.evaluate(model, images)
    return {"images": images, "model": model, "fit": fit, "evaluation": evaluation}


def write(values, **finished):
    """Records a run of 00."""
    return results.Run("00_base_cnn", values, 0.0).write(**finished)


def write_companion(values, **content):
    return results.Run("inspect_a_model", values, 0.0).write_companion(**content)


@pytest.fixture
def values(tmp_path):
    return parameters.of_profile("study", "00_base_cnn") | {
        "OUT": str(tmp_path),
        "DATASET": "/home/somebody/digits",
    }


def test_record_says_it_all(finished, values, tmp_path):
    path = write(values, **finished)
    found = record.read(path)
    assert path == tmp_path / "results" / "00_base_cnn-study-seed0.json"
    assert set(json.loads(path.read_text())) == set(COMMON) | set(record.ELEVEN)
    assert found.experiment == "00_base_cnn"
    assert (found.dataset.train, found.dataset.test) == (60, 30)
    assert found.model.total_params == 263_402
    assert found.model.architecture == study.experiment("00_base_cnn").architecture
    assert found.training.images_seen == 120
    assert len(found.history["val_loss"]) == 2
    assert found.metrics == finished["evaluation"].metrics
    assert found.memory["peak_rss_mb"] > 100
    assert set(found.parameters) == set(values) - {"OUT"}
    assert set(found.environment) >= {"python", "tensorflow", "keras", "opencv", "cores", "git"}
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", found.environment["date"])
    assert "/home" not in path.read_text()
    assert str(tmp_path) not in path.read_text()


COMMON = (
    *("schema", "experiment", "seed", "profile", "fingerprint", "status", "dataset", "parameters"),
    *("weights", "timing", "memory", "environment", "digest"),
)


def test_commit_is_dirty_by_code_not_by_reports(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "ROOT", tmp_path)
    for name in ("lib", "reports"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("as committed")
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@example.com"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "Two files."]):
        subprocess.run([*git, *command], check=True)
    commit = machine._commit()
    (tmp_path / "reports" / "file").write_text("a later run")
    assert machine._commit() == commit
    (tmp_path / "lib" / "file").write_text("other code")
    assert machine._commit() == commit + "-dirty"
    monkeypatch.setattr(machine, "ROOT", tmp_path / "lib")
    assert machine._commit() is None  # unpacked inside somebody's checkout


def test_gpus_are_named(monkeypatch):
    assert machine.environment()["gpus"] == []
    monkeypatch.setattr(
        tf.config, "list_physical_devices", lambda kind: [types.SimpleNamespace(name=kind)]
    )
    details = {"device_name": "A GPU"}
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda gpu: details)
    assert machine.environment()["gpus"] == ["A GPU"]


def test_predictions_lie_beside_it_and_agree(finished, values):
    path = write(values, **finished)
    with np.load(path.with_suffix(".npz"), allow_pickle=False) as stored:
        measured = metrics.score(stored["probabilities"], stored["labels"])
    assert measured == record.read(path).metrics["test"]


def test_changed_parameters_are_not_called_the_profiles(finished, values):
    path = write(values | {"EPOCHS": 2}, **finished)
    assert record.read(path).profile == "custom"
    assert re.fullmatch(r"00_base_cnn-custom-[0-9a-f]{6}-seed0\.json", path.name)


def test_a_trial_of_other_values_or_images_replaces_none(finished, values):
    others = finished | {"images": replace(finished["images"], sha256="0")}
    trials = [
        write(values | {"EPOCHS": epochs}, **run)
        for run, epochs in ((finished, 2), (finished, 3), (others, 2), (finished, 2))
    ]
    assert trials.pop() == trials[0]
    assert len(set(trials)) == 3
    for path in trials:
        found = record.read(path)
        assert record.predictions(path.parent.parent, found) is not None
        assert path.stem == found.name
        assert (path.parent.parent / "models" / f"{path.stem}.keras").is_file()


def test_a_run_on_other_images_is_custom_where_the_profiles_record_is_there(finished, values):
    digits = write(values, **finished)
    cifar10 = finished | {"images": replace(finished["images"], name="cifar10", sha256="0")}
    assert write(values, **cifar10) == digits  # digits only replaced it
    again = write(values, **finished)
    assert again != digits
    assert record.read(again).profile == "custom"
    assert record.read(digits).dataset.name == "cifar10"


def test_fingerprint_is_that_of_the_plan(finished, values):
    found = record.read(write(values, **finished))
    assert found.fingerprint == fingerprint.of_run(
        "00_base_cnn", values, data=finished["images"].sha256, weights=None
    )


@pytest.mark.parametrize("where", ["predictions", "record"])
def test_full_disk_leaves_nothing_half_written(finished, values, tmp_path, monkeypatch, where):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    if where == "predictions":
        monkeypatch.setattr(np, "savez_compressed", full)
    else:
        monkeypatch.setattr("pathlib.Path.write_text", full)
    with pytest.raises(OSError, match="No space left"):
        write(values, **finished)
    left = [path.name for path in (tmp_path / "results").iterdir()]
    assert left == ([] if where == "predictions" else ["00_base_cnn-study-seed0.npz"])


def test_old_record_survives_a_full_disk(finished, values, monkeypatch):
    path = write(values, **finished)
    before = path.read_bytes()
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left")))
    with pytest.raises(OSError, match="No space left"):
        write(values, **finished)
    assert path.read_bytes() == before


def test_a_figure_that_is_no_number_is_not_recorded(finished, values, tmp_path):
    nothing = {"test": metrics.Score(accuracy=0.5, loss=float("nan"))}
    broken = replace(finished["evaluation"], metrics=nothing)
    with pytest.raises(ValueError, match="JSON"):
        write(values, **(finished | {"evaluation": broken}))
    assert not list(tmp_path.rglob("*.json"))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda r: r.pop("metrics"), "lacks 'metrics'"),
        (lambda r: r.update(status="running"), "status 'running'"),
        (lambda r: r.update(schema=99), "schema 99"),
        (lambda r: r.update(seed="0"), "seed: Input should be a valid integer, got '0'"),
        (lambda r: r["metrics"]["test"].update(accuracy=62.56), "metrics of 'test'"),
        (lambda r: r["metrics"].pop("val"), "metrics of 'val'"),
        (lambda r: r["dataset"].pop("sha256"), "dataset.sha256: Field required;"),
        (lambda r: r["model"].update(total_params="1"), "model.total_params: Input should be"),
    ],
)
def test_unusable_record_is_named(finished, values, damage, message):
    path = write(values, **finished)
    found = json.loads(path.read_text())
    damage(found)
    path.write_text(json.dumps(found))
    with pytest.raises(RecordError, match=message):
        record.read(path)


def rewritten(path, change, *, signed: bool = False) -> None:
    """Changes a record's file; ``signed``: with a digest that fits."""
    found = json.loads(path.read_text())
    change(found)
    if signed:
        found["digest"] = record.digest(found)
    path.write_text(json.dumps(found))


@pytest.mark.parametrize(
    "change",
    [
        lambda r: r["metrics"]["test"].update(accuracy=0.9),
        lambda r: r["history"]["val_loss"].reverse(),
        lambda r: r.update(seed=1),
        lambda r: r["dataset"].update(name="cifar10"),
        lambda r: r.update(digest="0" * 64),
    ],
    ids=["accuracy", "history", "seed", "dataset", "digest"],
)
def test_record_changed_by_hand_is_refused(finished, values, change):
    path = write(values, **finished)
    rewritten(path, change)
    with pytest.raises(RecordError, match="json was changed after it was written") as error:
        record.read(path)
    assert "\n" not in str(error.value)


def test_digest_of_equal_runs_is_equal(finished, values):
    path = write(values, **finished)
    first = record.read(path).digest
    rewritten(path, lambda r: r["timing"].update(train_seconds=1e6))
    assert record.read(path).digest == first
    write(values, **finished)
    assert record.read(path).digest == first


def other_labels(stored) -> dict:
    return {**stored, "labels": np.roll(stored["labels"], 1)}


def other_probabilities(stored) -> dict:
    return {**stored, "probabilities": stored["probabilities"] ** 2}  # the same accuracy


@pytest.mark.parametrize("change", [other_labels, other_probabilities])
def test_predictions_of_another_run_are_named_and_left_out(
    finished, values, tmp_path, capsys, change
):
    path = write(values, **finished)
    assert len(record.read_all(tmp_path)) == 1
    with np.load(path.with_suffix(".npz")) as stored:
        changed = change(dict(stored))
    np.savez(path.with_suffix(".npz"), **changed)
    assert record.read_all(tmp_path) == []
    line = capsys.readouterr().out.splitlines()[-1]
    assert line.startswith("Left out: results/00_base_cnn-study-seed0.json says accuracy ")
    assert "the predictions beside it give accuracy " in line


def test_figures_that_the_predictions_do_not_give_are_left_out(finished, values, tmp_path):
    """Also where somebody who changed them knew of the digest."""
    path = write(values, **finished)
    rewritten(path, lambda r: r["metrics"]["test"].update(accuracy=0.9166), signed=True)
    with pytest.raises(RecordError, match=r"says accuracy 91\.66%"):
        record.read(path)
    assert record.read_all(tmp_path) == []


def test_damaged_predictions_are_named(finished, values, tmp_path, capsys):
    path = write(values, **finished)
    path.with_suffix(".npz").write_bytes(b"PK torn")
    assert record.read_all(tmp_path) == []
    assert "results/00_base_cnn-study-seed0.npz holds no predictions" in capsys.readouterr().out


def test_record_without_its_predictions_is_still_a_record(finished, values, tmp_path):
    path = write(values, **finished)
    path.with_suffix(".npz").unlink()
    assert record.read_all(tmp_path) == [record.read(path)]


def test_truncated_record_is_left_out_of_a_report(finished, values, tmp_path, capsys):
    path = write(values, **finished)
    (path.parent / "torn.json").write_text(path.read_text()[:100])
    capsys.readouterr()
    assert [r.experiment for r in record.read_all(tmp_path)] == ["00_base_cnn"]
    said = capsys.readouterr().out
    assert "Left out: results/torn.json: JSON: Invalid JSON" in said
    assert str(tmp_path) not in said  # the report's page shows it
    assert len(record.paths(tmp_path)) == 2


# --- companions and trained models -------------------------------------------------------


def test_companion_record_has_the_common_fields_and_tables(finished, tmp_path):
    values = parameters.of_profile("quick", "inspect_a_model")
    values |= {"PROFILE": "quick", "OUT": str(tmp_path), "PICTURE": "/home/somebody/cat.png"}
    path = write_companion(
        values,
        images=finished["images"],
        title="T",
        summary="S",
        tables={"one": [{"a": 1, "training seconds": 2.5}], "two": []},
    )
    found = record.read(path)
    assert set(json.loads(path.read_text())) == set(COMMON) | set(record.COMPANION)
    assert found.is_companion
    assert found.tables == {"one": [{"a": 1}], "two": []}
    assert found.timing["one"] == [{"training seconds": 2.5}]  # they never repeat
    assert found.parameters["PICTURE"] == "cat.png"
    assert path.name.startswith("inspect_a_model-custom-")  # the profile has no picture
    assert "/home" not in path.read_text()
    rewritten(path, lambda r: r.update(summary="Better."))
    with pytest.raises(RecordError, match="was changed after it was written"):
        record.read(path)


def test_a_companion_that_trains_one_network_has_the_fields_of_both(finished, tmp_path):
    values = parameters.of_profile("quick", "beyond_the_study")
    values |= {"PROFILE": "quick", "OUT": str(tmp_path)}
    run = results.Run("beyond_the_study", values, 0.0)
    shown = {"title": "T", "summary": "S", "tables": {"one": [{"a": 1}]}}
    path = run.write(**finished, fits=[finished["fit"]], **shown)
    found = record.read(path)
    assert set(json.loads(path.read_text())) == {*COMMON, *record.COMPANION, *record.ELEVEN}
    assert path.name == "beyond_the_study-quick-seed0.json"
    assert found.is_companion
    assert not found.has_other_network
    assert (found.summary, found.metrics) == ("S", finished["evaluation"].metrics)
    for name in ("summary", "history"):
        rewritten(path, lambda r, name=name: r.pop(name), signed=True)
        with pytest.raises(RecordError, match=f"lacks '{name}'"):
            record.read(path)
        run.write(**finished, **shown)
    rewritten(path, lambda r: r["metrics"]["test"].update(accuracy=0.95), signed=True)
    with pytest.raises(RecordError, match=r"says accuracy 95\.00%"):
        record.read(path)


def test_companion_record_without_summary_is_refused(finished, tmp_path):
    values = parameters.of_profile("quick", "inspect_a_model") | {"OUT": str(tmp_path)}
    path = write_companion(values, images=finished["images"], title="T", summary="S", tables={})
    found = json.loads(path.read_text())
    del found["summary"]
    path.write_text(json.dumps(found))
    with pytest.raises(RecordError, match="lacks 'summary'"):
        record.read(path)


def test_trained_model_comes_back(finished, values, tmp_path):
    write(values, **finished)
    found, model = results.trained_model(tmp_path, "00_base_cnn-study-seed0")
    again = training.predict(model, finished["images"].x_test)
    np.testing.assert_array_equal(again, finished["evaluation"].probabilities)
    assert found.experiment == "00_base_cnn"
    assert model.output_shape == (None, 10)  # not a list of outputs
    stored = tmp_path / "models" / "00_base_cnn-study-seed0.keras"
    assert stored.stat().st_size < 1.2 * 4 * 263_402 + 50_000  # Adam's two moments are not in it


def test_run_without_a_model_is_one_sentence(finished, values, tmp_path):
    with pytest.raises(RecordError, match=r"RUN = 'x': no model .* run ./run_all.sh first"):
        results.trained_model(tmp_path, "x")
    write(values, **finished)
    with pytest.raises(RecordError, match="expected one of 00_base_cnn-study-seed0"):
        results.trained_model(tmp_path, "x")


def test_what_a_kill_in_mid_write_left_is_no_record(finished, values, tmp_path, monkeypatch):
    path = write(values, **finished)

    def as_a_kill_would_leave_it(_):
        shutil.copytree(tmp_path / "results", tmp_path / "killed" / "results", dirs_exist_ok=True)

    monkeypatch.setattr("os.fsync", as_a_kill_would_leave_it)
    write(values | {"SEED": 1}, **finished)
    left = [p.name for p in (tmp_path / "killed" / "results").glob(".*.json")]
    assert len(left) == 1  # complete, but not in its place
    assert record.read_all(tmp_path / "killed") == [record.read(path)]


# --- another network than the study's --------------------------------------------------


def test_another_network_is_custom_and_says_so(finished, values, capsys):
    other = trained(dense=(40,))
    run = results.Run("00_base_cnn", values, 0.0)
    run.show_network(other["model"], other["images"])
    assert "not the study's network (329,026 parameters; the study's has 263,402)" in (
        capsys.readouterr().out
    )
    cifar10 = replace(other["images"], name="cifar10")
    run.compare(other["model"], cifar10, other["evaluation"])
    said = capsys.readouterr().out
    assert "with another network; the published figures are those of the study's network" in said
    assert "difference" not in said
    found = record.read(run.write(**other))
    assert found.profile == "custom"
    assert found.parameters["PROFILE"] == "study"
    study_record = record.read(write(values, **finished))
    assert study_record.profile == "study"
    assert found.fingerprint != study_record.fingerprint
    run.show_network(finished["model"], finished["images"])
    run.compare(finished["model"], replace(cifar10), finished["evaluation"])
    said = capsys.readouterr().out
    assert "not the study's" not in said
    assert "difference" in said


def test_two_other_networks_have_two_records(values, tmp_path):
    paths = {write(values, **trained(dense=dense)) for dense in ((40,), (41,), (40,))}
    assert len(paths) == 2
    assert all(re.fullmatch(r"00_base_cnn-custom-\w{6}-seed0", path.stem) for path in paths)
    assert len({record.read(path).fingerprint for path in paths}) == 2


def test_other_images_are_no_other_network(values, tmp_path):
    training.seed(0)
    images = data.load("digits", train_size=60, val_size=20, test_size=30, classes=("1", "2", "3"))
    model = models.cnn(image_size=32, classes=3, blocks=((1, 32),), dense=(32,))
    recipe = training.Recipe(epochs=1, batch_size=32, learning_rate=1e-3, patience=0, seed=0)
    fit = training.fit(model, images, recipe)
    evaluation = training.evaluate(model, images)
    path = write(values, images=images, model=model, fit=fit, evaluation=evaluation)
    assert path.stem == "00_base_cnn-study-seed0"


def test_another_size_in_the_model_cell_is_another_network(finished, values):
    images = finished["images"]
    run = results.Run("00_base_cnn", values, 0.0)
    larger = models.cnn(image_size=64, classes=10, blocks=((1, 32),), dense=(32,))
    assert not run._is_other(finished["model"], images)
    assert run._is_other(larger, images)
    large = replace(images, x_train=np.zeros((1, 64, 64, 3), np.uint8))
    assert not run._is_other(larger, large)  # own images at that size
    ten = results.Run("10_vgg16_64x64", {"IMAGE_SIZE": 64}, 0.0)
    assert not ten._is_other(model_cell.build("10_vgg16_64x64"), images)


def test_names_of_committed_records_are_those_of_their_files():
    out = results.ROOT / "reports" / "of-record"
    assert [found.name for found in record.read_all(out)] == [p.stem for p in record.paths(out)]


def test_checkpoints_end_with_the_record(finished, values, tmp_path, monkeypatch):
    for stage in (None, tmp_path / "stage"):
        kept = tmp_path / "kept.npz"
        kept.touch()
        fit = replace(finished["fit"], checkpoints=(kept,))
        if stage:
            monkeypatch.setenv(results.STAGE, str(stage))
        write(values, **finished | {"fit": fit})
        assert kept.exists() == bool(stage)  # the record is not yet in its place
    assert json.loads((stage / results.CHECKPOINTS).read_text()) == ["kept.npz"]


def test_begin_seeds_and_checks(values):
    first, second = [], []
    for found in (first, second):
        run = results.begin("00_base_cnn", parameters.defaults("00_base_cnn"))
        found.append(float(keras.random.normal(())))
    assert first == second
    assert run.values == parameters.defaults("00_base_cnn")
    with pytest.raises(parameters.ParameterError, match="EPOCHS = '3' is str"):
        results.begin("00_base_cnn", parameters.defaults("00_base_cnn") | {"EPOCHS": "3"})


# --- the profile in a notebook -----------------------------------------------------------


def begun(capsys, **changes) -> tuple[dict, str]:
    """Begins 04 as a notebook does; returns its variables and what it printed."""
    names = parameters.defaults("04_batch_norm") | {"images": None} | changes
    run = results.begin("04_batch_norm", names)
    assert run.values == {name: names[name] for name in run.values}
    return names, capsys.readouterr().out


def test_a_profile_replaces_what_was_not_changed(capsys):
    names, said = begun(capsys, PROFILE="quick", EPOCHS=3, SEED=7, DATASET="digits")
    quick = parameters.of_profile("quick", "04_batch_norm")
    assert quick["BATCH_SIZE"] != parameters.defaults("04_batch_norm")["BATCH_SIZE"]
    own = {"PROFILE": "quick", "EPOCHS": 3, "SEED": 7, "DATASET": "digits", "images": None}
    assert names == quick | own
    replaced, kept, *_ = said.splitlines()  # the last may say the precision
    assert replaced.startswith('Values of PROFILE = "quick": TRAIN_SIZE = 4000, ')
    assert f"BATCH_SIZE = {quick['BATCH_SIZE']}" in replaced
    assert kept == "Your values, so that the run is recorded as custom: EPOCHS = 3."
    assert begun(capsys, **names)[0] == names  # the cell may run again


def test_the_published_protocol_is_left_as_it_is(capsys):
    names, said = begun(capsys)
    assert (names, said) == (parameters.defaults("04_batch_norm") | {"images": None}, "")


def test_a_batch_run_has_set_all_values(capsys, monkeypatch):
    monkeypatch.setenv("CIFAR10_LADDER_BATCH", "1")
    names, said = begun(capsys, PROFILE="quick")
    assert (names["EPOCHS"], said) == (100, "")


def test_few_counts_the_images(capsys):
    names, _ = begun(capsys, PROFILE="few", DATASET="digits")
    count = data.open_source("digits").images
    assert names["EPOCHS"] == parameters.of_profile("few", "04_batch_norm", images=count)["EPOCHS"]
    assert names["EPOCHS"] != parameters.of_profile("few", "04_batch_norm")["EPOCHS"]


def test_an_unknown_profile_ends_before_the_training(capsys):
    with pytest.raises(parameters.ParameterError, match="unknown profile 'fast': expected one of"):
        begun(capsys, PROFILE="fast")


def test_parameters_that_changed_after_the_beginning_are_refused(finished, values, tmp_path):
    """The parameters cell, run alone, takes back what the profile has replaced."""
    names = values | {"PROFILE": "quick"}
    run = results.begin("00_base_cnn", names)
    model, images = finished["model"], finished["images"]
    run.announce(model, images, RECIPE)
    names.update(values | {"PROFILE": "quick"})
    for use in (
        lambda: run.announce(model, images, None),
        lambda: run.write(**finished),
        lambda: run.write_companion(images=images, title="", summary="", tables={}),
    ):
        with pytest.raises(ParameterError, match="TRAIN_SIZE is now 40000, and was 4000 when"):
            use()
    assert not list(tmp_path.rglob("*.json"))


def test_a_notebook_that_was_edited_is_read_again(values, tmp_path, monkeypatch):
    """Its run in the same kernel is recorded with the fingerprint of the edited code."""
    source = parameters.notebook_path("00_base_cnn").read_text(encoding="utf-8")
    notebook = tmp_path / "00_base_cnn.ipynb"
    monkeypatch.setattr(parameters, "notebook_path", lambda _: notebook)
    found = []
    for code in (source, source.replace("seed=SEED,", "seed=SEED, augmented=True,")):
        notebook.write_text(code, encoding="utf-8")
        results.begin("00_base_cnn", dict(values))
        found.append(fingerprint.of_run("00_base_cnn", values, data="", weights=None))
    assert found[0] != found[1]
    parameters.code_cells.cache_clear()


def test_another_run_removes_the_page_of_the_one_before(finished, values, tmp_path):
    """Otherwise a run in a notebook would be up to date with the page of other figures."""
    page = tmp_path / "notebooks" / f"{write(values, **finished).stem}.html"
    page.parent.mkdir()
    page.touch()
    write(values, **finished)
    assert page.is_file()
    write(values, **finished | {"fit": replace(finished["fit"], best_epoch=1)})
    assert not page.exists()


# --- what a notebook shows of its result -------------------------------------------------


@pytest.fixture
def displayed(monkeypatch) -> list[str]:
    """Collects the HTML and Markdown that is displayed."""
    found = []
    monkeypatch.setattr("IPython.display.display", lambda shown: found.append(shown.data))
    return found


def test_a_result_is_beside_the_published_one_and_the_experiment_before(
    finished, values, tmp_path, displayed
):
    """Of 01: its own figures, those of 00 if its record exists, and both published ones."""
    cifar10 = replace(finished["images"], name="cifar10")
    after = results.Run("01_deeper_cnn", values, 0.0)
    test = finished["evaluation"].metrics["test"]
    for with_record in (False, True):
        if with_record:
            write(values, **finished | {"images": cifar10})
        displayed.clear()
        after.compare(finished["model"], cifar10, finished["evaluation"])
        table = displayed[0]
        assert f"{100 * test.accuracy:.2f} %" in table
        assert all(
            figure in table for figure in ("72.30 %", "0.902", "62.56 %", "71.34 %", "+8.78")
        )
        assert ("<td>00 · Base CNN</td>" in table) == with_record
        change = "Test accuracy changes by +0.00 points from 00 · Base CNN (published: +9.74). A"
        assert (change in displayed[-1]) == with_record
    displayed.clear()
    after.compare(finished["model"], finished["images"], finished["evaluation"])
    assert "published" not in "".join(displayed)
    other = replace(cifar10, sha256="0" * 64)  # 00 ran on other images
    displayed.clear()
    after.compare(finished["model"], other, finished["evaluation"])
    assert "<td>00 · Base CNN</td>" not in displayed[0]


def test_a_changed_run_is_beside_the_unchanged_one(finished, values, displayed):
    write(values, **finished)
    changed = finished["images"], finished["evaluation"]
    for more, other in (({}, False), ({"EPOCHS": 3}, False), ({}, True)):
        displayed.clear()
        model = models.cnn(image_size=32, classes=10, blocks=(), dense=(32,))
        run = results.Run("00_base_cnn", values | more, 0.0)
        run.compare(model if other else finished["model"], *changed)
        shown = "".join(displayed)
        assert ("this notebook, unchanged" in shown) == bool(more or other)
        said = "changes by +0.00 points from the unchanged notebook. A difference of less than"
        assert (said in shown) == bool(more or other)


def test_a_batch_run_finds_the_experiment_before_in_the_reports_folder(
    finished, values, tmp_path, displayed, monkeypatch
):
    write(values, **finished)
    monkeypatch.setenv(results.STAGE, str(tmp_path / ".running" / "01"))
    after = results.Run("01_deeper_cnn", values, 0.0)
    after.compare(finished["model"], finished["images"], finished["evaluation"])
    assert any("<td>00 · Base CNN</td>" in shown for shown in displayed)


def test_a_notebook_that_is_not_of_the_study_is_compared_too(finished, values, displayed):
    cifar10 = replace(finished["images"], name="cifar10")
    run = results.Run("11_my_idea", values, 0.0)
    run.compare(finished["model"], cifar10, finished["evaluation"])
    (table,) = (shown for shown in displayed if "<table" in shown)
    assert table.count("<tr>") == 2  # the head, and this run
    assert "published" not in table


def test_a_network_at_chance_level_is_called_that(finished, values, displayed):
    run = results.Run("00_base_cnn", values, 0.0)
    for stuck in (True, False):
        displayed.clear()
        evaluation = replace(finished["evaluation"], at_chance=stuck)
        run.compare(finished["model"], finished["images"], evaluation)
        assert ("at chance level" in "".join(displayed)) == stuck


def test_a_notebook_ends_with_its_result(finished, values, tmp_path, displayed, monkeypatch):
    test = finished["evaluation"].metrics["test"]
    write(values, **finished)
    (card,) = displayed
    assert f"<td>{test.accuracy:.2%} test accuracy, cross-entropy {test.loss:.3f}</td>" in card
    assert "62.56% on CIFAR-10, cross-entropy 1.070" in card
    assert "<td>none: these are not CIFAR-10 images</td>" in card
    assert f"<td>{tmp_path}/results/00_base_cnn-study-seed0.json</td>" in card
    assert f"<td>python -m ladder.run report --out {tmp_path} (in the project" in card
    displayed.clear()
    monkeypatch.setenv(results.STAGE, str(tmp_path / ".running" / "00"))
    write(values, **finished)
    assert str(tmp_path) not in displayed[0]  # it is on a page
    assert 'href="../results/00_base_cnn-study-seed0.json"' in displayed[0]


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({}, "reproduced; with 95% probability, one more run with another seed is between 61.0% "),
        ({"accuracy": 0.9}, "better; "),
        ({"accuracy": 0.5}, "not reproduced; "),
        ({"dataset": {"train": 100}}, "none: 10,100 of 50,000 training"),
        ({"model": {"architecture": "0" * 12}}, "none: the network is not the study's"),
        ({"dataset": {"name": "digits"}}, "none: these are not CIFAR-10 images"),
    ],
)
def test_a_verdict_of_one_run(changes, word):
    assert shown.verdict(made_up.record(**{"accuracy": 0.6256} | changes)).startswith(word)
