"""Scored rows carry what their calibration reads, or it is said what is missing."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date

import pytest
from pyspark.sql import DataFrame

from propensity_spark.errors import PropensityError
from propensity_spark.judge.calibrator import PROBABILITY, Calibrator
from propensity_spark.loading import from_mapping
from propensity_spark.pipeline import score
from propensity_spark.serve.bundle import Bundle

PLAIN = Calibrator(kind=PROBABILITY, method="none")
DAY = date(2024, 4, 1)


def _bundle(**calibrators: Calibrator) -> Bundle:
    parts = {"shop": "s", "as_of": DAY, "horizon_days": 28, "champion": "logistic", "feature_version": "v"}
    return Bundle(**parts, scorers={}, calibrators=calibrators, versions={})


def test_a_run_calibrated_by_what_is_made_no_longer_says_so(table: Callable[..., DataFrame]) -> None:
    pairs, config = table("user_id STRING, pair_orders DOUBLE", ("u", 1.0)), from_mapping({})
    by_exists, by_segment = (replace(PLAIN, by=by, offsets=(("x", 0.1),)) for by in ("exists", "segment"))
    for champion, reads in ((PLAIN, ()), (by_exists, ("pair_orders",))):
        assert score._keyed(config, pairs, DAY, _bundle(logistic=champion)) is pairs
        assert _bundle(logistic=champion).reads == reads
    with pytest.raises(PropensityError, match="calibrated by segment, which these settings do not make; train again"):
        score._keyed(config, pairs, DAY, _bundle(logistic=PLAIN, lightgbm=by_segment))
