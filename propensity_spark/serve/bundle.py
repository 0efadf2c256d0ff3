"""What scores a date: the trained models as values, their calibrators, and where all of it came from."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from propensity_spark.errors import PropensityError
from propensity_spark.features.encoders import Fitted
from propensity_spark.judge.calibrator import Calibrator
from propensity_spark.models.fast import Scorer
from propensity_spark.trainset.split import Procedure

_PROCEDURES = ("final", "rehearsal")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """Everything that turns a date's candidate rows into probabilities.

    `calibrators` map a scorer's raw column, over the sampled and balanced rows that it learnt from, to the probability in all.
    `encoders` make the scorers' inputs that are not features, from the columns of the same rows. `ranker`
    orders each user's list together with the champion; None: the champion alone. `thresholds`: the champion's, by rule.
    `most_popular`: what the scale of the baselines rests on (see judge.baselines), as their calibrators met it; 0: unknown.
    `candidate_version`: how the scores of the candidates were made that the models read; empty: unknown. `final`, `rehearsal`: the
    dates that what scores was learnt from, and those of its test, since settings and data may plan others by now; None: unknown.
    """

    shop: str
    as_of: date
    horizon_days: int
    champion: str
    feature_version: str
    scorers: dict[str, Scorer]
    calibrators: dict[str, Calibrator]
    versions: dict[str, str]
    encoders: Fitted = field(default_factory=Fitted)
    ranker: Scorer | None = None
    thresholds: dict[str, float] = field(default_factory=dict)
    most_popular: float = 0.0
    candidate_version: str = ""
    final: Procedure | None = None
    rehearsal: Procedure | None = None

    @property
    def all_scorers(self) -> list[Scorer]:
        """The models and, last, the ranker."""
        return [*self.scorers.values(), *([self.ranker] if self.ranker else [])]

    @property
    def reads(self) -> tuple[str, ...]:
        """The columns of the rows that the champion's calibration reads beside its score."""
        return self.calibrators[self.champion].reads

    def to_json(self) -> str:
        """The bundle as text."""
        return json.dumps(
            {
                "shop": self.shop,
                "as_of": self.as_of.isoformat(),
                "horizon_days": self.horizon_days,
                "champion": self.champion,
                "feature_version": self.feature_version,
                "scorers": {name: scorer.to_json() for name, scorer in self.scorers.items()},
                "calibrators": {name: c.to_json() for name, c in self.calibrators.items()},
                "versions": self.versions,
                "encoders": self.encoders.to_plain(),
                "thresholds": self.thresholds,
                "most_popular": self.most_popular,
                "candidate_version": self.candidate_version,
                **({"ranker": self.ranker.to_json()} if self.ranker else {}),
                **{name: _dates(each) for name in _PROCEDURES if (each := getattr(self, name))},
            }
        )

    @classmethod
    def from_json(cls, text: str) -> "Bundle":
        """The bundle that `to_json` wrote. Raises PropensityError where the text is not one."""
        try:
            parts = json.loads(text)
            parts["as_of"] = date.fromisoformat(parts["as_of"])
            parts["scorers"] = {n: Scorer.from_json(s) for n, s in parts["scorers"].items()}
            parts["calibrators"] = {n: Calibrator.from_json(c) for n, c in parts["calibrators"].items()}
            if "encoders" in parts:  # older runs have none
                parts["encoders"] = Fitted.from_plain(parts["encoders"])
            if "ranker" in parts:
                parts["ranker"] = Scorer.from_json(parts["ranker"])
            parts |= {name: _procedure(parts[name]) for name in _PROCEDURES if name in parts}
            return cls(**parts)
        except (ValueError, KeyError, TypeError) as problem:
            raise PropensityError(f"the run's bundle.json cannot be read ({problem}); train again") from None


def _dates(procedure: Procedure) -> dict[str, Any]:
    return {"train": [day.isoformat() for day in procedure.train], "score": procedure.score.isoformat()}


def _procedure(dates: Mapping[str, Any]) -> Procedure:
    return Procedure(tuple(map(date.fromisoformat, dates["train"])), date.fromisoformat(dates["score"]))
