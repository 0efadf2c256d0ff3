"""Numbers as shops write them: which texts are none to Spark, and the SQL that makes them so."""

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress

_PLAIN = re.compile(r"[0-9.,+-]*")


def no_numbers(values: Iterable[str]) -> list[str]:
    """Those that Spark would read no number from, blanks left out."""
    return [value for value in values if value.strip() and not _is_number(value)]


def _is_number(text: str) -> bool:
    with suppress(ValueError):
        float(text)
        return "_" not in text
    return False


def remedy(part: str, column: str, odd: Sequence[str]) -> str:
    """What to do about a column whose numbers are written so."""
    made = expression(column, odd)
    if not made:
        return f"say by an expression how {part} is meant, or leave it out"
    shown = next(value.strip() for value in odd if re.search(r"\d", value))
    return f'write {_plainly(shown)} for {shown}, or map {part}: "= {made}"'


def expression(column: str, odd: Sequence[str]) -> str:
    """The SQL that reads numbers from what is none: of 1.234,50 EUR, 1,234.50 and 12,50; '' where these hold no digits.

    The last of both marks parts the decimals; a comma alone does.
    """
    told = [value for value in odd if re.search(r"\d", value)]
    if not told:
        return ""
    text = in_sql(column)
    if not all(_PLAIN.fullmatch(value.strip()) for value in told):
        text = f"regexp_replace({text}, '[^0-9.,-]', '')"
    has_commas = any("," in value for value in told)
    if _has_decimal_point(told):
        return f"replace({text}, ',', '')" if has_commas else text
    if any("." in value for value in told):
        text = f"replace({text}, '.', '')"
    return f"replace({text}, ',', '.')" if has_commas else text


def _has_decimal_point(values: Iterable[str]) -> bool:
    """Whether a point comes after the last comma of any of them, or no commas are about."""
    return any("." in value and value.rfind(".") > value.rfind(",") for value in values)


def _plainly(text: str) -> str:
    """The number as Spark reads it."""
    bare = re.sub(r"[^0-9.,-]", "", text)
    return bare.replace(",", "") if _has_decimal_point([text]) else bare.replace(".", "").replace(",", ".")


def in_sql(column: str) -> str:
    """A column's name as an expression writes it."""
    return column if re.fullmatch(r"[A-Za-z_]\w*", column, re.ASCII) else f"`{column}`"
