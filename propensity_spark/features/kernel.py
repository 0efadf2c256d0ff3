"""What a task computes over its events: totals of every key at any moments, from runs sorted once.

A row has two times: `ts`, when it happened, and `known`, from when on it may be seen (never before `ts`); it may be seen
until `until`, inclusive, when a correction takes its place. At moment t a window holds rows with `start <= ts`,
`known < t <= until`, so that

    total = sum(known < t) - sum(ts < start) + what was over-subtracted: ts < start and t <= known,

and the last part is empty for a row that became known within a day: windows reach back further. Rows that nobody corrects are
summed by two prefix sums, whatever the number of moments; of those that came later, a nightly load's say, only the ones are
looked at that lie no farther before a moment than the latest of their kind came late. The few others, corrected or later than
a month, are held against each moment one by one.
Sums are whole numbers (money in fixed point), so that they merge exactly in any order.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cached_property
from itertools import pairwise
from zoneinfo import ZoneInfo

import numpy as np

from propensity_spark.features.runs import Flags, Floats, Ints, Pairs, Runs, ranges

NEVER = np.int64(2**62)  # in microseconds: later than any time
NONE = np.int64(-(2**62))  # no such time
DAY = np.int64(86_400_000_000)
_PROMPT = np.int64(23) * DAY // np.int64(24)  # the shortest day of a shop: no window starts later before its moment
_LATE = (3 * DAY, 31 * DAY)  # of two kinds of tardy rows, so that a straggler does not make all of them look late


@dataclass(frozen=True, slots=True)
class Rows:
    """Events in columns: key (codes from 0), ts, known, until (microseconds), and whole numbers of any width by name."""

    key: Ints
    ts: Ints
    known: Ints
    until: Ints
    values: Mapping[str, Ints]

    def take(self, chosen: Ints | Flags) -> "Rows":
        """The chosen rows."""
        taken = {name: values[chosen] for name, values in self.values.items()}
        return Rows(self.key[chosen], self.ts[chosen], self.known[chosen], self.until[chosen], taken)


@dataclass(frozen=True, slots=True)
class Spine:
    """Which key is asked about at which moment (microseconds)."""

    key: Ints
    moment: Ints


class Calendar:
    """The instants at which a shop's days begin, from `first` to `last`: right across daylight-saving changes."""

    def __init__(self, time_zone: str, first: date, last: date) -> None:
        self.first, self.time_zone = first, time_zone
        zone, epoch = ZoneInfo(time_zone), datetime(1970, 1, 1, tzinfo=ZoneInfo("UTC"))
        days = [first + timedelta(days=n) for n in range((last - first).days + 2)]
        begun = [datetime(day.year, day.month, day.day, tzinfo=zone) - epoch for day in days]
        self.midnights: Ints = np.array([(b.days * 86_400 + b.seconds) * 1_000_000 for b in begun], np.int64)

    def midnight(self, day: date) -> int:
        """The instant at which a day begins."""
        return int(self.midnights[(day - self.first).days])

    def day(self, moment: Ints) -> Ints:
        """The day of the shop that a moment lies in, as days since `first`."""
        return np.searchsorted(self.midnights, moment, side="right") - 1

    def start(self, moment: Ints, days: int) -> Ints:
        """Where a window of `days` begins: whole days of the shop before the day of the moment."""
        return self.midnights[np.maximum(self.day(moment) - days, 0)]


class Kernel:
    """Rows of one task, ready to be asked about any moments. `keys`: how many codes there are."""

    def __init__(self, rows: Rows, keys: int, calendar: Calendar) -> None:
        late = rows.known - rows.ts
        plain = (rows.until == NEVER) & (late <= _LATE[-1])
        self.calendar, self.keys = calendar, keys
        self.plain = rows if plain.all() else rows.take(plain)
        self.others = rows.take(~plain)
        self.tardy = [rows.take(plain & (late > least) & (late <= most)) for least, most in pairwise((_PROMPT, *_LATE))]
        self.happened = Runs(self.plain.key, self.plain.ts, keys)
        at_once = bool((self.plain.known == self.plain.ts).all())
        self.heard = self.happened if at_once else Runs(self.plain.key, self.plain.known, keys)
        self._sums: dict[tuple[str, bool], Ints] = {}

    def summed(self, name: str, heard: bool) -> Ints:
        """Prefix sums of a column in either order, with a 0 before the first row."""
        heard = heard and self.heard is not self.happened
        if (name, heard) not in self._sums:
            order = (self.heard if heard else self.happened).order
            sums = np.zeros(order.size + 1, np.int64)
            np.cumsum(self.plain.values[name][order], out=sums[1:])
            self._sums[name, heard] = sums
        return self._sums[name, heard]

    @cached_property
    def came_late(self) -> list[Runs]:
        """The tardy rows of each kind by when they happened."""
        return [Runs(rows.key, rows.ts, self.keys) for rows in self.tardy]

    @cached_property
    def ranks(self) -> Ints:
        """Where each row of the order by known time stands in the order by when it happened: grows with key and `ts`."""
        if self.heard is self.happened:
            return np.arange(self.heard.order.size, dtype=np.int64)
        places = np.empty_like(self.happened.order)
        places[self.happened.order] = np.arange(places.size)
        return places[self.heard.order]


class Asked:
    """A kernel at a spine's moments. Positions are looked up once and serve every column. `days` None: the whole past."""

    def __init__(self, kernel: Kernel, spine: Spine) -> None:
        self._kernel, self._spine = kernel, spine
        self._until = kernel.heard.before(spine.key, spine.moment)
        self._from: dict[int | None, Ints] = {None: kernel.happened.starts[spine.key]}
        self._starts: dict[int | None, Ints] = {None: np.full(spine.key.size, NONE)}
        self._others = self._known(_crossed(kernel.others, spine, kernel.keys))
        self._seen: dict[int | None, Pairs] = {}
        self._unheard: dict[tuple[int, int | None], Pairs] = {}
        self._by_now: dict[str, Ints] = {}

    def seen(self) -> Ints:
        """How many rows each key had in the whole past."""
        found = self._until - self._kernel.heard.starts[self._spine.key]
        np.add.at(found, self._seen_others(None)[0], 1)
        return found

    def total(self, name: str, days: int | None) -> Ints:
        """The sum of a column over a window; 0 where there is no row."""
        found = self._summed_by_now(name) - self._kernel.summed(name, heard=False)[self._begin(days)]
        tardy = [(rows, self._over_subtracted(kind, days)) for kind, rows in enumerate(self._kernel.tardy)]
        for rows, (at, row) in ((self._kernel.others, self._seen_others(days)), *tardy):
            np.add.at(found, at, rows.values[name][row])
        return found

    def last(self, name: str, days: int | None) -> Ints:
        """The latest `ts` in the window of a row whose column is not 0, whatever became of it later; NONE without one."""
        kernel, runs, key = self._kernel, self._kernel.heard, self._spine.key
        ranks = np.where(kernel.plain.values[name][runs.order] != 0, kernel.ranks, -1)
        latest = np.append(np.maximum.accumulate(ranks), -1)[self._until - 1]  # of any key before, where this has none
        found = np.full(key.size, NONE)
        some = np.flatnonzero((self._until > runs.starts[key]) & (latest >= kernel.happened.starts[key]))
        found[some] = kernel.happened.time[latest[some]]
        at, row = self._others
        hit = self._kernel.others.values[name][row] != 0
        np.maximum.at(found, at[hit], self._kernel.others.ts[row[hit]])
        return np.where(found >= self._start(days), found, NONE)

    def first(self, name: str, days: int | None) -> Ints:
        """The earliest `ts` in the window of a row whose column is not 0, whatever became of it later; NONE without one."""
        runs, plain, begin = self._kernel.happened, self._kernel.plain, self._begin(days)
        filled = np.append(
            np.where(plain.values[name][runs.order] != 0, np.arange(runs.order.size), runs.order.size), runs.order.size
        )
        place = np.minimum.accumulate(filled[::-1])[::-1][begin]
        end = runs.before(self._spine.key, self._spine.moment)
        found = np.full(self._spine.key.size, NEVER)
        for at, row in self._known_from(place, end):
            hit = plain.values[name][row] != 0
            np.minimum.at(found, at[hit], plain.ts[row[hit]])
        at, row = self._others
        hit = (self._kernel.others.values[name][row] != 0) & (self._kernel.others.ts[row] >= self._start(days)[at])
        np.minimum.at(found, at[hit], self._kernel.others.ts[row[hit]])
        return np.where(found == NEVER, NONE, found)

    def extreme(self, name: str, counted: str, days: int | None, pick: "np.ufunc") -> Ints:
        """np.minimum or np.maximum of a column over rows whose `counted` is not 0; NONE without one."""
        start = NEVER if pick is np.minimum else NONE
        found = np.full(self._spine.key.size, start)
        for rows, (at, row) in self._parts(days):
            hit = rows.values[counted][row] != 0
            pick.at(found, at[hit], rows.values[name][row[hit]])
        return np.where(found == start, NONE, found)

    def distinct(self, name: str, counted: str, days: int | None) -> Ints:
        """How many values of a column there are among the window's rows whose `counted` is not 0."""
        return np.bincount(self._met(name, counted, days)[0], minlength=self._spine.key.size).astype(np.int64)

    def smallest(self, name: str, counted: str, days: int | None, most: int) -> Pairs:
        """The smallest values of a column among the window's rows whose `counted` is not 0: how many, and all of them in order."""
        at, value = self._met(name, counted, days)
        rank = np.arange(at.size, dtype=np.int64) - np.searchsorted(at, at)
        return np.bincount(at[rank < most], minlength=self._spine.key.size).astype(np.int64), value[rank < most]

    def _met(self, name: str, counted: str, days: int | None) -> Pairs:
        """(spine row, value) once each, in order."""
        met = []
        for rows, (at, row) in self._parts(days):
            hit = rows.values[counted][row] != 0
            met.append(np.stack([at[hit], rows.values[name][row[hit]]]))
        at, value = np.unique(np.concatenate(met, axis=1), axis=1)
        return at, value

    def decayed(self, name: str, half_life_days: float) -> Floats:
        """The column's sum over the whole past, each row weighing half as much per half-life since its `ts`."""
        kernel, runs, moment = self._kernel, self._kernel.heard, self._spine.moment
        rate = -1.0 / (half_life_days * float(DAY))
        late = np.exp2((runs.time - kernel.plain.ts[runs.order]) * rate)
        fading = runs.scan(
            kernel.plain.values[name][runs.order] * late,
            lambda mine, earlier, at, before: mine + earlier * np.exp2((runs.time[at] - runs.time[before]) * rate),
        )
        some = np.flatnonzero(self._until > runs.starts[self._spine.key])
        found, newest = np.zeros(moment.size), self._until[some] - 1
        found[some] = fading[newest] * np.exp2((moment[some] - runs.time[newest]) * rate)
        at, row = self._seen_others(None)
        np.add.at(found, at, kernel.others.values[name][row] * np.exp2((moment[at] - kernel.others.ts[row]) * rate))
        return found

    def _start(self, days: int | None) -> Ints:
        if days is not None and days not in self._starts:
            self._starts[days] = self._kernel.calendar.start(self._spine.moment, days)
        return self._starts[days]

    def _begin(self, days: int | None) -> Ints:
        """The position of the window's first plain row, by when it happened."""
        if days not in self._from:
            self._from[days] = self._kernel.happened.before(self._spine.key, self._start(days))
        return self._from[days]

    def _summed_by_now(self, name: str) -> Ints:
        """The prefix sum by known time at the moment, moved so that it starts with the key's run as that by `ts` does."""
        if name not in self._by_now:
            kernel, key = self._kernel, self._spine.key
            known, happened = (kernel.summed(name, heard=heard) for heard in (True, False))
            moved = known[self._until]
            if known is not happened:
                moved -= known[kernel.heard.starts[key]] - happened[kernel.happened.starts[key]]
            self._by_now[name] = moved
        return self._by_now[name]

    def _known(self, pairs: Pairs) -> Pairs:
        """Those (spine row, other row) where the row was known by the moment, taken back or not."""
        at, row = pairs
        known = self._kernel.others.known[row] < self._spine.moment[at]
        return at[known], row[known]

    def _seen_others(self, days: int | None) -> Pairs:
        """(spine row, other row) where the window holds the row."""
        if days not in self._seen:
            (at, row), others = self._others, self._kernel.others
            inside = (self._spine.moment[at] <= others.until[row]) & (others.ts[row] >= self._start(days)[at])
            self._seen[days] = at[inside], row[inside]
        return self._seen[days]

    def _over_subtracted(self, kind: int, days: int | None) -> Pairs:
        """(spine row, tardy row of the kind) where the row lies before the window and was not known yet at the moment."""
        if (kind, days) not in self._unheard:
            tardy, runs, moment = self._kernel.tardy[kind], self._kernel.came_late[kind], self._spine.moment
            latest = (tardy.known - tardy.ts).max(initial=0)  # what lies farther back than that is known
            begin, end = (runs.before(self._spine.key, time) for time in (moment - latest, self._start(days)))
            at, place = ranges(begin, end)
            row = runs.order[place]
            unheard = tardy.known[row] >= moment[at]
            self._unheard[kind, days] = at[unheard], row[unheard]
        return self._unheard[kind, days]

    def _known_from(self, place: Ints, end: Ints) -> tuple[Pairs, Pairs]:
        """(spine row, plain row): the row at `place` where it was known by the moment, else all that follow and were.

        The row that happened first is known at nearly every moment; where it is not, the moment is within a month of it.
        """
        runs, plain, moment = self._kernel.happened, self._kernel.plain, self._spine.moment
        some = np.flatnonzero(place < end)
        row = runs.order[place[some]]
        known = plain.known[row] < moment[some]
        unsure = some[~known]
        number, behind = ranges(place[unsure], end[unsure])
        at, later = unsure[number], runs.order[behind]
        heard = plain.known[later] < moment[at]
        return (some[known], row[known]), (at[heard], later[heard])

    def _in_window(self, days: int | None) -> Pairs:
        """(spine row, plain row) where the window holds the row: one by one, for what no prefix sum gives."""
        end = self._kernel.happened.before(self._spine.key, self._spine.moment)
        at, place = ranges(self._begin(days), end)
        row = self._kernel.happened.order[place]
        known = self._kernel.plain.known[row] < self._spine.moment[at]
        return at[known], row[known]

    def _parts(self, days: int | None) -> tuple[tuple[Rows, Pairs], tuple[Rows, Pairs]]:
        return (self._kernel.plain, self._in_window(days)), (self._kernel.others, self._seen_others(days))


def _crossed(rows: Rows, spine: Spine, keys: int) -> Pairs:
    """(spine row, row) of equal key where the row happened before the moment."""
    if not rows.key.size:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    runs = Runs(rows.key, rows.ts, keys)
    at, place = ranges(runs.starts[spine.key], runs.before(spine.key, spine.moment))
    return at, runs.order[place]
