"""Profiles at scale: all fixed aggregations at once, beside a loop an author.

Claim: 1,000,000 sequences of 100,000 authors, all four aggregations, at least 200 times faster than a loop that
picks out each author's sequences. That peer is timed on some authors in the same run and scaled up; a second,
wiser one (sequences sorted by author once, then numpy an author) is timed whole.

    python benchmarks/profiles.py [--sequences 1000000] [--authors 100000] [--peer-authors 300]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np

from _common import print_claims
from tenor.aggregation.fixed import AGGREGATIONS, aggregate_all

THRESHOLD = 0.5


def aggregate_one(probs: np.ndarray) -> tuple[float, float, float, float]:
    """The four aggregations of one author's scores, in the order of AGGREGATIONS."""
    if len(probs) == 0:
        return 0.0, 0.0, 0.0, 0.0
    votes = probs >= THRESHOLD
    return float(np.mean(probs)), float(np.median(probs)), float(votes.mean()), float(votes.sum())


def loop_by_mask(probs: np.ndarray, codes: np.ndarray, authors: range) -> np.ndarray:
    """The plain way: for each author a mask over all sequences."""
    return np.array([aggregate_one(probs[codes == author]) for author in authors])


def loop_by_slices(probs: np.ndarray, codes: np.ndarray, num_authors: int) -> np.ndarray:
    """The wiser way: sort by author once, then a slice an author."""
    order = np.argsort(codes, kind="stable")
    ends = np.cumsum(np.bincount(codes, minlength=num_authors))
    return np.array([aggregate_one(part) for part in np.split(probs[order], ends[:-1])])


def measure(function: Callable[[], object], repeats: int) -> float:
    """The least wall-clock seconds of some calls."""
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        function()
        times.append(time.perf_counter() - begin)
    return min(times)


def main() -> None:
    """Print seconds and the ratios to both loops, after checking that all three agree."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sequences", type=int, default=1_000_000)
    parser.add_argument("--authors", type=int, default=100_000)
    parser.add_argument("--peer-authors", type=int, default=300)
    options = parser.parse_args()
    generator = np.random.default_rng(0)
    codes = generator.integers(0, options.authors, options.sequences)
    probs = generator.random(options.sequences)
    some = range(min(options.peer_authors, options.authors))

    results = aggregate_all(probs, codes, options.authors, THRESHOLD)
    table = np.stack([results[method] for method in AGGREGATIONS], axis=1)
    np.testing.assert_allclose(table, loop_by_slices(probs, codes, options.authors), rtol=1e-12)
    np.testing.assert_allclose(table[: len(some)], loop_by_mask(probs, codes, some), rtol=1e-12)

    own = measure(lambda: aggregate_all(probs, codes, options.authors, THRESHOLD), 5)
    by_slices = measure(lambda: loop_by_slices(probs, codes, options.authors), 1)
    by_mask = measure(lambda: loop_by_mask(probs, codes, some), 1) * options.authors / len(some)
    print(f"sequences {options.sequences:,}  authors {options.authors:,}  aggregations {len(AGGREGATIONS)}")
    print(f"tenor {own:.3f} s")
    print(f"loop an author, by mask: {by_mask:.1f} s (from {len(some)} authors); ratio {by_mask / own:.0f}")
    print(f"loop an author, sorted once: {by_slices:.2f} s; ratio {by_slices / own:.1f}\n")
    print_claims([("profiles: times a loop an author", 200.0, by_mask / own)])


if __name__ == "__main__":
    main()
