"""Job: totals of users, products and pairs, built once and then advanced by what each day changes.

features.totals holds, per date, either a base (all keys) or the changes since the date before. Every date is one commit: a
killed run leaves dates as before or as after, and the next run goes on behind the last one that stands.
"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from itertools import takewhile
from uuid import uuid4

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from propensity_spark import tables
from propensity_spark.config import Config
from propensity_spark.errors import ConfigError, InsufficientData
from propensity_spark.features import incremental, totals
from propensity_spark.features.declared import ENTITIES, Total
from propensity_spark.features.definitions import shop_totals
from propensity_spark.features.kernel import Calendar
from propensity_spark.pipeline import extent
from propensity_spark.progress import Progress
from propensity_spark.schemas import TOTALS

_NO_LIMIT = str(2**40)
_LAYOUT = 2  # raised where rows written before cannot be merged with new ones
_HASHES, _MODULUS = 2**31, 2**62  # sums of a thousand million hashes, and of days, are whole numbers of 64 bits
_DATE = "date"  # the entity of a row that only tells that a date stands
ROWS_A_TASK = 1_500_000  # what a task holds in memory: some 300 MB


@dataclass(frozen=True)  # without slots, since `_heard` is kept
class Shop:
    """What totals are made from: the events, what is declared, the shop's days, and how many tasks they take."""

    events: DataFrame
    declared: tuple[Total, ...]
    first: date
    last: date
    time_zone: str
    tasks: int

    def days(self, *dates: date) -> Calendar:
        """The shop's days, over the events and the dates."""
        return totals.calendar(min(self.first, *dates), max(self.last, *dates), self.time_zone)

    @property
    def version(self) -> str:
        """Changes with any declaration, and with what the table's rows say."""
        return hashlib.sha256(repr((_LAYOUT, self.declared, self.time_zone)).encode()).hexdigest()[:12]

    def heard_before(self, as_of: date) -> int:
        """A checksum of what was known when the date began: it tells whether its totals rest on the events as they are now."""
        return sum(checksum for day, checksum in self._heard if day < as_of) % _MODULUS

    @cached_property
    def _heard(self) -> tuple[tuple[date, int], ...]:
        """Of what became known on each of the shop's days: one pass over numbers, at most one per run.

        Summed, since equal rows would take one another out of an exclusive or. Not seen is a row that is another user's or
        product's now and else the same: texts are most of the table, and every day's run would read them.
        """
        known = F.to_date(F.from_utc_timestamp(F.timestamp_micros("known"), self.time_zone))
        what = F.sum(F.pmod(F.xxhash64("ts", "known", "event", "amount", "quantity"), F.lit(_HASHES)))
        days = totals.told(self.events).groupBy(known.alias("day")).agg(what.alias("heard")).collect()
        return tuple((row["day"], row["heard"]) for row in days)


@dataclass(frozen=True, slots=True)
class Standing:
    """The dates that stand in features.totals, oldest first, and the id of the base that the first of them is.

    `heard`: what `Shop.heard_before` said of each when it was written; None in tables that do not tell.
    """

    base: str
    dates: tuple[date, ...]
    heard: tuple[int | None, ...]


def shop(spark: SparkSession, config: Config) -> Shop:
    """The shop as silver.events has it.

    Raises InsufficientData where that is empty.
    """
    found = extent.look(spark, config)
    declared = shop_totals(config.features, found.types)
    events = tables.read(spark, "silver.events")
    return Shop(events, declared, found.first, found.last, config.shop.time_zone, tasks(spark, found.rows))


def tasks(spark: SparkSession, rows: int) -> int:
    """Into how many tasks so many rows are divided: every slot gets as many tasks, and none too many rows."""
    slots = totals.slots(spark)
    return slots * max(1, -(-rows // (ROWS_A_TASK * slots)))


def run(spark: SparkSession, config: Config, as_of: date, since: date | None, progress: Progress) -> None:
    """Bring features.totals to as_of: from the date that stands, or with `since` day by day from there.

    Dates that stand are left alone, but those before which other events are known now than were then are made anew. Other
    declarations than those that stand begin anew, and so does a `since` behind which a day does not stand.
    Raises ConfigError where `since` is after as_of, or as_of is before what stands or between two dates that stand.
    """
    if since and since > as_of:
        raise ConfigError(f"--since {since} is after --as-of {as_of}: there is no day between them")
    made = shop(spark, config)
    standing = _standing(spark, made.version)
    if standing is None or (since and not _stand(standing, since, as_of)):
        standing = build(spark, made, since or as_of, progress)
    else:
        standing = _renewed(spark, made, standing, progress)
    if as_of < standing.dates[-1] and as_of not in standing.dates:
        raise ConfigError(
            f"totals stand as of {standing.dates[0]} to {standing.dates[-1]}, and {as_of} is not among them; "
            f"--since {as_of} builds them anew from there"
        )
    for day in _steps(standing.dates[-1], as_of, since):
        standing = advance(spark, made, standing, day, progress)
    at = standing.dates[-1]
    progress.say(f"  totals          as of {at}, {len(ENTITIES)} entities, {len(made.declared)} totals")


def _renewed(spark: SparkSession, made: Shop, standing: Standing, progress: Progress) -> Standing:
    """With the dates anew that rest on other events than there are now: a log without ingested_ts may tell of old days late."""
    told = zip(standing.dates, standing.heard, strict=True)
    kept = len(list(takewhile(lambda date_: made.heard_before(date_[0]) == date_[1], told)))
    changed = standing.dates[kept:]
    if not changed:
        return standing
    progress.say(f"  totals          other events are known before {changed[0]} than were: made anew from there")
    if not kept:
        standing, changed = build(spark, made, changed[0], progress), changed[1:]
    else:
        nothing = tables.read(spark, TOTALS.name, "false")
        tables.replace(nothing, TOTALS.name, f"as_of >= DATE'{changed[0]}'", made.version)
        standing = Standing(standing.base, standing.dates[:kept], standing.heard[:kept])
    for day in changed:
        standing = advance(spark, made, standing, day, progress)
    return standing


def _stand(standing: Standing, since: date, as_of: date) -> bool:
    """Whether every day from `since` stands, up to as_of or to the last that does: what is behind that can be added."""
    days = (min(as_of, standing.dates[-1]) - since).days + 1
    return {since + timedelta(days=n) for n in range(days)} <= {*standing.dates}


def _steps(at: date, as_of: date, since: date | None) -> Sequence[date]:
    if as_of <= at:
        return []
    return [at + timedelta(days=n + 1) for n in range((as_of - at).days)] if since else [as_of]


def build(spark: SparkSession, made: Shop, as_of: date, progress: Progress) -> Standing:
    """Write the base of a date, in place of all that stands."""
    with progress.stage("totals base") as stage, _whole_files(spark):
        added = totals.contributions(made.events, made.declared)
        rows = totals.at_dates(added, made.declared, [as_of], made.days(as_of), made.tasks)
        standing = Standing(uuid4().hex, (as_of,), (made.heard_before(as_of),))
        stage.rows_out = tables.overwrite(_stamped(rows, as_of, made, standing.base), TOTALS.name, made.version)
        stage.note = f"as of {as_of}"
    return standing


def advance(spark: SparkSession, made: Shop, standing: Standing, after: date, progress: Progress) -> Standing:
    """Write what `after` changes in the totals as of the last date that stands."""
    with progress.stage("totals change") as stage, _whole_files(spark):
        before = standing.dates[-1]
        days = made.days(standing.dates[0], after)
        rows = incremental.changes(made.events, made.declared, standing.dates[0], before, after, days)
        tables.append_blindly(_stamped(rows, after, made, standing.base), TOTALS.name, made.version)
        stage.note = f"as of {after}"
    return Standing(standing.base, (*standing.dates, after), (*standing.heard, made.heard_before(after)))


@contextmanager
def _whole_files(spark: SparkSession) -> Iterator[None]:
    """Files are read by one task each: silver.events keeps a user in one file, and a user in two tasks has two parts.

    And written in pages as long as Parquet makes them: nobody looks for few rows of the totals.
    """
    settings = {
        "spark.sql.files.maxPartitionBytes": _NO_LIMIT,
        "spark.sql.files.openCostInBytes": _NO_LIMIT,
        "parquet.page.row.count.limit": "20000",
    }
    before = {name: spark.conf.get(name, None) for name in settings}
    try:
        for name, value in settings.items():
            spark.conf.set(name, value)
        yield
    finally:
        for name, old in before.items():
            if old is None:
                spark.conf.unset(name)
            else:
                spark.conf.set(name, old)


def _stamped(rows: DataFrame, as_of: date, made: Shop, base: str) -> DataFrame:
    """With the declarations' version, and one more row, of no entity, which tells that the date stands, even without others.

    That row alone has the id of the write, which begins with that of its base: see `_standing`. What it has seen is no number
    of events but `Shop.heard_before`.
    """
    heard = F.lit(made.heard_before(as_of)).cast("bigint")
    told = {"as_of": F.lit(as_of), "entity": F.lit(_DATE), "seen": heard, "write_id": F.lit(f"{base}-{uuid4().hex}")}
    day = rows.sparkSession.range(1).select(*(value.alias(name) for name, value in told.items()))
    return rows.unionByName(day, allowMissingColumns=True).withColumn("totals_version", F.lit(made.version))


def _standing(spark: SparkSession, version: str) -> Standing | None:
    """What stands under these declarations; None where nothing does.

    Of two runs at the same time both may write a date, or one may add to a base that the other replaces. A write looks at
    nothing in the table, to cost the same however much there is; so it is here that such a table is told from a good one.
    """
    if tables.last_note(spark, TOTALS.name) != version:
        return None
    writes = tables.read(spark, TOTALS.name, f"entity = '{_DATE}'").select("as_of", "seen", "write_id").collect()
    heard, bases = {row["as_of"]: row["seen"] for row in writes}, {row["write_id"].split("-")[0] for row in writes}
    dates = sorted(heard)
    whole = len(bases) == 1 and len(writes) == len(dates)  # one write per date
    return Standing(bases.pop(), tuple(dates), tuple(heard[day] for day in dates)) if whole else None


def read(spark: SparkSession, made: Shop, entity: str, as_of: date) -> DataFrame:
    """An entity's totals at a date that stands, of the events as they were at its last `run`: its keys, seen, and the totals.

    Raises InsufficientData where the date does not stand.
    """
    standing = _standing(spark, made.version)
    if standing is None or as_of not in standing.dates:
        raise InsufficientData(f"features.totals does not stand as of {as_of}: run `propensity totals --as-of {as_of}`")
    base, rows = standing.dates[0], tables.read(spark, TOTALS.name)
    merged = rows.where((F.col("as_of") == F.lit(base)) & (F.col("entity") == entity))
    if as_of > base:
        behind = (F.col("as_of") > F.lit(base)) & (F.col("as_of") <= F.lit(as_of))
        since = rows.where(behind & (F.col("entity") != _DATE))  # of pairs, which say what changes for users and products as well
        added = incremental.in_windows(since, made.declared, base, as_of)
        merged = merged.select(*added.columns).unionByName(added)
    return incremental.merge(merged, made.declared, entity, as_of, made.days(as_of))
