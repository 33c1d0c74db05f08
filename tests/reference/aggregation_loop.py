"""Plain loops over profiles: what tenor.aggregation computes, as it would be written by hand."""

from __future__ import annotations

import math
import statistics
from collections import Counter


def aggregate_scores_loop(
    probs: list[float], codes: list[int], num_profiles: int, method: str, threshold: float
) -> list[float]:
    """One score a profile from binary probabilities."""
    results = []
    for profile in range(num_profiles):
        scores = [prob for prob, code in zip(probs, codes, strict=True) if code == profile]
        votes = sum(score >= threshold for score in scores)
        if not scores:
            results.append(0.0)
        elif method == "mean":
            results.append(math.fsum(scores) / len(scores))
        elif method == "median":
            results.append(statistics.median(scores))
        elif method == "mean_vote":
            results.append(votes / len(scores))
        elif method == "total_vote":
            results.append(float(votes))
        else:
            raise ValueError(method)
    return results


def aggregate_class_scores_loop(
    probs: list[list[float]], codes: list[int], num_profiles: int, num_classes: int, method: str
) -> list[list[float]]:
    """One row of class scores a profile from rows of class probabilities."""
    results = []
    for profile in range(num_profiles):
        rows = [row for row, code in zip(probs, codes, strict=True) if code == profile]
        if method in ("mean_vote", "total_vote"):
            votes = Counter(row.index(max(row)) for row in rows)
            scores = [float(votes[label]) for label in range(num_classes)]
        elif rows:
            pool = statistics.fmean if method == "mean" else statistics.median
            scores = [pool([row[label] for row in rows]) for label in range(num_classes)]
        else:
            scores = [0.0] * num_classes
        total = sum(scores)
        if method != "total_vote":
            scores = [score / total if total > 0 else 1 / num_classes for score in scores]
        results.append(scores)
    return results


def aggregate_labels_loop(labels: list[int], codes: list[int], num_profiles: int, rule: str) -> list[int]:
    """One label a profile; -1 where no sequence has one."""
    results = []
    for profile in range(num_profiles):
        own = [label for label, code in zip(labels, codes, strict=True) if code == profile and label != -1]
        if not own:
            results.append(-1)
        elif rule == "any":
            results.append(max(own))
        elif rule == "majority":
            votes = Counter(own)
            results.append(max(votes, key=lambda label: (votes[label], label)))
        else:
            (label,) = set(own)
            results.append(label)
    return results
