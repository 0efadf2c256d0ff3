"""Totals of users, products and pairs at any moments, declared once: counts, sums, extremes, distinct values, first and last.

Events are laid together by user; each task totals its users' rows with `kernel`, and no row is aggregated by a shuffle. A
product's totals come in parts, one per task, which merge exactly: see `incremental.merge`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StructType, _parse_datatype_string

from propensity_spark.features.kernel import NEVER, NONE, Asked, Calendar, Ints, Kernel, Rows, Spine

COMPARED = ("min", "max", "distinct")  # they need to know which rows count, apart from what those hold
ENTITIES: dict[str, tuple[str, ...]] = {"user": ("user_id",), "product": ("product_id",), "pair": ("user_id", "product_id")}
_TIMES = ("ts", "known", "until")
_BATCH = 65_536  # rows handed back to Spark together


@dataclass(frozen=True, slots=True, kw_only=True)
class Total:
    """What is totalled: `op` of `value` (SQL over an event) where `where` holds, per window.

    Windows are days, half-open up to the moment; None is the whole past. `scale`: a value is kept in whole 1/scale, so that
    sums are exact in any order. `distinct` counts values; `decayed` halves a row's weight every `half_life_days` and has no
    window; `first` and `last` are when such a row happened, whatever became of it later.
    """

    name: str
    where: str = "true"
    value: str = "1"
    op: str = "sum"
    windows: tuple[int | None, ...] = (None,)
    scale: int = 1
    half_life_days: float = 0.0

    @property
    def columns(self) -> dict[str, int | None]:
        """Column -> window."""
        return {f"{self.name}_{'ever' if days is None else days}": days for days in self.windows}

    @property
    def advances(self) -> bool:
        """Whether its value follows from the one before and from the rows that changed since."""
        return self.op in ("sum", "decayed") or (self.op in ("first", "last") and self.windows == (None,))

    @property
    def kind(self) -> str:
        """The SQL type of its columns."""
        if self.op in ("first", "last"):
            return "TIMESTAMP"
        return "DOUBLE" if self.op == "decayed" else "BIGINT"


def columns(declared: Sequence[Total]) -> str:
    """The totals' columns as DDL: sums and extremes in whole 1/scale, first and last in UTC; null where there is nothing."""
    return ", ".join(f"{column} {total.kind}" for total in declared for column in total.columns)


def schema(declared: Sequence[Total]) -> str:
    """A row of totals as DDL: user_id or product_id is null where the entity has none; `seen` counts the rows met."""
    return f"as_of DATE, entity STRING, user_id STRING, product_id STRING, seen BIGINT, {columns(declared)}"


def calendar(first: date, last: date, time_zone: str) -> Calendar:
    """The shop's days, with one to spare at both ends: `first` and `last` bound the events and the moments."""
    return Calendar(time_zone, first - timedelta(days=1), last + timedelta(days=1))


def contributions(events: DataFrame, declared: Sequence[Total]) -> DataFrame:
    """What each event adds to the totals, and from when to when.

    Takes   silver.events: user_id, product_id, event, event_ts, known_ts, cancelled_known_ts, is_bot and what totals read.
    Returns user_id, product_id; ts, known, until BIGINT (microseconds; see `kernel`); per total its whole number `<name>`
            and, where values are compared, `<name>_hit`. A purchase that is taken back reads as 'cancelled' from then on.
    """
    human = events.where(~F.col("is_bot"))
    is_taken = (F.col("event") == "purchase") & F.col("cancelled_known_ts").isNotNull()
    until = F.when(is_taken, F.unix_micros("cancelled_known_ts")).otherwise(F.lit(int(NEVER)))
    back = human.where(is_taken).withColumn("event", F.lit("cancelled"))
    placed = _read(human, "known_ts", until, declared)
    return placed.unionByName(_read(back, "cancelled_known_ts", F.lit(int(NEVER)), declared))


def _read(events: DataFrame, known: str, until: Column, declared: Sequence[Total]) -> DataFrame:
    return events.select(
        *ENTITIES["pair"],
        F.unix_micros("event_ts").alias("ts"),
        F.unix_micros(known).alias("known"),
        until.cast("bigint").alias("until"),
        *(column for total in declared for column in _inputs(total)),
    )


def _inputs(total: Total) -> list[Column]:
    """The whole numbers that a total reads: as narrow as they can be, since they travel to the task."""
    hit = f"(coalesce({total.where}, false) AND ({total.value}) IS NOT NULL)"
    one = F.expr(f"CAST(IF({hit}, 1, 0) AS TINYINT)")
    if total.op in ("first", "last") or (total.value, total.scale, total.op in COMPARED) == ("1", 1, False):
        return [one.alias(total.name)]
    whole = f"xxhash64({total.value})" if total.op == "distinct" else f"CAST(round(({total.value}) * {total.scale}) AS BIGINT)"
    value = F.expr(f"IF({hit}, {whole}, 0L)").alias(total.name)
    return [value, one.alias(f"{total.name}_hit")] if total.op in COMPARED else [value]


def at_dates(
    added: DataFrame,
    declared: Sequence[Total],
    dates: Sequence[date],
    days: Calendar,
    tasks: int,
    entities: Sequence[str] = tuple(ENTITIES),
) -> DataFrame:
    """The totals of all keys of the entities as of the shop's midnights that begin the dates.

    Takes   `added` from `contributions`; `days` from `calendar`; `tasks`: into how many parts users are divided.
    Returns rows of `schema`. A key of which nothing was known by then has no row; a product has one part per task. One pass
            over the events serves all dates.
    """
    ddl = schema(declared)
    arrow = _arrow(ddl)

    def total(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        table = _table(batches)
        if table is not None:
            rows = _rows(table, declared)
            for entity in entities:
                yield from _keys_at(table, rows, entity, declared, dates, days, arrow)

    return added.repartition(tasks, "user_id").mapInArrow(total, ddl)


def at_moments(added: DataFrame, spine: DataFrame, entity: str, declared: Sequence[Total], days: Calendar, tasks: int) -> DataFrame:
    """The totals of one entity at moments of any precision: one row per spine row.

    Takes   `added` from `contributions`; `spine`: row BIGINT (unique), moment TIMESTAMP, and the entity's keys.
    Returns row, seen and a column per total and window; a key of which nothing was known by then has zeros and nulls.
    """
    keys = ENTITIES[entity]
    ddl = f"row BIGINT, seen BIGINT, {columns(declared)}"
    arrow = _arrow(ddl)

    def total(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        table = _table(batches)
        if table is not None:
            yield from _answers(table, entity, declared, days, arrow)

    both = added.withColumn("row", F.lit(None).cast("bigint")).unionByName(_questions(spine, added, keys))
    return both.repartition(tasks, *keys).mapInArrow(total, ddl)


def _questions(spine: DataFrame, added: DataFrame, keys: Sequence[str]) -> DataFrame:
    """The spine in the columns of the events: its moment is its time, and it adds nothing."""
    given = {"row": F.col("row"), "ts": F.unix_micros("moment"), **{key: F.col(key) for key in keys}}
    empty = {f.name: F.lit(None).cast(f.dataType) for f in added.schema if f.name not in given}
    return spine.select(*(column.alias(name) for name, column in {**given, **empty}.items()))


def _table(batches: Iterable[pa.RecordBatch]) -> pa.Table | None:
    """All rows of the task in the order of time, so that nobody has to sort them by it again; None where there are none."""
    held = [batch for batch in batches if batch.num_rows]
    if not held:
        return None
    table = pa.Table.from_batches(held)
    return table.take(pa.array(np.argsort(_numbers(table, "ts"), kind="stable"))).combine_chunks()


def _numbers(table: pa.Table, name: str) -> Ints:
    return np.asarray(table[name].fill_null(0)).astype(np.int64, copy=False)


def _codes(table: pa.Table, entity: str) -> tuple[Ints, list[pa.Array]]:
    """Each row's key as a code from 0, and the keys' values by code."""
    encoded = [table[key].combine_chunks().dictionary_encode() for key in ENTITIES[entity]]
    each = [np.asarray(one.indices).astype(np.int64) for one in encoded]
    if len(each) == 1:
        return each[0], [encoded[0].dictionary]
    width = len(encoded[1].dictionary)
    both, codes = np.unique(each[0] * width + each[1], return_inverse=True)
    return codes.astype(np.int64), [encoded[0].dictionary.take(both // width), encoded[1].dictionary.take(both % width)]


def _rows(table: pa.Table, declared: Sequence[Total]) -> Rows:
    """The events as numbers, all of one key."""
    read = [name for total in declared for name in (total.name, f"{total.name}_hit") if name in table.column_names]
    ts, known, until = (_numbers(table, name) for name in _TIMES)
    return Rows(np.zeros_like(ts), ts, known, until, {name: _numbers(table, name) for name in read})


def _keys_at(
    table: pa.Table,
    rows: Rows,
    entity: str,
    declared: Sequence[Total],
    dates: Sequence[date],
    days: Calendar,
    out: pa.Schema,
) -> Iterator[pa.RecordBatch]:
    """Totals of all keys of an entity at every date, without the keys of which nothing was known."""
    codes, names = _codes(table, entity)
    every = np.arange(len(names[0]), dtype=np.int64)
    kernel = Kernel(replace(rows, key=codes), every.size, days)
    for day in dates:
        asked = Asked(kernel, Spine(every, np.full(every.size, days.midnight(day))))
        seen = asked.seen()
        known = np.flatnonzero(seen)
        made = {"seen": pa.array(seen), **_columns(asked, declared)}
        made |= dict(zip(ENTITIES[entity], names, strict=True))
        made |= {"as_of": pa.scalar(day), "entity": pa.scalar(entity)}
        yield from _batches(made, known, out)


def _answers(table: pa.Table, entity: str, declared: Sequence[Total], days: Calendar, out: pa.Schema) -> Iterator[pa.RecordBatch]:
    codes, names = _codes(table, entity)
    is_event = np.asarray(pc.is_null(table["row"]))
    rows = _rows(table.filter(pa.array(is_event)), declared)
    kernel = Kernel(replace(rows, key=codes[is_event]), len(names[0]), days)
    wanted = table.filter(pa.array(~is_event))
    asked = Asked(kernel, Spine(codes[~is_event], _numbers(wanted, "ts")))
    made = {"row": wanted["row"].combine_chunks(), "seen": pa.array(asked.seen()), **_columns(asked, declared)}
    yield from _batches(made, np.arange(wanted.num_rows), out)


def _columns(asked: Asked, declared: Sequence[Total]) -> dict[str, pa.Array]:
    return {column: _column(asked, total, days) for total in declared for column, days in total.columns.items()}


def _column(asked: Asked, total: Total, days: int | None) -> pa.Array:
    name, hit = total.name, f"{total.name}_hit"
    if total.op == "sum":
        return pa.array(asked.total(name, days))
    if total.op == "decayed":
        return pa.array(asked.decayed(name, total.half_life_days) / total.scale)
    if total.op == "distinct":
        return pa.array(asked.distinct(name, hit, days))
    if total.op in ("min", "max"):
        return _nullable(asked.extreme(name, hit, days, np.minimum if total.op == "min" else np.maximum))
    times = asked.first(name, days) if total.op == "first" else asked.last(name, days)
    return _nullable(times).cast(pa.timestamp("us", tz="UTC"))


def _nullable(values: Ints) -> pa.Array:
    return pa.array(values, mask=values == NONE)


def _batches(made: Mapping[str, pa.Array | pa.Scalar], rows: Ints, out: pa.Schema) -> Iterator[pa.RecordBatch]:
    """The chosen rows in the columns of the contract; a column that was not made is null."""
    whole = rows.size == max((len(array) for array in made.values() if isinstance(array, pa.Array)), default=0)
    for start in range(0, rows.size, _BATCH):
        part = rows[start : start + _BATCH]
        yield pa.RecordBatch.from_arrays([_part(made.get(f.name), f.type, part, start if whole else None) for f in out], schema=out)


def _part(array: "pa.Array | pa.Scalar | None", kind: pa.DataType, rows: Ints, start: int | None) -> pa.Array:
    if array is None:
        return pa.nulls(rows.size, kind)
    if isinstance(array, pa.Scalar):
        return pa.repeat(array.cast(kind), rows.size)
    return array.slice(start, rows.size) if start is not None else array.take(pa.array(rows))


def _arrow(ddl: str) -> pa.Schema:
    """The same columns in Arrow."""
    types = {"bigint": pa.int64(), "double": pa.float64(), "string": pa.string(), "date": pa.date32()}
    struct = _parse_datatype_string(ddl)
    assert isinstance(struct, StructType)
    kinds = [types.get(field.dataType.simpleString(), pa.timestamp("us", tz="UTC")) for field in struct]
    return pa.schema([pa.field(field.name, kind) for field, kind in zip(struct, kinds, strict=True)])
