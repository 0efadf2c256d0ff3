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
from propensity_spark.ingest.truth import true_propensity
from propensity_spark.judge import cells, intervals, metrics, ranking
from propensity_spark.judge.baselines import BASELINES, add_baselines
from propensity_spark.judge.calibrate import Calibrator
from propensity_spark.judge.cells import View
from propensity_spark.judge.order import RANKING
from propensity_spark.models import fast
from propensity_spark.pipeline.build_features import Moment
from propensity_spark.trainset.labels import bought

KEEP = ("as_of", "user_id", "product_id", "label", "weight", "pair_orders", "product_buyers_recent")
KNOWN = ("product_price", "user_orders", "category")  # further columns of the rows, where there are any
TRUTH = "truth"
REPEAT, NEW = "repeat", "new"
INTERVALS = "intervals"
_EXISTS = "exists"  # the view of pairs bought before, or never
Judged = dict[str, dict[str, dict[str, Any]]]


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


def with_probabilities(rows: DataFrame, calibrators: Mapping[str, Calibrator]) -> DataFrame:
    """The scored rows plus p_<scorer>, the calibrated probability of each scorer."""
    columns = score_columns([name for name in calibrators if name not in BASELINES])
    made = [calibrators[name].apply(F.col(column)).alias(f"p_{name}") for name, column in columns.items()]
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
            `intervals`: the champion -> the ends of its intervals and its gains over the best baselines, by name.
    """
    columns = score_columns([name for name in calibrators if name not in BASELINES])
    probabilities = {name: f"p_{name}" for name in columns}
    ready = with_probabilities(rows, calibrators)
    columns[config.models.champion] = RANKING  # the list that is published
    if config.simulator.output:
        ready = true_propensity(ready, config.simulator, moment.timeline.horizon_days).where("truth IS NOT NULL")
        columns[TRUTH] = probabilities[TRUTH] = TRUTH
    ready = ready.persist()
    try:
        summed = _summed(spark, config, as_of, ready, purchases(spark, config, moment, as_of), probabilities, columns, thresholds)
    finally:
        ready.unpersist()
    return _results(config, summed, probabilities, thresholds)


@dataclass(frozen=True, slots=True)
class Summed:
    """All that leaves Spark: cells and list sums of every view, and the reach of the lists."""

    cells: pd.DataFrame
    lists: pd.DataFrame
    reach: Mapping[str, tuple[float | None, float | None]]


def _summed(
    spark: SparkSession,
    config: Config,
    as_of: date,
    ready: DataFrame,
    truth: DataFrame,
    probabilities: Mapping[str, str],
    columns: Mapping[str, str],
    thresholds: Mapping[str, float],
) -> Summed:
    """One pass for the probabilities of all views, one for the lists."""
    before, k = F.coalesce(F.col("pair_orders"), F.lit(0.0)) > 0, config.judge.k
    in_blocks = {name: column for name, column in probabilities.items() if name in (config.models.champion, *BASELINES)}
    block = intervals.block(config.judge.blocks)
    views = [
        View(_EXISTS, F.when(before, REPEAT).otherwise(NEW), probabilities),
        View(intervals.BLOCK, block, in_blocks, cells.COARSE),
    ]
    found = cells.collect(ready, views, {config.models.champion: list(thresholds.values())}, price(ready))
    with ranking.placed(ready, columns, k) as rows:
        lists = ranking.sums(ranking.buyers(rows, truth, columns, k), columns, {intervals.BLOCK: block}, k)
        return Summed(found, lists, ranking.reach(rows, catalogue(spark, as_of), columns, k))


def _results(config: Config, summed: Summed, scorers: Mapping[str, str], thresholds: Mapping[str, float]) -> Judged:
    champion, k = config.models.champion, config.judge.k
    parts = metrics.of_view(summed.cells, _EXISTS, scorers, {champion: thresholds})
    everyone = summed.lists[summed.lists["view"] == ranking.ALL]
    placed = {name: ranking.of_sums(everyone, name, k, summed.reach[name]) for name in scorers}
    results: dict[str, Mapping[str, Any]] = {
        "metrics": parts[metrics.ALL],
        "ranking": placed,
        **{p: parts.get(p, {}) for p in (REPEAT, NEW)},
    }
    plain = {part: {name: asdict(result) for name, result in each.items()} for part, each in results.items()}
    return {**plain, INTERVALS: {champion: _intervals(config, summed, parts[metrics.ALL], placed)}}


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
    """The distinct pairs bought within the horizon by the users who are scored at as_of, candidates or not."""
    events = tables.read(spark, "silver.events")
    dates = compute.moments(events, [as_of], config.shop.time_zone)
    everyone = tables.read(spark, "trainset.candidates", f"as_of = DATE'{as_of}'").select("user_id").distinct()
    pairs = bought(events, dates, moment.timeline.horizon_days, config.shop.time_zone, scored=as_of)
    return pairs.select("user_id", "product_id").join(everyone, on="user_id", how="left_semi")


def catalogue(spark: SparkSession, as_of: date) -> DataFrame:
    """Every product_id of the shop, and its share DOUBLE of all lately bought pairs; each product counts for one more pair."""
    lately = tables.read(spark, "features.product", f"as_of = DATE'{as_of}'").select("product_id", "product_buyers_recent")
    bought_by = F.coalesce(F.col("product_buyers_recent").cast("double"), F.lit(0.0)) + 1
    products = tables.read(spark, "silver.products").select("product_id").join(lately, on="product_id", how="left")
    total = products.agg(F.sum(bought_by)).collect()[0][0]
    return products.select("product_id", (bought_by / F.lit(total)).alias("share"))


def typed(judged: Judged) -> dict[str, dict[str, Any]]:
    """What `judge` returned, as Metrics and RankingMetrics again; intervals, which older runs lack, stay numbers."""
    made: dict[str, dict[str, Any]] = {INTERVALS: judged.get(INTERVALS, {})}
    for part, each in judged.items():
        if part == INTERVALS:
            continue
        kind = ranking.RankingMetrics if part == "ranking" else metrics.from_plain
        made[part] = {name: kind(**values) for name, values in each.items()}
    return made


def figures(judged: Judged) -> dict[str, dict[str, float | None]]:
    """Scorer -> every single number about it; those of repeat and new pairs carry the part as a prefix."""
    results, made = typed(judged), dict[str, dict[str, float | None]]()
    for name, result in results["metrics"].items():
        flat = {**result.flat(), **results["ranking"][name].flat(), **results[INTERVALS].get(name, {})}
        for part in (REPEAT, NEW):
            if name in results[part]:
                flat |= {f"{part}_{metric}": value for metric, value in results[part][name].flat().items()}
        made[name] = flat
    if TRUTH in made:
        _hold_against_truth(made)
    return made


def _hold_against_truth(figures: dict[str, dict[str, float | None]]) -> None:
    """Add truth_gap: 0 is as good as the truth, 1 as good as the best baseline, in log loss."""
    losses = {name: flat["log_loss"] for name, flat in figures.items()}
    known = {name: loss for name, loss in losses.items() if loss is not None}
    baselines = [known[name] for name in BASELINES if name in known]
    if TRUTH not in known or not baselines or min(baselines) <= known[TRUTH]:
        return
    reach = min(baselines) - known[TRUTH]
    for name, loss in known.items():
        figures[name]["truth_gap"] = (loss - known[TRUTH]) / reach


def write(spark: SparkSession, judged: Judged, as_of: date, period: str, run_id: str) -> None:
    """Replace the period's rows of gold.metrics."""
    rows = [
        (as_of, period, scorer, metric, None if value is None else float(value), run_id)
        for scorer, flat in figures(judged).items()
        for metric, value in flat.items()
    ]
    schema = "as_of DATE, period STRING, scorer STRING, metric STRING, value DOUBLE, run_id STRING"
    frame = spark.createDataFrame(rows, schema).coalesce(1)
    tables.replace(frame, "gold.metrics", f"as_of = DATE'{as_of}' AND period = '{period}'")


def logged(judged: Judged, period: str) -> dict[str, float]:
    """The numbers as MLflow metrics: <period>_<scorer>_<metric>; unknown ones are left out."""
    return {
        f"{period}_{scorer}_{metric}": float(value)
        for scorer, flat in figures(judged).items()
        for metric, value in flat.items()
        if value is not None
    }
