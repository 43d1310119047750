"""The ladder on a Slurm cluster of one node, whose jobs do not see the submitting process."""

import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ladder import cluster, plan, sweep
from lib import ROOT, data
from lib.results import fingerprint, record
from lib.study import SLUGS
from tests.cluster.conftest import until

pytestmark = pytest.mark.cluster
SCRIPT = Path(__file__).parent / "one_node.sh"
CORES = 2
LADDER = ("--profile", "smoke", "--dataset", "cifar10", "--seeds", "0,1")
NAMES = {f"{slug}-smoke-seed{seed}" for slug in SLUGS for seed in (0, 1)}
SWEEP = """
profile: smoke
only: "00"
seeds: 0-49
settings: [{}, {LEARNING_RATE: 1.0e-2}, {LEARNING_RATE: 1.0e-4}, {BATCH_SIZE: 64}]
"""


@pytest.fixture(scope="module", autouse=True)
def node(tmp_path_factory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("slurm")
    subprocess.run([SCRIPT, "start", folder, str(CORES)], check=True)
    yield
    subprocess.run([SCRIPT, "stop", folder], check=True)


class Run:
    """A ``run_all.sh`` on as many cores as a job has; what it prints is in a file."""

    def __init__(self, out: Path, arguments: tuple, environment: dict, executor: str, jobs: int):
        command = [sys.executable, "-P", "-m", "ladder", *arguments, "--executor", executor]
        self.file = tempfile.TemporaryFile("a+")  # noqa: SIM115
        self.process = subprocess.Popen(
            [*command, "--jobs", str(jobs), "--out", str(out)],
            env=environment,
            cwd=ROOT,
            stdout=self.file,
            stderr=subprocess.STDOUT,
            preexec_fn=lambda: os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES]),
        )

    def printed(self) -> str:
        self.file.seek(0)
        return self.file.read()

    def kill(self) -> str:
        """Kills it alone, so that its Snakemake sees to itself; returns what it has printed."""
        self.process.kill()
        self.process.wait()
        return self.printed()

    def end(self) -> str:
        """Waits for it; returns what it has printed."""
        assert self.process.wait() == 0, self.printed()
        return self.printed()


@pytest.fixture
def start(environment):
    """Starts ``run_all.sh``."""
    started = []

    def begin(out: Path, *arguments: str, executor: str = "slurm", jobs: int = 4) -> Run:
        started.append(Run(out, arguments, environment, executor, jobs))
        return started[-1]

    yield begin
    for run in started:
        run.kill()
    slurm("scancel", "--me")


def slurm(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def states() -> Iterator[dict[str, tuple[str, str]]]:
    """Name and last state of each job, by Slurm's number."""
    found, over = {}, threading.Event()

    def ask() -> None:
        while not over.wait(1):
            lines = slurm("squeue", "--states=all", "-ho", "%i|%k|%T").splitlines()
            for number, comment, state in (line.split("|") for line in lines):
                found[number] = comment.removeprefix(cluster.COMMENT), state

    thread = threading.Thread(target=ask)
    thread.start()
    yield found
    over.set()
    thread.join()


def at_work(out: Path, *, after: str = "") -> str | None:
    """Returns Slurm's number of a job that has its folder, and not the one given."""
    folders = [path for path in (out / ".running").glob("*-*") if path.is_dir()]
    return next((n for n in (path.name.split("-")[-2] for path in folders) if n != after), None)


def test_nothing_is_lost(tmp_path, start, states):
    """Jobs are cancelled and requeued, the node is drained, the main job is killed."""
    out = tmp_path / "slurm"
    run = start(out, *LADDER)
    first = until(lambda: at_work(out), "a job at work")
    cancelled = until(lambda: at_work(out, after=first), "the next job at work")
    slurm("scancel", cancelled)
    requeued = until(lambda: at_work(out, after=cancelled), "another job at work")
    slurm("scontrol", "requeue", requeued)
    host = slurm("sinfo", "-ho", "%n").strip()
    slurm("scontrol", "update", f"NodeName={host}", "State=DRAIN", "Reason=test")
    until(lambda: "drained" in slurm("sinfo", "-ho", "%T"), "the drained node")
    slurm("scontrol", "update", f"NodeName={host}", "State=RESUME")
    until(lambda: at_work(out, after=requeued), "a job at work after that")
    waited = 0
    for seconds in (0, 3, 5, 7, 9, 12, 16):
        waited += "the jobs of an earlier run" in run.kill()
        run = start(out, *LADDER)
        time.sleep(seconds)
    run.end()
    assert waited
    assert {path.stem for path in record.paths(out)} == NAMES
    time.sleep(2)  # the last job ends
    assert [path for path in (out / ".running").glob("*") if path.is_dir()] == []
    assert {name for name, _ in states.values()} == NAMES
    assert Counter(state for _, state in states.values()) == {"COMPLETED": 22, "CANCELLED": 1}
    assert "22 of 22 up to date" in start(out, *LADDER).end()

    here = tmp_path / "local"
    start(here, *LADDER, executor="local", jobs=1).end()
    for name in NAMES:
        one, other = (record.read(folder / "results" / f"{name}.json") for folder in (out, here))
        assert (one.metrics, one.history) == (other.metrics, other.history), name
        one, other = (np.load(folder / "results" / f"{name}.npz") for folder in (out, here))
        assert all(np.array_equal(one[key], other[key]) for key in other), name


def test_overhead(tmp_path, start, capsys):
    """Ten jobs one after the other, on Slurm and here."""
    typical = {}
    for executor in ("local", "slurm"):
        out, times = tmp_path / executor, []
        arguments = ("--profile", "smoke", "--only", "00", "--seeds", "0-9")
        run = start(out, *arguments, executor=executor, jobs=1)
        for number in range(1, 11):
            until(lambda: len(record.paths(out)) >= number, f"record {number}")  # noqa: B023
            times.append(time.monotonic())
        run.end()
        typical[executor] = round(float(statistics.median(np.diff(times))), 1)
    with capsys.disabled():
        print(f"\nseconds from one job to the next: {typical}")
    assert typical["slurm"] - typical["local"] <= 15


def test_sweep_of_200_jobs(tmp_path, start, capsys, monkeypatch, environment):
    file, out = tmp_path / "sweep.yaml", tmp_path / "out"
    file.write_text(SWEEP)
    arguments = ("--sweep", str(file), "--dataset", "cifar10")
    began = time.monotonic()
    run = start(out, *arguments, jobs=200)
    until(lambda: cluster.queued(out), "the first job")
    planned = time.monotonic() - began
    until(lambda: record.paths(out), "a record")
    run.process.send_signal(signal.SIGINT)
    assert run.process.wait() == 1
    assert "resumes from here" in run.printed()
    until(lambda: not cluster.queued(out), "an empty queue")

    write_all(out, file, environment, monkeypatch)
    began = time.monotonic()
    assert "200 of 200 up to date" in start(out, *arguments).end()
    reported = time.monotonic() - began
    with capsys.disabled():
        print(f"\n200 jobs: planned in {planned:.1f} s, reported in {reported:.1f} s")
    assert planned <= 10
    assert reported <= 60


def write_all(out: Path, file: Path, environment: dict[str, str], monkeypatch) -> None:
    """Writes the records of a sweep, made of one that ran."""
    made = record.read(record.paths(out)[0])
    arrays = record.paths(out)[0].with_suffix(".npz").read_bytes()
    monkeypatch.setenv("CIFAR10_LADDER_CACHE", environment["CIFAR10_LADDER_CACHE"])
    source, swept = data.open_source("cifar10"), sweep.read(file)
    seeds = plan.read_seeds(swept.seeds)
    jobs = plan.plan(
        ["00_base_cnn"],
        profile="smoke",
        seeds=seeds,
        source=source,
        dataset="cifar10",
        settings=swept.settings,
    )
    assert len(jobs) == 200
    for job in jobs:
        mark = fingerprint.of_run(job.slug, job.values, data=job.data, weights=None)
        changes = {"seed": job.seed, "parameters": job.values, "fingerprint": mark}
        changes["profile"] = "custom" if job.changes else "smoke"
        loss = [value + job.seed / 1000 for value in made.history["loss"]]  # no run is a copy
        changes["history"] = made.history | {"loss": loss}
        one = replace(made, **changes)
        path = out / "results" / f"{one.name}.json"
        path.write_text(json.dumps(one.to_json()))
        path.with_suffix(".npz").write_bytes(arrays)
        (out / "notebooks" / f"{one.name}.html").touch()
