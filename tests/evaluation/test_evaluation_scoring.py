"""Scoring a corpus with a model file: which rows, which values, and whom it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from tenor.corpus.corpus import Corpus, open_corpus
from tenor.corpus.importing import import_corpus
from tenor.corpus.views import view_sequences
from tenor.encoding.encode import encode_corpus
from tenor.errors import CorpusError, ModelFileError, SplitError, UsageError
from tenor.evaluation import predict, predict_to_file, streaming
from tenor.evaluation import test_model as evaluate_model
from tenor.files import sha256_file
from tenor.models.model_file import load_model, read_metadata
from tenor.predictions import read_predictions


@pytest.mark.parametrize("level", ["conversation", "author"])
def test_predictions_are_the_model_s_scores_of_the_view_s_rows(
    evaluated_corpus: Path, models: dict[str, Path], level: str
) -> None:
    path = models[level]
    found = predict(path, evaluated_corpus, split="validation", device="cpu")
    view = view_sequences(open_corpus(evaluated_corpus), level, "validation")
    assert found.conversation_ids is not None
    assert found.conversation_ids.tolist() == view.conversation_ids.tolist()
    assert (found.authors is None) == (level == "conversation")
    for name in ("groups", "splits", "labels", "lengths"):
        assert getattr(found, name).tolist() == getattr(view, name).tolist()
    assert (found.level, found.classes, found.threshold) == (level, (0, 1), read_metadata(path).threshold)
    assert (found.model, found.model_hash) == (path.name, sha256_file(path))
    model = load_model(path).model
    for row in (0, 3, len(view) - 1):  # one sequence alone, without padding
        features = torch.from_numpy(view.gather_features([row]).astype(np.float32))[None]
        with torch.inference_mode():
            logit = float(model(features))
        assert found.logits[row] == pytest.approx(logit, abs=1e-4)
        assert found.probs[row] == pytest.approx(1 / (1 + np.exp(-logit)), abs=1e-4)


def test_all_splits_are_the_splits_together_and_the_file_holds_the_same(
    evaluated_corpus: Path, models: dict[str, Path], tmp_path: Path
) -> None:
    whole = predict(
        models["conversation"], evaluated_corpus, split="all", output=tmp_path / "p.parquet", device="cpu"
    )
    parts = {
        split: predict(models["conversation"], evaluated_corpus, split=split, device="cpu")
        for split in ("train", "validation", "test")
    }
    assert len(whole) == sum(map(len, parts.values())) == open_corpus(evaluated_corpus).num_conversations
    for split, part in parts.items():
        assert len(part) > 0
        assert part.ids.tolist() == whole.in_split(split).ids.tolist()
        assert np.abs(part.logits - whole.in_split(split).logits).max() < 1e-5
    read = read_predictions(tmp_path / "p.parquet")
    assert read.probs.tolist() == whole.probs.tolist()
    assert read.threshold == whole.threshold


def test_an_unknown_split_is_refused(evaluated_corpus: Path, models: dict[str, Path]) -> None:
    with pytest.raises(
        UsageError, match="split must be one of train, validation, test or all, not 'holdout'"
    ):
        predict(models["author"], evaluated_corpus, split="holdout", device="cpu")


def test_an_empty_split_is_refused_with_the_remedy(
    write_source: Callable[..., Path], models: dict[str, Path], tmp_path: Path
) -> None:
    source = write_source(tmp_path / "few.jsonl", num_conversations=20)
    corpus = import_corpus(source, tmp_path / "corpus", fractions=(0.8, 0.2, 0.0))
    with pytest.raises(
        SplitError, match=r"expected author sequences in split test, found none to score .*'all'"
    ):
        predict(models["author"], corpus, device="cpu", output=tmp_path / "scores.parquet")
    assert not (tmp_path / "scores.parquet").exists()


def test_fault_24_a_corpus_of_another_encoder_is_refused_naming_both(
    evaluated_corpus: Path, models: dict[str, Path], tmp_path: Path
) -> None:
    other = encode_corpus(evaluated_corpus, tmp_path / "other", input_size=8, progress=False)
    digest = open_corpus(other).info.encoder.hash  # type: ignore[union-attr]
    with pytest.raises(ModelFileError) as caught:
        predict(models["author"], other, device="cpu")
    message = str(caught.value)
    assert f"{other} was encoded with lsa (hash {digest[:12]})" in message
    assert f"the model {models['author']} expects features made elsewhere" in message
    assert "tenor encode --encoder like:TRAINING_CORPUS" in message


def test_a_corpus_of_another_width_is_refused_naming_both(
    write_source: Callable[..., Path], models: dict[str, Path], tmp_path: Path
) -> None:
    source = write_source(tmp_path / "wide.jsonl", num_conversations=10, input_size=5)
    wide = import_corpus(source, tmp_path / "wide")
    with pytest.raises(ModelFileError, match=f"{wide} has 5 features a message, the model .* reads 8"):
        predict(models["conversation"], wide, device="cpu")


def make_classes(folder: Path, names: tuple[str, ...], num_conversations: int = 90) -> Path:
    """A corpus whose conversations' features stand apart by class."""
    generator = np.random.default_rng(0)
    lines = []
    for index in range(num_conversations):
        label = index % len(names)
        messages = [
            {"author": f"a{index}", "features": (generator.normal(size=4) + 1.5 * np.eye(4)[label]).tolist()}
            for _ in range(3)
        ]
        lines.append(json.dumps({"conversation_id": str(index), "messages": messages, "label": names[label]}))
    folder.mkdir()
    (folder / "chats.jsonl").write_text("\n".join(lines) + "\n")
    return import_corpus(folder / "chats.jsonl", folder / "corpus", fractions=(0.5, 0.2, 0.3))


@pytest.fixture(scope="module")
def classes_model(train_small: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of the classes boring, fun and rude."""
    folder = tmp_path_factory.mktemp("classes")
    corpus = make_classes(folder / "train", ("boring", "fun", "rude"))
    return train_small("conversation", corpus, 1, model_path=folder / "m.pt")


def test_labels_are_recoded_to_the_model_s_classes(classes_model: Path, tmp_path: Path) -> None:
    fewer = make_classes(tmp_path / "fewer", ("rude", "boring"), 60)
    found = predict(classes_model, fewer, split="all", device="cpu")
    assert found.classes == ("boring", "fun", "rude")
    assert found.threshold is None
    assert found.probs.shape == (60, 3)
    assert np.abs(found.probs.sum(axis=1) - 1).max() < 1e-12
    assert found.conversation_ids is not None
    expected = [0 if int(name) % 2 else 2 for name in found.conversation_ids.tolist()]
    assert found.labels.tolist() == expected


def test_a_label_that_the_model_does_not_know_is_scored_and_never_measured(
    classes_model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = make_classes(tmp_path / "other", ("boring", "kind", "rude"), 30)
    found = predict(classes_model, other, split="all", device="cpu")
    assert len(found) == 30
    assert set(found.labels.tolist()) == {-1, 0, 2}
    lost = int((found.labels < 0).sum())
    assert f"{other}: {lost} sequences count as unlabelled: the model does not know kind" in caplog.text
    with pytest.raises(CorpusError) as caught:
        evaluate_model("conversation", classes_model, other, device="cpu")
    message = (
        f"{other}: label kind is unknown to the model, which knows boring, fun, rude "
        "(set it to null, or train a model on it)"
    )
    assert str(caught.value) == message


def test_the_text_1_is_told_from_the_number(
    evaluated_corpus: Path, models: dict[str, Path], tmp_path: Path
) -> None:
    source = tmp_path / "texts.jsonl"
    lines = []
    for row in open_corpus(evaluated_corpus).conversations():
        messages = [
            {"author": author, "features": [float(value) for value in vector]}
            for author, vector in zip(row.authors, row.features, strict=True)
        ]
        lines.append(
            json.dumps(
                {"conversation_id": row.conversation_id, "messages": messages, "label": str(row.label)}
            )
        )
    source.write_text("\n".join(lines))
    texts = import_corpus(source, tmp_path / "texts")
    with pytest.raises(CorpusError, match='label "0", "1" is unknown to the model, which knows 0, 1 '):
        evaluate_model("conversation", models["conversation"], texts, device="cpu")


def test_a_corpus_that_was_not_encoded_is_told_so(models: dict[str, Path], tmp_path: Path) -> None:
    row = {"conversation_id": "c", "messages": [{"author": "a", "text": "hello"}], "label": 1}
    (tmp_path / "in.jsonl").write_text(json.dumps(row) + "\n")
    plain = import_corpus(tmp_path / "in.jsonl", tmp_path / "plain")
    with pytest.raises(CorpusError, match=r"expected messages with features, found none \(encode it first"):
        predict(models["conversation"], plain, device="cpu")


def test_a_lexical_prior_needs_text(
    evaluated_corpus: Path, train_small: Callable[..., Path], tmp_path: Path
) -> None:
    model = train_small("author", evaluated_corpus, 1, model_path=tmp_path / "m.pt", prior="lexical")
    lines = []
    for conversation in list(open_corpus(evaluated_corpus).conversations())[:20]:
        messages = [
            {"author": author, "features": vector.tolist()}
            for author, vector in zip(conversation.authors, conversation.features, strict=True)  # type: ignore[arg-type]
        ]
        lines.append(json.dumps({"conversation_id": conversation.conversation_id, "messages": messages}))
    (tmp_path / "bare.jsonl").write_text("\n".join(lines) + "\n")
    bare = import_corpus(tmp_path / "bare.jsonl", tmp_path / "bare")
    with pytest.raises(CorpusError, match="has a lexical prior, which needs the messages' text") as caught:
        predict(model, bare, split="all", device="cpu")
    assert str(bare) in str(caught.value)
    assert "train with prior='none'" in str(caught.value)
    # with its text it is scored, labelled or not
    assert len(predict(model, evaluated_corpus, split="test", device="cpu")) > 0


@pytest.mark.parametrize("level", ["conversation", "author"])
def test_predictions_written_in_blocks_are_those_of_one(
    corpus: Path, models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, level: str
) -> None:
    asked: list[Path] = []  # of a corpus that has grown this takes reading all of it

    def describe(metadata: object, asked_for: Corpus) -> str:
        asked.append(asked_for.path)
        return "other splits"

    monkeypatch.setattr("tenor.evaluation.scoring.describe_splits", describe)
    monkeypatch.setattr(streaming, "BLOCK_MESSAGES", 100)
    file = tmp_path / "scores.parquet"
    summary = predict_to_file(models[level], corpus, file, split="all", device="cpu")
    found, expected = read_predictions(file), predict(models[level], corpus, split="all", device="cpu")
    assert (summary.level, summary.rows) == (level, len(expected))
    assert pq.ParquetFile(file).num_row_groups > 5
    assert found.ids.tolist() == expected.ids.tolist()
    assert found.splits.tolist() == expected.splits.tolist()
    assert found.labels.tolist() == expected.labels.tolist()
    assert np.abs(found.probs - expected.probs).max() <= 1e-6
    assert found.threshold == expected.threshold
    assert (found.caution, summary.caution, expected.caution) == ("other splits",) * 3
    assert asked == [corpus] * 2  # once for each way


SCORING = """
import sys
from tenor.cli import main

for arguments in JOBS:
    try:
        main(arguments)
    except SystemExit as end:
        assert not end.code
slow = {"pandas", "sympy", "sklearn", "torch._dynamo", "torch._inductor"} & set(sys.modules)
assert not slow, slow
"""


def test_scoring_starts_without_pandas_and_compilers(
    corpus: Path, models: dict[str, Path], tmp_path: Path
) -> None:
    """They take two seconds and 60 MB, and nothing that scores needs them."""
    model, scores = str(models["author"]), str(tmp_path / "scores.parquet")
    predict = ["predict", model, str(corpus), "--split", "all", "--output", scores]
    profile = ["profile", model, str(corpus), "--predictions", scores, "--no-baselines"]
    code = f"JOBS = {[predict, profile]!r}\n{SCORING}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_python_is_told_of_new_chats_that_are_not_scored(
    new_chats: Path, corpus: Path, models: dict[str, Path], caplog: pytest.LogCaptureFixture
) -> None:
    """Where nothing is labelled a split is an accident; of a labelled corpus it was meant."""
    scored = predict(models["conversation"], new_chats, device="cpu")
    assert 0 < len(scored) < 30
    assert (
        f"not scored: {30 - len(scored)} sequences that are not in split test (split='all' scores all)"
        in caplog.text
    )
    caplog.clear()
    assert len(predict(models["conversation"], new_chats, split="all", device="cpu")) == 30
    predict(models["conversation"], corpus, device="cpu")
    assert "not scored" not in caplog.text
