"""The eleven claims: judged by the right protocol, with their numbers."""

from dataclasses import replace

import pytest

from ladder.report import claims, verdicts
from lib.metrics import Score
from lib.study import EXPERIMENTS
from tests.report import made_up

SEEDS = 3


def rows(profile="budget", train=0.9, val_loss=(1.0, 0.8, 0.7), **accuracies):
    """Rows at the published accuracies, or others (``r8=0.8``); None leaves one out."""
    records = []
    for e in EXPERIMENTS:
        accuracy = accuracies.get(f"r{e.number}", e.accuracy)
        if accuracy is None:
            continue
        curve = [0.5, 0.6, 0.55 if e.number == 6 else 0.58]
        for seed in range(SEEDS):
            moved = accuracy + 0.003 * (seed - 1)
            test = Score(moved, e.loss + 0.001 * seed)
            records.append(
                made_up.record(
                    e.slug,
                    seed=seed,
                    profile=profile,
                    metrics={"train": Score(train, 0.2), "test": test},
                    history={"val_loss": list(val_loss), "val_accuracy": curve},
                )
            )
    return verdicts.table(records)


NOTHING = verdicts.table([])


def words(*arguments) -> list[str]:
    return [j.word for j in claims.judge(*arguments)]


def test_the_published_figures_bear_the_published_claims():
    overfitted = rows(profile="study", val_loss=(1.0, 0.8, 0.9))
    found = claims.judge(rows(), overfitted)
    assert [j.claim.number for j in found] == list(range(1, 12))
    assert {j.word for j in found} == {"holds"}
    assert "+9.74 points" in found[0].why
    assert (found[0].compared, found[0].difference) == ((1, 0), pytest.approx(0.0974))
    assert f"interval {100 * (0.0974 - found[0].half):+.2f} to" in found[0].why.replace("−", "-")
    assert found[1].compared is found[1].difference is None
    assert "ends 0.100 nats above its lowest" in found[1].why
    assert "Under the study's protocol the gap between" in found[2].why
    assert "goes from 17.7 to 12.7 points" in found[2].why
    assert "from 0.660 to 0.426" not in found[5].why  # ours, not the published ones
    assert "from 0.661 to 0.427 nats" in found[5].why
    assert "wider convolutions and larger dense layers (D8)" in found[0].why
    assert "another head (D1, D8)" in found[3].why
    assert "not part of the verdict; published: +0.94 points" in found[8].why


def test_a_schedule_that_decays_says_nothing_about_overfitting():
    found = claims.judge(rows(), NOTHING)
    assert found[1].word == "not tested"
    assert "--profile study" in found[1].why


def test_gaps_are_measured_in_the_best_protocol_there_is():
    by_budget = claims.judge(rows(train=0.8), rows("study", r1=None))[2].why
    assert "Under this schedule the gap" in by_budget
    assert "goes from 7.7 to 2.7 points" in by_budget
    assert "goes from 17.7 to 12.7" in claims.judge(rows(train=0.8), rows("study"))[2].why


def test_curves_that_fluctuate_are_measured_in_the_best_protocol_there_is():
    by_budget = claims.judge(rows(), rows("study", r6=None))[6].why
    assert (
        "Under this schedule the mean fall of validation accuracy from one epoch to the next"
        in by_budget
    )
    assert "is 2.5 points in 6 and 1.0 in 5. A rise counts as 0." in by_budget
    assert "Under the study's protocol" in claims.judge(rows(), rows("study"))[6].why
    one_epoch = rows()
    for record in one_epoch[6].records:
        record.history["val_accuracy"] = [0.5]
    found = claims.judge(one_epoch, NOTHING)[6]
    assert "is 0.0 points in 6 and 1.0 in 5" in found.why
    assert found.word == "does not hold"


@pytest.mark.parametrize(
    ("number", "changes"),
    [
        (1, {"r1": 0.60}),
        (3, {"r2": 0.71}),
        (4, {"r3": 0.76}),
        (5, {"r4": 0.77}),
        (6, {"r5": 0.80}),
        (7, {"r6": 0.88}),
        (8, {"r7": 0.64}),
        (9, {"r8": 0.83}),
        (10, {"r9": 0.90}),
        (11, {"r10": 0.85}),
    ],
)
def test_a_claim_fails_where_the_figures_say_so(number, changes):
    assert words(rows(**changes), NOTHING)[number - 1] == "does not hold"


def test_a_claim_is_judged_by_both_protocols():
    found = claims.judge(rows(), rows("study", r3=0.7740, val_loss=(1.0, 0.8, 0.9)))
    assert [j.protocol_word for j in found] == ["holds"] * 3 + ["undetermined"] + ["holds"] * 7
    assert found[3].word == "holds"
    assert "With the study's protocol, 3 against 2: +0.10 points (95 %" in found[3].why
    assert "these experiments overfit too: 0, 2, 3, " in found[1].why
    assert {j.protocol_word for j in claims.judge(rows(), NOTHING)} == {""}
    alone = claims.judge(rows("study"), rows("study"))
    assert {j.protocol_word for j in alone} == {""}
    assert "With the study's protocol" not in alone[3].why
    partly = claims.judge(rows(), rows("study", r2=None))
    assert (partly[3].word, partly[3].protocol_word) == ("holds", "")


def test_a_small_difference_is_undetermined():
    found = claims.judge(rows(r3=0.7740), NOTHING)
    assert found[3].word == "undetermined"
    assert "+0.10 points (95 % interval −" in found[3].why


def test_augmentation_must_help_the_loss_too():
    table = rows()
    losses = [row.loss for row in table]
    assert losses[5] < losses[4]
    table[5] = replace(table[5], loss=0.9)
    assert words(table, NOTHING)[5] == "does not hold"


@pytest.mark.parametrize(
    ("missing", "untested"), [("r7", {8, 9}), ("r10", {8, 11}), ("r0", {1, 8, 9})]
)
def test_what_a_missing_experiment_leaves_untested(missing, untested):
    found = claims.judge(rows(**{missing: None}), NOTHING)
    assert {j.claim.number for j in found if j.word == "not tested"} == untested | {2}
    assert f"Experiment {missing[1:]} was not run" in found[max(untested) - 1].why


def test_no_overfitting_without_a_gap_or_a_rise():
    rising = (1.0, 0.8, 0.9)
    assert words(rows(), rows("study", train=0.73, val_loss=rising))[1] == "does not hold"
    assert words(rows(), rows("study"))[1] == "does not hold"
