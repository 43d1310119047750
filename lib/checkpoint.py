"""The state of a training in the user cache, from which a killed training goes on.

A bundle is one ``.npz`` file, replaced as a whole and never pickled. It belongs to one training:
its name digests all that the training depends on, so that no other is ever continued from it.
"""

import hashlib
import importlib.metadata
import json
import os
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import numpy as np

from lib import cache, parameters

FORMAT = 1
EPOCH_SECONDS = 60.0
"""A bundle is written at the end of the first epoch that is so long after the last one,"""
STEP_SECONDS = 600.0
"""and inside an epoch after so long."""
EVERY = "CIFAR10_LADDER_CHECKPOINT_SECONDS"
"""Environment variable that replaces both; 0 writes a bundle after every step."""
KEPT_DAYS = 30
"""A bundle that nobody has continued for so long is removed."""

_finished: list[str] = []


def seconds_between(default: float) -> float:
    """Returns how long to wait from one bundle to the next."""
    return float(os.environ.get(EVERY, default))


def fingerprint(settings: dict, network: str, arrays: Iterable[np.ndarray]) -> str:
    """Digest over all that a training depends on.

    Args:
        settings: the arguments of the training, as JSON.
        network: the network's configuration.
        arrays: the weights it starts from, then its images and labels.

    Returns:
        SHA-256 in hexadecimal; the versions of TensorFlow and Keras and the code of the
        modules that training depends on are part of it.
    """
    versions = [importlib.metadata.version(name) for name in ("tensorflow", "keras", "numpy")]
    content = [FORMAT, versions, parameters.training_code(), settings, network]
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode())
    for array in arrays:
        digest.update(f"{array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


class Bundle:
    """The state of one training: facts (JSON) and lists of arrays by name.

    Args:
        mark: see `fingerprint`.
    """

    def __init__(self, mark: str):
        self.mark = mark
        self.warned = False

    @property
    def path(self) -> Path:
        """Where the bundle lies, if there is one."""
        return cache.folder("checkpoints") / f"{self.mark}.npz"

    def load(self) -> tuple[dict, dict[str, list[np.ndarray]]] | None:
        """Returns facts and arrays as `save` got them, or None where there is no usable bundle."""
        try:
            _clean(self.path)
            if not self.path.is_file():
                return None
            with np.lib.npyio.NpzFile(self.path, allow_pickle=False) as content:
                facts = json.loads(content["facts"].tobytes())
                if facts["mark"] != self.mark:
                    raise ValueError("it is of another training")
                arrays = {
                    name: [content[f"{name}/{index}"] for index in range(count)]
                    for name, count in facts["arrays"].items()
                }
            return facts, arrays
        except Exception as error:  # a damaged file fails in many ways
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            print(f"The saved state of this training cannot be used ({reason}); it starts anew.")
            return None

    def save(self, facts: dict, arrays: dict[str, list[np.ndarray]]) -> None:
        """Puts this state in place of the last one, whole or not at all.

        What cannot be written is said once; the training goes on without.
        """
        counts = {name: len(values) for name, values in arrays.items()}
        text = json.dumps(facts | {"mark": self.mark, "arrays": counts})
        content = {"facts": np.frombuffer(text.encode(), np.uint8)}
        for name, values in arrays.items():
            content |= {f"{name}/{index}": value for index, value in enumerate(values)}
        try:
            with cache.atomic_file(self.path) as part:
                np.savez(part, **content)
        except OSError as error:
            if not self.warned:
                print(
                    f"The state of this training cannot be saved ({error.strerror}): it goes on, "
                    "but would start anew if it were killed; free space, or set "
                    "CIFAR10_LADDER_CACHE to another folder.",
                    flush=True,
                )
            self.warned = True

    def end(self) -> None:
        """Says that the training is over: its bundle is needed until the record is there."""
        _finished.append(self.mark)


def finished() -> list[str]:
    """Returns the marks of the trainings that this process has ended, and forgets them."""
    marks = _finished.copy()
    _finished.clear()
    return marks


def remove(marks: Iterable[str]) -> None:
    """Removes the bundles of trainings that need them no longer."""
    for mark in marks:
        (cache.folder("checkpoints") / f"{mark}.npz").unlink(missing_ok=True)


def _clean(path: Path) -> None:
    """Removes what a kill in mid-write left behind, and bundles that nobody came back for."""
    for other in path.parent.iterdir():
        left_over = other.name.startswith(f".{path.name}.")
        with suppress(FileNotFoundError):  # another process was quicker
            forgotten = time.time() - other.stat().st_mtime > KEPT_DAYS * 24 * 3600
            if left_over or (forgotten and other != path):
                other.unlink()
