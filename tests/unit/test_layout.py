"""Two packages, one direction: ladder imports lib, never the other way, and no import is a ring."""

import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from lib import ROOT
from lib.results import fingerprint


def modules() -> dict[str, Path]:
    """Paths of all modules of both packages by dotted name."""
    found = {}
    for package in ("lib", "ladder"):
        for path in (ROOT / package).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts).removesuffix(".__init__")] = path
    return found


def test_lib_never_imports_ladder():
    known = modules()
    for name, path in known.items():
        if name.split(".")[0] == "lib":
            wrong = {other for other in fingerprint.imports(path) if other.startswith("ladder")}
            assert not wrong, f"{name} imports {', '.join(wrong)}"


def test_no_import_is_a_ring():
    known = modules()
    graph = {name: fingerprint.imports(path) - {name} for name, path in known.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


def test_the_command_line_starts_without_slow_imports():
    code = "import ladder.__main__, ladder.run, sys; "
    code += "print({'tensorflow', 'scipy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "set()\n", done.stderr


def test_imports_change_no_environment_variable():
    code = "import os; before = dict(os.environ); import lib, lib.data, lib.results, ladder.run; "
    code += "print(*(k for k in os.environ if os.environ[k] != before.get(k)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    # OpenCV sets the first itself, and is told the second (lib.opencv).
    assert set(done.stdout.split()) <= {"LD_LIBRARY_PATH", "OPENCV_IO_MAX_IMAGE_PIXELS"}
