"""The sections of the report: their figures come from records, escaped."""

import re
from dataclasses import replace
from pathlib import Path

import bs4
import numpy as np
import pytest

from ladder.report import sections, verdicts
from lib import study, tables
from lib.metrics import Score
from lib.results import parameters, record
from lib.study import SLUGS
from tests.report import made_up

NOTHING = verdicts.table([])
NOWHERE = Path("a report without pages")

COMPANION = made_up.companion(
    seed=2,
    title="Depth <b>",
    summary="With <script> 12.5 % less.",
    timing={"depth & time": [{"training seconds": 17.5}]},
    tables={"depth & time": [{"blocks": 3, "test accuracy": 0.615, "moved": 0.0123, "ok": True}]},
)


def test_companions_have_title_summary_table_and_page(tmp_path):
    page = tmp_path / "notebooks" / "freezing_depth-quick-seed2.html"
    page.parent.mkdir()
    page.touch()
    html = sections.companions([made_up.record(), COMPANION], out=tmp_path)
    assert html.count("<section") == 1
    assert '<section id="freezing_depth">' in html
    assert '<a href="notebooks/freezing_depth-quick-seed2.html">Depth &lt;b&gt;</a>' in html
    assert "With &lt;script&gt; 12.5 % less." in html
    assert "Table: depth &amp; time" in html
    assert "<td>61.50 %</td>" in html
    assert "<td>17.5</td>" in html
    page.unlink()
    assert "<h3>Depth &lt;b&gt;</h3>" in sections.companions([COMPANION], out=tmp_path)


def test_a_run_s_result_is_beside_the_published_one():
    run = made_up.record(
        "05_data_augmentation", 0.8612, parameters={"EPOCHS": 24, "CLIPNORM": 1e14}
    )
    html = sections.result(run)
    assert cells(html) == [["86.12 %", "85.94 %"], ["1.100", "0.426"]]
    assert '<a href="../index.html#05_data_augmentation">in the report</a>' in html
    assert "Profile study · seed 0 · CIFAR-10 · " in text(html)
    interval = study.judge(run.experiment, 0.8612).interval.capitalize().replace("%", " %")
    assert f"Verdict on this run: reproduced. {interval}." in text(html)
    assert "(its values in parentheses): EPOCHS 24 (100), CLIPNORM 1e+14 (none)." in text(html)
    as_published = replace(run, parameters=parameters.of_profile("study", run.experiment))
    assert "Parameters: as published." in text(sections.result(as_published))
    stuck = sections.result(made_up.changed(run, training={"at_chance": True}))
    assert "the network has learned nothing" in text(stuck)
    assert "the network has learned nothing" not in text(html)


@pytest.mark.parametrize(
    ("changes", "reason", "has_published"),
    [
        (
            {"dataset": {"name": "own/<b>", "variant": "<b>"}},
            "these are not CIFAR-10 images",
            False,
        ),
        ({"model": {"architecture": "another"}}, "the network is not the study's", True),
        ({"dataset": {"train": 128, "val": 50}}, "178 of 50,000 training and validation", True),
        ({"experiment": "11_my_idea"}, "the study has no such experiment", False),
    ],
)
def test_a_run_that_is_not_the_study_s_gets_no_verdict(changes, reason, has_published, monkeypatch):
    monkeypatch.setattr(verdicts, "protocol_changes", lambda run: {})
    html = sections.result(made_up.record("00_base_cnn", 0.63, **changes))
    assert "Verdict" not in text(html)
    assert reason in text(html)
    assert ("62.56 %" in html) == has_published
    assert "<b>" not in html


def test_a_companion_s_result_is_its_summary():
    html = sections.result(made_up.changed(COMPANION, parameters={"EPOCHS": 1}))
    assert "With &lt;script&gt; 12.5 % less." in html
    assert "Profile quick · seed 2 · " in text(html)
    assert "Differs from the profile study (its values in parentheses): EPOCHS 1 (10)." in text(
        html
    )
    assert "<table" not in html


def test_a_companion_with_metrics_is_no_experiment(tmp_path):
    """It has a network of its own, and seeds that the eleven lack."""
    beyond = replace(
        made_up.record("05_data_augmentation", 0.94, seed=3),
        experiment="beyond_the_study",
        title="Beyond",
        summary="It is 94 %.",
    )
    eleven = [made_up.record()]
    records = [beyond, *eleven]
    assert verdicts.same_conditions(records) == records
    assert verdicts.table(records) == verdicts.table(eleven)
    assert sections.facts(records) == sections.facts(eleven)
    assert sections.conditions(records) == sections.conditions(eleven)
    assert "It is 94 %." in sections.companions(records, out=NOWHERE)
    several = [replace(beyond, seed=0, summary="It is 93 %."), *records]
    shown = sections.companions(several, out=NOWHERE)
    assert "It is 93 %." in shown
    assert "It is 94 %." not in shown
    assert "Test accuracy of 2 seeds: 94.00 %, 94.00 %." in shown
    page = sections.result(beyond)
    assert "It is 94 %." in page
    assert "published" not in page


def test_no_companions_no_sections():
    assert sections.companions([made_up.record()], out=NOWHERE) == ""


def test_a_companion_without_a_run_of_the_profile_is_shown_as_it_ran():
    custom = made_up.changed(COMPANION, profile="custom", title="By other values")
    shown = sections.companions([made_up.record()], others=[COMPANION, custom], out=NOWHERE)
    assert "<h3>By other values</h3>" in shown
    assert "By other values" not in sections.companions([COMPANION], others=[custom], out=NOWHERE)
    digits = made_up.changed(custom, dataset={"name": "digits"})
    assert sections.companions([made_up.record()], others=[digits], out=NOWHERE) == ""


def test_rows_write_figures_as_what_they_are():
    row = {"year": 1998, "parameters": 61706, "C": 0.001, "seconds": 1234.5, "at chance": False}
    html = tables.rows([row | {"paper": "<i>", "true class": None, "list": ["<i>"]}])
    cells = ("1998", "61,706", "0.001", "1,234", "no", "&lt;i&gt;", "–", "[&#39;&lt;i&gt;&#39;]")
    for cell in cells:
        assert f"<td>{cell}</td>" in html
    assert 'tabindex="0"' in html
    assert '<th scope="col">parameters</th>' in html


def test_cells_can_hold_links():
    links = [tables.Link("<0>", 'a.html?"', "first"), tables.Link("1", "b.html")]
    html = tables.rows([{"pages": links}])
    assert (
        '<td><a href="a.html?&#34;" aria-label="first">&lt;0&gt;</a> <a href="b.html">1</a> </td>'
        in html
    )


def test_no_rows():
    assert tables.rows([]).strip() == "<p>No rows.</p>"


def test_decisions_are_those_of_the_study_page():
    text = sections.decisions()
    assert re.findall(r"\*\*(D\d+)\.", text) == [f"D{number}" for number in range(1, 15)]
    assert "destroys the picture" in text  # a paragraph of several lines


@pytest.fixture(scope="module")
def out(tmp_path_factory) -> Path:
    """A report's folder with runs of two profiles, and their pages."""
    folder = tmp_path_factory.mktemp("otherwise")
    made_up.write(folder, profiles={"budget": {0: 2, 10: 1}, "study": {0: 1}})
    return folder


@pytest.fixture
def runs(out):
    """Those records; one of the profile custom, on all images, and one on fewer."""
    *records, below = record.read_all(out)
    assert below.experiment == "10_vgg16_64x64"
    below = made_up.changed(
        below,
        metrics={"test": Score(0.85, 0.5)},
        parameters={"EPOCHS": 4, "SCHEDULE": "<b>"},
    )
    longer = made_up.changed(
        below, profile="custom", parameters={"EPOCHS": 8}, metrics={"test": Score(0.9, 0.3)}
    )
    fewer = made_up.changed(longer, seed=7, dataset={"train": 100})
    return [*records, below, longer, fewer]


def text(html: str) -> str:
    """What a reader sees of HTML, in one line."""
    return " ".join(bs4.BeautifulSoup(html, "html.parser").get_text().split())


def cells(html: str) -> list[list[str]]:
    """The cells of each line of a table's body."""
    lines = bs4.BeautifulSoup(html, "html.parser").tbody("tr")
    return [[text(str(cell)) for cell in line("td")] for line in lines]


def test_what_was_trained_in_another_way_is_beside_ours(runs, out):
    rows = verdicts.table(verdicts.same_conditions(runs, profile="budget"))
    html = sections.otherwise(rows, NOTHING, runs, out=out)
    assert text(html).startswith(
        "These experiments miss the published accuracy: 10 VGG16 at 64×64, fine-tuned, profile "
        "budget: 6.66 points below the published accuracy. "
        "budget with EPOCHS 8 instead of 4: 90.00 % (+5.00 points)."
    )
    assert html.count("<li>") == 1
    found = cells(html)
    assert [line[0] for line in found] == ["0 Base CNN"] * 2 + ["10 VGG16 at 64×64, fine-tuned"] * 2
    assert [line[1] for line in found] == [
        "profile budget",
        "profile study",
        "profile budget",
        "budget with EPOCHS 8 instead of 4",
    ]
    validation = runs[-1].metrics["val"].accuracy
    assert [line[2] for line in found[2:]] == [f"{100 * validation:.2f} %"] * 2
    assert [line[3] for line in found[2:]] == ["85.00 %", "90.00 %"]
    assert [line[-1] for line in found] == ["0 1", "0", "0", "–"]
    # A custom run has no page, so its seed is no link.
    links = re.findall('<a href="([^"]+)"', html)
    pages = sorted(f"notebooks/{page.name}" for page in (out / "notebooks").iterdir())
    assert sorted(links) == pages
    assert "notebooks/00_base_cnn-study-seed0.html" in links


def test_a_miss_without_another_run_has_no_known_cause(runs):
    records = [r for r in runs if r.profile == "budget"]
    html = sections.otherwise(verdicts.table(records), NOTHING, records, out=NOWHERE)
    assert "6.66 points below the published accuracy. It was not trained in another" in text(html)
    assert "<table" not in html
    records = [r for r in records if r.experiment == "00_base_cnn"]
    html = sections.otherwise(verdicts.table(records), NOTHING, records, out=NOWHERE)
    assert text(html) == ""
    assert sections.otherwise(NOTHING, NOTHING, records, out=NOWHERE) == html


def test_a_miss_of_the_studys_own_schedule_is_named_too(runs):
    *_, ours, _, _ = runs
    study = made_up.changed(ours, profile="study", metrics={"test": Score(0.88, 0.4)})
    published = parameters.of_profile("study", SLUGS[10])
    longer = made_up.changed(ours, profile="custom", parameters=published | {"PATIENCE": 20})
    rows, protocol = verdicts.table([ours]), verdicts.table([study])
    trial = made_up.changed(ours, profile="custom", parameters={"EPOCHS": 9})
    html = sections.otherwise(rows, protocol, [longer, study, trial, ours], out=NOWHERE)
    said = text(html)
    assert "profile study: 3.66 points below the published accuracy. profile budget: 85" in said
    assert said.index("; budget with EPOCHS 9 instead of 4: 85.00 % (−3.00 points);") < said.index(
        "; study with PATIENCE 20 instead of 10: 85.00 % (−3.00 points)."
    )
    alone = sections.otherwise(protocol, protocol, [study], out=NOWHERE)
    assert alone.count("points below") == 1


def test_the_same_values_by_hand_are_named(runs):
    *_, ours, other, _ = runs
    other = made_up.changed(other, parameters=ours.parameters | {"SEED": 3, "OUT": "elsewhere"})
    html = sections.otherwise(verdicts.table([ours]), NOTHING, [ours, other], out=NOWHERE)
    assert "accuracy. budget, profile custom: 90.00 %" in text(html)


def test_a_run_by_hand_is_described_by_the_profile_that_it_is_nearest_to(runs):
    ours, *_ = runs
    study = parameters.of_profile("study", "00_base_cnn")
    patient = made_up.changed(ours, profile="custom", parameters=study | {"PATIENCE": 9})
    images = ours.dataset.train + ours.dataset.val
    split = made_up.changed(
        patient,
        parameters=study | {"VAL_SIZE": 50},
        dataset={"train": images - 50, "val": 50},
    )
    records = [ours, patient, split]
    html = sections.otherwise(verdicts.table([ours]), NOTHING, records, out=NOWHERE)
    assert "<td>study with PATIENCE 9 instead of 5</td>" in html
    assert "<td>study with VAL_SIZE 50 instead of 10000</td>" in html


def test_another_network_is_named(runs):
    *_, ours, _, _ = runs
    model = {"architecture": "f" * 64, "total_params": 2_100_362}
    other = made_up.changed(ours, profile="custom", model=model, metrics={"test": Score(0.9, 0.3)})
    longer = made_up.changed(other, parameters={"EPOCHS": 8})
    rows = verdicts.table([ours])
    html = sections.otherwise(rows, NOTHING, [ours, other, longer], out=NOWHERE)
    network = "budget with another network (2,100,362 parameters)"
    assert [line[1] for line in cells(html)] == [
        "profile budget",
        network,
        f"{network}, EPOCHS 8 instead of 4",
    ]
    assert f"below the published accuracy. {network}: 90.00 % (+5.00 points);" in text(html)


def test_machines_that_timed_the_runs_are_named_apart(runs):
    first, second, *_ = runs
    note = "Training times were measured on several machines"
    assert note not in sections.conditions([first, second])
    other = made_up.changed(second, environment={"cpu": "another processor"})
    html = sections.conditions([first, other])
    assert note in html
    assert html.count("<td>another processor</td>") == 1


def test_gpus_are_named_beside_the_processor(runs):
    first, *_ = runs
    with_gpu = made_up.changed(first, environment={"gpus": ["A100", "T4"]})
    assert "a processor with A100, T4" in sections.conditions([with_gpu])
    assert "a processor with" not in sections.conditions([first])


def test_parameters_from_outside_are_escaped(runs):
    *_, ours, other, _ = runs
    other = made_up.changed(other, parameters={"SCHEDULE": "<script>"})
    html = sections.otherwise(verdicts.table([ours]), NOTHING, [ours, other], out=NOWHERE)
    assert "SCHEDULE &lt;script&gt; instead of &lt;b&gt;" in html
    assert "<script>" not in html + sections.conditions([ours, other])


def own_images(out: Path, right: dict[int, list[int]], images: list[int]) -> list[verdicts.Row]:
    """Writes what each experiment gets right of the test images of each class; returns its rows."""
    (out / "results").mkdir()
    classes = [f"<{number}>" for number in range(len(images))]
    dataset = {"name": "own/pets", "test": sum(images), "classes": classes}
    records = []
    for number, counts in right.items():
        named = [
            [label] * yes + [(label + 1) % len(images)] * (count - yes)
            for label, (yes, count) in enumerate(zip(counts, images, strict=True))
        ]
        made = made_up.record(
            SLUGS[number],
            accuracy=sum(counts) / sum(images),
            dataset=dataset,
            training={"operations": number + 1},
        )
        np.savez(
            out / "results" / f"{made.name}.npz",
            probabilities=np.eye(len(images))[np.concatenate(named).astype(int)],
            labels=np.repeat(np.arange(len(images)), images),
        )
        records.append(made)
    return verdicts.table(records, out)


def test_balanced_accuracy_decides_where_classes_are_unbalanced(tmp_path):
    rows = own_images(tmp_path, {0: [400, 0], 1: [360, 18], 2: [0, 20]}, [400, 20])
    assert rows[0].accuracy > rows[1].accuracy
    assert [row.balanced_accuracy for row in rows[:3]] == pytest.approx([0.5, 0.9, 0.5])
    found = verdicts.payoff(rows)
    assert [row.experiment.number for row in found.rows] == [0, 1]
    assert found.enough is found.rows[-1]
    html = sections.payoff(rows)
    assert "so balanced accuracy decides" in text(html)
    assert "1 Deeper CNN: 90.0 % (95 % interval " in text(html)
    assert [line[1:3] for line in cells(html)] == [["50.00 %", ""], ["90.00 %", "+40.00"]]
    assert "balanced accuracy decides" in sections.headline(rows, [])


@pytest.mark.parametrize("images", [[60, 20], [20, 60, 30]])
def test_accuracy_decides_elsewhere(tmp_path, images):
    common = int(np.argmax(images))
    first = [count if label == common else 9 for label, count in enumerate(images)]
    rows = own_images(tmp_path, {0: first, 1: [count * 3 // 4 for count in images]}, images)
    assert not any(row.unbalanced for row in rows)
    found = verdicts.payoff(rows)
    assert found.rows[-1].score == found.rows[-1].accuracy
    assert "balanced" not in sections.payoff(rows) + sections.headline(rows, [])


def test_experiments_are_compared_image_by_image(tmp_path):
    # Of 100 images the second recognizes the first's 80 and 6 more: each score alone has ± 7.
    rows = own_images(tmp_path, {0: [40, 40], 1: [43, 43]}, [50, 50])
    assert rows[1].score - rows[0].score < 1.96 * verdicts.error(rows[1])
    found = verdicts.payoff(rows)
    assert found.enough is found.rows[-1] is rows[1]
    # As many others instead of the same ones: then 6 more may be chance.
    other = replace(rows[0], right=rows[0].right[::-1])
    assert verdicts.payoff([other, rows[1]]).enough is other


def test_the_error_of_balanced_accuracy_is_that_of_drawing_other_test_images(tmp_path):
    rows = own_images(tmp_path, {0: [360, 18], 1: [400, 20]}, [400, 20])
    draws = np.random.default_rng(0).binomial([400, 20], 0.9, (100_000, 2)) / [400, 20]
    spread = draws.mean(axis=1).std()
    assert spread < verdicts.error(rows[0]) < 1.2 * spread
    # Nothing wrong among 20 images does not say that nothing ever is.
    assert 0.02 < verdicts.error(rows[1]) < verdicts.error(rows[0])


def test_recall_by_class_is_in_the_report(tmp_path):
    rows = own_images(tmp_path, {0: [400, 0, 0], 3: [300, 15, 0]}, [400, 20, 0])
    html = sections.recalls(rows)
    assert cells(html) == [
        ["<0>", "400", "100.0 %", "75.0 %"],
        ["<1>", "20", "0.0 %", "75.0 %"],
        ["<2>", "0", "–", "–"],
    ]
    assert "<details" not in html
    assert [cell.text for cell in bs4.BeautifulSoup(html, "html.parser")("th")][2:] == [
        row.experiment.heading for row in rows if row.records
    ]
    table = bs4.BeautifulSoup(sections.table(rows, out=tmp_path), "html.parser")
    assert [cell.text for cell in table.thead("th")].index("balanced accuracy (%)") == 2
    found = [line.find(attrs={"data-label": "balanced accuracy (%)"}) for line in table.tbody("tr")]
    assert [cell.text.strip() for cell in found[:4]] == ["50.00", "–", "–", "75.00"]


def test_recall_of_many_classes_is_folded(tmp_path):
    rows = own_images(tmp_path, {0: [3] * 20}, [4] * 20)
    assert "<details><summary>20 classes</summary>" in sections.recalls(rows)


def test_without_predictions_no_experiment_is_compared_by_recall(tmp_path, capsys):
    rows = own_images(tmp_path, {0: [400, 0], 1: [360, 18]}, [400, 20])
    (tmp_path / "results" / f"{rows[1].records[0].name}.npz").unlink()
    records = [record for row in rows for record in row.records]
    rows = verdicts.table(records, tmp_path)
    assert capsys.readouterr().out.startswith(
        "No recall by class: 01_deeper_cnn has no predictions"
    )
    assert sections.recalls(rows).strip() == ""
    assert verdicts.payoff(rows).rows[-1].experiment.number == 0


def test_the_reports_of_cifar10_and_digits_have_no_balanced_accuracy(out):
    records = verdicts.same_conditions(record.read_all(out), profile="budget")
    rows = verdicts.table(records, out)
    assert rows == verdicts.table(records)
    assert sections.recalls(rows).strip() == ""
    assert "balanced" not in sections.table(rows, out=out) + sections.payoff(rows, out=out)


def test_the_models_that_pay_off_are_linked(tmp_path):
    rows = own_images(tmp_path, {0: [300, 15], 1: [302, 15], 2: [100, 5]}, [400, 20])
    names = [f"models/{row.records[0].name}.keras" for row in rows[:2]]
    (tmp_path / "models").mkdir()
    assert "Model file" not in sections.payoff(rows, out=tmp_path)
    for name in names:
        (tmp_path / name).touch()
    html = sections.payoff(rows, out=tmp_path)
    assert "Model files: " in html
    assert all(f'<a href="{name}">{name}</a>' in html for name in names)
    assert "python -m ladder predict MODEL FOLDER" in html
