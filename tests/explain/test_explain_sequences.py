"""Messages' contributions against corpora that lack the message, and on planted evidence."""

from __future__ import annotations

import copy
import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tenor.corpus.corpus import open_corpus
from tenor.corpus.views import view_sequences
from tenor.errors import CorpusError, ModelFileError, UsageError
from tenor.evaluation import predict
from tenor.explain import sequences
from tenor.explain.records import SequenceExplanation
from tenor.explain.sequences import explain_sequence
from tenor.models.model_file import load_model
from tenor.predictions import Predictions

Records = list[dict[str, Any]]


def without_each_message(record: dict[str, Any], author: str | None) -> Records:
    """The record, and for each message (of an author) the record without it; the author keeps one at least."""
    variants = [record | {"conversation_id": "whole"}]
    for position, message in enumerate(record["messages"]):
        if author in (None, message["author"]):
            variant = copy.deepcopy(record) | {"conversation_id": f"without-{position + 1}"}
            del variant["messages"][position]
            present = {each["author"] for each in variant["messages"]}
            labels = record["author_labels"].items()
            variant["author_labels"] = {name: label for name, label in labels if name in present}
            variants.append(variant)
    return variants


def logits_by_id(predictions: Predictions, author: str | None) -> dict[str, np.ndarray]:
    names = [None] * len(predictions) if predictions.authors is None else predictions.authors.tolist()
    return {
        identifier: np.asarray(logit)
        for identifier, name, logit in zip(
            predictions.conversation_ids, names, predictions.logits, strict=True
        )
        if name == author
    }


@pytest.mark.parametrize(("num_classes", "prior"), [(2, True), (2, False), (3, True)])
@pytest.mark.parametrize("level", ["conversation", "author"])
def test_leaving_out_a_message_equals_a_corpus_that_lacks_it(
    planted_records: Records,
    make_corpus: Callable[[Records], Path],
    random_model: Callable[..., Path],
    level: str,
    num_classes: int,
    prior: bool,
) -> None:
    record = max(planted_records[:40], key=lambda each: len(each["messages"]))
    turns = [message["author"] for message in record["messages"]]
    author = max(set(turns), key=turns.count) if level == "author" else None
    model = random_model(level, num_classes, prior)
    corpus = make_corpus(without_each_message(record, author))
    logits = logits_by_id(predict(model, corpus, split="all", device="cpu"), author)
    explanation = explain_sequence(model, corpus, "whole", author, device="cpu")
    target = () if num_classes == 2 else (int(logits["whole"].argmax()),)
    assert len(explanation.messages) == turns.count(author) if author else len(turns)
    assert explanation.logit == pytest.approx(logits["whole"][target], abs=1e-5)
    opens_anew = prior and author is None and turns[0] != turns[1]  # the explained one keeps its opener
    for message in explanation.messages:
        without = logits[f"without-{message.position}"][target]
        if not (opens_anew and message.position == 1):
            assert message.contribution == pytest.approx(logits["whole"][target] - without, abs=1e-5)
        assert message.author == turns[message.position - 1]
        assert message.contribution == message.network + (message.lexical if prior else 0.0)
        assert (message.lexical is None) != prior


def check_sum(explanation: SequenceExplanation) -> None:
    total = explanation.base + explanation.contributions.sum() + explanation.remainder
    assert explanation.logit == pytest.approx(total, abs=1e-9)


@pytest.mark.parametrize("method", ["leave_one_out", "integrated_gradients"])
@pytest.mark.parametrize(("level", "num_classes"), [("conversation", 2), ("conversation", 3), ("author", 2)])
def test_the_parts_sum_to_the_logit(
    planted_corpus: Path,
    planted_records: Records,
    random_model: Callable[..., Path],
    prior_by_loop: Callable[..., np.ndarray],
    method: str,
    level: str,
    num_classes: int,
) -> None:
    path = random_model(level, num_classes, True, 0.4 if num_classes == 2 else None)
    author = planted_records[5]["messages"][0]["author"] if level == "author" else None
    found = explain_sequence(path, planted_corpus, "chat-5", author, method=method, device="cpu")
    check_sum(found)
    assert (found.conversation_id, found.author, found.level, found.method) == (
        "chat-5",
        author,
        level,
        method,
    )
    predictions = predict(path, planted_corpus, split="all", device="cpu")
    logit = logits_by_id(predictions, author)["chat-5"]
    if num_classes == 2:
        assert found.target == 1
        assert found.predicted == int(found.prob >= 0.4)
        assert found.prob == pytest.approx(1 / (1 + np.exp(-logit)), abs=1e-6)
    else:
        assert found.target == found.predicted == predictions.classes[logit.argmax()]
        assert found.logit == pytest.approx(logit.max(), abs=1e-5)
    loaded = load_model(path)
    assert loaded.lexical is not None
    if method == "integrated_gradients":
        span = abs(found.logit - found.base)
        assert abs(found.remainder) <= 0.01 * max(1.0, span)
        # The n-grams' part is a sum without error; that of the surface is in the base.
        words = dataclasses.replace(loaded.lexical, surface=None)
        column = 0 if num_classes == 2 else predictions.classes.index(found.target)
        record = planted_records[5]["messages"]
        parts = sum(float(message.lexical or 0.0) for message in found.messages)
        nothing = [False] * sum(author in (None, message["author"]) for message in record)
        whole, none = (prior_by_loop(words, record, author, k) for k in (None, nothing))
        assert parts == pytest.approx((whole - none)[column], abs=1e-9)


def test_a_lone_message_bears_everything(
    planted_records: Records, make_corpus: Callable[[Records], Path], random_model: Callable[..., Path]
) -> None:
    record = copy.deepcopy(planted_records[0])
    record["messages"] = record["messages"][:1]
    del record["author_labels"]
    corpus = make_corpus([record, *planted_records[1:4]])
    found = explain_sequence(random_model(), corpus, "chat-0", device="cpu")
    assert len(found.messages) == 1
    assert found.remainder == pytest.approx(0.0, abs=1e-9)
    assert found.contributions[0] == pytest.approx(found.logit - found.base, abs=1e-9)


@pytest.mark.parametrize("method", ["leave_one_out", "integrated_gradients"])
@pytest.mark.parametrize("prior", ["none", "lexical"])
def test_the_planted_message_contributes_most(
    planted_corpus: Path, planted_records: Records, trained: dict[str, Path], prior: str, method: str
) -> None:
    bad = [index for index, record in enumerate(planted_records) if len(record["telling"]) == 1][:15]
    hits = []
    for index in bad:
        found = explain_sequence(trained[prior], planted_corpus, f"chat-{index}", method=method, device="cpu")
        hits.append(int(found.contributions.argmax()) in planted_records[index]["telling"])
    assert np.mean(hits) >= 0.85


def test_texts_and_ngrams_come_only_when_asked_for(
    planted_corpus: Path, planted_records: Records, trained: dict[str, Path]
) -> None:
    index = next(index for index, record in enumerate(planted_records) if record["telling"])
    silent = explain_sequence(trained["lexical"], planted_corpus, f"chat-{index}", device="cpu")
    assert silent.ngrams is None
    assert all(message.text is None for message in silent.messages)
    spoken = explain_sequence(
        trained["lexical"], planted_corpus, f"chat-{index}", with_text=True, device="cpu"
    )
    texts = [message["text"] for message in planted_records[index]["messages"]]
    assert [message.text for message in spoken.messages] == texts
    assert spoken.contributions.tolist() == silent.contributions.tolist()
    assert spoken.ngrams is not None
    assert "villain" in spoken.ngrams[0].ngram or "villain" in spoken.ngrams[1].ngram
    magnitudes = [abs(each.contribution) for each in spoken.ngrams]
    assert magnitudes == sorted(magnitudes, reverse=True)
    lexical = load_model(trained["lexical"]).lexical
    assert lexical is not None
    view = view_sequences(open_corpus(planted_corpus), "conversation")
    expected = lexical.ngram_contributions(view, index)
    listed = {each.ngram: each.contribution for each in spoken.ngrams}
    assert listed == {ngram: pytest.approx(expected[ngram][0]) for ngram in listed}
    assert min(magnitudes) >= max(abs(w[0]) for ngram, w in expected.items() if ngram not in listed)
    assert "villain" not in repr(spoken)


def test_classes_that_the_corpus_does_not_know(
    planted_records: Records, make_corpus: Callable[[Records], Path], random_model: Callable[..., Path]
) -> None:
    """A model of three classes over a corpus without labels: explained and scored alike."""
    keys = ("conversation_id", "messages")
    corpus = make_corpus([{key: record[key] for key in keys} for record in planted_records[:6]])
    path = random_model("conversation", 3)
    predictions = predict(path, corpus, split="all", device="cpu")
    assert predictions.logits.shape == (6, 3)
    found = explain_sequence(path, corpus, "chat-2", device="cpu")
    assert found.label is None
    assert found.logit == pytest.approx(predictions.logits[2].max(), abs=1e-5)


def test_errors_say_what_to_do(
    planted_corpus: Path, random_model: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = random_model(prior=False)
    with pytest.raises(
        UsageError, match="method must be one of leave_one_out, integrated_gradients, not 'x'"
    ):
        explain_sequence(path, planted_corpus, "chat-0", method="x", device="cpu")
    with pytest.raises(ModelFileError, match="level 'conversation', not 'author'"):
        explain_sequence(path, planted_corpus, "chat-0", "author-1", device="cpu")
    with pytest.raises(UsageError, match="has no conversation 'chat-999'"):
        explain_sequence(path, planted_corpus, "chat-999", device="cpu")
    monkeypatch.setattr(sequences, "MAX_LEFT_OUT", 2)
    message = "messages, too many to leave out one by one (at most 2): use the method integrated_gradients"
    with pytest.raises(UsageError, match=re.escape(message)):
        explain_sequence(path, planted_corpus, "chat-0", device="cpu")
    explain_sequence(path, planted_corpus, "chat-0", method="integrated_gradients", device="cpu")


def test_a_corpus_without_text_has_none_to_show(
    planted_records: Records, make_corpus: Callable[[Records], Path], random_model: Callable[..., Path]
) -> None:
    messages = [{key: m[key] for key in ("author", "features")} for m in planted_records[0]["messages"]]
    corpus = make_corpus([planted_records[0] | {"messages": messages}])
    path = random_model(prior=False)
    assert explain_sequence(path, corpus, "chat-0", device="cpu").messages[0].text is None
    with pytest.raises(CorpusError, match="expected messages with text, found none"):
        explain_sequence(path, corpus, "chat-0", with_text=True, device="cpu")
