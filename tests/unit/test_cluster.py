"""Where jobs run: shares of a machine's cores, and what Slurm is asked and told."""

import json
import os
import subprocess
import sys
import time

import pytest

from ladder import cluster
from ladder.reasons import UsageError
from lib import ROOT

SQUEUE = """#!/bin/sh
cat << END
17|ladder-{mark}_{uuid}|rule_notebook_wildcards_00_base_cnn-smoke-seed0
18|ladder-000000000000_{uuid}|rule_notebook_wildcards_01_deeper_cnn-smoke-seed0
19|other|
END
"""


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """Programs that answer like Slurm's; returns the report's folder of job 17."""
    out, programs = tmp_path / "out", tmp_path / "bin"
    programs.mkdir()
    mark = cluster._prefix(out).removeprefix("ladder-")
    for name, text in {
        "squeue": SQUEUE.format(mark=mark, uuid="b335"),
        "sinfo": "#!/bin/sh\necho gpu:a100:4\n",
        "sbatch": "#!/bin/sh\n",
    }.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    (out / ".running").mkdir(parents=True)
    (out / cluster.IN_SLURM).touch()
    return out


def test_jobs_of_this_folder_are_found_in_the_queue(slurm, tmp_path):
    assert cluster.queued(slurm) == {"17": "00_base_cnn-smoke-seed0"}
    assert cluster.queued(tmp_path / "elsewhere") == {}


def test_a_slurm_that_does_not_answer_is_no_empty_queue(slurm, tmp_path, monkeypatch):
    program = tmp_path / "bin" / "squeue"
    program.write_text("#!/bin/sh\necho no controller >&2\nexit 1\n")
    with pytest.raises(OSError, match="squeue failed: no controller; run this again later"):
        cluster.queued(slurm)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(OSError, match="there is no squeue on this machine"):
        cluster.queued(slurm)
    cluster_less = tmp_path / "laptop"
    assert cluster.queued(cluster_less) == {}


def test_jobs_that_slurm_has_lost_are_noticed(slurm, tmp_path):
    queue = cluster.Queue(slurm, every=0, patience=0.2)
    time.sleep(0.3)
    assert not queue.has_lost(["00_base_cnn-smoke-seed0"])
    assert not queue.has_lost(["01_deeper_cnn-smoke-seed0"])  # since a moment ago
    time.sleep(0.3)
    assert queue.has_lost(["01_deeper_cnn-smoke-seed0"])
    (tmp_path / "bin" / "squeue").write_text("#!/bin/sh\nexit 1\n")
    assert not queue.has_lost(["01_deeper_cnn-smoke-seed0"])  # it does not answer


def test_ctrl_c_cancels_what_is_in_the_queue(slurm, tmp_path):
    said = tmp_path / "said"
    program = tmp_path / "bin" / "scancel"
    program.write_text(f'#!/bin/sh\necho "$@" > {said}\n')
    program.chmod(0o755)
    cluster.cancel(tmp_path / "elsewhere")
    assert not said.exists()
    cluster.cancel(slurm)
    assert said.read_text() == "17\n"


def test_folders_of_living_jobs_stay(tmp_path):
    running = tmp_path / ".running"
    for name in ("00_base_cnn-smoke-seed0-17-abcd", "01_deeper_cnn-smoke-seed0-local-abcd"):
        (running / name).mkdir(parents=True)
    cluster.write_jobs(tmp_path, {"00_base_cnn-smoke-seed0": {"minutes": 1}})
    (running / "old.done").touch()
    cluster.clear(tmp_path, {"17": "00_base_cnn-smoke-seed0"})
    assert sorted(path.name for path in running.iterdir()) == [
        "00_base_cnn-smoke-seed0-17-abcd",
        "jobs.json",
    ]
    cluster.write_jobs(tmp_path, {"02_dropout-smoke-seed0": {"minutes": 2}})
    assert len(json.loads((tmp_path / cluster.JOBS).read_text())) == 2
    cluster.clear(tmp_path, {})
    assert list(running.iterdir()) == []


def test_slurm_gets_a_gpu_where_there_are_any(slurm, monkeypatch, tmp_path):
    has = {"nvidia": True}
    monkeypatch.setattr("importlib.util.find_spec", has.get)
    found = cluster.snakemake(["a"], slurm, "slurm", 7)
    assert found[found.index("--jobs") + 1] == "7"
    assert "notebook:gpu=1" in found
    profile = found[found.index("--profile") + 1]
    assert (ROOT / "ladder" / "executors" / "slurm").samefile(profile)
    has.clear()  # a TensorFlow that cannot use it
    assert "notebook:gpu=1" not in cluster.snakemake(["a"], slurm, "slurm", 7)
    has["nvidia"] = True
    (tmp_path / "bin" / "sinfo").write_text("#!/bin/sh\necho '(null)'\n")
    assert "notebook:gpu=1" not in cluster.snakemake(["a"], slurm, "slurm", 7)
    here = cluster.snakemake(["a", "b"], slurm, "local", 2)
    share = len(cluster._cores()) // 2
    assert here[here.index("--cores") + 1] == str(2 * share)
    assert here[here.index("--set-threads") + 1] == f"notebook={share}"
    assert not {"--profile", "--jobs", "--set-resources"} & set(here)
    assert here[-3:] == ["--", ".running/a.done", ".running/b.done"]


@pytest.mark.parametrize(
    ("executor", "jobs", "reason"),
    [
        ("local", 0, "--jobs 0: expected 1 or more"),
        ("local", 100_000, "this machine has"),
        ("kubernetes", 2, "needs a plugin of Snakemake: pip install -e '.[kubernetes]'"),
    ],
)
def test_what_cannot_run_here_is_said_at_once(executor, jobs, reason, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(UsageError) as error:
        cluster.check(executor, jobs)
    assert reason in str(error.value)


SHARE = """
import os, sys
from pathlib import Path
from ladder import cluster
with cluster.own_cores(Path(sys.argv[1])):
    cores = sorted(os.sched_getaffinity(0))
    print(*cores, os.environ.get("TF_NUM_INTRAOP_THREADS"), flush=True)
    sys.stdin.read()
"""


@pytest.mark.skipif(len(cluster._cores()) < 2, reason="there is one core")
def test_two_runs_share_the_cores(tmp_path):
    half = len(cluster._cores()) // 2
    environment = os.environ | {
        cluster.PARENT: str(os.getpid()),
        cluster.CORES: str(half),
        "PYTHONPATH": str(ROOT),
    }
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", SHARE, tmp_path],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    one, other = [process.stdout.readline().split() for process in runs]
    for process in runs:
        process.communicate()
    assert (len(one) - 1, one[-1], other[-1]) == (half, str(half), str(half))
    assert set(one[:-1]).isdisjoint(other[:-1])


def test_snakemake_ends_with_the_main_job():
    main_job = subprocess.Popen(["sleep", "60"])
    code = "from ladder import cluster; import time; cluster.end_with_main_job(); time.sleep(60)"
    environment = os.environ | {cluster.MAIN: str(main_job.pid), "PYTHONPATH": str(ROOT)}
    engine = subprocess.Popen([sys.executable, "-c", code], env=environment, start_new_session=True)
    time.sleep(3)
    assert engine.poll() is None
    main_job.kill()
    main_job.wait()
    assert engine.wait(timeout=20) == -9


def test_the_time_that_a_cluster_is_asked_for():
    assert cluster.minutes(600) == 70
    assert cluster.minutes(None) == cluster.MOST_MINUTES == 24 * 60
