"""Power cuts while users, products, series and their members are written: each table is as before or as after, and ends equal."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from propensity_spark import tables
from propensity_spark.config import Config, EntityConfig, StorageConfig
from propensity_spark.loading import from_mapping
from propensity_spark.pipeline import ingest
from propensity_spark.progress import Progress

WRITTEN = (  # in this order
    "events_rejected",
    "user_versions",
    "product_versions",
    "series",
    "series_members",
    "products",
    "users",
    "events",
    "intake",
)
UNSTEADY = {"rejected_at", "ingested_ts"}
OBSERVED = {"valid_from", "valid_to", "known_ts"}  # of a table without dates: when ingest saw it

BEFORE = {
    "clicks.csv": "user,item,event,at\n"
    "ann,mug,view,2024-03-01 09:00:00\nbob,cup,view,2024-03-01 12:00:00\nbob,,view,2024-03-01 12:01:00\n",
    "users.csv": "id,age,since\nann,30,2024-01-01\nbob,40,2024-01-01\n",
    "products.csv": "sku,list\nmug,3.5\ncup,9\n",
    "weather.csv": "day,warm\n2024-03-01,9\n",
    "plan.csv": "starts,ends,no,kind\n2024-03-01,2024-03-08,7,mail\n",
    "members.csv": "no,id\n7,ann\n",
}
MORE = {
    "clicks2.csv": "user,item,event,at\ncem,mug,view,2024-03-02 09:00:00\ncem,,view,2024-03-02 09:00:00\n",
    "users.csv": BEFORE["users.csv"] + "ann,31,2024-03-01\n",
    "products.csv": "sku,list\nmug,4.5\ncup,9\n",
    "weather.csv": BEFORE["weather.csv"] + "2024-03-02,11\n",
    "plan.csv": BEFORE["plan.csv"] + "2024-03-02,2024-03-09,8,mail\n",
    "members.csv": BEFORE["members.csv"] + "8,bob\n",
}


class Killed(Exception):
    """Stands for a power cut."""


def _config(logs: Path) -> Config:
    click = {"user_id": "user", "product_id": "item", "event": "event", "event_ts": "at"}
    weather = {"name": "weather", "path": f"{logs}/weather.csv", "day": "day", "values": ["warm"]}
    members = {"path": f"{logs}/members.csv", "campaign": "no", "user": "id"}
    plan = {"name": "plan", "path": f"{logs}/plan.csv", "day": "starts", "until": "ends", "campaign": "no"}
    plan |= {"values": ["mailed = kind = 'mail'"], "members": members, "known_in_advance": True}
    given: dict[str, Any] = {
        "sources": [{"name": "clicks", "path": f"{logs}/clicks*.csv", "map": click}],
        "users": {"path": f"{logs}/users.csv", "id": "id", "attributes": ["age"], "valid_from": "since"},
        "products": {"path": f"{logs}/products.csv", "id": "sku", "price": "list"},
        "series": [weather, plan],
        "quality": {"max_rejected_share": 0.5},
    }
    return from_mapping(given)


def _seen(spark: SparkSession, name: str) -> list[str]:
    """A silver table's rows as text, without the times of the run."""
    frame, unsteady = tables.read(spark, f"silver.{name}"), UNSTEADY
    if name == "product_versions":
        frame, unsteady = frame.withColumn("ended", F.col("valid_to").isNotNull()), UNSTEADY | OBSERVED
    return sorted(str(row) for row in frame.drop(*unsteady).collect())


def _killed_after(write: Callable[..., int], table: str) -> Callable[..., int]:
    def overwrite(frame: DataFrame, name: str, note: str = "") -> int:
        written = write(frame, name, note)
        if name == f"silver.{table}":
            raise Killed
        return written

    return overwrite


@pytest.mark.long
def test_an_ingest_killed_after_every_write_in_turn_is_seen_as_before_or_as_after(
    spark: SparkSession, warehouse: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    logs, other = tmp_path_factory.mktemp("logs"), tmp_path_factory.mktemp("other") / "warehouse"

    def run(files: dict[str, str]) -> dict[str, list[str]]:
        for name, text in files.items():
            (logs / name).write_text(text)
        ingest.run(spark, _config(logs), Progress(quiet=True))
        return {name: _seen(spark, name) for name in WRITTEN}

    before = run(BEFORE)
    shutil.copytree(warehouse, other)
    tables.attach(spark, StorageConfig(warehouse=str(other)))
    after = run(MORE)
    assert all(before[name] != after[name] for name in WRITTEN)
    tables.attach(spark, StorageConfig(warehouse=str(warehouse)))
    for number, name in enumerate(WRITTEN):
        with monkeypatch.context() as patch:
            patch.setattr(tables, "overwrite", _killed_after(tables.overwrite, name))
            with pytest.raises(Killed):
                run(MORE)
        for place, seen in enumerate(WRITTEN):
            assert _seen(spark, seen) == (after if place <= number else before)[seen], (name, seen)
    assert run(MORE) == after


def test_who_stands_in_a_table_that_was_taken_away_is_forgotten(
    spark: SparkSession, warehouse: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, text in BEFORE.items():
        (tmp_path / name).write_text(text)
    config = _config(tmp_path)
    ingest.run(spark, config, Progress(quiet=True))
    assert len(_seen(spark, "user_versions")) > 0
    assert len(_seen(spark, "series_members")) > 0
    for _ in range(2):
        ingest.run(spark, replace(config, users=EntityConfig(), series=config.series[:1]), Progress())
    assert _seen(spark, "user_versions") == _seen(spark, "series_members") == []
    told = capsys.readouterr().err
    assert told.count("emptied: the configuration names no such table any more") == 2, "once each"
    assert len(_seen(spark, "product_versions")) > 0
