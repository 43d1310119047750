"""The HTML pieces: what stands in the report comes from records, escaped."""

import json
import re

import numpy as np
import pytest

from lib import data, plots, report, results, verdicts
from tests.report import made_up

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
    html = report.companions([{"experiment": "00_base_cnn"}, RECORD], folder="notebooks/")
    assert html.count("<section>") == 1
    assert "href='notebooks/freezing_depth-quick-seed2.html'" in html
    assert "Depth &lt;b&gt;" in html
    assert "With &lt;script&gt; 12.5 % less." in html
    assert "Table: depth &amp; time" in html
    assert "<td>61.50%</td>" in html
    assert "<td>17.5</td>" in html


def test_no_companions_no_sections():
    assert report.companions([{"experiment": "00_base_cnn"}], folder="") == ""


def test_rows_write_figures_as_what_they_are():
    row = {"year": 1998, "parameters": 61706, "C": 0.001, "seconds": 1234.5, "at chance": False}
    html = report.rows([row | {"paper": "<i>", "true class": None}])
    cells = ("1998", "61,706", "0.001", "1,234", "no", "&lt;i&gt;", "–")
    for cell in cells:
        assert f"<td>{cell}</td>" in html
    assert "tabindex='0'" in html
    assert "<th scope='col'>parameters</th>" in html


def test_no_rows():
    assert report.rows([]) == "<p>No rows.</p>"


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """Records of three rungs on the real digits, and their rows."""
    out = tmp_path_factory.mktemp("digits")
    test = len(data.load("digits").y_test)
    classes = tuple("0123456789")
    made_up.write(
        out, profiles={"quick": {0: 1, 1: 1, 9: 1}}, name="digits", classes=classes, test=test
    )
    records = results.read_all(out)
    return out, records, verdicts.table(records)


def test_confusions_are_those_of_the_predictions(digits):
    out, records, rows = digits
    runs = report.predicted(rows, out)
    assert [run.title for run in runs] == ["0 Base CNN", "1 Deeper CNN", "9 Mini-VGG16, fine-tuned"]
    html = report.confusions(runs, ["<b>", *"123456789"])
    content = json.loads(re.search(r"<script[^>]*>(.*?)</script>", html)[1])
    counts = np.array(content["rungs"][0]["counts"])
    assert counts.sum() == len(runs[0].labels)
    assert counts.trace() / counts.sum() == records[0]["metrics"]["test"]["accuracy"]
    assert (counts.sum(axis=1) == np.bincount(runs[0].labels)).all()
    assert content["classes"][0] == "<b>"
    assert "<b>" not in html
    assert "cannot be read" in report.confusions(runs, ["x"] * 26)
    assert report.confusions([], []) == "<p>No predictions are stored.</p>"


def test_hard_images(digits):
    out, _, rows = digits
    runs = report.predicted(rows, out)
    wrong = [run.named != run.labels for run in runs]
    every, only = report.hard_images(runs).values()
    assert list(every) == [i for i in range(len(wrong[0])) if all(w[i] for w in wrong)]
    assert list(only) == [
        i for i in range(len(wrong[0])) if wrong[0][i] and wrong[1][i] and not wrong[2][i]
    ]
    assert len(every) > report.SHOWN > 0
    html = report.hard_table(runs, every, list("abcdefghij"))
    assert html.count("<tr>") == report.SHOWN + 1
    assert f"The first {report.SHOWN} of them" in html
    assert "of them" not in report.hard_table(runs, every[:3], list("abcdefghij"))
    assert f"<td>{every[0]}</td><td>{'abcdefghij'[runs[0].labels[every[0]]]}</td>" in html
    assert report.hard_images(runs[:1]) == {}


def test_pictures_only_of_the_very_images(digits, monkeypatch, capsys):
    out, records, rows = digits
    runs, shown = report.predicted(rows, out), []
    monkeypatch.setattr(plots, "show", lambda figure, alt: shown.append(alt))
    report.show_hard_images(runs, "auto", records)
    assert capsys.readouterr().out.startswith("No pictures: these images")  # labels differ
    labels = data.load("digits").y_test
    right = [report.Predicted(run.row, run.named, labels) for run in runs]
    report.show_hard_images(right, "auto", records)
    assert shown[0].startswith("Test images wrong in all 3 rungs")
    report.show_hard_images(runs[:1], "auto", records)
    assert len(shown) == 2


def test_own_images_that_are_gone_are_no_error(digits, capsys, tmp_path):
    out, records, rows = digits
    own = [records[0] | {"dataset": records[0]["dataset"] | {"name": "own/x"}}]
    report.show_hard_images(report.predicted(rows, out), str(tmp_path / "gone"), own)
    assert "are not at hand" in capsys.readouterr().out


def test_decisions_are_those_of_the_study_page():
    text = report.decisions()
    assert re.findall(r"\*\*(D\d+)\.", text) == [f"D{number}" for number in range(1, 14)]
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
    html = report.otherwise(rows, trained_otherwise, folder="notebooks/")
    assert html.startswith(
        "<ul><li>10 VGG16 at 64×64, fine-tuned: 6.66 points below the published "
        "accuracy. EPOCHS 8 instead of 4: 90.00 % (+5.00 points).</li></ul>"
    )
    cells = [re.findall("<td>(.*?)</td>", line) for line in html.split("<tr>")[2:]]
    assert [line[0] for line in cells] == ["0 Base CNN"] * 2 + ["10 VGG16 at 64×64, fine-tuned"] * 2
    assert [line[1] for line in cells] == [
        "profile budget",
        "profile study",
        "profile budget",
        "EPOCHS 8 instead of 4",
    ]
    assert [line[2] for line in cells[2:]] == ["85.00%", "90.00%"]
    assert "href='notebooks/00_base_cnn-study-seed0.html'" in cells[1][-1]
    assert cells[0][-1].count("<a ") == 2
    assert cells[3][-1] == "–"  # a notebook run by hand has no page


def test_a_miss_without_another_run_has_no_known_cause(trained_otherwise):
    records = [r for r in trained_otherwise if r["profile"] == "budget"]
    html = report.otherwise(verdicts.table(records), records, folder="")
    assert "6.66 points below the published accuracy. It was not trained otherwise" in html
    assert "<table" not in html
    records = [r for r in records if r["experiment"] == "00_base_cnn"]
    html = report.otherwise(verdicts.table(records), records, folder="")
    assert html == "<p>No rung was trained otherwise on these images.</p>"
    assert report.otherwise(verdicts.table([]), records, folder="") == html


def test_the_same_values_by_hand_are_named(trained_otherwise):
    *_, ours, other, _ = trained_otherwise
    other = other | {"parameters": ours["parameters"] | {"SEED": 3, "OUT": "elsewhere"}}
    html = report.otherwise(verdicts.table([ours]), [ours, other], folder="")
    assert "accuracy. by hand, with the same values: 90.00 %" in html


def test_parameters_from_outside_are_escaped(trained_otherwise):
    *_, ours, other, _ = trained_otherwise
    other = other | {"parameters": other["parameters"] | {"SCHEDULE": "<script>"}}
    html = report.otherwise(verdicts.table([ours]), [ours, other], folder="")
    assert "SCHEDULE &lt;script&gt; instead of &lt;b&gt;" in html
    assert "<script>" not in html
