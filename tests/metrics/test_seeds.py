from __future__ import annotations

import pytest

from tenor.errors import UsageError
from tenor.metrics.seeds import SeedSummary, summarize_seeds


def test_by_hand() -> None:
    summary = summarize_seeds(
        [{"f1": 0.5, "roc_auc": 0.8}, {"f1": 0.7, "roc_auc": None}, {"f1": 0.6, "roc_auc": None}]
    )
    assert summary["f1"].mean == pytest.approx(0.6)
    assert summary["f1"].std == pytest.approx(0.1)
    half = 4.302653 * 0.1 / 3**0.5  # t with two degrees of freedom
    assert summary["f1"].low == pytest.approx(0.6 - half)
    assert summary["f1"].high == pytest.approx(0.6 + half)
    assert (summary["f1"].count, summary["f1"].undefined) == (3, 0)
    assert summary["roc_auc"] == SeedSummary(0.8, None, None, None, 1, 2)
    assert summarize_seeds([{"f1": None}])["f1"] == SeedSummary(None, None, None, None, 0, 1)


def test_an_interval_of_shares_stays_among_shares() -> None:
    found = summarize_seeds([{"f1": 0.97, "threshold": 0.97}, {"f1": 0.99, "threshold": 0.99}])
    assert found["f1"].high == 1.0
    assert found["threshold"].high is not None and found["threshold"].high > 1.05
    assert summarize_seeds([{"recall": 0.02}, {"recall": 0.04}])["recall"].low == 0.0


def test_wrong_use_is_refused() -> None:
    with pytest.raises(UsageError, match="no runs"):
        summarize_seeds([])
    with pytest.raises(UsageError, match="run 1 has other metrics than run 0: f1, roc_auc"):
        summarize_seeds([{"f1": 0.5}, {"roc_auc": 0.5}])
