from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tenor.predictions import Predictions
from tenor.report import Difference, LevelSection, Report, Scorer
from tenor.report.summaries import compose_summary, count_splits, format_number, judge_baselines, measure


def _predictions(probs: list[float], threshold: float | None = 0.5) -> Predictions:
    """Two rows of validation and four of test with labels 1 1 0 0."""
    count = len(probs)
    names = np.array([f"c{n}" for n in range(count)], dtype=object)
    return Predictions(
        level="conversation", classes=(0, 1), conversation_ids=names, authors=None,
        groups=np.array(["g1", "g1", "g2", "g2", "g3", "g4"], dtype=object),
        splits=np.array(["validation"] * 2 + ["test"] * 4, dtype=object),
        labels=np.array([1, 0, 1, 1, 0, 0]), lengths=np.ones(count, dtype=np.int64),
        logits=np.zeros(count), probs=np.array(probs), threshold=threshold, model="m", model_hash="",
    )  # fmt: skip


PERFECT = [0.9, 0.1, 0.9, 0.8, 0.2, 0.1]
MIDDLING = [0.9, 0.1, 0.9, 0.2, 0.8, 0.1]  # 3 of 4 pairs in order on test: ROC AUC 0.75


def test_measure_is_of_test_and_of_validation_apart() -> None:
    measured = measure(Scorer("m", _predictions(MIDDLING)))
    assert measured.test["roc_auc"] == 0.75
    assert measured.test["precision"] == 0.5
    assert measured.validation["roc_auc"] == 1.0
    assert measured.test["count"] == 4


def test_without_a_threshold_the_ranking_is_measured_only() -> None:
    measured = measure(Scorer("m", _predictions(PERFECT, None)))
    assert measured.test["roc_auc"] == 1.0
    assert measured.test["f1"] is None
    assert measured.reasons["f1"] == "no threshold was chosen"


def test_ahead_without_an_interval_is_not_better() -> None:
    model, other = (
        measure(Scorer("m", _predictions(PERFECT))),
        measure(Scorer("length", _predictions(MIDDLING))),
    )
    verdict = judge_baselines(model, [other])
    assert verdict is not None
    assert verdict.kind == "unclear"
    assert verdict.sentence == (
        "On test the model does not clearly beat length: ROC AUC 1.000 against 0.750. These are two values without an "
        "interval of their difference."
    )


@pytest.mark.parametrize(
    ("difference", "kind", "words"),
    [
        (Difference(0.25, (0.1, 0.4)), "better", "beats length"),
        (Difference(0.25, (-0.1, 0.6)), "unclear", "does not clearly beat length"),
        (Difference(-0.02, (-0.1, 0.06)), "worse", "does not beat length"),
        (Difference(0.0), "unclear", "is level with length"),
    ],
)
def test_verdict_follows_the_interval_of_the_difference(
    difference: Difference, kind: str, words: str
) -> None:
    model = measure(Scorer("m", _predictions(PERFECT)))
    other = measure(Scorer("length", _predictions(MIDDLING), differences={"roc_auc": difference}))
    verdict = judge_baselines(model, [other])
    assert verdict is not None
    assert verdict.kind == kind
    assert words in verdict.sentence


def test_verdict_names_the_baseline_that_the_model_is_least_ahead_of() -> None:
    model = measure(Scorer("m", _predictions(PERFECT)))
    weak = measure(
        Scorer("weak", _predictions(MIDDLING), differences={"roc_auc": Difference(0.3, (0.2, 0.4))})
    )
    strong = measure(
        Scorer("strong", _predictions(MIDDLING), differences={"roc_auc": Difference(0.2, (-0.1, 0.5))})
    )
    verdict = judge_baselines(model, [weak, strong])
    assert verdict is not None
    assert "does not clearly beat strong" in verdict.sentence
    assert "(95% interval −0.100 to 0.500)" in verdict.sentence
    assert judge_baselines(model, []) is None


def test_names_cannot_turn_the_direction_of_a_sentence() -> None:
    model, other = (
        measure(Scorer("m", _predictions(PERFECT))),
        measure(Scorer("a\u202eb", _predictions(MIDDLING))),
    )
    verdict = judge_baselines(model, [other])
    assert verdict is not None
    assert "does not clearly beat ab: ROC AUC 1.000 against 0.750" in verdict.sentence


def test_summary_has_three_sentences_and_says_when_a_baseline_is_not_beaten() -> None:
    section = LevelSection(Scorer("m", _predictions(MIDDLING)), (Scorer("tf-idf", _predictions(PERFECT)),))
    model, other = measure(section.model), measure(section.baselines[0])
    report = Report("t", (section,))
    sentences = compose_summary(report, [model], [judge_baselines(model, [other])])
    assert len(sentences) == 3
    assert sentences[0] == "Models scored 4 conversations of the test split."
    assert sentences[2] == (
        "On test, ROC AUC is 0.750 for conversations; the model does not clearly beat every baseline for "
        "conversations."
    )
    assert compose_summary(dataclasses.replace(report, summary=("Own.",)), [model], [None]) == ("Own.",)


def test_counts_are_of_rows_labels_positives_and_groups() -> None:
    predictions = _predictions(PERFECT)
    predictions = dataclasses.replace(predictions, labels=np.array([1, 0, 1, -1, 0, 0]))
    validation, test = count_splits(LevelSection(Scorer("m", predictions)))
    assert (validation.split, validation.rows, validation.groups) == ("validation", 2, 1)
    assert (test.rows, test.labelled, test.positives, test.groups) == (4, 3, 1, 3)


def test_numbers_are_worded_for_people() -> None:
    assert [format_number(x) for x in (0.0, -0.0126, None)] == ["0.000", "−0.013", "–"]
