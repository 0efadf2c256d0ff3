"""`propensity features`: what the declared features are, what each means, and what would change in the tables."""

import re
from collections.abc import Iterable, Sequence
from datetime import date

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from propensity_spark import session, tables
from propensity_spark.config import FEATURE_GROUPS, Config, SourceConfig
from propensity_spark.errors import ConfigError
from propensity_spark.features import equivalent, lineage
from propensity_spark.features.categories import told_by
from propensity_spark.features.definitions import feature_set
from propensity_spark.features.lineage import Definition
from propensity_spark.features.spec import CANDIDATE, KEYS, ROW, SERIES, FeatureSet
from propensity_spark.schemas import EVENT_TYPES, FEATURE_DEFINITIONS
from propensity_spark.trainset.assemble import FITS

_KEPT = FEATURE_DEFINITIONS.name
_OF = {
    "pair": "user and product",
    "user_category": "user and category",
    "segment_category": "segment of users and category",
    "shop": "the whole shop",
    ROW: "candidate pair, joined",
    CANDIDATE: "candidate pair",
    SERIES: "user, from outside the shop",
}


def declared_by(config: Config, events: Iterable[str] = ()) -> FeatureSet:
    """The features that a shop with these event types can fill; by default the types that its configuration speaks of."""
    types = frozenset(events) or frozenset[str]().union(*(_spoken_of(source) for source in config.sources))
    return feature_set(config.features, types, config.candidates.popular_days, config.shop.time_zone, config.series)


def _spoken_of(source: SourceConfig) -> frozenset[str]:
    """The event types that a source may hold, without a look at its rows."""
    if source.types:
        return source.types
    quoted = frozenset(re.findall(r"'(\w+)'", source.map.event)) if source.map.event.startswith("=") else frozenset[str]()
    return quoted & frozenset(EVENT_TYPES) or frozenset(EVENT_TYPES)


def listing(config: Config) -> str:
    """Every input of the models in a line, by entity, with its version, group and unit."""
    features = declared_by(config)
    declared = [*lineage.definitions(features), *(lineage.definition(features, CANDIDATE, fit) for fit in FITS)]
    group = max(len(d.group) for d in declared)
    lines: list[str] = []
    for entity in lineage.ENTITIES:
        mine = [d for d in declared if d.entity == entity]
        if mine:
            width = max(len(d.name) for d in mine)
            lines += [
                _heading(entity),
                *(f"  {d.name:<{width}}  {d.version:<5} {d.group:<{group}} {d.unit:<9} {d.description}" for d in mine),
                "",
            ]
    more = ", ".join(name for name in FEATURE_GROUPS if name not in config.features.groups) or "none"
    told = f"{len(declared)} features; further groups (features.groups): {more}. What one means: propensity features describe NAME"
    return "\n".join([*lines, told])


def _heading(entity: str) -> str:
    table = f"table features.{entity}" if entity in (*KEYS, SERIES) else "in no table: made where rows are joined"
    table = "table trainset.candidates" if entity == CANDIDATE else table
    return f"per {_OF.get(entity, entity)} ({table})"


def description(config: Config, name: str) -> str:
    """One feature in plain words, with its unit, its definition and a query that gives the same values.

    Raises ConfigError where it is not declared.
    """
    declared = declared_by(config)
    fits = {fit.name: fit for fit in FITS}
    entity, feature = (CANDIDATE, fits[name]) if name in fits else lineage.find(declared, name)
    known = lineage.definition(declared, entity, feature)
    as_of = config.score.as_of or date.today()
    parts = known.text.split("; ")
    lines = [
        f"{name}: {feature.description}",
        f"  per {_OF.get(entity, entity)}, unit {known.unit}, version {known.version}, group {known.group}",
        f"  is  {parts[0]}",
        *(f"      {part}" for part in parts[1:]),
    ]
    if entity in (CANDIDATE, SERIES):
        return "\n".join(lines)
    told = f"-- the same values by SQL, as of {as_of} (choose with --as-of)"
    return "\n".join([*lines, "", told, equivalent.query(declared, [name], as_of, config.shop.time_zone, told_by(config))])


def changes(config: Config) -> str:
    """What building features now would add, drop or define anew, held against what the warehouse has."""
    spark = session.start(config)
    if not tables.exists(spark, _KEPT):
        return "no features have been built in this warehouse yet"
    logged = tables.read(spark, "silver.events").select("event").distinct().collect()  # a handful of types
    now = declared_by(config, [row["event"] for row in logged])
    found = lineage.difference(_latest(spark), lineage.definitions(now))
    lines = [f"+ {d.name} {d.version}: {d.description}" for d in found.added]
    lines += [f"- {d.name} {d.version}: {d.description}" for d in found.removed]
    for before, after in found.changed:
        refused = "  REFUSED: the version must rise" if before.version == after.version else ""
        lines += [f"~ {after.name} {before.version} -> {after.version}{refused}", f"    was {before.text}", f"    is  {after.text}"]
    told = f"{len(found.added)} added, {len(found.removed)} removed, {len(found.changed)} changed"
    return "\n".join([*lines, told])


def keep_definitions(spark: SparkSession, declared: FeatureSet) -> None:
    """Write down what the features mean, before any value is written under these names and versions.

    Raises DefinitionChanged where a version that stands already would get another meaning.
    """
    now = lineage.definitions(declared)
    kept = {d.key: d.text for d in _kept(spark)}
    lineage.check_unchanged(now, kept)
    fresh = [d for d in now if d.key not in kept]
    if fresh:
        tables.append(_rows(spark, fresh), _KEPT)


def _rows(spark: SparkSession, fresh: Sequence[Definition]) -> DataFrame:
    columns = "entity STRING, name STRING, version STRING, unit STRING, description STRING, definition STRING"
    rows = [(d.entity, d.name, d.version, d.unit, d.description, d.text) for d in fresh]
    return spark.createDataFrame(rows, columns).coalesce(1).withColumn("recorded_at", F.current_timestamp())


def _kept(spark: SparkSession) -> list[Definition]:
    """All definitions of the warehouse, oldest first."""
    if not tables.exists(spark, _KEPT):
        return []
    rows = tables.read(spark, _KEPT).orderBy("recorded_at").collect()  # hundreds of rows
    return [
        Definition(
            entity=row["entity"],
            name=row["name"],
            version=row["version"],
            unit=row["unit"],
            description=row["description"],
            text=row["definition"],
        )
        for row in rows
    ]


def _latest(spark: SparkSession) -> list[Definition]:
    """The newest definition of every feature; one of them by name."""
    return list({(d.entity, d.name): d for d in _kept(spark)}.values())


def command(config: Config, action: str, name: str) -> str:
    """The text that `propensity features ACTION [NAME]` prints.

    Raises ConfigError where a name is missing, unknown, or given to an action that takes none.
    """
    if action == "describe":
        if not name:
            raise ConfigError("which feature? propensity features describe NAME; `propensity features list` names them")
        return description(config, name)
    if name:
        raise ConfigError(f"propensity features {action} takes no name, got {name!r}; did you mean describe {name}?")
    return listing(config) if action == "list" else changes(config)
