"""A query that cannot be answered is told in one line, with what is there."""

from collections.abc import Callable
from pathlib import Path

import pytest
from pyspark.sql import DataFrame, SparkSession

from propensity_spark import tables
from propensity_spark.errors import QueryError
from propensity_spark.serve import views


def test_a_table_that_is_not_there_is_told_with_those_that_are(
    spark: SparkSession, table: Callable[..., DataFrame], warehouse: Path
) -> None:
    spark.range(1).createOrReplaceTempView("of_this_session_only")
    with pytest.raises(QueryError, match=r"gold.*top_products.*cannot be found.*no tables yet: `propensity run`"):
        views.query(spark, "SELECT * FROM gold.top_products")
    tables.overwrite(table("source STRING, step STRING, reason STRING, rows BIGINT", ("log", "received", "", 1)), "silver.intake")
    with pytest.raises(QueryError, match=r"There are silver\.intake\.$"):
        views.query(spark, "SELECT * FROM silver.intakes")


@pytest.mark.parametrize("sql", ["SELEC 1", "SELECT nothing", "SELECT 1 +"])
def test_a_query_that_makes_no_sense_is_told_in_one_line(spark: SparkSession, warehouse: Path, sql: str) -> None:
    with pytest.raises(QueryError) as told:
        views.query(spark, sql)
    assert "\n" not in str(told.value)
    assert 10 < len(str(told.value)) < 300


@pytest.mark.parametrize(
    ("sql", "why"),
    [
        ("SELECT 1 WHERE 1 = (SELECT id FROM range(3))", "SCALAR_SUBQUERY_TOO_MANY_ROWS"),
        ("SELECT element_at(array(1), 0)", "index 0 is invalid"),  # found before a task starts
        ("SELECT element_at(array(id), int(id * 0)) FROM range(3)", r"^\[INVALID_INDEX_OF_ZERO\] The index 0"),  # in a task
        ("SELECT date_format(current_date(), 'YYYY-MM')", "Fail to recognize 'YYYY-MM' pattern"),
    ],
)
def test_a_query_that_fails_while_it_runs_is_told_in_one_line(spark: SparkSession, warehouse: Path, sql: str, why: str) -> None:
    with pytest.raises(QueryError, match=why) as told:
        views.answer(spark, sql, 20)
    assert "\n" not in str(told.value)


def test_a_query_is_answered(spark: SparkSession, warehouse: Path) -> None:
    assert views.query(spark, "SELECT 1 + 1 AS two").collect()[0]["two"] == 2
    assert views.answer(spark, "SELECT 1 + 1 AS two", 20).splitlines() == ["+---+", "|two|", "+---+", "|  2|", "+---+"]


def test_who_only_reads_a_catalog_makes_no_view_anew(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    monkeypatch.setattr(views, "create", lambda _, top: made.append(top))
    for in_catalog, are_there, expected in ((True, True, []), (True, False, [5]), (False, True, [5])):
        made.clear()
        monkeypatch.setattr(tables, "in_catalog", lambda _, told=in_catalog: told)
        monkeypatch.setattr(tables, "exists", lambda _, __, told=are_there: told)
        views.ensure(spark, 5)
        assert made == expected
