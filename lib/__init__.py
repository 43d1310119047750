"""What the notebooks of the CIFAR-10 ladder share."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
"""The project's top folder; the one place from which paths are found."""


def clock(seconds: float) -> str:
    """Writes a duration as a person would: ``"8 s"``, ``"12 min"``, ``"3.5 h"``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def in_batch_run() -> bool:
    """Whether `ladder.run` executes the notebook, rather than a person."""
    return os.environ.get("CIFAR10_LADDER_BATCH") == "1"
