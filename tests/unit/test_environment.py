"""What an active environment must have to be used as it is."""

import subprocess
import sys

import pytest

from lib import ROOT


def check(folder, *dependencies: str) -> subprocess.CompletedProcess:
    project = folder / "pyproject.toml"
    project.write_text(f"[project]\ndependencies = {list(dependencies)}\n")
    command = [sys.executable, str(ROOT / "tools" / "satisfied.py"), str(project)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_this_environment_has_all_that_the_project_asks_for():
    command = [sys.executable, str(ROOT / "tools" / "satisfied.py"), str(ROOT / "pyproject.toml")]
    assert subprocess.run(command, check=False).returncode == 0


@pytest.mark.parametrize(
    ("dependency", "lacking"),
    [("no-such-package>=1", "no-such-package>=1"), ("numpy<1", "numpy<1 (has 2")],
)
def test_a_package_that_is_missing_or_too_old_is_named(tmp_path, dependency, lacking):
    done = check(tmp_path, "pytest>=8", dependency)
    assert done.returncode == 1
    assert done.stderr.startswith(f"The active environment lacks {lacking}")
    assert done.stderr.endswith("; .venv is used instead.\n")
