"""Why a score is what it is: the share of each message, n-gram or conversation in it, and how far to trust that.

``sequences``: one sequence's messages; ``profiles``: one author's conversations; ``curves``: do explanations
find what matters; ``worst``: the most wrong predictions with their messages; ``records``: the results. The names
are loaded when first used, so that the records load no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tenor.explain.curves import RemovalCurve as RemovalCurve
    from tenor.explain.curves import deletion_curve as deletion_curve
    from tenor.explain.curves import insertion_curve as insertion_curve
    from tenor.explain.profiles import explain_profile as explain_profile
    from tenor.explain.records import ConversationContribution as ConversationContribution
    from tenor.explain.records import MessageContribution as MessageContribution
    from tenor.explain.records import NgramContribution as NgramContribution
    from tenor.explain.records import ProfileExplanation as ProfileExplanation
    from tenor.explain.records import SequenceExplanation as SequenceExplanation
    from tenor.explain.records import WrongPrediction as WrongPrediction
    from tenor.explain.sequences import explain_sequence as explain_sequence
    from tenor.explain.worst import worst_errors as worst_errors

#: Name -> the module that defines it; the imports above say the same to type checkers and editors.
_HOMES = {
    "RemovalCurve": "curves",
    "deletion_curve": "curves",
    "insertion_curve": "curves",
    "explain_profile": "profiles",
    "ConversationContribution": "records",
    "MessageContribution": "records",
    "NgramContribution": "records",
    "ProfileExplanation": "records",
    "SequenceExplanation": "records",
    "WrongPrediction": "records",
    "explain_sequence": "sequences",
    "worst_errors": "worst",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> object:
    """Load a name from its module on first use, and keep it."""
    if name not in _HOMES:
        raise AttributeError(f"module 'tenor.explain' has no attribute {name!r}")
    value: object = getattr(importlib.import_module(f"tenor.explain.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The names, loaded or not."""
    return sorted(set(globals()) | set(__all__))
