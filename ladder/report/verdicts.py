"""Records against the published figures, and against each other."""

import math
import statistics
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from itertools import combinations

from lib.results import parameters
from lib.study import EXPERIMENTS, Experiment

LITERATURE_SD = 0.0056
"""Largest spread of CIFAR-10 accuracy over seeds in arXiv 2304.01910 (0.15 to 0.56 points); used
where no rung has a second seed."""
WIDEST = 0.02
"""Half of an interval so wide that a figure inside it says nothing."""
IMAGES = {"train": 50_000, "test": 10_000}
"""Images of CIFAR-10, validation counted as training; a verdict needs all of them."""


@dataclass(frozen=True)
class Spread:
    """How test accuracy varies over seeds, pooled over the rungs of one protocol.

    Attributes:
        sd: standard deviation, accuracy from 0 to 1.
        degrees: of freedom; 0 where the figure is the literature's.
    """

    sd: float
    degrees: int

    @property
    def quantile(self) -> float:
        """97.5 % quantile of Student's t, or of the normal distribution."""
        from scipy import stats

        return float(stats.t.ppf(0.975, self.degrees) if self.degrees else stats.norm.ppf(0.975))


@dataclass(frozen=True)
class Verdict:
    """Whether a rung is reproduced.

    Attributes:
        word: ``"reproduced"``, ``"better"``, ``"not reproduced"`` or ``"undetermined"``.
        indicative: whether it stands on one or two seeds, or no rung here has a second one.
        low, high: 95 % prediction interval of one more run, in which the published one
            should lie; accuracies, 0 to 1.
    """

    word: str
    indicative: bool
    low: float
    high: float

    def __str__(self) -> str:
        return self.word + " (indicative)" * self.indicative


@dataclass(frozen=True)
class Row:
    """One experiment: published against ours.

    Attributes:
        experiment: the published side.
        records: ours, one per seed; may be empty.
        accuracy: mean test top-1 accuracy over the seeds, 0 to 1, or None.
        accuracy_sd: its sample standard deviation, or None for fewer than two seeds.
        loss: mean test cross-entropy, nats, or None.
        train_accuracy: mean training accuracy, measured like the test's, or None.
        difference: ours minus published accuracy, or None; also None where the data are
            not CIFAR-10, to which the published figure does not apply.
        seconds: mean training time, or None.
        operations: mean multiply–adds of training, or None.
        at_chance: whether any of the runs has learnt nothing.
    """

    experiment: Experiment
    records: tuple[dict, ...]
    accuracy: float | None
    accuracy_sd: float | None
    loss: float | None
    train_accuracy: float | None
    difference: float | None
    seconds: float | None
    operations: float | None
    at_chance: bool


def same_conditions(records: list[dict], *, profile: str = "", data: str = "") -> list[dict]:
    """Returns the records of one profile and one data set, so that no table mixes them.

    Where a profile's recipe for a rung has changed, these are the seeds of one recipe: today's, or
    the commonest where none is of today's.

    Args:
        records: any.
        profile: the profile wanted; by default that of the largest group, ``custom`` last.
        data: digest of the data set wanted; by default that of the largest group.
    """
    groups = Counter(
        (record["profile"], record["dataset"]["sha256"])
        for record in records
        if profile in ("", record["profile"]) and data in ("", record["dataset"]["sha256"])
    )
    if not groups:
        return []
    chosen = max(sorted(groups), key=lambda group: (group[0] != "custom", groups[group]))
    alike = [r for r in records if (r["profile"], r["dataset"]["sha256"]) == chosen]
    recipes = {slug: _recipe(alike, slug) for slug in {r["experiment"] for r in alike}}
    return [r for r in alike if parameters.asked(r["parameters"]) == recipes[r["experiment"]]]


def _recipe(records: list[dict], slug: str) -> parameters.Values:
    """Returns the parameters of a rung's runs in one profile: those it has today, if any ran."""
    tried = [parameters.asked(r["parameters"]) for r in records if r["experiment"] == slug]
    with suppress(parameters.ParameterError):  # run by hand, or its notebook is gone
        today = parameters.asked(parameters.of_profile(records[0]["profile"], slug))
        if today in tried:
            return today
    return max(tried, key=tried.count)


def study_protocol(everything: list[dict], records: list[dict]) -> list[dict]:
    """Returns those of the published protocol on the very data of some records."""
    if not records:
        return []
    return same_conditions(everything, profile="study", data=records[0]["dataset"]["sha256"])


@dataclass(frozen=True)
class Other:
    """A rung that was trained otherwise, on the same images.

    Attributes:
        base: the profile that it is nearest to, of those that the rung was run in and ``"study"``.
        changes: parameters that differ from it, by name: the value there and the value here.
        row: its figures.
    """

    base: str
    changes: dict[str, tuple]
    row: Row


def others(row: Row, everything: list[dict]) -> list[Other]:
    """Returns the runs of a rung that its row leaves out, on the same test images; by hand last.

    Those that learnt on another number of images come only if, with those they were validated on,
    they had as many.

    Args:
        row: of `table`; without records there is nothing to compare with.
        everything: records of any kind.
    """
    if not row.records:
        return []
    ours, groups = row.records[0], {}
    alike = [
        record
        for record in everything
        if record["experiment"] == ours["experiment"] and _images(record) == _images(ours)
    ]
    bases = {
        ours["profile"]: ours["parameters"],
        "study": parameters.of_profile("study", ours["experiment"]),
    }
    for record in alike:
        if record["profile"] != "custom":
            bases.setdefault(record["profile"], record["parameters"])
    for record in alike:
        if record["profile"] != ours["profile"] or _changes(record, ours["parameters"]):
            told = {base: _changes(record, before) for base, before in bases.items()}
            base = min(told, key=lambda name: len(told[name]))
            key = record["profile"], base, str(told[base])
            groups.setdefault(key, (told[base], []))[1].append(record)
    by_hand_last = sorted(groups.items(), key=lambda group: (group[0][0] == "custom", *group[0]))
    return [
        Other(base, changes, _row(row.experiment, records))
        for (_, base, _), (changes, records) in by_hand_last
    ]


def _images(record: dict) -> tuple:
    """Returns which images a run had, however it split those that are not for the test."""
    dataset = record["dataset"]
    return dataset["sha256"], dataset["train"] + dataset["val"], dataset["test"]


def _changes(record: dict, before: dict) -> dict[str, tuple]:
    """Returns the parameters of a run that differ from others: the value there and here."""
    return {
        name: (before.get(name), value)
        for name, value in parameters.asked(record["parameters"]).items()
        if value != before.get(name)
    }


def table(records: list[dict]) -> list[Row]:
    """Returns one row per experiment of the study, in order.

    Args:
        records: of one profile and one data set (`same_conditions`).

    Raises:
        ValueError: if the records are of several profiles or data sets, a seed is there
            twice, or two seeds are the same run.
    """
    if len({(r["profile"], r["dataset"]["sha256"]) for r in records}) > 1:
        raise ValueError("records of several profiles or data sets do not go into one table")
    return [_row(e, [r for r in records if r["experiment"] == e.slug]) for e in EXPERIMENTS]


def spread(rows: list[Row]) -> Spread:
    """Pools the spread over seeds of all rungs that have several; none that learnt nothing."""
    several = [row for row in rows if len(row.records) > 1 and not row.at_chance]
    degrees = sum(len(row.records) - 1 for row in several)
    if not degrees:
        return Spread(LITERATURE_SD, 0)
    total = sum((len(row.records) - 1) * row.accuracy_sd**2 for row in several)
    return Spread(math.sqrt(total / degrees), degrees)


def verdict(row: Row, spread: Spread) -> Verdict | None:
    """Judges one rung by the prediction interval of one more run with another seed.

    Returns:
        None where nothing was run, or not on all of CIFAR-10's images.
    """
    if not on_all_images(row):
        return None
    count = len(row.records)
    half = spread.quantile * spread.sd * math.sqrt(1 + 1 / count)
    low, high = row.accuracy - half, row.accuracy + half
    published = row.experiment.accuracy
    if low <= published <= high:
        word = "reproduced" if half <= WIDEST else "undetermined"
    else:
        word = "better" if published < low else "not reproduced"
    return Verdict(word, count <= 2 or not spread.degrees, low, high)


def on_all_images(row: Row) -> bool:
    """Whether a rung was run, and on all of CIFAR-10's images."""
    return bool(row.records) and all(
        r["dataset"]["name"] == "cifar10"
        and r["dataset"]["train"] + r["dataset"]["val"] == IMAGES["train"]
        and r["dataset"]["test"] == IMAGES["test"]
        for r in row.records
    )


def in_one_line(rows: list[Row]) -> str:
    """Says how many rungs are reproduced, and how the whole ladder compares.

    Returns:
        ``""`` if no rung can be judged.
    """
    pooled = spread(rows)
    judged = [(row, verdict(row, pooled)) for row in rows if on_all_images(row)]
    if not judged:
        return ""
    counts = Counter(v.word for _, v in judged)
    words = ", ".join(
        f"{counts[word]} {word}"
        for word in ("reproduced", "better", "not reproduced", "undetermined")
        if counts[word]
    )
    indicative = sum(v.indicative for _, v in judged)
    shortfall = statistics.fmean(
        max(0, row.experiment.accuracy - row.accuracy) for row, _ in judged
    )
    parts = [f"Of {len(judged)} rung{'s' * (len(judged) > 1)}: {words}"]
    if indicative:
        parts[0] += f" ({'all' if indicative == len(judged) else indicative} indicative)"
    parts.append(f"mean shortfall {100 * shortfall:.2f} points (0 where ours is higher)")
    if len(judged) > 2:
        correlation = rank_correlation([row for row, _ in judged])
        parts.append(f"rank correlation with the published order {correlation:.2f}")
    return "; ".join(parts) + "."


def of_the_protocol(rows: list[Row], study_rows: list[Row]) -> str:
    """Says `in_one_line` what the study's own schedule came to, beside rows of another profile.

    Returns:
        ``""`` if there is nothing to say beside.
    """
    line = in_one_line(study_rows)
    if not line or any(r["profile"] == "study" for row in rows for r in row.records):
        return ""
    return f"With the study's own schedule (profile study): {line[0].lower()}{line[1:]}"


def rank_correlation(rows: list[Row]) -> float:
    """Returns Spearman's correlation of published and our accuracies."""
    from scipy import stats

    ours, published = [r.accuracy for r in rows], [r.experiment.accuracy for r in rows]
    return float(stats.spearmanr(ours, published).statistic)


@dataclass(frozen=True)
class Payoff:
    """Which rungs pay off: all have learnt, and of no two of them the cheaper is as accurate.

    Attributes:
        rows: such rungs, the cheapest first, by multiply–adds of training.
        best: the most accurate.
        enough: the cheapest whose test accuracy the test images cannot tell from the best's.
    """

    rows: tuple[Row, ...]
    best: Row
    enough: Row


def payoff(rows: list[Row]) -> Payoff | None:
    """Returns which rungs pay off, or None where nothing has run, or nothing has learnt."""
    learnt = (row for row in rows if row.records and not row.at_chance)
    done = sorted(learnt, key=lambda row: row.operations)
    if not done:
        return None
    best = max(done, key=lambda row: row.accuracy)
    worth: list[Row] = []
    for row in done:
        if not worth or row.accuracy > worth[-1].accuracy:
            worth.append(row)
    enough = next(
        row
        for row in worth
        if best.accuracy - row.accuracy <= 1.96 * math.hypot(error(row), error(best))
    )
    return Payoff(tuple(worth), best, enough)


def error(row: Row) -> float:
    """Returns the standard error of a rung's test accuracy that comes from its test images."""
    count = row.records[0]["dataset"]["test"]
    return math.sqrt(row.accuracy * (1 - row.accuracy) / count)


def _row(experiment: Experiment, records: list[dict]) -> Row:
    seeds = [record["seed"] for record in records]
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"{experiment.slug}: seeds {seeds} are not all different")
    for one, other in combinations(records, 2):
        # Figures may agree by chance, the floats of a whole history never.
        if (one["history"], one["metrics"]) == (other["history"], other["metrics"]):
            raise ValueError(
                f"{experiment.slug}: seeds {one['seed']} and {other['seed']} have the same history "
                "and metrics to the last digit, so they are one run; delete one record and run "
                "that seed again"
            )
    if not records:
        return Row(experiment, (), *[None] * 7, at_chance=False)
    accuracies = [record["metrics"]["test"]["accuracy"] for record in records]
    mean = statistics.fmean(accuracies)
    comparable = all(record["dataset"]["name"] == "cifar10" for record in records)
    return Row(
        experiment=experiment,
        records=tuple(records),
        accuracy=mean,
        accuracy_sd=statistics.stdev(accuracies) if len(accuracies) > 1 else None,
        loss=statistics.fmean(record["metrics"]["test"]["loss"] for record in records),
        train_accuracy=statistics.fmean(r["metrics"]["train"]["accuracy"] for r in records),
        difference=mean - experiment.accuracy if comparable else None,
        seconds=statistics.fmean(record["timing"]["train_seconds"] for record in records),
        operations=statistics.fmean(record["training"]["operations"] for record in records),
        at_chance=any(record["training"]["at_chance"] for record in records),
    )
