"""Hashing: a level's bucket, known without having seen it. Nothing is learnt, so nothing can be unseen."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pyspark.sql import Column
from pyspark.sql import functions as F

from propensity_spark.features.encoding.values import Values, Vector, checksum, checksum_of, level, level_of
from propensity_spark.features.spec import Feature

_SIGN = 2**31  # CRC-32's highest bit gives the sign
_MIX, _SHIFT = 0x5BD1E995, 20  # serial numbers leave a pattern in CRC-32's low bits: multiplied, they fill the buckets evenly


@dataclass(frozen=True, slots=True)
class Hashed:
    """1 (signed: or -1) in the bucket of the value's CRC-32, 0 elsewhere; a missing value is in no bucket."""

    column: str
    how: str
    name: str
    buckets: int
    signed: bool

    @property
    def features(self) -> tuple[Feature, ...]:
        """The new columns."""
        names = [f"{self.name}_{bucket}" for bucket in range(self.buckets)]
        what = f"{self.column} falls into this one of {self.buckets} buckets"
        return tuple(Feature(name=name, expression=name, description=what, unit="flag") for name in names)

    def columns(self) -> Sequence[Column]:
        """The new columns' values, never null."""
        code = checksum(level(self.column))
        bucket = F.shiftright(code * F.lit(_MIX), _SHIFT) % F.lit(self.buckets)  # below 2^63
        hit = F.when(code >= F.lit(_SIGN), -1.0).otherwise(1.0) if self.signed else F.lit(1.0)
        return [F.when(bucket == F.lit(number), hit).otherwise(0.0) for number in range(self.buckets)]

    def encode(self, values: Values) -> Sequence[Vector]:
        """What `columns` gives, from values."""
        made = np.zeros((self.buckets, len(values)))
        for row, value in enumerate(values):
            text = level_of(value)
            if text is not None:
                code = checksum_of(text)
                made[bucket_of(code, self.buckets), row] = -1.0 if self.signed and code >= _SIGN else 1.0
        return list(made)


def bucket_of(code: int, buckets: int) -> int:
    """The bucket, from 0, of a value with this CRC-32."""
    return (code * _MIX >> _SHIFT) % buckets
