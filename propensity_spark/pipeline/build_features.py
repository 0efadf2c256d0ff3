"""Job: features of every entity and the labelled candidate pairs, for all dates that a run needs."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from propensity_spark import tables
from propensity_spark.config import SCALERS, Config, TrainConfig
from propensity_spark.errors import ConfigError, InsufficientData, TableMissing, TablesStale
from propensity_spark.features import compute, segments
from propensity_spark.features.attributes import Known
from propensity_spark.features.categories import UNTOLD, Categories, add_category, told_by
from propensity_spark.features.definitions import feature_set
from propensity_spark.features.series import series_at
from propensity_spark.features.spec import KEYS, SERIES, FeatureSet
from propensity_spark.features.taste import add_taste
from propensity_spark.ingest.events import midnight
from propensity_spark.pipeline import candidate_scores, eligible, extent, rates
from propensity_spark.pipeline.extent import Extent
from propensity_spark.pipeline.features import keep_definitions
from propensity_spark.progress import Progress
from propensity_spark.schemas import SERIES as SERIES_ROWS
from propensity_spark.schemas import SERIES_MEMBERS, VERSIONS
from propensity_spark.trainset import collaborative, labels, sampling, split
from propensity_spark.trainset.assemble import inputs
from propensity_spark.trainset.candidates import candidates
from propensity_spark.trainset.population import population
from propensity_spark.trainset.split import Timeline

ENTITIES = {entity: ("as_of", *keys) for entity, keys in KEYS.items() if entity != "pair"}  # rolled up from pairs
# train.*: what is done with the rows of these tables, not which they are
_LATER = ("balance", "refit", "calibration_share", "min_positives", "min_buyers", "min_rows", "max_rows")
_TEXTS = ("user_id", "product_id", "category", "candidate_source")  # what encoders read beside features and attributes
# What a fingerprint's parts are to a reader; what they are made of is in `_fingerprint`.
_CALLED = {"candidates": "scores of candidates", "silver": "events", "beside": "tables beside the events", "timeline": "dates"}


@dataclass(frozen=True, slots=True)
class Moment:
    """What a run is about: its dates, its declared features, the attributes that encoders read, and who tells categories.

    `doubts`: what the labels of its dates may lack, in sentences. `least_rate`: what share of the negatives teaches at least, since
    there are few (0: train.negative_rate is enough).
    """

    timeline: Timeline
    features: FeatureSet
    attributes: tuple[Known, ...] = ()
    categories: Categories = UNTOLD
    doubts: tuple[str, ...] = ()
    least_rate: float = 0.0

    def sampled(self, train: TrainConfig) -> TrainConfig:
        """The settings by which rows are sampled that are learnt from: the same for all jobs, or probabilities would be off."""
        return replace(train, negative_rate=max(train.negative_rate, self.least_rate))


def prepare(spark: SparkSession, config: Config, as_of: date, found: Extent | None = None) -> Moment:
    """Lay out the dates and the features that this shop's events can fill; `found`: what they span, where that is known.

    Raises InsufficientData where silver.events cannot carry the run, ConfigError where an encoder reads a column that no row has.
    """
    found = found or extent.look(spark, config)
    _check_types(config, found)
    declared = feature_set(config.features, found.types, config.candidates.popular_days, config.shop.time_zone, config.series)
    timeline = split.plan(config, as_of, found.first, found.sold, found.late, found.full)
    doubts = (*found.doubts(as_of), *split.doubts(config, timeline, found.first))
    known, rate = attributes(config, declared), rates.least_rate(spark, config, timeline)
    return Moment(timeline, declared, known, told_by(config), doubts, rate)


def _check_types(config: Config, found: Extent) -> None:
    """Raise InsufficientData where nothing was bought, or nobody did what puts users into the population."""
    wanted = {"purchase", *({config.population.event} - {"any"})}
    if lacking := sorted(wanted - found.types):
        raise InsufficientData(
            f"silver.events holds no event of type {' or '.join(lacking)}, only {', '.join(sorted(found.types))}. Say in "
            "sources.*.event_types which values mean it (silver.events_rejected has the refused rows) or bring the log that has it."
        )


def products_at(spark: SparkSession, moment: Moment, dates: Sequence[date]) -> DataFrame:
    """The products with their categories at the dates: see categories.add_category."""
    told = moment.categories
    versions = tables.read(spark, VERSIONS["product_id"]) if told.by_catalogue else None
    events = tables.read(spark, "silver.events") if told.by_events else None
    return told.at(dates, tables.read(spark, "silver.products"), versions, events)


def attributes(config: Config, declared: FeatureSet) -> tuple[Known, ...]:
    """What encoders read under the names user_<attribute> and product_<attribute>; a joined column of that name goes first.

    What is scaled is a number, and text otherwise. Raises ConfigError where an encoder reads a column that no row has, or
    that tells the label (label; weight, by which negatives were sampled), and where two read one as different kinds.
    """
    joined = {*_TEXTS, *(feature.name for feature in inputs(declared))}
    kinds = {(e.column, "DOUBLE" if e.how in SCALERS else "STRING") for e in config.encoders if e.column not in joined}
    asked = dict(sorted(kinds))
    if len(asked) < len(kinds):
        twice = sorted({column for column, kind in kinds if (column, "DOUBLE") in kinds and kind == "STRING"})
        raise ConfigError(f"encoders: {', '.join(twice)} is read as a number by one and as text by another; keep one of them")
    found, named = [], []
    for key, entity in (("user_id", config.users), ("product_id", config.products)):
        columns = {f"{key.removesuffix('_id')}_{attribute}": attribute for attribute in entity.attributes}
        mine = {column: (attribute, asked.pop(column)) for column, attribute in columns.items() if column in asked}
        named += list(columns)
        if mine:
            found.append(Known(key, mine, config.shop.time_zone))
    if asked:
        raise ConfigError(
            f"encoders: no {', '.join(sorted(asked))} can be read. Name category, product_id, candidate_source, a feature "
            f"(`propensity features list` names them) or an attribute ({', '.join(named) or 'users and products keep none'})"
        )
    return tuple(found)


def entities(declared: FeatureSet) -> dict[str, tuple[str, ...]]:
    """The rolled-up entities that have a table, with its keys: segments only where a feature asks for them."""
    return {entity: keys for entity, keys in ENTITIES.items() if entity != "segment_category" or declared.segment_category}


def kept(declared: FeatureSet) -> tuple[str, ...]:
    """What has a table of features, in the order in which they are written."""
    return ("pair", *entities(declared), *([SERIES] if declared.series else []))


def written(declared: FeatureSet) -> tuple[str, ...]:
    """The tables that this job writes, in order."""
    return (*(f"features.{entity}" for entity in kept(declared)), "trainset.candidates")


def run(spark: SparkSession, config: Config, moment: Moment, progress: Progress) -> None:
    """Write features.* and trainset.candidates for the moment's dates; dates that are current already are left alone."""
    fingerprint = _fingerprint(spark, config, moment)
    if all(tables.last_note(spark, name) == fingerprint for name in written(moment.features)):
        progress.say("  features        as before: neither the events nor the settings have changed")
        return
    keep_definitions(spark, moment.features)
    events = compute.mark_firsts(tables.read(spark, "silver.events"))
    as_of = compute.moments(events, moment.timeline.dates, config.shop.time_zone)
    seen = compute.as_seen(events, as_of, config.features.history_days)
    _write_features(spark, config, moment, seen, fingerprint, progress)
    if moment.features.series:
        _write_series(spark, config, moment, fingerprint, progress)
    _write_candidates(spark, config, moment, seen, fingerprint, progress)


def check_current(spark: SparkSession, config: Config, moment: Moment) -> None:
    """Refuse tables that `run` would write anew: rows of a date that was learnt from, say, are sampled by their labels.

    Raises TableMissing where one is not there, TablesStale where one is of other dates, settings or events.
    """
    fingerprint, stale = _fingerprint(spark, config, moment), dict[str, str]()
    for name in written(moment.features):
        if not tables.exists(spark, name):
            raise TableMissing(name, "build-features")
        note = tables.last_note(spark, name)
        if note != fingerprint:
            stale[name] = note
    if stale:
        differs = dict.fromkeys(part for note in stale.values() for part in _differing(note, fingerprint))
        raise TablesStale(stale, differs, moment.timeline.as_of)


def _differing(note: str, fingerprint: str) -> list[str]:
    """The parts in which two fingerprints differ; of a note that is none, all."""
    now: dict[str, object] = json.loads(fingerprint)
    try:
        then: dict[str, object] = json.loads(note)
    except ValueError:  # written by somebody else
        then = {}
    return [_CALLED.get(part, part) for part in sorted({*now, *then}) if now.get(part) != then.get(part)]


def _fingerprint(spark: SparkSession, config: Config, moment: Moment) -> str:
    read = dict.fromkeys((*_read_beside(config, moment.features), *eligible.reads(config)))
    beside = {name: tables.state(spark, name) for name in read}
    plain = TrainConfig()
    sampled = replace(moment.sampled(config.train), **{name: getattr(plain, name) for name in _LATER})
    parts = {
        "silver": tables.state(spark, "silver.events"),
        **({"beside": beside} if beside else {}),
        "features": moment.features.version,
        "candidates": candidate_scores.MEANING,
        "settings": repr((config.features, config.candidates, config.population, sampled, config.labels)),
        "timeline": repr(moment.timeline),
        **({"categories": repr(moment.categories)} if moment.categories.told else {}),
        "shop": repr(replace(config.shop, currency="")),  # a name that is shown, and changes no number
    }
    return json.dumps(parts, sort_keys=True)


def _read_beside(config: Config, declared: FeatureSet) -> tuple[str, ...]:
    """The tables, other than the events, that features are made of."""
    users = bool(segments.attribute_of(declared.segment)) or any(one.region for one in config.series)
    members = any(one.campaign for one in config.series)
    series = (SERIES_ROWS.name, *((SERIES_MEMBERS.name,) if members else ())) if declared.series else ()
    return (*series, *((VERSIONS["user_id"],) if users else ()))


def _write_features(
    spark: SparkSession, config: Config, moment: Moment, seen: DataFrame, fingerprint: str, progress: Progress
) -> None:
    declared, where = moment.features, on_dates(moment.timeline.dates)
    products = F.broadcast(products_at(spark, moment, moment.timeline.dates))
    measured = add_category(compute.measure_pairs(seen, declared.measures), products).persist()
    version = compute.version_of(declared)
    try:
        with progress.stage("features pair") as stage:
            pairs = compute.pair_features(measured, declared.pair)
            stage.rows_out = tables.replace(pairs.select("*", version), "features.pair", where, fingerprint)
        for entity, keys in entities(declared).items():
            with progress.stage(f"features {entity}".replace("_", " ")) as stage:
                rolled = compute.roll_up(_source(spark, moment, entity, measured), keys, declared.of(entity))
                if entity == "user" and declared.segment:
                    rolled = _with_segment(spark, declared, rolled, config.shop.time_zone)
                stage.rows_out = tables.replace(rolled.select("*", version), f"features.{entity}", where, fingerprint)
    finally:
        measured.unpersist()


def _write_series(spark: SparkSession, config: Config, moment: Moment, fingerprint: str, progress: Progress) -> None:
    """For all users who have features at the dates."""
    declared, where, zone = moment.features, on_dates(moment.timeline.dates), config.shop.time_zone
    beside = {name: tables.read(spark, name) for name in _read_beside(config, declared)}
    with progress.stage("features series") as stage:
        users = tables.read(spark, "features.user", where).select("as_of", "user_id")
        asked = users.withColumn("as_of_ts", midnight(F.col("as_of"), zone))
        members, versions = beside.get(SERIES_MEMBERS.name), beside.get(VERSIONS["user_id"])
        found = series_at(asked, config.series, beside[SERIES_ROWS.name], zone, members=members, users=versions)
        made = found.select("as_of", "user_id", *(F.col(f.name).cast("float").alias(f.name) for f in declared.series))
        stage.rows_out = tables.replace(made.select("*", compute.version_of(declared)), "features.series", where, fingerprint)


def _source(spark: SparkSession, moment: Moment, entity: str, measured: DataFrame) -> DataFrame:
    """The pairs' measures with what else an entity is rolled up by."""
    if entity == "user_category" and "views_ever" in measured.columns:
        return add_taste(measured)
    if entity == "segment_category":
        users = tables.read(spark, "features.user", on_dates(moment.timeline.dates)).select("as_of", "user_id", "segment")
        return measured.join(users, on=["as_of", "user_id"], how="left")
    return measured


def _with_segment(spark: SparkSession, declared: FeatureSet, users: DataFrame, time_zone: str) -> DataFrame:
    by_attribute = bool(segments.attribute_of(declared.segment))
    versions = tables.read(spark, VERSIONS["user_id"]) if by_attribute else None
    return segments.add_segment(users, declared.segment, time_zone, versions)


def _write_candidates(
    spark: SparkSession, config: Config, moment: Moment, seen: DataFrame, fingerprint: str, progress: Progress
) -> None:
    timeline, where = moment.timeline, on_dates(moment.timeline.dates)
    with progress.stage("candidates") as stage:
        everyone = eligible.users(spark, config, population(seen, config.population))
        told = {entity: tables.read(spark, f"features.{entity}", where) for entity in ("pair", "product", "user_category", "user")}
        told["products"] = products_at(spark, moment, timeline.dates)
        past = collaborative.history(seen, config.candidates.history)
        left_out = eligible.excluded(spark, config, told["product"].select("as_of", "product_id"))
        found = candidates(everyone, told, past, config.candidates, candidate_scores.learning(config, moment.features), left_out)
        labelled = attach_labels(spark, config, timeline, found)
        thinned = ~F.col("as_of").isin(list(timeline.in_full))
        sampled = sampling.sampled(labelled, told["product"], moment.sampled(config.train), thinned)
        stage.rows_out = tables.replace(sampled, "trainset.candidates", where, fingerprint)


def attach_labels(spark: SparkSession, config: Config, timeline: Timeline, found: DataFrame) -> DataFrame:
    """The candidates with weight 1 and label 1 (bought within the horizon), 0, or null (the horizon has not passed)."""
    events = tables.read(spark, "silver.events")
    dates = compute.moments(events, timeline.labelled, config.shop.time_zone)
    positives = labels.bought(events, dates, timeline.horizon_days, config.shop.time_zone, timeline.as_of)
    matured = F.col("as_of").isin(list(timeline.labelled))
    hit = positives.withColumn("_hit", F.lit(1))
    return found.join(hit, on=list(labels.KEYS), how="left").select(
        *found.columns,
        F.when(matured, F.coalesce("_hit", F.lit(0))).cast("int").alias("label"),
        F.lit(1.0).alias("weight"),
    )


def on_dates(dates: Sequence[date]) -> str:
    """In SQL: the rows of these dates."""
    listed = ", ".join(f"DATE'{day}'" for day in dates)
    return f"as_of IN ({listed})"
