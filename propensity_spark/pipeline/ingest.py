"""Job: raw logs to bronze, and bronze to silver: accepted events, refused rows with reasons, users, products, counts.

Dated versions of users and products, and series, stand in `listings`.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import reduce
from uuid import uuid4

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from propensity_spark import tables
from propensity_spark.config import Config, ListedConfig
from propensity_spark.config.places import is_remote
from propensity_spark.errors import SourceError
from propensity_spark.ingest import catalog, events, sources, visits
from propensity_spark.ingest.heads import expand
from propensity_spark.ingest.preflight import NUMBERS
from propensity_spark.pipeline import listings, owned
from propensity_spark.pipeline.listings import Listing
from propensity_spark.progress import Progress
from propensity_spark.schemas import EVENTS

_Row = tuple[str, str, str, int]  # of silver.intake
_SILVER = ("silver.events", "silver.events_rejected", "silver.products", "silver.users", "silver.intake")


@dataclass(frozen=True, slots=True)
class _Taken:
    """Counts of one source."""

    received: int
    reasons: dict[str, int]
    refused: int
    ignored: int = 0

    @property
    def asked(self) -> int:
        """The rows that are wanted."""
        return self.received - self.ignored

    @property
    def commonest(self) -> list[tuple[str, int]]:
        """The reasons that say most."""
        return sorted(self.reasons.items(), key=lambda item: -item[1])[:2]


_NOTHING = _Taken(0, {}, 0)


def run(spark: SparkSession, config: Config, progress: Progress) -> None:
    """Bring bronze and silver up to date; silver is left alone where neither bronze nor the settings changed.

    Raises SourceError where too many rows of a source are refused: silver stays as it was; StorageError where the tables are
    somebody else's.
    """
    owned.check(spark, config)
    names = []
    for source in config.sources:
        with progress.stage(f"bronze {source.name}") as stage:
            name, stage.rows_out = sources.load(spark, source)
            names.append(name)
            stage.note = "" if stage.rows_out else "no new files"
    fingerprint = _fingerprint(spark, config, names)
    if all(tables.last_note(spark, name) == fingerprint for name in (*_SILVER, *listings.written(config))):
        progress.say("  silver          as before: neither the logs nor the settings have changed")
        return
    with progress.stage("silver") as stage:
        stage.rows_in, stage.rows_out = _silver(spark, config, names, fingerprint, progress)


def _fingerprint(spark: SparkSession, config: Config, names: list[str]) -> str:
    settings = (
        EVENTS.ddl,
        visits.RULE,
        replace(config.shop, currency=""),  # a name that is shown, and changes no number
        config.sources,
        config.users,
        config.products,
        config.quality,
        config.sessions,
        config.series,
    )
    versions = {name: tables.state(spark, name) for name in names}
    given = [config.users, config.products, *(table for series in config.series for table in (series, series.members))]
    entities = [_stamps(spark, table) for table in given if table.given]
    return json.dumps(
        {owned.SHOP: config.shop.name, "bronze": versions, "entities": entities, "settings": repr(settings)}, sort_keys=True
    )


def _stamps(spark: SparkSession, listed: ListedConfig) -> dict[str, object]:
    """By what a change in a table beside the logs is seen: its files' sizes and times, or its Delta version.

    A table that has neither (a view, another format) gets a mark of its own each time: it is never as before.
    """
    if listed.table or listed.format == "delta":
        place = listed.table or listed.path[0]
        known = tables.state_of_name(spark, place) if listed.table else tables.state_of_path(spark, place)
        return {place: known or uuid4().hex}
    if not any(is_remote(path) for path in listed.path):
        return {str(file): sources.stamp(file) for file in expand(listed.path)}
    try:
        return {**sources.remote_files(spark, listed.path)}
    except (PySparkException, Py4JJavaError):  # a store that lists no files may give them all the same; if not, reading says it
        return {path: uuid4().hex for path in listed.path}


def _silver(spark: SparkSession, config: Config, names: list[str], fingerprint: str, progress: Progress) -> tuple[int, int]:
    """Write all silver tables, the counts last; returns rows received and accepted."""
    listed = [listing.persist() for listing in listings.parse(spark, config)]
    pairs = zip(names, config.sources, strict=True)
    parsed = [events.parse(tables.read(spark, name), source, config) for name, source in pairs]
    everything = reduce(DataFrame.unionByName, parsed).persist()
    try:
        counts = _counted(everything, [listing.rows for listing in listed])
        taken = {source.name: counts.get(source.name, _NOTHING) for source in config.sources}
        told = {listing.name: counts.get(listing.name, _NOTHING) for listing in listed}
        _gate(config, taken)
        _gate_listed(config, listed, told)
        _say(progress, {**taken, **told})
        good = everything.where((F.size("reasons") == 0) & ~events.is_ignored())
        rejected = _rejected(everything.where(F.size("reasons") > 0))
        for listing in listed:
            rejected = rejected.unionByName(listing.rejected)
        tables.overwrite(rejected, "silver.events_rejected", fingerprint)
        now = datetime.now(UTC)
        kept = listings.write(spark, config, listed, good, now, fingerprint, progress)
        users, products = (listings.latest(spark, config, key, now) for key in ("user_id", "product_id"))
        tables.overwrite(catalog.products(spark, good, config.products, products), "silver.products", fingerprint)
        tables.overwrite(catalog.users(spark, good, config.users, users), "silver.users", fingerprint)
        accepted = tables.overwrite(_accepted(good, config), "silver.events", fingerprint)
    finally:
        everything.unpersist()
        for listing in listed:
            listing.rows.unpersist()
    tables.overwrite(_intake(spark, taken, told, kept), "silver.intake", fingerprint)
    return sum(t.received for t in taken.values()), accepted


def _counted(logs: DataFrame, listed: Sequence[DataFrame]) -> dict[str, _Taken]:
    """Per source how many rows there are, and what is said against them; a second look only where something is."""
    others = [frame.select("source", "reasons", F.lit(False).alias("ignored")) for frame in listed]
    rows = reduce(DataFrame.unionByName, others, logs.select("source", "reasons", events.is_ignored().alias("ignored")))
    refused, ignored = F.count_if(F.size("reasons") > 0), F.count_if((F.size("reasons") == 0) & F.col("ignored"))
    totals = rows.groupBy("source").agg(F.count(F.lit(1)), refused, ignored).collect()
    taken = {name: _Taken(received, {}, bad, unwanted) for name, received, bad, unwanted in totals}
    if any(counts.refused for counts in taken.values()):
        named = rows.select("source", F.explode("reasons").alias("reason"))
        short = F.regexp_replace("reason", "(?s)^(.*?(read|unknown)): .*$", "$1")  # values may hold line breaks
        for (source, reason), number in tables.count_by(named.withColumn("reason", short), "source", "reason").items():
            taken[str(source)].reasons[str(reason)] = number
    return taken


def _gate(config: Config, taken: dict[str, _Taken]) -> None:
    for name, counts in taken.items():
        if not counts.received:
            raise SourceError(f"sources.{name} holds no rows; check its path")
        _refuse_bad(config, f"sources.{name}", counts)


def _gate_listed(config: Config, listed: list[Listing], taken: dict[str, _Taken]) -> None:
    for listing in listed:
        _refuse_bad(config, listing.where, taken[listing.name])


def _say(progress: Progress, taken: dict[str, _Taken]) -> None:
    """What is left out of each source, and why."""
    for name, counts in taken.items():
        if counts.ignored:
            progress.say(f"  {name:<16}{counts.ignored:,} of {counts.received:,} rows ignored, as event_types says")
        if counts.refused:
            why = "; ".join(f"{reason} ({rows:,})" for reason, rows in counts.commonest)
            progress.say(f"  {name:<16}{counts.refused:,} of {counts.asked:,} rows refused: {why}")


_WRITTEN = ": where it is no 12.50, set {{place}}.{part} to an expression: \"= replace(COLUMN, ',', '.')\""
# of reasons that one setting mends for all rows at once
_REMEDIES = {
    "event type is unknown": ": say in {where}.event_types what its values mean",
    "time cannot be read": ": say in {where}.time.format how it is written",
    **{f"{part} cannot be read": _WRITTEN.format(part=part) for part in NUMBERS},
    "amount is negative": ": say what such rows are (a return?), or where sales are booked so, {where}.map.amount: '= -COLUMN'",
    "arrival cannot be read": ": {where}.map.ingested_ts must be written as {where}.time.format says, or in iso",
}


def _refuse_bad(config: Config, where: str, counts: _Taken) -> None:
    if counts.refused > config.quality.max_rejected_share * counts.asked:
        place = f"{where}.map" if where.startswith("sources.") else where
        remedies = {reason: _REMEDIES.get(reason, "").format(where=where, place=place) for reason in counts.reasons}
        told = "; ".join(f"{reason} ({rows:,}{remedies[reason]})" for reason, rows in counts.commonest)
        raise SourceError(
            f"{where}: {counts.refused:,} of {counts.asked:,} rows were refused, more than "
            f"quality.max_rejected_share = {config.quality.max_rejected_share:g}: {told}. Silver was left as it was."
        )


def _rejected(bad: DataFrame) -> DataFrame:
    return bad.select(
        "source",
        "source_file",
        "user_id",
        "product_id",
        F.coalesce("_event", "event").alias("event"),
        F.col("_time").alias("event_time"),
        F.col("_price").alias("price"),
        F.col("_quantity").alias("quantity"),
        "order_id",
        "reasons",
        F.current_timestamp().alias("rejected_at"),
    )


def _accepted(good: DataFrame, config: Config) -> DataFrame:
    """Accepted events, once each; one shuffle by user serves every step. A user lies in one file, which is in the order of time."""
    once = visits.deduplicate(visits.timed(events.with_id(good)))
    numbered = visits.sessionise(once, timedelta(minutes=config.sessions.gap_minutes))
    made = visits.flag_bots(numbered, config.quality).select(*EVENTS.columns)
    return made.sortWithinPartitions("event_ts", "event_id")


def _intake(spark: SparkSession, taken: dict[str, _Taken], told: dict[str, _Taken], listed: dict[str, int]) -> DataFrame:
    """What became of the rows of the logs (`taken`), and of those of the other tables (`told`; `listed`: how many stayed)."""
    by_source = tables.read(spark, "silver.events").groupBy("source")
    kept = {name: (int(n), int(bots)) for name, n, bots in by_source.agg(F.count(F.lit(1)), F.count_if("is_bot")).collect()}
    rows: list[_Row] = []
    for name, counts in taken.items():
        accepted, bots = kept.get(name, (0, 0))
        rows += _steps(name, counts, accepted)
        rows.append((name, "bot", "kept, but left out of features and labels", bots))
    for name, counts in told.items():
        rows += _steps(name, counts, listed.get(name, 0))
    return spark.createDataFrame(rows, "source STRING, step STRING, reason STRING, rows BIGINT")


def _steps(name: str, counts: _Taken, accepted: int) -> list[_Row]:
    duplicates = counts.asked - counts.refused - accepted
    return [
        (name, "received", "", counts.received),
        *([(name, "ignored", "event_types ignores its type", counts.ignored)] if counts.ignored else []),
        *((name, "rejected", reason, number) for reason, number in sorted(counts.reasons.items())),
        (name, "refused", "rows with any reason", counts.refused),
        (name, "duplicate", "said the same as another row", duplicates),
        (name, "accepted", "", accepted),
    ]
