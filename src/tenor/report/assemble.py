"""From predictions to the parts of a report: intervals, differences to baselines, facts.

Needs predictions and histories only, no models and no torch. Knows nothing of figures and HTML.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Literal

from tenor.corpus.audit import AuditReport
from tenor.corpus.corpus import Corpus
from tenor.corpus.findings import FindingKind, Severity
from tenor.errors import UsageError
from tenor.evaluation.sentences import describe_warnings
from tenor.evaluation.standing import REPLICATES, subtract_baselines
from tenor.metrics.comparison import Difference as PairedDifference
from tenor.metrics.intervals import bootstrap_metrics, doubt_groups
from tenor.predictions import Predictions
from tenor.report.content import (
    AuditFinding,
    Difference,
    Interval,
    LevelSection,
    Report,
    Scorer,
    WorstError,
)
from tenor.report.subgroups import Strings, bin_test_lengths, measure_columns
from tenor.report.summaries import METRIC_NAMES, RANKING_METRICS
from tenor.training.history import EpochRecord

_NOT_COMPARED: Mapping[str, PairedDifference] = {}

Outcome = Literal["passed", "note", "skipped", "warning", "failed"]

#: Kind of finding -> how the sentence of the check begins that found it.
_CHECKS: Mapping[FindingKind, str] = {
    "shared_groups": "groups",
    "shared_authors": "groups",
    "shared_conversations": "groups",
    "known_authors": "authors known",
    "near_duplicates": "near-duplicate texts",
    "future_in_training": "future in training",
    "fitted_state": "fitted state",
}


def assemble_level(
    predictions: Predictions,
    *,
    name: str = "tenor",
    baselines: Mapping[str, Predictions] | None = None,
    aggregations: Mapping[str, Predictions] | None = None,
    history: Sequence[EpochRecord] = (),
    best_epoch: int | None = None,
    columns: Mapping[str, Strings] | None = None,
    errors: Sequence[WorstError] = (),
    notes: Sequence[str] = (),
    seed: int = 0,
) -> LevelSection:
    """One level's section: the model, its baselines with paired differences, aggregations, parts of test, errors.

    Args:
        predictions: the model's, of validation and test.
        name: what the table calls the model.
        baselines: name -> predictions of the same rows.
        aggregations: name -> predictions of the same profiles, the section's own among them; differences are to it.
        history: of the training.
        best_epoch: whose weights were kept.
        columns: name -> a value for each labelled test row: subgroups beside those by length.
        errors: worst first.
        notes: sentences under the table; those on intervals and on the parts of test follow them.
        seed: of the bootstrap.

    Raises:
        UsageError: no labelled test rows, or a baseline that scores other rows.
    """
    rivals = {} if baselines is None else baselines
    others = {} if aggregations is None else aggregations
    ahead = subtract_baselines(predictions, rivals, seed=seed)
    among = {other: table for other, table in others.items() if table is not predictions}
    ahead_among = subtract_baselines(predictions, among, seed=seed)
    subgroups, gaps = measure_columns(
        predictions, bin_test_lengths(predictions) | dict(columns or {}), seed=seed
    )
    model = _make_scorer(name, predictions, seed)
    return LevelSection(
        model=model,
        baselines=tuple(_make_scorer(other, rivals[other], seed, ahead[other]) for other in rivals),
        aggregations=tuple(
            _make_scorer(other, table, seed, ahead_among.get(other, _NOT_COMPARED))
            for other, table in others.items()
        ),
        history=tuple(record.to_json() for record in history),
        best_epoch=best_epoch,
        subgroups=subgroups,
        errors=tuple(errors),
        notes=(*notes, *_describe_doubts(model), *gaps),
    )


def assemble_report(
    sections: Sequence[LevelSection],
    corpus: Corpus | None,
    *,
    title: str,
    question: str = "",
    class_names: Mapping[int | str, str] | None = None,
    audit: Sequence[AuditFinding] = (),
    command: str = "",
    seeds: Mapping[str, int] | None = None,
) -> Report:
    """The whole report: sections, and the facts of the corpus and of this machine's packages."""
    data = {} if corpus is None else _describe_corpus(corpus)
    packages = ("tenor", "torch", "numpy", "scikit-learn", "pyarrow", "datasets")
    return Report(
        title=title,
        sections=tuple(sections),
        question=question,
        class_names={} if class_names is None else dict(class_names),
        data=data,
        dataset="" if corpus is None else corpus.path.resolve().name,
        audit=tuple(audit),
        seeds={} if seeds is None else dict(seeds),
        versions={"python": platform.python_version(), **{name: version(name) for name in packages}},
        command=command,
    )


def summarize_audit(audit: AuditReport) -> tuple[AuditFinding, ...]:
    """An audit as the report shows it: every check with its outcome, without the names of groups and authors."""
    outcomes: dict[Severity, Outcome] = {"error": "failed", "warning": "warning", "note": "note"}
    found = [
        AuditFinding(
            f"{finding.kind.replace('_', ' ')}, level {finding.level}",
            outcomes[finding.severity],
            f"{finding.count:,} concerned",
        )
        for finding in audit.findings
    ]
    return (*found, *(_describe_check(check) for check in audit.checks if not _has_finding(check, audit)))


def _has_finding(check: str, audit: AuditReport) -> bool:
    """Whether a check found something, which then stands for it."""
    name = check.partition(": ")[0]
    return any(
        name.startswith(_CHECKS[finding.kind]) and ("level" not in name or name.endswith(finding.level))
        for finding in audit.findings
    )


def _describe_check(check: str) -> AuditFinding:
    """A check's sentence, such as "fitted state: none in the corpus", as name, outcome and detail."""
    name, _, detail = check.partition(": ")
    return AuditFinding(name, "skipped" if detail.startswith("not ") else "passed", detail)


def _describe_corpus(corpus: Corpus) -> dict[str, str]:
    info = corpus.info
    return {
        "conversations": f"{corpus.num_conversations:,}",
        "messages": f"{corpus.num_messages:,}",
        "encoder": "none" if info.encoder is None else info.encoder.name,
        "features a message": str(info.input_size),
        "splits": f"hash {info.split_hash[:12]}",
        "corpus": f"hash {info.fingerprint[:12]}",
    }


def _make_scorer(
    name: str,
    predictions: Predictions,
    seed: int,
    ahead: Mapping[str, PairedDifference] = _NOT_COMPARED,
) -> Scorer:
    """A row of the table: intervals on test, and how far the section's model is ahead of it."""
    test = predictions.in_split("test").labelled()
    if len(test) == 0:
        raise UsageError(f"{name} has no labelled predictions of split test: predict them first")
    measured = tuple(METRIC_NAMES) if test.probs.ndim == 2 or test.threshold is not None else RANKING_METRICS
    found = bootstrap_metrics(
        test.labels,
        test.probs,
        test.groups,
        test.threshold,
        metrics=measured,
        replicates=REPLICATES,
        seed=seed,
    )
    ends = {metric: _ends(interval.low, interval.high) for metric, interval in found.items()}
    intervals = {metric: both for metric, both in ends.items() if both is not None}
    differences = {
        metric: Difference(difference.difference, _ends(difference.low, difference.high), difference.p_holm)
        for metric, difference in ahead.items()
        if difference.difference is not None
    }
    warnings = {
        metric: interval.warning
        for metric, interval in found.items()
        if interval.warning is not None and interval.value is not None
    }
    return Scorer(name, predictions, intervals, differences, warnings)


def _describe_doubts(model: Scorer) -> list[str]:
    """Why not to lean on the model's intervals, but for what is said of few groups: that stands with their number."""
    groups = model.predictions.in_split("test").labelled().groups.count_distinct()
    if groups < 2:
        return []
    few = doubt_groups(groups)
    doubts = {
        metric: warning.removeprefix(few).removeprefix("; ") for metric, warning in model.warnings.items()
    }
    rows = {model.name: {metric: doubt for metric, doubt in doubts.items() if doubt}}
    return [
        f"{sentence[0].upper()}{sentence[1:]}."
        for sentence in describe_warnings(rows, METRIC_NAMES, metrics=len(METRIC_NAMES))
    ]


def _ends(low: float | None, high: float | None) -> Interval | None:
    return None if low is None or high is None else (low, high)
