from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest

from tenor.corpus.audit import (
    AuditReport,
    Finding,
    audit_corpus,
    audit_splits,
    require_both_classes,
    require_clean_fit,
    require_clean_splits,
    require_split,
)
from tenor.corpus.corpus import Corpus
from tenor.corpus.info import EncoderInfo
from tenor.corpus.near_duplicates import DuplicateRules, find_near_duplicates
from tenor.corpus.schema import Conversation
from tenor.corpus.splits import SplitPlan, hash_training_ids, training_sequences
from tenor.corpus.views import view_sequences
from tenor.errors import CorpusError, MissingExtraError, SplitError, TrainingError, UsageError

Write = Callable[..., Corpus]


def chat(name: str, *authors: str, split: str | None = None, **fields: object) -> Conversation:
    return Conversation(name, list(authors), fields.pop("texts", ["x"] * len(authors)), split=split, **fields)


def only(report: AuditReport, kind: str, level: str | None = None) -> Finding:
    (finding,) = (one for one in report.findings if one.kind == kind and level in (None, one.level))
    return finding


# --- before every fit


def test_a_group_in_two_splits_raises_naming_three_examples(write_corpus: Write) -> None:
    conversations = [
        chat(f"c{i}{j}", "a", split=split, group=f"match {i}")
        for i in range(5)
        for j, split in enumerate(("train", "test"))
    ]
    corpus = write_corpus([*conversations, chat("v", "b", split="validation", group="match 0")])
    for level in ("conversation", "author"):
        view = view_sequences(corpus, level)
        with pytest.raises(SplitError, match="5 groups stand in more than one split") as caught:
            require_clean_splits(view)
        message = str(caught.value)
        assert str(corpus.path) in message
        assert "'match 0' in train and validation and test; 'match 1' in train and test" in message
        assert "'match 2'" in message
        assert "'match 3'" not in message
        assert "import again without the given splits" in message


def test_given_splits_that_share_an_author_are_refused_at_level_author(write_corpus: Write) -> None:
    corpus = write_corpus([chat("one", "a", "b", split="train"), chat("two", "a", split="test")])
    require_clean_splits(view_sequences(corpus, "conversation"))
    with pytest.raises(
        SplitError, match="1 groups stand in more than one split at level author: 'a'"
    ) as caught:
        require_clean_splits(view_sequences(corpus, "author"))
    assert "splits, --column split=: a given split belongs to a conversation" in str(caught.value)
    assert "mend them" not in str(caught.value)  # nobody can give a conversation of several authors theirs


@pytest.mark.parametrize("plan", [SplitPlan(), SplitPlan(by="conversation")])
def test_an_author_in_two_named_groups_or_conversations_is_a_warning(
    write_corpus: Write, plan: SplitPlan
) -> None:
    group = None if plan.by else "g"
    conversations = [chat(f"c{i}", "a", group=group and f"g{i}") for i in range(40)]
    view = view_sequences(write_corpus(conversations, plan), "author")
    require_clean_splits(view)
    (finding,) = audit_splits(view)
    assert (finding.kind, finding.severity, finding.count) == ("shared_authors", "warning", 1)
    assert finding.examples == ("'a' in train and validation and test",)


def test_a_shared_conversation_is_a_note(write_corpus: Write) -> None:
    corpus = write_corpus([chat(f"c{i}", f"a{i}", f"b{i}") for i in range(40)])
    (finding,) = audit_splits(view_sequences(corpus, "author"))
    authors = view_sequences(corpus, "author")
    splits: dict[str, set] = {}
    for name, split in zip(authors.conversation_ids, authors.splits, strict=True):
        splits.setdefault(name, set()).add(split)
    assert (finding.kind, finding.severity) == ("shared_conversations", "note")
    assert finding.count == sum(len(found) > 1 for found in splits.values()) > 0
    require_clean_splits(authors)


@pytest.mark.parametrize("level", ["conversation", "author"])
def test_a_strict_corpus_has_no_finding(write_corpus: Write, loops: ModuleType, level: str) -> None:
    corpus = write_corpus(loops.make_conversations(number=80), SplitPlan(strict=True))
    assert audit_splits(view_sequences(corpus, level)) == []


def test_sequences_in_no_split_share_nothing(write_corpus: Write) -> None:
    conversations = [
        Conversation("one", ["a"], ["x"], split="train", author_splits={"a": "train"}),
        Conversation("two", ["a"], ["x"], split=None, author_splits={"a": None}),
    ]
    assert audit_splits(view_sequences(write_corpus(conversations), "author")) == []


def test_an_empty_split_raises_with_what_the_others_hold(write_corpus: Write) -> None:
    view = view_sequences(write_corpus([chat("one", "a", split="train", label=1)]), "conversation")
    require_split(view, "train")
    with pytest.raises(SplitError, match="split test is empty at level conversation") as caught:
        require_split(view, "test")
    assert (
        "sequences are train 1, validation 0, test 0, in 1 group (the source gives the splits: give test to"
        in str(caught.value)
    )


def test_a_corpus_without_labels_raises_and_names_the_field(write_corpus: Write) -> None:
    corpus = write_corpus([chat("one", "a", split="train")])
    for level, field in (("conversation", "label"), ("author", "author_labels")):
        with pytest.raises(CorpusError, match=f"no labels at level {level}: import a source with {field}"):
            require_split(view_sequences(corpus, level).labelled(), "train")


def test_one_class_raises_with_its_count(write_corpus: Write) -> None:
    labels = (1, 1, None, 0)
    corpus = write_corpus([chat(f"c{i}", "a", split="train", label=label) for i, label in enumerate(labels)])
    view = view_sequences(corpus, "conversation")
    require_both_classes(view)
    with pytest.raises(TrainingError, match="found only 1, 2 times .label more"):
        require_both_classes(view.select([0, 1, 2]))
    with pytest.raises(TrainingError, match="found none"):
        require_both_classes(view.select([2]))


# --- the whole audit: planted leaks


WORDS = [f"word{i}" for i in range(3000)]


def random_text(generator: np.random.Generator, words: int = 40) -> str:
    return " ".join(generator.choice(WORDS, size=words))


def random_corpus(seed: int, number: int = 60) -> list[Conversation]:
    """Clean conversations of two or three authors with texts, times and labels."""
    generator = np.random.default_rng(seed)
    return [
        Conversation(
            f"c{i}",
            [f"a{k}" for k in generator.integers(0, 30, 3)],
            [random_text(generator, int(generator.integers(2, 30))) for _ in range(3)],
            [1e9 + float(generator.integers(0, 10**6)) + j for j in range(3)],
            label=int(generator.integers(2)),
        )
        for i in range(number)
    ]


@pytest.mark.parametrize("seed", range(20))
def test_clean_random_corpora_raise_no_alarm(write_corpus: Write, seed: int) -> None:
    by = (None, "author", None, None)[seed % 4]
    corpus = write_corpus(random_corpus(seed), SplitPlan(seed=seed, by=by, strict=seed % 4 == 2))
    report = audit_corpus(corpus)
    assert report.is_clean
    assert {finding.kind for finding in report.findings} <= {"shared_conversations", "known_authors"}
    assert len(report.checks) == 7


@pytest.mark.parametrize("strict", [False, True])
def test_authors_of_test_who_were_seen_are_a_note(write_corpus: Write, strict: bool) -> None:
    corpus = write_corpus(random_corpus(3), SplitPlan(strict=strict))
    splits = view_sequences(corpus, "conversation").splits
    spoken: dict[bool, set] = {True: set(), False: set()}
    for conversation, split in zip(corpus.conversations(), splits, strict=True):
        if split:
            spoken[split == "test"].update(conversation.authors)
    expected = len(spoken[True] & spoken[False])
    report = audit_corpus(corpus)
    found = [each for each in report.findings if each.level == "conversation"]
    sentence = f"authors known before test, level conversation: {len(spoken[True])} authors compared"
    assert sentence in report.checks
    if strict:
        assert (found, expected) == ([], 0)
        return
    (finding,) = found
    assert (finding.kind, finding.severity, finding.count) == ("known_authors", "note", expected)
    assert f"{expected} of {len(spoken[True])} authors in test conversations also speak" in finding.message


def test_shared_groups_and_authors_are_found_at_their_levels(write_corpus: Write) -> None:
    conversations = random_corpus(0)
    conversations[3].split, conversations[4].split = "train", "test"
    conversations[3].authors = conversations[4].authors = ["thief"] * 3
    report = audit_corpus(write_corpus(conversations))
    finding = only(report, "shared_groups")
    assert (finding.severity, finding.level, finding.examples) == (
        "error",
        "author",
        ("'thief' in train and test",),
    )
    assert not report.is_clean
    assert report.findings[0] == finding


def test_a_near_duplicate_is_found_in_both_levels(write_corpus: Write) -> None:
    generator = np.random.default_rng(0)
    conversations = random_corpus(1)
    text = random_text(generator, 120)
    words = text.split()
    words[60] = "Other"
    copy = " ".join(words).upper()
    conversations += [
        chat("original", "o", split="train", texts=[text]),
        chat("copy", "k", split="test", texts=[copy]),
    ]
    corpus = write_corpus(conversations)
    report = audit_corpus(corpus)
    shared = 118 - 3  # shingles of three words; one changed word spoils three of them on each side
    similarity = shared / (118 + 118 - shared)
    finding = only(report, "near_duplicates", "conversation")
    assert (finding.severity, finding.count) == ("error", 1)
    assert finding.examples == (f"'copy' and 'original' ({similarity:.2f})",)
    assert "1 sequences of test have a near-duplicate in train" in finding.message
    assert "word" not in finding.message.replace("word shingles", "")
    author = only(report, "near_duplicates", "author")
    assert author.examples == (f"'copy' by 'k' and 'original' by 'o' ({similarity:.2f})",)
    assert find_near_duplicates(view_sequences(corpus, "conversation"), DuplicateRules(0.97)).pairs == {
        ("validation", "train"): [],
        ("test", "train"): [],
        ("test", "validation"): [],
    }


def test_a_copy_is_found_among_many_that_are_less_alike(write_corpus: Write) -> None:
    """Chats made from one template are all candidates of one another; the copy among them is named."""
    generator = np.random.default_rng(5)
    template = generator.choice(WORDS, size=150)

    def vary() -> str:
        words = template.copy()
        words[generator.choice(150, size=5, replace=False)] = generator.choice(WORDS, size=5)
        return " ".join(words)

    decoys = [chat(f"d{i}", f"a{i}", split="train", texts=[vary()]) for i in range(60)]
    text = vary()
    corpus = write_corpus(
        [
            *decoys,
            chat("original", "o", split="train", texts=[text]),
            chat("copy", "k", split="test", texts=[text]),
        ]
    )
    (pair,) = find_near_duplicates(view_sequences(corpus, "conversation"), DuplicateRules()).pairs[
        "test", "train"
    ]
    assert (pair.sequence, pair.reference, pair.similarity) == (61, 60, 1.0)


def test_near_duplicates_equal_a_plain_loop(write_corpus: Write) -> None:
    generator = np.random.default_rng(3)
    originals = [generator.choice(WORDS, size=200) for _ in range(20)]
    conversations = []
    for i in range(90):
        words = originals[i % 20].copy()
        changed = generator.choice(200, size=int(generator.integers(0, 7)), replace=False)
        words[changed] = generator.choice(WORDS, size=len(changed))
        conversations.append(chat(f"c{i}", f"a{i}", texts=[" ".join(words)]))
    view = view_sequences(write_corpus(conversations, SplitPlan(fractions=(0.4, 0.3, 0.3))), "conversation")
    found = find_near_duplicates(view, DuplicateRules())

    def shingles(index: int) -> set:
        words = conversations[index].texts[0].split()
        return set(zip(words, words[1:], words[2:], strict=False))

    def best(row: int, reference: str) -> float:
        others = np.flatnonzero(view.splits == reference)
        mine = shingles(row)
        return max(len(mine & shingles(other)) / len(mine | shingles(other)) for other in others)

    for (split, reference), pairs in found.pairs.items():
        rows = [row for row in np.flatnonzero(view.splits == split) if best(row, reference) >= 0.8]
        assert len(rows) > 3
        assert [pair.sequence for pair in pairs] == rows
        for pair in pairs:
            assert view.splits[pair.reference] == reference
            assert pair.similarity == pytest.approx(best(pair.sequence, reference))


def test_short_talk_is_left_out_and_counted(write_corpus: Write) -> None:
    greeting = "hello how are you " * 4
    conversations = [
        chat("one", "a", split="train", texts=[greeting]),
        chat("two", "b", split="test", texts=[greeting]),
    ]
    report = audit_corpus(write_corpus(conversations))
    assert report.findings == ()
    assert any("0 sequences compared, 2 of fewer than 20 words left out" in check for check in report.checks)
    search = find_near_duplicates(
        view_sequences(write_corpus(conversations), "author"), DuplicateRules(min_words=16)
    )
    assert (search.num_compared, search.num_skipped) == (2, 0)
    assert search.pairs["test", "train"][0].similarity == 1.0


def test_words_of_scripts_without_spaces_are_characters(write_corpus: Write) -> None:
    text = "昨日は友達と一緒に映画を見に行きましたがとても面白かったです"
    conversations = [
        chat("one", "a", split="train", texts=[text]),
        chat("two", "b", split="test", texts=[text]),
    ]
    assert only(audit_corpus(write_corpus(conversations)), "near_duplicates", "conversation").count == 1


def test_without_datasketch_the_audit_says_how_to_install_it(
    write_corpus: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = write_corpus(random_corpus(0, 10))
    monkeypatch.setitem(sys.modules, "datasketch", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'tenor\[audit\]'"):
        audit_corpus(corpus)
    report = audit_corpus(corpus, near_duplicates=False)
    assert "near-duplicate texts: not compared, not asked for" in report.checks


@pytest.mark.parametrize(
    "rules", [{"threshold": 0.0}, {"threshold": 1.1}, {"shingle_words": 0}, {"shingle_words": 30}]
)
def test_wrong_rules_raise(rules: dict) -> None:
    with pytest.raises(UsageError, match="expected"):
        DuplicateRules(**rules)


def timed(splits: str, times: list[float] | None = None) -> list[Conversation]:
    """Conversations one a day, each with the split of its letter."""
    names = {"t": "train", "v": "validation", "e": "test"}
    days = range(len(splits)) if times is None else times
    return [
        chat(f"c{i}", f"a{i}", f"a{i}", split=names[letter], timestamps=[None, 86400.0 * day])
        for i, (letter, day) in enumerate(zip(splits, days, strict=True))
    ]


def test_a_split_by_time_is_clean(write_corpus: Write) -> None:
    report = audit_corpus(write_corpus(timed("t" * 20 + "v" * 5 + "e" * 5)))
    assert report.findings == ()
    assert "future in training: 30 conversations with a time compared" in report.checks


def test_training_on_the_future_is_found(write_corpus: Write) -> None:
    report = audit_corpus(write_corpus(timed("t" * 20 + "v" * 5 + "ee" + "tt" + "eee")))
    validation, test = (one for one in report.findings if one.kind == "future_in_training")
    assert (validation.severity, validation.count) == ("warning", 2)
    assert (test.severity, test.count, test.examples) == ("warning", 2, ("'c27'", "'c28'"))
    assert "2 training conversations start after the first one of test" in test.message
    backwards = audit_corpus(write_corpus(timed("e" * 5 + "t" * 20)))
    assert only(backwards, "future_in_training").severity == "warning"


def test_given_splits_that_ignore_time_are_a_note(write_corpus: Write) -> None:
    report = audit_corpus(write_corpus(timed("tettve" * 10)))
    assert {one.severity for one in report.findings} == {"note"}
    assert "the given splits are not by time" in report.findings[0].message


def test_splits_by_hash_have_no_future(write_corpus: Write) -> None:
    conversations = timed("t" * 30)
    for conversation in conversations:
        conversation.split = None
    report = audit_corpus(write_corpus(conversations))
    assert report.findings == ()
    assert any("made by hash" in check for check in report.checks)


def test_an_encoder_that_saw_train_alone_is_clean_and_others_are_found(
    write_corpus: Write, loops: ModuleType
) -> None:
    conversations = random_corpus(2, 30)
    raw = write_corpus(conversations)
    view = training_sequences(raw)
    honest = loops.hash_ids(zip(view.conversation_ids, view.authors, strict=True))
    assert honest == hash_training_ids(raw)
    everything = view_sequences(raw, "author")
    peeking = loops.hash_ids(zip(everything.conversation_ids, everything.authors, strict=True))

    def audit(ids: str | None, split_hash: str | None) -> AuditReport:
        encoder = EncoderInfo("lsa", "0" * 64, split_hash, ids)
        return audit_corpus(write_corpus(conversations, encoder=encoder), near_duplicates=False)

    assert audit(honest, raw.info.split_hash).is_clean
    assert audit(None, None).is_clean
    finding = only(audit(peeking, raw.info.split_hash), "fitted_state")
    assert (finding.severity, finding.examples) == ("error", ("lsa",))
    assert "encode again" in finding.message
    other = write_corpus(conversations, SplitPlan(seed=9)).info.split_hash
    assert audit(honest, other).is_clean  # what it saw is train here, whatever the splits are called
    finding = only(audit(peeking, other), "fitted_state")
    assert (finding.severity, "fitted under other splits" in finding.message) == ("warning", True)


def test_before_a_fit_state_and_time_are_looked_at_too(
    write_corpus: Write, loops: ModuleType, caplog: pytest.LogCaptureFixture
) -> None:
    conversations = random_corpus(2, 30)
    raw = write_corpus(conversations)
    everything = view_sequences(raw, "author")
    peeking = loops.hash_ids(zip(everything.conversation_ids, everything.authors, strict=True))

    def require(ids: str, split_hash: str | None, level: str) -> None:
        corpus = write_corpus(conversations, encoder=EncoderInfo("lsa", "0" * 64, split_hash, ids))
        require_clean_fit(view_sequences(corpus, level))

    for level in ("conversation", "author"):
        require(hash_training_ids(raw), raw.info.split_hash, level)
        assert caplog.text == ""
        with pytest.raises(
            SplitError, match="lsa was fitted on other messages than those of train, .*encode again"
        ):
            require(peeking, raw.info.split_hash, level)
    require(peeking, "f" * 64, "author")
    assert "the encoder lsa was fitted under other splits" in caplog.text
    caplog.clear()

    late = view_sequences(write_corpus(timed("t" * 19 + "v" * 5 + "e" * 5 + "t")), "author")
    require_clean_fit(late, show=False)
    assert caplog.text == ""
    require_clean_fit(late)
    assert "1 training conversations start after the first one of validation: 'c29'" in caplog.text
    assert "1 training conversations start after the first one of test: 'c29'" in caplog.text
