from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import auc, average_precision_score, roc_auc_score

from tenor.report.curves import (
    confusion_matrix,
    precision_recall_points,
    roc_points,
    thin_curve,
    threshold_table,
    wilson_interval,
)


def _distance_to_curve(point: np.ndarray, x: np.ndarray, y: np.ndarray) -> float:
    """A plain loop over the segments."""
    best = np.inf
    for start, end in zip(np.column_stack([x, y])[:-1], np.column_stack([x, y])[1:], strict=True):
        chord = end - start
        along = 0.0 if not chord.any() else float(np.clip((point - start) @ chord / (chord @ chord), 0, 1))
        best = min(best, float(np.linalg.norm(point - start - along * chord)))
    return best


def test_thin_curve_keeps_corners_and_drops_points_on_lines() -> None:
    x, y = thin_curve(np.array([0.0, 0.1, 0.5, 1.0, 1.0]), np.array([0.0, 0.0, 0.0, 0.0, 1.0]))
    assert x.tolist() == [0.0, 1.0, 1.0]
    assert y.tolist() == [0.0, 0.0, 1.0]


def test_thin_curve_stays_within_tolerance_of_every_point() -> None:
    generator = np.random.default_rng(0)
    x = np.sort(generator.random(400))
    y = np.sqrt(x) + generator.normal(0, 0.002, 400)
    thin_x, thin_y = thin_curve(x, y, tolerance=0.004)
    assert 2 < len(thin_x) < 200
    assert max(_distance_to_curve(p, thin_x, thin_y) for p in np.column_stack([x, y])) <= 0.004


def test_roc_and_precision_recall_keep_their_areas_when_thinned() -> None:
    generator = np.random.default_rng(1)
    labels = (generator.random(20_000) < 0.1).astype(np.int64)
    scores = generator.normal(0, 1, 20_000) + labels
    roc, staircase = roc_points(labels, scores), precision_recall_points(labels, scores)
    assert roc is not None
    assert staircase is not None
    assert auc(*roc) == pytest.approx(roc_auc_score(labels, scores), abs=5e-4)
    assert np.trapezoid(staircase[1], staircase[0]) == pytest.approx(
        average_precision_score(labels, scores), abs=5e-4
    )
    assert max(len(roc[0]), len(staircase[0])) < 2_000


def test_precision_recall_of_four_rows_is_the_staircase_by_hand() -> None:
    # from the highest score on: precision 1, 1/2, 2/3, 1/2 at recall 1/2, 1/2, 1, 1
    points = precision_recall_points(np.array([1, 0, 1, 0]), np.array([0.9, 0.8, 0.7, 0.1]))
    assert points is not None
    assert points[0].tolist() == [0.0, 0.5, 0.5, 0.5, 1.0, 1.0]
    assert points[1] == pytest.approx([1.0, 1.0, 0.5, 2 / 3, 2 / 3, 0.5])


@pytest.mark.parametrize("curve", [roc_points, precision_recall_points])
def test_curves_of_one_class_are_absent(curve) -> None:  # noqa: ANN001
    assert curve(np.zeros(5, dtype=np.int64), np.linspace(0, 1, 5)) is None


def test_threshold_table_counts_exactly_with_ties_and_keeps_the_chosen_one() -> None:
    labels, scores = np.array([1, 1, 0, 0, 0]), np.array([0.9, 0.4, 0.4, 0.2, 0.1])
    table = threshold_table({"test": (labels, scores)}, 0.3)
    assert table.cuts.tolist() == [0.1, 0.2, 0.3, 0.4, 0.9]
    assert table.chosen == 2
    assert table.counts == {"test": (2, 3)}
    assert table.hits["test"].tolist() == [2, 2, 2, 2, 1]
    assert table.false_alarms["test"].tolist() == [3, 2, 1, 1, 0]


def test_threshold_table_of_many_rows_is_small_and_equals_a_plain_count() -> None:
    generator = np.random.default_rng(2)
    labels = (generator.random(5_000) < 0.02).astype(np.int64)
    scores = generator.random(5_000) ** 3
    table = threshold_table(
        {"validation": (labels, scores), "test": (labels[::2], scores[::2])}, 0.5, max_cuts=50
    )
    assert len(table.cuts) <= 1 + 4 * 50 + 2 * 25
    assert table.cuts[table.chosen] == 0.5
    for cut, hits, false_alarms in zip(
        table.cuts, table.hits["test"], table.false_alarms["test"], strict=True
    ):
        alarms = scores[::2] >= cut
        assert hits == (alarms & (labels[::2] == 1)).sum()
        assert false_alarms == (alarms & (labels[::2] == 0)).sum()
    assert table.cuts[-1] == scores.max()  # a single alarm stays in reach


def test_confusion_matrix_has_true_classes_in_rows() -> None:
    counts = confusion_matrix(np.array([0, 0, 1, 2]), np.array([0, 2, 1, 1]), 3)
    assert counts.tolist() == [[1, 0, 1], [0, 1, 0], [0, 1, 0]]


def test_wilson_interval_by_hand() -> None:
    low, high = wilson_interval(np.array([0.0, 5.0]), np.array([10.0, 10.0]))
    assert low == pytest.approx([0.0, 0.2366], abs=1e-4)
    assert high == pytest.approx([0.2775, 0.7634], abs=1e-4)
