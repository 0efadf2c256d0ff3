"""One small simulated shop, run once in this process, for all tests of the whole pipeline."""

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import pytest
import yaml
from pyspark.sql import SparkSession

from propensity_spark.config import FEATURE_GROUPS, Config
from propensity_spark.ingest.simulate import simulate
from propensity_spark.ingest.truth import REGIONS, USER_ID
from propensity_spark.loading import load
from propensity_spark.pipeline import run

_SMALL = {
    "simulator": {"users": 250, "products": 30, "categories": 4, "events": 50000, "days": 120},
    "labels": {"horizon_days": 14},
    # trials fit once, and are held against what training reached; a fifth of the negatives is enough to see
    "train": {"dates": 2, "refit": False, "min_rows": 0},
    "features": {"windows": [7, 28], "groups": list(FEATURE_GROUPS), "segment_by": "region"},
    "models": {"lightgbm": {"rounds": 30, "learning_rate": 0.1, "min_data_in_leaf": 100}, "logistic": {"max_iterations": 10}},
}
# One of each path: a table of levels, out-of-fold rates, buckets, numbers; of what is joined and of what is an attribute.
_ENCODERS = [
    {"column": "category", "how": "one_hot", "levels": 3},
    {"column": "product_id", "how": "target"},
    {"column": "candidate_source", "how": "hash", "buckets": 4},
    {"column": "user_tenure", "how": "robust"},
    {"column": "user_region", "how": "target"},  # an attribute, as known at as_of
    {"column": "user_age", "how": "one_hot", "levels": 3},
]
_START, _DAYS = date(2024, 1, 1), 120


def _series(folder: Path) -> list[dict[str, object]]:
    """Numbers from outside: by the user's region, known half a day after the day has ended; and by campaign."""
    days = [_START + timedelta(days=n) for n in range(_DAYS)]
    warm = [f"{day},{region},{n * 7 % 11 + place}" for n, day in enumerate(days) for place, region in enumerate(REGIONS)]
    sent = [f"{days[n]},{days[n + 9]},{n}" for n in range(0, _DAYS - 9, 5)]
    told = [f"{n},{USER_ID % user}" for n in range(0, _DAYS - 9, 5) for user in range(n % 3, 250, 3)]
    folder.mkdir()
    for name, lines in {"weather": ["day,region,warm", *warm], "plan": ["from,to,no", *sent], "members": ["no,who", *told]}.items():
        (folder / f"{name}.csv").write_text("\n".join(lines), encoding="utf-8")
    weather = {"name": "weather", "day": "day", "region": "region", "region_of": "region", "values": ["warm"], "delay_minutes": 720}
    plan = {"name": "mailings", "day": "from", "until": "to", "campaign": "no", "known_in_advance": True}
    members = {"path": str(folder / "members.csv"), "campaign": "no", "user": "who"}
    return [{"path": str(folder / "weather.csv"), **weather}, {"path": str(folder / "plan.csv"), **plan, "members": members}]


@pytest.fixture(scope="session")
def shop_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The configuration of the shop."""
    folder = tmp_path_factory.mktemp("shop")
    demo = Path("conf/demo.yaml").read_text(encoding="utf-8").replace("demo/raw", str(folder / "raw"))
    values = yaml.safe_load(demo)
    for section, changes in _SMALL.items():
        values[section] = {**values.get(section, {}), **changes}
    values["encoders"] = _ENCODERS
    values["series"] = _series(folder / "series")
    values["storage"] = {"warehouse": str(folder / "warehouse")}
    file = folder / "shop.yaml"
    file.write_text(yaml.safe_dump(values), encoding="utf-8")
    return file


@pytest.fixture(scope="session")
def configured(shop_file: Path) -> Callable[..., Config]:
    """configured("key=value", ...): the shop's configuration with settings changed."""
    return lambda *settings: load([shop_file], settings)


@pytest.fixture(scope="session")
def whole_shop(spark: SparkSession, configured: Callable[..., Config]) -> Config:
    """The shop, run once."""
    config = configured()
    simulate(spark, config)
    run.everything(config)
    return config
