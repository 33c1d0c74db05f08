"""From predictions to the parts of a report: intervals, differences to baselines, facts.

Needs predictions and histories only, no models and no torch. Knows nothing of figures and HTML.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Literal

from tenor.corpus.audit import AuditReport, Severity
from tenor.corpus.corpus import Corpus
from tenor.errors import UsageError
from tenor.metrics.comparison import compare
from tenor.metrics.intervals import bootstrap_metrics
from tenor.predictions import Predictions
from tenor.report.content import AuditFinding, Difference, Interval, LevelSection, Report, Scorer
from tenor.training.history import EpochRecord

Outcome = Literal["passed", "warning", "failed"]

#: What the tables show with an interval.
TABLE_METRICS = ("roc_auc", "average_precision", "f1", "precision", "recall", "accuracy")

#: What the model is compared with its baselines by.
COMPARED_METRICS = ("roc_auc", "average_precision")

REPLICATES = 1000


def assemble_level(
    predictions: Predictions,
    *,
    name: str = "tenor",
    baselines: Mapping[str, Predictions] | None = None,
    aggregations: Mapping[str, Predictions] | None = None,
    history: Sequence[EpochRecord] = (),
    best_epoch: int | None = None,
    notes: Sequence[str] = (),
    seed: int = 0,
) -> LevelSection:
    """One level's section: the model, its baselines with paired differences, the aggregations.

    Args:
        predictions: the model's, of validation and test.
        name: what the table calls the model.
        baselines: name -> predictions of the same rows.
        aggregations: name -> predictions of the same profiles.
        history: of the training.
        best_epoch: whose weights were kept.
        notes: sentences under the table.
        seed: of the bootstrap.

    Raises:
        UsageError: a baseline that scores other rows.
    """
    model = _make_scorer(name, predictions, seed)
    others = [
        _make_scorer(other, table, seed, model=predictions) for other, table in (baselines or {}).items()
    ]
    return LevelSection(
        model=model,
        baselines=tuple(others),
        aggregations=tuple(_make_scorer(other, table, seed) for other, table in (aggregations or {}).items()),
        history=tuple(record.to_json() for record in history),
        best_epoch=best_epoch,
        notes=tuple(notes),
    )


def assemble_report(
    sections: Sequence[LevelSection],
    corpus: Corpus,
    *,
    title: str,
    question: str = "",
    class_names: Mapping[int | str, str] | None = None,
    audit: Sequence[AuditFinding] = (),
    command: str = "",
    seeds: Mapping[str, int] | None = None,
) -> Report:
    """The whole report: sections, and the facts of the corpus and of this machine's packages."""
    info = corpus.info
    data = {
        "conversations": f"{corpus.num_conversations:,}",
        "messages": f"{corpus.num_messages:,}",
        "encoder": "none" if info.encoder is None else info.encoder.name,
        "features a message": str(info.input_size),
        "splits": f"hash {info.split_hash[:12]}",
        "corpus": f"hash {info.fingerprint[:12]}",
    }
    packages = ("tenor", "torch", "numpy", "scikit-learn", "pyarrow", "datasets")
    return Report(
        title=title,
        sections=tuple(sections),
        question=question,
        class_names=dict(class_names or {}),
        data=data,
        audit=tuple(audit),
        seeds=dict(seeds or {}),
        versions={"python": platform.python_version(), **{name: version(name) for name in packages}},
        command=command,
    )


def summarize_audit(audit: AuditReport) -> tuple[AuditFinding, ...]:
    """An audit as the report shows it: every check with its outcome, without the names of groups and authors."""
    outcomes: dict[Severity, Outcome] = {"error": "failed", "warning": "warning", "note": "passed"}
    found = [
        AuditFinding(
            f"{finding.kind.replace('_', ' ')}, level {finding.level}",
            outcomes[finding.severity],
            f"{finding.count:,} concerned",
        )
        for finding in audit.findings
        if finding.severity != "note"
    ]
    passed = [AuditFinding(*_split_sentence(check)) for check in audit.checks] if audit.is_clean else []
    return (*found, *passed)


def _split_sentence(check: str) -> tuple[str, Outcome, str]:
    """A check's sentence, such as "fitted state: none in the corpus", as name, outcome and detail."""
    name, _, detail = check.partition(": ")
    return name, "passed", detail


def _make_scorer(
    name: str, predictions: Predictions, seed: int, *, model: Predictions | None = None
) -> Scorer:
    """A row of the table: intervals on test, and the model's differences to it."""
    test = predictions.in_split("test").labelled()
    if len(test) == 0:
        raise UsageError(f"{name} has no labelled predictions of split test: predict them first")
    found = bootstrap_metrics(
        test.labels,
        test.probs,
        test.groups,
        test.threshold,
        metrics=TABLE_METRICS,
        replicates=REPLICATES,
        seed=seed,
    )
    ends = {metric: _ends(interval.low, interval.high) for metric, interval in found.items()}
    intervals = {metric: both for metric, both in ends.items() if both is not None}
    return Scorer(
        name, predictions, intervals, {} if model is None else _differences(model, predictions, seed)
    )


def _differences(model: Predictions, other: Predictions, seed: int) -> dict[str, Difference]:
    """The model minus another scorer on the test rows, paired by group."""
    compared = compare(
        model.in_split("test").labelled(),
        other.in_split("test").labelled(),
        metrics=COMPARED_METRICS,
        replicates=REPLICATES,
        seed=seed,
    )
    return {
        metric: Difference(found.difference, _ends(found.low, found.high))
        for metric, found in compared.items()
        if found.difference is not None
    }


def _ends(low: float | None, high: float | None) -> Interval | None:
    return None if low is None or high is None else (low, high)
