"""Pages: self-contained, no request, text alternatives, code folded."""

import re

import bs4
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
    assert html.count("<summary>Code</summary>") == 2
    notebook.cells[1].metadata["tags"] = ["injected-parameters"]
    assert "<summary>Parameters of this run</summary>" in page(notebook, tmp_path)
    assert "<details>" not in page(notebook, tmp_path, show_code=False)


def test_the_network_is_not_folded(notebook, tmp_path):
    notebook.cells[1].metadata["tags"] = ["model"]
    html = page(notebook, tmp_path)
    assert re.search(r'<details open="">\s*<summary>What it does</summary>', html)
    assert html.count("<details open") == 1


def test_pictures_of_the_data_can_stay_out(notebook, tmp_path):
    html = page(notebook, tmp_path, show_data=False)
    assert PNG not in html
    assert pages.HIDDEN in html
    assert PNG in page(notebook, tmp_path)  # the notebook itself was not changed


def test_links_lead_to_the_report(notebook, tmp_path):
    html = page(notebook, tmp_path, links=(("All results", "../index.html"),))
    links = re.findall('<a href="([^"]+)">([^<]+)</a>', html)
    assert links == [("../index.html", "All results"), ("../index.html#01_deeper_cnn", "01")]
    notebook.cells[0].source = "# Title\n\n[depth](companions/freezing_depth.ipynb) [x](y.html)"
    html = page(notebook, tmp_path)
    assert 'href="../index.html#freezing_depth"' in html
    assert 'href="y.html"' in html


def test_only_links_are_rewritten(notebook, tmp_path):
    said = "wrote (01_deeper_cnn.ipynb)"
    notebook.cells[1].outputs[0].text = said
    notebook.cells[0].source += f"\n\n`{said}`"
    assert page(notebook, tmp_path).count(said) == 2


def test_a_page_names_its_commit(notebook, tmp_path):
    assert "Made from commit 938a193." in page(notebook, tmp_path, commit="938a193")
    for unknown in ("", None):
        assert "commit" not in page(notebook, tmp_path, commit=unknown).partition("<main>")[2]


def test_what_scrolls_can_be_reached_by_keyboard(notebook, tmp_path):
    """Code and outputs: each is in something with a tabindex."""
    notebook.cells[0].source += "\n\n```python\nx = 1\n```\n\n```\nplain\n```"
    notebook.cells[3].outputs = [
        nbformat.v4.new_output("error", ename="E", evalue="e", traceback=["line"]),
        nbformat.v4.new_output("display_data", {"text/plain": "a table"}),
    ]
    soup = bs4.BeautifulSoup(page(notebook, tmp_path), "html.parser")
    blocks = soup.find_all("pre")
    assert len(blocks) == 2 + 3 + 3
    for block in blocks:
        assert block.get("tabindex") == "0" or block.find_parent(tabindex="0")


def test_title_is_escaped(notebook, tmp_path):
    assert "<title>00 · Title &lt;&amp;&gt;</title>" in page(notebook, tmp_path)
    notebook.cells[0].source = "No title\n## Part"
    assert "<title>CIFAR-10 ladder</title>" in page(notebook, tmp_path)
    notebook.cells = []
    assert "<title>CIFAR-10 ladder</title>" in page(notebook, tmp_path)


def test_same_notebook_same_bytes(notebook, tmp_path):
    assert page(notebook, tmp_path) == page(notebook, tmp_path)


def test_the_reports_script_is_in_the_page(notebook, tmp_path):
    html = page(notebook, tmp_path, script="report.js")
    script = (pages.TEMPLATES / "ladder" / "report.js").read_text(encoding="utf-8")
    assert f"<script>\n{script}\n</script>" in html
