"""What goes together: item-item cosine over the sets of buyers, sparse, the closest neighbours of each product."""

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

_MIN_COMMON_USERS = 2  # one user in common says nothing
_NOTHING = 1e-300  # the squared length of a product that was not bought


def similarity(bought: Any, neighbours: int, weighted: Any = None) -> Any:
    """Products x products from users x products (1 where bought): the cosine of the sets of buyers, `neighbours` of each row.

    With `weighted`, the same matrix with weights: the cosine of those, where enough users bought both. Of equal ones the first
    columns stay.
    """
    common = sparse.csr_matrix(bought.T @ bought)
    common.setdiag(0)
    common.data[common.data < _MIN_COMMON_USERS] = 0
    common.eliminate_zeros()
    if weighted is None:
        length = np.maximum(np.asarray(bought.sum(axis=0)).ravel(), 1)
    else:
        common = sparse.csr_matrix((weighted.T @ weighted).multiply(common > 0))
        length = np.maximum(np.asarray(weighted.multiply(weighted).sum(axis=0)).ravel(), _NOTHING)
    norm = sparse.diags(1 / np.sqrt(length))
    rows, columns, values = _largest(sparse.csr_matrix(norm @ common @ norm), neighbours)
    return sparse.csr_matrix((values, (rows, columns)), shape=common.shape)


def _largest(matrix: Any, most: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]:
    """The `most` largest entries of each row, as row, column, value; of equal ones the first columns."""
    matrix.sort_indices()
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    order = np.lexsort((matrix.indices, -matrix.data, rows))
    place = np.arange(len(rows)) - matrix.indptr[rows]
    kept = order[place < most]
    return rows[kept], matrix.indices[kept], matrix.data[kept]
