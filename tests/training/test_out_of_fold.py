"""Scores out of fold are honest: no sequence is scored by a model that trained on its group."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from tenor.corpus.corpus import open_corpus
from tenor.corpus.importing import import_corpus
from tenor.corpus.views import SequenceView, view_sequences
from tenor.errors import TrainingError, UsageError
from tenor.evaluation import compare_aggregation_methods, evaluate_profile_classifier, predict
from tenor.models.model_file import read_metadata
from tenor.predictions import Predictions
from tenor.strings import Strings
from tenor.training.out_of_fold import _deal_folds, score_out_of_fold
from tenor.training.train import train_model


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A corpus whose labels are coins, and an author model that knows its training labels by heart."""
    folder = tmp_path_factory.mktemp("noise")
    draws = np.random.default_rng(3)
    records = []
    for index in range(300):
        authors = [f"author-{index}-{side}" for side in "ab"]
        messages = [
            {"author": authors[turn % 2], "features": draws.normal(size=24).tolist()} for turn in range(4)
        ]
        labels = {author: int(draws.integers(2)) for author in authors}
        records.append({"conversation_id": f"c{index}", "messages": messages, "author_labels": labels})
    source = folder / "chats.jsonl"
    source.write_text("".join(json.dumps(record) + "\n" for record in records))
    corpus = import_corpus(source, folder / "corpus")
    model = train_model(
        "author", corpus, 40, model_path=folder / "author.safetensors", prior="none", patience=40, dropout=0.0,
        hidden_size=32, num_layers=1, num_heads=2, kernel_sizes=(3,), batch_size=16, learning_rate=3e-3,
        progress=False, device="cpu",
    )  # fmt: skip
    return corpus, model


def auc_of(predictions: Predictions) -> float:
    return float(roc_auc_score(predictions.labels, predictions.probs))


def test_what_is_known_by_heart_does_not_show_out_of_fold(noise: tuple[Path, Path]) -> None:
    corpus, model = noise
    by_heart = predict(model, corpus, split="train", device="cpu").labelled()
    honest = score_out_of_fold(model, corpus, folds=2, device="cpu")
    assert sorted(honest.id_columns[0].tolist()) == sorted(by_heart.id_columns[0].tolist())
    assert set(honest.splits.tolist()) == {"train"}
    assert auc_of(by_heart) > 0.7  # the best epoch of noise knows much of it already
    assert auc_of(honest) == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("prior", ["auto", "lexical"])
def test_a_start_alone_is_scored_out_of_fold_without_a_training(
    small_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prior: str
) -> None:
    model = train_model(
        "author", small_corpus, 1, model_path=tmp_path / "m", hidden_size=16, num_layers=1, num_heads=2,
        kernel_sizes=(3,), learning_rate=1e-6, prior=prior, progress=False, device="cpu",
    )  # fmt: skip
    assert read_metadata(model).is_start_alone  # a step that is too small to convince
    monkeypatch.setattr("tenor.training.out_of_fold._train_and_score", pytest.fail)
    honest = score_out_of_fold(model, small_corpus, folds=4, device="cpu")
    own = predict(model, small_corpus, split="train", device="cpu").labelled()
    assert honest.id_columns[0].tolist() == own.id_columns[0].tolist()
    assert auc_of(own) == 1.0
    assert 0.8 < auc_of(honest)
    assert np.abs(honest.logits).mean() < np.abs(own.logits).mean()  # less sure of whom it has not seen


def test_coins_stay_coins_out_of_the_folds_of_a_start(noise: tuple[Path, Path], tmp_path: Path) -> None:
    corpus, _ = noise
    model = train_model("author", corpus, 1, model_path=tmp_path / "m", progress=False, device="cpu")
    assert read_metadata(model).is_start_alone
    assert auc_of(predict(model, corpus, split="train", device="cpu").labelled()) > 0.6
    assert auc_of(score_out_of_fold(model, corpus, folds=3, device="cpu")) == pytest.approx(0.5, abs=0.1)


def test_the_same_scores_each_time(small_corpus: Path, tmp_path: Path) -> None:
    model = train_model(
        "author", small_corpus, 2, model_path=tmp_path / "m", hidden_size=16, num_layers=1, num_heads=2,
        kernel_sizes=(3,), progress=False, device="cpu",
    )  # fmt: skip
    first, second = (score_out_of_fold(model, small_corpus, folds=3, device="cpu") for _ in range(2))
    assert np.array_equal(first.logits, second.logits)
    assert auc_of(first) > 0.8  # the corpus has a word that gives the guilty away


def test_a_learned_aggregation_is_fitted_to_training_authors(small_corpus: Path, tmp_path: Path) -> None:
    model = train_model(
        "author", small_corpus, 2, model_path=tmp_path / "m", hidden_size=16, num_layers=1, num_heads=2,
        kernel_sizes=(3,), progress=False, device="cpu",
    )  # fmt: skip
    training = score_out_of_fold(model, small_corpus, folds=3, device="cpu")
    options: dict[str, Any] = {"baselines": False, "device": "cpu", "profile_label": "constant"}
    with pytest.raises(TrainingError, match="found 1 of class 0, .* or learn from scores out of fold"):
        evaluate_profile_classifier(model, small_corpus, "score_summary", **options)
    found = evaluate_profile_classifier(model, small_corpus, "score_summary", out_of_fold=training, **options)
    compared = compare_aggregation_methods(
        model, small_corpus, aggregations=("mean", "score_summary"), out_of_fold=training, **options
    )
    assert compared["score_summary"]["threshold"] == found["threshold"] != compared["mean"]["threshold"]
    assert found["roc_auc"] > 0.8
    beside = evaluate_profile_classifier(
        model, small_corpus, "score_summary", out_of_fold=training, **{**options, "baselines": True}
    )
    assert set(beside["baselines"]) == {"majority", "length", "lexical", "pooled", "blend"}
    assert beside["baselines"]["lexical"]["roc_auc"] > 0.8  # fitted: validation alone would not have sufficed


def test_baselines_that_cannot_be_scored_out_of_fold_are_averaged_and_that_is_said(
    noise: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus, model = noise
    training = score_out_of_fold(model, corpus, folds=2, device="cpu")

    def refuse(view: SequenceView) -> None:
        raise TrainingError("a fold has one class")

    monkeypatch.setattr("tenor.evaluation.rivals.score_baselines_out_of_fold", refuse)
    found = evaluate_profile_classifier(model, corpus, "log_odds", out_of_fold=training, device="cpu")
    assert "the baselines' profiles are by the mean: a fold has one class" in found["notes"]
    means = evaluate_profile_classifier(model, corpus, "mean", device="cpu")["baselines"]
    assert found["baselines"]["pooled"]["roc_auc"] == means["pooled"]["roc_auc"]


def test_a_models_own_scores_of_its_training_authors_are_refused(noise: tuple[Path, Path]) -> None:
    corpus, model = noise
    own = predict(model, corpus, split="train", device="cpu").labelled()
    with pytest.raises(UsageError, match="knows its training authors by heart"):
        evaluate_profile_classifier(model, corpus, "noisy_or", out_of_fold=own, device="cpu")
    test = dataclasses.replace(predict(model, corpus, split="test", device="cpu").labelled(), model_hash="")
    with pytest.raises(UsageError, match="expected authors in train, .* found level author, splits test"):
        evaluate_profile_classifier(model, corpus, "noisy_or", out_of_fold=test, device="cpu")


def test_authors_of_test_are_refused_among_training_scores(noise: tuple[Path, Path]) -> None:
    corpus, model = noise
    test = predict(model, corpus, split="test", device="cpu").labelled()
    disguised = dataclasses.replace(test, model_hash="", splits=Strings.of(["train"] * len(test)))
    with pytest.raises(
        UsageError, match="expected groups that stand in train only, found [0-9]+ of validation or test"
    ):
        evaluate_profile_classifier(model, corpus, "noisy_or", out_of_fold=disguised, device="cpu")


def test_a_fold_that_takes_a_whole_class_is_refused(tmp_path: Path) -> None:
    """Class 0 stands in two groups, beside class 1: dealt by their highest label both may fall into one fold."""
    draws = np.random.default_rng(0)
    records = []
    for group in range(9):
        labels = {f"{side}-{group}": int(group > 1 or side == "b") for side in "ab"}
        messages = [{"author": name, "features": draws.normal(size=4).tolist()} for name in labels]
        record = {
            "conversation_id": f"c{group}",
            "group": f"g{group}",
            "messages": messages,
            "split": "train",
        }
        records.append(record | {"author_labels": labels})
    source = tmp_path / "chats.jsonl"
    source.write_text("".join(json.dumps(record) + "\n" for record in records))
    view = view_sequences(open_corpus(import_corpus(source, tmp_path / "corpus")), "author")
    refused = 0
    for seed in range(30):
        try:
            codes = _deal_folds(view, 2, seed)
        except TrainingError as error:
            assert "of 2 no training sequence is of class 0" in str(error)
            refused += 1
        else:
            assert set(codes[view.labels == 0].tolist()) == {0, 1}
    assert 0 < refused < 30


def test_folds_that_cannot_be_and_another_corpus_are_refused(
    noise: tuple[Path, Path], small_corpus: Path
) -> None:
    corpus, model = noise
    with pytest.raises(UsageError, match="at least 2 folds, found 1"):
        score_out_of_fold(model, corpus, folds=1, device="cpu")
    with pytest.raises(TrainingError, match="500 folds need as many training groups of every class; found "):
        score_out_of_fold(model, corpus, folds=500, device="cpu")
    with pytest.raises(
        UsageError, match="expected the corpus and splits that .* was trained on, found others"
    ):
        score_out_of_fold(model, small_corpus, device="cpu")
