"""One local Spark session for all tests, on a warehouse of its own; tables from rows by hand."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import _parse_datatype_string

from propensity_spark import session, tables
from propensity_spark.config import Config, StorageConfig
from propensity_spark.loading import from_mapping

settings.register_profile("busy", deadline=None)  # beside Spark an example may take any time
settings.load_profile("busy")
MakeTable = Callable[..., DataFrame]
# Nearly all tables of the tests have few rows: compiling code for each query takes longer than running it.
_INTERPRETED = {"spark.sql.codegen.wholeStage": "false", "spark.sql.codegen.factoryMode": "NO_CODEGEN"}


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """A two-core session; its first warehouse is a scratch folder."""
    warehouse = str(tmp_path_factory.mktemp("warehouse"))
    started = session.start(
        from_mapping(
            {
                "storage": {"warehouse": warehouse},
                "spark": {"master": "local[2]", "driver_memory": "3g", "shuffle_partitions": 2, "conf": _INTERPRETED},
            }
        )
    )
    yield started
    started.stop()


@pytest.fixture(scope="module")
def compiled(spark: SparkSession) -> Iterator[None]:
    """Queries are compiled, as they are outside the tests."""
    for key in _INTERPRETED:
        spark.conf.unset(key)
    yield
    for key, value in _INTERPRETED.items():
        spark.conf.set(key, value)


@pytest.fixture(scope="module", autouse=True)
def _forgotten() -> Iterator[None]:
    """After a file's tests, forget the states of its Delta tables: kept for an hour, those of all tests fill the heap."""
    yield
    active = SparkSession.getActiveSession()
    if active is not None:
        active._jvm.org.apache.spark.sql.delta.DeltaLog.clearCache()


@pytest.fixture
def table(spark: SparkSession) -> MakeTable:
    """table("user_id STRING, n INT", ("ann", 1), ...): a DataFrame from rows by hand; dates may be text."""

    def make(ddl: str, *rows: tuple[Any, ...]) -> DataFrame:
        wanted = _parse_datatype_string(ddl)
        as_text = {"date", "timestamp"}
        loose = ", ".join(f"{c.name} {'STRING' if c.dataType.typeName() in as_text else c.dataType.simpleString()}" for c in wanted)
        frame = spark.createDataFrame(list(rows), loose)
        return frame.select(*(frame[c.name].cast(c.dataType).alias(c.name) for c in wanted))

    return make


@pytest.fixture
def warehouse(spark: SparkSession, tmp_path: Path) -> Iterator[Path]:
    """An empty warehouse for one test; the names of the tables point into it meanwhile."""
    before = spark.conf.get("spark.propensity.warehouse")
    _forget(spark)
    tables.attach(spark, StorageConfig(warehouse=str(tmp_path)))
    yield tmp_path
    _forget(spark)
    spark.conf.set("spark.propensity.warehouse", before)


def _forget(spark: SparkSession) -> None:
    for schema in tables.SCHEMAS:
        spark.sql(f"DROP SCHEMA IF EXISTS {schema} CASCADE")


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of the real data; a test that needs it skips with the reason, or fails in CI."""
    folder = Path(os.environ.get("PROPENSITY_DATA") or "../shared/data")
    if not folder.is_dir():
        reason = f"no real data in {folder}; set PROPENSITY_DATA"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return folder


@pytest.fixture
def config() -> Callable[..., Config]:
    """config(labels={"horizon_days": 7}): a Config from sections."""
    return lambda **sections: from_mapping(sections)
