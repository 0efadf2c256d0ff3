"""The second head: a ranker of each user's list, beside the model whose probabilities are calibrated.

LambdaRank learns from users who bought which of their pairs come first. It says nothing of how likely a purchase is.
"""

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from propensity_spark.config import ModelsConfig
from propensity_spark.features.spec import Feature
from propensity_spark.models.contract import LABEL, make_scorer
from propensity_spark.models.fast import Scorer
from propensity_spark.models.native import fit_in_one_task
from propensity_spark.models.trees import FAMILY, leaves_for, shared, size
from propensity_spark.trainset.sampling import uniform

NAME = "ranker"
RANKING = "ranking_score"
_LIST = ("as_of", "user_id")
_SALT = 5


def fit_ranker(rows: DataFrame, features: Sequence[Feature], config: ModelsConfig, seed: int) -> Scorer:
    """Fit LambdaRank in one task; where there are more rows than one machine carries, on a sample of the users.

    Takes   as_of, user_id, label INT and the features' columns, the rows of a user's list one after another.
    Raises  TrainingFailed past the limit, and where nothing tells the pairs of a list apart.
    """
    total, positives = size(rows)
    most, ranker = config.lightgbm.rows_on_one_task, config.ranker
    few = rows if total <= most else rows.where(uniform(seed + _SALT, "user_id") < most / total)
    parameters = {
        **shared(config.lightgbm, seed),
        "objective": "lambdarank",
        "num_leaves": config.lightgbm.leaves or leaves_for(positives),
        "learning_rate": ranker.learning_rate,
        "lambdarank_truncation_level": ranker.truncation,
    }
    names = [feature.name for feature in features]
    model = fit_in_one_task(few, LABEL, names, parameters, ranker.rounds, config.lightgbm.timeout_seconds, _LIST)
    scorer = make_scorer(FAMILY, features, model)
    return Scorer(scorer.family, scorer.inputs, scorer.units, scorer.payload, NAME)


def ranking_score(probability: Column, ranker: Column | None) -> Column:
    """What a user's list is ordered by: the champion's log-odds and the ranker's score, both in standard deviations of the list.

    Takes   the champion's uncalibrated probability; without a ranker its log-odds alone.
    """
    inside = F.least(F.greatest(probability, F.lit(1e-12)), F.lit(1 - 1e-12))
    odds = F.log(inside / (1 - inside))
    if ranker is None:
        return odds
    return (_standard(odds) + _standard(ranker)) / 2


def _standard(score: Column) -> Column:
    of_list = Window.partitionBy(*_LIST)
    spread = F.stddev_pop(score).over(of_list)
    return F.when(spread > 0, (score - F.avg(score).over(of_list)) / spread).otherwise(0.0)
