"""How the typed values of a shop's columns (Parquet, Delta, the catalog) are written as text, so that nothing of them is lost."""

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, DataType, DoubleType, FloatType, MapType, StructType, TimestampType

_INSTANT = "yyyy-MM-dd'T'HH:mm:ss.SSSSSS'Z'"  # timeforms.INSTANT is how it looks; a session's time zone is UTC
_EXPONENT_FROM = 1e7  # from here on Java writes 1.2345678E7
_WHOLE_BELOW = 2.0**53  # beyond it a DOUBLE leaves whole numbers out


def written(value: Column, kind: DataType) -> Column:
    """A value of this type as text; nested ones as JSON.

    A TIMESTAMP is an instant and is written with its zone; a TIMESTAMP_NTZ, a wall time, without one.
    """
    if isinstance(kind, StructType | ArrayType | MapType):
        return F.to_json(value)
    return F.date_format(value, _INSTANT) if isinstance(kind, TimestampType) else plain(value, kind)


def plain(value: Column, kind: DataType) -> Column:
    """A value as Spark writes it, but a whole DOUBLE or FLOAT in digits: 12345678 for 1.2345678E7, or ids would not join.

    Those below ten million stay as they are written, 17850.0: `event_types` in use name them so.
    """
    text = value.cast("string")
    if not isinstance(kind, DoubleType | FloatType):
        return text
    size = F.abs(value.cast("double"))
    in_digits = (size >= _EXPONENT_FROM) & (size < _WHOLE_BELOW) & (value == F.floor(value))  # false for NaN: it is above all
    return F.when(in_digits, value.cast("bigint").cast("string")).otherwise(text)
