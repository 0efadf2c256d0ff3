"""Numbers as shops write them: which texts are none to Spark, and the SQL that makes them so."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from contextlib import suppress

_UNIT = re.compile(r"[^\W\d_]*[^\w\s.,'’−–()/-]+|[^\W\d_]+\.?")  # a sign of currency, letters, or both: €, US$, kr, Rs.
_WORDS = ("kr", "kr.", "Kč", "zł", "Ft", "lei", "Rs", "Rs.", "Fr.", "pcs", "Stk", "Stk.")
_MINUS, _BLANKS = "−–", " \u00a0\u202f’"  # signs that Spark does not read, and what parts thousands beside point and comma
_BARE = re.compile(r"-?([0-9][0-9.,]*)?[0-9]|-?[.,][0-9]+")


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
    odd, name = [value.strip() for value in no_numbers(values)], in_sql(column)
    if made := expression(column, values):
        shown = next(value for value in odd if re.search(r"\d", value))
        return f'write {_plainly(shown, values)} for {shown}, or map {part}: "= {made}"'
    if len(set(odd)) == 1 and not re.search(r"\d", odd[0]):
        return f"map {part}: \"= nullif({name}, '{odd[0]}')\""
    if all(_BARE.fullmatch(value) for value in odd):
        thousands, decimals = (f"\"= replace({name}, ',', '{instead}')\"" for instead in ("", "."))
        return f"map {part}: {thousands} where the comma parts thousands, {decimals} where it parts decimals"
    return f"say by an expression how {part} is meant, or leave it out"


def expression(column: str, values: Sequence[str]) -> str:
    """The SQL that reads numbers from what is none: of 1.234,50 EUR, 1,234.50, 12,50 and 12 among them.

    It takes one unit, what parts thousands and a comma for decimals out of the text, and nothing else, so that what is written in
    yet another way stays no number. '' where all are read as they are, where a value is of no such form, and where they leave open
    which of point and comma parts decimals, or disagree.
    """
    told = [value.strip() for value in values if re.search(r"\d", value)]
    units = {unit for value in told for unit in _UNIT.findall(value)}
    bare = [_bare(value, units) for value in told]
    known = len(units) <= 1 and all(map(_is_unit, units)) and all(map(_BARE.fullmatch, bare))
    marks = {mark for mark in ".," if any(mark in number for number in bare)}
    decimal = _decimal(bare)
    if not no_numbers(told) or not known or (marks and not decimal):
        return ""
    instead = {**dict.fromkeys(units, ""), **dict.fromkeys(_MINUS, "-"), **dict.fromkeys(_BLANKS, "")}
    inside = [re.sub("|".join(map(re.escape, units)), "", value).strip(" ") if units else value for value in told]
    text = in_sql(column)
    for sign, other in instead.items():
        if sign in units or any(sign in value for value in inside):
            text = f"replace({text}, '{sign}', '{other}')"
    for mark in sorted(marks - {decimal}):
        text = f"replace({text}, '{mark}', '')"
    return f"replace({text}, ',', '.')" if decimal == "," else text


def _is_unit(text: str) -> bool:
    """Whether it is a sign or a code of a currency, or a word for one or for pieces."""
    return text in _WORDS or bool(re.fullmatch(r"[A-Z]{3}", text)) or unicodedata.category(text[-1]) == "Sc"


def _bare(value: str, units: Iterable[str]) -> str:
    """The value without units and blanks, with a plain minus."""
    for unit in units:
        value = value.replace(unit, "")
    return re.sub(f"[{_BLANKS}]", "", re.sub(f"[{_MINUS}]", "-", value))


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
    return last if other in marks or len(rest) != 3 or len(whole) > 3 or whole in ("", "0") else ""


def _plainly(text: str, values: Sequence[str]) -> str:
    """The number as Spark reads it."""
    bare, *others = (_bare(value, _UNIT.findall(value)) for value in (text, *values))
    thousands = {",": ".", ".": ","}.get(_decimal([bare, *others]), "")
    return bare.replace(thousands, "").replace(",", ".") if thousands else bare


def in_sql(column: str) -> str:
    """A column's name as an expression writes it."""
    return column if re.fullmatch(r"[A-Za-z_]\w*", column, re.ASCII) else f"`{column}`"


def is_below_zero(text: str) -> bool:
    """Whether it is a number below 0, with whatever sign."""
    return bool(re.match(rf"[-{_MINUS}] ?[0-9.,]*[1-9]", text.strip()))


def returned_or(quantity: str, other: str) -> str:
    """The mapping of map.event by which rows of a quantity below 0 are returns, and others what the SQL `other` says."""
    return f"= IF(CAST({quantity} AS DOUBLE) < 0, 'return', {other})"
