"""What unit tests share."""

import pytest

from lib.data import cifar10


@pytest.fixture
def isolated(tmp_path, monkeypatch):
    """No cache, no data and no weights but what a test makes."""
    monkeypatch.setenv("CIFAR10_LADDER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.delenv("CIFAR10_DIR", raising=False)
    monkeypatch.delenv("VGG16_WEIGHTS", raising=False)
    monkeypatch.setattr(cifar10, "ROOT", tmp_path / "checkout")
