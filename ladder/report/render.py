"""Templates to text: HTML in which every value is escaped, and Markdown."""

import os
import re
from pathlib import Path

import jinja2

from lib import ROOT, clock, tables

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


def show(html: str, out: Path) -> None:
    """Displays a part of the report in its notebook.

    Args:
        html: with links relative to the report's folder.
        out: that folder. Outside of a batch run the links lead there from the notebook.
    """
    from IPython.display import HTML, display

    if "CIFAR10_LADDER_BATCH" not in os.environ:
        folder = os.path.relpath(out, ROOT / "notebooks")
        html = re.sub(r'href="(?!#|\w+:)', f'href="{folder}/', html)
    if html.strip():
        display(HTML(html))


def percent(share: float, digits: int = 2) -> str:
    """Writes a share, 0 to 1, as in ``87.74 %``."""
    return f"{100 * share:.{digits}f} %"


def signed(difference: float, digits: int = 2) -> str:
    """Writes a difference of two shares in points, as in ``−0.35``."""
    return f"{100 * difference:+.{digits}f}".replace("-", "−")


def work(operations: float) -> str:
    """Writes multiply–adds in 10¹²."""
    count = operations / 1e12
    digits = 0 if count >= 100 else 1 if count >= 0.1 else 3
    return f"{count:,.{digits}f} × 10¹²"


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
    "work": work,
    "table": tables.rows,
    "percent": percent,
    "signed": signed,
}
