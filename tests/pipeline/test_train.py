"""Who trains and who calibrates: together all rows, never the same one; and what becomes of a model that a baseline beats."""

from collections.abc import Callable
from datetime import date
from types import SimpleNamespace

import pytest
from pyspark.sql import DataFrame

from propensity_spark import cli
from propensity_spark.loading import from_mapping
from propensity_spark.pipeline import train
from propensity_spark.pipeline.train import _parts, _unused
from propensity_spark.progress import Progress
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


def test_only_columns_that_a_family_an_encoder_or_the_calibration_reads_stay_in_the_rows() -> None:
    both, plain = {"candidate_source", "category"}, from_mapping({})
    assert _unused(plain, ["lightgbm", "logistic"]) == both
    assert _unused(plain, ["lightgbm", "network"]) == _unused(plain, ["split"]) == {"candidate_source"}
    others = {"models": {"network": {"embeddings": {"columns": ["product_id"]}}, "split": {"column": "user_region"}}}
    assert _unused(from_mapping(others), ["network", "split"]) == both
    read = {"encoders": [{"column": "candidate_source", "how": "one_hot", "levels": 2}]}
    assert _unused(from_mapping(read), ["lightgbm"]) == {"category"}
    assert _unused(from_mapping({"calibration": {"by": ["exists", "category"]}}), ["lightgbm"]) == {"candidate_source"}


def _judged(loss: float, other: float) -> dict:
    figures = {name: {"log_loss": value, "ece": 0.001} for name, value in (("lightgbm", loss), ("logistic", other), ("own", 0.05))}
    return {"metrics": figures, "intervals": {"lightgbm": {"ece_gain_low": -0.1}}}


@pytest.mark.parametrize(
    ("loss", "gate", "promoted", "said"),
    [
        (0.04, "true", True, ""),
        (0.06, "true", False, "the log loss of lightgbm on the test, 0.06000, is above the 0.05000 of the best baseline, own"),
        (0.06, "false", True, ""),
    ],
)
def test_a_refused_run_is_logged_and_ends_the_command_in_one_line_with_exit_code_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], loss: float, gate: str, promoted: bool, said: str
) -> None:
    done: list[object] = []
    procedure = Procedure((OLD, NEW), SCORED)
    moment = SimpleNamespace(timeline=SimpleNamespace(learnt=(OLD,), final=procedure, rehearsal=procedure, as_of=SCORED))
    for name in ("learnt_rows", "check_sufficient", "_prepared", "_parts"):
        monkeypatch.setattr(train, name, lambda *_: None)
    monkeypatch.setattr(train, "_counts", lambda _: {})
    monkeypatch.setattr(train.audit, "check", lambda *_: "")
    monkeypatch.setattr(train.judging, "most_popular", lambda _: 1.0)
    monkeypatch.setattr(train, "_rehearse", lambda *_: _judged(loss, 0.045))
    monkeypatch.setattr(train, "_log", lambda *given: done.append(given[-1]) or SimpleNamespace(run_id="r"))
    monkeypatch.setattr(train.figures, "write", lambda *given: done.append(given[-1]))
    config = from_mapping({"promotion": {"gate": gate == "true"}})
    code = cli.guarded(lambda: train.run(None, config, moment, Progress(quiet=True)) and 0)
    assert (done[0].promoted, done[1]) == (promoted, "r"), "logged and written, whatever the verdict"
    assert code == (cli.DONE if promoted else cli.MISTAKE)
    told = capsys.readouterr().err
    if promoted:
        assert told == ""
        return
    assert told.startswith(f"propensity: not_promoted: {said}")
    assert len(told.splitlines()) == 1
    assert "gold.propensity stays as it was" in told
    assert "--set models.champion=logistic would pass" in told
