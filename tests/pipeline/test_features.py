"""`propensity features`: each declared feature equals its SQL over silver, and the tables keep what their columns mean."""

import re
from collections.abc import Callable

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from propensity_spark import cli, tables
from propensity_spark.config import Config
from propensity_spark.errors import DefinitionChanged
from propensity_spark.features import equivalent, lineage
from propensity_spark.features.categories import told_by
from propensity_spark.features.definitions import feature_set
from propensity_spark.features.spec import KEYS, ROW, FeatureSet
from propensity_spark.pipeline import build_features, features
from propensity_spark.trainset.assemble import assemble

pytestmark = pytest.mark.fit  # on the shop that all tests of the pipeline share
_CLOSE = 1e-5  # FLOAT columns, summed in another order


@pytest.fixture(scope="module")
def declared(spark: SparkSession, whole_shop: Config) -> FeatureSet:
    tables.attach(spark, whole_shop.storage)
    logged = frozenset(row["event"] for row in tables.read(spark, "silver.events").select("event").distinct().collect())
    return feature_set(whole_shop.features, logged, whole_shop.candidates.popular_days, whole_shop.shop.time_zone)


def _differing(one: DataFrame, other: DataFrame, keys: tuple[str, ...], names: tuple[str, ...]) -> dict[str, int]:
    """Rows per column that differ, and under "" those that one side lacks."""
    left = one.select(*keys, F.struct(*names).alias("one"))
    right = other.select(*keys, F.struct(*names).alias("other"))
    both = left.join(right, on=list(keys), how="full") if keys else left.crossJoin(right)
    lacks = F.col("one").isNull() | F.col("other").isNull()
    counted = [F.count_if(lacks).alias("_lacks")]
    for name in names:
        a, b = F.col(f"one.{name}").cast("double"), F.col(f"other.{name}").cast("double")
        far = F.abs(a - b) > _CLOSE * F.greatest(F.abs(a), F.abs(b), F.lit(1e-3))
        counted.append(F.count_if(~lacks & (F.coalesce(far, F.lit(False)) | (a.isNull() != b.isNull()))).alias(name))
    row = both.agg(*counted).collect()[0]
    return {name.removeprefix("_lacks"): n for name, n in row.asDict().items() if n}


@pytest.mark.parametrize("entity", KEYS)
def test_a_feature_equals_its_sql(spark: SparkSession, whole_shop: Config, declared: FeatureSet, entity: str) -> None:
    names = tuple(feature.name for feature in declared.of(entity))
    table = tables.read(spark, f"features.{entity}")
    as_of = table.agg(F.max("as_of")).collect()[0][0]
    written = table.where(F.col("as_of") == F.lit(as_of))
    told = spark.sql(equivalent.query(declared, names, as_of, whole_shop.shop.time_zone, told_by(whole_shop)))
    assert written.count() > 0
    assert _differing(told, written, KEYS[entity], names) == {}


def test_a_joined_feature_equals_its_sql(spark: SparkSession, whole_shop: Config, declared: FeatureSet) -> None:
    names = tuple(feature.name for feature in declared.row)
    rows = tables.read(spark, "trainset.candidates")
    as_of = rows.agg(F.max("as_of")).collect()[0][0]
    made = {entity: tables.read(spark, f"features.{entity}") for entity in KEYS}
    products = build_features.products_at(spark, build_features.prepare(spark, whole_shop, as_of), [as_of])
    joined = assemble(rows.where(F.col("as_of") == F.lit(as_of)), {**made, "products": products}, declared)
    told = spark.sql(equivalent.query(declared, names, as_of, whole_shop.shop.time_zone, told_by(whole_shop)))
    assert _differing(told, joined, ("user_id", "product_id"), names) == {}


def test_the_command_lists_describes_and_compares(
    shop_file: str, declared: FeatureSet, capsys: pytest.CaptureFixture[str], spark: SparkSession
) -> None:
    def said(*arguments: str) -> str:
        assert cli.main(["features", *arguments, "--config", str(shop_file)]) == 0
        return capsys.readouterr().out

    listed = said("list")
    assert all(f"  {name} " in listed for name in declared.columns)
    described = said("describe", "user_views_28", "--as-of", "2024-04-10")
    assert "views by this user in the last 28 days" in described
    assert "unit count, version 2.1" in described
    spark.sql(described[described.index("WITH ") :]).collect()  # what is printed can be run
    assert said("diff").strip() == "0 added, 0 removed, 0 changed"
    changed = said("diff", "--set", "features.half_life_days=9")
    assert "~ pair_orders_decayed 2.1 -> 2.1  REFUSED: the version must rise" in changed
    assert "0 added, 0 removed, 8 changed" in changed
    assert "further groups (features.groups): none." in listed
    assert re.search(r"  user_late +3\.1 +gaps +ratio ", listed)
    fewer = said("list", "--set", "features.groups=[prices]", "--set", "features.segment_by=")
    assert "further groups (features.groups): gaps, sessions," in fewer
    assert "user_late" not in fewer
    assert "group together_recent" in said("describe", "together_recent")


def test_a_mistyped_name_is_told_in_one_line(shop_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["features", "describe", "user_view_28", "--config", str(shop_file)]) == 2
    assert cli.main(["features", "describe", "--config", str(shop_file)]) == 2
    assert cli.main(["features", "list", "user_views_28", "--config", str(shop_file)]) == 2
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 3
    assert "user_views_28" in told[0]


def test_definitions_are_kept_once_and_another_meaning_is_refused(
    spark: SparkSession, configured: Callable[..., Config], whole_shop: Config
) -> None:
    tables.attach(spark, whole_shop.storage)
    now, other = features.declared_by(configured()), features.declared_by(configured("features.half_life_days=9"))
    before = tables.version(spark, "features.definitions")
    features.keep_definitions(spark, now)
    with pytest.raises(DefinitionChanged, match="8 feature"):
        features.keep_definitions(spark, other)
    assert tables.version(spark, "features.definitions") == before, "neither wrote anything"
    kept = tables.read(spark, "features.definitions")
    assert kept.count() == len(lineage.definitions(now)) == kept.dropDuplicates(["entity", "name", "version"]).count()
    assert ROW in {row["entity"] for row in kept.select("entity").distinct().collect()}
