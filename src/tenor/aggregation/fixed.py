"""The fixed aggregations: their one definition, vectorised over all profiles at once.

Sequences are sorted by profile and, inside a profile, by score; every aggregation is then a few array
operations over the profiles' offsets. Sorting first makes the result independent of the order of the
sequences, bit for bit.
Knows neither authors nor models: a profile is an integer code.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from tenor.errors import UsageError
from tenor.strings import Strings

Aggregation = Literal["mean", "median", "mean_vote", "total_vote"]
AGGREGATIONS: tuple[Aggregation, ...] = get_args(Aggregation)

#: Of them, those whose scores are counts and no probabilities.
COUNTS: tuple[Aggregation, ...] = ("total_vote",)

LabelRule = Literal["any", "majority", "constant"]
LABEL_RULES: tuple[LabelRule, ...] = get_args(LabelRule)

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def aggregate_scores(
    probs: npt.ArrayLike,
    profile_codes: npt.ArrayLike,
    num_profiles: int,
    method: Aggregation = "mean",
    threshold: float = 0.5,
) -> FloatArray:
    """Aggregate the probabilities of sequences to one score a profile.

    * ``mean``: the mean probability.
    * ``median``: the median probability, the mean of the middle two for an even count.
    * ``mean_vote``: the share of the profile's sequences with a probability of at least the threshold.
    * ``total_vote``: their count.

    Several classes, (S, C): each column by itself; a sequence has one vote, for its most probable class (the
    first of equals), and the threshold is not used. The rows of mean and median are divided by their sum, so
    that mean, median and mean_vote are distributions.

    A profile without sequences has the score 0; with several classes mean, median and mean_vote are 1 / C.

    Args:
        probs: (S,) or (S, C) float, finite.
        profile_codes: (S,) int, the profile of each sequence, in [0, num_profiles).
        num_profiles: P.
        method: one of AGGREGATIONS.
        threshold: the decision threshold of a sequence.

    Returns:
        (P,) or (P, C) float64. The order of the sequences does not change a bit of it.

    Raises:
        UsageError: an unknown method, shapes that do not fit, a code outside the range, a score not finite.
    """
    return aggregate_all(probs, profile_codes, num_profiles, threshold, methods=(method,))[method]


def aggregate_all(
    probs: npt.ArrayLike,
    profile_codes: npt.ArrayLike,
    num_profiles: int,
    threshold: float = 0.5,
    *,
    methods: Sequence[Aggregation] = AGGREGATIONS,
) -> dict[Aggregation, FloatArray]:
    """Aggregate by several methods with one sort (see aggregate_scores for arguments, results and errors)."""
    for method in methods:
        if method not in AGGREGATIONS:
            raise UsageError(f"aggregation {method!r} is not one of {', '.join(AGGREGATIONS)}")
    scores, codes = check_scores(probs, profile_codes, num_profiles)
    if scores.ndim == 1:
        groups = group_scores(scores, codes, num_profiles)
        return {method: _aggregate_binary(groups, method, threshold) for method in methods}
    columns = [group_scores(np.ascontiguousarray(column), codes, num_profiles) for column in scores.T]
    results: dict[Aggregation, FloatArray] = {}
    for method in methods:
        if method in ("mean_vote", "total_vote"):
            votes = _count_votes(scores, codes, num_profiles)  # (P, C)
            results[method] = votes if method == "total_vote" else normalize_rows(votes)
        else:
            results[method] = normalize_rows(
                np.stack([_aggregate_binary(group, method, threshold) for group in columns], axis=1)
            )
    return results


@dataclass(frozen=True, slots=True)
class GroupedScores:
    """Scores sorted by profile and, inside a profile, ascending.

    Attributes:
        values: (S,) float64.
        starts: (P,) int64, where each profile begins in `values`.
        counts: (P,) int64, how many scores each profile has; 0 for an empty one.
    """

    values: FloatArray
    starts: IntArray
    counts: IntArray

    def sums(self, values: FloatArray | None = None) -> FloatArray:
        """Sum per profile, (P,): of the sorted scores, or of other `values` (S,) in the same order."""
        sums = np.zeros(len(self.counts))
        filled = self.counts > 0
        if filled.any():
            sums[filled] = np.add.reduceat(self.values if values is None else values, self.starts[filled])
        return sums

    def pick(self, ranks: IntArray) -> FloatArray:
        """The score at a rank (0 = smallest) of each profile, (P,); 0 where the profile is empty."""
        picked = np.zeros(len(self.counts))
        filled = self.counts > 0
        picked[filled] = self.values[self.starts[filled] + ranks[filled]]
        return picked


def group_scores(scores: FloatArray, codes: IntArray, num_profiles: int) -> GroupedScores:
    """Sort scores by (profile, score).

    Args:
        scores: (S,) float64, finite.
        codes: (S,) int64 in [0, num_profiles).
        num_profiles: P.
    """
    counts = np.bincount(codes, minlength=num_profiles).astype(np.int64)
    starts = np.cumsum(counts) - counts
    # As integers floats rise with their size; those below 0, whose first bit is set, fall.
    numbers, first_bit = scores.view(np.uint64), np.uint64(1 << 63)
    rising = np.where(numbers < first_bit, numbers | first_bit, ~numbers)
    num_bits = max(num_profiles - 1, 1).bit_length()
    order = _sort_by_digits(chain(_cut_digits(rising, 64), _cut_digits(codes.view(np.uint64), num_bits)))
    return GroupedScores(scores[order], starts, counts)


def _cut_digits(numbers: npt.NDArray[np.uint64], num_bits: int) -> Iterator[npt.NDArray[np.uint16]]:
    """The last so many bits of numbers (S,), 16 at a time, the lowest first."""
    for shift in range(0, num_bits, 16):
        yield (numbers >> np.uint64(shift)).astype(np.uint16)


def _sort_by_digits(digits: Iterator[npt.NDArray[np.uint16]]) -> npt.NDArray[np.intp]:
    """The order (S,) of numbers that are given by their digits, lowest first.

    numpy sorts 16 bits by radix: six times takes half as long as its two sorts of 64 bits.
    """
    order = np.argsort(next(digits), kind="stable")
    for digit in digits:
        order = order[np.argsort(digit[order], kind="stable")]
    return order


def _aggregate_binary(groups: GroupedScores, method: Aggregation, threshold: float) -> FloatArray:
    counts = groups.counts
    if method == "median":
        low, high = groups.pick((counts - 1) // 2), groups.pick(counts // 2)
        return 0.5 * (low + high)
    if method == "mean":
        means = groups.sums() / np.maximum(counts, 1)
        # Rounding must not carry a mean past the scores that it is the mean of.
        return np.clip(means, groups.pick(np.zeros_like(counts)), groups.pick(counts - 1))
    votes = groups.sums((groups.values >= threshold).astype(np.float64))
    return votes if method == "total_vote" else votes / np.maximum(counts, 1)


def _count_votes(scores: FloatArray, codes: IntArray, num_profiles: int) -> FloatArray:
    num_classes = scores.shape[1]
    votes = np.bincount(codes * num_classes + scores.argmax(axis=1), minlength=num_profiles * num_classes)
    return votes.reshape(num_profiles, num_classes).astype(np.float64)


def normalize_rows(values: FloatArray) -> FloatArray:
    """Divide non-negative rows (P, C) by their sum; a row of zeros becomes 1 / C."""
    sums = values.sum(axis=1, keepdims=True)
    return np.where(sums > 0, values / np.where(sums > 0, sums, 1.0), 1.0 / values.shape[1])


def check_scores(
    scores: npt.ArrayLike, profile_codes: npt.ArrayLike, num_profiles: int
) -> tuple[FloatArray, IntArray]:
    """Check scores (S,) or (S, C) and codes (S,); return them as float64 and int64.

    Raises:
        UsageError: see aggregate_scores.
    """
    array = np.asarray(scores, dtype=np.float64)
    if array.ndim not in (1, 2):
        raise UsageError(f"expected scores of shape (S,) or (S, C), found {array.shape}")
    if not np.isfinite(array).all():
        raise UsageError(
            f"expected finite scores, found {np.count_nonzero(~np.isfinite(array))} that are not"
        )
    return array, _check_codes(profile_codes, len(array), num_profiles)


def _check_codes(profile_codes: npt.ArrayLike, num_sequences: int, num_profiles: int) -> IntArray:
    codes: npt.NDArray[Any] = np.asarray(profile_codes)
    if codes.size == 0:
        codes = codes.astype(np.int64)
    if codes.shape != (num_sequences,) or codes.dtype.kind not in "iu":
        raise UsageError(
            f"expected integer profile codes ({num_sequences},), found {codes.dtype} {codes.shape}"
        )
    if len(codes) and (codes.min() < 0 or codes.max() >= num_profiles):
        raise UsageError(
            f"profile codes reach from {codes.min()} to {codes.max()}, outside [0, {num_profiles})"
        )
    return codes.astype(np.int64, copy=False)


def aggregate_labels(
    labels: npt.ArrayLike,
    profile_codes: npt.ArrayLike,
    num_profiles: int,
    rule: LabelRule = "majority",
    authors: Strings | Sequence[str] | npt.NDArray[np.object_] | None = None,
) -> IntArray:
    """Make a profile's label from the labels of its sequences; unlabelled sequences (-1) are left out.

    * ``any``: 1 if any sequence is 1 (binary labels only).
    * ``majority``: the most frequent label; of equally frequent ones the higher.
    * ``constant``: the one label that they all have.

    Args:
        labels: (S,) int, -1 = unlabelled.
        profile_codes: (S,) int in [0, num_profiles).
        num_profiles: P.
        rule: one of LABEL_RULES.
        authors: (P,) the profiles' names, for the message of ``constant``.

    Returns:
        (P,) int64; -1 where no sequence has a label.

    Raises:
        UsageError: an unknown rule, arrays that do not fit, ``any`` with several classes, or ``constant``
            where a profile has several labels (up to three are named).
    """
    if rule not in LABEL_RULES:
        raise UsageError(f"profile label rule {rule!r} is not one of {', '.join(LABEL_RULES)}")
    array: npt.NDArray[Any] = np.asarray(labels)
    if array.size == 0:
        array = array.astype(np.int64)
    if array.ndim != 1 or array.dtype.kind not in "iu" or (len(array) and array.min() < -1):
        raise UsageError(f"expected integer labels (S,) of at least -1, found {array.dtype} {array.shape}")
    codes = _check_codes(profile_codes, len(array), num_profiles)
    labelled = array >= 0
    array, codes = array[labelled].astype(np.int64), codes[labelled]
    if rule == "any" and len(array) and array.max() > 1:
        raise UsageError(
            "the profile label rule 'any' is for labels 0 and 1: choose 'majority' or 'constant'"
        )
    result = np.full(num_profiles, -1, dtype=np.int64)
    if not len(array):
        return result
    num_classes = int(array.max()) + 1
    pairs, votes = np.unique(codes * num_classes + array, return_counts=True)
    pair_codes, pair_labels = np.divmod(pairs, num_classes)
    if rule == "constant":
        _require_constant(pair_codes, num_profiles, authors)
    if rule == "majority":
        order = np.lexsort((pair_labels, votes, pair_codes))  # the last of each profile wins
        pair_codes, pair_labels = pair_codes[order], pair_labels[order]
    last = np.flatnonzero(np.append(pair_codes[1:] != pair_codes[:-1], True))
    result[pair_codes[last]] = pair_labels[last]
    return result


def _require_constant(
    pair_codes: IntArray, num_profiles: int, authors: Strings | Sequence[str] | npt.NDArray[np.object_] | None
) -> None:
    several = np.flatnonzero(np.bincount(pair_codes, minlength=num_profiles) > 1)
    if len(several):
        names = ", ".join(
            str(code) if authors is None else repr(authors[code]) for code in several[:3].tolist()
        )
        raise UsageError(
            f"{len(several)} profiles have sequences with different labels, such as {names}: "
            "choose the profile label rule 'majority' or 'any'"
        )
