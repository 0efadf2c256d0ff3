"""What a session is started with, by where its executors are."""

import os
from types import SimpleNamespace
from typing import Any

import pytest

from propensity_spark import session
from propensity_spark.loading import from_mapping


def _builder(told: dict[str, str]) -> Any:
    """One that notes what it is told instead of starting Spark."""
    builder = SimpleNamespace(appName=lambda name: builder)

    def config(key: str, value: str) -> Any:
        told[key] = value
        return builder

    builder.config = config
    builder.master = lambda master: config("spark.master", master)
    builder.getOrCreate = lambda: SimpleNamespace(sparkContext=SimpleNamespace(setLogLevel=lambda level: None))
    return builder


@pytest.mark.parametrize(
    ("master", "is_here"),
    [
        ("", True),
        ("local[2]", True),
        ("local-cluster[2,1,1024]", True),
        ("spark://h:7077", False),
        ("yarn", False),
        ("k8s://h", False),
    ],
)
def test_only_a_cluster_of_this_machine_is_reached_by_loopback(monkeypatch: pytest.MonkeyPatch, master: str, is_here: bool) -> None:
    told = dict[str, str]()
    monkeypatch.setattr(session, "SparkSession", SimpleNamespace(builder=_builder(told)))
    around = {key: value for key, value in os.environ.items() if key not in ("SPARK_LOCAL_IP", "PYSPARK_GATEWAY_PORT")}
    monkeypatch.setattr(os, "environ", around)
    session._build(from_mapping({"spark": {"master": master}}))
    addresses = {told.get("spark.driver.host"), told.get("spark.driver.bindAddress"), around.get("SPARK_LOCAL_IP")}
    assert addresses == ({"127.0.0.1"} if is_here else {None})
    assert told["spark.master"] == (master or "local[*]")
