"""The record: its form, its atomic writing, its checks."""

import json
import re
import shutil
import subprocess
import types
from dataclasses import replace

import numpy as np
import pytest

from lib import data, metrics, models, results, training
from lib.engine import tf
from lib.results import parameters


@pytest.fixture(scope="module")
def finished():
    """A finished run of 00 on a few digits, ready to be recorded."""
    training.start(0)
    images = data.load("digits", train_size=60, val_size=20, test_size=30)
    model = models.build("00_base_cnn")
    fit = training.fit(
        model, images, epochs=2, batch_size=32, learning_rate=1e-3, patience=0, seed=0
    )
    evaluation = training.evaluate(model, images)
    return {"images": images, "model": model, "fit": fit, "evaluation": evaluation}


@pytest.fixture
def values(tmp_path):
    return parameters.of_profile("study", "00_base_cnn") | {
        "OUT": str(tmp_path),
        "DATASET": "/home/somebody/digits",
    }


def test_record_says_it_all(finished, values, tmp_path):
    path = results.write("00_base_cnn", values, **finished)
    record = results.read(path)
    assert path == tmp_path / "results" / "00_base_cnn-study-seed0.json"
    assert set(record) == set(results.FIELDS)
    assert record["experiment"] == "00_base_cnn"
    assert (record["dataset"]["train"], record["dataset"]["test"]) == (60, 30)
    assert record["model"]["total_params"] == 263_402
    assert record["training"]["images_seen"] == 120
    assert len(record["history"]["val_loss"]) == 2
    assert record["metrics"]["test"] == finished["evaluation"].metrics["test"]
    assert record["memory"]["peak_rss_mb"] > 100
    assert set(record["parameters"]) == set(values) - {"OUT"}
    assert set(record["environment"]) >= {"python", "tensorflow", "keras", "opencv", "cores", "git"}
    assert "/home" not in path.read_text()
    assert str(tmp_path) not in path.read_text()


def test_commit_is_dirty_by_code_not_by_reports(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "ROOT", tmp_path)
    for name in ("lib", "reports"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("as committed")
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@example.com"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "Two files."]):
        subprocess.run([*git, *command], check=True)
    commit = results._git()
    (tmp_path / "reports" / "file").write_text("a later run")
    assert results._git() == commit
    (tmp_path / "lib" / "file").write_text("other code")
    assert results._git() == commit + "-dirty"
    monkeypatch.setattr(results, "ROOT", tmp_path / "lib")
    assert results._git() is None  # unpacked inside somebody's checkout


def test_gpus_are_named(monkeypatch):
    assert results.environment()["gpus"] == []
    monkeypatch.setattr(
        tf.config, "list_physical_devices", lambda kind: [types.SimpleNamespace(name=kind)]
    )
    details = {"device_name": "A GPU"}
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda gpu: details)
    assert results.environment()["gpus"] == ["A GPU"]


def test_predictions_lie_beside_it_and_agree(finished, values):
    path = results.write("00_base_cnn", values, **finished)
    with np.load(path.with_suffix(".npz"), allow_pickle=False) as stored:
        measured = metrics.score(stored["probabilities"], stored["labels"])
    assert measured == results.read(path)["metrics"]["test"]


def test_changed_parameters_are_not_called_the_profiles(finished, values):
    path = results.write("00_base_cnn", values | {"EPOCHS": 2}, **finished)
    assert results.read(path)["profile"] == "custom"
    assert re.fullmatch(r"00_base_cnn-custom-[0-9a-f]{6}-seed0\.json", path.name)


def test_a_trial_of_other_values_or_images_replaces_none(finished, values):
    others = finished | {"images": replace(finished["images"], sha256="0")}
    trials = [
        results.write("00_base_cnn", values | {"EPOCHS": epochs}, **run)
        for run, epochs in ((finished, 2), (finished, 3), (others, 2), (finished, 2))
    ]
    assert trials.pop() == trials[0]
    assert len(set(trials)) == 3
    for path in trials:
        record = results.read(path)
        assert results.predictions(path.parent.parent, record) is not None
        assert path.stem == results.name_of(record)
        assert (path.parent.parent / "models" / f"{path.stem}.keras").is_file()


def test_fingerprint_is_that_of_the_plan(finished, values):
    record = results.read(results.write("00_base_cnn", values, **finished))
    assert record["fingerprint"] == parameters.fingerprint(
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
        results.write("00_base_cnn", values, **finished)
    left = [path.name for path in (tmp_path / "results").iterdir()]
    assert left == ([] if where == "predictions" else ["00_base_cnn-study-seed0.npz"])


def test_old_record_survives_a_full_disk(finished, values, monkeypatch):
    path = results.write("00_base_cnn", values, **finished)
    before = path.read_bytes()
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left")))
    with pytest.raises(OSError, match="No space left"):
        results.write("00_base_cnn", values, **finished)
    assert path.read_bytes() == before


def test_a_figure_that_is_no_number_is_not_recorded(finished, values, tmp_path):
    broken = types.SimpleNamespace(**vars(finished["evaluation"]))
    broken.metrics = {"test": {"accuracy": 0.5, "loss": float("nan")}}
    with pytest.raises(ValueError, match="JSON"):
        results.write("00_base_cnn", values, **(finished | {"evaluation": broken}))
    assert not list(tmp_path.rglob("*.json"))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda r: r.pop("metrics"), "lacks 'metrics'"),
        (lambda r: r.update(status="running"), "status 'running'"),
        (lambda r: r.update(schema=99), "schema 99"),
        (lambda r: r.update(seed="0"), "'seed' is '0'"),
        (lambda r: r["metrics"]["test"].update(accuracy=62.56), "metrics of 'test'"),
    ],
)
def test_unusable_record_is_named(finished, values, damage, message):
    path = results.write("00_base_cnn", values, **finished)
    record = json.loads(path.read_text())
    damage(record)
    path.write_text(json.dumps(record))
    with pytest.raises(results.RecordError, match=message):
        results.read(path)


def rewritten(path, change, *, signed: bool = False) -> None:
    """Changes a record's file; ``signed``: with a digest that fits."""
    record = json.loads(path.read_text())
    change(record)
    if signed:
        record["digest"] = results.digest(record)
    path.write_text(json.dumps(record))


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
    path = results.write("00_base_cnn", values, **finished)
    rewritten(path, change)
    with pytest.raises(results.RecordError, match="json was changed after it was written") as error:
        results.read(path)
    assert "\n" not in str(error.value)


def test_digest_of_equal_runs_is_equal(finished, values):
    path = results.write("00_base_cnn", values, **finished)
    first = results.read(path)["digest"]
    rewritten(path, lambda r: r["timing"].update(train_seconds=1e6))
    assert results.read(path)["digest"] == first
    results.write("00_base_cnn", values, **finished)
    assert results.read(path)["digest"] == first


def other_labels(stored) -> dict:
    return {**stored, "labels": np.roll(stored["labels"], 1)}


def other_probabilities(stored) -> dict:
    return {**stored, "probabilities": stored["probabilities"] ** 2}  # the same accuracy


@pytest.mark.parametrize("change", [other_labels, other_probabilities])
def test_predictions_of_another_run_are_named_and_left_out(
    finished, values, tmp_path, capsys, change
):
    path = results.write("00_base_cnn", values, **finished)
    assert len(results.read_all(tmp_path)) == 1
    with np.load(path.with_suffix(".npz")) as stored:
        changed = change(dict(stored))
    np.savez(path.with_suffix(".npz"), **changed)
    assert results.read_all(tmp_path) == []
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("Left out: results/00_base_cnn-study-seed0.json says accuracy 0.")
    assert "the predictions beside it give accuracy 0." in line


def test_figures_that_the_predictions_do_not_give_are_left_out(finished, values, tmp_path):
    """Also where somebody who changed them knew of the digest."""
    path = results.write("00_base_cnn", values, **finished)
    rewritten(path, lambda r: r["metrics"]["test"].update(accuracy=0.9166), signed=True)
    with pytest.raises(results.RecordError, match=r"says accuracy 0\.9166"):
        results.read(path)
    assert results.read_all(tmp_path) == []


def test_damaged_predictions_are_named(finished, values, tmp_path, capsys):
    path = results.write("00_base_cnn", values, **finished)
    path.with_suffix(".npz").write_bytes(b"PK torn")
    assert results.read_all(tmp_path) == []
    assert "results/00_base_cnn-study-seed0.npz holds no predictions" in capsys.readouterr().out


def test_record_without_its_predictions_is_still_a_record(finished, values, tmp_path):
    path = results.write("00_base_cnn", values, **finished)
    path.with_suffix(".npz").unlink()
    assert results.read_all(tmp_path) == [results.read(path)]


def test_truncated_record_is_left_out_of_a_report(finished, values, tmp_path, capsys):
    path = results.write("00_base_cnn", values, **finished)
    (path.parent / "torn.json").write_text(path.read_text()[:100])
    assert [record["experiment"] for record in results.read_all(tmp_path)] == ["00_base_cnn"]
    said = capsys.readouterr().out
    assert "Left out: results/torn.json is not readable" in said
    assert str(tmp_path) not in said  # it stands on the report's page
    assert len(results.paths(tmp_path)) == 2


# --- companions and trained models -------------------------------------------------------


def test_companion_record_has_the_common_fields_and_tables(finished, tmp_path):
    values = parameters.of_profile("quick", "inspect_a_model")
    values |= {"PROFILE": "quick", "OUT": str(tmp_path), "PICTURE": "/home/somebody/cat.png"}
    path = results.write_companion(
        "inspect_a_model",
        values,
        images=finished["images"],
        title="T",
        summary="S",
        tables={"one": [{"a": 1, "training seconds": 2.5}], "two": []},
    )
    record = results.read(path)
    assert set(record) == set(results.COMPANION_FIELDS)
    assert record["tables"] == {"one": [{"a": 1}], "two": []}
    assert record["timing"]["one"] == [{"training seconds": 2.5}]  # they never repeat
    assert record["parameters"]["PICTURE"] == "cat.png"
    assert path.name.startswith("inspect_a_model-custom-")  # the profile has no picture
    assert "/home" not in path.read_text()
    rewritten(path, lambda r: r.update(summary="Better."))
    with pytest.raises(results.RecordError, match="was changed after it was written"):
        results.read(path)


def test_companion_record_without_summary_is_refused(finished, tmp_path):
    values = parameters.of_profile("quick", "inspect_a_model") | {"OUT": str(tmp_path)}
    path = results.write_companion(
        "inspect_a_model", values, images=finished["images"], title="T", summary="S", tables={}
    )
    record = json.loads(path.read_text())
    del record["summary"]
    path.write_text(json.dumps(record))
    with pytest.raises(results.RecordError, match="lacks 'summary'"):
        results.read(path)


def test_trained_model_comes_back(finished, values, tmp_path):
    results.write("00_base_cnn", values, **finished)
    record, model = results.trained_model(tmp_path, "00_base_cnn-study-seed0")
    again = training.predict(model, finished["images"].x_test)
    np.testing.assert_array_equal(again, finished["evaluation"].probabilities)
    assert record["experiment"] == "00_base_cnn"
    assert model.output_shape == (None, 10)  # not a list of outputs
    stored = tmp_path / "models" / "00_base_cnn-study-seed0.keras"
    assert stored.stat().st_size < 1.2 * 4 * 263_402 + 50_000  # Adam's two moments are not in it


def test_run_without_a_model_is_one_sentence(finished, values, tmp_path):
    with pytest.raises(results.RecordError, match=r"RUN = 'x': no model .* run ./run_all.sh first"):
        results.trained_model(tmp_path, "x")
    results.write("00_base_cnn", values, **finished)
    with pytest.raises(results.RecordError, match="expected one of 00_base_cnn-study-seed0"):
        results.trained_model(tmp_path, "x")


def test_what_a_kill_in_mid_write_left_is_no_record(finished, values, tmp_path, monkeypatch):
    path = results.write("00_base_cnn", values, **finished)

    def as_a_kill_would_leave_it(_):
        shutil.copytree(tmp_path / "results", tmp_path / "killed" / "results", dirs_exist_ok=True)

    monkeypatch.setattr("os.fsync", as_a_kill_would_leave_it)
    results.write("00_base_cnn", values | {"SEED": 1}, **finished)
    left = [p.name for p in (tmp_path / "killed" / "results").glob(".*.json")]
    assert len(left) == 1  # complete, but not in its place
    assert results.read_all(tmp_path / "killed") == [results.read(path)]
