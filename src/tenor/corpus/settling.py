"""What an import does not ask for, of splits and classes: taken over from another corpus.

That is its source, the one that it is appended to, or the one that it replaces.

Knows nothing of rows, and nothing of how a corpus is laid out on disk.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tenor.corpus.appending import require_same_plan
from tenor.corpus.class_order import ClassOrder
from tenor.corpus.corpus import Corpus
from tenor.corpus.info import INFO_NAME, CorpusInfo, read_info
from tenor.corpus.plan import PlanRequest, SplitPlan, complete_plan, whole_plan
from tenor.errors import CorpusError, UsageError


@dataclass(frozen=True, slots=True)
class Replaced:
    """The corpus that an import replaces.

    Attributes:
        info: what it says of itself; None where there is none, or it cannot be read.
        fault: why it cannot be read; empty where it can, or there is none.
    """

    info: CorpusInfo | None = None
    fault: str = ""

    @classmethod
    def find(cls, dest: Path, *, replace: bool) -> Replaced:
        """The one at `dest`, if it is to be replaced: whoever replaces a damaged corpus means to mend it."""
        if not replace or not os.path.lexists(dest / INFO_NAME):
            return cls()
        try:
            return cls(read_info(dest))
        except CorpusError as error:
            return cls(fault=str(error))

    def describe(self, asked: SplitPlan | PlanRequest | None, plan: SplitPlan) -> str:
        """What became of its split plan, where that is not what one would expect; else empty.

        Args:
            asked: what was asked for.
            plan: the new corpus's.
        """
        if self.fault:
            return (
                f"split by {plan}: whether the corpus that was replaced had another plan, or another positive class, "
                f"cannot be read ({self.fault})"
            )
        if self.info is None:
            return ""
        if plan != self.info.split:
            return f"splits change: the corpus that was replaced was split by {self.info.split}, this one is by {plan}"
        if plan != complete_plan(asked, SplitPlan()):
            return f"split as the corpus that was replaced: {plan}"
        return ""


def settle_plan(
    asked: SplitPlan | PlanRequest | None,
    base: Corpus | None,
    replaced: Replaced,
    source: Path,
    *,
    has_splits: bool,
) -> SplitPlan:
    """The plan of the corpus to be made, given what was asked for.

    Args:
        asked: None = nothing in particular.
        base: the corpus that is appended to, whose plan was compared with the one asked for.
        replaced: the corpus whose place the new one takes.
        source: the first file or folder that is read.
        has_splits: whether it is a corpus that brings its splits: what is appended to their copy has to follow the
            plan behind them.

    Raises:
        UsageError: another plan was asked for than that of a corpus that brings its splits.
        SplitError: it is to be appended to a corpus of another plan.
    """
    if base is not None:
        if has_splits:
            require_same_plan(base, source)
        return base.info.split
    if not has_splits:
        return complete_plan(asked, SplitPlan() if replaced.info is None else replaced.info.split)
    plan = read_info(source).split
    wanted = whole_plan(asked)
    if wanted not in (plan, None):
        raise UsageError(
            f"{source} is a corpus and keeps its splits, made by {plan}; asked for was {wanted}: leave the options of "
            "the split out, or ignore its splits with --column split="
        )
    return plan


def settle_class_order(
    positive: str | Sequence[str], base: Corpus | None, replaced: Replaced, source: Path
) -> ClassOrder:
    """The order of the classes: that of a corpus, and what was asked for.

    Raises:
        UsageError: what was asked for are no names, or would turn round a corpus that is appended to.
    """
    names = (positive,) if isinstance(positive, str) else positive
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise UsageError(
            f"positive: expected names of classes, found {type(positive).__name__} {str(positive)[:80]}"
        )
    if base is not None:
        for classes in base.info.classes.values():
            if len(classes) == 2 and classes[0] in names:
                raise UsageError(
                    f"{base.path}: a corpus that is appended to keeps its positive class, {classes[1]!r}: leave "
                    f"{classes[0]!r} out, or import the corpus into a new one"
                )
        return ClassOrder(tuple(names), base.info.classes)
    if source.is_dir():
        return ClassOrder(tuple(names), read_info(source).classes)
    return ClassOrder(tuple(names), {} if replaced.info is None else replaced.info.classes)
