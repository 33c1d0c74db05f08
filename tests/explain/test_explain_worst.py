"""The most wrong rows, by hand and with their messages."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tenor.errors import ModelFileError, UsageError
from tenor.evaluation import predict, profile_predictions
from tenor.evaluation.mistakes import describe_ranking, find_errors
from tenor.explain import worst
from tenor.explain.profiles import explain_profile
from tenor.explain.sequences import explain_sequence
from tenor.explain.worst import worst_errors
from tenor.logits import log_odds, to_probs
from tenor.predictions import Predictions


def make_predictions(logits: list[Any], labels: list[int], **changes: Any) -> Predictions:  # noqa: ANN401
    count, scores = len(labels), np.array(logits, dtype=float)
    classes: tuple[Any, ...] = (0, 1) if scores.ndim == 1 else ("a", "b", "c")
    table = Predictions(
        level="conversation",
        classes=classes,
        conversation_ids=np.array([f"c{index}" for index in range(count)], dtype=object),
        authors=None,
        groups=np.array(["g"] * count, dtype=object),
        splits=np.array(["test"] * count, dtype=object),
        labels=np.array(labels),
        lengths=np.ones(count, dtype=np.int64),
        logits=scores,
        probs=to_probs(scores),
        threshold=0.5 if scores.ndim == 1 else None,
        model="m",
        model_hash="",
    )
    return dataclasses.replace(table, **changes)


def test_the_surest_mistakes_come_first() -> None:
    rows = make_predictions([2.0, -3.0, 1.0, -1.0, 4.0, 1.0], [0, 1, 0, 0, 1, 0])
    assert rows.conversation_ids is not None
    assert find_errors(rows, 10).conversation_ids.tolist() == ["c1", "c0", "c2", "c5"]  # type: ignore[union-attr]
    assert find_errors(rows, 2).conversation_ids.tolist() == ["c1", "c0"]  # type: ignore[union-attr]
    assert len(find_errors(rows, 0)) == 0


def test_a_threshold_hides_no_confident_misses() -> None:
    """With a threshold of .05 an offender scored .002 is more wrong than an innocent scored .6."""
    probs = np.array([0.6, 0.002, 0.04, 0.9, 0.2, 0.01])
    rows = make_predictions(log_odds(probs).tolist(), [0, 1, 1, 1, 0, 0], threshold=0.05)
    assert find_errors(rows, 9).conversation_ids.tolist() == ["c1", "c2", "c0", "c4"]  # type: ignore[union-attr]
    profiles = dataclasses.replace(
        rows, level="profile", authors=rows.conversation_ids, conversation_ids=None, logits=np.zeros(6)
    )
    assert find_errors(profiles, 9).authors.tolist() == ["c1", "c2", "c0", "c4"]  # type: ignore[union-attr]
    assert describe_ranking(rows) == "the probability that the model gave to the true class"
    threshold = float(to_probs(np.array([-2.0]))[0])
    rows = make_predictions([-1.0, -3.5, -2.1], [0, 1, 1], threshold=threshold)
    assert find_errors(rows, 9).conversation_ids.tolist() == ["c1", "c2", "c0"]  # type: ignore[union-attr]
    half = make_predictions([0.5, -1.0], [0, 1], threshold=None)
    assert find_errors(half, 9).conversation_ids.tolist() == ["c1", "c0"]  # type: ignore[union-attr]


def test_counts_of_votes_go_by_the_distance_from_the_threshold() -> None:
    rows = make_predictions([0.0] * 4, [0, 1, 0, 1])
    counts = dataclasses.replace(
        rows,
        level="profile",
        authors=rows.conversation_ids,
        conversation_ids=None,
        probs=np.array([4.0, 0.0, 9.0, 8.0]),
        threshold=3.0,
    )
    assert find_errors(counts, 9).authors.tolist() == ["c2", "c1", "c0"]  # type: ignore[union-attr]
    assert describe_ranking(counts) == "the distance of the score from the threshold"


def test_several_classes_go_by_the_true_class() -> None:
    rows = make_predictions([[0, 2, 0], [5, 0, 0], [0, 0, 1], [0, 0, 9]], [0, 2, 0, 2])
    assert find_errors(rows, 9).conversation_ids.tolist() == ["c1", "c0", "c2"]  # type: ignore[union-attr]
    rows = make_predictions([[9, 0, 8], [0.1, 0, -9]], [2, 2])  # surer of the first, wronger about the second
    assert find_errors(rows, 9).conversation_ids.tolist() == ["c1", "c0"]  # type: ignore[union-attr]
    profiles = dataclasses.replace(
        rows, level="profile", authors=rows.conversation_ids, conversation_ids=None
    )
    assert find_errors(profiles, 9).authors.tolist() == ["c1", "c0"]  # type: ignore[union-attr]


def swap_labels(predictions: Predictions) -> Predictions:
    """Every right row made wrong, and the other way round."""
    return dataclasses.replace(
        predictions, labels=np.where(predictions.labels < 0, -1, 1 - predictions.labels)
    )


@pytest.mark.parametrize("level", ["conversation", "author"])
@pytest.mark.parametrize("with_text", [False, True])
def test_errors_bring_their_messages(
    planted_corpus: Path, random_model: Callable[..., Path], level: str, with_text: bool
) -> None:
    path = random_model(level, threshold=0.5)
    predictions = predict(path, planted_corpus, split="all", device="cpu")
    found = worst_errors(predictions, planted_corpus, path, 3, with_text=with_text, device="cpu")
    wanted = find_errors(predictions.in_split("test").labelled(), 3)
    assert len(found) == len(wanted) == 3
    for row, error in enumerate(found):
        assert wanted.conversation_ids is not None
        assert error.conversation_id == wanted.conversation_ids[row]
        assert error.author == (None if wanted.authors is None else wanted.authors[row])
        assert error.label == wanted.labels[row] == 1 - error.predicted  # type: ignore[operator]
        assert error.prob == wanted.probs[row]
        single = explain_sequence(
            path, planted_corpus, error.conversation_id, error.author, with_text=with_text, device="cpu"
        )
        assert error.messages == single.messages
        assert (error.messages[0].text is not None) == with_text
        assert error.conversations == ()


def test_a_profile_brings_its_conversations(planted_corpus: Path, random_model: Callable[..., Path]) -> None:
    path = random_model("author", threshold=0.5)
    sequences = predict(path, planted_corpus, split="all", device="cpu").labelled()
    profiles = swap_labels(profile_predictions(sequences, ("median",))["median"])
    found = worst_errors(profiles, planted_corpus, path, 2, aggregation="median", device="cpu")
    assert len(found) == 2
    distances = []
    for error in found:
        assert (error.conversation_id, error.messages) == (None, ())
        single = explain_profile(path, planted_corpus, str(error.author), aggregation="median", device="cpu")
        assert error.conversations == single.conversations
        assert error.prob == pytest.approx(single.score, abs=1e-6)
        distances.append(abs(error.prob - float(profiles.threshold or 0.5)))
    assert distances[0] >= distances[1]


def test_a_sequence_too_long_comes_without_messages(
    planted_corpus: Path, random_model: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = random_model()
    predictions = predict(path, planted_corpus, split="test", device="cpu")
    monkeypatch.setattr(worst, "MAX_LEFT_OUT", 1)
    assert all(
        error.messages == () for error in worst_errors(predictions, planted_corpus, path, device="cpu")
    )
    explained = worst_errors(
        predictions, planted_corpus, path, 1, method="integrated_gradients", device="cpu"
    )
    assert explained[0].messages


def test_predictions_of_another_model_or_corpus_are_refused(
    planted_corpus: Path, random_model: Callable[..., Path]
) -> None:
    path = random_model()
    predictions = swap_labels(predict(path, planted_corpus, split="test", device="cpu"))
    other = dataclasses.replace(predictions, model_hash="abc")
    with pytest.raises(
        ModelFileError, match=r"those of conversation.safetensors \(hash abc\), .* has the hash"
    ):
        worst_errors(other, planted_corpus, path, device="cpu")
    elsewhere = dataclasses.replace(
        predictions, conversation_ids=np.array([f"x{i}" for i in range(len(predictions))], dtype=object)
    )
    with pytest.raises(UsageError, match="has no conversation 'x"):
        worst_errors(elsewhere, planted_corpus, path, device="cpu")
    with pytest.raises(UsageError, match="split must be one of"):
        worst_errors(predictions, planted_corpus, path, split="all", device="cpu")
