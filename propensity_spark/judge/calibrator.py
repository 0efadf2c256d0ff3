"""A fitted calibration: the monotone map from a model's scores to probabilities, as a value, applied by built-in expressions."""

import json
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from pyspark.sql import Column
from pyspark.sql import functions as F

from propensity_spark.judge import beta, isotonic, segments
from propensity_spark.judge.isotonic import EDGE, Vector
from propensity_spark.models import focal

Band = tuple[tuple[str, tuple[tuple[float, float, float], ...]], ...]
PROBABILITY, COUNT, REAL = "probability", "count", "real"
_LOWEST = 1e-12  # of a score that is a probability
_STEEP = 1000.0  # how much finer than 1 a real score is told apart


def axis(score: Column, kind: str) -> Column:
    """The axis on which scores are calibrated: the logit of a probability, log(1 + x) of a count or rate, +-log(1 + 1000 |x|) of
    a real score: its scale and its sign may be any, and it is told apart by 1 % of itself, down to thousandths.
    """
    if kind == REAL:
        return F.signum(score) * F.log1p(F.abs(score) * _STEEP)
    if kind == COUNT:
        return F.log1p(F.greatest(score, F.lit(0.0)))
    inside = F.least(F.greatest(score, F.lit(_LOWEST)), F.lit(1 - _LOWEST))
    return F.log(inside / (1 - inside))


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibrator:
    """A monotone map from scores to probabilities.

    On the axis of its `kind`, through the inverse link of the focal loss where there is a `focal_gamma`, moved by `shift` (the
    prior): Platt is sigmoid(intercept + slope x), shrunk the same with a slope near 1, beta has a slope of its own for high scores
    (see beta), isotonic is the line through its knots, none the sigmoid. `log_losses` holds what `auto` compared on users that it
    had not fitted.

    `offsets` move the logit in segments of rows, which are told `by` a column (see segments; empty: by none); `segment_losses`
    holds what was compared to choose by which, the one without any first. `band`: by segment (empty: in none) knots of the moved
    axis and the logits between which the share `interval` of samples of users put the curve (see band).
    """

    kind: str
    method: str
    shift: float = 0.0
    intercept: float = 0.0
    slope: float = 1.0
    knots: tuple[tuple[float, float], ...] = ()
    log_losses: tuple[tuple[str, float], ...] = ()
    focal_gamma: float = 0.0
    slope_high: float = 1.0
    by: str = ""
    offsets: segments.Offsets = ()
    segment_losses: tuple[tuple[str, float], ...] = ()
    band: Band = ()
    interval: float = 0.0

    @property
    def reads(self) -> tuple[str, ...]:
        """The columns that rows need beside the score."""
        return (segments.READS[self.by],) if self.by else ()

    @property
    def described(self) -> str:
        """The method and, where segments have levels of their own, by what."""
        return f"{self.method}, {self.by}" if self.by else self.method

    @property
    def facts(self) -> dict[str, float]:
        """What was compared and chosen, as named numbers."""
        losses = {f"calibration_log_loss_{name}": loss for name, loss in self.log_losses}
        apart = {f"calibration_log_loss_by_{name}": loss for name, loss in self.segment_losses}
        return losses | apart | {f"calibration_offset_{self.by}_{place}": at for place, (_, at) in enumerate(self.offsets)}

    def apply(self, score: Column) -> Column:
        """The calibrated probability of a score, strictly inside (0, 1), in rows that have the columns `reads`."""
        p = self._overall(self._moved(score))
        return segments.moved_column(p, self.by, self.offsets) if self.by else p

    def ends(self, score: Column, probability: Column) -> tuple[Column, Column]:
        """Between which probabilities the level of such scores surely lies, with what `apply` gave within; null without a band."""
        if not self.band:
            return F.lit(None).cast("double"), F.lit(None).cast("double")
        return F.least(self._end(score, 1), probability), F.greatest(self._end(score, 2), probability)

    def _end(self, score: Column, place: int) -> Column:
        x = self._moved(score)
        lines = {key: isotonic.segments(x, tuple((knot[0], knot[place]) for knot in knots)) for key, knots in self.band}
        otherwise = lines.pop(segments.NONE)
        return 1 / (1 + F.exp(-(segments.of_key(self.by, lines, otherwise) if self.by else otherwise)))

    def _overall(self, x: Column) -> Column:
        if self.method == "isotonic":
            return isotonic.segments(x, self.knots)
        margin = beta.margin_column(x, *self._bend) if self.method == "beta" else x * self.slope + self.intercept
        return F.least(F.greatest(1 / (1 + F.exp(-margin)), F.lit(EDGE)), F.lit(1 - EDGE))

    def on(self, x: Vector, keys: segments.Keys | None = None) -> Vector:
        """The same map on numbers of the (unmoved) axis, of rows in these segments; without keys: as if in none."""
        p = self._overall_on(self.moved(x))
        return p if keys is None else segments.moved(p, keys, self.offsets)

    def _overall_on(self, moved: Vector) -> Vector:
        if self.method == "isotonic":
            at, value = np.array(self.knots).T
            return np.asarray(np.interp(moved, at, value))
        margin = beta.margin(moved, *self._bend) if self.method == "beta" else moved * self.slope + self.intercept
        return np.clip(1 / (1 + np.exp(-margin)), EDGE, 1 - EDGE)

    @property
    def _bend(self) -> tuple[float, float, float]:
        return self.intercept, self.slope, self.slope_high

    def _moved(self, score: Column) -> Column:
        return focal.logit_column(axis(score, self.kind), self.focal_gamma) + self.shift

    def moved(self, x: Vector) -> Vector:
        """The axis through the link and moved by the prior: where it is fitted."""
        return focal.logit_of(x, self.focal_gamma) + self.shift

    @property
    def corrected(self) -> "Calibrator":
        """The same without what was fitted: the prior and the loss undone, exactly, and no more."""
        return Calibrator(kind=self.kind, method="none", shift=self.shift, focal_gamma=self.focal_gamma)

    def to_json(self) -> str:
        """The calibrator as text."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Calibrator":
        """The calibrator that `to_json` wrote."""
        parts: dict[str, Any] = json.loads(text)
        parts["knots"] = tuple((float(x), float(y)) for x, y in parts["knots"])
        for named in ("log_losses", "offsets", "segment_losses"):
            parts[named] = tuple((str(n), float(v)) for n, v in parts.get(named, ()))  # older ones have no segments
        band = parts.get("band", ())
        parts["band"] = tuple((str(key), tuple((float(x), float(low), float(high)) for x, low, high in at)) for key, at in band)
        return cls(**parts)
