"""Whether a champion may be published: it must not do worse than what a shop has without a model.

On the rehearsal's test it is held against the best baseline in log loss and in ECE. A higher log loss refuses it, sure or not. A
higher ECE does only where it is sure (the whole interval of 95 % lies on the wrong side, or is unknown) and above the slack: the
ECE of a scorer with a handful of levels is low by construction, and where users are many every difference is sure.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from propensity_spark.judge.baselines import BASELINES

Figures = Mapping[str, float | None]
LOG_LOSS, ECE = "log_loss", "ece"
_CALLED = {LOG_LOSS: "log loss", ECE: "ECE"}


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the champion is promoted; why not, or what is noted though it is; and which other families would be, the
    one with the least log loss first."""

    promoted: bool
    reason: str = ""
    others: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Lead:
    """A figure of a scorer's less that of the baseline that is best in it: below 0 is better. None: unknown."""

    figure: str
    gain: float | None
    told: str


def verdict(champion: str, families: Iterable[str], figures: Mapping[str, Figures], sure: Figures, slack: float) -> Verdict:
    """The champion's.

    Takes   `figures`: scorer -> log_loss and ece on the test; `sure`: the ends of the champion's gains over the best baselines
            (intervals.told); `slack`: by how much an ECE may be higher anyhow.
    """
    loss, ece = (_lead(champion, figures, figure) for figure in (LOG_LOSS, ECE))
    low = sure.get("ece_gain_low")
    if loss.gain is None or loss.gain > 0:
        refused = loss
    elif ece.gain is None or (ece.gain > slack and (low is None or low > 0)):
        refused = ece
    else:
        return Verdict(True, f"noted: {ece.told}" if ece.gain > 0 else "")
    others = [family for family in families if _passes(family, figures, slack)]
    return Verdict(False, refused.told, tuple(sorted(others, key=lambda family: (figures[family][LOG_LOSS], family))))


def slack(least: float, share: float, rate: float | None) -> float:
    """By how much an ECE may be higher: `least`, or this share of the observed rate where that is more (unknown: `least`)."""
    return max(least, share * (rate or 0.0))


def _passes(family: str, figures: Mapping[str, Figures], slack: float) -> bool:
    """Whether it would be promoted whatever its intervals are."""
    loss, ece = (_lead(family, figures, figure).gain for figure in (LOG_LOSS, ECE))
    return loss is not None and loss <= 0 and ece is not None and ece <= slack


def _lead(scorer: str, figures: Mapping[str, Figures], figure: str) -> _Lead:
    mine = figures[scorer].get(figure)
    known = {name: value for name in BASELINES if name in figures and (value := figures[name].get(figure)) is not None}
    if mine is None or not known:
        return _Lead(figure, None, f"the {_CALLED[figure]} of {scorer} or of every baseline is unknown on the test")
    best = min(known, key=lambda name: known[name])
    where = f"the {known[best]:.5f} of the best baseline, {best} ({BASELINES[best]})"
    return _Lead(figure, mine - known[best], f"the {_CALLED[figure]} of {scorer} on the test, {mine:.5f}, is above {where}")
