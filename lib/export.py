"""Notebooks to HTML: self-contained pages that open from disk without a network request."""

import re
from pathlib import Path

import nbformat
from nbconvert import HTMLExporter
from nbformat import NotebookNode
from pygments.formatters import HtmlFormatter

from lib import cache

TEMPLATES = Path(__file__).parent / "templates"
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
                "css": css + HtmlFormatter().get_style_defs(".highlight"),
                "links": links,
                "show_code": show_code,
                "summaries": _summaries(notebook),
                "script": (TEMPLATES / "ladder" / script).read_text("utf-8") if script else "",
                "meta": meta or {},
            }
        },
    )
    if pages:
        body = re.sub(r'href="([\w-]+)\.ipynb"', rf'href="\1{pages}"', body)
    with cache.atomic_file(target) as part:
        part.write_text(body, encoding="utf-8")


def _title(notebook: NotebookNode) -> str:
    lines = notebook.cells[0].source.splitlines() if notebook.cells else []
    return next(
        (line.lstrip("# ") for line in lines if line.startswith("# ")),
        "CIFAR-10 ladder",
    )


def _summaries(notebook: NotebookNode) -> dict[str, str]:
    """Names each folded piece of code by its first comment."""
    return {
        cell.id: cell.source.splitlines()[0].lstrip("# ")
        for cell in notebook.cells
        if cell.cell_type == "code" and cell.source.startswith("#")
    }
