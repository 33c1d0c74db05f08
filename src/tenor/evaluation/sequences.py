"""The numbers of a model at its own level: sequences of the test split.

Knows nothing of profiles.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tenor.corpus.corpus import open_corpus
from tenor.devices import start_runtime
from tenor.evaluation.scoring import Scorer
from tenor.metrics.scores import calculate_metrics

Metrics = dict[str, Any]


def test_model(
    model_type: str,
    model_path: str | Path,
    dataset_path: str | Path,
    *,
    device: str | None = None,
    progress: bool = False,
) -> Metrics:
    """Evaluate a trained model on the test split, at the threshold that validation chose.

    Args:
        model_type: ``"conversation"`` or ``"author"``; must be the model's own.
        model_path: a model file of train_model.
        dataset_path: the analyzed corpus.
        device: where to compute; None = the best there is.
        progress: show a bar.

    Returns:
        accuracy, precision, recall, f1, roc_auc, average_precision (None where undefined, with the reason), threshold,
        count, positives, and test_reads: how often the corpus's test split was read at this level.

    Raises:
        ModelFileError: the file is no sound model, of another level, or of another encoder.
        SplitError: the test split is empty.
    """
    scorer = Scorer.open(model_path, start_runtime(device), progress=progress)
    scorer.require_level(model_type)
    corpus = open_corpus(dataset_path)
    predictions = scorer.score(corpus, ("test",), labelled=True)
    metrics: Metrics = dict(calculate_metrics(predictions.labels, predictions.probs, predictions.threshold))
    metrics["test_reads"] = scorer.count_read(corpus, scorer.level)
    return metrics
