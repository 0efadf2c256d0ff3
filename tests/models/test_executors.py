"""LightGBM on two executors: slots, equal fits, many levels, and an executor that is killed in the middle of a fit."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyspark
import pytest

pytestmark = [pytest.mark.fit, pytest.mark.timeout(1200)]
_LIMIT = 1000  # seconds for all of it on a busy machine
SPREAD = ("ring", "synapseml")


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Case -> what it found, of one Spark with two executors."""
    folder = tmp_path_factory.mktemp("executors")
    home = folder / "spark"  # by links: a local cluster keeps its executors' files inside it, which should not be ours
    home.mkdir()
    for entry in Path(pyspark.__file__).parent.iterdir():
        if entry.name != "work":
            (home / entry.name).symlink_to(entry)
    places = {"SPARK_HOME": str(home), "SPARK_LOCAL_IP": "127.0.0.1"}
    words = [sys.executable, Path(__file__).with_name("on_executors.py"), folder]
    done = subprocess.run(words, env=os.environ | places, capture_output=True, text=True, timeout=_LIMIT, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    cases = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return {case["case"]: case for case in cases}


def test_a_fit_without_enough_slots_says_so_at_once(told: dict[str, dict[str, Any]]) -> None:
    assert told["slots"]["seconds"] < 30
    for line in told["slots"]["said"]:
        assert line == "models.lightgbm.tasks is 3, but only 2 task(s) can run at once here. Lower it or add executors."


@pytest.mark.parametrize("engine", SPREAD)
def test_two_fits_of_one_seed_are_equal(told: dict[str, dict[str, Any]], engine: str) -> None:
    assert told["equal"][engine]


@pytest.mark.parametrize("engine", SPREAD)
def test_a_category_of_five_thousand_values_trains(told: dict[str, dict[str, Any]], engine: str) -> None:
    assert told["levels"][engine] > told["levels"]["without"] + 0.01


@pytest.mark.parametrize("case", ["killed_native", "killed_ring"])
def test_a_fit_whose_executor_is_killed_ends_well(told: dict[str, dict[str, Any]], case: str) -> None:
    assert told[case]["killed"] == 1
    assert told[case]["fit_seconds"] > 4, "the executor died while the fit went on"
    assert told[case]["said"] == ""


def test_a_fit_of_synapseml_whose_executor_is_killed_ends_within_its_limit(told: dict[str, dict[str, Any]]) -> None:
    """Well, or with a line that says what happened."""
    assert told["killed_synapseml"]["killed"] == 1
    assert told["killed_synapseml"]["fit_seconds"] < 75
    said = told["killed_synapseml"]["said"]
    assert said == "" or said.startswith("fitting LightGBM on 2 task(s)")
    assert "\n" not in said
