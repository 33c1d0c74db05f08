"""The report's numbers and the sentences made of them.

Measures each scorer once and says in words what a reader should take from it. Knows nothing of figures, of
HTML, or of Markdown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tenor.metrics.scores import calculate_metrics, explain_undefined
from tenor.metrics.verdict import Lead, Verdict, format_signed, judge_leads
from tenor.predictions import Predictions
from tenor.report.content import Difference, Interval, LevelSection, Report, Scorer
from tenor.report.curves import Floats, Integers

#: Metric -> what a reader calls it, in the order of the table.
METRIC_NAMES = {
    "roc_auc": "ROC AUC",
    "average_precision": "Average precision",
    "f1": "F1",
    "precision": "Precision",
    "recall": "Recall",
    "accuracy": "Accuracy",
}

#: Those of them that read the order of the scores alone, and need no threshold.
RANKING_METRICS = ("roc_auc", "average_precision")

#: The metric by which the model is compared with its baselines in words.
HEADLINE = "roc_auc"

#: Level -> heading, and what one row and several rows are called.
LEVEL_NAMES = {
    "conversation": ("Conversations", "conversation", "conversations"),
    "author": ("Authors in conversations", "author sequence", "author sequences"),
    "profile": ("Profiles", "profile", "profiles"),
}

#: What the page and the card say about people.
NOTICE = (
    "No decision about a person should be made from these scores without human review. A score says that "
    "messages resemble labelled ones; it does not say what a person did, meant, or will do."
)

#: The bidirectional controls of Unicode (Annex 9).
_NO_DIRECTION = dict.fromkeys([0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)])

_NEEDS_THRESHOLD = tuple(metric for metric in METRIC_NAMES if metric not in RANKING_METRICS)
_NO_THRESHOLD = "no threshold was chosen"


@dataclass(frozen=True, eq=False)
class Measured:
    """A scorer with its metrics.

    Attributes:
        scorer: what was measured.
        test: metric -> value on the labelled rows of test.
        validation: the same of validation; empty when there are no rows.
        reasons: metric -> why it is None on test.
    """

    scorer: Scorer
    test: dict[str, float | None]
    validation: dict[str, float | None] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The scorer's name."""
        return self.scorer.name

    def is_same(self, other: Measured) -> bool:
        """Whether this is the other by another name: an aggregation that is the section's model."""
        return self.scorer.predictions is other.scorer.predictions

    def interval(self, metric: str) -> Interval | None:
        """The 95% interval of a metric on test."""
        return self.scorer.intervals.get(metric)


def measure(scorer: Scorer) -> Measured:
    """Calculate a scorer's metrics on test and validation."""
    test, reasons = _measure_split(scorer.predictions.in_split("test").labelled())
    rows = scorer.predictions.in_split("validation").labelled()
    validation = _measure_split(rows)[0] if len(rows) else {}
    return Measured(scorer, test, validation, reasons)


def _measure_split(rows: Predictions) -> tuple[dict[str, float | None], dict[str, str]]:
    binary = rows.probs.ndim == 1
    missing = binary and rows.threshold is None
    metrics = calculate_metrics(rows.labels, rows.probs, 0.5 if missing else rows.threshold)
    reasons = explain_undefined(metrics)
    if missing:
        for name in (*_NEEDS_THRESHOLD, "threshold"):
            metrics[name] = None
            reasons[name] = _NO_THRESHOLD
    return metrics, reasons


def labelled_rows(predictions: Predictions, split: str) -> tuple[Integers, Floats]:
    """Labels (N,) and probs (N,) or (N, C) of the labelled rows of a split."""
    rows = predictions.in_split(split).labelled()
    return rows.labels, rows.probs


def plain_name(name: str) -> str:
    """A name for the middle of a sentence: without the controls that would turn the sentence's direction."""
    return name.translate(_NO_DIRECTION)


def format_number(value: float | None) -> str:
    """Three decimals, with a real minus sign; a dash for None."""
    return "–" if value is None else format_signed(value)


def format_interval(interval: Interval) -> str:
    """Such as ``0.771 to 0.849``."""
    return f"{format_number(interval[0])} to {format_number(interval[1])}"


def format_count(count: int, one: str, several: str) -> str:
    """Such as ``1 profile`` or ``2,257 conversations``."""
    return f"{count:,} {one if count == 1 else several}"


def judge_baselines(model: Measured, baselines: Sequence[Measured]) -> Verdict | None:
    """Compare the model with the strongest of its baselines on test; None when there is nothing to compare.

    See judge_leads for which one the sentence is about.
    """
    return judge_leads(
        [lead for other in baselines if (lead := _find_lead(model, other)) is not None],
        METRIC_NAMES[HEADLINE],
    )


def _find_lead(model: Measured, other: Measured) -> Lead | None:
    own, rival = model.test[HEADLINE], other.test[HEADLINE]
    if own is None or rival is None:
        return None
    found = other.scorer.differences.get(HEADLINE, Difference(own - rival))
    low, high = (None, None) if found.interval is None else found.interval
    return Lead(plain_name(other.name), own, rival, found.value, low, high, found.p_holm)


@dataclass(frozen=True)
class SplitCounts:
    """Rows of one split of one level: all, labelled, of the positive class (None for several), groups of labelled."""

    level: str
    split: str
    rows: int
    labelled: int
    positives: int | None
    groups: int


def count_splits(section: LevelSection) -> list[SplitCounts]:
    """Count the rows of validation and test; a split without rows is left out."""
    counts = []
    for split in ("validation", "test"):
        rows = section.model.predictions.in_split(split)
        if len(rows):
            binary = len(section.classes) == 2
            positives = int((rows.labels == 1).sum()) if binary else None
            labelled = int((rows.labels >= 0).sum())
            groups = rows.labelled().groups.count_distinct()
            counts.append(SplitCounts(section.level, split, len(rows), labelled, positives, groups))
    return counts


def compose_summary(
    report: Report, models: Sequence[Measured], verdicts: Sequence[Verdict | None]
) -> tuple[str, ...]:
    """Three sentences: what was scored, how it was chosen, what came out."""
    if report.summary:
        return tuple(report.summary)
    scored = join_words(
        [
            format_count(int(model.test["count"] or 0), *LEVEL_NAMES[section.level][1:])
            for section, model in zip(report.sections, models, strict=True)
        ]
    )
    trained = any(section.history for section in report.sections)
    start = "Models were trained on one part of the data and scored" if trained else "Models scored"
    results = [
        f"{format_number(model.test[HEADLINE])} for {LEVEL_NAMES[section.level][2]}"
        for section, model in zip(report.sections, models, strict=True)
    ]
    if any(section.model.predictions.threshold is not None for section in report.sections):
        chosen = "No threshold was chosen on test."
    else:
        chosen = "A row gets the class that scores highest."
    last = f"On test, {METRIC_NAMES[HEADLINE]} is {join_words(results)}"
    return (
        f"{start} {scored} of the test split.",
        chosen,
        f"{last}{_overall(report, verdicts)}.",
    )


def find_doubts(report: Report) -> tuple[str, ...]:
    """Why the numbers may be too good, in sentences before them: a failed audit, splits of another training."""
    failed = [finding.check for finding in report.audit if finding.outcome == "failed"]
    doubts = []
    if failed:
        doubts.append(
            f"The audit of the splits failed ({'; '.join(failed)}): what the model learned from may stand in test, and "
            "the numbers be too good."
        )
    cautions = dict.fromkeys(section.model.predictions.caution for section in report.sections)
    doubts += [f"{caution[0].upper()}{caution[1:]}." for caution in cautions if caution]
    return tuple(doubts)


def _overall(report: Report, verdicts: Sequence[Verdict | None]) -> str:
    judged = [(s.level, v) for s, v in zip(report.sections, verdicts, strict=True) if v is not None]
    if not judged:
        return ""
    behind = [LEVEL_NAMES[level][2] for level, verdict in judged if verdict.kind != "better"]
    if not behind:
        return "; the model beats every baseline" + (" at each level" if len(judged) > 1 else "")
    return f"; the model does not clearly beat every baseline for {join_words(behind)}"


def join_words(parts: Sequence[str]) -> str:
    """Such as ``a, b and c``."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
