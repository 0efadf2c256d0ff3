"""The report page: what is unknown is said, what is foreign is escaped, the best is marked in the right direction."""

import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from propensity_spark.config import JudgeConfig
from propensity_spark.judge import plots, thresholds
from propensity_spark.judge.gains import Brought, Change
from propensity_spark.judge.metrics import Bin, Cut, Metrics
from propensity_spark.judge.ranking import RankingMetrics
from propensity_spark.judge.report import Page, Period, Scored, render


def _metrics(log_loss: float | None, auc: float | None) -> Metrics:
    bins = (Bin(10, 0.2, 0.25), Bin(10, 0.01, 0.005))
    curve = ((0.0, 0.0), (1.0, 1.0))
    return Metrics(
        rows=20,
        positives=2,
        base_rate=0.1,
        mean_predicted=0.1,
        roc_auc=auc,
        pr_auc=None,
        log_loss=log_loss,
        brier=0.1,
        ece=0.01,
        reliability=bins,
        lift=(2.0, 0.5),
        roc=curve,
        precision_recall=curve,
    )


def _ranking() -> RankingMetrics:
    return RankingMetrics(k=10, users=3, recall=0.5, ndcg=0.4, hit_rate=0.6, recall_ceiling=0.9, coverage=0.8)


def _page(**changes: object) -> Page:
    scorers = (
        Scored(name="lightgbm", label="lightgbm", is_model=True, metrics=_metrics(0.0501, 0.81), ranking=_ranking()),
        Scored(name="own", label="<own>", is_model=False, metrics=_metrics(0.0612, None), ranking=_ranking()),
    )
    values = {
        "shop": "a & b",
        "as_of": "2024-03-01",
        "horizon_days": 28,
        "made_at": "now",
        "verdict": "good",
        "intake": (("clicks", "received", "", 1234567), ("clicks", "rejected", "<script>", 12)),
        "periods": (Period(name="Test", as_of="2024-02-02", about="about", scorers=scorers),),
        "importance": {"lightgbm": (("pair_views", "views", 0.5),)},
    }
    return Page(**{**values, **changes})  # type: ignore[arg-type]


def test_foreign_text_is_escaped_and_the_page_needs_no_network() -> None:
    page = render(_page())
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "&lt;own&gt;" in page
    assert "a &amp; b" in page
    assert 'src="http' not in page
    assert 'href="http' not in page


def test_what_is_unknown_is_said_and_never_zero() -> None:
    assert "<td>unknown</td>" in render(_page())


def test_the_best_log_loss_is_the_smallest_and_the_best_auc_the_largest() -> None:
    page = render(_page())
    assert '<td class="best">0.05010</td>' in page
    assert '<td class="best">0.8100</td>' in page
    assert '<td class="best">0.06120</td>' not in page


def test_a_problem_stands_instead_of_results() -> None:
    page = render(_page(problem="too few purchases", periods=(), importance={}))
    assert "Nothing was scored." in page
    assert "Too few purchases" in page
    assert "1,234,567" in page


def test_models_baselines_and_the_truth_each_have_a_line() -> None:
    made = plots.curve({f"scorer {n}": ((0, 0), (1, n / 9)) for n in range(9)}, "ROC", "x", "y")
    assert made.count("<polyline") == 9
    assert made.count("<i style") == 9


def test_every_plot_is_well_formed_even_without_points() -> None:
    full = (Bin(1, 0.5, 0.4), Bin(1, 0.001, 0.0009))
    made = [
        plots.reliability({"a": full, "b": ()}),
        plots.curve({"a <b>": ((0, 0), (1, 1))}, "ROC & more", "x", "y", diagonal=True),
        plots.columns([3.0, 1.0, 0.2], "lift", "x", "y"),
        plots.columns([], "lift", "x", "y"),
        plots.intervals([("first & more", 0.01, -0.002, 0.02)], "gains"),
        plots.intervals([], "gains"),
    ]
    for svg in made:
        ET.fromstring(f"<div>{svg}</div>")


SURE = {
    **{"pr_auc_low": 0.15, "pr_auc_high": 0.25, "pr_auc_gain": 0.03, "pr_auc_gain_low": 0.01, "pr_auc_gain_high": 0.05},
    **{"log_loss_low": 0.04, "log_loss_high": 0.06, "log_loss_gain": 0.02, "log_loss_gain_low": 0.01, "log_loss_gain_high": 0.03},
    **{"ece_low": 0.0038, "ece_high": 0.0147, "ece_gain": -0.001, "ece_gain_low": -0.003, "ece_gain_high": 0.002},
    **{"recall_at_10_low": None, "recall_at_10_high": None},
}


def test_the_champion_is_shown_with_its_intervals_and_what_its_lead_is_worth() -> None:
    section = render(_judged(sure=SURE)).split("How sure these figures are")[1].split("<h3>")[0]
    assert "0.0100 [0.0038, 0.0147]" in section
    assert "+0.0300 [+0.0100, +0.0500]" in section
    verdicts = re.findall("surely better|surely worse|not sure", section)
    assert verdicts == ["surely better", "surely worse", "not sure"], "more is better of PR-AUC, less of log loss and ECE"
    assert "<td>0.5000</td>" in section, "a figure whose interval is unknown stands alone"
    assert "How sure" not in render(_page()), "an older run has no intervals"


def test_thresholds_and_what_the_best_capture_are_shown_where_they_are_known() -> None:
    cut = Cut(rule="f1", threshold=0.125, share=0.02, precision=None, recall=0.0, f1=0.0)
    more = {"captured": (0.1, 0.3, 0.4, 0.6), "value_captured": (0.2, 0.35, 0.5, 0.7), "cuts": (cut,)}
    more["lift"] = (4.0, 2.0, 1.0, 1.0, 0.5, 0.5, 0.4, 0.3, 0.2, 0.1)
    page = render(_judged(metrics=replace(_metrics(0.05, 0.8), **more), rules=thresholds.told(JudgeConfig())))
    section = page.split("From where on to act")[1].split("<h2>")[0]
    for told in ("best F1", "0.1250", "2.00%", "unknown", "10.0%", "35.0%", "their value"):
        assert told in section, told
    drawn = re.findall(r'<polyline points="([^"]+)"', section.split("What the best pairs capture")[1].split("</figure>")[0])
    assert [len(points.split()) for points in drawn] == [2, 13, 5], "of the value no more is drawn than is known: to the best 20 %"
    assert "From where on to act" not in render(_page())
    assert "What the best pairs capture" not in render(_page())


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [(0.8, 0.99, "surely too low"), (1.01, 1.2, "surely too high"), (0.9, 1.1, "1 is within"), (None, 2.0, "")],
)
def test_a_mean_prediction_that_is_surely_off_is_called_so(low: float | None, high: float | None, said: str) -> None:
    sure = {**SURE, "predicted_over_observed_low": low, "predicted_over_observed_high": high}
    section = render(_judged(sure=sure)).split("How sure these figures are")[1].split("<h3>")[0]
    row = next(line for line in section.split("<tr>") if "predicted / observed" in line)
    assert re.findall("surely too low|surely too high|1 is within", row) == ([said] if said else [])


def test_a_share_that_rounds_to_nothing_is_not_shown_as_nothing() -> None:
    section = render(_page(intake=(("log", "received", "", 541909), ("log", "rejected", "no time", 3), ("log", "accepted", "", 0))))
    assert "&lt; 0.01%" in section
    assert section.count("<td>0.00%</td>") == 1, "what is nothing is shown as nothing"


def test_the_strongest_features_are_named_explained_and_drawn_on_one_scale_for_all_models() -> None:
    strongest = {"lightgbm": (("pair_views", "views of <it>", 0.5), ("x", "", 0.05)), "logistic": (("y", "why", 0.25),)}
    section = render(_page(importance=strongest)).split("The strongest features")[1].split("<h2>")[0]
    assert re.findall(r"<dt>(\w+) <span>([\d.]+%)", section) == [("pair_views", "50.0%"), ("x", "5.0%"), ("y", "25.0%")]
    assert "views of &lt;it&gt;" in section
    assert re.findall(r"width:([\d.]+)%", section) == ["100.0", "10.0", "50.0"]


def test_slices_open_when_asked_and_stand_beside_the_reference() -> None:
    mine, other = {"rows": 1234.0, "pr_auc": 0.31, "log_loss": None, "recall_at_10": 0.25}, {"pr_auc": 0.11, "log_loss": 0.07}
    slices = {"category": {"<lamps>": {"lightgbm": mine, "own_popular": other}}, "users": {"cold": {"lightgbm": mine}}}
    section = render(_judged(slices=slices)).split("<details>")[1].split("</details>")[0]
    assert "in slices: 2" in section
    for told in ("&lt;lamps&gt;", "1,234", "0.3100", "0.1100", "0.07000", "0.2500"):
        assert told in section, told
    assert section.index("cold") < section.index("lamps"), "users before categories"
    assert "<details>" not in render(_page())


def _judged(metrics: Metrics | None = None, **of_period: object) -> Page:
    """The page with more said of its champion."""
    first = Scored(name="lightgbm", label="lightgbm", is_model=True, metrics=metrics or _metrics(0.05, 0.8), ranking=_ranking())
    return _page(periods=(Period(name="Test", as_of="2024-02-02", about="about", scorers=(first,), **of_period),))  # type: ignore[arg-type]


def _brought(name: str, gain: Change | None) -> Brought:
    figures = {"pr_auc": 0.21, "log_loss": 0.05, "roc_auc": 0.8, "recall": None, "ndcg": 0.4, "ece": 0.001}
    return Brought(name=name, features=12, seconds=3.4, pr_auc_gain=gain, ndcg_gain=None, **figures)


def test_what_groups_bring_is_shown_where_it_was_found() -> None:
    assert "What each feature group brings" not in render(_page())
    sure, unsure, worse = (
        Change(value=0.02, low=0.01, high=0.03),
        Change(value=0.0, low=-0.01, high=0.01),
        Change(value=-0.02, low=-0.03, high=-0.01),
    )
    groups = (_brought("first", None), _brought("first + <a>", sure), _brought("first + b", unsure), _brought("all", worse))
    page = render(_page(groups=groups, groups_as_of="2024-02-02"))
    section = page.split("What each feature group brings")[1].split("<h2>")[0]
    assert "2024-02-02" in section
    assert "first + &lt;a&gt;" in section
    assert "<td>+0.0200</td>" in section
    assert section.count("<circle") == 3, "the first set has no gain over itself, and no gain in NDCG is known"
    colours = [section.count(f'stroke="{plots.COLOURS[n]}"') for n in (4, 2, 5)]
    assert colours == [1, 1, 1], "a gain, neither, a loss"
    unknown = dict.fromkeys(("pr_auc", "log_loss", "roc_auc", "recall", "ndcg", "ece", "seconds"))
    failed = Brought(name="gaps", features=12, problem="too <wide>", **unknown)
    page = render(_page(groups=(*groups, failed), groups_as_of="2024-02-02"))
    assert '<td class="text">too &lt;wide&gt;</td>' in page
