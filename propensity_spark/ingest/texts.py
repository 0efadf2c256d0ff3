"""How the typed values of a shop's columns (Parquet, Delta, the catalog) are written as text, so that nothing of them is lost."""

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, DataType, MapType, StructType, TimestampType

_INSTANT = "yyyy-MM-dd'T'HH:mm:ss.SSSSSS'Z'"  # timeforms.INSTANT is how it looks; a session's time zone is UTC


def written(value: Column, kind: DataType) -> Column:
    """A value of this type as text; nested ones as JSON.

    A TIMESTAMP is an instant and is written with its zone; a TIMESTAMP_NTZ, a wall time, without one.
    """
    if isinstance(kind, StructType | ArrayType | MapType):
        return F.to_json(value)
    return F.date_format(value, _INSTANT) if isinstance(kind, TimestampType) else value.cast("string")
