"""Whether anything leaks from one split into another (draft)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tenor.corpus.corpus import Corpus
from tenor.corpus.schema import Split
from tenor.corpus.views import SequenceView
from tenor.errors import SplitError, TrainingError


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that an audit found."""

    kind: str
    severity: str
    level: str
    message: str
    count: int = 0
    examples: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AuditReport:
    """All that an audit found."""

    findings: tuple[Finding, ...]


def audit_splits(view: SequenceView) -> list[Finding]:
    """Cheap checks of one level."""
    return []


def require_clean_splits(view: SequenceView) -> None:
    """Refuse groups in two splits."""
    for finding in audit_splits(view):
        if finding.severity == "error":
            raise SplitError(finding.message)


def require_split(view: SequenceView, split: Split) -> None:
    """Refuse an empty split."""
    if not (view.splits == split).any():
        raise SplitError(f"{view.corpus.path}: split {split} is empty at level {view.level}")


def require_both_classes(view: SequenceView) -> None:
    """Refuse labels of one class only."""
    if len(np.unique(view.labels[view.labels >= 0])) < 2:
        raise TrainingError(f"{view.corpus.path}: labels of one class only")


def audit_corpus(corpus: Corpus) -> AuditReport:
    """All checks."""
    return AuditReport(())
