"""A limit for work that may hang: past it the jobs are cancelled and the caller hears why."""

import threading
from collections.abc import Callable
from typing import TypeVar
from uuid import uuid4

from pyspark import InheritableThread
from pyspark.sql import SparkSession

from propensity_spark.errors import TrainingFailed

Result = TypeVar("Result")


def within(spark: SparkSession, seconds: int, what: str, work: Callable[[], Result]) -> Result:
    """Run `work`, which may start Spark jobs, for at most `seconds`.

    Raises TrainingFailed past the limit, after cancelling its jobs; whatever `work` raises is raised here.
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
    if failures:
        raise failures[0]
    return results[0]
