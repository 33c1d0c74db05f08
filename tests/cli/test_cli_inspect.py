"""What `tenor inspect` says of values, and of paths that are none of the three kinds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tenor.cli.inspect import flatten_fields, format_field

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
