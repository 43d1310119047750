"""Sweeps: a file becomes jobs, each with a name and parameters of its own."""

import json
from dataclasses import replace

import pytest

from ladder import plan, sweep
from ladder.execute import _as_json
from ladder.reasons import UsageError
from ladder.report import sections, verdicts
from lib import ROOT, data
from lib.errors import ParameterError
from tests.report import made_up


def written(folder, text: str):
    path = folder / "sweep.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def jobs_of(found: sweep.Sweep) -> list[plan.Job]:
    return plan.plan(
        plan.select(found.only),
        profile=found.profile,
        seeds=plan.read_seeds(found.seeds),
        source=data.open_source("digits"),
        dataset="digits",
        settings=found.settings,
    )


def test_settings_and_grid_are_combined(tmp_path):
    text = """
profile: smoke
only: "00"
seeds: 0-1
settings: [{}, {BATCH_SIZE: 16}]
grid: {LEARNING_RATE: [1.0e-3, 2.0e-3]}
"""
    jobs = jobs_of(sweep.read(written(tmp_path, text)))
    assert [job.changes for job in jobs[::2]] == [
        {},  # 1.0e-3 is the profile's own
        {"LEARNING_RATE": 2e-3},
        {"BATCH_SIZE": 16},
        {"BATCH_SIZE": 16, "LEARNING_RATE": 2e-3},
    ]
    assert [job.seed for job in jobs] == [0, 1] * 4
    assert jobs[0].name == "00_base_cnn-smoke-seed0"
    assert len({job.name for job in jobs}) == 8
    assert all("-custom-" in job.name for job in jobs[2:])
    command = _as_json(jobs[-1], 9)["command"]
    assert command[-4:] == ["--set", "BATCH_SIZE=16", "--set", "LEARNING_RATE=0.002"]
    assert jobs[-1].values["LEARNING_RATE"] == 2e-3


def test_a_job_has_the_name_of_its_record(tmp_path):
    found = sweep.read(written(tmp_path, "{profile: smoke, only: '00', settings: [{EPOCHS: 2}]}"))
    (job,) = jobs_of(sweep.Sweep(found.profile, found.only, "3", found.settings))
    made = made_up.record(
        seed=3,
        profile="custom",
        parameters=json.loads(json.dumps(job.values)) | {"DATASET": "digits"},
        dataset={"sha256": job.data},
    )
    assert job.name == made.name


def test_a_record_of_a_sweep_is_not_a_profiles(tmp_path, monkeypatch):
    found = sweep.read(written(tmp_path, "{profile: smoke, only: '00', settings: [{EPOCHS: 2}]}"))
    (job,) = jobs_of(sweep.Sweep(found.profile, found.only, "3", found.settings))
    made = made_up.record(seed=3, profile="custom", parameters=job.values)
    made = made_up.changed(made, fingerprint=job.name)
    monkeypatch.setattr(plan.fingerprint, "of_run", lambda *_, **__: job.name)
    monkeypatch.setattr(plan.record, "read", lambda path: {job.name: made}[path.stem])
    for place in (f"results/{job.name}.json", f"notebooks/{job.name}.html"):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).touch()
    assert job.record(tmp_path) == made
    assert replace(job, changes={}).record(tmp_path) is None  # the profile has EPOCHS 2 later
    other = made_up.changed(made, model={"architecture": "f" * 64})
    monkeypatch.setattr(plan.record, "read", lambda _: other)
    assert replace(job, changes={}).record(tmp_path) == other  # an edited network


def test_settings_with_one_meaning_are_two_lines():
    values = {"EPOCHS": 8, "PROFILE": "budget"}
    settings = ({}, {"PRECISION": "auto"}, {"PRECISION": "float32"})
    runs = [
        made_up.record(profile="custom", accuracy=0.6 + n / 100, parameters=values | setting)
        for n, setting in enumerate(settings)
    ]
    row = verdicts.table([made_up.record(profile="budget", parameters={"EPOCHS": 4})])[0]
    assert len(verdicts.others(row, runs)) == len(runs)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("just text", "expected a YAML file with settings, grid, or both"),
        ("{settings: [{A: 1}], color: red}", "'color' is none of profile, only"),
        ("{grid: {EPOCHS: 3}}", "expected a list of values of EPOCHS"),
        ("{settings: [1]}", "each setting must be parameters and values"),
        ("{settings: []}", "settings = [] has the wrong form"),
        ("{settings: [{SEED: 1}]}", "SEED cannot be a setting"),
        ("{grid: {WEIGHTS: [a.h5]}}", "WEIGHTS cannot be a setting"),
        ("settings: [", "it cannot be read"),
    ],
)
def test_a_file_that_is_no_sweep_gets_one_sentence(tmp_path, text, reason):
    with pytest.raises(UsageError, match=r"^--sweep ") as error:
        sweep.read(written(tmp_path, text))
    assert reason in str(error.value)
    assert "\n" not in str(error.value)
    with pytest.raises(UsageError, match="No such file"):
        sweep.read(tmp_path / "none.yaml")


def test_a_setting_that_a_notebook_cannot_take_is_refused(tmp_path):
    text = "{profile: smoke, only: '00', seeds: 0, settings: [{HEAD_EPOCHS: 1}]}"
    with pytest.raises(ParameterError, match="no parameter 'HEAD_EPOCHS'"):
        jobs_of(sweep.read(written(tmp_path, text)))


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks" / "sweeps").glob("*.yaml")))
def test_the_examples_are_sweeps(path):
    assert jobs_of(sweep.read(path))


def test_makespan_takes_the_longest_jobs_first():
    assert plan.makespan([3, 1, 1, 1], 1) == 6
    assert plan.makespan([1, 1, 3, 1], 2) == 3
    assert plan.makespan([3, 1, 1, 1], 100) == 3
    assert plan.makespan([], 10) == 0


def test_settings_are_compared_by_seed():
    def runs(profile: str, *accuracies: float, **values) -> list:
        values = {"EPOCHS": 100, "PROFILE": "study", **values}
        return [
            made_up.record(accuracy=a, seed=seed, profile=profile, parameters=values)
            for seed, a in enumerate(accuracies)
        ]

    base = runs("study", 0.60, 0.62, 0.64)
    other = runs("custom", 0.61, 0.64, 0.65, PATIENCE=9)
    row = verdicts.table(base)[0]
    (found,) = verdicts.others(row, [*base, *other])
    mean, half, seeds = verdicts.paired(row, found.row)
    assert (mean, seeds) == (pytest.approx(0.04 / 3), 3)
    assert half == pytest.approx(4.3027 * 0.0057735 / 3**0.5, rel=1e-4)
    table = verdicts.table(base)
    html = sections.otherwise(table, table, [*base, *other], out=ROOT)
    assert "+1.33 (−0.10 to +2.77, 3 seeds, from study)" in html
    budget = runs("budget", 0.50, 0.50, 0.50, EPOCHS=4)
    html = sections.otherwise(verdicts.table(budget), table, [*budget, *base, *other], out=ROOT)
    assert "+1.33 (−0.10 to +2.77, 3 seeds, from study)" in html  # its own profile
    assert "+12.00 (+7.03 to +16.97, 3 seeds, from budget)" in html  # the protocol
    assert verdicts.paired(row, verdicts.table(base[:1])[0]) is None
