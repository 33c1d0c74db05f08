"""How a table of predictions stands on test: with its intervals, and beside baselines on the same rows.

Everything is returned as plain values, ready for JSON. Needs predictions alone, no model and no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tenor.baselines import MAJORITY, fit_baselines
from tenor.corpus.audit import require_clean_splits
from tenor.corpus.corpus import Corpus
from tenor.corpus.sampling import MAX_FIT_CHARACTERS
from tenor.corpus.views import SequenceView, view_sequences
from tenor.errors import SplitError, TrainingError, UsageError, describe_value
from tenor.evaluation.labels import with_classes
from tenor.metrics.comparison import Difference, compare_many
from tenor.metrics.costs import measure_cost
from tenor.metrics.intervals import bootstrap_metrics
from tenor.metrics.objectives import parse_rule
from tenor.metrics.scores import calculate_metrics
from tenor.metrics.verdict import Lead, Verdict, judge_leads
from tenor.predictions import Predictions, find_predicted
from tenor.strings import find_rows

Metrics = dict[str, Any]
Differences = dict[str, dict[str, Difference]]

#: What the model is compared with its baselines by; the first is the one that the verdict is about.
COMPARED_METRICS = ("roc_auc", "average_precision")

#: Of the bootstrap.
REPLICATES = 1000

#: With more rows, differences too take REPLICATES; with fewer what compare_many thinks right for Holm's p.
_MANY_ROWS = 100_000


def measure_test(predictions: Predictions, *, seed: int = 0) -> Metrics:
    """Metrics of the labelled test rows, and under ``intervals`` the 95% interval of each, by resampling groups.

    Args:
        predictions: with test rows.
        seed: of the bootstrap.
    """
    test = predictions.in_split("test").labelled()
    metrics: Metrics = dict(calculate_metrics(test.labels, test.probs, test.threshold))
    found = bootstrap_metrics(
        test.labels, test.probs, test.groups, test.threshold, replicates=REPLICATES, seed=seed
    )
    metrics["intervals"] = {name: asdict(interval) for name, interval in found.items()}
    return metrics


def measure_beside(
    predictions: Predictions, baselines: Mapping[str, Predictions], *, seed: int = 0
) -> Metrics:
    """A model's baselines, and how far it is ahead of them on the same test rows.

    Args:
        predictions: the model's.
        baselines: name -> predictions of the same test rows.
        seed: of the bootstrap.

    Returns:
        ``baselines`` (name -> as measure_test), ``differences`` (name -> metric -> the model's minus the
        baseline's, paired by group, with interval, p and Holm's p over all of them), and ``verdict``: whether the
        model beats the best of them, in a sentence; None without baselines.

    Raises:
        UsageError: a baseline that scores other rows.
    """
    differences = subtract_baselines(predictions, baselines, seed=seed)
    verdict = judge_differences(differences)
    return {
        "baselines": {name: measure_test(table, seed=seed) for name, table in baselines.items()},
        "differences": to_plain(differences),
        "verdict": None if verdict is None else verdict.sentence,
    }


def measure_costs(
    predictions: Predictions, baselines: Mapping[str, Predictions], rule: str, *, seed: int = 0
) -> dict[str, Any] | None:
    """What the decisions on test cost, the baselines' too, and those of calling nobody or everybody positive.

    Args:
        predictions: the model's.
        baselines: name -> predictions of the same test rows.
        rule: by which thresholds were chosen; None is returned for another one than ``cost:...``.
        seed: of the bootstrap.

    Returns:
        ``prices`` of a false alarm and of a miss; and name -> Cost as JSON values, under ``model``, ``baselines``,
        ``nobody`` and ``everybody``.
    """
    parsed, test = parse_rule(rule), predictions.in_split("test").labelled()
    if parsed.objective != "cost" or predictions.threshold is None:
        return None
    prices = (parsed.parameters[0], parsed.parameters[1])

    def price(table: Predictions, decisions: npt.NDArray[np.int64]) -> dict[str, Any]:
        return asdict(measure_cost(table.labels, decisions, prices, groups=table.groups, seed=seed))

    costs: dict[str, Any] = {}
    for name, table in {"": predictions, **baselines}.items():
        rows = table.in_split("test").labelled()
        decided = find_predicted(rows)
        if decided is not None:
            costs[name] = price(rows, decided)
    none = np.zeros(len(test), np.int64)
    return {
        "prices": list(prices),
        "model": costs.pop(""),
        "baselines": costs,
        "nobody": price(test, none),
        "everybody": price(test, none + 1),
    }


def to_plain(differences: Differences) -> dict[str, dict[str, dict[str, Any]]]:
    """Differences as JSON values."""
    return {
        name: {metric: asdict(difference) for metric, difference in found.items()}
        for name, found in differences.items()
    }


def subtract_baselines(
    predictions: Predictions, baselines: Mapping[str, Predictions], *, seed: int = 0
) -> Differences:
    """The model minus each baseline on the labelled test rows, by COMPARED_METRICS, on the same draws of groups."""
    found = subtract(baselines, "the model", predictions, seed=seed)
    return {
        name: {metric: _turn(difference) for metric, difference in of_name.items()}
        for name, of_name in found.items()
    }


def subtract(
    tables: Mapping[str, Predictions], name: str, reference: Predictions, *, seed: int = 0
) -> Differences:
    """Each table minus a reference on the labelled test rows, by COMPARED_METRICS, on the same draws of groups.

    Args:
        tables: name -> predictions of the reference's rows.
        name: of the reference, for errors.
        reference: what is subtracted.
        seed: of the draws.

    Returns:
        name -> metric -> table minus reference; Holm's p is over all of them.
    """
    if not tables:
        return {}
    while name in tables:
        name += "'"
    own = reference.in_split("test").labelled()
    test = {other: table.in_split("test").labelled() for other, table in tables.items()}
    return compare_many(
        {name: own, **test},
        name,
        metrics=COMPARED_METRICS,
        replicates=REPLICATES if len(own) > _MANY_ROWS else None,
        seed=seed,
    )


def _turn(found: Difference) -> Difference:
    """B minus a from a minus b."""
    return replace(
        found,
        value_a=found.value_b,
        value_b=found.value_a,
        difference=None
        if found.difference is None
        else 0.0 - found.difference,  # 0.0 - 0.0 is no negative zero
        low=None if found.high is None else 0.0 - found.high,
        high=None if found.low is None else 0.0 - found.low,
    )


def judge_differences(differences: Differences) -> Verdict | None:
    """Whether the model beats every baseline, by the first of COMPARED_METRICS."""
    found = {name: of_name[COMPARED_METRICS[0]] for name, of_name in differences.items()}
    return judge_leads(
        [
            Lead(name, d.value_a, d.value_b, d.difference, d.low, d.high, d.p_holm)
            for name, d in found.items()
            if d.value_a is not None and d.value_b is not None and d.difference is not None
        ]
    )


def find_baselines(
    corpus: Corpus,
    predictions: Predictions,
    *,
    threshold: str = "f1",
    max_characters: int = MAX_FIT_CHARACTERS,
) -> tuple[dict[str, Predictions], tuple[str, ...]]:
    """Fit the baselines of some sequences on their corpus's training split, where that can be done.

    Args:
        corpus: that was scored.
        predictions: of a model, level conversation or author: its rows, of validation and test, are the
            baselines' too.
        threshold: the rule by which the baselines' thresholds are chosen on validation.
        max_characters: see fit_baselines.

    Returns:
        name -> predictions of the same rows; and why there are none, in a sentence.
    """
    if predictions.level == "profile":
        raise UsageError("baselines are fitted on sequences: aggregate theirs as the model's")
    try:
        fitted = fit_baselines(_view_clean(corpus, predictions), max_characters=max_characters)
    except (SplitError, TrainingError) as error:
        return {}, (f"no baselines: {error}",)
    is_scored = find_rows(predictions.id_columns, fitted[MAJORITY].id_columns) >= 0
    tables = {name: table if is_scored.all() else table.select(is_scored) for name, table in fitted.items()}
    if threshold != "f1":
        rule = parse_rule(threshold)
        for name in [name for name in tables if name != MAJORITY]:
            known_rows = tables[name].in_split("validation").labelled()
            chosen = rule.choose(known_rows.labels, known_rows.probs, splits=known_rows.splits)
            tables[name] = replace(tables[name], threshold=chosen.value, threshold_rule=threshold)
    return tables, ()


def _view_clean(corpus: Corpus, predictions: Predictions) -> SequenceView:
    """The sequences of the predictions' level, their classes in the same order, with nothing in two splits."""
    view = view_sequences(corpus, predictions.level)
    if set(view.classes) != set(predictions.classes):
        known, found = (describe_value(names) for names in (predictions.classes, view.classes))
        raise TrainingError(f"the model knows the classes {known}, the corpus has {found}")
    require_clean_splits(view)
    return with_classes(view, predictions.classes)
