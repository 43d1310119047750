"""The eleven and the report, for real, with a profile that only proves that everything runs."""

import re
import shutil
import time
from pathlib import Path

import pytest

from lib.results import parameters, record
from lib.study import EXPERIMENTS, SLUGS


@pytest.fixture(scope="module")
def finished_run(ladder, weights, tmp_path_factory) -> tuple[Path, str]:
    """The report's folder after one run of everything on digits, and what the run printed."""
    out = tmp_path_factory.mktemp("ladder") / "out"
    process = ladder("--profile", "smoke", "--dataset", "digits", "--out", out)
    assert process.returncode == 0, process.stdout + process.stderr
    return out, process.stdout


def test_every_notebook_has_its_record_predictions_and_page(finished_run):
    out, _ = finished_run
    for e in EXPERIMENTS:
        name = f"{e.slug}-smoke-seed0"
        found = record.read(out / "results" / f"{name}.json")
        assert found.model.total_params == e.total_params
        assert found.model.trainable_params == e.trainable_params
        assert found.model.architecture == e.architecture
        assert (found.weights is not None) == ("WEIGHTS" in parameters.defaults(e.slug))
        assert found.dataset.name == "digits"
        assert found.timing["total_seconds"] > found.timing["train_seconds"]
        assert (out / "results" / f"{name}.npz").is_file()
        assert (out / "notebooks" / f"{name}.html").is_file()


def test_epochs_reach_the_terminal_in_order(finished_run):
    _, printed = finished_run
    ran = re.findall(r"^(\w+) +epoch 1/1 ", printed, flags=re.MULTILINE)
    assert ran == list(SLUGS)
    done = re.findall(r"^(\w+) +done: (\d+) of 11$", printed, flags=re.MULTILINE)
    assert done == [(slug, str(number)) for number, slug in enumerate(SLUGS, start=1)]


def test_pages_make_no_request_and_describe_their_pictures(finished_run):
    out, _ = finished_run
    pages = [out / "index.html", *(out / "notebooks").glob("*.html")]
    assert len(pages) == 12
    for path in pages:
        page = path.read_text(encoding="utf-8")
        assert ("<script" in page) == (path.name == "index.html")
        assert not re.findall(r"""(?:src|href)=["']?(?:https?:)?//""", page)
        images = re.findall(r'<(?:img|div[^>]* role="img")[^>]*>', page)
        assert len(images) >= max(1, page.count("<svg"))
        for image in images:
            assert re.search(r'(?:alt|aria-label)="[^"]{20,}"', image)
            assert "No description" not in image
        assert str(out) not in page
        assert path.stat().st_size < 1.5e6


def test_links_of_the_report_lead_somewhere(finished_run):
    out, _ = finished_run
    for path in [out / "index.html", *(out / "notebooks").glob("*.html")]:
        links = re.findall(r"""href=["']([^"'#:]+)["']""", path.read_text(encoding="utf-8"))
        assert links
        for link in links:
            assert (path.parent / link).is_file(), (path.name, link)


def test_report_shows_the_records_figures(finished_run):
    out, _ = finished_run
    page = (out / "index.html").read_text(encoding="utf-8")
    for slug in SLUGS:
        found = record.read(out / "results" / f"{slug}-smoke-seed0.json")
        assert f"{100 * found.metrics['test'].accuracy:.2f}" in page
    assert "not CIFAR-10" in page
    assert "smoke" in page


def test_second_run_does_nothing_also_on_a_copy(finished_run, ladder, snapshot, tmp_path):
    out, _ = finished_run
    copy = tmp_path / "copy"
    for folder in ("results", "notebooks"):  # as a clone has it: no state, other file times
        shutil.copytree(out / folder, copy / folder, copy_function=shutil.copyfile)
    shutil.copyfile(out / "index.html", copy / "index.html")
    for folder in (out, copy):
        before, began = snapshot(folder), time.monotonic()
        process = ladder("--profile", "smoke", "--dataset", "digits", "--out", folder)
        assert process.returncode == 0, process.stderr
        assert "11 of 11 up to date" in process.stdout
        assert "epoch" not in process.stdout
        assert time.monotonic() - began < 40  # beside other tests; about 10 s alone
        assert snapshot(folder) == before


def test_a_missing_record_alone_is_made_again_the_same(finished_run, ladder, tmp_path):
    out, _ = finished_run
    copy = tmp_path / "copy"
    shutil.copytree(out, copy)
    lost = copy / "results" / "04_batch_norm-smoke-seed0.json"
    first = record.read(lost)
    lost.unlink()
    process = ladder("--profile", "smoke", "--dataset", "digits", "--out", copy)
    assert process.returncode == 0, process.stderr
    assert "10 of 11 up to date" in process.stdout
    assert re.findall(r"^(\w+) +epoch", process.stdout, flags=re.MULTILINE) == ["04_batch_norm"]
    assert record.read(lost).digest == first.digest


def test_without_weights_the_others_run_and_the_rest_is_named(ladder, tmp_path):
    (tmp_path / "weights.h5").write_bytes(b"these are no weights")
    process = ladder(
        *("--profile", "smoke", "--dataset", "digits", "--only", "00,07,10"),
        *("--out", tmp_path / "out"),
        VGG16_WEIGHTS=str(tmp_path / "weights.h5"),
    )
    assert process.returncode == 1
    assert [p.stem for p in (tmp_path / "out" / "results").glob("*.json")] == [
        "00_base_cnn-smoke-seed0"
    ]
    for slug in ("07_vgg16_frozen", "10_vgg16_64x64"):
        assert f"FAILED {slug}-smoke-seed0: weights file " in process.stdout
    assert "weights.h5' is no HDF5, expected an HDF5 file of Keras" in process.stdout
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert "Not run:" in page


def test_real_images(ladder, real_cache, tmp_path):
    """One of each kind: small, augmented, frozen, enlarged; the digits go through all eleven."""
    process = ladder(
        *("--profile", "smoke", "--dataset", "cifar10", "--only", "00,05,07,10"),
        *("--out", tmp_path),
        CIFAR10_LADDER_CACHE=real_cache,
    )
    assert process.returncode == 0, process.stdout + process.stderr
    records = record.read_all(tmp_path)
    assert [found.experiment[:2] for found in records] == ["00", "05", "07", "10"]
    assert {found.dataset.name for found in records} == {"cifar10"}
    assert len({found.dataset.sha256 for found in records}) == 1
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert all(path.stat().st_size < 1.5e6 for path in tmp_path.rglob("*.html"))
    assert records[0].dataset.variant in page
    assert "62.56" in page
