"""Where state lives and how it gets there: the user cache, never the checkout."""

import os
import shutil
import tempfile
import warnings
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


def download(base_url: str, files: dict[str, str | None], target: Path) -> None:
    """Fetches files into a folder, each whole or not at all.

    With a progress bar, two more tries each, and time-outs of 5 s to connect and 60 s
    between bytes. What is there already is not fetched again.

    Args:
        base_url: address that ends in a slash.
        files: what to fetch, with the expected hash (``"sha256:…"``, ``"md5:…"``) or None.
        target: the folder.

    Raises:
        Exception: requests', urllib3's, pooch's or the system's, if a file cannot be had
            or has another hash.
    """
    with warnings.catch_warnings():  # in a notebook tqdm asks for widgets it can do without
        warnings.filterwarnings("ignore", message="IProgress not found")
        import pooch

        pooch.get_logger().setLevel("WARNING")
        store = pooch.create(path=target, base_url=base_url, registry=files, retry_if_failed=2)
        for name in files:
            store.fetch(name, downloader=pooch.HTTPDownloader(progressbar=True, timeout=(5, 60)))


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
