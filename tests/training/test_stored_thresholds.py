"""The thresholds in a model file: by the rule asked for, one an aggregation, each with its interval."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tenor.aggregation.fixed import AGGREGATIONS
from tenor.errors import UsageError
from tenor.evaluation import predict, profile_predictions
from tenor.evaluation import test_model as evaluate_model
from tenor.models.model_file import read_metadata
from tenor.training.history import history_path, read_history
from tenor.training.train import train_model

SMALL: dict[str, Any] = {
    "hidden_size": 8,
    "num_layers": 1,
    "num_heads": 2,
    "kernel_sizes": (3,),
    "batch_size": 16,
    "learning_rate": 1e-3,
    "progress": False,
    "device": "cpu",
    "prior": "none",
}


@pytest.mark.parametrize("rule", ["f1", "precision_at_recall:0.9"])
def test_an_author_model_holds_the_thresholds_of_sequences_and_profiles(
    small_corpus: Path, tmp_path: Path, rule: str
) -> None:
    path = train_model("author", small_corpus, 2, model_path=tmp_path / "m", threshold=rule, **SMALL)
    metadata = read_metadata(path)
    assert metadata.threshold_objective == rule
    rows = predict(path, small_corpus, split="validation", device="cpu").labelled()
    profiles = profile_predictions(rows, threshold=rule)
    assert metadata.profile_thresholds == {name: profiles[name].threshold for name in AGGREGATIONS}
    stored = metadata.training["thresholds"]
    assert set(stored) == {"sequence", *AGGREGATIONS}
    assert stored["sequence"]["value"] == metadata.threshold
    for chosen in stored.values():
        assert chosen["low"] <= chosen["value"] <= chosen["high"]
    if rule != "f1":
        assert (rows.probs[rows.labels == 1] >= metadata.threshold).mean() >= 0.9
        assert stored["sequence"]["parameters"] == [0.9]
    best = read_history(history_path(path))[metadata.training["best_epoch"]]
    assert best.threshold == metadata.threshold
    decided = rows.probs >= best.threshold
    assert best.validation["recall"] == pytest.approx(np.mean(decided[rows.labels == 1]))
    found = evaluate_model("author", path, small_corpus, baselines=False, device="cpu")
    choice = found["threshold_choice"]
    assert (choice["objective"], choice["value"]) == (rule.partition(":")[0], metadata.threshold)


def test_a_conversation_model_has_no_profile_thresholds(small_corpus: Path, tmp_path: Path) -> None:
    path = train_model("conversation", small_corpus, 1, model_path=tmp_path / "m", **SMALL)
    metadata = read_metadata(path)
    assert metadata.profile_thresholds == {}
    assert set(metadata.training["thresholds"]) == {"sequence"}


def test_an_unknown_rule_stops_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the threshold rule must be one of f1, .*, not 'accuracy'"):
        train_model("author", tmp_path / "nowhere", threshold="accuracy", **SMALL)
