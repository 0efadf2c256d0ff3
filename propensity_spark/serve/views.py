"""What analysts query: views over the score table, and SQL for the terminal."""

from collections.abc import Iterator
from contextlib import contextmanager

from py4j.protocol import Py4JJavaError
from pyspark.errors import AnalysisException, PySparkException
from pyspark.sql import DataFrame, SparkSession

from propensity_spark import tables
from propensity_spark.errors import QueryError
from propensity_spark.schemas import COLD_START, COLD_USERS
from propensity_spark.serve.printed import printed

LATEST = "gold.propensity_latest"
TOP = "gold.top_products"
ANY = "gold.propensity_any"
_ANY = """CREATE OR REPLACE VIEW {any} AS
SELECT as_of, user_id, product_id, horizon_days, propensity, rank, 'being known' AS given, 'history' AS why FROM {latest}
UNION ALL
SELECT u.as_of, u.user_id, c.product_id, c.horizon_days, c.propensity, c.rank, c.given, c.reason AS why
FROM {users} u JOIN {rates} c ON u.as_of = c.as_of AND u.history = c.history AND u.segment = c.segment
WHERE u.as_of = (SELECT max(as_of) FROM {scores}) AND NOT EXISTS (SELECT 1 FROM {latest} s WHERE s.user_id = u.user_id)"""


def create(spark: SparkSession, top_products: int) -> None:
    """Make anew gold.propensity_latest (the newest as_of), gold.top_products (its best rows per user, with names) and
    gold.propensity_any (its rows, and gold.cold_start's for every user known then who has none; why says which).
    """
    if not tables.exists(spark, "gold.propensity"):
        return
    scores, products = tables.name(spark, "gold.propensity"), tables.name(spark, "silver.products")
    latest, top = tables.name(spark, LATEST), tables.name(spark, TOP)
    spark.sql(f"CREATE OR REPLACE VIEW {latest} AS SELECT * FROM {scores} WHERE as_of = (SELECT max(as_of) FROM {scores})")
    spark.sql(
        f"CREATE OR REPLACE VIEW {top} AS SELECT s.*, p.name, p.category, p.price FROM {latest} s "
        f"LEFT JOIN {products} p ON s.product_id = p.product_id WHERE s.rank <= {top_products}"
    )
    if all(tables.exists(spark, table) for table in (COLD_START.name, COLD_USERS.name)):
        users, rates = tables.name(spark, COLD_USERS.name), tables.name(spark, COLD_START.name)
        spark.sql(_ANY.format(any=tables.name(spark, ANY), latest=latest, scores=scores, users=users, rates=rates))


def ensure(spark: SparkSession, top_products: int) -> None:
    """For who only reads: in a catalog, where views are everybody's, only what is not there is made; else as `create` does."""
    if not tables.in_catalog(spark) or not all(tables.exists(spark, view) for view in (LATEST, TOP)):
        create(spark, top_products)


def query(spark: SparkSession, sql: str) -> DataFrame:
    """Any SQL over the shop's tables and views.

    Raises QueryError where Spark cannot make sense of it, with the names that are there where one is not.
    """
    with _told(spark):
        return spark.sql(sql)


def answer(spark: SparkSession, sql: str, rows: int) -> str:
    """The first `rows` rows of what a query answers, as text.

    Raises QueryError as `query` does, and where the query fails while it runs: that shows when its rows are asked for.
    """
    found = query(spark, sql)
    with _told(spark):
        return printed(found, rows)


@contextmanager
def _told(spark: SparkSession) -> Iterator[None]:
    """What Spark finds wrong with a query is the user's to mend: a QueryError of one line."""
    try:
        yield
    except AnalysisException as problem:
        first = _first_line(str(problem).split(";")[0])
        raise QueryError(f"{first}{_what_is_there(spark) if 'NOT_FOUND' in first else ''}") from None
    except PySparkException as problem:
        raise QueryError(_first_line(str(problem))) from None
    except Py4JJavaError as problem:  # PySpark has no name for it
        raise QueryError(_first_line(_why(problem))) from None


def _why(problem: Py4JJavaError) -> str:
    """What the JVM says; of a job that was given up, what went wrong in its task."""
    thrown = problem.java_exception
    said = str(thrown.getMessage() or thrown)
    if said.startswith("Job aborted") and thrown.getCause() is not None:
        return str(thrown.getCause().getMessage() or thrown.getCause())
    return said


def _first_line(said: str) -> str:
    """The first line that says something, with the next one where it ends in a colon."""
    first, *rest = [line.strip() for line in said.splitlines() if line.strip()]
    return f"{first} {rest[0]}" if first.endswith(":") and rest else first


def _what_is_there(spark: SparkSession) -> str:
    listed = (row for schema in tables.SCHEMAS for row in spark.sql(f"SHOW TABLES IN {tables.name(spark, schema)}").collect())
    found = sorted(f"{row['namespace']}.{row['tableName']}" for row in listed if not row["isTemporary"])
    return f" There are {', '.join(found)}." if found else " There are no tables yet: `propensity run` makes them."
