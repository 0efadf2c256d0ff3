"""What the models of a procedure learn from, and how their scores are freed from it: the same for all jobs that fit."""

from collections.abc import Sequence

from pyspark.sql import DataFrame

from propensity_spark.config import Config, ModelsConfig
from propensity_spark.features import encoders
from propensity_spark.features.spec import Feature
from propensity_spark.judge.task import Task
from propensity_spark.models import kernel, split, svm, trees
from propensity_spark.models.fast import Scorer
from propensity_spark.progress import Progress
from propensity_spark.trainset.balance import Balanced, balance


def balanced(config: Config, train: DataFrame, learnt: encoders.Fitted, made: Sequence[Feature], progress: Progress) -> Balanced:
    """The encoded training rows, balanced as train.balance says. A ranker's are not: its scores are no probabilities."""
    rows, how = learnt.out_of_fold(train), config.train.balance
    if how.method == "none":
        return Balanced(rows, 1.0)
    with progress.stage("balance") as stage:
        found = balance(rows, made, how, config.train.seed, learnt.together)
        stage.note = f"{how.method}: odds {found.odds:.4g} times as high"
    return found


def task_of(config: Config, models: ModelsConfig, scorer: Scorer, odds: float) -> Task:
    """How a model's score is calibrated that was fitted with such settings on rows balanced to such odds."""
    how, rate = config.calibration, config.train.negative_rate
    family = models.split.family if scorer.family == split.FAMILY else scorer.family
    gamma = models.lightgbm.focal_gamma if family == trees.FAMILY else 0.0
    return Task(
        score=scorer.column,
        method=how.method,
        negative_rate=rate,
        odds=odds,
        focal_gamma=gamma,
        is_margin=family in (svm.FAMILY, kernel.FAMILY),
        by=how.by,
        shrinkage=how.shrinkage,
    )
