"""What the notebooks of the CIFAR-10 ladder share."""

import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow says nothing a reader needs

ROOT = Path(__file__).resolve().parent.parent
"""The project's top folder; the one place from which paths are found."""
