"""A feature as one SQL query over silver tables: for people who ask how a number came about, and to hold the numbers against.

Written apart from `compute` on purpose: the two agree only where both say the same, and a test holds them equal.
"""

from collections.abc import Sequence
from datetime import date

from propensity_spark.errors import ConfigError
from propensity_spark.features import lineage, segments
from propensity_spark.features.categories import UNTOLD, Categories
from propensity_spark.features.spec import CANDIDATE, KEYS, ROW, SERIES, Feature, FeatureSet, Measure
from propensity_spark.schemas import EVENTS

_BY_KNOWN = "ORDER BY known_ts, event_ts, event_id"
_ORDER = "coalesce(order_id, concat('visit ', session_no))"
_BEFORE = f"{_BY_KNOWN} ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING"
_VISIT = f"OVER (PARTITION BY user_id, session_no {_BEFORE})"


def _gap(first_of: str, since: str) -> str:
    """Days from the last purchase before (`since`: of what) to the first row (`first_of`: of what)."""
    last = f"max(event_ts) OVER (PARTITION BY user_id, event{since} {_BEFORE})"
    opens = f"row_number() OVER (PARTITION BY user_id, {_ORDER}, event{first_of} {_BY_KNOWN}) = 1"
    return (
        f"IF(event = 'purchase' AND {opens} AND {last} <= event_ts, "
        f"(CAST(event_ts AS DOUBLE) - CAST({last} AS DOUBLE)) / 86400, NULL)"
    )


_MARKS = {
    "visit_first": f"IF(row_number() OVER (PARTITION BY user_id, session_no {_BY_KNOWN}) = 1, 1.0D, 0.0D)",
    "visit_second": f"IF(row_number() OVER (PARTITION BY user_id, session_no {_BY_KNOWN}) = 2, 1.0D, 0.0D)",
    "visit_minutes": f"coalesce((greatest(CAST(event_ts AS DOUBLE), CAST(max(event_ts) {_VISIT} AS DOUBLE)) "
    f"- least(CAST(event_ts AS DOUBLE), CAST(min(event_ts) {_VISIT} AS DOUBLE)) "
    f"- CAST(max(event_ts) {_VISIT} AS DOUBLE) + CAST(min(event_ts) {_VISIT} AS DOUBLE)) / 60, 0.0D)",
    "order_gap": _gap("", ""),
    "line_gap": _gap(", product_id", ", product_id"),
    "order_first": "IF(event = 'purchase' AND row_number() OVER "
    f"(PARTITION BY user_id, {_ORDER}, event {_BY_KNOWN}) = 1, 1.0D, 0.0D)",
    "line_since": "max(coalesce(cancelled_known_ts, TIMESTAMP'9999-12-31 00:00:00')) OVER "
    f"(PARTITION BY user_id, {_ORDER}, event, product_id {_BEFORE})",
}


def query(declared: FeatureSet, names: Sequence[str], as_of: date, time_zone: str, told: Categories = UNTOLD) -> str:
    """Spark SQL for features of one entity at one as_of: its keys, then the features by name.

    A joined row's features are those of the candidate pairs of the date.
    Raises ConfigError where a name is unknown, or no SQL gives the feature.
    """
    entity, _ = lineage.find(declared, names[0])
    if entity == CANDIDATE:
        raise ConfigError(f"{names[0]} is made where candidates are: see trainset/collaborative.py; no SQL gives it")
    if entity == SERIES:
        raise ConfigError(f"{names[0]} is looked up in silver.series: see features/series.py; no SQL is written for it")
    made_of = lineage.needed(declared, names)
    every = [feature for features in made_of.values() for feature in features]
    has_taste = bool(lineage.tastes_of(every))
    measures = lineage.measures_of(declared, every)
    steps = [
        ("told", _told(told, f"to_utc_timestamp(DATE'{as_of}', '{time_zone}')")),
        ("marked", _marked(measures)),
        ("seen", _seen(declared, measures, as_of, time_zone)),
        ("pairs", _pairs(measures)),
        *([("tasted", _tasted())] if has_taste else []),
        *(step for of in KEYS if made_of[of] for step in _entity_steps(declared, of, made_of[of], has_taste, as_of, time_zone)),
    ]
    body = ",\n".join(f"{name} AS (\n{text}\n)" for name, text in steps)
    if entity == ROW:
        return f"WITH {body}\n{_joined(made_of, names, as_of)}"
    return f"WITH {body}\nSELECT {', '.join((*KEYS[entity], *names))} FROM {entity}_features"


def _read_by(measures: Sequence[Measure]) -> frozenset[str]:
    return frozenset[str]().union(*(lineage.words(f"{m.where} {m.value}") for m in measures))


def _marked(measures: Sequence[Measure]) -> str:
    read = _read_by(measures)
    marks = "".join(f",\n    {text} AS {name}" for name, text in _MARKS.items() if name in read)
    return f"  SELECT *{marks}\n  FROM silver.events WHERE NOT is_bot"


def _seen(declared: FeatureSet, measures: Sequence[Measure], as_of: date, time_zone: str) -> str:
    day, read = f"DATE'{as_of}'", _read_by(measures)
    kept = [name for name in (*EVENTS.columns, *_MARKS, "as_of_ts") if name in {"user_id", "product_id", *read} - {"event"}]
    return f"""  SELECT {", ".join(kept)},
    IF(event = 'purchase' AND cancelled_known_ts < as_of_ts, 'cancelled', event) AS event,
    datediff({day}, event_date) AS age,
    (CAST(as_of_ts AS DOUBLE) - CAST(event_ts AS DOUBLE)) / 86400 AS age_days
  FROM marked CROSS JOIN (SELECT to_utc_timestamp({day}, '{time_zone}') AS as_of_ts)
  WHERE event_date >= date_sub({day}, {declared.history_days}) AND event_date < {day} AND known_ts < as_of_ts"""


def _pairs(measures: Sequence[Measure]) -> str:
    made = "".join(f",\n      {_measure(measure)}" for measure in measures)
    return f"""  SELECT counted.*, category FROM (
    SELECT user_id, product_id{made}
    FROM seen GROUP BY user_id, product_id
  ) AS counted LEFT JOIN told ON told.product_id = counted.product_id"""


def _told(told: Categories, moment: str) -> str:
    """The products with the category that was known at the moment, else the first one that was told."""
    asked = [("silver.product_versions", "valid_from")] if told.by_catalogue else []
    asked += [("silver.events", "event_ts")] if told.by_events else []
    joins = "".join(f"\n  LEFT JOIN (\n{_said(*one, moment)}\n  ) AS _{n} USING (product_id)" for n, one in enumerate(asked))
    every = [*(f"_{n}.{which}" for which in ("known", "first") for n in range(len(asked))), "p.category"]
    return f"  SELECT product_id, coalesce({', '.join(every)}) AS category FROM silver.products AS p{joins}"


def _said(table: str, since: str, moment: str) -> str:
    newest = f"struct({since}, known_ts, category)"
    return f"""    SELECT product_id, min_by(category, {newest}) AS first,
      max_by(category, {newest}) FILTER (WHERE {since} < {moment} AND known_ts < {moment}) AS known
    FROM {table} WHERE category IS NOT NULL GROUP BY product_id"""


def _measure(measure: Measure) -> str:
    inside = f"FILTER (WHERE {_condition(measure)})"
    if measure.op == "sum":
        return f"coalesce(sum({measure.value}) {inside}, 0.0D) AS {measure.name}"
    return f"{measure.op}({measure.value}) {inside} AS {measure.name}"


def _condition(measure: Measure) -> str:
    return measure.where if measure.days is None else f"age <= {measure.days} AND {measure.where}"


def _tasted() -> str:
    share = "sum(views_ever) OVER (PARTITION BY product_id) / sum(views_ever) OVER (PARTITION BY category)"
    return f"""  SELECT *, sum(views_taste) OVER (PARTITION BY user_id) AS user_taste FROM (
    SELECT *, least(views_ever, greatest(1, 2 * {share}
      * sum(views_ever) OVER (PARTITION BY user_id, category))) AS views_taste FROM pairs
  )"""


def _entity_steps(
    declared: FeatureSet, entity: str, features: Sequence[Feature], has_taste: bool, as_of: date, time_zone: str
) -> list[tuple[str, str]]:
    """The steps that give an entity's features; those of a segment begin with the users' segments."""
    made = (f"{entity}_features", _entity(entity, features, has_taste))
    if entity != "segment_category":
        return [made]
    users = _segments(declared.segment, f"to_utc_timestamp(DATE'{as_of}', '{time_zone}')")
    return [("segments", users), ("segmented", "  SELECT * FROM pairs LEFT JOIN segments USING (user_id)"), made]


def _segments(rule: str, moment: str) -> str:
    attribute = segments.attribute_of(rule)
    if not attribute:
        return f"  SELECT user_id, {rule} AS segment FROM user_features"
    newest = f"max_by(attributes['{attribute}'], struct(valid_from, known_ts))"
    return f"""  SELECT user_id, coalesce(value, '{segments.UNKNOWN}') AS segment
  FROM (SELECT DISTINCT user_id FROM pairs) LEFT JOIN (
    SELECT user_id, {newest} AS value
    FROM silver.user_versions WHERE valid_from < {moment} AND known_ts < {moment} GROUP BY user_id
  ) USING (user_id)"""


def _entity(entity: str, features: Sequence[Feature], has_taste: bool) -> str:
    keys = KEYS[entity]
    made = [f"CAST({f.expression} AS FLOAT) AS {f.name}" for f in features if not f.derived]
    source = {"user_category": "tasted" if has_taste else "pairs", "segment_category": "segmented"}.get(entity, "pairs")
    known = f" WHERE {' AND '.join(f'{key} IS NOT NULL' for key in keys)}" if keys else ""
    grouped = f" GROUP BY {', '.join(keys)}" if keys else ""
    rolled = f"SELECT {', '.join((*keys, *made))}\n  FROM {source}{known}{grouped}"
    further = _derived(features)
    return f"  SELECT *{further} FROM (\n  {rolled})" if further else f"  {rolled}"


def _derived(features: Sequence[Feature]) -> str:
    return "".join(f",\n    CAST({f.expression} AS FLOAT) AS {f.name}" for f in features if f.derived)


def _joined(made_of: dict[str, tuple[Feature, ...]], names: Sequence[str], as_of: date) -> str:
    joins = "\n    LEFT JOIN segments USING (user_id)" if made_of["segment_category"] else ""
    joins += "".join(
        f"\n    LEFT JOIN {of}_features USING ({', '.join(KEYS[of])})" if KEYS[of] else f"\n    CROSS JOIN {of}_features"
        for of in KEYS
        if made_of[of]
    )
    pairs = f"(SELECT user_id, product_id FROM trainset.candidates WHERE as_of = DATE'{as_of}')"
    return f"""SELECT user_id, product_id, {", ".join(names)} FROM (
  SELECT *{_derived(made_of[ROW])}
  FROM (
    SELECT * FROM {pairs} LEFT JOIN told USING (product_id){joins}
  )
)"""
