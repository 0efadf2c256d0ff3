"""What gold.propensity holds of a date, as the report and the demo show it."""

from datetime import date

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from propensity_spark import tables
from propensity_spark.schemas import PROPENSITY
from propensity_spark.serve.printed import cell

_SAMPLE = 10


def _of(spark: SparkSession, as_of: date) -> DataFrame:
    return tables.read(spark, PROPENSITY.name, f"as_of = DATE'{as_of}'")


def doubts(spark: SparkSession, as_of: date, run_id: str) -> tuple[str, ...]:
    """Where the scores of the date are not of the run that a page tells of: whose they are, and how to have this one's."""
    found = _of(spark, as_of).select("run_id").limit(1).collect()  # one run writes a date whole
    if found and found[0]["run_id"] == run_id:
        return ()
    there = f"the scores of {as_of} are of run {found[0]['run_id']}" if found else f"there are no scores of {as_of} yet"
    own = f"this page tells of run {run_id}, the newest that may score, which has yet to"
    return (f"{there}; {own}: `propensity score --as-of {as_of}`.",)


def best_of_one_user(spark: SparkSession, as_of: date, rows: int) -> DataFrame:
    """The best rows of the user with the highest propensity of the date, with the products' names.

    It is looked for at all ranks, since a list need not begin with its highest propensity.
    """
    scores = _of(spark, as_of)
    top = scores.orderBy(F.col("propensity").desc(), "user_id").limit(1).select("user_id")
    names = tables.read(spark, "silver.products").select("product_id", F.col("name").alias("product"))
    best = scores.where(f"rank <= {rows}").join(F.broadcast(top), on="user_id", how="left_semi")
    columns = ("user_id", "rank", "product_id", "product", "propensity", "expected_value", "candidate_source")
    return best.join(names, on="product_id", how="left").select(*columns).orderBy("rank")


def sample(spark: SparkSession, as_of: date, currency: str) -> tuple[tuple[str, ...], ...]:
    """A header and the ten best rows of one user, as texts; see `best_of_one_user`."""
    best = best_of_one_user(spark, as_of, _SAMPLE)
    header = tuple(f"{name}, {currency}" if currency and name == "expected_value" else name for name in best.columns)
    return (header, *(tuple("" if value is None else cell(value) for value in row) for row in best.collect()))
