"""Scored rows carry what their calibration reads, or it is said what is missing; and views are made of them."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from types import SimpleNamespace

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from propensity_spark import tables
from propensity_spark.errors import PropensityError
from propensity_spark.judge.calibrator import PROBABILITY, Calibrator
from propensity_spark.loading import from_mapping
from propensity_spark.pipeline import candidate_scores, cold_start, score
from propensity_spark.pipeline.build_features import Moment
from propensity_spark.progress import Progress
from propensity_spark.schemas import COLD_START, COLD_USERS, TABLES
from propensity_spark.serve import views
from propensity_spark.serve.bundle import Bundle

PLAIN = Calibrator(kind=PROBABILITY, method="none")
DAY = date(2024, 4, 1)


def _bundle(**calibrators: Calibrator) -> Bundle:
    parts = {"shop": "s", "as_of": DAY, "horizon_days": 28, "champion": "logistic", "feature_version": "v"}
    return Bundle(**parts, scorers={}, calibrators=calibrators, versions={})


def test_scoring_makes_the_views_of_the_tables_that_there_are(
    spark: SparkSession, warehouse: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = from_mapping({"score": {"top_products": 1}}), Moment(None, None), Progress(quiet=True)  # type: ignore[arg-type]

    def write(*names: str) -> Callable[..., None]:
        def one_row_each(*_: object) -> None:
            for name in names:
                given = {"as_of": F.lit(DAY), "rank": F.lit(1), "user_id": F.lit("ann")}
                columns = [(given.get(c.name, F.lit(None)).cast(c.dataType)).alias(c.name) for c in TABLES[name].struct()]
                tables.overwrite(spark.range(1).select(*columns), name)

        return one_row_each

    monkeypatch.setattr(score, "_score", write("gold.propensity", "silver.products"))
    monkeypatch.setattr(cold_start, "run", write())
    score.run(spark, *asked)
    assert [spark.table(view).count() for view in (views.LATEST, views.TOP)] == [1, 1]
    assert not spark.catalog.tableExists(views.ANY), "nothing is said of users without scores"
    monkeypatch.setattr(cold_start, "run", write(COLD_START.name, COLD_USERS.name))
    score.run(spark, *asked)
    assert spark.table(views.ANY).count() == 1


def test_a_run_calibrated_by_what_is_made_no_longer_says_so(table: Callable[..., DataFrame]) -> None:
    pairs, config = table("user_id STRING, pair_orders DOUBLE", ("u", 1.0)), from_mapping({})
    by_exists, by_segment = (replace(PLAIN, by=by, offsets=(("x", 0.1),)) for by in ("exists", "segment"))
    for champion, reads in ((PLAIN, ()), (by_exists, ("pair_orders",))):
        assert score._keyed(config, pairs, DAY, _bundle(logistic=champion)) is pairs
        assert _bundle(logistic=champion).reads == reads
    with pytest.raises(PropensityError, match="calibrated by segment, which these settings do not make; train again"):
        score._keyed(config, pairs, DAY, _bundle(logistic=PLAIN, lightgbm=by_segment))


def test_a_run_of_candidates_that_were_made_otherwise_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its models read numbers of another meaning."""
    config, declared = from_mapping({}), SimpleNamespace(version="v", candidate=())
    moment = Moment(SimpleNamespace(as_of=DAY), declared)  # type: ignore[arg-type]
    made = candidate_scores.version(config, declared)  # type: ignore[arg-type]

    def of_dates(*_: object) -> None:
        raise AssertionError("rows are read")

    monkeypatch.setattr(score.rows, "of_dates", of_dates)
    for known, changed, refused in (
        (made, {}, False), ("", {"products": 9}, False), (made, {"exclude": "x"}, False),
        (made, {"products": 9}, True), (made, {"history": 9}, True), (made, {"together": 0, "als": 0, "affinity": 0}, True),
        (made, {"als": 0}, False), (made, {"together_days": 9}, True),
    ):  # fmt: skip
        trained = SimpleNamespace(run_id="r", bundle=replace(_bundle(), candidate_version=known))
        monkeypatch.setattr(score.registry, "latest", lambda *_, told=trained: told)
        asked = (None, from_mapping({"candidates": changed}), moment, Progress(quiet=True))
        with pytest.raises(PropensityError if refused else AssertionError, match=r"run r was .* other settings|rows are read"):
            score._score(*asked)  # type: ignore[arg-type]
    assert made != candidate_scores.version(from_mapping({"train": {"seed": 3}}), declared)  # type: ignore[arg-type]
    assert Bundle.from_json(replace(_bundle(), candidate_version=made).to_json()).candidate_version == made
