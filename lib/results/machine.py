"""The machine that a run works on: versions, processor, GPUs, memory, commit."""

import os
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from lib import ROOT


def peak_rss_mb() -> float:
    """Returns the peak resident memory of this process so far, MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1024**2 if sys.platform == "darwin" else 1024), 1)


def environment() -> dict:
    """Returns versions and machine, without names or paths of their own."""
    from lib.engine import keras, tf
    from lib.opencv import cv2

    return {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "opencv": cv2.__version__,
        "numpy": np.__version__,
        "platform": f"{platform.system()} {platform.machine()}",
        "cpu": _cpu(),
        "gpus": gpus(),
        "cores": _cores(),
        "git": _commit(),
    }


def _cores() -> int:
    """Returns how many cores this process may use."""
    if threads := os.environ.get("TF_NUM_INTRAOP_THREADS"):
        return int(threads)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def gpus() -> list[str]:
    """Returns the names of the GPUs that TensorFlow can use."""
    from lib.engine import tf

    details = tf.config.experimental.get_device_details
    found = tf.config.list_physical_devices("GPU")
    return [str(details(gpu).get("device_name", gpu.name)) for gpu in found]


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(x.split(":", 1)[1].strip() for x in lines if x.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _commit() -> str | None:
    """Returns the commit, with ``-dirty`` if anything but reports and measurements differs from it.

    None if the project is no checkout, even if it is inside another one.
    """
    try:
        if Path(_git("rev-parse", "--show-toplevel")).resolve() != ROOT:
            return None
        commit = _git("describe", "--always", "--exclude=*")
        others = (":!reports", ":!benchmarks/results")
        changed = _git("status", "--porcelain", "--untracked-files=no", "--", ".", *others)
    except (OSError, subprocess.SubprocessError):
        return None
    return commit + "-dirty" * bool(changed)


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=10
    ).stdout.strip()
