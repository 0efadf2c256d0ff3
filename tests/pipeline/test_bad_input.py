"""Bad input from the user's side: by the command line, to the exit code, the one line said, and what stands in the tables."""

import gzip
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import deltalake
import pytest
import yaml
from pyspark.sql import SparkSession

from propensity_spark import cli, session, tables
from propensity_spark.config import StorageConfig
from propensity_spark.errors import InsufficientData
from propensity_spark.loading import from_mapping
from propensity_spark.pipeline import parts
from propensity_spark.trainset.split import Procedure

Said = Callable[..., tuple[int, list[str]]]
HEADER = "who,what,did,at,paid,pieces"
GOOD = "ann,mug,buy,2024-03-01 10:00:00,2.50,1"
MAP = {"user_id": "who", "product_id": "what", "event": "did", "event_ts": "at", "price": "paid", "quantity": "pieces"}


def _shop(folder: Path, **changes: Any) -> Path:
    """A configuration of one log, log*.csv* in the folder, in order but for the changes."""
    source = {"name": "log", "path": f"{folder}/log*.csv*", "map": MAP, "event_types": {"look": "view", "buy": "purchase"}}
    values = {"sources": [source | changes.pop("source", {})], "storage": {"warehouse": str(folder / "warehouse")}, **changes}
    file = folder / "shop.yaml"
    file.write_text(yaml.safe_dump(values), encoding="utf-8")
    return file


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Said:
    """said("run", file, ...): the exit code, and the lines on stderr that tell of a mistake or a bug."""

    def run(command: str, file: Path, *more: str) -> tuple[int, list[str]]:
        code = cli.main([command, "--config", str(file), *more])
        return code, [line for line in capsys.readouterr().err.splitlines() if line.startswith(("propensity: ", "Traceback"))]

    return run


def _empty(folder: Path) -> dict[str, Any]:
    (folder / "log.csv").write_text("")
    return {}


def _cut_gz(folder: Path) -> dict[str, Any]:
    (folder / "log.csv").unlink()
    packed = gzip.compress("\n".join([HEADER, *(GOOD.replace("mug", f"mug{n}") for n in range(5000))]).encode())
    (folder / "log.csv.gz").write_bytes(packed[:40])
    return {}


def _separator(folder: Path) -> dict[str, Any]:
    (folder / "log.csv").write_text(f"{HEADER}\n{GOOD}\n".replace(",", ";"))
    return {}


def _renamed(folder: Path) -> dict[str, Any]:
    (folder / "log.csv").write_text(f"{HEADER}\n{GOOD}\n".replace("paid", "pade"))
    return {}


CONFIGURATION = [
    (lambda folder: {"source": {"path": f"{folder}/gone.csv"}}, ["sources.log.path", "gone.csv", "correct the path"]),
    (_empty, ["sources.log.path", "log.csv is empty", "fetch it again"]),
    (_cut_gz, ["sources.log", "log.csv.gz cannot be read"]),
    (_separator, ["sources.log.delimiter", "';'", "set delimiter"]),
    (_renamed, ["sources.log.map", "no column 'paid'", "did you mean 'pade'?"]),
    (lambda folder: {"label": {"horizon_days": 7}}, ["label", "labels"]),
    (lambda folder: {"labels": {"horizon": 7}}, ["labels.horizon", "horizon_days"]),
    (lambda folder: {"labels": {"horizon_days": 0}}, ["labels.horizon_days must be", "got 0"]),
    (lambda folder: {"source": {"event_types": {"buy": "bought"}}}, ["bought", "purchase"]),
    (lambda folder: {"shop": {"time_zone": "Europe/Atlantis"}}, ["shop.time_zone", "Europe/Atlantis"]),
]


@pytest.mark.parametrize(("spoil", "told"), CONFIGURATION)
def test_a_mistake_of_configuration_is_one_line_before_spark_starts(
    spoil: Callable[[Path], dict[str, Any]], told: list[str], tmp_path: Path, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "start", lambda config: pytest.fail("Spark was started"))
    (tmp_path / "log.csv").write_text(f"{HEADER}\n{GOOD}\n")
    code, lines = said("run", _shop(tmp_path, **spoil(tmp_path)))
    assert (code, len(lines)) == (2, 1), lines
    for word in told:
        assert word in lines[0]
    assert not (tmp_path / "warehouse").exists()


BAD = {
    "bob,cup,buy": ["the line is cut off or has too many or too few fields"],
    "ann,mug,stare,2024-03-01 10:00:00,,": ["event type is unknown: stare"],
    "ann,mug,look,yesterday,,": ["time cannot be read: yesterday"],
    "ann,mug,look,2099-01-01 10:00:00,,": ["time lies in the future"],
    "ann,mug,look,1970-01-01 00:00:00,,": ["time lies before 2000-01-01"],
    ",mug,look,2024-03-01 10:00:00,,": ["user is missing"],
    "ann,,look,2024-03-01 10:00:00,,": ["product is missing"],
    "ann,mug,buy,2024-03-01 10:00:00,-1,1": ["price is zero or negative"],
    "ann,mug,buy,2024-03-01 10:00:00,1,-2": ["quantity is zero or negative"],
    ",,stare,soon,,": ["event type is unknown: stare", "product is missing", "time cannot be read: soon", "user is missing"],
}


@pytest.fixture
def messy(tmp_path: Path) -> Path:
    """Twenty good rows over ten days, every bad row, a doubled row and a doubled file; the last line is cut off."""
    start = date(2024, 3, 1)
    good = [f"u{n},p{n % 3},buy,{start + timedelta(days=n % 10)} 12:00:00,2.5,1" for n in range(20)]
    bad = list(BAD)
    lines = [HEADER, *good, good[0], *bad[1:], bad[0]]
    (tmp_path / "log1.csv").write_text("\n".join(lines))
    (tmp_path / "log2.csv").write_text("\n".join([HEADER, *good]))
    return _shop(tmp_path)


def _rows(folder: Path, table: str) -> list[dict[str, Any]]:
    return deltalake.DeltaTable(str(folder / "warehouse" / table)).to_pyarrow_table().to_pylist()


@pytest.mark.usefixtures("warehouse")
def test_bad_rows_are_kept_with_all_their_reasons_and_good_ones_survive(
    spark: SparkSession, messy: Path, tmp_path: Path, said: Said
) -> None:
    assert said("ingest", messy) == (0, [])
    assert len(_rows(tmp_path, "silver/events")) == 20
    reasons = [sorted(row["reasons"]) for row in _rows(tmp_path, "silver/events_rejected")]
    assert sorted(reasons) == sorted(BAD.values())
    counts = {row["step"]: row["rows"] for row in _rows(tmp_path, "silver/intake") if row["step"] != "rejected"}
    assert (counts["received"], counts["refused"], counts["duplicate"], counts["accepted"]) == (51, 10, 21, 20)
    _too_little(tmp_path, messy, said)


def _too_little(folder: Path, file: Path, said: Said) -> None:
    """What the data cannot carry is said in one line with the remedy, and nothing is scored."""
    for more, told in (
        ((), ["days of history", "Set labels.horizon_days lower"]),
        (("--set", "labels.horizon_days=300"), ["horizon of 300", "days of history"]),
        (("--as-of", "2024-03-01"), ["nothing is known before 2024-03-01", "Choose a later --as-of"]),
        (("--as-of", "2025-01-01"), ["the data end on 2024-03-10", "2024-03-11 or earlier"]),
    ):
        code, lines = said("run", file, *more)
        assert (code, len(lines)) == (2, 1), lines
        for word in told:
            assert word in lines[0]
        assert not (folder / "warehouse" / "gold" / "propensity").exists()


@pytest.mark.usefixtures("warehouse")
def test_a_warehouse_that_cannot_be_written_is_one_line(tmp_path: Path, said: Said, spark: SparkSession) -> None:
    (tmp_path / "log.csv").write_text(f"{HEADER}\n{GOOD}\n")
    (tmp_path / "file").write_text("in the way")
    code, lines = said("run", _shop(tmp_path, storage={"warehouse": str(tmp_path / "file" / "warehouse")}))
    assert (code, len(lines)) == (2, 1), lines
    assert "file/warehouse" in lines[0]
    tables.attach(spark, StorageConfig(warehouse=str(tmp_path)))


DAYS = (date(2024, 1, 1), date(2024, 2, 1))
ENOUGH = {"train": {"min_positives": 100, "min_buyers": 10}}


@pytest.mark.parametrize(
    ("counts", "told"),
    [
        ({DAYS[0]: (9000, 0, 0)}, "too few purchases to train: 0 bought pairs"),
        ({DAYS[0]: (9000, 99, 50)}, "99 bought pairs by at most 50 users"),
        ({DAYS[0]: (9000, 500, 9), DAYS[1]: (9000, 500, 8)}, "by at most 9 users"),
        ({DAYS[0]: (100, 100, 50)}, "every training pair was bought"),
    ],
)
def test_too_few_purchases_or_one_class_train_nothing(counts: dict[date, tuple[int, int, int]], told: str) -> None:
    with pytest.raises(InsufficientData, match=told):
        parts.check_sufficient(from_mapping(ENOUGH), Procedure(DAYS, DAYS[1]), counts)


def test_just_enough_purchases_train() -> None:
    parts.check_sufficient(from_mapping(ENOUGH), Procedure(DAYS, DAYS[1]), {DAYS[0]: (9000, 60, 10), DAYS[1]: (9000, 40, 2)})


def test_that_nobody_could_be_scored_is_told_as_that() -> None:
    empty = {**ENOUGH, "population": {"event": "view", "days": 30, "where": "consent = 'Yes'"}}
    told = (
        r"nothing could be scored as of .* no user had an event of type view known by then within population\.days = 30 before "
        r"of whom population\.where holds"
    )
    with pytest.raises(InsufficientData, match=told):
        parts.check_sufficient(from_mapping(empty), Procedure(DAYS, DAYS[1]), {})
