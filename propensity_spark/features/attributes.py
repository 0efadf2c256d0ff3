"""What was known of users and products at a moment: the dated version that held then, not the one that holds now."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from propensity_spark.errors import MissingColumns
from propensity_spark.ingest.events import midnight

_TIMES = ("valid_from", "known_ts")


@dataclass(frozen=True, slots=True)
class Known:
    """Attributes of a key (user_id or product_id) that rows are to carry, as known at the midnights of a time zone.

    `columns`: column -> (attribute, its SQL type: STRING, or DOUBLE, which what is no number does not have).
    """

    key: str
    columns: Mapping[str, tuple[str, str]]
    time_zone: str

    def add_to(self, rows: DataFrame, versions: DataFrame) -> DataFrame:
        """The rows plus the columns, as they were known at the midnight that begins as_of; null where nothing was.

        Takes   rows: as_of DATE and the key; `versions`: silver.user_versions or silver.product_versions.
        """
        asked = rows.withColumn("as_of_ts", midnight(F.col("as_of"), self.time_zone))
        said = F.col("version.attributes")
        values = (said[attribute].cast(kind).alias(column) for column, (attribute, kind) in self.columns.items())
        return known_at(asked, versions, [self.key]).select(*rows.columns, *values)


def known_at(
    spine: DataFrame, versions: DataFrame, keys: Sequence[str], moment: str = "as_of_ts", into: str = "version"
) -> DataFrame:
    """Each row with the version that held, and was known to hold, just before its moment.

    Takes   spine: the keys and `moment` TIMESTAMP (UTC), any further columns, any row as often as it comes;
            versions: the keys, valid_from and known_ts TIMESTAMP, and what else a version says; unique per keys and times.
    Returns the same rows plus `into` STRUCT of the versions' columns without the keys; null where none was known.
            Seen are versions with valid_from < moment and known_ts < moment, exact to the microsecond: the newest
            valid_from wins, then the newest known_ts, so that a correction counts from the moment it was known. valid_to
            is not asked, since it is written in hindsight.
    Raises  MissingColumns where a key or a time is absent.

    One sort per key serves all moments; the spine's own columns stay out of it, and no row is multiplied.
    """
    _check(spine, (*keys, moment), "the spine")
    _check(versions, (*keys, *_TIMES), "the versions")
    asked = spine.select(*keys, F.col(moment).alias("_at")).where(F.col("_at").isNotNull()).distinct()
    answers = _as_of(asked, versions, keys).withColumnRenamed("_at", moment).withColumnRenamed("_version", into)
    return spine.join(answers, on=[*keys, moment], how="left").select(*spine.columns, into)


def _as_of(asked: DataFrame, versions: DataFrame, keys: Sequence[str]) -> DataFrame:
    """The distinct questions (keys, _at) with _version."""
    said = F.struct(*(F.col(c) for c in versions.columns if c not in keys))
    seen_after = F.greatest(*_TIMES)  # both must lie before the moment
    facts = versions.select(*keys, seen_after.alias("_at"), F.struct(*_TIMES).alias("_newest"), said.alias("_version"))
    kinds = {field.name: field.dataType for field in facts.schema}
    empty = [F.lit(None).cast(kinds[c]).alias(c) for c in ("_newest", "_version")]
    both = facts.withColumn("_asks", F.lit(False)).unionByName(asked.select(*keys, "_at", *empty, F.lit(True).alias("_asks")))
    # a question stands before the facts of its own microsecond: they are not yet known
    so_far = (
        Window.partitionBy(*keys)
        .orderBy(F.col("_at"), F.col("_asks").desc())
        .rowsBetween(Window.unboundedPreceding, Window.currentRow)
    )
    return both.select(*keys, "_at", "_asks", _newest().over(so_far).alias("_version")).where("_asks").drop("_asks")


def _newest() -> Column:
    return F.max_by("_version", "_newest")


def _check(frame: DataFrame, wanted: Sequence[str], what: str) -> None:
    missing = [column for column in wanted if column not in frame.columns]
    if missing:
        raise MissingColumns(what, missing, frame.columns, "Give each row its keys and its times.")
