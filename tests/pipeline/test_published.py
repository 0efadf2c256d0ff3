"""What a page shows of the scores of its date is theirs: whose they are is said where another run made them."""

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from pyspark.sql import DataFrame, SparkSession

from propensity_spark import tables
from propensity_spark.pipeline import published
from propensity_spark.schemas import PRODUCTS, PROPENSITY

AS_OF, NEXT = date(2024, 4, 1), date(2024, 4, 2)
Score = Callable[..., None]


@pytest.fixture
def score(spark: SparkSession, table: Callable[..., DataFrame], warehouse: Path) -> Score:
    """score(("ann", "mug", 1, 0.5), ...): gold.propensity of AS_OF by the run `older`, from user, product, rank, propensity."""

    def write(*rows: tuple[str, str, int, float]) -> None:
        same = {"as_of": f"{AS_OF}", "run_id": "older"}
        said = [same | dict(zip(("user_id", "product_id", "rank", "propensity"), row, strict=True)) for row in rows]
        made = table(PROPENSITY.ddl, *(tuple(row.get(column) for column in PROPENSITY.columns) for row in said))
        tables.replace(made, PROPENSITY.name, f"as_of = DATE'{AS_OF}'")
        tables.overwrite(table(PRODUCTS.ddl, ("mug", "Mug", None, None, None)), PRODUCTS.name)

    return write


def test_scores_of_another_run_than_the_pages_are_told_as_such(spark: SparkSession, score: Score) -> None:
    score(("ann", "mug", 1, 0.5))
    assert published.doubts(spark, AS_OF, "older") == ()
    assert published.doubts(spark, AS_OF, "newer") == (
        "the scores of 2024-04-01 are of run older; this page tells of run newer, the newest that may score, which has yet to: "
        "`propensity score --as-of 2024-04-01`.",
    )
    (note,) = published.doubts(spark, NEXT, "newer")
    assert note.startswith("there are no scores of 2024-04-02 yet; this page tells of run newer")


def test_the_highest_propensity_is_found_at_any_rank_and_of_equal_ones_the_first_users(spark: SparkSession, score: Score) -> None:
    score(("ann", "mug", 1, 0.3), ("cid", "mug", 1, 0.1), ("cid", "hat", 2, 0.4), ("bob", "mug", 1, 0.2), ("bob", "hat", 2, 0.4))
    best = [(row.user_id, row["rank"], row["product"]) for row in published.best_of_one_user(spark, AS_OF, 10).collect()]
    assert best == [("bob", 1, "Mug"), ("bob", 2, None)]


def test_a_low_propensity_is_shown_with_its_digits(spark: SparkSession, score: Score) -> None:
    score(("ann", "mug", 1, 0.0000123456789))
    header, row = published.sample(spark, AS_OF, "EUR")
    assert dict(zip(header, row, strict=True)) == {
        "user_id": "ann",
        "rank": "1",
        "product_id": "mug",
        "product": "Mug",
        "propensity": "1.23457e-05",
        "expected_value, EUR": "",
        "candidate_source": "",
    }
