"""How logs write times: the forms that a look at a few values can tell apart."""

import re
from collections.abc import Iterable

_ISO = r"\d{4}(-\d{1,2}(-\d{1,2}([T ].*)?)?)?"
FORMS = {  # time.format -> what its values look like; the first that fits all values is taken
    "epoch_s": r"-?\d{9,10}(\.\d+)?",
    "epoch_ms": r"-?\d{12,13}(\.\d+)?",
    "iso": _ISO,
    "dd.MM.yyyy HH:mm:ss": r"\d{2}\.\d{2}\.\d{4} \d{2}:\d{2}:\d{2}",
    "dd.MM.yyyy HH:mm": r"\d{2}\.\d{2}\.\d{4} \d{2}:\d{2}",
    "dd.MM.yyyy": r"\d{2}\.\d{2}\.\d{4}",
    "dd/MM/yyyy HH:mm:ss": r"\d{2}/\d{2}/\d{4} \d{2}:\d{2}:\d{2}",
    "d/M/yyyy H:mm": r"\d{1,2}/\d{1,2}/\d{4} \d{1,2}:\d{2}",
    "yyyyMMdd": r"(19|20)\d{2}(0[1-9]|1[0-2])([0-2]\d|3[01])",
}
_NUMBERS = ("epoch_s", "epoch_ms", "yyyyMMdd")  # other columns hold such numbers too


def recognise(values: Iterable[str]) -> str:
    """The form in which all the values are written; empty where there is none, or no value."""
    told = _told(values)
    return next((form for form, look in FORMS.items() if told and all(re.fullmatch(look, value) for value in told)), "")


def is_surely_time(values: Iterable[str]) -> bool:
    """Whether the values are dates by their looks, not numbers that may be anything."""
    return recognise(value for value in values if not value.strip().isdigit()) not in ("", *_NUMBERS)


def misfit(form: str, values: Iterable[str]) -> str:
    """A value in proof that none of them is written in the form; empty where one is, or where it cannot be told."""
    told = _told(values)
    look = FORMS.get(form)
    if not told or look is None or any(re.fullmatch(look, value) for value in told):
        return ""
    return told[0]


def _told(values: Iterable[str]) -> list[str]:
    return [value.strip() for value in values if value.strip()]
