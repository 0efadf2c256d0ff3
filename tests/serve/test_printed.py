"""What a query answers is read by people: few digits, numbers under numbers, null and cut ends said."""

import pytest
from pyspark.sql import SparkSession

from propensity_spark.serve.printed import cell, printed


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.05162345678901, "0.0516235"),
        (-0.5, "-0.5"),
        (0.0000123456789, "1.23457e-05"),
        (0.0, "0.0"),
        (1.0, "1.0"),
        (1234567.891234, "1234567.8912"),
        (float("inf"), "inf"),
        (float("nan"), "nan"),
        (None, "NULL"),
        (12345678901, "12345678901"),
        ("a", "a"),
    ],
)
def test_a_number_has_the_digits_that_a_person_reads(value: object, shown: str) -> None:
    assert cell(value) == shown


def test_an_answer_is_boxed_with_numbers_to_the_right(spark: SparkSession) -> None:
    query = """SELECT * FROM VALUES ('u1', 7, 0.123456789D, DATE'2024-03-01'), ('user 2', 10, NULL, NULL)
        AS t(user_id, rank, propensity, as_of)"""
    assert printed(spark.sql(query), 2).splitlines() == [
        "+-------+----+----------+----------+",
        "|user_id|rank|propensity|as_of     |",
        "+-------+----+----------+----------+",
        "|u1     |   7|  0.123457|2024-03-01|",
        "|user 2 |  10|      NULL|NULL      |",
        "+-------+----+----------+----------+",
    ]


def test_what_is_not_shown_is_said(spark: SparkSession) -> None:
    assert "shown" not in printed(spark.range(3), 3)
    lines = printed(spark.range(4), 3).splitlines()
    assert lines[-1] == "only the first 3 rows are shown: --rows shows more"
    assert [line for line in lines if line.startswith("|") and "id" not in line] == ["| 0|", "| 1|", "| 2|"]


def test_columns_of_one_name_and_times_and_lists_are_shown_as_spark_says_them(spark: SparkSession) -> None:
    frame = spark.sql("SELECT 1 AS a, 2 AS a, TIMESTAMP'2024-03-01 12:00:00' AS at, array(1, 2) AS l, true AS yes, 1.50 AS money")
    assert printed(frame, 1).splitlines()[3] == "|1|2|2024-03-01 12:00:00|[1, 2]|true| 1.50|"


def test_an_answer_without_rows_has_its_header(spark: SparkSession) -> None:
    assert printed(spark.range(0), 5).splitlines() == ["+--+", "|id|", "+--+", "+--+"]
