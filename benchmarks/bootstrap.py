"""Cluster bootstrap of every metric at scale, beside the plain way (scikit-learn on resampled rows).

Claim: 1,000,000 predictions in 100,000 groups with 1,000 replicates in under 20 s and 2 GB on 2 cores. The
peer, a loop of `sklearn.metrics` over resampled rows, is timed on a few replicates in the same run and scaled
up.

    python benchmarks/bootstrap.py [--rows 1000000] [--groups 100000] [--replicates 1000] [--peer-replicates
    3]
"""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np

from tenor.logits import to_probs
from tenor.metrics.intervals import bootstrap_metrics


def make_predictions(rows: int, groups: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, scores and group names; a tenth is positive, and scores carry a group effect."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, groups, rows)
    labels = (rng.random(rows) < 0.1).astype(np.int64)
    logits = 1.5 * labels - 2 + rng.normal(size=groups)[codes] + rng.normal(size=rows)
    names = np.array([f"author-{i}" for i in range(groups)], dtype=object)
    return labels, to_probs(logits), names[codes]


def time_peer(labels: np.ndarray, probs: np.ndarray, groups: np.ndarray, replicates: int) -> float:
    """Seconds a replicate of the plain way: gather the drawn groups' rows, then call scikit-learn."""
    from sklearn import metrics

    codes = np.unique(groups.astype(str), return_inverse=True)[1]
    order = np.argsort(codes, kind="stable")
    starts = np.searchsorted(codes[order], np.arange(codes.max() + 2))
    rng = np.random.default_rng(0)
    begin = time.perf_counter()
    for _ in range(replicates):
        drawn = rng.integers(0, len(starts) - 1, len(starts) - 1)
        rows = order[np.concatenate([np.arange(starts[g], starts[g + 1]) for g in drawn])]
        truth, scores = labels[rows], probs[rows]
        called = (scores >= 0.5).astype(np.int64)
        metrics.accuracy_score(truth, called)
        metrics.precision_recall_fscore_support(truth, called, average="binary")
        metrics.roc_auc_score(truth, scores)
        metrics.average_precision_score(truth, scores)
    return (time.perf_counter() - begin) / replicates


def main() -> None:
    """Print seconds, peak memory and the ratio to the peer."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--groups", type=int, default=100_000)
    parser.add_argument("--replicates", type=int, default=1000)
    parser.add_argument("--peer-replicates", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    labels, probs, groups = make_predictions(options.rows, options.groups)
    begin = time.perf_counter()
    result = bootstrap_metrics(
        labels, probs, groups, 0.5, replicates=options.replicates, threads=options.threads
    )
    seconds = time.perf_counter() - begin
    peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    for name, interval in result.items():
        print(f"{name:18s} {interval.value:.5f}  [{interval.low:.5f}, {interval.high:.5f}]")
    print(f"rows {options.rows:,}  groups {options.groups:,}  replicates {options.replicates:,}")
    print(f"seconds {seconds:.2f}  peak memory {peak_bytes / 2**30:.2f} GiB (with the input)")
    if options.peer_replicates > 0:
        peer = time_peer(labels, probs, groups, options.peer_replicates) * options.replicates
        print(f"scikit-learn in a loop: {peer:.0f} s for as many replicates; ratio {peer / seconds:.1f}")


if __name__ == "__main__":
    main()
