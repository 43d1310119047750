"""What all tests share: no test touches the reader's caches, data or reports."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def pytest_addoption(parser):
    parser.addoption("--battery", action="store_true", help="run the fault battery as a whole")


def pytest_configure(config):
    config.addinivalue_line("markers", "battery: takes long; runs only with --battery")


def pytest_collection_modifyitems(config, items):
    if not config.getoption("--battery"):
        skip = pytest.mark.skip(reason="runs with --battery")
        for item in items:
            if "battery" in item.keywords:
                item.add_marker(skip)


@pytest.fixture(scope="session")
def ladder_environment(tmp_path_factory) -> dict[str, str]:
    """Environment of a command line run, with digits as the only data."""
    environment = {
        k: v for k, v in os.environ.items() if k not in ("CIFAR10_DIR", "PYTEST_ADDOPTS")
    }
    # The weights' cache may be shared: its files are verified at each use.
    environment.setdefault("CIFAR10_LADDER_CACHE", str(tmp_path_factory.mktemp("cache")))
    return environment | {"PYTHONPATH": str(ROOT)}


@pytest.fixture(scope="session")
def ladder(ladder_environment):
    """Runs ``python -m lib.ladder`` as ./run_all.sh does; returns the finished process."""

    def run(*arguments: object, **extra: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-m", "lib.ladder", *map(str, arguments)],
            env=ladder_environment | extra,
            capture_output=True,
            text=True,
            timeout=900,
            cwd=ROOT,
        )

    return run


@pytest.fixture(scope="session")
def snapshot():
    """Returns what a report's folder holds: content by path."""

    def take(out: Path) -> dict[str, bytes]:
        kept = [out / "index.html", *(out / "results").iterdir(), *(out / "notebooks").iterdir()]
        return {str(path.relative_to(out)): path.read_bytes() for path in kept}

    return take
