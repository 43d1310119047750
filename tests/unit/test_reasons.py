"""However a run ends, one sentence says why."""

import subprocess
import sys
import types
from pathlib import Path

import pytest

from ladder import __main__ as command
from ladder import reasons, run
from lib import data

JOB = types.SimpleNamespace(
    slug="00_base_cnn", profile="quick", seed=1, name="00_base_cnn-quick-seed1"
)
COMMAND = (
    "python -P -m ladder.run {slug} --profile quick --seed {seed} --dataset '{data}' --out ."
    " --log {slug}-quick-seed{seed}"
)
ENGINE = "Snakemake, which runs the notebooks, failed: "
LITTLE_MEMORY = "its process was ended by SIGKILL; the usual cause is too little memory"


def engine(*jobs: tuple[str, str, int, str], data: str = "x") -> str:
    """What Snakemake writes: for each job its error stream, then how it ended."""
    text = "Building DAG of jobs...\n"
    for stream, slug, seed, how in jobs:
        shell = COMMAND.format(slug=slug, seed=seed, data=data)
        text += f"Select jobs to execute...\n{stream}RuleException:\n"
        text += 'CalledProcessError in file "/x/Snakefile", line 24:\n'
        text += f"Command 'set -euo pipefail;  {shell}' {how}.\n"
    return text + "WorkflowError:\nAt least one job did not complete successfully.\n"


KILLED = "died with <Signals.SIGKILL: 9>"
CODE = "returned non-zero exit status {}"
TRACEBACK = "Traceback (most recent call last):\n  File 'x'\nImportError: no {}\n"


@pytest.mark.parametrize(
    ("own", "engines", "expected"),
    [
        ("FAILED: a\n", engine(("", "00_base_cnn", 1, CODE.format(1))), "a"),
        ("FAILED: a\nFAILED: b\n", "", "b"),
        ("epoch 1\n", engine(("", "00_base_cnn", 1, KILLED)), LITTLE_MEMORY),
        ("", engine(("", "00_base_cnn", 1, CODE.format(137))), LITTLE_MEMORY),
        ("", engine((TRACEBACK, "00_base_cnn", 1, KILLED)), LITTLE_MEMORY),
        (
            "",
            engine((TRACEBACK.format("b"), "00_base_cnn", 1, CODE.format(1))),
            "ImportError: no b",
        ),
        ("", engine(("FAILED: c\n", "00_base_cnn", 1, CODE.format(1))), "c"),
        (
            "",
            engine(
                (TRACEBACK.format("first"), "01_deeper_cnn", 1, CODE.format(1)),
                (TRACEBACK.format("second"), "00_base_cnn", 10, CODE.format(1)),
                ("", "00_base_cnn", 1, CODE.format(7)),
                (TRACEBACK.format("last"), "02_dropout", 1, CODE.format(1)),
                data="a 'b'\nc",
            ),
            "its process ended with exit code 7 and gave no reason",
        ),
        (
            "",
            "WorkflowError:\nFailed to make .snakemake: the disk is full\n",
            f"{ENGINE}WorkflowError: Failed to make .snakemake: the disk is full",
        ),
        (
            "",
            "Error: profile given (x), but none found\nSnakemake ended with exit code 1\n",
            f"{ENGINE}Error: profile given (x), but none found",
        ),
        (
            "",
            "/usr/bin/python: No module named snakemake\nSnakemake ended with exit code 1\n",
            f"{ENGINE}/usr/bin/python: No module named snakemake",
        ),
        (
            "",
            "Snakemake was ended by SIGTERM\n",
            f"{ENGINE}Snakemake was ended by SIGTERM",
        ),
        ("", "", "it ended, but its record is not of the files as they are now; run it again"),
    ],
)
def test_why_a_job_failed(tmp_path, own, engines, expected):
    (tmp_path / "logs").mkdir()
    reasons.log(tmp_path, JOB.name).write_text(own)
    reasons.log(tmp_path, "snakemake").write_text(engines)
    assert command.execute.why_failed(JOB, tmp_path) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("all is well\n0 errors\nError occurred while starting\n", ""),
        ("KeyError: 'a'\n  File\nlib.errors.DataError: b\nbye\n", "lib.errors.DataError: b"),
        (
            "SyntaxError: a\n\nDuring handling of the above exception, another one:\nKeyError: 1\n",
            "SyntaxError: a",
        ),
        ("KeyboardInterrupt\n", "KeyboardInterrupt"),
        (
            "snakemake: error: unrecognized arguments: --x\n",
            "snakemake: error: unrecognized arguments: --x",
        ),
    ],
)
def test_the_last_line_that_names_an_error(text, expected):
    assert reasons.last_error(text) == expected


class DeadKernelError(RuntimeError):
    """As nbclient's."""


class PapermillError(Exception):
    """As papermill's."""

    def __init__(self, ename, evalue):
        super().__init__("a long story")
        self.ename, self.evalue = ename, evalue


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (PapermillError("DataError", "say so.\nAnd more"), "say so."),
        (PapermillError("ValueError", "\x1b[1mbad\x1b[0m shape"), "ValueError: bad shape"),
        (PapermillError("KeyboardInterrupt", ""), "KeyboardInterrupt"),
        (PapermillError("MemoryError", ""), "there is too little memory (MemoryError)"),
        (
            PapermillError(
                "ResourceExhaustedError",
                "Graph execution error:\n\nDetected at node x defined at (most recent call last):\n"
                "  File\nOOM when allocating tensor\n\t [[x]]",
            ),
            "there is too little memory (OOM when allocating tensor)",
        ),
        (OSError(28, "No space left"), "[Errno 28] No space left"),
        (KeyError("x"), "KeyError: 'x'"),
        (RuntimeError(), "RuntimeError"),
    ],
)
def test_an_error_in_one_line(error, expected):
    assert reasons.of(error) == expected


def test_a_page_that_cannot_be_made(tmp_path):
    found = reasons.of_notebook(TypeError("x"), tmp_path / "none", log="", ran=True)
    assert found == "the notebook ran, but its page could not be written: TypeError: x"
    found = reasons.of_notebook(reasons.RunError("x"), tmp_path / "none", log="", ran=True)
    assert found == "x"


@pytest.mark.parametrize(
    ("log", "cause"),
    [("ImportError: zmq\n", "ImportError: zmq"), ("", "Kernel didn't respond in 300 seconds")],
)
def test_a_kernel_that_does_not_start(tmp_path, log, cause):
    error = RuntimeError("Kernel didn't respond in 300 seconds")
    found = reasons.of_notebook(error, tmp_path / "none", log=log, ran=False)
    assert found == f"the notebook's kernel did not start: {cause}"


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("import os; os.kill(os.getpid(), 9)", LITTLE_MEMORY),
        ("import nonesuch", "ModuleNotFoundError: No module named 'nonesuch'"),
        ("raise SystemExit(5)", "its process ended with exit code 5 and gave no reason"),
    ],
)
def test_a_report_that_dies_says_why(tmp_path, monkeypatch, code, expected):
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "00_base_cnn-quick-seed0.json").touch()
    monkeypatch.setattr(run, "report_digest", lambda *_, **__: "digest")
    begin = subprocess.run

    def start(_, **options):
        return begin([sys.executable, "-c", code], **options)

    monkeypatch.setattr(command.subprocess, "run", start)
    source = data.open_source("digits")
    reason = command.write_report(tmp_path, profile="quick", source=source, dataset="digits")
    assert reason == expected


def test_a_job_without_a_log_says_why_on_the_error_stream(tmp_path, monkeypatch, capfd):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "logs").write_text("no folder")
    assert run.main(["00_base_cnn", "--profile", "smoke", "--out", str(tmp_path / "out")]) == 1
    said = capfd.readouterr()
    assert said.err.splitlines()[-1] == said.out.splitlines()[-1]
    assert said.err.startswith("FAILED: [Errno ")


def test_a_mistake_of_the_project_is_one_sentence(tmp_path, monkeypatch, capsys):
    def plan(*_, **__):
        raise KeyError("x")

    monkeypatch.setattr(command, "plan", plan)
    arguments = ["--dataset", "digits", "--only", "00", "--out", str(tmp_path)]
    assert command.main(arguments) == 1
    said, log = capsys.readouterr().err, reasons.log(tmp_path, "run_all")
    sentence = "KeyError: 'x': this is a mistake in the project, please report it"
    assert said == f"{sentence}\n    log: {log}\n"
    assert log.read_text().startswith("Traceback")
    assert log.read_text().endswith(f"FAILED: {sentence}\n")


def test_a_report_that_cannot_begin_does_not_hide_other_failures(tmp_path, monkeypatch, capsys):
    def write_report(*_, **__):
        raise OSError("no")

    monkeypatch.setattr(command.execute, "run", lambda *_, **__: None)
    monkeypatch.setattr(command, "write_report", write_report)
    arguments = ["--dataset", "digits", "--only", "00", "--out", str(tmp_path)]
    assert command.main(arguments) == 1
    said = capsys.readouterr().out
    assert "FAILED 00_base_cnn-quick-seed0: it ended, but" in said
    assert "FAILED report: no\n" in said
    assert "FAILED: no\n" in Path(tmp_path, "logs", "index.log").read_text()


def test_what_a_cluster_says_of_a_job(tmp_path):
    def block(name: str, message: str) -> str:
        return f"""Error in rule notebook:
    message: {message}
For further error details see the cluster/cloud log and the log files of the involved rule(s).
    jobid: 0
    output: .running/{name}.done
"""

    refused = "SLURM sbatch failed. The error message was 'no such partition\nnothing submitted'."
    others = block("01_deeper_cnn-smoke-seed0", "SLURM-job '3' failed: 'TIMEOUT'")
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "snakemake.log").write_text(
        others + block(JOB.name, f"{refused}\n    sbatch call:\n        sbatch -p x") + others
    )
    assert command.execute.why_failed(JOB, tmp_path) == " ".join(refused.split())
