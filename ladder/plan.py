"""What is to run: notebooks and seeds, what is up to date, and how long it will take."""

import heapq
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ladder.reasons import UsageError
from lib import clock, data, pretrained
from lib.data import cifar10
from lib.errors import RecordError
from lib.results import fingerprint, parameters, record
from lib.results.record import Record
from lib.study import COMPANIONS, SLUGS


@dataclass(frozen=True)
class Job:
    """One notebook with one seed.

    Attributes:
        slug: the notebook.
        profile, seed: of the run.
        values: its parameters.
        data: digest of the data set.
        changes: those of the parameters that are not the profile's.
    """

    slug: str
    profile: str
    seed: int
    values: parameters.Values
    data: str
    changes: parameters.Values = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Name of its log, and of its record if the network is the study's."""
        profile = self.profile
        if self.changes:
            profile = record.custom(parameters.without_paths(self.values, dataset=""), self.data)
        return record.run_name(self.slug, profile, self.seed)

    @property
    def needs_weights(self) -> bool:
        """Whether the notebook starts from ImageNet weights."""
        return "WEIGHTS" in self.values

    def record(self, out: Path) -> Record | None:
        """Returns the up-to-date record of exactly this run, if it and its page are there.

        A notebook with another network than the study's leaves a custom record.
        """
        custom = sorted((out / "results").glob(f"{self.slug}-custom-*-seed{self.seed}.json"))
        for path in (out / "results" / f"{self.name}.json", *custom):
            if not (out / "notebooks" / f"{path.stem}.html").is_file():
                continue
            with suppress(RecordError):
                found = record.read(path)
                own = found.has_other_network or path.stem == self.name
                if own and found.fingerprint == fingerprint.of_run(
                    self.slug,
                    self.values,
                    data=self.data,
                    weights=pretrained.TENSORS_SHA256 if self.needs_weights else None,
                    architecture=found.model.architecture if found.has_other_network else "",
                ):
                    return found
        return None


def select(text: str) -> list[str]:
    """Returns the notebooks that ``--only`` means, e.g. ``"00,03-05,freezing_depth"``.

    Raises:
        UsageError: if a part means no notebook.
    """
    known, chosen = (*SLUGS, *COMPANIONS), set()
    for part in text.split(","):
        found = {"companions": COMPANIONS}.get(part, {part}.intersection(known))
        if span := re.fullmatch(r"(\d{1,2})(?:-(\d{1,2}))?", part):
            first, last = int(span[1]), int(span[2] or span[1])
            found = SLUGS[first : last + 1] if last < len(SLUGS) else ()
        if not found:
            raise UsageError(
                f"--only {part!r} means no notebook: expected numbers from 00 to "
                f"{len(SLUGS) - 1}, spans like 03-05, or names: "
                + ", ".join((*SLUGS, "companions", *COMPANIONS))
            )
        chosen.update(found)
    return sorted(chosen, key=known.index)


def read_seeds(text: str) -> list[int]:
    """Returns the seeds of ``"0,1,2"`` or ``"0-9"``.

    Raises:
        UsageError: if the text is neither.
    """
    seeds: list[int] = []
    for part in text.split(","):
        span = re.fullmatch(r"(\d{1,9})(?:-(\d{1,9}))?", part)
        if not span or int(span[1]) > int(span[2] or span[1]):
            raise UsageError(f"--seeds {text!r}: expected numbers and spans, like 0,1,2 or 0-9")
        seeds += range(int(span[1]), int(span[2] or span[1]) + 1)
    return sorted(set(seeds))


def plan(
    slugs: list[str],
    *,
    profile: str,
    seeds: list[int],
    source: data.Source,
    dataset: str,
    settings: Sequence[parameters.Values] = ({},),
) -> list[Job]:
    """Returns the jobs, notebook by notebook and setting by setting.

    Args:
        slugs, profile, seeds: what is to run.
        source: the images.
        dataset: their name, or the reader's folder.
        settings: parameters that replace the profile's; equal ones count once.

    Raises:
        ParameterError: if a notebook cannot take a setting.
        UsageError: if the profile takes fewer images than the data set has classes.
    """
    jobs: dict[str, Job] = {}
    for slug in slugs:
        _check_sizes(slug, profile, len(source.classes))
        of_profile = parameters.of_profile(profile, slug, images=source.images)
        for setting in settings:
            values = parameters.check(slug, of_profile | setting)
            changes = {name: values[name] for name in setting if values[name] != of_profile[name]}
            for seed in seeds:
                own = values | {"PROFILE": profile, "SEED": seed, "DATASET": dataset}
                job = Job(slug, profile, seed, own, source.sha256, changes)
                if jobs.setdefault(job.name, job).values != own:
                    raise UsageError(f"two settings have the same name, {job.name}; run one alone")
    return list(jobs.values())


def _check_sizes(slug: str, profile: str, classes: int) -> None:
    """Refuses a profile that cannot take an image of each class, and names one that can."""

    def too_small(name: str) -> list[str]:
        values = parameters.of_profile(name, slug)
        sizes = ("TRAIN_SIZE", "VAL_SIZE", "TEST_SIZE") if "CLASSES" not in values else ()
        return [f"{x} = {values[x]}" for x in sizes if values.get(x, classes) < classes]

    if found := too_small(profile):
        other = next((x for x in ("few", "budget", "study") if not too_small(x)), "")
        advice = f"take --profile {other}" if other else "give fewer classes"
        raise UsageError(
            f"--profile {profile} has {found[0]} for {slug}, less than the {classes:,} classes; "
            + advice
        )


def estimated(jobs: list[Job], out: Path, source: data.Source) -> Iterator[tuple[Job, float]]:
    """Yields jobs with the seconds that each is likely to take here, 0 if it is up to date."""
    from ladder.estimate import Estimator  # imports TensorFlow

    print(f"Data: {source.variant}. Each network is timed for about a second.", flush=True)
    estimator = Estimator(source, out)
    for job in jobs:
        yield job, 0.0 if job.record(out) else estimator.seconds(job.slug, job.values)


def within(minutes: float, jobs: Iterable[tuple[Job, float]]) -> list[tuple[Job, float]]:
    """Returns the jobs that fit into a time, the quickest first, and names the others.

    Raises:
        UsageError: if none fits.
    """
    kept, left = [], 60 * minutes
    for job, seconds in sorted(jobs, key=lambda pair: pair[1]):
        left -= seconds
        if left >= 0:
            kept.append((job, seconds))
        else:
            print(f"Left out: {job.name}, about {clock(seconds)}, does not fit into --minutes.")
    if not kept:
        raise UsageError(f"--minutes {minutes:g}: no notebook is so quick; give more")
    return kept


def dry_run(jobs: Iterable[tuple[Job, float]], workers: Sequence[int] = ()) -> None:
    """Prints the plan with the seconds of each job, see `estimated`.

    Args:
        jobs: with their seconds.
        workers: numbers of jobs at a time for which the whole time is printed.
    """
    each = []
    for job, seconds in jobs:
        each.append(seconds)
        took = clock(seconds) if seconds else "up to date"
        changes = ", ".join(f"{name} {value}" for name, value in job.changes.items())
        print(f"  {job.name:<40} {took:<12} {changes}".rstrip(), flush=True)
    print(f"  {'all, at most':<40} {clock(sum(each))}")
    for count in workers:
        print(f"  {f'with {count} at a time':<40} {clock(makespan(each, count))}")


def makespan(seconds: Iterable[float], workers: int) -> float:
    """Returns how long so many workers take for jobs, the longest first."""
    busy = [0.0] * workers
    for job in sorted(seconds, reverse=True):
        heapq.heappushpop(busy, busy[0] + job)
    return max(busy)


def sizes_only() -> data.Source:
    """Returns CIFAR-10 as a plan needs it: as many images as it has, all blank."""
    arrays = {}
    for part, count in (("train", 50_000), ("test", 10_000)):
        arrays[f"x_{part}"] = np.broadcast_to(np.uint8(0), (count, 32, 32, 3))
        arrays[f"y_{part}"] = np.broadcast_to(np.int64(0), count)
    return data.Source(
        name="cifar10",
        variant="CIFAR-10, which is not on this machine and is downloaded when it is needed",
        sha256="",
        classes=cifar10.CLASSES,
        max_val=10_000,
        **arrays,
    )
