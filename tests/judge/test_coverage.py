"""What each source of candidates brings, counted by hand."""

from collections.abc import Callable

from pyspark.sql import DataFrame

from propensity_spark.judge.coverage import Source, by_source


def test_sources_are_counted_together_and_alone(table: Callable[..., DataFrame]) -> None:
    rows = table(
        "candidate_source STRING, label INT",
        *(("touched", 1), ("touched", 0), ("touched+als", 1), ("als", 0), ("als", 0), ("popular", 1)),
    )
    assert by_source(rows, bought=5) == [
        Source("all", 6, 6, 3, 3, 0.6, 0.6),
        Source("touched", 3, 2, 2, 1, 0.4, 0.2),
        Source("als", 3, 2, 1, 0, 0.2, 0.0),
        Source("popular", 1, 1, 1, 1, 0.2, 0.2),
    ]


def test_where_nobody_bought_the_share_is_unknown(table: Callable[..., DataFrame]) -> None:
    rows = table("candidate_source STRING, label INT", ("touched", 0))
    assert by_source(rows, bought=0)[0] == Source("all", 1, 1, 0, 0, None, None)
