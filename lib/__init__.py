"""What the notebooks of the CIFAR-10 ladder share."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
"""The project's top folder; the one place from which paths are found."""
