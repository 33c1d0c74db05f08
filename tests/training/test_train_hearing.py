"""What others say is read only where no author of test, or of another fold, would be known by what was heard there.

The texts are noise, and each conversation has a label by chance, which all its authors bear: whoever tells them apart
on test, or out of fold, knows conversations by heart.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from tenor.corpus.importing import import_corpus
from tenor.encoding.encode import encode_corpus
from tenor.evaluation import predict
from tenor.models.model_file import load_model
from tenor.training.out_of_fold import score_out_of_fold
from tenor.training.train import train_model

SMALL: dict[str, Any] = {
    "hidden_size": 8, "num_layers": 1, "num_heads": 2, "kernel_sizes": (3,), "progress": False, "device": "cpu",
}  # fmt: skip


@pytest.fixture(scope="module")
def chats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    generator = np.random.default_rng(5)
    path = tmp_path_factory.mktemp("noise") / "chats.jsonl"
    with path.open("w") as file:
        for number in range(300):
            authors = [f"c{number}-{letter}" for letter in "abcd"]
            messages = [
                {
                    "author": authors[place % 4],
                    "text": " ".join(f"w{n}" for n in generator.integers(0, 3000, 10)),
                }
                for place in range(12)
            ]
            labels = dict.fromkeys(authors, int(generator.integers(0, 2)))
            record = {"conversation_id": f"c{number}", "messages": messages, "author_labels": labels}
            file.write(json.dumps(record) + "\n")
    return path


def train(chats: Path, folder: Path, **options: Any) -> tuple[Path, Path]:  # noqa: ANN401 - handed on
    corpus = import_corpus(chats, folder / "corpus", fractions=(0.5, 0.2, 0.3), **options)
    encoded = encode_corpus(corpus, folder / "encoded", encoder="lsa", input_size=8)
    return train_model("author", encoded, 1, model_path=folder / "m.safetensors", **SMALL), encoded


def context_of(model: Path) -> str:
    return str(load_model(model).metadata.training["config"]["context"])


def test_authors_of_one_conversation_in_two_splits_are_read_by_their_own_words(
    chats: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        model, corpus = train(chats, tmp_path)
    assert "hear the same messages as some of another split" in caplog.text
    assert "c0-a" not in caplog.text
    assert context_of(model) == "own"
    lexical = load_model(model).lexical
    assert lexical is not None and not lexical.reads_others
    rows = predict(model, corpus, split="test", device="cpu")
    assert abs(roc_auc_score(rows.labels, rows.probs) - 0.5) < 0.15  # .99 by what was heard in training


@pytest.mark.parametrize("options", [{"strict": True}, {"split_by": "conversation"}])
def test_whole_conversations_in_one_split_are_read_and_folds_hold_them_whole(
    chats: Path, tmp_path: Path, options: dict[str, Any]
) -> None:
    model, corpus = train(chats, tmp_path, **options)
    assert context_of(model) == "conversation"
    unseen = score_out_of_fold(model, corpus, device="cpu")
    assert abs(roc_auc_score(unseen.labels, unseen.probs) - 0.5) < 0.15  # 1.0 where folds told authors apart
    rows = predict(model, corpus, split="test", device="cpu")
    assert log_loss(rows.labels, rows.probs) < 0.75  # noise is not trusted


def test_one_web_of_talk_leaves_nothing_to_weigh_what_is_heard(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    generator, path = np.random.default_rng(0), tmp_path / "chats.jsonl"
    with path.open("w") as file:
        for number in range(120):
            split = ("train", "validation", "test")[number % 3]
            authors = [f"{split}{n}" for n in generator.choice(40, 3, replace=False)]
            messages = [{"author": author, "text": f"w{generator.integers(50)} well"} for author in authors]
            labels = {author: int(author[-1] in "02468") for author in authors}
            record = {
                "conversation_id": str(number),
                "messages": messages,
                "author_labels": labels,
                "split": split,
            }
            file.write(json.dumps(record) + "\n")
    with caplog.at_level(logging.WARNING):
        corpus = import_corpus(path, tmp_path / "corpus")
        encoded = encode_corpus(corpus, tmp_path / "encoded", encoder="lsa", input_size=8)
        model = train_model("author", encoded, 1, model_path=tmp_path / "m", copies="ignore", **SMALL)
    assert "are linked by conversations of three and more, which leaves no folds" in caplog.text
    assert context_of(model) == "own"
