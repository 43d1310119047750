"""The table: published against ours, never mixing what differs."""

import statistics
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from ladder.report import sections, verdicts
from lib import study, tables
from lib.results import parameters
from lib.study import EXPERIMENTS, SLUGS, experiment


def record(slug="00_base_cnn", accuracy=0.63, seed=0, **changes) -> dict:
    return {
        "experiment": slug,
        "seed": seed,
        "profile": "study",
        "parameters": {},
        "dataset": {
            "name": "cifar10",
            "variant": "CIFAR-10",
            "sha256": "a" * 64,
            "train": 40_000,
            "val": 10_000,
            "test": 10_000,
        },
        "metrics": {
            "train": {"accuracy": 0.7, "loss": 0.9},
            "val": {"accuracy": 0.6, "loss": 1.1},
            "test": {"accuracy": accuracy, "loss": 1.1},
        },
        "history": {
            "epoch": [1, 2],
            "loss": [2.3 + 0.01 * seed, 1.2],
            "learning_rate": [1e-3, 1e-3],
        },
        "timing": {"train_seconds": 60.0},
        "training": {"at_chance": False, "operations": 10**12},
        "model": {"total_params": 263_402},
        "environment": {
            "tensorflow": "2.21.0",
            "keras": "3.15.1",
            "opencv": "5.0.0",
            "cpu": "a processor",
        },
        **changes,
    }


def test_row_has_mean_spread_and_difference():
    rows = verdicts.table([record(accuracy=a, seed=s) for s, a in enumerate((0.62, 0.63, 0.64))])
    assert len(rows) == len(EXPERIMENTS)
    assert rows[0].accuracy == pytest.approx(0.63)
    assert rows[0].accuracy_sd == pytest.approx(0.01)
    assert rows[0].difference == pytest.approx(0.63 - 0.6256)
    assert rows[0].seconds == 60
    assert rows[1].accuracy is rows[1].difference is None


def test_one_seed_has_no_spread():
    assert verdicts.table([record()])[0].accuracy_sd is None


def test_published_figures_do_not_apply_to_other_data():
    digits = {"name": "digits", "variant": "digits", "sha256": "b" * 64}
    row = verdicts.table([record(dataset=digits)])[0]
    assert row.accuracy == 0.63
    assert row.difference is None


OTHER_DATA = {"name": "digits", "variant": "digits", "sha256": "b" * 64}


@pytest.mark.parametrize("change", [{"profile": "quick"}, {"dataset": OTHER_DATA}])
def test_what_differs_is_never_mixed(change):
    records = [record(), record("01_deeper_cnn"), record("02_dropout", **change)]
    with pytest.raises(ValueError, match="do not go into one table"):
        verdicts.table(records)
    kept = verdicts.same_conditions(records)
    assert [r["experiment"] for r in kept] == ["00_base_cnn", "01_deeper_cnn"]


def test_conditions_can_be_chosen():
    records = [record(), record(profile="quick"), record(dataset=OTHER_DATA)]
    assert verdicts.same_conditions(records, profile="quick") == [records[1]]
    assert verdicts.same_conditions(records, data="b" * 64) == [records[2]]
    assert verdicts.same_conditions(records, profile="budget") == []
    assert verdicts.same_conditions([]) == []
    by_hand = [record(profile="custom", seed=seed) for seed in range(3)]
    assert verdicts.same_conditions([*by_hand, record()]) == [record()]
    assert verdicts.same_conditions(by_hand) == by_hand


def test_seeds_of_two_recipes_are_not_averaged():
    today = parameters.of_profile("study", "00_base_cnn")
    before, later = today | {"EPOCHS": 7}, today | {"EPOCHS": 9}
    old = [record(seed=seed, parameters=before | {"SEED": seed}) for seed in (1, 2)]
    new = record(parameters=today | {"SEED": 0, "OUT": "elsewhere"})
    assert verdicts.same_conditions([new, *old]) == [new]  # fewer, but what the profile says
    assert verdicts.same_conditions([record(parameters=later), *old]) == old
    others = verdicts.others(verdicts.table([new])[0], [new, *old])
    assert [(other.changes, other.row.records) for other in others] == [
        ({"EPOCHS": (today["EPOCHS"], 7)}, tuple(old))
    ]
    told = sections.otherwise(verdicts.table([new]), verdicts.table([new]), [new, *old], folder="")
    assert f"study with EPOCHS 7 instead of {today['EPOCHS']}" in told


def test_claims_never_take_the_protocol_of_other_data():
    ours = record(profile="budget")
    others = [record(dataset=OTHER_DATA), record("01_deeper_cnn", dataset=OTHER_DATA)]
    same = record("01_deeper_cnn")
    assert verdicts.study_protocol([ours, *others, same], [ours]) == [same]
    assert verdicts.study_protocol([ours, *others], [ours]) == []
    assert verdicts.study_protocol(others, []) == []


def test_same_seed_twice_is_not_two_runs():
    with pytest.raises(ValueError, match="not all different"):
        verdicts.table([record(), record()])


def test_same_run_under_two_seeds_is_not_two_runs():
    copied = record(seed=1) | {"seed": 2}
    with pytest.raises(ValueError, match="00_base_cnn: seeds 1 and 2 have the same history") as e:
        verdicts.table([record(), record(seed=1), copied])
    assert "\n" not in str(e.value)


def test_seeds_may_agree_in_their_figures():
    row = verdicts.table([record(accuracy=0.1), record(accuracy=0.1, seed=1)])[0]
    assert (row.accuracy, row.accuracy_sd) == (0.1, 0)


def test_comparison_line():
    line = study.comparison(experiment("00_base_cnn"), 0.64, 1.05, dataset="cifar10")
    assert line == (
        "published 62.56% (cross-entropy 1.070), ours 64.00% (1.050), difference +1.44 points"
    )
    other = study.comparison(experiment("00_base_cnn"), 0.9, 0.3, dataset="digits")
    assert "difference" not in other


def test_table_shows_figures_and_gaps():
    html = sections.table(verdicts.table([record()]), folder="notebooks/")
    assert html.count("<tr ") == 12
    for text in ("62.56", "63.00", "+0.44", "1.070", "1.100", "60 s", "263,402", "1.0 × 10¹²"):
        assert f">{text}<" in html
    assert "reproduced (indicative)" in html
    assert "href='notebooks/00_base_cnn-study-seed0.html'" in html


def test_chance_level_and_gaps_are_named_first():
    stuck = record("06_vgg16_scratch", training={"at_chance": True, "operations": 1})
    html = sections.facts([record(), stuck], left_out=2)
    assert "At chance level, nothing learnt: 6 VGG16 from scratch" in html
    assert "--profile few" not in html
    own = stuck | {"dataset": record()["dataset"] | {"name": "own/pets"}}
    assert "--profile few" in sections.facts([own | {"profile": "quick"}])
    assert "--profile few" not in sections.facts([own | {"profile": "few"}])
    assert "Not run: 1 Deeper CNN; 2 " in html
    assert "2 records of another profile" in html
    assert "at chance" in sections.table(verdicts.table([record(), stuck]), folder="")


def test_what_a_figure_is_worth_is_said_at_once():
    def said(profile, variant="CIFAR-10"):
        data = record()["dataset"] | {"variant": variant}
        return sections.facts([record(profile=profile, dataset=data)])

    assert "schedule is not the study's" in said("budget")
    assert "no figure below means anything" in said("smoke")
    assert "on a part of the images" in said("quick")
    assert "made by hand" in said("custom")
    assert "on a part of the images" not in said("custom")
    assert "not quite CIFAR-10's own" in said("study", "CIFAR-10 (JPEG q75 copy)")
    assert "CIFAR-10's own in another order" in said("study", "CIFAR-10, other order")
    assert "not quite" not in said("study")


def test_schedules_stand_beside_the_published():
    ours = {"EPOCHS": 10, "BATCH_SIZE": 512, "LEARNING_RATE": 0.002, "PATIENCE": 5}
    html = tables.rows([sections._schedule(record(profile="budget", parameters=ours))])
    assert "10 (published: 100)" in html
    assert "0.002 (published: 0.001)" in html
    assert "<td>512</td>" in html
    assert "<td>60 s (published: 47 s, Colab GPU)</td><td>a processor</td>" in html


@pytest.mark.parametrize(("epochs", "said"), [((10, 6), True), ((100, 100), False)])
def test_different_numbers_of_epochs_stand_above_the_claims(epochs, said):
    rows = verdicts.table(
        [
            record(slug, parameters={"EPOCHS": count})
            for slug, count in zip(SLUGS, epochs, strict=False)
        ]
    )
    assert ("different numbers of epochs" in sections.claims([], rows)) == said


def test_the_studys_own_schedule_stands_beside_another():
    ours = verdicts.table([record(profile="budget")])
    study = verdicts.table([record()])
    assert "With the study&#x27;s own schedule" in sections.protocol(ours, study)
    assert sections.protocol(ours, verdicts.table([])) == sections.protocol(study, study) == ""


def test_seeds_that_some_rungs_lack_are_said_at_once():
    both = [record(seed=seed) for seed in (0, 1)]
    assert "seeds 0, 1 ·" in sections.facts(both)
    companion = record("freezing_depth", tables={})
    assert "seeds 0, 1 ·" in sections.facts([*both, companion])
    assert "seeds 0, 1, not of every rung ·" in sections.facts([*both, record("01_deeper_cnn")])


def test_other_data_is_said_at_once():
    html = sections.facts([record(dataset=OTHER_DATA)])
    assert "not CIFAR-10 images" in html


def test_names_are_escaped():
    evil = {"name": "own", "variant": "<script>alert(1)</script>", "sha256": "c" * 64}
    assert "<script>" not in sections.facts([record(dataset=evil)])


def test_unusable_records_are_counted():
    assert "2 unusable records, named above, left out." in sections.facts([record()], unusable=2)
    html = sections.facts([], unusable=1)
    assert "1 unusable record, named above, left out." in html
    assert "nothing has run" not in html
    assert "unusable" not in sections.facts([record()])


def test_no_record_at_all():
    assert "No record was found" in sections.facts([])
    assert len(verdicts.table([])) == len(EXPERIMENTS)


def rows_of(*accuracies: tuple[float, ...]) -> list[verdicts.Row]:
    """Rows of as many rungs as there are tuples, one accuracy per seed."""
    return verdicts.table(
        [
            record(slug, accuracy=accuracy, seed=seed)
            for slug, of_rung in zip(SLUGS, accuracies, strict=False)
            for seed, accuracy in enumerate(of_rung)
        ]
    )


def test_spread_is_pooled_over_rungs():
    rows = rows_of((0.62, 0.63, 0.64), (0.72, 0.74), (0.77,))
    pooled = verdicts.spread(rows)
    assert pooled.degrees == 3
    expected = (2 * 0.01**2 + statistics.variance((0.72, 0.74))) / 3
    assert pooled.sd == pytest.approx(expected**0.5)
    assert pooled.quantile == pytest.approx(stats.t.ppf(0.975, 3))


def test_without_a_second_seed_the_spread_is_the_literatures():
    pooled = verdicts.spread(rows_of((0.62,), (0.72,)))
    assert (pooled.sd, pooled.degrees) == (verdicts.LITERATURE_SD, 0)
    assert pooled.quantile == pytest.approx(1.96, abs=0.001)


def test_runs_at_chance_do_not_widen_the_spread():
    stuck = [
        record(
            "06_vgg16_scratch", accuracy=a, seed=s, training={"at_chance": a < 0.2, "operations": 1}
        )
        for s, a in enumerate((0.10, 0.81))
    ]
    assert verdicts.spread(verdicts.table(stuck)).degrees == 0


@pytest.mark.parametrize(
    ("ours", "word"),
    [
        ((0.622, 0.625, 0.628), "reproduced"),
        ((0.650, 0.655, 0.660), "better"),
        ((0.590, 0.595, 0.600), "not reproduced"),
        ((0.500, 0.600, 0.700), "undetermined"),
    ],
)
def test_verdicts(ours, word):
    rows = rows_of(ours)
    found = verdicts.verdict(rows[0], verdicts.spread(rows))
    assert found.word == word
    assert not found.indicative
    half = stats.t.ppf(0.975, 2) * statistics.stdev(ours) * (4 / 3) ** 0.5
    assert found.high - found.low == pytest.approx(2 * half)
    assert found.low + found.high == pytest.approx(2 * statistics.fmean(ours))


def test_one_or_two_seeds_are_indicative():
    rows = rows_of((0.62, 0.625, 0.63), (0.72, 0.725), (0.77,))
    pooled = verdicts.spread(rows)
    found = [verdicts.verdict(row, pooled) for row in rows[:4]]
    assert [v and v.indicative for v in found] == [False, True, True, None]
    assert str(found[1]) == "reproduced (indicative)"
    alone = rows_of((0.62,))
    assert verdicts.verdict(alone[0], verdicts.spread(alone)).indicative


@pytest.mark.parametrize(
    "change", [{"train": 4_000}, {"test": 2_000}, {"name": "digits"}, {"val": 5_000}]
)
def test_no_verdict_without_all_of_the_images(change):
    whole = record()["dataset"]
    rows = verdicts.table([record(dataset=whole | change)])
    assert verdicts.verdict(rows[0], verdicts.spread(rows)) is None
    assert verdicts.in_one_line(rows) == ""


def test_an_honest_run_is_reproduced_19_times_in_20():
    """The published run is one more draw: the interval must hold 95 % of them."""
    rng, inside, count = np.random.default_rng(0), 0, 400
    for _ in range(count):
        # That the published run is off its mean moves ours against it.
        rows = rows_of(
            *(e.accuracy - rng.normal(0, 0.004) + rng.normal(0, 0.004, 3) for e in EXPERIMENTS[:6])
        )
        inside += verdicts.verdict(rows[0], verdicts.spread(rows)).word == "reproduced"
    assert 0.92 <= inside / count <= 0.98


def test_the_whole_in_one_line():
    rows = rows_of((0.622, 0.625, 0.628), (0.75,), (0.70,))
    assert verdicts.in_one_line(rows) == (
        "Of 3 rungs: 1 reproduced, 1 better, 1 not reproduced (2 indicative); mean shortfall 2.45 "
        "points (0 where ours is higher); rank correlation with the published order 0.50."
    )


def costing(*pairs: tuple[float, float]) -> list[verdicts.Row]:
    """Rows by (accuracy, operations)."""
    return verdicts.table(
        [
            record(slug, accuracy=a, training={"at_chance": False, "operations": o})
            for slug, (a, o) in zip(SLUGS, pairs, strict=False)
        ]
    )


def test_what_pays_off_has_no_cheaper_equal():
    found = verdicts.payoff(costing((0.60, 1), (0.80, 5), (0.75, 9), (0.81, 7), (0.81, 20)))
    assert [row.experiment.number for row in found.rows] == [0, 1, 3]
    assert found.best.experiment.number == 3
    # 10,000 test images tell 80 % from 81 % no better than by chance (1.96 × 0.0056).
    assert found.enough.experiment.number == 1
    assert verdicts.payoff(verdicts.table([])) is None


def test_a_clear_winner_has_no_equal():
    found = verdicts.payoff(costing((0.60, 1), (0.80, 5)))
    assert found.enough is found.best
    html = sections.payoff(costing((0.60, 1), (0.80, 5)))
    assert "1 Deeper CNN</strong>: 80.0% ± 0.8, 60 s of training here" in html
    assert "No cheaper rung is as good" in html
    assert "+20.00" in html


def test_an_equal_is_named():
    html = sections.payoff(costing((0.80, 1), (0.805, 5)))
    assert "<strong>0 Base CNN</strong> is as good" in html
    assert (
        sections.payoff(verdicts.table([])) == "<p>No rung that has run is above chance level.</p>"
    )


def test_one_rung_alone_has_no_rival():
    assert "No other rung that was run is cheaper" in sections.payoff(costing((0.6, 1)))


def test_a_rung_at_chance_does_not_pay_off():
    rows = costing((0.80, 1), (0.805, 5))
    rows[0] = replace(rows[0], at_chance=True)
    found = verdicts.payoff(rows)
    assert [row.experiment.number for row in found.rows] == [1]
    assert found.enough is found.best is rows[1]
