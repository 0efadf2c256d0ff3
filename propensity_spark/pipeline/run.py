"""The jobs in order, one session: what `propensity run` and its parts do."""

from collections.abc import Callable, Sequence
from datetime import date, timedelta

from pyspark.sql import SparkSession

from propensity_spark import session, tables
from propensity_spark.config import Config
from propensity_spark.errors import InsufficientData, NotPromoted
from propensity_spark.ingest import doubts, preflight
from propensity_spark.models.families import check_installed
from propensity_spark.pipeline import (
    audit,
    build_features,
    cold_trials,
    extent,
    families,
    groups,
    imbalance,
    ingest,
    report,
    score,
    spines,
    totals,
    train,
    tune,
)
from propensity_spark.pipeline.build_features import Moment
from propensity_spark.pipeline.extent import Extent
from propensity_spark.progress import Progress
from propensity_spark.serve import store, views
from propensity_spark.trainset import rules


def everything(config: Config) -> date:
    """Ingest, build features, train, score, report; returns the date that was scored.

    Raises InsufficientData where the data cannot carry a model, NotPromoted where a baseline is better, after a page that says so.
    """
    preflight.check(config)
    store.check(config)
    check_installed(config.models)
    spark, progress = _opened(config)
    _ingest(spark, config, progress)
    try:
        moment = _moment(spark, config, progress)
        progress.say(f"  as of {moment.timeline.as_of}, horizon {config.labels.horizon_days} days, {_dates(moment)}")
        build_features.run(spark, config, moment, progress)
        _refused_told(train.run)(spark, config, moment, progress)
        score.run(spark, config, moment, progress)
    except InsufficientData as reason:
        report.without_scores(spark, config, str(reason), progress)
        raise
    page = report.run(spark, config, moment, progress)
    progress.say(f"done in {progress.total:.0f} s: {page}")
    return moment.timeline.as_of


def one(name: str, config: Config) -> None:
    """One job by its name, on what the jobs before it wrote.

    Raises TablesStale where what it reads was built for another date, or from other settings or events.
    """
    if name == "ingest":
        preflight.check(config)
    if name in _ON_MODELS:
        store.check(config)
    if name == "train":
        check_installed(config.models)
    spark, progress = _opened(config)
    if name == "ingest":
        return _ingest(spark, config, progress)
    moment = _moment(spark, config, progress)
    if name in _ON_ROWS:
        build_features.check_current(spark, config, moment)
    _STAGES[name](spark, config, moment, progress)
    return None


def _ingest(spark: SparkSession, config: Config, progress: Progress) -> None:
    """Who runs without `propensity check` is told what that would ask."""
    for doubt in doubts.doubts(config):
        progress.say(f"  perhaps not meant: {doubt}")
    ingest.run(spark, config, progress)


def audited(config: Config) -> audit.Report:
    """Look for leaks in what `build-features` wrote. Raises TablesStale as `one` does."""
    spark, progress = _opened(config)
    moment = _moment(spark, config, progress)
    build_features.check_current(spark, config, moment)
    return audit.run(spark, config, moment, progress)


Stage = Callable[[SparkSession, Config, Moment, Progress], object]


def _refused_told(stage: Stage) -> Stage:
    """The stage, with a page of how a model was judged that was not promoted."""

    def told(spark: SparkSession, config: Config, moment: Moment, progress: Progress) -> object:
        try:
            return stage(spark, config, moment, progress)
        except NotPromoted as reason:
            try:
                report.refused(spark, config, moment, str(reason), progress)
            except Exception as problem:  # the reason is what matters
                progress.say(f"  report          could not be made: {' '.join(str(problem).split())[:200]}")
            raise

    return told


_STAGES: dict[str, Stage] = {
    "build-features": build_features.run,
    "train": _refused_told(train.run),
    "score": score.run,
    "report": _refused_told(report.run),
}
_ON_MODELS = ("train", "score", "report")
_ON_ROWS = ("train", "score")  # the report tells what was scored, whatever was built since


def totals_current(config: Config, since: date | None, spine: str, out: str) -> None:
    """Bring features.totals to the configured date or, with a spine, write the totals at its own moments to `out`."""
    spark, progress = _opened(config)
    if spine:
        return spines.look_up(spark, config, spine, out, progress)
    totals.run(spark, config, _as_of(spark, config, progress), since, progress)
    return None


def compare_groups(config: Config) -> None:
    """Fit and judge each group of features at the configured date."""
    check_installed(config.models, [config.models.champion])
    spark, progress = _opened(config)
    groups.run(spark, config, _as_of(spark, config, progress), progress)


def tuned(config: Config) -> None:
    """Search the settings of a family at the configured date."""
    store.check(config)
    tune.check(config)
    check_installed(config.models, [tune.family_of(config)])
    spark, progress = _opened(config)
    moment = _moment(spark, config, progress)
    build_features.run(spark, config, moment, progress)
    tune.run(spark, config, moment, progress)


def compare_balances(config: Config) -> None:
    """Fit and judge the champion with each way of balancing its training rows at the configured date."""
    check_installed(config.models, [config.models.champion])
    spark, progress = _opened(config)
    imbalance.run(spark, config, _as_of(spark, config, progress), progress)


def compare_families(config: Config, chosen: str, others: Sequence[Config] = ()) -> None:
    """Fit and judge the model families named in `chosen` (a,b; empty: all that are installed) at the configured date.

    Further shops are judged after the first, each at its own date, and all are printed in one table at the end.
    """
    names, shops = families.names(chosen), (config, *others)
    for shop in others:  # nothing is fitted while another's tables are not there
        tables.read(session.start(shop), "silver.events")
    found = []
    for shop in shops:
        spark, progress = _opened(shop)
        found.append((shop.shop.name, families.run(spark, shop, _as_of(spark, shop, progress), names, progress)))
    if others:
        progress.say(families.told_together(found))


def judge_cold_start(config: Config) -> None:
    """Judge the rates of users and products without history at the configured date."""
    spark, progress = _opened(config)
    cold_trials.run(spark, config, _as_of(spark, config, progress), progress)


def sql(config: Config, query: str, rows: int) -> None:
    """Print the answer to a query over the shop's tables and views."""
    spark = session.start(config)
    views.ensure(spark, config.score.top_products)
    print(views.answer(spark, query, rows))


def simulate(config: Config) -> None:
    """Write the logs of the simulated shop."""
    from propensity_spark.ingest.simulate import simulate as write

    spark, progress = _opened(config)
    with progress.stage("simulate") as stage:
        stage.rows_out = write(spark, config)


def _opened(config: Config) -> tuple[SparkSession, Progress]:
    """The session, and the lines that tell how the work goes on. Raises ConfigError where a rule of the shop's cannot be meant."""
    progress = Progress()
    progress.say(f"propensity_spark: {config.shop.name}, warehouse {config.storage.warehouse}")
    with progress.stage("start Spark"):
        spark = session.start(config)
    rules.check(spark, config)
    return spark, progress


def _moment(spark: SparkSession, config: Config, progress: Progress) -> Moment:
    """What the run is about, at the configured date or else at the newest."""
    _check_events(spark)
    found = extent.look(spark, config)
    as_of = config.score.as_of or _newest(found)
    _say_doubts(found, as_of, progress)
    moment = build_features.prepare(spark, config, as_of, found)
    for doubt in moment.doubts[len(found.doubts(as_of)) :]:  # of the dates that it chose
        progress.say(f"  look            {doubt}")
    return moment


def _as_of(spark: SparkSession, config: Config, progress: Progress) -> date:
    """The configured date, else the newest."""
    _check_events(spark)
    if config.score.as_of:
        return config.score.as_of
    found = extent.look(spark, config)
    _say_doubts(found, _newest(found), progress)
    return _newest(found)


def _check_events(spark: SparkSession) -> None:
    if not tables.exists(spark, "silver.events"):
        tables.read(spark, "silver.events")  # says which job to run


def _newest(found: Extent) -> date:
    """The day after the last full day of data."""
    return found.full + timedelta(days=1)


def _say_doubts(found: Extent, as_of: date, progress: Progress) -> None:
    for doubt in found.doubts(as_of):
        progress.say(f"  look            {doubt}")


def _dates(moment: Moment) -> str:
    final = moment.timeline.final
    return f"trained on {len(final.train)} dates to {final.calibrate}, calibrated there on users left out for it"
