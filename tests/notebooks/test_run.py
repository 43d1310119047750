"""The runner on small notebooks that misbehave: failures are failures, nothing is half written."""

import ast
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import cv2
import jupyter_core.paths
import nbformat
import numpy as np
import pytest
from papermill.translators import PythonTranslator

from ladder import reasons, run
from lib.errors import ParameterError
from lib.results import fingerprint, parameters, record

PARAMETERS = (
    'PROFILE = "study"\nDATASET = "auto"\nSEED = 0\nTRAIN_SIZE = 60\nVAL_SIZE = 20\n'
    'TEST_SIZE = 20\nEPOCHS = 1\nOUT = "reports/latest"'
)
START = "import os\nprint(DATASET, SEED, TRAIN_SIZE, VAL_SIZE, TEST_SIZE, EPOCHS)\n"
GOOD = START + (
    "from lib import data, models, results, training\n"
    "from lib.results import parameters\n"
    "parameters.NOTEBOOKS = parameters.Path(os.environ['TOY_NOTEBOOKS'])\n"
    "run = results.begin('toy', globals())\n"
    "images = data.load(DATASET, train_size=TRAIN_SIZE, val_size=VAL_SIZE, test_size=TEST_SIZE)\n"
    "model = models.cnn(image_size=32, classes=10, blocks=((1, 8),), dense=())\n"
    "recipe = training.Recipe(\n"
    "    epochs=EPOCHS, batch_size=32, learning_rate=1e-3, patience=0, seed=SEED)\n"
    "fit = training.fit(model, images, recipe)\n"
    "evaluation = training.evaluate(model, images)\n"
    "path = run.write(images=images, model=model, fit=fit, evaluation=evaluation)\n"
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

    def write(code: str, setup: str = "") -> Path:
        v4 = nbformat.v4
        cells = [
            v4.new_markdown_cell("# Toy"),
            v4.new_code_cell(setup, metadata={"tags": ["setup"]}),
            v4.new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]}),
            v4.new_code_cell(code),
        ]
        kernel = {"kernelspec": {"name": "python3", "language": "python", "display_name": "Python"}}
        nbformat.write(v4.new_notebook(cells=cells, metadata=kernel), notebooks / "toy.ipynb")
        parameters.code_cells.cache_clear()
        return out

    yield write
    parameters.code_cells.cache_clear()


def start(out: Path) -> Path:
    return run.run("toy", profile="study", seed=3, dataset="digits", out=out)


def products(out: Path) -> list[str]:
    return sorted(
        str(p.relative_to(out)) for p in out.rglob("*") if p.is_file() and "logs" not in p.parts
    )


def test_good_notebook_leaves_record_predictions_and_page(toy, capsys):
    out = toy(GOOD)
    before = dict(os.environ)
    found = record.read(start(out))
    assert dict(os.environ) == before  # a notebook run later writes into its OUT
    name = "toy-study-seed3"
    folders = {"models": ("keras",), "notebooks": ("html", "ipynb"), "results": ("json", "npz")}
    assert products(out) == [
        f"{folder}/{name}.{suffix}" for folder, kinds in folders.items() for suffix in kinds
    ]
    assert found.seed == found.parameters["SEED"] == 3
    assert found.dataset.name == "digits"
    assert re.search(r"toy +epoch 1/1  loss", capsys.readouterr().out)  # live, and named
    assert str(out) not in (out / "notebooks" / f"{name}.ipynb").read_text()


def test_pages_of_own_images_do_not_show_their_place(toy, tmp_path):
    for part in ("train", "test"):
        for label in "ab":
            folder = tmp_path / "secret" / "mine" / part / label
            folder.mkdir(parents=True)
            for number in range(12):
                pixels = np.full((8, 8, 3), 10 * number + 100 * (label == "b"), np.uint8)
                cv2.imwrite(str(folder / f"{number}.png"), pixels)
    out = toy(GOOD.replace("classes=10", "classes=2").replace("print(DATASET, ", "print("))
    place = tmp_path / "secret" / "mine"
    run.run("toy", profile="study", seed=3, dataset=str(place), out=out)
    for suffix in ("html", "ipynb"):
        text = (out / "notebooks" / f"toy-study-seed3.{suffix}").read_text()
        assert "own/mine" in text
        assert "secret" not in text


def test_error_in_the_notebook(toy):
    out = toy(START + "1 / 0")
    with pytest.raises(run.RunError, match="toy-study-seed3: ZeroDivisionError: division by zero"):
        start(out)
    assert products(out) == []
    log = (out / "logs" / "toy-study-seed3.log").read_text()
    assert "FAILED: ZeroDivisionError" in log
    assert (out / "logs" / "toy-study-seed3.ipynb").is_file()  # with the error in it


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ({"setup": "import os; os._exit(1)", "code": START}, "in its set-up cell; the usual cause"),
        ({"code": "# Act\n" + START + "os._exit(1)"}, "in the cell 'Act'; the usual cause is too"),
    ],
    ids=("setup", "work"),
)
def test_dead_kernel_is_a_failure(toy, code, reason):
    out = toy(**code)
    with pytest.raises(run.RunError, match=f"the notebook's kernel died {reason}"):
        start(out)
    assert f"FAILED: the notebook's kernel died {reason}" in reasons.read(out, "toy-study-seed3")
    assert products(out) == []


def test_the_kernel_is_this_python_without_the_readers_settings(toy, tmp_path, monkeypatch):
    kernel = tmp_path / "jupyter" / "kernels" / "python3"
    kernel.mkdir(parents=True)
    spec = {"argv": ["/bin/false"], "display_name": "Python", "language": "python"}
    (kernel / "kernel.json").write_text(json.dumps(spec))
    startup = tmp_path / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "00.py").write_text("random = 1")
    (startup.parent / "ipython_config.py").write_text(
        "c.InteractiveShellApp.exec_lines = ['raise SystemError']"
    )
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    monkeypatch.setattr(jupyter_core.paths, "ENV_JUPYTER_PATH", [str(tmp_path / "jupyter")])
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", os.devnull)
    out = toy(START + "import sys\nprint(sys.executable, 'random' in globals())")
    with pytest.raises(run.RunError, match="without a record"):
        start(out)
    log = (out / "logs" / "toy-study-seed3.log").read_text()
    assert f"{sys.executable} False\n" in log


def test_missing_record_is_a_failure(toy):
    out = toy(START)
    with pytest.raises(run.RunError, match="without a record"):
        start(out)
    assert products(out) == []
    assert (out / "logs" / "toy-study-seed3.ipynb").is_file()


def test_record_of_other_parameters_is_a_failure(toy):
    out = toy(GOOD.replace("run = ", "EPOCHS += 1\nrun = "))
    with pytest.raises(run.RunError, match="changed while it ran"):
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
    assert "the same command resumes from here" in said
    assert not [path for path in products(out) if path.startswith(("results", "notebooks"))]
    assert _kernels_gone(str(out))


@pytest.fixture
def edited(ladder_environment, tmp_path):
    """Runs a copy of the project whose notebook 00 has another network."""
    for name in ("lib", "ladder", "notebooks", "docs"):
        shutil.copytree(run.ROOT / name, tmp_path / "copy" / name)
    shutil.copy(run.ROOT / "Snakefile", tmp_path / "copy")
    path = tmp_path / "copy" / "notebooks" / "00_base_cnn.ipynb"
    path.write_text(path.read_text().replace("dense=(32,),", "dense=(40,),"))
    environment = ladder_environment | {"PYTHONPATH": str(tmp_path / "copy")}

    def ladder(out: Path, only: str) -> subprocess.CompletedProcess:
        command = [sys.executable, "-P", "-m", "ladder", "--profile", "smoke", "--only", only]
        command += ["--dataset", "digits", "--out", str(out)]
        return subprocess.run(command, env=environment, capture_output=True, text=True)

    ladder.notebook = path
    return ladder


def test_an_edited_network_is_a_custom_run_and_done(edited, tmp_path):
    out, path = tmp_path / "out", edited.notebook
    first = edited(out, "00,01")
    assert first.returncode == 0, first.stdout + first.stderr
    notice, epoch = (
        first.stdout.index(x) for x in ("00_base_cnn             This is not", "epoch")
    )
    assert notice < epoch
    assert "recorded as custom, without a verdict" in first.stdout
    assert re.search(r"^00_base_cnn +done: 1 of 2$", first.stdout, re.MULTILINE)
    custom, study = record.read_all(out)
    assert (custom.experiment, custom.profile) == ("00_base_cnn", "custom")
    assert custom.parameters["PROFILE"] == "smoke"
    assert study.name == "01_deeper_cnn-smoke-seed0"
    assert (out / "notebooks" / f"{custom.name}.html").is_file()
    second = edited(out, "00,01")
    assert "2 of 2 up to date" in second.stdout
    assert "epoch" not in second.stdout
    path.write_text(path.read_text().replace("dense=(40,),", "dense=(41,),"))
    third = edited(out, "00,01")
    assert "1 of 2 up to date" in third.stdout
    assert len(record.read_all(out)) == 3


def test_an_edited_network_alone_has_a_report(edited, tmp_path):
    out = tmp_path / "out"
    done = edited(out, "00")
    assert done.returncode == 0, done.stdout + done.stderr
    page = (out / "index.html").read_text(encoding="utf-8")
    assert "smoke with another network (329,026 parameters)" in page
    assert f'href="notebooks/{record.read_all(out)[0].name}.html"' in page


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
    "name",
    [
        *("ladder/report/mistakes.py", "ladder/report/pages.py", "lib/plots.py"),
        *("docs/study.md", "ladder/report/templates/ladder/style.css"),
    ],
)
def test_report_is_of_its_code_and_texts(name, tmp_path, monkeypatch, request):
    for part in ("lib", "ladder", "notebooks", "docs"):
        shutil.copytree(run.ROOT / part, tmp_path / part)

    def digest():
        return run.report_digest(tmp_path / "out", profile="quick", data="")

    before = digest()
    for module in (run, fingerprint):
        monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(parameters, "NOTEBOOKS", tmp_path / "notebooks")
    caches = (fingerprint.path_of, fingerprint.imports, parameters.code_cells)
    for cached in caches:
        cached.cache_clear()
    request.addfinalizer(lambda: [cached.cache_clear() for cached in caches])
    assert digest() == before
    with (tmp_path / name).open("a") as file:
        file.write(" ")
    assert digest() != before


def test_report_of_nothing_says_so(tmp_path):
    page = run.report(tmp_path).read_text()
    assert "No record was found" in page
    assert json.dumps(str(tmp_path))[1:-1] not in page


def test_values_of_the_command_line_are_literals_or_text():
    given = ["MODEL=MobileNetV2", "TOP=5", "LEARNING_RATE=1e-3", "PICTURE=/a=b", "LAYER='1'"]
    assert list(run._settings(given).values()) == ["MobileNetV2", 5, 1e-3, "/a=b", "1"]
    for wrong in ("TOP", "SEED=3"):
        with pytest.raises(ParameterError, match=f"--set {wrong}: expected NAME=VALUE of a para"):
            run._settings([wrong])


def test_a_page_holds_no_path_of_the_readers_files():
    values = {"DATASET": "/mine/ñ", "PICTURE": '/mine/ñ/"x".png', "RECORDS": "near", "TOP": 3}
    cell = nbformat.v4.new_code_cell(PythonTranslator.codify(values))
    cell.metadata["tags"] = ["injected-parameters"]
    found = types.SimpleNamespace(parameters={"DATASET": "ñ", "PICTURE": '"x".png'})
    run._hide_paths(nbformat.v4.new_notebook(cells=[cell]), values, found)
    assert ast.literal_eval(cell.source.partition("PICTURE = ")[2].split("\n")[0]) == '"x".png'
    assert "/mine" not in cell.source
    assert 'RECORDS = "near"\nTOP = 3' in cell.source


def test_the_report_takes_no_values(tmp_path, capsys):
    assert run.main(["report", "--out", str(tmp_path), "--set", "RECORDS=x"]) == 2
    assert "--set is for the other notebooks: leave it out" in capsys.readouterr().out
    assert not (tmp_path / "index.html").exists()
