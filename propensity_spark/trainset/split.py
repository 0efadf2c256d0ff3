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

from pyspark.sql import Column
from pyspark.sql import functions as F

from propensity_spark.config import Config
from propensity_spark.errors import InsufficientData
from propensity_spark.ingest.lateness import AT_ONCE, Lateness
from propensity_spark.trainset.sampling import uniform

_DAY = timedelta(days=1)
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
    final = _procedure(config, as_of, first_day, matured)
    rehearsal = _procedure(config, as_of - matured, first_day, matured)
    if not final.train or not rehearsal.train:
        needed = 2 * matured.days + config.train.min_history_days
        raise InsufficientData(
            f"training, calibrating, testing and scoring as of {as_of} with a horizon of {config.labels.horizon_days} "
            f"days need {needed} days of history; the data begin on {first_day}, {(as_of - first_day).days} days before. "
            "Set labels.horizon_days lower, --as-of later, or bring more history."
        )
    backtest = as_of + matured <= (full_day or last_day) + _DAY
    return Timeline(final, rehearsal, config.labels.horizon_days, backtest)


def _check_as_of(as_of: date, first_day: date, last_day: date) -> None:
    if as_of <= first_day:
        raise InsufficientData(f"nothing is known before {as_of}: the data begin on {first_day}. Choose a later --as-of.")
    if as_of > last_day + timedelta(days=1):
        raise InsufficientData(
            f"the data end on {last_day}, with the logs that bring purchases; as of {as_of} part of the past is unknown. "
            f"Choose --as-of {last_day + timedelta(days=1)} or earlier."
        )


def _procedure(config: Config, score: date, first_day: date, matured: timedelta) -> Procedure:
    step = timedelta(days=config.train.step_days) or timedelta(days=config.labels.horizon_days)
    earliest = first_day + timedelta(days=config.train.min_history_days)
    train = [score - matured - number * step for number in range(config.train.dates)]
    return Procedure(tuple(sorted(day for day in train if day >= earliest)), score)
