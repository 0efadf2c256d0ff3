"""Ranks and shares as others compute them; test_audit tries the figures on whole frames."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from propensity_spark.trainset.figures import psi, two_sided_auc


def test_the_psi_is_that_of_the_shares_by_hand() -> None:
    values = np.array([1.0, 2.0, np.nan, 1.0, 2.0, np.nan])
    weight = np.array([50.0, 30.0, 20.0, 25.0, 30.0, 45.0])
    first = np.arange(6) < 3
    by_hand = (0.25 - 0.5) * np.log(0.25 / 0.5) + (0.45 - 0.2) * np.log(0.45 / 0.2)
    assert psi(values, weight, first, ~first) == pytest.approx(by_hand)
    assert psi(values, np.append(weight[:3], weight[:3] * 7), first, ~first) == pytest.approx(0)  # shares, not amounts
    assert psi(values, np.append(weight[:3], [0, 0, 0]), first, ~first) is None


@settings(max_examples=200)
@given(st.lists(st.tuples(st.sampled_from([0.0, 1.0, 1.5, 2.0, 7.0, None]), st.booleans(), st.integers(1, 9)), min_size=2))
def test_any_rows_are_ranked_as_scikit_learn_ranks_them(rows: Sequence[tuple[float | None, bool, int]]) -> None:
    values = np.array([np.nan if value is None else value for value, _, _ in rows])
    label, weight = np.array([float(bought) for _, bought, _ in rows]), np.array([float(w) for _, _, w in rows])
    known = ~np.isnan(values)
    made = two_sided_auc(values[known], label[known], weight[known])
    if len(set(label[known])) < 2:
        assert made is None
        return
    truth = roc_auc_score(label[known], values[known], sample_weight=weight[known])
    assert made == pytest.approx(max(truth, 1 - truth))
