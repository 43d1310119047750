"""The report and its pages as people meet them, in a real Chromium."""

import json
import re
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest

from ladder import run
from ladder.report import pages
from lib.results import record
from tests.report import made_up


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 768, 1440])
def test_accessible_in_both_themes(open_page, page_path, scheme, width):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    page = open_page(page_path, color_scheme=scheme, width=width)
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    found = axe.Axe().run(page).response["violations"]
    assert [(v["id"], [node["html"] for node in v["nodes"]][:3]) for v in found] == []


@pytest.mark.parametrize("width", [360, 768, 1280, 1440])
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
    for text in ("made-up figures", "of the study", "rank correlation"):
        box = page.locator("main").get_by_text(text).first.bounding_box()
        assert box["y"] + box["height"] < 600
    chart = page.locator(".chart.wide").first
    assert chart.bounding_box()["y"] < 600
    assert "published one, points: Base CNN" in chart.get_attribute("aria-label")
    assert page.locator(".notes").bounding_box()["y"] > chart.bounding_box()["y"]
    # It is painted before the rest is there: it is at the beginning of the file.
    html = of_record.read_text(encoding="utf-8")
    assert html.index("</svg>") < 100_000
    assert html.index("<script") > html.index("</svg>")


def test_first_paint_takes_less_than_half_a_second(open_page, of_record):
    page, painted = open_page(of_record), []
    for _ in range(3):  # the machine may be busy
        page.reload()
        page.wait_for_function("performance.getEntriesByName('first-contentful-paint').length")
        entry = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
        painted.append(page.evaluate(entry))
    assert min(painted) < 500  # milliseconds


@pytest.mark.parametrize(
    ("width", "kind", "other"), [(360, "narrow", "wide"), (1440, "wide", "narrow")]
)
def test_charts_are_drawn_for_the_page_s_width(open_page, of_record, width, kind, other):
    """Each once, whole, its text as large as drawn."""
    page = open_page(of_record, width=width)
    charts = page.locator(".charts:not(.fallback)")  # the script replaces those of curves
    shown, hidden = charts.locator(f".{kind} svg"), charts.locator(f".{other} svg")
    assert shown.count() == hidden.count() == 6
    for number in range(6):
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
    first = [text.split()[0] for text in column(page, "experiment")]
    assert first == [str(number) for number in range(11)]
    assert page.locator("[aria-sort]").count() == 1


def test_two_confusion_matrices_compare(open_page, of_record):
    page = open_page(of_record)
    first, second = page.locator("#confusions select").all()
    matrices = page.locator("#confusions .matrix")
    assert (first.input_value(), second.input_value()) == ("0", "10")
    before = [matrix.inner_text() for matrix in matrices.all()]
    assert len(before) == len(set(before)) == 3
    first.select_option("10 VGG16 at 64×64, fine-tuned")
    assert matrices.nth(0).inner_text() == before[1]
    assert set(re.findall(r"[\d.]+", matrices.nth(2).inner_text().partition("\n")[2])) == {"0"}
    assert page.get_by_label("Confusion matrix of 10 VGG16 at 64×64, fine-tuned").count() == 2
    assert page.url.endswith("#&matrices=10,10")
    page.reload()
    assert matrices.nth(0).inner_text() == before[1]
    rows = matrices.nth(0).locator("tbody tr")
    assert rows.count() == 10
    figures = [float(text) for text in re.findall(r"\d+(?:\.\d)?", rows.nth(0).inner_text())]
    assert sum(figures) == pytest.approx(100, abs=2)


def test_a_figure_of_a_matrix_opens_its_images(open_page, of_record):
    page = open_page(of_record)
    first = page.locator("#confusions .matrix").nth(0).locator("button")
    first.nth(0).focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    dialog = page.locator("dialog")
    title = dialog.locator("h2").inner_text()
    count = int(re.search(r"0 Base CNN: (\d+) images of airplane taken for automobile", title)[1])
    assert dialog.locator(".pictures button").count() == min(count, 60)
    assert dialog.locator("td", has_text="automobile").count() >= 1
    assert dialog.locator("tbody tr").count() == 11
    dialog.locator(".pictures button").nth(1).click()
    assert dialog.locator('[aria-pressed="true"]').count() == 1
    assert dialog.locator(".pictures button").nth(1).get_attribute("aria-pressed") == "true"
    page.keyboard.press("Escape")
    assert not dialog.is_visible()


def test_curves_are_read_by_mouse_and_by_arrow_keys(open_page, of_record):
    page = open_page(of_record)
    panels, readout = page.locator(".panels"), page.locator(".readout")
    assert panels.locator("svg").count() == 11
    assert page.locator(".fallback.curves").first.is_hidden()
    panels.locator("svg").nth(2).scroll_into_view_if_needed()
    box = panels.locator("svg").nth(2).bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.95, box["y"] + box["height"] / 2)
    assert readout.inner_text().startswith("Epoch 12. 0 Base CNN: training ")
    crosses = panels.locator(".cross").evaluate_all("all => all.map((x) => x.getAttribute('x1'))")
    assert len(crosses) == 11
    assert all(float(x) > 200 for x in crosses)
    panels.focus()
    page.keyboard.press("ArrowLeft")
    assert readout.inner_text().startswith("Epoch 11. ")


def test_experiments_are_chosen_overlaid_and_in_the_address(open_page, of_record):
    page = open_page(of_record)
    for name in ("0 Base CNN", "7 VGG16, ImageNet, frozen"):
        page.locator(".chips").get_by_label(name).uncheck()
    assert page.locator(".panels svg").count() == 9
    page.locator("#explorer select").nth(2).select_option("overlay")
    page.locator("#explorer select").nth(0).select_option("loss")
    assert page.locator(".panels svg").count() == 1
    address = page.url
    for part in ("curves=1,2,3,4,5,6,8,9,10", "layout=overlay", "measure=loss"):
        assert part in address
    page.goto("about:blank")
    page.goto(address)
    assert page.locator(".panels svg").count() == 1
    assert not page.locator(".chips").get_by_label("0 Base CNN").is_checked()


def test_a_row_of_the_table_is_highlighted_in_the_charts(open_page, of_record):
    page = open_page(of_record)
    page.locator("tr[id='04_batch_norm']").hover()
    marked = page.locator(".lit-mark").evaluate_all("all => all.map((mark) => mark.id)")
    assert len(marked) > 10
    assert all("-e4-" in name for name in marked if name)
    page.mouse.move(0, 0)
    assert page.locator(".lit-mark").count() == 0


def verdicts_of(page) -> list[str]:
    return [text.removesuffix(" (indicative)") for text in column(page, "verdict")]


def test_verdicts_sort_by_their_meaning(open_page, tmp_path):
    made_up.write(tmp_path)
    for slug, moved in (("00_base_cnn", -0.1), ("01_deeper_cnn", 0.1)):
        for path in (tmp_path / "results").glob(f"{slug}-budget-*.json"):
            found = record.read(path)
            score = found.metrics["test"]
            score = replace(score, accuracy=score.accuracy + moved)
            path.write_text(json.dumps(made_up.changed(found, metrics={"test": score}).to_json()))
            path.with_suffix(".npz").unlink()
    page = open_page(run.report(tmp_path, profile="budget"))
    page.get_by_role("button", name="verdict", exact=True).click()
    order = ["better", "reproduced", "undetermined", "not reproduced"]
    found = [order.index(word) for word in verdicts_of(page)]
    assert found == sorted(found)
    assert set(found) == {0, 1, 3}
    page.reload()
    assert [order.index(word) for word in verdicts_of(page)] == found


def test_phones_sort_with_a_list(open_page, of_record):
    page = open_page(of_record, width=360)
    page.get_by_label("Sort by").select_option("difference, falling")
    found = [float(value) for value in column(page, "difference")]
    assert found == sorted(found, reverse=True)


def test_two_runs_compare_by_what_differs(open_page, of_record):
    page = open_page(of_record)
    table = page.locator("#compare-runs table")
    assert table.locator("tbody tr").first.inner_text().startswith("test accuracy")
    first, second = page.locator("#compare-runs select").all()
    first.select_option(second.input_value())
    assert table.locator("tbody tr").count() == 1


def test_charts_and_tables_are_saved(open_page, of_record):
    page = open_page(of_record)
    for name, start in (("SVG", "<svg"), ("CSV", '"experiment","published accuracy (%)"')):
        with page.expect_download() as download:
            page.get_by_role("button", name=name, exact=True).first.click()
        saved = Path(download.value.path()).read_text(encoding="utf-8")
        assert saved.startswith(start)
        assert download.value.suggested_filename.endswith(f".{name.lower()}")


def test_contents_and_headings_have_links(open_page, of_record):
    page = open_page(of_record)
    links = page.locator(".contents a")
    titles = page.locator("h2").evaluate_all("all => all.map((title) => title.id)")
    assert [link.get_attribute("href")[1:] for link in links.all()] == titles
    assert len(titles) > 7
    assert page.locator(":is(h2, h3)").count() == page.locator(".anchor-link").count()
    box = links.first.bounding_box()
    page.mouse.wheel(0, 3000)
    page.wait_for_timeout(100)
    assert links.first.bounding_box()["y"] == pytest.approx(box["y"], abs=80)  # sticky


def test_without_a_script_all_is_there(open_page, of_record):
    page = open_page(of_record, java_script_enabled=False)
    assert page.locator(".fallback.curves").first.is_visible()
    assert page.locator("#confusions td").count() == 110
    assert page.get_by_text("Table of all runs").is_visible()


def test_names_from_outside_stay_text(open_page, own_images):
    page = open_page(own_images)
    assert page.locator("main b").count() == 0
    assert page.locator("#confusions .matrix th", has_text="<b>birds</b>").count() == 6


def test_published_figures_are_absent_on_own_images(open_page, own_images):
    text = open_page(own_images).inner_text("main")
    assert "not CIFAR-10 images" in text
    for published in ("62.56", "91.66", "reproduced"):
        assert published not in text
    assert "The most accurate experiment is 8 VGG16, ImageNet, fine-tuned" in text
    assert text.startswith("Eleven experiments on other images")
    for section in ("claims", "Contradictions", "Other settings"):
        assert section not in text


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


def test_prints_whole_without_what_only_a_screen_can_do(open_page, of_record, tmp_path):
    pypdf = pytest.importorskip("pypdf")
    page = open_page(of_record)
    page.emulate_media(media="print")
    assert page.locator("#confusions select").first.is_hidden()
    assert page.locator("#explorer").is_hidden()
    assert page.locator(".fallback.curves").first.is_visible()  # has a legend
    assert page.locator("#confusions .fallback").is_visible()
    pdf = tmp_path / "report.pdf"
    page.pdf(path=pdf, format="A4")
    text = "".join(part.extract_text() for part in pypdf.PdfReader(pdf).pages)
    words = " ".join(text.split())
    assert "pages, by seed" in words  # the last column
    assert "Not the only change: 1 also has wider convolutions" in words  # a folded text


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
