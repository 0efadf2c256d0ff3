"""How a matured as_of is judged: models, baselines and, in a simulated shop, the truth, on all candidates of the date."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

import pandas as pd
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from propensity_spark import tables
from propensity_spark.config import Config
from propensity_spark.features import compute
from propensity_spark.features.categories import add_category
from propensity_spark.ingest.truth import true_propensity
from propensity_spark.judge import cells, coverage, intervals, metrics, ranking, slices
from propensity_spark.judge.baselines import BASELINES, REFERENCE, add_baselines
from propensity_spark.judge.calibrator import Calibrator
from propensity_spark.judge.cells import View
from propensity_spark.judge.order import RANKING
from propensity_spark.judge.slices import NEW, REPEAT
from propensity_spark.models import fast
from propensity_spark.pipeline import eligible
from propensity_spark.pipeline.build_features import Moment, products_at
from propensity_spark.pipeline.figures import INTERVALS, SLICES, SOURCES, TRUTH, Judged
from propensity_spark.settle import settle
from propensity_spark.trainset.labels import bought

KEEP = ("as_of", "user_id", "product_id", "label", "weight", "pair_orders", "product_buyers_recent", "als_score")
KNOWN = ("product_price", *slices.READS)  # further columns of the rows, where there are any


def scored(assembled: DataFrame, scorers: Sequence[fast.Scorer], popular: float, *also: str) -> DataFrame:
    """The rows' KEEP columns (and `also`, and those of KNOWN that they have) with the raw score of every model and baseline."""
    known = [column for column in KNOWN if column in assembled.columns]
    return add_baselines(fast.score(assembled, scorers, (*KEEP, *known, *also)), popular)


def price(rows: DataFrame) -> Column | None:
    """What a bought pair is worth: the mean price paid for its product before as_of; None: no prices are known."""
    return F.col("product_price") if "product_price" in rows.columns else None


def most_popular(spark: SparkSession) -> float:
    """The largest product_buyers_recent there is."""
    products = tables.read(spark, "features.product")
    return float(products.agg(F.max("product_buyers_recent")).collect()[0][0] or 0.0)


def score_columns(families: Sequence[str]) -> dict[str, str]:
    """Scorer -> the column of its uncalibrated score."""
    return {**{family: fast.raw_column(family) for family in families}, **{name: name for name in BASELINES}}


def calibrated_columns(calibrators: Mapping[str, Calibrator]) -> dict[str, str]:
    """Scorer -> the column of its uncalibrated score, of those that are calibrated: an older run knows fewer baselines."""
    columns = score_columns([name for name in calibrators if name not in BASELINES])
    return {name: column for name, column in columns.items() if name in calibrators}


def with_probabilities(rows: DataFrame, calibrators: Mapping[str, Calibrator]) -> DataFrame:
    """The scored rows plus p_<scorer>, the calibrated probability of each scorer."""
    made = [calibrators[name].apply(F.col(column)).alias(f"p_{name}") for name, column in calibrated_columns(calibrators).items()]
    return rows.select("*", *made)


def judge(
    spark: SparkSession,
    config: Config,
    moment: Moment,
    rows: DataFrame,
    calibrators: Mapping[str, Calibrator],
    as_of: date,
    thresholds: Mapping[str, float],
) -> Judged:
    """Everything that is to be said about all scorers at one matured as_of, as plain values.

    Takes   `rows`: scored candidates of the date, all of them, with labels, and ranking_score, which orders the champion's lists;
            `thresholds`: the champion's, by rule, chosen on other rows.
    Returns `metrics`, `repeat` and `new` (pairs bought before, or never): scorer -> Metrics; `ranking`: scorer -> RankingMetrics;
            `intervals`: the champion -> the ends of its intervals and its gains over the best baselines, by name; `slices`: what
            they are by -> slice -> the champion and REFERENCE -> figures by name; `sources`: source of candidates ->
            what it brings and costs (coverage.Source).
    """
    columns = calibrated_columns(calibrators)
    probabilities = {name: f"p_{name}" for name in columns}
    ready = with_probabilities(with_segment(config, rows, as_of), calibrators)
    columns[config.models.champion] = RANKING  # the list that is published
    if config.is_simulated:
        ready = true_propensity(ready, config.simulator, moment.timeline.horizon_days).where("truth IS NOT NULL")
        columns[TRUTH] = probabilities[TRUTH] = TRUTH
    ready = ready.persist()
    try:
        summed = _summed(spark, config, moment, as_of, ready, probabilities, columns, thresholds)
    finally:
        ready.unpersist()
    return {**_results(config, summed, probabilities, thresholds), SOURCES: _sources(spark, summed, as_of)}


def _sources(spark: SparkSession, summed: "Summed", as_of: date) -> dict[str, dict[str, Any]]:
    pairs, everyone = tables.read(spark, "trainset.candidates", f"as_of = DATE'{as_of}'"), summed.lists["view"] == ranking.ALL
    bought = int(summed.lists.loc[everyone, "truth"].sum())
    return {source.name: asdict(source) for source in coverage.by_source(pairs, bought)}


@dataclass(frozen=True, slots=True)
class Summed:
    """All that leaves Spark: cells and list sums of every view, and the reach of the lists."""

    cells: pd.DataFrame
    lists: pd.DataFrame
    reach: Mapping[str, tuple[float | None, float | None]]


def _summed(
    spark: SparkSession,
    config: Config,
    moment: Moment,
    as_of: date,
    ready: DataFrame,
    probabilities: Mapping[str, str],
    columns: Mapping[str, str],
    thresholds: Mapping[str, float],
) -> Summed:
    """One pass for the probabilities of all views, one for the lists."""
    champion, k, block = config.models.champion, config.judge.k, intervals.block(config.judge.blocks)
    segments = _segments(spark, as_of) if "segment" in ready.columns else []
    parts = slices.of_rows(ready, config.judge, _categories(spark, moment, as_of), segments)
    in_blocks = {name: column for name, column in probabilities.items() if name in (champion, *BASELINES)}
    apart = {name: probabilities[name] for name in (champion, REFERENCE)}
    views = [View(by, key, probabilities if by == slices.EXISTS else apart) for by, key in parts.items()]
    views.append(View(intervals.BLOCK, block, in_blocks, cells.COARSE))
    found = cells.collect(ready, views, {champion: list(thresholds.values())}, price(ready))
    by_user = {by: key for by, key in parts.items() if by in slices.OF_USERS}
    also = [column for column in ("user_orders", "segment") if column in ready.columns]
    with ranking.placed(ready, columns, k, *also) as rows:
        each = ranking.buyers(rows, purchases(spark, config, moment, as_of), columns, k, *also)
        lists = ranking.sums(each, columns, {intervals.BLOCK: block, **by_user}, k)
        return Summed(found, lists, ranking.reach(rows, catalogue(spark, config, as_of), columns, k))


def _results(config: Config, summed: Summed, scorers: Mapping[str, str], thresholds: Mapping[str, float]) -> Judged:
    champion, k = config.models.champion, config.judge.k
    cuts = {champion: thresholds}
    good = metrics.of_all(summed.cells, slices.EXISTS, scorers, cuts)
    parts = metrics.of_keys(summed.cells, slices.EXISTS, scorers, cuts)
    everyone = summed.lists[summed.lists["view"] == ranking.ALL]
    placed = {name: ranking.of_sums(everyone, name, k, summed.reach[name]) for name in scorers}
    results: dict[str, Mapping[str, Any]] = {
        "metrics": good,
        "ranking": placed,
        **{p: parts.get(p, {}) for p in (REPEAT, NEW)},
    }
    plain = {part: {name: asdict(result) for name, result in each.items()} for part, each in results.items()}
    sure = {champion: _intervals(config, summed, good, placed)}
    return {**plain, INTERVALS: sure, SLICES: _slices(config, summed, scorers, thresholds)}


def _slices(config: Config, summed: Summed, scorers: Mapping[str, str], thresholds: Mapping[str, float]) -> dict[str, Any]:
    """By what they are sliced -> slice -> scorer -> figures by name."""
    made: dict[str, Any] = {}
    champion, k = config.models.champion, config.judge.k
    apart = {name: scorers[name] for name in (champion, REFERENCE)}
    for by in sorted(set(summed.cells["view"]) - {intervals.BLOCK}):
        found = metrics.of_keys(summed.cells, by, apart, {champion: thresholds})
        made[by] = {key: {name: result.flat() for name, result in each.items()} for key, each in found.items()}
        lists = summed.lists[summed.lists["view"] == by]
        for key, row in lists.groupby("key"):
            for name in apart:
                made[by].setdefault(str(key), {}).setdefault(name, {}).update(ranking.of_sums(row, name, k).flat())
    return made


def _intervals(
    config: Config, summed: Summed, good: Mapping[str, metrics.Metrics], placed: Mapping[str, ranking.RankingMetrics]
) -> dict[str, float | None]:
    """See intervals.told; figures of lists carry their k as elsewhere."""
    champion, k = config.models.champion, config.judge.k
    times = intervals.drawn(config.judge.blocks, config.judge.draws, config.train.seed)
    pairs, lists = (found[found["view"] == intervals.BLOCK] for found in (summed.cells, summed.lists))
    values, samples = {}, {}
    for name in (champion, *(name for name in BASELINES if name in good)):
        values[name] = {**good[name].flat(), **{figure: getattr(placed[name], figure) for figure in intervals.LISTS}}
        mine = pairs[pairs["scorer"] == name]
        samples[name] = {**intervals.of_pairs(mine, times), **intervals.of_lists(lists, name, times)}
    told = intervals.told(champion, tuple(values)[1:], values, samples)
    return {ranking.with_k(name, k): value for name, value in told.items()}


def purchases(spark: SparkSession, config: Config, moment: Moment, as_of: date) -> DataFrame:
    """The distinct pairs bought within the horizon by the users who are scored at as_of, candidates or not, of what is offered."""
    events = tables.read(spark, "silver.events")
    dates = compute.moments(events, [as_of], config.shop.time_zone)
    everyone = tables.read(spark, "trainset.candidates", f"as_of = DATE'{as_of}'").select("user_id").distinct()
    # as the labels of the candidates: what a label does not know of is no part of what was to be found
    pairs = bought(events, dates, moment.timeline.horizon_days, config.shop.time_zone, scored=moment.timeline.as_of)
    mine = pairs.join(everyone, on="user_id", how="left_semi")
    return eligible.offered(spark, config, mine).select("user_id", "product_id")


def catalogue(spark: SparkSession, config: Config, as_of: date) -> DataFrame:
    """Every product_id that was offered at the date, and its share DOUBLE of all lately bought pairs.

    Each product counts for one more pair. What became known later is left out: no list could hold it.
    """
    bought_by = F.coalesce(F.col("product_buyers_recent").cast("double"), F.lit(0.0)) + 1
    on_sale = eligible.on_sale(spark, config, [as_of])
    products = settle(_products(spark, as_of).join(on_sale, on="product_id", how="left_semi"))
    total = products.agg(F.sum(bought_by)).collect()[0][0]
    return products.select("product_id", (bought_by / F.lit(total)).alias("share"))


def _categories(spark: SparkSession, moment: Moment, as_of: date) -> list[str]:
    """The categories that are judged apart: those with the most buyers lately, told before any label.

    They are called as the rows call them, by what was told when the date began: what sold best may be in the outlet by now.
    """
    named = add_category(_products(spark, as_of), products_at(spark, moment, [as_of])).where("category IS NOT NULL")
    most = named.groupBy("category").agg(F.sum("product_buyers_recent").alias("n"))
    best = most.orderBy(F.col("n").desc_nulls_last(), "category").limit(slices.MOST_CATEGORIES)
    return [row["category"] for row in best.collect()]


def _segments(spark: SparkSession, as_of: date) -> list[str]:
    """The segments that are judged apart: those with the most users at the date."""
    users = tables.read(spark, "features.user", f"as_of = DATE'{as_of}'").where("segment IS NOT NULL")
    most = users.groupBy("segment").count().orderBy(F.col("count").desc(), "segment").limit(slices.MOST_SEGMENTS)
    return [row["segment"] for row in most.collect()]


def _products(spark: SparkSession, as_of: date) -> DataFrame:
    """as_of and product_id of the shop's products, and product_buyers_recent as of the date (null: none)."""
    lately = tables.read(spark, "features.product", f"as_of = DATE'{as_of}'").select("product_id", "product_buyers_recent")
    listed = tables.read(spark, "silver.products").select(F.lit(as_of).alias("as_of"), "product_id")
    return listed.join(lately, on="product_id", how="left")


def with_segment(config: Config, rows: DataFrame, as_of: date) -> DataFrame:
    """The rows plus their user's segment as known at as_of, where the shop names one (features.segment_by) and it was built."""
    if not config.features.segment_by or "segment" in rows.columns:
        return rows
    users = tables.read(rows.sparkSession, "features.user", f"as_of = DATE'{as_of}'")
    if "segment" not in users.columns:
        return rows
    return rows.join(users.select("user_id", "segment"), on="user_id", how="left")
