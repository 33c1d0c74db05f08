"""Encoding a corpus: what is carried over, what is fitted on, what is refused."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tenor.corpus.corpus import open_corpus
from tenor.corpus.info import SourceInfo
from tenor.corpus.plan import SplitPlan
from tenor.corpus.schema import Conversation
from tenor.corpus.splits import hash_training_ids
from tenor.corpus.views import view_sequences
from tenor.encoding import sharing
from tenor.encoding.encode import encode_corpus, sample_training_texts
from tenor.encoding.encoder_file import ENCODER_NAME, hash_encoder, load_encoder
from tenor.encoding.messages import flatten_conversations
from tenor.errors import CorpusError, StorageError, UsageError

Make = Callable[..., list[Conversation]]
Write = Callable[..., Path]


def features_of(path: Path) -> np.ndarray:
    view = view_sequences(open_corpus(path), "conversation")
    return view.gather_features(np.arange(len(view)))


@pytest.mark.parametrize(
    "plan",
    [SplitPlan(seed=3), SplitPlan(by="author"), SplitPlan(by="conversation"), SplitPlan(strict=True)],
    ids=["both", "author", "conversation", "strict"],
)
def test_everything_but_the_features_is_carried_over(
    conversations: Make, write_corpus: Write, tmp_path: Path, plan: SplitPlan
) -> None:
    sources = [SourceInfo("chats.jsonl", 10, "0" * 64)]
    source = open_corpus(write_corpus(conversations(80), plan, sources=sources))
    dest = open_corpus(encode_corpus(source.path, tmp_path / "dest", encoder="lsa+dynamics", input_size=20))
    columns = [name for name in source.table.column_names if name != "features"]
    assert dest.table.select(columns).to_pylist() == source.table.select(columns).to_pylist()
    assert dest.info.counts == source.info.counts
    assert dest.info.split_hash == source.info.split_hash
    assert dest.info.sources == tuple(sources)
    assert (dest.info.input_size, dest.info.feature_dtype) == (20, "float16")
    assert dest.info.feature_names[11:13] == ("lsa.11", "dynamics.reply_delay_log")


def test_the_encoder_is_described(conversations: Make, write_corpus: Write, tmp_path: Path) -> None:
    source = open_corpus(write_corpus(conversations(40)))
    dest = encode_corpus(source.path, tmp_path / "dest", input_size=8)
    info = open_corpus(dest).info.encoder
    assert info is not None
    assert info.name == "lsa"
    assert info.hash == hash_encoder((dest / ENCODER_NAME).read_bytes())
    assert info.fitted_split_hash == source.info.split_hash
    assert info.fitted_ids_hash == hash_training_ids(source)


def test_features_are_the_encoders_own(conversations: Make, write_corpus: Write, tmp_path: Path) -> None:
    rows = conversations(40)
    dest = encode_corpus(
        write_corpus(rows), tmp_path / "dest", encoder="dynamics+lsa", input_size=14, dtype="float32"
    )
    expected = load_encoder(dest).encode(flatten_conversations(rows))
    np.testing.assert_array_equal(features_of(dest), expected)
    assert expected.std(axis=0).min() > 0


def test_blocks_change_nothing(
    conversations: Make, write_corpus: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_corpus(conversations(30))
    whole = encode_corpus(source, tmp_path / "whole", encoder="lsa+dynamics", input_size=16)
    monkeypatch.setattr(sharing, "BLOCK_MESSAGES", 10)
    by_messages = encode_corpus(source, tmp_path / "messages", encoder="lsa+dynamics", input_size=16)
    monkeypatch.setattr(sharing, "BLOCK_CHARACTERS", 1)
    by_characters = encode_corpus(source, tmp_path / "characters", encoder="lsa+dynamics", input_size=16)
    for other in (by_messages, by_characters):
        assert open_corpus(other).info.fingerprint == open_corpus(whole).info.fingerprint


def test_texts_can_be_left_out(conversations: Make, write_corpus: Write, tmp_path: Path) -> None:
    source = write_corpus(conversations(20))
    dest = encode_corpus(source, tmp_path / "dest", input_size=4, keep_text=False)
    corpus = open_corpus(dest)
    assert not corpus.has_text
    assert next(corpus.conversations()).texts is None
    bytes_of_dest = b"".join(file.read_bytes() for file in dest.iterdir())
    assert b"thanks" not in bytes_of_dest


def test_like_gives_new_conversations_the_same_vectors(
    conversations: Make, write_corpus: Write, tmp_path: Path
) -> None:
    trained = encode_corpus(
        write_corpus(conversations(40)), tmp_path / "trained", encoder="lsa+dynamics", input_size=16
    )
    new_rows = conversations(10, seed=9)
    new = encode_corpus(write_corpus(new_rows), tmp_path / "new", encoder=f"like:{trained}", dtype="float32")
    assert open_corpus(new).info.encoder == open_corpus(trained).info.encoder
    assert (new / ENCODER_NAME).read_bytes() == (trained / ENCODER_NAME).read_bytes()
    expected = load_encoder(trained).encode(flatten_conversations(new_rows))
    np.testing.assert_array_equal(features_of(new), expected)


def test_given_features_are_replaced(conversations: Make, write_corpus: Write, tmp_path: Path) -> None:
    rows = conversations(20)
    for row in rows:
        row.features = np.ones((len(row.authors), 3), np.float32)
    dest = open_corpus(encode_corpus(write_corpus(rows), tmp_path / "dest", input_size=5))
    assert dest.info.input_size == 5


def test_a_small_corpus_still_has_the_asked_width(
    conversations: Make, write_corpus: Write, tmp_path: Path
) -> None:
    dest = encode_corpus(write_corpus(conversations(6)), tmp_path / "dest", input_size=300)
    features = features_of(dest)
    assert features.shape[1] == 300
    np.testing.assert_array_equal(features[:, 100:], 0)


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.integers(0, 2**32), st.sampled_from(["rewrite", "remove", "add"]))
def test_what_is_fitted_follows_from_training_messages_alone(
    conversations: Make, write_corpus: Write, tmp_path: Path, seed: int, change: str
) -> None:
    """Validation and test messages, of either level, may say anything, go, or be joined by others."""
    rows = conversations(30, seed=seed % 5)
    before = open_corpus(write_corpus(rows))
    copies = list(before.conversations())
    changed = []
    for row in copies:
        in_training = [
            row.split == "train" and row.author_splits[author] == "train" for author in row.authors
        ]
        if change == "rewrite":
            texts = [text if kept else "zzz" for text, kept in zip(row.texts, in_training, strict=True)]
            row = dataclasses.replace(row, texts=texts)
        if any(in_training) or change != "remove":
            changed.append(row)
        if change == "add" and not any(in_training):
            changed.append(dataclasses.replace(row, conversation_id=row.conversation_id + " again"))
    after = open_corpus(write_corpus(changed))
    options = {"max_messages": 40, "max_characters": 800, "seed": seed}
    assert sample_training_texts(after, **options) == sample_training_texts(before, **options)
    if seed % 4 == 0:
        hashes = set()
        for corpus in (before, after):
            dest = encode_corpus(corpus.path, tmp_path / "dest", input_size=6, replace=True)
            hashes.add(open_corpus(dest).info.encoder.hash)
        assert len(hashes) == 1


def test_the_sample_is_of_training_authors_in_training_conversations(
    conversations: Make, write_corpus: Write
) -> None:
    rows = conversations(60)
    for row in rows:
        row.texts = [f"{row.conversation_id} {author}" for author in row.authors]
    corpus = open_corpus(write_corpus(rows))
    allowed = [
        text
        for row in corpus.conversations()
        for text, author in zip(row.texts, row.authors, strict=True)
        if row.split == "train" and row.author_splits[author] == "train"
    ]
    assert 0 < len(allowed) < corpus.num_messages
    assert sample_training_texts(corpus) == allowed
    few = sample_training_texts(corpus, max_messages=20)
    assert len(few) == 20
    assert set(few) <= set(allowed)
    assert few != sample_training_texts(corpus, max_messages=20, seed=1)
    short = sample_training_texts(corpus, max_characters=100)
    assert 50 < sum(map(len, short)) <= 100


@pytest.mark.parametrize("input_size", [0, -3, 2.5, True])
def test_input_size_below_one_is_an_error(write_corpus: Write, tmp_path: Path, input_size: object) -> None:
    with pytest.raises(
        UsageError, match=f"input_size: expected a whole number of at least 1, found {input_size}"
    ):
        encode_corpus(tmp_path / "source", tmp_path / "dest", input_size=input_size)


def test_input_size_too_small_for_the_sum_is_an_error(
    conversations: Make, write_corpus: Write, tmp_path: Path
) -> None:
    source = write_corpus(conversations(5))
    with pytest.raises(
        UsageError, match=r"expected more than 8, .* found 8: lsa takes what they leave, give 264"
    ):
        encode_corpus(source, tmp_path / "dest", encoder="lsa+dynamics", input_size=8)


def test_dynamics_alone_decides_its_width(conversations: Make, write_corpus: Write, tmp_path: Path) -> None:
    dest = encode_corpus(write_corpus(conversations(5, texts=False)), tmp_path / "dest", encoder="dynamics")
    info = open_corpus(dest).info
    assert info.input_size == 8
    assert info.encoder.fitted_split_hash is None


def test_other_dtype_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="dtype: expected one of float16, float32, found 'float64'"):
        encode_corpus(tmp_path / "source", tmp_path / "dest", dtype="float64")


def test_dest_is_source_is_an_error(conversations: Make, write_corpus: Write) -> None:
    source = write_corpus(conversations(5))
    for dest in (source / ".." / source.name, source.parent):
        with pytest.raises(UsageError, match="dest: expected another place than that of the source"):
            encode_corpus(source, dest, replace=True)
    assert open_corpus(source).num_conversations == 5


def test_dest_exists_is_an_error(conversations: Make, write_corpus: Write, tmp_path: Path) -> None:
    source = write_corpus(conversations(5))
    (tmp_path / "dest").mkdir()
    with pytest.raises(StorageError, match="exists already: choose another destination"):
        encode_corpus(source, tmp_path / "dest")
    encode_corpus(source, tmp_path / "dest", encoder="dynamics", replace=True)
    with pytest.raises(StorageError, match=r"destination, or replace it \(replace=True, --replace\)"):
        encode_corpus(source, tmp_path / "dest", encoder="dynamics")


@pytest.mark.parametrize("encoder", ["lsa", "dynamics+lsa", "sentence:nowhere", "static:nowhere"])
def test_no_text_is_an_error(conversations: Make, write_corpus: Write, tmp_path: Path, encoder: str) -> None:
    source = write_corpus(conversations(5, texts=False))
    with pytest.raises(CorpusError, match=r"reads texts.*import it again with its texts, or use .* dynamics"):
        encode_corpus(source, tmp_path / "dest", encoder=encoder)
    assert not (tmp_path / "dest").exists()


def test_like_needs_text_where_the_encoder_does(
    conversations: Make, write_corpus: Write, tmp_path: Path
) -> None:
    trained = encode_corpus(write_corpus(conversations(20)), tmp_path / "trained", input_size=4)
    bare = write_corpus(conversations(5, texts=False))
    with pytest.raises(CorpusError, match="the encoder lsa reads texts"):
        encode_corpus(bare, tmp_path / "dest", encoder=f"like:{trained}")
    assert not (tmp_path / "dest").exists()


def test_no_training_messages_is_an_error(conversations: Make, write_corpus: Write, tmp_path: Path) -> None:
    rows = [dataclasses.replace(row, split="test") for row in conversations(5)]
    with pytest.raises(CorpusError, match=r"expected training messages .* found none .*like:ANALYZED_CORPUS"):
        encode_corpus(write_corpus(rows), tmp_path / "dest")


def test_like_a_corpus_without_encoder_is_an_error(
    conversations: Make, write_corpus: Write, tmp_path: Path
) -> None:
    source = write_corpus(conversations(5))
    with pytest.raises(
        CorpusError, match="expected a saved encoder, found none: give a corpus that tenor encode"
    ):
        encode_corpus(source, tmp_path / "dest", encoder=f"like:{source}")


def test_like_refuses_an_encoder_that_is_not_the_corpuss(
    conversations: Make, write_corpus: Write, tmp_path: Path
) -> None:
    source = write_corpus(conversations(20))
    one, other = (
        encode_corpus(source, tmp_path / name, input_size=size) for name, size in (("one", 4), ("other", 5))
    )
    (one / ENCODER_NAME).write_bytes((other / ENCODER_NAME).read_bytes())
    with pytest.raises(CorpusError, match="not the encoder that the corpus was encoded with"):
        encode_corpus(source, tmp_path / "dest", encoder=f"like:{one}")
