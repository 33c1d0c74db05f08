"""The levels linked: what authors' labels teach about their conversations, and what they must not tell."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from tenor.corpus.corpus import open_corpus
from tenor.corpus.importing import import_corpus
from tenor.corpus.linking import hold_authors_together, view_authors_in
from tenor.corpus.views import SequenceView, view_sequences
from tenor.encoding.encode import encode_corpus
from tenor.evaluation import test_model as measure_model
from tenor.explain import explain_sequence
from tenor.lexical import LexicalPrior, helpers, read_out
from tenor.linear import fit_best_strength
from tenor.models.model_file import load_model, read_metadata
from tenor.training import start as starting
from tenor.training.authors import find_labelled_authors, fit_authors, score_conversations
from tenor.training.start import Start, _add_up, _fit_all, fit_start
from tenor.training.train import train_model

WORDS = "yes no maybe fine later today game match talk think read play good hello thanks sure why".split()
KINDS = ("please thanks dear".split(), "pay now quick".split())
Records = list[dict[str, Any]]


def make_records(rule: str, count: int = 240, *, seed: int = 0) -> Records:
    """Conversations of two authors of two kinds, each with words among others of which four in five are its kind's.

    Args:
        rule: what label 1 means: ``differ``: the authors are of two kinds; ``any``: one is of the second kind, of
            which there are few; ``coin``: as any, but kinds show in no word.
        count: how many.
        seed: of everything.
    """
    generator = np.random.default_rng(seed)
    records = []
    for index in range(count):
        kinds = generator.random(2) < (0.5 if rule == "differ" else 0.25)
        names = (f"a{index}", f"b{index}")
        messages = []
        for turn in range(20):
            side = turn % 2
            said = generator.choice(WORDS, size=4).tolist()
            if rule != "coin":
                said[turn % 4] = generator.choice(KINDS[int(kinds[side] ^ (generator.random() < 0.2))])
            messages.append({"author": names[side], "text": " ".join(said)})
        label = int(kinds[0] != kinds[1]) if rule == "differ" else int(kinds.any())
        labels = {name: int(kind) for name, kind in zip(names, kinds, strict=True)}
        records.append(
            {"conversation_id": f"c{index}", "messages": messages, "label": label, "author_labels": labels}
        )
    return records


def open_view(records: Records, folder: Path, *, strict: bool = False) -> SequenceView:
    folder.mkdir(exist_ok=True)
    source = folder / "chats.jsonl"
    source.write_text("".join(json.dumps(record) + "\n" for record in records))
    return view_sequences(
        open_corpus(import_corpus(source, folder / "corpus", progress=False)), "conversation"
    )


def auc(view: SequenceView, scores: np.ndarray) -> float:
    return float(roc_auc_score(view.labels, scores))


def test_what_two_authors_are_to_one_another_is_learned_from_their_labels(tmp_path: Path) -> None:
    records = make_records("differ")
    view = open_view(records, tmp_path / "with")
    train, test = view.in_split("train"), view.in_split("test")
    start = fit_start(train, seed=0, with_pooled=False)
    assert start.lexical is not None and start.lexical.authors is not None
    assert auc(train, start.train_prior) > 0.9
    assert auc(test, start.lexical.logits(test)) > 0.9
    for record in records:
        del record["author_labels"]
    unlabelled = open_view(records, tmp_path / "without").in_split("train")
    alone = fit_start(unlabelled, seed=0, with_pooled=False)
    assert alone.lexical is not None and alone.lexical.authors is None
    assert auc(unlabelled, alone.train_prior) < 0.8  # no sum of words says whether two sides say the same


def test_scores_are_out_of_fold(tmp_path: Path) -> None:
    """Kinds that no word shows: models that had seen an author would seem to know them."""
    view = open_view(make_records("coin"), tmp_path)
    authors = find_labelled_authors(view)
    assert authors is not None
    model, unseen = fit_authors(view, authors, seed=0, num_classes=2, folds=5)
    assert 0.35 < auc(view, unseen) < 0.65
    seen = model.score_authors(["\n".join(texts) for texts in authors.texts()])[:, 0]
    assert auc(authors, seen) > 0.75


@pytest.mark.parametrize("strict", [True, False])
def test_folds_do_not_know_an_author_by_another_conversation(tmp_path: Path, strict: bool) -> None:
    """Kinds that show in nothing but an author's own habit, which test's authors do not have in strict splits."""
    generator = np.random.default_rng(0)
    records = []
    for cluster in range(40):
        kinds = generator.integers(0, 2, 5).tolist()
        for pair in itertools.combinations(range(5), 2):
            names = [f"c{cluster}a{author}" for author in pair]
            messages = [
                {"author": names[turn % 2], "text": f"{generator.choice(WORDS)} habit{names[turn % 2]}"}
                for turn in range(6)
            ]
            labels = [kinds[author] for author in pair]
            records.append(
                {
                    "conversation_id": "-".join(names),
                    "messages": messages,
                    "label": int(labels[0] != labels[1]),
                }
                | {"author_labels": dict(zip(names, labels, strict=True))}
            )
    train = open_view(records, tmp_path, strict=strict).in_split("train")
    authors = find_labelled_authors(train)
    assert authors is not None
    held = hold_authors_together(authors)
    groups: dict[str, set[str]] = {}
    for author, group in zip(held.authors or (), held.groups, strict=True):
        groups.setdefault(author, set()).add(group)
    assert all(len(found) == 1 for found in groups.values())
    assert len({group for found in groups.values() for group in found}) > 20
    _, unseen = fit_authors(train, authors, seed=0, num_classes=2, folds=5)
    assert 0.35 < auc(train, unseen) < 0.65


def test_where_most_would_be_joined_each_author_is_a_group(tmp_path: Path) -> None:
    records = make_records("any", 60)
    for record in records:  # all have talked to one
        names = [next(iter(record["author_labels"])), "everybody"]
        for turn, message in enumerate(record["messages"]):
            message["author"] = names[turn % 2]
        record["author_labels"] = dict(zip(names, record["author_labels"].values(), strict=True))
    authors = view_authors_in(open_view(records, tmp_path))
    assert len(authors) == 120
    assert hold_authors_together(authors).groups.tolist() == list(authors.authors or ())
    alone = view_authors_in(open_view(make_records("any", 30), tmp_path / "alone"))
    assert hold_authors_together(alone) is alone


def test_what_is_kept_adds_up_as_it_was_weighed(tmp_path: Path) -> None:
    view = open_view(make_records("any", 80), tmp_path)
    options: dict[str, Any] = {"with_pooled": False, "with_context": True, "judge": None, "progress": False}
    fitted = _fit_all(view, seed=0, folds=5, **options)
    weights = {name: 0.1 * (1 + place) for place, name in enumerate(fitted.scores)}
    start = _add_up(fitted, weights, 0.3)
    assert start.lexical is not None and "authors" in weights
    scores = fitted.score(view)
    expected = 0.3 + sum(weight * scores[name] for name, weight in weights.items())
    np.testing.assert_allclose(start.lexical.logits(view), expected, atol=1e-4)  # models are float32


def test_the_line_reads_the_logits_that_the_models_give(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = open_view(make_records("any", 120), tmp_path)
    authors = find_labelled_authors(view)
    assert authors is not None
    tables = []

    def fit(table: np.ndarray, *args: Any, **options: Any) -> Any:  # noqa: ANN401 - handed on
        tables.append(table)
        return fit_best_strength(table, *args, **options)

    monkeypatch.setattr(
        "tenor.training.authors.blend_weights", lambda parts, *_: (np.full(len(parts), 0.4), 50.0)
    )
    monkeypatch.setattr("tenor.training.authors.fit_best_strength", fit)
    model, _ = fit_authors(view, authors, seed=0, num_classes=2, folds=5)
    seen = model.score_authors(["\n".join(texts) for texts in authors.texts()])
    assert abs(tables[0][:, 0].mean() - seen.mean()) < 1
    np.testing.assert_allclose(model.score_authors([""])[0], model.silence, rtol=1e-6)
    nobody = read_out(np.empty((0, 1)), np.empty(0, np.int64), 2, model.silence)
    assert nobody.tolist() == [[float(model.silence[0])] * 3] * 2


def test_no_label_of_an_author_in_another_split_is_read(tmp_path: Path) -> None:
    records = make_records("any", 120)
    train = open_view(records, tmp_path / "one").in_split("train")
    for record in records:
        if record["conversation_id"] not in set(train.conversation_ids.tolist()):
            record["author_labels"] = {name: 1 - label for name, label in record["author_labels"].items()}
    again = open_view(records, tmp_path / "two").in_split("train")
    assert train.conversation_ids.tolist() == again.conversation_ids.tolist()
    # The author level has put authors into splits of its own: of these too some are in test.
    assert set(view_sequences(train.corpus, "author").splits.tolist()) == {"train", "validation", "test"}
    found = [fit_start(view, seed=0, with_pooled=False).lexical for view in (train, again)]
    tensors = [prior.to_tensors() for prior in found if prior is not None]
    assert any(name.startswith("authors.") for name in tensors[0])
    assert tensors[0].keys() == tensors[1].keys()
    assert all(np.array_equal(tensors[0][name], tensors[1][name]) for name in tensors[0])


def test_authors_stand_in_their_conversation_s_group_and_split(tmp_path: Path) -> None:
    view = open_view(make_records("any", 60), tmp_path).in_split("train")
    authors = view_authors_in(view)
    assert len(authors) == 2 * len(view)
    groups = dict(zip(view.conversation_ids.tolist(), view.groups.tolist(), strict=True))
    assert [groups[name] for name in authors.conversation_ids.tolist()] == authors.groups.tolist()
    assert set(authors.splits.tolist()) == {"train"}


@pytest.mark.parametrize("what", ["no labels", "one class", "the conversation's"])
def test_labels_that_tell_nothing_more_are_not_fitted(tmp_path: Path, what: str) -> None:
    records = make_records("any", 40)
    for record in records:
        names = list(record["author_labels"])
        labels = {
            "no labels": {},
            "one class": {names[0]: 0},
            "the conversation's": dict.fromkeys(names, record["label"]),
        }
        record["author_labels"] = labels[what]
    if what == "one class":  # of training; the corpus has both
        first = open_view(records, tmp_path / "first")
        in_test = first.in_split("test").conversation_ids.tolist()
        for record in records:
            if record["conversation_id"] in in_test:
                record["author_labels"] = dict.fromkeys(record["author_labels"], 1)
    view = open_view(records, tmp_path / "corpus").in_split("train")
    assert find_labelled_authors(view) is None
    assert find_labelled_authors(view_sequences(view.corpus, "author")) is None


def test_authors_without_a_label_are_scored_all_the_same(tmp_path: Path) -> None:
    records = make_records("any", 200)
    for index, record in enumerate(records):
        if index % 2:
            record["author_labels"] = {}
    view = open_view(records, tmp_path)
    authors = find_labelled_authors(view)
    assert authors is not None
    assert np.count_nonzero(authors.labels < 0) == 200
    _, unseen = fit_authors(view, authors, seed=0, num_classes=2, folds=5)
    halves = [view.select(np.arange(start, 200, 2)) for start in (0, 1)]
    assert all(auc(half, unseen[start::2]) > 0.9 for start, half in enumerate(halves))


def test_where_validation_weighs_it_weighs_the_authors_too(tmp_path: Path) -> None:
    view = open_view(make_records("differ"), tmp_path)
    train, validation = view.in_split("train"), view.in_split("validation")
    start = fit_start(train, seed=0, with_pooled=False, judge=validation)
    assert start.lexical is not None and start.lexical.authors is not None
    assert auc(validation, start.lexical.logits(validation)) > 0.9
    whole = start.lexical.logits(view)
    rest = LexicalPrior(start.lexical.models, start.lexical.surface).logits(view)
    np.testing.assert_allclose(whole - rest, score_conversations(start.lexical.authors, view), atol=1e-9)


def test_a_model_file_keeps_them_and_says_so(tmp_path: Path) -> None:
    view = open_view(make_records("differ", 160), tmp_path)
    analyzed = encode_corpus(
        view.corpus.path, tmp_path / "analyzed", encoder="lsa", input_size=8, progress=False
    )
    size = {"num_epochs": 1, "hidden_size": 8, "num_layers": 1, "num_heads": 2}
    path = train_model(
        "conversation",
        analyzed,
        model_path=tmp_path / "m.safetensors",
        copies="ignore",
        progress=False,
        **size,
    )
    prior = load_model(path).lexical
    assert prior is not None and prior.authors is not None
    remark = "the model also scores each author in a conversation, as authors' labels taught it"
    assert remark in read_metadata(path).remarks
    assert remark in measure_model("conversation", path, analyzed, baselines=False)["notes"]
    found = explain_sequence(path, analyzed, "c3", method="integrated_gradients", with_text=True)
    assert sum(message.lexical or 0 for message in found.messages) != 0
    strongest = {each.ngram for each in found.ngrams or ()}
    assert strongest & {word for kind in KINDS for word in kind}
    authors = train_model(
        "author", analyzed, model_path=tmp_path / "a.safetensors", copies="ignore", progress=False, **size
    )
    assert remark not in read_metadata(authors).remarks


def test_helpers_fit_the_start_that_is_fitted_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    view = open_view(make_records("differ", 120), tmp_path)
    monkeypatch.setattr(helpers, "LEAST_COUNTS", 0)

    def fit(count: int) -> Start:
        monkeypatch.setattr(starting, "count_helpers", lambda: count)
        return fit_start(view, seed=0, with_pooled=False)

    alone, together = fit(1), fit(2)
    np.testing.assert_array_equal(together.train_prior, alone.train_prior)
    assert together.lexical is not None
    assert alone.lexical is not None
    assert together.lexical.authors is not None, "the authors' models were fitted by helpers too"
    tensors, others = together.lexical.to_tensors(), alone.lexical.to_tensors()
    assert list(tensors) == list(others)
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(tensor, others[name])
