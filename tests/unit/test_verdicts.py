"""The table: published against ours, never mixing what differs."""

import pytest

from lib import report, verdicts
from lib.study import experiment


def record(slug="00_base_cnn", accuracy=0.63, seed=0, **changes) -> dict:
    return {
        "experiment": slug,
        "seed": seed,
        "profile": "study",
        "dataset": {"name": "cifar10", "variant": "CIFAR-10", "sha256": "a" * 64},
        "metrics": {"test": {"accuracy": accuracy, "loss": 1.1}},
        "history": {"loss": [2.3 + 0.01 * seed, 1.2], "learning_rate": [1e-3, 1e-3]},
        "timing": {"train_seconds": 60.0},
        "training": {"at_chance": False},
        "model": {"total_params": 263_402},
        "environment": {"tensorflow": "2.21.0", "keras": "3.15.1", "opencv": "5.0.0"},
        **changes,
    }


def test_row_has_mean_spread_and_difference():
    rows = verdicts.table([record(accuracy=a, seed=s) for s, a in enumerate((0.62, 0.63, 0.64))])
    assert len(rows) == 11
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
    line = verdicts.comparison(experiment("00_base_cnn"), 0.64, 1.05, dataset="cifar10")
    assert line == (
        "published 62.56% (cross-entropy 1.070), ours 64.00% (1.050), difference +1.44 points"
    )
    other = verdicts.comparison(experiment("00_base_cnn"), 0.9, 0.3, dataset="digits")
    assert "difference" not in other


def test_table_shows_figures_and_gaps():
    html = report.table(verdicts.table([record()]), folder="notebooks/")
    assert html.count("<tr>") == 12
    for text in ("62.56%", "63.00%", "+0.44", "1.070", "1.100", "60 s", "263,402"):
        assert f">{text}<" in html
    assert "href='notebooks/00_base_cnn-study-seed0.html'" in html


def test_chance_level_and_gaps_are_named_first():
    stuck = record("06_vgg16_scratch", training={"at_chance": True})
    html = report.facts([record(), stuck], left_out=2)
    assert "At chance level, nothing learnt: VGG16 from scratch" in html
    assert "Not run: Deeper CNN" in html
    assert "2 records of another profile" in html
    assert "(chance)" in report.table(verdicts.table([record(), stuck]), folder="")


def test_other_data_is_said_at_once():
    html = report.facts([record(dataset=OTHER_DATA)])
    assert "not CIFAR-10 images" in html


def test_names_are_escaped():
    evil = {"name": "own", "variant": "<script>alert(1)</script>", "sha256": "c" * 64}
    assert "<script>" not in report.facts([record(dataset=evil)])


def test_unusable_records_are_counted():
    assert "2 unusable records, named above, left out." in report.facts([record()], unusable=2)
    html = report.facts([], unusable=1)
    assert "1 unusable record, named above, left out." in html
    assert "nothing has run" not in html
    assert "unusable" not in report.facts([record()])


def test_no_record_at_all():
    assert "No record was found" in report.facts([])
    assert len(verdicts.table([])) == 11
