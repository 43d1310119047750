"""The HTML pieces: what stands in the report comes from records, escaped."""

from lib import report

RECORD = {
    "experiment": "freezing_depth",
    "profile": "quick",
    "seed": 2,
    "title": "Depth <b>",
    "summary": "With <script> 12.5 % less.",
    "timing": {"total_seconds": 9, "depth & time": [{"training seconds": 17.5}]},
    "tables": {
        "depth & time": [{"blocks": 3, "test accuracy": 0.615, "moved": 0.0123, "ok": True}]
    },
}


def test_companions_have_title_summary_table_and_page():
    html = report.companions([{"experiment": "00_base_cnn"}, RECORD], folder="notebooks/")
    assert html.count("<section>") == 1
    assert "href='notebooks/freezing_depth-quick-seed2.html'" in html
    assert "Depth &lt;b&gt;" in html
    assert "With &lt;script&gt; 12.5 % less." in html
    assert "Table: depth &amp; time" in html
    assert "<td>61.50%</td>" in html
    assert "<td>17.5</td>" in html


def test_no_companions_no_sections():
    assert report.companions([{"experiment": "00_base_cnn"}], folder="") == ""


def test_rows_write_figures_as_what_they_are():
    row = {"year": 1998, "parameters": 61706, "C": 0.001, "seconds": 1234.5, "at chance": False}
    html = report.rows([row | {"paper": "<i>", "true class": None}])
    cells = ("1998", "61,706", "0.001", "1,234", "no", "&lt;i&gt;", "–")
    for cell in cells:
        assert f"<td>{cell}</td>" in html
    assert "tabindex='0'" in html
    assert "<th scope='col'>parameters</th>" in html


def test_no_rows():
    assert report.rows([]) == "<p>No rows.</p>"
