"""Gradient boosting by XGBoost's own Spark estimator; needs the extra `xgboost`.

Its workers wait for one another: the fit has a limit, and never asks for more of them than can run at once.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from pyspark.ml import PipelineModel
from pyspark.sql import DataFrame

from propensity_spark.config import ModelsConfig, XGBoostConfig
from propensity_spark.errors import NothingLearnt
from propensity_spark.features.spec import Feature
from propensity_spark.models import packages, slots
from propensity_spark.models.contract import LABEL, LEARN_WEIGHT, Fitted, learn_weight, make_scorer, shares, vector_column
from propensity_spark.models.fast import Matrix, Predict, Scorer
from propensity_spark.models.layout import dealt, numbered
from propensity_spark.models.validation import SHARE, held
from propensity_spark.models.vectors import with_missing
from propensity_spark.models.watchdog import within

FAMILY = "xgboost"
_HELD = "_held"
_LOSS = "logloss"


def fit_xgboost(rows: DataFrame, features: Sequence[Feature], config: ModelsConfig, seed: int) -> Fitted:
    """Fit XGBoost; its importance is the gain. It splits on missing values itself, and begins with the rows' rate of label 1.

    Raises SetupError where the package is absent; TrainingFailed on a hang, on too few slots, and where there is nothing to split
    on.
    """
    packages.need("xgboost", FAMILY)
    settings, vector, weight = config.xgboost, vector_column(FAMILY, "features"), learn_weight(rows)
    slots.check(rows.sparkSession, "models.xgboost.workers", settings.workers)
    slots.check_barriers(rows.sparkSession, "the family xgboost", "use lightgbm")  # with one worker too
    prepare = PipelineModel(stages=with_missing(features, vector))
    inputs = prepare.transform(numbered(rows))
    validates = held(inputs, SHARE, seed)
    if settings.early_stopping_rounds and inputs.where(validates).isEmpty():  # XGBoost fails on a validation without rows
        settings = replace(settings, early_stopping_rounds=0)
    columns = [validates.alias(_HELD)] if settings.early_stopping_rounds else []
    laid_out = dealt(inputs.select(LABEL, *weight, vector, *columns), settings.workers)
    learner = _learner(settings, vector, bool(weight), seed)
    what = f"fitting XGBoost on {settings.workers} worker(s)"
    model = within(rows.sparkSession, settings.timeout_seconds, what, lambda: learner.fit(laid_out))
    booster = _best(model.get_booster(), settings)
    gains = booster.get_score(importance_type="total_gain")
    if not gains:
        raise NothingLearnt("XGBoost found nothing to split on. Bring more rows, or a smaller models.xgboost.min_child_weight.")
    scorer = make_scorer(FAMILY, features, booster.save_raw("json").decode("utf-8"))
    importance = shares([float(gains.get(f"f{place}", 0.0)) for place in range(len(features))], features)
    facts = {"trees": float(booster.num_boosted_rounds()), "workers": float(settings.workers)}
    pipeline = PipelineModel(stages=[*prepare.stages, model])
    return Fitted(FAMILY, pipeline, scorer, importance, facts, curves=_curves(model.training_summary))


def _best(booster: Any, settings: XGBoostConfig) -> Any:
    """The trees up to the best round; those after it only showed that nothing better came."""
    return booster[: booster.best_iteration + 1] if settings.early_stopping_rounds else booster


def _curves(told: Any) -> dict[str, tuple[float, ...]]:
    """The log losses of each round, of what is learnt from and, where users are held out, of theirs."""
    found = {"train": told.train_objective_history, "validation": told.validation_objective_history}
    return {name: tuple(losses[_LOSS]) for name, losses in found.items() if _LOSS in losses}


def predictor(scorer: Scorer) -> Predict:
    """The native booster's probabilities of a matrix of raw inputs."""
    import xgboost

    booster = xgboost.Booster(params={"nthread": 1})
    booster.load_model(bytearray(scorer.payload.encode("utf-8")))
    booster.set_param({"nthread": 1})  # what is loaded brings its own

    def predict(matrix: Matrix) -> Matrix:
        found = booster.inplace_predict(matrix.astype(np.float32), missing=np.nan)
        return np.asarray(found, dtype=np.float64)

    return predict


def _learner(settings: XGBoostConfig, vector: str, weighted: bool, seed: int) -> Any:
    from xgboost.spark import SparkXGBClassifier

    logging.getLogger("XGBoost-PySpark").setLevel(logging.WARNING)  # else it tells of each fit on our screen
    return SparkXGBClassifier(
        features_col=vector,
        label_col=LABEL,
        prediction_col=vector_column(FAMILY, "class"),
        probability_col=vector_column(FAMILY, "probability"),
        raw_prediction_col=vector_column(FAMILY, "margin"),
        num_workers=settings.workers,
        n_estimators=settings.rounds,
        max_depth=settings.depth,
        learning_rate=settings.learning_rate,
        min_child_weight=settings.min_child_weight,
        colsample_bytree=settings.feature_fraction,
        subsample=settings.bagging_fraction,
        reg_alpha=settings.l1,
        reg_lambda=settings.l2,
        max_bin=settings.max_bin,
        tree_method="hist",
        random_state=seed,
        missing=float("nan"),
        verbosity=0,
        verbose=False,  # else a line per round, in the executors' logs or on our screen
        # a null could not be read back where the model is loaded
        **({"weight_col": LEARN_WEIGHT} if weighted else {}),
        **(_patience(settings.early_stopping_rounds) if settings.early_stopping_rounds else {}),
    )


def _patience(rounds: int) -> dict[str, Any]:
    """To stop once the loss of the rows that are held has not fallen for so many rounds."""
    return {"validation_indicator_col": _HELD, "early_stopping_rounds": rounds, "eval_metric": _LOSS}
