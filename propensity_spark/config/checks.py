"""The checks that settings share: each raises ConfigError naming the key, what it must be and what it is."""

import re
from difflib import get_close_matches
from zoneinfo import available_timezones

from propensity_spark.errors import ConfigError

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


def within(key: str, value: float, low: float, high: float) -> None:
    """Refuse a number outside its range."""
    if not low <= value <= high:
        raise ConfigError(f"{key} must be in [{low}, {high}], got {value!r}")


def one_of(key: str, value: str, choices: tuple[str, ...]) -> None:
    """Refuse a word that is not among the choices."""
    if value not in choices:
        raise ConfigError(f"{key} must be one of {', '.join(choices)}; got {value!r}")


def zone(key: str, value: str) -> None:
    """Refuse what is no IANA time zone."""
    known = available_timezones()
    if value not in known:
        raise ConfigError(f"{key} must be an IANA time zone such as Europe/London, got {value!r}{_meant(value, known)}")


def _meant(value: str, known: set[str]) -> str:
    """The zone that a misspelt one, or a city alone, is likely to mean; empty where none is near."""
    cities = {name.rpartition("/")[2].lower(): name for name in sorted(known, key=len, reverse=True)}
    spelt = {**cities, **{name.lower(): name for name in known}}
    near = get_close_matches(value.strip().replace(" ", "_").lower(), spelt, n=1, cutoff=0.75)
    return f"; did you mean {spelt[near[0]]}?" if near else ""


def delimiter(key: str, value: str) -> None:
    """Refuse what is not one character."""
    if len(value) != 1:
        raise ConfigError(f'{key} must be one character (a tab is "\\t" in double quotes), got {value!r}')


def named(key: str, value: str) -> None:
    """Refuse what could not be part of a column's name."""
    if not _NAME.fullmatch(value):
        raise ConfigError(f"{key} must be letters, digits and _, beginning with a letter; got {value!r}")
