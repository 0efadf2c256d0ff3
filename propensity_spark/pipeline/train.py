"""Job: rehearse the procedure a horizon earlier and judge it, then train and calibrate what scores as_of; log both."""

import json
from dataclasses import dataclass, replace

from pyspark.sql import SparkSession

from propensity_spark.config import Config
from propensity_spark.errors import NotPromoted
from propensity_spark.features import encoders
from propensity_spark.judge import band, buckets, calibrate, gate, intervals, thresholds
from propensity_spark.judge.baselines import KINDS
from propensity_spark.judge.calibrator import Calibrator
from propensity_spark.judge.gate import Verdict
from propensity_spark.judge.order import add_ranking
from propensity_spark.judge.task import Task
from propensity_spark.models.contract import Fitted
from propensity_spark.models.families import FAMILIES
from propensity_spark.models.fast import Scorer
from propensity_spark.models.ranker import fit_ranker
from propensity_spark.pipeline import audit, figures, judging, learning, rows
from propensity_spark.pipeline.build_features import Moment
from propensity_spark.pipeline.figures import Judged
from propensity_spark.pipeline.parts import Parts, check_sufficient, counted, learnt_rows, parted
from propensity_spark.progress import Progress
from propensity_spark.serve import registry
from propensity_spark.serve.bundle import Bundle
from propensity_spark.trainset.assemble import inputs


@dataclass(frozen=True, slots=True)
class Trained:
    """One procedure's encoders, models and ranker, all scorers' calibrators, and the champion's thresholds by rule.

    `odds`: how many times as high balancing made the odds in the rows that the models learnt from.
    """

    encoders: encoders.Fitted
    models: dict[str, Fitted]
    ranker: Scorer | None
    odds: float
    calibrators: dict[str, Calibrator]
    thresholds: dict[str, float]

    @property
    def scorers(self) -> list[Scorer]:
        """The models as values, the ranker last."""
        return [*(fitted.scorer for fitted in self.models.values()), *([self.ranker] if self.ranker else [])]


def run(spark: SparkSession, config: Config, moment: Moment, progress: Progress) -> registry.Run:
    """Train, calibrate, test; write gold.metrics and an MLflow run, which is returned.

    Raises InsufficientData where the purchases cannot carry a model, LeakSuspected where a feature knows the label: nothing
    is written then; NotPromoted where a baseline does better: the run is logged as refused, and scores nothing.
    """
    timeline = moment.timeline
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
    trained = _calibrated(chosen, _fit(chosen, moment, final, "final", progress), final, popular, progress)
    with progress.stage("log to MLflow"):
        logged = _log(chosen, moment, trained, judged, verdict)
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

    Where the configured one is refused, the first other family that would be promoted stands in, judged as a champion is.
    """
    fitted = _fit(config, moment, parts, "rehearsal", progress)
    judged = _judged(spark, config, moment, fitted, parts, popular, progress)
    refused = _verdict(config, judged)
    if refused.promoted or not refused.others or not config.promotion.stand_in:
        return config, judged, refused
    instead = config.with_champion(refused.others[0])
    progress.say(f"  {refused.reason}: {refused.others[0]} is tested in its place")
    judged = _judged(spark, instead, moment, fitted, parts, popular, progress)
    found = _verdict(instead, judged)
    why = f"{refused.others[0]} stands in, since {refused.reason}"
    return instead, judged, replace(found, reason="; ".join(filter(None, [why, found.reason])))


def _verdict(config: Config, judged: Judged) -> Verdict:
    """Whether the champion may score."""
    champion, models = config.models.champion, config.models.families
    found = gate.verdict(champion, models, judged["metrics"], judged[figures.INTERVALS][champion], config.promotion.ece_slack)
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
    spark: SparkSession, config: Config, moment: Moment, fitted: Trained, parts: Parts, popular: float, progress: Progress
) -> Judged:
    """The procedure as of one horizon earlier, calibrated, and judged on labels that nothing in it has seen."""
    trained = _calibrated(config, fitted, parts, popular, progress)
    with progress.stage("test") as stage:
        everything = rows.of_dates(spark, moment, [parts.procedure.score])
        scored = judging.scored(trained.encoders.transform(everything), trained.scorers, popular)
        champion, ranker = trained.models[config.models.champion].scorer.column, trained.ranker.column if trained.ranker else None
        ordered = add_ranking(scored, champion, ranker)
        judged = judging.judge(spark, config, moment, ordered, trained.calibrators, parts.procedure.score, trained.thresholds)
        stage.rows_out = next(iter(judged["metrics"].values()))["rows"]
        stage.note = f"as of {parts.procedure.score}"
    return judged


def _calibrated(config: Config, fitted: Trained, parts: Parts, popular: float, progress: Progress) -> Trained:
    """The procedure's models with their calibrators."""
    with progress.stage("calibrate") as stage:
        trained = _calibrate(config, fitted, parts, popular)
        stage.note = _methods(trained)
    return trained


def _fit(config: Config, moment: Moment, parts: Parts, what: str, progress: Progress) -> Trained:
    models, dates = {}, parts.procedure.train
    learnt = fit_encoders(config, parts, progress)
    made = (*inputs(moment.features), *learnt.features)
    balanced = learning.balanced(config, parts.train, learnt, made, progress)
    for family in config.models.families:
        with progress.stage(f"fit {family}") as stage:
            models[family] = FAMILIES[family](balanced.rows, made, config.models, config.train.seed)
            stage.note = "; ".join([f"{what}: {', '.join(map(str, dates))}", *filter(None, [models[family].note])])
    ranker = None
    if config.models.ranker.rounds:
        with progress.stage("fit ranker"):
            ranker = fit_ranker(learnt.out_of_fold(parts.rows), made, config.models, config.train.seed)
    return Trained(learnt, models, ranker, balanced.odds, {}, {})


def fit_encoders(config: Config, parts: Parts, progress: Progress) -> encoders.Fitted:
    """The configured encoders, learnt from what the procedure's models learn from."""
    if not config.encoders:
        return encoders.Fitted()
    with progress.stage("fit encoders") as stage:
        learnt = encoders.fit(parts.train, config.encoders, parts.procedure.train, config.train.seed)
        stage.note = f"{len(learnt.features)} columns from {', '.join(encoder.column for encoder in config.encoders)}"
    return learnt


def _calibrate(config: Config, trained: Trained, parts: Parts, popular: float) -> Trained:
    tasks = _tasks(config, trained)
    pairs = judging.with_segment(config, parts.calibrate, parts.procedure.calibrate)
    scored = judging.scored(trained.encoders.transform(pairs), trained.scorers, popular)
    found = buckets.collect(scored, tasks, judging.price(scored))
    calibrators, champion = calibrate.fit_buckets(found, tasks), config.models.champion
    levels = thresholds.levels(found, champion, calibrators[champion])
    if tasks[champion].blocks:
        times = intervals.drawn(tasks[champion].blocks, config.calibration.draws, config.train.seed)
        calibrators[champion] = band.fit(
            found, champion, calibrators[champion], tasks[champion], times, config.calibration.interval
        )
    return replace(trained, calibrators=calibrators, thresholds=thresholds.choose(levels, config.judge, parts.share))


def _tasks(config: Config, trained: Trained) -> dict[str, Task]:
    """What to calibrate: models and baselines; of the champion it is asked as well how sure its levels are."""
    families, tasks = list(trained.models), dict[str, Task]()
    for name, column in judging.score_columns(families).items():
        if name in families:
            tasks[name] = learning.task_of(config, config.models, trained.models[name].scorer, trained.odds)
        else:
            tasks[name] = Task(score=column, kind=KINDS[name])
    if config.calibration.draws:
        tasks[config.models.champion] = replace(tasks[config.models.champion], blocks=config.judge.blocks)
    return tasks


def _methods(trained: Trained) -> str:
    return ", ".join(f"{name} by {trained.calibrators[name].described}" for name in trained.models)


def _log(config: Config, moment: Moment, final: Trained, judged: Judged, verdict: Verdict) -> registry.Run:
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
    )
    importance = {name: fitted.importance for name, fitted in final.models.items()}
    texts = {"test.json": json.dumps(judged), "importance.json": json.dumps(importance)}
    facts = {f"{name}_{fact}": value for name, fitted in final.models.items() for fact, value in fitted.facts.items()}
    facts |= {f"{name}_{fact}": value for name in final.models for fact, value in final.calibrators[name].facts.items()}
    return registry.log(config, bundle, final.models, figures.logged(judged, "test") | facts, texts, verdict)
