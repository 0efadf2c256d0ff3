"""What is asked of the JVM with every column."""

from types import SimpleNamespace
from typing import Any

import pytest
from py4j.java_gateway import JavaClass, JVMView
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from propensity_spark import gateway


@pytest.fixture
def asked(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names that are looked up in the JVM from here on, by a session that was started as jobs start it."""
    names: list[str] = []
    for kind in (JVMView, JavaClass):
        really = kind.__getattr__

        def look_up(self: Any, name: str, really: Any = really) -> Any:
            names.append(name)
            return really(self, name)

        monkeypatch.setattr(kind, "__getattr__", look_up)
    return names


def test_columns_are_made_without_asking_what_makes_them(spark: SparkSession, asked: list[str]) -> None:
    frame = spark.range(3).select((F.col("id") + F.lit(1)).alias("n"))
    kept = frame.where("n > 1").select("n", F.when(F.col("n") > 2, F.expr("n * 2")).otherwise(F.lit(0)).alias("m"))
    assert not {"functions", "PythonUtils", "col", "lit", "when", "expr", "toSeq"} & set(asked)
    assert sorted(map(tuple, kept.collect())) == [(2, 0), (3, 6)]


def test_a_session_without_a_jvm_stays_as_it_is() -> None:
    gateway.remember(SimpleNamespace())  # type: ignore[arg-type]
