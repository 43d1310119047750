"""What the notebooks of the CIFAR-10 ladder share."""

import time
from pathlib import Path

BEGAN = time.perf_counter()
"""When this process began to use the project; `perf_counter` seconds."""

ROOT = Path(__file__).resolve().parent.parent
"""The project's top folder; the one place from which paths are found."""
