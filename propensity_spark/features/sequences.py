"""A user's last events just before any moment, as a sequence: what was known of them then, in the order they happened."""

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from propensity_spark.features import parts
from propensity_spark.features.runs import Ints, Runs
from propensity_spark.features.totals import questions, told

NAME = "last_events"
_USER = "user_id"
_FIELDS = {
    "event_ts": ("TIMESTAMP", pa.timestamp("us", tz="UTC")),
    "event": ("STRING", pa.string()),
    "product_id": ("STRING", pa.string()),
    "quantity": ("DOUBLE", pa.float64()),
    "amount": ("DOUBLE", pa.float64()),
}
_EVENT = tuple(_FIELDS)[1:]  # the time comes from `ts`
_DDL = ", ".join(f"{name}: {kind}" for name, (kind, _) in _FIELDS.items())
_SEQUENCE = pa.list_(pa.struct([(name, kind) for name, (_, kind) in _FIELDS.items()]))
_ARROW = pa.schema([("row", pa.int64()), (NAME, _SEQUENCE)])
_BATCH = 4096  # rows handed back to Spark together: a row holds many events


def last_events(events: DataFrame, spine: DataFrame, most: int, tasks: int) -> DataFrame:
    """Each spine row's last events of its user, at most so many.

    Takes   silver.events, as `totals.contributions` does; `spine`: row BIGINT (unique), user_id, moment TIMESTAMP.
    Returns row and last_events ARRAY<STRUCT<event_ts, event, product_id, quantity, amount>>, the newest last, equal times in
            the order of known_ts, event and product_id. They happened and were known before the moment, bots' left out; a
            purchase known by then to be taken back reads as 'cancelled'. Empty where nothing was known.
    """
    added = told(events).select(_USER, *parts.TIMES, *_EVENT, F.lit(None).cast("bigint").alias("row"))

    def answer(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        held = [batch for batch in batches if batch.num_rows]
        if held:
            yield from _answered(pa.Table.from_batches(held), most).to_batches(max_chunksize=_BATCH)

    both = added.unionByName(questions(spine, added, [_USER])).repartition(tasks, _USER)
    return both.mapInArrow(answer, f"row BIGINT, {NAME} ARRAY<STRUCT<{_DDL}>>")


def _answered(table: pa.Table, most: int) -> pa.Table:
    order = [(name, "ascending") for name in ("ts", "known", "event", "product_id")]
    table = table.take(pc.sort_indices(table, sort_keys=order)).combine_chunks()
    users = np.asarray(table[_USER].combine_chunks().dictionary_encode().indices.fill_null(-1)).astype(np.int64) + 1
    asks = np.asarray(pc.is_valid(table["row"]))
    events, asked = table.filter(pa.array(~asks)), table.filter(pa.array(asks))
    ts, known, until = (parts.numbers(events, name) for name in parts.TIMES)
    runs = Runs(users[~asks], ts, int(users.max()) + 1)
    moments = parts.numbers(asked, "ts")
    sizes, rows = _newest(runs, known[runs.order], until[runs.order], users[asks], moments, most)
    met = events.take(pa.array(runs.order[rows]))
    times = met["ts"].combine_chunks().cast(_FIELDS["event_ts"][1])
    fields = [times, *(met[name].combine_chunks() for name in _EVENT)]
    structs = pa.StructArray.from_arrays(fields, fields=list(_SEQUENCE.value_type))
    offsets = pa.array(np.append(0, np.cumsum(sizes)).astype(np.int32))
    return pa.table([asked["row"], pa.ListArray.from_arrays(offsets, structs)], schema=_ARROW)


def _newest(runs: Runs, known: Ints, until: Ints, key: Ints, moment: Ints, most: int) -> tuple[Ints, Ints]:
    """How many rows each question gets, and their places in the runs, question by question, the newest last.

    All questions walk back through their runs together, a row at a time, until they have enough or nothing is left.
    """
    place, first = runs.before(key, moment) - 1, runs.starts[key]
    found, sizes = np.full((key.size, most), -1, np.int64), np.zeros(key.size, np.int64)
    walking = np.flatnonzero(place >= first)
    while walking.size:
        at = place[walking]
        shows = (known[at] < moment[walking]) & (moment[walking] <= until[at])
        hit = walking[shows]
        found[hit, most - 1 - sizes[hit]] = at[shows]
        sizes[hit] += 1
        place[walking] -= 1
        walking = walking[(sizes[walking] < most) & (place[walking] >= first[walking])]
    return sizes, found[found >= 0]
