"""test_model: the numbers are scikit-learn's at the threshold that validation chose, and readings are counted."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sk

from tenor.corpus.corpus import open_corpus
from tenor.corpus.importing import import_corpus
from tenor.errors import CorpusError, ModelFileError, SplitError, UsageError
from tenor.evaluation import (
    compare_aggregation_methods,
    evaluate_profile_classifier,
    predict,
    predict_to_file,
    profile_predictions,
)
from tenor.evaluation import test_model as evaluate_model
from tenor.evaluation.profile_files import profiles_to_file
from tenor.evaluation.sentences import describe_result
from tenor.metrics.thresholds import choose_threshold
from tenor.models.model_file import read_metadata
from tenor.predictions import read_predictions
from tenor.report.reporting import report_run
from tenor.report.summaries import find_doubts
from tenor.synthetic import write_jsonl


@pytest.mark.parametrize("level", ["conversation", "author"])
def test_metrics_are_scikit_learn_s_on_the_predictions(
    corpus: Path, models: dict[str, Path], level: str
) -> None:
    found = evaluate_model(level, models[level], corpus, device="cpu")
    rows = predict(models[level], corpus, split="test", device="cpu").labelled()
    threshold = read_metadata(models[level]).threshold
    decided = rows.probs >= threshold
    assert found["threshold"] == threshold
    assert (found["count"], found["positives"]) == (len(rows), int(rows.labels.sum()))
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(rows.labels, decided))
    assert found["precision"] == pytest.approx(sk.precision_score(rows.labels, decided))
    assert found["recall"] == pytest.approx(sk.recall_score(rows.labels, decided))
    assert found["f1"] == pytest.approx(sk.f1_score(rows.labels, decided))
    assert found["roc_auc"] == pytest.approx(sk.roc_auc_score(rows.labels, rows.probs))
    assert found["average_precision"] == pytest.approx(sk.average_precision_score(rows.labels, rows.probs))


@pytest.mark.parametrize("level", ["conversation", "author"])
def test_the_threshold_is_chosen_on_validation(corpus: Path, models: dict[str, Path], level: str) -> None:
    rows = predict(models[level], corpus, split="validation", device="cpu").labelled()
    threshold = read_metadata(models[level]).threshold
    assert threshold is not None
    chosen = choose_threshold(rows.labels, rows.probs)
    assert threshold == pytest.approx(chosen.value)
    assert sk.f1_score(rows.labels, rows.probs >= threshold) == pytest.approx(chosen.score)


def test_every_reading_of_the_test_split_is_counted_by_level(corpus: Path, models: dict[str, Path]) -> None:
    reads = [
        evaluate_model("author", models["author"], corpus, baselines=False, device="cpu")["test_reads"]
        for _ in range(3)
    ]
    assert reads == [1, 2, 3]
    other = evaluate_model("conversation", models["conversation"], corpus, baselines=False, device="cpu")
    assert other["test_reads"] == 1
    predict(models["author"], corpus, split="validation", device="cpu")
    assert evaluate_model("author", models["author"], corpus, device="cpu")["test_reads"] == 4


def test_scores_of_labelled_test_rows_are_a_reading(
    corpus: Path, models: dict[str, Path], tmp_path: Path
) -> None:
    predict(models["author"], corpus, split="all", device="cpu")
    predict_to_file(models["author"], corpus, tmp_path / "scores.parquet", device="cpu")
    predict_to_file(models["author"], corpus, tmp_path / "scores.parquet", split="train", device="cpu")
    assert evaluate_model("author", models["author"], corpus, device="cpu")["test_reads"] == 3
    rows = [replace(row, author_labels={}, author_splits=None) for row in open_corpus(corpus).conversations()]
    unlabelled = import_corpus(write_jsonl(rows, tmp_path / "in.jsonl"), tmp_path / "unlabelled")
    predict(models["author"], unlabelled, split="all", device="cpu")
    assert not (unlabelled / "test_reads.jsonl").exists()


def test_a_reading_that_was_half_written_is_a_reading(corpus: Path, models: dict[str, Path]) -> None:
    def read() -> int:
        return evaluate_model("author", models["author"], corpus, baselines=False, device="cpu")["test_reads"]

    assert read() == 1
    with (corpus / "test_reads.jsonl").open("a") as handle:
        handle.write('{"level": "aut')  # killed there
    assert [read(), read()] == [3, 4]
    assert len((corpus / "test_reads.jsonl").read_text().splitlines()) == 4


@pytest.mark.parametrize("wrong", [{"threshold": "f2"}, {"abstain_alpha": 2.0}])
def test_wrong_requests_are_refused_before_anything_is_read(tmp_path: Path, wrong: dict[str, Any]) -> None:
    none, output = tmp_path / "none", tmp_path / "scores.parquet"
    for refused in (
        lambda: evaluate_model("author", none, none, **wrong),
        lambda: predict(none, none, output=output, **wrong),
        lambda: predict_to_file(none, none, output, **wrong),
        lambda: evaluate_profile_classifier(none, none, **wrong),
        lambda: compare_aggregation_methods(none, none, **wrong),
    ):
        with pytest.raises(UsageError, match="threshold rule must be one of|alpha must be between 0 and 1"):
            refused()


def test_predictions_are_never_written_over_the_model(corpus: Path, models: dict[str, Path]) -> None:
    before = models["author"].read_bytes()
    for write in (
        lambda: predict(models["author"], corpus, output=models["author"]),
        lambda: predict_to_file(models["author"], corpus, models["author"]),
    ):
        with pytest.raises(UsageError, match="output: expected another place than that of the model"):
            write()
    assert models["author"].read_bytes() == before


def test_another_formats_name_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    absent, output = tmp_path / "absent", tmp_path / "scores.csv"
    for write in (
        lambda: predict_to_file(absent, absent, output),
        lambda: predict(absent, absent, output=output),
        lambda: profiles_to_file(absent, absent, output),
    ):
        with pytest.raises(UsageError, match="predictions are written as Parquet"):
            write()


@pytest.mark.parametrize("name", ["tenor.json", "new.parquet", "deep/new.parquet"])
def test_predictions_are_never_written_into_the_corpus(
    corpus: Path, models: dict[str, Path], name: str
) -> None:
    before = {path: path.read_bytes() for path in corpus.rglob("*") if path.is_file()}
    for write in (predict_to_file, lambda *found: predict(*found[:2], output=found[2])):
        with pytest.raises(UsageError, match="output: expected another place than that of the corpus"):
            write(models["author"], corpus, corpus / name)
    assert {path: path.read_bytes() for path in corpus.rglob("*") if path.is_file()} == before


def test_a_corpus_divided_anew_is_measured_with_caution(
    corpus: Path, models: dict[str, Path], tmp_path: Path
) -> None:
    own = evaluate_model("author", models["author"], corpus, baselines=False, device="cpu")
    assert own["caution"] is None
    divided = import_corpus(corpus, tmp_path / "divided", seed=5, columns={"split": None})
    found = evaluate_model("author", models["author"], divided, baselines=False, device="cpu")
    assert found["caution"].startswith("the model was trained under other splits than this corpus has")
    assert next(iter(describe_result(found))) == found["caution"]
    profiles = evaluate_profile_classifier(models["author"], divided, baselines=False, device="cpu")
    assert profiles["caution"] == found["caution"]
    summary = predict_to_file(models["author"], divided, tmp_path / "scores.parquet", device="cpu")
    assert summary.caution == found["caution"]
    table = read_predictions(tmp_path / "scores.parquet")
    assert table.caution == profile_predictions(table, ("mean",))["mean"].caution == found["caution"]
    report = report_run(tmp_path / "scores.parquet")
    assert find_doubts(report) == (f"{found['caution'][0].upper()}{found['caution'][1:]}.",)
    (section,) = report.sections  # test alone chooses no threshold of profiles
    assert any(note.startswith("Profiles are left out: their threshold") for note in section.notes)
    assert (
        predict_to_file(models["author"], corpus, tmp_path / "scores.parquet", device="cpu").caution is None
    )
    compared = compare_aggregation_methods(
        models["author"], divided, aggregations=("mean",), baselines=False, device="cpu"
    )
    assert compared["mean"]["caution"] == found["caution"]


def test_what_stands_in_no_split_is_counted(models: dict[str, Path], corpus: Path, tmp_path: Path) -> None:
    whole = predict_to_file(models["author"], corpus, tmp_path / "a.parquet", split="all", device="cpu")
    assert whole.left_out == 0
    assert predict_to_file(models["author"], corpus, tmp_path / "b.parquet", device="cpu").left_out == 0
    strict = import_corpus(corpus, tmp_path / "strict", strict=True, columns={"split": None})
    found = predict_to_file(models["author"], strict, tmp_path / "c.parquet", split="all", device="cpu")
    assert found.left_out == whole.rows - found.rows > 0


def test_a_model_of_another_level_is_refused(corpus: Path, models: dict[str, Path]) -> None:
    with pytest.raises(ModelFileError) as caught:
        evaluate_model("conversation", models["author"], corpus, device="cpu")
    assert str(caught.value) == f"{models['author']} is a model of level 'author', not 'conversation'"
    assert not (corpus / "test_reads.jsonl").exists()


def write_corpus(folder: Path, *, labelled: bool, fractions: tuple[float, float, float]) -> Path:
    generator = np.random.default_rng(0)
    lines = []
    for index in range(12):
        messages = [{"author": f"a{index}", "features": generator.normal(size=8).tolist()}]
        record = {"conversation_id": str(index), "messages": messages}
        lines.append(json.dumps(record | ({"label": index % 2} if labelled else {})))
    (folder / "chats.jsonl").write_text("\n".join(lines) + "\n")
    return import_corpus(folder / "chats.jsonl", folder / "small", fractions=fractions)


def test_a_missing_test_split_is_refused_and_not_counted(models: dict[str, Path], tmp_path: Path) -> None:
    small = write_corpus(tmp_path, labelled=True, fractions=(0.5, 0.5, 0.0))
    with pytest.raises(SplitError, match="split test is empty at level conversation") as caught:
        evaluate_model("conversation", models["conversation"], small, device="cpu")
    assert str(small) in str(caught.value)
    assert not (small / "test_reads.jsonl").exists()


def test_a_corpus_without_labels_is_refused(models: dict[str, Path], tmp_path: Path) -> None:
    small = write_corpus(tmp_path, labelled=False, fractions=(0.3, 0.3, 0.4))
    with pytest.raises(CorpusError, match="no labels at level conversation"):
        evaluate_model("conversation", models["conversation"], small, device="cpu")
    assert len(predict(models["conversation"], small, split="all", device="cpu")) == 12


def test_one_class_in_test_gives_null_with_counts(models: dict[str, Path], tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    lines = [
        json.dumps(
            {
                "conversation_id": str(index),
                "messages": [{"author": f"a{index}", "features": generator.normal(size=8).tolist()}],
                "label": 0 if index % 3 == 2 else index % 2,
                "split": ("train", "validation", "test")[index % 3],
            }
        )
        for index in range(24)
    ]
    (tmp_path / "chats.jsonl").write_text("\n".join(lines) + "\n")
    small = import_corpus(tmp_path / "chats.jsonl", tmp_path / "small")
    found = evaluate_model("conversation", models["conversation"], small, device="cpu")
    assert (found["count"], found["positives"]) == (8, 0)
    assert found["roc_auc"] is None and found["recall"] is None
    assert isinstance(found["accuracy"], float)


def test_a_file_that_is_no_model_is_refused(corpus: Path, write_source: Callable[..., Path]) -> None:
    source = write_source(corpus.parent / "x.jsonl", num_conversations=2)
    with pytest.raises(ModelFileError, match=str(source)):
        evaluate_model("conversation", source, corpus)


def test_what_decisions_cost_stands_beside_what_baselines_cost(corpus: Path, models: dict[str, Path]) -> None:
    found = evaluate_model("author", models["author"], corpus, threshold="cost:1:20", device="cpu")
    scores = predict(models["author"], corpus, device="cpu").labelled()
    flagged = scores.probs >= found["threshold"]
    total = float((flagged & (scores.labels == 0)).sum() + 20 * (~flagged & (scores.labels == 1)).sum())
    cost = found["cost"]
    assert cost["prices"] == [1.0, 20.0]
    assert cost["model"]["total"] == total and cost["model"]["per_row"] == total / len(scores)
    assert cost["model"]["low"] < cost["model"]["per_row"] < cost["model"]["high"]
    assert cost["nobody"]["total"] == 20 * (scores.labels == 1).sum()
    assert cost["everybody"]["total"] == (scores.labels == 0).sum()
    assert set(cost["baselines"]) == set(found["baselines"])
    assert any(f"cost {total / len(scores):.4f} a row" in line for line in describe_result(found))
    assert evaluate_model("author", models["author"], corpus, device="cpu", baselines=False)["cost"] is None
    profiles = evaluate_profile_classifier(
        models["author"], corpus, "mean", threshold="cost:1:20", device="cpu"
    )
    assert set(profiles["cost"]["baselines"]) == set(profiles["baselines"])
    assert profiles["cost"]["model"]["per_row"] * profiles["count"] == pytest.approx(
        profiles["cost"]["model"]["total"]
    )
