"""What analysts query: views over the score table, and SQL for the terminal."""

from pyspark.errors import AnalysisException
from pyspark.sql import DataFrame, SparkSession

from propensity_spark import tables
from propensity_spark.errors import QueryError

LATEST = "gold.propensity_latest"
TOP = "gold.top_products"


def create(spark: SparkSession, top_products: int) -> None:
    """(Re)make gold.propensity_latest (the newest as_of) and gold.top_products (its best rows per user, with names)."""
    if not tables.exists(spark, "gold.propensity"):
        return
    scores, products = tables.name(spark, "gold.propensity"), tables.name(spark, "silver.products")
    latest, top = tables.name(spark, LATEST), tables.name(spark, TOP)
    spark.sql(f"CREATE OR REPLACE VIEW {latest} AS SELECT * FROM {scores} WHERE as_of = (SELECT max(as_of) FROM {scores})")
    spark.sql(
        f"CREATE OR REPLACE VIEW {top} AS SELECT s.*, p.name, p.category, p.price FROM {latest} s "
        f"LEFT JOIN {products} p ON s.product_id = p.product_id WHERE s.rank <= {top_products}"
    )


def query(spark: SparkSession, sql: str) -> DataFrame:
    """Any SQL over the shop's tables and views.

    Raises QueryError where Spark cannot make sense of it, with the names that are there where one is not.
    """
    try:
        return spark.sql(sql)
    except AnalysisException as problem:
        said = str(problem).split(";")[0].splitlines()
        first = next(line for line in said if line.strip())
        raise QueryError(f"{first.strip()}{_what_is_there(spark) if 'NOT_FOUND' in first else ''}") from None


def _what_is_there(spark: SparkSession) -> str:
    listed = (table for schema in tables.SCHEMAS for table in spark.catalog.listTables(tables.name(spark, schema)))
    found = sorted(f"{table.namespace[-1]}.{table.name}" for table in listed if table.namespace and not table.isTemporary)
    return f" There are {', '.join(found)}." if found else " There are no tables yet: `propensity run` makes them."
