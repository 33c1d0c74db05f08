"""A linear model of texts: hashed n-grams, TF-IDF, logistic regression.

Words (one and two; runs of punctuation and line ends are words too) and characters inside word boundaries (two
to four) are hashed to columns, so there is no vocabulary to keep: the fitted state is a few arrays. Its
logits are the prior that a SequenceClassifier corrects, and by themselves a baseline. A sequence's text is its
messages, one a line. Knows nothing of corpora, conversations or files.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tenor.errors import UsageError
from tenor.ngrams import NgramSpace, count_ngrams
from tenor.seeding import derive_seed

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

FloatArray = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]

SPACE = NgramSpace(word_columns=1 << 18, char_columns=1 << 18, char_sizes=(2, 4), marks=True)

_MIN_TEXTS = 2  # a column needs n-grams of this many training texts to be kept
# Chosen by out-of-fold AUC over four tasks on three corpora: against words without marks and characters up to
# five, the gain was .000 to .012, with a fifth fewer n-grams.
_WORD_LENGTH = 1.5  # of the vector of words, where that of characters has length 1
_STRENGTH = 1.0  # C of the logistic regression


@dataclass(frozen=True, slots=True)
class LexicalModel:
    """A fitted model; K columns are kept, C is 1 for binary labels, else the number of classes.

    Attributes:
        columns: (K,) int64 ascending, the kept columns of SPACE.
        idf: (K,) float32, inverse document frequencies.
        coefficients: (K, C) float32.
        intercept: (C,) float32.
    """

    columns: IntArray
    idf: Float32Array
    coefficients: Float32Array
    intercept: Float32Array

    def logits(self, texts: Sequence[str] | csr_matrix) -> FloatArray:
        """Score texts, or their counts (see count_texts): (N,) float64 for binary labels, else (N, C)."""
        weights = _weigh(_as_counts(texts), self.columns, self.idf)
        scores: FloatArray = weights @ self.coefficients.astype(np.float64) + self.intercept
        return scores[:, 0] if scores.shape[1] == 1 else scores

    def contributions(self, text: str) -> list[tuple[str, float]] | list[tuple[str, FloatArray]]:
        """What each n-gram of a text adds to its logit; with the intercept they sum to it.

        The n-grams are made anew from the text: the model holds none. N-grams that share a column share its
        weight by their counts.

        Returns:
            (n-gram, weight) by falling magnitude; the weight is (C,) for several classes. Character n-grams
            keep the spaces that stand for word boundaries.
        """
        ngrams = _find_ngrams(text)
        weights = _weigh(count_texts([text]), self.columns, self.idf)
        column_weights = np.zeros((SPACE.num_columns, self.coefficients.shape[1]))
        column_weights[self.columns] = weights.toarray().T * self.coefficients.astype(np.float64)
        counts = np.zeros(SPACE.num_columns)
        for column, count in ngrams.values():
            counts[column] += count
        found = [
            (ngram, column_weights[column] * (count / counts[column]))
            for (_, ngram), (column, count) in ngrams.items()
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
        weights = _weigh(total, self.columns, self.idf).toarray()[0] / np.maximum(counts, 1)
        shares = _count_messages(messages)[:, self.columns]
        found: FloatArray = shares @ (weights[:, None] * self.coefficients.astype(np.float64))
        return found[:, 0] if found.shape[1] == 1 else found

    def to_tensors(self) -> dict[str, npt.NDArray[np.generic]]:
        """The state as named arrays; from_tensors takes them back."""
        return {
            "columns": self.columns,
            "idf": self.idf,
            "coefficients": self.coefficients,
            "intercept": self.intercept,
        }

    @classmethod
    def from_tensors(cls, tensors: dict[str, npt.NDArray[np.generic]]) -> LexicalModel:
        """Take back what to_tensors gave.

        Raises:
            UsageError: a tensor is missing, unknown, misshapen, of another dtype or not finite.
        """
        dtypes = {"columns": np.int64, "idf": np.float32, "coefficients": np.float32, "intercept": np.float32}
        if tensors.keys() != dtypes.keys():
            raise UsageError(f"expected the tensors {', '.join(dtypes)}, found {', '.join(sorted(tensors))}")
        for name, dtype in dtypes.items():
            if tensors[name].dtype != dtype:
                raise UsageError(f"{name}: expected {np.dtype(dtype)}, found {tensors[name].dtype}")
            if not np.isfinite(tensors[name].astype(np.float64)).all():
                raise UsageError(f"{name}: expected finite numbers, found others")
        columns, coefficients = tensors["columns"].astype(np.int64), tensors["coefficients"]
        if columns.ndim != 1 or coefficients.ndim != 2 or coefficients.shape[1] < 1:
            raise UsageError(
                f"expected columns (K,), coefficients (K, C): {columns.shape} {coefficients.shape}"
            )
        shapes = {"idf": columns.shape, "intercept": coefficients.shape[1:]}
        if coefficients.shape[0] != len(columns) or any(tensors[n].shape != s for n, s in shapes.items()):
            found = ", ".join(f"{name} {tensor.shape}" for name, tensor in tensors.items())
            raise UsageError(f"the tensors' shapes do not fit together: {found}")
        inside = not len(columns) or (columns[0] >= 0 and columns[-1] < SPACE.num_columns)
        if not inside or (np.diff(columns) <= 0).any():
            raise UsageError(f"columns: expected ascending numbers in [0, {SPACE.num_columns})")
        return cls(
            columns,
            tensors["idf"].astype(np.float32),
            coefficients.astype(np.float32),
            tensors["intercept"].astype(np.float32),
        )


def count_texts(texts: Sequence[str]) -> csr_matrix:
    """Count hashed n-grams once, for functions that otherwise would each do it: (N, columns) float32."""
    return count_ngrams(texts, SPACE)


def fit_lexical(
    texts: Sequence[str] | csr_matrix, labels: npt.ArrayLike, *, num_classes: int = 2
) -> LexicalModel:
    """Fit on labelled texts; those with label -1 are left out.

    With one class only, or no label at all, the model is constant: the smoothed log odds of the classes.

    Args:
        texts: N texts, or their counts (see count_texts).
        labels: (N,) int in [-1, num_classes).
        num_classes: 2 gives one logit a text, more give one a class.

    Raises:
        UsageError: labels that do not fit the texts or the number of classes.
    """
    counts = _as_counts(texts)
    return _fit(counts, _check_labels(labels, counts.shape[0], num_classes), num_classes)


def out_of_fold_logits(
    texts: Sequence[str] | csr_matrix,
    labels: npt.ArrayLike,
    groups: npt.ArrayLike,
    *,
    seed: int,
    num_classes: int = 2,
    folds: int = 5,
) -> FloatArray:
    """Score each text by a model that saw no text of its group.

    Args:
        texts: N texts, or their counts (see count_texts).
        labels: (N,) int in [-1, num_classes); texts with -1 are scored, never fitted on.
        groups: (N,) str; a group stands in one fold.
        seed: chooses the folds (see assign_folds).
        num_classes: as for fit_lexical.
        folds: how many; fewer where there are fewer groups.

    Returns:
        (N,) float64 for binary labels, else (N, C).

    Raises:
        UsageError: labels or groups that do not fit the texts.
    """
    counts = _as_counts(texts)
    checked = _check_labels(labels, counts.shape[0], num_classes)
    codes = assign_folds(checked, groups, seed=seed, folds=folds)
    logits = np.zeros(len(checked) if num_classes == 2 else (len(checked), num_classes))
    for fold in range(folds):
        held_out = np.flatnonzero(codes == fold)
        if len(held_out):
            others = np.flatnonzero(codes != fold)
            model = _fit(counts[others], checked[others], num_classes)
            logits[held_out] = model.logits(counts[held_out])
    return logits


def assign_folds(labels: npt.ArrayLike, groups: npt.ArrayLike, *, seed: int, folds: int = 5) -> IntArray:
    """Deal groups into folds: stratified by the group's highest label, in an order that follows from the seed.

    Args:
        labels: (N,) int.
        groups: (N,) str.
        seed: of the order.
        folds: at least 2.

    Returns:
        (N,) int64 in [0, folds); the same whatever the order of the rows.

    Raises:
        UsageError: fewer than two folds, or groups that are not (N,).
    """
    values, names = np.asarray(labels), np.asarray(groups, dtype=object)
    if folds < 2:
        raise UsageError(f"expected at least 2 folds, found {folds}")
    if names.shape != values.shape:
        raise UsageError(f"expected groups {values.shape}, found {names.shape}")
    highest: dict[str, int] = {}
    for name, label in zip(names.tolist(), values.tolist(), strict=True):
        highest[name] = max(label, highest.get(name, label))
    dealt = sorted(highest, key=lambda name: (highest[name], derive_seed(seed, "fold", name), name))
    fold_of = {name: position % folds for position, name in enumerate(dealt)}
    return np.fromiter((fold_of[name] for name in names.tolist()), np.int64, len(names))


def _as_counts(texts: Sequence[str] | csr_matrix) -> csr_matrix:
    return texts if hasattr(texts, "indptr") else count_texts(texts)


def _check_labels(labels: npt.ArrayLike, num_texts: int, num_classes: int) -> IntArray:
    array = np.asarray(labels)
    if array.shape != (num_texts,) or (array.size and array.dtype.kind not in "iub"):
        raise UsageError(f"expected integer labels ({num_texts},), found {array.dtype} {array.shape}")
    if num_classes < 2:
        raise UsageError(f"expected at least 2 classes, found {num_classes}")
    if len(array) and (array.min() < -1 or array.max() >= num_classes):
        raise UsageError(f"expected labels in [-1, {num_classes}), found {array.min()} to {array.max()}")
    return array.astype(np.int64)


def _fit(counts: csr_matrix, labels: IntArray, num_classes: int) -> LexicalModel:
    rows = np.flatnonzero(labels >= 0)
    if len(rows) < len(labels):
        counts, labels = counts[rows], labels[rows]
    frequencies = np.bincount(labels, minlength=num_classes)
    document_counts = np.bincount(counts.indices, minlength=SPACE.num_columns)
    columns = np.flatnonzero(document_counts >= _MIN_TEXTS)
    if np.count_nonzero(frequencies) < 2 or not len(columns):
        return _constant_model(frequencies)
    # Smoothed idf as in scikit-learn: ln((1 + n) / (1 + df)) + 1.
    idf = (np.log((1 + len(labels)) / (1 + document_counts[columns])) + 1).astype(np.float32)
    coefficients, intercept = _fit_logistic(_weigh(counts, columns, idf), labels, frequencies)
    return LexicalModel(columns, idf, coefficients.astype(np.float32), intercept.astype(np.float32))


def _constant_model(frequencies: IntArray) -> LexicalModel:
    logs = np.log(frequencies + 0.5)  # the half of Jeffreys' prior keeps an absent class finite
    intercept = logs[1:] - logs[:1] if len(logs) == 2 else logs - logs.mean()
    return LexicalModel(
        np.zeros(0, np.int64),
        np.zeros(0, np.float32),
        np.zeros((0, len(intercept)), np.float32),
        intercept.astype(np.float32),
    )


def _fit_logistic(
    weights: csr_matrix, labels: IntArray, frequencies: IntArray
) -> tuple[FloatArray, FloatArray]:
    """Coefficients (K, C) and intercept (C,); a class without texts gets the intercept of half a text."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    binary = len(frequencies) == 2
    # For far more columns than rows the dual coordinate descent of liblinear is many times faster than L-BFGS.
    solver = {"solver": "liblinear", "dual": True} if binary else {"solver": "lbfgs"}
    model = LogisticRegression(C=_STRENGTH, tol=1e-3, max_iter=200, random_state=0, **solver)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # after 200 rounds what is left does not matter
        model.fit(weights, labels)
    if binary:
        return model.coef_.T, model.intercept_
    present = model.classes_
    if len(present) == 2:  # scikit-learn then gives one logit, for the second
        coefficients = np.concatenate([-model.coef_, model.coef_]) / 2
        intercepts = np.concatenate([-model.intercept_, model.intercept_]) / 2
    else:
        coefficients, intercepts = model.coef_, model.intercept_
    all_coefficients = np.zeros((weights.shape[1], len(frequencies)))
    all_coefficients[:, present] = coefficients.T
    mean_of_present = np.log(frequencies[present]).mean()
    all_intercepts = np.full(len(frequencies), intercepts.mean() + np.log(0.5) - mean_of_present)
    all_intercepts[present] = intercepts
    return all_coefficients, all_intercepts


def _weigh(counts: csr_matrix, columns: IntArray, idf: Float32Array) -> csr_matrix:
    """TF-IDF over the kept columns, (N, K) float64: 1 + ln(count), times idf.

    The words and the characters of a text are each brought to a length of their own, so that the far more
    numerous character n-grams do not drown the words.
    """
    from scipy.sparse import csr_matrix

    place = np.full(SPACE.num_columns, -1, dtype=np.int32)
    place[columns] = np.arange(len(columns), dtype=np.int32)
    kept_columns = place[counts.indices]
    kept = kept_columns >= 0
    num_texts = counts.shape[0]
    is_char = counts.indices[kept] >= SPACE.word_columns
    rows = np.repeat(np.arange(num_texts), np.diff(counts.indptr))[kept]
    kept_columns = kept_columns[kept]
    values = (1.0 + np.log(counts.data[kept].astype(np.float64))) * idf[kept_columns]
    halves = 2 * rows + is_char
    lengths = np.sqrt(np.bincount(halves, weights=values * values, minlength=2 * num_texts))
    values *= np.where(is_char, 1.0, _WORD_LENGTH) / lengths[halves]
    offsets = np.zeros(num_texts + 1, np.int64)
    np.cumsum(np.bincount(rows, minlength=num_texts), out=offsets[1:])
    return csr_matrix((values, kept_columns, offsets.astype(np.int32)), shape=(num_texts, len(columns)))


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


def _find_ngrams(text: str) -> dict[tuple[str, str], tuple[int, int]]:
    """The n-grams of one text: (kind, n-gram) -> (column, count); the same columns as count_texts."""
    from sklearn.utils import murmurhash3_32

    lowered = text.lower()
    tokens = SPACE.find_tokens(lowered)
    found = [("word", token) for token in tokens]
    found += [("word", f"{first} {second}") for first, second in zip(tokens, tokens[1:], strict=False)]
    for word in lowered.split():
        padded = f" {word} "
        for size in range(SPACE.char_sizes[0], SPACE.char_sizes[1] + 1):
            found += [("char", padded[i : i + size]) for i in range(len(padded) - size + 1)]
    ngrams: dict[tuple[str, str], tuple[int, int]] = {}
    for key in found:
        if key in ngrams:
            ngrams[key] = (ngrams[key][0], ngrams[key][1] + 1)
            continue
        kind, ngram = key
        hashed = abs(int(murmurhash3_32(ngram.encode("utf-8", "surrogatepass"))))
        is_word = kind == "word"
        column = hashed % SPACE.word_columns if is_word else SPACE.word_columns + hashed % SPACE.char_columns
        ngrams[key] = (column, 1)
    return ngrams
