"""A limit for work that may hang: past it its jobs are cancelled. Where executors are lost before that, the work begins anew."""

import re
import threading
import time
from collections.abc import Callable
from typing import TypeVar
from uuid import uuid4

from py4j.protocol import Py4JError
from pyspark import InheritableThread
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from propensity_spark.errors import RowsLost, TrainingFailed

Result = TypeVar("Result")
_ERROR = re.compile(r"(?!py4j|pyspark|org\.apache)[\w.]*(Error|Exception): ")  # the last line of a Python trace
_LONGEST = 400  # characters
_NO_ROOM = "BarrierJobSlotsNumberCheckFailed"  # tasks that begin together, and too few can
_LOST = ("failed barrier ResultStage", "ExecutorLostFailure")  # both are told where one of them went with its executor
_PAUSE = 1.0  # seconds until executors are looked for again
_REPLACED = 300  # seconds that a cluster is given to replace one
_TIMES = 4  # as often as Spark tries a task
_GONE = re.compile(r"Checkpoint block \S+ not found")  # of rows that an executor kept: see settle


def within(spark: SparkSession, seconds: int, what: str, work: Callable[[], Result]) -> Result:
    """Run `work`, which may start Spark jobs, for at most `seconds`.

    Where tasks that begin together lose an executor it is run anew, and where there is room for too few of them once there is:
    Spark does so itself, but the first not in the last stage of a job, and the second in no other.
    Raises TrainingFailed past the limit, after cancelling its jobs, and where Spark gives up on one of them; whatever else
    `work` raises is raised here.
    """
    group, done = f"propensity-{uuid4()}", threading.Event()
    results: list[Result] = []
    failures: list[BaseException] = []

    def body() -> None:
        try:
            spark.sparkContext.setJobGroup(group, what, interruptOnCancel=True)
            results.append(_anew(work, time.monotonic() + seconds))
        except BaseException as failure:  # handed to the caller's thread
            failures.append(failure)
        finally:
            done.set()

    InheritableThread(target=body, daemon=True).start()
    if not done.wait(seconds):
        spark.sparkContext.cancelJobGroup(group)
        raise TrainingFailed(f"{what} did not end within {seconds} s and was cancelled. Raise its limit, or check the executors.")
    if failures and _NO_ROOM in str(failures[0]):
        raise TrainingFailed(
            f"{what} has no room for all its tasks: executors were lost, and not replaced in time. "
            "Check the executors, or ask for fewer tasks."
        ) from failures[0]
    if failures and isinstance(failures[0], Py4JError | PySparkException):
        raise failed(what, failures[0]) from failures[0]
    if failures:
        raise failures[0]
    return results[0]


def _anew(work: Callable[[], Result], until: float) -> Result:
    """What the work gives, once no executor is lost; nothing is begun past the limit, when its jobs have been cancelled."""
    lost, short = 0, 0.0  # how often, and since when there is too little room
    while True:
        try:
            return work()
        except (Py4JError, PySparkException) as failure:
            now, told = time.monotonic(), str(failure)
            if _NO_ROOM in told:
                short = short or now
                mends = now < short + _REPLACED
            else:
                lost, short = lost + 1, 0.0
                mends = lost < _TIMES and all(words in told for words in _LOST)
            if not mends or now + _PAUSE > until:
                raise
        time.sleep(_PAUSE)


def failed(what: str, problem: BaseException) -> TrainingFailed | RowsLost:
    """What is said of work that Spark gave up on: the cause, and what to do where an executor took the rows with it."""
    told = str(problem)
    gone = _GONE.search(told)
    if gone is None:
        return TrainingFailed(f"{what} failed on the cluster: {_cause(told)}")
    return RowsLost(
        f"{what} failed on the cluster: {gone[0]}, for the executor that kept these rows is lost. "
        "Set storage.checkpoints to a folder that all executors reach, and run it again."
    )


def beginning(told: str) -> str:
    """How a long story begins, in one line: Py4J tells the cause on the second."""
    return " ".join(" ".join(told.splitlines()[:2]).split())


def _cause(told: str) -> str:
    """The line of Spark's long story that says what went wrong: an error of Python's where there is one."""
    lines = [line.strip() for line in told.splitlines() if line.strip()]
    errors = [line for line in lines if _ERROR.match(line)]
    aborted = [line for line in lines if "Job aborted" in line]
    return (errors[-1:] or aborted or [beginning(told) or "it says no more"])[0][:_LONGEST]
