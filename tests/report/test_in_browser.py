"""The report and its pages as people meet them, in a real Chromium."""

import re

import nbformat
import pytest

from ladder.report import pages


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1440])
def test_accessible_in_both_themes(open_page, page_path, scheme, width):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    page = open_page(page_path, color_scheme=scheme, width=width)
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    found = axe.Axe().run(page).response["violations"]
    assert [(v["id"], [node["html"] for node in v["nodes"]][:3]) for v in found] == []


@pytest.mark.parametrize("width", [360, 1440])
def test_nothing_scrolls_sideways(open_page, page_path, width):
    page = open_page(page_path, width=width)
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_every_link_leads_to_a_file_that_is_there(open_page, page_path):
    links = open_page(page_path).locator("a[href]")
    leads = links.evaluate_all("links => links.map(link => link.getAttribute('href'))")
    files = [lead for lead in leads if not lead.startswith(("#", "http"))]
    for lead in files:
        name, _, part = lead.partition("#")
        target = page_path.parent / name
        assert target.exists(), lead
        assert not part or f'id="{part}"' in target.read_text(encoding="utf-8"), lead


def test_first_screen_says_what_came_out(open_page, of_record):
    page = open_page(of_record)
    for text in ("made-up figures", "Of 11 experiments: "):
        box = page.get_by_text(text).first.bounding_box()
        assert box["y"] + box["height"] < 900
    chart = page.locator(".chart").first
    assert chart.bounding_box()["y"] < 500
    assert "Base CNN 62." in chart.get_attribute("aria-label")
    # It is painted before the rest is there: it is at the beginning of the file.
    html = of_record.read_text(encoding="utf-8")
    assert html.index("</svg>") < 100_000
    assert html.index("<script") > html.index("</svg>")


@pytest.mark.parametrize(
    ("width", "kind", "other"), [(360, "narrow", "wide"), (1440, "wide", "narrow")]
)
def test_charts_are_drawn_for_the_page_s_width(open_page, of_record, width, kind, other):
    """Each once, whole, its text as large as drawn."""
    page = open_page(of_record, width=width)
    shown, hidden = page.locator(f".chart.{kind} svg"), page.locator(f".chart.{other} svg")
    assert shown.count() == hidden.count() == 5
    for number in range(5):
        assert not hidden.nth(number).is_visible()
        drawn = shown.nth(number).evaluate("svg => parseFloat(svg.getAttribute('width')) / 0.75")
        assert 0.85 * drawn < shown.nth(number).bounding_box()["width"] <= width


def column(page, label: str) -> list[str]:
    return page.locator(f"td[data-label='{label}']").evaluate_all(
        "cells => cells.map(cell => cell.dataset.value)"
    )


def test_table_sorts_by_mouse_and_keyboard(open_page, own_images):
    page = open_page(own_images)
    label = "our accuracy (%)"
    button = page.get_by_role("button", name=label)
    button.click()
    rising = column(page, label)
    done = [float(value) for value in rising if value]
    assert done == sorted(done)
    assert rising[len(done) :] == ["", ""]  # what has not run stays last
    assert button.locator("..").get_attribute("aria-sort") == "ascending"
    button.press("Enter")
    falling = column(page, label)
    assert [float(value) for value in falling if value] == done[::-1]
    assert falling[-2:] == ["", ""]
    page.get_by_role("button", name="experiment").click()
    assert column(page, "experiment") == [str(number) for number in range(11)]
    assert page.locator("[aria-sort]").count() == 1


def test_two_confusion_matrices_compare(open_page, of_record):
    page = open_page(of_record)
    first, second = page.locator("#confusions select").all()
    matrices = page.locator("#confusions table")
    assert (first.input_value(), second.input_value()) == ("0", "10")
    before = [matrix.inner_text() for matrix in matrices.all()]
    assert before[0] != before[1]
    first.select_option("10 VGG16 at 64×64, fine-tuned")
    assert matrices.nth(0).inner_text() == before[1]
    assert page.get_by_label("Confusion matrix of 10 VGG16 at 64×64, fine-tuned").count() == 2
    rows = matrices.nth(0).locator("tbody tr")
    assert rows.count() == 10
    figures = [float(text) for text in re.findall(r"\d+(?:\.\d)?", rows.nth(0).inner_text())]
    assert sum(figures) == pytest.approx(100, abs=2)


def test_names_from_outside_stay_text(open_page, own_images):
    page = open_page(own_images)
    assert page.locator("main b").count() == 0
    assert page.locator("#confusions th", has_text="<b>birds</b>").count() == 4


def test_published_figures_are_absent_on_own_images(open_page, own_images):
    text = open_page(own_images).inner_text("main")
    assert "not CIFAR-10 images" in text
    for published in ("62.56", "91.66", "reproduced"):
        assert published not in text
    assert "The most accurate is 8 VGG16, ImageNet, fine-tuned" in text


def test_everything_can_be_reached_by_keyboard(open_page, of_record):
    page = open_page(of_record)
    reached = set()
    for _ in range(80):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.tagName"))
    assert {"BUTTON", "A", "SUMMARY", "SELECT", "DIV"} <= reached
    details = page.locator("summary").first
    details.press("Enter")
    assert page.locator("details[open]").count() == 1


def test_prints_without_what_only_a_screen_can_do(open_page, of_record):
    page = open_page(of_record)
    page.emulate_media(media="print")
    assert page.locator("#confusions select").first.is_hidden()
    assert len(page.pdf()) > 50_000


def test_code_is_one_click_away(open_page, notebook_page):
    page = open_page(notebook_page)
    code = page.get_by_text("training.fit(")
    assert code.is_hidden()
    page.get_by_text("Train", exact=True).click()
    assert code.is_visible()
    assert page.locator("section.result").is_visible()
    assert page.locator("nav a").first.get_attribute("href") == "../index.html#00_base_cnn"


@pytest.mark.parametrize("width", [360, 900, 1440])
def test_figures_scroll_before_their_text_is_too_small(open_page, notebook_page, width):
    """And only then: what is hidden is announced above the figure."""
    found = open_page(notebook_page, width=width).evaluate(
        """() => [...document.querySelectorAll(".figure")].map((figure) => {
            const image = figure.querySelector("img"), box = figure.querySelector(".scroll");
            return [image.getBoundingClientRect().width / image.getAttribute("width"),
                    box.scrollWidth > box.clientWidth,
                    figure.querySelector(".facts").getBoundingClientRect().height > 9,
                    box.getBoundingClientRect().right];
        })"""
    )
    assert len(found) == 4
    for scale, scrolls, announced, right in found:
        assert 0.849 < scale <= 1.001
        assert scrolls == announced == (width == 360)
        assert right <= width


def test_a_figure_is_printed_whole(open_page, notebook_page):
    page = open_page(notebook_page, width=718)  # A4 without its margins
    page.emulate_media(media="print")
    boxes = page.locator(".figure .scroll")
    assert boxes.evaluate_all("all => all.every((b) => b.scrollWidth <= b.clientWidth)")
    assert page.locator(".figure .facts").evaluate_all("all => all.every((p) => !p.clientHeight)")


@pytest.fixture
def long_training(tmp_path):
    """A page of a training of 100 epochs."""
    text = "".join(f"epoch {n}/100  loss 1.{n:03}\n" for n in range(1, 101))
    output = nbformat.v4.new_output("stream", text=text + "All 100 epochs ran.\n")
    cells = [nbformat.v4.new_markdown_cell("# T"), nbformat.v4.new_code_cell("", outputs=[output])]
    pages.page(nbformat.v4.new_notebook(cells=cells), tmp_path / "page.html")
    return tmp_path / "page.html"


def test_epochs_unfold_by_keyboard(open_page, long_training):
    page = open_page(long_training)
    line = page.get_by_text("epoch 50/100")
    assert line.is_hidden()
    for text in ("epoch 3/100", "epoch 98/100", "All 100 epochs ran."):
        assert page.get_by_text(text).is_visible()
    summary = page.locator("summary", has_text="epochs 4 to 97")
    summary.focus()
    page.keyboard.press("Enter")
    assert line.is_visible()
    page.emulate_media(media="print")
    assert line.is_hidden()
    assert summary.is_visible()


@pytest.mark.parametrize("width", [360, 1440])
def test_charts_take_the_colors_of_the_page(open_page, of_record, width):
    """Text, lines and marks, those that are drawn by reference too; the grid is one for both."""

    def colors(scheme: str) -> list[str]:
        page = open_page(of_record, color_scheme=scheme, width=width)
        return page.evaluate(
            """() => [...document.querySelectorAll(".chart :is(text, path, use)[style]")].map(
                (part) => getComputedStyle(part)[part.tagName === "text" ? "fill" : "stroke"])"""
        )

    light, dark = colors("light"), colors("dark")
    same = {one for one, other in zip(light, dark, strict=True) if one == other}
    assert len(light) > 1000
    assert same == {"none", "rgb(176, 176, 176)"}
