"""The column map: names, order of features, errors."""

from __future__ import annotations

import pytest

from tenor.corpus.readers.columns import ColumnMap, make_column_map
from tenor.errors import UsageError


def test_from_strings_names_columns() -> None:
    columns = ColumnMap.from_strings(["author=user", "text=body", "split=", "feature_columns=b,a"])
    assert (columns.author, columns.text, columns.split) == ("user", "body", None)
    assert columns.conversation_id == "conversation_id"
    assert columns.feature_columns == ("b", "a")
    assert columns == ColumnMap.from_mapping(
        {"author": "user", "text": "body", "split": None, "feature_columns": ["b", "a"]}
    )


def test_from_strings_keeps_equals_signs_in_the_column() -> None:
    assert ColumnMap.from_strings(["text=a=b"]).text == "a=b"


@pytest.mark.parametrize(
    "pairs, message",
    [
        (["author"], "expected NAME=COLUMN, found 'author'"),
        (["auther=x"], "expected one of attackers, author,"),
        (["thread=conversation_id"], "found 'thread': turn it round, conversation_id=thread$"),
        (["author=x", "author=y"], "author is given twice"),
        (["author=text"], "text and author both name the column 'text'"),
        (["author="], "author: expected the name of a column"),
        (["feature_columns=a,a"], "feature_columns repeat a name or name a column used already$"),
        (["feature_columns=a,text"], "feature_columns repeat a name or name a column used already: text$"),
    ],
)
def test_wrong_maps_raise(pairs: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ColumnMap.from_strings(pairs)


def test_from_mapping_refuses_a_text_for_feature_columns() -> None:
    with pytest.raises(UsageError, match="expected a list of names"):
        ColumnMap.from_mapping({"feature_columns": "abc"})
    with pytest.raises(UsageError, match="found 'thread'$"):
        ColumnMap.from_mapping({"thread": ["text"]})


def test_pick_features_sorts_by_name_or_keeps_the_given_order() -> None:
    names = ["feat_b", "text", "feat_a", "other", "feat_10"]
    assert ColumnMap().pick_features(names) == ("feat_10", "feat_a", "feat_b")
    assert ColumnMap(feature_columns=("other", "feat_a")).pick_features(names) == ("other", "feat_a")
    assert ColumnMap(feature_prefix="").pick_features(names) == ()
    assert ColumnMap(text="feat_a").pick_features(names) == ("feat_10", "feat_b")


def test_make_column_map() -> None:
    columns = ColumnMap(author="user")
    assert make_column_map(columns) is columns
    assert make_column_map(None) == ColumnMap()
    assert make_column_map({"author": "user"}) == columns


def test_name_of_and_reads() -> None:
    columns = ColumnMap(author="user", group=None)
    assert columns.name_of("author") == "user"
    assert columns.name_of("from_strings") == "from_strings"
    assert columns.reads("author") and not columns.reads("group")
