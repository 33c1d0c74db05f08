"""What a model has to beat: the class frequencies, the length, the words, the pooled features, and a blend.

All are fitted on the labelled training sequences of a view and score its validation and test sequences, in
seconds and without torch. Knows nothing of the SequenceClassifier that they stand beside.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from tenor.arrays import release_memory
from tenor.corpus.audit import require_both_classes
from tenor.corpus.ordering import blocks_of_messages
from tenor.corpus.sampling import MAX_FIT_CHARACTERS, join_texts, sample_groups
from tenor.corpus.schema import SPLITS, UNLABELLED
from tenor.corpus.views import SequenceView
from tenor.lexical import assign_folds, fit_out_of_fold
from tenor.linear import STRENGTHS, fit_linear
from tenor.logits import log_loss, to_probs
from tenor.metrics.thresholds import choose_threshold
from tenor.pooled import pool_features
from tenor.predictions import Predictions, concatenate_predictions
from tenor.strings import Strings

Baseline = Literal["majority", "length", "lexical", "pooled", "blend"]
BASELINES: tuple[Baseline, ...] = get_args(Baseline)

#: The one whose scores are all the same.
MAJORITY: Baseline = "majority"

#: Messages scored at a time, and numbers of theirs.
_BLOCK_MESSAGES, _BLOCK_NUMBERS = 16_384, 1 << 20

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def fit_baselines(view: SequenceView, *, max_characters: int = MAX_FIT_CHARACTERS) -> dict[str, Predictions]:
    """Fit every baseline that the corpus allows and score the sequences of validation and test.

    * ``majority``: the training classes' frequencies, the same for all; its threshold is .5.
    * ``length``: logistic regression on the logs of 1 + messages and, with text, of 1 + characters.
    * ``lexical``: TF-IDF of hashed n-grams and logistic regression, its C by log loss out of fold on training groups
      (see tenor.lexical); needs text.
    * ``pooled``: mean and maximum of the features and the log length, standardised, then logistic regression
      whose C is the best of three by log loss on validation; needs features.
    * ``blend``: the sum of the standardised logits of lexical and pooled, on the mean of their scales.

    Args:
        view: sequences of one level with all their splits.
        max_characters: all but majority are fitted on about so many characters of training text, a draw of groups
            where there is more.

    Returns:
        name -> predictions, in the order of BASELINES; rows: validation, then test, each in the view's order.
        The thresholds of binary baselines are those for F1 on validation (choose_threshold).

    Raises:
        TrainingError: the training labels are of fewer than two classes.
    """
    require_both_classes(view.in_split("train"))
    data = _prepare(view)
    del view  # of a large corpus that is a good part of what is held
    logits: dict[str, FloatArray] = {MAJORITY: _majority_logits(data)}
    drawn = sample_groups(data.train, seed=0, max_characters=max_characters, what="a baseline")
    data = replace(data, train=data.train.select(drawn).cut_order(), scored=data.scored.cut_order())
    release_memory()
    logits["length"] = _regress(data, _length_table, (1.0,))
    if data.scored.corpus.has_text:
        logits["lexical"] = _lexical_logits(data)
    if data.scored.corpus.info.input_size is not None:
        logits["pooled"] = _regress(data, pool_features, STRENGTHS)
    if "lexical" in logits and "pooled" in logits:
        logits["blend"] = blend_logits(
            [logits["lexical"], logits["pooled"]], data.scored.splits == "validation"
        )
    return _as_predictions(data, logits)


def score_baselines_out_of_fold(
    view: SequenceView, *, folds: int = 5, seed: int = 0
) -> dict[str, Predictions]:
    """Score the training sequences by baselines that were fitted without their fold, as often as there are folds.

    Args:
        view: sequences of one level with all their splits; those of test are not looked at.
        folds: into which the training groups are dealt.
        seed: of the folds.

    Returns:
        name -> predictions of all labelled training sequences, without a threshold.

    Raises:
        TrainingError: a fold leaves training labels of one class.
    """
    known = view.select(np.flatnonzero(view.split_codes != SPLITS.index("test")))
    train, test = SPLITS.index("train"), SPLITS.index("test")
    rows = np.flatnonzero((known.split_codes == train) & (known.labels != UNLABELLED))
    groups = known.groups[rows]
    codes = assign_folds(known.labels[rows], groups, seed=seed, folds=folds)
    parts: dict[str, list[Predictions]] = {}
    for fold in range(folds):
        split_codes = known.split_codes.copy()
        split_codes[rows[codes == fold]] = test
        for name, table in fit_baselines(replace(known, split_codes=split_codes)).items():
            held_out = table.in_split("test")
            held_out = replace(held_out, splits=Strings.of(["train"] * len(held_out)), threshold=None)
            parts.setdefault(name, []).append(held_out)
    return {name: concatenate_predictions(tables) for name, tables in parts.items()}


@dataclass(frozen=True, slots=True)
class _Data:
    """The view's rows in use.

    Attributes:
        train: labelled training sequences.
        scored: those of validation, then those of test.
        num_classes: at least 2.
    """

    train: SequenceView
    scored: SequenceView
    num_classes: int

    @property
    def labels(self) -> IntArray:
        """(N,) of the training sequences."""
        return self.train.labels


def _prepare(view: SequenceView) -> _Data:
    others = [np.flatnonzero(view.split_codes == SPLITS.index(split)) for split in ("validation", "test")]
    scored = view.select(np.concatenate(others))
    return _Data(view.in_split("train").labelled(), scored, len(view.classes))


def _majority_logits(data: _Data) -> FloatArray:
    """The smoothed log odds (binary) or log frequencies of the training classes, for every row."""
    logs = np.log(np.bincount(data.labels, minlength=data.num_classes) + 0.5)
    if data.num_classes == 2:
        return np.full(len(data.scored), logs[1] - logs[0])
    return np.tile(logs - logs.mean(), (len(data.scored), 1))


def _lexical_logits(data: _Data) -> FloatArray:
    texts = [text for _, block in join_texts(data.train) for text in block]
    model, _ = fit_out_of_fold(texts, data.labels, data.train.groups, seed=0, num_classes=data.num_classes)
    del texts
    parts = [model.logits(block) for _, block in join_texts(data.scored)]
    return np.concatenate(parts) if parts else model.logits([])


def _length_table(view: SequenceView) -> npt.NDArray[np.float64]:
    columns = [np.log1p(view.lengths)]
    if view.corpus.has_text:
        sizes = (sum(map(len, messages)) for messages in view.texts())
        columns.append(np.log1p(np.fromiter(sizes, np.float64, len(view))))
    return np.stack(columns, axis=1)


def _regress(
    data: _Data,
    make_table: Callable[[SequenceView], npt.NDArray[np.floating]],
    strengths: tuple[float, ...],
) -> FloatArray:
    """Logistic regression on a table (rows, D): the scored rows' logits, by the best C on validation."""
    known = (data.scored.split_codes == SPLITS.index("validation")) & (data.scored.labels != UNLABELLED)
    table = make_table(data.train)
    models = [
        fit_linear(table, data.labels, num_classes=data.num_classes, strength=strength)
        for strength in strengths
    ]
    del table
    parts: list[list[FloatArray]] = [[] for _ in models]
    width = data.scored.corpus.info.input_size
    size = min(_BLOCK_MESSAGES, max(1, _BLOCK_NUMBERS // (1 if width is None else width)))
    for rows in blocks_of_messages(data.scored.lengths, size):
        block = make_table(data.scored.select(rows))
        for found, model in zip(parts, models, strict=True):
            found.append(model.logits(block))
    none = np.zeros((0,) if data.num_classes == 2 else (0, data.num_classes))
    candidates = []
    for found in parts:
        logits = np.concatenate([none, *found])
        candidates.append((log_loss(logits[known], data.scored.labels[known]), logits))
    return min(candidates, key=lambda candidate: candidate[0])[1]


def blend_logits(parts: list[FloatArray], reference: npt.NDArray[np.bool_]) -> FloatArray:
    """Add standardised logits of several models, on the mean of their scales.

    Args:
        parts: each (N,) or (N, C); several classes are centred by row and share one scale.
        reference: (N,) the rows whose mean and standard deviation standardise; no labels are used. Fewer than
            two rows, or constant logits, leave a part's scale as it is.

    Returns:
        (N,) or (N, C); as many models' mean logit where all have the same mean and scale.
    """
    standardised, means, stds = [], [], []
    for part in parts:
        if part.ndim == 2:
            part = part - part.mean(axis=1, keepdims=True)
        known = part[reference]
        is_scaled = len(known) >= 2 and known.std() > 0
        mean = float(known.mean()) if is_scaled else 0.0
        std = float(known.std()) if is_scaled else 1.0
        standardised.append((part - mean) / std)
        means.append(mean)
        stds.append(std)
    blended: FloatArray = np.mean(standardised, axis=0) * np.mean(stds) + np.mean(means)
    return blended


def _as_predictions(data: _Data, logits: dict[str, FloatArray]) -> dict[str, Predictions]:
    """A table a baseline; what is not a score stands in memory once."""
    rows = data.scored
    known = (rows.split_codes == SPLITS.index("validation")) & (rows.labels != UNLABELLED)
    majority = Predictions(
        level=rows.level,
        classes=rows.classes,
        conversation_ids=rows.conversation_ids,
        authors=rows.authors,
        groups=rows.groups,
        splits=rows.splits,
        labels=rows.labels,
        lengths=rows.lengths,
        logits=logits[MAJORITY],
        probs=to_probs(logits[MAJORITY]),
        threshold=0.5 if data.num_classes == 2 else None,
        model=MAJORITY,
        model_hash="",
    )
    tables: dict[str, Predictions] = {MAJORITY: majority}
    for name, values in logits.items():
        if name != MAJORITY:
            probs, threshold = to_probs(values), None
            if data.num_classes == 2:
                threshold = choose_threshold(rows.labels[known], probs[known]).value
            tables[name] = replace(majority, logits=values, probs=probs, threshold=threshold, model=name)
    return tables
