"""Who trains and who calibrates: together all rows, never the same one; and what becomes of a model that a baseline beats."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from types import SimpleNamespace
from typing import Any, cast

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from propensity_spark import cli
from propensity_spark.config import Config, TrainConfig
from propensity_spark.errors import NothingLearnt
from propensity_spark.judge.gate import Verdict
from propensity_spark.loading import from_mapping
from propensity_spark.pipeline import build_features, fitting, parts, train
from propensity_spark.pipeline.parts import bounded, learnt_rows, parted, unused
from propensity_spark.progress import Progress
from propensity_spark.trainset.assemble import inputs
from propensity_spark.trainset.split import Procedure

Make = Callable[..., DataFrame]
OLD, NEW, SCORED = date(2024, 3, 4), date(2024, 4, 1), date(2024, 4, 29)


@pytest.mark.parametrize("counts", [{NEW: (600, 5000, 90)}, {NEW: (600, 30, 9)}, {}])
def test_rows_train_or_calibrate_and_the_ranker_has_them_all(table: Make, counts: dict[date, tuple[int, int, int]]) -> None:
    days = [str(day) for day in (OLD, NEW, SCORED)]
    sampled = table(
        "as_of DATE, user_id STRING, product_id STRING", *((d, f"u{n}", p) for d in days for n in range(300) for p in "ab")
    )
    parts = parted(from_mapping({}), Procedure((OLD, NEW), SCORED), sampled, counts)
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


def test_only_columns_that_a_family_an_encoder_or_the_calibration_reads_stay_in_the_rows() -> None:
    both, plain = {"candidate_source", "category"}, from_mapping({})
    assert unused(plain, ["lightgbm", "logistic"]) == both
    assert unused(plain, ["lightgbm", "network"]) == unused(plain, ["split"]) == {"candidate_source"}
    others = {"models": {"network": {"embeddings": {"columns": ["product_id"]}}, "split": {"column": "user_region"}}}
    assert unused(from_mapping(others), ["network", "split"]) == both
    read = {"encoders": [{"column": "candidate_source", "how": "one_hot", "levels": 2}]}
    assert unused(from_mapping(read), ["lightgbm"]) == {"category"}
    assert unused(from_mapping({"calibration": {"by": ["exists", "category"]}}), ["lightgbm"]) == {"candidate_source"}


def test_a_fit_of_too_many_rows_keeps_fewer_of_what_was_not_bought(
    spark: SparkSession, whole_shop: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    """Dates that keep all candidates and dates that were sampled alike: what stays stands for as many pairs as before."""
    moment = build_features.prepare(spark, whole_shop, date(2024, 4, 30))
    timeline = moment.timeline
    assert set(timeline.learnt) & set(timeline.in_full)
    assert set(timeline.learnt) - set(timeline.in_full)
    assert bounded(spark, whole_shop, moment, Progress(), ["lightgbm"]) is whole_shop, "few enough"
    before = _told(learnt_rows(spark, whole_shop, moment, timeline.learnt, ["lightgbm"]))
    most = int(0.6 * sum(before[day][0] for day in timeline.final.train))
    capsys.readouterr()  # what was said before
    less = bounded(spark, _at_most(whole_shop, most), moment, Progress(), ["lightgbm"])
    said = f"{less.train.negative_rate:g} of what was not bought teaches, not 0.2: train.max_rows is {most:,}"
    assert said in capsys.readouterr().err
    after = _told(learnt_rows(spark, less, moment, timeline.learnt, ["lightgbm"]))
    sizes = [sum(after[day][0] for day in procedure.train) for procedure in (timeline.rehearsal, timeline.final)]
    assert max(sizes) == pytest.approx(most, rel=0.05)
    for day in timeline.learnt:
        assert after[day][1] == before[day][1] > 0, "all that was bought"
        assert after[day][2] == pytest.approx(before[day][2], rel=0.1), "of as many pairs"
    few = bounded(spark, _at_most(whole_shop, 1000), moment, Progress(quiet=True), ["lightgbm"])
    rows = _told(learnt_rows(spark, few, moment, timeline.final.train, ["lightgbm"])).values()
    bought = sum(positives for _, positives, _ in rows)
    assert 2 * bought > 1000
    assert sum(n for n, _, _ in rows) == pytest.approx(2 * bought, rel=0.1), "as many others as were bought"


@pytest.mark.parametrize("how", [{}, {"method": "weights"}, {"method": "over"}, {"method": "smote", "ratio": 20.0}])
@pytest.mark.parametrize("negatives", [{}, {"by": "popularity", "favour": 50.0}, {"by": "exposure", "favour": 1000.0}])
def test_what_is_favoured_or_made_by_balancing_counts_among_the_rows(
    monkeypatch: pytest.MonkeyPatch, how: dict[str, Any], negatives: dict[str, Any]
) -> None:
    """A shop of a million pairs that were not bought, a tenth of them favoured, and a thousand that were."""
    bought, most, day = 1000, 50_000, date(2024, 4, 30)

    def kept(train: TrainConfig) -> float:
        favour = train.negatives.favour if train.negatives.by != "uniform" else 1.0
        return sum(pairs * min(1.0, train.negative_rate * times) for pairs, times in ((900_000, 1.0), (100_000, favour)))

    monkeypatch.setattr(parts, "_most", lambda *_: (most, "few"))
    monkeypatch.setattr(parts.rows, "count_learnt", lambda _, __, train: {day: (int(kept(train)) + bought, bought)})
    procedure = SimpleNamespace(train=(day,))
    timeline = SimpleNamespace(learnt=(day,), rehearsal=procedure, final=procedure)
    moment: Any = SimpleNamespace(timeline=timeline, sampled=lambda train: train)
    config = from_mapping({"train": {"balance": how, "negatives": negatives}})
    made: Any = bounded(cast(Any, None), config, moment, Progress(quiet=True), ["lightgbm"])
    others = kept(made.train)
    times = {"over": others / bought, "smote": 20.0}.get(how.get("method", ""), 1.0)
    assert 0.9 * most < others + bought * times <= 1.1 * most


def test_a_small_machine_learns_from_as_many_rows_as_it_holds(
    spark: SparkSession, whole_shop: Config, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    moment = build_features.prepare(spark, whole_shop, date(2024, 4, 30))
    jvm: Any = spark.sparkContext._jvm
    heap = jvm.java.lang.Runtime.getRuntime().maxMemory()
    width = len(inputs(moment.features)) + sum(encoder.most_columns for encoder in whole_shop.encoders)
    for rows, is_less in ((10_000_000, False), (2000, True)):
        left = int(rows * width * 20 / 0.6) + width
        machine = max(left + heap, 0) if 4 * left > left + heap else 4 * left  # a heap that takes all leaves a quarter
        monkeypatch.setattr(parts.memory, "of_machine", lambda told=machine: told)
        made = bounded(spark, whole_shop, moment, Progress(), ["lightgbm"])
        assert (made.train.negative_rate < whole_shop.train.negative_rate) == is_less
        assert (f"more than {rows:,} rows would not fit into memory" in capsys.readouterr().err) == is_less
    assert bounded(spark, whole_shop, moment, Progress(), ["logistic"]) is whole_shop, "the JVM's heap is its bound"
    assert bounded(spark, whole_shop, moment, Progress(), ["logistic"], ranks=True) is not whole_shop
    monkeypatch.setattr(parts, "is_local", lambda _: False)
    assert bounded(spark, whole_shop, moment, Progress(), ["lightgbm"]) is whole_shop, (
        "executors elsewhere have memory of their own"
    )


def _at_most(config: Config, rows: int) -> Config:
    return replace(config, train=replace(config.train, max_rows=rows))


def _told(rows: DataFrame) -> dict[date, tuple[int, int, float]]:
    """Rows, bought ones, and for how many pairs the others stand, per date."""
    bought = F.col("label") == 1
    found = rows.groupBy("as_of").agg(F.count(F.lit(1)), F.count_if(bought), F.sum(F.when(~bought, F.col("weight"))))
    return {day: (n, positives, weight) for day, n, positives, weight in found.collect()}


def _judged(loss: float, other: float, own: float = 0.05) -> dict:
    losses = {"lightgbm": loss, "logistic": other, "svm": 0.049, "own": own}
    figures = {name: {"log_loss": value, "ece": 0.001, "base_rate": 0.01} for name, value in losses.items()}
    return {"metrics": figures, "intervals": {name: {"ece_gain_low": -0.1} for name in ("lightgbm", "logistic", "svm")}}


@dataclass
class _Ended:
    """What `train.run` did on a shop whose rehearsal says so."""

    code: int
    champion: str
    verdict: Verdict
    tested: list[str]
    written: str = ""
    families: tuple[str, ...] = ("lightgbm", "svm", "logistic")


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> Callable[..., _Ended]:
    """ended(judged, {"svm": "rehearsal"}, gate=False): what the test says of every champion, and what cannot be fitted when."""
    procedure = Procedure((OLD, NEW), SCORED)
    moment = SimpleNamespace(timeline=SimpleNamespace(learnt=(OLD,), final=procedure, rehearsal=procedure, as_of=SCORED))
    for name in ("learnt_rows", "check_sufficient", "parted"):
        monkeypatch.setattr(train, name, lambda *_: None)
    monkeypatch.setattr(fitting, "calibrated", lambda *_: None)
    monkeypatch.setattr(train, "bounded", lambda _, config, *__, **___: config)
    monkeypatch.setattr(train, "counted", lambda _: {})
    monkeypatch.setattr(train.audit, "check", lambda *_: "")
    monkeypatch.setattr(train.judging, "most_popular", lambda _: 1.0)

    def run(judged: dict, broken: Mapping[str, str] = {}, **promotion: bool) -> _Ended:
        done: list = []

        def fit(config: Config, _: object, __: object, what: str, ___: object, needed: str) -> SimpleNamespace:
            failed = {name: "nothing to split on" for name in config.models.families if what in broken.get(name, "")}
            if needed in failed or len(failed) == len(config.models.families):
                raise NothingLearnt("nothing to split on.")
            kept = [name for name in config.models.families if name not in failed]
            return SimpleNamespace(failed=failed, whole=SimpleNamespace(models=dict.fromkeys(kept)))

        monkeypatch.setattr(fitting, "fit", fit)
        tested: list[str] = []
        logged: list[tuple[str, ...]] = []

        def test(_: object, config: Config, *rest: object) -> dict:
            tested.append(config.models.champion)
            return judged

        def log(config: Config, *given: object) -> SimpleNamespace:
            *_, verdict, popular = given
            assert popular == 1.0, "what the baselines' calibration met goes with it"
            done.extend([config.models.champion, verdict])
            logged.append(config.models.families)
            return SimpleNamespace(run_id="r", noted="")

        monkeypatch.setattr(train, "_judged", test)
        monkeypatch.setattr(train, "_log", log)
        monkeypatch.setattr(train.figures, "write", lambda *given: done.append(given[-1]))
        config = from_mapping({"promotion": promotion, "models": {"families": ["lightgbm", "svm", "logistic"]}})
        code = cli.guarded(lambda: train.run(None, config, moment, Progress(quiet=True)) and 0)
        if not done:
            return _Ended(code, "", Verdict(False), tested)
        return _Ended(code, done[0], done[1], tested, *done[2:], families=logged[0])

    return run


REFUSED = "the log loss of lightgbm on the test, 0.06000, is above the 0.05000 of the best baseline, own"


def test_a_champion_below_the_baselines_scores(ended: Callable[..., _Ended], capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(_judged(0.04, 0.03)) == _Ended(cli.DONE, "lightgbm", Verdict(True), ["lightgbm"], "r"), "whatever others reach"
    assert capsys.readouterr().err == ""


def test_in_place_of_a_refused_champion_stands_the_best_family_that_passes_tested_as_a_champion_is(
    ended: Callable[..., _Ended],
) -> None:
    made = ended(_judged(0.06, 0.045))
    assert (made.code, made.champion, made.tested) == (cli.DONE, "logistic", ["lightgbm", "logistic"])
    assert made.verdict.promoted
    assert made.verdict.reason.startswith(f"logistic stands in, since {REFUSED}")
    assert ended(_judged(0.06, 0.0495)).champion == "svm"


@pytest.mark.parametrize(
    ("other", "promotion", "promoted"),
    [(0.045, {"stand_in": False}, False), (0.055, {}, False), (0.045, {"gate": False}, True)],
)
def test_a_refused_run_is_logged_and_ends_the_command_in_one_line_with_exit_code_2(
    ended: Callable[..., _Ended], capsys: pytest.CaptureFixture[str], other: float, promotion: dict, promoted: bool
) -> None:
    judged = _judged(0.06, other)
    judged["metrics"]["svm"] = {"log_loss": 0.07, "ece": 0.0}
    made = ended(judged, **promotion)
    assert (made.champion, made.tested) == ("lightgbm", ["lightgbm"])
    assert (made.verdict.promoted, made.written) == (promoted, "r" if promoted else ""), "logged, whatever the verdict"
    assert made.code == (cli.DONE if promoted else cli.MISTAKE)
    told = capsys.readouterr().err
    if promoted:
        assert told == ""
        return
    assert told.startswith(f"propensity: not_promoted: {REFUSED}")
    assert len(told.splitlines()) == 1
    assert "gold.propensity stays as it was" in told
    assert ("--set models.champion=logistic would pass" in told) == (other < 0.05)


@pytest.mark.parametrize(("rate", "promoted"), [(0.1, True), (0.01, False)])
def test_an_ece_may_be_higher_by_a_share_of_the_observed_rate(rate: float, promoted: bool) -> None:
    judged = _judged(0.04, 0.045)
    judged["metrics"]["lightgbm"] |= {"ece": 0.004, "base_rate": rate}
    judged["intervals"]["lightgbm"] = {"ece_gain_low": 0.001}  # sure
    assert train._verdict(from_mapping({}), judged).promoted == promoted


def test_what_cannot_be_fitted_is_left_out_of_the_run(ended: Callable[..., _Ended]) -> None:
    made = ended(_judged(0.04, 0.03), {"svm": "rehearsal"})
    assert (made.code, made.champion, made.verdict) == (cli.DONE, "lightgbm", Verdict(True))
    assert made.families == ("lightgbm", "logistic")
    assert ended(_judged(0.04, 0.03), {"logistic": "final"}).families == ("lightgbm", "svm")


def test_in_place_of_a_champion_that_cannot_be_fitted_stands_the_first_that_can_be(ended: Callable[..., _Ended]) -> None:
    made = ended(_judged(0.04, 0.03), {"lightgbm": "rehearsal"})
    assert (made.code, made.champion, made.tested) == (cli.DONE, "svm", ["svm"])
    assert made.families == ("svm", "logistic")
    why = "svm stands in, since lightgbm could not be fitted: nothing to split on"
    assert made.verdict == Verdict(True, why)
    refused = _judged(0.04, 0.03)
    refused["metrics"]["svm"]["log_loss"] = 0.06
    made = ended(refused, {"lightgbm": "rehearsal"})
    assert (made.code, made.champion, made.tested) == (cli.DONE, "logistic", ["svm", "logistic"]), "as of any champion"
    assert made.verdict.reason.startswith(f"{why.replace('svm', 'logistic')}; the log loss of svm on the test, 0.06000, is above")


@pytest.mark.parametrize(
    ("broken", "promotion"),
    [
        ({"lightgbm": "rehearsal"}, {"stand_in": False}),
        ({"lightgbm": "final"}, {}),
        (dict.fromkeys(("lightgbm", "svm", "logistic"), "rehearsal"), {}),
    ],
)
def test_without_a_champion_that_was_judged_nothing_is_logged(
    ended: Callable[..., _Ended], capsys: pytest.CaptureFixture[str], broken: dict, promotion: dict
) -> None:
    made = ended(_judged(0.04, 0.03), broken, **promotion)
    assert (made.code, made.champion) == (cli.MISTAKE, "")
    assert capsys.readouterr().err == "propensity: training_failed: nothing to split on.\n"
