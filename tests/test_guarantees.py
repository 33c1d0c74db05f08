"""docs/guarantees.md stays true: every test that it names exists, and no promise or fault is left out."""

from __future__ import annotations

import ast
import re
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "guarantees.md"


def find_references(page: str) -> list[tuple[str, str]]:
    """The tests that a page names as (file, name); a name may end in ``*``."""
    return re.findall(r"`(tests/[\w/]+\.py)::(test_\w+\*?)`", page)


@cache
def list_tests(path: Path) -> set[str]:
    """The test functions of a file; empty where there is none."""
    if not path.is_file():
        return set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def find_missing(page: str) -> list[str]:
    """References to tests that do not exist."""
    return [
        f"{file}::{pattern}"
        for file, pattern in find_references(page)
        if not any(fnmatchcase(name, pattern) for name in list_tests(ROOT / file))
    ]


def test_every_test_that_is_named_exists() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert len(find_references(page)) > 80
    assert page.count("tests/") == len(find_references(page))  # none is written in another way
    assert find_missing(page) == []


def test_a_reference_to_nothing_is_found() -> None:
    page = "`tests/test_guarantees.py::test_every_*` `tests/test_guarantees.py::test_gone` `tests/gone.py::test_x`"
    assert find_missing(page) == ["tests/test_guarantees.py::test_gone", "tests/gone.py::test_x"]


def test_no_promise_and_no_fault_is_left_out() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert re.findall(r"^## (\d)\. ", page, re.MULTILINE) == [str(number) for number in range(1, 8)]
    assert re.findall(r"^\| (\d+) ", page, re.MULTILINE) == [str(number) for number in range(1, 43)]
