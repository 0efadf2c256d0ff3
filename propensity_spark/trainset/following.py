"""What users with such a past buy next: a ridge regression from all done by a moment to all bought within the horizon after.

One matrix for all products at once, learnt at several moments whose horizons had passed: unlike what goes together, it knows an
order in time, and a product's own past tells its next purchase too.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import linalg, sparse

from propensity_spark.trainset.pasts import past

Matrix = npt.NDArray[np.float32]
_MOMENTS = 3  # one, two and three horizons before the date
_RIDGE = 10.0  # what one user's whole past weighs is 1


def learn(rows: pd.DataFrame, products: int, horizon_days: int, half_life_days: float) -> Matrix | None:
    """Products x products: how much a past with the row's product adds to the purchase of the column's.

    Of users who bought something within the horizon. None: nobody did at any moment.
    """
    squares, crossed, found = np.zeros((products, products), np.float32), np.zeros((products, products), np.float32), False
    for moment in range(1, _MOMENTS + 1):
        before, after = _at(rows, products, moment * horizon_days, horizon_days, half_life_days)
        if after.nnz:
            found = True
            squares += (before.T @ before).toarray()
            crossed += (before.T @ after).toarray()
    if not found:
        return None
    squares[np.diag_indices(products)] += np.float32(_RIDGE)
    return np.asarray(linalg.solve(squares, crossed, assume_a="pos", overwrite_a=True, overwrite_b=True), dtype=np.float32)


def _at(rows: pd.DataFrame, products: int, ago: int, horizon_days: int, half_life_days: float) -> tuple[Any, Any]:
    """The pasts by a moment `ago` days before the date, and what the same users bought within the horizon after it."""
    earlier = rows[rows["age"] > ago]
    later = rows[rows["bought"] & (rows["age"] <= ago) & (rows["age"] > ago - horizon_days)]
    buyers = np.intersect1d(earlier["user"], later["user"])
    before, after = (part[part["user"].isin(buyers)] for part in (earlier, later))
    before = before.assign(user=np.searchsorted(buyers, before["user"]), age=before["age"] - ago)
    after = after.drop_duplicates(["user", "product"])
    bought = (np.ones(len(after), np.float32), (np.searchsorted(buyers, after["user"]), after["product"]))
    return past(before, len(buyers), products, half_life_days), sparse.csr_matrix(bought, shape=(len(buyers), products))
