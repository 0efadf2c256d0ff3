"""Who trains and who calibrates: together all rows, never the same one."""

from collections.abc import Callable
from datetime import date

import pytest
from pyspark.sql import DataFrame

from propensity_spark.loading import from_mapping
from propensity_spark.pipeline.train import _parts, _unused
from propensity_spark.trainset.split import Procedure

Make = Callable[..., DataFrame]
OLD, NEW, SCORED = date(2024, 3, 4), date(2024, 4, 1), date(2024, 4, 29)


@pytest.mark.parametrize("counts", [{NEW: (600, 5000, 90)}, {NEW: (600, 30, 9)}, {}])
def test_rows_train_or_calibrate_and_the_ranker_has_them_all(table: Make, counts: dict[date, tuple[int, int, int]]) -> None:
    days = [str(day) for day in (OLD, NEW, SCORED)]
    sampled = table(
        "as_of DATE, user_id STRING, product_id STRING", *((d, f"u{n}", p) for d in days for n in range(300) for p in "ab")
    )
    parts = _parts(from_mapping({}), Procedure((OLD, NEW), SCORED), sampled, counts)
    train, calibrate, everything = (
        {(row.as_of, row.user_id, row.product_id) for row in frame.collect()}
        for frame in (parts.train, parts.calibrate, parts.rows)
    )
    assert train | calibrate == everything
    assert not train & calibrate
    assert {day for day, *_ in everything} == {OLD, NEW}
    assert {day for day, *_ in calibrate} == {NEW}
    held = {user for _, user, _ in calibrate}
    assert not held & {user for day, user, _ in train if day == NEW}, "a user's newest rows go one way"
    assert len(held) / 300 == pytest.approx(1 / 3 if counts.get(NEW, (0, 0, 0))[1] > 3000 else 1 / 2, abs=0.08)


def test_columns_that_the_network_embeds_or_an_encoder_reads_stay_in_the_training_rows() -> None:
    """A trial may be of any family, whatever models.families says."""
    nothing = {"models": {"network": {"embeddings": {"columns": ["product_id"]}}}}
    assert _unused(from_mapping({})) == {"candidate_source"}
    assert _unused(from_mapping(nothing)) == {"candidate_source", "category"}
    read = {"encoders": [{"column": "candidate_source", "how": "one_hot", "levels": 2}]}
    assert _unused(from_mapping(nothing | read)) == {"category"}
