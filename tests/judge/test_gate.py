"""A model that a baseline beats is refused: in log loss at once, in ECE where it is sure and more than the slack.

The truth of a simulated shop stands among the figures, better than all: it is no baseline.
"""

import pytest

from propensity_spark.judge import gate
from propensity_spark.judge.gate import Figures, Verdict

SLACK = 0.0005
BASELINES = {
    "popular": {"log_loss": 0.070, "ece": 0.001},
    "own": {"log_loss": 0.055, "ece": 0.003},
    "own_popular": {"log_loss": 0.050, "ece": 0.002},
}


def _verdict(
    loss: float | None, ece: float | None, sure: Figures | None = None, slack: float = SLACK, **others: Figures
) -> Verdict:
    figures = {"lightgbm": {"log_loss": loss, "ece": ece}, **others, **BASELINES, "truth": {"log_loss": 0.01, "ece": 0.0}}
    return gate.verdict("lightgbm", ("lightgbm", *others), figures, sure or {"ece_gain_low": 0.001}, slack)


def test_a_model_below_all_baselines_is_promoted_and_nothing_is_noted() -> None:
    assert _verdict(0.049, 0.0009) == Verdict(True)
    assert _verdict(0.050, 0.001) == Verdict(True), "as good as the best of each figure is good enough"


@pytest.mark.parametrize("sure", [{"log_loss_gain_low": 0.001}, {"log_loss_gain_low": -0.001, "log_loss_gain_high": 0.002}, {}])
def test_a_higher_log_loss_refuses_sure_or_not_and_names_the_best_baseline(sure: Figures) -> None:
    made = _verdict(0.05001, 0.0009, sure)
    assert not made.promoted
    assert made.reason.startswith(
        "the log loss of lightgbm on the test, 0.05001, is above the 0.05000 of the best baseline, own_popular"
    )


def test_a_higher_ece_refuses_where_it_is_sure_and_more_than_the_slack() -> None:
    made = _verdict(0.04, 0.0016, {"ece_gain_low": 0.0001})
    assert not made.promoted
    assert made.reason.startswith("the ECE of lightgbm on the test, 0.00160, is above the 0.00100 of the best baseline, popular")


@pytest.mark.parametrize(
    ("ece", "low", "promoted"),
    [
        (0.0090, 0.0, True),  # the interval begins at no difference
        (0.0090, -0.001, True),  # chance
        (0.0090, 1e-9, False),
        (0.00149, 0.0004, True),  # sure, and too little to matter
        (0.00151, 0.0004, False),
        (0.0090, None, False),  # unknown is not chance
        (0.00149, None, True),
    ],
)
def test_a_higher_ece_by_chance_or_by_little_is_noted_and_passes(ece: float, low: float | None, promoted: bool) -> None:
    made = _verdict(0.04, ece, {"ece_gain_low": low})
    assert made.promoted == promoted
    assert made.reason.removeprefix("noted: ").startswith("the ECE of lightgbm")
    assert made.reason.startswith("noted: ") == promoted


def test_the_slack_itself_passes() -> None:
    assert _verdict(0.04, 0.001 + 0.25, slack=0.25).promoted
    assert not _verdict(0.04, 0.001 + 0.2500001, slack=0.25).promoted


def test_the_slack_follows_the_observed_rate_where_that_is_more() -> None:
    assert gate.slack(0.0005, 0.05, 0.04) == pytest.approx(0.002)
    assert gate.slack(0.0005, 0.05, 0.009) == 0.0005
    assert gate.slack(0.0005, 0.05, None) == 0.0005


@pytest.mark.parametrize(("loss", "ece"), [(None, 0.001), (0.04, None)])
def test_what_cannot_be_judged_is_not_promoted(loss: float | None, ece: float | None) -> None:
    made = _verdict(loss, ece)
    assert not made.promoted
    assert "is unknown on the test" in made.reason


def test_families_that_would_pass_whatever_chance_says_are_named() -> None:
    good, higher, off = ({"log_loss": loss, "ece": ece} for loss, ece in ((0.049, 0.0014), (0.051, 0.0), (0.04, 0.0016)))
    made = _verdict(0.06, 0.0009, logistic=good, forest=higher, svm=off)
    assert made.others == ("logistic",)
    better = {"log_loss": 0.048, "ece": 0.0}
    assert _verdict(0.06, 0.0009, logistic=good, gbt=better).others == ("gbt", "logistic"), "the least log loss first"
    assert _verdict(0.04, 0.0009, logistic=good).others == ()
