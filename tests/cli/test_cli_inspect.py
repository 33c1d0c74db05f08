"""What `tenor inspect` says of values, and of paths that are none of the three kinds."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tenor.cli.inspect import flatten_fields, format_field, list_highest
from tenor.predictions import Predictions, PredictionSets, write_predictions

RunCli = Callable[..., Any]


def test_nested_fields_are_one_a_line() -> None:
    fields = {
        "input_size": None,
        "has_text": True,
        "classes": [0, 1],
        "splits": {"train": 1200, "test": 3},
        "training": {"best_epoch": 3, "validation": {"f1": 0.123456789}, "empty": {}},
        "sources": [],
        "profile_thresholds": {},
    }
    assert flatten_fields(fields) == {
        "input size": "–",
        "has text": "yes",
        "classes": "0, 1",
        "splits": "train 1,200; test 3",
        "training best epoch": "3",
        "training validation": "f1 0.123457",
        "sources": "–",
    }


def test_small_numbers_are_not_rounded_away() -> None:
    assert format_field(1e-5) == "1e-05"
    assert format_field(3e-4) == "0.0003"


def test_a_label_that_is_a_text_of_digits_is_quoted() -> None:
    assert format_field([0, 1]) == "0, 1"
    assert format_field(["0", "-1", "x1"]) == '"0", "-1", x1'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "bad: "),
        (b"PAR1 but no more", "bad: expected a Parquet file, and it cannot be read as one"),
        (b"\x80\x04N.", "bad"),
        (
            b"hello there, this is a text file of no kind\n" * 10,
            "found a text (if it holds conversations: tenor",
        ),
    ],
)
def test_a_file_of_no_kind_is_an_error(run_cli: RunCli, tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "bad").write_bytes(content)
    done = run_cli("inspect", tmp_path / "bad")
    assert done.code == 1
    assert done.err.startswith("error: ") and done.err.count("\n") == 1
    assert message in done.err


def test_a_folder_of_no_kind_is_an_error(run_cli: RunCli, tmp_path: Path) -> None:
    done = run_cli("inspect", tmp_path)
    assert done.code == 1
    assert str(tmp_path) in done.err


def make_predictions(scores: list[float], **changes: Any) -> Predictions:  # noqa: ANN401
    rows = len(scores)
    columns: dict[str, Any] = {
        "level": "author",
        "classes": (0, 1),
        "conversation_ids": [f"c{row}" for row in range(rows)],
        "authors": ["=ann", *["bob"] * (rows - 1)],
        "groups": ["g"] * rows,
        "splits": ["test"] * rows,
        "labels": [-1] * (rows - 1) + [1],
        "lengths": list(range(1, rows + 1)),
        "logits": np.log(scores) - np.log1p(-np.array(scores)),
        "probs": scores,
        "threshold": 0.5,
        "model": "m",
        "model_hash": "",
    }
    return Predictions(**columns | changes)


def test_the_highest_scores_come_first_and_equal_ones_as_they_stand() -> None:
    rows = list_highest(make_predictions([0.5, 0.2, 0.9, 0.5]), 3)
    assert [row["conversation"] for row in rows] == ["c2", "c0", "c3"]
    assert rows[1] == {
        "conversation": "c0", "author": "=ann", "split": "test", "label": None, "messages": 1, "score": 0.5,
        "predicted": 1,
    }  # fmt: skip
    assert rows[2]["label"] == 1


def test_many_equal_scores_stand_as_in_the_file() -> None:
    rows = list_highest(make_predictions([0.25] * 200 + [0.75]), 150)
    assert [row["conversation"] for row in rows] == ["c200", *(f"c{number}" for number in range(149))]


def test_profiles_count_sequences_and_no_threshold_says_nothing() -> None:
    profiles = make_predictions([0.1, 0.7], level="profile", conversation_ids=None, threshold=None)
    assert list_highest(profiles, 9) == [
        {"author": "bob", "split": "test", "label": 1, "sequences": 2, "score": 0.7},
        {"author": "=ann", "split": "test", "label": None, "sequences": 1, "score": 0.1},
    ]


def test_of_several_classes_the_one_decided_for_counts() -> None:
    scores = np.array([[0.4, 0.3, 0.3], [0.1, 0.2, 0.7]])
    several = make_predictions(
        [0.1, 0.7], classes=("a", "b", "c"), logits=scores, probs=scores, threshold=None
    )
    found = [
        (row["conversation"], row["label"], row["score"], row["predicted"])
        for row in list_highest(several, 9)
    ]
    assert found == [("c1", "b", 0.7, "c"), ("c0", None, 0.4, "a")]


def test_rows_are_listed_and_written_for_a_spreadsheet(run_cli: RunCli, tmp_path: Path) -> None:
    path, table = tmp_path / "scores.parquet", tmp_path / "scores.csv"
    write_predictions(make_predictions([0.25, 0.5], calibration="temperature", threshold=0.5), path)
    facts = run_cli("inspect", path).out
    assert "predicted positive   1" in facts and "temperature" in facts
    write_predictions(make_predictions([0.25, 0.875]), path)
    done = run_cli("inspect", path, "--top", "1", "--csv", table)
    assert done.code == 0 and "predicted positive   1" in done.out
    assert "c1" in done.out and "0.8750           1" in done.out and "c0" not in done.out
    assert "the 2 rows as CSV" in done.out
    lines = table.read_text(encoding="utf-8-sig").splitlines()
    assert lines[1].startswith("c0,'=ann,g,test,,1,")  # no formula
    assert "decision" not in lines[0]
    highest = json.loads(run_cli("inspect", path, "--top", "1", "--json").out)["highest"]
    assert [row["conversation"] for row in highest] == ["c1"]
    whole = path.read_bytes()
    for name in (path, tmp_path / "other.parquet"):
        done = run_cli("inspect", path, "--csv", name)
        assert done.code == 2 and "--csv: expected a name that ends with .csv, found" in done.err
    named = (tmp_path / "named.csv").resolve()
    named.write_bytes(whole)
    done = run_cli("inspect", named, "--csv", named)
    assert done.code == 2 and "--csv: expected another place than that of the predictions" in done.err
    assert path.read_bytes() == named.read_bytes() == whole


def test_only_an_older_csv_of_predictions_is_replaced(run_cli: RunCli, tmp_path: Path) -> None:
    path, table = tmp_path / "scores.parquet", tmp_path / "chats.csv"
    write_predictions(make_predictions([0.25, 0.5]), path)
    for text in ("conversation_id,author,text,label\nc0,ann,hi,1\n", "label,length\n", "weights"):
        table.write_text(text)
        done = run_cli("inspect", path, "--csv", table)
        assert done.code == 2 and "output: expected a new name, or a CSV of predictions" in done.err
        assert table.read_text() == text
    table.unlink()
    for scores in ([0.25, 0.5], [0.25, 0.5, 0.75]):
        write_predictions(make_predictions(scores), path)
        assert run_cli("inspect", path, "--csv", table).code == 0
        assert len(table.read_text().splitlines()) == 1 + len(scores)


def test_where_the_model_abstains_is_said(run_cli: RunCli, tmp_path: Path) -> None:
    sets = PredictionSets(np.array([[True, True], [False, True]]), {"alpha": 0.2})
    path = write_predictions(make_predictions([0.25, 0.875]), tmp_path / "p.parquet", sets=sets)
    done = run_cli("inspect", path, "--top", "2", "--csv", tmp_path / "p.csv", "--json")
    found = json.loads(done.out)
    assert (found["without_decision"], found["abstention_alpha"]) == (1, 0.2)
    assert [(row["conversation"], row["decision"]) for row in found["highest"]] == [("c1", 1), ("c0", None)]
    lines = (tmp_path / "p.csv").read_text(encoding="utf-8-sig").splitlines()
    assert lines[0].endswith(",predicted,prediction_set,decision")
    assert [line.split(",")[-2:] for line in lines[1:]] == [["0; 1", ""], ["1", "1"]]


def test_what_has_no_rows_has_no_highest(run_cli: RunCli, tmp_path: Path, small_corpus: Path) -> None:
    for flag, value in (("--top", "3"), ("--csv", tmp_path / "x.csv")):
        done = run_cli("inspect", small_corpus, flag, value)
        assert done.code == 2 and f"{flag} reads the rows of a predictions file" in done.err
    empty = write_predictions(make_predictions([0.5]).select([]), tmp_path / "empty.parquet")
    assert "no rows to list" in run_cli("inspect", empty, "--top", "3").out
    assert json.loads(run_cli("inspect", empty, "--top", "3", "--json").out)["highest"] == []
