from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import datasets
import numpy as np
import pyarrow as pa
import pytest

from tenor.corpus.corpus import Corpus, open_corpus
from tenor.corpus.info import EncoderInfo, SourceInfo
from tenor.corpus.plan import SplitPlan, split_finder
from tenor.corpus.schema import Conversation, Place
from tenor.corpus.writer import CorpusWriter
from tenor.errors import CorpusError, InputError, StorageError, UsageError
from tenor.files import sha256_file

Write = Callable[..., Corpus]


def rows_of(conversations: list[Conversation]) -> list[tuple]:
    return [
        (
            one.conversation_id,
            one.authors,
            one.texts,
            one.timestamps,
            None if one.features is None else one.features.tolist(),
            one.label,
            one.author_labels,
            one.group,
        )
        for one in conversations
    ]


@pytest.mark.parametrize("classes", [(0, 1), ("ham", "spam", "scam")])
@pytest.mark.parametrize("sizes", [{}, {"batch_bytes": 3000}, {"batch_bytes": 3000, "file_bytes": 8000}])
def test_conversations_come_back_as_written(
    write_corpus: Write, loops: ModuleType, classes: tuple, sizes: dict
) -> None:
    conversations = loops.make_conversations(groups=True, classes=classes)
    corpus = write_corpus(conversations, **sizes)
    assert rows_of(list(corpus.conversations())) == rows_of(conversations)
    assert [one.conversation_id for one in corpus.conversations(7, 9)] == ["conversation 7", "conversation 8"]
    assert (len(corpus.info.files) > 1) == ("file_bytes" in sizes)
    assert (corpus.table["label"].num_chunks > 1) == ("batch_bytes" in sizes)


def test_info_counts_what_was_written(write_corpus: Write) -> None:
    conversations = [
        Conversation("one", ["a", "b", "a"], ["x", "y", "z"], label=1, author_labels={"a": 0, "silent": 1}),
        Conversation("two", ["b"], ["w"]),
    ]
    sources = [SourceInfo("chats.jsonl", 12, "0" * 64)]
    encoder = EncoderInfo("lsa", "1" * 64, "2" * 64, None)
    info = write_corpus(conversations, sources=sources, encoder=encoder).info
    assert info.counts == {
        "conversations": 2,
        "messages": 4,
        "participants": 4,
        "author_sequences": 3,
        "authors": 2,
        "left_out_conversations": 0,
        "left_out_author_sequences": 0,
    }
    assert info.classes == {"conversation": (0, 1), "author": (0, 1), "profile": (0, 1)}
    assert (info.has_text, info.has_timestamps, info.input_size, info.feature_dtype) == (
        True,
        False,
        None,
        None,
    )
    assert (info.sources, info.encoder, info.split) == (tuple(sources), encoder, SplitPlan())


def test_late_counts_sources_and_files_are_published(tmp_path: Path) -> None:
    with CorpusWriter(tmp_path / "c", split=SplitPlan()) as writer:
        writer.write(Conversation("one", ["a"], ["x"]))
        writer.extra_counts["rejected"] = 3
        writer.sources.append(SourceInfo("late.jsonl", 1, "a" * 64))
        (writer.folder / "encoder.safetensors").write_bytes(b"state")
    info = open_corpus(tmp_path / "c").info
    assert info.counts["rejected"] == 3
    assert info.sources == (SourceInfo("late.jsonl", 1, "a" * 64),)
    assert (tmp_path / "c" / "encoder.safetensors").read_bytes() == b"state"


def test_file_hashes_and_fingerprint_follow_the_content(write_corpus: Write, loops: ModuleType) -> None:
    conversations = loops.make_conversations(number=5)
    first, again = write_corpus(conversations), write_corpus(conversations)
    conversations[0].texts = ["other", *conversations[0].texts[1:]]
    other = write_corpus(conversations)
    (file,) = first.info.files
    assert file.sha256 == sha256_file(first.path / file.name)
    assert file.num_bytes == (first.path / file.name).stat().st_size
    assert first.info == again.info
    assert first.info.fingerprint != other.info.fingerprint


@pytest.mark.parametrize("sizes", [{}, {"batch_bytes": 3000, "file_bytes": 8000}])
def test_datasets_opens_a_corpus(write_corpus: Write, loops: ModuleType, sizes: dict) -> None:
    conversations = loops.make_conversations()
    corpus = write_corpus(conversations, **sizes)
    dataset = datasets.load_from_disk(str(corpus.path))
    assert dataset.features["features"] == datasets.List(datasets.List(datasets.Value("float16"), length=4))
    assert dataset.features["text"] == datasets.List(datasets.Value("large_string"))
    assert dataset.features["label"] == datasets.Value("int64")
    assert dataset.num_rows == len(conversations)
    assert dataset[3]["authors"] == conversations[3].authors
    assert dataset[3]["features"] == conversations[3].features.tolist()


def test_float32_features_are_kept_exactly(write_corpus: Write) -> None:
    features = np.array([[0.1, 1e30]], np.float32)
    corpus = write_corpus([Conversation("c", ["a"], features=features)], feature_dtype="float32")
    assert corpus.info.feature_dtype == "float32"
    np.testing.assert_array_equal(corpus.conversation_features(0), features)


def test_text_can_be_left_out(write_corpus: Write) -> None:
    features = np.ones((1, 2), np.float16)
    corpus = write_corpus([Conversation("c", ["a"], ["secret"], features=features)], has_text=False)
    assert not corpus.has_text
    assert all(b"secret" not in path.read_bytes() for path in corpus.path.iterdir())


def test_label_type_is_decided_by_the_first_label_even_in_a_later_file(write_corpus: Write) -> None:
    conversations = [Conversation(f"c{i}", ["a"], ["x" * 100]) for i in range(20)]
    conversations[15].label = "spam"
    conversations[18].author_labels = {"a": 1}
    corpus = write_corpus(conversations, batch_bytes=500, file_bytes=600)
    assert len(corpus.info.files) > 3
    assert corpus.table["label"].type == pa.string()
    assert [one.label for one in corpus.conversations()] == [None] * 15 + ["spam"] + [None] * 4
    assert corpus.info.classes == {"conversation": ("spam",), "author": (0, 1), "profile": (0, 1)}


def test_labels_of_two_kinds_raise_naming_both_places(write_corpus: Write) -> None:
    conversations = [
        Conversation("one", ["a"], ["x"], label=1, place=Place("a.jsonl", 4)),
        Conversation("two", ["a"], ["x"], label="spam", place=Place("a.jsonl", 9)),
    ]
    with pytest.raises(InputError, match=r"a\.jsonl:4") as caught:
        write_corpus(conversations)
    assert (caught.value.path, caught.value.line, caught.value.field) == (Path("a.jsonl"), 9, "label")


def broken(**changes: object) -> Conversation:
    fields = {"authors": ["a", "b"], "texts": ["x", "y"], "features": np.ones((2, 3), np.float32)}
    return Conversation("broken", **(fields | {"place": Place("b.jsonl", 7)} | changes))


@pytest.mark.parametrize(
    ("conversation", "field", "words"),
    [
        (broken(authors=[], texts=[], features=np.ones((0, 3))), "messages", "at least one message"),
        (broken(texts=None), "text", "found none"),
        (broken(texts=["x"]), "text", "expected 2 entries"),
        (broken(timestamps=[1.0]), "timestamp", "expected 2 entries"),
        (broken(features=None), "features", "found none"),
        (broken(features=np.ones((2, 4))), "features", r"expected shape \(2, 3\), found \(2, 4\)"),
        (broken(features=np.ones((1, 3))), "features", r"expected shape \(2, 3\), found \(1, 3\)"),
        (broken(features=np.array([[1, 1, 1], [1, math.nan, 1]])), "messages[1].features", "in message 2"),
        (broken(features=np.array([[1, 1e9, 1], [1, 1, 1]])), "messages[0].features", "float16"),
        (broken(label=2), "label", "expected 0, 1 or a text, found 2"),
        (broken(author_labels={"a": 7}), "author_labels", "found 7"),
        (broken(split="dev"), "split", "train, validation, test"),
    ],
)
def test_a_broken_conversation_raises_and_leaves_nothing(
    tmp_path: Path, conversation: Conversation, field: str, words: str
) -> None:
    good = Conversation("good", ["a"], ["x"], features=np.ones((1, 3), np.float32))
    with (
        pytest.raises(InputError, match=words) as caught,
        CorpusWriter(tmp_path / "c", split=SplitPlan()) as writer,
    ):
        writer.write(good)
        writer.write(conversation)
    assert (caught.value.path, caught.value.line, caught.value.field) == (Path("b.jsonl"), 7, field)
    assert "'broken'" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_half_a_surrogate_pair_raises_naming_the_conversation(write_corpus: Write) -> None:
    conversations = [
        Conversation("one", ["a"], ["fine"]),
        Conversation("two", ["a"], ["\ud800"], place=Place("b.jsonl", 3)),
    ]
    with pytest.raises(InputError, match="surrogate") as caught:
        write_corpus(conversations)
    assert (caught.value.line, caught.value.field) == (3, "text")


def test_no_conversation_raises_and_leaves_nothing(tmp_path: Path) -> None:
    with (
        pytest.raises(CorpusError, match="no conversation to write"),
        CorpusWriter(tmp_path / "c", split=SplitPlan()),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_an_id_that_occurs_twice_raises(write_corpus: Write) -> None:
    conversations = [Conversation(name, ["a"], ["x"]) for name in ("one", "two", "one")]
    with pytest.raises(CorpusError, match="'one' more than once"):
        write_corpus(conversations)


def test_a_used_destination_raises_unless_replaced(tmp_path: Path) -> None:
    for texts in (["old"], ["new"]):
        with CorpusWriter(tmp_path / "c", split=SplitPlan(), replace=texts == ["new"]) as writer:
            writer.write(Conversation("one", ["a"], texts))
    assert [one.texts for one in open_corpus(tmp_path / "c").conversations()] == [["new"]]
    with pytest.raises(StorageError, match="exists already"), CorpusWriter(tmp_path / "c", split=SplitPlan()):
        pass


def test_wrong_arguments_raise(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="float64"):
        CorpusWriter(tmp_path / "c", split=SplitPlan(), feature_dtype="float64")
    with pytest.raises(UsageError, match="expected 3 names, found 1"):
        CorpusWriter(tmp_path / "c", split=SplitPlan(), input_size=3, feature_names=["x"])
    with pytest.raises(UsageError, match="inside"):
        CorpusWriter(tmp_path / "c", split=SplitPlan()).folder  # noqa: B018 - reading it is the test


def splits_of(corpus: Corpus) -> list[tuple]:
    return [(one.split, one.author_splits) for one in corpus.conversations()]


def test_splits_follow_the_plan(write_corpus: Write) -> None:
    def make() -> list[Conversation]:
        return [
            Conversation("one", ["a", "b"], ["x", "y"]),
            Conversation("two", ["b", "c"], ["x", "y"], group="g"),
            Conversation("three", ["c"], ["x"], split="test"),
        ]

    def split(name: str, plan: SplitPlan) -> str:
        return split_finder(plan)(name)

    for seed in range(3):
        none, author, conversation = (SplitPlan(seed, by=by) for by in (None, "author", "conversation"))
        given = ("test", {"c": "test"})
        g, one, two = split("g", none), split("one", none), split("two", none)
        a, b, c = (split(name, none) for name in "abc")
        assert splits_of(write_corpus(make(), none)) == [
            (one, {"a": a, "b": b}),
            (g, {"b": g, "c": g}),
            given,
        ]
        assert splits_of(write_corpus(make(), author)) == [
            (a, {"a": a, "b": b}),
            (b, {"b": b, "c": c}),
            given,
        ]
        assert splits_of(write_corpus(make(), conversation)) == [
            (one, {"a": one, "b": one}),
            (two, {"b": two, "c": two}),
            given,
        ]


def test_splitting_by_group_needs_a_group_everywhere(write_corpus: Write) -> None:
    conversation = Conversation("one", ["a"], ["x"], place=Place("a.jsonl", 2))
    with pytest.raises(InputError, match="expected a named group") as caught:
        write_corpus([conversation], SplitPlan(by="group"))
    assert (caught.value.line, caught.value.field) == (2, "group")


def test_a_strict_plan_refuses_given_splits(write_corpus: Write) -> None:
    with pytest.raises(InputError, match="strict plan makes its own"):
        write_corpus([Conversation("one", ["a"], ["x"], split="test")], SplitPlan(strict=True))


@pytest.mark.parametrize("plan", [SplitPlan(), SplitPlan(strict=True), SplitPlan(by="conversation")])
def test_a_copy_keeps_the_splits(write_corpus: Write, loops: ModuleType, plan: SplitPlan) -> None:
    conversations = loops.make_conversations(groups=True)
    if not plan.strict:
        conversations[4].split = "test"
    corpus = write_corpus(conversations, plan, batch_bytes=2000, file_bytes=5000)
    copy = write_corpus(list(corpus.conversations()), corpus.info.split, batch_bytes=2000, file_bytes=5000)
    assert splits_of(copy) == splits_of(corpus)
    assert copy.info == corpus.info


def test_a_strict_corpus_cannot_be_added_to(write_corpus: Write) -> None:
    plan = SplitPlan(strict=True)
    corpus = write_corpus([Conversation(f"c{i}", [f"a{i}"], ["x"]) for i in range(9)], plan)
    with pytest.raises(CorpusError, match="cannot be added to"):
        write_corpus([*corpus.conversations(), Conversation("new", ["a1"], ["x"])], plan)


def test_the_json_files_are_plain(write_corpus: Write, loops: ModuleType) -> None:
    corpus = write_corpus(loops.make_conversations(number=3))
    assert json.loads((corpus.path / "state.json").read_text())["_data_files"] == [
        {"filename": "data-00000.arrow"}
    ]
    assert json.loads((corpus.path / "tenor.json").read_text())["format_version"] == 1
