"""The baselines' profiles, made as the model's are: what is learned of scores is learned of each one's own.

Knows nothing of models.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tenor.aggregation.fixed import LabelRule
from tenor.baselines import MAJORITY, score_baselines_out_of_fold
from tenor.corpus.corpus import Corpus
from tenor.corpus.views import view_sequences
from tenor.errors import TrainingError
from tenor.evaluation.aggregation import REFERENCE, profile_predictions
from tenor.evaluation.labels import with_classes
from tenor.evaluation.learned import ATTENTIONS
from tenor.predictions import Predictions


def aggregate_on_training(
    tables: Mapping[str, Predictions],
    corpus: Corpus,
    aggregation: str,
    *,
    profile_label: LabelRule = "majority",
    threshold: str = "f1",
    seed: int = 0,
) -> tuple[dict[str, Predictions], tuple[str, ...]]:
    """Aggregate baselines' sequences by what is learned of their own scores of training, out of fold.

    Args:
        tables: name -> predictions of sequences; {} = no baselines.
        corpus: that they were fitted on.
        aggregation: the model's.
        profile_label: see profile_predictions.
        threshold: see profile_predictions.
        seed: of what is learned.

    Returns:
        name -> profiles, and what to know of them: where training has too few groups, they are by the mean.
    """
    options: dict[str, Any] = {"profile_label": profile_label, "threshold": threshold, "seed": seed}
    if not tables:
        return {}, ()
    try:
        classes = next(iter(tables.values())).classes
        training = score_baselines_out_of_fold(with_classes(view_sequences(corpus, "author"), classes))
        return _aggregate_all(tables, aggregation, training, options), ()
    except TrainingError as error:
        found = aggregate_baselines(tables, REFERENCE, **options)
        return found, (f"the baselines' profiles are by the {REFERENCE}: {error}",)


def aggregate_baselines(
    tables: Mapping[str, Predictions],
    aggregation: str,
    *,
    profile_label: LabelRule = "majority",
    threshold: str = "f1",
    out_of_fold: Mapping[str, Predictions] | None = None,
    seed: int = 0,
) -> dict[str, Predictions]:
    """Aggregate baselines' sequences as the model's are: by the mean where that is attention, or cannot be fitted.

    The majority's scores are all the same, and so are its profiles': the mean, at the threshold of its sequences.

    Args:
        tables: name -> predictions of sequences.
        aggregation: the model's.
        profile_label: see profile_predictions.
        threshold: see profile_predictions.
        out_of_fold: each one's own scores out of fold, where the model's aggregation was fitted to such.
        seed: see profile_predictions.
    """
    training = {} if out_of_fold is None else out_of_fold
    options: dict[str, Any] = {"profile_label": profile_label, "threshold": threshold, "seed": seed}
    if aggregation not in (REFERENCE, *ATTENTIONS):
        try:
            return _aggregate_all(tables, aggregation, training, options)
        except TrainingError:
            pass
    return _aggregate_all(tables, REFERENCE, training, options)


def _aggregate_all(
    tables: Mapping[str, Predictions],
    aggregation: str,
    training: Mapping[str, Predictions],
    options: dict[str, Any],
) -> dict[str, Predictions]:
    found = {
        name: profile_predictions(table, (aggregation,), out_of_fold=training.get(name), **options)[
            aggregation
        ]
        for name, table in tables.items()
    }
    if MAJORITY in tables:
        constant = profile_predictions(tables[MAJORITY], (REFERENCE,), **options)[REFERENCE]
        found[MAJORITY] = replace(constant, threshold=tables[MAJORITY].threshold)
    return found
