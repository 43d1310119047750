"""Badges, the project's address, and the set-up cell on a machine like Colab's."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from IPython.core.inputtransformer2 import TransformerManager

from lib import ROOT
from lib.results import parameters
from lib.study import COMPANIONS, SLUGS
from tests.conftest import NO_NETWORK

ADDRESS = "https://github.com/someone/some-ladder"


def notebooks(root: Path = ROOT) -> dict[Path, list[str]]:
    """Sources of the first two cells by notebook."""
    return {
        path: ["".join(c["source"]) for c in json.loads(path.read_text("utf-8"))["cells"][:2]]
        for path in sorted((root / "notebooks").rglob("*.ipynb"))
        if ".ipynb_checkpoints" not in path.parts
    }


@pytest.fixture
def copy(tmp_path):
    """What the tool reads and writes, elsewhere."""
    shutil.copytree(ROOT / "notebooks", tmp_path / "notebooks")
    (tmp_path / "tools").mkdir()
    shutil.copy(ROOT / "tools" / "repository.py", tmp_path / "tools")
    shutil.copy(ROOT / "CITATION.cff", tmp_path)
    assert tool(tmp_path, "").returncode == 0
    return tmp_path


def tool(root: Path, *arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, str(root / "tools" / "repository.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_address_is_the_same_everywhere():
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    found = re.search(r"^repository-code: (\S+)", citation, flags=re.MULTILINE)
    address = found[1] if found else ""
    for path, (title, setup) in notebooks().items():
        assert f'git clone --depth=1 "{address}" ' in setup, "python tools/repository.py"
        badge = address and path.stem != "report"
        assert ("Open in Colab" in title) == bool(badge)


def test_badges_lead_to_the_notebook_they_stand_in(copy):
    before = {path: path.read_bytes() for path in notebooks(copy)}
    done = tool(copy, f"{ADDRESS}.git")
    assert len(done.stdout.splitlines()) == len(before)
    assert f"repository-code: {ADDRESS}\n" in (copy / "CITATION.cff").read_text("utf-8")
    for path, (title, setup) in notebooks(copy).items():
        assert f'git clone --depth=1 "{ADDRESS}" ' in setup
        opened = re.findall(r"\]\((https://colab[^()]+/blob/main/(\S+))\)", title)
        if path.stem == "report":
            assert opened == []
            continue
        ((address, place),) = opened
        assert address.startswith("https://colab.research.google.com/github/someone/some-ladder/")
        assert copy / place == path
    assert tool(copy).stdout == ""  # a second time there is nothing to write
    tool(copy, "")
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize("address", ["git@github.com:a/b", "https://example.com/a/b", "a b"])
def test_another_kind_of_address_is_refused(copy, address):
    done = tool(copy, address)
    assert done.returncode == 1
    assert done.stderr == f"{address}: expected https://github.com/OWNER/NAME, or nothing\n"
    assert "repository-code" not in (copy / "CITATION.cff").read_text("utf-8")


# --- a machine like Colab's --------------------------------------------------------------

# The test's own Python has the project installed; Colab's has not.
PREAMBLE = f"""
import subprocess, sys
import google.colab
packages = [place for place in sys.path if place not in ("", {str(ROOT)!r})]
sys.path = [place for place in packages if not place.startswith({str(ROOT)!r})]
class Shell:
    def system(self, command):
        print("RUN", command, flush=True)
        subprocess.run(command.split("&&")[0], shell=True, stderr=subprocess.STDOUT)
def get_ipython():
    return Shell()
"""
AFTER = """
sys.path += packages
import lib
print(lib.ROOT)
"""


@pytest.fixture(scope="module")
def origin(tmp_path_factory) -> Path:
    """A repository with the project as it is now."""
    folder = tmp_path_factory.mktemp("origin")
    for name in ("lib", "ladder", "notebooks"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    git = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@example.com"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "The project."]):
        subprocess.run([*git, *command], check=True)
    return folder


@pytest.fixture
def colab(tmp_path, origin):
    """Runs code after the set-up cell of 00 in an empty folder, with a stub of `google.colab`."""
    (tmp_path / "stub" / "google" / "colab").mkdir(parents=True)
    (tmp_path / "stub" / "google" / "colab" / "__init__.py").touch()
    content = tmp_path / "content"
    content.mkdir()

    def execute(*code: str, address: str = str(origin)):
        _, setup = notebooks()[parameters.notebook_path(SLUGS[0])]
        setup = re.sub(r'(git clone --depth=1) ".*?"', rf'\1 "{address}"', setup)
        setup = TransformerManager().transform_cell(setup)  # as IPython does
        script = "\n".join([PREAMBLE, setup, AFTER, *code])
        return subprocess.run(
            [sys.executable, "-c", script],
            cwd=content,
            env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(tmp_path / "stub")}
            | {"HOME": str(tmp_path), "CIFAR10_LADDER_CACHE": str(tmp_path / "cache")}
            | NO_NETWORK,
            capture_output=True,
            text=True,
            check=False,
        )

    execute.content = content
    return execute


def test_colab_clones_and_installs_what_is_missing_there(colab, origin):
    first = colab()
    assert first.returncode == 0, first.stderr
    clone = colab.content / "cifar10-ladder"
    installed = "pip install -q onnx platformdirs pooch pyarrow"
    assert f'RUN git clone --depth=1 "{origin}" cifar10-ladder && {installed}' in first.stdout
    assert first.stdout.splitlines()[-1] == str(clone)
    # A restarted runtime finds the clone.
    assert colab().stdout == f"{clone}\n"


def test_without_an_address_git_says_that_there_is_no_repository(colab):
    done = colab(address="")
    assert done.returncode == 1
    assert "repository '' does not exist" in done.stdout
    assert "No module named 'lib'" in done.stderr
    assert list(colab.content.iterdir()) == []


def test_a_notebook_runs_on_colab_from_top_to_bottom(colab):
    path = parameters.notebook_path(SLUGS[0])
    _, chosen, *work = [code for _, code in parameters.code_cells(path)]
    values = parameters.of_profile("smoke", SLUGS[0]) | {"PROFILE": "smoke", "DATASET": "digits"}
    given = "\n".join(f"{name} = {value!r}" for name, value in values.items())
    done = colab(chosen, given, *work)
    assert done.returncode == 0, done.stderr
    record = colab.content / "cifar10-ladder" / "reports" / "latest" / "results"
    assert (record / "00_base_cnn-smoke-seed0.json").is_file()


def test_every_notebook_has_the_set_up_cell_that_was_tried():
    assert len(notebooks()) == len(SLUGS) + len(COMPANIONS) + 1
    assert len({setup for _, setup in notebooks().values()}) == 1


def test_the_set_up_cell_is_six_lines_and_collapsed():
    for path in notebooks():
        setup = json.loads(path.read_text("utf-8"))["cells"][1]
        code = [line for line in map(str.strip, setup["source"]) if line and line[0] != "#"]
        assert len(code) <= 6
        assert setup["metadata"]["jupyter"] == {"source_hidden": True}


@pytest.mark.parametrize("place", [".", "notebooks", "notebooks/companions", "elsewhere"])
def test_the_set_up_cell_finds_the_project_from(place, tmp_path):
    """From the notebook's folder or the project's; from elsewhere if the project is installed."""
    _, setup = notebooks()[parameters.notebook_path(SLUGS[0])]
    setup = TransformerManager().transform_cell(setup)
    installed = "" if place != "elsewhere" else f"sys.path.append({str(ROOT)!r})"
    start = f"import sys; sys.path = [p for p in sys.path if p not in ('', {str(ROOT)!r})]"
    (tmp_path / "lib").mkdir()  # somebody else's, in the working directory
    (tmp_path / "lib" / "__init__.py").touch()
    script = f"{start}\n{installed}\n{setup}\nfrom lib import study\nprint(study.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path if installed else ROOT / place,
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == f"{ROOT / 'lib' / 'study.py'}\n", done.stderr
