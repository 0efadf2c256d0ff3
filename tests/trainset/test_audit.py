"""A feature that knows the label is found by its figures, which are those of scikit-learn; an honest one is left in peace."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession
from sklearn.metrics import roc_auc_score

from propensity_spark.config import AuditConfig
from propensity_spark.trainset.audit import LEAK, LOOK, OK, UNKNOWN, Audited, Finding, audit, judged, leaks
from propensity_spark.trainset.figures import Counts, figures

CONFIG = AuditConfig(min_rows=20, min_positives=5)
FIRST, MIDDLE, LAST = "2024-03-01", "2024-03-15", "2024-04-01"
ROWS = 3000


@pytest.fixture(scope="module")
def shop() -> pd.DataFrame:
    """Training rows with one leak of each kind that figures can show, and honest features beside them."""
    random = np.random.default_rng(5)
    label = (random.random(ROWS) < 0.2).astype(int)
    honest = (random.normal(size=ROWS) + label).astype("float32")
    made = pd.DataFrame({"label": label, "weight": np.where(label == 1, 1.0, 5.0), "honest": honest})
    made["as_of"] = np.array([FIRST, MIDDLE, LAST])[np.arange(ROWS) % 3]
    made["user_id"], made["product_id"] = [f"u{n}" for n in range(ROWS)], "p"
    made["knows"] = -(label + random.normal(size=ROWS) / 4).astype("float32")
    made["ties"] = np.floor(honest * 2).clip(-4, 6).astype("float32")  # no rare values
    made["holes"] = made["ties"].where(random.random(ROWS) < 0.7)
    made["filled_later"] = np.where(label == 1, random.random(ROWS), np.nan)
    made["filled_sometimes"] = np.where((label == 1) & (random.random(ROWS) < 0.4), random.random(ROWS), np.nan)
    made["moves"] = honest + np.where(made["as_of"] == LAST, 2.0, 0.0)
    made["one"], made["never"] = 3.0, np.nan
    made["seldom"] = np.where(np.arange(ROWS) == 7, honest, np.nan)
    made["one_or_none"] = np.where(random.random(ROWS) < 0.5, 3.0, np.nan)
    return made


@pytest.fixture(scope="module")
def audited(spark: SparkSession, shop: pd.DataFrame) -> dict[str, Audited]:
    names = [c for c in shop.columns if c not in ("as_of", "user_id", "product_id", "label", "weight")]
    return {each.figures.feature: each for each in audit(_frame(spark, shop), names, CONFIG, ROWS)}


def _frame(spark: SparkSession, shop: pd.DataFrame) -> DataFrame:
    return (
        spark.createDataFrame(shop).selectExpr("*", "CAST(as_of AS DATE) AS _day").drop("as_of").withColumnRenamed("_day", "as_of")
    )


def _sklearn(shop: pd.DataFrame, value: pd.Series) -> float:
    known = value.notna()
    one_sided = roc_auc_score(shop["label"][known], value[known], sample_weight=shop["weight"][known])
    return max(one_sided, 1 - one_sided)


def _finding(each: Audited, check: str) -> Finding:
    return next(finding for finding in each.findings if finding.check == check)


@pytest.mark.parametrize("name", ["honest", "knows", "ties", "holes", "moves"])
def test_the_auc_is_that_of_scikit_learn(shop: pd.DataFrame, audited: dict[str, Audited], name: str) -> None:
    assert audited[name].figures.auc == pytest.approx(_sklearn(shop, shop[name]), abs=1e-12)
    assert audited[name].figures.levels == shop[name].nunique()


def test_what_is_missing_is_a_feature_of_its_own(shop: pd.DataFrame, audited: dict[str, Audited]) -> None:
    for name in ("holes", "filled_later", "filled_sometimes", "honest"):
        absent = shop[name].isna()
        assert audited[name].figures.missing_auc == pytest.approx(_sklearn(shop, absent.astype(float)), abs=1e-12)
        assert audited[name].figures.coverage == pytest.approx(np.average(~absent, weights=shop["weight"]), abs=1e-12)


@pytest.mark.parametrize(
    ("name", "check", "says"),
    [
        ("knows", "auc", "alone it tells bought pairs from others with an AUC of 0.99"),
        ("filled_later", "missing", "rows with a value were bought"),
        ("filled_sometimes", "missing", "rows with a value were bought"),
    ],
)
def test_a_feature_that_knows_the_label_is_a_leak(audited: dict[str, Audited], name: str, check: str, says: str) -> None:
    assert audited[name].verdict == LEAK
    assert _finding(audited[name], check).verdict == LEAK
    assert says in _finding(audited[name], check).says


def test_only_the_leaks_are_called_leaks(audited: dict[str, Audited]) -> None:
    found = leaks((f for each in audited.values() for f in each.findings), [])
    assert {f.feature for f in found} == {"knows", "filled_later", "filled_sometimes"}
    assert {f.feature for f in leaks(found, ["knows", "filled_later"])} == {"filled_sometimes"}
    assert {audited[name].verdict for name in ("honest", "ties", "holes")} == {OK}


def test_a_constant_and_a_drift_deserve_a_look(audited: dict[str, Audited]) -> None:
    assert [name for name, each in audited.items() if each.figures.constant] == ["one", "never"]
    assert _finding(audited["one"], "constant").verdict == _finding(audited["never"], "constant").verdict == LOOK
    assert (audited["never"].figures.coverage, _finding(audited["never"], "coverage").verdict) == (0, OK)  # said once
    assert _finding(audited["seldom"], "coverage").verdict == LOOK
    assert [n for n, each in audited.items() if _finding(each, "drift").verdict == LOOK] == ["moves"]
    assert FIRST in _finding(audited["moves"], "drift").says
    assert LAST in _finding(audited["moves"], "drift").says


def test_an_auc_between_the_limits_deserves_a_look(audited: dict[str, Audited]) -> None:
    for limits, verdict in (((0.5, 0.7), LEAK), ((0.7, 0.9), LOOK), ((0.9, 0.95), OK)):
        config = AuditConfig(suspicious_auc=limits[0], leak_auc=limits[1], min_rows=20, min_positives=5)
        assert _finding(judged(audited["honest"].figures, config), "auc").verdict == verdict


def test_history_that_nearly_all_purchases_have_is_no_leak(spark: SparkSession, shop: pd.DataFrame) -> None:
    """Whoever wears contact lenses buys them again, and hardly anything else."""
    draw = np.random.default_rng(2)
    again = shop.assign(days=np.where((shop["label"] == 1) | (draw.random(ROWS) < 0.01), draw.random(ROWS), np.nan))
    config = AuditConfig(min_rows=20, min_positives=5, leak_missing_auc=0.98)
    (plain,) = audit(_frame(spark, again), ["days"], config, ROWS)
    (known,) = audit(_frame(spark, again), ["days"], config, ROWS, of_history=["days"])
    assert (_finding(plain, "missing").verdict, _finding(known, "missing").verdict) == (LEAK, LOOK)
    assert "nearly all purchases are of what has a history" in _finding(known, "missing").says
    assert [f.verdict for f in known.findings if f.check != "missing"] == [
        f.verdict for f in plain.findings if f.check != "missing"
    ]


def test_a_fit_that_nearly_all_purchases_have_is_no_leak(audited: dict[str, Audited]) -> None:
    """Whoever buys the same two products again and again: no other fits the past as they do."""
    for auc, verdict in ((0.9899, LOOK), (0.99, LOOK), (0.9994, LOOK), (0.9996, LEAK), (1.0, LEAK)):
        figures = replace(audited["knows"].figures, auc=auc)
        plain, fit = (judged(figures, CONFIG, fits=fits) for fits in (False, True))
        assert _finding(fit, "auc").verdict == verdict, "a fit that knows the label tells it without a fault"
        assert _finding(plain, "auc").verdict == (LEAK if auc >= 0.99 else LOOK)
        assert [f for f in fit.findings if f.check != "auc"] == [f for f in plain.findings if f.check != "auc"]
    assert "what fits best by the user's past" in _finding(judged(replace(figures, auc=0.99), CONFIG, fits=True), "auc").says


def test_too_few_to_tell_is_unknown_and_not_fine(spark: SparkSession, shop: pd.DataFrame) -> None:
    few = shop.sort_values("label", ascending=False, kind="stable").groupby("label").head(19)
    measured = figures(_frame(spark, few), ["knows"], 1.0)["knows"]
    each = judged(measured, AuditConfig(min_rows=20, min_positives=20))
    assert _finding(each, "auc").verdict == _finding(each, "missing").verdict == UNKNOWN
    assert _finding(each, "auc").value is None
    assert "38 rows with a value, 19 of them bought" in _finding(each, "auc").says
    assert _finding(judged(measured, AuditConfig(min_rows=38, min_positives=19)), "auc").verdict == LEAK
    one_date = audit(_frame(spark, shop[shop["as_of"] == FIRST]), ["moves"], CONFIG, ROWS)[0]
    assert _finding(one_date, "drift").verdict == UNKNOWN
    assert one_date.figures.psi is None
    nothing = audit(_frame(spark, shop).where("false"), ["knows"], CONFIG, 0)[0]
    assert nothing.verdict == UNKNOWN
    assert (nothing.figures.whole, nothing.figures.coverage, nothing.figures.auc) == (Counts(), None, None)


def test_no_more_than_the_configured_rows_are_looked_at(spark: SparkSession, shop: pd.DataFrame) -> None:
    """And the same ones again, whatever the order and the layout of the rows."""
    few = AuditConfig(min_rows=20, min_positives=5, max_rows=600)
    once = audit(_frame(spark, shop), ["honest", "holes"], few, ROWS)
    assert once == audit(_frame(spark, shop.iloc[::-1]).repartition(7), ["honest", "holes"], few, ROWS)
    assert 500 < once[0].figures.whole.rows < 700
    assert once[0].figures.auc == pytest.approx(_sklearn(shop, shop["honest"]), abs=0.08)


def test_a_feature_more_is_no_job_more(spark: SparkSession, shop: pd.DataFrame) -> None:
    def jobs(names: Sequence[str]) -> int:
        scheduler = spark.sparkContext._jsc.sc().dagScheduler()
        before = scheduler.numTotalJobs()
        audit(rows, names, CONFIG, ROWS)
        return int(scheduler.numTotalJobs() - before)

    rows = _frame(spark, shop).localCheckpoint()
    assert jobs(["ties"]) == jobs(["ties", "holes", "honest", "knows", "moves", "one", "never", "seldom"]) <= 2


def test_rows_without_a_label_say_nothing(spark: SparkSession, shop: pd.DataFrame, audited: dict[str, Audited]) -> None:
    unlabelled = _frame(spark, shop).selectExpr(*(c for c in shop.columns if c != "label"), "CAST(NULL AS BIGINT) AS label")
    both = _frame(spark, shop).unionByName(unlabelled)
    assert audit(both, ["ties"], CONFIG, 2 * ROWS)[0] == audited["ties"]


def test_the_drift_of_a_feature_is_that_of_its_tenths(shop: pd.DataFrame, audited: dict[str, Audited]) -> None:
    """Cut by weight over all dates."""
    order = shop.sort_values("moves")
    order["group"] = np.minimum((order["weight"].cumsum() - order["weight"]) / order["weight"].sum() * 10, 9).astype(int)
    shares = order.pivot_table(index="group", columns="as_of", values="weight", aggfunc="sum").fillna(0)
    shares = (shares / shares.sum()).clip(lower=1e-4)
    by_hand = ((shares[LAST] - shares[FIRST]) * np.log(shares[LAST] / shares[FIRST])).sum()
    assert audited["moves"].figures.psi == pytest.approx(by_hand)
