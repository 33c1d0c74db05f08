"""Deletion and insertion: orders by hand, and explanations that beat chance where evidence was planted."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tenor.errors import UsageError
from tenor.explain import curves
from tenor.explain.curves import RemovalCurve, deletion_curve, insertion_curve, keep_in_order
from tenor.explain.records import Method
from tenor.explain.sequences import Contributions, contribute
from tenor.explain.subsets import SubsetScorer
from tenor.logits import to_probs
from tenor.seeding import numpy_generator

CURVES = {"deletion": deletion_curve, "insertion": insertion_curve}


def test_orders_by_hand() -> None:
    order = np.array([2, 0, 1])
    deleted = [[1, 1, 1], [1, 1, 0], [0, 1, 0], [0, 0, 0]]
    inserted = [[0, 0, 0], [0, 0, 1], [1, 0, 1], [1, 1, 1]]
    assert keep_in_order(order, "deletion").astype(int).tolist() == deleted
    assert keep_in_order(order, "insertion").astype(int).tolist() == inserted


def measure(kind: str, path: Path, corpus: Path, **options: object) -> RemovalCurve:
    return CURVES[kind](path, corpus, split="train", device="cpu", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["deletion", "insertion"])
@pytest.mark.parametrize(
    ("prior", "method"),
    [("none", "leave_one_out"), ("none", "integrated_gradients"), ("lexical", "leave_one_out")],
)
def test_explanations_beat_random_order(
    planted_corpus: Path, trained: dict[str, Path], kind: str, prior: str, method: str
) -> None:
    found = measure(kind, trained[prior], planted_corpus, method=method, max_sequences=40)
    assert found.gain.value is not None and found.gain.low is not None
    assert found.gain.low > 0.02
    assert found.gain.low <= found.gain.value <= found.gain.high  # type: ignore[operator]
    assert (found.sequences, found.gain.groups, found.gain.warning) == (40, 40, None)
    assert (found.kind, found.method) == (kind, method)
    difference = found.random_area.value - found.area.value  # type: ignore[operator]
    assert found.gain.value == pytest.approx(difference if kind == "deletion" else -difference)
    ends = [0, -1] if kind == "deletion" else [-1, 0]  # with all messages, and with none
    assert found.probs[ends] == pytest.approx(found.random_probs[ends])  # any order begins and ends the same
    assert found.probs[ends[0]] > 0.6
    assert found.shares.tolist() == pytest.approx((np.arange(21) / 20).tolist())


@pytest.mark.parametrize("kind", ["deletion", "insertion"])
def test_explanations_without_sense_do_not(
    planted_corpus: Path, trained: dict[str, Path], monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """The same measurement of contributions dealt out at random: the interval holds 0."""

    def shuffled(scorer: SubsetScorer, index: int, method: Method) -> Contributions:
        found = contribute(scorer, index, method)
        order = numpy_generator(5, "shuffled", index).permutation(len(found.network))
        return dataclasses.replace(found, network=found.network[order], lexical=found.lexical[order])

    monkeypatch.setattr(curves, "contribute", shuffled)
    found = measure(kind, trained["none"], planted_corpus, max_sequences=40)
    assert found.gain.low is not None and found.gain.high is not None
    assert found.gain.low < 0 < found.gain.high


@pytest.mark.parametrize(("num_classes", "threshold"), [(2, 0.01), (2, 0.99), (3, None)])
def test_a_curve_by_loop(
    planted_records: list[dict[str, Any]],
    make_corpus: Callable[..., Path],
    random_model: Callable[..., Path],
    num_classes: int,
    threshold: float | None,
) -> None:
    """One sequence: messages taken out one after another, the strongest for the predicted class first."""
    record = max(planted_records[:40], key=lambda each: len(each["messages"]))
    corpus = make_corpus([record | {"split": "test"}, planted_records[0] | {"split": "train"}])
    path = random_model("conversation", num_classes, True, threshold)
    scorer = SubsetScorer.open(path, corpus, device="cpu")
    index = scorer.find(record["conversation_id"], None)
    explained = contribute(scorer, index, "leave_one_out")
    against = explained.predicted != explained.target
    assert against == (threshold == 0.99)
    left = list(range(len(record["messages"])))
    followed = []
    while True:
        keep = np.isin(np.arange(len(record["messages"])), left)
        probs = to_probs(scorer.score(index, keep[None]).total)[0]
        prob = float(probs if num_classes == 2 else probs[explained.target])
        followed.append(1 - prob if against else prob)
        if not left:
            break
        gains = (explained.network + explained.lexical) * (-1 if against else 1)
        left.remove(max(left, key=lambda position: gains[position]))
    found = deletion_curve(path, corpus, random_orders=1, replicates=10, device="cpu")
    shares = np.linspace(0, 1, len(followed))
    assert found.area.value == pytest.approx(np.trapezoid(followed, shares), abs=1e-6)
    np.testing.assert_allclose(found.probs, np.interp(found.shares, shares, followed), atol=1e-6)


def test_the_same_seed_gives_the_same_curve(planted_corpus: Path, random_model: Callable[..., Path]) -> None:
    path = random_model()
    first, second, third = (
        insertion_curve(path, planted_corpus, max_sequences=5, replicates=20, seed=seed, device="cpu")
        for seed in (1, 1, 2)
    )
    assert first.random_probs.tolist() == second.random_probs.tolist() != third.random_probs.tolist()
    assert first.gain == second.gain != third.gain
    assert "only 5 groups" in str(first.gain.warning)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "all"}, "split must be one of train, validation, test, not 'all'"),
        ({"random_orders": 0}, "random_orders must be at least 1, not 0"),
        ({"max_sequences": 0}, "max_sequences must be at least 1, not 0"),
        ({"method": "x"}, "method must be one of"),
    ],
)
def test_wrong_arguments_are_named(
    planted_corpus: Path, random_model: Callable[..., Path], options: dict[str, object], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        deletion_curve(random_model(), planted_corpus, device="cpu", **options)  # type: ignore[arg-type]


def test_sequences_of_one_message_have_no_order(
    planted_records: list[dict[str, Any]], make_corpus: Callable[..., Path], random_model: Callable[..., Path]
) -> None:
    record = planted_records[0]
    lone = {"conversation_id": "a", "messages": record["messages"][:1], "split": "test"}
    corpus = make_corpus([lone, lone | {"conversation_id": "b", "split": "train"}])
    with pytest.raises(UsageError, match="split 'test' of .* has no sequence of 2 to 1,000 messages"):
        deletion_curve(random_model(), corpus, device="cpu")
