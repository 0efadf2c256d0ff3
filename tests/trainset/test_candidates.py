"""Which pairs are candidates: caps, ties, sources, and nothing of the future."""

from collections.abc import Callable
from datetime import date

from chispa.dataframe_comparer import assert_df_equality
from pyspark.sql import DataFrame, Row

from propensity_spark.config import CandidateConfig, FeatureConfig
from propensity_spark.features import compute
from propensity_spark.features.definitions import feature_set
from propensity_spark.trainset.candidates import candidates
from propensity_spark.trainset.collaborative import Learning, history
from propensity_spark.trainset.sources import popular, touched

Make = Callable[..., DataFrame]
DAY, OTHER = "2024-04-01", "2024-05-01"
PEOPLE = "as_of DATE, user_id STRING"
PAIRS = "as_of DATE, user_id STRING, product_id STRING, pair_seen_last FLOAT"
PAST = "as_of DATE, user_id STRING, product_id STRING, age INT, bought BOOLEAN, interest FLOAT"
LEARNING = Learning(horizon_days=28, half_life_days=120.0, seed=1)
PRODUCTS = "as_of DATE, product_id STRING, product_buyers_recent FLOAT"


def _by_pair(frame: DataFrame) -> dict[tuple[str, str, str], Row]:
    rows = frame.collect()
    found = {(str(r.as_of), r.user_id, r.product_id): r for r in rows}
    assert len(found) == len(rows), "a pair is a candidate once"
    return found


def test_the_latest_touched_are_kept_ties_go_to_the_smaller_product(table: Make) -> None:
    pairs = table(
        PAIRS,
        (DAY, "ann", "c", 1.0),
        (DAY, "ann", "b", 2.0),
        (DAY, "ann", "a", 2.0),  # ties with b for the last place
        (DAY, "bob", "edge", 30.0),  # exactly touched_days
        (DAY, "bob", "old", 30.01),
        (DAY, "cat", "a", 1.0),  # nobody scores cat
        (OTHER, "ann", "z", 1.0),  # nor ann at this date
    )
    config = CandidateConfig(touched=2, touched_days=30)
    found = touched(table(PEOPLE, (DAY, "ann"), (DAY, "bob"), (OTHER, "bob")), pairs, config)
    assert {key[1:] for key in _by_pair(found)} == {("ann", "c"), ("ann", "a"), ("bob", "edge")}


def test_the_most_bought_are_popular_per_date_and_nothing_that_nobody_bought(table: Make) -> None:
    products = table(
        PRODUCTS,
        (DAY, "c", 5.0),
        (DAY, "b", 3.0),
        (DAY, "a", 3.0),  # ties with b for the last place
        (OTHER, "d", 1.0),
        (OTHER, "e", 0.0),
        (OTHER, "f", None),
    )
    found = {(str(r.as_of), r.product_id) for r in popular(products, CandidateConfig(popular=2)).collect()}
    assert found == {(DAY, "c"), (DAY, "a"), (OTHER, "d")}


def test_a_pair_names_all_its_sources_and_carries_its_scores(table: Make) -> None:
    people = table(PEOPLE, (DAY, "ann"), (DAY, "new"))
    bought = [(DAY, user, product, 1, True, 1.0) for user in ("u1", "u2") for product in ("lamp", "bulb")]
    past = table(PAST, *bought, (DAY, "ann", "lamp", 1, True, 1.0), (DAY, "ann", "seen", 1, False, 0.2))
    pairs = table(PAIRS, (DAY, "ann", "lamp", 1.0), (DAY, "ann", "seen", 1.0), (DAY, "u1", "lamp", 1.0))
    products = table(PRODUCTS, (DAY, "lamp", 3.0), (DAY, "bulb", 2.0))
    known = {"pair": pairs, "product": products}
    found = _by_pair(candidates(people, known, past, CandidateConfig(due=0), LEARNING))
    assert {key[1:]: row.candidate_source for key, row in found.items()} == {
        ("ann", "lamp"): "touched+popular",  # it does not go together with itself, and is not new to her
        ("ann", "seen"): "touched",
        ("ann", "bulb"): "popular+together+als+affinity",
        ("new", "lamp"): "popular",  # nothing is known of her
        ("new", "bulb"): "popular",
    }
    assert found[DAY, "ann", "bulb"].together_score > 0
    assert {row.together_score for key, row in found.items() if key[1:] != ("ann", "bulb")} == {0.0}
    assert found[DAY, "ann", "lamp"].als_score > found[DAY, "ann", "bulb"].als_score > 0
    assert found[DAY, "new", "lamp"].als_score is None
    untold = {(row.affinity, row.following_score) for row in found.values()}
    assert untold == {(None, None)}, "nobody bought anything a horizon ago"
    alone = CandidateConfig(popular=0, touched=0, als=0, affinity=0, due=0)
    by_one = _by_pair(candidates(people, known, past, alone, LEARNING))
    assert {key[1:]: row.candidate_source for key, row in by_one.items()} == {("ann", "bulb"): "together"}
    plain = CandidateConfig(together=0, als=0, affinity=0, due=0)
    assert len(_by_pair(candidates(people, known, past, plain, LEARNING))) == 5


def test_what_is_excluded_takes_no_place_in_any_list_and_is_learnt_from_all_the_same(table: Make) -> None:
    people = table(PEOPLE, (DAY, "ann"), (OTHER, "ann"))
    goods = ("bulb", "lamp", "mug", "rug")
    past = [(day, user, product, 1, True, 1.0) for day in (DAY, OTHER) for user in ("u1", "u2") for product in goods] + [
        (day, "ann", "lamp", 1, True, 1.0) for day in (DAY, OTHER)
    ]
    pairs = table(PAIRS, *((day, "ann", product, 1.0) for day in (DAY, OTHER) for product in ("bulb", "lamp")))
    products = table(PRODUCTS, *((day, product, 9.0 - n) for day in (DAY, OTHER) for n, product in enumerate(goods)))
    one_each = CandidateConfig(touched=1, popular=1, together=1, als=1, affinity=1, due=0)
    known = {"pair": pairs, "product": products}
    excluded = table("as_of DATE, product_id STRING", (DAY, "bulb"))
    found = _by_pair(candidates(people, known, table(PAST, *past), one_each, LEARNING, excluded))
    sources = {key[::2]: row.candidate_source for key, row in found.items()}
    assert {key for key in sources if key[0] == DAY} == {(DAY, "lamp"), (DAY, "mug")}
    assert sources[DAY, "lamp"] == "touched+popular", "the next one takes the place"
    assert sources[DAY, "mug"] == "together+als+affinity"
    assert sources[OTHER, "bulb"] == "touched+popular+together+als+affinity", "it is excluded at its date alone"
    without = [row for row in past if row[2] != "bulb"]
    assert (
        found[DAY, "ann", "mug"].als_score
        != _by_pair(candidates(people, known, table(PAST, *without), one_each, LEARNING, excluded))[DAY, "ann", "mug"].als_score
    )


EVENT = (
    "event_id STRING, user_id STRING, product_id STRING, event STRING, event_ts TIMESTAMP, event_date DATE, price DOUBLE, "
    "quantity DOUBLE, amount DOUBLE, order_id STRING, session_no INT, known_ts TIMESTAMP, "
    "cancelled_ts TIMESTAMP, cancelled_known_ts TIMESTAMP, is_bot BOOLEAN"
)
SET = feature_set(FeatureConfig(windows=(28,)), frozenset({"purchase"}), 28)


def _purchase(user: str, product: str, ts: str, day: str, cancelled: str | None = None) -> tuple[object, ...]:
    key = f"{user}{product}{ts}"
    return (key, user, product, "purchase", ts, day, 1.0, 1.0, 1.0, key, 1, ts, cancelled, cancelled, False)


BEFORE = [
    *(_purchase(user, product, f"{DAY} 03:59:59.999999", "2024-03-31") for user in ("u1", "u2") for product in ("a", "b")),
    _purchase("ann", "a", "2024-03-04 04:00:00", "2024-03-04"),  # the first instant of the window
    _purchase("ann", "gone", "2024-03-20 12:00:00", "2024-03-20", cancelled=f"{DAY} 03:59:59.999999"),
    _purchase("ann", "stands", "2024-03-20 12:00:00", "2024-03-20", cancelled=f"{DAY} 04:00:00"),
]
FUTURE = [
    _purchase("u1", "late", f"{DAY} 04:00:00", DAY),  # exactly at the shop's midnight
    _purchase("u2", "late", "2024-04-02 12:00:00", "2024-04-02"),
    _purchase("ann", "late", "2024-04-02 12:00:00", "2024-04-02"),
]


def _candidates(events: DataFrame) -> DataFrame:
    """Candidates as of DAY, from events, in New York."""
    as_of = compute.moments(events, [date.fromisoformat(DAY)], "America/New_York")
    seen = compute.as_seen(compute.mark_firsts(events), as_of, 365)
    measured = compute.measure_pairs(seen, SET.measures)
    pairs = compute.pair_features(measured, SET.pair)
    products = compute.roll_up(measured, ("as_of", "product_id"), SET.product)
    people = seen.select("as_of", "user_id").distinct()
    return candidates(people, {"pair": pairs, "product": products}, history(seen, 300), CandidateConfig(), LEARNING)


def test_rows_at_or_after_as_of_change_no_candidate(table: Make) -> None:
    before = _candidates(table(EVENT, *BEFORE)).persist()
    after = _candidates(table(EVENT, *BEFORE, *FUTURE))
    assert_df_equality(before, after, ignore_row_order=True, ignore_nullable=True)
    sources = {key[1:]: row.candidate_source for key, row in _by_pair(before).items()}
    before.unpersist()
    assert sources["ann", "b"] == "popular+together+als+affinity"
    assert sources["ann", "stands"] == "touched+popular"
    assert sources["ann", "gone"] == "touched"  # taken back before as_of: nobody bought it
    assert ("u1", "gone") not in sources
