"""Tells by its exit code whether this Python has all that a requirements file asks for."""

import sys
from importlib import metadata


def satisfied(path: str) -> bool:
    """Returns whether every requirement of the file is installed in a version it admits."""
    try:
        from packaging.requirements import Requirement
    except ImportError:
        return False
    with open(path, encoding="utf-8") as file:
        lines = [line.split("#")[0].strip() for line in file]
    for line in filter(None, lines):
        requirement = Requirement(line)
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            return False
        if not requirement.specifier.contains(version, prereleases=True):
            return False
    return True


if __name__ == "__main__":
    sys.exit(not satisfied(sys.argv[1]))
