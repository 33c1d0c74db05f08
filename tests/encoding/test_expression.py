"""The encoder expression: what it means, and what is refused."""

from __future__ import annotations

import pytest

from tenor.encoding.expression import EncoderTerm, parse_encoder
from tenor.errors import UsageError


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("lsa", [("lsa", "")]),
        (" lsa + dynamics ", [("lsa", ""), ("dynamics", "")]),
        ("sentence:org/name+lsa", [("sentence", "org/name"), ("lsa", "")]),
        ("static:/data/c++/model", [("static", "/data/c++/model")]),
        ("static:/a+b+static:/c+dynamics", [("static", "/a+b"), ("static", "/c"), ("dynamics", "")]),
        ("static:C:/models/x", [("static", "C:/models/x")]),
        ("like:runs/lsa+dynamics-corpus", [("like", "runs/lsa+dynamics-corpus")]),
    ],
)
def test_terms(expression: str, expected: list[tuple[str, str]]) -> None:
    assert parse_encoder(expression) == tuple(EncoderTerm(kind, source) for kind, source in expected)


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("bert", r"unknown encoder 'bert': expected one of lsa, dynamics, static:PATH_OR_HUB_ID, sentence:"),
        ("", r"unknown encoder ''"),
        ("lsa+tfidf", r"unknown encoder 'lsa\+tfidf'"),
        ("lsa:256", r"expected lsa, found 'lsa:256'"),
        ("lsa:", r"expected lsa, found 'lsa:'"),
        ("static", r"expected static:PATH_OR_HUB_ID, found 'static'"),
        ("sentence:", r"expected sentence:PATH_OR_HUB_ID, found 'sentence:'"),
        ("lsa+dynamics+lsa", r"lsa is named twice"),
        ("like:corpus+dynamics", r"like:ANALYZED_CORPUS stands alone"),
    ],
)
def test_what_is_refused(expression: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_encoder(expression)
