"""Numbers from outside the shop: what holds on which days, since when it was known, and who belongs to a campaign."""

from collections.abc import Sequence
from functools import reduce

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from propensity_spark.config import Config, SeriesConfig
from propensity_spark.errors import SourceError
from propensity_spark.ingest import listed, quality
from propensity_spark.ingest.events import identifier, midnight, moment
from propensity_spark.ingest.versions import ever
from propensity_spark.schemas import SERIES, SERIES_MEMBERS

_LONGEST = 3660  # days of one row: a longer one is a slip of the pen


def parse(spark: SparkSession, series: SeriesConfig, config: Config) -> DataFrame:
    """The rows of a series, each with the reasons against it.

    Returns the columns of silver.series (`until`: the day after the last), the text _time as received, and reasons
            ARRAY<STRING>: empty for a good row. known_ts is the last microsecond of the last day in the shop's time zone,
            `delay_days` of its calendar and `delay_minutes` later: what a day adds up to is known with its last event.
    Raises  MissingColumns where the mapping does not fit; SourceError where an expression cannot be read.
    """
    where, zone, form = f"series.{series.name}", config.shop.time_zone, series.time_format
    columns = [series.day, series.until, series.region, series.campaign, series.known, *series.measured.values()]
    raw = listed.read(spark, series, columns, where)
    texts = _texts(raw, series, where)
    day, last, known = (moment(F.col(c), form, zone) for c in ("_day", "_until", "_known"))
    read = texts.select(
        "*",
        _day(day, zone).alias("day"),
        F.date_add(_day(F.when(_is_there("_until"), last).otherwise(day), zone), 1).alias("until"),
        known.alias("_known_ts"),
    )
    return read.select(
        F.lit(series.name).alias("series"),
        "day",
        "until",
        identifier(F.col("_region")).alias("region"),
        identifier(F.col("_campaign")).alias("campaign"),
        _values(list(series.measured)).alias("values"),
        F.coalesce("_known_ts", _known(series, zone)).alias("known_ts"),
        F.col("_day").alias("_time"),
        _against(series).alias("reasons"),
    )


def _texts(raw: DataFrame, series: SeriesConfig, where: str) -> DataFrame:
    parts = {"_day": series.day, "_until": series.until, "_region": series.region, "_campaign": series.campaign}
    parts |= {"_known": series.known} | {f"_value_{name}": mapped for name, mapped in series.measured.items()}
    try:
        return raw.select(*(listed.column(raw, mapped).alias(name) for name, mapped in parts.items()))
    except Exception as problem:
        if type(problem).__name__ in ("AnalysisException", "ParseException"):
            raise SourceError(f"{where}.values: {str(problem).splitlines()[0]}") from None
        raise


def _is_there(text: str) -> Column:
    return F.coalesce(F.trim(text), F.lit("")) != ""


def _day(instant: Column, zone: str) -> Column:
    """The shop's day of an instant."""
    return F.to_date(F.from_utc_timestamp(instant, zone))


def _known(series: SeriesConfig, zone: str) -> Column:
    if series.known_in_advance:
        return ever()
    end = midnight(F.date_add("until", series.delay_days), zone)
    return end - F.expr("INTERVAL 1 MICROSECOND") + F.expr(f"INTERVAL {series.delay_minutes} MINUTES")


def _number(name: str) -> Column:
    """A value as a number; true counts 1."""
    text = F.col(f"_value_{name}")
    return F.when(text.isin("true", "false"), (text == "true").cast("double")).otherwise(text.cast("double"))


def _values(names: Sequence[str]) -> Column:
    """The values that are there, by name."""
    if not names:
        return F.create_map().cast("map<string,double>")
    every = F.map_from_arrays(F.array(*map(F.lit, names)), F.array(*map(_number, names)))
    return F.map_filter(every, lambda _, value: value.isNotNull())


def _against(series: SeriesConfig) -> Column:
    col = F.col
    names = list(series.measured)
    found = [
        quality.missing(F.when(_is_there("_day"), col("_day")), "day"),
        quality.unparsable(col("_day"), col("day"), "day"),
        quality.unparsable(col("_until"), F.when(_is_there("_until"), col("until")), "until"),
        quality.unparsable(col("_known"), col("_known_ts"), "known"),
        F.when(col("until") <= col("day"), F.lit("until lies before day")),
        F.when(F.datediff("until", "day") > _LONGEST, F.lit(f"it holds for more than {_LONGEST} days")),
        *(quality.unparsable(col(f"_value_{name}"), _number(name), name) for name in names),
        *(quality.not_finite(_number(name), name) for name in names),
    ]
    if series.region:
        found.append(quality.missing(identifier(col("_region")), "region"))
    if series.campaign:
        found.append(quality.missing(identifier(col("_campaign")), "campaign"))
    if names:
        blank = reduce(Column.__and__, (~_is_there(f"_value_{name}") for name in names))
        found.append(F.when(blank, F.lit("every value is missing")))
    return quality.reasons(*found)


def parse_members(spark: SparkSession, series: SeriesConfig, config: Config) -> DataFrame:
    """Who belongs to the campaigns of a series, each row with the reasons against it.

    Returns the columns of silver.series_members, the texts as for `parse`, and reasons. A row without days holds as long as
            the campaign runs. It is known since `known` says, else always where the series is known in advance or the
            row has no days, else since it begins.
    """
    listing, zone, form = series.members, config.shop.time_zone, series.time_format
    mapped = {"campaign": listing.campaign, "user": listing.user, "_day": listing.day, "_until": listing.until}
    mapped |= {"_known": listing.known}
    raw = listed.read(spark, listing, mapped.values(), f"series.{series.name}.members")
    texts = raw.select(*(listed.column(raw, name).alias(part) for part, name in mapped.items()))
    day, last = (_day(moment(F.col(c), form, zone), zone) for c in ("_day", "_until"))
    read = texts.select(
        "*", day.alias("day"), F.date_add(last, 1).alias("until"), moment(F.col("_known"), form, zone).alias("_known_ts")
    )
    start = F.when(_is_there("_day"), midnight(F.col("day"), zone)).otherwise(ever())
    return read.select(
        F.lit(series.name).alias("series"),
        identifier(F.col("campaign")).alias("campaign"),
        identifier(F.col("user")).alias("user_id"),
        start.alias("valid_from"),
        midnight(F.col("until"), zone).alias("valid_to"),
        F.coalesce("_known_ts", ever() if series.known_in_advance else start).alias("known_ts"),
        F.col("_day").alias("_time"),
        _against_member().alias("reasons"),
    )


def _against_member() -> Column:
    col = F.col
    return quality.reasons(
        quality.missing(identifier(col("campaign")), "campaign"),
        quality.missing(identifier(col("user")), "user"),
        quality.unparsable(col("_day"), col("day"), "day"),
        quality.unparsable(col("_until"), col("until"), "until"),
        quality.unparsable(col("_known"), col("_known_ts"), "known"),
        F.when(col("until") <= col("day"), F.lit("until lies before day")),
    )


def once(good: DataFrame) -> DataFrame:
    """silver.series: one row per key; of rows that differ, the one that comes last in the order of what it says."""
    return listed.one_of_each(good.select(*SERIES.columns), SERIES.keys).select(*SERIES.columns)


def members_once(good: DataFrame) -> DataFrame:
    """silver.series_members: one row per key, by the same rule."""
    return listed.one_of_each(good.select(*SERIES_MEMBERS.columns), SERIES_MEMBERS.keys).select(*SERIES_MEMBERS.columns)
