"""Faults that strike a training. After each it ends with the bits of one that nothing struck."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from lib import data, results
from lib.results import parameters
from lib.training import checkpoints
from lib.training.checkpoints import Checkpoint

TRAINER = Path(__file__).parent / "trainer.py"
SABOTAGE = Path(__file__).parent / "sabotage"


class Trainer:
    """Runs ``trainer.py`` with a cache of its own and a checkpoint after every step."""

    def __init__(self, folder: Path, environment: dict[str, str]):
        self.record = folder / "record.json"
        self.environment = environment | {
            "CIFAR10_LADDER_CACHE": str(folder / "cache"),
            "CIFAR10_LADDER_BATCH": "1",
            checkpoints.EVERY: "0",
        }

    def start(self, sabotage: str = "", rate: str = "1e-2", **extra: str) -> subprocess.Popen:
        environment = self.environment | extra
        if sabotage:
            environment["PYTHONPATH"] += f"{os.pathsep}{SABOTAGE}"
            environment["SABOTAGE"] = f"trainer:{sabotage}"
            environment["SABOTAGED"] = str(self.record.with_name("sabotaged"))
        command = [sys.executable, "-u", str(TRAINER), str(self.record), rate]
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)

    def end(self, **options: str) -> str:
        """Trains to the end and returns what was said."""
        with self.start(**options) as process:
            said, _ = process.communicate(timeout=120)
        assert process.returncode == 0, said
        return said

    def struck(self, sabotage: str) -> None:
        with self.start(sabotage) as process:
            process.communicate(timeout=120)
        assert process.returncode == -signal.SIGKILL
        assert not self.record.exists()

    def killed_at(self, pattern: str, *, after: float = 0.0) -> bool:
        """Kills it ``after`` seconds from a line on; returns whether it was still training."""
        with self.start() as process:
            for line in process.stdout:
                if re.search(pattern, line):
                    break
            time.sleep(after)
            process.kill()
        return process.returncode == -signal.SIGKILL

    @property
    def checkpoints(self) -> list[Path]:
        return sorted(Path(self.environment["CIFAR10_LADDER_CACHE"], "checkpoints").iterdir())


@pytest.fixture(scope="module")
def unbroken(ladder_environment, tmp_path_factory) -> dict:
    """What a training leaves that nothing strikes and that writes no checkpoint."""
    trainer = Trainer(tmp_path_factory.mktemp("unbroken"), ladder_environment)
    trainer.end(**{checkpoints.EVERY: "3600"})
    record = json.loads(trainer.record.read_text())
    assert record["stopped_by"] == "val_accuracy"  # so that the counters have a say
    assert 4 < len(record["history"]["epoch"]) < 13
    return record


@pytest.fixture
def trainer(ladder_environment, tmp_path) -> Trainer:
    return Trainer(tmp_path, ladder_environment)


def assert_same(trainer: Trainer, unbroken: dict) -> None:
    assert json.loads(trainer.record.read_text()) == unbroken
    assert trainer.checkpoints == []  # what is finished needs none


def kills(trainer: Trainer, unbroken: dict, count: int, seed: int) -> int:
    """Kills trainings at random moments, ``count`` times; returns how many ended as unbroken."""
    draw, done, ended = random.Random(seed), 0, 0
    while done < count:
        done += trainer.killed_at("ready", after=draw.uniform(0, 4.5))
        if done == count or trainer.record.exists():
            trainer.end()
            assert_same(trainer, unbroken)
            trainer.record.unlink()
            ended += 1
    return ended


def test_kills_at_random_moments(trainer, unbroken, said):
    """Kill −9 at a random moment, 2 times"""
    kills(trainer, unbroken, 2, seed=0)
    said("equals the unbroken training")


def test_kill_in_mixed_precision(ladder_environment, tmp_path, said):
    """Kill −9 of a training in float16, whose scale of the loss is part of its state"""
    environment = ladder_environment | {"TRAINER_PRECISION": "float16"}
    trainer = Trainer(tmp_path, environment)
    trainer.end(**{checkpoints.EVERY: "3600"})
    unbroken = json.loads(trainer.record.read_text())
    trainer.record.unlink()
    assert trainer.killed_at("epoch 2")
    assert len(trainer.checkpoints) == 1
    trainer.end()
    assert_same(trainer, unbroken)
    said("equals the unbroken training")


@pytest.mark.battery
def test_many_kills_at_random_moments(ladder_environment, tmp_path, unbroken, said):
    """Kill −9 at a random moment, 45 times, two trainings at a time"""

    def part(seed: int) -> int:
        (tmp_path / str(seed)).mkdir()
        return kills(Trainer(tmp_path / str(seed), ladder_environment), unbroken, 9, seed)

    with ThreadPoolExecutor(2) as pool:
        ended = sum(pool.map(part, range(1, 6)))
    said(f"45 of 45, in {ended} trainings, each of which equals the unbroken one")


def test_kill_while_a_checkpoint_is_written(trainer, unbroken, said):
    """Kill −9 while a checkpoint is written"""
    trainer.struck("fsync:23")
    part, whole = trainer.checkpoints
    assert part.name.startswith(f".{whole.name}.")
    line = trainer.end().splitlines()[1]
    assert "resumes at epoch 3, step 3;" in line  # 22 checkpoints: one per step, and the epochs'
    assert_same(trainer, unbroken)
    said(line)


def test_kill_during_the_evaluation(trainer, unbroken, said):
    """Kill −9 after the training, during its evaluation"""
    assert trainer.killed_at("^trained")
    printed = trainer.end()
    assert "resumes with its evaluation" in printed
    assert "epoch 1/" not in printed
    assert_same(trainer, unbroken)
    said(printed.splitlines()[1])


DAMAGES = {
    "truncated": lambda raw: raw[: len(raw) // 2],
    "empty": lambda raw: b"",
    "with one byte changed": lambda raw: raw[:9999] + bytes([raw[9999] ^ 1]) + raw[10000:],
    "of other content": lambda raw: b"\x80\x04cos\nsystem\n" * 100,  # as a pickle begins
}


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(damage, marks=() if damage == "truncated" else pytest.mark.battery)
        for damage in DAMAGES
    ],
)
def test_damaged_checkpoint(trainer, unbroken, said, damage):
    """A damaged checkpoint"""
    trainer.killed_at("epoch 2/")
    (whole,) = (path for path in trainer.checkpoints if path.name[0] != ".")
    whole.write_bytes(DAMAGES[damage](whole.read_bytes()))
    line = trainer.end().splitlines()[1]
    assert re.match(r"The saved state of this training cannot be used \(.+\); it starts anew", line)
    assert_same(trainer, unbroken)
    said(f"{damage}: {line}")


@pytest.mark.battery
def test_checkpoint_of_another_training(trainer, unbroken, said):
    """The checkpoint of another training under this one's name"""
    assert trainer.killed_at("epoch 2/")
    (mine,) = (path for path in trainer.checkpoints if path.name[0] != ".")
    mine.unlink()
    with trainer.start(rate="2e-2") as process:  # another training: it finds nothing to resume from
        for line in process.stdout:
            assert "resumes" not in line
            if "epoch 2/" in line:
                break
        process.kill()
    (other,) = (path for path in trainer.checkpoints if path.name[0] != ".")
    assert other.name != mine.name
    other.rename(mine)
    line = trainer.end().splitlines()[1]
    assert "cannot be used (it is of another training)" in line
    assert_same(trainer, unbroken)
    said(line)


def test_full_disk_under_the_checkpoints(trainer, unbroken, said):
    """A disk that is full when a checkpoint is to be written"""
    # The decoded digits (9 MB) are there already, the checkpoints (0.2 MB) do not fit.
    trainer.end(rate="0.5", **{checkpoints.EVERY: "3600"})
    printed = trainer.end(sabotage="disk:50")
    lines = [line for line in printed.splitlines() if "cannot be saved" in line]
    assert len(lines) == 1
    said(lines[0])


@pytest.mark.battery
def test_clock_that_goes_backwards(trainer, unbroken, said):
    """A clock that goes back an hour each time it is read"""
    with trainer.start("clock:3600") as process:
        for line in process.stdout:
            if "epoch 3/" in line:
                break
        process.kill()
    for path in trainer.checkpoints:  # as if it had been written in a year
        os.utime(path, (time.time() + 3e7,) * 2)
    assert "resumes at epoch" in trainer.end(sabotage="clock:3600")
    assert len(trainer.record.with_name("sabotaged").read_text().splitlines()) == 2
    assert_same(trainer, unbroken)
    said("equals the unbroken training")


@pytest.mark.battery
def test_two_of_the_same_training_at_once(trainer, unbroken, said):
    """Two processes that train the same at once"""
    with trainer.start() as one:
        for line in one.stdout:
            if "epoch 2/" in line:
                break
        one.send_signal(signal.SIGSTOP)
        with trainer.start() as other:
            for line in other.stdout:
                if "resumes" in line:
                    break
            one.send_signal(signal.SIGCONT)
            for process in (one, other):
                process.communicate(timeout=60)
                assert process.returncode == 0
                assert json.loads(trainer.record.read_text()) == unbroken
    said(line)


def test_only_what_is_recorded_loses_its_checkpoint(tmp_path, monkeypatch, said):
    """A training that was given up for another, which ends"""
    monkeypatch.setenv("CIFAR10_LADDER_CACHE", str(tmp_path))
    given_up, ended = Checkpoint("given-up"), Checkpoint("ended")
    for checkpoint in (given_up, ended):
        checkpoint.save({}, {})
    slug = "freezing_depth"
    values = parameters.of_profile("smoke", slug) | {"OUT": str(tmp_path / "out")}
    run = results.Run(slug, values, time.perf_counter())
    images = data.load("digits", train_size=20, val_size=10, test_size=10)
    content = {"images": images, "title": "", "summary": "", "tables": {}}
    assert run.write_companion(**content).is_file()
    assert (given_up.path.exists(), ended.path.exists()) == (True, True)
    stage = tmp_path / "stage"
    content["fits"] = [SimpleNamespace(checkpoints=(ended.path, tmp_path / "never saved"))]
    with monkeypatch.context() as patch:
        patch.setenv(results.STAGE, str(stage))
        run.write_companion(**content)
    assert ended.path.exists()  # until the record is in its place
    assert ended.path.name in json.loads((stage / results.CHECKPOINTS).read_text())
    run.write_companion(**content)
    assert (given_up.path.exists(), ended.path.exists()) == (True, False)
    said("its checkpoint stays")


def test_old_checkpoints_go(tmp_path, monkeypatch, said):
    """Checkpoints that nobody came back for"""
    monkeypatch.setenv("CIFAR10_LADDER_CACHE", str(tmp_path))
    old, young, mine = (Checkpoint(key) for key in ("old", "young", "mine"))
    for checkpoint in (old, young, mine):
        checkpoint.save({"epoch": 1}, {"model": [np.zeros(2)]})
    month = time.time() - 31 * 24 * 3600
    for checkpoint in (old, mine):
        os.utime(checkpoint.path, (month, month))
    gone = old.path.with_name("gone.npz")
    gone.symlink_to("nothing")  # as if another process had removed it in between
    facts, arrays = mine.load()
    assert facts["epoch"] == 1
    assert arrays["model"][0].tolist() == [0, 0]
    assert (old.path.exists(), young.path.exists()) == (False, True)
    said("removed after 30 days")
