"""Validation by time: each fold is judged on a date whose past, a horizon and more before it, has taught the model."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from propensity_spark.errors import InsufficientData


@dataclass(frozen=True, slots=True)
class Fold:
    """Trained on `train`, in order; judged on `validate`, at least a horizon after the last of them."""

    train: tuple[date, ...]
    validate: date


def folds(dates: Sequence[date], horizon_days: int, count: int, width: int | None) -> tuple[Fold, ...]:
    """The newest `count` dates that have others at least a horizon before them, the newest first.

    `width`: only so many of those train, the last ones (a sliding history); None: all (an expanding one).
    Labels of a training date reach to a horizon after it: by the date that validates they have matured.
    Raises InsufficientData where no date has another a horizon before it.
    """
    ordered, gap = sorted(set(dates)), timedelta(days=horizon_days)
    found = []
    for day in reversed(ordered):
        earlier = [other for other in ordered if other + gap <= day]
        if earlier:
            found.append(Fold(tuple(earlier[-width:] if width else earlier), day))
    if not found:
        raise InsufficientData(
            f"validation by time needs two training dates {horizon_days} days apart; the rehearsal has "
            f"{', '.join(map(str, ordered))}. Set train.dates higher, labels.horizon_days lower, or bring more history."
        )
    return tuple(found[:count])
