"""What a task makes of the events it holds: rows of totals, in Arrow from end to end.

A task's rows are one part of the shop's: a key that other tasks hold as well has a part in each, and parts merge exactly
(see `incremental.merge`).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from propensity_spark.features.declared import COMPARED, ENTITIES, Total, inputs
from propensity_spark.features.kernel import (
    DAY,
    NEVER,
    NONE,
    Asked,
    Calendar,
    Flags,
    Ints,
    Kernel,
    Numbers,
    Pairs,
    Rows,
    Spine,
    by_code,
)

TIMES = ("ts", "known", "until")
_BATCH = 65_536  # rows handed back to Spark together
_HELD = 2_000_000  # rows that a part is made of, at most: some 400 MB
Made = dict[str, pa.Array | pa.Scalar]


def tables(batches: Iterable[pa.RecordBatch], at_once: bool) -> Iterator[pa.Table]:
    """The task's rows in the order of time, so that nobody has to sort them by it again: all at once, or _HELD at a time."""
    held: list[pa.RecordBatch] = []
    rows = 0
    for batch in batches:
        if batch.num_rows:
            held.append(batch)
            rows += batch.num_rows
        if rows >= _HELD and not at_once:
            yield _in_time(held)
            held, rows = [], 0
    if held:
        yield _in_time(held)


def _in_time(held: list[pa.RecordBatch]) -> pa.Table:
    table = pa.Table.from_batches(held).combine_chunks()
    ts = _numbers(table, "ts")
    return table if np.all(ts[1:] >= ts[:-1]) else table.take(pa.array(np.argsort(ts, kind="stable")))


class Part:
    """A table of events ready to be totalled by any entity. `rows`: its events as numbers, all of one key."""

    def __init__(self, table: pa.Table, declared: Sequence[Total]) -> None:
        self.table, self.declared, self._inputs = table, declared, inputs(declared)
        ts, known, until = (_numbers(table, name) for name in TIMES)
        values = {name: _numbers(table, name) for name in self._inputs.values()}
        self.rows = Rows(np.zeros_like(ts), ts, known, until, values)
        self._codes: dict[str, tuple[Ints, pa.Array]] = {}

    def keys(self, entity: str) -> tuple[Ints, list[pa.Array]]:
        """Each row's key as a code from 0, and the keys' values by code."""
        encoded = [self._encoded(key) for key in ENTITIES[entity]]
        if len(encoded) == 1:
            return encoded[0][0], [encoded[0][1]]
        (first, firsts), (second, seconds) = encoded
        codes, one_of_each = _together(first, second)
        return codes, [firsts.take(pa.array(first[one_of_each])), seconds.take(pa.array(second[one_of_each]))]

    def _encoded(self, key: str) -> tuple[Ints, pa.Array]:
        if key not in self._codes:
            column = self.table[key].combine_chunks().dictionary_encode()
            self._codes[key] = np.asarray(column.indices).astype(np.int64), column.dictionary
        return self._codes[key]

    def value(self, asked: Asked, total: Total, days: int | None) -> Numbers:
        """A total at the moments asked for: sums are 0 where there is nothing, all others NONE."""
        name, hit = self._inputs[total.whole], self._inputs.get(total.hit, "")
        if total.op == "sum":
            return asked.total(name, days)
        if total.op == "decayed":
            return asked.decayed(name, total.half_life_days) / total.scale
        if total.op == "distinct":
            return asked.distinct(name, hit, days)
        if total.op in ("min", "max"):
            return asked.extreme(name, hit, days, np.minimum if total.op == "min" else np.maximum)
        return asked.first(name, days) if total.op == "first" else asked.last(name, days)


def _together(first: Ints, second: Ints) -> Pairs:
    """Codes of pairs of codes, in the order of both; and where to find one row of each pair."""
    order = by_code(second)
    order = order[by_code(first[order])]
    one, two = first[order], second[order]
    opens = np.append(True, (one[1:] != one[:-1]) | (two[1:] != two[:-1]))[: order.size]
    codes = np.empty_like(first)
    codes[order] = np.cumsum(opens) - 1
    return codes, order[opens]


def at_dates(part: Part, entity: str, dates: Sequence[date], days: Calendar, out: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Totals of all keys of an entity at every date, without the keys of which nothing was known; a sum of nothing is null.

    A row that was taken back is not `seen` any more and still tells first and last; what it became may lie in another part.
    """
    codes, names = part.keys(entity)
    every = np.arange(len(names[0]), dtype=np.int64)
    kernel = Kernel(replace(part.rows, key=codes), every.size, days)
    for day in dates:
        asked = _at(kernel, every, day, days)
        made, some = _columns(part.declared, asked.seen(), partial(part.value, asked))
        yield from _batches(made | _labels(entity, names, day), some, out)


def between(
    part: Part, before: date, after: date, days: Calendar, entities: Sequence[str], out: pa.Schema
) -> Iterator[pa.RecordBatch]:
    """What the totals of all keys at `after` add to those at `before`, for rows that can make a difference."""
    changes, read = _Changes(part.rows, before, after, days), inputs(part.declared)
    seen = _some(changes.weight(None), np.int64(0))
    adds = {
        (total, window): _some(changes.of(total, part.rows.values[read[total.whole]], window), _nothing(total))
        for total in part.declared
        for window in total.windows
    }
    for entity in entities:
        codes, names = part.keys(entity)
        every = np.zeros(len(names[0]), dtype=np.int64)
        np.add.at(every, codes[seen.rows], seen.values)
        made, some = _columns(part.declared, every, partial(_per_key, adds, codes, every.size))
        yield from _batches(made | _labels(entity, names, after), some, out)


@dataclass(frozen=True, slots=True)
class _Some:
    """What those rows add that add anything: of most totals few do."""

    rows: Ints
    values: Numbers


def _some(values: Numbers, nothing: np.int64) -> _Some:
    rows = np.flatnonzero(values != nothing)
    return _Some(rows, values[rows])


def _per_key(adds: Mapping[tuple[Total, int | None], _Some], codes: Ints, count: int, total: Total, days: int | None) -> Numbers:
    some = adds[total, days]
    found = np.full(count, _nothing(total), dtype=some.values.dtype)
    pick = {"first": np.minimum, "last": np.maximum}.get(total.op, np.add)
    pick.at(found, codes[some.rows], some.values)
    return np.where(found == NEVER, NONE, found) if total.op == "first" else found


def _nothing(total: Total) -> np.int64:
    """What a row adds that adds nothing."""
    return {"first": NEVER, "last": NONE}.get(total.op, np.int64(0))


class _Changes:
    """What each row adds to totals between two dates: +1 times itself where it begins to count, -1 where it ends."""

    def __init__(self, rows: Rows, before: date, after: date, days: Calendar) -> None:
        self._rows, self._dates, self._days = rows, (before, after), days
        old, self._new = (days.midnight(day) for day in self._dates)
        self._counts = [(rows.known < at) & (rows.until >= at) for at in (old, self._new)]
        self._told = (rows.known >= old) & (rows.known < self._new)
        self._weights: dict[int | None, Ints] = {}

    def weight(self, window: int | None) -> Ints:
        """-1, 0 or 1."""
        if window not in self._weights:
            was, now = self._counts
            if window is not None:
                begun = (self._rows.ts >= self._days.window_start(day, window) for day in self._dates)
                was, now = (counts & inside for counts, inside in zip((was, now), begun, strict=True))
            self._weights[window] = now.astype(np.int64) - was
        return self._weights[window]

    def of(self, total: Total, values: Ints, window: int | None) -> Numbers:
        """What a row adds to a total; to first and last, its own time where it becomes known."""
        if total.op in ("first", "last"):
            return np.where(self._told & (values != 0), self._rows.ts, _nothing(total))
        added = values * self.weight(window)
        if total.op == "decayed":
            return added * np.exp2((self._rows.ts - self._new) / (float(DAY) * total.half_life_days)) / total.scale
        return added


def _columns(declared: Sequence[Total], seen: Ints, value: Callable[[Total, int | None], Numbers]) -> tuple[Made, Ints]:
    """All columns, nothing as null: most of a pair's are empty, and a null costs next to nothing on its way to the table.

    Returns them and the numbers of the rows that say anything.
    """
    made: Made = {"seen": pa.array(seen)}
    says = seen != 0
    for total in declared:
        nothing = 0 if total.op in ("sum", "decayed", "distinct") else NONE
        for name, window in total.columns.items():
            values = value(total, window)
            absent = values == nothing
            says |= ~absent
            made[name] = _array(total, values, absent)
    return made, np.flatnonzero(says)


def at_moments(part: Part, entity: str, days: Calendar, out: pa.Schema) -> Iterator[pa.RecordBatch]:
    """The totals at the moments of those rows that carry a number `row`, of the rows that do not."""
    codes, names = part.keys(entity)
    is_event = np.asarray(pc.is_null(part.table["row"]))
    kernel = Kernel(replace(part.rows, key=codes).take(is_event), len(names[0]), days)
    asked = Asked(kernel, Spine(codes[~is_event], part.rows.ts[~is_event]))
    made: Made = {"row": part.table["row"].combine_chunks().drop_null(), "seen": pa.array(asked.seen())}
    for total in part.declared:
        for name, window in total.columns.items():
            values = part.value(asked, total, window)
            made[name] = _array(total, values, values == NONE if total.kind == "TIMESTAMP" or total.op in COMPARED else None)
    yield from _batches(made, np.arange(len(made["row"])), out)


def _at(kernel: Kernel, keys: Ints, day: date, days: Calendar) -> Asked:
    return Asked(kernel, Spine(keys, np.full(keys.size, days.midnight(day))))


def _numbers(table: pa.Table, name: str) -> Ints:
    return np.asarray(table[name].fill_null(0))


def _labels(entity: str, names: Sequence[pa.Array], day: date) -> Made:
    return {**dict(zip(ENTITIES[entity], names, strict=True)), "as_of": pa.scalar(day), "entity": pa.scalar(entity)}


def _array(total: Total, values: Numbers, absent: Flags | None) -> pa.Array:
    array = pa.array(values, mask=absent)
    return array.cast(pa.timestamp("us", tz="UTC")) if total.op in ("first", "last") else array


def _batches(made: Made, rows: Ints, out: pa.Schema) -> Iterator[pa.RecordBatch]:
    """The chosen rows in the columns of the contract; a column that was not made is null."""
    whole = rows.size == max((len(array) for array in made.values() if isinstance(array, pa.Array)), default=0)
    for start in range(0, rows.size, _BATCH):
        part = rows[start : start + _BATCH]
        yield pa.RecordBatch.from_arrays([_cut(made.get(f.name), f.type, part, start if whole else None) for f in out], schema=out)


def _cut(array: "pa.Array | pa.Scalar | None", kind: pa.DataType, rows: Ints, start: int | None) -> pa.Array:
    if array is None:
        return pa.nulls(rows.size, kind)
    if isinstance(array, pa.Scalar):
        return pa.repeat(array.cast(kind), rows.size)
    return array.slice(start, rows.size) if start is not None else array.take(pa.array(rows))
