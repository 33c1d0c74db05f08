"""The reading faults of the house's list, each by its number, in every format where it makes sense.

Each test checks the error's file, line, field and rule, that the message's text is never shown, that quarantine
counts every row, and that a failed import leaves nothing behind.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tenor.corpus.corpus import open_corpus
from tenor.corpus.import_summary import ImportSummary
from tenor.corpus.importing import import_with_summary
from tenor.corpus.readers import Limits
from tenor.corpus.schema import Conversation
from tenor.errors import InputError

SECRET = "zanzibar-secret"  # in every message; never in an error, never in rejects.jsonl
SOUND = {"conversation_id": "sound", "messages": [{"author": "ann", "text": "hello"}], "label": 1}
HEADER = "conversation_id,author,text\n"


def make_line(conversation_id: str = "c", **changes: object) -> str:
    value: dict[str, Any] = {
        "conversation_id": conversation_id,
        "messages": [{"author": "ann", "text": SECRET}, {"author": "bob", "text": SECRET}],
    }
    return json.dumps(value | changes)


def write(path: Path, data: str | bytes) -> Path:
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def write_arrow(path: Path, table: pa.Table, name: str = "data-00000-of-00001.arrow") -> Path:
    """A folder as save_to_disk writes it."""
    path.mkdir(parents=True, exist_ok=True)
    with pa.OSFile(str(path / name), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    (path / "state.json").write_text(json.dumps({"_data_files": [{"filename": name}]}))
    return path


def write_table(tmp_path: Path, kind: str, table: pa.Table) -> Path:
    if kind == "parquet":
        pq.write_table(table, tmp_path / "in.parquet")
        return tmp_path / "in.parquet"
    return write_arrow(tmp_path / "in", table)


def file_of(source: Path) -> Path:
    return source / "data-00000-of-00001.arrow" if source.is_dir() else source


TABLES = pytest.mark.parametrize("kind", ["parquet", "huggingface"])


def make_table(**columns: object) -> pa.Table:
    count = len(next(iter(columns.values()), [0, 1]))  # type: ignore[call-overload]
    values: dict[str, Any] = {
        "conversation_id": [f"c{i}" for i in range(count)],
        "authors": [["ann", "bob"]] * count,
        "text": [[SECRET, SECRET]] * count,
    }
    return pa.table(values | columns)


def refuse(source: Path, *, line: int | None, field: str | None, rule: str, **options: object) -> InputError:
    """Import must fail with exactly this, say nothing of the texts, and leave nothing behind."""
    dest = source.parent / "dest"
    with pytest.raises(InputError) as caught:
        import_with_summary(source, dest, **options)
    error = caught.value
    assert (error.line, error.field) == (line, field), str(error)
    assert rule in error.rule, error.rule
    assert SECRET not in str(error)
    assert list(source.parent.glob("*dest*")) == []
    assert list(source.parent.glob(".*")) == []
    return error


def set_aside(
    source: Path, *, lines: list[int], rejected: int | None = None, **options: object
) -> tuple[ImportSummary, list[Conversation]]:
    """Import with quarantine must reject rows at these lines, count all rows, and keep the rest."""
    dest = source.parent / "dest"
    summary = import_with_summary(source, dest, on_error="quarantine", **options)
    text = (dest / "rejects.jsonl").read_text()
    rejects = [json.loads(row) for row in text.splitlines()]
    assert [row["line"] for row in rejects] == lines
    assert SECRET not in text
    assert summary.rejected_rows == sum(row["rows"] for row in rejects) == (rejected or len(lines))
    assert summary.rows == summary.imported_rows + summary.rejected_rows
    corpus = open_corpus(dest)
    assert corpus.info.counts["rejected"] == summary.rejected_rows
    assert corpus.info.counts["rows"] == summary.rows
    assert f"set aside {summary.rejected_rows} of {summary.rows} rows" in "\n".join(summary.lines())
    return summary, list(corpus.conversations())


def survive(source: Path, **options: object) -> tuple[ImportSummary, list[Conversation]]:
    dest = source.parent / "dest"
    summary = import_with_summary(source, dest, **options)
    assert summary.rejected_rows == 0
    return summary, list(open_corpus(dest).conversations())


@pytest.mark.parametrize("bad", ['{"conversation_id": "c"', SECRET, '{"a": "' + SECRET, '{"a": 01}', "[1,"])
def test_fault_01_bad_json_line(tmp_path: Path, bad: str) -> None:
    source = write(tmp_path / "in.jsonl", f"{make_line()}\n\n  \n{bad}\n{json.dumps(SOUND)}\n")
    error = refuse(source, line=4, field=None, rule="expected JSON")
    assert error.path == source
    _, kept = set_aside(source, lines=[4])
    assert [c.conversation_id for c in kept] == ["c", "sound"]
    reject = json.loads((tmp_path / "dest" / "rejects.jsonl").read_text())
    assert reject["sha256"] == hashlib.sha256(bad.encode()).hexdigest()


@pytest.mark.parametrize("packing", [".gz", ".zst"])
def test_fault_01_bad_json_line_packed(tmp_path: Path, packing: str) -> None:
    data = f"{make_line()}\n\n{{\n".encode()
    packed = gzip.compress(data) if packing == ".gz" else pa.Codec("zstd").compress(data, asbytes=True)
    source = write(tmp_path / f"in.jsonl{packing}", packed)
    refuse(source, line=3, field=None, rule="expected JSON")
    set_aside(source, lines=[3])


@pytest.mark.parametrize("bad", ["[]", "3", "null", f'"{SECRET}"', "true"])
def test_fault_02_line_is_no_object(tmp_path: Path, bad: str) -> None:
    source = write(tmp_path / "in.jsonl", f"{bad}\n{make_line()}\n")
    refuse(source, line=1, field=None, rule="expected an object")
    set_aside(source, lines=[1])


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999"])
@pytest.mark.parametrize("field", ["timestamp", "features", "label"])
def test_fault_03_number_not_finite(tmp_path: Path, number: str, field: str) -> None:
    message = {"author": "ann", "text": SECRET, "timestamp": 1.0, "features": [1.0, 2.0]}
    value: dict[str, Any] = {"conversation_id": "c", "messages": [message, dict(message)]}
    if field == "label":
        value["label"] = "@"
    else:
        value["messages"][1][field] = "@" if field == "timestamp" else [1.0, "@"]
    sound = {"conversation_id": "s", "messages": [message]}
    source = write(tmp_path / "in.jsonl", json.dumps(sound) + "\n" + json.dumps(value).replace('"@"', number))
    is_constant = number in ("NaN", "Infinity", "-Infinity")
    rule = {"timestamp": "expected seconds", "features": "expected finite", "label": "outside the label set"}
    place = {"timestamp": "messages[1].timestamp", "features": "messages[1].features", "label": "label"}
    refuse(
        source,
        line=2,
        field=None if is_constant else place[field],
        rule=f"found {number}" if is_constant else rule[field],
    )
    set_aside(source, lines=[2])


@TABLES
def test_fault_03_number_not_finite_in_tables(tmp_path: Path, kind: str) -> None:
    table = make_table(timestamp=[[0.0, 1.0], [0.0, float("nan")]])
    source = write_table(tmp_path, kind, table)
    refuse(source, line=2, field="timestamp[1]", rule="expected seconds since 1970")
    set_aside(source, lines=[2])


def test_fault_03_number_not_finite_in_csv(tmp_path: Path) -> None:
    rows = (
        f"conversation_id,author,text,timestamp\na,ann,{SECRET},1\nb,ann,{SECRET},1\nb,ann,{SECRET},1e999\n"
    )
    source = write(tmp_path / "in.csv", rows)
    refuse(source, line=4, field="timestamp", rule="expected seconds since 1970")
    set_aside(source, lines=[4], rejected=2)


@pytest.mark.parametrize(
    "bad",
    [
        make_line()[:-1] + ', "conversation_id": "d"}',
        '{"conversation_id": "d", "messages": [{"author": "a", "author": "b", "text": "' + SECRET + '"}]}',
        make_line(author_labels={"ann": 1})[:-2] + ', "ann": 0}}',
        make_line(unknown={"x": 1})[:-2] + ', "\\u0078": 0}}',
    ],
)
def test_fault_04_duplicate_key(tmp_path: Path, bad: str) -> None:
    source = write(tmp_path / "in.jsonl", f"{make_line('other')}\n{bad}\n")
    refuse(source, line=2, field=None, rule="duplicate key")
    set_aside(source, lines=[2])


def test_fault_04_duplicate_column_in_csv(tmp_path: Path) -> None:
    source = write(tmp_path / "in.csv", f"conversation_id,author,text,text\nc,ann,{SECRET},x\n")
    refuse(source, line=1, field=None, rule="all different", on_error="quarantine")


@pytest.mark.parametrize(
    "bad", ["[" * 100_000, '{"a":' * 100_000, '{"conversation_id": ' + "[" * 100_000 + "]" * 100_000 + "}"]
)
def test_fault_05_deep_nesting(tmp_path: Path, bad: str) -> None:
    source = write(tmp_path / "in.jsonl", f"{make_line()}\n{bad}\n")
    refuse(source, line=2, field=None, rule="nested too deep")
    set_aside(source, lines=[2])


@pytest.mark.parametrize("digits", [400, 5000])
@pytest.mark.parametrize("field", ["timestamp", "features", "label", "conversation_id", "unknown"])
def test_fault_06_huge_integer(tmp_path: Path, digits: int, field: str) -> None:
    message = {"author": "ann", "text": SECRET, "features": [1]}
    value: dict[str, Any] = {"conversation_id": "c", "messages": [message]}
    if field == "features":
        value["messages"] = [message | {"features": ["@"]}]
    elif field == "timestamp":
        value["messages"] = [message | {"timestamp": "@"}]
    else:
        value[field] = "@"
    text = json.dumps(value).replace('"@"', "7" * digits)
    sound = json.dumps({"conversation_id": "s", "messages": [message]})
    source = write(tmp_path / "in.jsonl", f"{sound}\n{text}\n")
    if field == "unknown" and digits == 400:
        summary, _ = survive(source)
        assert summary.ignored_fields == {"unknown": 1}
        return
    place = (
        None
        if digits == 5000
        else {"timestamp": "messages[0].timestamp", "features": "messages[0].features"}.get(field, field)
    )
    rule = "too many digits" if digits == 5000 else "expected"
    refuse(
        source, line=2, field=place, rule=rule if field != "label" else rule.replace("expected", "outside")
    )
    set_aside(source, lines=[2])


def test_fault_07_lone_surrogate_is_replaced_and_counted(tmp_path: Path) -> None:
    line = (
        '{"conversation_id": "c", "messages": [{"author": "ann", "text": "a\\ud800b\\uDC00 \\ud83d\\ude00"}]}'
    )
    summary, kept = survive(write(tmp_path / "in.jsonl", line))
    assert kept[0].texts == ["a\ufffdb\ufffd \U0001f600"]
    assert summary.replaced_surrogates == 2
    assert open_corpus(summary.path).info.counts["replaced_surrogates"] == 2
    assert "replaced 2 halves" in "\n".join(summary.lines())


@pytest.mark.parametrize("field", ["conversation_id", "author", "group", "label"])
def test_fault_07_lone_surrogate_in_a_name_is_refused(tmp_path: Path, field: str) -> None:
    changes: dict[str, Any] = {field: "x\ud800"}
    if field == "author":
        changes = {"messages": [{"author": "x\ud800", "text": SECRET}]}
    source = write(tmp_path / "in.jsonl", make_line("sound") + "\n" + make_line(**changes))
    refuse(
        source, line=2, field="messages[0].author" if field == "author" else field, rule="half of a surrogate"
    )
    set_aside(source, lines=[2])


ODD = "\ufeffa\r\nb\x00c\u200fd\u200be \u202etxet\u2028x\x85y\x0bz\n"


def test_fault_08_odd_characters_survive_in_jsonl(tmp_path: Path) -> None:
    value = {"conversation_id": "c", "messages": [{"author": "an\u200fn", "text": ODD}]}
    text = json.dumps(value, ensure_ascii=False)
    source = write(
        tmp_path / "in.jsonl",
        b"\xef\xbb\xbf" + text.encode() + b"\r\n\r\n" + make_line("d").encode() + b"\r\n",
    )
    _, kept = survive(source)
    assert kept[0].texts == [ODD] and kept[0].authors == ["an\u200fn"]


def test_fault_08_odd_characters_survive_in_csv(tmp_path: Path) -> None:
    quoted = ODD.replace('"', '""')
    data = (
        b"\xef\xbb\xbf" + f'conversation_id,author,text\r\nc,ann,"{quoted}"\r\nc,b\x00b,{SECRET}\r\n'.encode()
    )
    _, kept = survive(write(tmp_path / "in.csv", data))
    assert kept[0].texts == [ODD, SECRET] and kept[0].authors == ["ann", "b\x00b"]


@TABLES
def test_fault_08_odd_characters_survive_in_tables(tmp_path: Path, kind: str) -> None:
    _, kept = survive(write_table(tmp_path, kind, make_table(text=[[ODD, ""]])))
    assert kept[0].texts == [ODD, ""]


def test_fault_09_invalid_utf8_in_jsonl(tmp_path: Path) -> None:
    first = make_line().encode()
    bad = make_line("d").encode().replace(SECRET.encode(), b"x\xff", 1)
    source = write(tmp_path / "in.jsonl", first + b"\n\n" + bad + b"\n")
    offset = len(first) + 2 + bad.index(b"\xff")
    refuse(source, line=3, field=None, rule=f"invalid UTF-8 at byte {offset} of the file")
    set_aside(source, lines=[3])


def test_fault_09_invalid_utf8_in_csv(tmp_path: Path) -> None:
    data = HEADER.encode() + b"a,ann,x\nb,ann,\xc3(\nb,ann,y\nc,ann,z\n"
    source = write(tmp_path / "in.csv", data)
    offset = data.index(b"\xc3")
    refuse(source, line=3, field=None, rule=f"invalid UTF-8 at byte {offset} of the file")
    _, kept = set_aside(source, lines=[3, 4], rejected=2)  # the row, and its conversation's other row
    assert [c.conversation_id for c in kept] == ["a", "c"]


@TABLES
@pytest.mark.parametrize("field", ["text", "authors", "conversation_id"])
def test_fault_09_invalid_utf8_in_tables(tmp_path: Path, kind: str, field: str) -> None:
    raw = pa.array([["ok", "ok"], ["ok", b"ab\xff"], ["ok", "ok"]], pa.list_(pa.binary()))
    column = pa.ListArray.from_arrays(raw.offsets, raw.values.view(pa.string()))
    if field == "conversation_id":
        column = pa.array([b"c0", b"ab\xff", b"c2"]).view(pa.string())
    source = write_table(
        tmp_path, kind, make_table(conversation_id=["c0", "c1", "c2"]).set_column(*_place(field, column))
    )
    place = {"text": "text[1]", "authors": "authors[1]", "conversation_id": "conversation_id"}[field]
    error = refuse(source, line=2, field=place, rule="invalid UTF-8 at byte 2")
    assert error.path == file_of(source)
    set_aside(source, lines=[2])


def _place(field: str, column: pa.Array) -> tuple[int, str, pa.Array]:
    return ["conversation_id", "authors", "text"].index(field), field, column


def test_fault_10_words_of_missing_values_stay_text(tmp_path: Path) -> None:
    words = ["NA", "null", "None", "nan", "NaN", "N/A", "-", "true"]
    rows = "".join(f"c,{word},{word}\n" for word in words)
    _, kept = survive(write(tmp_path / "in.csv", HEADER + rows))
    assert kept[0].texts == words and kept[0].authors == words


def test_fault_11_long_csv_field(tmp_path: Path) -> None:
    text = "x" * 300_000
    _, kept = survive(write(tmp_path / "in.csv", f'{HEADER}c,ann,{text}\nc,bob,"{text}"\n'))
    assert kept[0].texts == [text, text]


@pytest.mark.parametrize(
    "bad, found", [(f"b,ann,{SECRET},{SECRET}", 4), ("b,ann", 2), ("b", 1), (f'b,"ann","{SECRET}","",""', 5)]
)
def test_fault_12_csv_columns(tmp_path: Path, bad: str, found: int) -> None:
    source = write(tmp_path / "in.csv", f"{HEADER}a,ann,x\n{bad}\nc,ann,z\n")
    refuse(source, line=3, field=None, rule=f"expected 3 columns as in the header, found {found}")


def test_fault_12_csv_columns_in_quarantine(tmp_path: Path) -> None:
    """A broken row takes along the conversation that it may be part of, and no other."""
    rows = [
        "a,ann,x",
        "a,ann,{S},{S}",  # line 3, inside a
        "a,bob,y",
        "b,ann,x",  # line 5: b is sound
        "c,ann,{S},{S}",  # line 6, shows that it is of c
        "c,ann,z",  # line 7
        "d,ann,x",  # line 8: d is sound
        "e,ann,x",  # line 9
        "{S}",  # line 10, of e or of f
        "f,ann,x",  # line 11
        "g,ann,x",
    ]
    source = write(tmp_path / "in.csv", HEADER + "\n".join(rows).replace("{S}", SECRET) + "\n")
    _, kept = set_aside(source, lines=[3, 2, 6, 7, 10, 9, 11], rejected=8)
    assert [c.conversation_id for c in kept] == ["b", "d", "g"]


@pytest.mark.parametrize("last", ["", "\n", "\nc,ann,y\n"])
def test_fault_13_unclosed_quote(tmp_path: Path, last: str) -> None:
    source = write(tmp_path / "in.csv", f'{HEADER}a,ann,"x\ny"\nb,ann,"{SECRET}{last}')
    for on_error in ("raise", "quarantine"):
        error = refuse(
            source, line=4, field=None, rule="a quote is opened here and not closed", on_error=on_error
        )
        assert error.path == source


@pytest.mark.parametrize("bad", [f'b,an"n,{SECRET}', f'b,"ann"x,{SECRET}', f'b,ann,"{SECRET}" {SECRET}'])
def test_fault_13_misplaced_quote(tmp_path: Path, bad: str) -> None:
    source = write(tmp_path / "in.csv", f"{HEADER}a,ann,x\n{bad}\nb,ann,y\n")
    refuse(source, line=3, field=None, rule="column ")
    _, kept = set_aside(source, lines=[3, 4] if bad[0] == "b" and '"' in bad else [3], rejected=2)
    assert [c.conversation_id for c in kept] == ["a"]


@pytest.mark.parametrize("suffix", [".jsonl.gz", ".csv.gz", ".jsonl.zst", ".csv.zst", ".parquet", "/"])
@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_fault_14_truncated_file(tmp_path: Path, suffix: str, share: float) -> None:
    if suffix == ".parquet":
        source = file = write_table(tmp_path, "parquet", make_table(group=["g"] * 50))
    elif suffix == "/":
        source = write_table(tmp_path, "huggingface", make_table(group=["g"] * 50))
        file = file_of(source)
    else:
        lines = (
            [make_line(f"c{i}") for i in range(500)]
            if "jsonl" in suffix
            else [f"c{i},a,{i * i}" for i in range(500)]
        )
        data = ("\n".join(lines) if "jsonl" in suffix else HEADER + "\n".join(lines)).encode()
        packed = (
            gzip.compress(data) if suffix.endswith("gz") else pa.Codec("zstd").compress(data, asbytes=True)
        )
        source = file = write(tmp_path / f"in{suffix}", packed)
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * share)])
    for on_error in ("raise", "quarantine"):
        dest = tmp_path / "dest"
        with pytest.raises(InputError) as caught:
            import_with_summary(source, dest, on_error=on_error)
        rules = ("truncated", "damaged", "expected at least one conversation", "expected a header")
        assert any(rule in caught.value.rule for rule in rules), caught.value.rule
        assert caught.value.path == file
        assert not dest.exists()
        assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
@pytest.mark.parametrize("unit", [b"\n", b"x", make_line().encode() + b"\n"])
def test_fault_15_decompression_bomb(tmp_path: Path, suffix: str, unit: bytes) -> None:
    data = unit * (1_200_000 // len(unit))
    packed = gzip.compress(data, 9) if suffix == ".gz" else pa.Codec("zstd").compress(data, asbytes=True)
    assert len(data) > 100 * len(packed)
    source = write(tmp_path / f"in.jsonl{suffix}", packed)
    limits = Limits(max_ratio=50, ratio_free_bytes=1 << 19, max_row_bytes=1 << 19)
    tracemalloc.start()
    error = refuse(
        source, line=None, field=None, rule="decompression bomb", limits=limits, on_error="quarantine"
    )
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert error.path == source
    assert peak < 16 << 20


def test_fault_15_bomb_in_parquet(tmp_path: Path) -> None:
    """One long text a thousand times takes few bytes in Parquet: each row is small, the file grows too much."""
    table = make_table(text=[["x" * 100_000, "y"]] * 1000)
    pq.write_table(table, tmp_path / "in.parquet", compression="zstd")
    limits = Limits(ratio_free_bytes=1 << 20)
    tracemalloc.start()
    refuse(tmp_path / "in.parquet", line=None, field=None, rule="decompression bomb", limits=limits)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 128 << 20


def test_fault_15_compressed_arrow_is_refused(tmp_path: Path) -> None:
    table = make_table()
    source = write_arrow(tmp_path / "in", table)
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with (
        pa.OSFile(str(file_of(source)), "wb") as sink,
        pa.ipc.new_stream(sink, table.schema, options=options) as stream,
    ):
        stream.write_table(table)
    error = refuse(source, line=None, field=None, rule="compressed inside")
    assert error.path == file_of(source)


def test_fault_16_types_differ_between_parquet_shards(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    pq.write_table(make_table(label=[0, 1]), folder / "a.parquet")
    other = make_table(conversation_id=["d0", "d1"], label=["yes", "no"])
    pq.write_table(other, folder / "b.parquet")
    for on_error in ("raise", "quarantine"):
        rule = f"the column is text here and integer in {folder / 'a.parquet'}"
        error = refuse(folder, line=None, field="label", rule=rule, on_error=on_error)
        assert error.path == folder / "b.parquet"
    pq.write_table(make_table(conversation_id=["d0", "d1"], label=pa.nulls(2)), folder / "b.parquet")
    _, kept = survive(folder)
    assert [c.label for c in kept] == [0, 1, None, None]


def test_fault_16_columns_differ_between_csv_files(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    write(folder / "a.csv", f"{HEADER}a,ann,x\n")
    write(folder / "b.csv", "text,author,conversation_id,label\nx,ann,b,1\n")
    error = refuse(folder, line=None, field="label", rule=f"text here and absent in {folder / 'a.csv'}")
    assert error.path == folder / "b.csv"


def test_fault_16_labels_differ_between_jsonl_files(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    write(folder / "a.jsonl", make_line("a", label=1))
    write(folder / "b.jsonl", make_line("b", label="yes"))
    error = refuse(
        folder,
        line=1,
        field="label",
        rule=f"expected an integer as in {folder / 'a.jsonl'}:1, found a string",
    )
    assert error.path == folder / "b.jsonl"
    write(folder / "b.jsonl", make_line("b", author_labels={"ann": "x", "bob": 1}))
    refuse(folder, line=1, field="author_labels", rule=f"expected a string as in {folder / 'b.jsonl'}:1")


@pytest.mark.parametrize(
    "value, field", [([], "messages"), ("@", "messages"), (None, "messages"), ({}, "messages")]
)
def test_fault_17_no_messages_in_jsonl(tmp_path: Path, value: object, field: str) -> None:
    line = '{"conversation_id": "d"}' if value == "@" else make_line("d", messages=value)
    source = write(tmp_path / "in.jsonl", f"{make_line()}\n{line}\n")
    refuse(source, line=2, field=field, rule="missing" if value == "@" else "expected")
    set_aside(source, lines=[2])


@TABLES
def test_fault_17_no_messages_in_tables(tmp_path: Path, kind: str) -> None:
    source = write_table(tmp_path, kind, make_table(authors=[["a", "b"], []], text=[[SECRET, SECRET], []]))
    refuse(source, line=2, field="messages", rule="expected at least one message, found none")
    set_aside(source, lines=[2])


def test_fault_17_empty_text_survives(tmp_path: Path) -> None:
    messages = [{"author": "ann", "text": ""}, {"author": "bob", "text": ""}]
    _, kept = survive(write(tmp_path / "in.jsonl", make_line(messages=messages)))
    assert kept[0].texts == ["", ""]


def test_fault_17_empty_text_survives_in_csv(tmp_path: Path) -> None:
    _, kept = survive(write(tmp_path / "in.csv", f'{HEADER}c,ann,\nc,bob,""\n'))
    assert kept[0].texts == ["", ""]


def test_fault_18_duplicate_conversation_in_jsonl(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    write(folder / "a.jsonl", f"{make_line('a')}\n\n{make_line('b')}\n")
    write(folder / "b.jsonl", f"{make_line('c')}\n{make_line('b')}\n")
    error = refuse(folder, line=2, field="conversation_id", rule=f"used before, at {folder / 'a.jsonl'}:3")
    assert error.path == folder / "b.jsonl"
    _, kept = set_aside(folder, lines=[2])
    assert [c.conversation_id for c in kept] == ["a", "b", "c"]


@TABLES
def test_fault_18_duplicate_conversation_in_tables(tmp_path: Path, kind: str) -> None:
    source = write_table(tmp_path, kind, make_table(conversation_id=["a", "b", "a"]))
    refuse(source, line=3, field="conversation_id", rule=f"used before, at {file_of(source)}:1")
    set_aside(source, lines=[3])


def test_fault_18_conversation_apart_in_csv(tmp_path: Path) -> None:
    source = write(tmp_path / "in.csv", f"{HEADER}a,ann,x\nb,ann,x\na,bob,{SECRET}\n")
    for on_error in ("raise", "quarantine"):
        rule = f"this one's began at {source}:2"
        error = refuse(source, line=4, field="conversation_id", rule=rule, on_error=on_error)
        assert "sort the rows" in error.remedy


TIMES = [5.0, 5.0, None, 1.0, -8.0]


def test_fault_19_timestamps_keep_the_given_order(tmp_path: Path) -> None:
    messages = [{"author": "a", "text": str(i), "timestamp": time} for i, time in enumerate(TIMES)]
    del messages[2]["timestamp"]
    _, kept = survive(write(tmp_path / "in.jsonl", make_line(messages=messages)))
    assert kept[0].timestamps == TIMES and kept[0].texts == ["0", "1", "2", "3", "4"]


def test_fault_19_timestamps_keep_the_given_order_in_csv(tmp_path: Path) -> None:
    rows = "".join(f"c,a,{i},{'' if time is None else time}\n" for i, time in enumerate(TIMES))
    _, kept = survive(write(tmp_path / "in.csv", "conversation_id,author,text,timestamp\n" + rows))
    assert kept[0].timestamps == TIMES


@TABLES
def test_fault_19_timestamps_keep_the_given_order_in_tables(tmp_path: Path, kind: str) -> None:
    table = make_table(authors=[["a"] * 5], text=[list("abcde")], timestamp=[TIMES])
    _, kept = survive(write_table(tmp_path, kind, table))
    assert kept[0].timestamps == TIMES


@pytest.mark.parametrize("author", ["", None, "@", [], {}, 1.5, True])
def test_fault_20_missing_author_in_jsonl(tmp_path: Path, author: object) -> None:
    message = {"text": SECRET} if author == "@" else {"author": author, "text": SECRET}
    line = make_line("d", messages=[{"author": "ann", "text": SECRET}, message])
    source = write(tmp_path / "in.jsonl", f"{make_line()}\n{line}\n")
    rule = "missing" if author in (None, "@") else "expected a string that is not empty"
    refuse(source, line=2, field="messages[1].author", rule=rule)
    set_aside(source, lines=[2])


def test_fault_20_missing_author_in_csv(tmp_path: Path) -> None:
    source = write(tmp_path / "in.csv", f"{HEADER}a,ann,x\nb,ann,{SECRET}\nb,,{SECRET}\n")
    refuse(source, line=4, field="author", rule="expected a string that is not empty, found an empty string")
    set_aside(source, lines=[4], rejected=2)
    reject = json.loads((tmp_path / "dest" / "rejects.jsonl").read_text())
    assert reject["sha256"] == hashlib.sha256(f"b,,{SECRET}".encode()).hexdigest()


@TABLES
@pytest.mark.parametrize("author", ["", None])
def test_fault_20_missing_author_in_tables(tmp_path: Path, kind: str, author: str | None) -> None:
    source = write_table(tmp_path, kind, make_table(authors=[["a", "b"], ["a", author]]))
    refuse(source, line=2, field="authors[1]", rule="missing" if author is None else "found an empty string")
    set_aside(source, lines=[2])


def test_fault_21_label_for_a_silent_author(tmp_path: Path) -> None:
    source = write(
        tmp_path / "in.jsonl", f"{make_line()}\n{make_line('d', author_labels={'ann': 0, 'eve': 1})}\n"
    )
    refuse(source, line=2, field="author_labels", rule="entry 2: a label for an author who wrote no message")
    set_aside(source, lines=[2])


def test_fault_21_null_label_for_a_silent_author_survives(tmp_path: Path) -> None:
    _, kept = survive(
        write(tmp_path / "in.jsonl", make_line(author_labels={"ann": 0, "bob": None, "eve": None}))
    )
    assert kept[0].author_labels == {"ann": 0}


@TABLES
def test_fault_21_label_for_a_silent_author_in_tables(tmp_path: Path, kind: str) -> None:
    table = make_table(participants=[["ann", "eve"]], participant_labels=[[0, 1]])
    source = write_table(tmp_path, kind, table)
    refuse(source, line=1, field="author_labels", rule="entry 2: a label for an author who wrote no message")


@pytest.mark.parametrize(
    "label, rule",
    [
        (2, "outside the label set: expected 0, 1 or a string, found the integer 2"),
        (-1, "outside the label set"),
        (0.5, "outside the label set"),
        (1.0, "outside the label set"),
        ("", "expected a string that is not empty"),
        ([0, 1], "multi-label is not supported yet"),
        ({"a": 1}, "multi-label is not supported yet"),
    ],
)
def test_fault_21_label_outside_the_set(tmp_path: Path, label: object, rule: str) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    source = write(folder / "a.jsonl", f"{make_line()}\n{make_line('d', label=label)}\n")
    refuse(source, line=2, field="label", rule=rule)
    set_aside(source, lines=[2])
    source = write(folder / "a.jsonl", f"{make_line()}\n{make_line('d', author_labels={'ann': label})}\n")
    (folder / "dest").rename(tmp_path / "old")
    refuse(source, line=2, field="author_labels", rule=rule)


def test_fault_21_label_outside_the_set_in_csv(tmp_path: Path) -> None:
    head = "conversation_id,author,text,label,author_label\n"
    source = write(tmp_path / "in.csv", f"{head}a,ann,{SECRET},0,1\nb,ann,{SECRET},2,1\nc,ann,{SECRET},0,7\n")
    refuse(source, line=3, field="label", rule="outside the label set")
    set_aside(source, lines=[3, 4])


@TABLES
@pytest.mark.parametrize(
    "labels, rule",
    [
        ([0.0, 1.0], "expected text or integer or boolean, found number"),
        ([[0], [1]], "multi-label is not supported yet"),
    ],
)
def test_fault_21_label_type_in_tables(tmp_path: Path, kind: str, labels: list[Any], rule: str) -> None:
    refuse(write_table(tmp_path, kind, make_table(label=labels)), line=None, field="label", rule=rule)


def test_fault_22_long_conversation_and_long_message(tmp_path: Path) -> None:
    long = {
        "conversation_id": "l",
        "messages": [{"author": f"a{i % 7}", "text": "x"} for i in range(100_000)],
    }
    large = {"conversation_id": "m", "messages": [{"author": "a", "text": "y" * 5_000_000}]}
    summary, kept = survive(write(tmp_path / "in.jsonl", f"{json.dumps(long)}\n{json.dumps(large)}\n"))
    assert (len(kept[0].authors), len(kept[1].texts[0])) == (100_000, 5_000_000)
    assert summary.truncated_texts == 0


def test_fault_22_truncation_is_said_and_counted(tmp_path: Path) -> None:
    messages = [{"author": "a", "text": "x" * 11}, {"author": "a", "text": "y" * 10}]
    source = write(tmp_path / "in.jsonl", make_line(messages=messages))
    summary, kept = survive(source, limits=Limits(max_text_characters=10))
    assert kept[0].texts == ["x" * 10, "y" * 10]
    assert summary.truncated_texts == open_corpus(summary.path).info.counts["truncated_texts"] == 1
    assert "cut 1 messages" in "\n".join(summary.lines())


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet", "huggingface"])
def test_fault_22_over_the_limits(tmp_path: Path, kind: str) -> None:
    """A row or conversation over the limits is set aside, and reading goes on behind it."""
    texts = [[SECRET, SECRET], [SECRET, "z" * 5000], ["z"] * 7, [SECRET]]
    ids = ["c0", "c1", "c2", "c3"]
    limits = Limits(max_row_bytes=2000, max_messages=6)
    if kind == "jsonl":
        lines = [
            make_line(i, messages=[{"author": "a", "text": t} for t in ts])
            for i, ts in zip(ids, texts, strict=True)
        ]
        source = write(tmp_path / "in.jsonl", "\n".join(lines))
    elif kind == "csv":
        lines = [f"{i},a,{t}" for i, ts in zip(ids, texts, strict=True) for t in ts]
        source = write(tmp_path / "in.csv", HEADER + "\n".join(lines))
    else:
        table = make_table(conversation_id=ids, authors=[["a"] * len(t) for t in texts], text=texts)
        source = write_table(tmp_path, kind, table)
    line = {"csv": 5}.get(kind, 2)
    field = "text" if kind in ("parquet", "huggingface") else None
    refuse(source, line=line, field=field, rule="at most 2000", limits=limits)
    lines = {"csv": [5, 4, 6]}.get(kind, [2, 3])
    _, kept = set_aside(source, lines=lines, rejected={"csv": 9}.get(kind), limits=limits)
    assert [c.conversation_id for c in kept] == ["c0", "c3"]


FAULTY = [
    ([[1.0, 2.0], [1.0]], 1, "message 2: expected 2 numbers, found 1"),
    ([[1.0, 2.0], "x"], 1, "message 2: expected a list of numbers, found a string"),
    ([[1.0, 2.0], None], 1, "message 2: expected a list of numbers, found null"),
    ([[1.0, None], [1.0, 2.0]], 0, "message 1: expected numbers, found null"),
    ([[1.0, "1"], [1.0, 2.0]], 0, "message 1: expected numbers, found a string"),
    ([[1.0, True], [1.0, 2.0]], 0, "message 1: expected numbers, found true"),
    ([[1.0, 2.0], [1.0, 1e300]], 1, "message 2: expected finite numbers"),
    ([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]], 0, "message 1: expected 2 numbers as in "),
    ([[], []], 0, "message 1: expected numbers, found an empty vector"),
]


@pytest.mark.parametrize("features, index, rule", FAULTY)
def test_fault_23_features_in_jsonl(tmp_path: Path, features: list[Any], index: int, rule: str) -> None:
    def line(name: str, vectors: list[Any]) -> str:
        return make_line(name, messages=[{"author": "a", "text": SECRET, "features": v} for v in vectors])

    source = write(tmp_path / "in.jsonl", line("sound", [[0.0, 0.0]]) + "\n" + line("bad", features))
    error = refuse(source, line=2, field=f"messages[{index}].features", rule=f"conversation 'bad', {rule}")
    assert error.path == source
    _, kept = set_aside(source, lines=[2])
    assert kept[0].features.tolist() == [[0.0, 0.0]]


@TABLES
@pytest.mark.parametrize(
    "features, index, rule",
    [
        ([[1.0, 2.0], [1.0]], 1, "message 2: expected 2 numbers, found 1"),
        ([[1.0, 2.0], None], 1, "message 2: expected a list of numbers, found null"),
        ([[1.0, float("nan")], [1.0, 2.0]], 0, "message 1: expected finite numbers"),
        ([[1.0, 2.0], [float("inf"), 2.0]], 1, "message 2: expected finite numbers"),
        ([[1.0], [1.0]], 0, "message 1: expected 2 numbers as in "),
    ],
)
def test_fault_23_features_in_tables(
    tmp_path: Path, kind: str, features: list[Any], index: int, rule: str
) -> None:
    table = make_table(conversation_id=["sound", "bad"], features=[[[0.0, 0.0], [0.0, 0.0]], features])
    source = write_table(tmp_path, kind, table)
    refuse(source, line=2, field=f"features[{index}]", rule=f"conversation 'bad', {rule}")
    set_aside(source, lines=[2])


@pytest.mark.parametrize(
    "value, rule", [("", "expected numbers"), ("nan", "expected finite"), ("x", "expected numbers")]
)
def test_fault_23_features_in_csv(tmp_path: Path, value: str, rule: str) -> None:
    rows = f"a,ann,x,1,2\nb,ann,x,1,2\nb,ann,{SECRET},1,{value}\n"
    source = write(tmp_path / "in.csv", "conversation_id,author,text,feat_a,feat_b\n" + rows)
    refuse(source, line=4, field="features", rule=rule)
    set_aside(source, lines=[4], rejected=2)


def test_fault_23_conversation_without_features(tmp_path: Path) -> None:
    sound = make_line("sound", messages=[{"author": "a", "features": [1.0]}])
    source = write(
        tmp_path / "in.jsonl", f"{sound}\n{make_line('text', messages=[{'author': 'a', 'text': SECRET}])}\n"
    )
    refuse(source, line=2, field="text", rule=f"expected no texts as in {source}:1, found texts")
    set_aside(source, lines=[2])


def test_fault_38_names_that_lead_elsewhere(tmp_path: Path) -> None:
    source = write_arrow(tmp_path / "in", make_table())
    for name in ("../x.arrow", "/etc/passwd", "a/b.arrow", "..", ""):
        (source / "state.json").write_text(json.dumps({"_data_files": [{"filename": name}]}))
        error = refuse(source, line=None, field=None, rule="expected a plain file name")
        assert error.path == source / "state.json"
    (source / "link.arrow").symlink_to(file_of(source))
    (source / "state.json").write_text(json.dumps({"_data_files": [{"filename": "link.arrow"}]}))
    refuse(source, line=None, field=None, rule="found a symlink")
