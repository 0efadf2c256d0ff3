"""What a task makes of the events it holds: rows of totals, in Arrow from end to end.

A task's rows are one part of the shop's: a key that other tasks hold as well has a part in each, and parts merge exactly
(see `incremental.merge`).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from propensity_spark.features.declared import COMPARED, ENTITIES, SKETCHED, Total, inputs
from propensity_spark.features.kernel import DAY, NEVER, NONE, Asked, Calendar, Kernel, Rows, Spine
from propensity_spark.features.runs import Flags, Ints, Numbers, Pairs, by_code

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
    ts = numbers(table, "ts")
    return table if np.all(ts[1:] >= ts[:-1]) else table.take(pa.array(np.argsort(ts, kind="stable")))


class Part:
    """A table of events ready to be totalled by any entity. `rows`: its events as numbers, all of one key."""

    def __init__(self, table: pa.Table, declared: Sequence[Total]) -> None:
        self.table, self.declared, self._inputs = table, declared, inputs(declared)
        ts, known, until = (numbers(table, name) for name in TIMES)
        values = {name: numbers(table, name) for name in self._inputs.values()}
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

    def value(self, asked: Asked, total: Total, days: int | None) -> "Numbers | pa.Array":
        """A total at the moments asked for: sums are 0 where there is nothing, sketches null, all others NONE."""
        name, hit = self._inputs[total.whole], self._inputs.get(total.hit, "")
        if total.op == "sum":
            return asked.total(name, days)
        if total.op == "decayed":
            return asked.decayed(name, total.half_life_days) / total.scale
        if total.op == "distinct":
            return asked.distinct(name, hit, days)
        if total.op == "sketch":
            sizes, hashes = asked.smallest(name, hit, days, SKETCHED)
            offsets = pa.array(np.append(0, np.cumsum(sizes)).astype(np.int32))
            return pa.ListArray.from_arrays(offsets, pa.array(hashes), mask=pa.array(sizes == 0))
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
        values = ((name, t, part.value(asked, t, window)) for t in part.declared for name, window in t.columns.items())
        made, some = _columns(asked.seen(), values)
        yield from _batches(made | _labels(entity, names, day), some, out)


@dataclass(frozen=True, slots=True)
class Step:
    """From one date that stands to the next, behind a base; `leaving`: days before the base whose events have to be told."""

    base: date
    before: date
    after: date
    leaving: tuple[date, ...]


def between(part: Part, step: Step, days: Calendar, out: pa.Schema) -> Iterator[pa.RecordBatch]:
    """What a step adds to the totals: rows of `declared.changes_schema`, of events that can make a difference."""
    changes = _Changes(part, step, days)
    codes, names = part.keys("pair")
    codes = codes[changes.rows]
    group, one_of_each = _together(codes, changes.slots)
    summed = partial(_summed, group, one_of_each.size)
    made, some = _columns(
        summed(changes.seen, np.int64(0), np.add),
        ((total.change, total, summed(changes.adds[total], _nothing(total), _pick(total))) for total in part.declared),
    )
    keys = [name.take(pa.array(codes[one_of_each])) for name in names]
    yield from _batches(made | _labels("pair", keys, step.after) | changes.labels(one_of_each), some, out)


def _summed(group: Ints, count: int, some: "_Some", nothing: np.int64, pick: "np.ufunc") -> Numbers:
    found = np.full(count, nothing, dtype=some.values.dtype)
    pick.at(found, group[some.rows], some.values)
    return np.where(found == NEVER, NONE, found) if nothing == NEVER else found


@dataclass(frozen=True, slots=True)
class _Some:
    """What those rows add that add anything: of most totals few do."""

    rows: Ints
    values: Numbers


def _some(values: Numbers, nothing: np.int64) -> _Some:
    rows = np.flatnonzero(values != nothing)
    return _Some(rows, values[rows])


def _nothing(total: Total) -> np.int64:
    """What a row adds that adds nothing."""
    return {"first": NEVER, "last": NONE}.get(total.op, np.int64(0))


def _pick(total: Total) -> "np.ufunc":
    return {"first": np.minimum, "last": np.maximum}.get(total.op, np.add)


class _Changes:
    """Which events a step tells, and what each adds.

    An event that begins to count adds itself, one that ends to count takes itself away; both on the day it happened. One of a
    leaving day that counted in the base is told apart, once: what windows leave behind is seen from its day when they are read.
    """

    def __init__(self, part: Part, step: Step, days: Calendar) -> None:
        rows = part.rows
        base, before, after = (_counts(rows, days.midnight(day)) for day in (step.base, step.before, step.after))
        told = (rows.known >= days.midnight(step.before)) & (rows.known < days.midnight(step.after))
        day = days.day(rows.ts)
        leaves = np.zeros(days.midnights.size, bool)
        leaves[[(left - days.first).days for left in step.leaving]] = True
        here, gone = np.flatnonzero(told | (before != after)), np.flatnonzero(base & leaves[day])
        none, one = np.zeros(gone.size, np.int64), np.ones(gone.size, np.int64)
        weight = after[here].astype(np.int64) - before[here]
        self.rows: Ints = np.append(here, gone)
        self.slots: Ints = 2 * day[self.rows] + np.append(np.zeros(here.size, np.int64), one)
        self.seen = _some(np.append(weight, none), np.int64(0))
        self._days, self._at = days, days.midnight(step.after)
        self._weight, self._told, self._ts = np.append(weight, one), np.append(told[here], none != 0), rows.ts[self.rows]
        self._here = np.append(np.ones(here.size, bool), one == 0)
        read = inputs(part.declared)
        self.adds = {t: _some(self._of(t, rows.values[read[t.whole]][self.rows]), _nothing(t)) for t in part.declared}

    def labels(self, rows: Ints) -> Made:
        """Of the given rows: the shop's day, and whether they are told because it leaves windows."""
        slots, first = self.slots[rows], np.datetime64(self._days.first)
        return {"day": pa.array(first + slots // 2), "leaving": pa.array(slots % 2 == 1)}

    def _of(self, total: Total, values: Ints) -> Numbers:
        """What each adds to a total; to first and last, its own time where it becomes known."""
        if total.op in ("first", "last"):
            return np.where(self._told & (values != 0), self._ts, _nothing(total))
        added = values * self._weight
        if total.op == "decayed":
            fading = np.exp2((self._ts - self._at) / (float(DAY) * total.half_life_days)) / total.scale
            return np.where(self._here, added * fading, 0.0)
        return added


def _counts(rows: Rows, at: int) -> Flags:
    return (rows.known < at) & (rows.until >= at)


def _columns(seen: Ints, values: "Iterable[tuple[str, Total, Numbers | pa.Array]]") -> tuple[Made, Ints]:
    """The columns of totals, nothing as null: most of a pair's are empty, and a null costs next to nothing on its way to the table.

    Returns them and the numbers of the rows that say anything.
    """
    made: Made = {"seen": pa.array(seen)}
    says = seen != 0
    for name, total, found in values:
        if total.op == "sketch":
            absent = np.asarray(pc.is_null(found))
        else:
            absent = found == (0 if total.op in ("sum", "decayed", "distinct") else NONE)
        says |= ~absent
        made[name] = _array(total, found, absent)
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
            is_compared = total.op != "sketch" and (total.kind == "TIMESTAMP" or total.op in COMPARED)
            made[name] = _array(total, values, values == NONE if is_compared else None)
    yield from _batches(made, np.arange(len(made["row"])), out)


def _at(kernel: Kernel, keys: Ints, day: date, days: Calendar) -> Asked:
    return Asked(kernel, Spine(keys, np.full(keys.size, days.midnight(day))))


def numbers(table: pa.Table, name: str) -> Ints:
    """A column as whole numbers; null as 0."""
    return np.asarray(table[name].fill_null(0))


def _labels(entity: str, names: Sequence[pa.Array], day: date) -> Made:
    return {**dict(zip(ENTITIES[entity], names, strict=True)), "as_of": pa.scalar(day), "entity": pa.scalar(entity)}


def _array(total: Total, values: "Numbers | pa.Array", absent: Flags | None) -> pa.Array:
    if total.op == "sketch":
        return values
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
