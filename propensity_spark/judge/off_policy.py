"""What another policy would have earned, from a log of what was shown, with which probability, and what came of it.

IPS weighs each reward by how much likelier the other policy shows it; SNIPS divides by the sum of weights, which calms noise where
weights vary; doubly robust (DR) adds weighted errors to a model of the reward, and is right where either is. Source: Dudik,
Langford, Li, Doubly Robust Policy Evaluation and Learning (2011); Swaminathan, Joachims, The Self-Normalized Estimator (2015).
Weights are clipped: less noise, and a value that leans towards the logging policy; the share of clipped rows tells how much.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from propensity_spark.errors import InsufficientData
from propensity_spark.judge.bootstrap import HIGH, LOW
from propensity_spark.judge.cells import Vector
from propensity_spark.judge.intervals import drawn
from propensity_spark.trainset.sampling import uniform

IPS, SNIPS, DR = "ips", "snips", "dr"
_SALT, _FOLD_SALT = 6, 7
_SUMS = ("rows", "weight", "squares", "clipped", "earned", "robust")


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A policy's mean reward per row, and where 95 of 100 samples of units lie. None: no row tells.

    `effective_rows`: as many rows of the policy's own log would be as sure (Kish); `clipped`: the share of rows whose weight was.
    """

    method: str
    value: float | None
    low: float | None
    high: float | None
    rows: int
    effective_rows: float
    clipped: float


def with_model(log: DataFrame, policy: DataFrame, shrinkage: float = 100.0) -> DataFrame:
    """The rows plus target, expected and expected_of_policy DOUBLE: what `estimate` needs of a policy that knows no context.

    Takes   unit STRING, action (null is one as well), reward DOUBLE; `policy`: every action that it shows once, with the
            probability `target` of it.
    Returns the rows; target is 0 of an action that the policy never shows; expected: the action's mean reward in the other half of
            the units, shrunk to the mean of all by so many rows; expected_of_policy: that mean over the policy.
    Raises  InsufficientData where a half of the units has no reward: nothing is known then of the other half's actions.
    """
    half = (uniform(_FOLD_SALT, "unit") < 0.5).cast("int")
    log = log.withColumn("reward", F.when(~F.isnan("reward"), F.col("reward")))  # pandas' way of having none
    halves = log.withColumn("_other", 1 - half)
    level = _levels(halves)
    lacking = F.raise_error("a policy names an action without a target: say how likely it shows it")
    targets = policy.withColumn("target", F.when(F.col("target").isNull() | F.isnan("target"), lacking).otherwise(F.col("target")))
    either = log.select("action").union(policy.select("action")).distinct()
    actions = _joined(either, targets, ["action"], "left").fillna(0.0, ["target"])
    model = _expected(actions.crossJoin(level), halves, shrinkage)
    whole = model.groupBy("_other").agg(F.sum(F.col("target") * F.col("expected")).alias("expected_of_policy"))
    ready = model.join(whole, on="_other", how="inner").select(
        F.col("_other").alias("_half"), "action", "target", "expected", "expected_of_policy"
    )
    return _joined(log.withColumn("_half", half), F.broadcast(ready), ["_half", "action"], "inner").drop("_half")


def _levels(halves: DataFrame) -> DataFrame:
    """_other and _level, the mean reward of the half that a model for the other one learns from. Raises as `with_model` does."""
    level = halves.groupBy("_other").agg(F.avg("reward").alias("_level"))
    if level.where("_level IS NOT NULL").count() < 2:  # two rows at most leave Spark
        raise InsufficientData(
            "the log cannot tell what actions earn: its units are halved, each half is judged by the other, and one has no row "
            "with a reward. Bring a log of more units, or leave the model out and take ips or snips."
        )
    return level


def _expected(known: DataFrame, halves: DataFrame, shrinkage: float) -> DataFrame:
    """The rows (_other, _level, action) plus expected; an action of which nothing was seen is expected to earn what all do."""
    seen = halves.groupBy("_other", "action").agg(F.sum("reward").alias("_sum"), F.count("reward").alias("_rows"))
    told, rows = (F.coalesce(column, F.lit(0)) for column in ("_sum", "_rows"))
    mean = (told + shrinkage * F.col("_level")) / (rows + shrinkage)
    expected = F.when(rows + shrinkage > 0, mean).otherwise(F.col("_level"))
    return _joined(known, seen, ["_other", "action"], "left").withColumn("expected", expected)


def _joined(rows: DataFrame, told: DataFrame, keys: Sequence[str], how: str) -> DataFrame:
    """The rows with what is told of their keys, of which null is one."""
    named = told.withColumnsRenamed({key: f"_of_{key}" for key in keys})
    same = [F.col(key).eqNullSafe(F.col(f"_of_{key}")) for key in keys]
    return rows.join(named, on=same, how=how).drop(*(f"_of_{key}" for key in keys))


def estimate(log: DataFrame, max_weight: float, blocks: int, draws: int, seed: int) -> dict[str, Estimate]:
    """The value of the policy by each method, in one pass over the log.

    Takes   unit STRING (a user: her rows stand or fall together), reward DOUBLE, logged DOUBLE > 0 (with which probability the
            shown action was shown), target DOUBLE >= 0 (with which the policy would show it) and, for DR, expected (reward of the
            shown action) and expected_of_policy (of the policy's own action), by a model that did not see the unit.
    Returns the estimates of ips, snips and, with a model, dr, of the rows whose `logged` is there and above 0, and whose reward is
            there: of others it is not known what they stand for or earned. `blocks` and `draws` as in intervals.
    """
    log = log.where("logged > 0 AND NOT isnan(logged) AND NOT isnan(target) AND target IS NOT NULL")
    log = log.where("reward IS NOT NULL AND NOT isnan(reward)")
    modelled = {"expected", "expected_of_policy"} <= set(log.columns)
    plain = F.col("target") / F.col("logged")
    robust = F.col("expected_of_policy") + F.col("w") * (F.col("reward") - F.col("expected")) if modelled else F.lit(0.0)
    weighted = log.select("*", F.least(plain, F.lit(max_weight)).alias("w"), (plain > max_weight).cast("int").alias("over"))
    parts = (F.lit(1.0), F.col("w"), F.col("w") * F.col("w"), F.col("over"), F.col("w") * F.col("reward"), robust)
    block = F.floor(uniform(_SALT, "unit") * blocks).alias("block")
    rows = weighted.groupBy(block).agg(*(F.sum(part).alias(name) for name, part in zip(_SUMS, parts, strict=True))).toPandas()
    times = drawn(blocks, draws, seed)
    sums = {name: times @ np.bincount(rows["block"].astype(int), rows[name].astype(float), minlength=blocks) for name in _SUMS}
    return _estimates(sums, modelled)


def _estimates(sums: Mapping[str, Vector], modelled: bool) -> dict[str, Estimate]:
    """From the sums over all (first) and over each sample of blocks."""
    with np.errstate(divide="ignore", invalid="ignore"):
        found = {IPS: sums["earned"] / sums["rows"], SNIPS: sums["earned"] / sums["weight"], DR: sums["robust"] / sums["rows"]}
        effective, clipped = sums["weight"][0] ** 2 / sums["squares"][0], sums["clipped"][0] / sums["rows"][0]
    return {
        method: Estimate(
            method=method, **_ends(values), rows=int(sums["rows"][0]), effective_rows=float(effective), clipped=float(clipped)
        )
        for method, values in found.items()
        if modelled or method != DR
    }


def _ends(values: Vector) -> dict[str, float | None]:
    known = values[1:][np.isfinite(values[1:])]
    if not np.isfinite(values[0]) or not known.size:
        return {"value": None, "low": None, "high": None}
    low, high = np.percentile(known, [LOW, HIGH])
    return {"value": float(values[0]), "low": float(low), "high": float(high)}
