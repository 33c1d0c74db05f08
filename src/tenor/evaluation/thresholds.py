"""Thresholds of predictions: chosen by a rule on the validation rows, with how sure they are.

Never sees a test row: choose_threshold refuses them. Needs predictions alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from tenor.corpus.corpus import Corpus
from tenor.corpus.growth import describe_hash, has_only_grown
from tenor.corpus.views import view_sequences
from tenor.errors import SplitError
from tenor.metrics.objectives import ThresholdRule, parse_rule
from tenor.metrics.thresholds import Threshold
from tenor.models.metadata import ModelMetadata
from tenor.predictions import Predictions

#: Where the thresholds of profiles are chosen whose training authors were scored out of fold.
ON_TRAINING_TOO = "training authors out of fold and validation"

#: A threshold chosen again may differ by so much from the one in the file: scores differ in the last bits.
_SAME = 1e-4


def choose_by_rule(
    predictions: Predictions,
    rule: str | ThresholdRule = "f1",
    *,
    seed: int = 0,
    splits: Sequence[str] = ("validation",),
) -> Threshold:
    """Choose a threshold on the labelled validation rows; its interval comes from resampling their groups.

    Args:
        predictions: with validation rows; others are not looked at.
        rule: such as ``"f1"`` or ``"recall_at_precision:0.9"``; see tenor.metrics.objectives.FORMS.
        seed: of the bootstrap.
        splits: whose rows decide; train's only where they were scored out of fold.

    Raises:
        UsageError: an unknown rule, several classes, or test among the splits.
        SplitError: no labelled validation row.
    """
    known = predictions.select(np.isin(np.asarray(predictions.splits), splits)).labelled()
    if len(known) == 0:
        raise SplitError("a threshold is chosen on validation, and there is no labelled validation row")
    parsed = rule if isinstance(rule, ThresholdRule) else parse_rule(rule)
    return parsed.choose(known.labels, known.probs, groups=known.groups, splits=known.splits, seed=seed)


def apply_rule(
    predictions: Predictions, rule: str | ThresholdRule = "f1", *, seed: int = 0
) -> tuple[Predictions, dict[str, Any]]:
    """Give predictions the threshold of a rule; the second value describes it, ready for JSON.

    Raises:
        UsageError, SplitError: as choose_by_rule.
    """
    chosen = choose_by_rule(predictions, rule, seed=seed)
    return replace(predictions, threshold=chosen.value, threshold_rule=str(rule)), asdict(chosen)


def describe_threshold(
    predictions: Predictions, objective: str | None, stored: Mapping[str, Any] | None = None
) -> dict[str, Any] | None:
    """How sure the threshold is that predictions come with, ready for JSON; None where there is none.

    It is chosen anew on these validation rows; where that gives another one, it was chosen on other rows, and
    these say nothing of it.

    Args:
        predictions: with their threshold.
        objective: the rule that it was chosen by, as the model file says; None = not known.
        stored: of describe_stored; where it is of the same threshold, it says how sure that is.
    """
    value = predictions.threshold
    if value is None:
        return None
    if stored is not None and stored.get("value") == value:
        return dict(stored)
    unknown: dict[str, Any] = {
        "value": value,
        "objective": objective,
        "parameters": [],
        "score": None,
        "low": None,
        "high": None,
    }
    if objective is None:
        return unknown | {"warning": "the model file does not say how it was chosen"}
    if not (predictions.in_split("validation").labels >= 0).any():
        return unknown | {"warning": "chosen elsewhere: there is no labelled validation row here"}
    chosen = choose_by_rule(predictions, objective)
    if abs(chosen.value - value) > _SAME and predictions.calibration is not None:
        return unknown | {"warning": "chosen before the probabilities were calibrated: no interval is known"}
    if abs(chosen.value - value) > _SAME:
        return unknown | {"warning": "chosen on other rows than this corpus's validation"}
    return asdict(chosen) | {"value": value}


def describe_splits(metadata: ModelMetadata, corpus: Corpus) -> str | None:
    """What to know where a model was trained under other splits than those that it is measured on, in a sentence.

    It may be a corpus of other people, or the same one divided anew, of whose test split the model knows a good part.
    Where nothing is labelled there is nothing to know, nor where both corpora split by the same hash of their groups'
    ids, or the corpus was only appended to: all that stood there keeps its split.
    """
    if metadata.split_hash is None or not corpus.info.classes[metadata.level]:
        return None
    if corpus.info.split_hash == metadata.split_hash:
        return None
    by_hash = metadata.training.get("splits")
    if by_hash is not None and by_hash == describe_hash(view_sequences(corpus, metadata.level)):
        return None
    if has_only_grown(corpus, metadata.split_hash):
        return None
    return (
        "the model was trained under other splits than this corpus has: if it was trained on conversations that stand "
        "here, they may be in test, and these numbers too good"
    )


def describe_stored(metadata: ModelMetadata, corpus: Corpus | None) -> dict[str, Any] | None:
    """How the threshold of the aggregation in a model's file was chosen, and on what; None where that is not known.

    Args:
        metadata: of the model.
        corpus: that is scored; None = not at hand.
    """
    choice = metadata.trained_choice
    if choice is None:
        return None
    config = metadata.training.get("config", {})
    is_own = corpus is not None and (config.get("corpus"), config.get("split_hash")) == (
        corpus.info.fingerprint,
        corpus.info.split_hash,
    )
    where = "" if is_own else " of the corpus that the model was trained on"
    return {**choice, "chosen_on": f"{ON_TRAINING_TOO}{where}"}
