"""The order of each user's list: by the champion, or by the champion and the ranker together."""

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from propensity_spark.judge.calibrator import PROBABILITY, axis

RANKING = "ranking_score"


def add_ranking(rows: DataFrame, champion: str, ranker: str | None) -> DataFrame:
    """The rows plus ranking_score DOUBLE, higher first; it compares the rows of one as_of and user.

    Takes   as_of, user_id and the columns `champion` (its uncalibrated probability) and `ranker` (any score; None: there is no
            ranker, and the champion's log-odds alone are the order). With both, each counts in standard deviations of the list.
    """
    odds = axis(F.col(champion), PROBABILITY)
    score = odds if ranker is None else (_standard(odds) + _standard(F.col(ranker))) / 2
    return rows.select("*", score.alias(RANKING))


def _standard(score: Column) -> Column:
    of_list = Window.partitionBy("as_of", "user_id")
    spread = F.stddev_pop(score).over(of_list)
    return F.when(spread > 0, (score - F.avg(score).over(of_list)) / spread).otherwise(0.0)
