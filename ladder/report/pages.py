"""Notebooks to HTML: self-contained pages that open from disk without a network request."""

import re
from pathlib import Path

import nbformat
from nbconvert import HTMLExporter
from nbformat import NotebookNode
from pygments.formatters import HtmlFormatter

from lib import cache
from lib.study import COMPANIONS, SLUGS

TEMPLATES = Path(__file__).parent / "templates"
NAME = re.compile(r"((\w+)-[a-z]+)-seed\d+\.html")
"""A page's name; its notebook and profile, and its notebook alone, as groups."""
LINK = re.compile(r'href="[^"]+" data-page="([\w-]+\.html)"|href="([\w-]+\.html)"')
"""A link to a page; one that leads elsewhere meanwhile says where it belongs."""
BEGIN, END = "<!-- pages around -->", "<!-- end -->"
"""Between these stand, in a page's navigation, the links to its neighbors."""
CODE_STYLE = "xcode"
"""Of Pygments' styles one whose colors all have the contrast that WCAG AA asks for."""
HIDDEN = "Pictures of the data are left out here; run the notebook to see them."


def page(
    notebook: NotebookNode,
    target: Path,
    *,
    links: tuple[tuple[str, str], ...] = (),
    show_code: bool = True,
    show_data: bool = True,
    pages: str = "",
    script: str = "",
    meta: dict[str, str] | None = None,
) -> None:
    """Writes an executed notebook as one HTML file, whole or not at all.

    Args:
        notebook: the executed notebook.
        target: the page to write.
        links: text and address of the navigation's links.
        show_code: whether code is there, folded, one click away.
        show_data: whether outputs of cells tagged ``shows-data`` are kept.
        pages: what follows the name in the addresses of the other notebooks' pages, e.g.
            ``"-quick-seed0.html"``; links from notebook to notebook then lead there.
        script: name of a script beside the template that the page carries.
        meta: content of ``<meta name=…>`` by name.
    """
    notebook = nbformat.from_dict(notebook)
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", [])
        if "shows-data" in tags and not show_data and cell.get("outputs"):
            cell.outputs = [nbformat.v4.new_output("stream", text=HIDDEN + "\n")]
        if cell.cell_type == "markdown":  # a badge is a picture from elsewhere
            cell.source = re.sub(r"\[!\[Open in Colab\].*", "", cell.source)
    exporter = HTMLExporter(
        template_name="ladder",
        extra_template_basedirs=[str(TEMPLATES)],
        exclude_anchor_links=True,
    )
    css = (TEMPLATES / "ladder" / "style.css").read_text(encoding="utf-8")
    body, _ = exporter.from_notebook_node(
        notebook,
        resources={
            "ladder": {
                "title": _title(notebook),
                "css": css + HtmlFormatter(style=CODE_STYLE).get_style_defs(".highlight"),
                "links": links,
                "show_code": show_code,
                "summaries": _summaries(notebook),
                "script": (TEMPLATES / "ladder" / script).read_text("utf-8") if script else "",
                "meta": meta or {},
            }
        },
    )
    body = body.replace("<pre>", '<pre tabindex="0">')  # they scroll: by keyboard as well
    if pages:
        body = re.sub(r'href="([\w-]+)\.ipynb"', rf'href="\1{pages}"', body)
    with cache.atomic_file(target) as part:
        part.write_text(body, encoding="utf-8")


def connect(folder: Path) -> None:
    """Makes pages lead to the ones before and after, and no link lead to a page that is not there.

    A neighbor of the same seed comes first, then one of another. A page that does not exist is
    replaced by its like of another seed, or by the report.

    Args:
        folder: the report's ``notebooks``, with pages ``<slug>-<profile>-seed<k>.html``.
    """
    names = [path.name for path in sorted(folder.glob("*.html")) if NAME.fullmatch(path.name)]

    def existing(link: re.Match) -> str:
        wanted = link[1] or link[2]  # a page may come later
        found = _nearest(wanted, names) or "../index.html"
        return f'href="{found}"' + f' data-page="{wanted}"' * (found != wanted)

    for name in names:
        text = (folder / name).read_text(encoding="utf-8")
        links = "\n".join(_neighbors(name, names))
        changed = re.sub(f"{BEGIN}.*?{END}", f"{BEGIN}\n{links}\n{END}", text, flags=re.DOTALL)
        changed = re.sub(LINK, existing, changed)
        if changed != text:
            with cache.atomic_file(folder / name) as part:
                part.write_text(changed, encoding="utf-8")


def without_dead_links(report: str, folder: Path) -> str:
    """Keeps only the text of a report's links to pages that are not there: a run by hand has none.

    Args:
        report: the report as HTML.
        folder: where it is to lie.
    """

    def existing(link: re.Match) -> str:
        return link[0] if (folder / link[1]).is_file() else link[2]

    return re.sub(r'<a [^>]*href="(notebooks/[^"]+)"[^>]*>(.*?)</a>', existing, report)


def _nearest(name: str, names: list[str]) -> str | None:
    """Returns that page, else the first of its notebook and profile with another seed, or None."""
    wanted = NAME.fullmatch(name)
    alike = [other for other in names if wanted and NAME.fullmatch(other)[1] == wanted[1]]
    return name if name in alike else next(iter(alike), None)


def _neighbors(name: str, names: list[str]) -> list[str]:
    """Returns links to the nearest pages before and after, among the eleven or the companions."""
    slug = NAME.fullmatch(name)[2]
    order = next((group for group in (SLUGS, COMPANIONS) if slug in group), (slug,))
    place = order.index(slug)
    links = []
    for others, text in ((order[:place][::-1], "← {}"), (order[place + 1 :], "{} →")):
        pages = (_nearest(name.replace(slug, other, 1), names) for other in others)
        for page in filter(None, pages):
            title = NAME.fullmatch(page)[2].replace("_", " ")
            links.append(f'<a href="{page}">{text.format(title)}</a>')
            break
    return links


def _title(notebook: NotebookNode) -> str:
    lines = notebook.cells[0].source.splitlines() if notebook.cells else []
    return next(
        (line.lstrip("# ") for line in lines if line.startswith("# ")),
        "CIFAR-10 ladder",
    )


def _summaries(notebook: NotebookNode) -> dict[str, str]:
    """Names each folded piece of code by its first comment."""
    return {
        cell.id: "Parameters of this run"
        if "injected-parameters" in cell.metadata.get("tags", [])
        else cell.source.splitlines()[0].lstrip("# ")
        for cell in notebook.cells
        if cell.cell_type == "code" and cell.source.startswith("#")
    }
