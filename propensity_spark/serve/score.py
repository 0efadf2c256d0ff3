"""The product: calibrated probabilities of the champion, ranked within each user."""

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from propensity_spark.judge.order import RANKING
from propensity_spark.schemas import PROPENSITY
from propensity_spark.serve.registry import Run

KEEP = ("as_of", "user_id", "product_id", "candidate_source")


def propensities(scored: DataFrame, products: DataFrame, run: Run) -> DataFrame:
    """gold.propensity rows for the scored candidate rows of one as_of.

    Takes   as_of, user_id, product_id, candidate_source, the champion's raw score, what its calibration reads, and
            ranking_score; products (features.product of that as_of) with product_price, the mean price paid before as_of.
    Returns the contract of gold.propensity. Ranked by ranking_score, then by product_id.
    """
    bundle = run.bundle
    score, calibrator = F.col(bundle.scorers[bundle.champion].column), bundle.calibrators[bundle.champion]
    low, high = calibrator.ends(score, F.col("propensity"))
    priced = scored.join(_prices(products), on=["as_of", "product_id"], how="left")
    best_first = Window.partitionBy("as_of", "user_id").orderBy(F.col(RANKING).desc(), F.col("product_id").asc())
    return (
        priced.withColumn("propensity", calibrator.apply(score))
        .withColumns({"propensity_low": low, "propensity_high": high})
        .select(
            "as_of",
            "user_id",
            "product_id",
            F.lit(bundle.horizon_days).alias("horizon_days"),
            "propensity",
            "propensity_low",
            "propensity_high",
            RANKING,
            F.row_number().over(best_first).alias("rank"),
            (F.col("propensity") * F.col("_price")).alias("expected_value"),
            "candidate_source",
            _text(bundle.champion, "model_name"),
            _text(bundle.versions.get(bundle.champion, ""), "model_version"),
            _text(bundle.feature_version, "feature_version"),
            _text(run.run_id, "run_id"),
            F.current_timestamp().alias("scored_at"),
        )
        .select(*PROPENSITY.columns)
    )


def _prices(products: DataFrame) -> DataFrame:
    price = F.col("product_price").cast("double") if "product_price" in products.columns else F.lit(None).cast("double")
    return products.select("as_of", "product_id", price.alias("_price"))


def _text(value: str, name: str) -> Column:
    return F.lit(value).alias(name)
