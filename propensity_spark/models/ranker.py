"""The second head: a ranker of each user's list, beside the model whose probabilities are calibrated.

LambdaRank learns from users who bought which of their pairs come first. It says nothing of how likely a purchase is.
"""

from collections.abc import Sequence
from dataclasses import replace

from pyspark.sql import DataFrame

from propensity_spark.config import ModelsConfig
from propensity_spark.features.spec import Feature
from propensity_spark.models.contract import LABEL, make_scorer
from propensity_spark.models.fast import Scorer
from propensity_spark.models.layout import size
from propensity_spark.models.native import fit_in_one_task
from propensity_spark.models.rounds import Rounds
from propensity_spark.models.trees import FAMILY, at_size, leaves_for, shared
from propensity_spark.trainset.sampling import uniform

NAME = "ranker"
_LIST = ("as_of", "user_id")
_SALT = 5
_ENOUGH = 100_000  # rows, where other fits are never in one task


def fit_ranker(rows: DataFrame, features: Sequence[Feature], config: ModelsConfig, seed: int) -> Scorer:
    """Fit LambdaRank in one task; where there are more rows than one machine carries, on a sample of the users.

    Takes   as_of, user_id, label INT and the features' columns, the rows of a user's list one after another.
    Raises  TrainingFailed past the limit, and where nothing is found to split on.
    """
    total, positives, _ = size(rows)
    most, ranker = config.lightgbm.rows_on_one_task or _ENOUGH, config.ranker
    few = rows if total <= most else rows.where(uniform(seed + _SALT, "user_id") < most / total)
    parameters = {
        **shared(at_size(config.lightgbm, min(total, most)), seed),
        "objective": "lambdarank",
        "num_leaves": config.lightgbm.leaves or leaves_for(positives),
        "learning_rate": ranker.learning_rate,
        "lambdarank_truncation_level": ranker.truncation,
    }
    names = [feature.name for feature in features]
    model = fit_in_one_task(few, LABEL, names, parameters, Rounds(ranker.rounds), config.lightgbm.timeout_seconds, _LIST)
    return replace(make_scorer(FAMILY, features, model.text), name=NAME)
