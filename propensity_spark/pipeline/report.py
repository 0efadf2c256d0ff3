"""Job: the HTML report of a date, from what the other jobs left in the tables and in the MLflow run."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from propensity_spark import tables
from propensity_spark.config import Config
from propensity_spark.judge import thresholds
from propensity_spark.judge.baselines import BASELINES
from propensity_spark.judge.report import Page, Period, Scored, render
from propensity_spark.judge.slices import NEW, REPEAT
from propensity_spark.loading import from_mapping
from propensity_spark.pipeline import figures, published, report_tables
from propensity_spark.pipeline.build_features import Moment
from propensity_spark.pipeline.figures import TRUTH, Judged
from propensity_spark.progress import Progress
from propensity_spark.schemas import PROPENSITY
from propensity_spark.serve import registry
from propensity_spark.trainset.assemble import inputs

_ABOUT = {
    "test": "The same procedure, rehearsed one horizon earlier: trained, chosen and calibrated on labels that had matured by then, "
    "and judged on the horizon that followed. This is what to expect of the scores.",
    "backtest": "The scores of this page's own date, judged on the horizon that followed: its labels are already in the data, "
    "and nothing that scored the date has seen them.",
}
_STRONGEST = 12
_OFF = 0.25  # a mean prediction further off than this is worth a warning
_ORDER = ("received", "ignored", "rejected", "refused", "duplicate", "accepted", "bot")


def run(spark: SparkSession, config: Config, moment: Moment, progress: Progress) -> Path:
    """Write the report of the moment's date and attach it to the MLflow run that scored it; returns its file.

    A look back, at a date before the newest scores, has a file of its own: the newest scores keep their page.
    """
    with progress.stage("report") as stage:
        trained = registry.latest(config, moment.timeline.as_of)
        page = _page(spark, config, moment, trained, progress.seconds)
        file = _write(page, _dated(spark, config.storage.report_path(config.shop.name), moment))
        registry.attach(config, trained.run_id, file)
        # of an earlier run, which keeps it as an artifact
        _dated(spark, config.storage.refused_path(config.shop.name), moment).unlink(missing_ok=True)
        stage.note = str(file)
    return file


def refused(spark: SparkSession, config: Config, moment: Moment, reason: str, progress: Progress) -> None:
    """The page of the date's newest run, which was not promoted: how it was judged and what it rests on, and no scores.

    It lies beside the report, which goes on to tell of what was scored.
    """
    with progress.stage("report") as stage:
        trained = registry.newest(config, moment.timeline.as_of)
        page = _page(spark, config, moment, trained, progress.seconds, reason)
        file = _write(page, _dated(spark, config.storage.refused_path(config.shop.name), moment))
        registry.attach(config, trained.run_id, file)
        stage.note = str(file)


def without_scores(spark: SparkSession, config: Config, reason: str, progress: Progress) -> None:
    """The report of data that cannot carry a model: what came in, what was refused, and why nothing was scored.

    Scores that there are keep their page: a date that cannot be scored says nothing of them.
    """
    if tables.exists(spark, "gold.propensity"):
        return
    with progress.stage("report") as stage:
        page = Page(
            shop=config.shop.name,
            as_of=str(config.score.as_of or "the last full day"),
            horizon_days=config.labels.horizon_days,
            made_at=_now(),
            verdict="",
            problem=reason,
            intake=_intake(spark),
            importance={},
            timings=tuple(progress.seconds.items()),
        )
        stage.note = str(_write(page, config.storage.report_path(config.shop.name)))


def _dated(spark: SparkSession, file: Path, moment: Moment) -> Path:
    """The file, with the date in its name where newer scores stand."""
    as_of = moment.timeline.as_of
    newer = tables.exists(spark, PROPENSITY.name) and not tables.read(spark, PROPENSITY.name, f"as_of > DATE'{as_of}'").isEmpty()
    return file.with_name(f"{file.stem}_{as_of}{file.suffix}") if newer else file


def _write(page: Page, file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    scratch = file.with_suffix(".part")
    scratch.write_text(render(page), encoding="utf-8")
    scratch.replace(file)  # a reader sees the old page or the new one
    return file


def _now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"


def _page(
    spark: SparkSession, config: Config, moment: Moment, trained: registry.Run, seconds: Mapping[str, float], problem: str = ""
) -> Page:
    """What is to be said of a run; `problem`: why it was not promoted."""
    moment = _with_dates_of(trained, moment)
    judged, noted = (_read(config, trained, ["test"]), ()) if problem else _judged(spark, config, moment, trained)
    dates = {"test": moment.timeline.rehearsal.score, "backtest": moment.timeline.as_of}
    champion = trained.bundle.champion
    rules = _rules(config, trained)
    return Page(
        shop=config.shop.name,
        as_of=str(moment.timeline.as_of),
        horizon_days=moment.timeline.horizon_days,
        made_at=_now(),
        verdict=_verdict(judged["test"], champion),
        problem=problem,
        notes=(
            *noted,
            *moment.doubts,
            *(note for name in judged for note in _warnings(judged[name], champion, f"{name} as of {dates[name]}")),
        ),
        facts=_facts(config, moment, trained),
        intake=_intake(spark),
        labels=_labels(spark, moment),
        periods=tuple(_period(judged[name], name, str(dates[name]), champion, rules) for name in reversed(judged)),
        importance=_importance(config, moment, trained),
        groups=report_tables.groups(spark, moment),
        groups_as_of=str(moment.timeline.rehearsal.score),
        listed=report_tables.found(spark, moment),
        scores=() if problem else published.sample(spark, moment.timeline.as_of, config.shop.currency),
        timings=tuple(seconds.items()),
    )


def _with_dates_of(trained: registry.Run, moment: Moment) -> Moment:
    """The moment with the dates that the run had: settings and data may plan others by now. Older runs kept none, and get those."""
    final, rehearsal = trained.bundle.final, trained.bundle.rehearsal
    if final is None or rehearsal is None:
        return moment
    return replace(moment, timeline=replace(moment.timeline, final=final, rehearsal=rehearsal))


def _judged(
    spark: SparkSession, config: Config, moment: Moment, trained: registry.Run
) -> tuple[dict[str, Judged], tuple[str, ...]]:
    """The run's figures by period, the backtest first; and what is to be noted: whose the scores are where another run made them,
    what was said when the run was promoted, and how to make a backtest that could be made by now and was not."""
    names, noted = ["test"], list(published.doubts(spark, moment.timeline.as_of, trained.run_id))
    noted += filter(None, [registry.reason(config, trained.run_id)])
    if moment.timeline.backtest:
        if registry.has(config, trained.run_id, "backtest.json"):
            names = ["backtest", "test"]
        else:  # the horizon ended after the scores were made, or nothing was scored with this run
            day = moment.timeline.as_of
            again = f"`propensity build-features --as-of {day}` and then `propensity score --as-of {day}`"
            noted.append(f"the labels of {day} are known by now: {again} judge its scores.")
    return _read(config, trained, names), tuple(noted)


def _read(config: Config, trained: registry.Run, names: Sequence[str]) -> dict[str, Judged]:
    return {name: json.loads(registry.read_text(config, trained.run_id, f"{name}.json")) for name in names}


def _verdict(judged: Judged, champion: str) -> str:
    """The champion against the best baseline, in one sentence each for probabilities and for lists as long as training judged."""
    found, k = figures.of_scorers(judged), figures.typed(judged)["ranking"][champion].k
    losses = {name: found[name]["log_loss"] for name in BASELINES if name in found}
    known = {name: loss for name, loss in losses.items() if loss is not None}
    mine, recall = found[champion]["log_loss"], found[champion][f"recall_at_{k}"]
    if mine is None or recall is None or not known:
        return "Nobody bought anything in the test window: how good the scores are is unknown."
    best = min(known, key=lambda name: known[name])
    recalls = {name: found[name][f"recall_at_{k}"] or 0.0 for name in losses}
    listed = max(recalls, key=lambda name: recalls[name])
    better = "below" if mine < known[best] else "NOT below"
    ahead = "ahead of" if recall > recalls[listed] else "NOT ahead of"
    return (
        f"On the test, {champion} has a log loss of {mine:.5f}, {better} the {known[best]:.5f} of the baseline that is best in it "
        f"({BASELINES[best]}), and finds {recall:.1%} of what each buyer bought in her {k} best, {ahead} the "
        f"{recalls[listed]:.1%} of the baseline that is best in this ({BASELINES[listed]})."
    )


def _warnings(judged: Judged, champion: str, where: str) -> list[str]:
    """What a careful reader should know before she uses the scores."""
    scorers = figures.of_scorers(judged)
    mine = scorers[champion]
    found, ratio, ece = [], mine["predicted_over_observed"], mine["ece"]
    if ratio is not None and abs(ratio - 1) > _OFF:
        found.append(f"{where}: the mean prediction is {ratio:.2f} times the observed rate; calibration moved with the season.")
    if ece is not None and ece > 0.01:
        found.append(f"{where}: the expected calibration error is {ece:.4f}, above 0.01.")
    baselines = [scorers[name]["log_loss"] for name in BASELINES if name in scorers]
    loss = mine["log_loss"]
    if loss is not None and any(b is not None and b <= loss for b in baselines):
        found.append(f"{where}: a baseline has a lower log loss than {champion}.")
    return found


def _rules(config: Config, trained: registry.Run) -> dict[str, str]:
    """How the run's thresholds were chosen, by the settings that it was made with."""
    judge = registry.made_with(config, trained.run_id).get("judge")
    return thresholds.told(from_mapping({"judge": judge}).judge)


def _period(judged: Judged, name: str, as_of: str, champion: str, rules: Mapping[str, str]) -> Period:
    results, gaps = figures.typed(judged), figures.of_scorers(judged)
    order = sorted(results["metrics"], key=lambda n: (n != champion, n in BASELINES, n == TRUTH))
    labels = {**BASELINES, TRUTH: "the truth (simulator)"}
    scorers = tuple(
        Scored(
            name=scorer,
            label=labels.get(scorer, scorer),
            is_model=scorer not in labels,
            metrics=results["metrics"][scorer],
            ranking=results["ranking"][scorer],
            repeat=results[REPEAT].get(scorer),
            new=results[NEW].get(scorer),
            truth_gap=gaps[scorer].get("truth_gap"),
        )
        for scorer in order
    )
    sure, slices = results[figures.INTERVALS].get(champion, {}), results[figures.SLICES]
    title = name.capitalize()
    return Period(name=title, as_of=as_of, about=_ABOUT[name], scorers=scorers, sure=sure, slices=slices, rules=rules)


def _facts(config: Config, moment: Moment, trained: registry.Run) -> tuple[tuple[str, str], ...]:
    final, rehearsal, bundle = moment.timeline.final, moment.timeline.rehearsal, trained.bundle
    methods = ", ".join(f"{name} by {bundle.calibrators[name].described}" for name in bundle.scorers)
    return (
        ("champion", f"{bundle.champion}, version {bundle.versions.get(bundle.champion, 'unregistered')}"),
        ("MLflow run", trained.run_id),
        ("MLflow store", config.tracking.resolved(config.storage)),
        ("feature version", bundle.feature_version),
        ("trained as of", ", ".join(map(str, final.train))),
        ("calibrated as of", f"{final.calibrate}, on users left out for it ({methods})"),
        ("test: trained as of", ", ".join(map(str, rehearsal.train))),
        ("test: calibrated as of", f"{rehearsal.calibrate}, on users left out for it"),
        ("tables", config.storage.catalog or config.storage.warehouse),
    )


def _intake(spark: SparkSession) -> tuple[tuple[str, str, str, int], ...]:
    if not tables.exists(spark, "silver.intake"):
        return ()
    rows = tables.read(spark, "silver.intake").collect()
    return tuple(sorted(((r[0], r[1], r[2], int(r[3])) for r in rows), key=lambda r: (r[0], _ORDER.index(r[1]), -r[3])))


def _labels(spark: SparkSession, moment: Moment) -> tuple[tuple[str, str, int, int | None, float | None], ...]:
    timeline = moment.timeline
    weight, label = F.col("weight"), F.col("label")
    grouped = tables.read(spark, "trainset.candidates").where(F.col("as_of").isin(list(timeline.dates))).groupBy("as_of")
    rows = grouped.agg(F.sum(weight).alias("pairs"), F.sum("label").alias("bought"), F.sum(weight * label).alias("hits"))
    made = []
    for row in rows.orderBy("as_of").collect():
        rate = row["hits"] / row["pairs"] if row["bought"] is not None else None
        made.append((str(row["as_of"]), _use(moment, row["as_of"]), round(row["pairs"]), row["bought"], rate))
    return tuple(made)


def _use(moment: Moment, day: object) -> str:
    final, rehearsal = moment.timeline.final, moment.timeline.rehearsal
    uses = {
        "train": day in final.train,
        "train the test": day in rehearsal.train,
        "calibrate on other users": day == final.calibrate,
        "calibrate the test on other users": day == rehearsal.calibrate,
        "test": day == rehearsal.score,
        "score": day == final.score,
    }
    return ", ".join(use for use, applies in uses.items() if applies)


def _importance(config: Config, moment: Moment, trained: registry.Run) -> dict[str, tuple[tuple[str, str, float], ...]]:
    described = (*inputs(moment.features), *trained.bundle.encoders.features)
    words = {feature.name: feature.description for feature in described}
    found = json.loads(registry.read_text(config, trained.run_id, "importance.json"))
    return {
        model: tuple((n, words.get(n, ""), share) for n, share in sorted(each.items(), key=lambda i: -i[1])[:_STRONGEST])
        for model, each in found.items()
    }
