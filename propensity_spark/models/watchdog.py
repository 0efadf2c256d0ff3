"""A limit for work that may hang: past it the jobs are cancelled and the caller hears why."""

import re
import threading
from collections.abc import Callable
from typing import TypeVar
from uuid import uuid4

from py4j.protocol import Py4JError
from pyspark import InheritableThread
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from propensity_spark.errors import TrainingFailed

Result = TypeVar("Result")
_ERROR = re.compile(r"(?!py4j|pyspark|org\.apache)[\w.]*(Error|Exception): ")  # the last line of a Python trace
_LONGEST = 400  # characters


def within(spark: SparkSession, seconds: int, what: str, work: Callable[[], Result]) -> Result:
    """Run `work`, which may start Spark jobs, for at most `seconds`.

    Raises TrainingFailed past the limit, after cancelling its jobs, and where Spark gives up on one of them; whatever else
    `work` raises is raised here.
    """
    group, done = f"propensity-{uuid4()}", threading.Event()
    results: list[Result] = []
    failures: list[BaseException] = []

    def body() -> None:
        try:
            spark.sparkContext.setJobGroup(group, what, interruptOnCancel=True)
            results.append(work())
        except BaseException as failure:  # handed to the caller's thread
            failures.append(failure)
        finally:
            done.set()

    InheritableThread(target=body, daemon=True).start()
    if not done.wait(seconds):
        spark.sparkContext.cancelJobGroup(group)
        raise TrainingFailed(f"{what} did not end within {seconds} s and was cancelled. Raise its limit, or check the executors.")
    if failures and isinstance(failures[0], Py4JError | PySparkException):
        raise TrainingFailed(f"{what} failed on the cluster: {_cause(str(failures[0]))}") from failures[0]
    if failures:
        raise failures[0]
    return results[0]


def beginning(told: str) -> str:
    """How a long story begins, in one line: Py4J tells the cause on the second."""
    return " ".join(" ".join(told.splitlines()[:2]).split())


def _cause(told: str) -> str:
    """The line of Spark's long story that says what went wrong: an error of Python's where there is one."""
    lines = [line.strip() for line in told.splitlines() if line.strip()]
    errors = [line for line in lines if _ERROR.match(line)]
    aborted = [line for line in lines if "Job aborted" in line]
    return (errors[-1:] or aborted or [beginning(told) or "it says no more"])[0][:_LONGEST]
