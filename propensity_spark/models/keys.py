"""Columns of keys that a model reads beside its numbers: each key's bucket, by a hash that is the same everywhere."""

from collections.abc import Sequence
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F


@dataclass(frozen=True, slots=True)
class Key:
    """A column of keys, and into how many buckets they fall."""

    column: str
    buckets: int

    @property
    def name(self) -> str:
        """The name of the column of buckets."""
        return f"_bucket_{self.column}_{self.buckets}"

    def bucket(self) -> Column:
        """DOUBLE from 1 to `buckets`, by the key as text; 0 where there is none. Two keys may fall into one bucket."""
        text = F.col(self.column).cast("string")
        place = F.pmod(F.xxhash64(text), F.lit(self.buckets)) + 1
        return F.when(text.isNull(), 0.0).otherwise(place.cast("double")).alias(self.name)


def found(rows: DataFrame, columns: Sequence[str], buckets: int) -> tuple[Key, ...]:
    """The keys of those columns that the rows have."""
    return tuple(Key(column, buckets) for column in columns if column in rows.columns)
