"""The answer to a query as text for a terminal: boxed as Spark shows it, with numbers as people read them."""

from collections.abc import Sequence

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import DoubleType, FloatType

_SIGNIFICANT, _PLACES = 6, 4
_NULL = "NULL"
_WHOLE = ("tinyint", "smallint", "int", "bigint", "decimal")


def printed(frame: DataFrame, rows: int) -> str:
    """The first `rows` rows in a box, numbers to the right; whether there are more is said below it."""
    numeric = [isinstance(field.dataType, (DoubleType, FloatType)) for field in frame.schema]
    numbered = frame.toDF(*(f"c{place}" for place in range(len(numeric))))  # a query may name two columns alike
    shown = [F.col(c).cast("double" if is_number else "string") for c, is_number in zip(numbered.columns, numeric, strict=True)]
    found = numbered.select(*shown).limit(rows + 1).collect()
    right = [is_number or kind.startswith(_WHOLE) for is_number, (_, kind) in zip(numeric, frame.dtypes, strict=True)]
    more = f"only the first {rows} rows are shown: --rows shows more" if len(found) > rows else ""
    return "\n".join([*_box(frame.columns, [[cell(v) for v in row] for row in found[:rows]], right), *([more] if more else [])])


def cell(value: object) -> str:
    """A value as text: six digits of a fraction, four decimals of what is larger; null is said."""
    if value is None:
        return _NULL
    if not isinstance(value, float) or value != value:
        return str(value)
    if 0 < abs(value) < 1:
        return f"{value:.{_SIGNIFICANT}g}"
    whole, _, decimals = f"{value:.{_PLACES}f}".partition(".")
    return f"{whole}.{decimals.rstrip('0') or '0'}" if decimals else whole


def _box(header: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool]) -> list[str]:
    """The lines of a table with a frame."""
    wide = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    edge = f"+{'+'.join('-' * width for width in wide)}+"

    def line(texts: Sequence[str]) -> str:
        """One row, each text in its place."""
        placed = (f"{t:>{w}}" if to_right else f"{t:<{w}}" for t, w, to_right in zip(texts, wide, right, strict=True))
        return f"|{'|'.join(placed)}|"

    return [edge, line(header), edge, *map(line, rows), edge]
