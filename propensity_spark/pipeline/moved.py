"""The moved boundary on a shop's tables: features of a few users and products made again without what came later.

Not looked at: features of a category, of a user or a segment in a category and of the whole shop (they rest on all users), those of
joined rows, and columns that encoders make (they are learnt out of fold).
"""

import json
from collections.abc import Iterator, Sequence
from datetime import date

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from propensity_spark import tables
from propensity_spark.config import Config
from propensity_spark.features import compute
from propensity_spark.features.spec import KEYS
from propensity_spark.pipeline import rows
from propensity_spark.pipeline.build_features import Moment
from propensity_spark.settle import settle
from propensity_spark.trainset import boundary
from propensity_spark.trainset.audit import LEAK, OK, TRAINING, UNKNOWN, Finding, Found
from propensity_spark.trainset.boundary import CHECKED, Chosen
from propensity_spark.trainset.differences import ROW, Difference, differences

_LISTED = {"user_id": "silver.users", "product_id": "silver.products"}
_POOL = 100  # keys looked at for each one chosen: enough that some of them have a row at the boundary
_NOT_MADE_AGAIN = (
    "the moved boundary: features of categories, of users and segments in them, of the shop and of joined rows are not made again"
)


def findings(spark: SparkSession, config: Config, moment: Moment) -> Found:
    """Try the first and the last of the dates learnt from, on tables and training rows."""
    if not config.audit.users:
        return Found((), ("the moved boundary: audit.users is 0",))
    if not _are_current(spark, moment):
        return Found((), ("the moved boundary: the tables were last written for other events, settings or dates; build-features",))
    dates = sorted({moment.timeline.learnt[0], moment.timeline.learnt[-1]})
    users, products = (_choose(spark, config, moment, dates, key) for key in ("user_id", "product_id"))
    joined = settle(users.of(rows.of_dates(spark, moment, dates)))
    outside = ("the moved boundary: series, which are made of no events",) if moment.features.series else ()
    found = Found((), (_NOT_MADE_AGAIN, *outside, *_gaps(users, dates), *_gaps(products, dates)))
    for chosen in (users, products):
        if chosen.values:
            found = _joined(found, _of_key(spark, config, moment, dates, chosen, chosen.of(joined)))
    return found


def _joined(one: Found, other: Found) -> Found:
    return Found((*one.findings, *other.findings), (*one.unchecked, *other.unchecked))


def _are_current(spark: SparkSession, moment: Moment) -> bool:
    """Whether the tables were last written for these dates from the events as they are now: else they may differ without a leak."""
    now = {"silver": tables.state(spark, "silver.events"), "features": moment.features.version, "timeline": repr(moment.timeline)}
    for entity in CHECKED:
        try:
            note = json.loads(tables.last_note(spark, f"features.{entity}"))
        except ValueError:  # no note: written by somebody else
            return False
        if any(note.get(part) != value for part, value in now.items()):
            return False
    return True


def _choose(spark: SparkSession, config: Config, moment: Moment, dates: Sequence[date], key: str) -> Chosen:
    """About audit.users of them, spread over the dates."""
    events = tables.read(spark, "silver.events")
    moments = compute.moments(events, dates, config.shop.time_zone)
    most = max(1, config.audit.users // (2 * len(dates)))
    share = min(1.0, _POOL * config.audit.users / max(1, tables.read(spark, _LISTED[key]).count()))
    return boundary.choose(events, moments, key, most, config.audit.max_events, moment.features.history_days, share)


def _gaps(chosen: Chosen, dates: Sequence[date]) -> Iterator[str]:
    """What the choice leaves open."""
    for day in dates:
        if not chosen.witnesses.get(day):
            yield f"the boundary of {day} by {chosen.key}: none of the chosen has a row just beyond it, so a leak may not show"


def _of_key(spark: SparkSession, config: Config, moment: Moment, dates: Sequence[date], chosen: Chosen, joined: DataFrame) -> Found:
    """The entities whose features are made of the chosen users' (or products') rows."""
    events = settle(chosen.of(tables.read(spark, "silver.events")).where(F.col("event_date") <= F.lit(dates[-1])))
    pairs = settle(boundary.measured(events, dates, config.shop.time_zone, moment.features, chosen.key))
    found = Found(())
    for entity in (entity for entity, key in CHECKED.items() if key == chosen.key):
        found = _joined(found, _of_entity(spark, moment, dates, entity, chosen, pairs, joined))
    return found


def _of_entity(
    spark: SparkSession, moment: Moment, dates: Sequence[date], entity: str, chosen: Chosen, pairs: DataFrame, joined: DataFrame
) -> Found:
    """What the table and the training rows hold against the features made again."""
    again, table = boundary.again(pairs, moment.features, entity), f"features.{entity}"
    names = [feature.name for feature in boundary.features_of(moment.features, entity)]
    others = [f.name for f in moment.features.of(entity) if f.name not in names]
    stored = chosen.of(tables.read(spark, table).where(F.col("as_of").isin(list(dates))))
    made: list[Finding] = []
    for frame, what, whole in ((stored, table, True), (joined, f"{TRAINING}, {entity}", False)):
        different, compared = differences(frame, again, names, KEYS[entity], whole)
        made += [_leak(each, f"{what} as of {each.as_of}") for each in different]
        differ = {(each.as_of, each.feature) for each in different}
        for day in dates:
            place, rows_there = f"{what} as of {day}", compared.get(day, 0)
            made += [_as_known(name, place, rows_there) for name in names if (day, name) not in differ]
    unchecked = [f"the moved boundary: {', '.join(others)}: made of whole visits or orders"] if others else []
    return Found(tuple(made), tuple(unchecked))


def _as_known(name: str, place: str, compared: int) -> Finding:
    if not compared:
        return Finding(feature=name, check="boundary", value=None, verdict=UNKNOWN, says="no rows to compare", place=place)
    return Finding(feature=name, check="boundary", value=0.0, verdict=OK, says=f"as known then in {compared} rows", place=place)


def _leak(d: Difference, place: str) -> Finding:
    key = "/".join(d.key)
    if d.feature == ROW:
        kind = "stand there, but nothing was known then" if d.stored else "are not there, but should be"
        says = f"{d.rows} of {d.compared} rows {kind}: {key}, for one"
    else:
        says = (
            f"holds what was not known then in {d.rows} of {d.compared} rows: "
            f"{key} has {_number(d.stored)}, and {_number(d.recomputed)} without all later rows"
        )
    return Finding(feature=d.feature, check="boundary", value=d.rows / d.compared, verdict=LEAK, says=says, place=place)


def _number(value: float | None) -> str:
    return "null" if value is None else f"{value:.6g}"
