"""The ladder on a Slurm cluster of one node, whose jobs do not see the submitting process."""

import json
import os
import signal
import statistics
import subprocess
import sys
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


@pytest.fixture
def start(environment):
    """Starts ``run_all.sh`` on as many cores as a job has."""
    started = []

    def begin(out: Path, *arguments: str, executor: str = "slurm", jobs: int = 4):
        command = [sys.executable, "-P", "-m", "ladder", *arguments, "--executor", executor]
        process = subprocess.Popen(
            [*command, "--jobs", str(jobs), "--out", str(out)],
            env=environment,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            preexec_fn=lambda: os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES]),
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
    slurm("scancel", "--me")


def slurm(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def states() -> Counter:
    """Counts Slurm's jobs by name and state, also those that are over."""
    lines = slurm("squeue", "--states=all", "--noheader", "--format=%k|%T").splitlines()
    return Counter(tuple(line.removeprefix(cluster.COMMENT).split("|")) for line in lines)


def at_work(out: Path) -> str | None:
    """Returns Slurm's number of a job that has its folder."""
    folders = [path for path in (out / ".running").glob("*-*") if path.is_dir()]
    return next((path.name.split("-")[-2] for path in folders), None)


def test_nothing_is_lost(tmp_path, start):
    """Two seeds of the ladder: a job is cancelled, the node drained, the main job killed."""
    out = tmp_path / "slurm"
    main = start(out, *LADDER)
    until(lambda: record.paths(out), "a record")
    cancelled = until(lambda: at_work(out), "a job at work")
    slurm("scancel", cancelled)
    host = slurm("sinfo", "--noheader", "--format=%n").strip()
    slurm("scontrol", "update", f"NodeName={host}", "State=DRAIN", "Reason=test")
    until(lambda: "drained" in slurm("sinfo", "--noheader", "--format=%T"), "the drained node")
    slurm("scontrol", "update", f"NodeName={host}", "State=RESUME")
    until(lambda: at_work(out), "a job at work after that")
    waited = 0
    for seconds in (0, 3, 5, 7, 9, 12, 16):
        main.kill()
        waited += "that an earlier run has submitted" in main.communicate()[0]
        main = start(out, *LADDER)
        time.sleep(seconds)
    printed = main.communicate()[0]
    assert main.returncode == 0, printed
    assert waited
    assert {path.stem for path in record.paths(out)} == NAMES
    assert [path for path in (out / ".running").glob("*") if path.is_dir()] == []
    found = states()
    assert {name for name, _ in found} == NAMES
    assert Counter(state for _, state in found.elements()) == {"COMPLETED": 22, "CANCELLED": 1}
    assert "0 of 22" not in start(out, *LADDER).communicate()[0]

    here = tmp_path / "local"
    main = start(here, *LADDER, executor="local", jobs=1)
    printed = main.communicate()[0]
    assert main.returncode == 0, printed
    for name in NAMES:
        one, other = (record.read(folder / "results" / f"{name}.json") for folder in (out, here))
        assert (one.metrics, one.history) == (other.metrics, other.history), name
        one, other = (np.load(folder / "results" / f"{name}.npz") for folder in (out, here))
        assert all(np.array_equal(one[key], other[key]) for key in other), name


def test_overhead(tmp_path, start, capsys):
    """Ten jobs one after the other, on Slurm and here."""
    typical = {}
    for executor in ("local", "slurm"):
        arguments = ("--profile", "smoke", "--only", "00", "--seeds", "0-9")
        main, times = start(tmp_path / executor, *arguments, executor=executor, jobs=1), []
        for line in main.stdout:
            if "done:" in line:
                times.append(time.monotonic())
        assert main.wait() == 0
        typical[executor] = statistics.median(np.diff(times))
    with capsys.disabled():
        print(f"\nseconds from one job to the next: {typical}")
    assert typical["slurm"] - typical["local"] <= 15


def test_sweep_of_200_jobs(tmp_path, start, capsys, monkeypatch, environment):
    file, out = tmp_path / "sweep.yaml", tmp_path / "out"
    file.write_text(SWEEP)
    arguments = ("--sweep", str(file), "--dataset", "cifar10")
    began = time.monotonic()
    main = start(out, *arguments, jobs=200)
    until(lambda: cluster.queued(out), "the first job")
    planned = time.monotonic() - began
    until(lambda: record.paths(out), "a record")
    main.send_signal(signal.SIGINT)
    assert "resumes from here" in main.communicate()[0]
    until(lambda: not cluster.queued(out), "an empty queue")

    write_all(out, file, environment, monkeypatch)
    began = time.monotonic()
    main = start(out, *arguments)
    printed = main.communicate()[0]
    reported = time.monotonic() - began
    assert main.returncode == 0, printed
    assert "200 of 200 up to date" in printed
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
        one = replace(made, **changes)
        path = out / "results" / f"{one.name}.json"
        path.write_text(json.dumps(one.to_json()))
        path.with_suffix(".npz").write_bytes(arrays)
        (out / "notebooks" / f"{one.name}.html").touch()
