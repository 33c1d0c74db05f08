from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from tenor.corpus.importing import import_corpus
from tenor.errors import UsageError
from tenor.evaluation import compare_aggregation_methods, evaluate_profile_classifier, predict
from tenor.evaluation.updating import draw_proof
from tenor.predictions import read_predictions, write_predictions
from tenor.synthetic import SyntheticPlan, generate_conversations, write_jsonl

MORE = SyntheticPlan(
    conversations=300, messages=5, conversations_per_author=8, guilty_every=3, bad_share=0.5, input_size=8
)


@pytest.fixture
def grown(corpus: Path, tmp_path: Path) -> Path:
    """The corpus after 60 more conversations."""
    rows = [
        dataclasses.replace(row, conversation_id=f"late-{number}")
        for number, row in enumerate(list(generate_conversations(MORE))[240:])
    ]
    more = write_jsonl(rows, tmp_path / "more.jsonl")
    return import_corpus(more, Path(corpus), append=True)


def test_predictions_grow_by_the_new_sequences(
    corpus: Path, models: dict[str, Path], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    for level, model in models.items():
        predict(model, corpus, split="all", output=tmp_path / f"{level}.parquet", device="cpu")
    grown = request.getfixturevalue("grown")
    for level, model in models.items():
        file = tmp_path / f"{level}.parquet"
        old = read_predictions(file)
        updated = predict(model, grown, split="all", output=file, update=file, device="cpu")
        fresh = predict(model, grown, split="all", device="cpu")
        assert updated.ids.tolist() == fresh.ids.tolist()
        assert updated.splits.tolist() == fresh.splits.tolist()
        assert np.abs(updated.probs - fresh.probs).max() <= 1e-6
        known = np.isin(updated.ids, old.ids)
        assert known.sum() == len(old) < len(updated)
        assert np.array_equal(updated.logits[known], old.logits)  # taken over, not computed again
        assert read_predictions(file).logits.tolist() == updated.logits.tolist()


def test_profiles_from_known_scores_are_those_of_a_fresh_run(
    corpus: Path, models: dict[str, Path], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    file = tmp_path / "author.parquet"
    predict(models["author"], corpus, split="all", output=file, device="cpu")
    grown = request.getfixturevalue("grown")
    options = {"baselines": False, "device": "cpu"}
    fresh = evaluate_profile_classifier(models["author"], grown, **options)
    known = evaluate_profile_classifier(models["author"], grown, known=file, **options)
    for metric in ("average_precision", "roc_auc", "f1", "threshold"):
        assert known[metric] == pytest.approx(fresh[metric], abs=1e-6)
    both = compare_aggregation_methods(
        models["author"], grown, aggregations=("mean", "median"), known=file, **options
    )
    assert both["mean"]["roc_auc"] == pytest.approx(fresh["roc_auc"], abs=1e-6)


def test_predictions_of_something_else_are_refused(
    corpus: Path, models: dict[str, Path], tmp_path: Path
) -> None:
    predictions = predict(models["author"], corpus, device="cpu")
    with pytest.raises(
        UsageError, match="expected predictions of this model, with level conversation, found level"
    ):
        predict(models["conversation"], corpus, update=predictions, device="cpu")
    other = dataclasses.replace(predictions, model_hash="f" * 64)
    with pytest.raises(UsageError, match=f"model hash .*, found model hash {'f' * 12}"):
        predict(models["author"], corpus, update=other, device="cpu")
    mended = dataclasses.replace(predictions, logits=predictions.logits * 1.5)
    file = write_predictions(mended, tmp_path / "mended.parquet")
    with pytest.raises(UsageError, match="they were calibrated, or the messages have changed"):
        predict(models["author"], corpus, update=file, device="cpu")


def test_the_proof_is_a_small_sorted_draw() -> None:
    rows = np.where(np.arange(1000) % 3 == 0, -1, np.arange(1000))
    proof = draw_proof(rows)
    assert len(proof) == 64
    assert (rows[proof] >= 0).all()
    assert (np.diff(proof) > 0).all()
    assert draw_proof(np.array([-1, 4, -1, 2])).tolist() == [1, 3]
