"""Every row rule on its boundary: null for the last good value, a reason for the first bad one."""

from collections.abc import Callable, Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from propensity_spark.config import QualityConfig, RuleConfig
from propensity_spark.ingest import quality

Make = Callable[..., DataFrame]
RULES = QualityConfig()
NO_PRICE, NO_QUANTITY = "price is zero or negative", "quantity is zero or negative"


def _answers(frame: DataFrame, rule: Column) -> list[object]:
    return [row[0] for row in frame.orderBy("n").select(rule).collect()]


def _numbered(table: Make, ddl: str, rows: Sequence[tuple]) -> DataFrame:
    return table(f"n INT, {ddl}", *((number, *row) for number, row in enumerate(rows)))


def test_a_missing_part_is_named(table: Make) -> None:
    frame = _numbered(table, "user STRING", [("ann",), (None,)])
    assert _answers(frame, quality.missing(F.col("user"), "user")) == [None, "user is missing"]


def test_only_a_part_that_is_there_can_be_unreadable(table: Make) -> None:
    said = ["2", None, "", "  ", "two", "x" * 41]
    frame = _numbered(table, "said STRING", [(text,) for text in said])
    expected = [None, None, None, None, "price cannot be read: two", "price cannot be read: " + "x" * 40]
    assert _answers(frame, quality.unparsable(F.col("said"), F.col("said").cast("double"), "price")) == expected


def test_a_time_may_be_a_day_before_the_earliest_and_an_hour_after_its_arrival(table: Make) -> None:
    arrived = "2024-03-02 12:00:00"
    early, late = "time lies before 2000-01-01", "time lies in the future"
    cases = [
        ("1970-01-01 00:00:00", early),
        ("1999-12-30 23:59:59.999", early),
        ("1999-12-31 00:00:00", None),
        ("2024-03-02 13:00:00", None),
        ("2024-03-02 13:00:00.001", late),
        ("9999-12-31 00:00:00", late),
        (None, None),
    ]
    frame = _numbered(table, "at TIMESTAMP, arrived TIMESTAMP", [(at, arrived) for at, _ in cases])
    found = _answers(frame, quality.reasons(*quality.outside(F.col("at"), F.col("arrived"), RULES)))
    assert found == [[reason] if reason else [] for _, reason in cases]


def test_the_future_begins_where_the_configuration_says(table: Make) -> None:
    noon = "2024-03-02 12:00:00"
    frame = _numbered(table, "at TIMESTAMP, arrived TIMESTAMP", [(noon, noon), ("2024-03-02 12:00:01", noon)])
    strict = quality.outside(F.col("at"), F.col("arrived"), QualityConfig(future_minutes=0))
    assert _answers(frame, quality.reasons(*strict)) == [[], ["time lies in the future"]]


def test_an_unknown_event_says_what_it_said(table: Make) -> None:
    rows = [("buy", "purchase"), ("gaze", None), (None, None), ("y" * 41, None)]
    expected = [
        None,
        "event type is unknown: gaze",
        "event type is unknown: nothing",
        "event type is unknown: " + "y" * 40,
    ]
    frame = _numbered(table, "said STRING, event STRING", rows)
    assert _answers(frame, quality.unknown_event(F.col("said"), F.col("event"))) == expected


AMOUNTS = [
    ("purchase", None, None, []),
    ("purchase", 0.01, 0.01, []),
    ("purchase", 0.0, 1.0, [NO_PRICE]),
    ("purchase", -0.01, 1.0, [NO_PRICE]),
    ("purchase", 1.0, 0.0, [NO_QUANTITY]),
    ("purchase", 1.0, -1.0, [NO_QUANTITY]),
    ("purchase", -1.0, -1.0, [NO_QUANTITY, NO_PRICE]),
    ("purchase", 10_000_000.0, 1.0, []),
    ("purchase", 10_000_000.01, 1.0, ["price is above 1e+07"]),
    ("view", 0.0, 0.0, []),
    ("view", -0.01, None, ["price is negative"]),
    ("cart", -0.01, -1.0, ["price is negative"]),
    ("return", -5.0, -5.0, []),
    ("return", 0.0, 0.0, []),
    ("return", -10_000_001.0, 1.0, ["price is above 1e+07"]),
]


def test_amounts_that_no_sale_has_are_refused(table: Make) -> None:
    frame = _numbered(table, "event STRING, price DOUBLE, quantity DOUBLE", [row[:3] for row in AMOUNTS])
    rules = quality.amounts(F.col("event"), F.col("price"), F.col("quantity"), RULES)
    for row, found in zip(AMOUNTS, _answers(frame, quality.reasons(*rules)), strict=True):
        assert found == row[3], row


def test_a_price_or_quantity_that_is_no_finite_number_is_refused(table: Make) -> None:
    rows = [(p, q) for p, q in [(1.0, float("nan")), (1.0, float("inf")), (float("nan"), 1.0), (float("inf"), 1.0)]]
    frame = _numbered(table, "price DOUBLE, quantity DOUBLE", rows)
    rules = quality.amounts(F.lit("purchase"), F.col("price"), F.col("quantity"), RULES)
    for row, found in zip(rows, _answers(frame, quality.reasons(*rules)), strict=True):
        assert found, row


def test_a_rule_of_the_shop_refuses_only_where_it_certainly_holds(table: Make) -> None:
    frame = _numbered(table, "stock INT", [(2,), (3,), (None,)])
    rule = RuleConfig(name="too many", reject_when="stock > 2")
    assert _answers(frame, quality.own(rule)) == [None, "too many", None]


def test_a_cut_line_is_named_once(table: Make) -> None:
    frame = _numbered(table, "_corrupt STRING", [(None,), ("",), ("ann,mu",)])
    told = "the line is cut off or has too many or too few fields"
    assert _answers(frame, quality.corrupt("_corrupt")) == [None, told, told]


def test_all_reasons_are_kept_in_the_order_of_the_rules(table: Make) -> None:
    frame = _numbered(table, "a INT, b INT", [(1, 1), (None, 1), (None, None)])
    both = quality.reasons(quality.missing(F.col("a"), "a"), quality.missing(F.col("b"), "b"))
    assert _answers(frame, both) == [[], ["a is missing"], ["a is missing", "b is missing"]]
    assert _answers(frame.limit(1), quality.reasons(F.lit(None).cast("string"))) == [[]]
