"""Job: look for leaks. Figures of every feature over the training rows, and the moved boundary; training begins with the first."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from propensity_spark import tables
from propensity_spark.config import Config
from propensity_spark.errors import ConfigError, InsufficientData, LeakSuspected
from propensity_spark.features import lineage
from propensity_spark.pipeline import moved, rows
from propensity_spark.pipeline.build_features import Moment
from propensity_spark.progress import Progress
from propensity_spark.trainset.assemble import FITS, inputs
from propensity_spark.trainset.audit import LEAK, LOOK, OK, UNKNOWN, Finding, Found, audit, leaks, worst_first

_MOST_LINES = 40  # of those that only deserve a look


@dataclass(frozen=True, slots=True)
class Report:
    """What `propensity audit` prints, and the leaks that are not allowed."""

    text: str
    leaks: tuple[Finding, ...]


def run(spark: SparkSession, config: Config, moment: Moment, progress: Progress) -> Report:
    """Look at the rows that training would learn from and at the tables behind them; write trainset.audit.

    Raises InsufficientData where build-features has not written these dates, ConfigError for an unknown name in audit.allow.
    """
    dates = moment.timeline.learnt
    with progress.stage("audit features") as stage:
        number = tables.read(spark, "trainset.candidates").where(F.col("as_of").isin(list(dates))).count()
        figures = of_rows(config, moment, rows.of_dates(spark, moment, dates), number)
        stage.rows_out = min(number, config.audit.max_rows)
        stage.note = f"of {number:,}, {len(inputs(moment.features))} features, {dates[0]} to {dates[-1]}"
    with progress.stage("audit boundary") as stage:
        again = moved.findings(spark, config, moment)
        stage.note = f"as of {dates[0]} and {dates[-1]}"
    found = Found((*figures, *again.findings), again.unchecked)
    _write(spark, config, moment.timeline.as_of, found)
    return Report(_text(config, found), tuple(leaks(found.findings, config.audit.allow)))


def check(config: Config, moment: Moment, sampled: DataFrame, number: int) -> str:
    """Look at the `number` rows about to be learnt from, in one pass over some of them; returns a note on what was found.

    Raises LeakSuspected for a leak that is not allowed, unless audit.stop is false; ConfigError as `run` does.
    """
    found = of_rows(config, moment, sampled, number)
    suspected = leaks(found, config.audit.allow)
    if suspected and config.audit.stop:
        first = suspected[0]
        more = f" {len({f.feature for f in suspected})} features do; `propensity audit` names them." if len(suspected) > 1 else ""
        raise LeakSuspected(
            f"feature {first.feature} on the training rows as of {moment.timeline.learnt[0]} to {moment.timeline.learnt[-1]}: "
            f"{first.says}.{more} Mend the feature, or let it pass by audit.allow: [{first.feature}]."
        )
    tally = _tally(found)
    told = ", ".join(f"{number} {verdict}" for verdict, number in tally.items())
    told += " (`propensity audit` names them)" if LOOK in tally else ""
    return f"{told}{'; audit.stop is false: LEAKS PASS: ' + ', '.join(f.feature for f in suspected) if suspected else ''}"


def of_rows(config: Config, moment: Moment, joined: DataFrame, number: int) -> tuple[Finding, ...]:
    """What the figures of every input over `number` joined rows say.

    Raises ConfigError where audit.allow names what is no input, InsufficientData where there are no rows.
    """
    names = [feature.name for feature in inputs(moment.features)]
    unknown = sorted(set(config.audit.allow) - set(names))
    if unknown:
        raise ConfigError(f"audit.allow names {', '.join(unknown)}, which no feature is called: see `propensity features list`")
    fits = [feature.name for feature in FITS]
    audited = audit(joined, names, config.audit, number, lineage.of_history(moment.features), fits)
    if not audited[0].figures.whole.rows:
        raise InsufficientData(
            "no labelled candidate is there for these dates. Run `propensity build-features` for this date first."
        )
    return tuple(finding for each in audited for finding in each.findings)


def _write(spark: SparkSession, config: Config, as_of: date, found: Found) -> None:
    allow = config.audit.allow
    made = [
        (as_of, f.feature, f.check, f.place, None if f.value is None else float(f.value), f.verdict, f.feature in allow, f.says)
        for f in found.findings
    ]
    schema = "as_of DATE, feature STRING, finding STRING, place STRING, value DOUBLE, verdict STRING, allowed BOOLEAN, says STRING"
    frame = spark.createDataFrame(made, schema).coalesce(1)
    tables.replace(frame.withColumn("audited_at", F.current_timestamp()), "trainset.audit", f"as_of = DATE'{as_of}'")


def _text(config: Config, found: Found) -> str:
    """The findings that are not fine, the worst first, and what was not looked at."""
    shown = [f for f in worst_first(found.findings) if f.verdict in (LEAK, LOOK)]
    kept = [f for f in shown if f.verdict == LEAK] + [f for f in shown if f.verdict == LOOK][:_MOST_LINES]
    lines = _aligned([_line(config, f) for f in kept])
    if len(shown) > len(kept):
        lines.append(f"... and {len(shown) - len(kept)} more to look at, in trainset.audit")
    unknown = [f for f in found.findings if f.verdict == UNKNOWN]
    if unknown:
        features = {f.feature for f in unknown}
        lines.append(f"unknown: {len(unknown)} checks of {len(features)} features; the first: {unknown[0].says}")
    lines += [f"not checked: {what}" for what in dict.fromkeys(found.unchecked)]
    return "\n".join([*lines, _summary(config, found.findings)])


def _line(config: Config, finding: Finding) -> tuple[str, ...]:
    is_allowed = finding.verdict == LEAK and finding.feature in config.audit.allow
    verdict = "allowed" if is_allowed else finding.verdict.upper() if finding.verdict == LEAK else finding.verdict
    return verdict, finding.feature, finding.check, finding.place, finding.says


def _aligned(lines: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return ["  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]


def _summary(config: Config, findings: Sequence[Finding]) -> str:
    told = ", ".join(f"{number} {verdict}" for verdict, number in _tally(findings).items())
    suspected = leaks(findings, config.audit.allow)
    if not suspected:
        return f"{told}: no leak found"
    names = sorted({f.feature for f in suspected})
    return f"{told}: {len(names)} surely leak ({', '.join(names[:10])}{', ...' if len(names) > 10 else ''})"


def _tally(findings: Iterable[Finding]) -> dict[str, int]:
    """How many features have which verdict at worst, the worst verdict first."""
    worst: dict[str, str] = {}
    for finding in worst_first(findings):
        worst.setdefault(finding.feature, finding.verdict)
    counted = {verdict: list(worst.values()).count(verdict) for verdict in (LEAK, LOOK, UNKNOWN, OK)}
    return {verdict: number for verdict, number in counted.items() if number or verdict in (LEAK, OK)}
