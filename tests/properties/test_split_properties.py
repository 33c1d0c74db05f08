"""Splits are disjoint by group, complete, and stay as they are when rows are shuffled or added."""

from __future__ import annotations

import importlib.util
import sys
import tempfile
from pathlib import Path
from types import ModuleType

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tenor.corpus.audit import audit_splits, require_clean_splits
from tenor.corpus.corpus import Corpus, open_corpus
from tenor.corpus.plan import SplitPlan, split_finder
from tenor.corpus.schema import SPLITS, Conversation
from tenor.corpus.strict import assign_strict
from tenor.corpus.views import view_sequences
from tenor.corpus.writer import CorpusWriter


def load_reference() -> ModuleType:
    path = Path(__file__).parents[1] / "reference" / "corpus_loop.py"
    spec = importlib.util.spec_from_file_location("corpus_loop", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["corpus_loop"] = module
    spec.loader.exec_module(module)
    return module


reference = load_reference()

NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=3)
PLANS = st.builds(
    SplitPlan,
    seed=st.integers(0, 5),
    fractions=st.sampled_from([(0.7, 0.1, 0.2), (0.4, 0.3, 0.3), (0.5, 0.0, 0.5)]),
    by=st.sampled_from([None, "author", "conversation"]),
)


@st.composite
def conversations(draw: st.DrawFn) -> list[Conversation]:
    authors = draw(st.lists(NAMES, min_size=1, max_size=5, unique=True))
    made = []
    for index in range(draw(st.integers(1, 12))):
        turns = draw(st.lists(st.sampled_from(authors), min_size=1, max_size=6))
        labels = draw(st.dictionaries(st.sampled_from([*turns, "silent"]), st.integers(0, 1), max_size=3))
        made.append(
            Conversation(
                f"c{index}",
                turns,
                draw(st.lists(NAMES, min_size=len(turns), max_size=len(turns))),
                features=np.arange(len(turns), dtype=np.float16)[:, None] + index,
                label=draw(st.sampled_from([None, 0, 1])),
                author_labels=labels,
                group=draw(st.sampled_from([None, "g", "h"])),
            )
        )
    return made


def write(folder: str, made: list[Conversation], plan: SplitPlan) -> Corpus:
    path = Path(folder) / f"corpus-{len(list(Path(folder).iterdir()))}"
    with CorpusWriter(path, split=plan, batch_bytes=2000) as writer:
        for conversation in made:
            writer.write(conversation)
    return open_corpus(path)


def splits_by_id(corpus: Corpus) -> dict[tuple, str]:
    found = {}
    for conversation in corpus.conversations():
        found[conversation.conversation_id, None] = conversation.split
        for author, split in conversation.author_splits.items():
            found[conversation.conversation_id, author] = split
    return found


@given(conversations(), PLANS)
def test_views_equal_loops_and_groups_never_cross(made: list[Conversation], plan: SplitPlan) -> None:
    with tempfile.TemporaryDirectory() as folder:
        corpus = write(folder, made, plan)
        for level in ("conversation", "author"):
            view = view_sequences(corpus, level)
            expected = reference.loop_sequences(made, level, plan)
            assert view.groups.tolist() == [one.group for one in expected]
            assert view.splits.tolist() == [one.split for one in expected]
            assert list(view.texts()) == [one.texts for one in expected]
            assert view.gather_features(np.arange(len(view))).tolist() == [
                vector for one in expected for vector in one.features
            ]
            require_clean_splits(view)
            assert set(view.splits) <= set(SPLITS)


@given(conversations(), PLANS, st.randoms(use_true_random=False), st.data())
def test_splits_are_stable_under_shuffling_and_adding(
    made: list[Conversation], plan: SplitPlan, random: object, data: st.DataObject
) -> None:
    number = data.draw(st.integers(1, len(made)))
    with tempfile.TemporaryDirectory() as folder:
        everything = splits_by_id(write(folder, made, plan))
        some = random.sample(made, number)
        for key, split in splits_by_id(write(folder, some, plan)).items():
            assert everything[key] == split


@st.composite
def graphs(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    number = draw(st.integers(1, 30))
    pool = draw(st.integers(1, 40))
    units, authors, parents = [], [], []
    for row in range(number):
        units.append(draw(st.sampled_from([f"c{row}", f"g{row % 3}"])))
        chosen = draw(st.lists(st.integers(0, pool), min_size=1, max_size=4, unique=True))
        authors += [f"a{code}" for code in chosen]
        parents += [row] * len(chosen)
    return np.array(units, object), np.array(authors, object), np.array(parents)


@given(graphs(), PLANS)
def test_strict_shares_neither_authors_nor_conversations(graph: tuple, plan: SplitPlan) -> None:
    units, authors, parents = graph
    found = assign_strict(units, authors, parents, plan)
    used = [split for split, fraction in zip(SPLITS, plan.fractions, strict=True) if fraction > 0]
    homes: dict[tuple[str, str], set] = {}
    for author, parent, split in zip(authors, parents, found.participant_splits, strict=True):
        if split != "":
            assert split in used
            homes.setdefault(("author", author), set()).add(split)
            homes.setdefault(("unit", units[parent]), set()).add(split)
    for row, split in enumerate(found.conversation_splits):
        members = parents == row
        if split == "":
            assert (found.participant_splits[members] == "").any()
            continue
        assert (found.participant_splits[members] == split).all()
        for author in authors[members]:
            homes.setdefault(("author", author), set()).add(split)
        homes.setdefault(("unit", units[row]), set()).add(split)
    assert all(len(splits) == 1 for splits in homes.values())


@given(graphs(), PLANS, st.randoms(use_true_random=False))
def test_strict_does_not_depend_on_the_order_of_rows(graph: tuple, plan: SplitPlan, random: object) -> None:
    units, authors, parents = graph
    found = assign_strict(units, authors, parents, plan)
    rows = list(range(len(units)))
    random.shuffle(rows)
    place = np.argsort(rows)
    shuffled = assign_strict(units[rows], authors, place[parents], plan)
    assert (shuffled.conversation_splits == found.conversation_splits[rows]).all()
    assert (shuffled.participant_splits == found.participant_splits).all()


@given(conversations(), st.integers(0, 5))
def test_strict_corpora_are_clean_at_every_level(made: list[Conversation], seed: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        corpus = write(folder, made, SplitPlan(seed=seed, strict=True))
        for level in ("conversation", "author"):
            assert audit_splits(view_sequences(corpus, level)) == []


def test_an_author_and_a_group_of_one_name_are_no_leak() -> None:
    """At level author both are groups of that name; where their splits differ the author is left out."""
    names = np.array(["g", *(f"c{i}" for i in range(40))], dtype=object)
    parents = np.array([*range(41), *range(1, 11)])
    authors = np.array(["hub"] * 41 + ["g"] * 10, dtype=object)  # all in one component, which is cut
    is_named = names == "g"
    left_out = []
    for seed in range(20):
        found = assign_strict(names, authors, parents, SplitPlan(seed=seed), is_named=is_named)
        home, own = found.participant_splits[0], set(found.participant_splits[authors == "g"]) - {""}
        assert own <= {home}
        plain = assign_strict(names, authors, parents, SplitPlan(seed=seed))
        same = found.participant_splits == plain.participant_splits
        assert same[authors != "g"].all()
        left_out.append(not same.all())
    assert 0 < sum(left_out) < 20


@given(NAMES, st.integers(-5, 5))
def test_every_name_has_a_split(name: str, seed: int) -> None:
    assert split_finder(SplitPlan(seed=seed))(name) in SPLITS
