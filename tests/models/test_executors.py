"""LightGBM on two executors: slots, equal fits, many levels, and an executor that is killed in the middle of a fit."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from clusters import places

pytestmark = [pytest.mark.fit, pytest.mark.timeout(1200)]
_LIMIT = 1000  # seconds for all of it on a busy machine
SPREAD = ("ring", "synapseml")
_ENDS_WELL = ("killed_native", "killed_ring", "killed_xgboost", "killed_network")


Told = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    """Case -> what it found."""
    return _run(tmp_path_factory.mktemp("executors"), "options", "slots", "equal", "levels")


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Told:
    """The same of those that kill executors."""
    return _run(tmp_path_factory.mktemp("killed"), "lost_ring", *_ENDS_WELL, "killed_synapseml")


def _run(folder: Path, *names: str) -> Told:
    """The cases on one Spark with two executors."""
    words = [sys.executable, Path(__file__).with_name("on_executors.py"), folder, *names]
    done = subprocess.run(words, env=os.environ | places(folder), capture_output=True, text=True, timeout=_LIMIT, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    cases = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return {case["case"]: case for case in cases}


def test_executors_compile_the_long_methods_of_wide_rows(told: Told) -> None:
    """By default the JVM interprets what is longer than 8 KB for ever."""
    assert len(told["options"]["said"]) == 2
    assert all("-XX:-DontCompileHugeMethods" in words for words in told["options"]["said"])


def test_a_fit_without_enough_slots_says_so_at_once(told: Told) -> None:
    assert told["slots"]["seconds"] < 30
    for line in told["slots"]["said"]:
        assert line == "models.lightgbm.tasks is 3, but only 2 task(s) can run at once here. Lower it or add executors."


@pytest.mark.parametrize("engine", SPREAD)
def test_two_fits_of_one_seed_are_equal(told: Told, engine: str) -> None:
    assert told["equal"][engine]


@pytest.mark.parametrize("engine", SPREAD)
def test_a_category_of_five_thousand_values_trains(told: Told, engine: str) -> None:
    assert told["levels"][engine] > told["levels"]["without"] + 0.01


@pytest.mark.long
def test_a_ring_waits_for_an_executor_that_was_lost_before_it_began(killed: Told) -> None:
    assert killed["lost_ring"]["said"] == ""
    assert killed["lost_ring"]["tries"] > 1


@pytest.mark.long
@pytest.mark.parametrize("case", _ENDS_WELL)
def test_a_fit_whose_executor_is_killed_ends_well(killed: Told, case: str) -> None:
    assert killed[case]["killed"] == 1
    assert killed[case]["fit_seconds"] > 4, "the executor died while the fit went on"
    assert killed[case]["said"] == ""


@pytest.mark.long
def test_a_fit_of_synapseml_whose_executor_is_killed_ends_within_its_limit(killed: Told) -> None:
    """Well, or with a line that says what happened."""
    assert killed["killed_synapseml"]["killed"] == 1
    assert killed["killed_synapseml"]["fit_seconds"] < 75
    said = killed["killed_synapseml"]["said"]
    assert said == "" or said.startswith("fitting LightGBM on 2 task(s)")
    assert "\n" not in said
