"""Splits: the plan and its assignments, and what each split of a corpus holds.

The plan is in ``plan``, the joint assignment in ``strict``; this is the module to import them from.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tenor.corpus.corpus import Corpus
from tenor.corpus.plan import SplitPlan as SplitPlan
from tenor.corpus.plan import assign_split as assign_split
from tenor.corpus.schema import SPLITS, UNLABELLED
from tenor.corpus.strict import StrictAssignment as StrictAssignment
from tenor.corpus.strict import assign_strict as assign_strict
from tenor.corpus.views import SequenceView, view_sequences


def summarize_splits(corpus: Corpus) -> list[dict[str, Any]]:
    """What each split holds (draft)."""
    rows: list[dict[str, Any]] = []
    for level in ("conversation", "author"):
        view = view_sequences(corpus, level)  # type: ignore[arg-type]
        rows += [_summarize(view, split) for split in SPLITS]
    return rows


def _summarize(view: SequenceView, split: Any) -> dict[str, Any]:  # noqa: ANN401
    part = view.in_split(split)
    return {
        "level": view.level,
        "split": split,
        "sequences": len(part),
        "labelled": int((part.labels != UNLABELLED).sum()),
        "positives": int((part.labels == 1).sum()),
        "groups": len(set(part.groups.tolist())),
        "mean_length": float(np.mean(part.lengths)) if len(part) else None,
    }
