"""Subgroups by the user's columns: read, joined, measured, and their gaps said only where chance is no answer."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tenor.errors import InputError, UsageError
from tenor.predictions import Predictions
from tenor.report.subgroups import bin_test_lengths, measure_columns, read_attributes
from tenor.report.summaries import format_number
from tenor.report.tables import subgroup_tables


def simulate(level: str = "author", seed: int = 0) -> Predictions:
    """300 rows of test: 100 conversations of three authors each; at level profile one row an author."""
    generator = np.random.default_rng(seed)
    labels = (generator.random(300) < 0.4).astype(np.int64)
    logits = generator.normal(-0.5, 1.0, 300) + 1.5 * labels
    return Predictions(
        level=level,  # type: ignore[arg-type]
        classes=(0, 1),
        conversation_ids=None
        if level == "profile"
        else np.array(
            [f"c{index if level == 'conversation' else index // 3}" for index in range(300)], dtype=object
        ),
        authors=None
        if level == "conversation"
        else np.array([f"a{index}" for index in range(300)], dtype=object),
        groups=np.array([f"g{index}" for index in range(300)], dtype=object),
        splits=np.full(300, "test", dtype=object),
        labels=labels,
        lengths=generator.integers(1, 9, 300),
        logits=logits,
        probs=1 / (1 + np.exp(-logits)),
        threshold=0.5,
        model="m",
        model_hash="",
    )


def test_csv_and_parquet_give_the_same_columns(tmp_path: Path) -> None:
    rows = [
        {"conversation_id": f"c{n}", "language": "de" if n % 2 else None, "year": 2000 + n % 3}
        for n in range(90)
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    lines = ["conversation_id,year,language,note"]
    lines += [f'{row["conversation_id"]},{row["year"]},{row["language"] or ""},"a, ""b""\nc"' for row in rows]
    (tmp_path / "a.csv").write_text("\ufeff" + "\r\n".join(lines) + "\r\n", encoding="utf-8")
    found = [read_attributes(tmp_path / name, ("language", "year")) for name in ("a.parquet", "a.csv")]
    assert found[0].rows == found[1].rows
    assert found[0].rows["c4",] == (None, "2001")
    columns = found[0].join(simulate())
    assert columns is not None
    assert columns["language"][:9].tolist() == [None] * 3 + ["de"] * 3 + [None] * 3
    assert columns["year"][:4].tolist() == ["2000"] * 3 + ["2001"]
    assert columns["year"][-3:].tolist() == [None] * 3  # c99 is not in the file


@pytest.mark.parametrize(
    ("header", "level", "fits"),
    [
        ("conversation_id,x", "conversation", True),
        ("conversation_id,x", "author", True),
        ("conversation_id,x", "profile", False),
        ("author,x", "conversation", False),
        ("author,x", "profile", True),
        ("conversation_id,author,x", "author", True),
        ("conversation_id,author,x", "conversation", False),
    ],
)
def test_a_file_joins_where_its_keys_are_the_level_s(
    tmp_path: Path, header: str, level: str, fits: bool
) -> None:
    key = {"conversation_id,x": "c1", "author,x": "a3", "conversation_id,author,x": "c1,a3"}[header]
    (tmp_path / "a.csv").write_text(f"{header}\n{key},yes\n")
    rows = simulate(level)
    columns = read_attributes(tmp_path / "a.csv", ("x",)).join(rows)
    assert (columns is not None) == fits
    if columns is not None:
        assert 1 <= (columns["x"] == "yes").sum() <= 3


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_any_delimiter_that_an_import_reads_is_read(tmp_path: Path, delimiter: str) -> None:
    rows = [("author", "x"), ("a", "1"), ("b", "2,5; of 3")]
    lines = [delimiter.join([key, f'"{value}"' if value.startswith("2") else value]) for key, value in rows]
    (tmp_path / "a.csv").write_text("\n".join(lines) + "\n")
    assert read_attributes(tmp_path / "a.csv", ("x",)).rows == {("a",): ("1",), ("b",): ("2,5; of 3",)}


@pytest.mark.parametrize(
    ("content", "line", "rule"),
    [
        ("id,x\n1,2\n", 1, "expected a column conversation_id or author, found id, x"),
        ("author,y\na,2\n", 1, "there is no column x, but author, y"),
        ("author,x\na,1\na,2\n", 3, "expected each author once, found one again"),
        ("author,x\na,1\nb\n", 3, "expected 2 columns, found 1"),
        ('author,x\na,"1\n', 2, "no sound CSV"),
        ('"author"s,x\na,1\n', 1, "no sound CSV"),
        ("author,x\n\na,\udce9t\xe9\n", 3, "invalid UTF-8 at byte offset 12"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(tmp_path: Path, content: str, line: int, rule: str) -> None:
    (tmp_path / "a.csv").write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(InputError, match=rule) as caught:
        read_attributes(tmp_path / "a.csv", ("x",))
    assert (caught.value.path, caught.value.line) == (tmp_path / "a.csv", line)


def test_wrong_requests_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("author,x\nnobody,1\n")
    with pytest.raises(UsageError, match="none of its 1 rows is of the predictions: author must be written"):
        read_attributes(tmp_path / "a.csv", ("x",)).join(simulate())
    with pytest.raises(UsageError, match="name the columns"):
        read_attributes(tmp_path / "a.csv", ())
    with pytest.raises(InputError, match="no such file"):
        read_attributes(tmp_path / "b.csv", ("x",))
    (tmp_path / "a.txt").write_text("author,x\n")
    with pytest.raises(UsageError, match="read from .csv and .parquet files"):
        read_attributes(tmp_path / "a.txt", ("x",))
    (tmp_path / "a.parquet").write_bytes(b"PAR1 but no more")
    with pytest.raises(InputError, match="cannot be read as one"):
        read_attributes(tmp_path / "a.parquet", ("x",))
    (tmp_path / "many.csv").write_text("author,x\n" + "".join(f"a{n},{n}\n" for n in range(300)))
    with pytest.raises(UsageError, match="column x has 300 different values .*, more than 20"):
        read_attributes(tmp_path / "many.csv", ("x",)).join(simulate())


def test_gaps_are_said_where_chance_is_no_answer() -> None:
    rows = simulate()
    half = np.where(np.arange(300) % 2 == 0, "even", "odd").astype(object)
    turned = np.where((half == "odd") & (np.arange(300) % 3 > 0), -rows.logits, rows.logits)
    unfair = dataclasses.replace(rows, logits=turned, probs=1 / (1 + np.exp(-turned)))
    _, sentences = measure_columns(unfair, {"half": half})
    assert any(
        text.startswith("By half, ROC AUC is higher for even than for odd, by 0.") for text in sentences
    )
    assert all("at 95% for all gaps together" in text for text in sentences)


def test_gaps_of_columns_without_meaning_are_seldom_said() -> None:
    """At 95% for all together: 10 corpora with three columns of noise each."""
    said = 0
    for seed in range(10):
        rows = simulate(seed=seed)
        noise = np.random.default_rng(100 + seed).integers(0, 3, (3, 300)).astype(str).astype(object)
        _, sentences = measure_columns(rows, {f"column {n}": noise[n] for n in range(3)}, seed=seed)
        said += any("is higher for" in text for text in sentences)
    assert said <= 2


def test_where_no_gap_is_more_than_chance_one_sentence_says_so() -> None:
    rows = simulate()
    half = np.where(np.arange(300) % 2 == 0, "even", "odd").astype(object)
    _, sentences = measure_columns(rows, {"half": half, "third": np.arange(300).astype(object) % 3})
    assert sentences == (
        "By half and third, no gap between parts is clearly more than chance (at 95% for all gaps together).",
    )
    assert measure_columns(rows, {"one": np.full(300, "x", dtype=object)})[1] == ()  # no gap at all


def test_parts_of_few_rows_have_no_part_in_gaps() -> None:
    rows = simulate()
    few = np.full(300, "many", dtype=object)
    few[::2], few[:9], few[0] = "more", "nine", "one"
    parts, sentences = measure_columns(rows, {"kind": few})
    counts = {part.value: part.count for part in parts}
    assert counts["nine"] == 8 and counts["one"] == 1
    table = dict(subgroup_tables(parts))["kind"]
    found = {row.name: row for row in table.rows}
    notes = {name: row.cells[0].note for name, row in found.items()}
    assert notes == {
        "many": "",
        "more": "",
        "nine": "few, in no gap",
        "one": "few, in no gap",
        "Largest gap": "",
    }
    accuracy = table.columns.index("Accuracy")
    values = {part.value: part.metrics["accuracy"] for part in parts}
    wanted = abs(values["many"] - values["more"])  # type: ignore[operator]
    assert found["Largest gap"].cells[accuracy].text == format_number(wanted)
    assert wanted < max(values.values()) - min(values.values())  # type: ignore[type-var, operator]
    assert sentences == (
        "By kind, no gap between parts is clearly more than chance (at 95% for all gaps together).",
    )


def test_parts_of_few_people_have_no_part_in_gaps() -> None:
    rows = simulate()
    kinds, groups = np.full(300, "many", dtype=object), rows.groups.tolist()
    kinds[::2] = "more"
    kinds[:11], groups[:11] = "one person's", ["she"] * 11
    parts, _ = measure_columns(dataclasses.replace(rows, groups=groups), {"kind": kinds})
    found = {part.value: (part.count, part.groups) for part in parts}
    assert found["one person's"] == (11, 1)
    assert found["many"][0] == found["many"][1]
    table = dict(subgroup_tables(parts))["kind"]
    notes = {row.name: row.cells[0].note for row in table.rows}
    assert notes == {"one person's": "of 1 group, in no gap", "many": "", "more": "", "Largest gap": ""}


def test_lengths_are_those_of_the_level() -> None:
    assert list(bin_test_lengths(simulate())) == ["messages"]
    assert list(bin_test_lengths(simulate("profile"))) == ["conversations"]
