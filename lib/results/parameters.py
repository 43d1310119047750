"""What a notebook takes: its parameters cell, the profiles, strict checks."""

import ast
import json
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from lib import ROOT
from lib.errors import ParameterError
from lib.study import COMPANIONS

NOTEBOOKS = ROOT / "notebooks"
PROFILES = ("smoke", "few", "quick", "budget", "study")
BASES = {"few": ("quick",)}  # profiles that it begins from, after `study`

# Where things lie and what they are called, not what is computed.
PATHS = ("WEIGHTS", "CLASSIFIER_WEIGHTS", "PICTURE", "RECORDS")
LABELS = ("OUT", "PROFILE", "DATASET", *PATHS)

READ_BY_RECORD = ("OUT", "PROFILE", "PRECISION")  # by `lib.results`, not by name
OF_NETWORK = ("HEAD", "POOL1_DROPOUT")  # a model cell that was replaced need not read them

Values = dict[str, Any]


def notebook_path(slug: str) -> Path:
    """Returns the source notebook of that name.

    Raises:
        ParameterError: if there is none.
    """
    for folder in (NOTEBOOKS, NOTEBOOKS / "companions"):
        if (folder / f"{slug}.ipynb").is_file():
            return folder / f"{slug}.ipynb"
    names = ", ".join(sorted(path.stem for path in NOTEBOOKS.rglob("*.ipynb")))
    raise ParameterError(f"unknown notebook {slug!r}: expected one of {names}")


@cache
def code_cells(path: Path) -> tuple[tuple[frozenset[str], str], ...]:
    """Returns tags and source of each code cell of a notebook."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    return tuple(
        (frozenset(cell["metadata"].get("tags", ())), "".join(cell["source"]))
        for cell in notebook["cells"]
        if cell["cell_type"] == "code"
    )


def working_code(path: Path) -> list[str]:
    """Returns the code of all cells but set-up and parameters."""
    return [code for tags, code in code_cells(path) if not tags & {"setup", "parameters"}]


def working_trees(path: Path) -> list[ast.Module]:
    """Returns the syntax trees of `working_code`.

    Raises:
        ParameterError: if a cell is no plain Python.
    """
    try:
        return [ast.parse(code) for code in working_code(path)]
    except SyntaxError as error:
        raise ParameterError(
            f"{path.name}: the line {(error.text or '').strip()!r} is not Python ({error.msg}); "
            "magics such as %time are possible in the set-up cell only"
        ) from error


def defaults(slug: str) -> Values:
    """Reads the literals of a notebook's parameters cell."""
    path = notebook_path(slug)
    cells = [code for tags, code in code_cells(path) if "parameters" in tags]
    if len(cells) != 1:
        raise ParameterError(f"{path.name} has {len(cells)} cells tagged 'parameters', expected 1")
    return {
        statement.targets[0].id: ast.literal_eval(statement.value)
        for statement in ast.parse(cells[0]).body
        if isinstance(statement, ast.Assign)
    }


def of_profile(profile: str, slug: str, *, images: int = 0) -> Values:
    """Returns all parameters of a notebook under a profile.

    A profile's ``every`` is for the eleven, its ``companions`` for the companions. What it does
    not name is as in `BASES`, then as in ``study``, so that a parameters cell that was edited
    changes no profile.

    Args:
        profile: one of `PROFILES`.
        slug: the notebook.
        images: of the data set, for training and validation. If the profile has ``epochs_for``,
            its EPOCHS are for so many; n images take EPOCHS · √(epochs_for / n), so that the
            steps grow with √n. 0 leaves EPOCHS as they are.

    Raises:
        ParameterError: if the profile or the notebook is unknown, or the profile sets
            what the notebook cannot take.
    """
    if profile not in PROFILES:
        raise ParameterError(f"unknown profile {profile!r}: expected one of {', '.join(PROFILES)}")
    values: Values = {}
    for name in ("study", *BASES.get(profile, ()), profile):
        values |= _in_file(name, slug)
    epochs_for = _file(profile).get("epochs_for")
    if images and epochs_for and slug not in COMPANIONS:
        values["EPOCHS"] = max(1, round(values["EPOCHS"] * (epochs_for / images) ** 0.5))
    return check(slug, values)


def frozen(profile: str) -> str:
    """Returns the commit in which a profile's values were frozen, ``""`` if it names none."""
    return _file(profile).get("frozen", "") if profile in PROFILES else ""


def chosen_on(profile: str, slug: str) -> str:
    """Returns how a profile's schedule for an experiment was chosen, ``""`` if it does not say.

    ``"published"``, ``"validation images"``, or ``"validation images, after a test"`` where a
    test accuracy was known before the schedule was fixed.
    """
    if not frozen(profile):
        return "published" if profile == "study" else ""
    return "validation images" + ", after a test" * (slug in _file(profile)["after_test"])


def _file(profile: str) -> Values:
    """Reads a profile's file."""
    return yaml.safe_load((NOTEBOOKS / "profiles" / f"{profile}.yaml").read_text("utf-8")) or {}


def _in_file(profile: str, slug: str) -> Values:
    """Returns what a profile's file, itself, says of a notebook."""
    content = _file(profile)
    shared = "companions" if slug in COMPANIONS else "every"
    return content.get(shared, {}) | content.get(slug, {})


def check(slug: str, values: Values) -> Values:
    """Returns the notebook's parameters with ``values`` in place of the defaults.

    Raises:
        ParameterError: if the notebook has no such parameter, never reads it, or it is
            of another type.
    """
    known = defaults(slug)
    published = known | _in_file("study", slug)  # a cell that was edited changes no type
    read = {
        node.id
        for tree in working_trees(notebook_path(slug))
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }
    for name, value in values.items():
        if name not in known:
            raise ParameterError(
                f"{slug} has no parameter {name!r}: expected one of {', '.join(known)}"
            )
        free = name in READ_BY_RECORD or (name in OF_NETWORK and value == known[name])
        if name not in read and not free:
            raise ParameterError(f"{slug} never reads its parameter {name!r}; remove it")
        wanted = type(published[name])
        if type(value) is not wanted and not (wanted is float and type(value) is int):
            text = wanted is float and type(value) is str
            hint = " (YAML reads 1e-3 as text, 1.0e-3 as a number)" if text else ""
            raise ParameterError(
                f"{slug}: {name} = {value!r} is {type(value).__name__}, expected "
                f"{wanted.__name__} as in {name} = {published[name]!r}{hint}"
            )
        known[name] = float(value) if wanted is float else value
    return known


def in_notebook(slug: str, names: Values) -> Values:
    """Returns the parameters a running notebook has now, checked.

    Args:
        slug: the notebook.
        names: its ``globals()``.
    """
    return check(slug, {name: names[name] for name in defaults(slug)})


def with_profile(slug: str, values: Values, *, images: int = 0) -> tuple[Values, Values]:
    """Returns what a profile replaces in a notebook's parameters, and what it leaves.

    Args:
        slug: the notebook.
        values: its parameters; PROFILE names the profile.
        images: see `of_profile`.

    Returns:
        The profile's values of those parameters that still equal the published default and are
        others in the profile; and the reader's values of those that equal neither.

    Raises:
        ParameterError: if the profile is unknown.
    """
    profile = computed(of_profile(values["PROFILE"], slug, images=images))
    published = computed(of_profile("study", slug))
    differ = [name for name, value in profile.items() if values[name] != value]
    replaced = {name: profile[name] for name in differ if values[name] == published[name]}
    return replaced, {name: values[name] for name in differ if name not in replaced}


def computed(values: Values) -> Values:
    """Returns the parameters that decide what is computed, without the seed."""
    left_out = {*LABELS, "SEED"} - {"PICTURE"}  # another picture, another result
    return {key: value for key, value in values.items() if key not in left_out}


def without_paths(values: Values, *, dataset: str) -> Values:
    """Returns all parameters but OUT; of a path only the last part.

    Args:
        values: the parameters.
        dataset: name of the data set.
    """
    shown = {key: value for key, value in values.items() if key != "OUT"} | {"DATASET": dataset}
    return shown | {key: Path(values[key]).name for key in PATHS if key in values}


def integers(name: str, text: str, *, least: int, most: int) -> list[int]:
    """Reads a parameter that lists numbers, like ``"32,48,64"``.

    Args:
        name: of the parameter.
        text: its value.
        least, most: bounds of each number.

    Raises:
        ParameterError: if it is no such list.
    """
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) < least or max(numbers) > most:
        raise ParameterError(
            f"{name} = {text!r}: expected whole numbers from {least} to {most}, separated by commas"
        )
    return numbers
