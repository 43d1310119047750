"""Records against the published figures."""

import statistics
from collections import Counter
from dataclasses import dataclass
from itertools import combinations

from lib.study import EXPERIMENTS, Experiment


@dataclass(frozen=True)
class Row:
    """One experiment: published against ours.

    Attributes:
        experiment: the published side.
        records: ours, one per seed; may be empty.
        accuracy: mean test top-1 accuracy over the seeds, 0 to 1, or None.
        accuracy_sd: its sample standard deviation, or None for fewer than two seeds.
        loss: mean test cross-entropy, nats, or None.
        difference: ours minus published accuracy, or None; also None where the data are
            not CIFAR-10, to which the published figure does not apply.
        seconds: mean training time, or None.
        at_chance: whether any of the runs has learnt nothing.
    """

    experiment: Experiment
    records: tuple[dict, ...]
    accuracy: float | None
    accuracy_sd: float | None
    loss: float | None
    difference: float | None
    seconds: float | None
    at_chance: bool


def same_conditions(records: list[dict], *, profile: str = "", data: str = "") -> list[dict]:
    """Returns the records of one profile and one data set, so that no table mixes them.

    Args:
        records: any.
        profile: the profile wanted; by default that of the largest group.
        data: digest of the data set wanted; by default that of the largest group.
    """
    groups = Counter(
        (record["profile"], record["dataset"]["sha256"])
        for record in records
        if profile in ("", record["profile"]) and data in ("", record["dataset"]["sha256"])
    )
    if not groups:
        return []
    chosen = max(sorted(groups), key=lambda group: groups[group])
    return [r for r in records if (r["profile"], r["dataset"]["sha256"]) == chosen]


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
        return Row(experiment, (), None, None, None, None, None, at_chance=False)
    accuracies = [record["metrics"]["test"]["accuracy"] for record in records]
    mean = statistics.fmean(accuracies)
    comparable = all(record["dataset"]["name"] == "cifar10" for record in records)
    return Row(
        experiment=experiment,
        records=tuple(records),
        accuracy=mean,
        accuracy_sd=statistics.stdev(accuracies) if len(accuracies) > 1 else None,
        loss=statistics.fmean(record["metrics"]["test"]["loss"] for record in records),
        difference=mean - experiment.accuracy if comparable else None,
        seconds=statistics.fmean(record["timing"]["train_seconds"] for record in records),
        at_chance=any(record["training"]["at_chance"] for record in records),
    )


def comparison(experiment: Experiment, accuracy: float, loss: float, *, dataset: str) -> str:
    """Returns one line: published, ours, difference."""
    published = f"published {experiment.accuracy:.2%} (cross-entropy {experiment.loss:.3f})"
    ours = f"ours {accuracy:.2%} ({loss:.3f})"
    if dataset != "cifar10":
        return f"{ours}; {published} on CIFAR-10, not on this data set"
    return f"{published}, {ours}, difference {100 * (accuracy - experiment.accuracy):+.2f} points"
