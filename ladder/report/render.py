"""Templates to text: HTML in which every value is escaped, and Markdown."""

from pathlib import Path

import jinja2

from lib import clock, tables

TEMPLATES = Path(__file__).parent / "templates"


def render(template: str, **content) -> str:
    """Returns a template of ``templates/report`` filled in.

    Args:
        template: its name; values are escaped if it ends in ``.html.j2``.
        content: its variables.

    Raises:
        jinja2.UndefinedError: if the template uses another variable.
    """
    return _ENVIRONMENT.get_template(template).render(content)


_ENVIRONMENT = jinja2.Environment(
    loader=jinja2.FileSystemLoader(TEMPLATES / "report"),
    autoescape=jinja2.select_autoescape(["html.j2"]),
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.filters |= {
    "anchor": tables.anchor,
    "clock": clock,
    "table": tables.rows,
    "signed": lambda points: f"{100 * points:+.2f}",
}
