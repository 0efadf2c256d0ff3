"""Numbers that Spark would not read are told, and read by the SQL that is offered."""

import pytest
from pyspark.sql import Row, SparkSession
from pyspark.sql import functions as F

from propensity_spark.ingest.numbers import expression, in_sql, no_numbers, remedy


@pytest.mark.parametrize(
    ("texts", "numbers"),
    [
        (["12,50", "7", "-3,5"], [12.5, 7, -3.5]),
        (["12,50", "1.762,60"], [12.5, 1762.6]),
        (["1,234.50", "12.50"], [1234.5, 12.5]),
        (["1,234,567.5", "1,234"], [1234567.5, 1234]),
        (["€ 12.50", "7.00 €"], [12.5, 7]),
        (["12,50 EUR", "1.234,50 EUR"], [12.5, 1234.5]),
        (["$1,234.50", "£2"], [1234.5, 2]),
    ],
)
@pytest.mark.parametrize("column", ["Preis", "Stück preis"])
def test_the_sql_that_is_offered_reads_the_numbers(
    spark: SparkSession, column: str, texts: list[str], numbers: list[float]
) -> None:
    odd = no_numbers(texts)
    assert odd
    rows = spark.createDataFrame([Row(**{column: text}) for text in texts])
    read = rows.select(F.expr(expression(column, odd)).cast("double").alias("number")).collect()
    assert [row.number for row in read] == numbers


def test_only_what_spark_would_not_read_is_odd() -> None:
    assert no_numbers(["12.5", "", " ", "1e3", " 7 ", "-0.5"]) == []
    assert no_numbers(["12,5", "1_000", "n/a"]) == ["12,5", "1_000", "n/a"]


def test_the_remedy_shows_a_number_and_the_sql_or_says_that_there_is_none() -> None:
    assert remedy("price", "cost", ["1.762,60 €"]) == (
        "write 1762.60 for 1.762,60 €, or map price: "
        "\"= replace(replace(regexp_replace(cost, '[^0-9.,-]', ''), '.', ''), ',', '.')\""
    )
    assert remedy("price", "cost", ["n/a"]) == "say by an expression how price is meant, or leave it out"
    assert (in_sql("unit_price"), in_sql("Unit price"), in_sql("Stück")) == ("unit_price", "`Unit price`", "`Stück`")
