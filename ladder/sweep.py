"""A sweep: settings of parameters × notebooks × seeds, from a YAML file, as one run."""

import itertools
from dataclasses import dataclass
from pathlib import Path

import yaml

from ladder.reasons import UsageError
from lib.results import parameters

KEYS = {"profile": str, "only": str, "seeds": (str, int), "settings": list, "grid": dict}
"""What a file may have, and the type of each."""


@dataclass(frozen=True)
class Sweep:
    """What a file asks for.

    Attributes:
        profile, only, seeds: as of the options of ``run_all.sh``; None where it does not say.
        settings: parameters that replace the profile's.
    """

    profile: str | None
    only: str | None
    seeds: str | None
    settings: tuple[parameters.Values, ...]


NONE = Sweep(None, None, None, ({},))
"""No sweep: the profile's own values."""


def read(path: Path) -> Sweep:
    """Reads a sweep.

    ``settings`` is a list of parameters and values; ``grid`` has lists of values by parameter,
    each combination of which is tried with each setting.

    Raises:
        UsageError: if the file cannot be read, or is no sweep.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise UsageError(f"--sweep {path}: it cannot be read ({reason})") from error
    if not isinstance(content, dict) or not content.keys() & {"settings", "grid"}:
        raise UsageError(f"--sweep {path}: expected a YAML file with settings, grid, or both")
    for key, value in content.items():
        if key not in KEYS:
            raise UsageError(f"--sweep {path}: {key!r} is none of {', '.join(KEYS)}")
        if not isinstance(value, KEYS[key]) or (not value and value != 0):
            raise UsageError(f"--sweep {path}: {key} = {value!r} has the wrong form")
    settings, grid = content.get("settings", [{}]), content.get("grid", {})
    if not all(isinstance(one, dict) for one in settings):
        raise UsageError(f"--sweep {path}: each setting must be parameters and values, {{X: 1}}")
    for name, values in grid.items():
        if not isinstance(values, list) or not values:
            raise UsageError(f"--sweep {path}: grid: expected a list of values of {name}")
    combined = tuple(
        {**one, **dict(zip(grid, values, strict=True))}
        for one in settings
        for values in itertools.product(*grid.values())
    )
    names = {name: None for one in combined for name in one}
    if taken := names.keys() - parameters.computed(names):
        raise UsageError(
            f"--sweep {path}: {', '.join(sorted(taken))} cannot be a setting (seeds: 0-2 is one)"
        )
    seeds = str(content.get("seeds", ""))
    return Sweep(content.get("profile"), content.get("only"), seeds, combined)
