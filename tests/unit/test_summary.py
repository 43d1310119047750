"""The summaries say what the table says."""

import csv
import io

import pytest

from ladder.report import summary, verdicts
from lib import results
from tests.report import made_up


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    made_up.write(folder, profiles={"budget": {0: 3, 1: 3, 7: 1}, "study": {1: 1}})
    return folder


@pytest.fixture(scope="module")
def groups(out):
    records = results.read_all(out)
    return [verdicts.same_conditions(records, profile=p) for p in ("budget", "study")]


def test_files_are_written_whole(out, groups):
    summary.write(out, *groups)
    table = list(csv.DictReader(io.StringIO((out / "summary.csv").read_text(encoding="utf-8"))))
    rows = verdicts.table(groups[0])
    assert [line["experiment"] for line in table] == [row.experiment.slug for row in rows]
    assert float(table[0]["accuracy"]) == rows[0].accuracy
    assert float(table[0]["accuracy_sd"]) == rows[0].accuracy_sd
    assert table[0]["verdict"] == "reproduced"
    assert (table[7]["indicative"], table[7]["seeds"]) == ("True", "1")
    assert table[2]["accuracy"] == table[2]["verdict"] == ""
    text = (out / "summary.md").read_text(encoding="utf-8")
    assert f"| 0 | Base CNN | 62.56% | {rows[0].accuracy:.2%} ± " in text
    assert verdicts.in_one_line(rows) in text
    assert "11. A larger input uses VGG16 better: 10 > 8. **not tested.**" in text
    assert "2. The deeper network overfits. **holds.**" in text
    assert "made-up figures" in text
    protocol = verdicts.of_the_protocol(rows, verdicts.table(groups[1]))
    assert protocol.startswith("With the study's own schedule (profile study): of 1 rung: ")
    assert protocol in text


def test_schedules_that_differ_are_said_above_the_claims(groups):
    epochs = {"00_base_cnn": 10, "01_deeper_cnn": 6}
    records = [r | {"parameters": {"EPOCHS": epochs.get(r["experiment"], 6)}} for r in groups[0]]
    text = summary.markdown(verdicts.table(records), verdicts.table([]))
    assert "## The study's claims\n\nThe rungs were given different numbers of epochs" in text


def test_every_line_of_the_table_has_as_many_cells(groups):
    text = summary.markdown(verdicts.table(groups[0]), verdicts.table([]))
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len(table) == 13
    assert {line.count("|") for line in table} == {table[0].count("|")}


def test_published_figures_are_absent_on_other_data(tmp_path):
    made_up.write(tmp_path, profiles={"quick": {0: 1}}, name="own/pets", classes=("a", "b"))
    rows = verdicts.table(results.read_all(tmp_path))
    text = summary.markdown(rows, verdicts.table([]))
    assert "62.56" not in text
    assert "claims" not in text
    assert summary.lines(rows)[0]["published_accuracy"] is None


def test_nothing_has_run():
    rows = verdicts.table([])
    assert "Nothing has run yet." in summary.markdown(rows, rows)
    assert len(summary.as_csv(rows).splitlines()) == 12
