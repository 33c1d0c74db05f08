"""Hashed n-gram counts: equal to scikit-learn's for any text whatever."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix, hstack
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.utils import murmurhash3_32

from tenor import ngrams
from tenor.ngrams import NgramSpace, count_ngrams, list_ngrams

SPACE = NgramSpace(word_columns=1 << 9, char_columns=1 << 10, char_sizes=(2, 4))

HARD_TEXTS = [
    "",
    "a",
    "  \t\n ",
    "\u3000wide\u00a0space\u3000",
    "You're right, aren't you?!",
    "你好世界",
    "สวัสดีครับ",
    "İstanbul ΣΑΣ ß ﬁ",
    "👍🏽 👨‍👩‍👧 :-)",
    "nul \x00 inside",
    "\u200f\u05e9\u05dc\u05d5\u05dd\u200e",
    "x" * 300 + " " + "é" * 90,
    "one two one two one",
    "http://example.org/" + "a/b/" * 40,
]


def count_with_scikit_learn(texts: list[str], space: NgramSpace) -> csr_matrix:
    words = HashingVectorizer(
        n_features=space.word_columns, ngram_range=(1, 2), alternate_sign=False, norm=None,
        token_pattern=r"(?u)\w+|[^\w\s]+|\n" if space.marks else r"(?u)\b\w+\b",
    )  # fmt: skip
    chars = HashingVectorizer(
        n_features=space.char_columns, ngram_range=space.char_sizes, analyzer="char_wb", alternate_sign=False,
        norm=None,
    )  # fmt: skip
    return csr_matrix(hstack([words.transform(texts), chars.transform(texts)]))


@pytest.mark.parametrize("sizes", [(2, 4), (2, 2), (3, 5), (2, 6)])
def test_equals_scikit_learn(sizes: tuple[int, int]) -> None:
    space = NgramSpace(1 << 9, 1000, sizes)
    found = count_ngrams(HARD_TEXTS, space)
    assert (found.dtype, found.shape) == (np.float32, (len(HARD_TEXTS), 1512))
    assert found.has_sorted_indices
    np.testing.assert_array_equal(found.toarray(), count_with_scikit_learn(HARD_TEXTS, space).toarray())


@pytest.mark.parametrize("marks", [False, True])
@pytest.mark.parametrize("text", [*HARD_TEXTS, "b?! a\n\nb?! a"])
def test_listed_ngrams_are_those_that_are_counted(text: str, marks: bool) -> None:
    space = NgramSpace(1 << 9, 1000, (2, 4), marks)
    found = list_ngrams(text, space)
    counts = np.zeros(space.num_columns)
    for _, column, count in found:
        counts[column] += count
    np.testing.assert_array_equal(counts, count_ngrams([text], space).toarray()[0])
    words, chars = (
        [ngram for ngram, column, _ in found if (column < space.word_columns) == is_word]
        for is_word in (True, False)
    )
    assert len(set(words)) == len(words) and len(set(chars)) == len(chars)
    assert [ngram for ngram, _, _ in found] == words + chars


def test_listed_ngrams_by_hand() -> None:
    found = list_ngrams("Go! go!", NgramSpace(marks=True, char_sizes=(3, 4)))
    assert [(ngram, count) for ngram, _, count in found] == [
        ("go", 2), ("!", 2), ("go !", 2), ("! go", 1), (" go", 2), ("go!", 2), ("o! ", 2), (" go!", 2), ("go! ", 2),
    ]  # fmt: skip


def test_marks_equal_scikit_learn() -> None:
    space = NgramSpace(1 << 9, 1000, (2, 4), marks=True)
    texts = [*HARD_TEXTS, "\n", "a\n\nb?! ...\n", "well, no -- yes :-) (it's)"]
    np.testing.assert_array_equal(
        count_ngrams(texts, space).toarray(), count_with_scikit_learn(texts, space).toarray()
    )
    assert space.find_tokens("it's 9.\nno") == ["it", "'", "s", "9", ".", "\n", "no"]


@settings(max_examples=60)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=40), min_size=1, max_size=6))
def test_equals_scikit_learn_on_any_text(texts: list[str]) -> None:
    np.testing.assert_array_equal(
        count_ngrams(texts, SPACE).toarray(), count_with_scikit_learn(texts, SPACE).toarray()
    )


def test_one_word_by_hand() -> None:
    """A token, and of the word with a space at either end all pairs, triples and the whole."""
    expected = np.zeros(SPACE.num_columns)
    expected[abs(murmurhash3_32("ab")) % 512] += 1
    for ngram in (" a", "ab", "b ", " ab", "ab ", " ab "):
        expected[512 + abs(murmurhash3_32(ngram)) % 1024] += 1
    np.testing.assert_array_equal(count_ngrams(["Ab"], SPACE).toarray()[0], expected)


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = HARD_TEXTS * 3
    whole = count_ngrams(texts, SPACE).toarray()
    monkeypatch.setattr(ngrams, "_CHUNK_CHARACTERS", 50)
    np.testing.assert_array_equal(count_ngrams(texts, SPACE).toarray(), whole)
    monkeypatch.setattr(ngrams, "_CHUNK_CHARACTERS", 10**6)
    monkeypatch.setattr(ngrams, "_CHUNK_ROWS", 2)
    monkeypatch.setattr(ngrams, "_SPANS_AT_A_TIME", 11)
    np.testing.assert_array_equal(count_ngrams(texts, SPACE).toarray(), whole)


def test_no_texts_and_empty_texts() -> None:
    assert count_ngrams([], SPACE).shape == (0, SPACE.num_columns)
    assert count_ngrams(["", " "], SPACE).nnz == 0


def test_lone_surrogate_is_counted_and_not_refused() -> None:
    assert count_ngrams(["\ud800 b"], SPACE).nnz > 0


def test_the_least_integer_has_a_column() -> None:
    """abs(-2**31) overflows; scikit-learn defines its column as 2**31 modulo the columns."""
    hashes = np.array([2**31, 2**31 + 1, 5], np.uint32)
    np.testing.assert_array_equal(ngrams._columns(hashes, 1000), [2**31 % 1000, (2**31 - 1) % 1000, 5])
