"""Profiles: aggregated as a loop over authors would, thresholds from validation profiles, test read once."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics as sk

from tenor.errors import ModelFileError, SplitError, UsageError
from tenor.evaluation import (
    best_by_validation,
    compare_aggregation_methods,
    evaluate_profile_classifier,
    predict,
    profile_predictions,
)
from tenor.evaluation.aggregation import can_validation_choose
from tenor.metrics.thresholds import choose_threshold
from tenor.predictions import Predictions, concatenate_predictions

FIXED = ("mean", "median", "mean_vote", "total_vote")


@pytest.fixture(scope="module")
def sequences(evaluated_corpus: Path, models: dict[str, Path]) -> Predictions:
    """The author model's scores of validation and test."""
    parts = [
        predict(models["author"], evaluated_corpus, split=s, device="cpu") for s in ("validation", "test")
    ]
    return concatenate_predictions(parts)


def aggregate_in_a_loop(rows: Predictions, name: str) -> dict[str, float]:
    """Author -> score, one after another."""
    assert rows.authors is not None and rows.threshold is not None
    scores = {}
    for author in sorted(set(rows.authors.tolist())):
        own = rows.probs[rows.authors == author]
        votes = own >= rows.threshold
        scores[author] = {
            "mean": own.mean(),
            "median": np.median(own),
            "mean_vote": votes.mean(),
            "total_vote": votes.sum(),
        }[name]
    return scores


@pytest.mark.parametrize("name", FIXED)
def test_profiles_equal_a_loop_over_authors(sequences: Predictions, name: str) -> None:
    profiles = profile_predictions(sequences, (name,))[name]  # type: ignore[arg-type]
    assert (profiles.level, profiles.classes, profiles.model) == ("profile", (0, 1), sequences.model)
    for split in ("validation", "test"):
        rows, own = sequences.in_split(split), profiles.in_split(split)
        expected = aggregate_in_a_loop(rows, name)
        assert own.authors is not None and own.authors.tolist() == list(expected)
        assert own.probs.tolist() == pytest.approx(list(expected.values()))
        assert own.lengths.tolist() == [int((rows.authors == author).sum()) for author in expected]


def test_a_profile_s_threshold_is_chosen_on_validation_and_ignores_test(sequences: Predictions) -> None:
    found = profile_predictions(sequences)
    for profiles in found.values():
        known = profiles.in_split("validation").labelled()
        chosen = choose_threshold(known.labels, known.probs)
        assert profiles.threshold == chosen.value
        assert sk.f1_score(known.labels, known.probs >= profiles.threshold) == pytest.approx(chosen.score)
    is_test = sequences.splits == "test"
    turned = dataclasses.replace(
        sequences,
        labels=np.where(is_test, 1 - sequences.labels, sequences.labels),
        logits=np.where(is_test, -sequences.logits, sequences.logits),
        probs=np.where(is_test, 1 - sequences.probs, sequences.probs),
    )
    other = profile_predictions(turned)
    assert {name: t.threshold for name, t in found.items()} == {
        name: t.threshold for name, t in other.items()
    }
    assert best_by_validation(found) == best_by_validation(other)


def test_metrics_are_scikit_learn_s_on_the_profiles(
    corpus: Path, models: dict[str, Path], sequences: Predictions
) -> None:
    results = compare_aggregation_methods(models["author"], corpus, device="cpu")
    assert set(FIXED) <= set(results)
    profiles = profile_predictions(sequences)
    for name in FIXED:
        rows, found = profiles[name].in_split("test").labelled(), results[name]
        assert found["threshold"] == pytest.approx(profiles[name].threshold, abs=1e-6)
        decided = rows.probs >= found["threshold"]
        assert (found["count"], found["positives"]) == (len(rows), int(rows.labels.sum()))
        assert found["f1"] == pytest.approx(sk.f1_score(rows.labels, decided))
        assert found["roc_auc"] == pytest.approx(sk.roc_auc_score(rows.labels, rows.probs))
        assert found["average_precision"] == pytest.approx(
            sk.average_precision_score(rows.labels, rows.probs)
        )


def test_one_aggregation_is_that_of_the_comparison_and_readings_are_counted(
    corpus: Path, models: dict[str, Path]
) -> None:
    results = compare_aggregation_methods(models["author"], corpus, device="cpu")
    assert {result["test_reads"] for result in results.values()} == {1}
    alone = evaluate_profile_classifier(models["author"], corpus, "median", device="cpu")
    assert alone["test_reads"] == 2
    for name in ("accuracy", "f1", "roc_auc", "threshold"):
        assert alone[name] == results["median"][name]


def test_profiles_that_are_probabilities_say_how_far_they_hold(
    corpus: Path, models: dict[str, Path], sequences: Predictions
) -> None:
    compared = compare_aggregation_methods(
        models["author"], corpus, aggregations=FIXED, baselines=False, device="cpu"
    )
    assert compared["mean_vote"]["calibration"] is None and compared["total_vote"]["calibration"] is None
    test = profile_predictions(sequences, ("mean",))["mean"].in_split("test").labelled()
    found = compared["mean"]["calibration"]
    assert found["brier"] == pytest.approx(sk.brier_score_loss(test.labels, test.probs))
    assert found["log_loss"] == pytest.approx(sk.log_loss(test.labels, test.probs))
    assert 0 < found["calibration_error"] < 1
    alone = evaluate_profile_classifier(models["author"], corpus, "mean", baselines=False, device="cpu")
    assert alone["calibration"] == found


def test_profile_labels_follow_the_rule(sequences: Predictions) -> None:
    assert sequences.authors is not None
    labels = sequences.labels.copy()
    author = sequences.authors[sequences.labels == 0][0]
    rows = np.flatnonzero(sequences.authors == author)
    assert len(rows) >= 3
    labels[rows] = 0
    labels[rows[0]] = 1
    mixed = dataclasses.replace(sequences, labels=labels)

    def label_of(rule: str) -> int:
        profiles = profile_predictions(mixed, ("mean",), profile_label=rule)["mean"]  # type: ignore[arg-type]
        assert profiles.authors is not None
        return int(profiles.labels[profiles.authors == author][0])

    assert label_of("majority") == 0
    assert label_of("any") == 1
    with pytest.raises(
        UsageError, match=f"1 profiles have sequences with different labels, such as '{author}'"
    ):
        label_of("constant")


def test_the_best_by_validation_is_the_highest_there_and_the_first_of_equals(sequences: Predictions) -> None:
    tables = profile_predictions(sequences)
    scores = {}
    for name, table in tables.items():
        known = table.in_split("validation").labelled()
        scores[name] = sk.average_precision_score(known.labels, known.probs)
    assert scores[best_by_validation(tables)] == max(scores.values())
    same = {"b": tables["mean"], "a": tables["mean"]}
    assert best_by_validation(same) == "b"
    assert can_validation_choose(same)
    alike = {
        name: dataclasses.replace(table, labels=np.zeros_like(table.labels)) for name, table in tables.items()
    }
    assert best_by_validation(alike) == next(iter(alike))
    assert not can_validation_choose(alike)


def test_wrong_requests_are_refused(corpus: Path, models: dict[str, Path], sequences: Predictions) -> None:
    with pytest.raises(UsageError, match="aggregation must be one of mean, median, .*, not 'mode'"):
        evaluate_profile_classifier(models["author"], corpus, "mode", device="cpu")
    with pytest.raises(ModelFileError, match="is a model of level 'conversation', not 'author'"):
        compare_aggregation_methods(models["conversation"], corpus, device="cpu")
    assert not (corpus / "test_reads.jsonl").exists()
    conversations = predict(models["conversation"], corpus, split="test", device="cpu")
    with pytest.raises(UsageError, match="profiles need predictions of level 'author', not 'conversation'"):
        profile_predictions(conversations)


def test_a_missing_validation_split_is_refused(models: dict[str, Path], tmp_path: Path) -> None:
    from tenor.corpus.importing import import_corpus
    from tenor.synthetic import SyntheticPlan, generate_conversations, write_jsonl

    plan = SyntheticPlan(conversations=30, input_size=8, messages=3)
    source = write_jsonl(generate_conversations(plan), tmp_path / "chats.jsonl")
    bare = import_corpus(source, tmp_path / "bare", fractions=(0.5, 0.0, 0.5))
    with pytest.raises(SplitError, match="split validation is empty at level author"):
        compare_aggregation_methods(models["author"], bare, device="cpu")
    assert not (bare / "test_reads.jsonl").exists()
