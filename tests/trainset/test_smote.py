"""Made rows lie between bought rows of one date, hold only what exists, and are the same wherever the rows lay."""

from collections.abc import Callable
from datetime import date

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from propensity_spark.trainset import smote
from propensity_spark.trainset.sampling import LEARN_WEIGHT
from propensity_spark.trainset.smote import Smote, synthesise

Make = Callable[..., DataFrame]
DAYS = (date(2024, 3, 4), date(2024, 4, 1))
NUMBERS, FLAG, TYPE = ["a", "b", "c"], "gone", ("is_red", "is_blue", "is_other")
PLAN = Smote([*NUMBERS, FLAG, *TYPE], [TYPE, (FLAG,)], 4, 11)
DDL = ", ".join(
    [
        "as_of DATE, user_id STRING, product_id STRING, label INT, weight DOUBLE, category STRING",
        *(f"{n} FLOAT" for n in PLAN.columns),
    ]
)


def _bought(day: date, count: int) -> list[tuple[object, ...]]:
    """Bought rows of a date; a of different dates are far apart, a fifth of b is missing, c is constant."""
    draw = np.random.default_rng(day.month)
    rows = []
    for n in range(count):
        kind = draw.integers(0, 3)
        b = None if draw.random() < 0.2 else float(draw.normal(0, 50))
        numbers = (100.0 * day.month + float(draw.normal()), b, 3.0)
        rows.append(
            (
                str(day),
                f"u{n % 17}",
                f"p{n}",
                1,
                1.0,
                f"tea {n % 5}",
                *numbers,
                float(draw.random() < 0.5),
                *map(float, np.eye(3)[kind]),
            )
        )
    return rows


@pytest.fixture(scope="module")
def sizes() -> dict[date, int]:
    return {DAYS[0]: 61, DAYS[1]: 90}


@pytest.fixture
def bought(table: Make, sizes: dict[date, int]) -> DataFrame:
    return table(DDL, *(row for day, count in sizes.items() for row in _bought(day, count)))


def _frame(made: DataFrame) -> pd.DataFrame:
    return made.toPandas().sort_values(["as_of", "user_id", "product_id", *PLAN.columns], ignore_index=True)


def test_rows_lie_between_two_of_the_nearest_bought_rows_of_their_date(bought: DataFrame, sizes: dict[date, int]) -> None:
    rows, made = bought.toPandas(), synthesise(bought, PLAN, 2.5, sizes).toPandas()
    assert made.groupby("as_of").size().to_dict() == {day: round(2.5 * count) for day, count in sizes.items()}
    for day in DAYS:
        mine, at = rows[rows["as_of"] == day].reset_index(drop=True), made[made["as_of"] == day]
        near = _oracle(mine)
        place = {key: n for n, key in enumerate(zip(mine["user_id"], mine["product_id"], strict=True))}
        for row in at.itertuples():
            base = place[row.user_id, row.product_id]
            ends = mine.loc[near[base], NUMBERS].to_numpy(float)
            assert any(_is_between(np.array([row.a, row.b, row.c]), mine.loc[base, NUMBERS].to_numpy(float), end) for end in ends)
            around = mine.loc[near[base]]
            for columns in PLAN.nominal:
                told = [tuple(value) for value in around[list(columns)].to_numpy()]
                assert tuple(getattr(row, name) for name in columns) == max(told, key=told.count), (
                    "max takes the first, the nearest"
                )


def _oracle(rows: pd.DataFrame) -> list[list[int]]:
    """The nearest of each row, slowly: deviations from one another in standard deviations, 1 where values are not the same."""
    numbers = rows[NUMBERS].to_numpy(float)
    spread = [float(np.nanstd(column)) or 1.0 for column in numbers.T]
    kinds = [[tuple(value) for value in rows[list(columns)].to_numpy()] for columns in PLAN.nominal]

    def square(i: int, j: int) -> float:
        total = float(sum(kind[i] != kind[j] for kind in kinds))
        for x, y, deviation in zip(numbers[i], numbers[j], spread, strict=True):
            if np.isnan(x) or np.isnan(y):
                total += float(np.isnan(x) != np.isnan(y))
            else:
                total += float(((x - y) / deviation) ** 2)
        return total

    far = [[square(i, j) for j in range(len(rows))] for i in range(len(rows))]
    return [sorted((j for j in range(len(rows)) if j != i), key=lambda j: far[i][j])[:4] for i in range(len(rows))]


def _is_between(made: np.ndarray, a: np.ndarray, b: np.ndarray) -> bool:
    """Whether one share of the way leads to all of it; what an end lacks is as at the nearer end."""
    both = ~np.isnan(a) & ~np.isnan(b)
    lead = int(np.argmax(np.where(both, np.abs(b - a), 0.0)))
    share = (made[lead] - a[lead]) / (b[lead] - a[lead])
    at = np.where(both, a + share * (b - a), a if share < 0.5 else b)
    return bool(0 <= share <= 1 and np.allclose(made, at, rtol=0, atol=1e-3, equal_nan=True))


def test_rows_are_bought_stand_for_no_pair_and_keep_the_columns_and_types(bought: DataFrame, sizes: dict[date, int]) -> None:
    made = synthesise(bought, PLAN, 1.0, sizes)
    assert [(f.name, f.dataType) for f in made.schema] == [(f.name, f.dataType) for f in bought.schema]
    found = made.toPandas()
    assert set(found["label"]) == {1}
    assert set(found["weight"]) == {0.0}
    told = bought.toPandas().set_index(["as_of", "user_id", "product_id"])["category"]
    mine = pd.MultiIndex.from_frame(found[["as_of", "user_id", "product_id"]])
    assert list(found["category"]) == list(told.loc[mine]), "what is not made is the base's: models by category see made rows too"
    assert found["b"].isna().any(), "what is missing stays missing"


def test_the_same_rows_come_whatever_the_partitions_and_others_by_another_seed(bought: DataFrame, sizes: dict[date, int]) -> None:
    first = synthesise(bought, PLAN, 1.4, sizes)
    other = synthesise(bought.repartition(5, "product_id"), PLAN, 1.4, sizes)
    pd.testing.assert_frame_equal(first.toPandas(), other.toPandas())  # in the same order as well
    reseeded = synthesise(bought, Smote(PLAN.columns, PLAN.nominal, PLAN.neighbours, 12), 1.4, sizes)
    assert not _frame(first).equals(_frame(reseeded))


def test_no_more_rows_than_a_block_are_searched_together(
    bought: DataFrame, sizes: dict[date, int], monkeypatch: pytest.MonkeyPatch, spark: SparkSession
) -> None:
    monkeypatch.setattr(smote, "BLOCK", 15)
    parts = bought.select("as_of", smote._block(sizes).alias("block")).toPandas().value_counts()
    assert parts.groupby("as_of").size().to_dict() == {DAYS[0]: 5, DAYS[1]: 6}
    assert parts.max() < 30
    made = synthesise(bought, PLAN, 1.0, sizes).toPandas()
    assert len(made) == sum(count for count in parts if count > 1)
    assert all(abs(row.a - 100 * row.as_of.month) < 6 for row in made.itertuples())


def test_a_bought_row_alone_at_its_date_makes_none(table: Make) -> None:
    alone = table(DDL, *_bought(DAYS[0], 1), *_bought(DAYS[1], 2)).withColumn(LEARN_WEIGHT, F.lit(3.0))
    made = synthesise(alone, PLAN, 3.0, {DAYS[0]: 1, DAYS[1]: 2}).toPandas()
    assert made.groupby("as_of").size().to_dict() == {DAYS[1]: 6}
    assert set(made[LEARN_WEIGHT]) == {1.0}, "a row that was made counts as one, whatever those count that it lies between"
