from __future__ import annotations

import contextlib
import csv
import dataclasses
import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tenor.errors import InputError, UsageError
from tenor.predictions import (
    FORMAT_VERSION,
    Predictions,
    PredictionSets,
    concatenate_predictions,
    export_csv,
    neutralize_cell,
    read_predictions,
    read_sets,
    write_predictions,
)
from tenor.strings import Strings


def strings(*values: str) -> np.ndarray:
    return np.array(values, dtype=object)


def make_predictions(
    level: str = "conversation", *, classes: tuple[Any, ...] = (0, 1), **changes: object
) -> Predictions:
    logits = np.array([-1.5, 0.0, 2.0, 0.25])
    probs = 1 / (1 + np.exp(-logits))
    if len(classes) > 2:
        logits = np.stack([logits, -logits, 0 * logits], axis=1)
        probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    values: dict[str, Any] = {
        "level": level,
        "classes": classes,
        "conversation_ids": None if level == "profile" else strings("c1", "c2", "c3", "c4"),
        "authors": None if level == "conversation" else strings("ann", "bob", "ann", "eve"),
        "groups": strings("g1", "g1", "g2", "g3"),
        "splits": strings("validation", "validation", "test", "test"),
        "labels": np.array([0, 1, -1, len(classes) - 1]),
        "lengths": np.array([3, 1, 0, 12]),
        "logits": logits,
        "probs": probs,
        "threshold": 0.4 if len(classes) == 2 else None,
        "model": "sequence",
        "model_hash": "abc",
    }
    return Predictions(**(values | changes))


def assert_equal(a: Predictions, b: Predictions) -> None:
    for field in dataclasses.fields(Predictions):
        left, right = getattr(a, field.name), getattr(b, field.name)
        if isinstance(left, np.ndarray | Strings):
            assert getattr(left, "dtype", None) == getattr(right, "dtype", None)
            assert left.tolist() == right.tolist(), field.name
        else:
            assert left == right, field.name


@pytest.mark.parametrize("level", ["conversation", "author", "profile"])
@pytest.mark.parametrize("classes", [(0, 1), ("calm", "angry"), ("a", "b", "c"), (0, 1, 5)])
def test_a_file_reads_back_as_it_was_written(level: str, classes: tuple[Any, ...], tmp_path: Path) -> None:
    predictions = make_predictions(level, classes=classes)
    path = write_predictions(predictions, tmp_path / "deep" / "p.parquet")
    assert path == tmp_path / "deep" / "p.parquet"
    assert_equal(read_predictions(path), predictions)
    mended = dataclasses.replace(predictions, calibration="platt", caution="rows of test may be known")
    assert_equal(read_predictions(write_predictions(mended, path)), mended)


def test_the_rule_of_the_threshold_stands_in_the_file(tmp_path: Path) -> None:
    ruled = dataclasses.replace(make_predictions(), threshold_rule="cost:1:20")
    path = write_predictions(ruled, tmp_path / "p.parquet")
    assert read_predictions(path).threshold_rule == "cost:1:20"
    assert read_predictions(write_predictions(make_predictions(), path)).threshold_rule is None
    rows = [ruled.select([0]), make_predictions().select([1]), ruled.select([2])]  # one of an earlier version
    assert concatenate_predictions(rows).threshold_rule == "cost:1:20"
    other = dataclasses.replace(rows[1], threshold_rule="f1")
    assert concatenate_predictions([rows[0], other]).threshold_rule is None


@pytest.mark.parametrize("level", ["conversation", "profile"])
@pytest.mark.parametrize("classes", [(0, 1), ("a", "b", "c")])
@pytest.mark.parametrize("splits", [(), ("test",), ("validation", "test"), ("train",)])
def test_the_rows_of_some_splits_are_read(
    level: str, classes: tuple[Any, ...], splits: tuple[str, ...], tmp_path: Path
) -> None:
    predictions = make_predictions(level, classes=classes)
    path = write_predictions(predictions, tmp_path / "p.parquet")
    expected = predictions.select([name in splits for name in predictions.splits])
    assert_equal(read_predictions(path, splits=splits), expected)


def test_the_file_is_plain_parquet_with_labels_as_the_user_wrote_them(tmp_path: Path) -> None:
    path = write_predictions(make_predictions("author", classes=("calm", "angry")), tmp_path / "p.parquet")
    table = pq.read_table(path)
    assert table.column_names == [
        "conversation_id", "author", "group", "split", "label", "length", "logit", "prob",
    ]  # fmt: skip
    assert table["label"].to_pylist() == ["calm", "angry", None, "angry"]
    assert table["logit"].to_pylist() == [-1.5, 0.0, 2.0, 0.25]


@pytest.mark.parametrize("classes", [(0, 1), ("calm", "angry"), ("a", "b", "c")])
def test_sets_stand_beside_the_rows(classes: tuple[Any, ...], tmp_path: Path) -> None:
    predictions = make_predictions("author", classes=classes)
    holds = np.zeros((4, len(classes)), dtype=bool)
    holds[0, :2] = holds[1, 0] = holds[3, -1] = True  # two classes, one, none, one
    path = write_predictions(predictions, tmp_path / "p.parquet", sets=PredictionSets(holds, {"alpha": 0.1}))
    table = pq.read_table(path)
    assert table["prediction_set"].to_pylist() == [list(classes[:2]), [classes[0]], [], [classes[-1]]]
    assert table["decision"].to_pylist() == [None, classes[0], None, classes[-1]]
    assert table["decision"].type == table["label"].type
    assert json.loads(table.schema.metadata[b"tenor.abstention"]) == {"alpha": 0.1}
    assert_equal(read_predictions(path), predictions)
    assert PredictionSets(holds, {}).abstained == 2


def test_sets_of_other_rows_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"prediction sets must have shape \(4, 2\), found \(4, 3\)"):
        write_predictions(
            make_predictions(), tmp_path / "p.parquet", sets=PredictionSets(np.ones((4, 3), dtype=bool), {})
        )
    assert not (tmp_path / "p.parquet").exists()


def test_no_rows_round_trip(tmp_path: Path) -> None:
    for classes in ((0, 1), ("a", "b", "c")):
        empty = make_predictions(classes=classes).select([])
        assert len(empty) == 0
        back = read_predictions(write_predictions(empty, tmp_path / "p.parquet"))
        assert back.probs.shape == ((0,) if len(classes) == 2 else (0, 3))
        none = PredictionSets(np.zeros((0, len(classes)), dtype=bool), {})
        assert (
            pq.read_table(write_predictions(empty, tmp_path / "s.parquet", sets=none))["decision"].to_pylist()
            == []
        )


@pytest.mark.parametrize("classes", [(0, 1), ("a", "b", "c")])
def test_no_flipped_bit_is_read_as_another_value(classes: tuple[Any, ...], tmp_path: Path) -> None:
    """In pages, their headers and the footer; some bits mean nothing, and then all is as it was."""
    predictions = make_predictions(
        classes=classes,
        fingerprints=np.array([5, 1 << 63, 0, 7], np.uint64),
        known_words=np.array([0.5, 1, 0, 0.25], np.float32),
    )
    sets = PredictionSets(np.eye(4, len(classes), dtype=np.bool_), {"alpha": 0.1})
    path = write_predictions(predictions, tmp_path / "p.parquet", sets=sets)
    data, refused, same = path.read_bytes(), 0, 0
    for place in range(4, len(data), 3):
        path.write_bytes(data[:place] + bytes([data[place] ^ 1 << place % 8]) + data[place + 1 :])
        try:
            found = read_predictions(path, fingerprints=True)
        except InputError as error:
            refused += 1
            if place < len(data) - 8:  # without the length of the footer there is no Parquet
                rule = "damaged: its bytes have changed (checksum) (predict again)"
                assert str(error) == f"{path}: {rule}"
        else:
            same += 1
            assert_equal(found, predictions)
        with contextlib.suppress(InputError):  # where the flipped bit is of another column
            again = read_sets(path)
            assert again is not None
            assert (again.holds.tolist(), again.rule) == (sets.holds.tolist(), sets.rule)
    assert refused > 5 * same > 0, (refused, same)


def test_a_file_that_was_written_anew_by_another_tool_is_read(tmp_path: Path) -> None:
    """Without checksums, as files of earlier versions."""
    predictions = make_predictions()
    path = write_predictions(predictions, tmp_path / "p.parquet")
    assert write_predictions(predictions, tmp_path / "q.parquet").read_bytes() == path.read_bytes()
    pq.write_table(pq.read_table(path), path)
    assert_equal(read_predictions(path), predictions)


def test_select_in_split_and_labelled_keep_rows_together() -> None:
    predictions = make_predictions()
    assert predictions.in_split("test").ids.tolist() == ["c3", "c4"]
    assert predictions.labelled().ids.tolist() == ["c1", "c2", "c4"]
    turned = predictions.select([3, 0])
    assert turned.ids.tolist() == ["c4", "c1"]
    assert turned.lengths.tolist() == [12, 3]
    assert turned.logits.tolist() == [0.25, -1.5]
    with pytest.raises(UsageError, match="split must be one of train, validation, test, not 'dev'"):
        predictions.in_split("dev")


def test_ids_are_unique_per_level() -> None:
    assert make_predictions("author").ids.tolist() == ["c1\x1fann", "c2\x1fbob", "c3\x1fann", "c4\x1feve"]
    assert make_predictions("profile").ids.tolist() == [
        "ann\x1fvalidation", "bob\x1fvalidation", "ann\x1ftest", "eve\x1ftest",
    ]  # fmt: skip


def test_concatenate_joins_rows_of_one_model() -> None:
    predictions = make_predictions("author", classes=("a", "b", "c"))
    assert_equal(
        concatenate_predictions([predictions.select([0]), predictions.select([1, 2, 3])]), predictions
    )
    with pytest.raises(UsageError, match="1 rows repeat the id of another, such as 'c1 / ann'"):
        concatenate_predictions([predictions, predictions.select([0])])
    with pytest.raises(UsageError, match="differ in threshold"):
        concatenate_predictions([make_predictions(), make_predictions(threshold=0.5)])
    with pytest.raises(UsageError, match="nothing to concatenate"):
        concatenate_predictions([])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"level": "person"}, "level must be one of"),
        ({"authors": strings("a", "b", "c", "d")}, "has no authors"),
        ({"conversation_ids": None}, "needs conversation_ids"),
        ({"classes": (0,)}, "two classes or more"),
        ({"labels": np.array([0, 1, 2, 0])}, "labels must be -1"),
        ({"labels": np.array([0, 1])}, r"labels must have shape|must have shape \(2,\)"),
        ({"probs": np.zeros((4, 2))}, r"probs must have shape \(4,\), found \(4, 2\)"),
        ({"probs": np.array([0, 0, 0, 1.5])}, r"finite and in \[0, 1\]"),
        ({"logits": np.array([0, 0, 0, np.nan])}, "1 logits are not a number"),
        ({"threshold": float("nan")}, "threshold must be finite"),
        ({"splits": strings("test", "test", "dev", "test")}, "found 'dev'"),
    ],
)
def test_arrays_that_do_not_agree_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make_predictions(**changes)


def test_profiles_may_carry_vote_counts() -> None:
    predictions = make_predictions("profile", probs=np.array([0.0, 3.0, 12.0, 1.0]))
    assert predictions.probs.max() == 12


def test_an_id_twice_is_not_written(tmp_path: Path) -> None:
    twice = make_predictions(conversation_ids=strings("c1", "c2", "c1", "c1"))
    with pytest.raises(UsageError, match="2 rows repeat the id of another, such as 'c1', 'c1'"):
        write_predictions(twice, tmp_path / "p.parquet")
    assert not (tmp_path / "p.parquet").exists()


def rewrite(
    path: Path, change: Callable[[pa.Table], pa.Table], metadata: dict[str, Any] | None = None
) -> None:
    """Change a written file's table or metadata."""
    table = pq.read_table(path)
    old = json.loads(table.schema.metadata[b"tenor.predictions"])
    table = change(table)
    table = table.replace_schema_metadata({b"tenor.predictions": json.dumps(old | (metadata or {})).encode()})
    pq.write_table(table, path)


@pytest.mark.parametrize(
    ("change", "metadata", "field", "message"),
    [
        (
            lambda t: t,
            {"format_version": FORMAT_VERSION + 1},
            "format_version",
            f"{FORMAT_VERSION + 1} is newer than",
        ),
        (lambda t: t, {"format_version": "1"}, "metadata", "no format_version"),
        (lambda t: t, {"level": "person"}, "metadata.level", "unknown level"),
        (lambda t: t, {"threshold": "high"}, "metadata.threshold", "wrong type"),
        (lambda t: t, {"calibration": 1}, "metadata.calibration", "wrong type"),
        (lambda t: t, {"caution": ["x"]}, "metadata.caution", "wrong type"),
        (lambda t: t, {"classes": [0, "1"]}, "metadata.classes", "all integers or all strings"),
        (lambda t: t, {"classes": [1, 1]}, "metadata.classes", "two different classes"),
        (
            lambda t: t.drop_columns(["prob"]),
            {},
            None,
            "expected one column each of prob; found conversation_id",
        ),
        (
            lambda t: t.set_column(5, "logit", pa.array([1, 2, 3, 4])),
            {},
            "logit",
            "expected double, found int64",
        ),
        (
            lambda t: t.set_column(1, "group", pa.array(["a", None, "b", "c"])),
            {},
            "group",
            "a value is missing",
        ),
        (
            lambda t: t.set_column(3, "label", pa.array([0, 1, None, 7])),
            {},
            "label",
            "expected one of 0, 1 or null",
        ),
        (
            lambda t: t.set_column(0, "conversation_id", pa.array(["a", "b", "a", "c"])),
            {},
            None,
            "repeat the id",
        ),
        (lambda t: t.set_column(6, "prob", pa.array([0.0, 1.0, 2.0, 0.5])), {}, None, "probs must be finite"),
        (lambda t: t.set_column(2, "split", pa.array(["test", "dev", "test", "test"])), {}, None, "'dev'"),
    ],
)
def test_a_file_that_breaks_a_rule_is_refused_by_name(
    change: Callable[[pa.Table], pa.Table],
    metadata: dict[str, Any],
    field: str | None,
    message: str,
    tmp_path: Path,
) -> None:
    path = write_predictions(make_predictions(), tmp_path / "p.parquet")
    rewrite(path, change, metadata)
    with pytest.raises(InputError, match=message) as caught:
        read_predictions(path)
    assert caught.value.path == path
    assert caught.value.field == field
    if field in ("group", "label"):
        assert caught.value.line == {"group": 2, "label": 4}[field]


@pytest.mark.parametrize(
    ("name", "message"), [("logit", "1 logits are not a number"), ("prob", "probs must be finite")]
)
def test_a_class_without_a_score_is_refused(name: str, message: str, tmp_path: Path) -> None:
    path = write_predictions(make_predictions(classes=("a", "b", "c")), tmp_path / "p.parquet")

    def change(table: pa.Table) -> pa.Table:
        column = table[name]
        scores = column.to_pylist()
        scores[1][1] = None
        return table.set_column(table.column_names.index(name), name, pa.array(scores, column.type))

    rewrite(path, change, {})
    with pytest.raises(InputError, match=message):
        read_predictions(path)


def test_files_that_are_no_predictions_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    with pytest.raises(InputError, match="no such file"):
        read_predictions(path)
    path.write_bytes(b"PAR1 no")
    with pytest.raises(InputError, match="expected a Parquet file"):
        read_predictions(path)
    pq.write_table(pa.table({"x": [1]}), path)
    with pytest.raises(InputError, match="no predictions of tenor") as caught:
        read_predictions(path)
    assert "tenor predict" in caught.value.remedy
    whole = write_predictions(make_predictions(), tmp_path / "q.parquet").read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="expected a Parquet file"):
        read_predictions(path)


@pytest.mark.parametrize("text", ["=1+1", "+1", "-x", "@cmd", "\tx", "\rx"])
def test_fault_41_cells_that_a_spreadsheet_would_run_are_neutralised(text: str) -> None:
    assert neutralize_cell(text) == "'" + text
    assert neutralize_cell("a" + text) == "a" + text


def test_exported_csv_holds_numbers_and_harmless_text(tmp_path: Path) -> None:
    predictions = make_predictions(
        "author", classes=("=a", "b", "c"), authors=strings("@x", 'say "hi", ann', "-2", "eve")
    )
    path = export_csv(predictions, tmp_path / "p.csv")
    assert path.read_bytes().startswith(
        b"\xef\xbb\xbfconversation_id"
    )  # without it Excel takes another encoding
    with path.open(newline="", encoding="utf-8-sig") as handle:
        rows = list(csv.reader(handle))
    assert rows[0] == [
        "conversation_id", "author", "group", "split", "label", "length",
        "logit =a", "logit b", "logit c", "prob =a", "prob b", "prob c", "predicted",
    ]  # fmt: skip
    assert [row[-1] for row in rows[1:]] == [
        neutralize_cell(predictions.classes[code]) for code in predictions.probs.argmax(axis=1)
    ]
    assert [row[1] for row in rows[1:]] == ["'@x", 'say "hi", ann', "'-2", "eve"]
    assert [row[4] for row in rows[1:]] == ["'=a", "b", "", "c"]
    assert [float(row[6]) for row in rows[1:]] == predictions.logits[:, 0].tolist()


@pytest.mark.parametrize("classes", [(0, 1), ("=a", "b", "c")])
def test_prediction_sets_are_read_back_and_stand_in_the_csv(tmp_path: Path, classes: tuple[Any, ...]) -> None:
    predictions = make_predictions("author", classes=classes)
    holds = np.zeros((4, len(classes)), dtype=np.bool_)
    holds[0, 1] = holds[1, 0] = holds[2, 0] = holds[2, 1] = True  # b; a; a or b; none
    path = write_predictions(predictions, tmp_path / "p.parquet", sets=PredictionSets(holds, {"alpha": 0.1}))
    found = read_sets(path)
    assert found is not None and found.rule == {"alpha": 0.1} and found.abstained == 2
    assert found.holds.tolist() == holds.tolist() and found.decide().tolist() == [1, 0, -1, -1]
    assert read_sets(write_predictions(predictions, tmp_path / "plain.parquet")) is None
    table = pq.read_table(path)
    for name, damaged in {
        "rule": table.replace_schema_metadata({**table.schema.metadata, b"tenor.abstention": b"[3"}),
        "texts": table.set_column(
            table.schema.get_field_index("prediction_set"), "prediction_set", [["x"] * 4]
        ),
    }.items():
        pq.write_table(damaged, tmp_path / f"{name}.parquet")
        with pytest.raises(InputError, match="expected a JSON object|expected list<"):
            read_sets(tmp_path / f"{name}.parquet")
    written = export_csv(predictions, tmp_path / "p.csv", sets=found)
    with written.open(newline="", encoding="utf-8-sig") as handle:
        rows = list(csv.DictReader(handle))
    first, second = (neutralize_cell(str(label)) for label in classes[:2])
    assert [row["decision"] for row in rows] == [second, first, "", ""]
    assert [row["prediction_set"] for row in rows] == [second, first, f"{first}; {classes[1]}", ""]


def test_fingerprints_are_kept_and_read_where_they_are_wanted(tmp_path: Path) -> None:
    plain = make_predictions("author")
    marked = dataclasses.replace(
        plain, fingerprints=np.arange(len(plain), dtype=np.uint64) + np.uint64(2**63)
    )
    path = write_predictions(marked, tmp_path / "p.parquet")
    assert read_predictions(path).fingerprints is None
    found = read_predictions(path, fingerprints=True).fingerprints
    assert found is not None and found.dtype == np.uint64 and found.tolist() == marked.fingerprints.tolist()
    assert marked.select([1]).fingerprints.tolist() == [2**63 + 1]
    assert read_predictions(write_predictions(plain, path), fingerprints=True).fingerprints is None
    halves = marked.select([0, 1]), marked.select([2, 3])
    assert concatenate_predictions(halves).fingerprints.tolist() == marked.fingerprints.tolist()
    said = halves[0], dataclasses.replace(halves[1], caution="rows of test may be known")
    assert concatenate_predictions(said).caution == "rows of test may be known"
    mixed = dataclasses.replace(halves[0], fingerprints=None), halves[1]
    assert concatenate_predictions(mixed).fingerprints is None
    assert concatenate_predictions(mixed[::-1]).fingerprints is None
    with pytest.raises(UsageError, match="fingerprints must have shape"):
        dataclasses.replace(plain, fingerprints=np.zeros(1, np.uint64))


def test_a_file_that_holds_no_predictions_is_not_written_over(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["a user's own"]}), tmp_path / "chats.parquet")
    (tmp_path / "notes").write_text("by hand")
    for name in ("chats.parquet", "notes"):
        before = (tmp_path / name).read_bytes()
        with pytest.raises(UsageError, match=f"found another file at .*{name}"):
            write_predictions(make_predictions(), tmp_path / name)
        assert (tmp_path / name).read_bytes() == before
    (tmp_path / "empty.parquet").touch()  # as mktemp leaves it
    for _ in range(2):
        write_predictions(make_predictions(), tmp_path / "empty.parquet")
    assert len(read_predictions(tmp_path / "empty.parquet")) == len(make_predictions())


@pytest.mark.parametrize(
    "name", ["scores.csv", "scores.tsv", "scores.json", "scores.JSONL", "scores.txt", "scores.xlsx"]
)
def test_a_name_for_another_format_is_refused_with_the_way_there(tmp_path: Path, name: str) -> None:
    with pytest.raises(
        UsageError, match=r"a name such as \S*scores\.parquet, found .* --csv \S*/scores\.csv"
    ):
        write_predictions(make_predictions("author"), tmp_path / name)
    assert list(tmp_path.iterdir()) == []
    assert write_predictions(make_predictions("author"), tmp_path / "scores.v2").exists()


@pytest.mark.parametrize("classes", [(0, 1), ("a", "b", "c")])
def test_files_of_version_1_stay_readable(classes: tuple[Any, ...]) -> None:
    path = Path(__file__).parent / "golden" / f"predictions_v1_{len(classes)}_classes.parquet"
    found, expected = read_predictions(path), make_predictions("author", classes=classes)
    assert found.probs == pytest.approx(expected.probs)  # np.exp differs in the last bit between machines
    assert_equal(found, dataclasses.replace(expected, probs=found.probs))


def test_a_row_takes_64_bytes_and_no_python_object(tmp_path: Path) -> None:
    rows, generator = 30_000, np.random.default_rng(0)
    names = np.array([f"author-{number:06d}" for number in range(2_000)], dtype=object)
    authors = names[generator.permutation(np.arange(rows) % len(names))]
    logits = generator.normal(size=rows)
    predictions = make_predictions(
        "author",
        conversation_ids=strings(*(f"conversation-{row // 3:06d}" for row in range(rows))),
        authors=strings(*(f"{author}-{row % 3}" for row, author in enumerate(authors))),
        groups=authors,
        splits=np.array(["train", "validation", "test"], dtype=object)[generator.integers(0, 3, rows)],
        labels=generator.integers(-1, 2, rows),
        lengths=generator.integers(1, 30, rows),
        logits=logits,
        probs=1 / (1 + np.exp(-logits)),
    )
    path = write_predictions(predictions, tmp_path / "p.parquet")
    tracemalloc.start()
    found = read_predictions(path)
    _, peak = tracemalloc.get_traced_memory()  # of Python and numpy
    tracemalloc.stop()
    columns = [getattr(found, field.name) for field in dataclasses.fields(Predictions)]
    assert sum(getattr(column, "nbytes", 0) for column in columns) <= 64 * rows
    assert peak <= 64 * rows + 200_000  # what was imported on the way; a Python string takes some 70
    assert_equal(found.select(np.arange(100)), predictions.select(np.arange(100)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"classes": (False, True)},
            r"classes must be whole numbers or texts, found bool False \(such as \(0, 1\)",
        ),
        ({"classes": (0.0, 1.0)}, "classes must be whole numbers or texts, found float 0.0"),
        ({"classes": (None, 1)}, "classes must be whole numbers or texts, found NoneType None"),
        ({"classes": (0, 0)}, r"classes must differ, found 0, 0 \(name each once\)"),
        ({"classes": ("a", "b", "a")}, "classes must differ, found 'a', 'b', 'a'"),
        ({"classes": "ab"}, "classes: expected a list of labels, .* found the text 'ab'"),
        ({"lengths": [1, 2, -1, 3]}, r"lengths must be 0 or more, found -1 \(count messages\)"),
        ({"lengths": [1, 2, 0.5, 3]}, "lengths must be whole numbers, found 0.5"),
        ({"labels": [0, 1, 0.7, 1]}, "labels must be whole numbers, found 0.7"),
        ({"labels": [0, 1, np.nan, 1]}, "labels must be whole numbers, found nan"),
        ({"labels": ["0", "1", "0", "1"]}, "labels must be whole numbers, found <U1"),
        ({"logits": [0.1, 0.2, 0.3, 1j]}, "logits must be numbers, found complex128"),
        ({"probs": ["0.1", "0.2", "0.3", "0.4"]}, "probs must be numbers, found <U3"),
        ({"threshold": "f1"}, "the threshold must be finite or None, found 'f1'"),
        ({"threshold": True}, "the threshold must be finite or None, found True"),
    ],
)
def test_what_could_not_be_read_again_or_would_be_cut_is_refused(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        make_predictions(**changes)


def test_numbers_of_numpy_are_read_again_as_pythons(tmp_path: Path) -> None:
    given = make_predictions(
        classes=(np.int64(3), np.int64(5)),
        labels=[0.0, 1.0, -1.0, 1.0],
        lengths=np.array([3, 1, 0, 12], dtype=object),
        threshold=np.float32(0.5),
    )
    assert (given.classes, given.labels.tolist(), given.threshold) == ((3, 5), [0, 1, -1, 1], 0.5)
    assert given.lengths.tolist() == [3, 1, 0, 12]
    assert [type(label) for label in given.classes] == [int, int]
    assert_equal(read_predictions(write_predictions(given, tmp_path / "p.parquet")), given)


def test_any_iterable_of_tables_is_concatenated() -> None:
    table = make_predictions()
    joined = concatenate_predictions(table.in_split(split) for split in ("validation", "test"))
    assert joined.ids.tolist() == ["c1", "c2", "c3", "c4"]
    with pytest.raises(UsageError, match="nothing to concatenate"):
        concatenate_predictions(iter([]))
    with pytest.raises(UsageError, match="predictions to concatenate: expected a list of them, found int"):
        concatenate_predictions(3)  # type: ignore[arg-type]


def test_nowhere_to_write_is_named() -> None:
    with pytest.raises(UsageError, match="output: expected a path, found NoneType"):
        write_predictions(make_predictions(), None)  # type: ignore[arg-type]
