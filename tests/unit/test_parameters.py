"""Parameters are strict, and a fingerprint changes with what counts, and only with that."""

import ast
import json
import subprocess

import pytest
import yaml

from lib import ROOT, study
from lib.results import fingerprint, parameters
from lib.results.parameters import ParameterError


@pytest.fixture
def notebooks(tmp_path, monkeypatch):
    """A folder with one small notebook; returns a function that rewrites it."""
    monkeypatch.setattr(parameters, "NOTEBOOKS", tmp_path)

    def write(work='print(EPOCHS, RATE)\nif AUGMENT:\n    print("x")', cell="", setup=""):
        cell = cell or "EPOCHS = 3\nRATE = 1e-3\nAUGMENT = True\nUNREAD = 1\nOUT = 'x'"
        cells = [("setup", setup), ("parameters", cell), ("work", work)]
        content = {
            "cells": [
                {"cell_type": "code", "metadata": {"tags": [tag]}, "source": code}
                for tag, code in cells
            ]
        }
        (tmp_path / "toy.ipynb").write_text(json.dumps(content))
        parameters.code_cells.cache_clear()

    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "study.yaml").write_text("every: {EPOCHS: 3, RATE: 0.001}\n")
    write()
    yield write
    parameters.code_cells.cache_clear()


def test_defaults_and_changes(notebooks):
    values = parameters.check("toy", {"EPOCHS": 7, "RATE": 1})
    assert values == {"EPOCHS": 7, "RATE": 1, "AUGMENT": True, "UNREAD": 1, "OUT": "x"}
    assert type(values["RATE"]) is float  # so that 1 and 1.0 are the same run


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"EPOCH": 3}, "toy has no parameter 'EPOCH': expected one of EPOCHS, RATE"),
        ({"EPOCHS": "3"}, "EPOCHS = '3' is str, expected int"),
        ({"EPOCHS": 3.0}, "EPOCHS = 3.0 is float, expected int"),
        ({"EPOCHS": True}, "EPOCHS = True is bool, expected int"),
        ({"RATE": "1e-3"}, r"RATE = '1e-3' is str, expected float .* \(YAML reads 1e-3 as text"),
        ({"RATE": True}, "RATE = True is bool, expected float"),
        ({"AUGMENT": 1}, "AUGMENT = 1 is int, expected bool"),
        ({"UNREAD": 1}, "never reads its parameter 'UNREAD'"),
    ],
)
def test_what_a_notebook_cannot_take(notebooks, values, message):
    with pytest.raises(ParameterError, match=message) as caught:
        parameters.check("toy", values)
    assert "\n" not in str(caught.value)


def test_a_pasted_network_need_not_read_the_networks_parameters(notebooks):
    notebooks(cell="EPOCHS = 3\nHEAD = 'summary'", work="print(EPOCHS)")
    assert parameters.check("toy", {"HEAD": "summary"})["HEAD"] == "summary"
    with pytest.raises(ParameterError, match="never reads its parameter 'HEAD'"):
        parameters.check("toy", {"HEAD": "code"})


def test_a_magic_is_one_sentence(notebooks):
    notebooks(work="%time print(EPOCHS)")
    with pytest.raises(ParameterError, match=r"toy.ipynb: the line '%time print\(EPOCHS\)' is not"):
        parameters.check("toy", {})


def test_unknown_notebook_lists_the_known():
    with pytest.raises(ParameterError, match=r"'11_vgg19'.*00_base_cnn"):
        parameters.of_profile("quick", "11_vgg19")


def test_unknown_profile_lists_the_known():
    with pytest.raises(ParameterError, match=r"'fast'.*smoke, few, quick, budget, study"):
        parameters.of_profile("fast", "00_base_cnn")


def test_profile_is_checked_like_a_reader(notebooks, tmp_path):
    (tmp_path / "profiles" / "quick.yaml").write_text("every: {RATE: 1e-3}\n")  # YAML: a string
    with pytest.raises(ParameterError, match="RATE = '1e-3' is str"):
        parameters.of_profile("quick", "toy")


def test_a_cell_that_was_edited_changes_no_profile(notebooks, tmp_path):
    (tmp_path / "profiles" / "quick.yaml").write_text("every: {RATE: 0.5}\n")
    before = [parameters.of_profile(profile, "toy") for profile in ("study", "quick")]
    notebooks(cell="EPOCHS = 1\nRATE = 1.0\nAUGMENT = True\nUNREAD = 1\nOUT = 'x'")
    assert parameters.defaults("toy")["EPOCHS"] == 1
    assert [parameters.of_profile(profile, "toy") for profile in ("study", "quick")] == before
    assert (before[0]["EPOCHS"], before[1]["RATE"]) == (3, 0.5)


def test_a_cell_that_was_edited_changes_no_type(notebooks):
    notebooks(cell="EPOCHS = '3'\nRATE = 1\nAUGMENT = True\nUNREAD = 1\nOUT = 'x'")
    assert parameters.of_profile("study", "toy")["RATE"] == 0.001
    assert type(parameters.check("toy", {"RATE": 1})["RATE"]) is float
    with pytest.raises(ParameterError, match="EPOCHS = '3' is str, expected int as in EPOCHS = 3"):
        parameters.check("toy", {"EPOCHS": "3"})


def test_few_takes_all_images_and_its_steps_grow_with_them():
    def steps(images: int) -> float:
        values = parameters.of_profile("few", "02_dropout", images=images)
        assert min(values[f"{part}_SIZE"] for part in ("TRAIN", "VAL", "TEST")) >= images
        return values["EPOCHS"] * images / values["BATCH_SIZE"]

    assert steps(4_000) == pytest.approx(2 * steps(1_000), rel=0.02)
    assert steps(250) == pytest.approx(steps(1_000) / 2, rel=0.02)
    assert parameters.of_profile("few", "02_dropout", images=10**9)["EPOCHS"] == 1
    quick = parameters.of_profile("quick", "02_dropout")
    assert parameters.of_profile("quick", "02_dropout", images=9) == quick


def test_companions_on_few_images_are_those_of_quick():
    few = parameters.of_profile("few", "freezing_depth", images=100)
    assert few == parameters.of_profile("quick", "freezing_depth")


def digest(**changes) -> str:
    values = {"EPOCHS": 3, "RATE": 1e-3, "OUT": "x", "DATASET": "digits"} | changes
    return fingerprint.of_run("toy", values, data="d", weights=None)


def test_the_schedules_of_budget_are_those_of_the_commit_that_froze_them():
    commit = parameters.frozen("budget")
    assert commit
    shown = subprocess.run(
        ["git", "show", f"{commit}:notebooks/profiles/budget.yaml"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if shown.returncode:
        pytest.skip(f"commit {commit} is not in this copy")
    then = yaml.safe_load(shown.stdout)
    for slug in study.SLUGS:
        assert then["every"] | then[slug] == parameters._in_file("budget", slug)


def test_fingerprint_ignores_wording_and_places(notebooks):
    before = digest()
    notebooks(work='"""Says more."""\nprint(EPOCHS,RATE)  # comment\nif AUGMENT:\n  print("x")')
    assert digest() == before
    notebooks(setup='REPOSITORY = "https://example.org"')
    assert digest() == before
    assert digest(OUT="elsewhere", DATASET="/my/images") == before


def test_fingerprint_sees_code_parameters_data_and_weights(notebooks):
    before = digest()
    assert digest(EPOCHS=4) != before
    assert fingerprint.of_run("toy", {"EPOCHS": 3}, data="d", weights="w") != before
    assert len({fingerprint.of_run("toy", {}, data=d, weights=w) for d in "ab" for w in "cd"}) == 4
    notebooks(work='print(EPOCHS, RATE + 1)\nif AUGMENT:\n    print("x")')
    assert digest() != before


def test_fingerprint_sees_the_modules(notebooks, monkeypatch):
    before = digest()
    monkeypatch.setattr(fingerprint, "training_code", lambda *more: {"lib.training": ["other"]})
    assert digest() != before


def test_fingerprint_sees_another_network(notebooks):
    values = {"EPOCHS": 3}
    digests = {
        fingerprint.of_run("toy", values, data="d", weights=None, architecture=architecture)
        for architecture in ("", "a", "b")
    }
    assert len(digests) == 3


def test_training_code_is_what_training_imports():
    modules = set(fingerprint.training_code())
    assert {"lib.training", "lib.training.callbacks", "lib.models", "lib.inputs"} < modules
    assert {"lib.engine.fast_layers", "lib.data", "lib.data.image_files"} < modules
    drawing = {"lib.plots", "lib.tables", "lib.results", "lib.study", "lib.training.pace"}
    assert not modules & (drawing | set(fingerprint.NOT_COVERED))
    assert not any(module.startswith("ladder") for module in modules)
    assert all(map(fingerprint.path_of, fingerprint.NOT_COVERED))


@pytest.mark.parametrize(("slug", "more"), [("00_base_cnn", False), ("why_frozen_fails", True)])
def test_fingerprint_of_a_companion_depends_on_the_modules_it_imports(slug, more):
    code = [ast.parse(cell) for cell in parameters.working_code(parameters.notebook_path(slug))]
    used = {module for cell in code for module in fingerprint.imported_by(cell)}
    assert ("lib.companions.transfer" in used) == more
    assert "lib.companions.transfer" in fingerprint.training_code("lib.companions.transfer")
    assert "lib.companions.transfer" not in fingerprint.training_code()
    assert "lib.companions.diagrams" in fingerprint.DRAWING
    assert all(map(fingerprint.path_of, fingerprint.DRAWING))


def test_fingerprint_of_a_companion_sees_the_network_that_it_trains():
    values = parameters.defaults("inspect_a_model") | {"EXPERIMENT": "08_vgg16_finetuned"}
    before = fingerprint.of_run("inspect_a_model", values, data="", weights=None)
    real = parameters.code_cells

    def edited(path):
        if path.stem != "08_vgg16_finetuned":
            return real(path)
        return tuple((tags, code.replace("blocks=5", "blocks=4")) for tags, code in real(path))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parameters, "code_cells", edited)
        assert fingerprint.of_run("inspect_a_model", values, data="", weights=None) != before
    assert fingerprint.of_run("inspect_a_model", values, data="", weights=None) == before


def test_integers():
    assert parameters.integers("SIZES", "32, 48,64", least=32, most=64) == [32, 48, 64]


@pytest.mark.parametrize("text", ["", "a", "1,,2", "1.5", "0", "7"])
def test_integers_that_are_none_are_one_sentence(text):
    with pytest.raises(
        parameters.ParameterError, match=r"DEPTHS = .*: expected whole numbers from 1"
    ):
        parameters.integers("DEPTHS", text, least=1, most=6)
