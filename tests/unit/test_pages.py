"""Pages: self-contained, no request, text alternatives, code folded."""

import re

import bs4
import nbformat
import pytest

from ladder.report import pages
from tests.report import made_up

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
        v4.new_code_cell("show(data)", outputs=[picture]),
        v4.new_code_cell("quiet = True"),
    ]
    return v4.new_notebook(cells=cells)


def page(notebook, tmp_path, **options) -> str:
    pages.page(notebook, tmp_path / "page.html", **options)
    return (tmp_path / "page.html").read_text(encoding="utf-8")


def test_page_makes_no_request(notebook, tmp_path):
    html = page(notebook, tmp_path)
    assert "<script" not in html
    assert not re.findall(r"""(?:src|<link[^>]* href)=["']?(?:https?:)?//""", html)
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
    assert "<details>" not in page(notebook, tmp_path, script="report.js")


def test_the_network_is_not_folded(notebook, tmp_path):
    notebook.cells[1].metadata["tags"] = ["model"]
    html = page(notebook, tmp_path)
    assert re.search(r'<details open="">\s*<summary>What it does</summary>', html)
    assert html.count("<details open") == 1


def test_the_page_of_a_run_begins_with_its_result(notebook, tmp_path):
    run = made_up.record(accuracy=0.6342, parameters={"EPOCHS": 24, "SEED": 3})
    notebook.cells[1].source = "# Parameters\nSEED = 3\nEPOCHS = 24\nEPOCHS_MORE = 24"
    notebook.cells[1].metadata["tags"] = ["injected-parameters"]
    before = nbformat.writes(notebook)
    pages.of_run(notebook, run, tmp_path / "page.html", source="00.ipynb")
    assert nbformat.writes(notebook) == before
    soup = bs4.BeautifulSoup((tmp_path / "page.html").read_text("utf-8"), "html.parser")
    result = soup.h1.find_next_sibling()
    assert result["class"] == ["result"]
    assert "63.42 %" in result.text
    assert soup.text.index("63.42 %") < soup.text.index("Text. Next:")
    assert [link["href"] for link in soup.nav("a")] == ["../index.html#00_base_cnn", "00.ipynb"]
    assert "SEED = 3\nEPOCHS = 24  # published: 100\nEPOCHS_MORE = 24\n" in soup.text
    assert "Made from commit 938a193." in soup.text


def test_a_companion_has_no_published_parameters(notebook, tmp_path):
    notebook.cells[1].source = "# Parameters\nEPOCHS = 1"
    notebook.cells[1].metadata["tags"] = ["injected-parameters"]
    run = made_up.changed(made_up.companion(), parameters={"EPOCHS": 1})
    pages.of_run(notebook, run, tmp_path / "page.html", source="x.ipynb")
    html = (tmp_path / "page.html").read_text("utf-8")
    assert "Differs from the profile" in html
    assert "published:" not in html


def lines(*numbers: int, step: str = "") -> str:
    return "".join(f"epoch {n}/100{step}  loss <{n}>\n" for n in numbers)


def test_the_lines_of_a_training_are_folded_in_between(notebook, tmp_path):
    last = "Stopped early after epoch 50 of 100.\n"
    text = "Resumes.\n" + lines(*range(1, 51)) + last
    notebook.cells[1].outputs = [  # a kernel sends line by line
        nbformat.v4.new_output("stream", text=line) for line in text.splitlines(keepends=True)
    ]
    soup = bs4.BeautifulSoup(page(notebook, tmp_path), "html.parser")
    (block,) = soup.find_all("details", class_="epochs")
    assert not block.has_attr("open")
    assert block.summary.text == "epochs 4 to 47"
    assert block.pre.text == lines(*range(4, 48))
    assert block.pre["tabindex"] == "0"
    shown = [block.find_previous("pre").text, block.find_next_sibling("pre").text]
    assert shown == ["Resumes.\n" + lines(1, 2, 3), lines(48, 49, 50) + last]


@pytest.mark.parametrize(
    ("text", "headings"),
    [
        (lines(*range(1, 8)), []),
        (lines(*range(1, 9)), ["epochs 4 to 5"]),
        (
            lines(*range(1, 9)) + "Next.\n" + lines(*range(1, 21)),
            ["epochs 4 to 5", "epochs 4 to 17"],
        ),
        (lines(*range(1, 5)) + "Next.\n" + lines(*range(1, 5)), []),
        (lines(*[1] * 9, step=", step 40/80") + lines(1), ["epoch 1"]),
        ("epoch 1 of many\n" * 20, []),
        ("", []),
    ],
)
def test_only_long_trainings_are_folded_and_no_line_is_lost(text, headings):
    parts = pages.folded(text)
    assert [heading for heading, _ in parts if heading] == headings
    assert "".join(part for _, part in parts) == text


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
