"""What users alike do: plain loops agree, nobody is her own peer, and only the closest count."""

import numpy as np
import pytest
from scipy import sparse

from propensity_spark.trainset import peers


def _drawn(users: int, products: int, seed: int) -> np.ndarray:
    draw = np.random.default_rng(seed)
    made = draw.random((users, products)) * (draw.random((users, products)) < 0.4)
    return (made / np.maximum(np.linalg.norm(made, axis=1, keepdims=True), 1e-9)).astype(np.float32)


@pytest.mark.parametrize("most", [1, 3, 100])
def test_loops_agree(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "MOST", most)
    pasts, lately = _drawn(12, 8, 1), _drawn(12, 8, 2)
    asked = np.vstack([pasts[4:7], _drawn(2, 8, 3)])  # three of the sample, and two that it does not hold
    themselves = np.array([4, 5, 6, -1, -1])
    expected = np.zeros((5, 8))
    for user, past in enumerate(asked):
        alike = [(0.0 if other == themselves[user] else float(past @ pasts[other]), other) for other in range(12)]
        for value, other in sorted(alike, reverse=True)[:most]:
            expected[user] += value * lately[other]
    found = peers.score(sparse.csr_matrix(asked), sparse.csr_matrix(pasts), sparse.csr_matrix(lately), themselves)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_a_user_whose_own_row_is_not_named_counts_herself() -> None:
    pasts, lately = _drawn(3, 5, 1), _drawn(3, 5, 2)
    asked, own = sparse.csr_matrix(pasts[:1]), np.array([0])
    with_herself = peers.score(asked, sparse.csr_matrix(pasts), sparse.csr_matrix(lately), None)
    without = peers.score(asked, sparse.csr_matrix(pasts), sparse.csr_matrix(lately), own)
    np.testing.assert_allclose(with_herself - without, lately[:1], rtol=1e-4, atol=1e-6)
