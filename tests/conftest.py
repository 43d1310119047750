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

from lib import ROOT, cache, data, pretrained

NOWHERE = "http://127.0.0.1:9"  # the discard port: refuses at once
NO_NETWORK = {
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
    parser.addoption("--cluster", action="store_true", help="run the tests on a cluster alone")


def pytest_configure(config):
    config.addinivalue_line("markers", "battery: takes long; runs only with --battery")
    config.addinivalue_line("markers", "cluster: needs Slurm and root; runs with --cluster alone")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config, items):
    wanted = [bool(item.get_closest_marker("cluster")) == config.option.cluster for item in items]
    config.hook.pytest_deselected(
        items=[i for i, own in zip(items, wanted, strict=True) if not own]
    )
    items[:] = [item for item, own in zip(items, wanted, strict=True) if own]
    if not config.option.battery:
        for item in items:
            if item.get_closest_marker("battery"):
                item.add_marker(pytest.mark.skip(reason="runs with --battery"))


@pytest.fixture(scope="session", autouse=True)
def readers_environment(tmp_path_factory) -> Iterator[dict[str, str]]:
    """Gives all tests a cache of their own and no network; returns the environment as it was."""
    before = dict(os.environ)
    with pytest.MonkeyPatch.context() as patch:
        for name in before:
            if name.lower().startswith(("pip_", "npm_config_")) or name.lower().endswith("_proxy"):
                patch.delenv(name)
        for name in ("CIFAR10_DIR", "VGG16_WEIGHTS"):
            patch.delenv(name, raising=False)
        for name, value in NO_NETWORK.items():
            patch.setenv(name, value)
        patch.setenv("CIFAR10_LADDER_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("KERAS_HOME", str(tmp_path_factory.mktemp("keras")))
        yield before


@pytest.fixture(scope="session")
def real(readers_environment) -> Callable[[str, Path], None]:
    """Runs code that opens real data in the reader's environment; skips where there are none."""

    def run(code: str, target: Path) -> None:
        code = f"import sys; from pathlib import Path; from lib import data, pretrained; {code}"
        done = subprocess.run(
            [sys.executable, "-c", code, str(target)],
            env=readers_environment | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        *_, last = done.stderr.splitlines() or [""]
        if done.returncode and "cannot be downloaded" in last:
            pytest.skip(last)
        assert done.returncode == 0, done.stderr

    return run


@pytest.fixture(scope="session")
def ladder_environment(readers_environment) -> dict[str, str]:
    """Environment of a command line run, with digits as the only data."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTEST_ADDOPTS"}
    return environment | {"PYTHONPATH": str(ROOT)}


@pytest.fixture(scope="session")
def weights(real) -> Path:
    """Puts VGG16's ImageNet weights into the tests' cache; returns their folder."""
    path = cache.folder("weights") / pretrained.WHEEL_FILE
    real("pretrained.weight_files.write(Path(sys.argv[1]), pretrained.load().tensors)", path)
    return path.parent


@pytest.fixture(scope="session")
def real_cache(weights, real, tmp_path_factory) -> str:
    """A cache that holds CIFAR-10, VGG16's ImageNet weights and nothing else."""
    folder = tmp_path_factory.mktemp("real")
    (folder / "weights").symlink_to(weights)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CIFAR10_LADDER_CACHE", str(folder))
        target = data.copies.place("cifar10", data.DOWNLOADED)
    copy = "Path(data.open_source('cifar10').x_train.filename).parent"
    real(f"Path(sys.argv[1]).symlink_to({copy})", target)
    return str(folder)


@pytest.fixture(scope="session")
def ladder(ladder_environment):
    """Runs ``python -m ladder`` as ./run_all.sh does; returns the finished process."""

    def run(*arguments: object, **extra: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-m", "ladder", *map(str, arguments)],
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
