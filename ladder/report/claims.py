"""The study's eleven claims, judged by records.

A claim that compares two rungs is judged by the 95 % interval of the difference of their mean
accuracies, with the spread over seeds of `ladder.report.verdicts`. Overfitting, which a schedule
may end before, is judged by records of the published protocol only.
"""

import math
import statistics
from dataclasses import dataclass
from itertools import pairwise

from ladder.report import verdicts
from ladder.report.verdicts import Row
from lib.study import CLAIMS, EXPERIMENTS, Claim

ABOUT_AS_GOOD = 0.015
"""Accuracies that differ by less count as about the same (the study's 8 and 9: 0.0092)."""
OVERFITTING_GAP, OVERFITTING_RISE = 0.05, 0.02
"""Overfitting: training accuracy above test accuracy by this much, and validation cross-entropy
(nats) at the end above its lowest by this much."""


@dataclass(frozen=True)
class Judgement:
    """A claim and what the records say.

    Attributes:
        claim: the claim.
        word: ``"holds"``, ``"does not hold"``, ``"undetermined"`` or ``"not tested"``.
        why: a sentence with the numbers.
    """

    claim: Claim
    word: str
    why: str


def judge(rows: list[Row], study_rows: list[Row]) -> list[Judgement]:
    """Judges all claims.

    Args:
        rows: of one protocol, see `verdicts.table`.
        study_rows: of the published protocol, on the same data; may have no records.
    """
    ladder, study = _Ladder(rows), _Ladder(study_rows)
    judged = []
    for claim in CLAIMS:
        word, why = _JUDGES[claim.number](ladder, study)
        if claim.confounds and word != "not tested":
            why += f" Not the only change: {claim.confounds}."
        judged.append(Judgement(claim, word, why))
    return judged


def caution(rows: list[Row]) -> str:
    """Returns what to bear in mind where the rungs' schedules differ, or ``""``."""
    records = [record for row in rows for record in row.records]
    if len({record["parameters"].get("EPOCHS") for record in records}) < 2:
        return ""
    return (
        "The rungs were given different numbers of epochs, and some another batch or learning "
        "rate, each what suits itself (What was different): a part of a difference can come from "
        "there."
    )


class _MissingError(Exception):
    """A rung that a claim needs and that was not run on all images."""


class _Ladder:
    """Rungs of one protocol by number, and how they compare."""

    def __init__(self, rows: list[Row]):
        self.rows, self.spread = rows, verdicts.spread(rows)

    def __getitem__(self, number: int) -> Row:
        row = self.rows[number]
        if not verdicts.on_all_images(row):
            raise _MissingError(number)
        return row

    def difference(self, one: int, other: int) -> tuple[float, float]:
        """Returns accuracy of one rung minus another's, and half of its 95 % interval."""
        a, b = self[one], self[other]
        width = math.sqrt(1 / len(a.records) + 1 / len(b.records))
        return a.accuracy - b.accuracy, self.spread.quantile * self.spread.sd * width

    def gap(self, number: int) -> float:
        """Returns training minus test accuracy, both in inference mode."""
        row = self[number]
        return row.train_accuracy - row.accuracy


def _needs_all(judge):
    """Says which rung is missing instead of judging without it."""

    def wrapper(ladder: _Ladder, study: _Ladder) -> tuple[str, str]:
        try:
            return judge(ladder, study)
        except _MissingError as missing:
            return "not tested", f"Rung {missing} was not run, or not on all images."

    return wrapper


def _points(difference: float, half: float) -> str:
    return f"{100 * difference:+.2f} points (± {100 * half:.2f})"


def _greater(one: int, other: int):
    """Makes the judge of ``one`` being better than ``other``."""

    @_needs_all
    def judge(ladder: _Ladder, study: _Ladder) -> tuple[str, str]:
        difference, half = ladder.difference(one, other)
        word = "undetermined"
        if abs(difference) > half:
            word = "holds" if difference > 0 else "does not hold"
        return word, f"{one} against {other}: {_points(difference, half)}."

    return judge


def _overfits(ladder: _Ladder, study: _Ladder) -> tuple[str, str]:
    try:
        row = study[1]
    except _MissingError:
        return "not tested", (
            "Another schedule may end before a network overfits; it needs rung 1 in the study's "
            "protocol (--profile study)."
        )
    gap = study.gap(1)
    rise = statistics.fmean(
        r["history"]["val_loss"][-1] - min(r["history"]["val_loss"]) for r in row.records
    )
    return (
        "holds" if gap >= OVERFITTING_GAP and rise >= OVERFITTING_RISE else "does not hold",
        f"In the study's protocol training accuracy is {100 * gap:.1f} points above test accuracy, "
        f"and validation cross-entropy ends {rise:.3f} nats above its lowest.",
    )


def _in_protocol(figures, ladder: _Ladder, study: _Ladder) -> tuple[str, list[float]]:
    """Returns figures of the study's protocol, or where it was not run of the rungs at hand."""
    try:
        return "the study's protocol", figures(study)
    except _MissingError:
        return "this schedule", figures(ladder)


@_needs_all
def _dropout(ladder: _Ladder, study: _Ladder) -> tuple[str, str]:
    word, why = _greater(2, 1)(ladder, study)
    where, gaps = _in_protocol(lambda rungs: [rungs.gap(1), rungs.gap(2)], ladder, study)
    return word, (
        f"{why} Under {where} the gap between training and test accuracy goes from "
        f"{100 * gaps[0]:.1f} to {100 * gaps[1]:.1f} points."
    )


@_needs_all
def _augmentation(ladder: _Ladder, study: _Ladder) -> tuple[str, str]:
    word, why = _greater(5, 4)(ladder, study)
    before, after = ladder[4].loss, ladder[5].loss
    if word == "holds" and after >= before:
        word = "does not hold"
    return word, f"{why} Cross-entropy goes from {before:.3f} to {after:.3f} nats."


@_needs_all
def _from_scratch(ladder: _Ladder, study: _Ladder) -> tuple[str, str]:
    word, why = _greater(5, 6)(ladder, study)
    where, falls = _in_protocol(lambda rungs: [_falls(rungs[6]), _falls(rungs[5])], ladder, study)
    if word == "holds" and falls[0] <= falls[1]:
        word = "does not hold"
    return word, (
        f"{why} Under {where} validation accuracy falls, from one epoch to the next, by "
        f"{falls[0]:.1f} points on average, that of 5 by {falls[1]:.1f} (a rise counts as 0)."
    )


def _falls(row: Row) -> float:
    """Returns the mean fall of validation accuracy from epoch to epoch, points."""
    falls = []
    for record in row.records:
        falls += [max(0, a - b) for a, b in pairwise(record["history"]["val_accuracy"])]
    return 100 * statistics.fmean(falls or [0])


@_needs_all
def _frozen(ladder: _Ladder, study: _Ladder) -> tuple[str, str]:
    others = [number for number in range(11) if number != 7]
    return _greater(min(others, key=lambda number: ladder[number].accuracy), 7)(ladder, study)


@_needs_all
def _best_so_far(ladder: _Ladder, study: _Ladder) -> tuple[str, str]:
    best = max(range(8), key=lambda number: ladder[number].accuracy)
    word, why = _greater(8, best)(ladder, study)
    if best != 5:
        why += f" 8 against 5: {_points(*ladder.difference(8, 5))}."
    published = EXPERIMENTS[8].accuracy - EXPERIMENTS[5].accuracy
    return (
        word,
        f"{why} How close is told, not judged; published: {100 * published:+.2f} points.",
    )


@_needs_all
def _about_as_good(ladder: _Ladder, study: _Ladder) -> tuple[str, str]:
    difference, half = ladder.difference(9, 8)
    word = "undetermined"
    if abs(difference) + half <= ABOUT_AS_GOOD:
        word = "holds"
    elif abs(difference) - half > ABOUT_AS_GOOD:
        word = "does not hold"
    return word, (
        f"9 against 8: {_points(difference, half)}; within {100 * ABOUT_AS_GOOD:.1f} counts as "
        "about as good."
    )


_JUDGES = {
    1: _greater(1, 0),
    2: _overfits,
    3: _dropout,
    4: _greater(3, 2),
    5: _greater(4, 3),
    6: _augmentation,
    7: _from_scratch,
    8: _frozen,
    9: _best_so_far,
    10: _about_as_good,
    11: _greater(10, 8),
}
