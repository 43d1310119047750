"""The report's page while notebooks run: what is done, what runs, and how long it may take."""

import functools
from pathlib import Path

from ladder.plan import Job
from ladder.report import claims, sections, verdicts
from ladder.report.render import TEMPLATES, render
from ladder.run import NOTEBOOK_SECONDS, OF_RECORD
from lib import cache
from lib.results import record

MARK = '<meta name="ladder-unfinished"'
"""In the head of such a page."""


def running(waiting: list[Job], out: Path) -> list[Job]:
    """Returns the jobs that work in a folder of their own at present."""
    return [job for job in waiting if any((out / ".running").glob(f"{job.name}-*"))]


def write(out: Path, jobs: list[Job], waiting: list[Job]) -> None:
    """Writes ``index.html`` of the records that are there. A finished report stays as it is.

    Args:
        out: the report's folder.
        jobs: all of this run.
        waiting: those of them without a record.

    Raises:
        LadderError: if the records cannot be shown.
        OSError: if the page cannot be written.
    """
    page = out / "index.html"
    if page.is_file() and MARK not in page.read_text(encoding="utf-8")[:1000]:
        return
    everything = record.read_all(out)
    records = verdicts.same_conditions(everything, profile=jobs[0].profile, data=jobs[0].data)
    rows, of_study = verdicts.table(records, out), verdicts.study_protocol(everything, records)
    study_rows = verdicts.table(of_study)
    judged = claims.judge(rows, study_rows) if verdicts.comparable(rows) else []
    text = render(
        "unfinished.html.j2",
        style=(TEMPLATES / "ladder" / "style.css").read_text(encoding="utf-8"),
        done=len(jobs) - len(waiting),
        total=len(jobs),
        running=[job.name for job in running(waiting, out)],
        left=seconds_left(out, jobs, waiting),
        headline=sections.headline(rows, judged),
        table=sections.table(rows, study_rows, out=out),
    )
    with cache.atomic_file(page) as part:
        part.write_text(text, encoding="utf-8")


def seconds_left(out: Path, jobs: list[Job], waiting: list[Job]) -> float | None:
    """Returns how long the waiting jobs may take, or None where nothing says so.

    The speeds are those of the run of record, scaled by what the finished jobs took.

    Args:
        out, jobs, waiting: as for `write`.
    """
    finished = [(job, job.record(out)) for job in jobs if job not in waiting]
    took = [(seconds(job), found.timing["total_seconds"]) for job, found in finished if found]
    left = [seconds(job) for job in waiting]
    if not took or None in (*left, *(expected for expected, _ in took)):
        return None
    expected, real = map(sum, zip(*took, strict=True))
    return sum(left) * real / expected


def seconds(job: Job) -> float | None:
    """Returns the seconds of one of the eleven at the speed of the run of record."""
    speed = _speed(OF_RECORD, job.slug)
    if not speed:
        return None
    epochs = job.values["EPOCHS"] + job.values.get("HEAD_EPOCHS", 0) + 1  # one for evaluation
    return NOTEBOOK_SECONDS + epochs * job.values["TRAIN_SIZE"] / speed


@functools.cache
def _speed(out: Path, slug: str) -> float:
    """Returns images per second of an experiment's first record from a processor, 0 without one."""
    for path in sorted((out / "results").glob(f"{slug}-*.json")):
        found = record.read(path)
        if not found.environment["gpus"] and not found.is_companion:
            return found.timing["train_images_per_second"]
    return 0.0
