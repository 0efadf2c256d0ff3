"""The shortlist learns from the horizon before what tells that a product is taken up, and from nothing later."""

import numpy as np
import pandas as pd
import pytest

from propensity_spark.config import CandidateConfig
from propensity_spark.trainset import affinity
from propensity_spark.trainset.shelf import Layout, Shelf, Signals

USERS, HORIZON = 400, 10
COLUMNS = ["user", "product", "age", "bought", "interest"]
PRODUCTS = np.array([f"p{number:02}" for number in range(40)], dtype=object)
LAYOUT = Layout(products=PRODUCTS, horizon_days=HORIZON, half_life_days=60.0, config=CandidateConfig())


def shop(by_popularity: bool, seed: int = 3) -> pd.DataFrame:
    """Users buy what is popular, or else what is of their kind (the product's number modulo 4), all of it equally popular."""
    draw = np.random.default_rng(seed)
    made = []
    for user in range(USERS):
        for _ in range(12):
            popular = int(min(draw.exponential(5.0), 39)) if by_popularity else 4 * int(draw.integers(0, 10)) + user % 4
            made.append((user, popular, int(draw.integers(1, 60)), True, 1.0))
    rows = pd.DataFrame(made, columns=COLUMNS).drop_duplicates(["user", "product", "age"])
    return rows.assign(stands_for=1.0)


@pytest.mark.parametrize("by_popularity", [True, False])
def test_the_weights_follow_what_sells_in_this_shop(by_popularity: bool) -> None:
    rows = shop(by_popularity)
    blend = affinity.learn(rows, LAYOUT, seed=1)
    shelf = Shelf(rows, LAYOUT)
    block = affinity.blocks(rows)[0]
    scores = blend.affinity(shelf.signals(affinity.touched(block, len(PRODUCTS)), shelf.als(block), shelf.together(block)))
    popular = shelf.buyers(HORIZON)
    mine = np.equal.outer(np.arange(USERS) % 4, np.arange(40) % 4)
    if by_popularity:
        assert np.mean([np.corrcoef(row, np.log1p(popular))[0, 1] for row in scores]) > 0.8
    else:
        assert scores[mine].mean() > scores[~mine].mean() + 2


def test_the_level_is_that_of_the_products_not_yet_touched() -> None:
    """Negatives are a sample: the intercept puts it right."""
    rows = shop(by_popularity=True)
    before = rows[rows["age"] > HORIZON].assign(age=lambda r: r["age"] - HORIZON)
    shelf, block = Shelf(before, LAYOUT), affinity.blocks(before)[0]
    own = affinity.touched(block, len(PRODUCTS))
    taken = np.zeros_like(own)
    last = rows[rows["age"] <= HORIZON]
    place = block.drop_duplicates("user").set_index("known_as")["user"]
    inside = last[last["user"].isin(place.index)]
    taken[place.loc[inside["user"]].to_numpy(), inside["product"].to_numpy()] = True
    everything = affinity.learn(rows, LAYOUT, seed=1)
    fresh = ~own & shelf.known[None, :]
    signals = shelf.signals(affinity.touched(block, len(PRODUCTS)), shelf.als(block), shelf.together(block))
    assert (1 / (1 + np.exp(-everything.affinity(signals)[fresh]))).mean() == pytest.approx(taken[fresh].mean(), rel=0.02)


def test_a_sample_of_negatives_moves_no_level(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = shop(by_popularity=True)
    whole = affinity.learn(rows, LAYOUT, seed=1)
    monkeypatch.setattr(affinity, "_NEGATIVES", 4000)
    sampled = affinity.learn(rows, LAYOUT, seed=1)
    shelf, block = Shelf(rows, LAYOUT), affinity.blocks(rows)[0]
    signals = shelf.signals(affinity.touched(block, len(PRODUCTS)), shelf.als(block), shelf.together(block))
    levels = [np.log(np.mean(1 / (1 + np.exp(-blend.affinity(signals))))) for blend in (whole, sampled)]
    assert levels[1] == pytest.approx(levels[0], abs=0.15)
    assert not np.array_equal(whole.weights, sampled.weights)


@pytest.mark.parametrize("fewest", [affinity._FEWEST, 10**9])
def test_users_who_stand_for_others_move_no_level(monkeypatch: pytest.MonkeyPatch, fewest: int) -> None:
    """Of who never bought a quarter is in the sample, and each counts for four; nothing told them apart before."""
    monkeypatch.setattr(affinity, "_FEWEST", fewest)
    rows = shop(by_popularity=True).assign(bought=lambda r: (r["user"] < USERS / 4) & (r["age"] <= HORIZON))
    some = rows[(rows["user"] < USERS / 4) | (rows["user"] % 4 == 0)]
    counted = some.assign(stands_for=np.where(some["user"] < USERS / 4, 1.0, 4.0))

    def level(rows: pd.DataFrame) -> float:
        before = rows[rows["age"] > HORIZON].assign(age=lambda r: r["age"] - HORIZON)
        shelf, block = Shelf(before, LAYOUT), affinity.blocks(before)[0]
        own = affinity.touched(block, len(PRODUCTS))
        logit = affinity.learn(rows, LAYOUT, seed=1).affinity(shelf.signals(own, shelf.als(block), shelf.together(block)))
        counts = np.asarray(block.groupby("user")["stands_for"].first())[:, None] * ~own
        return float(np.log(np.average(1 / (1 + np.exp(-logit)), weights=counts)))

    assert level(counted) == pytest.approx(level(rows), abs=0.15)


def test_where_too_little_was_taken_up_recent_popularity_and_als_order_the_list() -> None:
    rows = shop(by_popularity=True)
    for poor in (rows[rows["user"] < 3], rows[rows["age"] <= HORIZON]):  # few users; nothing before the last horizon
        blend = affinity.learn(poor, LAYOUT, seed=1)
        assert blend.weights[list(LAYOUT.windows).index(HORIZON)] == 1.0
        assert blend.weights[-2] > 0
        assert blend.has_level == (poor["age"].max() > HORIZON)


def test_a_signal_that_is_the_same_for_all_has_no_weight() -> None:
    """A shop of few products that all sold on the first day that counts: their greatest age is one number, but for rounding."""
    rows = shop(by_popularity=True)
    first = pd.DataFrame({"user": range(40), "product": range(40), "age": 365, "bought": True, "interest": 1.0}).assign(
        stands_for=1.0
    )
    blend = affinity.learn(pd.concat([rows, first], ignore_index=True), LAYOUT, seed=1)
    assert 0.0 in blend.weights[: len(LAYOUT.windows) + 1]
    assert np.abs(blend.weights).max() < 100


def test_a_fixed_blend_is_of_the_level_of_a_learnt_one(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = shop(by_popularity=True)
    shelf, block = Shelf(rows, LAYOUT), affinity.blocks(rows)[0]
    signals = shelf.signals(affinity.touched(block, len(PRODUCTS)), shelf.als(block), shelf.together(block))
    learnt = affinity.learn(rows, LAYOUT, seed=1).affinity(signals)
    monkeypatch.setattr(affinity, "_FEWEST", 10**9)
    fixed = affinity.learn(rows, LAYOUT, seed=1).affinity(signals)
    assert np.log(np.exp(fixed).mean()) == pytest.approx(np.log(np.exp(learnt).mean()), abs=1.0), "it was seven apart"


def test_where_nobody_has_anything_left_to_take_up_the_blend_has_no_level() -> None:
    everything = pd.DataFrame([(u, p, 30, True, 1.0) for u in range(9) for p in range(40)], columns=COLUMNS).assign(stands_for=1.0)
    assert affinity.learn(everything, LAYOUT, seed=1).intercept == 0.0


def test_blocks_are_joined_without_a_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = shop(by_popularity=False)
    whole = affinity.learn(rows, LAYOUT, seed=1)
    monkeypatch.setattr(affinity, "_BLOCK", 64)
    blocks = affinity.blocks(rows)
    assert [block["user"].max() for block in blocks] == [63] * 6 + [15]
    assert sorted(set(blocks[1]["known_as"])) == list(range(64, 128))
    np.testing.assert_allclose(affinity.learn(rows, LAYOUT, seed=1).weights, whole.weights, rtol=0.02, atol=0.02)


def test_signals_keep_the_order_of_the_weights() -> None:
    signals = Signals(
        products=np.array([[1.0], [2.0]]), users=np.array([[10.0]]), pairs=(np.array([[0.5, 0.25]], dtype=np.float32),)
    )
    np.testing.assert_allclose(signals.weighed(np.array([1.0, 0.1, 4.0])), [[1 + 1 + 2, 2 + 1 + 1]])
    np.testing.assert_allclose(signals.at(np.array([0]), np.array([1])), [[2.0, 10.0, 0.25]])
