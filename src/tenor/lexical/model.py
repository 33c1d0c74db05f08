"""The fitted state of the lexical model: a few arrays, their logits, and what each n-gram and message adds.

Knows nothing of fitting.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tenor.errors import UsageError
from tenor.lexical.weighting import (
    SPACE,
    Weighting,
    as_counts,
    count_texts,
    describe_space,
    find_weighting,
    is_counts,
    weigh,
)
from tenor.ngrams import list_ngrams

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

FloatArray = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]

_TEXTS_AT_A_TIME = 4096


@dataclass(frozen=True, slots=True)
class LexicalModel:
    """A fitted model; K columns are kept, C is 1 for binary labels, else the number of classes.

    Attributes:
        columns: (K,) int64 ascending, the kept columns of SPACE.
        idf: (K,) float32, inverse document frequencies.
        coefficients: (K, C) float32.
        intercept: (C,) float32.
        weighting: what the coefficients are multiplied by; by ``presence`` all of `idf` is 1.
    """

    columns: IntArray
    idf: Float32Array
    coefficients: Float32Array
    intercept: Float32Array
    weighting: Weighting = "tfidf"

    def logits(self, texts: Sequence[str] | csr_matrix) -> FloatArray:
        """Score texts, or their counts (see count_texts): (N,) float64 for binary labels, else (N, C).

        A text's score does not depend on the others, and some thousand of them are in work at a time.
        """
        num_texts = texts.shape[0] if is_counts(texts) else len(texts)
        scores = np.empty((num_texts, self.coefficients.shape[1]))
        for start in range(0, num_texts, _TEXTS_AT_A_TIME):
            block = slice(start, start + _TEXTS_AT_A_TIME)
            weights = self._weigh(as_counts(texts[block]))
            scores[block] = weights @ self.coefficients.astype(np.float64) + self.intercept
        return scores[:, 0] if scores.shape[1] == 1 else scores

    def contributions(self, text: str) -> list[tuple[str, float]] | list[tuple[str, FloatArray]]:
        """What each n-gram of a text adds to its logit; with the intercept they sum to it.

        The n-grams are made anew from the text: the model holds none. N-grams that share a column share its
        weight by their counts.

        Returns:
            (n-gram, weight) by falling magnitude; the weight is (C,) for several classes. Character n-grams
            keep the spaces that stand for word boundaries.
        """
        ngrams = list_ngrams(text, SPACE)
        weights = self._weigh(count_texts([text]))
        column_weights = {
            int(self.columns[place]): weight * self.coefficients[place].astype(np.float64)
            for place, weight in zip(weights.indices, weights.data, strict=True)
        }
        counts: dict[int, float] = {}
        for _, column, count in ngrams:
            counts[column] = counts.get(column, 0.0) + count
        none = np.zeros(self.coefficients.shape[1])
        found = [
            (ngram, column_weights.get(column, none) * (count / counts[column]))
            for ngram, column, count in ngrams
        ]
        found.sort(key=lambda item: (-float(np.abs(item[1]).max()), item[0]))
        if self.coefficients.shape[1] == 1:
            return [(ngram, float(weight[0])) for ngram, weight in found if weight[0]]
        return [(ngram, weight) for ngram, weight in found if weight.any()]

    def message_contributions(self, messages: Sequence[str]) -> FloatArray:
        """What each message of a sequence adds to its logit; with the intercept they sum to it.

        A column's weight is shared by its counts, as in contributions; the pair of a message's last word and
        the line end after it counts half for the next message.

        Args:
            messages: T texts, in order.

        Returns:
            (T,) float64 for binary labels, else (T, C).
        """
        total = count_texts(["\n".join(messages)])
        counts = total[:, self.columns].toarray()[0].astype(np.float64)
        weights = self._weigh(total).toarray()[0] / np.maximum(counts, 1)
        shares = _count_messages(messages)[:, self.columns]
        found: FloatArray = shares @ (weights[:, None] * self.coefficients.astype(np.float64))
        return found[:, 0] if found.shape[1] == 1 else found

    def scale(self, weight: float) -> LexicalModel:
        """The model whose logits are so many times as large."""
        return replace(
            self,
            coefficients=(weight * self.coefficients).astype(np.float32),
            intercept=(weight * self.intercept).astype(np.float32),
        )

    def shift(self, amount: float) -> LexicalModel:
        """The model whose logits are so much higher."""
        return replace(self, intercept=self.intercept + np.float32(amount))

    def to_tensors(self) -> dict[str, npt.NDArray[np.generic]]:
        """The state as named arrays; from_tensors takes them back."""
        return {
            "columns": self.columns,
            "idf": self.idf,
            "coefficients": self.coefficients,
            "intercept": self.intercept,
            "space": describe_space(self.weighting),
        }

    def _weigh(self, counts: csr_matrix) -> csr_matrix:
        return weigh(counts, self.columns, self.idf, self.weighting)

    @classmethod
    def from_tensors(cls, tensors: dict[str, npt.NDArray[np.generic]]) -> LexicalModel:
        """Take back what to_tensors gave.

        Raises:
            UsageError: a tensor is missing, unknown, misshapen, of another dtype or not finite, or the columns
                are those of other n-grams.
        """
        dtypes = {
            "columns": np.int64,
            "idf": np.float32,
            "coefficients": np.float32,
            "intercept": np.float32,
            "space": np.int64,
        }
        if tensors.keys() != dtypes.keys():
            raise UsageError(f"expected the tensors {', '.join(dtypes)}, found {', '.join(sorted(tensors))}")
        for name, dtype in dtypes.items():
            if tensors[name].dtype != dtype:
                raise UsageError(f"{name}: expected {np.dtype(dtype)}, found {tensors[name].dtype}")
            if not np.isfinite(tensors[name].astype(np.float64)).all():
                raise UsageError(f"{name}: expected finite numbers, found others")
        weighting = find_weighting(tensors["space"])
        if weighting is None:
            raise UsageError(
                f"space: expected the n-grams {describe_space().tolist()}, found "
                f"{np.ravel(tensors['space'])[:6].tolist()} (train the model again with this version)"
            )
        columns, coefficients = tensors["columns"].astype(np.int64), tensors["coefficients"]
        if columns.ndim != 1 or coefficients.ndim != 2 or coefficients.shape[1] < 1:
            raise UsageError(
                f"expected columns (K,), coefficients (K, C): {columns.shape} {coefficients.shape}"
            )
        shapes = {"idf": columns.shape, "intercept": coefficients.shape[1:]}
        if coefficients.shape[0] != len(columns) or any(tensors[n].shape != s for n, s in shapes.items()):
            found = ", ".join(f"{name} {tensor.shape}" for name, tensor in tensors.items())
            raise UsageError(f"the tensors' shapes do not fit together: {found}")
        if weighting == "presence" and (tensors["idf"] != 1).any():
            raise UsageError("idf: expected ones, as n-grams count by presence, found others")
        inside = not len(columns) or (columns[0] >= 0 and columns[-1] < SPACE.num_columns)
        if not inside or (np.diff(columns) <= 0).any():
            raise UsageError(f"columns: expected ascending numbers in [0, {SPACE.num_columns})")
        return cls(
            columns,
            tensors["idf"].astype(np.float32),
            coefficients.astype(np.float32),
            tensors["intercept"].astype(np.float32),
            weighting,
        )


def _count_messages(messages: Sequence[str]) -> csr_matrix:
    """Each message's part (T, columns) in the counts of its sequence's text, to which they sum.

    N-grams of characters end with their word, and the line end before a message is its own; what is shared is the
    pair of a message's last word and the next line end.
    """
    from scipy.sparse import csr_matrix

    num_messages = len(messages)
    lines = [*messages[:1], *(f"\n{message}" for message in messages[1:])]
    counts = count_texts(lines)
    if num_messages < 2:
        return counts
    line_ends = count_texts(["\n"] * (num_messages - 1))
    pairs = count_texts([f"{line}\n" for line in lines[:-1]]) - counts[:-1] - line_ends  # one pair a row
    first = np.arange(num_messages - 1)
    halves = (np.full(2 * len(first), 0.5), (np.concatenate([first, first + 1]), np.tile(first, 2)))
    return counts + csr_matrix(halves, shape=(num_messages, len(first))) @ pairs
