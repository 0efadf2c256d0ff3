"""What a fit that failed on the cluster says of it."""

import pytest

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
