"""The committed runs of the published protocol, at the published training accuracy.

Early stopping ends every run at another epoch. Within an experiment, test accuracy is fitted by a
line over training accuracy, with one slope for all experiments (analysis of covariance). On this
line our runs are compared with the published one as if they had stopped at its training accuracy.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ladder import run
from ladder.report import verdicts
from ladder.report.render import percent
from ladder.report.verdicts import Row
from lib.results import record

SECTION = """## Our runs at the published training accuracy

The committed runs of `study` stopped at different epochs. Within an experiment, a run with a higher
training accuracy also has a higher test accuracy: {slope:.2f} points for one point ({runs} runs of
{groups} experiments with several seeds). This explains most of the spread over seeds: the standard
deviation is {before:.2f} points, and {after:.2f} points around this line.

The study gives the training accuracy of {count} experiments. In {higher} of them it is higher than
the mean of our runs, so most of the published runs probably trained longer than ours before they
stopped.
The table has the test accuracy that our runs would have at the published training accuracy, with a
95 % interval for one more run. The published test accuracy is inside this interval in {inside} of
{count} experiments.

| experiment | seeds | our training accuracy | published training accuracy | our test accuracy \
| ours at the published training accuracy | published test accuracy |
| --- | ---: | ---: | ---: | ---: | ---: | ---: |
{rows}

Experiments with one seed take the slope of the others, so their figures are less certain. If one of
the {groups} experiments is left out of the fit, the slope is {low:.2f} to {high:.2f}.
{outside}
"""


@dataclass(frozen=True)
class Line:
    """Test accuracy over training accuracy, fitted within experiments.

    Attributes:
        slope: one for all experiments.
        before, after: standard deviation of test accuracy within experiments, and around the line;
            0 to 1.
        degrees: of freedom of ``after``.
        squares: sum of the squared deviations of training accuracy.
    """

    slope: float
    before: float
    after: float
    degrees: int
    squares: float

    def at(self, training: float, x: Sequence[float], y: Sequence[float]) -> tuple[float, float]:
        """Returns test accuracy at a training accuracy, and half a 95 % interval of one more run.

        Args:
            training: 0 to 1.
            x, y: training and test accuracies of the experiment's runs.
        """
        from scipy import stats

        away = training - np.mean(x)
        error = self.after * math.sqrt(1 + 1 / len(x) + away**2 / self.squares)
        half = float(stats.t.ppf(0.975, self.degrees)) * error
        return float(np.mean(y) + self.slope * away), half


def fit(groups: Sequence[tuple[Sequence[float], Sequence[float]]]) -> Line:
    """Fits the line to the training and test accuracies of several experiments."""
    x, y = (np.concatenate([np.subtract(g[k], np.mean(g[k])) for g in groups]) for k in (0, 1))
    degrees = len(x) - len(groups)
    slope = float(x @ y / (x @ x))
    left = y - slope * x
    before, after = math.sqrt(y @ y / degrees), math.sqrt(left @ left / (degrees - 1))
    return Line(slope, before, after, degrees - 1, float(x @ x))


def section() -> str:
    """Returns the section of docs/early-stopping.md, from the records of the run of record."""
    records = record.read_all(run.OF_RECORD)
    rows = verdicts.table(verdicts.same_conditions(records, profile="study"))
    several = [_accuracies(row) for row in rows if len(row.records) > 1]
    line = fit(several)
    shown = [row for row in rows if row.records and row.experiment.train_accuracy is not None]
    found = [_judged(row, line) for row in shown]
    others = [fit([*several[:n], *several[n + 1 :]]) for n in range(len(several))]
    outside = [
        row.experiment.slug for row in shown if not all(_judged(row, other)[1] for other in others)
    ]
    return SECTION.format(
        slope=line.slope,
        runs=sum(len(x) for x, _ in several),
        groups=len(several),
        before=100 * line.before,
        after=100 * line.after,
        count=len(found),
        higher=sum(row.train_accuracy < row.experiment.train_accuracy for row in shown),
        inside=sum(inside for _, inside in found),
        rows="\n".join(text for text, _ in found),
        low=min(other.slope for other in others),
        high=max(other.slope for other in others),
        outside="In some of these fits the published accuracy of "
        f"{', '.join(outside)} is outside its interval."
        if outside
        else "In all of these fits the published accuracies are inside.",
    )


def _judged(row: Row, line: Line) -> tuple[str, bool]:
    """Returns an experiment's line of the table, and whether the published figure is inside."""
    e = row.experiment
    mean, half = line.at(e.train_accuracy, *_accuracies(row))
    cells = (
        e.slug,
        len(row.records),
        percent(row.train_accuracy),
        percent(e.train_accuracy),
        percent(row.accuracy),
        f"{100 * mean:.2f} ± {100 * half:.2f} %",
        percent(e.accuracy),
    )
    return f"| {' | '.join(map(str, cells))} |", abs(mean - e.accuracy) <= half


def _accuracies(row: Row) -> tuple[list[float], list[float]]:
    scores = [each.metrics for each in row.records]
    return [s["train"].accuracy for s in scores], [s["test"].accuracy for s in scores]
