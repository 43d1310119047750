"""Runs jobs with Snakemake, here or on a cluster, waits for them, and says why one failed."""

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from ladder import cluster, environment, progress, reasons
from ladder.plan import Job
from lib import ROOT
from lib.errors import LadderError
from lib.study import SLUGS


def run(
    jobs: list[Job],
    out: Path,
    *,
    images: int,
    executor: str = "local",
    at_once: int = 1,
    lock: int | None = None,
) -> None:
    """Runs jobs with Snakemake, past failures, and counts what is done.

    Args:
        jobs: what to run.
        out: the report's folder.
        images: see `parameters.of_profile`.
        executor: where, one of `cluster.EXECUTORS`.
        at_once: how many at a time.
        lock: number of an open file that a Snakemake which submits to a cluster shares.
    """
    cluster.write_jobs(out, {job.name: _as_json(job, images) for job in jobs})
    command = cluster.snakemake([job.name for job in jobs], out, executor, at_once)
    here = str(os.getpid())  # whom runs on this machine do not outlive
    watched = cluster.PARENT if executor == "local" else cluster.MAIN
    own = environment.of_children(**{watched: here})
    log = out / "logs" / "snakemake.log"
    log.parent.mkdir(exist_ok=True)
    for job in jobs:  # an old one would explain a new failure
        (log.parent / f"{job.name}.log").unlink(missing_ok=True)
    # A session of its own: Ctrl-C reaches the jobs once, through us, and they end cleanly.
    with (
        log.open("w") as file,
        subprocess.Popen(
            command,
            cwd=ROOT,  # the working directory may be gone
            env=own,
            stderr=file,
            start_new_session=True,
            pass_fds=() if lock is None or executor == "local" else (lock,),
        ) as process,
    ):
        try:
            ending = _follow(process, jobs, out, executor)
        except KeyboardInterrupt:
            os.killpg(process.pid, signal.SIGINT)
            try:
                process.wait()
            except KeyboardInterrupt:  # a second Ctrl-C: no more waiting
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            raise
        file.write(ending)


def _follow(process: subprocess.Popen, jobs: list[Job], out: Path, executor: str) -> str:
    """Waits for Snakemake, prints what is done and keeps the page up to date.

    Returns:
        What Snakemake's log lacks: how it ended, if it did not say so.
    """
    waiting, shown = list(jobs), None
    queue = cluster.Queue(out) if executor == "slurm" else None
    late = 0 if executor == "local" else 60  # seconds until files of other nodes are seen
    while True:
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=1)
        code = process.poll()
        for job in [job for job in waiting if job.record(out)]:
            waiting.remove(job)
            print(f"{job.slug:<24}done: {len(jobs) - len(waiting)} of {len(jobs)}", flush=True)
        state = [*waiting, *progress.running(waiting, out)]
        if len(waiting) < len(jobs) and state != shown:
            with suppress(LadderError, OSError):  # the report's failure is told at the end
                progress.write(out, jobs, waiting)
            shown = state
        if code:
            return f"Snakemake {reasons.ending(code)}\n"
        if code == 0:
            if not waiting or not late:
                return ""
            late -= 1
            time.sleep(1)
        elif queue and (not waiting or queue.has_lost(job.name for job in waiting)):
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return "Error: Slurm has lost the jobs; run this again\n" if waiting else ""


def wait(out: Path, jobs: list[Job], *, most: int = 0) -> set[str]:
    """Waits until at most so many of the jobs are in the queue, from an earlier run.

    Returns:
        The names of those.
    """
    waiting = {job.name for job in jobs} & set(cluster.queued(out).values())
    if waiting:
        print(f"Waiting for the jobs of an earlier run, {len(waiting)} in all.", flush=True)
    while len(waiting) > most:
        time.sleep(5)
        with suppress(OSError):  # Slurm does not answer at the moment
            waiting &= set(cluster.queued(out).values())
    return waiting


def _as_json(job: Job, images: int) -> dict:
    """Returns what the Snakefile needs of a job."""
    command = [sys.executable, "-P", "-m", "ladder.run", job.slug, "--profile", job.profile]
    command += ["--seed", str(job.seed), "--dataset", job.values["DATASET"]]
    command += ["--images", str(images), "--out", ".", "--log", job.name]
    for name, value in job.changes.items():
        command += ["--set", f"{name}={value!r}"]
    return {
        "command": command,
        "priority": -SLUGS.index(job.slug) if job.slug in SLUGS else -99,
        "minutes": cluster.minutes(progress.seconds(job)),
    }


def why_failed(job: Job, out: Path) -> str:
    """Returns why a job left no record: from its own log, else from Snakemake's."""
    own, engine = reasons.read(out, job.name), reasons.read(out, "snakemake")
    command = rf"ladder\.run {job.slug} (?s:(?:(?!\nCommand ').)*?) --log {job.name}\b"
    status = r"(?:exit status (\d+)|died with <Signals\.\w+: (\d+)>)"
    ended = re.search(
        rf"^(RuleException:\n.*\n)?Command '.*{command}(?s:.*?){status}", engine, re.MULTILINE
    )
    if ended:  # between this command and the one before is what the job wrote
        _, _, others = engine[: ended.start()].rpartition("\nCommand '")
        return reasons.why(own, others, int(ended[2]) if ended[2] else -int(ended[3]))
    if reasons.FAILED in own:
        return reasons.why(own, "", 0)
    for error in reversed(engine.split("Error in rule notebook:")[1:]):  # of a cluster
        said = re.match(r"\s*message: (.*?)\n(?:    [a-z]|For )", error, re.DOTALL)
        if said and f"    output: .running/{job.name}.done\n" in error:
            return " ".join(said[1].split())
    if not engine:
        return "it ended, but its record is not of the files as they are now; run it again"
    error = reasons.last_error(engine) or engine.splitlines()[-1]
    return f"Snakemake, which runs the notebooks, failed: {error}"
