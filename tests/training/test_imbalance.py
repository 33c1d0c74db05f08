from __future__ import annotations

import numpy as np
import pytest

from tenor.errors import TrainingError, UsageError
from tenor.training.imbalance import estimate_class_weights, estimate_pos_weight

LABELS = np.array([1] * 20 + [0] * 80 + [-1] * 7)


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("balanced", 4.0),
        ("effective", (1 - 0.999**80) / (1 - 0.999**20)),
        ("focal", 4.0 * 0.8**2),
        ("sqrt", 2.0),
    ],
)
def test_pos_weight_follows_its_formula(method: str, expected: float) -> None:
    assert estimate_pos_weight(LABELS, method) == pytest.approx(expected, rel=1e-12)


def test_parameters_move_between_the_known_ends() -> None:
    assert estimate_pos_weight(LABELS, "effective", beta=0.0) == 1.0
    assert estimate_pos_weight(LABELS, "effective", beta=1 - 1e-9) == pytest.approx(4.0, rel=1e-5)
    assert estimate_pos_weight(LABELS, "focal", gamma=0) == 4.0


def test_class_weights_agree_with_pos_weight_and_average_to_one() -> None:
    labels = LABELS[LABELS >= 0]
    for method in ("balanced", "effective", "sqrt"):
        weights = estimate_class_weights(labels, 2, method)
        assert weights[1] / weights[0] == pytest.approx(estimate_pos_weight(labels, method), rel=1e-9)
        assert weights[labels].mean() == pytest.approx(1.0)


def test_wrong_labels_and_parameters_are_refused() -> None:
    with pytest.raises(TrainingError, match="found 0 negatives and 3 positives"):
        estimate_pos_weight([1, 1, 1])
    with pytest.raises(TrainingError, match="use estimate_class_weights"):
        estimate_pos_weight([0, 1, 2])
    with pytest.raises(TrainingError, match="none of class index 1"):
        estimate_class_weights([0, 2], 3)
    with pytest.raises(UsageError, match="balanced, effective, focal, sqrt, found 'magic'"):
        estimate_pos_weight([0, 1], "magic")
    with pytest.raises(UsageError, match="beta must be in"):
        estimate_pos_weight([0, 1], "effective", beta=1.0)
    for gamma in (np.nan, np.inf, "2", None, True):
        with pytest.raises(UsageError, match=f"gamma must be at least 0, not {gamma!r}"):
            estimate_pos_weight([0, 1, 1], "focal", gamma=gamma)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"beta must be in \[0, 1\), not '0.9'"):
        estimate_pos_weight([0, 1, 1], "effective", beta="0.9")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="gamma must be at least 0"):
        estimate_pos_weight([0, 1], "focal", gamma=-1)
