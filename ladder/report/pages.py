"""Notebooks to HTML: self-contained pages that open from disk without a network request."""

import re
from itertools import groupby
from pathlib import Path

import nbformat
from nbconvert import HTMLExporter
from nbconvert.preprocessors import CoalesceStreamsPreprocessor
from nbformat import NotebookNode
from pygments.formatters import HtmlFormatter

from ladder.report import sections, verdicts
from ladder.report.render import TEMPLATES
from lib import cache
from lib.results.record import Record

CODE_STYLE = "xcode"
"""Of Pygments' styles one whose colors all have the contrast that WCAG AA asks for."""
EPOCH_LINE = re.compile(r"epoch (\d+)/\d+[ ,]")
"""The beginning of a line of a training; the group is the epoch."""
SHOWN_LINES = 3
"""Lines of a training that are shown at its beginning and at its end."""
BADGE = re.compile(r"\[!\[Open in Colab\].*")
NOTEBOOK_LINK = re.compile(r"\]\((?:[\w.-]+/)*([\w-]+)\.ipynb\)")
"""A link in Markdown to another notebook, whose name is the group."""


def of_run(notebook: NotebookNode, record: Record, target: Path, *, source: str) -> None:
    """Writes the page of a run: its result first, then the executed notebook.

    Args:
        notebook: the executed notebook.
        record: of the run.
        target: the page to write.
        source: address of the notebook, from the page.

    Raises:
        OSError: if it cannot be written.
    """
    changes = {} if record.is_companion else verdicts.protocol_changes(record)
    page(
        notebook,
        target,
        links=(("All results", f"../index.html#{record.experiment}"), ("Notebook", source)),
        result=sections.result(record),
        published={name: old for name, (old, _) in changes.items()},
        commit=record.environment["git"],
    )


def page(
    notebook: NotebookNode,
    target: Path,
    *,
    published: dict[str, object] | None = None,
    script: str = "",
    **content,
) -> None:
    """Writes an executed notebook as one HTML file, whole or not at all.

    Links from notebook to notebook lead to the experiment's place in the report.

    Args:
        notebook: the executed notebook.
        target: the page to write.
        published: values, by name, that are noted beside the run's own parameters.
        script: name of a script beside the template that the page carries. Such a page has no
            code, but a list of contents, and its headings have links to themselves.
        content: for the template: ``links`` of the navigation and ``footer``, pairs of text and
            address; ``result``, HTML that follows the title; ``commit`` that the page was made
            from; ``meta``, content of ``<meta name=…>`` by name. All may be left out.

    Raises:
        OSError: if it cannot be written.
    """
    exporter = HTMLExporter(
        template_name="ladder",
        extra_template_basedirs=[str(TEMPLATES)],
        preprocessors=[CoalesceStreamsPreprocessor(enabled=True)],
        exclude_anchor_links=True,
        filters={"folded": folded},
    )
    content |= {"script": script}
    content["code_css"] = HtmlFormatter(style=CODE_STYLE).get_style_defs(".highlight")
    notebook = _prepared(notebook, published or {})
    if script:
        notebook.cells = _without_empty_sections(notebook.cells)
    body, _ = exporter.from_notebook_node(notebook, resources={"ladder": content})
    body = _with_contents(body) if script else body
    with cache.atomic_file(target) as part:
        part.write_text(body, encoding="utf-8")


def _without_empty_sections(cells: list[NotebookNode]) -> list[NotebookNode]:
    """Leaves out Markdown cells, the first aside, whose code shows nothing."""
    kept, heading = cells[:1], []
    for cell in cells[1:]:
        if cell.cell_type == "markdown":
            heading = [cell]
        elif cell.get("outputs"):
            kept += [*heading, cell]
            heading = []
    return kept


def _with_contents(body: str) -> str:
    """Gives all headings an id and a link to themselves, and lists the second level's."""
    contents, seen = [], set()

    def linked(found: re.Match) -> str:
        level, attributes, inner = found.groups()
        text = re.sub("<[^>]+>", "", inner).strip()
        name = re.search(r'id="([^"]+)"', attributes)
        name = name[1] if name else re.sub(r"\W+", "-", text).strip("-")
        while name in seen:
            name += "-"
        seen.add(name)
        if level == "2":
            contents.append(f'<li><a href="#{name}">{text}</a></li>')
        label = text.replace('"', "&quot;")
        link = f'<a class="anchor-link" href="#{name}" aria-label="Link to {label}">#</a>'
        return f'<h{level} id="{name}">{inner} {link}</h{level}>'

    body = re.sub(r"<h([23])([^>]*)>(.*?)</h\1>", linked, body, flags=re.DOTALL)
    return body.replace("<!-- contents -->", "\n".join(contents), 1)


def _prepared(notebook: NotebookNode, published: dict[str, object]) -> NotebookNode:
    """Returns a copy whose links lead to the report, with the published values noted."""
    notebook = nbformat.from_dict(notebook)
    for cell in notebook.cells:
        if "injected-parameters" in cell.metadata.get("tags", []):
            for name, value in published.items():
                line = re.compile(rf"^{name} = .*", flags=re.MULTILINE)
                cell.source = line.sub(
                    lambda found, value=value: f"{found[0]}  # published: {value}", cell.source
                )
        if cell.cell_type == "markdown":  # a badge is a picture from elsewhere
            cell.source = BADGE.sub("", cell.source)
            cell.source = NOTEBOOK_LINK.sub(r"](../index.html#\1)", cell.source)
    return notebook


def folded(text: str) -> list[tuple[str, str]]:
    """Splits an output where its trainings have more lines than a page shows at once.

    Args:
        text: of the output.

    Returns:
        Pairs of a heading and lines. Lines without a heading are shown, the others are folded.
    """
    parts, shown = [], ""
    matches = [(line, EPOCH_LINE.match(line)) for line in text.splitlines(keepends=True)]
    for of_training, group in groupby(matches, lambda pair: bool(pair[1])):
        lines, found = zip(*group, strict=True)
        if of_training and len(lines) > 2 * SHOWN_LINES + 1:
            first, last = found[SHOWN_LINES][1], found[-SHOWN_LINES - 1][1]
            heading = f"epochs {first} to {last}" if first != last else f"epoch {first}"
            parts.append(("", shown + "".join(lines[:SHOWN_LINES])))
            parts.append((heading, "".join(lines[SHOWN_LINES:-SHOWN_LINES])))
            shown, lines = "", lines[-SHOWN_LINES:]
        shown += "".join(lines)
    return [*parts, ("", shown)]
