"""Notebooks to HTML: self-contained pages that open from disk without a network request."""

import re
from pathlib import Path

import nbformat
from jinja2 import pass_context
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbformat import NotebookNode
from pygments.formatters import HtmlFormatter

from ladder.report.render import TEMPLATES
from lib import cache

CODE_STYLE = "xcode"
"""Of Pygments' styles one whose colors all have the contrast that WCAG AA asks for."""
HIDDEN = "Pictures of the data are left out here; run the notebook to see them."
BADGE = re.compile(r"\[!\[Open in Colab\].*")
NOTEBOOK_LINK = re.compile(r"\]\((?:[\w.-]+/)*([\w-]+)\.ipynb\)")
"""A link in Markdown to another notebook, whose name is the group."""


def page(
    notebook: NotebookNode,
    target: Path,
    *,
    links: tuple[tuple[str, str], ...] = (),
    show_code: bool = True,
    show_data: bool = True,
    commit: str | None = "",
    script: str = "",
    meta: dict[str, str] | None = None,
) -> None:
    """Writes an executed notebook as one HTML file, whole or not at all.

    Links from notebook to notebook lead to the experiment's place in the report.

    Args:
        notebook: the executed notebook.
        target: the page to write.
        links: text and address of the navigation's links.
        show_code: whether code is there, folded, one click away.
        show_data: whether outputs of cells tagged ``shows-data`` are kept.
        commit: what the page was made from, named at its end; nothing where it is not known.
        script: name of a script beside the template that the page carries.
        meta: content of ``<meta name=…>`` by name.

    Raises:
        OSError: if it cannot be written.
    """
    exporter = HTMLExporter(
        template_name="ladder",
        extra_template_basedirs=[str(TEMPLATES)],
        filters={"markdown2html": _markdown},
    )
    content = {
        "code_css": HtmlFormatter(style=CODE_STYLE).get_style_defs(".highlight"),
        "links": links,
        "show_code": show_code,
        "commit": commit,
        "script": script,
        "meta": meta or {},
    }
    notebook = _prepared(notebook, show_data=show_data)
    body, _ = exporter.from_notebook_node(notebook, resources={"ladder": content})
    with cache.atomic_file(target) as part:
        part.write_text(body, encoding="utf-8")


def _prepared(notebook: NotebookNode, *, show_data: bool) -> NotebookNode:
    """Returns a copy whose links lead to the report, without what a page does not show."""
    notebook = nbformat.from_dict(notebook)
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", [])
        if "shows-data" in tags and not show_data and cell.get("outputs"):
            cell.outputs = [nbformat.v4.new_output("stream", text=HIDDEN + "\n")]
        if cell.cell_type == "markdown":  # a badge is a picture from elsewhere
            cell.source = BADGE.sub("", cell.source)
            cell.source = NOTEBOOK_LINK.sub(r"](../index.html#\1)", cell.source)
    return notebook


class _Renderer(IPythonRenderer):
    """Markdown whose blocks of code, which scroll, can be reached by keyboard."""

    def block_code(self, code: str, info: str | None = None) -> str:
        inner = super().block_code(code, info)
        return f'<div class="scroll" tabindex="0" role="group" aria-label="Code">{inner}</div>\n'


@pass_context
def _markdown(context, source: str) -> str:
    attachments = context.get("cell", {}).get("attachments", {})
    renderer = _Renderer(escape=False, attachments=attachments, exclude_anchor_links=True)
    return MarkdownWithMath(renderer=renderer).render(source)
