"""The main job's command line: what it means, and what it says to nonsense."""

import fcntl

import pytest

from lib import data, ladder
from lib.study import SLUGS


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
    assert ladder.select(text) == [SLUGS[number] for number in numbers]


def test_only_companions():
    assert ladder.select("companions") == list(ladder.COMPANIONS)
    assert ladder.select("why_frozen_fails,00") == [SLUGS[0], "why_frozen_fails"]
    assert len(ladder.COMPANIONS) == 7


@pytest.mark.parametrize("text", ["42", "05-03", "09-11", "base", "-1", "00;01", "00,42"])
def test_only_nonsense(text):
    with pytest.raises(ladder.UsageError, match="means no notebook: expected numbers from 00"):
        ladder.select(text)


@pytest.mark.parametrize(
    ("text", "seeds"),
    [("0", [0]), ("0,1,2", [0, 1, 2]), ("0-3", [0, 1, 2, 3]), ("2,0-1", [0, 1, 2])],
)
def test_seeds(text, seeds):
    assert ladder.read_seeds(text) == seeds


@pytest.mark.parametrize("text", ["", "a", "3-1", "1.5", "-1", "0,,1"])
def test_seeds_nonsense(text):
    with pytest.raises(ladder.UsageError, match="--seeds"):
        ladder.read_seeds(text)


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
    assert ladder.main([*arguments, "--out", str(out)]) == 2
    said = capsys.readouterr().err.strip()
    assert message in said
    assert "\n" not in said
    assert not out.exists()


@pytest.mark.parametrize("option", ["--epochs", "--profil"])  # not taken for --profile
def test_unknown_option_is_exit_2(option, capsys):
    with pytest.raises(SystemExit) as stopped:
        ladder.main([option, "smoke", "--dry-run", "--dataset", "digits", "--only", "00"])
    assert stopped.value.code == 2


def test_bad_data_is_one_sentence_and_exit_1(tmp_path, capsys):
    (tmp_path / "images").mkdir()
    arguments = ["--dataset", str(tmp_path / "images"), "--out", str(tmp_path / "out")]
    assert ladder.main(arguments) == 1
    said = capsys.readouterr().err.strip()
    assert "train does not exist" in said
    assert "\n" not in said
    assert not (tmp_path / "out").exists()


def test_out_that_cannot_be_written(tmp_path, capsys):
    (tmp_path / "file").touch()
    arguments = ["--dataset", "digits", "--only", "00", "--out", str(tmp_path / "file" / "out")]
    assert ladder.main(arguments) == 1
    assert "cannot be written" in capsys.readouterr().err


def test_two_runs_do_not_share_a_folder(tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    with (out / ".lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert ladder.main(["--dataset", "digits", "--only", "00", "--out", str(out)]) == 1
    assert "another run is at work" in capsys.readouterr().err


def test_dry_run_prints_a_plan_and_runs_nothing(tmp_path, capsys):
    out = tmp_path / "out"
    arguments = ["--dry-run", "--profile", "study", "--dataset", "digits", "--seeds", "0,1"]
    assert ladder.main([*arguments, "--only", "00-10,companions", "--out", str(out)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sum("-study-seed" in line for line in lines) == 2 * (11 + 7)
    assert all(line.split()[-1] in ("s", "min", "h") for line in lines if "-study-" in line)
    assert "all, at most" in lines[-1]
    assert not out.exists()


def test_no_report_is_one_sentence(tmp_path):
    source = data.open_source("digits")
    reason = ladder.write_report(tmp_path, profile="quick", source=source, dataset="digits")
    assert reason == "there is no record to report on"
