"""Which of two named classes is the positive one, from the import to the model's metrics."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

import tenor
from tenor.corpus.class_order import ClassOrder
from tenor.corpus.corpus import open_corpus
from tenor.corpus.importing import import_corpus, import_with_summary
from tenor.corpus.schema import Label
from tenor.corpus.views import view_sequences
from tenor.distributed.shards import corpus_to_table, table_to_corpus
from tenor.errors import UsageError
from tenor.evaluation.seeds import require_paired
from tenor.evaluation.standing import find_baselines


def write_chats(
    path: Path,
    *,
    labels: Sequence[str | None] = ("ok", "abuse", "ok"),
    roles: Sequence[str] = ("bystander", "attacker"),
    authors: Sequence[str] = ("ann", "bob"),
    first: int = 0,
    count: int = 6,
) -> Path:
    with path.open("w", encoding="utf-8") as handle:
        for index in range(first, first + count):
            author = authors[index % len(authors)]
            chat = {
                "conversation_id": f"c{index}",
                "messages": [{"author": author, "text": "you fool" if index % 3 == 1 else "hello there"}],
                "label": labels[index % len(labels)],
                "author_labels": {author: roles[index % len(roles)]},
            }
            handle.write(json.dumps(chat) + "\n")
    return path


def read_classes(corpus: Path) -> tuple[tuple[Label, ...], tuple[Label, ...]]:
    classes = open_corpus(corpus).info.classes
    assert classes["profile"] == classes["author"]
    return classes["conversation"], classes["author"]


@pytest.mark.parametrize(
    ("positive", "known", "found", "order"),
    [
        ((), (), {"b", "a"}, ("a", "b")),
        (("a",), (), {"b", "a"}, ("b", "a")),
        ((), ("b", "a"), {"b", "a"}, ("b", "a")),
        (("b",), ("b", "a"), {"b", "a"}, ("a", "b")),
        ((), ("b", "a"), {"c", "b", "a"}, ("a", "b", "c")),  # a third class: the alphabet again
        ((), ("c", "b", "a"), {"c", "b", "a"}, ("c", "b", "a")),
        ((), (), {0, 1}, (0, 1)),
        ((), (), set(), ()),
    ],
)
def test_the_order(
    positive: tuple[str, ...], known: tuple[str, ...], found: set[Label], order: tuple[Label, ...]
) -> None:
    assert ClassOrder(positive, {"author": known}).arrange({"author": found}) == {"author": order}


def test_a_level_that_gets_its_classes_later_follows_the_other(tmp_path: Path) -> None:
    """Nobody had labelled authors when the corpus was made; their classes are the conversations'."""
    first = write_chats(tmp_path / "first.jsonl", roles=("ok",))
    corpus = import_corpus(first, tmp_path / "corpus", positive="abuse")
    assert read_classes(corpus) == (("ok", "abuse"), ("ok",))
    import_corpus(write_chats(tmp_path / "b.jsonl", roles=("ok", "abuse"), first=6), corpus, append=True)
    assert read_classes(corpus) == (("ok", "abuse"), ("ok", "abuse"))


def test_what_is_asked_for_reaches_the_levels_that_have_it(tmp_path: Path) -> None:
    chats = write_chats(tmp_path / "chats.jsonl")
    assert read_classes(import_corpus(chats, tmp_path / "a")) == (("abuse", "ok"), ("attacker", "bystander"))
    one = import_corpus(chats, tmp_path / "b", positive="abuse")
    assert read_classes(one) == (("ok", "abuse"), ("attacker", "bystander"))
    both = import_corpus(chats, tmp_path / "c", positive=["attacker", "abuse"])
    assert read_classes(both) == (("ok", "abuse"), ("bystander", "attacker"))
    assert view_sequences(open_corpus(both), "conversation").labels.tolist() == [0, 1, 0, 0, 1, 0]
    assert view_sequences(open_corpus(both), "author").labels.tolist() == [0, 1, 0, 1, 0, 1]


@pytest.mark.parametrize("positive", ["fool", ["abuse", "ok"], ["abuse", "bystander", "1"]])
def test_a_name_that_is_not_one_of_two_is_refused(tmp_path: Path, positive: str | list[str]) -> None:
    chats = write_chats(tmp_path / "chats.jsonl")
    with pytest.raises(
        UsageError, match=r"positive: .*level conversation: 'abuse', 'ok'; level author: 'attacker', 'b"
    ):
        import_corpus(chats, tmp_path / "corpus", positive=positive)
    assert not (tmp_path / "corpus").exists()


def test_numbers_and_three_classes_have_no_choice(tmp_path: Path) -> None:
    several = write_chats(tmp_path / "several.jsonl", labels=("a", "b", "c"))
    with pytest.raises(
        UsageError,
        match=r"found 'a' .level conversation: 'a', 'b', 'c'; .* of several",
    ):
        import_corpus(several, tmp_path / "corpus", positive="a")
    (tmp_path / "binary.csv").write_text("conversation_id,author,text,label\na,x,hi,0\nb,y,ho,1\n")
    with pytest.raises(UsageError, match="of the labels 0 and 1 it is 1"):
        import_corpus(tmp_path / "binary.csv", tmp_path / "corpus", positive="0")
    with pytest.raises(UsageError, match="expected names of classes, found int 0"):
        import_corpus(tmp_path / "binary.csv", tmp_path / "corpus", positive=0)  # type: ignore[arg-type]


def test_the_order_is_kept_by_what_is_made_of_the_corpus(tmp_path: Path) -> None:
    corpus = import_corpus(write_chats(tmp_path / "chats.jsonl"), tmp_path / "corpus", positive="abuse")
    analyzed = tenor.encode_corpus(corpus, tmp_path / "analyzed", encoder="dynamics")
    copy = import_corpus(analyzed, tmp_path / "copy")
    back = import_corpus(analyzed, tmp_path / "back", positive="ok")
    later = write_chats(tmp_path / "later.jsonl", first=6)
    import_corpus(later, corpus, append=True)
    tenor.encode_corpus(corpus, analyzed, encoder="dynamics", update=True)
    for made in (corpus, analyzed, copy):
        assert read_classes(made)[0] == ("ok", "abuse")
    assert read_classes(back)[0] == ("abuse", "ok")  # features and all, only another order
    with pytest.raises(UsageError, match="appended to keeps its positive class"):
        import_corpus(write_chats(tmp_path / "x.jsonl", first=12), corpus, append=True, positive="ok")
    third = write_chats(tmp_path / "third.jsonl", labels=("other",), first=12)
    import_corpus(third, corpus, append=True)
    assert read_classes(corpus)[0] == ("abuse", "ok", "other")


def test_a_stream_that_begins_with_one_class_is_told_with_the_other(tmp_path: Path) -> None:
    first = write_chats(tmp_path / "first.jsonl", labels=("ok",), roles=("bystander",))
    corpus = import_corpus(first, tmp_path / "corpus")
    with pytest.raises(UsageError, match="expected one name of two classes, found 'abuse'"):
        third = write_chats(tmp_path / "third.jsonl", labels=("ok",), roles=("bystander",), first=6)
        import_corpus(third, corpus, append=True, positive="abuse")
    assert read_classes(corpus) == (("ok",), ("bystander",))
    later = write_chats(tmp_path / "later.jsonl", first=6)
    import_corpus(later, corpus, append=True, positive=["abuse", "attacker"])
    assert read_classes(corpus) == (("ok", "abuse"), ("bystander", "attacker"))
    again = write_chats(tmp_path / "again.jsonl", first=12)
    import_corpus(again, corpus, append=True, positive="abuse")  # as it is
    assert read_classes(corpus) == (("ok", "abuse"), ("bystander", "attacker"))


def test_an_import_says_which_one_it_is(tmp_path: Path) -> None:
    chats = write_chats(tmp_path / "chats.jsonl")
    lines = import_with_summary(chats, tmp_path / "a", positive="abuse").lines()
    assert lines[1:] == [
        "level conversation: positive is the class 'abuse'; --positive ok chooses the other",
        "level author: positive is the class 'bystander'; --positive attacker chooses the other",
    ]
    added = import_with_summary(write_chats(tmp_path / "b.jsonl", first=6), tmp_path / "a", append=True)
    assert added.lines()[1] == "level conversation: positive is the class 'abuse'"
    same = write_chats(tmp_path / "same.jsonl", roles=("ok", "abuse"))
    assert [line for line in import_with_summary(same, tmp_path / "c").lines() if "positive" in line] == [
        "level conversation: positive is the class 'ok'; --positive abuse chooses the other"
    ]


def test_a_model_is_of_the_class_that_was_chosen(tmp_path: Path) -> None:
    chats = write_chats(tmp_path / "chats.jsonl", authors=[f"a{i}" for i in range(40)], count=240)
    results = {}
    for name in ("ok", "abuse"):
        corpus = import_corpus(chats, tmp_path / name, positive=name)
        analyzed = tenor.encode_corpus(corpus, tmp_path / f"{name}-analyzed", input_size=8)
        model = tenor.train_model(
            "conversation", analyzed, 1, model_path=tmp_path / f"{name}.safetensors", seed=1
        )
        scores = tenor.predict(model, analyzed, split="all")
        assert scores.classes[1] == name
        results[name] = scores.labels.tolist(), scores.probs, tmp_path / f"{name}-analyzed"
        # a corpus of the other order has the same labels, once they are the model's
    other = tenor.predict(tmp_path / "abuse.safetensors", results["ok"][2], split="all")
    np.testing.assert_array_equal(other.labels, results["abuse"][0])
    np.testing.assert_array_equal(1 - np.array(results["ok"][0]), results["abuse"][0])
    assert results["abuse"][1][np.array(results["abuse"][0]) == 1].min() > 0.5
    baselines, notes = find_baselines(open_corpus(results["ok"][2]), other)
    assert notes == ()
    table = baselines["lexical"]
    assert table.classes == ("ok", "abuse")
    known = table.labels == 1
    assert table.probs[known].min() > table.probs[~known].max()
    rows = [other.ids.tolist().index(name) for name in table.ids.tolist()]
    np.testing.assert_array_equal(table.labels, other.labels[rows])  # abuse is 1 in both
    reverse = tenor.predict(tmp_path / "ok.safetensors", results["ok"][2], split="all")
    with pytest.raises(
        UsageError, match="b has the classes abuse, ok, a ok, abuse: in that order another one is positive"
    ):
        tenor.compare(other.in_split("test"), reverse.in_split("test"))


def test_names_of_authors_that_look_alike_are_counted(tmp_path: Path) -> None:
    names = ("Ann", "ann ", "ａｎｎ", "bob", "B\x00b", "b  b", "cy", "J\u00f6", "Jo\u0308")
    chats = write_chats(tmp_path / "chats.jsonl", authors=names, labels=(None,), count=18)
    summary = import_with_summary(chats, tmp_path / "corpus")
    assert open_corpus(tmp_path / "corpus").info.counts["authors"] == len(names)
    assert summary.alike_authors == 7  # a NUL counts as a space
    assert any(line.startswith("7 names of authors differ from another one") for line in summary.lines())
    write_chats(tmp_path / "plain.jsonl", authors=("ann", "bob", "cy"), labels=(None,))
    plain = import_with_summary(tmp_path / "plain.jsonl", tmp_path / "plain")
    assert plain.alike_authors == 0
    assert "alike_authors" not in open_corpus(tmp_path / "plain").info.counts


def test_a_run_goes_on_in_its_own_order_alone(tmp_path: Path) -> None:
    """Also one that has ended; the corpora differ in nothing else."""
    chats = write_chats(tmp_path / "chats.jsonl", authors=[f"a{i}" for i in range(40)], count=240)
    corpora = {}
    for name in ("ok", "abuse"):
        corpus = import_corpus(chats, tmp_path / name, positive=name)
        corpora[name] = tenor.encode_corpus(corpus, tmp_path / f"{name}-analyzed", encoder="dynamics")
    assert open_corpus(corpora["ok"]).info.fingerprint == open_corpus(corpora["abuse"]).info.fingerprint
    path = tmp_path / "m.safetensors"
    options = {"model_path": path, "prior": "none", "hidden_size": 8, "num_heads": 2, "progress": False}
    tenor.train_model("conversation", corpora["ok"], 1, **options)
    with pytest.raises(tenor.TenorError, match="cannot resume .*classes was abuse, ok, is ok, abuse"):
        tenor.train_model("conversation", corpora["abuse"], 1, resume=True, **options)
    assert tenor.train_model("conversation", corpora["ok"], 1, resume=True, **options) == path
    other = tmp_path / "other.safetensors"
    tenor.train_model("conversation", corpora["abuse"], 1, **{**options, "model_path": other}, seed=1)
    with pytest.raises(UsageError, match="differ in more than their seed: classes"):
        require_paired([path, other])


def test_profiles_stand_beside_baselines_on_a_corpus_of_the_other_order(tmp_path: Path) -> None:
    chats = write_chats(
        tmp_path / "chats.jsonl", authors=[f"a{i}" for i in range(120)], roles=("ok", "abuse") * 60, count=480
    )
    corpora = {}
    for name in ("ok", "abuse"):
        corpus = import_corpus(chats, tmp_path / name, positive=name, fractions=(0.6, 0.2, 0.2))
        corpora[name] = tenor.encode_corpus(corpus, tmp_path / f"{name}-analyzed", input_size=4)
    model = tenor.train_model(
        "author", corpora["abuse"], 1, model_path=tmp_path / "m", progress=False, copies="ignore"
    )
    own, other = (tenor.evaluate_profile_classifier(model, corpora[name]) for name in ("abuse", "ok"))
    assert own["aggregation"] == "trained"
    for name, metrics in own["baselines"].items():
        for metric in ("roc_auc", "f1", "positives"):
            assert other["baselines"][name][metric] == pytest.approx(metrics[metric], abs=1e-6)
    with pytest.raises(UsageError, match="expected the order of classes that .* ok, abuse, found abuse, ok"):
        tenor.score_out_of_fold(model, corpora["ok"])


def test_a_shard_keeps_the_order(tmp_path: Path) -> None:
    chats = write_chats(tmp_path / "chats.jsonl")
    corpus = tenor.encode_corpus(
        import_corpus(chats, tmp_path / "raw", positive="abuse"), tmp_path / "corpus", encoder="dynamics"
    )
    shard = table_to_corpus(corpus_to_table(open_corpus(corpus)), tmp_path / "shard", "shard")
    assert shard.info.classes == open_corpus(corpus).info.classes
    assert shard.info.classes["conversation"] == ("ok", "abuse")
