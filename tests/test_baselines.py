"""Baselines on small corpora with planted evidence: values by hand, kinds of corpora, errors."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import f1_score, roc_auc_score

from tenor.baselines import BASELINES, blend_logits, fit_baselines
from tenor.corpus.corpus import open_corpus
from tenor.corpus.importing import import_corpus
from tenor.corpus.views import SequenceView, view_sequences
from tenor.errors import TrainingError
from tenor.lexical import fit_out_of_fold
from tenor.metrics.thresholds import choose_threshold


@pytest.fixture(scope="module", params=["conversation", "author"])
def view(small_corpus: Path, request: pytest.FixtureRequest) -> SequenceView:
    return view_sequences(open_corpus(small_corpus), request.param)


def make_view(path: Path, records: list[dict], level: str) -> SequenceView:
    source = path / "source.jsonl"
    source.write_text("".join(json.dumps(record) + "\n" for record in records))
    return view_sequences(open_corpus(import_corpus(source, path / "corpus")), level)


def make_records(num_conversations: int, classes: tuple, *, features: bool, texts: bool) -> list[dict]:
    generator = np.random.default_rng(0)
    records = []
    for index in range(num_conversations):
        label = index % len(classes)
        messages = []
        for _ in range(int(generator.integers(1, 6))):
            message: dict = {"author": f"a{index}"}
            if texts:
                message["text"] = "hello there " + ("abcdef"[label] * 4 if generator.random() < 0.6 else "x")
            if features:
                message["features"] = (generator.normal(size=4) + label).tolist()
            messages.append(message)
        records.append({"conversation_id": str(index), "messages": messages, "label": classes[label]})
    return records


def test_all_baselines_score_validation_and_test(view: SequenceView) -> None:
    found = fit_baselines(view)
    assert tuple(found) == BASELINES
    expected = [view.in_split("validation"), view.in_split("test")]
    for name, predictions in found.items():
        assert predictions.model == name
        assert predictions.level == view.level
        assert predictions.conversation_ids.tolist() == [
            i for part in expected for i in part.conversation_ids
        ]
        assert predictions.labels.tolist() == [i for part in expected for i in part.labels]
        assert predictions.lengths.tolist() == [i for part in expected for i in part.lengths]
        np.testing.assert_allclose(predictions.probs, 1 / (1 + np.exp(-predictions.logits)), rtol=1e-12)
        assert (predictions.authors is None) == (view.level == "conversation")


def test_evidence_is_found(view: SequenceView) -> None:
    found = fit_baselines(view)
    for name in ("lexical", "pooled", "blend"):
        assert roc_auc_score(found[name].labels, found[name].probs) > 0.9, name
    assert roc_auc_score(found["majority"].labels, found["majority"].probs) == 0.5


def test_majority_is_the_smoothed_training_frequency(view: SequenceView) -> None:
    labels = view.in_split("train").labels
    ones, zeros = (labels == 1).sum() + 0.5, (labels == 0).sum() + 0.5
    majority = fit_baselines(view)["majority"]
    np.testing.assert_allclose(majority.probs, ones / (ones + zeros), rtol=1e-12)
    assert majority.threshold == 0.5


def test_lexical_is_the_model_of_the_training_texts(view: SequenceView) -> None:
    train, test = view.in_split("train"), view.in_split("test")
    texts = ["\n".join(messages) for messages in train.texts()]
    model, _ = fit_out_of_fold(texts, train.labels, train.groups, seed=0)
    expected = model.logits(["\n".join(messages) for messages in test.texts()])
    np.testing.assert_allclose(fit_baselines(view)["lexical"].in_split("test").logits, expected, rtol=1e-9)


def test_thresholds_are_chosen_on_validation(view: SequenceView) -> None:
    for name, predictions in fit_baselines(view).items():
        if name == "majority":
            continue
        validation = predictions.in_split("validation")
        chosen = choose_threshold(validation.labels, validation.probs)
        assert predictions.threshold == chosen.value
        assert f1_score(validation.labels, validation.probs >= predictions.threshold) == pytest.approx(
            chosen.score
        )


def test_test_labels_change_nothing(view: SequenceView) -> None:
    labels = np.where(view.splits == "test", 1 - view.labels, view.labels)
    before, after = fit_baselines(view), fit_baselines(dataclasses.replace(view, labels=labels))
    for name in BASELINES:
        np.testing.assert_array_equal(before[name].logits, after[name].logits)
        assert before[name].threshold == after[name].threshold


def test_corpora_without_text_or_without_features(tmp_path: Path) -> None:
    for name, options, expected in (
        ("features", {"features": True, "texts": False}, ["majority", "length", "pooled"]),
        ("texts", {"features": False, "texts": True}, ["majority", "length", "lexical"]),
    ):
        folder = tmp_path / name
        folder.mkdir()
        view = make_view(folder, make_records(60, (0, 1), **options), "conversation")
        assert list(fit_baselines(view)) == expected


def test_several_classes(tmp_path: Path) -> None:
    view = make_view(tmp_path, make_records(120, ("x", "y", "z"), features=True, texts=True), "conversation")
    for name, predictions in fit_baselines(view).items():
        assert predictions.threshold is None
        assert predictions.probs.shape == (len(predictions), 3)
        np.testing.assert_allclose(predictions.probs.sum(axis=1), 1, rtol=1e-12)
        if name in ("lexical", "pooled", "blend"):
            assert (predictions.probs.argmax(axis=1) == predictions.labels).mean() > 0.6


def test_one_class_in_training_raises(tmp_path: Path) -> None:
    records = make_records(40, (0,), features=False, texts=True)
    with pytest.raises(TrainingError, match="found only 0, "):
        fit_baselines(make_view(tmp_path, records, "conversation"))


def test_blend_by_hand() -> None:
    first, second = np.array([0.0, 2.0, 4.0]), np.array([-10.0, 30.0, 50.0])
    reference = np.array([True, True, False])
    # Means 1 and 10, deviations 1 and 20: standardised -1 1 3 and -1 1 2.
    expected = np.array([-1.0, 1.0, 2.5]) * 10.5 + 5.5
    np.testing.assert_allclose(blend_logits([first, second], reference), expected)
    np.testing.assert_allclose(blend_logits([first, first], reference), first)
    np.testing.assert_allclose(blend_logits([first, second], ~reference), (first + second) / 2)
    np.testing.assert_allclose(blend_logits([np.ones(3), first], reference), [0.5, 1.5, 2.5])


def test_every_rare_class_has_a_probability(tmp_path: Path) -> None:
    records = make_records(90, ("x", "y"), features=True, texts=True)
    records += [
        record | {"conversation_id": f"rare-{i}", "label": "z"} for i, record in enumerate(records[:1])
    ]
    view = make_view(tmp_path, records, "conversation")
    for predictions in fit_baselines(view).values():
        assert (predictions.probs > 0).all()
