"""Where state lives and how it gets there: the user cache, never the checkout."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs


def folder(*parts: str) -> Path:
    """Returns a folder of the user cache, made if need be.

    It lies below ``$CIFAR10_LADDER_CACHE``, else below the platform's cache folder.

    Raises:
        OSError: if it cannot be made.
    """
    base = os.environ.get("CIFAR10_LADDER_CACHE") or platformdirs.user_cache_dir("cifar10-ladder")
    path = Path(base, *parts)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(
            f"the cache folder {path} cannot be made ({error.strerror}); set CIFAR10_LADDER_CACHE "
            "to a folder that can be written"
        ) from error
    return path


def keras_home() -> Path:
    """Returns the folder in which Keras keeps its downloads."""
    return Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")


@contextmanager
def lock(name: str) -> Iterator[None]:
    """Lets one process at a time into the block; another one says that it waits.

    On a disk that cannot lock files nobody waits.
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
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
    os.close(handle)
    part = Path(name)
    try:
        yield part
        with part.open("rb") as file:
            os.fsync(file.fileno())
        _open_up(part, 0o666)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _open_up(part: Path, mode: int) -> None:
    """Gives what `tempfile` keeps to its owner the rights that it would have otherwise."""
    umask = os.umask(0)
    os.umask(umask)
    part.chmod(mode & ~umask)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Gives a temporary folder that becomes ``path`` when the block ends without an error.

    Of two processes that fill the same folder at once the first wins; the second's
    is dropped, so both must write the same.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    try:
        yield part
        _open_up(part, 0o777)
        try:
            part.rename(path)
        except OSError:
            if not path.is_dir():
                raise
    finally:
        shutil.rmtree(part, ignore_errors=True)
