"""Splits: the plan and its assignments, and what each split of a corpus holds.

The plan is in ``plan``, the joint assignment in ``strict``; this is the module to import them from.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import numpy.typing as npt

from tenor.corpus.corpus import Corpus
from tenor.corpus.info import IdDigest
from tenor.corpus.plan import SplitBy as SplitBy
from tenor.corpus.plan import SplitPlan as SplitPlan
from tenor.corpus.schema import LEVELS, SPLITS, UNLABELLED, Level
from tenor.corpus.strict import StrictAssignment as StrictAssignment
from tenor.corpus.strict import assign_strict as assign_strict
from tenor.corpus.views import SequenceView, view_sequences
from tenor.errors import UsageError, describe_value
from tenor.strings import Strings

Integers = npt.NDArray[np.int64]

#: A split whose odds of a positive are this many times those of the whole corpus, or less than their inverse,
#: is reported.
ODDS_RATIO = 2.0
#: Sequences whose ids are strings in memory at once.
_IDS_AT_A_TIME = 100_000
#: How the rows for what is in no split name it.
NO_SPLIT = "none"


def summarize_splits(corpus: Corpus) -> list[dict[str, Any]]:
    """Count what each split holds at each level, as rows for a table.

    Returns:
        One row for each level and split, and one for split ``none`` where a strict plan left something out,
        with

        - level, split
        - sequences: sequences; at level profile: profiles, an author's sequences in one split
        - labelled: those with a label; a profile's label is that of most of its sequences, ties go to the
          higher class
        - positives: those of class 1, None unless the classes are 0 and 1
        - positive_rate: positives / labelled, None without either
        - labels: class -> count
        - authors: distinct authors; at level conversation: who wrote in its conversations
        - groups: distinct groups
        - warning: a split without labels, without one of the classes, or with odds of a positive more than
          twice or less than half those of all splits together; "" when there is nothing to say.
    """
    conversations, authors = view_sequences(corpus, "conversation"), view_sequences(corpus, "author")
    names: list[str] = [*SPLITS]
    if (conversations.split_codes < 0).any() or (authors.split_codes < 0).any():
        names.append(NO_SPLIT)
    return [row for level in LEVELS for row in _summarize_level(level, names, conversations, authors)]


def describe_authors(corpus: Corpus) -> list[str]:
    """What the counts of splits do not show of authors, in sentences; none where there is nothing to say.

    How many have different labels in different conversations, and what a profile then has (see `summarize_splits`);
    how many stand in several splits at level author, as given splits and splits by conversation or group put them.
    """
    view = view_sequences(corpus, "author")
    if view.author_codes is None or view.author_names is None:
        return []
    sentences, people = [], f"{_count_distinct(view.authors):,} authors"
    is_known = view.labels != UNLABELLED
    num_mixed = _count_mixed(view.author_codes[is_known], view.labels[is_known])
    if num_mixed:
        verb = "has" if num_mixed == 1 else "have"
        sentences.append(
            f"{num_mixed:,} of {people} {verb} different labels in different conversations: a profile has the label "
            f"of most of its conversations, and ties go to the last of {describe_value(view.classes)}"
        )
    is_placed = view.split_codes >= 0
    num_shared = _count_mixed(view.author_codes[is_placed], view.split_codes[is_placed])
    if num_shared:
        verb, remedy = "stands" if num_shared == 1 else "stand", "--split-by author"
        if view.group_names is view.author_names:
            remedy = "without the given splits: --column split="
        sentences.append(
            f"{num_shared:,} of {people} {verb} in several splits at level author, and count{'s' * (num_shared == 1)} "
            f"in each: test is then not of people never seen (for that, import {remedy})"
        )
    return sentences


def _count_mixed(codes: npt.NDArray[np.integer], values: npt.NDArray[np.integer]) -> int:
    """How many of the codes have more than one value."""
    pairs = np.unique(np.stack([codes, values]), axis=1)
    return int((np.unique(pairs[0], return_counts=True)[1] > 1).sum())


def training_sequences(corpus: Corpus) -> SequenceView:
    """The author sequences whose messages anything fitted on messages may read.

    They are in train at the author level and their conversation is in train at the conversation level, so
    that neither level's validation or test is seen.
    """
    authors = view_sequences(corpus, "author")
    splits = view_sequences(corpus, "conversation").split_codes[authors.rows]
    train = SPLITS.index("train")
    return authors.select((authors.split_codes == train) & (splits == train))


def hash_training_ids(corpus: Corpus) -> str:
    """The `IdDigest` of `training_sequences`: what an honest encoder's ``fitted_ids_hash`` is."""
    return hash_training_files(corpus)[-1]


def hash_training_files(corpus: Corpus) -> list[str]:
    """The `IdDigest` of `training_sequences` of the first file, of the first two, ... of all.

    A corpus grows by whole files, so that one of them is what an encoder was fitted on before it grew.
    """
    view, digest, hashes = training_sequences(corpus), IdDigest(), []
    ends = np.cumsum([file.num_conversations for file in corpus.info.files])
    bounds = np.searchsorted(view.conversation_rows(), [0, *ends])
    for start, stop in itertools.pairwise(bounds.tolist()):
        for first in range(start, stop, _IDS_AT_A_TIME):
            part = view.select(np.arange(first, min(first + _IDS_AT_A_TIME, stop)))
            for pair in zip(part.conversation_ids.tolist(), _names(part), strict=True):
                digest.add(*pair)
        hashes.append(digest.hexdigest())
    return hashes


def _names(view: SequenceView) -> list[str]:
    return [] if view.authors is None else view.authors.tolist()


def _summarize_level(
    level: Level, names: list[str], conversations: SequenceView, authors: SequenceView
) -> list[dict[str, Any]]:
    view = conversations if level == "conversation" else authors
    writers = conversations.splits[authors.conversation_rows()] if level == "conversation" else authors.splits
    rows = []
    for name in names:
        split = "" if name == NO_SPLIT else name
        part, is_here = view.select(view.splits == split), writers == split
        labels = _profile_labels(part) if level == "profile" else part.labels
        rows.append(
            {
                "level": level,
                "split": name,
                "sequences": len(labels),
                **_count_labels(labels, view),
                "authors": _count_distinct(authors.authors, is_here),
                "groups": _count_distinct(part.groups),
                "warning": "",
            }
        )
    for row in rows:
        row["warning"] = _find_warning(row, [other for other in rows if other["split"] != NO_SPLIT])
    return rows


def _count_labels(labels: Integers, view: SequenceView) -> dict[str, Any]:
    known = labels[labels != UNLABELLED]
    counts = np.bincount(known, minlength=len(view.classes)).tolist()
    is_binary = view.classes == (0, 1)
    return {
        "labelled": len(known),
        "positives": counts[1] if is_binary else None,
        "positive_rate": counts[1] / len(known) if is_binary and len(known) else None,
        "labels": {str(name): count for name, count in zip(view.classes, counts, strict=True)},
    }


def _profile_labels(part: SequenceView) -> Integers:
    """One label an author of these sequences: the most frequent, ties to the higher class; (P,)."""
    if len(part) == 0:
        return np.empty(0, dtype=np.int64)
    if part.author_codes is None:
        raise UsageError("profiles are made of the sequences of authors")
    authors, codes = np.unique(part.author_codes, return_inverse=True)
    votes = np.zeros((len(authors), max(1, len(part.classes))), dtype=np.int64)
    has_label = part.labels != UNLABELLED
    np.add.at(votes, (codes[has_label], part.labels[has_label]), 1)
    highest = votes.shape[1] - 1 - votes[:, ::-1].argmax(axis=1)
    return np.where(votes.any(axis=1), highest, UNLABELLED)


def _count_distinct(names: Strings | None, mask: npt.NDArray[np.bool_] | slice = slice(None)) -> int:
    return 0 if names is None else names[mask].count_distinct()


def _find_warning(row: dict[str, Any], rows: list[dict[str, Any]]) -> str:
    """What is wrong with one split's labels, beside all splits of the level."""
    if row["split"] == NO_SPLIT or not any(other["labelled"] for other in rows):
        return ""
    if row["sequences"] == 0:
        return "empty"
    if row["labelled"] == 0:
        return "no labels"
    totals = {name: sum(other["labels"][name] for other in rows) for name in row["labels"]}
    absent = [name for name, count in row["labels"].items() if count == 0 and totals[name] > 0]
    if absent:
        binary = {("1",): "no positives", ("0",): "no negatives"} if row["positives"] is not None else {}
        return binary.get(tuple(absent), f"no sequence of class {', '.join(absent[:3])}")
    if row["positives"] in (None, 0, row["labelled"]):
        return ""
    overall = totals["1"] / (totals["0"] + totals["1"])
    odds = row["positive_rate"] / (1 - row["positive_rate"]) / (overall / (1 - overall))
    if 1 / ODDS_RATIO <= odds <= ODDS_RATIO:
        return ""
    return f"positives are {row['positive_rate']:.0%} here and {overall:.0%} over all splits"
