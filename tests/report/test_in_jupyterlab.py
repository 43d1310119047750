"""A notebook as an explorer meets it: a real JupyterLab, driven in Chromium."""

import os
import re
import subprocess
import sys
import time

import nbformat
import papermill
import pytest

from lib import ROOT
from lib.results import parameters

SLUG = "00_base_cnn"


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """The address of a JupyterLab with notebook 00 at `smoke` parameters in a folder of its own."""
    folder = tmp_path_factory.mktemp("lab")
    values = parameters.of_profile("smoke", SLUG) | {"PROFILE": "smoke", "DATASET": "digits"}
    notebook = papermill.execute_notebook(
        str(parameters.notebook_path(SLUG)),
        None,
        parameters=values | {"OUT": str(folder / "out")},
        prepare_only=True,
        progress_bar=False,
    )
    nbformat.write(notebook, folder / "00.ipynb")
    log = folder / "lab.log"
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--port=0"]
    command += ["--IdentityProvider.token=t", "--ServerApp.password=", f"--notebook-dir={folder}"]
    with log.open("w") as stream:
        server = subprocess.Popen(
            command,
            stdout=stream,
            stderr=stream,
            env=os.environ
            | {
                "CIFAR10_LADDER_ROOT": str(ROOT),
                "JUPYTER_CONFIG_DIR": str(folder / "config"),
                "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"),
                "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
            },
        )
    try:
        for _ in range(120):
            if found := re.search(r"http://\S+:\d+/lab", log.read_text()):
                break
            time.sleep(0.5)
        yield f"{found[0]}/tree/00.ipynb?token=t", folder
    finally:
        server.terminate()
        server.wait()


def test_a_notebook_opens_quietly_and_runs_top_to_bottom(chromium, lab):
    address, folder = lab
    page = chromium.new_page(viewport={"width": 1400, "height": 1000})
    page.goto(address)
    page.wait_for_selector(".jp-Notebook", timeout=90_000)
    page.wait_for_selector(".jp-Notebook-ExecutionIndicator[data-status='idle']", timeout=90_000)
    assert page.locator(".jp-Dialog").all_inner_texts() == []

    page.get_by_role("tab", name="Table of Contents").click()
    contents = page.locator(".jp-TableOfContents-tree .jp-tocItem-content")
    contents.first.wait_for()
    headings = ["Data", "Model", "Training", "What we saw", "Try"]
    assert contents.all_inner_texts() == ["00 · Base CNN", *headings]

    started = page.locator(".jp-InputPrompt", has_text=re.compile(r"\[[*\d]"))
    for _ in range(10):  # a menu that is opened while the page is still busy may close again
        page.locator(".lm-MenuBar-itemLabel", has_text="Run").click()
        page.locator(".lm-Menu-itemLabel", has_text=re.compile("^Run All Cells$")).click()
        page.wait_for_timeout(3000)
        if started.count():
            break
    record = folder / "out" / "results" / f"{SLUG}-smoke-seed0.json"
    for _ in range(360):
        if record.is_file():
            break
        page.wait_for_timeout(500)
    assert record.is_file(), page.locator(".jp-Notebook").inner_text()

    panel = page.locator(".jp-WindowedPanel-outer").first
    curves = page.locator(".jp-CodeCell", has_text="plots.learning_curves(").locator("img")
    text, sharpness = "", 0.0
    for share in range(0, 101, 5):  # cells that are out of sight are not in the page
        panel.evaluate("(e, share) => { e.scrollTop = e.scrollHeight * share / 100 }", share)
        page.wait_for_timeout(200)
        text += page.locator(".jp-Notebook").inner_text()
        if curves.count():
            sharpness = curves.evaluate(
                "img => img.naturalWidth / img.getBoundingClientRect().width"
            )
    assert sharpness >= 1.5  # image pixels per screen pixel
    assert "epoch 1/" in text
    assert f"Record: {record.name}" in text
    assert "Traceback" not in text
    page.close()
