"""Latent semantic analysis of hashed n-grams: the default encoder, which downloads nothing.

Words and characters (`ngrams`) are weighted by TF-IDF and projected on the leading singular vectors of a
sample of training messages. No vocabulary and no text is kept. Knows nothing of files or of splits.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from tenor.encoding.messages import Messages, require_texts
from tenor.encoding.svd import find_leading_directions
from tenor.errors import UsageError
from tenor.ngrams import NgramSpace, count_ngrams
from tenor.processes import count_cores
from tenor.seeding import derive_seed

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

FloatArray = npt.NDArray[np.float32]

#: At most so many training messages, and characters of them in all, are fitted on. On real chats twice as
#: many raise the share of held-out energy that the components hold by about one part in a hundred.
MAX_FIT_MESSAGES = 16_384
MAX_FIT_CHARACTERS = 4_000_000

#: Components whose singular value is below this share of the first are left zero: float32 weights know no more.
_LEAST_SINGULAR_SHARE = 1e-5
_TEXTS_PER_TASK = 2048


@dataclass(frozen=True, slots=True)
class LsaEncoder:
    """A fitted latent semantic analysis.

    A text's vector is w @ components with w its TF-IDF weights: w_j = (1 + log count_j) * idf_j, scaled to
    length 1, with idf_j = 1 + log((1 + n) / (1 + n_j)) over the n fitted texts, n_j of them with n-gram j.
    These are scikit-learn's ``TfidfTransformer(sublinear_tf=True)`` and ``TruncatedSVD`` (Halko, Martinsson
    and Tropp 2011, doi:10.1137/090771806). An empty text has the zero vector.

    Attributes:
        idf: (D,) float32, D the columns of `space`.
        components: (D, F) float32; columns past the rank of the fitted texts are zero.
        explained_variance: (F,) float32, share of the fitted texts' variance that each component holds.
        space: the hashed n-grams.
    """

    idf: FloatArray
    components: FloatArray
    explained_variance: FloatArray
    space: NgramSpace = field(default_factory=NgramSpace)
    name: ClassVar[str] = "lsa"

    @property
    def input_size(self) -> int:
        """F, the number of components."""
        return int(self.components.shape[1])

    @property
    def feature_names(self) -> tuple[str, ...]:
        """``lsa.0``, ``lsa.1``, ... by falling singular value."""
        return tuple(f"lsa.{index}" for index in range(self.input_size))

    def encode(self, messages: Messages) -> FloatArray:
        """(M, F) float32 vectors of the messages.

        Raises:
            CorpusError: there are no texts.
        """
        return self.encode_texts(require_texts(messages, self.name))

    def encode_texts(self, texts: Sequence[str]) -> FloatArray:
        """(N, F) float32 vectors of N texts, on all cores; a text's bits do not depend on the others."""
        vectors = np.zeros((len(texts), self.input_size), np.float32)

        def encode_range(start: int) -> None:
            part = weigh_ngrams(count_ngrams(texts[start : start + _TEXTS_PER_TASK], self.space), self.idf)
            vectors[start : start + _TEXTS_PER_TASK] = part @ self.components

        starts = range(0, len(texts), _TEXTS_PER_TASK)
        # Threads are enough: numpy and scipy release the interpreter's lock in their loops.
        with ThreadPoolExecutor(count_cores()) as pool:
            for _ in pool.map(encode_range, starts):
                pass
        return vectors

    def to_tensors(self) -> dict[str, npt.NDArray[Any]]:
        """The state as named arrays; rows of `components` that are all zero are left out."""
        columns = np.flatnonzero(self.components.any(axis=1))
        return {
            "idf": self.idf,
            "columns": columns.astype(np.int32),
            "components": np.ascontiguousarray(self.components[columns]),
            "explained_variance": self.explained_variance,
        }

    @classmethod
    def from_tensors(cls, tensors: dict[str, npt.NDArray[Any]], space: NgramSpace) -> LsaEncoder:
        """The encoder that `to_tensors` came from, bit for bit."""
        components = np.zeros((space.num_columns, tensors["components"].shape[1]), np.float32)
        components[tensors["columns"]] = tensors["components"]
        return cls(tensors["idf"], components, tensors["explained_variance"], space)


def fit_lsa(
    texts: Sequence[str], input_size: int, *, seed: int = 0, space: NgramSpace | None = None
) -> LsaEncoder:
    """Fit on texts; the caller sees to it that they are training messages.

    Args:
        texts: N texts, at most about `MAX_FIT_MESSAGES` for speed.
        input_size: F. Where the texts span fewer dimensions (few, short, or alike), the vectors end in zeros.
        seed: of the randomized singular value decomposition.
        space: the hashed n-grams; None = the default one.

    Raises:
        UsageError: input_size is not in 1 ... D.
    """
    space = NgramSpace() if space is None else space
    if not 1 <= input_size <= space.num_columns:
        raise UsageError(f"input_size: expected 1 to {space.num_columns} for lsa, found {input_size}")
    counts = _count(texts, space)
    idf = _fit_idf(counts)
    components = np.zeros((space.num_columns, input_size), np.float32)
    explained_variance = np.zeros(input_size, np.float32)
    rank = min(input_size, int((np.diff(counts.indptr) > 0).sum()))
    if rank > 0:
        weights = weigh_ngrams(counts, idf)
        del counts  # the arrays here are what encoding needs most memory for
        found = find_leading_directions(weights, rank, seed=derive_seed(seed, "lsa") % 2**32)
        kept = int((found.values > _LEAST_SINGULAR_SHARE * found.values[0]).sum())
        if kept == input_size:
            components = found.vectors
        else:
            components[:, :kept] = found.vectors[:, :kept]
        explained_variance[:kept] = found.variance_shares[:kept]
    return LsaEncoder(idf, components, explained_variance, space)


def _count(texts: Sequence[str], space: NgramSpace) -> csr_matrix:
    """(N, D) counts of N texts' n-grams, found on all cores."""
    from scipy.sparse import vstack

    starts = range(0, max(1, len(texts)), _TEXTS_PER_TASK)
    with ThreadPoolExecutor(count_cores()) as pool:
        parts = pool.map(lambda start: count_ngrams(texts[start : start + _TEXTS_PER_TASK], space), starts)
        return vstack(list(parts), format="csr")


def _fit_idf(counts: csr_matrix) -> FloatArray:
    """(D,) inverse document frequencies, smoothed as if one more text held every n-gram once."""
    documents = np.bincount(counts.indices, minlength=counts.shape[1]).astype(np.float32)
    idf: FloatArray = np.log(np.float32(counts.shape[0] + 1) / (documents + np.float32(1))) + np.float32(1)
    return idf


def weigh_ngrams(counts: csr_matrix, idf: FloatArray) -> csr_matrix:
    """(N, D) counts to TF-IDF weights in rows of length 1; empty rows stay empty."""
    from sklearn.preprocessing import normalize

    weights = counts.copy()
    weights.data = (np.log(counts.data) + np.float32(1)) * idf[counts.indices]
    return normalize(weights, copy=False) if counts.nnz else weights
