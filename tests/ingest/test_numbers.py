"""Numbers that Spark would not read are told, and read by the SQL that is offered, where they prove how they are meant."""

import pytest
from pyspark.sql import Row, SparkSession
from pyspark.sql import functions as F

from propensity_spark.ingest.numbers import expression, in_sql, no_numbers, remedy


@pytest.mark.parametrize(
    ("texts", "numbers"),
    [
        (["12,50", "7", "-3,5"], [12.5, 7, -3.5]),
        (["12,50", "1.762,60", "1.762"], [12.5, 1762.6, 1762]),
        (["1,234.50", "12.50", "999"], [1234.5, 12.5, 999]),
        (["12.50", "1,299", "999.99"], [12.5, 1299, 999.99]),
        (["1,234,567", "1,234"], [1234567, 1234]),
        (["0,125", "1,5"], [0.125, 1.5]),
        (["€ 12.50", "7.00 €", "9"], [12.5, 7, 9]),
        (["12,50 €", "1.234 €"], [12.5, 1234]),
        (["12,50 EUR", "-1.234,50 EUR"], [12.5, -1234.5]),
        (["$1,234.50", "$2"], [1234.5, 2]),
        (["Rs. 500", "Rs. 1,250.00"], [500, 1250]),
        (["Rs.500", "Rs.1,250.00", "Rs. 12"], [500, 1250, 12]),
        (["1’234.50", "1 234.5", "1\u00a0234.25"], [1234.5, 1234.5, 1234.25]),
        (["12,50\u00a0€", "3 €", "€ 4,20"], [12.5, 3, 4.2]),
        ([".99", "1,234.50", "12.50"], [0.99, 1234.5, 12.5]),
        (["$.99", "$12.50"], [0.99, 12.5]),
        (["-$5.00", "$-5.00", "$12.50"], [-5, -5, 12.5]),
        (["−12,50", "kr −5,00", "kr 3"], [-12.5, -5, 3]),
        (["US$ 1,234.50", "2.00"], [1234.5, 2]),
        (["5 pcs", "12"], [5, 12]),
        (["12,50", "n/a"], [12.5, None]),
    ],
)
@pytest.mark.parametrize("column", ["Preis", "Stück preis"])
def test_the_sql_that_is_offered_reads_the_numbers(
    spark: SparkSession, column: str, texts: list[str], numbers: list[float | None]
) -> None:
    rows = spark.createDataFrame([Row(**{column: text}) for text in texts])
    read = rows.select(F.expr(expression(column, texts)).cast("double").alias("number")).collect()
    assert [row.number for row in read] == numbers


@pytest.mark.parametrize(
    ("texts", "later"),
    [
        (["$1.99", "$12.50"], ["($5.00)", "$5.00-", "$1.5k", "€3", "12,50"]),
        (["12,50", "3"], ["12,50 €", "1 200,00", "(3,00)", "1.200,00"]),
    ],
)
def test_what_is_written_in_yet_another_way_stays_no_number(spark: SparkSession, texts: list[str], later: list[str]) -> None:
    rows = spark.createDataFrame([Row(price=text) for text in later])
    read = rows.select(F.expr(expression("price", texts)).cast("double").alias("number")).collect()
    assert [row.number for row in read] == [None] * len(later)


@pytest.mark.parametrize(
    "texts",
    [
        ["12.50", "7"],  # Spark reads them
        ["5", "1,200", "12"],  # a thousand and two hundred, or one and a fifth?
        ["12.50", "12,50"],  # each proves another
        ["(12,50)"],  # a debt
        ["12,50-"],
        ["1,5e3"],
        ["99p", "£1.20"],  # pence and pounds
        ["500 g", "1 kg"],
        ["12.50 CR", "3.00"],  # a credit, perhaps
        ["12,-", "3,50"],
        ["12/50"],
        ["n/a"],
        [],
    ],
)
def test_no_sql_is_offered_where_the_values_do_not_say_how_they_are_meant(texts: list[str]) -> None:
    assert expression("price", texts) == ""


def test_only_what_spark_would_not_read_is_odd() -> None:
    assert no_numbers(["12.5", "", " ", "1e3", " 7 ", "-0.5"]) == []
    assert no_numbers(["12,5", "1_000", "n/a"]) == ["12,5", "1_000", "n/a"]


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (["1.762,60", "12"], "write 1762.60 for 1.762,60, or map price: \"= replace(replace(cost, '.', ''), ',', '.')\""),
        (["1,234", "1,234.50"], "write 1234 for 1,234, or map price: \"= replace(cost, ',', '')\""),
        (["NULL", "2.50"], "map price: \"= nullif(cost, 'NULL')\""),
        (
            ["1,200"],
            "map price: \"= replace(cost, ',', '')\" where the comma parts thousands, "
            "\"= replace(cost, ',', '.')\" where it parts decimals",
        ),
        (["1,200", "NULL"], "say by an expression how price is meant, or leave it out"),
        (["n/a", "-"], "say by an expression how price is meant, or leave it out"),
    ],
)
def test_the_remedy_is_what_the_values_call_for(values: list[str], told: str) -> None:
    assert remedy("price", "cost", values) == told


def test_names_are_quoted_where_sql_asks_for_it() -> None:
    assert (in_sql("unit_price"), in_sql("Unit price"), in_sql("Stück")) == ("unit_price", "`Unit price`", "`Stück`")
