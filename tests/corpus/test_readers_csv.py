"""CSV: our parser against the standard library's, delimiters, rows that must agree, features."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenor.corpus.readers import ColumnMap, Limits, Reject, Tally
from tenor.corpus.readers.csv import _Parser, read_csv
from tenor.corpus.readers.records import hash_row
from tenor.corpus.schema import Conversation, Place
from tenor.errors import InputError


def write(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path


def reject(path: Path) -> Reject:
    (item,) = [item for item in read_csv(path) if isinstance(item, Reject)]
    return item


def test_rows_become_conversations(tmp_path: Path) -> None:
    path = write(
        tmp_path / "in.csv",
        "author,conversation_id,text,timestamp,label,author_label,group,split,feat_b,feat_a,mood\n"
        "ann,c,hi,1.5,yes,1,g,val,1,2,x\n"
        'bob,c,"a, ""b""\n\nc",,,0,,,3,4,x\n'
        "ann,c,,1970-01-01,yes,,g,validation,5,6,x\n"
        "eve,d,last,,no,,,,7,8,x\n",
    )
    tally = Tally()
    first, second = read_csv(path, tally=tally)
    assert isinstance(first, Conversation)
    np.testing.assert_array_equal(first.features, [[2, 1], [4, 3], [6, 5]])
    first.features = None
    assert first == Conversation(
        conversation_id="c",
        authors=["ann", "bob", "ann"],
        texts=["hi", 'a, "b"\n\nc', ""],
        timestamps=[1.5, None, 0.0],
        label="yes",
        author_labels={"ann": 1, "bob": 0},
        group="g",
        split="validation",
        place=Place(str(path), 2),
    )
    assert (second.place.line, second.timestamps, second.author_labels) == (7, None, {})
    assert tally.agreement.feature_names == ("feat_a", "feat_b")
    assert (tally.unit, tally.rows, tally.unknown_fields) == ("message", 4, {"mood": 4})


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_the_header_tells_the_delimiter(tmp_path: Path, delimiter: str) -> None:
    rows = [["conversation_id", "author", "text"], ["c", "ann", "a,b;c\td"]]
    path = tmp_path / "in.csv"
    with path.open("w", newline="") as handle:
        csv.writer(handle, delimiter=delimiter).writerows(rows)
    (found,) = read_csv(path)
    assert found.texts == ["a,b;c\td"]


FIELDS = st.text(
    st.one_of(st.sampled_from('",\n\r ;\tab'), st.characters(exclude_categories=["Cs"])), max_size=8
)


@given(st.lists(st.lists(FIELDS, min_size=3, max_size=3), min_size=1, max_size=6))
def test_our_parser_reads_what_the_standard_librarys_writes(rows: list[list[str]]) -> None:
    rows = [["x", "y", "z"], *rows]
    buffer = io.StringIO(newline="")
    csv.writer(buffer, quoting=csv.QUOTE_ALL).writerows(rows)
    assert parse(buffer.getvalue()) == rows


@given(
    st.lists(st.lists(FIELDS.map(lambda text: text.replace("\r", "")), min_size=2, max_size=4), min_size=1)
)
def test_our_parser_agrees_where_little_is_quoted(rows: list[list[str]]) -> None:
    buffer = io.StringIO(newline="")
    csv.writer(buffer, quoting=csv.QUOTE_MINIMAL, lineterminator="\n").writerows([["x,", "y,", "z"], *rows])
    assert parse(buffer.getvalue())[1:] == [row for row in rows if row != [""]]


def parse(text: str) -> list[list[str]]:
    import tempfile

    with tempfile.NamedTemporaryFile(suffix=".csv") as file:
        file.write(text.encode())
        file.flush()
        records = list(_Parser(Path(file.name), Limits()))
    assert [record.fault for record in records] == [None] * len(records)
    assert all(record.width == len(record.fields) for record in records)
    return [record.fields for record in records]


@pytest.mark.parametrize(
    "rows, line, field, rule",
    [
        ("c,a,x,0,,\nc,a,y,1,,\n", 3, "label", "differs from line 2's"),
        ("c,a,x,,1,\nc,b,y,,0,\nc,a,z,,0,\n", 4, "author_label", "differs from line 2's: rows of one author"),
        ("c,a,x,,,train\nc,a,y,,,test\n", 3, "split", "differs from line 2's"),
        ("c,a,x,,,train\nc,a,y,,,holdout\n", 3, "split", "expected train"),
        ("c,a,x,3,,\n", 2, "label", "outside the label set"),
    ],
)
def test_rows_of_a_conversation_agree(tmp_path: Path, rows: str, line: int, field: str, rule: str) -> None:
    head = "conversation_id,author,text,label,author_label,split\n"
    found = reject(write(tmp_path / "in.csv", head + rows))
    assert (found.place.line, found.field) == (line, field)
    assert rule in found.rule
    assert found.sha256 == hash_row(rows.splitlines()[line - 2].encode())


def test_rows_of_several_splits_are_told_whose_a_split_is(tmp_path: Path) -> None:
    head = "conversation_id,author,text,label,group,split\n"
    rows = {"split": ("train", "c,b,y,0,g,test"), "group": ("", "c,b,y,0,h,"), "label": ("", "c,b,y,1,g,")}
    remedies = {
        "split": "a given split belongs to the conversation, not to an author: give its rows one, or ignore the column "
        "with --column split=",
        "group": "give its rows one group",
        "label": "give its rows one label; that of an author is author_label",
    }
    for field, (split, row) in rows.items():
        found = reject(write(tmp_path / "in.csv", f"{head}c,a,x,0,g,{split}\n{row}\n"))
        assert (found.field, found.remedy) == (field, remedies[field])


def test_other_names_of_one_split_agree(tmp_path: Path) -> None:
    (found,) = read_csv(
        write(tmp_path / "in.csv", "conversation_id,author,text,split\nc,a,x,dev\nc,a,x,VAL\n")
    )
    assert found.split == "validation"


def test_a_record_over_several_lines_is_hashed_whole(tmp_path: Path) -> None:
    record = 'c,ann,"x\n\n\ny",z'
    path = write(tmp_path / "in.csv", f"conversation_id,author,text\n{record}\n")
    found = reject(path)
    assert found.sha256 == hash_row(record.encode())
    assert (found.place.line, found.rule) == (2, "expected 3 columns as in the header, found 4")


@pytest.mark.parametrize(
    "header, rule",
    [
        ("", "expected a header line"),
        ("id,author,text\n", "expected a column 'conversation_id' in the header, found 3 columns without it"),
        ("conversation_id,text\n", "expected a column 'author'"),
        ("conversation_id,author\n", "expected a column 'text'"),
        ('conversation_id,"author,text\n', "a quote is opened here and not closed"),
        ("conversation_id,author,text" + ",x" * 30_000 + "\n", "expected at most 20000 columns"),
        (
            "conversation_id,author,text,mood,text\n",
            "expected columns, all different, found the same name in columns 3 and 5 of 5",
        ),
        ("conversation_id,author,,text,\n", "found the same empty name in columns 3 and 5 of 5"),
        (
            "conversation_id,author,text\rc,ann,hello\rc,bob,hello\r",
            "found CR alone, so that the whole file is",
        ),
        (
            '"conversation_id","author","text"\r"c","ann","hello"\r',
            "found CR alone, so that the whole file is",
        ),
    ],
)
def test_wrong_headers_raise(tmp_path: Path, header: str, rule: str) -> None:
    with pytest.raises(InputError) as caught:
        list(read_csv(write(tmp_path / "in.csv", header)))
    assert rule in caught.value.rule
    assert caught.value.line == (1 if header else None)


def test_a_carriage_return_inside_a_quoted_heading_ends_no_line(tmp_path: Path) -> None:
    path = write(tmp_path / "in.csv", '"conversation_id","author","text","sent\rat"\r\nc,ann,hello,1\r\n')
    (found,) = read_csv(path)
    assert (found.authors, found.texts) == (["ann"], ["hello"])


@pytest.mark.parametrize(
    ("header", "columns", "options"),
    [
        ("id,who,text\n", ColumnMap(), "--column conversation_id=YOURS --column author=YOURS"),
        ("id,author,what\n", ColumnMap(), "--column conversation_id=YOURS --column text=YOURS"),
        ("id,author,f0\n", ColumnMap(feature_columns=("f0",)), "--column conversation_id=YOURS"),
        ("conversation_id,author,text\n", ColumnMap(group="match"), "--column NAME=YOURS"),
    ],
)
def test_all_that_a_header_lacks_is_said_at_once(
    tmp_path: Path, header: str, columns: ColumnMap, options: str
) -> None:
    with pytest.raises(InputError) as caught:
        list(read_csv(write(tmp_path / "in.csv", header), columns))
    assert caught.value.remedy == f"give the first line the columns' names, or say which yours are: {options}"


def test_a_header_that_is_a_message_is_not_shown(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        list(read_csv(write(tmp_path / "in.csv", "c,ann,very private words\n")))
    assert "private" not in str(caught.value)


def test_feature_columns_of_the_map_must_be_there(tmp_path: Path) -> None:
    path = write(tmp_path / "in.csv", "conversation_id,author,text,a\nc,ann,x,1\n")
    with pytest.raises(InputError, match="expected a column 'b' in the header"):
        list(read_csv(path, ColumnMap(feature_columns=("a", "b"))))


@pytest.mark.parametrize("columns", [{"group": "matchid"}, {"label": "Lable"}, {"timestamp": "when"}])
def test_columns_that_somebody_names_must_be_there(tmp_path: Path, columns: dict[str, str]) -> None:
    path = write(tmp_path / "in.csv", "conversation_id,author,text,match_id,label\nc,ann,x,m,1\n")
    (named,) = columns.values()
    with pytest.raises(
        InputError, match=f"expected a column '{named}' in the header, found 5 columns .*--column"
    ):
        list(read_csv(path, ColumnMap(**columns)))
    assert list(read_csv(path, ColumnMap(group="match_id")))
    assert list(read_csv(path, ColumnMap(group=None)))


def test_a_line_of_delimiters_takes_little_memory(tmp_path: Path) -> None:
    path = write(tmp_path / "in.csv", "conversation_id,author,text\n" + "," * 1_000_000 + "\n")
    assert reject(path).rule == "expected 3 columns as in the header, found 1000001"
    path = write(tmp_path / "in.csv", 'conversation_id,author,text\n""' + "," * 1_000_000 + "\n")
    assert reject(path).rule == "expected 3 columns as in the header, found 1000001"


FAULTS = st.sampled_from(["", "", "", "wide", "narrow", "utf8", "quote", "author", "label", "id"])


def break_row(name: str, text: str, fault: str) -> bytes:
    rows = {
        "": f"{name},ann,{text},1",
        "wide": f"{name},ann,{text},1,x",
        "narrow": f"{name}{text}",
        "utf8": f"{name},ann,{text}@,1",
        "quote": f'{name},ann,{text}"x,1',
        "author": f"{name},,{text},1",
        "label": f"{name},ann,{text},7",
        "id": f",ann,{text},1",
    }
    return rows[fault].encode().replace(b"@", b"\xff") + b"\n"


@given(st.lists(st.lists(FAULTS, min_size=1, max_size=4), min_size=1, max_size=6))
def test_a_conversation_is_read_whole_or_not_at_all(conversations: list[list[str]]) -> None:
    """Whatever rows are broken, each kept conversation has all its rows, and every row is counted."""
    import tempfile

    data = b"conversation_id,author,text,label\n"
    for number, faults in enumerate(conversations):
        data += b"".join(break_row(f"c{number}", f"t{i}", fault) for i, fault in enumerate(faults))
    tally = Tally()
    with tempfile.NamedTemporaryFile(suffix=".csv") as file:
        file.write(data)
        file.flush()
        items = list(read_csv(Path(file.name), tally=tally))
    kept = {item.conversation_id: item.texts for item in items if isinstance(item, Conversation)}
    sound = {f"c{i}": [f"t{j}" for j in range(len(f))] for i, f in enumerate(conversations) if not any(f)}
    assert kept.items() <= sound.items()
    rejected = sum(item.rows for item in items if isinstance(item, Reject))
    assert tally.rows == sum(map(len, conversations)) == rejected + sum(map(len, kept.values()))
    structural = {"wide", "utf8", "quote"}
    if all(set(faults) - structural and not {"narrow", "id"} & set(faults) for faults in conversations):
        assert (
            kept == sound
        )  # broken rows show an id that sound rows beside them have: no other is taken along
