"""Tables of a notebook's figures, as HTML. All text from outside is escaped."""

from html import escape


class Html(str):
    """Text that is HTML already, not to be escaped."""

    __slots__ = ()


def rows(content: list[dict]) -> str:
    """Returns a table of a companion's record as HTML.

    Args:
        content: one dictionary per row, all with the same keys; accuracies from 0 to 1, HTML
            as `Html`.
    """
    if not content:
        return "<p>No rows.</p>"
    head = "".join(f"<th scope='col'>{escape(key)}</th>" for key in content[0])
    body = "\n".join(
        "<tr>" + "".join(f"<td>{_figure(key, value)}</td>" for key, value in row.items()) + "</tr>"
        for row in content
    )
    return (
        "<div class='scroll' tabindex='0' role='group' aria-label='Table'><table class='rows'>"
        f"<thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table></div>"
    )


def _figure(key: str, value) -> str:
    if isinstance(value, Html):
        return value
    if value is None or isinstance(value, bool):
        return {None: "–", True: "yes", False: "no"}[value]
    if not isinstance(value, int | float):
        return escape(str(value))
    if isinstance(value, int):
        return str(value) if key in ("year", "seed") else f"{value:,}"
    if any(word in key for word in ("accuracy", "probability")):
        return f"{value:.2%}"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:,.0f}"
