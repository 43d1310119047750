"""The main job, ``python -m ladder``: plan, run what is out of date, write the report.

What is up to date is decided by fingerprint (`lib.results.fingerprint`); Snakemake runs
the rest, keeps going past a failure, and its state is kept inside the report's folder.
"""

import argparse
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ladder import environment, run
from ladder.plan import FEW, Job, UsageError, dry_run, plan, read_seeds, select, sizes_only
from lib import ROOT, cache, data, pretrained
from lib.errors import LadderError, ParameterError, RecordError, UnknownDatasetError, WeightsError
from lib.results import parameters, record
from lib.results.parameters import PROFILES
from lib.study import SLUGS, experiment


@contextmanager
def sole_use(out: Path) -> Iterator[None]:
    """Keeps other runs out of a report's folder; the lock ends with this process.

    Raises:
        OSError: if the folder cannot be written or another run works in it.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
        lock = (out / ".lock").open("w")
    except OSError as error:
        raise OSError(
            f"--out {out} cannot be written ({error.strerror}); choose another folder"
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OSError(
                f"another run is at work in {out}; wait for it or choose another --out"
            ) from error
        except OSError as error:
            raise OSError(
                f"--out {out} is on a disk that cannot lock files ({error.strerror}); choose a "
                "folder on another"
            ) from error
        shutil.rmtree(out / ".running", ignore_errors=True)  # of runs that were killed
        yield


def run_jobs(jobs: list[Job], out: Path, *, dataset: str) -> None:
    """Runs jobs one after the other with Snakemake, past failures, and counts what is done."""
    command = [sys.executable, "-P", "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
    command += ["--directory", str(out), "--cores", "1", "--keep-going", "--nolock"]
    command += ["--rerun-triggers", "mtime", "--quiet", "all"]
    command += ["--workflow-profile", "none"]  # that of the working directory stays out
    # All but "source-cache", which Snakemake would keep in the reader's home.
    command += ["--shared-fs-usage", "input-output", "persistence", "software-deployment"]
    command += ["sources", "storage-local-copies", "--"]
    command += [f".running/{job.name}.done" for job in jobs]
    own = environment.of_children(
        # Not through --config: Snakemake reads values as YAML, in which "x: y" is a dictionary.
        CIFAR10_LADDER_DATASET=dataset,
        **{run.PARENT: str(os.getpid())},  # a run does not outlive us
    )
    log = out / "logs" / "snakemake.log"
    log.parent.mkdir(exist_ok=True)
    for job in jobs:  # an old one would explain a new failure
        (log.parent / f"{job.name}.log").unlink(missing_ok=True)
    # A session of its own: Ctrl-C reaches the jobs once, through us, and they end cleanly.
    with (
        log.open("w") as file,
        subprocess.Popen(command, env=own, stderr=file, start_new_session=True) as process,
    ):
        waiting, running = list(jobs), True
        try:
            while running:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=1)
                running = process.poll() is None
                for job in [job for job in waiting if job.record(out)]:
                    waiting.remove(job)
                    done = len(jobs) - len(waiting)
                    print(f"{job.slug:<24}done: {done} of {len(jobs)}", flush=True)
        except KeyboardInterrupt:
            os.killpg(process.pid, signal.SIGINT)
            try:
                process.wait()
            except KeyboardInterrupt:  # a second Ctrl-C: no more waiting
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            raise


def why_failed(name: str, out: Path) -> str:
    """Returns the last line of a failed notebook's log."""
    log = out / "logs" / f"{name}.log"
    lines = log.read_text(encoding="utf-8").splitlines() if log.is_file() else []
    failed = [line.removeprefix(run.FAILED) for line in lines if line.startswith(run.FAILED)]
    return failed[-1] if failed else "stopped before it ended"


def write_report(out: Path, *, profile: str, source: data.Source, dataset: str) -> str:
    """Writes the report if its records or its code are new; returns why it is not there, or ""."""
    page = out / "index.html"
    digest = run.report_digest(out, profile=profile, data=source.sha256)
    if page.is_file() and digest in page.read_text(encoding="utf-8")[:4000]:
        return ""
    kinds = (f"-{profile}-", "-custom-")
    if not any(kind in path.name for path in record.paths(out) for kind in kinds):
        return f"there is no record of profile {profile} to report on"
    command = [sys.executable, "-P", "-m", "ladder.run", "report", "--profile", profile]
    command += ["--dataset", dataset]
    command += ["--data-digest", source.sha256, "--out", str(out)]
    (out / "logs").mkdir(exist_ok=True)
    (out / "logs" / "index.log").unlink(missing_ok=True)
    with (out / "logs" / "report.log").open("w") as log:
        own = environment.of_children()
        process = subprocess.run(command, cwd=ROOT, env=own, stderr=log, check=False)
    return why_failed("index", out) if process.returncode else ""


def refuse_to_replace(jobs: list[Job], out: Path, source: data.Source) -> None:
    """Keeps records of another data set, except the digits that replace CIFAR-10.

    Raises:
        UsageError: if a job would replace one.
    """
    for job in jobs:
        with suppress(RecordError):
            found = record.read(out / "results" / f"{job.name}.json").dataset
            if found.name not in (source.name, "digits"):
                raise UsageError(
                    f"--out {out} holds {job.name} of other images ({found.variant}), which "
                    f"this run ({source.variant}) would replace; choose another --out"
                )


def print_results(jobs: list[Job], out: Path) -> None:
    """Prints the test accuracy of each finished job beside the published one."""
    comparable = all(job.values["DATASET"] == "cifar10" for job in jobs)
    print()
    if any(job.slug in SLUGS for job in jobs):
        print(f"{'':<34} {'published' if comparable else '':>9} {'ours':>9} {'training':>10}")
    for job in jobs:
        found = job.record(out)
        if not found:
            continue
        if found.is_companion:
            print(f"{found.name:<34} {found.timing['total_seconds']:.0f} s")
            continue
        custom = found.profile == "custom"
        published = "" if custom or not comparable else f"{experiment(job.slug).accuracy:.2%}"
        note = "  chance level: it has learned nothing" if found.training.at_chance else ""
        print(
            f"{found.name:<34} {published:>9} {found.metrics['test'].accuracy:>9.2%} "
            f"{found.timing['train_seconds']:>8.0f} s{note}"
        )


def main(arguments: list[str] | None = None) -> int:
    """Runs the ladder; returns 0 if all is done, 1 if something is not, 2 on wrong usage."""
    parser = argparse.ArgumentParser(
        allow_abbrev=False,
        prog="./run_all.sh",
        description="Runs the notebooks and writes the report.",
    )
    parser.add_argument("--profile", default="quick", help=f"{', '.join(PROFILES)} (quick)")
    what = "auto, cifar10, digits or a folder"
    parser.add_argument("--dataset", type=os.path.expanduser, default="auto", help=what)
    parser.add_argument("--only", default="00-10", help="e.g. 00,03-05 or companions (00-10)")
    parser.add_argument("--seeds", default="0", help="e.g. 0,1,2 or 0-9 (0)")
    parser.add_argument(
        "--out", type=cache.expanded, default=ROOT / "reports" / "latest", help="report folder"
    )
    parser.add_argument("--dry-run", action="store_true", help="print the plan and its time only")
    options = parser.parse_args(arguments)
    for number in (signal.SIGINT, signal.SIGTERM):  # also where a shell had them ignored
        signal.signal(number, signal.default_int_handler)
    try:
        return _plan_and_run(options)
    except (UsageError, ParameterError, UnknownDatasetError) as error:
        print(error, file=sys.stderr)
        return 2
    except (LadderError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. What is finished is kept; the same command resumes from here.")
        return 1


def _plan_and_run(options: argparse.Namespace) -> int:
    slugs, seeds = select(options.only), read_seeds(options.seeds)
    for slug in slugs:
        parameters.of_profile(options.profile, slug)
    wants_cifar10 = options.dataset in ("auto", "cifar10")
    if options.dry_run and wants_cifar10 and not data.cifar10_is_here():
        source = sizes_only()
    else:
        source = data.open_source(options.dataset)
    own = source.name.startswith("own/")
    dataset = str(Path(options.dataset).resolve()) if own else source.name
    if options.profile == "quick" and len(source.y_train) < FEW:
        print(f"Only {len(source.y_train)} training images: --profile few is made for so few.")
    out = options.out.resolve()
    jobs = plan(slugs, profile=options.profile, seeds=seeds, source=source, dataset=dataset)
    if options.dry_run:
        dry_run(jobs, out, source)
        return 0
    with sole_use(out):
        return _run(jobs, out, profile=options.profile, dataset=dataset, source=source)


def _run(jobs: list[Job], out: Path, *, profile: str, dataset: str, source: data.Source) -> int:
    began = time.perf_counter()
    failures: dict[str, str] = {}
    stale = [job for job in jobs if not job.record(out)]
    refuse_to_replace(stale, out, source)
    print(
        f"{source.variant}, profile {profile}: {len(jobs) - len(stale)} of {len(jobs)} up to date."
    )
    if any(job.needs_weights for job in stale):
        try:
            pretrained.load()
        except (WeightsError, OSError) as error:
            failures = {job.name: str(error) for job in stale if job.needs_weights}
    runnable = [job for job in stale if job.name not in failures]
    if runnable:
        run_jobs(runnable, out, dataset=dataset)
    failures |= {job.name: why_failed(job.name, out) for job in runnable if not job.record(out)}
    if reason := write_report(out, profile=profile, source=source, dataset=dataset):
        failures["report"] = reason
    print_results(jobs, out)
    if "report" not in failures:
        print(f"\nReport: {out / 'index.html'} ({time.perf_counter() - began:.0f} s)")
    for name, reason in failures.items():
        own = ("index", "report") if name == "report" else (name, "snakemake")
        logs = (out / "logs" / f"{part}.log" for part in own)
        log = next((path for path in logs if path.is_file()), None)
        print(f"FAILED {name}: {reason}" + (f"\n    log: {log}" if log else ""))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
