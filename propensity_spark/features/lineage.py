"""What a feature is made of, down to the events; what it means in one text; and what changed between two such meanings."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from propensity_spark.errors import ConfigError, DefinitionChanged
from propensity_spark.features import taste
from propensity_spark.features.spec import CANDIDATE, FIRST, KEYS, ROW, SERIES, Feature, FeatureSet, Measure

ENTITIES = (*KEYS, ROW, CANDIDATE, SERIES)
_WORD = re.compile(r"[A-Za-z_]\w*")
_TEXT = re.compile(r"'[^']*'")
Key = tuple[str, str, str]  # entity, name, version


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """One feature at one version; `text` is all that its values depend on, and `group` is not."""

    entity: str
    name: str
    version: str
    unit: str
    description: str
    text: str
    group: str = FIRST

    @property
    def key(self) -> Key:
        """What must be unique, and may not change its meaning."""
        return (self.entity, self.name, self.version)


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Definitions by name: those that appeared, went, and got another version (before, after)."""

    added: tuple[Definition, ...]
    removed: tuple[Definition, ...]
    changed: tuple[tuple[Definition, Definition], ...]


def find(declared: FeatureSet, name: str) -> tuple[str, Feature]:
    """The entity that declares a feature, and the feature.

    Raises ConfigError, with the nearest names, where there is none.
    """
    for entity in ENTITIES:
        for feature in declared.of(entity):
            if feature.name == name:
                return entity, feature
    names = [f.name for entity in ENTITIES for f in declared.of(entity)]
    near = get_close_matches(name, names, n=5, cutoff=0)
    raise ConfigError(f"no feature is called {name!r}; among the {len(names)} declared are {', '.join(near)}")


def words(expression: str) -> frozenset[str]:
    """The names that an SQL expression may refer to: its words outside of quotes."""
    return frozenset(_WORD.findall(_TEXT.sub(" ", expression)))


def of_history(declared: FeatureSet) -> frozenset[str]:
    """The features of a row that have no value where a user has no history with the product or its category."""
    own = {feature.name for entity in ("pair", "user_category") for feature in declared.of(entity)}
    return frozenset(own | {feature.name for feature in declared.row if own & words(feature.expression)})


def needed(declared: FeatureSet, names: Iterable[str]) -> dict[str, tuple[Feature, ...]]:
    """Per entity, the named features and those that they are made of, in the order of their declaration."""
    owners = {f.name: f for entity in ENTITIES for f in declared.of(entity)}
    of_segment = {f.name for f in declared.segment_category}
    wanted: set[str] = set()
    open_names = [name for name in names if name in owners]
    while open_names:
        name = open_names.pop()
        if name not in wanted:
            wanted.add(name)
            read = words(owners[name].expression) if owners[name].derived else frozenset[str]()
            read |= words(declared.segment) if name in of_segment else frozenset[str]()
            open_names += [word for word in read if word in owners]
    return {entity: tuple(f for f in declared.of(entity) if f.name in wanted) for entity in ENTITIES}


def tastes_of(features: Iterable[Feature]) -> tuple[str, ...]:
    """The columns of `taste` that the rollups among the features read."""
    read = _read_by(features)
    return tuple(name for name in taste.MEANING if name in read)


def measures_of(declared: FeatureSet, features: Sequence[Feature]) -> tuple[Measure, ...]:
    """The measures that the rollups among the features read, themselves or by way of `taste`."""
    read = _read_by(features) | ({taste.READS} if tastes_of(features) else set())
    return tuple(measure for measure in declared.measures if measure.name in read)


def _read_by(features: Iterable[Feature]) -> set[str]:
    return {word for feature in features if not feature.derived for word in words(feature.expression)}


def definition(declared: FeatureSet, entity: str, feature: Feature) -> Definition:
    """A feature's meaning, written out: its expression, and in turn whatever the expression names."""
    return Definition(
        entity=entity,
        name=feature.name,
        version=f"{feature.version}.{declared.settings_version}",
        unit=feature.unit,
        description=feature.description,
        text=feature.expression if entity == SERIES else _text(declared, feature),
        group=feature.group,
    )


def _text(declared: FeatureSet, feature: Feature) -> str:
    made_of = needed(declared, [feature.name])
    segments = [f"segment = {declared.segment}"] if made_of["segment_category"] else []
    parents = [f"{f.name} = {f.expression}" for of in made_of.values() for f in of if f.name != feature.name]
    every = [f for of in made_of.values() for f in of]
    tastes = [f"{name} = {taste.MEANING[name]}" for name in tastes_of(every)]
    measured = [_meaning(measure, declared.history_days) for measure in measures_of(declared, every)]
    return "; ".join([feature.expression, *parents, *segments, *tastes, *measured])


def _meaning(measure: Measure, history_days: int) -> str:
    days = measure.days or history_days
    return f"{measure.name} = {measure.op} of {measure.value} where {measure.where} in {days} days, as known at as_of"


def definitions(declared: FeatureSet) -> tuple[Definition, ...]:
    """All features with their meanings."""
    return tuple(definition(declared, entity, f) for entity in ENTITIES for f in declared.of(entity))


def check_unchanged(now: Iterable[Definition], kept: Mapping[Key, str]) -> None:
    """Refuse another meaning under a version that stands in the tables already; `kept` holds texts by key.

    Raises DefinitionChanged, naming the first such feature, what it was and what it is.
    """
    changed = [d for d in now if kept.get(d.key, d.text) != d.text]
    if changed:
        first, settings = changed[0], int(changed[0].version.split(".")[1])
        raise DefinitionChanged(
            f"{len(changed)} feature(s) would change their meaning under a version that the tables hold already, the first is "
            f"{first.name} {first.version}: was {kept[first.key]!r}, would be {first.text!r}. Set features.version to "
            f"{settings + 1} or higher, or undo the change of settings."
        )


def difference(before: Iterable[Definition], after: Iterable[Definition]) -> Difference:
    """What it takes to come from one set of definitions to another."""
    old = {(d.entity, d.name): d for d in before}
    new = {(d.entity, d.name): d for d in after}
    return Difference(
        added=tuple(d for key, d in new.items() if key not in old),
        removed=tuple(d for key, d in old.items() if key not in new),
        changed=tuple((old[key], d) for key, d in new.items() if key in old and old[key].text != d.text),
    )
