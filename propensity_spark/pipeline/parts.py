"""The rows that a procedure learns from: sampled, in one order, enough of them, and parted into who teaches and who calibrates."""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from propensity_spark import memory
from propensity_spark.config import LEAST_RATE, BalanceConfig, Config, TrainConfig
from propensity_spark.errors import InsufficientData
from propensity_spark.judge import segments
from propensity_spark.models.slots import is_local
from propensity_spark.pipeline import rows
from propensity_spark.pipeline.build_features import Moment
from propensity_spark.progress import Progress
from propensity_spark.settle import settle
from propensity_spark.trainset.assemble import inputs
from propensity_spark.trainset.split import Procedure, calibration_share, held_out, kept_apart

Counts = Mapping[date, tuple[int, int, int]]
_NONE = (0, 0, 0)  # rows, positives and buyers of a date that has none
_A_NUMBER, _SHARE = 20, 0.6  # bytes of a number of a row in a fit (measured: 16 to 20), and what fits may take of what is left
_IN_PYTHON = {"lightgbm", "xgboost", "network", "split"}  # families that may be fitted outside the JVM
_NEARLY = 1.05  # between two rates that are one
_PARTITIONS = 8  # of the training rows: fixed, so that their order does not depend on the cluster


@dataclass(frozen=True, slots=True)
class Parts:
    """A procedure's rows."""

    procedure: Procedure
    rows: DataFrame
    share: float  # of the users, who calibrate
    held: Column
    apart: Column

    @property
    def train(self) -> DataFrame:
        """What the models that are calibrated learn from."""
        return self.rows.where(~self.apart)

    @property
    def calibrate(self) -> DataFrame:
        """The newest rows of other users, that calibrate it."""
        return self.rows.where(self.held)


def learnt_rows(spark: SparkSession, config: Config, moment: Moment, dates: Sequence[date], families: Sequence[str]) -> DataFrame:
    """The rows of the dates that train and calibrate these families, negatives sampled, in an order that depends on them alone."""
    found = rows.of_dates(spark, moment, dates, config.train)
    return _laid_out(found.drop(*unused(config, families)))


def bounded(
    spark: SparkSession,
    config: Config,
    moment: Moment,
    progress: Progress,
    families: Collection[str],
    ranks: bool = False,
    balance: BalanceConfig | None = None,
) -> Config:
    """The settings under which no fit of these families learns from more than about train.max_rows rows: fewer negatives are kept;
    nor from fewer than train.min_rows, where more can be.

    That is said. What was bought is kept, and as many others at least. `ranks`: whether the ranker is fitted as well; `balance`:
    how the rows are balanced (None: as train.balance says). Where all of Spark runs on this machine, its memory is a bound too.
    """
    most, why = _most(spark, config, moment, ranks or not _IN_PYTHON.isdisjoint(families))
    train = moment.sampled(config.train)

    def share_at(rate: float) -> float:
        return _share(spark, moment, replace(train, negative_rate=rate), balance or train.balance, most)

    share, rate = share_at(train.negative_rate), train.negative_rate
    if share < 1.0:
        highest = rate * share
        found = highest if train.negatives.by == "uniform" else _rate(share_at, highest / train.negatives.favour, highest)
        rate = max(float(f"{found:.3g}"), LEAST_RATE)
    else:
        why = f"train.min_rows is {train.min_rows:,}"
    if rate == config.train.negative_rate:
        return config
    teaches = f"{rate:g} of what was not bought teaches, not {config.train.negative_rate:g}"
    progress.say(f"  negatives       {teaches}: {why}")
    return replace(config, train=replace(train, negative_rate=rate))


def _rate(share_at: Callable[[float], float], fits: float, high: float) -> float:
    """The highest rate, nearly, at which all may stay: what is favoured is kept whole until the rate is low, and has to be counted.

    At `fits` all may, for nothing is kept more often than `favour` times as often as the rest; at `high` perhaps not.
    """
    while high / fits > _NEARLY:
        middle = math.sqrt(fits * high)
        fits, high = (middle, high) if share_at(middle) >= 1.0 else (fits, middle)
    return fits


def _share(spark: SparkSession, moment: Moment, train: TrainConfig, balance: BalanceConfig, most: int) -> float:
    """How much of the rows that were not bought may stay; 1 or more: all of them."""
    counts = rows.count_learnt(spark, moment.timeline.learnt, train)
    share = 1.0
    for procedure in (moment.timeline.rehearsal, moment.timeline.final):
        found, bought = (sum(counts.get(day, (0, 0))[n] for day in procedure.train) for n in (0, 1))
        others, room = found - bought, max(_room(balance, bought, most), bought)
        share = min(share, room / others) if others else share
    return share


def _room(balance: BalanceConfig, bought: int, most: int) -> int:
    """How many rows that were not bought there may be, where no more than `most` are once they are balanced."""
    if balance.method not in ("over", "smote"):
        return most - bought
    return int(most - bought * balance.ratio) if balance.ratio else most // 2  # bought rows become as many as the others


def _most(spark: SparkSession, config: Config, moment: Moment, in_python: bool) -> tuple[int, str]:
    """The rows that a fit may learn from, and why no more."""
    most, held = config.train.max_rows, _in_memory(spark, config, moment) if in_python else None
    if held is None or held >= most:
        return most, f"train.max_rows is {most:,}"
    return held, f"more than {held:,} rows would not fit into memory"


def _in_memory(spark: SparkSession, config: Config, moment: Moment) -> int | None:
    """How many rows a fit in a process of this machine holds beside the JVM; None where nobody can tell."""
    machine = memory.of_machine() if is_local(spark) else None
    if machine is None:
        return None
    jvm: Any = spark.sparkContext._jvm
    heap = int(jvm.java.lang.Runtime.getRuntime().maxMemory())
    width = len(inputs(moment.features)) + sum(encoder.most_columns for encoder in config.encoders)
    return int(max(machine - heap, machine // 4) * _SHARE / (_A_NUMBER * width))  # a large heap is seldom full


def unused(config: Config, families: Sequence[str]) -> set[str]:
    """Columns that no model, encoder or calibration reads."""
    read = {encoder.column for encoder in config.encoders} | {segments.READS[by] for by in config.calibration.by}
    read |= set(config.models.network.embeddings.columns) if "network" in families else set()
    read |= {config.models.split.column} if "split" in families else set()
    return {"candidate_source", "category"} - read


def _laid_out(sampled: DataFrame) -> DataFrame:
    """The same rows, computed, in an order that depends on them alone: what is learnt from them is then the same everywhere."""
    return settle(sampled.repartition(_PARTITIONS, "user_id").sortWithinPartitions("as_of", "user_id", "product_id"))


def counted(sampled: DataFrame) -> Counts:
    """Per as_of: rows, positives, and users with a positive."""
    found = sampled.groupBy("as_of").agg(
        F.count(F.lit(1)), F.sum("label"), F.count_distinct(F.when(F.col("label") == 1, F.col("user_id")))
    )
    return {row[0]: (int(row[1]), int(row[2] or 0), int(row[3])) for row in found.collect()}


def check_sufficient(config: Config, procedure: Procedure, counts: Counts) -> None:
    """Refuse to train on too little.

    Raises InsufficientData naming what was found, what is needed and the setting.
    """
    train = [counts.get(day, _NONE) for day in procedure.train]
    total, positives = sum(c[0] for c in train), sum(c[1] for c in train)
    buyers = max((c[2] for c in train), default=0)
    if not total:
        who, rule = config.population, config.population.where
        raise InsufficientData(
            f"nothing could be scored as of {', '.join(map(str, procedure.train))}: no user had an event "
            f"{'' if who.event == 'any' else f'of type {who.event} '}known by then within population.days = {who.days} before"
            f"{' of whom population.where holds' if rule else ''}, or no source of candidates named a product for one. Do the logs "
            "reach back so far, and does ingested_ts, where it is mapped, say when a row came and not when all were loaded at once?"
        )
    if positives < config.train.min_positives or buyers < config.train.min_buyers:
        raise InsufficientData(
            f"too few purchases to train: {positives} bought pairs by at most {buyers} users per date among the candidates "
            f"of {', '.join(map(str, procedure.train))}; needed are {config.train.min_positives} (train.min_positives) and "
            f"{config.train.min_buyers} (train.min_buyers). Nothing was scored."
        )
    if positives == total:
        raise InsufficientData("every training pair was bought: there is nothing to tell apart. Widen the candidates.")


def parted(config: Config, procedure: Procedure, sampled: DataFrame, counts: Counts) -> Parts:
    """The procedure's rows of the sampled ones."""
    _, positives, _ = counts.get(procedure.calibrate, _NONE)
    share = calibration_share(config, positives)
    mine = sampled.where(F.col("as_of").isin(list(procedure.train)))
    held = held_out(procedure, share, config.train.seed)
    return Parts(procedure, mine, share, held, kept_apart(procedure, share, config.train.seed, config.labels.horizon_days))


def rehearsed(spark: SparkSession, config: Config, moment: Moment, families: Sequence[str]) -> Parts:
    """The rows on which the rehearsal trains and calibrates these families, in the order that `run` gives them.

    Raises InsufficientData as `run` does.
    """
    procedure = moment.timeline.rehearsal
    sampled = learnt_rows(spark, config, moment, procedure.train, families)
    counts = counted(sampled)
    check_sufficient(config, procedure, counts)
    return parted(config, procedure, sampled, counts)
