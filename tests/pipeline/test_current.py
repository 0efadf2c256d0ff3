"""Train, score and audit begin only on tables that were built for their date, from the settings and events of now."""

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from propensity_spark import cli, tables
from propensity_spark.config import Config
from propensity_spark.errors import InsufficientData, TableMissing, TablesStale
from propensity_spark.pipeline import audit, build_features, candidate_scores, run
from propensity_spark.schemas import CANDIDATES, EVENTS, TABLES, Table

Make = Callable[..., DataFrame]
Configured = Callable[..., Config]
EARLIER, LATER = date(2024, 6, 1), date(2024, 7, 27)


@pytest.fixture
def configured(warehouse: Path, config: Configured) -> Configured:
    """configured(as_of, section={...}): the shop's configuration, with other settings."""

    def make(as_of: date, **sections: object) -> Config:
        given = {"storage": {"warehouse": str(warehouse)}, "labels": {"horizon_days": 14}, "score": {"as_of": as_of}}
        return config(**{**given, **sections})

    return make


@pytest.fixture
def built(spark: SparkSession, table: Make, configured: Configured, monkeypatch: pytest.MonkeyPatch) -> Callable[[Config], None]:
    """built(config): a shop's events, and empty tables that say that build-features wrote them for the configuration."""
    _events(table, "2024-03-01", "2024-05-01", "2024-08-01")
    monkeypatch.setattr(build_features, "written", lambda _: ("features.pair", CANDIDATES.name))  # few, to be quick

    def build(config: Config) -> None:
        moment = build_features.prepare(spark, config, config.score.as_of)
        note = build_features._fingerprint(spark, config, moment)
        for name in build_features.written(moment.features):
            tables.overwrite(table(TABLES[name].ddl), name, note)

    return build


def _events(table: Make, *days: str) -> None:
    given = [{"event_date": day, "event_ts": day, "known_ts": day, "event": "purchase", "user_id": "u"} for day in days]
    tables.overwrite(table(EVENTS.ddl, *(_row(EVENTS, said) for said in given)), EVENTS.name)


def _row(contract: Table, said: dict[str, str]) -> tuple[str | None, ...]:
    return tuple(said.get(column) for column in contract.columns)


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The jobs that began, which do nothing here."""
    jobs: list[str] = []
    for name in ("train", "score"):
        monkeypatch.setitem(run._STAGES, name, lambda *_, name=name: jobs.append(name))
    monkeypatch.setattr(audit, "run", lambda *_: jobs.append("audit"))
    return jobs


def _all(config: Config) -> None:
    run.one("train", config)
    run.one("score", config)
    run.audited(config)


def test_tables_of_another_date_are_neither_learnt_from_nor_scored(
    built: Callable[[Config], None], configured: Configured, begun: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    built(configured(EARLIER))
    _all(configured(EARLIER))
    assert begun == ["train", "score", "audit"]
    built(configured(LATER))  # whose training dates may hold the earlier one, sampled by its labels
    stale, told = configured(EARLIER), r"trainset\.candidates: last written for other dates than this run as of 2024-06-01 has\. "
    for job in (lambda: run.one("train", stale), lambda: run.one("score", stale), lambda: run.audited(stale)):
        with pytest.raises(
            TablesStale, match=told + "Run `propensity build-features --as-of 2024-06-01` first, or `propensity run`"
        ):
            job()
    assert begun == ["train", "score", "audit"]
    capsys.readouterr()
    assert cli.guarded(lambda: run.one("score", stale)) == cli.MISTAKE
    assert "\npropensity: tables_stale: features.pair, " in capsys.readouterr().err


def test_so_are_tables_of_other_features_settings_events_and_meanings(
    built: Callable[[Config], None], configured: Configured, begun: list[str], table: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    built(configured(EARLIER))
    other = configured(EARLIER, features={"windows": [3]})
    with pytest.raises(TablesStale, match="for other features, settings than"):
        run.one("score", other)
    _events(table, "2024-03-01", "2024-05-01", "2024-08-01", "2024-08-01")
    with pytest.raises(TablesStale, match="for other events than"):
        run.one("train", configured(EARLIER))
    with monkeypatch.context() as later:  # a version of the package whose candidates' scores mean other numbers
        later.setattr(candidate_scores, "MEANING", candidate_scores.MEANING + 1)
        with pytest.raises(TablesStale, match="for other scores of candidates, events than"):
            run.one("train", configured(EARLIER))
    tables.overwrite(table(CANDIDATES.ddl), CANDIDATES.name)  # by somebody else, without a note
    with pytest.raises(TablesStale, match="for other events, scores of candidates, features, settings, shop, dates than"):
        run.one("train", configured(EARLIER))
    assert begun == []


def test_a_table_that_is_not_there_is_called_missing(
    spark: SparkSession, built: Callable[[Config], None], configured: Configured, begun: list[str]
) -> None:
    with pytest.raises(TableMissing, match=r"features\.pair does not exist yet\. Run `propensity build-features` first"):
        run.one("train", configured(EARLIER))
    assert begun == []


def test_how_rows_are_learnt_from_asks_for_no_other_tables(
    built: Callable[[Config], None], configured: Configured, begun: list[str]
) -> None:
    built(configured(EARLIER))
    later = {"refit": False, "calibration_share": 0.4, "min_positives": 30, "min_buyers": 10, "balance": {"method": "under"}}
    run.one("train", configured(EARLIER, train=later))
    assert begun == ["train"]
    with pytest.raises(TablesStale, match="for other settings than"):
        run.one("train", configured(EARLIER, train={**later, "seed": 43}))


def test_what_few_rows_there_are_is_sampled_alike_by_all_jobs(
    built: Callable[[Config], None], configured: Configured, begun: list[str]
) -> None:
    """One user: all negatives teach, whatever negative_rate is, while a fit has fewer rows than min_rows."""
    built(configured(EARLIER))
    run.one("train", configured(EARLIER))
    run.one("train", configured(EARLIER, train={"min_rows": 300_000}))
    run.one("train", configured(EARLIER, train={"negative_rate": 0.3}))
    assert begun == ["train"] * 3
    with pytest.raises(TablesStale, match="for other settings than"):
        run.one("train", configured(EARLIER, train={"min_rows": 0}))


@pytest.mark.parametrize(("event", "lacking"), [("purchase", None), ("any", None), ("cart", "cart")])
def test_a_run_without_the_events_that_it_needs_ends_before_anything_is_made(
    spark: SparkSession, table: Make, configured: Configured, event: str, lacking: str | None
) -> None:
    asked = configured(LATER, population={"event": event})
    _events(table, "2024-03-01", "2024-05-01", "2024-08-01")
    if lacking is None:
        build_features.prepare(spark, asked, LATER)
    else:
        with pytest.raises(InsufficientData, match=f"holds no event of type {lacking}, only purchase"):
            build_features.prepare(spark, asked, LATER)
    views = tables.read(spark, EVENTS.name).withColumn("event", F.lit("view")).localCheckpoint()
    tables.overwrite(views, EVENTS.name)
    with pytest.raises(InsufficientData, match=r"holds no event of type (cart or )?purchase, only view"):
        build_features.prepare(spark, asked, LATER)
