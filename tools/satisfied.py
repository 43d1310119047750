"""Exits with 0 if this Python has all that pyproject.toml asks for; else says what it lacks."""

import sys
import tomllib
from importlib import metadata
from pathlib import Path


def missing(project: Path) -> list[str]:
    """Returns the dependencies that are not installed, or not in a version the project admits."""
    try:
        from packaging.requirements import Requirement
    except ImportError:
        return ["packaging"]
    found = []
    for text in tomllib.loads(project.read_text(encoding="utf-8"))["project"]["dependencies"]:
        requirement = Requirement(text)
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            found.append(text)
            continue
        if not requirement.specifier.contains(version, prereleases=True):
            found.append(f"{text} (has {version})")
    return found


if __name__ == "__main__":
    lacking = missing(Path(sys.argv[1]))
    if lacking:
        print(
            f"The active environment lacks {', '.join(lacking)}; .venv is used instead.",
            file=sys.stderr,
        )
    sys.exit(bool(lacking))
