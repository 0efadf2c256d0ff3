"""What a session is started with, by where its executors are."""

import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyspark
import pytest

from propensity_spark import session
from propensity_spark.errors import SetupError
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
    assert ("spark.sql.sources.parallelPartitionDiscovery.parallelism" in told) == is_here
    assert told["spark.master"] == (master or "local[*]")


def test_what_others_set_for_another_spark_or_python_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    strange = {"JAVA_HOME": "/opt/java8", "SPARK_HOME": "/opt/spark2", "PYSPARK_PYTHON": "/opt/python2"}
    own = str(Path(pyspark.__file__).parent)
    for master, python, spark in (("", sys.executable, own), ("spark://h:7077", "/opt/python2", "/opt/spark2")):
        around = {**{key: value for key, value in os.environ.items() if key != "PYSPARK_GATEWAY_PORT"}, **strange}
        monkeypatch.setattr(session, "SparkSession", SimpleNamespace(builder=_builder({})))
        monkeypatch.setattr(session.install, "java_home", lambda: Path("/opt/java17"))
        monkeypatch.setattr(os, "environ", around)
        session._build(from_mapping({"spark": {"master": master}}))
        assert (around["JAVA_HOME"], around["PYSPARK_PYTHON"]) == ("/opt/java17", python)
        assert around["SPARK_HOME"] == spark, "a cluster's settings lie there"


def test_a_blank_in_the_path_ends_no_option_of_the_jvm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "__file__", "/home/jo's shop/package/session.py")
    first, *_ = session._java_options().split()
    assert first == "-Dlog4j2.configurationFile=file:///home/jo%27s%20shop/package/log4j2.properties"


def test_a_session_of_spark_connect_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    connect = type("SparkSession", (), {"__module__": "pyspark.sql.connect.session"})
    monkeypatch.setattr(session, "SparkSession", SimpleNamespace(getActiveSession=connect))
    with pytest.raises(SetupError, match="this session is Spark Connect's"):
        session.start(from_mapping({"storage": {"warehouse": str(tmp_path)}}))
