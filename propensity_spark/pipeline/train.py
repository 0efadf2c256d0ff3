"""Job: rehearse the procedure a horizon earlier and judge it, then train and calibrate what scores as_of; log both."""

import json
from dataclasses import replace

from pyspark.sql import SparkSession

from propensity_spark.config import Config
from propensity_spark.errors import NotPromoted
from propensity_spark.judge import gate
from propensity_spark.judge.gate import Verdict
from propensity_spark.judge.order import add_ranking
from propensity_spark.pipeline import audit, candidate_scores, figures, fitting, judging, rows
from propensity_spark.pipeline.build_features import Moment
from propensity_spark.pipeline.figures import Judged
from propensity_spark.pipeline.fitting import Fits, Trained
from propensity_spark.pipeline.parts import Parts, bounded, check_sufficient, counted, learnt_rows, parted
from propensity_spark.progress import Progress
from propensity_spark.serve import registry
from propensity_spark.serve.bundle import Bundle


def run(spark: SparkSession, config: Config, moment: Moment, progress: Progress) -> registry.Run:
    """Train, calibrate, test; write gold.metrics and an MLflow run, which is returned.

    Raises InsufficientData where the purchases cannot carry a model, LeakSuspected where a feature knows the label, TrainingFailed
    where the champion cannot be fitted and nothing stands in: nothing is written then; NotPromoted where a baseline does better:
    the run is logged as refused, and gold stays as it was.
    """
    timeline = moment.timeline
    config = bounded(spark, config, moment, progress, config.models.families, ranks=config.models.ranker.rounds > 0)
    with progress.stage("training rows") as stage:
        sampled = learnt_rows(spark, config, moment, timeline.learnt, config.models.families)
        counts = counted(sampled)
        stage.rows_out = sum(count for count, _, _ in counts.values())
    check_sufficient(config, timeline.final, counts)
    check_sufficient(config, timeline.rehearsal, counts)
    with progress.stage("audit") as stage:
        stage.note = audit.check(config, moment, sampled, sum(count for count, _, _ in counts.values()))
    popular = judging.most_popular(spark)
    rehearsal, final = (parted(config, procedure, sampled, counts) for procedure in (timeline.rehearsal, timeline.final))
    chosen, judged, verdict = _elected(spark, config, moment, rehearsal, popular, progress)
    fits = fitting.fit(chosen, moment, final, "final", progress, needed=chosen.models.champion)
    chosen = chosen.with_only(fits.whole.models)
    trained = fitting.calibrated(chosen, fits, final, popular, progress)
    with progress.stage("log to MLflow") as stage:
        logged = _log(chosen, moment, trained, judged, verdict, popular)
        stage.note = logged.noted
        if verdict.promoted:  # beside scores stand the figures of the run that made them
            figures.write(spark, judged, timeline.rehearsal.score, "test", logged.run_id)
    if not verdict.promoted:
        raise NotPromoted(f"{verdict.reason}. {_remedy(verdict)}")
    if verdict.reason:
        progress.say(f"  promoted; {verdict.reason}")
    return logged


def _elected(
    spark: SparkSession, config: Config, moment: Moment, parts: Parts, popular: float, progress: Progress
) -> tuple[Config, Judged, Verdict]:
    """The settings with the champion that is to score, what the rehearsal says of it, and whether it may.

    Where the configured one is refused, the first other family that would be promoted stands in, judged as a champion is; where it
    cannot be fitted, the first one that can be, as if it were configured.
    """
    needed = "" if config.promotion.stand_in else config.models.champion
    fitted = fitting.fit(config, moment, parts, "rehearsal", progress, needed)
    unfitted = fitted.failed.get(config.models.champion)
    reasons = [f"{config.models.champion} could not be fitted: {unfitted}"] if unfitted else []
    config = config.with_only(fitted.whole.models)
    judged = _judged(spark, config, moment, fitted, parts, popular, progress)
    found = _verdict(config, judged)
    if not found.promoted and found.others and config.promotion.stand_in:
        progress.say(f"  {found.reason}: {found.others[0]} is tested in its place")
        reasons.append(found.reason)
        config = config.with_champion(found.others[0])
        judged = _judged(spark, config, moment, fitted, parts, popular, progress)
        found = _verdict(config, judged)
    if not reasons:
        return config, judged, found
    why = f"{config.models.champion} stands in, since {'; '.join(reasons)}"
    return config, judged, replace(found, reason="; ".join(filter(None, [why, found.reason])))


def _verdict(config: Config, judged: Judged) -> Verdict:
    """Whether the champion may score."""
    champion, models = config.models.champion, config.models.families
    reached, promotion = judged["metrics"], config.promotion
    slack = gate.slack(promotion.ece_slack, promotion.ece_slack_share, reached[champion]["base_rate"])
    found = gate.verdict(champion, models, reached, judged[figures.INTERVALS][champion], slack)
    if found.promoted or config.promotion.gate:
        return found
    return Verdict(True, f"noted, since promotion.gate is false: {found.reason}")


def _remedy(refused: Verdict) -> str:
    """What to do where a model was refused."""
    other = f"--set models.champion={refused.others[0]} would pass; or " if refused.others else ""
    return (
        f"The run is logged and not promoted: gold.propensity stays as it was. {other}try `propensity tune` or `propensity "
        "families`, or publish it nonetheless with --set promotion.gate=false."
    )


def _judged(
    spark: SparkSession, config: Config, moment: Moment, fitted: Fits, parts: Parts, popular: float, progress: Progress
) -> Judged:
    """The procedure as of one horizon earlier, calibrated, and judged on labels that nothing in it has seen."""
    trained = fitting.calibrated(config, fitted, parts, popular, progress)
    with progress.stage("test") as stage:
        everything = rows.of_dates(spark, moment, [parts.procedure.score])
        scored = judging.scored(trained.encoders.transform(everything), trained.scorers, popular)
        champion, ranker = trained.models[config.models.champion].scorer.column, trained.ranker.column if trained.ranker else None
        ordered = add_ranking(scored, champion, ranker)
        judged = judging.judge(spark, config, moment, ordered, trained.calibrators, parts.procedure.score, trained.thresholds)
        stage.rows_out = next(iter(judged["metrics"].values()))["rows"]
        stage.note = f"as of {parts.procedure.score}"
    return judged


def _log(config: Config, moment: Moment, final: Trained, judged: Judged, verdict: Verdict, popular: float) -> registry.Run:
    bundle = Bundle(
        shop=config.shop.name,
        as_of=moment.timeline.as_of,
        horizon_days=moment.timeline.horizon_days,
        champion=config.models.champion,
        feature_version=moment.features.version,
        scorers={name: fitted.scorer for name, fitted in final.models.items()},
        calibrators=final.calibrators,
        ranker=final.ranker,
        versions={},
        encoders=final.encoders,
        thresholds=final.thresholds,
        most_popular=popular,
        candidate_version=candidate_scores.version(config, moment.features),
        final=moment.timeline.final,
        rehearsal=moment.timeline.rehearsal,
    )
    importance = {name: fitted.importance for name, fitted in final.models.items()}
    texts = {"test.json": json.dumps(judged), "importance.json": json.dumps(importance)}
    facts = {f"{name}_{fact}": value for name, fitted in final.models.items() for fact, value in fitted.facts.items()}
    facts |= {f"{name}_{fact}": value for name in final.models for fact, value in final.calibrators[name].facts.items()}
    return registry.log(config, bundle, final.models, figures.logged(judged, "test") | facts, texts, verdict)
