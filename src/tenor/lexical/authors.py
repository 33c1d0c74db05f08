"""What the authors in a conversation say of it: each is scored by models of single authors, fitted on their own labels.

Where a conversation's label hangs on the people in it (one of them is abusive; the two differ), the labels of the
people say far more than that of the whole. A conversation is read out of its authors' logits by their mean, highest
and lowest: a line in these three knows "any of them", "all of them" and "they differ". Knows nothing of corpora.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tenor.errors import UsageError
from tenor.lexical.model import LexicalModel
from tenor.lexical.parts import (
    AUTHOR_PARTS,
    Part,
    Tensors,
    join_names,
    naming,
    read_parts,
    require_parts,
    split_names,
)
from tenor.linear import LinearModel

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

FloatArray = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

#: What is read out of the authors' logits: mean, highest, lowest.
_READINGS = 3


@dataclass(frozen=True, slots=True)
class AuthorsModel:
    """Models of an author's text, and the line that reads a conversation's logit out of its authors'.

    Attributes:
        models: by part, of AUTHOR_PARTS; an author's logits are the sum of theirs, J of them (1 for two classes of
            authors, else the number of classes).
        linear: of 3 J columns, see `read_out`.
    """

    models: dict[Part, LexicalModel]
    linear: LinearModel

    def __post_init__(self) -> None:
        expected, found = _READINGS * require_parts(self.models, AUTHOR_PARTS), len(self.linear.coefficients)
        if found != expected:
            raise UsageError(f"expected {expected} coefficients of the authors, found {found}")

    def logits(self, counts: csr_matrix, conversations: Integers, num_conversations: int) -> FloatArray:
        """Score conversations: (S,) for two classes, (S, C) for more.

        Args:
            counts: (A, columns) n-grams of each author's text.
            conversations: (A,) whose author each is, rising.
            num_conversations: S.
        """
        return self.linear.logits(
            read_out(self.score_authors(counts), conversations, num_conversations, self.silence)
        )

    def score_authors(self, texts: Sequence[str] | csr_matrix) -> FloatArray:
        """Logits of authors' texts, or of their counts: (A, J)."""
        total = sum(model.logits(texts) for model in self.models.values())
        return np.asarray(total).reshape(-1, len(self.silence))

    @property
    def silence(self) -> FloatArray:
        """The logits of an author who says nothing: (J,)."""
        return add_intercepts(self.models)

    def scale(self, weight: float) -> AuthorsModel:
        """The model whose logits are so many times as large."""
        return AuthorsModel(self.models, self.linear.scale(weight))

    def message_contributions(self, texts: Sequence[str], authors: Integers) -> tuple[FloatArray, FloatArray]:
        """What each message of a conversation adds to its logit: (T, K), and what belongs to none, (K,).

        A message counts by its author: where the conversation is read out of the highest logit, by whose that is.

        Args:
            texts: T messages, in order.
            authors: (T,) who wrote each, numbers from 0 on.
        """
        found = np.zeros((len(texts), len(self.linear.intercept)))
        rest = self.linear.intercept.copy()
        said = _said_by(texts, authors)
        slopes = self._slopes(said)
        rest += np.einsum("ajk,j->k", slopes, self.silence)
        for author in np.unique(authors).tolist():
            own = said[author]
            for model in self.models.values():
                shares = model.message_contributions(own).reshape(len(own), -1)
                found[authors == author] += shares @ slopes[author]
        return found, rest

    def ngram_contributions(self, texts: Sequence[str], authors: Integers) -> list[tuple[str, FloatArray]]:
        """What n-grams of a conversation's messages add to its logit, (K,) each; one that several say comes again."""
        said = _said_by(texts, authors)
        slopes = self._slopes(said)
        return [
            (ngram, np.atleast_1d(weight) @ slopes[author])
            for author, own in enumerate(said)
            for model in self.models.values()
            for ngram, weight in model.contributions("\n".join(own))
        ]

    def _slopes(self, said: Sequence[Sequence[str]]) -> FloatArray:
        """How the conversation's logits rise with each author's: (A, J, K)."""
        mean, highest, lowest = self.linear.coefficients.reshape(_READINGS, len(self.silence), -1)
        slopes = np.tile(mean / len(said), (len(said), 1, 1))
        scores = self.score_authors(["\n".join(own) for own in said])
        outputs = np.arange(scores.shape[1])
        slopes[scores.argmax(axis=0), outputs] += highest
        slopes[scores.argmin(axis=0), outputs] += lowest
        return slopes

    def to_tensors(self) -> Tensors:
        """The state as named arrays, ``part.name`` and ``linear.name``; from_tensors takes them back."""
        found: dict[str, Tensors] = {str(part): model.to_tensors() for part, model in self.models.items()}
        return join_names({**found, "linear": self.linear.to_tensors()})

    @classmethod
    def from_tensors(cls, tensors: Tensors) -> AuthorsModel:
        """Take back what to_tensors gave.

        Raises:
            UsageError: an unknown part, or arrays that are not a part's.
        """
        by_part = split_names(tensors, (*AUTHOR_PARTS, "linear"))
        with naming("linear"):
            linear = LinearModel.from_tensors(by_part.get("linear", {}))
        return cls(read_parts(by_part), linear)


def add_intercepts(models: Mapping[Part, LexicalModel]) -> FloatArray:
    """What models say of a text without words: (J,)."""
    return np.asarray(sum(model.intercept.astype(np.float64) for model in models.values()))


def read_out(
    scores: FloatArray, conversations: Integers, num_conversations: int, silence: FloatArray
) -> FloatArray:
    """The mean, the highest and the lowest of the authors' logits: (S, 3 J).

    Args:
        scores: (A, J) logits of authors.
        conversations: (A,) whose author each is, rising.
        num_conversations: S.
        silence: (J,) the logits of a conversation in which nobody says anything.
    """
    table = np.tile(silence, (num_conversations, _READINGS))
    counts = np.bincount(conversations, minlength=num_conversations)
    filled = np.flatnonzero(counts)
    if len(filled):
        starts = (np.cumsum(counts) - counts)[filled]
        means = np.add.reduceat(scores, starts, axis=0) / counts[filled, None]
        ends = [np.maximum.reduceat(scores, starts, axis=0), np.minimum.reduceat(scores, starts, axis=0)]
        table[filled] = np.concatenate([means, *ends], axis=1)
    return table


def _said_by(texts: Sequence[str], authors: Integers) -> list[list[str]]:
    """Each author's messages, in order; where nobody says anything there is one who is silent."""
    said: list[list[str]] = [[] for _ in range(int(authors.max(initial=0)) + 1)]
    for author, text in zip(authors.tolist(), texts, strict=True):
        said[author].append(text)
    return said
