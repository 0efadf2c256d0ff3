"""What each user did, as a row of a sparse matrix: the form in which users are held against one another."""

from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

_NOTHING = np.float32(1e-12)


def faded(rows: pd.DataFrame, users: int, products: int, half_life_days: float) -> Any:
    """Users x products, sparse: interest that halves every `half_life_days`. See Shelf for the rows."""
    rows = rows[rows["interest"] > 0]
    left = rows["interest"] * np.exp2(-rows["age"] / half_life_days)
    at = (rows["user"], rows["product"])
    return sparse.csr_matrix((left.to_numpy(dtype=np.float32), at), shape=(users, products))


def strength(rows: pd.DataFrame, users: int, products: int, half_life_days: float) -> Any:
    """The same as log(1 + interest)."""
    made = faded(rows, users, products, half_life_days)
    made.data = np.log1p(made.data)
    return made


def past(rows: pd.DataFrame, users: int, products: int, half_life_days: float) -> Any:
    """The same, each user's row of length 1 (0 where there is none)."""
    made = strength(rows, users, products, half_life_days)
    length = np.sqrt(np.asarray(made.multiply(made).sum(axis=1)).ravel())
    return sparse.csr_matrix(sparse.diags((1 / np.maximum(length, _NOTHING)).astype(np.float32)) @ made)
