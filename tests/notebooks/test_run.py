"""The runner on small notebooks that misbehave: failures are failures, nothing is half written."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest

from ladder import run
from lib import results
from lib.results import parameters

PARAMETERS = (
    'PROFILE = "study"\nDATASET = "auto"\nSEED = 0\nTRAIN_SIZE = 60\nVAL_SIZE = 20\n'
    'TEST_SIZE = 20\nEPOCHS = 1\nOUT = "reports/latest"'
)
START = (
    "import os, sys\nsys.path.insert(0, os.environ['CIFAR10_LADDER_ROOT'])\n"
    "print(DATASET, SEED, TRAIN_SIZE, VAL_SIZE, TEST_SIZE, EPOCHS)\n"
)
GOOD = START + (
    "from lib import data, models, parameters, results, training\n"
    "VALUES = dict(PROFILE=PROFILE, DATASET=DATASET, SEED=SEED, TRAIN_SIZE=TRAIN_SIZE,\n"
    "    VAL_SIZE=VAL_SIZE, TEST_SIZE=TEST_SIZE, EPOCHS=EPOCHS, OUT=OUT)\n"
    "parameters.NOTEBOOKS = parameters.Path(os.environ['TOY_NOTEBOOKS'])\n"
    "training.start(SEED)\n"
    "images = data.load(DATASET, train_size=TRAIN_SIZE, val_size=VAL_SIZE, test_size=TEST_SIZE)\n"
    "model = models.build('00_base_cnn')\n"
    "fit = training.fit(model, images, epochs=EPOCHS, batch_size=32, learning_rate=1e-3,\n"
    "    patience=0, seed=SEED)\n"
    "evaluation = training.evaluate(model, images)\n"
    "path = results.write('toy', VALUES, images=images, model=model, fit=fit,\n"
    "    evaluation=evaluation)\n"
)


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """Runs a notebook made of the given code under the profile "study"; returns its folder."""
    notebooks = tmp_path / "notebooks"
    (notebooks / "profiles").mkdir(parents=True)
    (notebooks / "profiles" / "study.yaml").touch()
    monkeypatch.setattr(parameters, "NOTEBOOKS", notebooks)
    monkeypatch.setenv("TOY_NOTEBOOKS", str(notebooks))
    out = tmp_path / "out {of} mine"

    def write(code: str) -> Path:
        v4 = nbformat.v4
        cells = [
            v4.new_markdown_cell("# Toy"),
            v4.new_code_cell("", metadata={"tags": ["setup"]}),
            v4.new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]}),
            v4.new_code_cell(code),
        ]
        kernel = {"kernelspec": {"name": "python3", "language": "python", "display_name": "Python"}}
        nbformat.write(v4.new_notebook(cells=cells, metadata=kernel), notebooks / "toy.ipynb")
        parameters._code_cells.cache_clear()
        return out

    yield write
    parameters._code_cells.cache_clear()


def start(out: Path) -> Path:
    return run.run("toy", profile="study", seed=3, dataset="digits", out=out)


def products(out: Path) -> list[str]:
    return sorted(
        str(p.relative_to(out)) for p in out.rglob("*") if p.is_file() and "logs" not in p.parts
    )


def test_good_notebook_leaves_record_predictions_and_page(toy, capsys):
    out = toy(GOOD)
    before = dict(os.environ)
    record = results.read(start(out))
    assert dict(os.environ) == before  # a notebook run later by hand writes where it is told to
    name = "toy-study-seed3"
    folders = {"models": ("keras",), "notebooks": ("html", "ipynb"), "results": ("json", "npz")}
    assert products(out) == [
        f"{folder}/{name}.{suffix}" for folder, kinds in folders.items() for suffix in kinds
    ]
    assert record["seed"] == record["parameters"]["SEED"] == 3
    assert record["dataset"]["name"] == "digits"
    assert re.search(r"toy +epoch 1/1  loss", capsys.readouterr().out)  # live, and named
    assert str(out) not in (out / "notebooks" / f"{name}.ipynb").read_text()


def test_error_in_the_notebook(toy):
    out = toy(START + "1 / 0")
    with pytest.raises(run.RunError, match="toy-study-seed3: ZeroDivisionError: division by zero"):
        start(out)
    assert products(out) == []
    log = (out / "logs" / "toy-study-seed3.log").read_text()
    assert "FAILED: ZeroDivisionError" in log
    assert (out / "logs" / "toy-study-seed3.ipynb").is_file()  # with the error in it


def test_dead_kernel_is_a_failure(toy):
    out = toy(START + "os._exit(1)")
    with pytest.raises(run.RunError, match="kernel died"):
        start(out)
    assert products(out) == []


def test_missing_record_is_a_failure(toy):
    out = toy(START)
    with pytest.raises(run.RunError, match="without a record"):
        start(out)
    assert products(out) == []


def test_record_of_other_parameters_is_a_failure(toy):
    out = toy(GOOD.replace("EPOCHS=EPOCHS", "EPOCHS=EPOCHS + 1"))
    with pytest.raises(run.RunError, match=r"without a record|changed while it ran"):
        start(out)
    assert products(out) == []


def test_failure_leaves_the_old_record(toy):
    out = toy(GOOD)
    before = start(out).read_bytes()
    toy(START + "raise RuntimeError('no')")
    with pytest.raises(run.RunError, match="no"):
        start(out)
    assert (out / "results" / "toy-study-seed3.json").read_bytes() == before


def test_parameter_that_the_notebook_does_not_have(toy):
    toy("print(SEED, DATASET)")
    with pytest.raises(parameters.ParameterError, match="no parameter 'RATE'"):
        parameters.check("toy", {"RATE": 1})


@pytest.mark.parametrize(
    "how", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.battery)]
)
def test_interrupted_run_leaves_nothing_half_written(ladder_environment, tmp_path, how):
    out = tmp_path / "out"
    command = [sys.executable, "-m", "ladder", "--profile", "study", "--dataset", "digits"]
    with subprocess.Popen(
        [*command, "--only", "05", "--out", str(out)],
        env=ladder_environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(run.ROOT),
    ) as process:
        try:
            for line in process.stdout:
                if "epoch 1/" in line:
                    break
            process.send_signal(how)
            said, _ = process.communicate(timeout=120)
        finally:
            process.kill()
    assert process.returncode == 1
    assert "the same command goes on from here" in said
    assert not [path for path in products(out) if path.startswith(("results", "notebooks"))]
    assert _kernels_gone(str(out))


def _kernels_gone(text: str) -> bool:
    """Whether within some seconds no process of the run is left."""
    for _ in range(20):
        alive = [
            entry
            for entry in Path("/proc").glob("[0-9]*/environ")
            if text in _read(entry) and entry.parent.name != str(__import__("os").getpid())
        ]
        if not alive:
            return True
        time.sleep(0.5)
    return False


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode(errors="replace")
    except OSError:
        return ""


@pytest.mark.parametrize(
    "name", ["ladder/report/mistakes.py", "docs/study.md", "notebooks/report.ipynb"]
)
def test_report_is_of_its_code_and_texts(name, tmp_path, monkeypatch):
    for part in ("lib", "ladder", "notebooks", "docs"):
        shutil.copytree(run.ROOT / part, tmp_path / part)

    def digest():
        return run.report_digest(tmp_path / "out", profile="quick", data="")

    before = digest()
    monkeypatch.setattr(run, "ROOT", tmp_path)
    assert digest() == before
    with (tmp_path / name).open("a") as file:
        file.write(" ")
    assert digest() != before


def test_report_of_nothing_says_so(tmp_path, monkeypatch):
    for name in ("CIFAR10_LADDER_BATCH", "CIFAR10_LADDER_ROOT", results.STAGE):
        monkeypatch.setenv(name, "")
    page = run.report(tmp_path).read_text()
    assert "No record was found" in page
    assert json.dumps(str(tmp_path))[1:-1] not in page
