"""Scores of subsets of messages against one model call a subset, and the errors of what is not there."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tenor.corpus.corpus import open_corpus
from tenor.errors import CorpusError, ModelFileError, UsageError
from tenor.evaluation import predict
from tenor.explain.subsets import SubsetScorer

Loop = Callable[..., np.ndarray]


def score_by_loop(
    scorer: SubsetScorer, index: int, keep: np.ndarray, messages: list[dict[str, Any]], prior_by_loop: Loop
) -> np.ndarray:
    """One call of the model a subset, unpadded and without a mask; the prior by a loop over the messages."""
    features = torch.from_numpy(scorer.view.gather_features([index]).astype(np.float32))
    author = None if scorer.view.authors is None else scorer.view.authors[index]
    model, lexical = scorer.scorer.model, scorer.scorer.lexical
    logits = []
    for row in keep:
        prior = None
        if lexical is not None:
            found = prior_by_loop(lexical, messages, author, row.tolist())
            prior = torch.from_numpy(found if model.num_classes == 2 else found[None])
        with torch.inference_mode():
            logits.append(model(features[torch.from_numpy(row)][None], None, prior)[0].double().numpy())
    return np.stack(logits)


@pytest.mark.parametrize("prior", [False, True])
@pytest.mark.parametrize("num_classes", [2, 3])
@pytest.mark.parametrize("level", ["conversation", "author"])
def test_subsets_score_as_one_call_each(
    planted_corpus: Path,
    planted_records: list[dict[str, Any]],
    random_model: Callable[..., Path],
    prior_by_loop: Loop,
    level: str,
    num_classes: int,
    prior: bool,
) -> None:
    scorer = SubsetScorer.open(random_model(level, num_classes, prior), planted_corpus, device="cpu")
    generator = np.random.default_rng(0)
    for index in (0, 3, int(scorer.view.lengths.argmax())):
        length = int(scorer.view.lengths[index])
        keep = generator.random((12, length)) < 0.5
        keep[0], keep[1], keep[2] = True, False, np.arange(length) == 0  # all, none, one
        found = scorer.score(index, keep)
        name = scorer.view.conversation_ids[index]
        messages = next(each["messages"] for each in planted_records if each["conversation_id"] == name)
        expected = score_by_loop(scorer, index, keep, messages, prior_by_loop)
        np.testing.assert_allclose(found.total, expected, atol=1e-5)
        assert found.lexical.any() == prior
        assert found.of_class(1).total.shape == (12,)
        if num_classes == 3:
            assert (found.of_class(2).network == found.network[:, 2]).all()


def test_whole_sequences_score_as_predict_says(
    planted_corpus: Path, random_model: Callable[..., Path]
) -> None:
    path = random_model("author", threshold=0.3)
    scorer = SubsetScorer.open(path, open_corpus(planted_corpus), device="cpu")
    predictions = predict(path, planted_corpus, split="all", device="cpu")
    found = scorer.score_whole(np.arange(len(scorer.view)))
    np.testing.assert_allclose(found.total, predictions.logits, atol=1e-5)
    for logit, prob in zip(found.total[:5], predictions.probs, strict=False):
        predicted, target, of_target = scorer.predict(np.asarray(logit))
        assert (predicted, target) == (int(prob >= 0.3), 1)
        assert of_target == pytest.approx(prob, abs=1e-6)


def test_a_sequence_is_found_by_its_ids(
    planted_corpus: Path, random_model: Callable[..., Path], planted_records: list[dict[str, Any]]
) -> None:
    scorer = SubsetScorer.open(random_model("conversation"), planted_corpus, device="cpu")
    assert scorer.view.conversation_ids[scorer.find("chat-7", None)] == "chat-7"
    scorer = SubsetScorer.open(random_model("author"), planted_corpus, device="cpu")
    author = planted_records[7]["messages"][1]["author"]
    index = scorer.find("chat-7", author)
    assert (scorer.view.conversation_ids[index], scorer.view.authors[index]) == ("chat-7", author)


@pytest.mark.parametrize(
    ("level", "ids", "error", "message"),
    [
        ("conversation", ("chat-x", None), UsageError, "has no conversation 'chat-x'; its 240 conversations"),
        (
            "conversation",
            ("chat-x", None),
            UsageError,
            "ids such as 'chat-0', 'chat-1', 'chat-2' (tenor predict",
        ),
        (
            "conversation",
            ("chat-0", "ann"),
            ModelFileError,
            "is a model of level 'conversation', not 'author'",
        ),
        ("author", ("chat-0", None), UsageError, "'chat-0' has 2 authors: name one (--author NAME)"),
        ("author", ("chat-0", "ann"), UsageError, "'chat-0' has no author 'ann'; it has 2 authors"),
    ],
)
def test_what_is_not_there_is_named_with_the_remedy(
    planted_corpus: Path,
    random_model: Callable[..., Path],
    level: str,
    ids: tuple[str, str | None],
    error: type[Exception],
    message: str,
) -> None:
    scorer = SubsetScorer.open(random_model(level), planted_corpus, device="cpu")
    with pytest.raises(error, match=re.escape(message)):
        scorer.find(*ids)


def test_a_corpus_of_another_encoder_is_refused(
    planted_corpus: Path, random_model: Callable[..., Path], tmp_path: Path
) -> None:
    from tenor.encoding.encode import encode_corpus

    encoded = encode_corpus(planted_corpus, tmp_path / "encoded", input_size=6, progress=False)
    with pytest.raises(ModelFileError, match="was encoded with lsa .* expects features made elsewhere"):
        SubsetScorer.open(random_model(), encoded, device="cpu")


def test_a_prior_needs_the_texts(
    planted_records: list[dict[str, Any]],
    make_corpus: Callable[..., Path],
    random_model: Callable[..., Path],
) -> None:
    records = [
        record | {"messages": [{key: m[key] for key in ("author", "features")} for m in record["messages"]]}
        for record in planted_records[:12]
    ]
    corpus = make_corpus(records)
    keep = np.ones((1, len(records[0]["messages"])), dtype=bool)
    with pytest.raises(CorpusError, match="expected messages with text, found none"):
        SubsetScorer.open(random_model(), corpus, device="cpu").score(0, keep)
    scorer = SubsetScorer.open(random_model(prior=False), corpus, device="cpu")
    assert not scorer.score(0, keep).lexical.any()
