"""A table on test: intervals, baselines beside it, differences and the verdict."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from tenor.baselines import BASELINES, fit_baselines
from tenor.corpus.corpus import open_corpus
from tenor.corpus.importing import import_corpus
from tenor.corpus.views import view_sequences
from tenor.errors import UsageError
from tenor.evaluation import evaluate_profile_classifier, predict
from tenor.evaluation import test_model as evaluate_model
from tenor.evaluation.standing import (
    find_baselines,
    judge_differences,
    measure_beside,
    measure_test,
    subtract_baselines,
)
from tenor.metrics.comparison import compare
from tenor.metrics.intervals import bootstrap_metrics
from tenor.predictions import Predictions, concatenate_predictions

Simulate = Callable[..., Predictions]


def test_intervals_are_those_of_the_cluster_bootstrap(simulate: Simulate) -> None:
    table = simulate()
    found = measure_test(table)
    test = table.in_split("test").labelled()
    expected = bootstrap_metrics(test.labels, test.probs, test.groups, test.threshold)
    assert found["roc_auc"] == pytest.approx(roc_auc_score(test.labels, test.probs))
    assert found["intervals"] == {name: dataclasses.asdict(interval) for name, interval in expected.items()}
    for name, interval in found["intervals"].items():
        assert interval["low"] <= found[name] <= interval["high"]


def test_differences_are_the_model_s_minus_the_baseline_s(simulate: Simulate) -> None:
    model, weak = simulate(strength=2.0), simulate(strength=0.3, seed=1)
    found = subtract_baselines(model, {"weak": weak})["weak"]["roc_auc"]
    turned = compare(
        weak.in_split("test"),
        model.in_split("test"),
        metrics=("roc_auc", "average_precision"),
    )["roc_auc"]
    assert found.value_a == measure_test(model)["roc_auc"]
    assert found.value_b == measure_test(weak)["roc_auc"]
    assert found.difference == pytest.approx(found.value_a - found.value_b)  # type: ignore[operator]
    assert (found.low, found.high) == (-turned.high, -turned.low)  # type: ignore[operator]
    assert found.low > 0  # type: ignore[operator]
    assert (found.p, found.p_holm) == (turned.p, turned.p_holm)


@pytest.mark.parametrize(
    ("strength", "words"),
    [
        (2.0, "On test the model beats every baseline; the strongest is"),
        (0.3, "On test the model is worse than strong"),
    ],
)
def test_the_verdict_names_the_strongest_rival(simulate: Simulate, strength: float, words: str) -> None:
    rivals = {"weak": simulate(strength=0.2, seed=1), "strong": simulate(strength=1.0, seed=2)}
    verdict = measure_beside(simulate(strength=strength), rivals)["verdict"]
    assert words in verdict
    assert "strong: ROC AUC" in verdict


def test_a_model_beside_itself_is_not_ahead(simulate: Simulate) -> None:
    model = simulate()
    differences = subtract_baselines(model, {"the model": model})
    found = differences["the model"]["roc_auc"]
    assert (found.difference, found.low, found.high, found.p) == (0.0, 0.0, 0.0, 1.0)
    verdict = judge_differences(differences)
    assert verdict is not None and verdict.kind == "unclear" and "is level with" in verdict.sentence
    assert measure_beside(model, {}) == {"baselines": {}, "differences": {}, "verdict": None}


@pytest.mark.parametrize("level", ["conversation", "author"])
def test_baselines_stand_beside_the_model(corpus: Path, models: dict[str, Path], level: str) -> None:
    found = evaluate_model(level, models[level], corpus, device="cpu")
    assert tuple(found["baselines"]) == tuple(found["differences"]) == BASELINES
    expected = fit_baselines(view_sequences(open_corpus(corpus), level))
    for name, table in expected.items():
        rows = table.in_split("test").labelled()
        beside = found["baselines"][name]
        assert beside["roc_auc"] == pytest.approx(roc_auc_score(rows.labels, rows.probs))
        assert (beside["count"], beside["threshold"]) == (found["count"], table.threshold)
        difference = found["differences"][name]["roc_auc"]
        assert difference["difference"] == pytest.approx(found["roc_auc"] - beside["roc_auc"])
    assert found["verdict"].startswith("On test the model ")
    assert found["notes"] == []
    assert json.loads(json.dumps(found, allow_nan=False)) == json.loads(json.dumps(found))
    without = evaluate_model(level, models[level], corpus, baselines=False, device="cpu")
    assert (without["baselines"], without["differences"], without["verdict"]) == ({}, {}, None)
    assert without["roc_auc"] == found["roc_auc"]


def test_baselines_of_profiles_are_aggregated_as_the_model_s(corpus: Path, models: dict[str, Path]) -> None:
    found = evaluate_profile_classifier(models["author"], corpus, "median", device="cpu")
    table = fit_baselines(view_sequences(open_corpus(corpus), "author"))["length"].in_split("test")
    assert table.authors is not None
    scores, labels = [], []
    for author in sorted(set(table.authors.tolist())):
        rows = table.authors == author
        scores.append(np.median(table.probs[rows]))
        labels.append(table.labels[rows][0])
    assert found["baselines"]["length"]["roc_auc"] == pytest.approx(roc_auc_score(labels, scores))
    assert found["baselines"]["length"]["count"] == found["count"] == len(labels)


def test_baselines_score_exactly_the_model_s_rows(evaluated_corpus: Path, models: dict[str, Path]) -> None:
    parts = [
        predict(models["author"], evaluated_corpus, split=s, device="cpu") for s in ("validation", "test")
    ]
    some = concatenate_predictions(parts).select(np.arange(0, sum(map(len, parts)), 2))
    tables, notes = find_baselines(open_corpus(evaluated_corpus), some)
    assert notes == ()
    assert all(table.ids.tolist() == some.ids.tolist() for table in tables.values())
    with pytest.raises(UsageError, match="baselines are fitted on sequences"):
        find_baselines(
            open_corpus(evaluated_corpus),
            dataclasses.replace(some, level="profile", conversation_ids=None),
        )


def test_a_rule_holds_for_the_baselines_too(evaluated_corpus: Path, models: dict[str, Path]) -> None:
    parts = [
        predict(models["author"], evaluated_corpus, split=s, device="cpu") for s in ("validation", "test")
    ]
    rows = concatenate_predictions(parts)
    tables, _ = find_baselines(open_corpus(evaluated_corpus), rows, threshold="precision_at_recall:0.95")
    for name in ("length", "lexical", "pooled", "blend"):
        known = tables[name].in_split("validation")
        found = known.probs[known.labels == 1] >= tables[name].threshold
        assert found.mean() >= 0.95


def write_given_splits(folder: Path, *, train_label: int | None, leak: bool = False) -> Path:
    """A corpus that says its splits itself; groups repeat over splits where it leaks."""
    generator = np.random.default_rng(0)
    lines = []
    for index in range(60):
        split = ("train", "validation", "test")[index % 3]
        label = index // 3 % 2 if split != "train" or train_label is None else train_label
        record = {
            "conversation_id": str(index),
            "messages": [{"author": f"a{index}", "features": generator.normal(size=8).tolist()}],
            "label": label,
            "split": split,
            "group": f"g{index % 10 if leak else index}",
        }
        lines.append(json.dumps(record))
    (folder / "chats.jsonl").write_text("\n".join(lines) + "\n")
    return import_corpus(folder / "chats.jsonl", folder / "given")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"train_label": 0}, "training needs labels of at least two classes"),
        ({"train_label": None, "leak": True}, "10 groups stand in more than one split"),
    ],
)
def test_where_baselines_cannot_be_fitted_a_note_says_why(
    models: dict[str, Path], tmp_path: Path, arguments: dict, reason: str
) -> None:
    found = evaluate_model(
        "conversation", models["conversation"], write_given_splits(tmp_path, **arguments), device="cpu"
    )
    assert (found["baselines"], found["verdict"]) == ({}, None)
    assert len(found["notes"]) == 1
    assert found["notes"][0].startswith("no baselines: ") and reason in found["notes"][0]
    assert isinstance(found["roc_auc"], float)
