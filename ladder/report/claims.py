"""The study's eleven claims, judged by records.

A claim that compares two experiments is judged by the 95 % interval of the difference of their mean
accuracies, with the spread over seeds of `ladder.report.verdicts`. Records of the published
protocol judge it, too. Overfitting is judged by that protocol only, because another schedule may
end before it.
"""

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from ladder.report import verdicts
from ladder.report.render import signed
from ladder.report.verdicts import Row
from lib.study import EXPERIMENTS

ABOUT_AS_GOOD = 0.015
"""Accuracies that differ by less count as about the same (the study's 8 and 9: 0.0092)."""
OVERFITTING_GAP, OVERFITTING_RISE = 5, 0.02
"""Overfitting: training accuracy above test accuracy by this many points, and validation
cross-entropy at the end above its lowest by this many nats."""


@dataclass(frozen=True)
class Claim:
    """What the study concludes from its figures.

    Attributes:
        number: 1 to 11, in the study's order.
        text: the claim in one sentence.
        judge: makes the verdict from our runs and those of the published protocol.
        confounds: what else changes between the experiments compared (docs/study.md D8), or "".
        protocol_only: whether only runs of the published protocol judge it.
    """

    number: int
    text: str
    judge: Callable
    confounds: str = ""
    protocol_only: bool = False


@dataclass(frozen=True)
class Judgement:
    """A claim and what the records say.

    Attributes:
        claim: the claim.
        word: ``"holds"``, ``"does not hold"``, ``"undetermined"`` or ``"not tested"``.
        why: a sentence with the numbers.
        compared: numbers of the two experiments whose difference decides, or None.
        difference: of their mean accuracies, 0 to 1, or None.
        half: half of the 95 % interval of that difference, or None.
        protocol_word: the word by records of the published protocol, ``""`` if ours are of it or
            these were not run.
    """

    claim: Claim
    word: str
    why: str
    compared: tuple[int, int] | None = None
    difference: float | None = None
    half: float | None = None
    protocol_word: str = ""


def judge(rows: list[Row], study_rows: list[Row]) -> list[Judgement]:
    """Judges all claims.

    Args:
        rows: of one protocol, see `verdicts.table`.
        study_rows: of the published protocol, on the same data; may have no records.
    """
    ours, study = _Protocol("this schedule", rows), _Protocol("the study's protocol", study_rows)
    of_study = any(record.profile == "study" for row in rows for record in row.records)
    judged = []
    for claim in CLAIMS:
        found, again = _found(claim, ours, study), _found(claim, study, study)
        why, protocol_word = found.why, ""
        if again.word != "not tested" and not of_study:
            protocol_word = again.word
            if again.compared:
                one, other = again.compared
                points = _points(*study.difference(one, other))
                why += f" With {study.name}, {one} against {other}: {points}, {again.word}."
        if claim.confounds and found.word != "not tested":
            why += f" Not the only change: {claim.confounds}."
        pair = ours.difference(*found.compared) if found.compared else (None, None)
        judged.append(Judgement(claim, found.word, why, found.compared, *pair, protocol_word))
    return judged


def _found(claim: Claim, ours: "_Protocol", study: "_Protocol") -> "_Found":
    try:
        return claim.judge(ours, study)
    except _MissingError as missing:
        return _Found("not tested", str(missing))


def schedules_differ(rows: list[Row]) -> bool:
    """Whether experiments were given different numbers of epochs."""
    return len({r.parameters.get("EPOCHS") for row in rows for r in row.records}) > 1


@dataclass
class _Found:
    """What a judge says; see `Judgement`."""

    word: str
    why: str
    compared: tuple[int, int] | None = None


class _MissingError(Exception):
    """An experiment that a claim needs and that was not run on all images."""


class _Protocol:
    """The experiments of one protocol by number, and how they compare."""

    def __init__(self, name: str, rows: list[Row]):
        self.name, self.rows, self.spread = name, rows, verdicts.spread(rows)

    def has(self, *numbers: int) -> bool:
        """Whether those were run on all images."""
        return all(verdicts.has_verdict(self.rows[number]) for number in numbers)

    def __getitem__(self, number: int) -> Row:
        if not self.has(number):
            raise _MissingError(f"Experiment {number} was not run, or not on all images.")
        return self.rows[number]

    def difference(self, one: int, other: int) -> tuple[float, float]:
        """Returns accuracy of one experiment minus another's, and half of its 95 % interval."""
        a, b = self[one], self[other]
        width = math.sqrt(1 / len(a.records) + 1 / len(b.records))
        return a.accuracy - b.accuracy, self.spread.quantile * self.spread.sd * width

    def compare(self, one: int, other: int) -> _Found:
        """Judges whether one experiment is better than another."""
        difference, half = self.difference(one, other)
        word = "undetermined"
        if abs(difference) > half:
            word = "holds" if difference > 0 else "does not hold"
        return _Found(word, f"{one} against {other}: {_points(difference, half)}.", (one, other))

    def gap(self, number: int) -> float:
        """Returns training minus test accuracy, points, both in inference mode."""
        return 100 * (self[number].train_accuracy - self[number].accuracy)

    def rise(self, number: int) -> float:
        """Returns the mean validation cross-entropy at the end, above its lowest, nats."""
        curves = (record.history["val_loss"] for record in self[number].records)
        return statistics.fmean(curve[-1] - min(curve) for curve in curves)

    def overfits(self, number: int) -> bool:
        """Whether a network fits training images much better, and got worse on others."""
        return self.gap(number) >= OVERFITTING_GAP and self.rise(number) >= OVERFITTING_RISE

    def fall(self, number: int) -> float:
        """Returns the mean fall of validation accuracy from epoch to epoch, points."""
        curves = (record.history["val_accuracy"] for record in self[number].records)
        falls = [max(0, a - b) for curve in curves for a, b in pairwise(curve)]
        return 100 * statistics.fmean(falls or [0])


def _points(difference: float, half: float) -> str:
    low, high = signed(difference - half), signed(difference + half)
    return f"{signed(difference)} points (95 % interval {low} to {high})"


def _best(ours: _Protocol, study: _Protocol, *numbers: int) -> _Protocol:
    """Returns the study's protocol if those experiments were run in it, else ours."""
    return study if study.has(*numbers) else ours


def _better(one: int, other: int):
    """Makes the judge of ``one`` being better than ``other``."""
    return lambda ours, study: ours.compare(one, other)


def _overfits(ours: _Protocol, study: _Protocol) -> _Found:
    if not study.has(1):
        raise _MissingError(
            "Another schedule may end before a network overfits; it needs experiment 1 in the "
            "study's protocol (--profile study)."
        )
    others = [n for n in range(11) if n != 1 and study.has(n) and study.overfits(n)]
    why = (
        f"In the study's protocol training accuracy is {study.gap(1):.1f} points above test "
        f"accuracy, and validation cross-entropy ends {study.rise(1):.3f} nats above its lowest. "
        f"Overfitting means at least {OVERFITTING_GAP} points and {OVERFITTING_RISE} nats."
    )
    if others:
        why += f" By this measure, these experiments overfit too: {', '.join(map(str, others))}."
    return _Found("holds" if study.overfits(1) else "does not hold", why)


def _dropout(ours: _Protocol, study: _Protocol) -> _Found:
    found = ours.compare(2, 1)
    best = _best(ours, study, 1, 2)
    found.why += (
        f" Under {best.name} the gap between training and test accuracy goes from "
        f"{best.gap(1):.1f} to {best.gap(2):.1f} points."
    )
    return found


def _augmentation(ours: _Protocol, study: _Protocol) -> _Found:
    found = ours.compare(5, 4)
    before, after = ours[4].loss, ours[5].loss
    if found.word == "holds" and after >= before:
        found.word = "does not hold"
    found.why += f" Cross-entropy goes from {before:.3f} to {after:.3f} nats."
    return found


def _from_scratch(ours: _Protocol, study: _Protocol) -> _Found:
    found = ours.compare(5, 6)
    best = _best(ours, study, 5, 6)
    if found.word == "holds" and best.fall(6) <= best.fall(5):
        found.word = "does not hold"
    found.why += (
        f" Under {best.name} the mean fall of validation accuracy from one epoch to the next is "
        f"{best.fall(6):.1f} points in 6 and {best.fall(5):.1f} in 5. A rise counts as 0."
    )
    return found


def _frozen(ours: _Protocol, study: _Protocol) -> _Found:
    others = [number for number in range(11) if number != 7]
    return ours.compare(min(others, key=lambda number: ours[number].accuracy), 7)


def _best_so_far(ours: _Protocol, study: _Protocol) -> _Found:
    best = max(range(8), key=lambda number: ours[number].accuracy)
    found = ours.compare(8, best)
    if best != 5:
        found.why += f" 8 against 5: {_points(*ours.difference(8, 5))}."
    published = EXPERIMENTS[8].accuracy - EXPERIMENTS[5].accuracy
    found.why += (
        f" How close they are is not part of the verdict; published: {signed(published)} points."
    )
    return found


def _about_as_good(ours: _Protocol, study: _Protocol) -> _Found:
    difference, half = ours.difference(9, 8)
    word = "undetermined"
    if abs(difference) + half <= ABOUT_AS_GOOD:
        word = "holds"
    elif abs(difference) - half > ABOUT_AS_GOOD:
        word = "does not hold"
    why = (
        f"9 against 8: {_points(difference, half)}; within {100 * ABOUT_AS_GOOD:.1f} counts as "
        "about as good."
    )
    return _Found(word, why, (9, 8))


CLAIMS = (
    Claim(
        1,
        "More depth beats the base model: 1 > 0.",
        _better(1, 0),
        "1 also has wider convolutions and larger dense layers (D8)",
    ),
    Claim(2, "The deeper network overfits.", _overfits, protocol_only=True),
    Claim(3, "Dropout improves the test result: 2 > 1.", _dropout),
    Claim(
        4,
        "Doubling the convolutions helps a little: 3 > 2.",
        _better(3, 2),
        "3 also adds a Dropout after the first pooling and has another head (D1, D8)",
    ),
    Claim(
        5,
        "BatchNormalization with the smaller batch helps: 4 > 3.",
        _better(4, 3),
        "4 also goes back to the head of 2; the batch is smaller in the study's protocol only (D8)",
    ),
    Claim(
        6,
        "Augmentation helps accuracy and cross-entropy: 5 > 4.",
        _augmentation,
        "the study's protocol also gives 5 more patience (D8)",
    ),
    Claim(
        7,
        "VGG16 from scratch is not better than the simpler CNN, 6 < 5, and its curves fluctuate.",
        _from_scratch,
        "6 also has another learning rate, clips gradients, and has neither BatchNormalization nor "
        "Dropout among its convolutions (D8)",
    ),
    Claim(8, "VGG16 frozen at 32×32 is unsuitable: 7 is the worst of all.", _frozen),
    Claim(9, "The fine-tuned VGG16 is the best so far: 8 > 0 to 7, close to 5.", _best_so_far),
    Claim(
        10,
        "Mini-VGG16 is about as good as the whole: 9 ≈ 8.",
        _about_as_good,
        "9 also has a larger head, because it gets more features (D8)",
    ),
    Claim(
        11,
        "A larger input uses VGG16 better: 10 > 8.",
        _better(10, 8),
        "10 also has a larger head, because it gets more features (D8)",
    ),
)
