"""What a fit that failed on the cluster says of it."""

import time
from collections.abc import Callable

import pytest
from py4j.protocol import Py4JError
from pyspark.sql import SparkSession

from propensity_spark.errors import TrainingFailed
from propensity_spark.models import watchdog

CALL = "An error occurred while calling o123.collectToPython."


@pytest.mark.parametrize(
    ("told", "cause"),
    [
        (
            f"{CALL}\n: org.apache.spark.Refused: [SPARK-24942]: no barriers\n\tat a.b(C.java:1)",
            f"{CALL} : org.apache.spark.Refused: [SPARK-24942]: no barriers",
        ),
        (
            f"{CALL}\n: org.apache.spark.SparkException: Job aborted: lost\n\tat a.b(C.java:1)",
            ": org.apache.spark.SparkException: Job aborted: lost",
        ),
        (f"{CALL}\n: org.apache.spark.SparkException: Job aborted\n  File x\nValueError: one\n\nKeyError: two", "KeyError: two"),
        ("", "it says no more"),
        ("x" * 999, "x" * 400),
    ],
)
def test_the_cause_is_told_wherever_it_stands(told: str, cause: str) -> None:
    assert watchdog._cause(told) == cause


def test_rows_that_are_gone_with_their_executor_are_told_with_the_remedy() -> None:
    told = watchdog.failed(
        "a fit", Py4JError(f"{CALL}\n: a.b.C: Job aborted: x.y.Z: Checkpoint block rdd_3_0 not found! Either the")
    )
    assert str(told) == (
        "a fit failed on the cluster: Checkpoint block rdd_3_0 not found, for the executor that kept these rows is lost. "
        "Set storage.checkpoints to a folder that all executors reach, and run it again."
    )


LOST = "Could not recover from a failed barrier ResultStage.\nExecutorLostFailure (executor 0 exited)"
NO_ROOM = "org.apache.spark.scheduler.BarrierJobSlotsNumberCheckFailed: [SPARK-24819]"


def _failing(*told: str) -> tuple[Callable[[], str], list[str]]:
    """Work that fails so, one time after another, and then ends well; and what it has still to say."""
    left = list(told)

    def work() -> str:
        if left:
            raise Py4JError(left.pop(0))
        return "done"

    return work, left


@pytest.fixture
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "_PAUSE", 0.0)


@pytest.mark.usefixtures("no_pause")
@pytest.mark.parametrize("told", [(LOST,), (LOST,) * 3, (NO_ROOM,) * 9, (LOST, NO_ROOM, NO_ROOM, NO_ROOM, NO_ROOM, LOST)])
def test_work_begins_anew_where_executors_were_lost(told: tuple[str, ...]) -> None:
    assert watchdog._anew(_failing(*told)[0], time.monotonic() + 60) == "done"


@pytest.mark.usefixtures("no_pause")
@pytest.mark.parametrize(
    ("told", "left"),
    [(("ValueError: no",), 0), ((LOST, "ValueError: no", LOST), 1), ((LOST,) * 5, 1), (("failed barrier ResultStage",), 0)],
)
def test_work_that_fails_otherwise_or_too_often_fails(told: tuple[str, ...], left: int) -> None:
    work, still = _failing(*told)
    with pytest.raises(Py4JError):
        watchdog._anew(work, time.monotonic() + 60)
    assert len(still) == left


def test_nothing_begins_past_the_limit() -> None:
    work, still = _failing(NO_ROOM, NO_ROOM)
    with pytest.raises(Py4JError):
        watchdog._anew(work, time.monotonic() + 0.5)
    assert len(still) == 1


def test_room_that_does_not_come_is_told(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "_REPLACED", 0)
    work, still = _failing(NO_ROOM, NO_ROOM)
    with pytest.raises(TrainingFailed, match=r"^a fit has no room for all its tasks: .*not replaced in time\. Check"):
        watchdog.within(spark, 60, "a fit", work)
    assert len(still) == 1
