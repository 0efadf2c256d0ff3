"""The moved boundary: what a table says as of a date must not change when every row from that date on is taken away.

Features are made once more, for some users or products, from events cut off at as_of, and held against what the tables and the
training rows hold. Whatever differs has seen something later: a window that includes as_of, an attribute of the future, a join
on the latest version.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import reduce

from pyspark.sql import Column, DataFrame, Row, Window
from pyspark.sql import functions as F

from propensity_spark.features import compute
from propensity_spark.features.lineage import definition, measures_of, words
from propensity_spark.features.spec import KEYS, Feature, FeatureSet
from propensity_spark.ingest.events import midnight
from propensity_spark.trainset.sampling import uniform

CHECKED = {"pair": "user_id", "user": "user_id", "product": "product_id"}  # entity -> of whose rows its features are made
_SALT = 12
# Marks that need all rows of a visit or an order, or all orders of a user.
_ACROSS_PRODUCTS = {"visit_first", "visit_second", "visit_minutes", "order_first", "order_gap"}


@dataclass(frozen=True, slots=True)
class Chosen:
    """Users or products to look at: values of the column `key`; per as_of, how many have a row just beyond the boundary."""

    key: str
    values: tuple[str, ...]
    witnesses: Mapping[date, int]

    def of(self, frame: DataFrame) -> DataFrame:
        """Their rows: by literals, so that the scan filters and nothing is joined."""
        return frame.where(F.col(self.key).isin(list(self.values)))


def choose(events: DataFrame, moments: DataFrame, key: str, most: int, max_events: int, days: int, share: float = 1.0) -> Chosen:
    """Per as_of, by hash, `most` users (or products) in which a leak at the boundary would show, and as many others.

    Takes   silver.events; `moments` as_of, as_of_ts (a few); `key` user_id or product_id. Only keys with rows in the `days`
            before as_of are looked at, of these a `share`; one whose events do not fit into `max_events` is passed over.
    A witness has an event on the day of as_of, or one before it that was learned of, or known to be taken back, later.
    """
    inside = (F.col("event_date") >= F.date_sub("as_of", days)) & (F.col("event_date") <= F.col("as_of"))
    late = (F.col("event_ts") < F.col("as_of_ts")) & (_later("known_ts") | _later("cancelled_known_ts"))
    witness = (F.col("event_date") == F.col("as_of")) | late
    some = events.where(~F.col("is_bot") & F.col(key).isNotNull() & (uniform(_SALT, key) < share))
    near = some.join(F.broadcast(moments), inside, "inner")
    each = near.groupBy("as_of", F.col(key).alias("key")).agg(F.count(F.lit(1)).alias("rows"), F.max(witness).alias("witness"))
    by_hash = Window.partitionBy("as_of", "witness").orderBy(uniform(_SALT, "key"), "key")
    found = each.withColumn("nth", F.row_number().over(by_hash)).where(F.col("nth") <= most).collect()
    kept = _fitting(found, max_events)
    witnesses = [row["as_of"] for row in found if row["witness"] and row["key"] in kept]
    return Chosen(key, tuple(sorted(kept)), {row["as_of"]: witnesses.count(row["as_of"]) for row in found})


def _later(when: str) -> Column:
    return F.coalesce(F.col(when) >= F.col("as_of_ts"), F.lit(False))


def _fitting(found: Sequence[Row], max_events: int) -> frozenset[str]:
    """The keys whose rows fit together into max_events; witnesses and others in turn."""
    rows: dict[str, int] = {}
    for row in sorted(found, key=lambda r: (r["nth"], not r["witness"], r["as_of"])):
        most = max(rows.get(row["key"], 0), row["rows"])
        if sum(rows.values()) - rows.get(row["key"], 0) + most <= max_events:
            rows[row["key"]] = most
    return frozenset(rows)


def cut_off(events: DataFrame, as_of: date, time_zone: str) -> DataFrame:
    """silver.events as they stood when as_of began: later rows are gone, and so is what was learned later about earlier ones."""
    end = midnight(F.lit(as_of), time_zone)
    before = events.where((F.col("event_date") < F.lit(as_of)) & (F.col("event_ts") < end) & (F.col("known_ts") < end))
    taken_back = F.col("cancelled_known_ts") < end
    return before.select(
        *(
            F.when(taken_back, F.col(name)).alias(name) if name in ("cancelled_ts", "cancelled_known_ts") else name
            for name in events.columns
        )
    )


def features_of(declared: FeatureSet, entity: str) -> tuple[Feature, ...]:
    """The features that rows of the chosen keys alone can make: a product's rows are no whole visits and orders."""
    every = declared.of(entity)
    if CHECKED[entity] == "user_id":
        return every
    return tuple(f for f in every if not words(definition(declared, entity, f).text) & _ACROSS_PRODUCTS)


def measured(events: DataFrame, dates: Sequence[date], time_zone: str, declared: FeatureSet, key: str) -> DataFrame:
    """The measures behind the features of a key's entities, of each date from the events cut off at it.

    Takes   silver.events of the chosen users or products, all that there are before the last date: an order may be older than
            the features' history. Returns one row per as_of, user_id, product_id.
    """
    features = [f for entity, of in CHECKED.items() if of == key for f in features_of(declared, entity)]
    parts = []
    for day in dates:
        moment = compute.moments(events, [day], time_zone)
        parts.append(compute.as_seen(compute.mark_firsts(cut_off(events, day, time_zone)), moment, declared.history_days))
    return compute.measure_pairs(reduce(DataFrame.unionByName, parts), measures_of(declared, features))


def again(pairs: DataFrame, declared: FeatureSet, entity: str) -> DataFrame:
    """The features of an entity of CHECKED from what `measured` returned for its key: as_of, the keys and the features."""
    features = features_of(declared, entity)
    if entity == "pair":
        return compute.pair_features(pairs, features)
    return compute.roll_up(pairs, ("as_of", *KEYS[entity]), features)
