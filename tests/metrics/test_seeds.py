from __future__ import annotations

import pytest

from tenor.errors import UsageError
from tenor.metrics.seeds import SeedSummary, compare_seeds, summarize_seeds


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


def test_paired_seeds_cancel_what_they_share() -> None:
    a = [{"f1": 0.5}, {"f1": 0.7}, {"f1": 0.9}]
    b = [{"f1": 0.4}, {"f1": 0.61}, {"f1": 0.79}]
    difference = compare_seeds(a, b)["f1"]
    assert difference.mean == pytest.approx(0.1)
    assert difference.std == pytest.approx(0.01)
    assert difference.low > 0
    assert compare_seeds(a, a)["f1"] == SeedSummary(0.0, 0.0, 0.0, 0.0, 3, 0)
    assert compare_seeds([{"f1": None}], [{"f1": 0.5}])["f1"].undefined == 1


def test_wrong_use_is_refused() -> None:
    with pytest.raises(UsageError, match="no runs"):
        summarize_seeds([])
    with pytest.raises(UsageError, match="run 1 has other metrics than run 0: f1, roc_auc"):
        summarize_seeds([{"f1": 0.5}, {"roc_auc": 0.5}])
    with pytest.raises(UsageError, match="found 1 and 2"):
        compare_seeds([{"f1": 0.5}], [{"f1": 0.5}] * 2)
