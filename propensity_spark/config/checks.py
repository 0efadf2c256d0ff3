"""The checks that settings share: each raises ConfigError naming the key, what it must be and what it is."""

import codecs
import re
from difflib import get_close_matches
from zoneinfo import available_timezones

from propensity_spark.errors import ConfigError

# Letters that Spark reads, and how many of each in a run at most.
_READ_BY_SPARK = {
    "a": 1,
    **dict.fromkeys("dHhKkms", 2),
    "D": 3,
    **dict.fromkeys("GMLzO", 4),
    **dict.fromkeys("XxZ", 5),
    "y": 6,
    "S": 9,
    "V": 2,
}
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


def text_encoding(key: str, value: str) -> None:
    """Refuse an encoding in which a line's end is more than one byte: Spark cuts files at that byte, and lines lose letters."""
    try:
        is_wide = codecs.lookup(value).name.startswith(("utf-16", "utf-32"))
    except LookupError:  # what Java alone knows; reading says where nobody does
        return
    if is_wide:
        raise ConfigError(f"{key}: files in {value} cannot be cut into lines; save them as UTF-8")


def named(key: str, value: str) -> None:
    """Refuse what could not be part of a column's name."""
    if not _NAME.fullmatch(value):
        raise ConfigError(f"{key} must be letters, digits and _, beginning with a letter; got {value!r}")


def time_pattern(key: str, value: str, forms: tuple[str, ...]) -> None:
    """Refuse what is neither one of the forms nor a pattern by which Spark reads days, or that would lose the afternoons."""
    bare = re.sub(r"'[^']*'", "", value)
    runs = [run.group(0) for run in re.finditer(r"([A-Za-z])\1*", bare)]
    letters = {run[0] for run in runs}
    if not {"y", "d"} <= letters or not letters & {"M", "L"}:
        raise ConfigError(f"{key} must be {', '.join(forms)} or a pattern such as dd/MM/yyyy HH:mm, got {value!r}")
    strange = {run for run in runs if len(run) > _READ_BY_SPARK.get(run[0], 0) or run in ("V", "OO", "OOO")}
    if unread := sorted(strange | set(bare) & set("{}#'") | ({"]"} if bare.count("[") < bare.count("]") else set())):
        raise ConfigError(
            f"{key}: Spark reads nothing by {' '.join(unread)} in {value!r}; put words in single quotes, and cut off what names "
            'no time (the day of the week, say) by an expression in its place: "= substr(COLUMN, 6)"'
        )
    if sum(run[0] in "ML" for run in runs) > 1:
        raise ConfigError(f"{key}: the month stands twice in {value!r}; minutes are m")
    if half := sorted(letters & {"h", "K"}) if not letters & {"a", "H", "k"} else []:
        raise ConfigError(f"{key}: {half[0]} in {value!r} counts to 12, and no `a` (AM or PM) follows; write H for hours up to 23")
