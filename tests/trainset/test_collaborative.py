"""What all users did, turned into candidates and scores: who is scored by whose rows, caps, ties and bounds."""

from collections.abc import Callable
from datetime import date
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from propensity_spark.config import CandidateConfig
from propensity_spark.trainset import collaborative as module
from propensity_spark.trainset.collaborative import (
    AFFINITY,
    ALS,
    SCORES,
    TOGETHER,
    Learning,
    collaborative,
    history,
    largest,
    listed,
)
from propensity_spark.trainset.sources import POPULAR, SEGMENT

Make = Callable[..., DataFrame]
DAY, OTHER = "2024-04-01", "2024-05-01"
PEOPLE = "as_of DATE, user_id STRING"
SEEN = "as_of DATE, user_id STRING, product_id STRING, event STRING, age INT"
PAST = "as_of DATE, user_id STRING, product_id STRING, age INT, bought BOOLEAN, interest FLOAT"
ASKED = "as_of DATE, user_id STRING, product_id STRING, source INT"
LEARNING = Learning(horizon_days=28, half_life_days=120.0, seed=1)


def test_history_is_a_row_per_user_product_and_day_and_the_latest_are_kept(table: Make) -> None:
    seen = table(
        SEEN,
        (DAY, "ann", "a", "view", 1),
        (DAY, "ann", "a", "view", 1),
        (DAY, "ann", "a", "purchase", 1),
        (DAY, "ann", "a", "view", 2),
        (DAY, "ann", "b", "cart", 2),
        (DAY, "ann", "c", "favourite", 2),  # one too many: of equal days the smaller products stay
        (DAY, "ann", "d", "return", 1),  # says nothing of what she wants
        (DAY, "bob", "a", "cancelled", 1),
        (OTHER, "ann", "a", "view", 30),
    )
    rows = {(*map(str, row[:3]), row.age): (row.bought, row.interest) for row in history(seen, 3).collect()}
    assert rows == {
        (DAY, "ann", "a", 1): (True, pytest.approx(1.4)),
        (DAY, "ann", "a", 2): (False, pytest.approx(0.2)),
        (DAY, "ann", "b", 2): (False, pytest.approx(0.5)),
        (OTHER, "ann", "a", 30): (False, pytest.approx(0.2)),
    }


@pytest.mark.parametrize(("told", "partitions"), [("200", 1600), ("auto", 32)])
def test_buckets_lie_apart_whatever_the_session_says_of_shuffles(told: str, partitions: int) -> None:
    spark = SimpleNamespace(conf=SimpleNamespace(get=lambda key: told), sparkContext=SimpleNamespace(defaultParallelism=4))
    spread: Any = SimpleNamespace(sparkSession=spark, repartition=lambda count, *by: (count, by))
    assert module._apart(spread) == (partitions, ("as_of", "_bucket"))


def _shop(day: str = DAY) -> list[tuple[object, ...]]:
    """Two kinds of users; each buys what is of its kind."""
    draw = np.random.default_rng(3)
    return [
        (day, f"u{user:02}", f"p{2 * int(draw.integers(0, 8)) + user % 2:02}", int(draw.integers(1, 80)), True, 1.0)
        for user in range(30)
        for _ in range(6)
    ]


def test_a_date_with_nothing_older_than_a_horizon_has_a_shortlist_and_no_affinity(table: Make) -> None:
    """Its logits would have no level, and mean other than those of dates that learnt one."""
    early = [
        (OTHER, user, product, age, *rest) for _, user, product, age, *rest in _shop() if int(str(age)) <= LEARNING.horizon_days
    ]
    past = table(PAST, *{row[:4]: row for row in [*_shop(), *early]}.values())
    people = table(PEOPLE, *{(row[0], row[1]) for row in [*_shop(), *early]})
    found = collaborative(people, past, CandidateConfig(affinity=5), LEARNING, table(ASKED)).toPandas()
    told = found.assign(day=found["as_of"].astype(str), named=found["source"] & AFFINITY > 0).groupby("day")
    assert told["affinity"].count()[OTHER] == 0
    assert told["named"].sum()[OTHER] > 0
    assert told["affinity"].count()[DAY] == told.size()[DAY]


def test_each_date_is_scored_by_itself_and_only_the_population_is(table: Make) -> None:
    past = table(PAST, *{row[:4]: row for row in _shop()}.values(), (OTHER, "u01", "p01", 1, True, 1.0))
    found = collaborative(
        table(PEOPLE, (DAY, "u00"), (DAY, "u01"), (OTHER, "u01")), past, CandidateConfig(affinity=5), LEARNING, table(ASKED)
    )
    rows = found.toPandas()
    assert set(zip(rows["as_of"], rows["user_id"], strict=True)) == {
        (date(2024, 4, 1), "u00"),
        (date(2024, 4, 1), "u01"),
        (date(2024, 5, 1), "u01"),
    }
    alone = rows[rows["as_of"] == date(2024, 5, 1)]
    assert alone["product_id"].tolist() == ["p01"]  # nobody else did anything by then
    assert alone["source"].tolist() == [0]
    first = rows[rows["as_of"] == date(2024, 4, 1)]
    assert (first.groupby("user_id")["source"].agg(lambda s: ((s & AFFINITY) > 0).sum()) == 5).all()
    kinds = first[(first["source"] & ALS) > 0]
    mine = kinds["product_id"].str[1:].astype(int) % 2 == kinds["user_id"].str[1:].astype(int)
    best = kinds[mine]["als_score"].min()
    assert best > kinds[~mine]["als_score"].max()
    own = {tuple(row[1:3]) for row in _shop()}
    is_own = [pair in own for pair in zip(first["user_id"], first["product_id"], strict=True)]
    assert not first[is_own]["source"].map(lambda bits: bits & (ALS | AFFINITY)).any()  # those are for what is new to the user
    assert (first[(first["source"] & TOGETHER) > 0]["together_score"] > 0).all()


def test_many_buckets_give_what_one_gives(table: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user's scores depend on the sample and on her own rows, not on who shares her task."""
    rows = {row[:4]: row for row in _shop()}.values()
    past, people = table(PAST, *rows), table(PEOPLE, *((DAY, f"u{user:02}") for user in range(20)))
    order = ["user_id", "product_id"]
    whole = collaborative(people, past, CandidateConfig(), LEARNING, table(ASKED)).toPandas().sort_values(order, ignore_index=True)
    monkeypatch.setattr(module, "_USERS_A_TASK", 7)
    monkeypatch.setattr(module.affinity, "_BLOCK", 3)
    parts = collaborative(people, past, CandidateConfig(), LEARNING, table(ASKED)).toPandas().sort_values(order, ignore_index=True)
    pd.testing.assert_frame_equal(whole, parts, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("users_a_task", [20_000, 7])
def test_what_others_name_is_scored_as_if_these_had_named_it(
    table: Make, monkeypatch: pytest.MonkeyPatch, users_a_task: int
) -> None:
    monkeypatch.setattr(module, "_USERS_A_TASK", users_a_task)
    monkeypatch.setattr(module.affinity, "_BLOCK", 3)
    past = table(PAST, *{row[:4]: row for row in _shop()}.values())
    users, products = [f"u{user:02}" for user in range(0, 30, 2)], [f"p{product:02}" for product in range(16)]
    people = table(PEOPLE, *((DAY, user) for user in (*users, "new")), (OTHER, "u00"))
    asked = [(DAY, user, product, POPULAR) for user in (*users, "new") for product in (*products, "unlisted")]
    pairs = ["as_of", "user_id", "product_id"]

    def told(most: int, *named: tuple[object, ...]) -> pd.DataFrame:
        config = CandidateConfig(together=most, als=most, affinity=most)
        rows = collaborative(people, past, config, LEARNING, table(ASKED, *named)).toPandas()
        return rows.groupby(pairs).agg({"source": lambda s: np.bitwise_or.reduce(s), **dict.fromkeys(SCORES, "max")}).sort_index()

    by_asking, by_lists = told(0, *asked, (OTHER, "u00", "p01", SEGMENT), (DAY, "u00", "p01", SEGMENT)), told(16)
    known = by_asking[by_asking["als_score"].notna()]
    assert set(known.index) == {(date(2024, 4, 1), user, product) for user in users for product in products}
    pd.testing.assert_frame_equal(known[list(SCORES)], by_lists.loc[known.index, list(SCORES)], rtol=1e-4, atol=1e-5)
    assert by_asking["source"].value_counts().to_dict() == {POPULAR: len(asked) - 1, POPULAR | SEGMENT: 1, SEGMENT: 1}
    unknown = by_asking[by_asking["als_score"].isna()]
    assert unknown[list(SCORES)].isna().all(axis=None)
    assert len(unknown) == len(users) + len(products) + 1 + 1, "what is not listed, who has no past, and a date without one"


def test_a_sample_teaches_and_everyone_is_scored(table: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = {row[:4]: row for row in _shop()}.values()
    monkeypatch.setattr(module, "_SAMPLED_USERS", 15)
    found = collaborative(
        table(PEOPLE, *((DAY, f"u{user:02}") for user in range(30))), table(PAST, *rows), CandidateConfig(), LEARNING, table(ASKED)
    )
    assert found.select("user_id").distinct().count() == 30


@pytest.mark.parametrize(
    ("users", "bought", "of_buyers", "of_others"),
    [
        (20, 5, 1.0, 1.0),  # all of them are sampled
        (100, 10, 1.0, 10 / 90),
        (100, 60, 15 / 60, 5 / 40),  # a quarter of the places stays for others
        (100, 90, 0.2, 0.2),  # there are more buyers than three quarters anyway
        (100, 100, 0.2, 0.2),
        (100, 103, 0.2, 0.2),  # both are estimates
        (100, 0, 0.0, 0.2),
    ],
)
def test_buyers_are_sampled_first_and_a_quarter_of_the_places_is_for_others(
    table: Make, monkeypatch: pytest.MonkeyPatch, users: int, bought: int, of_buyers: float, of_others: float
) -> None:
    monkeypatch.setattr(module, "_SAMPLED_USERS", 20)
    counts = table("users INT, bought INT", (users, bought))
    assert tuple(counts.select(*module._shares(F.col("users"), F.col("bought"))).first() or ()) == (of_buyers, of_others)


def test_the_population_makes_the_buckets_and_buyers_the_sample(table: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many visitors few are scored: a bucket for every so many visitors would learn the same over and over."""
    monkeypatch.setattr(module, "_SAMPLED_USERS", 10)
    monkeypatch.setattr(module, "_USERS_A_TASK", 4)
    buyers, viewers = [f"b{user}" for user in range(6)], [f"v{user:02}" for user in range(60)]
    past = table(
        PAST,
        *((DAY, user, "a", 1, False, 0.2) for user in (*buyers, *viewers)),
        *((DAY, user, "b", 9, True, 1.0) for user in buyers),
        (OTHER, "v00", "a", 1, False, 0.2),  # at a date when nobody is scored
    )
    sizes = module._sizes(past, table(PEOPLE, *((DAY, user) for user in buyers)))
    assert {(str(row.as_of), row._buckets) for row in sizes.collect()} == {(DAY, 2), (OTHER, 1)}
    spread = module._spread(past, table(PEOPLE, *((DAY, user) for user in buyers)), sizes).where(F.col("as_of") == DAY).toPandas()
    sampled = spread[spread["_sampled"]]
    assert (sampled.groupby("user_id")["_bucket"].nunique() == 2).all()
    drawn = set(sampled["user_id"])
    assert set(buyers) < drawn, "every buyer, and some others"
    assert len(drawn) < 20
    assert spread[spread["_scored"].fillna(False)].groupby("user_id")["_bucket"].nunique().to_dict() == dict.fromkeys(buyers, 1)
    told = sampled.groupby(sampled["user_id"].isin(buyers))["_stands_for"].agg(["min", "max"])
    assert told.loc[True].tolist() == [1.0, 1.0]
    assert told.loc[False].tolist() == pytest.approx([15.0, 15.0], rel=0.05), "60 others or so, of whom 4 are to be sampled"


def test_the_most_wanted_products_are_listed_ties_go_to_the_smaller(table: Make) -> None:
    sample = pd.DataFrame(
        {
            "product_id": ["d", "c", "b", "a", "a", "e"],
            "interest": [1.0, 1.0, 1.0, 0.6, 0.6, 4.0],
            "age": [10, 10, 10, 10, 10, 400],  # e was wanted long ago
        }
    )
    assert listed(sample, 3, half_life_days=60.0).tolist() == ["a", "b", "c"]
    assert listed(sample, 10, half_life_days=60.0).tolist() == ["a", "b", "c", "d", "e"]


@pytest.mark.parametrize(
    ("horizon", "half_life", "expected"),
    [(28, 120.0, 28.0), (60, 120.0, 60.0), (200, 120.0, 120.0), (3, 120.0, 28.0), (1, 4.0, 4.0)],
)
def test_interest_lists_products_for_a_horizon_within_weeks_and_tastes(horizon: int, half_life: float, expected: float) -> None:
    assert Learning(horizon_days=horizon, half_life_days=half_life, seed=1).listing_half_life_days == expected


def test_what_is_on_sale_now_is_listed_before_what_sold_more_last_season() -> None:
    """Ten products sold three times as often two months ago; ten sell now, and all fit in once there is room for twenty."""
    rows = [
        (f"u{user:02}", f"{season}{(user + n) % 10}", age + n, True, np.float32(1))
        for season, times, age in (("old", 9, 60), ("new", 3, 1))
        for user in range(10)
        for n in range(times)
    ]
    bucket = pd.DataFrame(rows, columns=["user_id", "product_id", "age", "bought", "interest"]).assign(
        as_of=date(2024, 4, 1), excluded=False, _scored=True, _sampled=True, _stands_for=np.float32(1)
    )
    asked = bucket[["as_of", "user_id"]].drop_duplicates().merge(bucket[["product_id"]].drop_duplicates(), "cross").assign(source=1)

    def scored(most: int) -> set[str]:
        return set(pd.concat(module.found(bucket, asked, CandidateConfig(products=most), LEARNING))["product_id"])

    assert scored(10) == {f"new{product}" for product in range(10)}
    assert len(scored(20)) == 20


@pytest.mark.parametrize("is_sampled", [False, True])
def test_who_had_to_do_with_nothing_that_is_listed_is_offered_what_draws_everybody(is_sampled: bool) -> None:
    rows = pd.DataFrame(_shop(), columns=["as_of", "user_id", "product_id", "age", "bought", "interest"])
    rows = rows.drop_duplicates(["user_id", "product_id", "age"]).assign(_sampled=True)
    left = pd.DataFrame({"as_of": [DAY], "user_id": "left", "product_id": "gone", "age": 300, "bought": True, "interest": 1.0})
    people = pd.concat([rows, left.assign(_sampled=is_sampled)], ignore_index=True)
    bucket = people.assign(excluded=False, _scored=True, _stands_for=np.float32(1), interest=people["interest"].astype(np.float32))
    asked = pd.DataFrame({"as_of": [DAY] * 2, "user_id": "left", "product_id": ["p15", "gone"], "source": POPULAR})
    config = CandidateConfig(affinity=5, products=16)
    found = pd.concat(module.found(bucket, asked, config, LEARNING))
    hers, others = found[found["user_id"] == "left"], found[found["user_id"] != "left"]
    assert hers["source"].isin([0, AFFINITY]).all(), "no taste names a product"
    assert (hers["source"] & AFFINITY > 0).sum() == 5
    assert "p15" in set(hers["product_id"])
    assert hers["affinity"].notna().all()
    assert hers[["als_score", "following_score", "peers_score"]].isna().all(axis=None)
    alone = module.found(bucket[bucket["user_id"] != "left"], asked, config, LEARNING)
    pd.testing.assert_frame_equal(others.reset_index(drop=True), pd.concat(alone).reset_index(drop=True), rtol=1e-5)


@pytest.mark.parametrize("most", [0, 1, 2, 3, 6, 9])
def test_the_largest_agree_with_a_stable_sort(most: int) -> None:
    scores = np.random.default_rng(7).integers(0, 4, (50, 6)).astype(np.float32)
    scores[scores == 3] = -np.inf
    scores[0] = -np.inf
    expected = np.zeros(scores.shape, dtype=bool)
    for row, chosen in zip(scores, expected, strict=True):
        best = [place for place in np.argsort(-row, kind="stable")[:most] if np.isfinite(row[place])]
        chosen[best] = True
    np.testing.assert_array_equal(largest(scores, most), expected)


def test_the_recent_score_comes_where_it_is_asked_for(table: Make) -> None:
    past = table(
        PAST,
        *((DAY, user, product, 1, True, 1.0) for user in ("u1", "u2") for product in ("a", "b")),
        (DAY, "ann", "a", 61, True, 1.0),
    )
    people = table(PEOPLE, (DAY, "ann"))
    asked = Learning(horizon_days=28, half_life_days=120.0, seed=1, recent_half_life=30.0)
    found = {row.product_id: row for row in collaborative(people, past, CandidateConfig(), asked, table(ASKED)).collect()}
    weight = 0.5 ** (1 / 30)
    assert found["b"].together_recent == pytest.approx(
        0.5 ** (61 / 30) * 2 * weight / np.sqrt((2 * weight + 0.5 ** (61 / 30)) * 2 * weight)
    )
    assert "together_recent" not in collaborative(people, past, CandidateConfig(), LEARNING, table(ASKED)).columns
