"""What a feature is: a declaration. A measure reads events; a rollup merges measures; a derived feature combines features.

Windows are half-open in days of the shop, `[as_of - days, as_of)`. An event's `age` is the number of days between its
date and as_of: 1 on the day before, so that window `days` is `1 <= age <= days`. Nothing younger exists for a feature.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeVar

# The tables of features and, beside as_of, their keys. A joined row has features of its own, kept in no table; those of
# a candidate come with trainset.candidates; those of series are per user and come from no event.
KEYS: dict[str, tuple[str, ...]] = {
    "pair": ("user_id", "product_id"),
    "user": ("user_id",),
    "product": ("product_id",),
    "user_category": ("user_id", "category"),
    "category": ("category",),
    "segment_category": ("segment", "category"),
    "shop": (),
}
ROW, CANDIDATE, SERIES = "row", "candidate", "series"
_INPUTS = ("pair", "user", "product", "user_category", "category", ROW, CANDIDATE, SERIES)  # the rest is there to be held against
FIRST = "first"  # the group that every shop has


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """A mergeable number read from events of one user and product: `op` of `value` where `where` holds.

    `op` is sum, min or max: all of them merge, pairs into users and days into windows.
    `days` None reads the whole history. `needs` names the event types without which the measure is always empty.
    A sum without rows is 0; a min or max without rows is null.
    """

    name: str
    op: str = "sum"
    where: str = "true"
    value: str = "1.0D"
    days: int | None = None
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """A column of an entity's feature table.

    `expression` is an SQL aggregate over the measures of the entity's pairs (a rollup) or, with `derived`, plain SQL over
    the features above it. `needs` names the event types without which the feature carries nothing. A new meaning under
    an old name takes a higher `version`. `group` says with which others it is chosen; it is no part of the meaning.
    """

    name: str
    expression: str
    description: str
    unit: str = "count"
    derived: bool = False
    needs: tuple[str, ...] = ()
    version: int = 2  # 2: only what was known at as_of counts
    group: str = field(default=FIRST, repr=False, compare=False)


def derived(name: str, expression: str, description: str, unit: str = "ratio", *needs: str, version: int = 1) -> Feature:
    """A feature made of the features above it."""
    return Feature(name=name, expression=expression, description=description, unit=unit, derived=True, needs=needs, version=version)


def over_gap(time: str, gap: str) -> str:
    """SQL: a time over a gap of at least a day; null where the gap is unknown, for which `greatest` would take a day."""
    return f"{time} / IF({gap} < 1, 1, {gap})"


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureSet:
    """All declarations of a shop: the measures per pair, the features per entity, and those of a joined row.

    Those of the whole shop and of a segment are there for others to be held against: they are no inputs of a model.
    `history_days` is how far a measure without days of its own looks back; `settings_version` is raised where settings
    change what is meant. `segment` is the SQL over a user's features that names her segment, empty where nothing asks.
    """

    measures: tuple[Measure, ...]
    user: tuple[Feature, ...]
    product: tuple[Feature, ...]
    pair: tuple[Feature, ...]
    user_category: tuple[Feature, ...]
    category: tuple[Feature, ...]
    shop: tuple[Feature, ...]
    row: tuple[Feature, ...]
    history_days: int = 365
    settings_version: int = 1
    # What came later stays out of the text, and so out of the version, of shops that do not use it.
    segment_category: tuple[Feature, ...] = field(default=(), repr=False)
    candidate: tuple[Feature, ...] = field(default=(), repr=False)
    segment: str = field(default="", repr=False)
    series: tuple[Feature, ...] = field(default=(), repr=False)

    def of(self, entity: str) -> tuple[Feature, ...]:
        """The features of an entity (a key of KEYS), of a joined row, of a candidate or of series."""
        found: tuple[Feature, ...] = getattr(self, entity)
        return found

    @property
    def columns(self) -> tuple[str, ...]:
        """The model's input columns, in order."""
        return tuple(feature.name for feature in self.inputs)

    @property
    def inputs(self) -> tuple[Feature, ...]:
        """The features that models may read, in order."""
        return tuple(feature for entity in _INPUTS for feature in self.of(entity))

    @property
    def version(self) -> str:
        """Changes with any definition."""
        later = (self.segment_category, self.candidate, self.segment)
        text = repr(self) + (repr(later) if any(later) else "") + (repr(self.series) if self.series else "")
        return hashlib.sha256(text.encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What one group of features adds to the declarations of a shop."""

    measures: tuple[Measure, ...] = ()
    user: tuple[Feature, ...] = ()
    product: tuple[Feature, ...] = ()
    pair: tuple[Feature, ...] = ()
    user_category: tuple[Feature, ...] = ()
    category: tuple[Feature, ...] = ()
    segment_category: tuple[Feature, ...] = ()
    shop: tuple[Feature, ...] = ()
    row: tuple[Feature, ...] = ()
    candidate: tuple[Feature, ...] = ()
    segment: str = ""


T = TypeVar("T", Measure, Feature)


def present(declared: Iterable[T], events: frozenset[str]) -> tuple[T, ...]:
    """The declarations that a shop with these event types can fill."""
    return tuple(item for item in declared if set(item.needs) <= events)
