"""From predictions to a section: intervals, paired differences, parts of test, and the audit without names."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from tenor.corpus.audit import AuditReport
from tenor.corpus.findings import Finding
from tenor.errors import UsageError
from tenor.evaluation.standing import subtract_baselines
from tenor.metrics.intervals import bootstrap_metrics
from tenor.metrics.scores import calculate_metrics
from tenor.predictions import Predictions
from tenor.report.assemble import assemble_level, assemble_report, summarize_audit
from tenor.report.card import render_model_card
from tenor.report.page import render_report
from tenor.report.summaries import METRIC_NAMES, judge_baselines, measure

Simulate = Callable[..., Predictions]


@pytest.fixture(scope="module")
def simulate() -> Simulate:
    """A function (strength, seed) that simulates 200 conversations, half of them in test."""

    def make(strength: float = 1.5, seed: int = 0, *, threshold: float | None = 0.5) -> Predictions:
        rows = np.random.default_rng(7)
        labels = (rows.random(200) < 0.4).astype(np.int64)
        logits = np.random.default_rng(seed).normal(-0.5, 1.0, 200) + strength * labels
        names = np.array([f"c{index}" for index in range(200)], dtype=object)
        return Predictions(
            level="conversation",
            classes=(0, 1),
            conversation_ids=names,
            authors=None,
            groups=names,
            splits=np.array(["validation", "test"], dtype=object)[np.arange(200) % 2],
            labels=labels,
            lengths=rows.integers(1, 30, 200),
            logits=logits,
            probs=1 / (1 + np.exp(-logits)),
            threshold=threshold,
            model="m",
            model_hash="",
        )

    return make


def test_intervals_and_differences_are_those_of_the_metrics(simulate: Simulate) -> None:
    model, weak = simulate(), simulate(0.2, 1)
    section = assemble_level(model, baselines={"weak": weak}, seed=3)
    test = model.in_split("test")
    expected = bootstrap_metrics(
        test.labels, test.probs, test.groups, 0.5, metrics=tuple(METRIC_NAMES), replicates=1000, seed=3
    )
    assert section.model.intervals == {name: (found.low, found.high) for name, found in expected.items()}
    found = subtract_baselines(model, {"weak": weak}, seed=3)["weak"]["roc_auc"]
    shown = section.baselines[0].differences["roc_auc"]
    assert (shown.value, shown.interval) == (found.difference, (found.low, found.high))
    verdict = judge_baselines(measure(section.model), [measure(section.baselines[0])])
    assert verdict is not None and verdict.kind == "better"
    assert shown.p_holm == found.p_holm is not None


def test_the_best_of_several_equals_is_not_better_than_the_model(simulate: Simulate) -> None:
    equals = {f"m{seed}": simulate(0.9, seed) for seed in range(3)}
    section = assemble_level(simulate(0.9, 23), baselines=equals)
    rivals = [measure(baseline) for baseline in section.baselines]
    shown = section.baselines[1].differences["roc_auc"]
    assert shown.interval is not None and shown.interval[1] < 0  # by itself it would be
    assert shown.p_holm == pytest.approx(0.27, abs=0.03)
    verdict = judge_baselines(measure(section.model), rivals)
    assert verdict is not None and "the model does not beat m1: " in verdict.sentence


def test_aggregations_are_compared_with_the_section_s_own(simulate: Simulate) -> None:
    tables = {"mean": simulate(), "median": simulate(0.5, 2)}
    section = assemble_level(tables["mean"], name="mean", aggregations=tables)
    own, other = section.aggregations
    assert (own.name, own.differences) == ("mean", {})
    scores = [
        calculate_metrics(t.in_split("test").labels, t.in_split("test").probs)["roc_auc"]
        for t in tables.values()
    ]
    assert other.differences["roc_auc"].value == pytest.approx(scores[0] - scores[1])  # type: ignore[operator]
    page = render_report(assemble_report([section], None, title="t"))
    assert "Validation average precision" in page and "model minus this" in page


def test_parts_by_length_are_always_there_and_by_columns_where_given(simulate: Simulate) -> None:
    model = simulate()
    test = model.in_split("test")
    language = np.where(np.arange(100) % 4 == 0, "de", "en").astype(object)
    section = assemble_level(model, columns={"language": language})
    assert list(dict.fromkeys(part.column for part in section.subgroups)) == ["messages", "language"]
    german = next(part for part in section.subgroups if part.value == "de")
    rows = language == "de"
    expected = calculate_metrics(test.labels[rows], test.probs[rows], 0.5)
    assert (german.count, german.positives) == (25, int(test.labels[rows].sum()))
    for metric in METRIC_NAMES:
        assert german.metrics[metric] == pytest.approx(expected[metric])


def test_why_not_to_lean_on_the_model_s_intervals_stands_on_page_and_card(simulate: Simulate) -> None:
    model = simulate()
    few = np.where(np.isin(np.arange(200), [1, 3, 5]), 1, np.where(np.arange(200) % 2, 0, model.labels))
    section = assemble_level(dataclasses.replace(model, labels=few), notes=["first"])
    # three positives of a hundred: in (1 - .03)^100 = 5% of replicates there is none
    doubts = [note for note in section.notes if note.startswith("The intervals")]
    assert doubts == [
        "The intervals of ROC AUC, Average precision, Recall: rests on about 3 groups of 100.",
    ]
    assert section.notes.index(doubts[0]) == 1
    report = assemble_report([section], None, title="t")
    assert doubts[0] in render_report(report) and doubts[0] in render_model_card(report)
    assert not [note for note in assemble_level(model).notes if "intervals" in note]


def test_of_few_groups_their_number_is_not_said_again(simulate: Simulate) -> None:
    model = simulate()
    sure = dataclasses.replace(model, probs=0.1 + 0.8 * model.labels)
    places = np.where(np.arange(200) % 2, np.arange(200) % 40, 50)
    section = assemble_level(
        dataclasses.replace(sure, groups=np.array([f"g{place}" for place in places], dtype=object))
    )
    assert section.model.warnings["accuracy"].startswith(
        "only 20 groups, fewer than 30; no replicate differs"
    )
    doubts = [note for note in section.notes if note.startswith("The intervals")]
    assert "fewer than 30" not in " ".join(doubts)
    assert doubts[-1].endswith(
        ": no replicate differs, for none of about 20 groups does; up to 14% of all groups may."
    )


def test_without_a_threshold_only_the_ranking_is_measured(simulate: Simulate) -> None:
    section = assemble_level(simulate(threshold=None))
    assert set(section.model.intervals) == {"roc_auc", "average_precision"}
    assert set(section.subgroups[0].metrics) == {"roc_auc", "average_precision"}
    render_report(assemble_report([section], None, title="t"))


def test_a_section_needs_labelled_test_rows_and_rivals_of_the_same_rows(simulate: Simulate) -> None:
    model = simulate()
    with pytest.raises(UsageError, match="there is no labelled row"):
        assemble_level(dataclasses.replace(model, labels=np.full(200, -1)))
    with pytest.raises(UsageError, match="rows only in"):
        assemble_level(model, baselines={"part": model.select(np.arange(150))})


def test_an_audit_is_shown_without_names() -> None:
    finding = Finding("shared_authors", "error", "author", "2 authors: 'Ann' in train", 2, ("'Ann'",))
    note = Finding("shared_conversations", "note", "author", "3 conversations", 3, ())
    checks = (
        "groups in two splits at level conversation: 10 sequences compared",
        "groups, authors and conversations in two splits at level author: 20 sequences compared",
        "future in training: not looked at, no timestamps",
    )
    shown = summarize_audit(AuditReport((finding, note), checks))
    assert [(f.check, f.outcome, f.detail) for f in shown] == [
        ("shared authors, level author", "failed", "2 concerned"),
        ("shared conversations, level author", "note", "3 concerned"),
        ("groups in two splits at level conversation", "passed", "10 sequences compared"),
        ("future in training", "skipped", "not looked at, no timestamps"),
    ]
    clean = summarize_audit(AuditReport((), checks))
    assert [f.outcome for f in clean] == ["passed", "passed", "skipped"]
