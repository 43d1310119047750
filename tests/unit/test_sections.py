"""The HTML pieces: what stands in the report comes from records, escaped."""

import re

import pytest

from ladder.report import sections, verdicts
from lib import results, tables
from lib.results import parameters
from lib.study import SLUGS
from tests.report import made_up

NOTHING = verdicts.table([])

RECORD = {
    "experiment": "freezing_depth",
    "profile": "quick",
    "seed": 2,
    "title": "Depth <b>",
    "summary": "With <script> 12.5 % less.",
    "timing": {"total_seconds": 9, "depth & time": [{"training seconds": 17.5}]},
    "tables": {
        "depth & time": [{"blocks": 3, "test accuracy": 0.615, "moved": 0.0123, "ok": True}]
    },
}


def test_companions_have_title_summary_table_and_page():
    html = sections.companions([{"experiment": "00_base_cnn"}, RECORD], folder="notebooks/")
    assert html.count("<section>") == 1
    assert "href='notebooks/freezing_depth-quick-seed2.html'" in html
    assert "Depth &lt;b&gt;" in html
    assert "With &lt;script&gt; 12.5 % less." in html
    assert "Table: depth &amp; time" in html
    assert "<td>61.50%</td>" in html
    assert "<td>17.5</td>" in html


def test_no_companions_no_sections():
    assert sections.companions([{"experiment": "00_base_cnn"}], folder="") == ""


def test_rows_write_figures_as_what_they_are():
    row = {"year": 1998, "parameters": 61706, "C": 0.001, "seconds": 1234.5, "at chance": False}
    html = tables.rows([row | {"paper": "<i>", "true class": None}])
    cells = ("1998", "61,706", "0.001", "1,234", "no", "&lt;i&gt;", "–")
    for cell in cells:
        assert f"<td>{cell}</td>" in html
    assert "tabindex='0'" in html
    assert "<th scope='col'>parameters</th>" in html


def test_no_rows():
    assert tables.rows([]) == "<p>No rows.</p>"


def test_decisions_are_those_of_the_study_page():
    text = sections.decisions()
    assert re.findall(r"\*\*(D\d+)\.", text) == [f"D{number}" for number in range(1, 15)]
    assert "destroys the picture" in text  # a paragraph of several lines


@pytest.fixture(scope="module")
def trained_otherwise(tmp_path_factory):
    """Records of two profiles; one run by hand, on all images, and one on fewer."""
    out = tmp_path_factory.mktemp("otherwise")
    made_up.write(out, profiles={"budget": {0: 2, 10: 1}, "study": {0: 1}})
    records = results.read_all(out)
    below = records[-1]
    assert below["experiment"] == "10_vgg16_64x64"
    below["metrics"]["test"]["accuracy"] = 0.85
    below["parameters"] |= {"EPOCHS": 4, "SCHEDULE": "<b>"}
    longer = below | {"profile": "custom", "parameters": below["parameters"] | {"EPOCHS": 8}}
    longer |= {"metrics": below["metrics"] | {"test": {"accuracy": 0.9, "loss": 0.3}}}
    fewer = longer | {"seed": 7, "dataset": longer["dataset"] | {"train": 100}}
    return [*records, longer, fewer]


def test_what_was_trained_otherwise_stands_beside_ours(trained_otherwise):
    rows = verdicts.table(verdicts.same_conditions(trained_otherwise, profile="budget"))
    html = sections.otherwise(rows, NOTHING, trained_otherwise, folder="notebooks/")
    assert html.startswith(
        "<ul><li>10 VGG16 at 64×64, fine-tuned, profile budget: 6.66 points below the published "
        "accuracy. budget with EPOCHS 8 instead of 4: 90.00 % (+5.00 points).</li></ul>"
    )
    cells = [re.findall("<td>(.*?)</td>", line) for line in html.split("<tr>")[2:]]
    assert [line[0] for line in cells] == ["0 Base CNN"] * 2 + ["10 VGG16 at 64×64, fine-tuned"] * 2
    assert [line[1] for line in cells] == [
        "profile budget",
        "profile study",
        "profile budget",
        "budget with EPOCHS 8 instead of 4",
    ]
    validation = trained_otherwise[-1]["metrics"]["val"]["accuracy"]
    assert [line[2] for line in cells[2:]] == [f"{validation:.2%}"] * 2
    assert [line[3] for line in cells[2:]] == ["85.00%", "90.00%"]
    assert "href='notebooks/00_base_cnn-study-seed0.html'" in cells[1][-1]
    assert cells[0][-1].count("<a ") == 2


def test_a_miss_without_another_run_has_no_known_cause(trained_otherwise):
    records = [r for r in trained_otherwise if r["profile"] == "budget"]
    html = sections.otherwise(verdicts.table(records), NOTHING, records, folder="")
    assert "6.66 points below the published accuracy. It was not trained otherwise" in html
    assert "<table" not in html
    records = [r for r in records if r["experiment"] == "00_base_cnn"]
    html = sections.otherwise(verdicts.table(records), NOTHING, records, folder="")
    assert html == "<p>No rung was trained otherwise on these images.</p>"
    assert sections.otherwise(NOTHING, NOTHING, records, folder="") == html


def test_a_miss_of_the_studys_own_schedule_is_told_too(trained_otherwise):
    *_, ours, _, _ = trained_otherwise
    missing = {"metrics": ours["metrics"] | {"test": {"accuracy": 0.88, "loss": 0.4}}}
    study = ours | {"profile": "study"} | missing
    longer = ours | {"parameters": parameters.of_profile("study", SLUGS[10]) | {"PATIENCE": 20}}
    longer |= {"profile": "custom"}
    rows, protocol = verdicts.table([ours]), verdicts.table([study])
    trial = ours | {"profile": "custom", "parameters": ours["parameters"] | {"EPOCHS": 9}}
    html = sections.otherwise(rows, protocol, [longer, study, trial, ours], folder="")
    assert "profile study: 3.66 points below the published accuracy. profile budget: 85" in html
    assert html.index("; budget with EPOCHS 9 instead of 4: 85.00 % (-3.00 points);") < html.index(
        "; study with PATIENCE 20 instead of 10: 85.00 % (-3.00 points).</li>"
    )
    alone = sections.otherwise(protocol, protocol, [study], folder="")
    assert alone.count("points below") == 1


def test_the_same_values_by_hand_are_named(trained_otherwise):
    *_, ours, other, _ = trained_otherwise
    other = other | {"parameters": ours["parameters"] | {"SEED": 3, "OUT": "elsewhere"}}
    html = sections.otherwise(verdicts.table([ours]), NOTHING, [ours, other], folder="")
    assert "accuracy. budget, by hand: 90.00 %" in html


def test_a_run_by_hand_is_told_by_the_profile_that_it_is_nearest_to(trained_otherwise):
    ours, *_ = trained_otherwise
    study = parameters.of_profile("study", "00_base_cnn")
    patient = ours | {"profile": "custom", "parameters": study | {"PATIENCE": 9}}
    train, val = (ours["dataset"][part] for part in ("train", "val"))
    split = ours["dataset"] | {"train": train + val - 50, "val": 50}
    split = patient | {"parameters": study | {"VAL_SIZE": 50}, "dataset": split}
    html = sections.otherwise(verdicts.table([ours]), NOTHING, [ours, patient, split], folder="")
    assert "<td>study with PATIENCE 9 instead of 5</td>" in html
    assert "<td>study with VAL_SIZE 50 instead of 10000</td>" in html


def test_machines_that_timed_the_runs_are_told_apart(trained_otherwise):
    first, second, *_ = trained_otherwise
    note = "Training times are of several machines"
    assert note not in sections.conditions([first, second])
    other = second["environment"] | {"cpu": "another processor"}
    html = sections.conditions([first, second | {"environment": other}])
    assert note in html
    assert html.count("<td>another processor</td>") == 1


def test_gpus_are_named_beside_the_processor(trained_otherwise):
    first, *_ = trained_otherwise
    cpu = first["environment"]["cpu"]
    with_gpu = first | {"environment": first["environment"] | {"gpus": ["A100", "T4"]}}
    assert f"{cpu} with A100, T4" in sections.conditions([with_gpu])
    assert f"{cpu} with" not in sections.conditions([first])


def test_parameters_from_outside_are_escaped(trained_otherwise):
    *_, ours, other, _ = trained_otherwise
    other = other | {"parameters": other["parameters"] | {"SCHEDULE": "<script>"}}
    html = sections.otherwise(verdicts.table([ours]), NOTHING, [ours, other], folder="")
    assert "SCHEDULE &lt;script&gt; instead of &lt;b&gt;" in html
    assert "<script>" not in html
