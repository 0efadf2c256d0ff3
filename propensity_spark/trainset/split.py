"""Which as-of dates train, calibrate, test and are scored, so that no label reaches into a later part.

For a date X that is scored, horizon h:  train ... X-3h, X-2h, X-h without some users  |  calibrate those users at X-h  |  score X.
Labels of X-h end at X: all had matured by X. Where purchases are known late (see Lateness), every date before X lies as many days
earlier: labels that end at X would lack what is not known yet. The newest labels say most about what comes, so models learn from
them as well, and are calibrated on users whose newest labels they have not seen: as with the users scored at X, only older ones
are known to them.
What scores X is then fitted on all of them, where train.refit is on (see pipeline.fitting).
The test runs the same procedure as of X-h (or that much earlier) and judges it on the labels of the horizon from there.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from math import ceil

from pyspark.sql import Column
from pyspark.sql import functions as F

from propensity_spark.config import Config
from propensity_spark.errors import InsufficientData
from propensity_spark.ingest.lateness import AT_ONCE, Lateness
from propensity_spark.trainset.sampling import uniform

_DAY = timedelta(days=1)
_LEAST_HISTORY = 1 / 4  # of the horizon, before the first date that trains
_SALT = 3
_SHARE, _SHARE_OF_FEW = 1 / 3, 1 / 2
_FEW = 3000  # positives: with fewer, a third of them would leave the level of probabilities to chance


@dataclass(frozen=True, slots=True)
class Procedure:
    """One model's life: trained on `train`, calibrated on some users of `calibrate`, its last date, applied at `score`."""

    train: tuple[date, ...]
    score: date

    @property
    def calibrate(self) -> date:
        """The newest date that trains."""
        return self.train[-1]


@dataclass(frozen=True, slots=True)
class Timeline:
    """The procedure that scores `as_of`, and the same procedure a horizon earlier, which the labels can judge.

    `backtest` says that the labels of as_of itself are already in the data.
    """

    final: Procedure
    rehearsal: Procedure
    horizon_days: int
    backtest: bool

    @property
    def as_of(self) -> date:
        """The date that is scored."""
        return self.final.score

    @property
    def dates(self) -> tuple[date, ...]:
        """Every date that needs features, in order."""
        return tuple(sorted({*self.learnt, self.rehearsal.score, self.as_of}))

    @property
    def learnt(self) -> tuple[date, ...]:
        """The dates that train and calibrate, on sampled candidates, in order."""
        return tuple(sorted({*self.final.train, *self.rehearsal.train}))

    @property
    def labelled(self) -> tuple[date, ...]:
        """The dates whose labels may be read."""
        return tuple(day for day in self.dates if day != self.as_of or self.backtest)

    @property
    def in_full(self) -> tuple[date, ...]:
        """The dates whose candidates are all kept: they are ranked or scored."""
        return (self.rehearsal.score, self.as_of)


def held_out(procedure: Procedure, share: float, seed: int) -> Column:
    """Whether a row calibrates the procedure: that share of the users at its newest date."""
    return (F.col("as_of") == F.lit(procedure.calibrate)) & _of_share(share, seed)


def kept_apart(procedure: Procedure, share: float, seed: int, horizon_days: int) -> Column:
    """Whether a row teaches nothing where `held_out` calibrates: of the same users, labels that reach into those that calibrate.

    Where the dates lie a horizon apart these are the rows that calibrate; where they lie closer, older ones as well.
    """
    return (F.col("as_of") > F.lit(procedure.calibrate - horizon_days * _DAY)) & _of_share(share, seed)


def _of_share(share: float, seed: int) -> Column:
    return uniform(seed + _SALT, "user_id") < share


def calibration_share(config: Config, positives: int) -> float:
    """The share of the users who calibrate, given how many of the newest date's pairs were bought."""
    return config.train.calibration_share or (_SHARE if positives >= _FEW else _SHARE_OF_FEW)


def plan(
    config: Config, as_of: date, first_day: date, last_day: date, late: Lateness = AT_ONCE, full_day: date | None = None
) -> Timeline:
    """Lay out the dates for scoring `as_of` from data that cover `[first_day, last_day]` and are known so late.

    `full_day`: the last one that they cover to its end, where that is not the last: labels that judge end there.
    Raises InsufficientData where as_of has no history, lies behind the data, or the horizon is too long for them.
    """
    _check_as_of(as_of, first_day, last_day)
    horizon = timedelta(days=config.labels.horizon_days)
    matured = horizon + late.days(horizon) * _DAY
    earliest = _earliest(config, first_day, as_of - 2 * matured)
    final = _procedure(config, as_of, earliest, matured)
    rehearsal = _procedure(config, as_of - matured, earliest, matured)
    if not rehearsal.train:
        needed = 2 * matured.days + (earliest - first_day).days
        raise InsufficientData(
            f"training, calibrating, testing and scoring as of {as_of} with a horizon of {config.labels.horizon_days} "
            f"days need {needed} days of history; the data begin on {first_day}, {(as_of - first_day).days} days before. "
            "Set labels.horizon_days lower, --as-of later, or bring more history."
        )
    backtest = as_of + matured <= (full_day or last_day) + _DAY
    return Timeline(final, rehearsal, config.labels.horizon_days, backtest)


def doubts(config: Config, timeline: Timeline, first_day: date) -> tuple[str, ...]:
    """What the dates lack, a sentence each."""
    first, wanted = timeline.learnt[0], config.train.min_history_days
    there = (first - first_day).days
    if there >= wanted:
        return ()
    return (
        f"the first date that trains, {first}, has {there} days of history, {wanted} are wanted (train.min_history_days): models "
        "learn there from users of whom little is known; older logs would help, or a lower labels.horizon_days",
    )


def _check_as_of(as_of: date, first_day: date, last_day: date) -> None:
    if as_of <= first_day:
        raise InsufficientData(f"nothing is known before {as_of}: the data begin on {first_day}. Choose a later --as-of.")
    if as_of > last_day + timedelta(days=1):
        raise InsufficientData(
            f"the data end on {last_day}, with the logs that bring purchases; as of {as_of} part of the past is unknown. "
            f"Choose --as-of {last_day + timedelta(days=1)} or earlier."
        )


def _earliest(config: Config, first_day: date, newest: date) -> date:
    """The first date that may train, where the rehearsal's newest one is this.

    Where that has not as many days of history as are wanted, it trains alone, if it has a quarter of the horizon at least: models
    that saw little of their users are still tested before they score, and a month of logs has a week to predict.
    """
    wanted = config.train.min_history_days
    least = ceil(_LEAST_HISTORY * config.labels.horizon_days)
    return first_day + timedelta(days=min(wanted, max(least, (newest - first_day).days)))


def _procedure(config: Config, score: date, earliest: date, matured: timedelta) -> Procedure:
    step = timedelta(days=config.train.step_days) or timedelta(days=config.labels.horizon_days)
    train = [score - matured - number * step for number in range(config.train.dates)]
    return Procedure(tuple(sorted(day for day in train if day >= earliest)), score)
