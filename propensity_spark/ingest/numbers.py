"""Numbers as shops write them: which texts are none to Spark, and the SQL that makes them so."""

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress

# 1.234,50 within € 1.234,50 or 1'234.50 CHF; a sign behind or brackets would mean a debt
_WRITTEN = re.compile(r"(?P<before>[^0-9()-]*)(?P<number>-?[0-9](?:[0-9.,'’ \u00a0\u202f]*[0-9])?)(?P<after>[^0-9()-]*)")
_EDGES, _INSIDE = "'^[^0-9-]+|[^0-9]+$'", "'[^0-9.,-]'"


def no_numbers(values: Iterable[str]) -> list[str]:
    """Those that Spark would read no number from, blanks left out."""
    return [value for value in values if value.strip() and not _is_number(value)]


def _is_number(text: str) -> bool:
    with suppress(ValueError):
        float(text)
        return "_" not in text
    return False


def remedy(part: str, column: str, values: Sequence[str]) -> str:
    """What to do about a column that holds such values, of which some are no numbers."""
    odd, name = no_numbers(values), in_sql(column)
    made, words = expression(column, values), {value.strip() for value in odd if not re.search(r"\d", value)}
    if made:
        shown = next(value.strip() for value in odd if re.search(r"\d", value))
        return f'write {_plainly(shown, values)} for {shown}, or map {part}: "= {made}"'
    if len(words) == 1:
        return f"map {part}: \"= nullif({name}, '{words.pop()}')\""
    if any("," in value for value in odd):
        thousands, decimals = (f"\"= replace({name}, ',', '{instead}')\"" for instead in ("", "."))
        return f"map {part}: {thousands} where the comma parts thousands, {decimals} where it parts decimals"
    return f"say by an expression how {part} is meant, or leave it out"


def expression(column: str, values: Sequence[str]) -> str:
    """The SQL that reads numbers from what is none: of 1.234,50 EUR, 1,234.50, 12,50 and 12 among them.

    '' where all are read as they are, and where they leave open which of point and comma parts decimals, or disagree.
    """
    told = [_WRITTEN.fullmatch(value.strip()) for value in values if re.search(r"\d", value)]
    if not no_numbers(value for value in values if re.search(r"\d", value)) or not all(told):
        return ""
    numbers, text = [found["number"] for found in told if found], in_sql(column)
    if any(found["before"] or found["after"] for found in told if found):
        text = f"regexp_replace({text}, {_EDGES}, '')"
    if any(re.search(r"[^0-9.,-]", number) for number in numbers):
        text, numbers = f"regexp_replace({text}, {_INSIDE}, '')", [re.sub(r"[^0-9.,-]", "", number) for number in numbers]
    used = {mark for mark in ".," if any(mark in number for number in numbers)}
    decimal = _decimal(numbers)
    if used and not decimal:
        return ""
    for mark in sorted(used - {decimal}):
        text = f"replace({text}, '{mark}', '')"
    return f"replace({text}, ',', '.')" if decimal == "," else text


def _decimal(numbers: Iterable[str]) -> str:
    """The mark that parts decimals, by what cannot part thousands; '' where nothing proves one, or each is proven."""
    proven = {proof for number in numbers if (proof := _proof(number))}
    return proven.pop() if len(proven) == 1 else ""


def _proof(number: str) -> str:
    """The mark that parts decimals in a number, as far as it alone tells: 1,234 does not."""
    digits = number.lstrip("-")
    marks = re.findall(r"[.,]", digits)
    if not marks:
        return ""
    last, other = marks[-1], {",": ".", ".": ","}[marks[-1]]
    if marks.count(last) > 1:
        return other
    whole, _, rest = digits.rpartition(last)
    return last if other in marks or len(rest) != 3 or len(whole) > 3 or whole == "0" else ""


def _plainly(text: str, values: Sequence[str]) -> str:
    """The number as Spark reads it."""
    bare = [re.sub(r"^[^0-9-]+|[^0-9]+$|[^0-9.,-]", "", value) for value in (text, *values)]
    decimal = _decimal(bare)
    thousands = {",": ".", ".": ","}.get(decimal, "")
    return bare[0].replace(thousands, "").replace(",", ".") if thousands else bare[0]


def in_sql(column: str) -> str:
    """A column's name as an expression writes it."""
    return column if re.fullmatch(r"[A-Za-z_]\w*", column, re.ASCII) else f"`{column}`"
