"""Seconds of a notebook outside training and evaluation: start, data, figures, record, page.

Each of the eleven is run as `run_all.sh` runs it, a process of its own, profile `smoke`.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks._measure import row
from lib import ROOT
from lib.results import record
from lib.study import SLUGS

ROUNDS = 5


def measure() -> list[dict]:
    """Returns the seconds per notebook."""
    found: dict[str, list[float]] = {slug: [] for slug in SLUGS}
    for _ in range(ROUNDS):
        for slug in SLUGS:
            found[slug].append(_outside(slug))
            print(f"{slug}: {found[slug][-1]:.1f} s", flush=True)
    return [row(slug, found[slug], "s", target=10, better="lower") for slug in SLUGS]


def _outside(slug: str) -> float:
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        options = f"--profile smoke --seed 0 --dataset auto --out {folder}".split()
        subprocess.run(
            [sys.executable, "-m", "ladder.run", slug, *options],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            check=True,
        )
        seconds = time.perf_counter() - began
        timing = record.read(record.paths(Path(folder))[0]).timing
    return seconds - timing["train_seconds"] - timing["evaluation_seconds"]
