"""The state of a training in the user cache, from which a killed training resumes.

A checkpoint is one ``.npz`` file, replaced as a whole and never pickled. It belongs to one
training: its name digests all that the training depends on, so no other resumes from it.
"""

import importlib.metadata
import json
import os
import time
from contextlib import suppress
from pathlib import Path

import numpy as np

from lib import cache, digests
from lib.results import fingerprint

FORMAT = 3
EPOCH_SECONDS = 60.0
"""A checkpoint is saved at the end of the first epoch that is so long after the last one,"""
STEP_SECONDS = 600.0
"""and inside an epoch after so long."""
EVERY = "CIFAR10_LADDER_CHECKPOINT_SECONDS"
"""Environment variable that replaces both; 0 saves one after every step."""
KEPT_DAYS = 30
"""A checkpoint that no training has resumed for so long is removed."""


def seconds_between(default: float) -> float:
    """Returns how long to wait from one checkpoint to the next."""
    return float(os.environ.get(EVERY, default))


def of_training(model, images, settings: dict) -> "Checkpoint":
    """Returns the checkpoint of a training.

    Args:
        model: the network, with the weights it starts from.
        images: `lib.data.Dataset`.
        settings: all that the training depends on beside them, as JSON.
    """
    versions = [importlib.metadata.version(name) for name in ("tensorflow", "keras", "numpy")]
    arrays = {str(index): value for index, value in enumerate(model.get_weights())}
    for part in ("train", "val"):
        arrays |= {f"{axis}_{part}": getattr(images, f"{axis}_{part}") for axis in "xy"}
    content = [FORMAT, versions, fingerprint.training_code(), settings]
    content += [model.to_json(), digests.of_arrays(arrays)]
    return Checkpoint(digests.of_json(content))


class Checkpoint:
    """The saved state of one training: facts (JSON) and lists of arrays by name.

    Args:
        key: digest of all that the training depends on.
    """

    def __init__(self, key: str):
        self.key = key
        self.warned = False

    @property
    def path(self) -> Path:
        """Where it is saved, if it is."""
        return cache.folder("checkpoints") / f"{self.key}.npz"

    def load(self) -> tuple[dict, dict[str, list[np.ndarray]]] | None:
        """Returns facts and arrays as `save` got them, or None if no usable state is saved."""
        try:
            _clean(self.path)
            if not self.path.is_file():
                return None
            with np.lib.npyio.NpzFile(self.path, allow_pickle=False) as content:
                facts = json.loads(content["facts"].tobytes())
                if facts["key"] != self.key:
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
        """Replaces the saved state by this one, whole or not at all.

        A state that cannot be saved is reported once; the training continues.
        """
        counts = {name: len(values) for name, values in arrays.items()}
        text = json.dumps(facts | {"key": self.key, "arrays": counts})
        content = {"facts": np.frombuffer(text.encode(), np.uint8)}
        for name, values in arrays.items():
            content |= {f"{name}/{index}": value for index, value in enumerate(values)}
        try:
            with cache.atomic_file(self.path) as part:
                np.savez(part, **content)
        except OSError as error:
            if not self.warned:
                print(
                    f"The state of this training cannot be saved ({error.strerror}): it continues, "
                    "but would start anew if it were killed; free space, or set "
                    "CIFAR10_LADDER_CACHE to another folder.",
                    flush=True,
                )
            self.warned = True


def _clean(path: Path) -> None:
    """Removes what a kill in mid-write left, and checkpoints that no training came back for."""
    for other in path.parent.iterdir():
        left_over = other.name.startswith(f".{path.name}.")
        with suppress(FileNotFoundError):  # another process was quicker
            forgotten = time.time() - other.stat().st_mtime > KEPT_DAYS * 24 * 3600
            if left_over or (forgotten and other != path):
                other.unlink()
