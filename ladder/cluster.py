"""Where jobs run: on this machine, several at a time, or on a cluster, through Snakemake."""

import fcntl
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

import psutil

from ladder.reasons import UsageError
from lib import ROOT, cache, digests

EXECUTORS = ("local", "slurm", "kubernetes")
JOBS = ".running/jobs.json"
"""File in the report's folder: command, priority and minutes of each job, by name."""
MAIN = "CIFAR10_LADDER_MAIN"
"""Environment variable: process of the main job, without which Snakemake is not to submit more."""
PARENT = "CIFAR10_LADDER_PARENT"
"""Environment variable: process of the main job, without which a run here is not to continue."""
MOST_MINUTES = 24 * 60
"""The longest time that a cluster is asked for."""
CORES = "CIFAR10_LADDER_CORES"
"""Environment variable: on how many cores a notebook runs; all without it."""
IN_SLURM = ".running/slurm"
"""File in the report's folder: it may have jobs in Slurm."""
LOCAL = "local"
"""In the name of a run's folder: it is of no cluster's job."""
COMMENT = "rule_notebook_wildcards_"
"""Before a job's name in the comment that Snakemake gives it in Slurm."""


def check(executor: str, jobs: int) -> None:
    """Refuses what this machine cannot do.

    Raises:
        UsageError: if there are too few cores, or what the executor needs is not installed.
    """
    if jobs < 1:
        raise UsageError(f"--jobs {jobs}: expected 1 or more")
    if executor == "local" and jobs > (cores := len(_cores())):
        raise UsageError(f"--jobs {jobs}: this machine has {cores} cores; give at most so many")
    if executor != "local" and not importlib.util.find_spec(
        f"snakemake_executor_plugin_{executor}"
    ):
        raise UsageError(
            f"--executor {executor} needs a plugin of Snakemake: pip install -e '.[{executor}]'"
        )
    if executor == "slurm" and not shutil.which("sbatch"):
        raise UsageError("--executor slurm: no sbatch on this machine; run it on a login node")


def snakemake(names: list[str], out: Path, executor: str, at_once: int) -> list[str]:
    """Returns the command that runs jobs.

    Args:
        names: of the jobs, which `write_jobs` has written.
        out: the report's folder.
        executor: one of `EXECUTORS`.
        at_once: how many run at a time, or wait in the cluster's queue.
    """
    snakefile = ROOT / "Snakefile"
    if executor == "kubernetes":  # sources for pods must be in the working directory
        snakefile = shutil.copy(snakefile, (out / JOBS).parent)
    command = [sys.executable, "-P", "-m", "snakemake", "--snakefile", str(snakefile)]
    command += ["--directory", str(out), "--keep-going", "--nolock"]
    if executor == "local":
        share = len(_cores()) // at_once
        command += ["--cores", str(share * at_once), "--set-threads", f"notebook={share}"]
    else:
        profile = ROOT / "ladder" / "executors" / executor
        command += ["--profile", str(profile), "--jobs", str(at_once)]
    if executor == "kubernetes":
        command += ["--default-storage-prefix", str(out)]
    if executor == "slurm":
        (out / IN_SLURM).touch()
        command += ["--slurm-jobname-prefix", _prefix(out)]
        # TensorFlow uses a GPU only with NVIDIA's packages (pip install tensorflow[and-cuda]).
        if importlib.util.find_spec("nvidia") and "gpu" in _output("sinfo", "-ho", "%G"):
            command += ["--set-resources", "notebook:gpu=1"]
    command += ["--rerun-triggers", "mtime", "--quiet", "progress", "host"]
    command += ["rules"] if executor == "local" else []  # what a cluster says of a failure
    command += ["--workflow-profile", "none"]  # that of the working directory stays out
    # All but "source-cache", which Snakemake would keep in the reader's home.
    command += ["--shared-fs-usage", "input-output", "persistence", "software-deployment"]
    command += ["sources", "storage-local-copies", "--"]
    return command + [f".running/{name}.done" for name in names]


def queued(out: Path) -> dict[str, str]:
    """Returns the jobs of a report's folder that wait or run in Slurm: names by Slurm's number.

    Raises:
        OSError: if Slurm does not answer.
    """
    if not (out / IN_SLURM).exists():
        return {}
    found = {}
    for line in _output("squeue", "--me", "-ho", "%i|%j|%k").splitlines():
        number, name, comment = (*line.split("|", 2), "", "")[:3]
        if name.startswith(_prefix(out)):
            found[number] = comment.removeprefix(COMMENT)
    return found


def cancel(out: Path) -> None:
    """Cancels the jobs of a report's folder that wait or run in Slurm."""
    with suppress(OSError):  # some have ended by themselves
        if numbers := queued(out):
            _output("scancel", *numbers)


class Queue:
    """Notices that Slurm has none of the jobs for which Snakemake waits.

    Snakemake's plugin forgets a job when Slurm did not answer for long, or forgot the job first.
    """

    def __init__(self, out: Path, *, every: float = 30, patience: float = 180):
        self.out, self.every, self.patience = out, every, patience
        self.asked = self.seen = time.monotonic()

    def has_lost(self, names: Iterable[str]) -> bool:
        """Returns whether Slurm has had none of these jobs for some minutes."""
        now = time.monotonic()
        if now - self.asked >= self.every:
            self.asked = now
            try:
                if not set(queued(self.out).values()).isdisjoint(names):
                    self.seen = now
            except OSError:  # it does not answer: nothing is known
                self.seen = now
        return now - self.seen > self.patience


def clear(out: Path, alive: dict[str, str]) -> None:
    """Removes what killed runs have left in ``.running``, but nothing of jobs that are alive.

    Args:
        out: the report's folder.
        alive: as `queued` returns them.
    """
    for path in (out / ".running").glob("*"):
        if path.is_dir() and _job(path) not in alive:
            shutil.rmtree(path, ignore_errors=True)
        elif path.is_file() and not (alive and path.name in (Path(JOBS).name, Path(IN_SLURM).name)):
            path.unlink(missing_ok=True)


def minutes(seconds: float | None) -> int:
    """Returns the time to ask a cluster for: half an hour and four times the estimate, or a day."""
    return MOST_MINUTES if seconds is None else 30 + round(4 * seconds / 60)


def write_jobs(out: Path, jobs: dict[str, dict]) -> None:
    """Writes `JOBS`, with those there that may still begin."""
    path = out / JOBS
    path.parent.mkdir(exist_ok=True)
    with suppress(OSError, ValueError):
        jobs = json.loads(path.read_text(encoding="utf-8")) | jobs
    with cache.atomic_file(path) as part:
        part.write_text(json.dumps(jobs), encoding="utf-8")


def is_alive(process: int) -> bool:
    """Returns whether a process of this machine works."""
    try:
        return psutil.Process(process).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def once_gone(variable: str, act: Callable[[], None]) -> None:
    """Calls a function once the process is gone that an environment variable names, if any."""

    def watch(main_job: int) -> None:
        while is_alive(main_job):
            time.sleep(1)
        act()

    if variable in os.environ:
        threading.Thread(target=watch, args=(int(os.environ[variable]),), daemon=True).start()


def end_with_main_job() -> None:
    """Ends this process, Snakemake, once the main job is gone.

    An ``sbatch`` that is under way ends by itself, so that its job is known, and jobs continue.
    """
    once_gone(MAIN, lambda: os.kill(os.getpid(), signal.SIGKILL))


@contextmanager
def own_cores(out: Path) -> Iterator[None]:
    """Keeps a notebook to its `CORES`, by the environment and, on this machine, by affinity.

    Args:
        out: the report's folder, where runs on this machine agree on their shares.
    """
    cores = _cores()
    share = int(os.environ.get(CORES, len(cores)))
    if share < len(cores):
        os.environ |= dict.fromkeys(("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS"), str(share))
    slots = len(cores) // share if PARENT in os.environ else 1  # a cluster sees to its own nodes
    with _slot(out, slots) if slots > 1 else nullcontext(0) as slot:
        if slots > 1 and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, cores[slot * share : (slot + 1) * share])
        yield


@contextmanager
def _slot(out: Path, slots: int) -> Iterator[int]:
    """Gives the number of a share that no other run has."""
    (out / ".running").mkdir(parents=True, exist_ok=True)
    while True:
        for slot in range(slots):
            with (out / ".running" / f"slot{slot}").open("w") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                yield slot
                return
        time.sleep(0.1)  # the run before has not quite ended


def _cores() -> list[int]:
    """Returns the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count()))


def _prefix(out: Path) -> str:
    """Returns the beginning of the names, in Slurm, of the jobs of a report's folder."""
    return f"ladder-{digests.of_text(str(out))[:12]}"


def _job(folder: Path) -> str:
    """Returns from the name of a run's folder whose it is: Slurm's number of a job, or `LOCAL`."""
    return folder.name.split("-")[-2]


def _output(*command: str) -> str:
    """Returns what a command prints.

    Raises:
        OSError: if the command fails, or there is none.
    """
    if not shutil.which(command[0]):
        raise OSError(
            f"there is no {command[0]} on this machine; run this on a login node of Slurm"
        )
    # The reader's defaults, like SQUEUE_STATES, would hide jobs.
    own = {k: v for k, v in os.environ.items() if not k.startswith(("SQUEUE_", "SINFO_"))}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=own)
    if done.returncode:
        raise OSError(f"{command[0]} failed: {' '.join(done.stderr.split())}; run this again later")
    return done.stdout
