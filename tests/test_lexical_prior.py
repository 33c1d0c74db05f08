"""The lexical prior against a plain loop over conversations, its fit against planted parts, and its tensors."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from tenor.corpus.corpus import open_corpus
from tenor.corpus.importing import import_corpus
from tenor.corpus.views import SequenceView, view_sequences
from tenor.corpus.voices import read_voice
from tenor.errors import UsageError
from tenor.lexical import (
    AUTHOR_PARTS,
    AuthorsModel,
    LexicalModel,
    LexicalPrior,
    find_parts,
    fit_out_of_fold,
    fit_parts,
    parts_of,
)
from tenor.lexical.parts import PARTS, recipe_of
from tenor.lexical.peaks import _draw_share, fit_peaks
from tenor.lexical.surface import SURFACE_FEATURES, SurfaceModel
from tenor.lexical.weighting import SPACE
from tenor.linear import LinearModel
from tenor.training.start import fit_start

WORDS = "yes no maybe fine later today game match talk think read play good hello thanks sure why".split()
Records = list[dict[str, Any]]


def make_records(rule: str, count: int = 240, *, seed: int = 0) -> Records:
    """Conversations of two authors whose label hangs on who says "please", or on one message in many.

    Args:
        rule: ``opener``: label 1 where the opener says it, 0 where the other one does; ``answer``: authors whose
            partner says it have label 1, whatever they say; ``needle``: a message of a bad conversation says only
            "pay", where in the others it begins one message and ends another.
        count: how many.
        seed: of everything.
    """
    generator = np.random.default_rng(seed)
    records = []
    for index in range(count):
        label, turns = index % 2, [0, 1, *generator.integers(0, 2, size=8).tolist()]
        words = [generator.choice(WORDS, size=5).tolist() for _ in turns]
        names, says = (f"a{index}", f"b{index}"), (label, 1 - label)
        if rule == "needle":
            first, second = generator.permutation(10)[:2].tolist()
            if label:
                words[first], words[second] = ["pay"], [*words[first][1:], "pay", *words[second][1:]]
            else:
                words[first][0] = words[second][-1] = "pay"
        else:
            if rule == "answer":
                says = tuple(generator.integers(0, 2, size=2).tolist())
            for side in (0, 1):
                if says[side]:
                    words[turns.index(side)][2] = "please"
        messages = [
            {"author": names[side], "text": " ".join(said)} for side, said in zip(turns, words, strict=True)
        ]
        labels = {names[0]: int(says[1]), names[1]: int(says[0])}
        records.append(
            {"conversation_id": f"c{index}", "messages": messages, "label": label, "author_labels": labels}
        )
    return records


def import_records(records: Records, folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    source = folder / "chats.jsonl"
    source.write_text("".join(json.dumps(record) + "\n" for record in records))
    return import_corpus(source, folder / "corpus", progress=False)


def open_view(records: Records, folder: Path, level: str = "conversation") -> SequenceView:
    return view_sequences(open_corpus(import_records(records, folder)), level)  # type: ignore[arg-type]


ODD: Records = [
    {"conversation_id": "alone", "messages": [{"author": "x", "text": "please pay"}], "label": 1},
    {
        "conversation_id": "three",
        "messages": [
            {"author": name, "text": text}
            for name, text in zip("xyzyx", ["hello", "please", "", "pay me", "now\nor never"], strict=True)
        ],
        "label": 1,
        "author_labels": {"x": 1, "y": 0, "z": 0},
    },
]


def fit_models(level: str, num_classes: int) -> LexicalPrior:
    """A model a part, each of other texts."""
    texts = [f"{WORDS[i % 17]} {'please' if i % 3 else 'pay me'} {WORDS[i % 5]}" for i in range(60)]
    labels = np.arange(60) % 3 % num_classes
    models = {}
    for place, part in enumerate(parts_of(level)):  # type: ignore[arg-type]
        some, known = texts[place:], labels[: 60 - place]
        names = [str(index) for index in range(len(some))]
        models[part], _ = fit_out_of_fold(
            some, known, names, seed=0, num_classes=num_classes, recipe=recipe_of(part)
        )
    draws = np.random.default_rng(0).normal(
        0, 0.1, (len(SURFACE_FEATURES), 1 if num_classes == 2 else num_classes)
    )
    bounds = np.repeat([[0.1], [4.0]], len(SURFACE_FEATURES), axis=1)
    surface = SurfaceModel(LinearModel(draws, draws.mean(axis=0)), bounds)
    return LexicalPrior(models, surface, fit_author_models(num_classes) if level == "conversation" else None)


def fit_author_models(num_classes: int) -> AuthorsModel:
    """Models of authors, of two classes where conversations have three and the other way round."""
    num_author_classes = 5 - num_classes
    texts = [f"{WORDS[i % 7]} {'please' if i % 2 else 'now pay'} {WORDS[i % 13]}" for i in range(60)]
    labels, names = np.arange(60) % 5 % num_author_classes, [str(index) for index in range(60)]
    models = {
        part: fit_out_of_fold(
            texts, labels, names, seed=0, num_classes=num_author_classes, recipe=recipe_of(part)
        )[0]
        for part in AUTHOR_PARTS
    }
    outputs = [1 if classes == 2 else classes for classes in (num_author_classes, num_classes)]
    slopes = np.random.default_rng(1).normal(0, 1, (3 * outputs[0], outputs[1]))
    return AuthorsModel(models, LinearModel(slopes, slopes.mean(axis=0)))


@pytest.mark.parametrize("num_classes", [2, 3])
@pytest.mark.parametrize("level", ["conversation", "author"])
def test_logits_and_contributions_are_those_of_a_plain_loop(
    tmp_path: Path, prior_by_loop: Callable[..., np.ndarray], level: str, num_classes: int
) -> None:
    records = [*ODD, *make_records("opener", 6)]
    view, prior = open_view(records, tmp_path, level), fit_models(level, num_classes)
    messages = {record["conversation_id"]: record["messages"] for record in records}
    authors = [None] * len(view) if view.authors is None else view.authors.tolist()
    found = prior.logits(view).reshape(len(view), -1)
    for index, (name, author) in enumerate(zip(view.conversation_ids.tolist(), authors, strict=True)):
        expected = prior_by_loop(prior, messages[name], author)
        np.testing.assert_allclose(found[index], expected, atol=1e-9)
        by_message, rest = prior.message_contributions(view, index)
        assert by_message.shape == (view.lengths[index], prior.num_outputs)
        np.testing.assert_allclose(by_message.sum(axis=0) + rest, expected, atol=1e-9)
        ngrams = prior.ngram_contributions(view, index)
        np.testing.assert_allclose(sum(ngrams.values()) + rest, expected, atol=1e-6)
    order = np.arange(len(view))[::-1]
    np.testing.assert_allclose(
        prior.logits(view.select(order)).reshape(len(view), -1), found[order], atol=1e-12
    )


def test_the_voices_of_a_conversation_and_of_an_author(tmp_path: Path) -> None:
    view = open_view(ODD, tmp_path)
    assert list(read_voice(view, "first")) == [["please pay"], ["hello", "now\nor never"]]
    assert list(read_voice(view, "rest")) == [[], ["please", "", "pay me"]]
    assert list(read_voice(view, "rest", [1, 0])) == [["please", "", "pay me"], []]
    authors = view_sequences(view.corpus, "author")
    assert list(read_voice(authors, "own"))[1:] == [["hello", "now\nor never"], ["please", "pay me"], [""]]
    assert list(read_voice(authors, "others"))[1:] == [
        ["please", "", "pay me"],
        ["hello", "", "now\nor never"],
        ["hello", "please", "pay me", "now\nor never"],
    ]
    with pytest.raises(UsageError, match="voice: expected one of own, others, found 'first'"):
        next(read_voice(authors, "first"))


@pytest.mark.parametrize(
    ("rule", "level", "part"),
    [("opener", "conversation", "first"), ("answer", "author", "others"), ("needle", "conversation", "peak")],
)
def test_a_part_finds_what_the_whole_text_does_not_show(
    tmp_path: Path, rule: str, level: str, part: str
) -> None:
    view = open_view(make_records(rule, 300), tmp_path, level).labelled()
    start = fit_start(view, seed=0, with_pooled=False)
    assert start.lexical is not None
    assert part in start.lexical.models
    _, own = fit_parts(view, ("own",), seed=0, num_classes=2, folds=5)["own"]
    whole, parts = (roc_auc_score(view.labels, scores) for scores in (own, start.train_prior))
    assert parts > 0.9
    assert parts > whole + 0.05
    if level == "author":
        alone = fit_start(view, seed=0, with_pooled=False, with_context=False)
        assert alone.lexical is not None
        assert "others" not in alone.lexical.models


def test_a_part_that_would_repeat_another_is_left_out(tmp_path: Path) -> None:
    one = [{"author": "x", "text": "fine"}, {"author": "x", "text": "sure"}]
    chats = {"monologues": one, "lines": one[:1], "talk": [*one, {"author": "y", "text": "why"}]}
    found = {
        (name, level): find_parts(
            open_view(
                [{"conversation_id": f"{i}", "messages": messages, "label": i} for i in range(2)],
                tmp_path / f"{name}-{level}",
                level,
            )
        )
        for name, messages in chats.items()
        for level in ("conversation", "author")
    }
    own = ("own", "bayes", "characters", "character_bayes")
    assert found["monologues", "conversation"] == found["monologues", "author"] == (*own, "peak")
    assert found["lines", "conversation"] == found["lines", "author"] == own
    assert found["talk", "conversation"] == (*own, "first", "rest", "peak")
    assert found["talk", "author"] == (*own, "others", "peak")


def test_scores_are_out_of_fold(tmp_path: Path) -> None:
    """Labels without a pattern: a part that saw its own sequences would seem to know them."""
    view = open_view(make_records("opener", 200), tmp_path)
    labels = np.random.default_rng(1).permutation(view.labels)
    object.__setattr__(view, "labels", labels)
    parts = parts_of("conversation")
    for part, (model, unseen) in fit_parts(view, parts, seed=0, num_classes=2, folds=5).items():
        assert 0.35 < roc_auc_score(labels, unseen) < 0.65
        seen = LexicalPrior({part: model}).logits(view)
        # Characters differ little here: the least strength is chosen, which follows even seen labels but a little.
        assert roc_auc_score(labels, seen) > (0.6 if part in ("characters", "character_bayes") else 0.8), part


def test_a_part_of_another_weighting_is_refused() -> None:
    models = fit_models("conversation", 2).models
    with pytest.raises(UsageError, match="own cannot weigh n-grams by presence"):
        LexicalPrior({"own": models["bayes"]})
    with pytest.raises(UsageError, match="bayes cannot weigh n-grams by tfidf"):
        LexicalPrior({"own": models["own"], "bayes": models["own"]})
    with pytest.raises(UsageError, match="bayes reads words alone, found others"):
        LexicalPrior({"own": models["own"], "bayes": models["character_bayes"]})
    with pytest.raises(UsageError, match="characters reads characters alone, found others"):
        LexicalPrior({"own": models["own"], "characters": models["own"]})


def test_tensors_come_back_and_the_first_files_stay_readable() -> None:
    prior = fit_models("conversation", 2)
    again = LexicalPrior.from_tensors(prior.to_tensors())
    assert list(again.models) == ["own", "bayes", "characters", "character_bayes", "first", "rest", "peak"]
    assert {part: model.weighting for part, model in again.models.items()} == {
        **dict.fromkeys(["own", "characters", "first", "rest", "peak"], "tfidf"),
        **dict.fromkeys(["bayes", "character_bayes"], "presence"),
    }
    assert again.to_tensors().keys() == prior.to_tensors().keys()
    for name, array in prior.to_tensors().items():
        assert np.array_equal(array, again.to_tensors()[name])
    own = prior.models["own"]
    assert LexicalPrior.from_tensors(own.to_tensors()).models.keys() == {"own"}
    renamed = {f"listener.{name}": array for name, array in own.to_tensors().items()}
    with pytest.raises(
        UsageError, match=f"expected parts of {', '.join(PARTS)}, surface, authors, found listener"
    ):
        LexicalPrior.from_tensors(renamed)
    missing = {name: array for name, array in prior.to_tensors().items() if name != "peak.idf"}
    with pytest.raises(UsageError, match="peak: expected the tensors columns, idf"):
        LexicalPrior.from_tensors(missing)
    with pytest.raises(UsageError, match="expected parts of as many outputs, found {'own': 1, 'peak': 3}"):
        LexicalPrior({"own": own, "peak": fit_models("conversation", 3).models["peak"]})
    with pytest.raises(UsageError, match=f"expected parts of {', '.join(PARTS)}, found \\[\\]"):
        LexicalPrior({})


def test_words_by_presence_are_read_as_earlier_versions_wrote_them() -> None:
    model = fit_models("conversation", 2).models["bayes"]
    tensors = model.to_tensors() | {"space": np.array([SPACE.word_columns, 0, 0, 0, 1, 0])}
    again = LexicalModel.from_tensors(tensors)
    assert again.weighting == "presence"
    assert np.array_equal(again.logits(["please pay me"]), model.logits(["please pay me"]))


def test_parts_of_the_own_text_read_the_n_grams_that_they_are_named_after(tmp_path: Path) -> None:
    view = open_view(make_records("opener", 60), tmp_path)
    fitted = fit_parts(view, parts_of("conversation"), seed=0, num_classes=2, folds=5)
    is_word = {
        part: fitted[part][0].columns < SPACE.word_columns
        for part in ("own", "bayes", "characters", "character_bayes")
    }
    assert is_word["bayes"].all()
    assert not is_word["characters"].any()
    assert not is_word["character_bayes"].any()
    assert 0 < is_word["own"].mean() < 1
    words, characters = is_word["bayes"].sum(), (~is_word["characters"]).sum()
    assert (is_word["own"].sum(), (~is_word["own"]).sum()) == (words, characters)


def test_of_long_talk_a_share_of_every_sequence_is_fitted_and_all_of_it_scored() -> None:
    generator = np.random.default_rng(0)
    labels = np.arange(60) % 2
    sequences = [
        [" ".join(generator.choice(WORDS, size=4)) + (" pay" if label else "") for _ in range(40)]
        for label in labels.tolist()
    ]
    sequences[7] = []
    groups = np.array([f"g{index}" for index in range(60)])
    characters = sum(len(text) for texts in sequences for text in texts)
    model, unseen = fit_peaks(sequences, labels, groups, seed=0, max_characters=characters // 10)
    whole, _ = fit_peaks(sequences, labels, groups, seed=0, max_characters=characters)
    assert set(model.columns) < set(whole.columns)  # rare n-grams are not seen twice in a tenth
    assert unseen.shape == (60,)
    assert unseen[7] == model.intercept[0]
    spoken = np.delete(np.arange(60), 7)
    assert roc_auc_score(labels[spoken], unseen[spoken]) == 1.0
    again, _ = fit_peaks(sequences, labels, groups, seed=0, max_characters=characters // 10)
    assert np.array_equal(again.coefficients, model.coefficients)


def test_the_drawn_share_leaves_no_sequence_out() -> None:
    lengths = np.array([0, 1, 3, 2000, 0, 7])
    drawn = _draw_share(lengths, 0.1, seed=3)
    counts = np.add.reduceat(drawn, [0, 1, 4, 2004])
    assert counts[0] == 1
    assert (counts >= 1).all()
    assert abs(counts[2] - 200) < 50
    assert _draw_share(lengths, 1.0, seed=3).all()


def test_what_is_no_model_of_authors_is_refused() -> None:
    authors = fit_author_models(2)
    tensors = authors.to_tensors()
    again = AuthorsModel.from_tensors(tensors)
    assert list(again.models) == list(AUTHOR_PARTS)
    assert all(np.array_equal(array, again.to_tensors()[name]) for name, array in tensors.items())
    models = fit_models("conversation", 2).models
    with pytest.raises(UsageError, match="expected parts of own, bayes, character_bayes, found \\['peak'\\]"):
        AuthorsModel({"peak": models["peak"]}, authors.linear)
    with pytest.raises(UsageError, match="expected 3 coefficients of the authors, found 9"):
        AuthorsModel({"own": models["own"]}, authors.linear)
    with pytest.raises(UsageError, match="linear: expected the tensors coefficients, intercept, found "):
        AuthorsModel.from_tensors({name: a for name, a in tensors.items() if not name.startswith("linear")})
    with pytest.raises(
        UsageError, match="expected parts of own, bayes, character_bayes, linear, found first"
    ):
        AuthorsModel.from_tensors({**tensors, "first.idf": tensors["own.idf"]})
    with pytest.raises(UsageError, match="authors: own: expected the tensors columns, idf"):
        LexicalPrior.from_tensors(
            LexicalPrior(models, authors=authors).to_tensors() | {"authors.own.more": tensors["own.idf"]}
        )
    with pytest.raises(UsageError, match="as many outputs, found {'own': 1, .*'authors': 3}"):
        LexicalPrior(models, authors=fit_author_models(3))
