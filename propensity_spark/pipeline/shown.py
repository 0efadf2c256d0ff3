"""A table of trials for people: the columns that are shown, their headings and formats, on the screen as on the page."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from propensity_spark.judge.markup import UNKNOWN
from propensity_spark.schemas import Table


@dataclass(frozen=True, slots=True)
class Shown:
    """A column; `style` is a number's format (empty: text, which is set to the left), `width` its place on the screen."""

    column: str
    heading: str
    style: str = ""
    width: int = 10

    def cell(self, row: Mapping[str, object]) -> str:
        """The value for people: text stays as it is, and an unknown number is said to be so."""
        value = row[self.column]
        if isinstance(value, str) or not self.style:
            return str(value or "")
        return UNKNOWN if value is None else format(value, self.style)

    def placed(self, text: str) -> str:
        """A text in the column's place."""
        return f"{text:<{self.width}}" if not self.style else f"{text:>{self.width}}"


_FIGURES = {
    "roc_auc": ("ROC-AUC", ".4f"),
    "pr_auc": ("PR-AUC", ".4f"),
    "log_loss": ("log loss", ".5f"),
    "ece": ("ECE", ".5f"),
    "predicted_over_observed": ("pred/obs", ".3f"),
    "recall_at_10": ("recall@10", ".4f"),
    "ndcg_at_10": ("NDCG@10", ".4f"),
}


def figures(*names: str) -> tuple[Shown, ...]:
    """The columns of figures that every table calls alike."""
    return tuple(Shown(name, *_FIGURES[name]) for name in names)


def head(columns: Sequence[Shown]) -> str:
    """The headings in a line."""
    return "".join(column.placed(column.heading) for column in columns)


def line(row: Mapping[str, object], columns: Sequence[Shown]) -> str:
    """A row in a line; one of a trial that has a problem, and so no figures, says what it is."""
    if row.get("problem"):
        return f"{columns[0].placed(columns[0].cell(row))}  {row['problem']}"
    return "".join(column.placed(column.cell(row)) for column in columns).rstrip()


def named(table: Table, written: Iterable[Sequence[object]]) -> list[dict[str, object]]:
    """Rows of the table by its columns."""
    return [dict(zip(table.columns, row, strict=True)) for row in written]


def lines(table: Table, written: Iterable[Sequence[object]], columns: Sequence[Shown]) -> str:
    """Rows of the table, each in its order of columns, below their headings."""
    return "\n".join([head(columns), *(line(row, columns) for row in named(table, written))])
