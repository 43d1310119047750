"""The summaries say what the table says."""

import csv
import io
import re

import bs4
import pytest

from ladder.report import sections, summary, verdicts
from ladder.report.render import percent
from lib.results import parameters, record
from tests.report import made_up


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    made_up.write(folder, profiles={"budget": {0: 3, 1: 3, 7: 1}, "study": {1: 1}})
    return folder


@pytest.fixture(scope="module")
def groups(out):
    records = record.read_all(out)
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
    assert f"| 0 | Base CNN | 62.56 % | – | {percent(rows[0].accuracy)} ± " in text
    assert verdicts.in_one_line(rows) in text
    assert "11. A larger input uses VGG16 better: 10 > 8. **not tested.**" in text
    assert "2. The deeper network overfits. **holds.**" in text
    assert "made-up figures" in text
    protocol = verdicts.of_the_protocol(rows, verdicts.table(groups[1]))
    assert protocol.startswith(
        "We also ran the study's own schedule (profile study). Of 1 experiment: "
    )
    assert protocol in text


def test_schedules_that_differ_are_said_above_the_claims(groups):
    epochs = {"00_base_cnn": 10, "01_deeper_cnn": 6}
    records = [
        made_up.changed(r, parameters={"EPOCHS": epochs.get(r.experiment, 6)}) for r in groups[0]
    ]
    text = summary.markdown(verdicts.table(records), verdicts.table([]))
    assert "## The study's claims\n\nThe experiments differ in their number of epochs" in text


def test_every_line_of_the_table_has_as_many_cells(groups):
    text = summary.markdown(verdicts.table(groups[0]), verdicts.table([]))
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len(table) == 13
    assert {line.count("|") for line in table} == {table[0].count("|")}


def test_published_figures_are_absent_on_other_data(tmp_path):
    made_up.write(tmp_path, profiles={"quick": {0: 1}}, name="own/pets", classes=("a", "b"))
    rows = verdicts.table(record.read_all(tmp_path))
    text = summary.markdown(rows, verdicts.table([]))
    assert "62.56" not in text
    assert "claims" not in text
    assert summary.lines(rows)[0]["published_accuracy"] is None


def test_own_images_have_a_column_of_balanced_accuracy(tmp_path, groups):
    made_up.write(tmp_path, profiles={"quick": {0: 2}}, name="own/pets", classes=("a", "b"))
    records = record.read_all(tmp_path)
    summary.write(tmp_path, records, [])
    first, second, *_ = csv.DictReader((tmp_path / "summary.csv").open(encoding="utf-8"))
    # As many images of each class.
    assert float(first["balanced_accuracy"]) == pytest.approx(float(first["accuracy"]))
    assert second["balanced_accuracy"] == ""
    text = (tmp_path / "summary.md").read_text(encoding="utf-8")
    shown = percent(float(first["balanced_accuracy"]))
    assert re.search(rf"^\| 0 \| Base CNN \| [^|]+ \| {shown} \| [\d.]+ \|$", text, re.MULTILINE)
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in table} == {6}
    assert "balanced_accuracy" not in summary.as_csv(verdicts.table(groups[0], tmp_path))


def test_the_three_writers_say_the_same(out, groups):
    rows = verdicts.table(groups[0])
    csv_lines = list(csv.DictReader(io.StringIO(summary.as_csv(rows))))
    text = summary.markdown(rows, verdicts.table([]))
    in_markdown = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if re.match(r"\| \d", line)
    ]
    soup = bs4.BeautifulSoup(sections.table(rows, out=out), "html.parser")
    in_html = [[cell["data-value"] for cell in line.find_all("td")] for line in soup.tbody("tr")]
    for line, md, html in zip(csv_lines, in_markdown, in_html, strict=True):
        assert md[0] == html[0].split()[0] == line["number"]
        for shown, name in zip(
            html[1:4], ("published_accuracy", "accuracy", "difference"), strict=True
        ):
            assert shown == (str(round(100 * float(line[name]), 2)) if line[name] else "")
        assert html[4].removesuffix(" (indicative)") == line["verdict"]
        assert html[5] == line["cross_entropy"]
        shown = line["accuracy"] and percent(float(line["accuracy"]))
        assert md[3].partition(" ±")[0] == (shown or "–")
        assert md[5].removesuffix(" (indicative)") == (line["verdict"] or "–")
        assert html[-1] == (line["seeds"] if line["seeds"] != "0" else "")


def test_the_two_protocols_are_side_by_side(out, groups):
    rows, study_rows = (verdicts.table(group) for group in groups)
    line = summary.lines(rows, study_rows)[1]
    assert (line["accuracy"], line["seeds"]) == (rows[1].accuracy, 3)
    assert (line["same_protocol_accuracy"], line["same_protocol_seeds"]) == (
        study_rows[1].accuracy,
        1,
    )
    text = summary.markdown(rows, study_rows)
    three = f"| 72.30 % | {percent(study_rows[1].accuracy)} | {percent(rows[1].accuracy)} ± "
    assert f"| 1 | Deeper CNN {three}" in text
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in table} == {table[0].count("|")}
    soup = bs4.BeautifulSoup(sections.table(rows, study_rows, out=out), "html.parser")
    heads = [head.text for head in soup.thead("th")]
    assert heads[1:4] == ["published accuracy (%)", "same protocol (%)", "our schedule (%)"]
    base, deeper = ([cell.text.strip() for cell in row("td")] for row in soup.tbody("tr")[:2])
    assert base[2] == "–"
    assert deeper[2] == f"{100 * study_rows[1].accuracy:.2f} ✓\xa0reproduced (indicative)1 seed"
    alone = bs4.BeautifulSoup(sections.table(study_rows, study_rows, out=out), "html.parser")
    assert "same protocol (%)" not in alone.text


def test_precision_and_gpus_of_the_same_protocol_are_named(groups, out):
    rows, (one, *_) = verdicts.table(groups[0]), groups[1]
    two = made_up.changed(one, training={"precision": "bfloat16"})
    one = made_up.changed(two, seed=1, environment={"gpus": ["NVIDIA H200"]}, history={"loss": [9]})
    soup = bs4.BeautifulSoup(
        sections.table(rows, verdicts.table([one, two]), out=out), "html.parser"
    )
    cell = soup.tbody("tr")[1]("td")[2]
    assert cell.small.text == "2 seeds, bfloat16, 1 on NVIDIA H200"


def test_training_time_is_of_the_first_seed(groups):
    runs = [r for r in groups[0] if r.experiment == "00_base_cnn"]
    elsewhere = made_up.changed(runs[-1], timing={"train_seconds": 1e6})
    row = verdicts.table([*runs[:-1], elsewhere])[0]
    assert (len(row.records), row.seconds) == (3, runs[0].timing["train_seconds"])


def test_a_verdict_names_its_basis(out, groups):
    rows = verdicts.table(groups[0])
    judged = verdicts.verdict(rows[0], verdicts.spread(rows))
    interval = f"{100 * judged.low:.2f} to {100 * judged.high:.2f}"
    basis = f"3 seeds, {interval} %, schedule chosen on validation images"
    assert f"| {basis} |" in summary.markdown(rows, verdicts.table([]))
    soup = bs4.BeautifulSoup(sections.table(rows, out=out), "html.parser")
    cells = [row.find(attrs={"data-label": "verdict"}) for row in soup.tbody("tr")]
    assert cells[0].small.text == basis
    assert cells[2].text.strip() == "–"
    for slug, profile, expected in (
        ("02_dropout", "budget", "validation images, after a test"),
        ("02_dropout", "study", "published"),
        ("02_dropout", "quick", ""),
        ("02_dropout", "custom", ""),
    ):
        assert parameters.chosen_on(profile, slug) == expected


def test_nothing_has_run():
    rows = verdicts.table([])
    assert "Nothing has run yet." in summary.markdown(rows, rows)
    assert len(summary.as_csv(rows).splitlines()) == 12
