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
    """The address of a JupyterLab with notebook 00, in which a reader has changed four values."""
    folder = tmp_path_factory.mktemp("lab")
    values = {"PROFILE": "quick", "DATASET": "digits", "EPOCHS": 30, "OUT": str(folder / "out")}
    notebook = papermill.execute_notebook(
        str(parameters.notebook_path(SLUG)),
        None,
        parameters=values,
        prepare_only=True,
        progress_bar=False,
    )
    nbformat.write(notebook, folder / "00.ipynb")
    settings = folder / "settings" / "@jupyterlab" / "notebook-extension"
    settings.mkdir(parents=True)
    whole = '{"windowingMode": "none"}'  # cells that are out of sight are in the page too
    (settings / "tracker.jupyterlab-settings").write_text(whole)
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
    assert contents.all_inner_texts() == [
        "00 · Base CNN",
        "Data",
        "Model",
        "Training",
        "Results",
        "Try",
    ]

    started = page.locator(".jp-InputPrompt", has_text=re.compile(r"\[[*\d]"))
    for _ in range(10):  # a menu that is opened while the page is still busy may close again
        page.locator(".lm-MenuBar-itemLabel", has_text="Run").click()
        page.locator(".lm-Menu-itemLabel", has_text=re.compile("^Run All Cells$")).click()
        page.wait_for_timeout(3000)
        if started.count():
            break
    training = page.locator(".jp-CodeCell", has_text="training.fit(")
    live = set()
    for _ in range(900):
        live |= {*training.locator("img").evaluate_all("all => all.map(img => img.src)")}
        if records := list((folder / "out" / "results").glob("*.json")):
            break
        page.wait_for_timeout(200)
    text = page.locator(".jp-Notebook").inner_text()
    (record,) = records or pytest.fail(text)
    assert len(live) > 1  # learning curves, drawn anew
    assert training.locator("img").count() == 0
    curves = page.locator(".jp-CodeCell", has_text="plots.learning_curves(").locator("img")
    assert curves.evaluate("img => img.naturalWidth / img.getBoundingClientRect().width") >= 1.5
    assert text.index("Loading TensorFlow") < text.index('Values of PROFILE = "quick": ')
    assert "Your values, so that the run is recorded as custom: EPOCHS = 30." in text
    assert "epoch 30/30" in text
    assert "All 30 epochs ran." in text
    assert f"Record: {record.name}" in text
    assert "python -m ladder.run report --out" in text
    assert "Traceback" not in text
    page.close()
