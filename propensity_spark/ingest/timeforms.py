"""How logs write times: the forms that a look at a few values can tell apart."""

import re
from collections.abc import Iterable
from functools import cache

# Values of time.format; the first that fits all values is taken. One letter reads 05 and 5: of some weeks all days have two digits.
FORMS = (
    "epoch_s",
    "epoch_ms",
    "iso",
    "d.M.yyyy H:mm:ss",
    "d.M.yyyy H:mm",
    "d.M.yyyy",
    "yyyy/M/d H:mm:ss",
    "yyyy/M/d H:mm",
    "yyyy/M/d",
    "d-M-yyyy H:mm:ss",
    "M-d-yyyy H:mm:ss",
    "d-M-yyyy H:mm",
    "M-d-yyyy H:mm",
    "d-M-yyyy",
    "M-d-yyyy",
    "d/M/yyyy H:mm:ss",
    "M/d/yyyy H:mm:ss",
    "d/M/yyyy H:mm",
    "M/d/yyyy H:mm",
    "d/M/yyyy",
    "M/d/yyyy",
    "d/M/yyyy h:mm:ss a",
    "M/d/yyyy h:mm:ss a",
    "d/M/yyyy h:mm a",
    "M/d/yyyy h:mm a",
    "yyyyMMdd",
)
_LOOKS = {  # of those that are no pattern, or a stricter one than digits between fixed characters
    "epoch_s": r"-?\d{9,10}(\.\d+)?",
    "epoch_ms": r"-?\d{12,13}(\.\d+)?",
    "iso": r"\d{4}(-\d{1,2}(-\d{1,2}([T ].*)?)?)?",
    "yyyyMMdd": r"(19|20)\d{2}(0[1-9]|1[0-2])([0-2]\d|3[01])",
}
_RANGES = {  # of a letter or a run of it: a month above 12 says that it is none
    "d": r"0*([1-9]|[12]\d|3[01])",
    "dd": r"(0[1-9]|[12]\d|3[01])",
    "M": r"0*([1-9]|1[0-2])",
    "MM": r"(0[1-9]|1[0-2])",
    "H": r"0*(1?\d|2[0-3])",
    "HH": r"([01]\d|2[0-3])",
    "h": r"0*([1-9]|1[0-2])",
    "hh": r"(0[1-9]|1[0-2])",
    "a": r"[AaPp][Mm]",
}
INSTANT = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"  # of a typed TIMESTAMP: no form is needed to read it
_NUMBERS = ("epoch_s", "epoch_ms", "yyyyMMdd")  # other columns hold such numbers too
_MILLISECONDS_FROM = 1e11  # as seconds, the year 5138; as milliseconds, 1973


def recognise(values: Iterable[str]) -> str:
    """The form in which all the values are written; empty where there is none, or no value."""
    told = _told(values)
    return next((form for form in FORMS if told and all(re.fullmatch(_look(form), value) for value in told)), "")


def is_surely_time(values: Iterable[str]) -> bool:
    """Whether the values are dates by their looks, not numbers that may be anything."""
    told = _told(values)
    return recognise(told) not in ("", *_NUMBERS) and not any(value.isdigit() for value in told)


def misfit(form: str, values: Iterable[str]) -> str:
    """A value in proof that none of them is written in the form; empty where one is, or where it cannot be told."""
    told = _told(values)
    odd = unreadable(form, told)
    return odd[0] if odd and len(odd) == len(told) else ""


def unreadable(form: str, values: Iterable[str]) -> list[str]:
    """The values that are not written in the form, without blanks; none where it cannot be told."""
    return [value for value in _told(values) if _look(form) and not _reads(form, value)]


def swapped(form: str) -> str:
    """The form with day and month in each other's place; empty where nobody would take one for the other: 2024-03-01, 1.3.2024."""
    may_be = re.match(r"(d{1,2}[/-]M{1,2}|M{1,2}[/-]d{1,2})(?![dM])", form) and _look(form)
    return form.translate(str.maketrans("dM", "Md")) if may_be else ""


def contradiction(form: str, values: Iterable[str]) -> str:
    """A value with a day above 12 where the form has the month, if none has one where the form has the day; else empty."""
    other = swapped(form)
    told = [value for value in _told(values) if other and _reads(form, value) != _reads(other, value)]
    return told[0] if told and not any(_reads(form, value) for value in told) else ""


def undecided(form: str, values: Iterable[str]) -> str:
    """The form with day and month swapped, where the values fit it just as well: no day among them is above 12; else empty."""
    other = swapped(form)
    fits = {(_reads(form, value), _reads(other, value)) for value in _told(values)} if other else set()
    return other if (True, True) in fits and not fits & {(True, False), (False, True)} else ""


def _reads(form: str, value: str) -> bool:
    """Whether Spark may read the value in the form; a number however it is written, if its size is right."""
    if re.fullmatch(INSTANT, value):
        return True
    if not form.startswith("epoch"):
        return re.fullmatch(_look(form), value) is not None
    try:
        return (abs(float(value)) >= _MILLISECONDS_FROM) == (form == "epoch_ms")
    except ValueError:
        return False


@cache
def _look(form: str) -> str:
    """What the values of a form look like; empty where a pattern has more than digits between fixed characters."""
    if form in _LOOKS:
        return _LOOKS[form]
    parts = [part.group(0) for part in re.finditer(r"([A-Za-z])\1*|.", form)]
    letters = [part for part in parts if part[0].isalpha()]
    if not letters or set("".join(letters)) - set("yMdHhmsSa") or "MMM" in form or set(form) & set("[]{}#'"):
        return ""
    return "".join(_digits(part) if part in letters else re.escape(part) for part in parts)


def _digits(letters: str) -> str:
    """What Spark reads as one letter or a run of it: as many digits; of a fraction up to as many, and for one letter any number."""
    if letters in _RANGES:
        return _RANGES[letters]
    if len(letters) == 1:
        return r"\d+"
    return rf"\d{{{'1,' if letters[0] == 'S' else ''}{len(letters)}}}"


def _told(values: Iterable[str]) -> list[str]:
    return [value.strip() for value in values if value.strip()]
