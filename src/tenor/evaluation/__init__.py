"""Score a corpus with a model file, and say how good the scores are: at the level of sequences and of profiles.

Thresholds come from validation; the test split is read for the final numbers only, and each reading is counted.
``scoring`` and ``predicting``: from a model and a corpus to predictions; ``sequences`` and ``profiles``: the numbers of
a model; ``aggregation``: from predictions of sequences to those of profiles. The names are loaded when first used, so
that what works from predictions alone loads no torch. Knows nothing of training.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tenor.evaluation.aggregation import best_by_validation as best_by_validation
    from tenor.evaluation.aggregation import profile_predictions as profile_predictions
    from tenor.evaluation.predicting import predict as predict
    from tenor.evaluation.profiles import compare_aggregation_methods as compare_aggregation_methods
    from tenor.evaluation.profiles import evaluate_profile_classifier as evaluate_profile_classifier
    from tenor.evaluation.scoring import Scorer as Scorer
    from tenor.evaluation.seeds import test_seeds as test_seeds
    from tenor.evaluation.sequences import test_model as test_model
    from tenor.evaluation.streaming import predict_to_file as predict_to_file

#: Name -> the module that defines it; the imports above say the same to type checkers and editors.
_HOMES = {
    "Scorer": "scoring",
    "best_by_validation": "aggregation",
    "compare_aggregation_methods": "profiles",
    "evaluate_profile_classifier": "profiles",
    "predict": "predicting",
    "predict_to_file": "streaming",
    "profile_predictions": "aggregation",
    "test_model": "sequences",
    "test_seeds": "seeds",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> object:
    """Load a name from its module on first use, and keep it."""
    if name not in _HOMES:
        raise AttributeError(f"module 'tenor.evaluation' has no attribute {name!r}")
    value: object = getattr(importlib.import_module(f"tenor.evaluation.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The names, loaded or not."""
    return sorted(set(globals()) | set(__all__))
