"""Series as inputs of the models: the table against plain Python, the models that read it, and what may not be called alike."""

from collections.abc import Callable
from datetime import timedelta

import pandas as pd
import pytest
from pyspark.sql import SparkSession

from propensity_spark import tables
from propensity_spark.config import Config
from propensity_spark.errors import ConfigError
from propensity_spark.features.definitions import feature_set
from propensity_spark.features.series import declare
from propensity_spark.loading import from_mapping
from propensity_spark.pipeline import build_features, features
from propensity_spark.schemas import EVENT_TYPES
from propensity_spark.serve import registry

RAIN = {"values": ["wet = rain > 1"], "delay_days": 1}
COLUMNS = ["weather_warm", "weather_days_ago", "mailings_active"]


@pytest.fixture
def shop(spark: SparkSession, whole_shop: Config) -> Config:
    """The shop that was run, its tables attached: another test may have attached others."""
    tables.attach(spark, whole_shop.storage)
    return whole_shop


def _files(config: Config) -> dict[str, pd.DataFrame]:
    plan = config.series[1]
    paths = {"weather": config.series[0].path, "plan": plan.path, "members": plan.members.path}
    return {name: pd.read_csv(*path, dtype=str) for name, path in paths.items()}


@pytest.mark.fit
def test_the_table_says_what_the_files_said_by_then(spark: SparkSession, shop: Config) -> None:
    files = _files(shop)
    warm = {(r.day, r.region): float(r.warm) for r in files["weather"].itertuples()}
    members = set(files["members"].itertuples(index=False, name=None))
    regions = {r["user_id"]: (r["attributes"] or {}).get("region") for r in tables.read(spark, "silver.users").collect()}
    rows = tables.read(spark, "features.series").collect()
    users = tables.read(spark, "features.user")
    assert len(rows) == users.count()
    for row in rows:
        day = str(row["as_of"] - timedelta(days=2))  # yesterday is published at noon of as_of
        region = regions[row["user_id"]]  # None of users whom the shop's table does not list
        assert (row["weather_warm"], row["weather_days_ago"]) == ((warm[day, region], 2.0) if region else (None, None))
        on = [n for first, last, n in files["plan"].itertuples(index=False) if first <= str(row["as_of"]) <= last]
        assert row["mailings_active"] == sum((n, row["user_id"]) in members for n in on), row
    assert len({row["mailings_active"] for row in rows}) > 1


@pytest.mark.fit
def test_models_read_them(spark: SparkSession, shop: Config) -> None:
    (as_of,) = (row["as_of"] for row in tables.read(spark, "gold.propensity").select("as_of").distinct().collect())
    scorers = registry.latest(shop, as_of).bundle.scorers
    assert all(set(COLUMNS) <= set(scorer.inputs) for scorer in scorers.values())


@pytest.mark.fit
def test_features_follow_a_series_that_changes(
    spark: SparkSession, shop: Config, configured: Callable[..., Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    as_of = max(row["as_of"] for row in tables.read(spark, "features.series").select("as_of").distinct().collect())
    moment = build_features.prepare(spark, configured(), as_of)
    before = build_features._fingerprint(spark, shop, moment)
    version = tables.version
    monkeypatch.setattr(tables, "version", lambda s, name: version(s, name) + (name == "silver.series"))
    assert build_features._fingerprint(spark, shop, moment) != before


def _shop(*series: dict[str, object]) -> Config:
    return from_mapping({"series": [{"path": "x.csv", "day": "day", **one} for one in series]})


def test_a_name_that_is_taken_is_refused() -> None:
    config = _shop({"name": "pair", "values": ["views"]})
    with pytest.raises(ConfigError, match="two inputs would be called pair_views"):
        feature_set(config.features, frozenset(EVENT_TYPES), 28, "UTC", config.series)
    with pytest.raises(ConfigError, match="two inputs would be called a_b_c"):
        features.declared_by(_shop({"name": "a_b", "values": ["c"]}, {"name": "a", "values": ["b_c"]}))


def test_a_series_is_listed_and_described_and_another_meaning_is_another_definition() -> None:
    config = _shop({"name": "weather", **RAIN})
    assert "per user, from outside the shop (table features.series)\n  weather_wet " in features.listing(config)
    told = features.description(config, "weather_wet")
    assert "wet = rain > 1 on day (iso), known from the end of its last day + 1 days 0 minutes; as known at as_of" in (
        told.replace("\n      ", "; ")
    )
    plain = features.declared_by(config).version
    assert features.declared_by(_shop({"name": "weather", "values": ["wet = rain > 2"], "delay_days": 1})).version != plain
    assert features.declared_by(_shop({"name": "weather", "values": ["wet = rain > 1"]})).version != plain
    assert features.declared_by(_shop({"name": "weather", **RAIN, "path": "moved.csv"})).version == plain
    assert features.declared_by(_shop()).version == feature_set(config.features, frozenset(), 28).version


def test_a_further_value_leaves_the_meaning_of_the_others() -> None:
    planned = {"name": "weather", "known_in_advance": True, "ahead": [7]}
    before, after = (
        {f.name: f.expression for f in declare(_shop({**planned, "values": v}).series)} for v in (["wet"], ["wet", "warm"])
    )
    assert {name: after[name] for name in before} == before
    assert after["weather_warm_next_7"] != after["weather_wet_next_7"]


def test_what_a_campaign_means_names_its_members() -> None:
    members = {"path": "m.csv", "campaign": "no", "user": "who", "day": "since"}
    (active,) = declare(_shop({"name": "mail", "campaign": "no", "members": members, "known": "told"}).series)
    assert "by no, to which who belongs by no from since to since" in active.expression
    assert (active.unit, active.group) == ("count", "series")
