"""Tables and JSON: numbers, alignment, and text that cannot command a terminal."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tenor.cli import output
from tenor.cli.output import (
    clean_line,
    count_reads,
    format_cell,
    group_remarks,
    print_fields,
    print_json,
    print_metrics,
    print_table,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0.123456, "0.1235"),
        (1.0, "1.0000"),
        (0.0, "0.0000"),
        (0.00005, "0.0001"),
        (0.00004, "<0.0001"),
        (-1e-9, ">-0.0001"),
        (float("inf"), "inf"),
        (1234567, "1,234,567"),
        (True, "True"),
        ("größer 日本", "größer 日本"),
        ("a\tb\x1b]0;x\x07", "a\\tb\\x1b]0;x\\x07"),
    ],
)
def test_cells(value: object, text: str) -> None:
    assert format_cell(value) == text


def test_text_of_users_reaches_the_terminal_harmless() -> None:
    assert clean_line("a\nb\r\x9b\u200b\u202e") == "a\\nb\\r\\x9b\\u200b\\u202e"


def test_a_table_shows_every_cell_with_numbers_flush_right(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["name", "count"], [["[bold]a[/]", 5], ["b", 12345], ["c", None]], title="t", caption="why")
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert [line.split() for line in lines if line.strip(" ─")] == [
        ["t"],
        ["name", "count"],
        ["[bold]a[/]", "5"],
        ["b", "12,345"],
        ["c", "–"],
        ["why"],
    ]
    ends = {len(line) for line in lines if line.endswith(("5", "12,345", "–"))}
    assert len(ends) == 1


def test_fields_are_one_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    print_fields({"rows": 3, "threshold": None}, title="x")
    assert [line.split() for line in capsys.readouterr().out.splitlines() if line.strip(" ─")] == [
        ["x"],
        ["rows", "3"],
        ["threshold", "–"],
    ]


def test_json_takes_paths_and_numpy(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"path": Path("a/b"), "count": np.int64(3), "scores": np.array([0.5, 1.0]), "none": None})
    assert json.loads(capsys.readouterr().out) == {
        "path": "a/b",
        "count": 3,
        "scores": [0.5, 1.0],
        "none": None,
    }
    with pytest.raises(TypeError, match="no JSON for set"):
        print_json({1})


def test_metrics_that_are_not_known_say_why(capsys: pytest.CaptureFixture[str]) -> None:
    from tenor.metrics.scores import calculate_metrics

    print_metrics({"test": calculate_metrics([1, 1], [0.2, 0.9], 0.5)}, title="m")
    out = capsys.readouterr().out
    assert "ROC AUC" not in out.split("test: ")[0]
    assert "test: no ROC AUC, avg. precision: every label is of one class" in out


def test_what_holds_of_all_rows_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    from tenor.metrics.scores import calculate_metrics

    alarms, none = ([0.2, 0.9], 0.5), ([0.2, 0.3], 0.5)
    rows = {"model": alarms, "length": alarms, "majority": none}
    print_metrics({name: calculate_metrics([0, 0], *scores) for name, scores in rows.items()}, title="m")
    assert capsys.readouterr().out.splitlines()[-3:] == [
        "no recall, ROC AUC, avg. precision: no row is labelled positive",
        "majority: no precision: no row reaches the threshold",
        "majority: no F1: no row is labelled positive",
    ]


def test_remarks_are_grouped() -> None:
    remarks = {"a": {"x": "few", "y": "few", "z": "none"}, "b": {"x": "few", "y": "few"}, "c": {"x": "few"}}
    assert group_remarks(remarks) == [
        (("a", "b", "c"), ("x",), "few"),
        (("a", "b"), ("y",), "few"),
        (("a",), ("z",), "none"),
    ]
    assert group_remarks({"a": {}}) == []


@pytest.mark.parametrize("stored", [True, False])
def test_metrics_of_several_classes_need_no_word_on_thresholds(
    capsys: pytest.CaptureFixture[str], stored: bool
) -> None:
    from tenor.metrics.scores import calculate_metrics

    metrics = calculate_metrics([0, 1, 2], np.eye(3))
    if stored:  # as in a model file, of which `tenor train` shows them
        del metrics["threshold"]
    print_metrics({"validation": metrics}, title="m")
    out = capsys.readouterr().out
    assert "accuracy" in out
    assert "no threshold" not in out
    assert "no positives" not in out


@pytest.mark.parametrize(
    ("metrics", "sentence"),
    [
        ({}, ""),
        ({"test_reads": 1}, "the test split was read for the first time at this level"),
        ({"test_reads": 4}, "the test split was read 4 times at this level"),
    ],
)
def test_reads_of_test_are_said(metrics: dict[str, int], sentence: str) -> None:
    assert count_reads(metrics) == sentence


@pytest.mark.parametrize(
    ("room", "widest", "heading"), [(140, 113, "precision"), (80, 75, "prec."), (40, 70, "prec.")]
)
def test_no_terminal_is_so_narrow_that_a_number_breaks(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, room: int, widest: int, heading: str
) -> None:
    monkeypatch.setattr(output, "PLAIN_WIDTH", room)
    metrics = {
        "count": 12_404, "positives": 221, "accuracy": 0.604, "precision": 0.5854, "recall": 0.9457,
        "f1": 0.7232, "roc_auc": 0.7173, "average_precision": 0.7495, "threshold": 0.3827,
    }  # fmt: skip
    print_metrics({"majority": metrics}, title="a title")
    lines = capsys.readouterr().out.splitlines()
    numbers = ["12,404", "221", "0.6040", "0.5854", "0.9457", "0.7232", "0.7173", "0.7495", "0.3827"]
    assert [line.split() for line in lines if "majority" in line] == [["majority", *numbers]]
    assert max(map(len, lines)) == widest
    assert any(heading in line.split() for line in lines)


def test_texts_are_broken_between_words_before_headings_are_shortened(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "PLAIN_WIDTH", 40)
    words = [f"word{index}" for index in range(12)]
    print_table(["threshold", "finding"], [[0.5, " ".join([*words, "a" * 60])]])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 40
    assert lines[1].split() == ["threshold", "finding"]
    said = " ".join(lines[3:]).split()
    assert said[:13] == ["0.5000", *words]
    assert "".join(said[13:]) == "a" * 60


def test_a_range_is_broken_after_its_dash_where_it_must_be(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for room, expected in (
        (24, [["a", "0.1–0.2", "0.3–0.4"]]),
        (11, [["a", "0.1–", "0.3–"], ["0.2", "0.4"]]),
    ):
        monkeypatch.setattr(output, "PLAIN_WIDTH", room)
        print_table(["", "F1", "x"], [["a", "0.1–0.2", "0.3–0.4"]])
        lines = capsys.readouterr().out.splitlines()
        assert [line.split() for line in lines if "0." in line] == expected
        assert max(map(len, lines)) <= room
