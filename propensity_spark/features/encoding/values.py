"""One meaning of a column's values in Spark and in plain Python: as a level (text), as a known number, as a bucket's hash."""

import math
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from pyspark.sql import Column
from pyspark.sql import functions as F

Vector = npt.NDArray[np.float64]
Values = Sequence[Any] | npt.NDArray[Any]


def level(column: str) -> Column:
    """The value as text; null where it is missing. Empty text is a value like any other."""
    return F.col(column).cast("string")


def level_of(value: object) -> str | None:
    """What `level` gives for one value of text, truth, whole number or date.

    None and NaN are missing; a whole number that came as 3.0 (a numpy column with gaps) is "3".
    """
    if value is None or value is np.ma.masked:
        return None
    if isinstance(value, (bool, np.bool_)):
        return str(bool(value)).lower()
    if isinstance(value, (float, np.floating)):
        if math.isnan(value):
            return None
        return str(int(value)) if math.isfinite(value) and value == int(value) else str(value)
    return str(value)


def known(column: str) -> Column:
    """The value as DOUBLE; null where it is missing, NaN or infinite."""
    number = F.col(column).cast("double")
    return F.when(F.abs(number) < F.lit(math.inf), number)


def known_of(values: Values) -> Vector:
    """What `known` gives, NaN for null; what is no number is missing."""
    try:
        numbers = np.array(values, dtype=np.float64)
    except (TypeError, ValueError):
        numbers = np.array([_number(value) for value in values], dtype=np.float64)
    return np.where(np.isfinite(numbers), numbers, np.nan)


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def checksum(text: Column) -> Column:
    """CRC-32 of the text's UTF-8, BIGINT in [0, 2^32): the one hash that Spark and every platform's Python share."""
    return F.crc32(text)


def checksum_of(text: str) -> int:
    """What `checksum` gives for one text."""
    return zlib.crc32(text.encode("utf-8", errors="replace"))
