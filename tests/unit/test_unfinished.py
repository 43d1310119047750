"""The report's page while notebooks run."""

import json
import sys
import time

import bs4
import pytest

from ladder import __main__ as command
from ladder import progress
from ladder.plan import Job
from lib.results import parameters, record
from tests.report import made_up

SLUGS = ("00_base_cnn", "01_deeper_cnn", "02_dropout", "03_double_conv")


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    made_up.write(folder, profiles={"budget": {0: 1, 1: 1}}, test=1000)
    (folder / ".running" / "02_dropout-budget-seed0-abc").mkdir(parents=True)
    return folder


@pytest.fixture
def jobs(monkeypatch):
    def any_record(job, out):  # of any fingerprint
        path = out / "results" / f"{job.name}.json"
        return record.read(path) if path.is_file() else None

    monkeypatch.setattr(Job, "record", any_record)
    return [Job(s, "budget", 0, parameters.of_profile("budget", s), "d" * 64) for s in SLUGS]


def test_it_shows_what_is_done_and_what_runs(out, jobs):
    (out / "index.html").unlink(missing_ok=True)
    began = time.perf_counter()
    progress.write(out, jobs, jobs[2:])
    assert time.perf_counter() - began < 2
    soup = bs4.BeautifulSoup((out / "index.html").read_text(encoding="utf-8"), "html.parser")
    said = " ".join(soup.aside.text.split())
    assert said.startswith(
        "2 of 4 notebooks of this run are finished. Running: 02_dropout-budget-seed0. The rest may "
    )
    accuracies = [row("td")[2].text.strip() for row in soup.tbody("tr")]
    assert accuracies[2:] == ["–"] * 9
    for shown, found in zip(accuracies, record.read_all(out), strict=False):
        assert shown == f"{100 * found.metrics['test'].accuracy:.2f}"
    assert not soup("script")


def test_a_finished_report_stays(out, jobs):
    page = out / "index.html"
    page.write_text("finished")
    progress.write(out, jobs, jobs[2:])
    assert page.read_text() == "finished"
    page.unlink()
    for waiting in (jobs[1:], jobs[2:]):
        progress.write(out, jobs, waiting)
    assert "2 of 4 notebooks" in page.read_text(encoding="utf-8")


def test_the_time_left_is_scaled_by_what_is_done(out, jobs, tmp_path, monkeypatch):
    of_record = tmp_path / "of-record"
    made_up.write(of_record, profiles={"budget": dict.fromkeys(range(4), 1)}, test=1000)
    path = of_record / "results" / "01_deeper_cnn-a-gpu.json"  # comes first, and does not count
    fast = {"environment": {"gpus": ["NVIDIA H200"]}, "timing": {"train_images_per_second": 1e6}}
    path.write_text(json.dumps(made_up.record("01_deeper_cnn", **fast).to_json()))
    monkeypatch.setattr(progress, "OF_RECORD", of_record)
    # 40,000 images take 40 s: 12 s, 4 or 5 epochs, and the evaluation. The first took 100 s.
    expected = [12 + 5 * 40, 12 + 6 * 40]
    left = progress.seconds_left(out, jobs[:2], jobs[1:2])
    assert left == pytest.approx(100 * expected[1] / expected[0])
    assert progress.seconds_left(out, jobs, jobs) is None
    other = Job("freezing_depth", "budget", 0, {}, "d" * 64)
    assert progress.seconds_left(out, [*jobs, other], [other]) is None


def test_it_is_there_while_others_wait(out, jobs, tmp_path, monkeypatch):
    engine = tmp_path / "engine"
    engine.write_text(f"#!{sys.executable}\nimport time\ntime.sleep(1.5)\n")
    engine.chmod(0o755)
    (out / "index.html").unlink(missing_ok=True)
    monkeypatch.setattr(sys, "executable", str(engine))
    command.execute.run(jobs, out, images=0)
    assert "2 of 4 notebooks" in (out / "index.html").read_text(encoding="utf-8")
