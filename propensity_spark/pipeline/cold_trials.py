"""Job: how good the rates of users and products without history are for those of whom they have learnt nothing.

On the rehearsal of a date a hashed share of the users and of the products is hidden from the rates altogether; then everyone who is
not scored at the test date is judged there on what he was told of: hidden users, hidden products, and both at once.
"""

from collections.abc import Mapping, Sequence
from datetime import date

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from propensity_spark.config import Config
from propensity_spark.errors import ConfigError, InsufficientData
from propensity_spark.judge import cells, metrics, ranking
from propensity_spark.judge.cells import View
from propensity_spark.models import coldstart
from propensity_spark.pipeline import cold_start, extent, trials
from propensity_spark.pipeline.cold_start import FIRST_ORDER
from propensity_spark.pipeline.shown import Shown, figures, lines
from propensity_spark.progress import Progress
from propensity_spark.schemas import COLD_TRIALS
from propensity_spark.settle import settle
from propensity_spark.trainset.newcomers import NEVER
from propensity_spark.trainset.sampling import uniform
from propensity_spark.trainset.split import Timeline, plan

HELD_OUT = ("users", "products", "both")
SCORERS = {"cold": "propensity", "product": "product_rate", "constant": "overall_rate"}  # name -> column
USERS, PRODUCTS = 0.25, 0.1  # hidden shares
MOST = 20_000  # users who are judged, about
_SALT_USERS, _SALT_PRODUCTS, _SALT_SAMPLE = 11, 12, 13
_PART = "part"
_K = 10  # products of a list, whatever judge.k is: the table's columns say so
Row = tuple[object, ...]


def run(spark: SparkSession, config: Config, as_of: date, progress: Progress) -> None:
    """Write the as_of's rows of gold.cold_trials, in place of those of an earlier run, and print them.

    Raises InsufficientData where there are too few days, or nobody without history; ConfigError where none are given rates.
    """
    if not config.cold_start.products:
        raise ConfigError("cold_start.products is 0: users without history are given no rates that could be judged")
    found = extent.look(spark, config)
    timeline = plan(config, as_of, found.first, found.sold, found.late, found.full)
    with progress.stage("cold start trials") as stage:
        written = judged(spark, config, timeline)
        stage.note = f"as of {timeline.rehearsal.score}"
    if not written:
        raise InsufficientData(
            f"on {timeline.rehearsal.score} and the dates before it there is no user without history who could be judged: each is "
            "scored (population), or none was counted. Choose another --as-of, or a narrower population."
        )
    trials.write(spark, written, COLD_TRIALS, as_of)
    progress.say(told(written))


def hidden_user(seed: int) -> Column:
    """Whether a row's user is hidden from the rates."""
    return uniform(seed + _SALT_USERS, "user_id") < USERS


def hidden_product(seed: int) -> Column:
    """Whether a row's product is hidden from the rates."""
    return uniform(seed + _SALT_PRODUCTS, "product_id") < PRODUCTS


def judged(spark: SparkSession, config: Config, timeline: Timeline) -> list[Row]:
    """The rows of gold.cold_trials; none where there is nobody to judge."""
    of, procedure, seed = cold_start.shop(spark, config), timeline.rehearsal, config.train.seed
    known = cold_start.learnt(of, procedure, ~hidden_user(seed), ~hidden_product(seed))
    users = of.unscored([procedure.score])
    if known.given == FIRST_ORDER:
        users = users.where(~F.col("history").isin(*NEVER)).unionByName(of.first_buyers([procedure.score]))
    users = settle(users)
    rated = cold_start.rates(spark, of, procedure.score, users, known)
    listed = settle(coldstart.best(rated, config.cold_start.products))
    bought = of.purchases([procedure.score], procedure.score).select("user_id", "product_id")
    given = {row["history"]: row["given"] for row in listed.select("history", "given").distinct().collect()}  # a few
    return _rows(timeline, given, *_figures(_parts(users, seed), listed, bought, seed))


def _parts(users: DataFrame, seed: int) -> DataFrame:
    """About MOST of the users: user_id, history, segment, is_hidden."""
    share = min(1.0, MOST / max(1, users.count()))
    return users.where(uniform(seed + _SALT_SAMPLE, "user_id") < share).select(
        "user_id", "history", "segment", hidden_user(seed).alias("is_hidden")
    )


def _held_out(seed: int) -> Column:
    """Which of HELD_OUT a pair is; null: neither its user nor its product is hidden."""
    product = hidden_product(seed)
    return F.when(F.col("is_hidden") & product, "both").when(F.col("is_hidden"), "users").when(product, "products")


def _figures(
    users: DataFrame, listed: DataFrame, bought: DataFrame, seed: int
) -> tuple[dict[str, dict[str, metrics.Metrics]], dict[str, dict[str, ranking.RankingMetrics]]]:
    """By part (history: held out) and scorer: of the probabilities, and of each part's lists."""
    part = F.concat_ws(": ", "history", "held_out")
    whose = F.concat_ws("|", _PART, "user_id")  # a user has a list in each part
    keyed = ("user_id", "product_id")
    truth = bought.join(users, on="user_id", how="inner").withColumn("held_out", _held_out(seed)).where("held_out IS NOT NULL")
    truth = truth.select(*keyed, part.alias(_PART)).select(whose.alias("user_id"), "product_id", F.lit(1).alias("_hit"))
    pairs = users.join(F.broadcast(listed), on=["history", "segment"], how="inner").withColumn("held_out", _held_out(seed))
    shown = pairs.where("held_out IS NOT NULL").select(*keyed, part.alias(_PART), *SCORERS.values())
    shown = shown.select(whose.alias("user_id"), "product_id", _PART, *SCORERS.values())
    rows = shown.join(truth, on=list(keyed), how="left").select(
        *shown.columns, F.coalesce("_hit", F.lit(0)).alias("label"), F.lit(1.0).alias("weight")
    )
    rows, truth = settle(rows), settle(truth)
    good = metrics.of_keys(cells.collect(rows, [View(_PART, F.col(_PART), SCORERS)]), _PART, SCORERS)
    with ranking.placed(rows, SCORERS, _K) as placed:
        # the part is told by whose list it is: a buyer of nothing that is listed has no row that could say it
        of_part = {_PART: F.substring_index("user_id", "|", 1)}
        sums = ranking.sums(ranking.buyers(placed, truth, SCORERS, _K), SCORERS, of_part, _K)
    mine = sums[sums["view"] == _PART].groupby("key")
    return good, {str(key): {name: ranking.of_sums(row, name, _K) for name in SCORERS} for key, row in mine}


_REACHED = ("roc_auc", "log_loss", "ece", "predicted_over_observed")


def _rows(
    timeline: Timeline,
    given: Mapping[str, str],
    good: dict[str, dict[str, metrics.Metrics]],
    lists: dict[str, dict[str, ranking.RankingMetrics]],
) -> list[Row]:
    made = list[Row]()
    order = sorted(good, key=lambda part: (part.split(": ")[0], HELD_OUT.index(part.split(": ")[1])))
    for part in order:
        history, held_out = part.split(": ")
        for name in SCORERS:
            reached, mine = good[part][name].flat(), lists.get(part, {}).get(name)
            figures = [None if reached[key] is None else float(reached[key] or 0.0) for key in _REACHED]
            counts = (good[part][name].rows, good[part][name].positives)
            recall = None if mine is None or mine.recall is None else float(mine.recall)
            dates = (timeline.as_of, timeline.rehearsal.score)
            made.append((*dates, len(made), history, held_out, name, *counts, *figures, recall, given[history]))
    return made


SHOWN = (
    Shown("history", "history", width=9),
    Shown("held_out", "held out"),
    Shown("scorer", "rates", width=9),
    Shown("rows", "rows", "d"),
    Shown("positives", "bought", "d"),
    *figures("roc_auc", "log_loss", "ece", "predicted_over_observed", "recall_at_10"),
)


def told(written: Sequence[Row]) -> str:
    """The rows as a table for people."""
    return lines(COLD_TRIALS, written, SHOWN)
