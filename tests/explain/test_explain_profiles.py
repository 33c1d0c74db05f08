"""Conversations' contributions to a profile's score against plain loops over the fixed aggregations."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tenor.aggregation.fixed import AGGREGATIONS, Aggregation, aggregate_scores
from tenor.errors import ModelFileError, UsageError
from tenor.evaluation import predict
from tenor.explain.profiles import explain_profile, leave_one_out_scores


def leave_out_by_loop(probs: np.ndarray, aggregation: Aggregation, threshold: float) -> np.ndarray:
    scores = []
    for left_out in range(len(probs)):
        kept = np.delete(probs, left_out, axis=0)
        scores.append(aggregate_scores(kept, np.zeros(len(kept), dtype=int), 1, aggregation, threshold)[0])
    return np.stack(scores)


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
@pytest.mark.parametrize("shape", [(1,), (2,), (7,), (50,), (1, 3), (6, 3)])
@pytest.mark.parametrize(
    "digits", [1, 16]
)  # of one digit many are equal, to one another and to the threshold
def test_leaving_out_equals_a_plain_loop(
    aggregation: Aggregation, shape: tuple[int, ...], digits: int
) -> None:
    probs = np.random.default_rng(0).random(shape).round(digits)
    probs = probs if len(shape) == 1 else probs / probs.sum(axis=1, keepdims=True)
    found = leave_one_out_scores(probs, aggregation, 0.4)
    assert found.shape == shape
    np.testing.assert_allclose(found, leave_out_by_loop(probs, aggregation, 0.4), rtol=1e-14, atol=1e-15)


def test_leaving_out_by_hand() -> None:
    probs = np.array([0.9, 0.1, 0.4])
    np.testing.assert_allclose(leave_one_out_scores(probs, "mean"), [0.25, 0.65, 0.5])
    np.testing.assert_allclose(leave_one_out_scores(probs, "median"), [0.25, 0.65, 0.5])
    np.testing.assert_allclose(leave_one_out_scores(probs, "mean_vote", 0.4), [0.5, 1.0, 0.5])
    np.testing.assert_allclose(leave_one_out_scores(probs, "total_vote", 0.4), [1, 2, 1])
    assert leave_one_out_scores(np.empty(0), "mean").shape == (0,)


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
@pytest.mark.parametrize("num_classes", [2, 3])
def test_a_profile_is_what_its_sequences_make(
    planted_corpus: Path,
    random_model: Callable[..., Path],
    aggregation: Aggregation,
    num_classes: int,
) -> None:
    path = random_model("author", num_classes, True, 0.45 if num_classes == 2 else None)
    predictions = predict(path, planted_corpus, split="all", device="cpu")
    assert predictions.authors is not None and predictions.conversation_ids is not None
    rows = predictions.select(predictions.authors == "author-6")
    found = explain_profile(path, planted_corpus, "author-6", aggregation=aggregation, device="cpu")
    threshold = 0.45 if num_classes == 2 else 0.5
    scores = aggregate_scores(rows.probs, np.zeros(len(rows), dtype=int), 1, aggregation, threshold)[0]
    expected = scores - leave_out_by_loop(rows.probs, aggregation, threshold)
    probs, target = rows.probs, 1
    if num_classes == 3:
        target = int(scores.argmax())
        probs, expected, scores = probs[:, target], expected[:, target], scores[target]
    assert rows.conversation_ids is not None
    assert [each.conversation_id for each in found.conversations] == rows.conversation_ids.tolist()
    assert [each.length for each in found.conversations] == rows.lengths.tolist()
    assert [each.prob for each in found.conversations] == pytest.approx(probs.tolist(), abs=1e-6)
    np.testing.assert_allclose(found.contributions, expected, atol=1e-5)
    assert found.score == pytest.approx(float(scores), abs=1e-5)
    assert (found.author, found.aggregation) == ("author-6", aggregation)
    assert found.target == predictions.classes[target]
    assert found.label == 1
    assert found.split == rows.splits[0]


def test_errors_say_what_to_do(planted_corpus: Path, random_model: Callable[..., Path]) -> None:
    path = random_model("author")
    with pytest.raises(UsageError, match="has no author 'ann' with a message among its [0-9]+ "):
        explain_profile(path, planted_corpus, "ann", device="cpu")
    with pytest.raises(UsageError, match="aggregation must be one of mean, median, .* not 'max'"):
        explain_profile(path, planted_corpus, "author-1", aggregation="max", device="cpu")
    with pytest.raises(ModelFileError, match="is a model of level 'conversation', not 'author'"):
        explain_profile(random_model(), planted_corpus, "author-1", device="cpu")


def test_an_author_in_several_splits_has_several_profiles(
    planted_records: list[dict[str, Any]],
    make_corpus: Callable[..., Path],
    random_model: Callable[..., Path],
) -> None:
    author = planted_records[0]["messages"][0]["author"]
    records = []
    for index, split in enumerate(("train", "train", "test")):
        record = copy.deepcopy(planted_records[0])
        records.append(record | {"conversation_id": f"c{index}", "split": split, "group": f"g{index}"})
    corpus, path = make_corpus(records), random_model("author")
    message = f"author {author!r} has a profile in each of the splits 'test', 'train': name one (--split)"
    with pytest.raises(UsageError, match=re.escape(message)):
        explain_profile(path, corpus, author, device="cpu")
    found = explain_profile(path, corpus, author, split="train", device="cpu")
    assert [each.conversation_id for each in found.conversations] == ["c0", "c1"]
    assert found.remark is None
    alone = explain_profile(path, corpus, author, split="test", device="cpu")
    (lone,) = alone.conversations
    assert alone.remark == (
        "The profile is this one conversation, so there is nothing to leave out: its score rests on that one."
    )
    assert alone.score == lone.prob
    votes = explain_profile(path, corpus, author, split="test", aggregation="total_vote", device="cpu")
    assert votes.remark is None  # no votes are a number of votes
    assert lone.contribution == lone.prob  # without it the profile is empty, and scores 0
    with pytest.raises(UsageError, match="has no sequence in split 'validation', but in 'test', 'train'"):
        explain_profile(path, corpus, author, split="validation", device="cpu")
