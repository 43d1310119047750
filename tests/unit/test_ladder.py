"""The main job's command line: what it means, and what it says to nonsense."""

import errno
import fcntl
import io
import os
import subprocess
import sys
import threading
import types
from dataclasses import replace

import pytest

from ladder import __main__ as command
from ladder import plan
from lib import ROOT, data
from lib.data import cifar10
from lib.results import record
from lib.study import COMPANIONS, SLUGS
from tests.unit.made_data import write_set


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("00", [0]),
        ("0", [0]),
        ("00,03-05", [0, 3, 4, 5]),
        ("10", [10]),
        ("00-10", list(range(11))),
        ("03_double_conv,01", [1, 3]),
        ("1,1-2", [1, 2]),
    ],
)
def test_only(text, numbers):
    assert command.select(text) == [SLUGS[number] for number in numbers]


def test_only_companions():
    assert command.select("companions") == list(COMPANIONS)
    assert command.select("why_frozen_fails,00") == [SLUGS[0], "why_frozen_fails"]
    assert len(COMPANIONS) == 8


@pytest.mark.parametrize("text", ["42", "05-03", "09-11", "base", "-1", "00;01", "00,42"])
def test_only_nonsense(text):
    with pytest.raises(command.UsageError, match="means no notebook: expected numbers from 00"):
        command.select(text)


@pytest.mark.parametrize(
    ("text", "seeds"),
    [("0", [0]), ("0,1,2", [0, 1, 2]), ("0-3", [0, 1, 2, 3]), ("2,0-1", [0, 1, 2])],
)
def test_seeds(text, seeds):
    assert command.read_seeds(text) == seeds


@pytest.mark.parametrize("text", ["", "a", "3-1", "1.5", "-1", "0,,1"])
def test_seeds_nonsense(text):
    with pytest.raises(command.UsageError, match="--seeds"):
        command.read_seeds(text)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--profile", "fast"], "unknown profile 'fast'"),
        (["--only", "42"], "--only '42' means no notebook"),
        (["--seeds", "x"], "--seeds 'x'"),
        (["--dataset", "imagenet"], "unknown data set 'imagenet'"),
    ],
)
def test_wrong_usage_is_one_sentence_and_exit_2(arguments, message, tmp_path, capsys):
    out = tmp_path / "out"
    assert command.main([*arguments, "--out", str(out)]) == 2
    said = capsys.readouterr().err.strip()
    assert message in said
    assert "\n" not in said
    assert not out.exists()


@pytest.mark.parametrize("option", ["--epochs", "--profil"])  # not taken for --profile
def test_unknown_option_is_exit_2(option, capsys):
    with pytest.raises(SystemExit) as stopped:
        command.main([option, "smoke", "--dry-run", "--dataset", "digits", "--only", "00"])
    assert stopped.value.code == 2


def test_bad_data_is_one_sentence_and_exit_1(tmp_path, capsys):
    (tmp_path / "images").mkdir()
    arguments = ["--dataset", str(tmp_path / "images"), "--out", str(tmp_path / "out")]
    assert command.main(arguments) == 1
    said = capsys.readouterr().err.strip()
    assert "images: expected a folder with train/<class>/ and test/<class>/" in said
    assert "\n" not in said
    assert not (tmp_path / "out").exists()


def test_a_reader_who_reads_no_further_gets_one_sentence(tmp_path):
    folder = write_set(tmp_path / "own", {"cat": 4, "dog": 4})
    order = [sys.executable, "-m", "ladder", "--dry-run", "--dataset", folder]
    with subprocess.Popen(
        order, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        process.stdout.close()
        said = process.stderr.read()
    assert (said, process.returncode) == ("Stopped: nothing reads the output any more.\n", 1)


def test_closed_streams_are_no_mistake_of_the_project(monkeypatch):
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    assert command.main(["--only", "99"]) == 2
    print("into nothing", file=sys.stderr, flush=True)
    sys.stderr.flush()


def test_names_that_are_no_text_can_be_printed(monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), "ascii"))  # and strict
    monkeypatch.setattr(sys, "stderr", sys.stdout)
    assert command.main(["predict", "9\udce9", "."]) == 2
    assert rb"9\udce9" in sys.stdout.buffer.getvalue()


def test_the_engine_starts_where_the_working_directory_is_gone(tmp_path, monkeypatch):
    engine = tmp_path / "engine"
    engine.write_text(f"#!{sys.executable}\nimport os\nos.getcwd()\n")
    engine.chmod(0o755)
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    monkeypatch.setattr(sys, "executable", str(engine))
    command.execute.run([], tmp_path, images=9)
    assert (tmp_path / "logs" / "snakemake.log").read_text() == ""


def test_out_that_cannot_be_written(tmp_path, capsys):
    (tmp_path / "file").touch()
    arguments = ["--dataset", "digits", "--only", "00", "--out", str(tmp_path / "file" / "out")]
    assert command.main(arguments) == 1
    assert "cannot be written" in capsys.readouterr().err


def test_two_runs_do_not_share_a_folder(tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    with (out / ".lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert command.main(["--dataset", "digits", "--only", "00", "--out", str(out)]) == 1
    assert "another run is at work" in capsys.readouterr().err


def test_a_lock_that_ends_soon_is_waited_for(tmp_path):
    held = (tmp_path / ".lock").open("w")  # as of a Snakemake whose run_all.sh was killed
    fcntl.flock(held, fcntl.LOCK_EX)
    threading.Timer(0.5, held.close).start()
    with command.sole_use(tmp_path) as lock:
        assert os.fstat(lock).st_ino == (tmp_path / ".lock").stat().st_ino


def test_dry_run_prints_a_plan_and_runs_nothing(tmp_path, capsys):
    out = tmp_path / "out"
    arguments = ["--dry-run", "--profile", "study", "--dataset", "digits", "--seeds", "0,1"]
    assert command.main([*arguments, "--only", "00-10,companions", "--out", str(out)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sum("-study-seed" in line for line in lines) == 2 * (11 + 8)
    assert all(line.split()[-1] in ("s", "min", "h") for line in lines if "-study-" in line)
    assert "all, at most" in lines[-1]
    assert not out.exists()


def test_minutes_leave_out_the_slowest_and_name_them(capsys):
    paces = {"00_base_cnn": 30.0, "06_vgg16_scratch": 100.0, "04_batch_norm": 25.0}
    jobs = [(plan.Job(slug, "few", 0, {}, ""), seconds) for slug, seconds in paces.items()]
    kept = plan.within(1, jobs)
    assert [job.slug for job, _ in kept] == ["04_batch_norm", "00_base_cnn"]
    assert "Left out: 06_vgg16_scratch-few-seed0, about 2 min" in capsys.readouterr().out
    with pytest.raises(plan.UsageError, match=r"--minutes 0\.1: no notebook is so quick"):
        plan.within(0.1, jobs)


def test_no_minutes_are_not_all_the_time_there_is(monkeypatch, capsys):
    monkeypatch.setattr(command, "estimated", lambda jobs, *_: [(job, 9.0) for job in jobs])
    assert command.main(["--dry-run", "--dataset", "digits", "--minutes", "0"]) == 2
    assert "--minutes 0: no notebook is so quick" in capsys.readouterr().err


def test_a_plan_within_minutes_has_what_fits(tmp_path, capsys):
    arguments = ["--dry-run", "--dataset", "digits", "--only", "00,06", "--minutes", "1"]
    assert command.main([*arguments, "--out", str(tmp_path / "out")]) == 0
    *_, left_out, planned, total = capsys.readouterr().out.splitlines()
    assert left_out.startswith("Left out: 06_vgg16_scratch-quick-seed0")
    assert planned.split()[0] == "00_base_cnn-quick-seed0"
    assert total.startswith("  all, at most")


def test_dry_run_downloads_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(cifar10, "find", lambda: None)
    monkeypatch.setattr(cifar10, "download", lambda: pytest.fail("a plan has downloaded"))
    for dataset in ("auto", "cifar10"):
        arguments = ["--dry-run", "--profile", "study", "--dataset", dataset, "--only", "00"]
        assert command.main([*arguments, "--out", str(tmp_path / "out")]) == 0
        said = capsys.readouterr().out
        assert "not on this machine" in said
        assert "00_base_cnn-study-seed0" in said
    planned = command.sizes_only()
    assert (len(planned.x_train), len(planned.y_test), planned.max_val) == (50_000, 10_000, 10_000)


def test_no_report_is_one_sentence(tmp_path):
    source = data.open_source("digits")
    reason = command.write_report(tmp_path, profile="quick", source=source, dataset="digits")
    assert reason == "there is no record of profile quick to report on"


def test_a_report_stays_where_nothing_of_a_profile_has_run(tmp_path):
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "00_base_cnn-quick-seed0.json").touch()
    (tmp_path / "index.html").write_text("the report of quick")
    source = data.open_source("digits")
    reason = command.write_report(tmp_path, profile="budget", source=source, dataset="digits")
    assert reason == "there is no record of profile budget to report on"
    assert (tmp_path / "index.html").read_text() == "the report of quick"


def test_an_old_log_does_not_explain_a_new_failure(tmp_path, monkeypatch):
    for folder, file in (("results", "00_base_cnn-quick-seed0.json"), ("logs", "index.log")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / file).write_text("FAILED: what went wrong last week\n")
    monkeypatch.setattr(sys, "executable", "false")
    source = data.open_source("digits")
    reason = command.write_report(tmp_path, profile="quick", source=source, dataset="digits")
    assert reason == "its process ended with exit code 1 and gave no reason"


@pytest.mark.parametrize(
    ("name", "kept"),
    [("cifar10", True), ("own/theirs", True), ("own/mine", False), ("digits", False)],
)
def test_records_of_another_data_set_are_not_replaced(tmp_path, capsys, monkeypatch, name, kept):
    source = replace(data.open_source("digits"), name="own/mine", variant="mine")
    facts = types.SimpleNamespace(name=name, variant="theirs", sha256=source.sha256)
    found = types.SimpleNamespace(dataset=facts)
    monkeypatch.setattr(record, "read", lambda path: found)
    monkeypatch.setattr(data, "open_source", lambda dataset: source)
    ran = []
    monkeypatch.setattr(command.execute, "run", lambda jobs, *_, **__: ran.append(jobs))
    monkeypatch.setattr(command, "print_results", lambda *_: None)
    out = str(tmp_path / "out")
    assert command.main(["--dataset", "mine", "--only", "00", "--out", out]) == (2 if kept else 1)
    assert bool(ran) != kept
    message = (
        f"--out {out} holds 00_base_cnn-few-seed0 of other images (theirs) than this run (mine)"
    )
    assert (message in capsys.readouterr().err) == kept


def test_a_failure_names_its_own_log(tmp_path, capsys, monkeypatch):
    logs = tmp_path / "logs"
    logs.mkdir()
    for name in ("00_base_cnn-quick-seed0", "index"):
        (logs / f"{name}.log").write_text("FAILED: last week's reason\n")

    class Popen(subprocess.Popen):
        def __init__(self, command, **options):
            super().__init__([sys.executable, "-c", "raise SystemExit(1)"], **options)

    monkeypatch.setattr(command.subprocess, "Popen", Popen)
    assert command.main(["--dataset", "digits", "--only", "00", "--out", str(tmp_path)]) == 1
    said = capsys.readouterr().out
    reason = "Snakemake, which runs the notebooks, failed: Snakemake ended with exit code 1"
    assert f"FAILED 00_base_cnn-quick-seed0: {reason}" in said
    assert f"log: {logs / '00_base_cnn-quick-seed0.log'}" in said
    assert reason in (logs / "00_base_cnn-quick-seed0.log").read_text()
    assert "last week" not in said


def test_jobs_that_wait_in_the_queue_are_not_submitted_again(tmp_path, capsys, monkeypatch):
    zero, two = {"7": "00_base_cnn-smoke-seed0"}, {"8": "02_dropout-smoke-seed0"}
    queue, ran = [zero | two, zero | two, zero, zero, {}], []
    monkeypatch.setattr(command.cluster, "check", lambda *_: None)
    monkeypatch.setattr(command.cluster, "queued", lambda _: queue.pop(0) if queue else {})
    monkeypatch.setattr(command.time, "sleep", lambda _: None)

    def run(jobs, *_, at_once, **__):
        ran.append(([job.slug[:2] for job in jobs], at_once))

    monkeypatch.setattr(command.execute, "run", run)
    arguments = ["--profile", "smoke", "--dataset", "digits", "--only", "00-02", "--jobs", "3"]
    assert command.main([*arguments, "--out", str(tmp_path)]) == 1  # nothing makes a record here
    assert "Waiting for the jobs of an earlier run, 2 in all." in capsys.readouterr().out
    assert ran == [(["01", "02"], 2), (["00"], 3)]


def test_a_full_disk_under_the_weights_stops_only_who_needs_them(tmp_path, capsys, monkeypatch):
    def load():
        raise OSError("the disk with the cache folder is full")

    ran = []
    monkeypatch.setattr(command.pretrained, "load", load)
    monkeypatch.setattr(command.execute, "run", lambda jobs, *_, **__: ran.extend(jobs))
    arguments = ["--dataset", "digits", "--only", "00,07", "--out", str(tmp_path)]
    assert command.main(arguments) == 1
    assert [job.slug for job in ran] == ["00_base_cnn"]
    assert "FAILED 07_vgg16_frozen-quick-seed0: the disk with" in capsys.readouterr().out


def test_a_disk_that_cannot_lock_is_not_another_run(tmp_path, capsys, monkeypatch):
    def flock(*_):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(command.fcntl, "flock", flock)
    assert command.main(["--dataset", "digits", "--only", "00", "--out", str(tmp_path)]) == 1
    assert "cannot lock files (Function not implemented)" in capsys.readouterr().err


def test_keras_runs_on_tensorflow_whatever_it_is_set_to():
    done = subprocess.run(
        [sys.executable, "-c", "from lib.engine import keras; print(keras.backend.backend())"],
        env=os.environ | {"KERAS_BACKEND": "torch", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "tensorflow\n"
