"""Numbers and tables as HTML text; what is foreign is escaped, what is unknown is said."""

from collections.abc import Callable, Sequence
from html import escape

UNKNOWN = "unknown"


def number(value: float | None, style: str = ",.4g") -> str:
    """A number for people; unknown is said."""
    return UNKNOWN if value is None else format(value, style)


def share(value: float) -> str:
    """A share in percent; what is there but too small to be printed is not nothing."""
    return "< 0.01%" if 0 < value < 0.00005 else f"{value:.2%}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]], marked: Callable[[int, int], bool] | None = None) -> str:
    """A table in a box of its own: the first column, and each without a number, is text. `marked` cells are the best ones."""
    texts = {0, *(x for x in range(len(header)) if not any(row[x].lstrip("+-< ")[:1].isdigit() for row in rows))}

    def cell(tag: str, x: int, text: str, best: bool = False) -> str:
        """One cell; the class says how it is set."""
        kind = "text" if x in texts else "best" if best else ""
        return f'<{tag} class="{kind}">{escape(text)}</{tag}>' if kind else f"<{tag}>{escape(text)}</{tag}>"

    head = "".join(cell("th", x, text) for x, text in enumerate(header))
    lines = []
    for y, row in enumerate(rows):
        cells = "".join(cell("td", x, text, marked is not None and marked(y, x)) for x, text in enumerate(row))
        lines.append(f"<tr>{cells}</tr>")
    return f'<div class="box"><table><thead><tr>{head}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'
