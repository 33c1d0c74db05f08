"""Errors that cross the border between processes."""

from __future__ import annotations

import copy

import pytest

from tenor.errors import InputError, MissingExtraError, TenorError


@pytest.mark.parametrize(
    "error",
    [
        InputError("expected a string", path="chats.jsonl", line=3, field="label", remedy="quote it"),
        InputError("expected rows", path="chats.jsonl"),
        MissingExtraError("ray", "ray[data]"),
    ],
)
def test_an_error_is_the_same_in_another_process(error: TenorError) -> None:
    again = copy.copy(error)  # made again as a pool of processes does
    assert type(again) is type(error)
    assert str(again) == str(error) and vars(again) == vars(error)
