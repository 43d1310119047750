"""Tables of a notebook's figures, as HTML. All text is escaped."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader


@dataclass(frozen=True)
class Link:
    """A link in a cell; a cell may hold several, in a list.

    Attributes:
        text: what is shown.
        address: where it leads.
        label: its name for screen readers, or "".
    """

    text: str
    address: str
    label: str = ""


def rows(content: list[dict]) -> str:
    """Returns a table of a companion's record as HTML.

    Args:
        content: one dictionary per row, all with the same keys; accuracies from 0 to 1, links as
            a list of `Link`.
    """
    return _TABLE.render(rows=content)


def show(content: list[dict]) -> None:
    """Displays a table in a notebook; see `rows`."""
    from IPython.display import HTML, display

    display(HTML(rows(content)))


def anchor(link: Link) -> str:
    """Returns a link as HTML."""
    return _TABLE.module.anchor(link)


def figure(value: Any, column: str) -> str:
    """Returns the text of a figure: what its type and the name of its column ask for."""
    if value is None or isinstance(value, bool):
        return {None: "–", True: "yes", False: "no"}[value]
    if not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int):
        if column in ("year", "seed"):
            return str(value)
        return f"{value:,}" if value < 10**9 else f"{value / 10**9:,.0f} × 10⁹"
    if any(word in column for word in ("accuracy", "probability")):
        return f"{100 * value:.2f} %"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:,.0f}"


def _is_links(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(part, Link) for part in value)


_ENVIRONMENT = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.filters["figure"] = figure
_ENVIRONMENT.tests["links"] = _is_links
_TABLE = _ENVIRONMENT.get_template("tables.html.j2")
