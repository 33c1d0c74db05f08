"""tenor: train, evaluate, explain and serve classifiers of conversations and of the people in them.

The public names are loaded when first used (PEP 562), so that ``import tenor`` costs next to nothing and the
parts that need no torch never load it. Knows nothing but where each public name lives.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tenor.batching import load_dataset as load_dataset
    from tenor.batching import make_loader as make_loader
    from tenor.corpus.audit import audit_corpus as audit_corpus
    from tenor.corpus.corpus import open_corpus as open_corpus
    from tenor.corpus.importing import import_corpus as import_corpus
    from tenor.corpus.views import view_sequences as view_sequences
    from tenor.encoding.encode import encode_corpus as encode_corpus
    from tenor.errors import TenorError as TenorError
    from tenor.evaluation import compare_aggregation_methods as compare_aggregation_methods
    from tenor.evaluation import evaluate_profile_classifier as evaluate_profile_classifier
    from tenor.evaluation import predict as predict
    from tenor.evaluation import profile_predictions as profile_predictions
    from tenor.evaluation import test_model as test_model
    from tenor.evaluation import test_seeds as test_seeds
    from tenor.explain import explain_profile as explain_profile
    from tenor.explain import explain_sequence as explain_sequence
    from tenor.metrics.comparison import compare as compare
    from tenor.metrics.intervals import bootstrap_metrics as bootstrap_metrics
    from tenor.metrics.scores import calculate_metrics_threshold as calculate_metrics_threshold
    from tenor.models.profile import ProfileClassifier as ProfileClassifier
    from tenor.models.sequence import SequenceClassifier as SequenceClassifier
    from tenor.nn.positional import PositionalEncoding as PositionalEncoding
    from tenor.nn.residual import ResidualBlock as ResidualBlock
    from tenor.predictions import concatenate_predictions as concatenate_predictions
    from tenor.predictions import read_predictions as read_predictions
    from tenor.predictions import write_predictions as write_predictions
    from tenor.report import write_model_card as write_model_card
    from tenor.report import write_report as write_report
    from tenor.report.reporting import report_run as report_run
    from tenor.training.finetuning import finetune_encoder as finetune_encoder
    from tenor.training.imbalance import estimate_pos_weight as estimate_pos_weight
    from tenor.training.loop import evaluate as evaluate
    from tenor.training.loop import train_epoch as train_epoch
    from tenor.training.out_of_fold import score_out_of_fold as score_out_of_fold
    from tenor.training.own_loop import write_model as write_model
    from tenor.training.train import train_model as train_model
    from tenor.training.tuning import tune_model as tune_model

__version__ = "0.1.0"

#: Public name -> the module that defines it; the imports above say the same to type checkers and editors.
_HOMES = {
    "PositionalEncoding": "tenor.nn.positional",
    "ProfileClassifier": "tenor.models.profile",
    "ResidualBlock": "tenor.nn.residual",
    "SequenceClassifier": "tenor.models.sequence",
    "TenorError": "tenor.errors",
    "audit_corpus": "tenor.corpus.audit",
    "bootstrap_metrics": "tenor.metrics.intervals",
    "calculate_metrics_threshold": "tenor.metrics.scores",
    "compare": "tenor.metrics.comparison",
    "compare_aggregation_methods": "tenor.evaluation",
    "concatenate_predictions": "tenor.predictions",
    "encode_corpus": "tenor.encoding.encode",
    "estimate_pos_weight": "tenor.training.imbalance",
    "evaluate": "tenor.training.loop",
    "evaluate_profile_classifier": "tenor.evaluation",
    "explain_profile": "tenor.explain",
    "explain_sequence": "tenor.explain",
    "finetune_encoder": "tenor.training.finetuning",
    "import_corpus": "tenor.corpus.importing",
    "load_dataset": "tenor.batching",
    "make_loader": "tenor.batching",
    "open_corpus": "tenor.corpus.corpus",
    "predict": "tenor.evaluation",
    "profile_predictions": "tenor.evaluation",
    "read_predictions": "tenor.predictions",
    "report_run": "tenor.report.reporting",
    "score_out_of_fold": "tenor.training.out_of_fold",
    "test_model": "tenor.evaluation",
    "test_seeds": "tenor.evaluation",
    "train_epoch": "tenor.training.loop",
    "train_model": "tenor.training.train",
    "tune_model": "tenor.training.tuning",
    "view_sequences": "tenor.corpus.views",
    "write_model": "tenor.training.own_loop",
    "write_model_card": "tenor.report",
    "write_predictions": "tenor.predictions",
    "write_report": "tenor.report",
}

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> object:
    """Load a public name from its module on first use, and keep it."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'tenor' has no attribute {name!r}")
    value: object = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names, loaded or not."""
    return sorted(set(globals()) | set(__all__))
