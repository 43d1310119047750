"""Pages: self-contained, no request, text alternatives, code folded."""

import re

import nbformat
import pytest

from ladder.report import pages

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ"
PNG += "AAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="


@pytest.fixture
def notebook():
    v4 = nbformat.v4
    picture = v4.new_output(
        "display_data", {"image/png": PNG}, metadata={"image/png": {"alt": "A dot.", "width": 9}}
    )
    cells = [
        v4.new_markdown_cell("# 00 · Title <&>\n\nText. Next: [01](01_deeper_cnn.ipynb)"),
        v4.new_code_cell("# What it does\nx = 1", outputs=[v4.new_output("stream", text="said")]),
        v4.new_code_cell("show(data)", metadata={"tags": ["shows-data"]}, outputs=[picture]),
        v4.new_code_cell("quiet = True"),
    ]
    return v4.new_notebook(cells=cells)


def page(notebook, tmp_path, **options) -> str:
    pages.page(notebook, tmp_path / "page.html", **options)
    return (tmp_path / "page.html").read_text(encoding="utf-8")


def test_page_makes_no_request(notebook, tmp_path):
    html = page(notebook, tmp_path)
    assert "<script" not in html
    assert not re.findall(r"""(?:src|href)=["']?(?:https?:)?//""", html)
    assert "@import" not in html
    assert not re.findall(r"url\((?!['\"]?data:)", html)


def test_picture_has_its_text_alternative(notebook, tmp_path):
    assert 'alt="A dot."' in page(notebook, tmp_path)


def test_code_is_folded_under_its_first_comment(notebook, tmp_path):
    html = page(notebook, tmp_path)
    assert "<summary>What it does</summary>" in html
    assert html.count("<details>") == 3
    notebook.cells[1].metadata["tags"] = ["injected-parameters"]
    assert "<summary>Parameters of this run</summary>" in page(notebook, tmp_path)
    assert "<details>" not in page(notebook, tmp_path, show_code=False)


def test_pictures_of_the_data_can_stay_out(notebook, tmp_path):
    html = page(notebook, tmp_path, show_data=False)
    assert PNG not in html
    assert pages.HIDDEN in html
    assert PNG in page(notebook, tmp_path)  # the notebook itself was not changed


def test_links_lead_to_pages(notebook, tmp_path):
    html = page(
        notebook, tmp_path, pages="-quick-seed0.html", links=(("All results", "../index.html"),)
    )
    assert 'href="01_deeper_cnn-quick-seed0.html"' in html
    assert '<a href="../index.html">All results</a>' in html


def test_title_is_escaped(notebook, tmp_path):
    assert "<title>00 · Title &lt;&amp;&gt;</title>" in page(notebook, tmp_path)


def test_same_notebook_same_bytes(notebook, tmp_path):
    assert page(notebook, tmp_path) == page(notebook, tmp_path)


def written(folder, notebook, *names: str) -> dict[str, str]:
    for name in names:
        pages.page(
            notebook,
            folder / f"{name}.html",
            pages="-quick-seed0.html",
            links=(("All results", "../index.html"),),
        )
    pages.connect(folder)
    return {name: (folder / f"{name}.html").read_text(encoding="utf-8") for name in names}


def links(html: str) -> list[str]:
    return re.findall('href="([^"]+html)"', html)


def test_pages_lead_to_their_neighbors(notebook, tmp_path):
    base, deeper, other = "00_base_cnn", "01_deeper_cnn", "03_double_conv"
    names = [f"{slug}-quick-seed0" for slug in (base, deeper, other)]
    found = written(tmp_path, notebook, *names, f"{base}-quick-seed1", f"{base}-study-seed0")
    report = "../index.html"
    # Around a page, then its text's "Next".
    assert links(found[names[0]]) == [report, f"{names[1]}.html", f"{names[1]}.html"]
    middle = [report, f"{names[0]}.html", f"{names[2]}.html", f"{names[1]}.html"]
    assert links(found[names[1]]) == middle
    assert "← 00 base cnn" in found[names[1]]
    assert "03 double conv →" in found[names[1]]
    assert links(found[names[2]])[:2] == [report, f"{names[1]}.html"]
    assert links(found[f"{base}-quick-seed1"])[1] == f"{names[1]}.html"
    assert links(found[f"{base}-study-seed0"])[:1] == [report]  # no other page of that profile


def test_no_link_leads_to_a_page_that_is_not_there(notebook, tmp_path):
    name = "00_base_cnn-quick-seed0"
    found = written(tmp_path, notebook, name)[name]
    assert links(found) == ["../index.html", "../index.html"]


def test_a_report_names_a_run_without_a_page_but_does_not_link_to_it(tmp_path):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "there.html").touch()
    there = '<a class="a" href="notebooks/there.html">0</a>'
    other = '<a href="#top">Up</a> <a href="https://keras.io">Keras</a>'
    missing = '<a aria-label="by hand" href="notebooks/gone.html">1</a>'
    html = pages.without_dead_links(f"<td>{there} {missing}</td> {other}", tmp_path)
    assert html == f"<td>{there} 1</td> {other}"


def test_links_find_their_page_when_it_comes(notebook, tmp_path):
    first, second = "00_base_cnn-quick-seed0", "01_deeper_cnn-quick-seed0"
    assert links(written(tmp_path, notebook, first)[first])[-1] == "../index.html"
    elsewhere = second.replace("seed0", "seed1")
    pages.page(notebook, tmp_path / f"{elsewhere}.html")
    for name in (elsewhere, second):
        pages.page(notebook, tmp_path / f"{name}.html")
        pages.connect(tmp_path)
        text = (tmp_path / f"{first}.html").read_text(encoding="utf-8")
        assert links(text)[-1] == f"{name}.html"
        pages.connect(tmp_path)
        assert (tmp_path / f"{first}.html").read_text(encoding="utf-8") == text


def test_neighbors_are_found_again_when_pages_come(notebook, tmp_path):
    first = written(tmp_path, notebook, "00_base_cnn-quick-seed0")
    again = written(tmp_path, notebook, "00_base_cnn-quick-seed0", "02_dropout-quick-seed0")
    assert "02 dropout →" in again["00_base_cnn-quick-seed0"]
    assert first.keys() < again.keys()


def test_the_reports_script_is_in_the_page(notebook, tmp_path):
    html = page(notebook, tmp_path, script="report.js")
    assert (pages.TEMPLATES / "ladder" / "report.js").read_text(encoding="utf-8") in html
