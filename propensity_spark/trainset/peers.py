"""What users alike do these days: each user's closest peers by their whole pasts, and what drew those lately."""

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

Block = npt.NDArray[np.float32]
MOST = 200  # peers of a user


def score(asked: Any, pasts: Any, lately: Any, themselves: npt.NDArray[np.int64] | None) -> Block:
    """Users x products: the lately faded interest of each user's peers, weighed by how much their pasts are alike.

    Takes   `asked` (users x products) and `pasts` (sample x products), rows of length 1; `lately` (sample x products);
            `themselves`: each asked user's row in the sample, if it has one there (nobody is a peer of hers), or -1.
    """
    alike = np.asarray((asked @ pasts.T).toarray(), dtype=np.float32)
    if themselves is not None:
        known = np.flatnonzero(themselves >= 0)
        alike[known, themselves[known]] = 0
    if alike.shape[1] > MOST:
        edge = np.partition(alike, -MOST, axis=1)[:, -MOST][:, None]
        alike[alike < edge] = 0
    return np.asarray((sparse.csr_matrix(alike) @ lately).toarray(), dtype=np.float32)
