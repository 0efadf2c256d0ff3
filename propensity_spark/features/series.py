"""Numbers from outside the shop as they were known at a moment: by day, by the user's region, by the user's campaigns.

A step function of the moment is small beside the rows that ask for it: each series is answered for the distinct moments (and
regions), by `attributes.known_at`, or from a short list per campaign member; no row is ever multiplied.
"""

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from propensity_spark.config import SeriesConfig
from propensity_spark.errors import MissingColumns
from propensity_spark.features.attributes import known_at
from propensity_spark.features.spec import SERIES, Feature
from propensity_spark.ingest.events import identifier, midnight

_MICROSECOND = "INTERVAL 1 MICROSECOND"
_SALTS = 16  # parts into which the moments that ask for a series without regions are divided


def columns(series: SeriesConfig) -> dict[str, str]:
    """The columns that a series adds, and what each says."""
    by = f" of {series.name}"
    if series.campaign:
        told = {f"{series.name}_active": f"campaigns{by} that the user belongs to and that are on"}
        return told | {f"{series.name}_{v}": f"{v}{by}, summed over the user's campaigns that are on" for v in series.measured}
    told = {f"{series.name}_{v}": f"{v}{by}, the newest known before as_of" for v in series.measured}
    told |= {f"{series.name}_days_ago": f"days since the last day to which the values{by} belong"}
    ahead = {
        f"{series.name}_{v}_next_{n}": f"{v}{by}, planned for the next {n} days" for v in series.measured for n in series.ahead
    }
    return told | ahead


def declare(declared: Sequence[SeriesConfig]) -> tuple[Feature, ...]:
    """The columns as inputs of models, each with all that its values depend on: where a file lies is no part of it."""
    return tuple(
        Feature(name=name, expression=_meaning(series, name), description=said, unit=_unit(series, name), version=1, group=SERIES)
        for series in declared
        for name, said in columns(series).items()
    )


def _unit(series: SeriesConfig, name: str) -> str:
    units = {f"{series.name}_active": "count", f"{series.name}_days_ago": "days"}
    return units.get(name, "value")


def _meaning(series: SeriesConfig, column: str) -> str:
    ahead = {f"{series.name}_{v}_next_{n}": v for v in series.measured for n in series.ahead}
    read = ahead.get(column, column.removeprefix(f"{series.name}_"))
    value = f"{read} = {series.measured[read].removeprefix('=').strip()}" if read in series.measured else "the days"
    place = f" by {series.region} of the users' {series.region_of}" if series.region else ""
    place = f" by {series.campaign}, to which {_belonging(series)}" if series.campaign else place
    known = f"since {series.known}" if series.known else "always" if series.known_in_advance else "from the end of its last day"
    late = f" + {series.delay_days} days {series.delay_minutes} minutes" if series.delay_days or series.delay_minutes else ""
    days = f"from {series.day} to {series.until}" if series.until else f"on {series.day}"
    return f"{value} {days} ({series.time_format}){place}, known {known}{late}; as known at as_of"


def _belonging(series: SeriesConfig) -> str:
    members = series.members
    days = f" from {members.day} to {members.until or members.day}" if members.day else ""
    return f"{members.user} belongs by {members.campaign}{days}{f', known since {members.known}' if members.known else ''}"


def series_at(
    spine: DataFrame,
    declared: Sequence[SeriesConfig],
    rows: DataFrame,
    time_zone: str,
    *,
    members: DataFrame | None = None,
    users: DataFrame | None = None,
    moment: str = "as_of_ts",
) -> DataFrame:
    """Each row with what was known of every series just before its moment.

    Takes   spine: user_id and `moment` TIMESTAMP (UTC), any further columns; rows: silver.series; `members`:
            silver.series_members, for campaigns; `users`: silver.user_versions, for regions.
    Returns the same rows plus `columns` of each series, DOUBLE. A value is that of the newest day which had ended before the
            moment and was known by then (known_ts < moment); by region: in the one that the user was known to live in. Null
            where nothing was known. A campaign is on from its first day to its last, for members of that moment, where both
            were known before it. Planned days are those of `[day, day + n)`, `day` being the moment's in the shop's zone, as
            the plan was known before the moment. Sums over nothing are 0.
    Raises  MissingColumns where a table is absent that a series needs, or the spine lacks a column.
    """
    _check(spine, declared, members, users, moment)
    asked = _asked(spine, declared, users, moment)
    for series in declared:
        own = rows.where(F.col("series") == series.name)
        if series.campaign:
            assert members is not None  # checked above
            asked = _of_campaigns(asked, series, own, members.where(F.col("series") == series.name), time_zone)
        else:
            asked = _newest(asked, series, own, time_zone)
            asked = _ahead(asked, series, own, time_zone) if series.ahead else asked
    made = [name for series in declared for name in columns(series)]
    keys = ["user_id", moment]
    answers = asked.withColumnRenamed("_at", moment).select(*keys, F.struct(*made).alias("_series"))
    return spine.join(answers, on=keys, how="left").select(*spine.columns, *(_filled(name, declared) for name in made))


def _filled(name: str, declared: Sequence[SeriesConfig]) -> Column:
    """A sum over nothing is 0, also for rows without a user or a moment."""
    sums = {c for s in declared for c in columns(s) if s.campaign or "_next_" in c}
    value = F.col(f"_series.{name}")
    return (F.coalesce(value, F.lit(0.0)) if name in sums else value).alias(name)


def _check(
    spine: DataFrame, declared: Sequence[SeriesConfig], members: DataFrame | None, users: DataFrame | None, moment: str
) -> None:
    missing = [c for c in ("user_id", moment) if c not in spine.columns]
    if missing:
        raise MissingColumns("the spine", missing, spine.columns, "Give each row its user and its moment.")
    if members is None and any(s.campaign for s in declared):
        raise MissingColumns("the input of a series by campaign", ["silver.series_members"], [], "Read that table.")
    if users is None and any(s.region for s in declared):
        raise MissingColumns("the input of a series by region", ["silver.user_versions"], [], "Give the shop a `users` table.")


def _asked(spine: DataFrame, declared: Sequence[SeriesConfig], users: DataFrame | None, moment: str) -> DataFrame:
    """The distinct questions: user_id, _at, and a column _region_<attribute> for every attribute that holds one."""
    asked = spine.select("user_id", F.col(moment).alias("_at")).where("user_id IS NOT NULL AND _at IS NOT NULL").distinct()
    attributes = sorted({s.region_of for s in declared if s.region})
    if not attributes or users is None:
        return asked
    found = known_at(asked, users.select("user_id", "valid_from", "known_ts", "attributes"), ["user_id"], "_at")
    regions = (identifier(F.col("version.attributes")[name]).alias(f"_region_{name}") for name in attributes)
    return found.select("user_id", "_at", *regions)


def _place(series: SeriesConfig) -> list[str]:
    return [f"_region_{series.region_of}"] if series.region else []


def _facts(series: SeriesConfig, rows: DataFrame, *columns: Column) -> DataFrame:
    """The rows of a series with its place under the name that questions have."""
    place = [F.col("region").alias(name) for name in _place(series)]
    return rows.select(*place, *columns)


def _newest(asked: DataFrame, series: SeriesConfig, rows: DataFrame, zone: str) -> DataFrame:
    """Add the values of the newest ended day that was known, and how long ago it was."""
    ended = midnight(F.col("until"), zone) - F.expr(_MICROSECOND)
    facts = _facts(series, rows, ended.alias("valid_from"), F.col("known_ts"), F.col("values"), F.col("day"), F.col("until"))
    place = _place(series)
    # one row per day, region and time of knowing; of two spans that end together the later begun speaks
    facts = facts.groupBy(*place, "valid_from", "known_ts").agg(
        F.max_by("values", "day").alias("values"), F.max("until").alias("until")
    )
    salt = F.pmod(F.xxhash64("_at"), F.lit(_SALTS)).alias("_salt")
    moments = asked.select(*place, "_at").distinct().select("*", salt)
    salted = facts.withColumn("_salt", F.explode(F.sequence(F.lit(0).cast("bigint"), F.lit(_SALTS - 1).cast("bigint"))))
    found = known_at(moments, salted, [*place, "_salt"], "_at")
    ago = F.datediff(F.from_utc_timestamp("_at", zone), F.date_sub("version.until", 1)).cast("double")
    values = (F.col("version.values")[v].alias(f"{series.name}_{v}") for v in series.measured)
    answers = found.select(*place, "_at", *values, ago.alias(f"{series.name}_days_ago"))
    return asked.join(answers, on=[*place, "_at"], how="left")


def _replaced() -> Column:
    """Since when a row no longer counts, because a later one of the same day was known."""
    same = Window.partitionBy("region", "campaign", "day").orderBy("known_ts")
    return F.lead("known_ts").over(same)


def _is_known(row: Column, at: Column) -> Column:
    return (row["known_ts"] < at) & (row["replaced_ts"].isNull() | (row["replaced_ts"] >= at))


def _ahead(asked: DataFrame, series: SeriesConfig, rows: DataFrame, zone: str) -> DataFrame:
    """Add the sums over the days to come: each planned row goes to the days that look ahead to it, which are few."""
    furthest, place = max(series.ahead), _place(series)
    plan = rows.withColumn("replaced_ts", _replaced())
    looking = F.explode(F.sequence(F.date_sub("day", furthest - 1), F.date_sub("until", 1))).alias("_day")
    planned = F.struct("day", "until", "known_ts", "replaced_ts", _listed(series, F.col("values")).alias("values"))
    plans = _facts(series, plan, looking, planned.alias("_row")).groupBy(*place, "_day").agg(F.collect_list("_row").alias("_plan"))
    day = F.to_date(F.from_utc_timestamp("_at", zone)).alias("_day")
    moments = asked.select(*place, "_at").distinct().select("*", day)
    met = moments.join(plans, on=[*place, "_day"], how="left")
    names = list(series.measured)
    sums = [_sum_ahead(names.index(v), n).alias(f"{series.name}_{v}_next_{n}") for v in names for n in series.ahead]
    return asked.join(met.select(*place, "_at", *sums), on=[*place, "_at"], how="left")


def _listed(series: SeriesConfig, values: Column) -> Column:
    """The values in the order of their declaration."""
    return F.array(*(values[name] for name in series.measured)) if series.measured else F.array().cast("array<double>")


def _sum_ahead(number: int, days: int) -> Column:
    """A value times the days on which it holds, over `[_day, _day + days)`."""

    def of(row: Column) -> Column:
        common = F.datediff(F.least(row["until"], F.date_add("_day", days)), F.greatest(row["day"], F.col("_day")))
        value = F.coalesce(row["values"][number], F.lit(0.0))
        return F.when(_is_known(row, F.col("_at")) & (common > 0), common * value).otherwise(0.0)

    return F.coalesce(F.aggregate("_plan", F.lit(0.0), lambda total, row: total + of(row)), F.lit(0.0))


def _of_campaigns(asked: DataFrame, series: SeriesConfig, rows: DataFrame, members: DataFrame, zone: str) -> DataFrame:
    """Add how many campaigns of the user are on, and their values: from one list per user."""
    on = rows.select(
        "campaign",
        midnight(F.col("day"), zone).alias("start"),
        midnight(F.col("until"), zone).alias("end"),
        F.col("known_ts").alias("_row_known"),
        _replaced().alias("replaced_ts"),
        _listed(series, F.col("values")).alias("values"),
    )
    both = members.join(on, on="campaign", how="inner")
    lists = both.groupBy("user_id").agg(F.collect_list(_membership()).alias("_all"))
    found = asked.join(lists, on="user_id", how="left").withColumn("_on", _those_on())
    sums = [_sum_on(number).alias(f"{series.name}_{v}") for number, v in enumerate(series.measured)]
    counted = F.size(F.array_distinct(F.transform("_on", lambda row: row["campaign"]))).cast("double")
    return found.select(*asked.columns, F.when(F.col("_on").isNull(), 0.0).otherwise(counted).alias(f"{series.name}_active"), *sums)


def _membership() -> Column:
    return F.struct(
        "campaign",
        F.greatest("start", "valid_from").alias("start"),
        F.coalesce(F.least("end", "valid_to"), "end").alias("end"),
        F.greatest("known_ts", "_row_known").alias("known_ts"),
        "replaced_ts",
        F.col("start").alias("run"),
        "values",
    )


def _those_on() -> Column:
    """The campaigns that are on, each run of one once, however many rows say that the user belongs to it."""
    at = F.col("_at")
    there = F.filter("_all", lambda row: (row["start"] <= at) & (row["end"] > at) & _is_known(row, at))
    return F.array_distinct(
        F.transform(there, lambda r: F.struct(r["campaign"].alias("campaign"), r["run"].alias("run"), r["values"].alias("values")))
    )


def _sum_on(number: int) -> Column:
    def add(total: Column, row: Column) -> Column:
        return total + F.coalesce(row["values"][number], F.lit(0.0))

    return F.coalesce(F.aggregate("_on", F.lit(0.0), add), F.lit(0.0))
