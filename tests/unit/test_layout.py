"""Two packages, one direction: ladder imports lib, never the other way, and no import is a ring."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from lib import ROOT


def modules() -> dict[str, Path]:
    """Paths of all modules of both packages by dotted name."""
    found = {}
    for package in ("lib", "ladder"):
        for path in (ROOT / package).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts).removesuffix(".__init__")] = path
    return found


def imported(path: Path, known: set[str]) -> set[str]:
    """Modules that a module imports, anywhere in it; of `from lib import data` that is lib.data."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= (whole & known) or {node.module}
    return found & known


def test_lib_never_imports_ladder():
    known = modules()
    for name, path in known.items():
        if name.split(".")[0] == "lib":
            wrong = {other for other in imported(path, set(known)) if other.startswith("ladder")}
            assert not wrong, f"{name} imports {', '.join(wrong)}"


def test_no_import_is_a_ring():
    known = modules()
    graph = {name: imported(path, set(known)) - {name} for name, path in known.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))
