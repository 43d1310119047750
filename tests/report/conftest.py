"""A real Chromium, and reports to open in it; without one the tests are skipped, and say why."""

import shutil
from pathlib import Path

import pytest

from ladder import run
from tests.report import made_up

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.fixture(scope="session")
def chromium():
    """A browser that is closed at the end of the tests."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="pip install -r tests/report/requirements.txt"
    )
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip("no Chromium or Chrome on the path")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def of_record(tmp_path_factory) -> Path:
    """The report of made-up runs, most with three seeds, in two protocols, one without a page."""
    out = tmp_path_factory.mktemp("of-record")
    made_up.write(out)
    (out / "notebooks" / "05_data_augmentation-study-seed0.html").unlink()
    return run.report(out, profile="budget")


@pytest.fixture(scope="session")
def own_images(tmp_path_factory) -> Path:
    """The report of made-up runs on a reader's own images, of which two have not run."""
    out = tmp_path_factory.mktemp("own")
    classes = ("cats & dogs", "<b>birds</b>", "fish")
    seeds = dict.fromkeys(range(9), 1)
    made_up.write(out, profiles={"quick": seeds}, name="own/pets", classes=classes, test=300)
    return run.report(out)


@pytest.fixture(scope="session")
def nothing(tmp_path_factory) -> Path:
    """The report of a folder in which nothing has run."""
    return run.report(tmp_path_factory.mktemp("nothing"))


@pytest.fixture(scope="session")
def notebook_page(tmp_path_factory) -> Path:
    """The page of a notebook that really ran."""
    out = tmp_path_factory.mktemp("page")
    record = run.run("00_base_cnn", profile="smoke", seed=0, dataset="digits", out=out)
    run.report(out)
    return out / "notebooks" / f"{record.stem}.html"


@pytest.fixture(params=["of_record", "own_images", "nothing", "notebook_page"])
def page_path(request) -> Path:
    """Each kind of page in turn."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def open_page(chromium):
    """Opens a file; the test fails if the page complains or asks for anything beyond itself."""
    contexts, complaints = [], []

    def open_it(path: Path, *, width: int = 1440, **options):
        context = chromium.new_context(viewport={"width": width, "height": 900}, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda r: _check(r.url, path, complaints))
        page.goto(path.as_uri())
        return page

    yield open_it
    for context in contexts:
        context.close()
    assert complaints == []


def _check(url: str, path: Path, complaints: list[str]) -> None:
    if url.partition("#")[0] != path.as_uri() and not url.startswith("data:"):
        complaints.append(f"request: {url}")
