"""What the tests on a cluster need: ./run_tests.sh --cluster."""

import importlib.util
import shutil
import time
from collections.abc import Callable

import pytest

INSTALL = "pip install -e '.[slurm,kubernetes]' kubernetes-validate"


@pytest.fixture(scope="session", autouse=True)
def installed() -> None:
    """Fails, and says what is missing."""
    modules = ("snakemake_executor_plugin_slurm", "snakemake_executor_plugin_kubernetes")
    if not all(map(importlib.util.find_spec, (*modules, "kubernetes_validate"))):
        pytest.fail(f"the plugins are not installed: {INSTALL}")
    if not all(map(shutil.which, ("munge", "slurmctld", "slurmd", "sbatch"))):
        pytest.fail("Slurm is not installed: apt-get install munge slurmctld slurmd slurm-client")


@pytest.fixture(scope="session")
def environment(ladder_environment, real_cache) -> dict[str, str]:
    """Environment of ``python -m ladder``, with CIFAR-10 and VGG16's weights in the cache."""
    return ladder_environment | {"CIFAR10_LADDER_CACHE": real_cache}


def until(found: Callable, what: str, seconds: float = 120):
    """Waits for something and returns it."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := found():
            return value
        time.sleep(0.2)
    raise AssertionError(f"{what}: not within {seconds} s")
