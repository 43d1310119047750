"""The user cache, where all state is kept, and files that appear whole or not at all."""

import errno
import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs

ANOTHER_DISK = "set CIFAR10_LADDER_CACHE to a folder on another disk"
"""Advice in messages about a disk that is full or damaged."""


def folder(*parts: str) -> Path:
    """Returns a folder of the user cache, and makes it if it does not exist.

    The user cache is ``$CIFAR10_LADDER_CACHE``, or the platform's cache folder.

    Raises:
        OSError: if it cannot be made or written.
    """
    base = os.environ.get("CIFAR10_LADDER_CACHE") or platformdirs.user_cache_dir("cifar10-ladder")
    path = Path(expanded(base), *parts).absolute()
    try:
        path.mkdir(parents=True, exist_ok=True)
        if not os.access(path, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise OSError(
            f"the cache folder {path} cannot be written ({error.strerror}); set "
            "CIFAR10_LADDER_CACHE to another folder"
        ) from error
    return path


def keras_home() -> Path:
    """Returns the folder in which Keras keeps its downloads."""
    return expanded(os.environ.get("KERAS_HOME") or "~/.keras")


def expanded(path: str) -> Path:
    """Returns a path that a person gave: a ``~`` that no shell has replaced is the home."""
    return Path(os.path.expanduser(path))


@contextmanager
def lock(name: str) -> Iterator[None]:
    """Lets one process at a time into the block; another one prints that it waits.

    On a disk that cannot lock files no process waits.
    """
    with (folder("locks") / name).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("Waiting for another process that prepares the same data …", flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError:
            pass
        yield


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Gives a temporary path that becomes ``path`` when the block ends without an error.

    The file appears whole or not at all, also after a power cut: it is synced, then renamed.
    """
    part = _beside(path)
    try:
        yield part
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Gives a temporary folder that becomes ``path`` when the block ends without an error.

    If two processes fill the same folder at once, the first wins and the second's is removed,
    so both must write the same.
    """
    part = _beside(path)
    part.mkdir()
    try:
        yield part
        if not path.is_dir():
            part.rename(path)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _beside(path: Path) -> Path:
    """Returns an unused hidden name in the same folder, which it makes; the suffix is the same."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}{path.suffix}")
