"""SHA-256 digests, in hexadecimal, of values, arrays and files."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np


def of_text(text: str) -> str:
    """Returns the digest of a text in UTF-8."""
    return hashlib.sha256(text.encode()).hexdigest()


def of_json(value: Any) -> str:
    """Returns the digest of a value as canonical JSON: sorted keys, no spaces."""
    return of_text(json.dumps(value, sort_keys=True, separators=(",", ":")))


def of_arrays(arrays: Mapping[str, np.ndarray]) -> str:
    """Returns the digest of arrays, with their names, dtypes and shapes, in the given order."""
    digest = hashlib.sha256()
    for name, array in arrays.items():
        array = np.ascontiguousarray(array)
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array.data)
    return digest.hexdigest()


def of_file(path: Path, algorithm: str = "sha256") -> str:
    """Returns the digest of a file's content, computed by any algorithm that `hashlib` knows."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()
