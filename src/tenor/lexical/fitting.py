"""Fitting the lexical model, and scoring texts by models that saw nothing of their group.

Knows nothing of what the groups are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tenor.errors import UsageError
from tenor.lexical.logistic import fit_logistic, fit_ratios
from tenor.lexical.model import LexicalModel
from tenor.lexical.weighting import SPACE, Ngrams, Weighting, as_counts, keep_ngrams, weigh
from tenor.logits import log_loss
from tenor.seeding import derive_seed

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

#: C of the logistic regression; fit_out_of_fold chooses among them, starting from the default.
STRENGTHS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
DEFAULT_STRENGTH = 1.0


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a model is fitted.

    Attributes:
        weighting: of a text's n-grams; those by ``presence`` are scaled by their log-count ratios (see fit_ratios).
        strengths: to choose among, rising.
        first: of the strengths, from which the choice starts.
        ngrams: which are read.
    """

    weighting: Weighting
    strengths: tuple[float, ...]
    first: float
    ngrams: Ngrams = "all"


TFIDF = Recipe("tfidf", STRENGTHS, DEFAULT_STRENGTH)
CHARACTERS = replace(TFIDF, ngrams="characters")
#: Columns are not brought to one length, so long texts want far less strength than short ones; and a text that is far
#: longer than those of training has a logit beyond theirs.
BAYES = Recipe("presence", (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0), 0.03, "words")
CHARACTER_BAYES = replace(BAYES, ngrams="characters")

_MIN_TEXTS = 2  # a column needs n-grams of this many training texts to be kept
_NGRAMS_TO_CHOOSE_BY = 10_000_000  # of a corpus with more only some folds are compared


def fit_lexical(
    texts: Sequence[str] | csr_matrix,
    labels: npt.ArrayLike,
    *,
    num_classes: int = 2,
    strength: float = DEFAULT_STRENGTH,
    importance: FloatArray | None = None,
) -> LexicalModel:
    """Fit on labelled texts; those with label -1 are left out.

    With one class only, or no label at all, the model is constant: the smoothed log odds of the classes.

    Args:
        texts: N texts, or their counts (see count_texts).
        labels: (N,) int in [-1, num_classes).
        num_classes: 2 gives one logit a text, more give one a class.
        strength: C of the logistic regression, the inverse of its regularisation.
        importance: (N,) what each text counts in the regression; None = 1.

    Raises:
        UsageError: labels that do not fit the texts or the number of classes.
    """
    counts = as_counts(texts)
    checked = _check_labels(labels, counts.shape[0], num_classes)
    return _Weighted.of(counts, checked, num_classes, "tfidf").fit(checked >= 0, strength, importance)


def fit_out_of_fold(
    texts: Sequence[str] | csr_matrix,
    labels: npt.ArrayLike,
    groups: npt.ArrayLike,
    *,
    seed: int,
    num_classes: int = 2,
    folds: int = 5,
    recipe: Recipe = TFIDF,
) -> tuple[LexicalModel, FloatArray]:
    """Choose the strength by log loss out of fold, then fit on all texts.

    Starting from the recipe's first, the strength climbs its strengths as long as the loss falls. Which n-grams are
    kept and how common they are is asked of all labelled texts once, those of the fold too, as the corpus's encoder is
    fitted on all training texts; of labels a fold's models see the others' alone.

    Args:
        texts: N texts, or their counts (see count_texts).
        labels: (N,) int in [-1, num_classes).
        groups: (N,) str; a group stands in one fold.
        seed: chooses the folds (see assign_folds).
        num_classes: as for fit_lexical.
        folds: how many.
        recipe: how the model is fitted.

    Returns:
        The model, and the logits out of fold that models of the same strength gave, (N,) or (N, C).

    Raises:
        UsageError: labels or groups that do not fit the texts.
    """
    counts = as_counts(texts)
    checked = _check_labels(labels, counts.shape[0], num_classes)
    codes = assign_folds(checked, groups, seed=seed, folds=folds)
    return fit_in_folds(counts, checked, codes, num_classes=num_classes, folds=folds, recipe=recipe)


def fit_in_folds(
    counts: csr_matrix, labels: IntArray, codes: IntArray, *, num_classes: int, folds: int, recipe: Recipe
) -> tuple[LexicalModel, FloatArray]:
    """The same with the folds known.

    Args:
        counts: (N, columns) of texts, of all their n-grams.
        labels: (N,) in [-1, num_classes).
        codes: (N,) each text's fold.
        num_classes: as for fit_out_of_fold.
        folds: as for fit_out_of_fold.
        recipe: as for fit_out_of_fold.
    """
    counts = keep_ngrams(counts, recipe.ngrams)
    num_compared = min(max(_NGRAMS_TO_CHOOSE_BY // max(counts.nnz, 1), 1), folds)
    compared = (codes < num_compared) & (labels >= 0)
    weighted = _Weighted.of(counts, labels, num_classes, recipe.weighting)
    scored: dict[float, FloatArray] = {}

    def loss(strength: float) -> float:
        if strength not in scored:
            scored[strength] = weighted.score_folds(codes, num_compared, strength)
        return log_loss(scored[strength][compared], labels[compared])

    strengths, place = recipe.strengths, recipe.strengths.index(recipe.first)
    for step in (1, -1):
        while 0 <= place + step < len(strengths) and loss(strengths[place + step]) < loss(strengths[place]):
            place += step
    logits = scored.get(strengths[place])
    if logits is None or num_compared < folds:
        logits = weighted.score_folds(codes, folds, strengths[place])
    return weighted.fit(labels >= 0, strengths[place]), logits


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


def _check_labels(labels: npt.ArrayLike, num_texts: int, num_classes: int) -> IntArray:
    array = np.asarray(labels)
    if array.shape != (num_texts,) or (array.size and array.dtype.kind not in "iub"):
        raise UsageError(f"expected integer labels ({num_texts},), found {array.dtype} {array.shape}")
    if num_classes < 2:
        raise UsageError(f"expected at least 2 classes, found {num_classes}")
    if len(array) and (array.min() < -1 or array.max() >= num_classes):
        raise UsageError(f"expected labels in [-1, {num_classes}), found {array.min()} to {array.max()}")
    return array.astype(np.int64)


@dataclass(frozen=True, slots=True)
class _Weighted:
    """N texts as weights of the K columns that a fit may use.

    Attributes:
        weights: (N, K).
        columns: (K,) that stand in enough labelled texts.
        idf: (K,) of the labelled texts.
        labels: (N,) in [-1, num_classes).
        num_classes: C.
        weighting: of the n-grams.
    """

    weights: csr_matrix
    columns: IntArray
    idf: npt.NDArray[np.float32]
    labels: IntArray
    num_classes: int
    weighting: Weighting

    @classmethod
    def of(cls, counts: csr_matrix, labels: IntArray, num_classes: int, weighting: Weighting) -> _Weighted:
        """The weights of texts that are given by their counts."""
        is_labelled = labels >= 0
        known = counts if is_labelled.all() else counts[np.flatnonzero(is_labelled)]
        document_counts = np.bincount(known.indices, minlength=SPACE.num_columns)
        columns = np.flatnonzero(document_counts >= _MIN_TEXTS)
        # Smoothed idf as in scikit-learn: ln((1 + n) / (1 + df)) + 1.
        idf = np.log((1 + known.shape[0]) / (1 + document_counts[columns])) + 1
        if weighting == "presence":
            idf = np.ones(len(columns))
        weights = weigh(counts, columns, idf.astype(np.float32), weighting)
        return cls(weights, columns, idf.astype(np.float32), labels, num_classes, weighting)

    def fit(
        self, which: npt.NDArray[np.bool_], strength: float, importance: FloatArray | None = None
    ) -> LexicalModel:
        """Fit on some labelled texts (N,); with one class only the model is constant."""
        rows = np.flatnonzero(which)
        weights, labels = self.weights if len(rows) == len(which) else self.weights[rows], self.labels[rows]
        frequencies = np.bincount(labels, minlength=self.num_classes)
        if np.count_nonzero(frequencies) < 2 or not len(self.columns):
            return _constant_model(frequencies, self.weighting)
        if self.weighting == "presence":
            coefficients, intercept = fit_ratios(weights, labels, frequencies, strength)
        else:
            counted = None if importance is None else importance[rows]
            coefficients, intercept = fit_logistic(weights, labels, frequencies, strength, counted)
        return LexicalModel(
            self.columns,
            self.idf,
            coefficients.astype(np.float32),
            intercept.astype(np.float32),
            self.weighting,
        )

    def score_folds(self, codes: IntArray, folds: int, strength: float) -> FloatArray:
        """Logits of the texts in the first `folds` folds, each by a model of all others' labels; zeros elsewhere."""
        outputs = 1 if self.num_classes == 2 else self.num_classes
        logits = np.zeros((len(self.labels), outputs))
        for fold in range(folds):
            held_out = np.flatnonzero(codes == fold)
            if len(held_out):
                model = self.fit((codes != fold) & (self.labels >= 0), strength)
                logits[held_out] = model.intercept
                if len(model.columns):
                    logits[held_out] += self.weights[held_out] @ model.coefficients.astype(np.float64)
        return logits[:, 0] if outputs == 1 else logits


def _constant_model(frequencies: IntArray, weighting: Weighting) -> LexicalModel:
    logs = np.log(frequencies + 0.5)  # the half of Jeffreys' prior keeps an absent class finite
    intercept = logs[1:] - logs[:1] if len(logs) == 2 else logs - logs.mean()
    return LexicalModel(
        np.zeros(0, np.int64),
        np.zeros(0, np.float32),
        np.zeros((0, len(intercept)), np.float32),
        intercept.astype(np.float32),
        weighting,
    )
