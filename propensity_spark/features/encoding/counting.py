"""How often each value of each encoded column occurs and was bought: one aggregation for all encoders."""

from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter

import numpy as np
from pyspark.sql import DataFrame, Row, Window
from pyspark.sql import functions as F

from propensity_spark.config import EncoderConfig
from propensity_spark.features.encoding.summary import fixed_weight
from propensity_spark.features.encoding.target import Counts, fold
from propensity_spark.features.encoding.values import level

_LEVEL, _OTHER, _MISSING = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Counted:
    """An encoder's levels, by falling weight and then by value, with their sums in 1 / WEIGHT_STEPS rows.

    `weight` and `bought` are [level, fold]; their last two rows are of all other values, and of missing ones.
    """

    levels: tuple[str, ...]
    weight: Counts
    bought: Counts


def count(rows: DataFrame, encoders: Sequence[EncoderConfig], seed: int) -> list[Counted]:
    """Count the levels of every encoder; only its most frequent ones leave Spark.

    Takes   user_id, label (0, 1), weight and the encoders' columns.
    """
    if not encoders:
        return []
    found: list[list[Row]] = [[] for _ in encoders]
    for row in _kept(_sums(rows, encoders, seed), encoders).collect():
        found[row["encoder"]].append(row)
    return [_counted(mine, _folds(encoder)) for mine, encoder in zip(found, encoders, strict=True)]


def _folds(encoder: EncoderConfig) -> int:
    return encoder.folds if encoder.how == "target" else 1


def _sums(rows: DataFrame, encoders: Sequence[EncoderConfig], seed: int) -> DataFrame:
    """encoder INT (its place), level, fold, and the sums of weight and of weight * label."""
    places = [
        F.struct(
            F.lit(place).alias("encoder"),
            level(encoder.column).alias("level"),
            (fold(seed, encoder.folds) if encoder.how == "target" else F.lit(0)).alias("fold"),
        )
        for place, encoder in enumerate(encoders)
    ]
    stacked = rows.select(F.explode(F.array(*places)).alias("_"), fixed_weight().alias("weight"), "label")
    return _totals(stacked.select("_.*", "weight", (F.col("weight") * F.col("label")).alias("bought")), "encoder", "level", "fold")


def _totals(rows: DataFrame, *keys: str) -> DataFrame:
    return rows.groupBy(*keys).agg(*(F.sum(part).alias(part) for part in ("weight", "bought")))


def _kept(sums: DataFrame, encoders: Sequence[EncoderConfig]) -> DataFrame:
    """The sums of the most frequent levels; all others are one, without a level, and so are missing values."""
    parts = F.collect_list(F.struct("fold", "weight", "bought")).alias("parts")
    by_level = sums.groupBy("encoder", "level").agg(F.sum("weight").alias("total"), parts)
    first = Window.partitionBy("encoder", F.col("level").isNull()).orderBy(F.col("total").desc(), F.col("level").asc())
    most = F.element_at(F.array(*(F.lit(encoder.most_levels) for encoder in encoders)), F.col("encoder") + 1)
    kind = F.when(F.col("level").isNull(), _MISSING).when(F.row_number().over(first) <= most, _LEVEL).otherwise(_OTHER)
    ranked = by_level.select("encoder", "level", "parts", kind.alias("kind"))
    named = F.when(F.col("kind") == _LEVEL, F.col("level")).alias("level")
    flat = ranked.select("encoder", "kind", named, F.inline("parts"))
    return _totals(flat, "encoder", "kind", "level", "fold")


def _counted(rows: Sequence[Row], folds: int) -> Counted:
    totals: dict[str, int] = {}
    for row in rows:
        if row["kind"] == _LEVEL:
            totals[row["level"]] = totals.get(row["level"], 0) + row["weight"]
    levels = tuple(name for name, _ in sorted(sorted(totals.items()), key=itemgetter(1), reverse=True))
    place = {name: number for number, name in enumerate(levels)}
    weight, bought = (np.zeros((len(levels) + 2, folds), dtype=np.int64) for _ in range(2))
    for row in rows:
        at = place[row["level"]] if row["kind"] == _LEVEL else len(levels) + row["kind"] - _OTHER
        weight[at, row["fold"]], bought[at, row["fold"]] = row["weight"], row["bought"]
    return Counted(levels, weight, bought)
