"""Where it runs and what comes out: scores, tables, MLflow, Spark and the simulator."""

import re
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from propensity_spark.config.checks import within
from propensity_spark.config.places import is_remote
from propensity_spark.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreConfig:
    """Which date is scored (null: the day after the last full day of data) and how many rows the top view shows."""

    as_of: date | None = None
    top_products: int = 10

    def __post_init__(self) -> None:
        within("score.top_products", self.top_products, 1, 100_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageConfig:
    """Where tables and the report lie. With `catalog` (Unity or Hive) tables are named there instead.

    `checkpoints`: a folder that all executors reach, for rows that a fit reads many times; without it they keep them themselves,
    and a fit fails that loses one of them.
    """

    warehouse: str = "warehouse"
    catalog: str = ""
    report: str = ""
    checkpoints: str = ""

    def __post_init__(self) -> None:
        if is_remote(self.report):
            raise ConfigError(
                f"storage.report is a file of the driver's machine, such as /Volumes/main/shop/report.html on Databricks; "
                f"got {self.report!r}"
            )

    @property
    def is_remote(self) -> bool:
        """Whether only Spark reaches the warehouse."""
        return is_remote(self.warehouse)

    @property
    def is_here(self) -> bool:
        """Whether the tables lie in a folder of this machine."""
        return not self.catalog and not self.is_remote

    @property
    def folder(self) -> Path:
        """Where files go that are no tables: into the warehouse, or the current folder where the tables are not here."""
        return Path(self.warehouse) if self.is_here else Path()

    def report_path(self, shop: str) -> Path:
        """The report's file: as configured, or in `folder`."""
        return Path(self.report) if self.report else self.folder / f"{shop}_report.html"

    def refused_path(self, shop: str) -> Path:
        """The file of a run that was not promoted, beside the report: what was scored keeps its page."""
        page = self.report_path(shop)
        return page.with_name(f"{page.stem}_refused{page.suffix}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackingConfig:
    """Where MLflow runs go: an empty uri is a SQLite file inside a local warehouse, `databricks` the workspace's own store.

    `experiment` empty: propensity_SHOP, on Databricks, which knows experiments by paths, /Shared/propensity_SHOP.
    """

    uri: str = ""
    experiment: str = ""

    def __post_init__(self) -> None:
        if self.is_databricks and self.experiment and not self.experiment.startswith("/"):
            raise ConfigError(f"tracking.experiment must be a path such as /Shared/{self.experiment} on Databricks")

    @property
    def is_databricks(self) -> bool:
        """Whether runs go to a Databricks workspace."""
        return self.uri.split(":")[0] == "databricks"

    def experiment_of(self, shop: str) -> str:
        """The experiment in force."""
        return self.experiment or f"{'/Shared/' if self.is_databricks else ''}propensity_{shop}"

    def resolved(self, storage: StorageConfig) -> str:
        """The tracking URI in force. Raises ConfigError where the tables are not on this machine and none is given."""
        if not self.uri and not storage.is_here:
            where = "storage.catalog is set" if storage.catalog else "the warehouse is remote"
            raise ConfigError(
                f"tracking.uri must say where MLflow keeps the models, as {where}: databricks, or an MLflow server's http://host:port"
            )
        return self.uri or f"sqlite:///{Path(storage.warehouse).absolute()}/mlflow.db"


@dataclass(frozen=True, slots=True, kw_only=True)
class SparkConfig:
    """The session that a laptop starts; under spark-submit or on Databricks the running one is used.

    `master` empty: what spark-submit says, else local[*]. `driver_memory` empty: a quarter of the machine's, within bounds that
    `session` names. `conf` passes any Spark setting through.
    """

    master: str = ""
    driver_memory: str = ""
    shuffle_partitions: int = 0
    conf: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not re.fullmatch(r"(\d+[gm])?", self.driver_memory):
            raise ConfigError(f"spark.driver_memory must be like 3g or 900m, got {self.driver_memory!r}")
        within("spark.shuffle_partitions", self.shuffle_partitions, 0, 100_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatorConfig:
    """The simulated shop: its size, its period and how dirty its logs are. Used by `propensity simulate`."""

    output: str = ""
    users: int = 2000
    products: int = 300
    categories: int = 12
    start: date = date(2024, 1, 1)
    days: int = 240
    events: int = 1_000_000
    dirt: float = 0.01
    seed: int = 7

    def __post_init__(self) -> None:
        within("simulator.users", self.users, 10, 100_000_000)
        within("simulator.products", self.products, 5, 10_000_000)
        within("simulator.categories", self.categories, 1, self.products)
        within("simulator.days", self.days, 2, 3650)
        within("simulator.events", self.events, 1000, 10**10)
        within("simulator.dirt", self.dirt, 0, 0.5)
