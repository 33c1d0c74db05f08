"""Profiles from columns, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from tenor.aggregation.fixed import aggregate_scores
from tenor.aggregation.profiles import build_profiles
from tenor.errors import UsageError


def column(*values: str) -> np.ndarray:
    return np.array(values, dtype=object)


AUTHORS = column("zoe", "ann", "zoe", "bob", "ann", "zoe")
GROUPS = column("m2", "m1", "m1", "m9", "m1", "m2")
SPLITS = column("test", "train", "test", "validation", "train", "train")
LABELS = np.array([1, 0, 0, -1, 0, 1])


def test_one_profile_an_author_and_split() -> None:
    profiles = build_profiles(AUTHORS, GROUPS, SPLITS, LABELS)
    assert len(profiles) == 4
    assert profiles.authors.tolist() == ["ann", "zoe", "bob", "zoe"]
    assert profiles.splits.tolist() == ["train", "train", "validation", "test"]
    assert profiles.groups.tolist() == ["m1", "m2", "m9", "m1"]
    assert profiles.labels.tolist() == [0, 1, -1, 1]
    assert profiles.lengths.tolist() == [2, 1, 1, 2]
    assert profiles.codes.tolist() == [3, 0, 3, 2, 0, 1]
    scores = aggregate_scores([0.5, 0.25, 1.0, 0.5, 0.75, 0.0], profiles.codes, len(profiles), "mean")
    assert scores.tolist() == [0.5, 0.0, 0.5, 0.75]


def test_order_of_sequences_does_not_matter() -> None:
    order = np.array([5, 3, 0, 1, 4, 2])
    before = build_profiles(AUTHORS, GROUPS, SPLITS, LABELS)
    after = build_profiles(AUTHORS[order], GROUPS[order], SPLITS[order], LABELS[order])
    for name in ("authors", "groups", "splits", "labels", "lengths"):
        assert getattr(before, name).tolist() == getattr(after, name).tolist()
    assert before.codes[order].tolist() == after.codes.tolist()


def test_no_sequences() -> None:
    empty = column()
    profiles = build_profiles(empty, empty, empty, np.zeros(0, dtype=np.int64))
    assert len(profiles) == 0
    assert profiles.codes.shape == (0,)


def test_label_rule_is_passed_on() -> None:
    assert build_profiles(AUTHORS, GROUPS, SPLITS, LABELS, label_rule="any").labels.tolist() == [0, 1, -1, 1]
    with pytest.raises(UsageError, match="such as 'zoe'"):
        build_profiles(AUTHORS, GROUPS, SPLITS, LABELS, label_rule="constant")


def test_columns_that_do_not_fit_raise() -> None:
    with pytest.raises(UsageError, match="authors 6, groups 6, splits 6, labels 5"):
        build_profiles(AUTHORS, GROUPS, SPLITS, LABELS[:5])
    missing = AUTHORS.copy()
    missing[2] = None
    with pytest.raises(UsageError, match="column authors: expected strings, found NoneType"):
        build_profiles(missing, GROUPS, SPLITS, LABELS)
