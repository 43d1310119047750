"""The main job, ``python -m ladder``: plan, run what is out of date, write the report.

What is up to date is decided by fingerprint (`lib.results.fingerprint`); Snakemake runs
the rest, keeps going past a failure, and its state is kept inside the report's folder.
"""

import argparse
import fcntl
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from ladder import cluster, environment, execute, predict, reasons, run, sweep
from ladder.plan import (
    Job,
    UsageError,
    dry_run,
    estimated,
    plan,
    read_seeds,
    select,
    sizes_only,
    within,
)
from lib import ROOT, cache, data, pretrained
from lib.errors import LadderError, ParameterError, RecordError, UnknownDatasetError, WeightsError
from lib.results import parameters, record
from lib.results.parameters import PROFILES
from lib.study import SLUGS, experiment


@contextmanager
def sole_use(out: Path) -> Iterator[int]:
    """Keeps other runs out of a report's folder; gives the file number of its lock.

    The lock ends with this process and those that get the number.

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
            _lock(lock)
        except BlockingIOError as error:
            raise OSError(
                f"another run is at work in {out}; wait for it or choose another --out"
            ) from error
        except OSError as error:
            raise OSError(
                f"--out {out} is on a disk that cannot lock files ({error.strerror}); choose a "
                "folder on another"
            ) from error
        cluster.clear(out, cluster.queued(out))
        yield lock.fileno()


def _lock(file: TextIO) -> None:
    """Locks a file, with patience: Snakemake outlives a killed run by a second and may submit."""
    for _ in range(30):
        with suppress(BlockingIOError):
            return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        time.sleep(0.1)
    raise BlockingIOError


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
    log = reasons.log(out, "report")
    log.parent.mkdir(exist_ok=True)
    reasons.log(out, "index").unlink(missing_ok=True)
    with log.open("w") as file:
        own = environment.of_children()
        process = subprocess.run(command, cwd=ROOT, env=own, stderr=file, check=False)
    written, others = reasons.read(out, "index"), reasons.read(out, "report")
    return reasons.why(written, others, process.returncode) if process.returncode else ""


def refuse_to_replace(jobs: list[Job], out: Path, source: data.Source) -> None:
    """Keeps records of another data set, except the digits that replace CIFAR-10.

    Raises:
        UsageError: if a job would replace one, or the images are the reader's own and one is of
            others.
    """
    own, replaced = source.name.startswith("own/"), [job.name for job in jobs]
    there = [path.stem for path in record.paths(out) if "-custom-" not in path.stem]
    for name in dict.fromkeys(replaced + (there if own else [])):
        with suppress(RecordError):
            found = record.read(out / "results" / f"{name}.json").dataset
            changed = own and found.name == source.name and found.sha256 != source.sha256
            other = found.name not in (source.name, "digits")
            if changed or (other and (name in replaced or found.name.startswith("own/"))):
                which = ", another folder or changed since" if changed else ""
                raise UsageError(
                    f"--out {out} holds {name} of other images ({found.variant}{which}) than this "
                    f"run ({source.variant}); choose another --out"
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


def _mend_streams() -> None:
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:  # closed: the next file that is opened would take its place
            setattr(sys, name, open(os.devnull, "r+"))  # noqa: SIM115
    # In a pipe too our lines precede those of the jobs; a path may hold bytes that are no text.
    sys.stdout.reconfigure(line_buffering=True, errors="backslashreplace")


def main(arguments: list[str] | None = None) -> int:
    """Runs the ladder; returns 0 if all is done, 1 if something is not, 2 on wrong usage."""
    _mend_streams()
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == ["predict"]:
        return predict.main(arguments[1:])
    parser = argparse.ArgumentParser(
        allow_abbrev=False,
        prog="./run_all.sh",
        description="Runs the notebooks and writes the report.",
        epilog="To classify pictures with a trained model: ./run_all.sh predict --help",
    )
    parser.add_argument(
        "--profile", help=f"{', '.join(PROFILES)} (quick, or few for images of your own)"
    )
    what = "auto, cifar10, digits or a folder"
    parser.add_argument("--dataset", type=os.path.expanduser, default="auto", help=what)
    parser.add_argument("--only", help="e.g. 00,03-05, companions or names (00-10)")
    parser.add_argument("--seeds", help="e.g. 0,1,2 or 0-9 (0)")
    parser.add_argument(
        "--out", type=cache.expanded, default=ROOT / "reports" / "latest", help="report folder"
    )
    parser.add_argument(
        "--minutes",
        type=float,
        help="leave out the slowest notebooks, so that the run takes no longer",
    )
    parser.add_argument("--dry-run", action="store_true", help="print the plan and its time only")
    parser.add_argument("--jobs", type=int, default=1, help="notebooks at a time (1)")
    parser.add_argument(
        "--executor", choices=cluster.EXECUTORS, default="local", help="where notebooks run (local)"
    )
    parser.add_argument("--sweep", type=cache.expanded, help="YAML file of parameters to vary")
    options = parser.parse_args(arguments)
    for number in (signal.SIGINT, signal.SIGTERM):  # also where a shell had them ignored
        signal.signal(number, signal.default_int_handler)
    try:
        return _plan_and_run(options)
    except (UsageError, ParameterError, UnknownDatasetError) as error:
        print(error, file=sys.stderr)
        return 2
    except BrokenPipeError:  # as in "run_all.sh | head"
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # Python flushes once more
        print("Stopped: nothing reads the output any more.", file=sys.stderr)
        return 1
    except (LadderError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. What is finished is kept; the same command resumes from here.")
        return 1
    except Exception as error:  # ours
        return _mistake(error, options.out)


def _mistake(error: Exception, out: Path) -> int:
    """Says that the project itself failed; the traceback goes into a log."""
    reason = f"{reasons.of(error)}: this is a mistake in the project, please report it"
    try:
        reasons.write(reason, out, "run_all", error)
        print(f"{reason}\n    log: {reasons.log(out, 'run_all')}", file=sys.stderr)
    except OSError:
        traceback.print_exception(error)
        print(reason, file=sys.stderr)
    return 1


def _plan_and_run(options: argparse.Namespace) -> int:
    swept = sweep.read(options.sweep) if options.sweep else sweep.NONE
    slugs = select(options.only or swept.only or "00-10")
    seeds = read_seeds(options.seeds or swept.seeds or "0")
    options.profile = options.profile or swept.profile
    profile = options.profile or "quick"
    cluster.check(options.executor, options.jobs)
    for slug in slugs:
        parameters.of_profile(profile, slug)
    wants_cifar10 = options.dataset in ("auto", "cifar10")
    if options.dry_run and wants_cifar10 and not data.cifar10_is_here():
        source = sizes_only()
    else:
        source = data.open_source(options.dataset)
    own = source.name.startswith("own/")
    dataset = str(Path(options.dataset).resolve()) if own else source.name
    print(*data.account(source.variant, source.files), sep="\n", end="\n" if own else "")
    if own and not options.profile:
        profile = "few"
    elif own and profile in ("smoke", "quick"):
        print(f"Profile {profile} uses a part of your images; without --profile all are used.")
    out = options.out.resolve()
    if own and out.is_relative_to(dataset):
        raise UsageError(f"--out {out} lies in the folder of the images; choose one outside")
    jobs = plan(
        slugs,
        profile=profile,
        seeds=seeds,
        source=source,
        dataset=dataset,
        settings=swept.settings,
    )
    if options.dry_run or options.minutes is not None:
        timed = estimated(jobs, out, source)
        if options.minutes is not None:
            timed = within(options.minutes, timed)
            kept = [job for job, _ in timed]
            jobs = [job for job in jobs if job in kept]
        if options.dry_run:
            dry_run(timed, (1, 10, 100) if options.sweep else ())
            return 0
    options.profile, options.dataset = profile, dataset
    with sole_use(out) as lock:
        try:
            return _run(jobs, out, source, options, lock)
        except KeyboardInterrupt:
            cluster.cancel(out)
            raise


def _run(
    jobs: list[Job], out: Path, source: data.Source, options: argparse.Namespace, lock: int
) -> int:
    began, failures = time.perf_counter(), {}
    profile, at_once, where = options.profile, options.jobs, {"executor": options.executor}
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
    # Jobs of an earlier run, which was killed, leave at least half of the queue to others.
    queued = execute.wait(out, runnable, most=at_once // 2)
    for some, free in (
        ([job for job in runnable if job.name not in queued], at_once - len(queued)),
        ([job for job in runnable if job.name in queued], at_once),
    ):
        execute.wait(out, some)
        if left := [job for job in some if not job.record(out)]:
            execute.run(left, out, images=source.images, at_once=free, lock=lock, **where)
            failures |= {j.name: execute.why_failed(j, out) for j in left if not j.record(out)}
    try:
        reason = write_report(out, profile=profile, source=source, dataset=options.dataset)
    except (LadderError, OSError) as error:
        reason = str(error)
    if reason:
        failures["report"] = reason
    print_results(jobs, out)
    if "report" not in failures:
        print(f"\nReport: {out / 'index.html'} ({time.perf_counter() - began:.0f} s)")
    for name, reason in failures.items():
        name_of_log = "index" if name == "report" else name
        with suppress(OSError):
            reasons.write(reason, out, name_of_log)
        print(f"FAILED {name}: {reason}\n    log: {reasons.log(out, name_of_log)}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
