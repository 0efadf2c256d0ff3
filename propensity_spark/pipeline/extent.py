"""What silver.events spans, which says what dates a run can have."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise
from statistics import median

from pyspark.sql import Row, SparkSession
from pyspark.sql import functions as F

from propensity_spark import tables
from propensity_spark.config import Config
from propensity_spark.errors import InsufficientData
from propensity_spark.ingest.lateness import AT_ONCE, Lateness

_ENDS_EARLY = 2 * 3600  # seconds before the usual end of a day
_USUAL_DAYS = 28
_A_DAY, _QUIET = timedelta(days=1), timedelta(days=90)
_HANDOVER = timedelta(days=28)  # from the end of a log to the beginning of the one that takes its place, or the other way round
_FEW = 0.001  # of all rows
_MOST = 0.95  # of a day's purchases
_EMPTY = "silver.events is empty: nothing was accepted. See silver.events_rejected for the reasons."


@dataclass(frozen=True, slots=True)
class Extent:
    """What silver.events spans: its first and last day, its event types, its rows, and how late its newest purchases were known.

    `sold`: the last day to which the logs that bring purchases reach. `full`: the last one of these that the data cover to its end.
    `bought`: the last day with a purchase; `pause`: the longest time between two such days shortly before it, none where there
    are no two. `ended`: the logs that bring purchases and ended lately, before others of them did, with their last days.
    `strays`: how many rows lie alone before all others, the last day of these, and the first one after the silence.
    """

    first: date
    last: date
    sold: date
    full: date
    types: frozenset[str]
    rows: int
    late: Lateness
    bought: date | None = None
    pause: timedelta | None = None
    ended: tuple[tuple[str, date], ...] = ()
    strays: tuple[int, date, date] | None = None

    def doubts(self, as_of: date) -> tuple[str, ...]:
        """What a date's labels may lack, a sentence each."""
        found = []
        if self.sold < self.last and as_of > self.sold:
            days = (self.last - self.sold).days
            before = "a day" if days == 1 else f"{days} days"
            found.append(f"purchases end on {self.sold}, {before} before other events: so does what is learnt from")
        if self.bought and self.pause and as_of > self.full and self.full - self.bought >= self.pause:
            found.append(
                f"the last purchase is of {self.bought}, and their log goes on until {self.full}: so long a pause there was not in "
                f"the {_QUIET.days} days before; has an event type changed its name? See silver.events_rejected"
            )
        for source, last in self.ended:
            if as_of > last + _A_DAY:
                found.append(
                    f"{source} brings purchases and ends on {last}, others go on until {self.full}: labels after that day lack its "
                    f"purchases, and scores learnt from them are too low; bring it up to date, or run as of {last + _A_DAY}"
                )
        if self.strays:
            rows, last, then = self.strays
            found.append(
                f"{rows:,} of {self.rows:,} events are of {self.first} to {last}, and the next of {then}: history counts from the "
                f"first of them; where their times are wrong, set quality.earliest: {then}"
            )
        return tuple(found)


def look(spark: SparkSession, config: Config) -> Extent:
    """Look at silver.events.

    Raises InsufficientData where there are no events.
    """
    days = _days(spark, config)
    if not days:
        raise InsufficientData(_EMPTY)
    sold = _sold(days)
    sales: list[date] = [day["event_date"] for day in days if day["sellers"]]
    return Extent(
        first=days[0]["event_date"],
        last=days[-1]["event_date"],
        sold=sold,
        full=_last_full([day for day in days if day["event_date"] <= sold]),
        types=frozenset(event for day in days for event in day["types"]),
        rows=sum(int(day["rows"]) for day in days),
        late=_late(days),
        bought=sales[-1] if sales else None,
        pause=_longest_pause(sales),
        ended=_ended(days, sold),
        strays=_strays(days),
    )


def _days(spark: SparkSession, config: Config) -> list[Row]:
    """What each day of silver.events holds: event_date, types, rows, late and latest (seconds), sources, sellers, end (second)."""
    bought = F.col("event") == "purchase"
    after = F.when(bought, F.col("known_ts").cast("double") - F.col("event_ts").cast("double"))
    local = F.from_utc_timestamp("event_ts", config.shop.time_zone)
    end = F.max(F.hour(local) * 3600 + F.minute(local) * 60 + F.second(local)).alias("end")
    told = (
        tables.read(spark, "silver.events")
        .groupBy("event_date")
        .agg(
            F.collect_set("event").alias("types"),
            F.count(F.lit(1)).alias("rows"),
            F.avg(after).alias("late"),
            F.percentile_approx(after, _MOST).alias("latest"),
            F.collect_set("source").alias("sources"),
            F.collect_set(F.when(bought, F.col("source"))).alias("sellers"),
            end,
        )
    )
    return sorted(told.collect(), key=lambda row: row["event_date"])


def _strays(days: Sequence[Row]) -> tuple[int, date, date] | None:
    """The few rows before a silence of more than _QUIET, which are seldom of a shop that had begun; see Extent."""
    most = _FEW * sum(int(day["rows"]) for day in days)
    before, found = 0, None
    for one, other in pairwise(days):
        before += int(one["rows"])
        if before > most:
            break
        if other["event_date"] - one["event_date"] > _QUIET:
            found = before, one["event_date"], other["event_date"]
    return found


def _late(days: Sequence[Row]) -> Lateness:
    """Of the median day: an import of old rows does not count as lateness."""
    lately = [(day["late"], day["latest"]) for day in days if day["late"] is not None][-_USUAL_DAYS:]
    return Lateness(*(timedelta(seconds=median(each)) for each in zip(*lately, strict=True))) if lately else AT_ONCE


def _sold(days: Sequence[Row]) -> date:
    """The last day to which the logs that bring purchases reach.

    That is the last day of all, but where these logs were silent up to the end of the last whole day for longer than they ever were
    in the days of _QUIET before: they end earlier than others, and labels beyond would lack what was bought.
    """
    last: date = days[-1]["event_date"]
    heard = _heard(days, {source for day in days for source in day["sellers"]})
    return heard[-1] if _fell_silent(heard, _last_full(days)) else last


def _heard(days: Sequence[Row], sources: Collection[str]) -> list[date]:
    """The days on which any of the logs said something."""
    return [day["event_date"] for day in days if not set(sources).isdisjoint(day["sources"])]


def _fell_silent(heard: Sequence[date], whole: date) -> bool:
    """Whether a log was silent up to the last whole day for longer than it ever was in the days of _QUIET before."""
    pause = _longest_pause(heard)
    return pause is not None and whole - heard[-1] >= pause


def _ended(days: Sequence[Row], sold: date) -> tuple[tuple[str, date], ...]:
    """See Extent. One that ended long ago, or when another began, has given way to it."""
    known = [day for day in days if day["event_date"] <= sold]
    heard = {source: _heard(days, [source]) for source in sorted({source for day in days for source in day["sellers"]})}
    whole = _last_full(known)
    silent = {source: on for source, on in heard.items() if on[-1] < sold and _fell_silent(on, whole)}
    going_on = [on[0] for source, on in heard.items() if source not in silent]

    def is_followed(on: Sequence[date]) -> bool:
        return any(first > on[0] and abs(first - on[-1]) <= _HANDOVER for first in going_on)

    return tuple((source, on[-1]) for source, on in silent.items() if sold - on[-1] <= _QUIET and not is_followed(on))


def _longest_pause(heard: Sequence[date]) -> timedelta | None:
    """From one such day to the next, in the days of _QUIET before the last one."""
    lately = [day for day in heard if day >= heard[-1] - _QUIET] if heard else []
    return max((later - earlier for earlier, later in pairwise(lately)), default=None)


def _last_full(days: Sequence[Row]) -> date:
    """Of days, each with the second of its last event, the last that is whole.

    The last day counts as cut off when its last event comes more than two hours before the usual end of the day (the
    lower quartile of the 28 days before it).
    """
    *before, last = days
    earlier = sorted(day["end"] for day in before[-_USUAL_DAYS:])
    is_cut_off = bool(earlier) and last["end"] < earlier[len(earlier) // 4] - _ENDS_EARLY
    newest: date = (before[-1] if is_cut_off else last)["event_date"]
    return newest
