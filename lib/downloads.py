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
STALL_SECONDS = 30.0
"""How long a download may bring no byte before it is given up, or tried again."""
NPM_SECONDS = 600.0
"""How long npm itself may write nothing before it counts as hung."""


class DownloadError(Exception):
    """A download that failed; the message is a few words for a list of reasons."""


@dataclass(frozen=True)
class Provider:
    """One place on the network that has a file.

    Attributes:
        name: for messages.
        check: returns if the place answers, raises if not.
        fetch: downloads the file and returns what was read from it, raises if that fails.
    """

    name: str
    check: Callable[[], None]
    fetch: Callable[[], Any]


def from_first(*providers: Provider) -> Any:
    """Tries providers in order and returns the first result.

    They are asked at the same time whether they answer, and have `PROBE_SECONDS` together.

    Raises:
        DownloadError: if all fail; the message is "name: reason; name: reason".
        OSError: if the disk is full.
    """
    reasons = []
    for provider, problem in _probe(providers):
        try:
            if problem:
                raise DownloadError(problem)
            return provider.fetch()
        except Exception as error:  # requests, urllib3, pooch, npm, pip and the system
            if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
                raise OSError(
                    f"the disk with the cache folder {cache.folder()} is full; free 1 GB, or set "
                    "CIFAR10_LADDER_CACHE to a folder on another disk"
                ) from error
            reasons.append(f"{provider.name}: {_reason(error)}")
    raise DownloadError("; ".join(reasons))


def _probe(providers: tuple[Provider, ...]) -> Iterator[tuple[Provider, str]]:
    """Yields each provider and why it does not answer, "" if it does.

    Each check has its own thread, because a name lookup that hangs cannot be interrupted. The
    threads do not keep the process alive.
    """
    problems = {provider.name: "no answer" for provider in providers}

    def check(provider: Provider) -> None:
        try:
            provider.check()
            problems[provider.name] = ""
        except Exception as error:
            problems[provider.name] = _reason(error)

    threads = [threading.Thread(target=check, args=(one,), daemon=True) for one in providers]
    for thread in threads:
        thread.start()
    ends = time.monotonic() + PROBE_SECONDS
    for provider, thread in zip(providers, threads, strict=True):
        thread.join(max(0, ends - time.monotonic()))
        yield provider, problems[provider.name]


def _reason(error: Exception) -> str:
    """Returns in a few words why a check or a download failed."""
    import requests

    if isinstance(error, requests.HTTPError):
        return f"HTTP {error.response.status_code}"
    if isinstance(error, requests.Timeout) or "timed out" in str(error):
        return "no answer"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection broke"
    if type(error) in (requests.ConnectionError, requests.exceptions.ProxyError):
        return "no connection"
    if isinstance(error, requests.RequestException):
        return type(error).__name__
    if isinstance(error, subprocess.CalledProcessError):  # pip
        stderr = (error.stderr or b"").decode(errors="replace")
        found = re.search(r"^ERROR: (.+)", stderr, flags=re.MULTILINE)
        return found[1] if found else f"exit code {error.returncode}"
    lines = str(getattr(error, "strerror", None) or error).splitlines()
    return lines[0] if lines else type(error).__name__


def check_web(url: str) -> None:
    """Returns if the first byte of an address arrives, raises if not."""
    import requests

    with requests.get(url, stream=True, timeout=PROBE_SECONDS) as response:
        response.raise_for_status()
        if not next(response.iter_content(1), b""):
            raise DownloadError("empty answer")


def from_web(base_url: str, files: dict[str, str | None], target: Path) -> None:
    """Downloads files into a folder, each whole or not at all.

    With a progress bar and one more try each. A file that is there already is not fetched again.

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
        store = pooch.create(path=target, base_url=base_url, registry=files, retry_if_failed=1)
        downloader = pooch.HTTPDownloader(progressbar=True, timeout=(5, STALL_SECONDS))
        for name in files:
            store.fetch(name, downloader=downloader)


def check_npm(package: str) -> None:
    """Returns if npm is installed and its registry has a package, raises `DownloadError` if not.

    Args:
        package: name and version, e.g. ``"left-pad@1.3.0"``.
    """
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        with _npm(folder, "view", package, idle_seconds=PROBE_SECONDS) as process:
            with suppress(subprocess.TimeoutExpired):
                process.wait(PROBE_SECONDS)
            _raise_for(process, folder)


def from_npm(package: str, size: int, target: Path) -> None:
    """Downloads the tarball of an npm package; nothing of it is unpacked or run.

    npm works in a temporary folder, which also holds its cache. Only the tarball stays.

    Args:
        package: as in `check_npm`.
        size: bytes of the tarball, for the progress bar.
        target: path of the tarball to be.

    Raises:
        DownloadError: if npm fails, receives no byte for `STALL_SECONDS`, or writes no tarball.
        OSError: if the disk is full.
    """
    from tqdm import tqdm

    target.parent.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(dir=target.parent, ignore_cleanup_errors=True) as name,
        tqdm(total=size, unit="B", unit_scale=True, ncols=79) as bar,
        _npm(
            Path(name),
            *("pack", package, f"--pack-destination={name}"),
            idle_seconds=STALL_SECONDS,
        ) as process,
    ):
        folder, arrived, last_change = Path(name), 0, time.monotonic()
        while process.poll() is None and time.monotonic() - last_change < NPM_SECONDS:
            time.sleep(0.1)
            if (now := _bytes_below(folder)) != arrived:
                arrived, last_change = now, time.monotonic()
                bar.update(min(arrived, size) - bar.n)
        _raise_for(process, folder)
        tarballs = list(folder.glob("*.tgz"))  # its name is not the same in all versions of npm
        if len(tarballs) != 1:
            raise DownloadError("npm wrote no tarball")
        bar.update(size - bar.n)
        tarballs[0].replace(target)


@contextmanager
def _npm(folder: Path, *arguments: str, idle_seconds: float) -> Iterator[subprocess.Popen]:
    """Runs npm in a folder, which gets its cache and its messages, and ends it with the block."""
    program = shutil.which("npm")
    if program is None:
        raise DownloadError("not installed")
    (folder / "package.json").write_text("{}")  # else npm looks for one in the folders above
    command = [program, *arguments, f"--cache={folder / 'cache'}", "--fetch-retries=0"]
    command += [f"--fetch-timeout={1000 * idle_seconds:.0f}", "--ignore-scripts"]
    command += ["--dry-run=false", "--logs-max=0", "--loglevel=error"]
    with (
        (folder / "stderr.txt").open("wb") as stderr,
        subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            start_new_session=True,
        ) as process,
    ):
        try:
            yield process
        finally:
            with suppress(ProcessLookupError, PermissionError):  # npm may be a script around node
                os.killpg(process.pid, signal.SIGKILL)


def _raise_for(process: subprocess.Popen, folder: Path) -> None:
    """Raises if npm failed or is still running."""
    exit_code = process.poll()
    if exit_code == 0:
        return
    stderr = (folder / "stderr.txt").read_text(encoding="utf-8", errors="replace")
    code = next(iter(re.findall(r"\bcode (E\w+)", stderr)), "")
    if code in ("ENOSPC", "EDQUOT"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if code in ("ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "ENETUNREACH", "EHOSTUNREACH"):
        raise DownloadError("no connection")
    if exit_code is None or code in ("ETIMEDOUT", "EIDLETIMEOUT"):
        raise DownloadError("no answer")
    raise DownloadError(f"npm failed with {code or f'exit code {exit_code}'}")


def _bytes_below(folder: Path) -> int:
    total = 0
    for place, _, files in os.walk(folder):
        for file in files:
            with suppress(FileNotFoundError):  # npm renames its files
                total += os.path.getsize(os.path.join(place, file))
    return total
