"""The table: published against ours, never mixing what differs."""

import re
import statistics
from dataclasses import replace
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from ladder.report import claims, sections, verdicts
from lib import study
from lib.results import parameters
from lib.study import EXPERIMENTS, SLUGS, experiment
from tests.report.made_up import changed, companion, record

NOWHERE = Path("a report without pages")
NOTHING = verdicts.table([])
STUCK = {"at_chance": True, "operations": 1}


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
    assert [r.experiment for r in kept] == ["00_base_cnn", "01_deeper_cnn"]


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
    assert str(others[0]) == f"study with EPOCHS 7 instead of {today['EPOCHS']}"


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
    copied = replace(record(seed=1), seed=2)
    with pytest.raises(ValueError, match="00_base_cnn: seeds 1 and 2 have the same history") as e:
        verdicts.table([record(), record(seed=1), copied])
    assert "\n" not in str(e.value)


def test_seeds_may_agree_in_their_figures():
    row = verdicts.table([record(accuracy=0.1), record(accuracy=0.1, seed=1)])[0]
    assert (row.accuracy, row.accuracy_sd) == (0.1, 0)


def test_table_shows_figures_and_links_to_the_pages_that_are_there(tmp_path):
    rows = verdicts.table(
        [record(), record("01_deeper_cnn"), record("01_deeper_cnn", 0.65, seed=1)]
    )
    page = tmp_path / "notebooks" / "00_base_cnn-study-seed0.html"
    page.parent.mkdir()
    page.touch()
    html = sections.table(rows, out=tmp_path)
    assert html.count("<tr ") == 12
    assert re.findall('<tr role="row" id="([^"]+)"', html) == list(SLUGS)
    for text in ("62.56", "63.00", "+0.44", "1.100 (1.070)", "60 s", "263,402", "1.0 × 10¹²"):
        assert f">{text}<" in html
    assert ">64.00&nbsp;±&nbsp;1.41<" in html
    assert ">✓&nbsp;reproduced</span> (indicative)" in html
    assert re.findall('<a href="([^"]+)" aria-label="([^"]+)">', html) == [
        (f"notebooks/{page.name}", "Base CNN, seed 0")
    ]


@pytest.mark.parametrize("name", ["cifar10", "own/pets"])
def test_every_cell_of_the_table_has_its_head(name):
    html = sections.table(verdicts.table([record(dataset={"name": name})]), out=NOWHERE)
    heads = re.findall('<th scope="col" role="columnheader" [^>]*>(.*?)</th>', html)
    lines = [re.findall('data-label="(.*?)"', line) for line in html.split("<tr ")[2:]]
    assert lines == [heads] * 11
    assert ("verdict" in heads) == (name == "cifar10")


def test_chance_level_and_gaps_are_named_first():
    stuck = record("06_vgg16_scratch", training=STUCK)
    html = sections.notes([record(), stuck], left_out=2)
    assert "At chance level (nothing was learned): 6 VGG16 from scratch" in html
    assert "Not run: 1 Deeper CNN; 2 " in html
    assert "2 records of another profile" in html
    assert "at chance" in sections.table(verdicts.table([record(), stuck]), out=NOWHERE)


def test_the_meaning_of_the_figures_is_said_at_once():
    def said(profile, variant="CIFAR-10"):
        records = [record(profile=profile, dataset={"variant": variant})]
        rows = verdicts.table(records)
        return sections.headline(rows, claims.judge(rows, NOTHING)) + sections.notes(records)

    assert "schedule is not the study's" in said("budget")
    assert "on a part of the images" in said("quick")
    assert "have the profile custom" in said("custom")
    assert "on a part of the images" not in said("custom")
    assert "not the canonical ones" in said("study", "CIFAR-10 (JPEG q75 copy)")
    assert "CIFAR-10's own in another order" in said("study", "CIFAR-10, other order")
    assert "not the canonical" not in said("study")


def headline(*accuracies: tuple[float, ...], judged=(), **changes) -> str:
    """The sentence and the figures for seeds of the first experiments, in one line."""
    rows = rows_of(*accuracies)
    if changes:
        records = [replace(r, **changes) for row in rows for r in row.records]
        rows = verdicts.table(records)
    html = sections.headline(rows, list(judged))
    return " ".join(unescape(re.sub("<[^>]+>", " ", html)).split())


def judgements(*words: str) -> list[claims.Judgement]:
    return [
        claims.Judgement(claim, word, "") for claim, word in zip(claims.CLAIMS, words, strict=True)
    ]


PUBLISHED = [(e.accuracy - 0.003, e.accuracy, e.accuracy + 0.003) for e in EXPERIMENTS]


def test_the_headline_says_what_came_out():
    hold = judgements(*["holds"] * 11)
    assert headline(*PUBLISHED, judged=hold).startswith(
        "All eleven accuracies of the study are reproduced, and all eleven of its claims hold. "
        "11 of 11 accuracies reproduced 11 of 11 claims that hold 1.00 rank "
    )
    higher = headline(*PUBLISHED[:10], (0.957, 0.96, 0.963), judged=hold)
    assert "accuracies of the study are reproduced or exceeded, and all eleven" in higher
    assert "11 of 11 accuracies reproduced or exceeded (10 reproduced, 1 better)" in higher
    lower = [*PUBLISHED[:10], (0.897, 0.9, 0.903)]
    nine = judgements(*["holds"] * 9, "undetermined", "does not hold")
    assert headline(*lower, judged=nine).startswith(
        "Ten of the study's eleven accuracies are reproduced, and nine of its eleven claims hold. "
        "The exception: VGG16 at 64×64, fine-tuned ends 1.7 points lower."
    )
    some = judgements("holds", *["not tested"] * 9, "does not hold")
    assert headline(PUBLISHED[0], (0.70,), judged=some).startswith(
        "One of the two experiments that were run reproduces the study's accuracy, and one of the "
        "two claims that these runs test holds. The exception: Deeper CNN ends 2.3 points lower."
    )
    assert headline(PUBLISHED[0]).startswith(
        "The experiment that was run reproduces the study's accuracy. 1 of 1 accuracies reproduced "
        "0 experiments with fewer than three seeds"
    )
    wide = headline(*[(e.accuracy - 0.04, e.accuracy, e.accuracy + 0.04) for e in EXPERIMENTS])
    assert wide.startswith(
        "The published accuracies lie inside our intervals, but these are too wide for a verdict. "
    )
    both = headline(PUBLISHED[0], PUBLISHED[1], judged=judgements("holds", *["not tested"] * 10))
    assert both.startswith(
        "Both experiments that were run reproduce the study's accuracy, and the one claim"
    )


def test_two_seeds_are_fewer_than_three():
    said = headline(PUBLISHED[0], PUBLISHED[1][:2], PUBLISHED[2][:1])
    assert said.endswith(" 2 experiments with fewer than three seeds: verdicts are indicative")


def test_the_headline_of_a_part_of_the_images_is_about_the_order():
    few = replace(record().dataset, train=4_000)
    said = headline((0.4,), (0.5,), (0.45,), dataset=few, profile="quick")
    assert said == (
        "On 4,000 training images, the order of the experiments has a rank correlation of 0.50 "
        "with the study's. Its accuracies need all images."
    )
    assert headline((0.4,), dataset=few, profile="smoke").startswith("A test that everything runs.")


def test_the_date_of_the_newest_record_is_said():
    dates = ("2026-01-02", "2026-03-01", "2025-12-31")
    dated = [record(seed=n, environment={"date": date}) for n, date in enumerate(dates)]
    assert "newest run of 2026-03-01" in sections.facts([record(seed=3), *dated])
    assert "newest run" not in sections.facts([record()])


def test_schedules_are_beside_the_published():
    ours = {"EPOCHS": 10, "BATCH_SIZE": 512, "LEARNING_RATE": 0.002, "PATIENCE": 5}
    html = sections.conditions([record(profile="budget", parameters=ours), companion()])
    cells = re.findall("<td>(.*?)</td>", html)
    assert cells == [
        "00_base_cnn-budget-seed0",
        "–",
        "10 (published: 100)",
        "512",
        "0.002 (published: 0.001)",
        "– (published: constant)",
        "5",
        "float32",
        "60 s (published: 47 s, Colab GPU)",
        "a processor",
    ]


def test_a_profile_that_was_frozen_names_the_commit(monkeypatch):
    monkeypatch.setattr(parameters, "frozen", {"budget": "0abc123"}.get)
    assert "fixed in commit 0abc123" in sections.conditions([record(profile="budget")])
    assert "fixed" not in sections.conditions([record(profile="study")])


@pytest.mark.parametrize(("epochs", "said"), [((10, 6), True), ((100, 100), False)])
def test_different_numbers_of_epochs_are_named_above_the_claims(epochs, said):
    rows = verdicts.table(
        [
            record(slug, parameters={"EPOCHS": count})
            for slug, count in zip(SLUGS, epochs, strict=False)
        ]
    )
    assert ("differ in their number of epochs" in sections.claims([], rows)) == said


def test_the_studys_own_schedule_is_beside_another():
    ours = verdicts.table([record(profile="budget")])
    study = verdicts.table([record()])
    assert "We also ran the study's own schedule" in unescape(sections.protocol(ours, study))
    assert sections.protocol(ours, verdicts.table([])) == sections.protocol(study, study) == ""


def test_wide_intervals_of_the_studys_own_schedule_are_explained():
    ours = verdicts.table([record(profile="budget")])
    wide = unescape(sections.protocol(ours, rows_of((0.58, 0.62, 0.66))))
    assert "the interval is wide: the standard deviation (SD) over seeds is 4.00 points." in wide
    assert "wide" not in sections.protocol(ours, verdicts.table([record()]))


def test_seeds_that_some_experiments_lack_are_said_at_once():
    both = [record(seed=seed) for seed in (0, 1)]
    assert "seeds 0, 1 ·" in sections.facts(both)
    assert "seeds 0, 1 ·" in sections.facts([*both, companion(seed=2)])
    deeper = record("01_deeper_cnn")
    assert "seeds 0, 1, not of every experiment ·" in sections.facts([*both, deeper])


def test_runs_of_other_code_are_named():
    old = record(seed=1)
    same = [changed(record(), fingerprint=verdicts._fingerprint_now(record()))]
    assert "The code differs" not in sections.notes(same)
    html = sections.notes([*same, old])
    assert "The code differs from that of 1 of these runs" in html
    assert f"{old.name}. ./run_all.sh runs them again" in html
    gone = replace(old, experiment="no_such_notebook", model=None)
    assert verdicts.of_other_code([gone]) == [gone]


def test_other_data_is_said_at_once():
    html = sections.notes([record(dataset=OTHER_DATA)])
    assert "not CIFAR-10 images" in html


def test_names_are_escaped():
    evil = {"name": "own", "variant": "<script>alert(1)</script>", "sha256": "c" * 64}
    assert "<script>" not in sections.facts([record(dataset=evil)])


def test_unusable_records_are_counted():
    assert "2 records cannot be used and are left out" in sections.notes([record()], unusable=2)
    html = sections.notes([], unusable=1)
    assert "1 record cannot be used and is left out" in html
    assert "nothing has run" not in html
    assert "cannot be used" not in sections.notes([record()])


def test_no_record_at_all():
    assert "No record was found" in sections.notes([])
    assert sections.facts([]).strip() == sections.headline(NOTHING, []).strip() == ""
    assert len(verdicts.table([])) == len(EXPERIMENTS)


def rows_of(*accuracies: tuple[float, ...]) -> list[verdicts.Row]:
    """Rows of as many experiments as there are tuples, one accuracy per seed."""
    return verdicts.table(
        [
            record(slug, accuracy=accuracy, seed=seed)
            for slug, of_seeds in zip(SLUGS, accuracies, strict=False)
            for seed, accuracy in enumerate(of_seeds)
        ]
    )


def test_spread_is_pooled_over_experiments():
    rows = rows_of((0.62, 0.63, 0.64), (0.72, 0.74), (0.77,))
    pooled = verdicts.spread(rows)
    assert pooled.degrees == 3
    expected = (2 * 0.01**2 + statistics.variance((0.72, 0.74))) / 3
    assert pooled.sd == pytest.approx(expected**0.5)
    assert pooled.quantile == pytest.approx(stats.t.ppf(0.975, 3))


@pytest.mark.parametrize("first", [(0.62,), (0.62, 0.63)])
def test_without_three_seeds_the_spread_is_the_literatures(first):
    pooled = verdicts.spread(rows_of(first, (0.72, 0.721)))
    assert (pooled.sd, pooled.degrees) == (study.LITERATURE_SD, 0)
    assert pooled.quantile == pytest.approx(1.96, abs=0.001)


def test_runs_at_chance_do_not_widen_the_spread():
    stuck = [
        record("06_vgg16_scratch", accuracy=a, seed=s, training={"at_chance": a < 0.2})
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
    alone = rows_of((0.62,))
    assert verdicts.verdict(alone[0], verdicts.spread(alone)).indicative


@pytest.mark.parametrize(
    "change", [{"train": 4_000}, {"test": 2_000}, {"name": "digits"}, {"val": 5_000}]
)
def test_no_verdict_without_all_of_the_images(change):
    rows = verdicts.table([record(dataset=change)])
    assert verdicts.verdict(rows[0], verdicts.spread(rows)) is None
    assert verdicts.in_one_line(rows) == ""


OTHER_NETWORK = {"architecture": "f" * 64, "total_params": 2_100_362}


def test_another_network_never_gets_a_verdict():
    other = record(seed=1, profile="custom", model=OTHER_NETWORK)
    assert other.has_other_network
    rows = verdicts.table([other])
    assert rows[0].records == ()
    assert verdicts.in_one_line(rows) == ""
    ours = verdicts.table([record()])[0]
    mixed = replace(ours, records=(other,))
    assert verdicts.verdict(ours, verdicts.spread([ours]))
    assert verdicts.verdict(mixed, verdicts.spread([mixed])) is None


def test_another_network_is_in_no_table_even_by_hand():
    by_hand = record(profile="custom")
    others = [record(seed=n, profile="custom", model=OTHER_NETWORK) for n in (1, 2)]
    assert verdicts.same_conditions([by_hand, *others]) == [by_hand]
    assert verdicts.same_conditions(others) == []
    html = sections.notes([], left_out=len(others))
    assert "The table leaves out 2 records of another profile, data set, network or recipe." in (
        " ".join(html.split())
    )
    assert "nothing has run" not in html


@pytest.mark.parametrize("architecture", ["", experiment("00_base_cnn").architecture])
def test_the_studys_network_and_one_not_recorded_are_no_other(architecture):
    whole = record(model={"architecture": architecture, "total_params": 1})
    assert not whole.has_other_network
    rows = verdicts.table([whole])
    assert verdicts.verdict(rows[0], verdicts.spread(rows))


def test_two_other_networks_are_not_averaged():
    ours = record()
    first = record(profile="custom", model=OTHER_NETWORK)
    second = record(profile="custom", model=OTHER_NETWORK | {"architecture": "e" * 64})
    (row, *_) = verdicts.table([ours])
    found = verdicts.others(row, [ours, first, second])
    assert sorted(len(other.row.records) for other in found) == [1, 1]
    assert all("another network (2,100,362 parameters)" in str(other) for other in found)


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
        "Of 3 experiments: 1 reproduced, 1 better, 1 not reproduced (2 indicative); our "
        "accuracy is 1.55 points below the published one on average, and higher in 1 of 3; "
        "rank correlation with the published order 0.50."
    )


def test_one_experiment_whose_seeds_vary_more_can_decide():
    rows = rows_of((0.58, 0.625, 0.67), (0.735, 0.736, 0.737), (0.772, 0.773, 0.774))
    assert verdicts.sensitivity(rows) == (
        "The seeds of experiment 0 vary most (SD 4.50 points). Without it, the pooled SD is "
        "0.10 points, and these verdicts change: 1 to better; 0, 2 to reproduced."
    )
    alike = rows_of((0.622, 0.625, 0.628), (0.72, 0.723, 0.7261))
    assert verdicts.sensitivity(alike).endswith(
        "the pooled SD is 0.30 points, and no verdict changes."
    )
    assert verdicts.sensitivity(rows_of((0.622, 0.625, 0.628), (0.72,))) == ""
    assert verdicts.sensitivity(rows_of((0.62, 0.625), (0.72, 0.73))) == ""


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
    assert found.rows[-1].experiment.number == 3
    # 10,000 test images tell 80 % from 81 % no better than by chance (1.96 × 0.0056).
    assert found.enough.experiment.number == 1
    assert verdicts.payoff(verdicts.table([])) is None


def test_a_clear_winner_has_no_equal():
    found = verdicts.payoff(costing((0.60, 1), (0.80, 5)))
    assert found.enough is found.rows[-1]
    html = sections.payoff(costing((0.60, 1), (0.80, 5)))
    assert (
        "1 Deeper CNN</strong>: 80.0 % (95 % interval 79.2 to 80.8), 60 s of training here" in html
    )
    assert "Every cheaper experiment is significantly less accurate" in html
    assert "+20.00" in html


def test_an_equal_is_named():
    html = sections.payoff(costing((0.80, 1), (0.805, 5)))
    assert "not significantly less accurate on 10,000 test images is <strong>0 Base CNN" in html
    nothing = sections.payoff(verdicts.table([]))
    assert nothing.strip() == "<p>No experiment that has run is above chance level.</p>"


def test_one_experiment_alone_has_no_rival():
    assert "No other experiment that was run is cheaper" in sections.payoff(costing((0.6, 1)))


def test_an_experiment_at_chance_does_not_pay_off():
    rows = costing((0.80, 1), (0.805, 5))
    rows[0] = replace(rows[0], at_chance=True)
    found = verdicts.payoff(rows)
    assert [row.experiment.number for row in found.rows] == [1]
    assert found.enough is found.rows[-1] is rows[1]


CURVES = {
    "flat": [0.5, 0.7, 0.8, 0.8],
    "falls": [0.5, 0.8, 0.8, 0.6],
    "rises": [0.5, 0.6, 0.7, 0.8],
    "rises in its last fifth": [0.5] * 18 + [0.6] * 2,
    "one epoch": [0.8],
}


@pytest.mark.parametrize("name", CURVES)
def test_a_curve_that_still_rises_is_said_beside_the_answer(name):
    curve = CURVES[name]
    history = {"epoch": list(range(1, len(curve) + 1)), "val_accuracy": curve}
    own = record(history=history, dataset={"name": "own/pets", "val": 500})
    rows = verdicts.table([own])
    unfinished = name not in ("flat", "falls")
    assert bool(verdicts.unfinished(rows)) == unfinished
    for html in (sections.payoff(rows), sections.headline(rows, [])):
        assert ("Not trained to the end: 0 Base CNN" in html) == unfinished


def test_a_rise_within_the_error_of_few_validation_images_is_none():
    history = {"epoch": [1, 2], "val_accuracy": [0.80, 0.82]}
    few, many = (record(history=history, dataset={"val": count}) for count in (100, 10_000))
    assert not verdicts.unfinished(verdicts.table([few]))
    assert verdicts.unfinished(verdicts.table([many]))
