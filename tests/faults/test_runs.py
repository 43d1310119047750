"""Faults that strike ``./run_all.sh``. After each the next run completes by itself."""

import ctypes
import json
import os
import random
import re
import shutil
import signal
import site
import subprocess
import sys
import time
import venv
from base64 import b64encode
from pathlib import Path

import numpy as np
import psutil
import pytest

from lib import ROOT
from lib.results import record
from lib.training import checkpoints

SABOTAGE = Path(__file__).parent / "sabotage"
SHORT = ("--profile", "smoke", "--only", "00")  # seconds of training
LONG = ("--profile", "quick", "--only", "02")  # enough to be struck in the middle
CAN_MOUNT = (
    subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode == 0
)


class RunAll:
    """Runs ``./run_all.sh`` in a folder of its own, with ten checkpoints a second."""

    def __init__(self, folder: Path, environment: dict[str, str]):
        self.folder, self.out = folder, folder / "out"
        self.environment = environment | {checkpoints.EVERY: "0.1"}
        # The data may be shared; what trainings leave may not.
        cache = folder / "cache"
        cache.mkdir()
        place = Path(environment["CIFAR10_LADDER_CACHE"], "data")
        place.mkdir(exist_ok=True)
        (cache / "data").symlink_to(place)
        self.environment["CIFAR10_LADDER_CACHE"] = str(cache)

    def start(self, arguments=SHORT, sabotage="", before=(), **options) -> subprocess.Popen:
        environment = self.environment | options.pop("extra", {})
        if sabotage:
            environment |= self.saboteur() | {"SABOTAGE": sabotage}
            environment["SABOTAGED"] = str(self.folder / "sabotaged")
        if "CIFAR10_DIR" not in environment:
            arguments = (*arguments, "--dataset", "digits")
        return subprocess.Popen(
            [*before, str(ROOT / "run_all.sh"), *arguments, "--out", str(self.out)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            **options,
        )

    def saboteur(self) -> dict[str, str]:
        """An active virtual environment that has all of ours, and imports the sabotage first."""
        place = self.folder / "saboteur"
        venv.create(place, symlinks=True)
        (packages,) = place.glob("lib/python*/site-packages")
        # Debian's Python has a ``sitecustomize`` of its own, which would be imported instead.
        shutil.copy(SABOTAGE / "sitecustomize.py", packages / "sabotage.py")
        lines = [*site.getsitepackages(), "import sabotage"]
        (packages / "ours.pth").write_text("\n".join(lines))
        path = f"{place / 'bin'}{os.pathsep}{self.environment['PATH']}"
        return {"VIRTUAL_ENV": str(place), "PATH": path}

    def end(self, arguments=SHORT, *, code: int = 0, **options) -> str:
        """Runs to the end and returns what was said."""
        with self.start(arguments, **options) as process:
            said, _ = process.communicate(timeout=300)
        assert process.returncode == code, said
        return said

    def until(self, process: subprocess.Popen, pattern: str) -> None:
        for line in process.stdout:
            if re.search(pattern, line):
                return
        raise AssertionError(f"ended without {pattern!r}")

    def kernel(self) -> psutil.Process:
        """The notebook's process."""
        return next(p for p in self.processes() if "ipykernel_launcher" in " ".join(p.cmdline()))

    def processes(self) -> list[psutil.Process]:
        """All processes of runs in this folder, orphans too."""
        found = []
        for process in psutil.process_iter():
            try:
                cache = process.environ().get("CIFAR10_LADDER_CACHE")
                if cache == self.environment["CIFAR10_LADDER_CACHE"]:
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def all_gone(self, seconds: float = 15) -> bool:
        """Whether within some seconds no process is left."""
        ends = time.monotonic() + seconds
        while self.processes() and time.monotonic() < ends:
            time.sleep(0.2)
        return not self.processes()

    def resumes(self, unbroken: dict) -> str:
        """Runs again, from where it was struck to the end of an unbroken run."""
        printed = self.end(LONG)
        assert self.all_gone()
        self.assert_figures_are_those_of(unbroken)
        return next(line for line in printed.splitlines() if "resumes at epoch" in line)

    def record(self) -> dict:
        """The only record as JSON, without what never repeats."""
        (found,) = record.read_all(self.out)
        return {k: v for k, v in found.to_json().items() if k not in record.NEVER_REPEATS}

    def assert_figures_are_those_of(self, unbroken: dict) -> None:
        assert self.record() == unbroken
        accuracy = f"{100 * unbroken['metrics']['test']['accuracy']:.2f} %"
        assert accuracy in (self.out / "index.html").read_text(encoding="utf-8")
        assert not list(self.out.glob(".running/*/"))  # folders; Snakemake's marker may stay
        saved = Path(self.environment["CIFAR10_LADDER_CACHE"], "checkpoints")
        assert not saved.exists() or list(saved.iterdir()) == []


@pytest.fixture
def run_all(ladder_environment, tmp_path) -> RunAll:
    run_all = RunAll(tmp_path, ladder_environment)
    yield run_all
    for process in run_all.processes():
        process.kill()


def _unbroken(arguments, environment, folder) -> dict:
    run_all = RunAll(folder, environment)
    run_all.end(arguments)
    return run_all.record()


@pytest.fixture(scope="module")
def short(ladder_environment, tmp_path_factory) -> dict:
    """The record of a short run that nothing strikes."""
    return _unbroken(SHORT, ladder_environment, tmp_path_factory.mktemp("short"))


@pytest.fixture(scope="module")
def long(ladder_environment, tmp_path_factory) -> dict:
    """The record of a longer run that nothing strikes."""
    return _unbroken(LONG, ladder_environment, tmp_path_factory.mktemp("long"))


def failure(printed: str) -> str:
    """The line that says what failed."""
    return next(line for line in printed.splitlines() if line.startswith("FAILED"))


@pytest.mark.battery
def test_five_kills_of_everything(run_all, long, said):
    """Kill −9 of all processes at random moments, 5 times through run_all.sh"""
    draw, resumed = random.Random(0), 0
    for number in range(5):
        with run_all.start(LONG) as process:
            printed = ""
            if number % 2:
                time.sleep(draw.uniform(1, 9))
            else:  # in mid-training, however fast the machine is
                for line in process.stdout:
                    printed += line
                    if re.search(r"epoch \d+/\d+ ", line):
                        break
                time.sleep(draw.uniform(0, 0.5))
            for victim in run_all.processes():
                victim.kill()
            resumed += "resumes at epoch" in printed + process.stdout.read()
    resumed += "resumes at epoch" in run_all.end(LONG)
    assert resumed >= 1
    run_all.assert_figures_are_those_of(long)
    said(f"the record equals the unbroken one; resumed in mid-training {resumed} times")


def test_kernel_that_outlives_its_parents(run_all, long, said):
    """A kernel whose parents are killed while a new run begins"""
    with run_all.start(LONG) as process:
        run_all.until(process, "epoch 3/")
        kernel = run_all.kernel()
        for victim in run_all.processes():
            if victim != kernel:
                victim.kill()
        said(run_all.resumes(long))  # the kernel is there for a second more


def test_killed_main_job_takes_its_runs_with_it(run_all, long, said):
    """Kill −9 of run_all.sh alone while a new one begins"""
    with run_all.start(LONG) as process:
        run_all.until(process, "epoch 3/")
        process.kill()
        run_all.resumes(long)
        orphan = process.stdout.read()
    said(next(line for line in orphan.splitlines() if "belongs to is gone" in line))


@pytest.mark.battery
def test_ctrl_c_twice(run_all, long, said):
    """Ctrl-C twice"""
    with run_all.start(LONG) as process:
        run_all.until(process, "epoch 3/")
        process.send_signal(signal.SIGINT)
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        printed = process.communicate(timeout=20)[0]
    assert process.returncode == 1
    assert "the same command resumes from here" in printed
    assert "Traceback" not in printed
    assert run_all.all_gone()
    assert record.read_all(run_all.out) == []
    run_all.resumes(long)
    said(printed.splitlines()[-1])


@pytest.mark.battery
def test_kernel_that_dies(run_all, long, said):
    """A kernel that dies in mid-training, as by lack of memory"""
    with run_all.start(LONG) as process:
        run_all.until(process, "epoch 3/")
        run_all.kernel().kill()
        printed = process.communicate(timeout=60)[0]
    assert process.returncode == 1
    assert "kernel died" in failure(printed)
    run_all.resumes(long)
    said(failure(printed))


@pytest.mark.parametrize(
    ("who", "what"),
    [
        # The model and the predictions are written.
        pytest.param("ipykernel", "fsync:3", marks=pytest.mark.battery),
        pytest.param("ladder.run", "fsync:1", marks=pytest.mark.battery),  # in the page
        ("ladder.run", "replace:6"),  # all is moved but the record
    ],
)
def test_kill_while_the_record_is_written(run_all, short, said, who, what):
    """Kill −9 while record or page are written"""
    no_checkpoint = {checkpoints.EVERY: "3600"}
    printed = run_all.end(sabotage=f"{who}:{what}", code=1, extra=no_checkpoint)
    assert {"ipykernel": "kernel died", "ladder.run": "was ended by SIGKILL"}[who] in printed
    assert record.read_all(run_all.out) == []
    page = run_all.out / "index.html"
    assert not page.exists()
    run_all.end()
    run_all.assert_figures_are_those_of(short)
    said(failure(printed))


@pytest.mark.parametrize(
    ("sabotage", "reason"),
    [
        # The engine
        ("snakemake:signal:9", r"Snakemake, .+, failed: .*ended by SIGKILL; .+ too little memory"),
        pytest.param(
            "snakemake:missing:snakemake.api",
            r"Snakemake, .+: .*Error: import of snakemake.api .+",
            marks=pytest.mark.battery,
        ),
        # A job's start
        pytest.param(
            "ladder.run:signal:9",
            r"its process was ended by SIGKILL; .+ too little memory",
            marks=pytest.mark.battery,
        ),
        pytest.param(
            "ladder.run:exit:3",
            r"its process ended with exit code 3 and gave no reason",
            marks=pytest.mark.battery,
        ),
        ("ladder.run:missing:psutil", r"ModuleNotFoundError: import of psutil halted; .+"),
        # The kernel's start
        (
            "ipykernel:missing:zmq",
            r"the notebook's kernel did not start: ModuleNotFoundError: .+zmq.+",
        ),
        pytest.param(
            "ipykernel:exit:3",
            r"the notebook's kernel did not start: Kernel died before .+",
            marks=pytest.mark.battery,
        ),
        # The training; for the set-up cell see tests/notebooks/test_run.py
        ("ipykernel:fsync:1", r"the notebook's kernel died in the cell 'Train'; .+ memory"),
        # The page
        ("ladder.run:full:1", r"the notebook ran, but its page could .+: .+ No space left on .+"),
    ],
)
def test_a_job_that_dies_says_why(run_all, said, sabotage, reason):
    """Death at each stage: the engine, a job's start, the kernel's, training, page"""
    printed = run_all.end(sabotage=sabotage, code=1)
    found = re.search(rf"^FAILED 00_base_cnn-smoke-seed0: ({reason})$", printed, re.MULTILINE)
    assert found, printed
    assert "Traceback" not in printed
    log = (run_all.out / "logs" / "00_base_cnn-smoke-seed0.log").read_text()
    assert log.endswith(f"FAILED: {found[1]}\n")
    said(found[0])


@pytest.mark.skipif(not CAN_MOUNT, reason="no file system may be mounted here")
@pytest.mark.battery
def test_full_disk(run_all, short, said):
    """A full disk under the report's folder"""
    run_all.out.mkdir()
    mount = f"mount -t tmpfs -o size=%s none {run_all.out}"
    inside = f'{mount % "1m"}; "$0" "$@"; {mount % "90m"} -o remount; "$0" "$@" || exit; '
    keep = f"cp -r {run_all.out} {run_all.folder}/kept"
    printed = run_all.end(before=("unshare", "-rm", "sh", "-c", inside + keep))
    assert "No space left on device" in failure(printed)
    assert "Traceback" not in printed
    shutil.move(run_all.folder / "kept", run_all.out / "kept")
    run_all.out = run_all.out / "kept"
    run_all.assert_figures_are_those_of(short)
    said(failure(printed))


def _without_override() -> None:
    """Takes from root what lets it write where it may not."""
    ctypes.CDLL(None).prctl(24, 1, 0, 0, 0)  # PR_CAPBSET_DROP, CAP_DAC_OVERRIDE


@pytest.mark.battery
def test_read_only_output(run_all, short, said):
    """A report's folder that may not be written"""
    run_all.end()
    run_all.out.chmod(0o555)
    printed = run_all.end(
        ("--profile", "smoke", "--only", "01"), code=1, preexec_fn=_without_override
    )
    assert re.fullmatch(r"--out .* cannot be written \(.+\); choose another folder\n", printed)
    run_all.out.chmod(0o755)
    assert "1 of 1 up to date" in run_all.end()
    run_all.assert_figures_are_those_of(short)
    said(printed.replace(str(run_all.out), "DIR"))


@pytest.mark.battery
def test_two_at_once(run_all, long, said):
    """Two run_all.sh at once in the same folder"""
    with run_all.start(LONG) as process:
        run_all.until(process, "epoch 1/")
        printed = run_all.end(LONG, code=1)
        first = process.communicate(timeout=120)[0]
    assert process.returncode == 0, first
    assert re.fullmatch(r"another run is at work in .*\n", printed)
    run_all.assert_figures_are_those_of(long)
    said(printed.replace(str(run_all.out), "DIR"))


@pytest.mark.battery
def test_stale_lock_of_snakemake(run_all, short, said):
    """A lock and a note of unfinished work that a killed Snakemake left"""
    for folder in ("locks", "incomplete"):
        (run_all.out / ".snakemake" / folder).mkdir(parents=True)
    target = ".running/00_base_cnn-smoke-seed0.done"
    for kind in ("input", "output"):
        (run_all.out / ".snakemake" / "locks" / f"0.{kind}.lock").write_text(target + "\n")
    (run_all.out / ".snakemake" / "incomplete" / b64encode(target.encode()).decode()).touch()
    run_all.end()
    run_all.assert_figures_are_those_of(short)
    said("the run completes")


@pytest.mark.battery
def test_clock_that_goes_backwards(run_all, short, said):
    """A clock that goes back an hour each time it is read, in every process"""
    run_all.end(sabotage=":clock:3600")
    struck = (run_all.folder / "sabotaged").read_text()
    assert all(who in struck for who in ("ladder", "snakemake", "ladder.run", "ipykernel"))
    run_all.assert_figures_are_those_of(short)
    for path in run_all.out.rglob("*"):  # as if it had all been made in a year
        os.utime(path, (time.time() + 3e7,) * 2)
    assert "1 of 1 up to date" in run_all.end()
    said("the run completes, and the next has nothing to do")


@pytest.mark.battery
def test_data_replaced_between_two_runs(run_all, said):
    """A data file replaced by another of the same name, size and date"""
    data = run_all.folder / "mine"
    data.mkdir()
    path = data / "images.npz"
    run_all.environment["CIFAR10_DIR"] = str(data)
    digests, accuracies = [], []
    for seed in range(2):
        rng = np.random.default_rng(seed)
        y = np.tile(np.arange(10), 30)
        x = (rng.integers(0, 40, (300, 32, 32, 3)) + 20 * y[:, None, None, None]).astype(np.uint8)
        np.savez(path, x_train=x, y_train=y, x_test=x[:100], y_test=y[:100])
        os.utime(path, (1e9, 1e9))
        printed = run_all.end((*SHORT, "--dataset", "cifar10"))
        assert "0 of 1 up to date" in printed
        digests.append(run_all.record()["dataset"]["sha256"])
        accuracies.append(f"{run_all.record()['metrics']['test']['loss']:.3f}")
        page = (run_all.out / "index.html").read_text(encoding="utf-8")
        assert accuracies[-1] in page
    assert digests[0] != digests[1]
    assert accuracies[0] != accuracies[1]
    assert accuracies[0] not in page
    said("0 of 1 up to date: it is run again")


def test_started_among_modules_of_the_same_names(run_all, tmp_path, said):
    """Started from a folder with `lib`, `ladder`, `random.py` and `yaml.py` of the reader's own"""
    here = tmp_path / "here"
    for package in ("lib", "ladder"):
        (here / package).mkdir(parents=True)
        (here / package / "__init__.py").write_text("raise SystemExit('not the project')")
    for module in ("random", "yaml", "keras"):
        (here / f"{module}.py").write_text("raise SystemExit('not the library')")
    said(run_all.end(cwd=here).splitlines()[0])
    assert run_all.record()["experiment"] == "00_base_cnn"


@pytest.mark.battery
def test_record_changed_by_hand(run_all, short, said):
    """A record whose accuracy somebody improved"""
    run_all.end()
    path = run_all.out / "results" / "00_base_cnn-smoke-seed0.json"
    content = json.loads(path.read_text())
    content["metrics"]["test"]["accuracy"] = 0.9916
    path.write_text(json.dumps(content))
    command = [sys.executable, "-m", "ladder.run", "report", "--out", str(run_all.out)]
    subprocess.run(command, env=run_all.environment, check=True)
    page = (run_all.out / "index.html").read_text(encoding="utf-8")
    assert "99.16 %" not in page
    line = re.search(r"Left out: .*", page)[0]
    assert "00_base_cnn-smoke-seed0.json was changed after it was written" in line
    assert "0 of 1 up to date" in run_all.end()
    run_all.assert_figures_are_those_of(short)
    said(line)


@pytest.mark.battery
def test_record_copied_under_another_seed(run_all, short, said):
    """One run shown as two seeds"""
    run_all.end()
    path = run_all.out / "results" / "00_base_cnn-smoke-seed0.json"
    content = json.loads(path.read_text()) | {"seed": 1}
    content["digest"] = record.digest(content)
    copy = path.with_name("00_base_cnn-smoke-seed1.json")
    copy.write_text(json.dumps(content))
    line = failure(run_all.end(code=1))
    assert "seeds 0 and 1 have the same history and metrics to the last digit" in line
    copy.unlink()
    run_all.end()
    run_all.assert_figures_are_those_of(short)
    said(line)
