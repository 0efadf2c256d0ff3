"""Is a feature too good to be true? What to make of the figures of every feature: leak, look, ok, or unknown."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from pyspark.sql import DataFrame

from propensity_spark.config import AuditConfig
from propensity_spark.trainset.figures import Counts, Figures, figures

TRAINING = "training rows"
OK, LOOK, LEAK, UNKNOWN = "ok", "look", "leak", "unknown"
_SEVERITY = (LEAK, LOOK, UNKNOWN, OK)  # the worst first
_NEARER = 20  # to an AUC of 1 must a fit come than any other feature, to be a leak
_ALMOST_SURELY = 0.99  # of the rows with (or without) a value are bought, where fewer than half of all are


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one check says of one feature in the rows of a place. `value` None: unknown, which is not fine."""

    feature: str
    check: str
    value: float | None
    verdict: str
    says: str
    place: str = TRAINING


@dataclass(frozen=True, slots=True)
class Found:
    """What was found, and what could not be looked at, in words."""

    findings: tuple[Finding, ...]
    unchecked: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Audited:
    """A feature's figures, and what each of five checks makes of them: coverage, constant, auc, missing, drift."""

    figures: Figures
    findings: tuple[Finding, ...]

    @property
    def verdict(self) -> str:
        """The worst of its findings."""
        return min((finding.verdict for finding in self.findings), key=_SEVERITY.index)


def audit(
    rows: DataFrame,
    features: Sequence[str],
    config: AuditConfig,
    number: int,
    of_history: Collection[str] = (),
    fits: Collection[str] = (),
) -> tuple[Audited, ...]:
    """Look at every feature, in one pass over about config.max_rows of the rows.

    Takes   training rows as `figures` does, `number` of them; `of_history`: the features that are missing where a user has no
            history with a product; `fits`: those that say how well a product fits a user, made of what was before as_of alone.
    Returns the features in order.
    """
    share = min(1.0, config.max_rows / max(number, 1))
    found = figures(rows, features, share)
    return tuple(judged(each, config, name in of_history, name in fits) for name, each in found.items())


def judged(each: Figures, config: AuditConfig, of_history: bool = False, fits: bool = False) -> Audited:
    """What the checks say of one feature."""
    told = _Told(each, config, of_history, fits)
    return Audited(each, (told.coverage(), told.constant(), told.auc(), told.missing(), told.drift()))


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """Leaks, then what deserves a look, then what is unknown, then the rest; within each the highest figure first."""
    return sorted(findings, key=lambda f: (_SEVERITY.index(f.verdict), f.check, -(f.value or 0.0), f.feature))


def leaks(findings: Iterable[Finding], allow: Iterable[str]) -> list[Finding]:
    """The leaks of features that may not pass, the worst first."""
    allowed = frozenset(allow)
    return [f for f in worst_first(findings) if f.verdict == LEAK and f.feature not in allowed]


@dataclass(frozen=True, slots=True)
class _Told:
    """From figures to findings, for one feature."""

    figures: Figures
    config: AuditConfig
    of_history: bool
    fits: bool

    def coverage(self) -> Finding:
        share = self.figures.coverage
        if share is None or self.figures.whole.rows < self.config.min_rows:
            return self._unknown("coverage", share, self._too_few_rows())
        low = 0 < share < self.config.min_coverage  # 0 is said by `constant`
        return self._found("coverage", share, LOOK if low else OK, f"has a value in {100 * share:.2f} % of the rows")

    def constant(self) -> Finding:
        levels = self.figures.levels
        if self.figures.whole.rows < self.config.min_rows:
            return self._unknown("constant", float(levels), self._too_few_rows())
        if not self.figures.constant:
            return self._found("constant", float(levels), OK, f"has {levels} values")
        says = "has one and the same value in every row: it tells nothing" if levels else "never has a value"
        return self._found("constant", float(levels), LOOK, says)

    def auc(self) -> Finding:
        auc, known = self.figures.auc, self.figures.known
        if auc is None or self._few(known):
            return self._unknown("auc", None, self._too_few(known, " with a value"))
        says = f"alone it tells bought pairs from others with an AUC of {auc:.4f}"
        nearer = 1 - (1 - self.config.leak_auc) / _NEARER
        if self.fits and self.config.leak_auc <= auc < nearer:
            # whoever buys the same few products again: they fit best by far, and hardly anything else is bought
            return self._found("auc", auc, LOOK, f"{says}: nearly all purchases are of what fits best by the user's past")
        if auc >= self.config.leak_auc:
            return self._found("auc", auc, LEAK, f"{says}, audit.leak_auc is {self.config.leak_auc}: it must know the label")
        if auc >= self.config.suspicious_auc:
            says = f"{says}, audit.suspicious_auc is {self.config.suspicious_auc}: make sure that it was known at as_of"
            return self._found("auc", auc, LOOK, says)
        return self._found("auc", auc, OK, says)

    def missing(self) -> Finding:
        auc, whole = self.figures.missing_auc, self.figures.whole
        if auc is None or self._few(whole):
            return self._unknown("missing", None, self._too_few(whole, ""))
        pure = self._pure()
        if pure:
            return self._found("missing", auc, LEAK, pure)
        says = f"whether it is missing tells bought pairs from others with an AUC of {auc:.4f}"
        if auc >= self.config.leak_missing_auc and self.of_history:
            # a shop of contact lenses: hardly anything is bought but what was bought before
            says = f"{says}: nearly all purchases are of what has a history"
            return self._found("missing", auc, LOOK, says)
        if auc >= self.config.leak_missing_auc:
            says = f"{says}, audit.leak_missing_auc is {self.config.leak_missing_auc}: it is filled in by what happened later"
            return self._found("missing", auc, LEAK, says)
        return self._found("missing", auc, LOOK if auc >= self.config.suspicious_auc else OK, says)

    def drift(self) -> Finding:
        value, dates = self.figures.psi, f"{self.figures.first} and {self.figures.last}"
        if value is None:
            return self._unknown("drift", None, "one date only: nothing to compare")
        if min(self.figures.rows_first, self.figures.rows_last) < self.config.min_rows:
            return self._unknown("drift", None, f"fewer than {self.config.min_rows} rows (audit.min_rows) at one of {dates}")
        says = f"PSI {value:.3f} between {dates}"
        if value <= self.config.max_psi:
            return self._found("drift", value, OK, says)
        return self._found("drift", value, LOOK, f"{says}, audit.max_psi is {self.config.max_psi}: it does not mean the same twice")

    def _pure(self) -> str:
        """Why rows with (or without) a value are bought almost surely while others are not; empty where they are not."""
        if self.figures.whole.rate >= 0.5:
            return ""
        for part, what in ((self.figures.known, "with"), (self.figures.missing, "without")):
            if part.positives >= self.config.min_positives and part.rate >= _ALMOST_SURELY:
                these = f"{100 * part.rate:.1f} % of the {part.rows:.0f} rows {what} a value were bought"
                return f"{these}: it is filled in by what happened later"
        return ""

    def _few(self, counts: Counts) -> bool:
        least = min(counts.positives, counts.rows - counts.positives)
        return counts.rows < self.config.min_rows or least < self.config.min_positives

    def _too_few_rows(self) -> str:
        return f"{self.figures.whole.rows:.0f} rows are too few, needed are {self.config.min_rows} (audit.min_rows)"

    def _too_few(self, counts: Counts, which: str) -> str:
        return (
            f"{counts.rows:.0f} rows{which}, {counts.positives:.0f} of them bought: needed are {self.config.min_rows} "
            f"(audit.min_rows), and {self.config.min_positives} bought and not bought (audit.min_positives)"
        )

    def _unknown(self, check: str, value: float | None, says: str) -> Finding:
        return Finding(feature=self.figures.feature, check=check, value=value, verdict=UNKNOWN, says=says)

    def _found(self, check: str, value: float, verdict: str, says: str) -> Finding:
        return Finding(feature=self.figures.feature, check=check, value=value, verdict=verdict, says=says)
