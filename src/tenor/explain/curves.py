"""Do explanations find the messages that matter? Deletion and insertion curves against random order.

Messages are taken out (or put in) from the one that speaks most for the prediction to the one that speaks most
against it, and the probability of the predicted class is followed: a good explanation makes it fall (or rise)
at once. Petsiuk, Das & Saenko 2018, "RISE: Randomized Input Sampling for Explanation of Black-box Models".
Labels are not read. Knows nothing of how contributions are made.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from tenor.arguments import require_flags
from tenor.corpus.corpus import Corpus
from tenor.corpus.schema import SPLITS
from tenor.errors import UsageError
from tenor.explain.records import Method, require_method
from tenor.explain.sequences import MAX_LEFT_OUT, contribute
from tenor.explain.subsets import SubsetScorer
from tenor.logits import to_probs
from tenor.metrics.intervals import Interval, make_interval
from tenor.metrics.resampling import resample_groups
from tenor.progress import progress_bar
from tenor.seeding import numpy_generator
from tenor.strings import Strings

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Kind = Literal["deletion", "insertion"]

#: Where the mean curves are read off.
SHARES = np.linspace(0.0, 1.0, 21)


@dataclass(frozen=True, eq=False)
class RemovalCurve:
    """The mean curve of some sequences, and its area beside that of random orders.

    Attributes:
        kind: ``deletion`` or ``insertion``.
        method: of the explanations.
        shares: (G,) the share of messages taken out, or put in.
        probs: (G,) the probability of the predicted class in the explanation's order, mean of the sequences.
        random_probs: (G,) the same in random order.
        area: under `probs`: low is good for deletion, high for insertion.
        random_area: under `random_probs`.
        gain: how much better the explanation's order is, a difference of areas paired by sequence; above 0 is
            better for both kinds.
        sequences: how many.
    """

    kind: Kind
    method: Method
    shares: Floats
    probs: Floats
    random_probs: Floats
    area: Interval
    random_area: Interval
    gain: Interval
    sequences: int


def deletion_curve(
    model_path: str | Path,
    dataset_path: str | Path | Corpus,
    *,
    method: str = "leave_one_out",
    split: str = "test",
    max_sequences: int = 100,
    random_orders: int = 8,
    replicates: int = 1000,
    seed: int = 0,
    device: str | None = None,
    progress: bool = False,
) -> RemovalCurve:
    """Take out the messages that speak most for the prediction first, and follow its probability.

    Args:
        model_path: a model file of train_model.
        dataset_path: a corpus encoded with the model's encoder.
        method: see explain_sequence.
        split: whose sequences; those of one message are left out, for they have one order, and so are those of
            more than 1,000.
        max_sequences: at most so many, drawn at random.
        random_orders: for each sequence.
        replicates: of the cluster bootstrap that makes the intervals.
        seed: of the sequences, the orders and the bootstrap.
        device: where to compute; None = the best there is.
        progress: show a bar.

    Raises:
        UsageError: an unknown method or split, a number below 1, or no sequence of two messages or more.
        ModelFileError: no sound model, or one of another encoder.
        CorpusError: the corpus has no features, or no text for the model's lexical prior.
        MissingExtraError: captum is not installed.
    """
    require_flags(progress=progress)
    subsets = SubsetScorer.open(model_path, dataset_path, device=device)
    plan = _Plan(require_method(method), split, max_sequences, random_orders, replicates, seed)
    return _draw_curve(subsets, "deletion", plan, progress)


def insertion_curve(
    model_path: str | Path,
    dataset_path: str | Path | Corpus,
    *,
    method: str = "leave_one_out",
    split: str = "test",
    max_sequences: int = 100,
    random_orders: int = 8,
    replicates: int = 1000,
    seed: int = 0,
    device: str | None = None,
    progress: bool = False,
) -> RemovalCurve:
    """Start from no message, put in those that speak most for the prediction first; see deletion_curve."""
    require_flags(progress=progress)
    subsets = SubsetScorer.open(model_path, dataset_path, device=device)
    plan = _Plan(require_method(method), split, max_sequences, random_orders, replicates, seed)
    return _draw_curve(subsets, "insertion", plan, progress)


@dataclass(frozen=True)
class _Plan:
    """The arguments of deletion_curve that decide the result."""

    method: Method
    split: str
    max_sequences: int
    random_orders: int
    replicates: int
    seed: int

    def __post_init__(self) -> None:
        if self.split not in SPLITS:
            raise UsageError(f"split must be one of {', '.join(SPLITS)}, not {self.split!r}")
        for name in ("max_sequences", "random_orders", "replicates"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} must be at least 1, not {getattr(self, name)}")


def _draw_curve(subsets: SubsetScorer, kind: Kind, plan: _Plan, progress: bool) -> RemovalCurve:
    chosen = _choose_sequences(subsets, plan)
    curves = np.empty((len(chosen), 2, len(SHARES)))  # of each sequence: in order, and in random order
    areas = np.empty((len(chosen), 2))
    with progress_bar("removing messages", len(chosen), enabled=progress) as advance:
        for row, index in enumerate(chosen.tolist()):
            followed = _follow(subsets, index, kind, plan)  # (1 + R, T + 1)
            both = np.stack([followed[0], followed[1:].mean(axis=0)])
            shares = np.linspace(0.0, 1.0, both.shape[1])
            curves[row] = [np.interp(SHARES, shares, each) for each in both]
            areas[row] = np.trapezoid(both, shares, axis=1)
            advance(1)
    better = areas[:, 1] - areas[:, 0] if kind == "deletion" else areas[:, 0] - areas[:, 1]
    area, random_area, gain = _estimate_means(
        np.column_stack([areas, better]), subsets.view.groups[chosen], plan
    )
    probs, random_probs = curves.mean(axis=0)
    return RemovalCurve(kind, plan.method, SHARES, probs, random_probs, area, random_area, gain, len(chosen))


def _choose_sequences(subsets: SubsetScorer, plan: _Plan) -> Integers:
    view = subsets.view
    fitting = (view.lengths >= 2) & (view.lengths <= MAX_LEFT_OUT)
    found = np.flatnonzero(fitting & (view.splits == plan.split))
    if len(found) == 0:
        raise UsageError(
            f"split {plan.split!r} of {view.corpus.path} has no sequence of 2 to {MAX_LEFT_OUT:,} messages: "
            "there is no order to compare"
        )
    drawn = numpy_generator(plan.seed, "curve").permutation(found)[: plan.max_sequences]
    return np.sort(drawn)


def _follow(subsets: SubsetScorer, index: int, kind: Kind, plan: _Plan) -> Floats:
    """The predicted class's probability after 0 to T messages, (1 + R, T + 1): best order first, then random."""
    found = contribute(subsets, index, plan.method)
    length = len(found.network)
    against = found.predicted != found.target  # of two classes, the first is predicted
    gains = (found.network + found.lexical) * (-1.0 if against else 1.0)
    generator = numpy_generator(plan.seed, "orders", index)
    orders = [np.argsort(-gains, kind="stable")]
    orders += [generator.permutation(length) for _ in range(plan.random_orders)]
    keep = np.concatenate([keep_in_order(order, kind) for order in orders])
    probs = to_probs(subsets.score(index, keep).total)
    probs = probs if probs.ndim == 1 else probs[:, found.target]
    return (1.0 - probs if against else probs).reshape(len(orders), length + 1)


def keep_in_order(order: Integers, kind: Kind) -> Bools:
    """Which messages stay when 0 to T of them, in an order, are taken out or put in.

    Args:
        order: (T,) positions, the first to go (or to come) first.
        kind: ``deletion`` starts from all messages, ``insertion`` from none.

    Returns:
        (T + 1, T) bool.
    """
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    reached: Bools = rank < np.arange(len(order) + 1)[:, None]
    return ~reached if kind == "deletion" else reached


def _estimate_means(values: Floats, groups: Strings, plan: _Plan) -> list[Interval]:
    """The mean of each column of (N, K), with an interval from resampling groups of rows."""
    codes, names = groups.rank()
    counts = np.bincount(codes).astype(np.float64)
    sums = np.stack([np.bincount(codes, weights=column) for column in values.T], axis=1)  # (G, K)

    def measure(weights: Integers) -> dict[str, Floats]:
        return {"means": (weights @ sums) / (weights @ counts)[:, None]}

    draws = resample_groups(
        measure, rows=len(values), num_groups=len(names), replicates=plan.replicates, seed=plan.seed
    )["means"]
    return [make_interval(float(column.mean()), draws[:, k], len(names)) for k, column in enumerate(values.T)]
