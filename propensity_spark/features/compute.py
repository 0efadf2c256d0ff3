"""Point-in-time columns: what was true just before the shop's midnight that begins `as_of`, and nothing later."""

import re
from collections.abc import Sequence
from datetime import date

from pyspark.sql import Column, DataFrame, Window, WindowSpec
from pyspark.sql import functions as F

from propensity_spark.features.spec import Feature, FeatureSet, Measure
from propensity_spark.ingest.events import midnight

PAIR_KEYS = ("as_of", "user_id", "product_id")
_SECONDS_A_DAY, _SECONDS_A_MINUTE = 86400.0, 60.0
_NEVER = "9999-12-31"


def mark_firsts(events: DataFrame) -> DataFrame:
    """Mark the event that opens a visit and an order, since when a purchase is the first of its order's line, and gaps.

    Takes   silver.events.
    Returns its human rows (no bots) plus visit_first, visit_second, order_first DOUBLE, 1 or 0: summing them counts visits,
            visits of more than one event, and orders without a distinct; line_since TIMESTAMP, the moment from which all
            earlier rows of the same order and product were known to be taken back (null: there are none); visit_minutes
            DOUBLE, by how much a row makes its visit longer; order_gap and line_gap DOUBLE, the days from the user's last
            purchase before to the first row of an order, or of an order's product from the last one of that product (null:
            there is none, or it happened later and was known before). The first is the first known: whoever sees a row sees
            those before it as well, so that rows learned of later change no mark. Marks that nothing reads cost nothing.
    """
    keyed = events.where(~F.col("is_bot")).withColumn(
        "_order", F.coalesce("order_id", F.concat(F.lit("visit "), F.col("session_no").cast("string")))
    )
    visit, order, line = _by_known("session_no"), _by_known("_order", "event"), _by_known("_order", "event", "product_id")
    opens = (F.col("event") == "purchase") & (F.row_number().over(order) == 1)
    known = F.coalesce("cancelled_known_ts", F.lit(_NEVER).cast("timestamp"))
    return keyed.repartition("user_id").select(  # one shuffle serves all windows
        *events.columns,
        _flag(F.row_number().over(visit) == 1).alias("visit_first"),
        _flag(F.row_number().over(visit) == 2).alias("visit_second"),
        _flag(opens).alias("order_first"),
        F.max(known).over(_before(line)).alias("line_since"),
        _longer(_before(visit)).alias("visit_minutes"),
        _gap(opens, _by_known("event")).alias("order_gap"),
        _gap((F.col("event") == "purchase") & (F.row_number().over(line) == 1), _by_known("event", "product_id")).alias("line_gap"),
    )


def _by_known(*keys: str) -> WindowSpec:
    """A user's rows of equal keys in the order in which they became known."""
    return Window.partitionBy("user_id", *keys).orderBy("known_ts", "event_ts", "event_id")


def _before(rows: WindowSpec) -> WindowSpec:
    return rows.rowsBetween(Window.unboundedPreceding, -1)


def _gap(opens: Column, rows: WindowSpec) -> Column:
    """Days since the latest of the rows before, where `opens` holds."""
    last = F.max("event_ts").over(_before(rows))
    return F.when(opens & (last <= F.col("event_ts")), (_seconds("event_ts") - last.cast("double")) / _SECONDS_A_DAY)


def _longer(before: WindowSpec) -> Column:
    """Minutes that a row lies outside of the rows before: added up, the time from the first to the last of them."""
    now, first, last = _seconds("event_ts"), F.min("event_ts").over(before), F.max("event_ts").over(before)
    outside = F.greatest(now - last.cast("double"), first.cast("double") - now, F.lit(0.0))
    return F.when(last.isNotNull(), outside / _SECONDS_A_MINUTE).otherwise(0.0)


def _seconds(column: str) -> Column:
    return F.col(column).cast("double")


def _flag(condition: Column) -> Column:
    return F.when(condition, 1.0).otherwise(0.0)


def moments(events: DataFrame, as_of_dates: Sequence[date], time_zone: str) -> DataFrame:
    """The as-of dates as rows: as_of DATE and as_of_ts, the UTC instant of the shop's midnight that begins it."""
    spark = events.sparkSession
    dates = spark.createDataFrame([(day.isoformat(),) for day in sorted(set(as_of_dates))], "as_of STRING")
    return dates.select(
        F.col("as_of").cast("date").alias("as_of"),
        midnight(F.col("as_of").cast("date"), time_zone).alias("as_of_ts"),
    )


def as_seen(events: DataFrame, as_of: DataFrame, days: int) -> DataFrame:
    """Events once per as_of that may see them: `event_date` in `[as_of - days, as_of)`, as they were known at that moment.

    Takes   events with event_date (shop's days) and event_ts, known_ts, cancelled_known_ts (UTC); `as_of` from `moments`.
    Returns the events plus as_of, as_of_ts, age INT (whole days, at least 1) and age_days DOUBLE (time passed).
            What was not known before as_of_ts is left out; a purchase known by then to be taken back reads as 'cancelled'.
    """
    earliest, latest = F.date_sub("as_of", days), F.col("as_of")
    inside = (F.col("event_date") >= earliest) & (F.col("event_date") < latest) & (F.col("known_ts") < F.col("as_of_ts"))
    seen = events.join(F.broadcast(as_of), on=inside, how="inner")
    taken_back = (F.col("event") == "purchase") & (F.col("cancelled_known_ts") < F.col("as_of_ts"))
    passed = F.col("as_of_ts").cast("double") - F.col("event_ts").cast("double")
    return seen.select(
        *(c for c in events.columns if c != "event"),
        F.when(taken_back, "cancelled").otherwise(F.col("event")).alias("event"),
        "as_of",
        "as_of_ts",
        F.datediff("as_of", "event_date").alias("age"),
        (passed / _SECONDS_A_DAY).alias("age_days"),
    )


def measure_pairs(seen: DataFrame, measures: Sequence[Measure]) -> DataFrame:
    """All measures in one pass over the events: one row per as_of, user_id, product_id that has any event."""
    return seen.groupBy(*PAIR_KEYS).agg(*(_measure(measure) for measure in measures))


def _measure(measure: Measure) -> Column:
    condition = measure.where if measure.days is None else f"age <= {measure.days} AND {measure.where}"
    empty = "0.0D" if measure.op == "sum" else "NULL"
    value = f"coalesce({measure.value}, 0.0D)" if measure.op == "sum" else measure.value
    return F.expr(f"{measure.op}(IF({condition}, {value}, {empty}))").alias(measure.name)


def roll_up(pairs: DataFrame, keys: Sequence[str], features: Sequence[Feature]) -> DataFrame:
    """An entity's features from the measures of its pairs: one row per as_of and key; rows without a key are left out."""
    present = pairs.where(" AND ".join(f"{key} IS NOT NULL" for key in keys))
    made = [F.expr(f.expression).cast("float").alias(f.name) for f in features if not f.derived]
    grouped = present.groupBy(*keys).agg(*made) if made else present.select(*keys).distinct()
    return derive(grouped, features)


def pair_features(pairs: DataFrame, features: Sequence[Feature]) -> DataFrame:
    """The pairs' own features: a pair's measures are already one row, so its rollup is the row itself."""
    made = [F.expr(_unaggregated(f.expression)).cast("float").alias(f.name) for f in features if not f.derived]
    return derive(pairs.select(*PAIR_KEYS, *made), features)


def _unaggregated(expression: str) -> str:
    """sum(x), min(x) and max(x) over a single row are x."""
    return re.sub(r"\b(?:sum|min|max)\((\w+)\)", r"\1", expression)


def derive(frame: DataFrame, features: Sequence[Feature]) -> DataFrame:
    """Add the derived features, which may use one another in the order of their declaration."""
    made = [f"CAST({f.expression} AS FLOAT) AS {f.name}" for f in features if f.derived]
    return frame.selectExpr("*", *made) if made else frame


def version_of(declared: FeatureSet) -> Column:
    """The version that every feature row carries."""
    return F.lit(declared.version).alias("feature_version")
