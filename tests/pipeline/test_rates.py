"""In a small shop more of what was not bought teaches: how much more, and that probabilities stay exact."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from propensity_spark import tables
from propensity_spark.config import Config
from propensity_spark.loading import from_mapping
from propensity_spark.models.fast import Scorer
from propensity_spark.pipeline import build_features, learning, rates, rows
from propensity_spark.pipeline.build_features import Moment
from propensity_spark.pipeline.parts import bounded
from propensity_spark.progress import Progress
from propensity_spark.schemas import CANDIDATES, EVENTS
from propensity_spark.trainset.split import Procedure, Timeline

Make = Callable[..., DataFrame]
OLD, NEW, TESTED, SCORED = (date(2024, 4, 1) + n * timedelta(days=28) for n in range(4))
TIMELINE = Timeline(Procedure((OLD, NEW), TESTED), Procedure((OLD, NEW), TESTED), 28, False)
FEATURES: Any = None


def _event(user: str, product: str, day: date, event: str = "purchase", is_bot: bool = False) -> dict[str, object]:
    at = f"{day} 12:00:00"
    told = {"event_id": f"{user}{product}{day}", "user_id": user, "product_id": product, "event": event, "is_bot": is_bot}
    return {**told, "event_ts": at, "known_ts": at, "event_date": f"{day}"}


@pytest.fixture
def events(table: Make, warehouse: Path) -> None:
    """Two users in the population of NEW, and three products that anybody had to do with by then."""
    before = NEW - timedelta(days=1)
    said = [
        _event("ann", "tea", before),
        _event("bob", "tea", OLD),
        _event("bob", "jam", before, "view"),
        _event("cat", "mug", before, "view"),  # she never bought
        _event("dan", "pan", NEW),  # of that day: not known yet
        _event("eve", "tea", before - timedelta(days=200)),  # too long ago
        _event("bot", "pot", before, is_bot=True),
    ]
    tables.overwrite(table(EVENTS.ddl, *(tuple(row.get(name) for name in EVENTS.columns) for row in said)), EVENTS.name)


def test_negatives_are_kept_as_long_as_a_fit_has_fewer_rows_than_wanted(spark: SparkSession, events: None) -> None:
    """Two users, three products and two dates: twelve pairs."""
    cases = (
        (0.5, 6, 0.0),  # so many are kept anyhow
        (0.5, 7, 0.583),
        (0.5, 12, 1.0),
        (0.5, 10**6, 1.0),
        (0.5, 0, 0.0),
        (1.0, 10**6, 0.0),
        (0.5, 2, 0.0),  # users alone are enough
    )
    for rate, min_rows, least in cases:
        config = from_mapping({"train": {"negative_rate": rate, "min_rows": min_rows}})
        assert rates.least_rate(spark, config, TIMELINE) == least, (rate, min_rows)


def test_what_is_counted_is_what_can_be_a_pair(spark: SparkSession, events: None) -> None:
    def least(timeline: Timeline = TIMELINE, **sections: object) -> float:
        return rates.least_rate(spark, from_mapping({"train": {"negative_rate": 0.1, "min_rows": 3}, **sections}), timeline)

    assert least() == 0.25
    assert least(population={"where": "user_id = 'ann'"}) == 0.5
    assert least(candidates={"touched": 1, "popular": 1, "together": 0, "als": 0, "affinity": 0, "due": 0}) == 0.375, "two a user"
    few = {"touched": 1000, "popular": 0, "together": 0, "als": 0, "affinity": 0, "due": 0}
    assert least(candidates=few) == 0.375, "five pairs of four users had been touched: two a user, rounded up"
    one = Procedure((NEW,), TESTED)
    assert least(replace(TIMELINE, rehearsal=one)) == 0.5, "of the procedure with fewer dates"


@pytest.fixture
def labelled(spark: SparkSession) -> DataFrame:
    """Of 4000 pairs a date, a twentieth bought."""
    pairs = spark.range(4000).select(
        F.format_string("u%04d", "id").alias("user_id"), (F.col("id") % 20 == 0).cast("int").alias("label")
    )
    days = spark.createDataFrame([(day,) for day in (OLD, NEW, SCORED)], "as_of DATE")
    whole = pairs.crossJoin(days).select("*", F.lit("p").alias("product_id"), F.lit("touched").alias("candidate_source"))
    given = {*whole.columns, "weight"}
    others = [
        F.lit(None).cast(f.dataType).alias(f.name) for f in spark.createDataFrame([], CANDIDATES.ddl).schema if f.name not in given
    ]
    return whole.select("*", F.lit(1.0).alias("weight"), *others).select(*CANDIDATES.columns)


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch, table: Make, warehouse: Path, labelled: DataFrame) -> Callable[[Config, Moment], None]:
    """written(config, moment): the candidates as build-features writes them, of these labelled pairs."""
    bought = table("as_of DATE, product_id STRING, product_buyers_recent FLOAT", (f"{OLD}", "p", 1.0), (f"{NEW}", "p", 1.0))
    tables.replace(bought.withColumn("feature_version", F.lit("v")), "features.product", "true")
    for name in ("population", "products_at", "candidates"):
        monkeypatch.setattr(build_features, name, lambda *_: None)
    monkeypatch.setattr(build_features.candidate_scores, "learning", lambda *_: None)
    monkeypatch.setattr(build_features.eligible, "users", lambda *_: None)
    monkeypatch.setattr(build_features.eligible, "excluded", lambda *_: None)
    monkeypatch.setattr(build_features.collaborative, "history", lambda *_: None)
    monkeypatch.setattr(build_features, "attach_labels", lambda *_: labelled)
    read = tables.read
    absent = SimpleNamespace(select=lambda *_: None)
    monkeypatch.setattr(tables, "read", lambda spark, name, *where: absent if name in _NOT_HERE else read(spark, name, *where))

    def write(config: Config, moment: Moment) -> None:
        spark: Any = labelled.sparkSession
        build_features._write_candidates(spark, config, moment, labelled, "note", Progress(quiet=True))

    return write


_NOT_HERE = ("features.pair", "features.user_category", "features.user")


@pytest.mark.parametrize(
    ("by", "least", "rate"), [("uniform", 0.5, 0.5), ("uniform", 1.0, 1.0), ("uniform", 0.0, 0.1), ("exposure", 0.4, 0.4)]
)
def test_with_more_negatives_probabilities_are_those_of_all_pairs(
    spark: SparkSession,
    written: Callable[[Config, Moment], None],
    capsys: pytest.CaptureFixture[str],
    by: str,
    least: float,
    rate: float,
) -> None:
    """A model that knows nothing says how many of its rows were bought; corrected, how many of all pairs were."""
    timeline = Timeline(Procedure((OLD, NEW), SCORED), Procedure((OLD,), SCORED), 28, True)
    moment = Moment(timeline, FEATURES, least_rate=least)
    asked = from_mapping(
        {
            "train": {"negative_rate": 0.1, "negatives": {"by": by, "favour": 2.0}},
            "models": {"families": ["logistic"], "champion": "logistic"},
        }
    )
    written(asked, moment)
    learnt = tables.read(spark, CANDIDATES.name, build_features.on_dates([OLD, NEW]))
    expected = min(1.0, rate if by == "uniform" else 2 * rate)
    assert learnt.where("label = 0").count() == pytest.approx(2 * 3800 * expected, rel=0.1)
    assert tables.read(spark, CANDIDATES.name, build_features.on_dates([SCORED])).count() == 4000, "all that is scored"
    config = bounded(spark, asked, moment, Progress(), ["logistic"])
    assert config.train.negative_rate == rate
    said = f"  negatives       {rate:g} of what was not bought teaches, not 0.1: train.min_rows is 200,000\n"
    assert capsys.readouterr().err == (said if least else "")
    taught = rows._thin(learnt, tables.read(spark, "features.product"), config.train)
    weighted = rows.sampling.as_if_uniform(taught, config.train.negative_rate)
    mean = weighted.agg(F.sum(F.col("label") * F.col("learn_weight")) / F.sum("learn_weight")).collect()[0][0]
    task = learning.task_of(config, config.models, Scorer("logistic", (), (), ""), 1.0)
    corrected = spark.range(1).select(task.corrected.apply(F.lit(mean))).collect()[0][0]
    assert corrected == pytest.approx(0.05, rel=0.08)
    assert taught.agg(F.sum("weight")).collect()[0][0] == pytest.approx(8000, rel=0.08)
