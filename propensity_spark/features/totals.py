"""Totals of users, products and pairs at any moments: counts, sums, extremes, distinct values, first and last.

No row is aggregated by a shuffle: tasks total the events they hold with `kernel`, as `parts` that merge exactly.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from datetime import date, timedelta
from functools import partial

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructType, _parse_datatype_string

from propensity_spark.features import heavy, parts
from propensity_spark.features.declared import ENTITIES, Total, changes_schema, columns, inputs, schema
from propensity_spark.features.kernel import NEVER, Calendar
from propensity_spark.features.merging import counted, merged


def calendar(first: date, last: date, time_zone: str) -> Calendar:
    """The shop's days, with one to spare at both ends: `first` and `last` bound the events and the moments."""
    return Calendar(time_zone, first - timedelta(days=1), last + timedelta(days=1))


def contributions(events: DataFrame, declared: Sequence[Total]) -> DataFrame:
    """What each event adds to the totals, and from when to when.

    Takes   silver.events: user_id, product_id, event, event_ts, known_ts, cancelled_known_ts, is_bot and what totals read.
    Returns user_id, product_id; ts, known, until BIGINT (microseconds; see `kernel`); and the whole numbers that
            `declared.inputs` names. A purchase that is taken back reads as 'cancelled' from then on.
    """
    values = (F.expr(sql).alias(name) for sql, name in inputs(declared).items())
    return told(events).select(*ENTITIES["pair"], *parts.TIMES, *values)


def told(events: DataFrame) -> DataFrame:
    """Events as they were told: human ones, with ts, known and until, and those that were taken back once more, as cancelled."""
    is_taken = (F.col("event") == "purchase") & F.col("cancelled_known_ts").isNotNull()
    once, twice = F.array(F.lit(False)), F.array(F.lit(False), F.lit(True))
    human = events.where(~F.col("is_bot")).withColumn("_back", F.explode(F.when(is_taken, twice).otherwise(once)))
    times = {
        "ts": F.unix_micros("event_ts"),
        "known": F.unix_micros(F.when(F.col("_back"), F.col("cancelled_known_ts")).otherwise(F.col("known_ts"))),
        "until": F.when(is_taken & ~F.col("_back"), F.unix_micros("cancelled_known_ts")).otherwise(F.lit(int(NEVER))),
        "event": F.when(F.col("_back"), "cancelled").otherwise(F.col("event")),
    }
    return human.withColumns(times)


def slots(spark: SparkSession) -> int:
    """How many tasks run at a time."""
    return spark.sparkContext.defaultParallelism


def at_dates(
    added: DataFrame,
    declared: Sequence[Total],
    dates: Sequence[date],
    days: Calendar,
    tasks: int,
    entities: Sequence[str] = tuple(ENTITIES),
) -> DataFrame:
    """The totals of all keys of the entities as of the shop's midnights that begin the dates.

    Takes   `added` from `contributions`; `days` from `calendar`; `tasks`: into how many parts users are divided where a total
            does not merge. Where all do, events stay where they lie: the fewer files a user is in, the fewer parts.
    Returns rows of `schema`, a part per key and task; a sum of nothing is null. A key of which nothing was known by then has
            no row. One pass over the events serves all dates.
    """
    merges = all(total.merges for total in declared)
    ddl = schema(declared)
    arrow = _arrow(ddl)

    def total(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for table in parts.tables(batches, at_once=not merges):
            part = parts.Part(table, declared)
            for entity in entities:
                yield from parts.at_dates(part, entity, dates, days, arrow)

    return (added if merges else added.repartition(tasks, "user_id")).mapInArrow(total, ddl)


def between(added: DataFrame, declared: Sequence[Total], step: parts.Step, days: Calendar) -> DataFrame:
    """What a step adds to the totals, by rows of `added` that can make a difference.

    Returns rows of `changes_schema` as of the step's end, a part per pair, day and task, which serve users and products as
            well. Sums are differences; first and last are of the rows newly known. All totals must advance (see `declared`).
    """
    ddl = changes_schema(declared)
    arrow = _arrow(ddl)

    def change(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for table in parts.tables(batches, at_once=False):
            yield from parts.between(parts.Part(table, declared), step, days, arrow)

    return added.mapInArrow(change, ddl)


def at_moments(
    added: DataFrame,
    spine: DataFrame,
    entity: str,
    declared: Sequence[Total],
    days: Calendar,
    tasks: int,
    sample: DataFrame | None = None,
) -> DataFrame:
    """The totals of one entity at moments of any precision: one row per spine row.

    Takes   `added` from `contributions`; `spine`: row BIGINT (unique), moment TIMESTAMP, and the entity's keys.
    Returns row, seen and a column per total and window; a key of which nothing was known by then has zeros and nulls.
            A key with more than its share of the events is divided among tasks, and what they find is merged; which keys
            those are is seen right away from a sample of the events, from `heavy.sampled` where there is no `sample` of it.
    """
    answer = partial(_answered, entity=entity, declared=declared, days=days)
    with nullcontext(sample) if sample is not None else heavy.sampled(added) as some:
        crowded = heavy.find(some, ENTITIES[entity], tasks, divisible=all(total.merges for total in declared))
    if crowded is None:
        return _counted(answer(added, spine, tasks=tasks), declared)
    light = _counted(answer(crowded.light(added), crowded.light(spine), tasks=tasks), declared)
    divided = answer(crowded.divided(added), crowded.repeated(spine), tasks=sum(crowded.parts.values()))
    values = [merged(total, name).alias(name) for total in declared for name in total.columns]
    return light.unionByName(divided.groupBy("row").agg(F.sum("seen").alias("seen"), *values))


def _counted(whole: DataFrame, declared: Sequence[Total]) -> DataFrame:
    """Sketches of all there is as the counts that they stand for."""
    sketches = [name for total in declared if total.op == "sketch" for name in total.columns]
    return whole.withColumns({name: counted(F.col(name)) for name in sketches}) if sketches else whole


def _answered(added: DataFrame, spine: DataFrame, entity: str, declared: Sequence[Total], days: Calendar, tasks: int) -> DataFrame:
    """Each of the spine's rows by the events of its key, all in one task."""
    keys = ENTITIES[entity]
    ddl = f"row BIGINT, seen BIGINT, {columns(declared)}"
    arrow = _arrow(ddl)

    def total(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for table in parts.tables(batches, at_once=True):
            yield from parts.at_moments(parts.Part(table, declared), entity, days, arrow)

    both = added.withColumn("row", F.lit(None).cast("bigint")).unionByName(questions(spine, added, keys))
    return both.repartition(tasks, *keys).mapInArrow(total, ddl)


def questions(spine: DataFrame, added: DataFrame, keys: Sequence[str]) -> DataFrame:
    """The spine in the columns of the events: its moment is its time, and it adds nothing."""
    given = {"row": F.col("row"), "ts": F.unix_micros("moment"), **{key: F.col(key) for key in keys}}
    empty = {f.name: F.lit(None).cast(f.dataType) for f in added.schema if f.name not in given}
    return spine.select(*(column.alias(name) for name, column in {**given, **empty}.items()))


def _arrow(ddl: str) -> pa.Schema:
    """The same columns in Arrow."""
    types = {"bigint": pa.int64(), "double": pa.float64(), "string": pa.string(), "date": pa.date32(), "boolean": pa.bool_()}
    types |= {"array<bigint>": pa.list_(pa.int64())}
    struct = _parse_datatype_string(ddl)
    assert isinstance(struct, StructType)
    kinds = [types.get(field.dataType.simpleString(), pa.timestamp("us", tz="UTC")) for field in struct]
    return pa.schema([pa.field(field.name, kind) for field, kind in zip(struct, kinds, strict=True)])
