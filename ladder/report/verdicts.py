"""Records against the published figures, and against each other."""

import math
import statistics
from collections import Counter, defaultdict
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import numpy as np

from ladder.report.render import render
from lib import metrics, study
from lib.errors import ParameterError, RecordError
from lib.results import fingerprint, parameters
from lib.results.record import Record, predictions
from lib.study import EXPERIMENTS, Experiment

UNBALANCED = 3
"""If the largest class has more than so many times the test images of the smallest, experiments are
compared by balanced accuracy."""


@dataclass(frozen=True)
class Spread:
    """How test accuracy varies over seeds, pooled over the experiments of one protocol.

    Attributes:
        sd: standard deviation, accuracy from 0 to 1.
        degrees: of freedom; 0 where the figure is the literature's.
    """

    sd: float
    degrees: int

    @property
    def quantile(self) -> float:
        """97.5 % quantile of Student's t, or of the normal distribution."""
        if not self.degrees:
            return study.NORMAL_QUANTILE
        from scipy import stats  # slow to import, so only where it is needed

        return float(stats.t.ppf(0.975, self.degrees))


@dataclass(frozen=True)
class Verdict(study.Verdict):
    """Whether an experiment is reproduced.

    Attributes:
        indicative: whether it rests on one or two seeds, or no experiment has three.
    """

    indicative: bool


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
        seconds: training time of the first seed, or None; others may be of another machine.
        operations: mean multiply–adds of training, or None.
        at_chance: whether any of the runs has learned nothing.
        recalls: of the reader's own images: for each class the share that is recognized, mean over
            the seeds, 0 to 1, NaN without test images; () where the predictions are missing.
        test_images: of each class, likewise.
        unbalanced: whether the balanced accuracy decides, for this row and all others.
        right: of each test image the share of the seeds that recognize it; () likewise.
        labels: the classes of these images.
    """

    experiment: Experiment
    records: tuple[Record, ...]
    accuracy: float | None
    accuracy_sd: float | None
    loss: float | None
    train_accuracy: float | None
    difference: float | None
    seconds: float | None
    operations: float | None
    at_chance: bool
    recalls: tuple[float, ...] = ()
    test_images: tuple[int, ...] = ()
    unbalanced: bool = False
    right: tuple[float, ...] = ()
    labels: tuple[int, ...] = ()

    @property
    def balanced_accuracy(self) -> float | None:
        """Mean of the recalls, to which each class adds the same."""
        found = [recall for recall in self.recalls if not math.isnan(recall)]
        return statistics.fmean(found) if found else None

    @property
    def score(self) -> float | None:
        """What experiments are compared by: accuracy, or balanced accuracy if it decides."""
        return self.balanced_accuracy if self.unbalanced else self.accuracy


def same_conditions(records: list[Record], *, profile: str = "", data: str = "") -> list[Record]:
    """Returns the records of one profile and one data set, so that no table mixes them.

    Where a profile's recipe for an experiment has changed, these are the seeds of one recipe:
    today's, or the commonest where none is of today's. They are of one precision, too, the
    commonest. Runs of other networks are left out.

    Args:
        records: any.
        profile: the profile wanted; by default that of the largest group, ``custom`` last.
        data: digest of the data set wanted; by default that of the largest group.
    """
    eligible = [
        r
        for r in records
        if profile in ("", r.profile) and data in ("", r.dataset.sha256) and not r.has_other_network
    ]
    groups = Counter(map(_conditions, eligible))
    if not groups:
        return []
    chosen = max(sorted(groups), key=lambda group: (group[0] != "custom", groups[group]))
    alike = [r for r in eligible if _conditions(r) == chosen]
    recipes = {slug: _recipe(alike, slug) for slug in {r.experiment for r in alike}}
    return [r for r in alike if computed(r) == recipes[r.experiment]]


def of_other_code(records: list[Record]) -> list[Record]:
    """Returns the records of another version of their notebook, its modules, data or weights."""
    return [r for r in records if r.fingerprint != _fingerprint_now(r)]


def _fingerprint_now(record: Record) -> str | None:
    """Returns the fingerprint that a run would have today, or None if its notebook is gone."""
    architecture = record.model.architecture if record.has_other_network else ""
    with suppress(OSError, ParameterError):
        return fingerprint.of_run(
            record.experiment,
            record.parameters,
            data=record.dataset.sha256,
            weights=record.weights and record.weights["sha256"],
            architecture=architecture,
        )


def _conditions(record: Record) -> tuple[str, str]:
    return record.profile, record.dataset.sha256


def _recipe(records: list[Record], slug: str) -> parameters.Values:
    """Returns the parameters of an experiment in one profile: today's, if any run had them."""
    runs = [record for record in records if record.experiment == slug]
    with suppress(ParameterError):  # profile custom, or its notebook is gone
        today = parameters.computed(_of_profile(runs[0].profile, runs[0]))
        runs = [run for run in runs if parameters.computed(run.parameters) == today] or runs
    recipes = [computed(record) for record in runs]
    return max(recipes, key=recipes.count)


def computed(record: Record) -> parameters.Values:
    """Returns the parameters that decide what a run computes; PRECISION is the one it used."""
    used = {"PRECISION": record.training.precision} if record.training else {}
    return parameters.computed(record.parameters) | used


def _of_profile(profile: str, record: Record) -> parameters.Values:
    """Returns a profile's parameters for the experiment of a run and for its images."""
    return parameters.of_profile(profile, record.experiment, images=_images(record)[1])


def study_protocol(everything: list[Record], records: list[Record]) -> list[Record]:
    """Returns those of the published protocol on the very data of some records."""
    if not records:
        return []
    return same_conditions(everything, profile="study", data=records[0].dataset.sha256)


@dataclass(frozen=True)
class Other:
    """An experiment that was trained in another way, on the same images.

    Attributes:
        base: the nearest profile, of those that the experiment was run in and ``"study"``.
        changes: parameters that differ from it, by name: the value there and the value here.
        row: its figures.
    """

    base: str
    changes: dict[str, tuple]
    row: Row

    def __str__(self) -> str:
        first = self.row.records[0]
        changes = [f"{name} {new} instead of {old}" for name, (old, new) in self.changes.items()]
        if first.has_other_network:
            changes.insert(0, f"another network ({first.model.total_params:,} parameters)")
        elif first.profile != "custom" and not (first.profile == self.base and changes):
            return f"profile {first.profile}"
        return (
            f"{self.base} with {', '.join(changes)}" if changes else f"{self.base}, profile custom"
        )


def others(row: Row, everything: list[Record]) -> list[Other]:
    """Returns the runs of an experiment that its row leaves out, those of the profile custom last.

    All had the same test images. A run with another number of training images is among them only
    if training and validation images together are as many.

    Args:
        row: of `table`; without records only runs of other networks are returned.
        everything: records of any kind.
    """
    tried = [record for record in everything if record.experiment == row.experiment.slug]
    tried = tried if row.records else [record for record in tried if record.has_other_network]
    if not tried:
        return []
    ours, groups = (row.records or tried)[0], defaultdict(list)
    alike = [record for record in tried if _images(record) == _images(ours)]
    bases = {ours.profile: computed(ours)} if row.records else {}
    if not row.records:
        with suppress(ParameterError):
            profile = ours.parameters["PROFILE"]
            bases[profile] = _of_profile(profile, ours)
    bases["study"] = parameters.of_profile("study", ours.experiment)
    for record in alike:
        if record.profile != "custom":
            bases.setdefault(record.profile, computed(record))
    for record in alike:
        network = record.model.architecture if record.has_other_network else ""
        if network or record.profile != ours.profile or _changes(record, computed(ours)):
            base, changes = _nearest(record, bases)
            order = (record.profile == "custom", record.profile, base, network, len(changes))
            run = record.name.rpartition("-")[0]  # without the seed
            groups[(*order, str(changes), run, record.training.precision)].append(record)
    return [
        Other(*_nearest(group[0], bases), _row(row.experiment, group))
        for _, group in sorted(groups.items())
    ]


def _nearest(record: Record, bases: dict[str, parameters.Values]) -> tuple[str, dict]:
    """Returns the profile from which a run changes the fewest parameters, and the changes."""
    changes = {base: _changes(record, values) for base, values in bases.items()}
    return min(changes.items(), key=lambda found: len(found[1]))


def paired(row: Row, other: Row) -> tuple[float, float, int] | None:
    """Compares two settings of an experiment by the seeds that both have.

    Returns:
        Mean of the other's accuracy minus the row's, half of its 95 % interval (Student's t), both
        as shares, and the number of seeds; None for fewer than two.
    """
    from scipy import stats

    ours = {record.seed: record.metrics["test"].accuracy for record in row.records}
    found = [r.metrics["test"].accuracy - ours[r.seed] for r in other.records if r.seed in ours]
    if len(found) < 2:
        return None
    error = statistics.stdev(found) / math.sqrt(len(found))
    half = float(stats.t.ppf(0.975, len(found) - 1)) * error
    return statistics.fmean(found), half, len(found)


def _images(record: Record) -> tuple:
    """Returns which images a run had, however it split those that are not for the test."""
    dataset = record.dataset
    return dataset.sha256, dataset.train + dataset.val, dataset.test


def protocol_changes(record: Record) -> dict[str, tuple]:
    """Returns the parameters of a run that differ from ``study``'s: the value there and here."""
    return _changes(record, parameters.of_profile("study", record.experiment))


def _changes(record: Record, before: parameters.Values) -> dict[str, tuple]:
    """Returns the parameters of a run that differ from others: the value there and here."""
    return {
        name: (before.get(name), value)
        for name, value in computed(record).items()
        if value != before.get(name) and (name, before.get(name)) != ("PRECISION", "auto")
    }


def table(records: list[Record], out: Path | None = None) -> list[Row]:
    """Returns one row per experiment of the study, in order, without runs of other networks.

    Args:
        records: of one profile and one data set (`same_conditions`).
        out: the report's folder, whose predictions give the recall by class of own images.

    Raises:
        RecordError: if the records are of several profiles or data sets, a seed is there
            twice, or two seeds are the same run.
    """
    if len(set(map(_conditions, records))) > 1:
        raise RecordError("records of several profiles or data sets do not go into one table")
    of_study = [record for record in records if not record.has_other_network]
    rows = [_row(e, [r for r in of_study if r.experiment == e.slug]) for e in EXPERIMENTS]
    if out is None or not of_study or not of_study[0].dataset.name.startswith("own/"):
        return rows
    return _with_recalls(rows, out)


def _with_recalls(rows: list[Row], out: Path) -> list[Row]:
    """Adds the recall by class, to all rows or to none: they are compared by it."""
    found = []
    for row in rows:
        stored = [predictions(out, record) for record in row.records]
        if None in stored:
            print(f"No recall by class: {row.experiment.slug} has no predictions beside its record")
            return rows
        if stored:
            recalls = np.mean([metrics.recalls(*pair) for pair in stored], axis=0).tolist()
            counts = np.bincount(stored[0][1], minlength=len(recalls)).tolist()
            labels, right = stored[0][1], np.mean([p.argmax(1) == y for p, y in stored], axis=0)
            row = replace(
                row,
                recalls=tuple(recalls),
                test_images=tuple(counts),
                right=tuple(right.tolist()),
                labels=tuple(labels.tolist()),
            )
        found.append(row)
    counts = [row.test_images for row in found if row.recalls]
    unbalanced = any(max(each) > UNBALANCED * min(each) for each in counts)
    return [replace(row, unbalanced=unbalanced and bool(row.recalls)) for row in found]


def comparable(rows: list[Row]) -> bool:
    """Whether the published figures apply: to CIFAR-10 only."""
    return any(row.difference is not None for row in rows)


def spread(rows: list[Row]) -> Spread:
    """Pools the spread over seeds of all experiments that have several and learned something.

    It is the literature's as long as none has three seeds: a pair of runs may agree by chance.
    """
    several = _several(rows)
    degrees = sum(len(row.records) - 1 for row in several)
    if not any(len(row.records) > 2 for row in several):
        return Spread(study.LITERATURE_SD, 0)
    total = sum((len(row.records) - 1) * row.accuracy_sd**2 for row in several)
    return Spread(math.sqrt(total / degrees), degrees)


def _several(rows: list[Row]) -> list[Row]:
    return [row for row in rows if len(row.records) > 1 and not row.at_chance]


def verdict(row: Row, spread: Spread) -> Verdict | None:
    """Judges one experiment by the prediction interval of one more run with another seed.

    Returns:
        None where nothing was run, not the study's network, or not on all of CIFAR-10's images.
    """
    if not has_verdict(row):
        return None
    count = len(row.records)
    found = study.judge(
        row.experiment.slug, row.accuracy, runs=count, sd=spread.sd, quantile=spread.quantile
    )
    return Verdict(found.word, found.low, found.high, count <= 2 or not spread.degrees)


def has_verdict(row: Row) -> bool:
    """Whether the study's network was run, and on all of CIFAR-10's images."""
    return bool(row.records) and not any(r.no_verdict for r in row.records)


@dataclass(frozen=True)
class Tally:
    """All experiments that can be judged, together.

    Attributes:
        judged: each with its verdict.
        counts: of each verdict's word.
        indicative: how many verdicts are.
        difference: mean of our accuracy minus the published one.
        above: in how many ours is higher.
    """

    judged: tuple[tuple[Row, Verdict], ...]
    counts: Counter
    indicative: int
    difference: float
    above: int


def tally(rows: list[Row]) -> Tally | None:
    """Judges all rows, or returns None if none can be judged."""
    pooled = spread(rows)
    judged = tuple((row, verdict(row, pooled)) for row in rows if has_verdict(row))
    if not judged:
        return None
    return Tally(
        judged=judged,
        counts=Counter(found.word for _, found in judged),
        indicative=sum(found.indicative for _, found in judged),
        difference=statistics.fmean(row.difference for row, _ in judged),
        above=sum(row.difference > 0 for row, _ in judged),
    )


def sensitivity(rows: list[Row]) -> str:
    """Says which verdicts change without the experiment whose seeds vary most.

    All verdicts use one spread over seeds, as if it were the same in all experiments.

    Returns:
        ``""`` if the spread is not measured, or not without that experiment.
    """
    found, pooled = tally(rows), spread(rows)
    if not found or not pooled.degrees:
        return ""
    widest = max(_several(rows), key=lambda row: row.accuracy_sd)
    others = spread([row for row in rows if row is not widest])
    if not others.degrees:
        return ""
    changed = [
        (row, after.word)
        for row, before in found.judged
        if (after := verdict(row, others)).word != before.word
    ]
    return render("sensitivity.txt.j2", widest=widest, others=others, changed=changed)


def rank_correlation(rows: list[Row]) -> float | None:
    """Returns Spearman's correlation of our accuracies with the published ones, from three on."""
    from scipy import stats

    pairs = [(row.accuracy, row.experiment.accuracy) for row in rows if row.records]
    return float(stats.spearmanr(pairs).statistic) if len(pairs) > 2 else None


def in_one_line(rows: list[Row]) -> str:
    """Says how many experiments are reproduced, and how all of them compare with the study.

    Returns:
        ``""`` if no experiment can be judged.
    """
    found = tally(rows)
    if not found:
        return ""
    correlation = rank_correlation([row for row, _ in found.judged])
    return render("in_one_line.txt.j2", tally=found, correlation=correlation)


def of_the_protocol(rows: list[Row], study_rows: list[Row]) -> str:
    """Says `in_one_line` what the study's own schedule reached, for rows of another profile.

    Returns:
        ``""`` if the rows are of that profile, or no run of it can be judged.
    """
    line = in_one_line(study_rows)
    if not line or any(record.profile == "study" for row in rows for record in row.records):
        return ""
    line = f"We also ran the study's own schedule (profile study). {line}"
    pooled = spread(study_rows)
    if tally(study_rows).counts["undetermined"] and pooled.degrees:
        line += (
            " Undetermined means that the published accuracy is inside our interval, but the "
            "interval is wide: the standard deviation (SD) over seeds is "
            f"{100 * pooled.sd:.2f} points."
        )
    return " ".join(filter(None, [line, sensitivity(study_rows)]))


@dataclass(frozen=True)
class Payoff:
    """Which experiments pay off: of no two of them has the cheaper one as high a score.

    Attributes:
        rows: those experiments, by multiply–adds of training; the last has the highest score.
        enough: the cheapest whose score does not differ significantly from the last's, given
            the test images.
    """

    rows: tuple[Row, ...]
    enough: Row


def payoff(rows: list[Row]) -> Payoff | None:
    """Returns which experiments pay off, or None where none has run or none has learned."""
    learned = (row for row in rows if row.records and not row.at_chance)
    efficient: list[Row] = []
    for row in sorted(learned, key=lambda row: row.operations):
        if not efficient or row.score > efficient[-1].score:
            efficient.append(row)
    for row in efficient:
        best = efficient[-1]
        if best.score - row.score <= 1.96 * _error_of_difference(row, best):
            return Payoff(tuple(efficient), row)
    return None


def _error_of_difference(row: Row, best: Row) -> float:
    """Returns the standard error of the difference of two scores.

    Where the predictions are available, the two are compared image by image: both find the same
    images hard, so the difference is known better than each score.
    """
    if not row.right or not best.right:
        return math.hypot(error(row), error(best))
    gap, labels = np.subtract(best.right, row.right), np.array(best.labels)
    groups = [gap[labels == label] for label in set(best.labels)] if best.unbalanced else [gap]
    parts = [group.var() / max(len(group) - 1, 1) for group in groups]
    return math.sqrt(sum(parts)) / len(groups)


def unfinished(rows: list[Row]) -> list[Row]:
    """Returns the experiments whose validation accuracy was still rising when training ended.

    Of the last two tenths of its epochs, at least one epoch each, the mean of the second is above
    that of the first by more than the standard error that comes from the number of images.
    """
    return [row for row in rows if any(map(_rising, row.records))]


def _rising(record: Record) -> bool:
    curve = record.history["val_accuracy"]
    tenth = max(1, len(curve) // 10)
    if len(curve) < 2 * tenth:
        return True  # one epoch
    before, end = (statistics.fmean(part) for part in (curve[-2 * tenth : -tenth], curve[-tenth:]))
    return end - before > math.sqrt(end * (1 - end) / record.dataset.val)


def error(row: Row) -> float:
    """Returns the standard error of a row's score that comes from the number of test images."""
    if row.unbalanced:
        # Each class is measured by its own images. One more right and one more wrong image keep
        # the error of a class that is always, or never, recognized from being 0.
        measured = [(r, n) for r, n in zip(row.recalls, row.test_images, strict=True) if n]
        shares = [((recall * n + 1) / (n + 2), n) for recall, n in measured]
        return math.sqrt(sum(share * (1 - share) / n for share, n in shares)) / len(shares)
    return math.sqrt(row.accuracy * (1 - row.accuracy) / row.records[0].dataset.test)


def _row(experiment: Experiment, records: list[Record]) -> Row:
    seeds = [record.seed for record in records]
    if len(set(seeds)) < len(seeds):
        raise RecordError(f"{experiment.slug}: seeds {seeds} are not all different")
    for one, other in combinations(records, 2):
        # Figures may agree by chance, the floats of a whole history never.
        if (one.history, one.metrics) == (other.history, other.metrics):
            raise RecordError(
                f"{experiment.slug}: seeds {one.seed} and {other.seed} have the same history "
                "and metrics to the last digit, so they are one run; delete one record and run "
                "that seed again"
            )
    if len({record.training.precision for record in records}) > 1:
        raise RecordError(f"{experiment.slug}: runs in several precisions are not averaged")
    if not records:
        return Row(experiment, (), *[None] * 7, at_chance=False)
    accuracies = [record.metrics["test"].accuracy for record in records]
    mean = statistics.fmean(accuracies)
    comparable = all(record.dataset.name == "cifar10" for record in records)
    return Row(
        experiment=experiment,
        records=tuple(records),
        accuracy=mean,
        accuracy_sd=statistics.stdev(accuracies) if len(accuracies) > 1 else None,
        loss=statistics.fmean(record.metrics["test"].loss for record in records),
        train_accuracy=statistics.fmean(record.metrics["train"].accuracy for record in records),
        difference=mean - experiment.accuracy if comparable else None,
        seconds=records[0].timing["train_seconds"],
        operations=statistics.fmean(record.training.operations for record in records),
        at_chance=any(record.training.at_chance for record in records),
    )
