"""What a record depends on, as one digest: the notebook's code, its parameters, data, modules.

Comments, docstrings, paths and names of outputs do not count. Neither does code that draws and
prints, so that a nicer figure needs no new training.
"""

import ast
from functools import cache
from pathlib import Path
from typing import Any

from lib import ROOT, digests
from lib.results import parameters

NOT_COVERED = (
    *("lib", "lib.cache", "lib.digests", "lib.errors", "lib.data.cifar10", "lib.data.copies"),
    *("lib.pretrained", "lib.pretrained.weight_files", "lib.training.checkpoints"),
    "lib.training.display",
)
"""Modules that training imports and that a fingerprint leaves out, with what only they import:
they find, read and keep what the digests of data, weights and checkpoints cover, or print."""
DRAWING = ("lib.companions.diagrams", "lib.companions.figures")
"""Of the companions' modules those that only draw."""


def of_run(
    slug: str,
    values: parameters.Values,
    *,
    data: str,
    weights: str | None,
    architecture: str = "",
) -> str:
    """Returns the digest of all that a record depends on (docs/design.md).

    Args:
        slug: the notebook.
        values: all of its parameters.
        data: digest of the data set.
        weights: digest of the ImageNet weights, or None.
        architecture: digest of a network that is not the study's.
    """
    code = parameters.working_trees(parameters.notebook_path(slug))
    if "EXPERIMENT" in values:  # a companion that trains the network of an experiment
        path = parameters.notebook_path(values["EXPERIMENT"])
        code = code + [ast.parse(c) for tags, c in parameters.code_cells(path) if "model" in tags]
    used = {module for cell in code for module in imported_by(cell)}
    more = sorted(m for m in used if m.startswith("lib.companions.") and m not in DRAWING)
    content = {
        "notebook": [outline(cell) for cell in code],
        "modules": training_code(*more),
        "parameters": {k: v for k, v in values.items() if k not in parameters.LABELS},
        "data": data,
        "weights": weights,
    }
    return digests.of_json(content | ({"architecture": architecture} if architecture else {}))


@cache
def path_of(module: str) -> Path | None:
    """Returns the file of a module of this project, or None if there is no such module."""
    place = ROOT.joinpath(*module.split("."))
    return next((p for p in (place.with_suffix(".py"), place / "__init__.py") if p.is_file()), None)


@cache
def imports(path: Path) -> frozenset[str]:
    """Returns the modules of this project that a file imports, anywhere in it."""
    return imported_by(ast.parse(path.read_text(encoding="utf-8")))


def imported_by(tree: ast.AST) -> frozenset[str]:
    """Returns the modules of this project that code imports.

    Of ``from lib import data`` that is ``lib.data``, of ``from lib.data import load`` too.
    """
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= set(filter(path_of, whole)) or {node.module}
    return frozenset(filter(path_of, names))


def closure(*modules: str, without: tuple[str, ...] = ()) -> list[str]:
    """Returns modules and all that they import, directly or not, sorted.

    Args:
        *modules: dotted names.
        without: modules to leave out, with what only they import.
    """
    found, waiting = set(), list(modules)
    while waiting:
        module = waiting.pop()
        if module not in {*found, *without}:
            found.add(module)
            waiting += imports(path_of(module))
    return sorted(found)


@cache
def training_code(*more: str) -> dict[str, list]:
    """Returns the outlines, by name, of the modules on which a training's outcome depends.

    Args:
        *more: modules that a notebook uses beside `lib.training`.
    """
    modules = closure("lib.training", *more, without=NOT_COVERED)
    return {name: outline(ast.parse(path_of(name).read_text("utf-8"))) for name in modules}


def outline(node: Any) -> Any:
    """Writes a syntax tree as lists that are the same under every supported Python."""
    if isinstance(node, list):
        return [outline(part) for part in node if not _is_docstring(part)]
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = [
        [name, outline(value)]
        for name, value in ast.iter_fields(node)
        if value not in (None, []) and name not in ("ctx", "kind", "type_comment")
    ]
    return [type(node).__name__, *fields]


def _is_docstring(node: Any) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
