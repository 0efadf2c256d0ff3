"""What groups of features bring is found by the procedure that training rehearses: the same rows, fits and figures."""

from datetime import date

import pytest
from pyspark.sql import Row, SparkSession
from pyspark.sql import functions as F

from propensity_spark import tables
from propensity_spark.config import FEATURE_GROUPS, Config
from propensity_spark.pipeline import build_features, groups, run
from propensity_spark.progress import Progress
from propensity_spark.schemas import FEATURE_GAINS
from propensity_spark.trainset.assemble import inputs

pytestmark = pytest.mark.fit  # on the shop that all tests of the pipeline share


@pytest.fixture(scope="module")
def as_of(spark: SparkSession, whole_shop: Config) -> date:
    tables.attach(spark, whole_shop.storage)
    scored: date = tables.read(spark, "gold.propensity").agg(F.max("as_of")).collect()[0][0]
    return scored


@pytest.fixture(scope="module")
def found(spark: SparkSession, whole_shop: Config, as_of: date) -> dict[str, Row]:
    """The written rows, of three sets only."""
    every = groups.sets
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(groups, "sets", lambda features: {n: f for n, f in every(features).items() if n in ("first", "gaps", "all")})
        groups.run(spark, whole_shop, as_of, Progress())
    return {row["feature_set"]: row for row in tables.read(spark, FEATURE_GAINS.name).collect()}


def test_all_features_reach_what_training_reached_with_them(spark: SparkSession, as_of: date, found: dict[str, Row]) -> None:
    assert list(found) == ["first", "first + gaps", "all"]
    told = tables.read(spark, "gold.metrics", "period = 'test' AND scorer = 'lightgbm'").collect()
    reached = {row["metric"]: row["value"] for row in told}
    row, day = found["all"], told[0]["as_of"]
    pairs = tables.read(spark, "trainset.candidates", f"as_of = DATE'{day}'").count()
    close = 1e-6 if pairs == reached["rows"] else 0.01  # training judges no machine's pairs: a simulated shop has no truth for them
    for name in ("pr_auc", "log_loss", "roc_auc", "ece"):  # lists are ordered by the champion alone here, without a ranker
        # training parts cells of nearly equal scores at its thresholds, which unties pairs
        tied = 2e-4 if name in ("pr_auc", "roc_auc") else 0.0
        assert row[name] == pytest.approx(reached[name], rel=max(close, tied)), name
        assert row[name] != found["first"][name], name
    assert (row["as_of"], row["test_as_of"]) == (as_of, day)


def test_gains_are_against_the_first_set_and_lie_in_their_intervals(found: dict[str, Row]) -> None:
    first = found["first"]
    assert (first["pr_auc_gain"], first["ndcg_gain"], first["pr_auc_gain_low"]) == (None, None, None)
    for row in (found["first + gaps"], found["all"]):
        for gain, reached in (("pr_auc_gain", "pr_auc"), ("ndcg_gain", "ndcg_at_10")):
            assert row[gain] == pytest.approx(row[reached] - first[reached])
            assert row[f"{gain}_low"] < row[gain] < row[f"{gain}_high"]
    assert first["features"] < found["first + gaps"]["features"] < found["all"]["features"]


def test_the_report_shows_it_where_it_stands(spark: SparkSession, whole_shop: Config, found: dict[str, Row]) -> None:
    run.one("report", whole_shop)
    page = whole_shop.storage.report_path(whole_shop.shop.name).read_text(encoding="utf-8")
    section = page.split("What each feature group brings")[1].split("<h2>")[0]
    assert "first + gaps" in section
    assert f"{found['all']['pr_auc_gain']:+.4f}" in section


def test_sets_are_the_first_each_group_that_adds_something_and_all(spark: SparkSession, whole_shop: Config) -> None:
    features = inputs(build_features.prepare(spark, whole_shop, date(2024, 4, 10)).features)
    made = groups.sets(features)
    assert list(made) == ["first", *FEATURE_GROUPS, "series", "all"]
    assert made["all"] == features
    assert {f.group for f in made["first"]} == {"first"}
    assert {f.group for f in made["prices"]} == {"first", "prices"}
    bare = [f for f in features if f.group != "segment"]
    assert "segment" not in groups.sets(bare)


def test_the_printed_table_says_unknown_and_leaves_no_gain_out() -> None:
    day = date(2024, 4, 1)
    lines = groups.told(
        [
            (day, day, 0, "first", 9, 0.1, 0.2, 0.3, None, 0.5, 0.6, None, None, None, None, None, None, 1.0, "v"),
            (day, day, 1, "first + gaps", 12, 0.2, 0.2, 0.3, 0.4, 0.5, 0.6, 0.1, 0.05, 0.15, -0.01, -0.02, 0.01, 1.0, "v"),
        ]
    ).splitlines()
    assert "unknown" in lines[1]
    assert lines[2].endswith("+0.1000 [+0.0500, +0.1500]   -0.0100 [-0.0200, +0.0100]")
