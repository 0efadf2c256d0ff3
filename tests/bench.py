"""`make bench`: the totals against DuckDB, a plain group-by, a rebuild and a range join; one run, one machine, ratios.

It prints what it measured and whether values are equal; it knows no figure beforehand. Whoever is slower than a limit allows
is stopped there, and the line says so.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from statistics import median

import duckdb
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from propensity_spark import memory, session
from propensity_spark.features import totals
from propensity_spark.features.declared import ENTITIES, Total
from propensity_spark.loading import from_mapping
from propensity_spark.pipeline import totals as job
from propensity_spark.progress import Progress

FIRST, DAYS, ZONE = date(2024, 1, 1), 181, "UTC"
AS_OF = FIRST + timedelta(days=DAYS)
LATER = 5  # days that are added one by one
WINDOWS = (1, 7, 28, 90)
ACTIONS = {"views": "view", "carts": "cart", "purchases": "purchase"}
DECLARED = (
    *(Total(name=name, where=f"event = '{event}'", windows=WINDOWS) for name, event in ACTIONS.items()),
    Total(name="spend", where="event = 'purchase'", value="amount", scale=10_000, windows=WINDOWS),
    Total(name="quantity", where="event = 'purchase'", value="quantity", scale=10_000, windows=WINDOWS),
    *(Total(name=f"{name}_last", where=f"event = '{event}'", op="last") for name, event in ACTIONS.items()),
)
COLUMNS = [column for total in DECLARED for column in total.columns]
_MIB = 2**20


@dataclass(frozen=True)
class Took:
    """Seconds and the most memory that the process and its children held meanwhile."""

    seconds: float
    mib: float
    finished: bool = True

    def __str__(self) -> str:
        return f"{'' if self.finished else 'over '}{self.seconds:7.1f} s  {self.mib:7.0f} MiB"


def timed(work: Callable[[], object]) -> Took:
    """Do it once."""
    with memory.watched() as most:
        began = time.monotonic()
        work()
        seconds = time.monotonic() - began
    return Took(seconds, (most.bytes or 0) / _MIB)


def limited(spark: SparkSession, work: Callable[[], object], limit: float) -> Took:
    """Do it once, and stop Spark's jobs at the limit."""
    over = threading.Event()

    def stop() -> None:
        over.set()
        while not done.wait(0.5):  # a plan of several stages starts another job after one is cancelled
            spark.sparkContext.cancelAllJobs()

    done, finished = threading.Event(), True
    stopped = threading.Timer(limit, stop)
    stopped.start()
    spark.sparkContext.setLogLevel("OFF")  # what is stopped would tell so at length

    def guarded() -> None:
        nonlocal finished
        try:
            work()
        except Exception:
            finished = False
            if not over.is_set():
                raise

    took = timed(guarded)
    done.set()
    stopped.cancel()
    spark.sparkContext.setLogLevel("ERROR")
    return Took(took.seconds, took.mib, finished)


def simulate(spark: SparkSession, count: int) -> DataFrame:
    """`count` events of 181 days: as many users as a hundredth of them, 20,000 products, and a user with a tenth of all."""

    def chance(salt: int) -> Column:
        return F.pmod(F.xxhash64("id", F.lit(salt)), F.lit(1 << 40)) / F.lit(float(1 << 40))

    number = F.floor(F.pow(chance(1), 1.5) * max(count // 100, 1)) + 1
    user = F.when(F.col("id") % 10 == 0, F.lit(0)).otherwise(number).cast("string")
    seconds = F.floor(chance(4) * DAYS * 86_400)
    ts = F.timestamp_seconds(F.lit(19_723 * 86_400) + seconds)
    event = F.when(chance(3) < 0.85, "view").when(chance(3) < 0.94, "cart").otherwise("purchase")
    return spark.range(0, count, numPartitions=16).select(
        F.concat(F.lit("u"), user).alias("user_id"),
        F.concat(F.lit("p"), F.floor(F.pow(chance(2), 2.5) * 20_000).cast("string")).alias("product_id"),
        event.alias("event"),
        ts.alias("event_ts"),
        F.to_date(ts).alias("event_date"),
        F.when(event == "purchase", F.floor(chance(5) * 10_000 + 100) / 100).alias("amount"),
        F.when(event == "purchase", F.floor(chance(6) * 3) + 1).cast("double").alias("quantity"),
        ts.alias("known_ts"),
        F.lit(None).cast("timestamp").alias("cancelled_known_ts"),
        F.lit(False).alias("is_bot"),
    )


def generated(spark: SparkSession, folder: Path, count: int) -> DataFrame:
    """The events on disk as ingest leaves them: laid together by user, in the order of time; made once."""
    path = folder / f"events_{count}"
    if not (path / "_delta_log").exists():
        laid = simulate(spark, count).repartition(max(4, count // 1_000_000), "user_id").sortWithinPartitions("event_ts")
        laid.write.format("delta").mode("overwrite").save(str(path))
    return spark.read.format("delta").load(str(path))


def shop_of(spark: SparkSession, events: DataFrame, count: int) -> job.Shop:
    """The bench's events and totals, as the job takes them."""
    return job.Shop(events, DECLARED, FIRST, AS_OF - timedelta(days=1), ZONE, job.tasks(spark, count))


def duck_queries(files: str, folder: Path) -> str:
    """The same columns by DuckDB, written as Parquet."""
    chosen = []
    for total in DECLARED:
        for column, days in total.columns.items():
            if total.op == "last":
                chosen.append(f"max(event_ts) FILTER ({total.where}) AS {column}")
                continue
            value = "1" if total.value == "1" else f"CAST(round({total.value} * {total.scale}) AS BIGINT)"
            inside = f"event_ts >= TIMESTAMPTZ '{AS_OF - timedelta(days=days or 0)} 00:00:00+00'"
            chosen.append(f"coalesce(sum({value}) FILTER ({total.where} AND {inside}), 0)::BIGINT AS {column}")
    statements = ["SET threads = 2", "SET TimeZone = 'UTC'", "SET enable_progress_bar = false"]
    for entity, keys in ENTITIES.items():
        key, source = ", ".join(keys), f"read_parquet('{files}') WHERE NOT is_bot AND event_ts < TIMESTAMPTZ '{AS_OF} 00:00:00+00'"
        query = f"SELECT {key}, count(*) AS seen, {', '.join(chosen)} FROM {source} GROUP BY {key}"
        statements.append(f"COPY ({query}) TO '{folder}/{entity}.parquet' (FORMAT parquet)")
    return "; ".join(statements)


def by_duckdb(files: str, folder: Path) -> Took:
    """In a process of its own, so that its memory is its own."""
    folder.mkdir(parents=True, exist_ok=True)
    code = "import duckdb, sys; duckdb.execute(sys.stdin.read())"
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, text=True)
    with memory.watched(child.pid) as most:
        began = time.monotonic()
        child.communicate(duck_queries(files, folder))
        seconds = time.monotonic() - began
    if child.returncode:
        raise SystemExit("DuckDB failed")
    return Took(seconds, (most.bytes or 0) / _MIB)


def per_window(events: DataFrame, keys: tuple[str, ...]) -> DataFrame:
    """What one writes first: a group-by per window, joined."""
    joined = events.select(*keys).distinct()
    for days in WINDOWS:
        inside = events.where(F.col("event_ts") >= F.lit(str(AS_OF - timedelta(days=days))).cast("timestamp"))
        sums = [
            F.sum(F.expr(f"IF({t.where}, CAST(round({t.value} * {t.scale}) AS BIGINT), 0L)")).alias(f"{t.name}_{days}")
            for t in DECLARED
            if t.op == "sum"
        ]
        joined = joined.join(inside.groupBy(*keys).agg(*sums), on=list(keys), how="left")
    lasts = [F.max(F.expr(f"IF({t.where}, event_ts, NULL)")).alias(f"{t.name}_ever") for t in DECLARED if t.op == "last"]
    return joined.join(events.groupBy(*keys).agg(*lasts), on=list(keys), how="left")


def equal(spark: SparkSession, made: job.Shop, folder: Path) -> dict[str, bool]:
    """Whether the tables of both hold the same rows, by count and by the sum of all rows' hashes."""
    found = {}
    for entity, keys in ENTITIES.items():
        mine = folder / f"mine_{entity}"
        job.read(spark, made, entity, AS_OF).write.mode("overwrite").parquet(str(mine))
        times = ", ".join(f"epoch_us({c}) AS {c}" if c.endswith("last_ever") else c for c in COLUMNS)
        columns = f"{', '.join(keys)}, seen, {times}"
        sums = [_digest(columns, files) for files in (f"{mine}/*.parquet", f"{folder}/{entity}.parquet")]
        found[entity] = sums[0] == sums[1]
    return found


def _digest(columns: str, files: str) -> object:
    query = f"SELECT count(*), sum(hash(x)) FROM (SELECT {columns} FROM read_parquet('{files}')) AS x"
    return duckdb.connect().execute(query).fetchone()


def range_join(events: DataFrame, spine: DataFrame) -> DataFrame:
    """Every spine row with every event of its user before its moment."""
    met = spine.join(events, (events.user_id == spine.user_id) & (events.event_ts < spine.moment), "left")
    day, made = F.date_trunc("day", "moment"), []
    for t in DECLARED:
        for column, days in t.columns.items():
            hit = F.expr(t.where)
            if t.op == "last":
                made.append(F.max(F.when(hit, F.col("event_ts"))).alias(column))
                continue
            start = day - F.expr(f"INTERVAL {days} DAYS")
            whole = F.expr(f"CAST(round({t.value} * {t.scale}) AS BIGINT)")
            made.append(F.sum(F.when(hit & (F.col("event_ts") >= start), whole).otherwise(0)).alias(column))
    return met.groupBy("row").agg(*made)


def spine_of(spark: SparkSession, events: DataFrame, rows: int, count: int) -> DataFrame:
    """Users and products as often as they have events (a tenth of the rows ask for one user), at any second of three months."""
    some = events.where(F.pmod(F.xxhash64("user_id", "product_id", "event_ts"), F.lit(count)) < rows).limit(rows)
    offset = F.pmod(F.xxhash64("user_id", "event_ts"), F.lit(90 * 86_400))
    moment = F.timestamp_seconds(F.unix_seconds(F.lit(str(AS_OF)).cast("timestamp")) - offset)
    return some.select(F.monotonically_increasing_id().alias("row"), "user_id", "product_id", moment.alias("moment"))


def longest_task(log: Path, marks: tuple[float, float]) -> tuple[float, float]:
    """(longest, median) seconds of the tasks of the busiest stage between two moments, by Spark's own event log."""
    stages: dict[int, list[float]] = {}
    for file in log.iterdir():
        for line in file.read_text().splitlines():
            event = json.loads(line)
            if event["Event"] == "SparkListenerTaskEnd" and marks[0] <= event["Task Info"]["Launch Time"] / 1000 <= marks[1]:
                info = event["Task Info"]
                stages.setdefault(event["Stage ID"], []).append((info["Finish Time"] - info["Launch Time"]) / 1000)
    busiest = max(stages.values(), key=sum)
    return max(busiest), median(busiest)


def started(folder: Path) -> SparkSession:
    """A session on two cores, with an event log."""
    log = folder / "log"
    log.mkdir(parents=True, exist_ok=True)
    for old in log.iterdir():
        old.unlink()
    conf = {"spark.eventLog.enabled": "true", "spark.eventLog.dir": f"file://{log.absolute()}", "spark.eventLog.compress": "false"}
    memory = {"master": "local[2]", "driver_memory": "4g", "shuffle_partitions": 16, "conf": conf}
    return session.start(from_mapping({"storage": {"warehouse": str(folder / "warehouse")}, "spark": memory}))


def full_build(spark: SparkSession, folder: Path, count: int) -> float:
    """1: users, products and pairs against DuckDB and against a group-by per window. Returns the seconds of ours."""
    events, quiet = generated(spark, folder, count), Progress(quiet=True)
    made = shop_of(spark, events, count)
    duck = by_duckdb(f"{folder}/events_{count}/*.parquet", folder / "duck")
    mine = timed(lambda: job.build(spark, made, AS_OF, quiet))
    print(f"1. full build of {count:,} events, {len(COLUMNS)} columns per user, product and pair")
    print(f"   DuckDB, to Parquet          {duck}")
    print(f"   totals, to Delta            {mine}   {mine.seconds / duck.seconds:.2f} x DuckDB")
    print(f"   values equal                {equal(spark, made, folder / 'duck')}", flush=True)

    def plainly() -> None:
        for entity, keys in ENTITIES.items():
            per_window(events, keys).write.mode("overwrite").parquet(str(folder / "plain" / entity))

    plain = limited(spark, plainly, 2.5 * mine.seconds)
    print(f"   a group-by per window       {plain}   {plain.seconds / mine.seconds:.1f} x the totals", flush=True)
    return mine.seconds


def one_day(spark: SparkSession, folder: Path, count: int, full: float) -> None:
    """2: days after 180, one by one, and 26 weekly dates."""
    made, quiet = shop_of(spark, generated(spark, folder, count), count), Progress(quiet=True)
    standing, took = job.build(spark, made, AS_OF - timedelta(days=LATER), quiet), []

    def a_day_later() -> None:
        nonlocal standing
        standing = job.advance(spark, made, standing, standing.dates[-1] + timedelta(days=1), quiet)

    for _ in range(LATER):
        took.append(timed(a_day_later))
    usual = median(day.seconds for day in took)
    print(f"2. a day later, the first      {took[0]}   1/{full / took[0].seconds:.0f} of the full build")
    print(f"   median of {LATER} days            {usual:7.1f} s               1/{full / usual:.0f}")
    merged = folder / "duck"
    print(f"   values equal to built anew  {equal(spark, made, merged)}", flush=True)
    one, many = ([AS_OF - timedelta(weeks=n) for n in range(weeks)] for weeks in (1, 26))
    alone, all_of_them = (timed(partial(_dates, spark, made, dates, folder)) for dates in (one, many))
    print(f"   one date, a million pairs   {alone}")
    print(f"   26 dates, a million pairs   {all_of_them}   {all_of_them.seconds / alone.seconds:.1f} x one", flush=True)


def _dates(spark: SparkSession, made: job.Shop, dates: list[date], folder: Path) -> None:
    """All users and products at the dates, and a million pairs in all, spread over the dates."""
    days = made.days(*dates)
    added = totals.contributions(made.events, DECLARED)
    wide = totals.at_dates(added, DECLARED, dates, days, made.tasks, entities=("user", "product"))
    wide.write.format("delta").mode("overwrite").save(str(folder / "dates"))
    spine = spine_of(spark, made.events, 1_000_000, 10 * 1_000_000)
    moments = F.array(*(F.lit(days.midnight(day)) for day in dates))
    at = F.timestamp_micros(F.element_at(moments, (F.col("row") % len(dates) + 1).cast("int")))
    pairs = totals.at_moments(added, spine.withColumn("moment", at), "pair", DECLARED, days, made.tasks)
    pairs.write.format("delta").mode("overwrite").save(str(folder / "dates_pairs"))


def as_of_join(spark: SparkSession, folder: Path, count: int) -> None:
    """3: a million moments at the second, one user with a tenth of all events and questions."""
    events = generated(spark, folder, count)
    made = shop_of(spark, events, count)
    path = str(folder / "spine")
    spine_of(spark, events, 1_000_000, count).write.mode("overwrite").parquet(path)
    spine = spark.read.parquet(path)
    added = totals.contributions(events, DECLARED)
    found = totals.at_moments(added, spine.select("row", "user_id", "moment"), "user", DECLARED, made.days(AS_OF), made.tasks)
    began = time.time()
    mine = timed(lambda: found.write.mode("overwrite").parquet(str(folder / "joined")))
    ended = time.time()
    print(f"3. as-of join, {spine.count():,} rows   {mine}")
    plain = limited(
        spark, lambda: range_join(events, spine).write.mode("overwrite").parquet(str(folder / "ranged")), 6 * mine.seconds
    )
    print(f"   a plain range join          {plain}   {plain.seconds / mine.seconds:.1f} x")
    longest, usual = longest_task(folder / "log", (began, ended))
    print(f"   longest task                {longest:.1f} s, median {usual:.1f} s: {longest / usual:.1f} x", flush=True)


def sizes(spark: SparkSession, folder: Path, counts: list[int]) -> None:
    """4: time against size."""
    print("4. full build by size")
    seconds = []
    for count in counts:
        made = shop_of(spark, generated(spark, folder, count), count)
        took = timed(partial(job.build, spark, made, AS_OF, Progress(quiet=True)))
        seconds.append(took.seconds)
        print(f"   {count:>12,} events         {took}", flush=True)
    logs = [(math.log(n), math.log(s)) for n, s in zip(counts, seconds, strict=True)]
    x, y = (sum(pair[i] for pair in logs) / len(logs) for i in (0, 1))
    slope = sum((a - x) * (b - y) for a, b in logs) / sum((a - x) ** 2 for a, _ in logs)
    print(
        f"   exponent of time            {slope:.2f}; from {counts[-2]:,} on "
        f"{math.log(seconds[-1] / seconds[-2]) / math.log(counts[-1] / counts[-2]):.2f}",
        flush=True,
    )


def main() -> None:
    """Everything, or what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("warehouse/bench"))
    parser.add_argument("--events", type=int, default=20_000_000)
    parser.add_argument("--sizes", default="1000000,10000000,50000000")
    asked = parser.parse_args()
    spark = started(asked.folder)
    generated(spark, asked.folder, asked.events)
    small = shop_of(spark, generated(spark, asked.folder, 100_000), 100_000)
    standing = job.build(spark, small, AS_OF - timedelta(days=1), Progress(quiet=True))  # warms up
    job.advance(spark, small, standing, AS_OF, Progress(quiet=True))
    full = full_build(spark, asked.folder, asked.events)
    one_day(spark, asked.folder, asked.events, full)
    as_of_join(spark, asked.folder, asked.events)
    if asked.sizes:
        sizes(spark, asked.folder, [int(count) for count in asked.sizes.split(",")])
    spark.stop()


if __name__ == "__main__":
    main()
