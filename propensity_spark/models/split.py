"""Models of their own for the levels of a column (a category, a region), where they have the rows for it; one for all others.

A level keeps its own model only where that does better than the pooled one on users that neither has seen, and does not
contradict it: scores of the same rows must at least rise together.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from pyspark.ml import PipelineModel
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from propensity_spark.config import ModelsConfig, SplitConfig
from propensity_spark.errors import FitRefused, NothingLearnt
from propensity_spark.features.spec import Feature
from propensity_spark.models import fast, staged
from propensity_spark.models.contract import LABEL, Fitted, learn_weight, make_scorer, vector_column
from propensity_spark.models.fast import Matrix, Predict, Scorer
from propensity_spark.models.keys import Key
from propensity_spark.models.layout import ORDER, bought_pairs, numbered
from propensity_spark.models.validation import held

FAMILY = "split"
POOLED = "pooled"
_BUCKETS = 2**40  # no two levels fall into one
_HELD = 0.2  # of the users decide
_SALT = 14
_EDGE = 1e-9
Fits = Callable[[DataFrame, Sequence["Level"]], dict[str, Fitted]]


@dataclass(frozen=True, slots=True)
class Level:
    """A level of the column that has enough bought rows, by the bucket of its key."""

    name: str
    bucket: int

    @property
    def scorer(self) -> str:
        """The name of its scorer."""
        return f"level_{self.bucket}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a level's own model is worth on held-out users: by how much its log loss is lower than the pooled one's (None: it has
    too few rows for one), and how well their logits agree (correlation; None: unknown)."""

    gain: float | None
    agreement: float | None

    def refusal(self, least: float) -> str:
        """Why the level stays pooled; empty where it has a model of its own."""
        if self.gain is None:
            return "too few rows"
        if self.agreement is None or self.agreement < least:
            return "contradicts" if self.agreement is not None else "tells nothing apart"
        return "" if self.gain > 0 else "no gain"


def fit_split(rows: DataFrame, features: Sequence[Feature], config: ModelsConfig, seed: int) -> Fitted:
    """Fit the base family on all rows, and on those of each level where that pays; twice: on some users, to decide, and on all.

    Raises FitRefused where the rows lack the column; what the base family raises.
    """
    from propensity_spark.models.families import FAMILIES  # they import this module

    settings, base = config.split, FAMILIES[config.split.family]
    if settings.column not in rows.columns:
        raise FitRefused(f"models.split.column is {settings.column}, and the rows have no such column: {', '.join(rows.columns)}")
    key = Key(settings.column, _BUCKETS)
    levels = _levels(rows, key, settings)

    def fitted(some: DataFrame, chosen: Sequence[Level]) -> dict[str, Fitted]:
        """The pooled model, and that of each level whose rows tell it anything."""
        models = {POOLED: base(some, features, config, seed)}
        for level in chosen:
            mine = some.where(F.col(settings.column).cast("string") == level.name)
            with suppress(NothingLearnt):
                models[level.scorer] = base(mine, features, config, seed)
        return models

    verdicts = _verdicts(rows, key, levels, fitted, seed) if levels else {}
    models = fitted(rows, [level for level in levels if not verdicts[level].refusal(settings.min_agreement)])
    kept = [level for level in levels if level.scorer in models]
    payload = {name: model.scorer.to_json() for name, model in models.items()}
    scorer = make_scorer(FAMILY, features, json.dumps(payload), (key,))
    pipeline = PipelineModel(stages=[staged.stage(scorer, vector_column(FAMILY, "probability"))])
    facts = {"levels": float(len(kept)), "levels_tried": float(len(levels))}
    return Fitted(FAMILY, pipeline, scorer, models[POOLED].importance, facts, _note(settings, levels, kept, verdicts))


def predictor(scorer: Scorer) -> Predict:
    """Each row by the model of its level, else by the pooled one."""
    from propensity_spark.models.families import FAMILIES  # they import this module

    parts = {name: Scorer.from_json(text) for name, text in json.loads(scorer.payload).items()}
    predictors = {name: FAMILIES[part.family].predictor(part) for name, part in parts.items()}
    by_bucket = {name.removeprefix("level_"): predict for name, predict in predictors.items() if name != POOLED}

    def predict(matrix: Matrix) -> Matrix:
        inputs, buckets = matrix[:, :-1], matrix[:, -1]
        made = np.asarray(predictors[POOLED](inputs), dtype=np.float64).copy()
        for bucket, own in by_bucket.items():
            mine = buckets == float(bucket)
            if mine.any():
                made[mine] = own(inputs[mine])
        return made

    return predict


def _levels(rows: DataFrame, key: Key, settings: SplitConfig) -> list[Level]:
    """The levels with enough bought rows, those with the most first."""
    name, bucket = F.col(settings.column).cast("string").alias("name"), key.bucket().cast("bigint").alias("bucket")
    bought = F.sum(bought_pairs(rows)).alias("bought")
    counted = rows.where(F.col(settings.column).isNotNull()).groupBy(name, bucket).agg(bought)
    most = counted.where(F.col("bought") >= settings.min_positives).orderBy(F.col("bought").desc(), "name").limit(settings.most)
    return [Level(row["name"], row["bucket"]) for row in most.collect()]


def _verdicts(rows: DataFrame, key: Key, levels: Sequence[Level], fitted: Fits, seed: int) -> dict[Level, Verdict]:
    """Of each level, from models of some users and the rows of the others."""
    ordered = numbered(rows)
    apart = ordered.withColumn("_held", held(ordered, _HELD, seed, _SALT)).drop(ORDER)
    models = fitted(apart.where("NOT _held").drop("_held"), levels)
    scorers = {name: replace(model.scorer, name=name) for name, model in models.items()}
    others = apart.where("_held").withColumn("_bucket", key.bucket().cast("bigint"))
    scored = fast.score(others, list(scorers.values()), [LABEL, "_bucket", *learn_weight(rows)])
    weight = F.col(*learn_weight(rows)) if learn_weight(rows) else F.lit(1.0)
    pooled = scorers[POOLED].column
    told = [level for level in levels if level.scorer in scorers]
    if not told:
        return dict.fromkeys(levels, _UNFITTED)
    own = F.coalesce(*(F.when(F.col("_bucket") == level.bucket, F.col(scorers[level.scorer].column)) for level in told))
    gain = F.avg(weight * (_loss(F.col(pooled)) - _loss(own))).alias("gain")
    agreement = F.corr(_logit(F.col(pooled)), _logit(own)).alias("agreement")
    found = {
        row["_bucket"]: row.asDict() for row in scored.where(own.isNotNull()).groupBy("_bucket").agg(gain, agreement).collect()
    }
    return {level: _verdict(found.get(level.bucket, {})) if level in told else _UNFITTED for level in levels}


_UNFITTED = Verdict(None, None)


def _verdict(row: Mapping[str, Any]) -> Verdict:
    """Nothing is known of a level none of whose users was held out, or where a model scores all alike."""
    if row.get("agreement") is None or np.isnan(row["agreement"]):
        return Verdict(0.0, None)
    return Verdict(float(row["gain"]), float(row["agreement"]))


def _inside(p: Column) -> Column:
    return F.least(F.greatest(p, F.lit(_EDGE)), F.lit(1 - _EDGE))


def _loss(p: Column) -> Column:
    return -F.log(F.when(F.col(LABEL) == 1, _inside(p)).otherwise(1 - _inside(p)))


def _logit(p: Column) -> Column:
    return F.log(_inside(p) / (1 - _inside(p)))


def _note(settings: SplitConfig, levels: Sequence[Level], kept: Sequence[Level], verdicts: Mapping[Level, Verdict]) -> str:
    if not levels:
        return f"all pooled: no {settings.column} has {settings.min_positives} bought rows"
    why = {level: verdicts[level].refusal(settings.min_agreement) or "tells nothing apart" for level in levels}
    refusals = {level.name: "" if level in kept else why[level] for level in levels}
    own = ", ".join(name for name, refusal in refusals.items() if not refusal) or "none"
    pooled = ", ".join(f"{name} ({refusal})" for name, refusal in refusals.items() if refusal)
    return f"models of their own: {own}" + (f"; pooled: {pooled}" if pooled else "")
