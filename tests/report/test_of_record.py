"""The committed run of record: sound, of the code as it is, small."""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from ladder import run
from ladder.report import verdicts
from lib import ROOT
from lib.data import cifar10
from lib.results import record
from lib.results.record import Record
from lib.study import SLUGS

MEGABYTES = 40
PAGE_MEGABYTES, REPORT_MEGABYTES = 1.5, 2.5


@pytest.fixture(scope="module")
def records() -> list[Record]:
    """Read one by one, so that an unsound one fails instead of being left out."""
    found = {path.stem: record.read(path) for path in record.paths(run.OF_RECORD)}
    assert list(found) == [one.name for one in found.values()]
    return list(found.values())


def test_records_are_of_the_committed_code(records):
    assert not verdicts.of_other_code(records)


def test_records_are_of_one_copy_of_cifar10(records):
    assert len({one.dataset.sha256 for one in records}) == 1
    for one in records:
        assert one.dataset.variant == cifar10.CANONICAL
        assert one.dataset.test == 10_000 or one.is_companion


def test_no_run_is_at_chance(records):
    for one in records:
        assert one.is_companion or not one.training.at_chance


def test_the_report_is_made_of_the_records_byte_for_byte(records, readers_environment):
    environment = readers_environment | {"PYTHONPATH": str(ROOT)}
    python = [sys.executable, "-P"]
    ask = [*python, "-c", "import sys; from lib import data; sys.exit(not data.cifar10_is_here())"]
    if subprocess.run(ask, env=environment, capture_output=True, check=False).returncode:
        pytest.skip("CIFAR-10 is not on this machine, and the report has pictures of it")
    committed = run.OF_RECORD
    with tempfile.TemporaryDirectory(dir=committed.parent) as folder:  # links are relative
        for name in ("results", "notebooks"):
            shutil.copytree(committed / name, Path(folder, name))
        command = [*python, "-m", "ladder.run", "report", "--profile", "budget"]
        command += ["--dataset", "cifar10", "--data-digest", records[0].dataset.sha256]
        subprocess.run([*command, "--out", folder], env=environment, cwd=ROOT, check=True)
        for name in ("index.html", "summary.md", "summary.csv"):
            assert Path(folder, name).read_bytes() == (committed / name).read_bytes(), name


def test_the_study_page_names_every_run_with_its_machine(records):
    page = (ROOT / "docs" / "study.md").read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| `(budget|study)` \| (#.+?) \| (.+?) \| (.+?) \| (\w+)", page, re.MULTILINE
    )
    named = {
        (profile, number, int(seed)): ("H200" in machine, precision)
        for profile, numbers, seeds, machine, precision in rows
        for first, last in re.findall(r"#(\d+)(?: to #(\d+))?", numbers)
        for number in range(int(first), int(last or first) + 1)
        for seed in seeds.split(", ")
    }
    assert named == {
        (one.profile, SLUGS.index(one.experiment), one.seed): (
            "H200" in one.machine,
            one.training.precision,
        )
        for one in records
        if one.experiment in SLUGS and one.profile != "custom"
    }


def test_pages_are_those_of_seed_0(records):
    shown = {path.stem for path in (run.OF_RECORD / "notebooks").glob("*.html")}
    # Custom runs of the eleven have no page.
    paged = [one for one in records if one.is_companion or one.profile != "custom"]
    assert shown == {one.name for one in paged if one.seed == 0}


def test_what_is_committed_is_small():
    for page in run.OF_RECORD.rglob("*.html"):
        most = REPORT_MEGABYTES if page.name == "index.html" else PAGE_MEGABYTES
        assert page.stat().st_size < most * 1e6, page.name
    kinds = {"*.html", "*.json", "*.npz", "*.md", "*.csv"}
    sizes = [path.stat().st_size for kind in kinds for path in run.OF_RECORD.rglob(kind)]
    assert sum(sizes) <= MEGABYTES * 2**20
