"""Thresholds by rule, calibration and abstention: chosen and fitted on validation, measured on test."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

from tenor.corpus.corpus import open_corpus
from tenor.corpus.growth import describe_hash
from tenor.corpus.importing import import_corpus
from tenor.corpus.views import view_sequences
from tenor.errors import SplitError, UsageError
from tenor.evaluation import (
    compare_aggregation_methods,
    evaluate_profile_classifier,
    predict,
    predict_to_file,
    profile_predictions,
    streaming,
)
from tenor.evaluation import test_model as evaluate_model
from tenor.evaluation.calibration import (
    calibrate,
    fit_abstention,
    fit_adjustment,
    fit_calibration,
    measure_abstention,
    measure_calibration,
)
from tenor.evaluation.thresholds import apply_rule, choose_by_rule, describe_splits, describe_threshold
from tenor.metrics.calibration import fit_calibrator
from tenor.metrics.conformal import Conformal, fit_conformal
from tenor.metrics.thresholds import choose_threshold
from tenor.models.metadata import ModelMetadata
from tenor.models.model_file import read_metadata
from tenor.predictions import Predictions, concatenate_predictions, read_predictions
from tenor.synthetic import SyntheticPlan, generate_conversations, write_jsonl

Simulate = Callable[..., Predictions]


def turn_test(table: Predictions) -> Predictions:
    """The same table with every test label and score turned round."""
    is_test = table.splits == "test"
    return dataclasses.replace(
        table,
        labels=np.where(is_test, 1 - table.labels, table.labels),
        logits=np.where(is_test, -table.logits, table.logits),
        probs=np.where(is_test, 1 - table.probs, table.probs),
    )


@pytest.mark.parametrize("rule", ["f1", "f_beta:2", "recall_at_precision:0.6", "alarms_per_thousand:200"])
def test_a_rule_reads_validation_alone(simulate: Simulate, rule: str) -> None:
    table = simulate()
    chosen = choose_by_rule(table, rule)
    assert choose_by_rule(turn_test(table), rule) == chosen
    known = table.in_split("validation")
    assert chosen.low is not None and chosen.high is not None
    assert chosen.low <= chosen.value <= chosen.high
    assert apply_rule(table, rule)[0].threshold == chosen.value
    if rule == "recall_at_precision:0.6":
        alarms = known.probs >= chosen.value
        assert known.labels[alarms].mean() >= 0.6
    with pytest.raises(SplitError, match="there is no labelled validation row"):
        choose_by_rule(table.in_split("test"), rule)


def test_each_aggregation_has_its_own_threshold_by_the_rule(simulate: Simulate) -> None:
    tables = profile_predictions(
        simulate(200), ("mean", "total_vote", "noisy_or"), threshold="precision_at_recall:0.9"
    )
    assert len({table.threshold for table in tables.values()}) == 3
    for table in tables.values():
        known = table.in_split("validation")
        assert (known.probs[known.labels == 1] >= table.threshold).mean() >= 0.9


def test_a_stored_threshold_is_described_where_this_validation_gave_it(simulate: Simulate) -> None:
    table = simulate()
    known = table.in_split("validation")
    value = choose_threshold(known.labels, known.probs).value
    found = describe_threshold(dataclasses.replace(table, threshold=value), "f1")
    assert found is not None
    assert (found["value"], found["objective"], found["warning"]) == (value, "f1", None)
    assert found["low"] <= value <= found["high"]
    other = describe_threshold(table, "f1")
    assert other is not None and other["low"] is None
    assert other["warning"] == "chosen on other rows than this corpus's validation"
    elsewhere = describe_threshold(table.in_split("test"), "f1")
    assert elsewhere is not None and "no labelled validation row here" in elsewhere["warning"]
    assert describe_threshold(dataclasses.replace(table, threshold=None), "f1") is None


def test_test_model_chooses_by_rule(corpus: Path, models: dict[str, Path]) -> None:
    stored = evaluate_model("author", models["author"], corpus, baselines=False, device="cpu")
    assert stored["threshold"] == read_metadata(models["author"]).threshold
    choice = stored["threshold_choice"]
    assert (choice["value"], choice["objective"]) == (stored["threshold"], "f1")
    assert choice["low"] <= stored["threshold"] <= choice["high"]
    found = evaluate_model(
        "author",
        models["author"],
        corpus,
        baselines=False,
        threshold="alarms_per_thousand:100",
        device="cpu",
    )
    rows = predict(models["author"], corpus, split="validation", device="cpu")
    assert (rows.probs >= found["threshold"]).mean() <= 0.1
    assert found["threshold"] != stored["threshold"]
    assert found["roc_auc"] == stored["roc_auc"]
    assert found["threshold_choice"]["parameters"] == (100.0,)


def distort(table: Predictions) -> Predictions:
    """Scores three times too sure."""
    logits = 3 * table.logits + 1
    return dataclasses.replace(table, logits=logits, probs=1 / (1 + np.exp(-logits)))


def test_calibration_mends_probabilities_and_keeps_decisions(simulate: Simulate) -> None:
    table = distort(simulate(400, 4, strength=1.5))
    calibrator = fit_calibration(table)
    assert fit_calibration(turn_test(table)) == calibrator
    mended = calibrate(table, calibrator)
    for rows, found in (
        (table, measure_calibration(table, calibrator)),
        (mended, measure_calibration(table, calibrator)["calibrated"]),
    ):
        test = rows.in_split("test")
        assert found["brier"] == pytest.approx(brier_score_loss(test.labels, test.probs))
        assert found["log_loss"] == pytest.approx(log_loss(test.labels, test.probs))
    found = measure_calibration(table, calibrator)
    assert found["calibrated"]["log_loss"] < 0.9 * found["log_loss"]
    assert found["calibrated"]["calibration_error"] < 0.6 * found["calibration_error"]
    assert found["method"] == calibrator.method
    before, after = table.in_split("test"), mended.in_split("test")
    assert ((before.probs >= before.threshold) == (after.probs >= after.threshold)).all()
    assert roc_auc_score(after.labels, after.probs) == roc_auc_score(before.labels, before.probs)
    assert mended.probs == pytest.approx(1 / (1 + np.exp(-mended.logits)))


@pytest.mark.parametrize("threshold", [0.0, float(np.nextafter(1.0, 2.0))])
def test_calibrating_keeps_a_threshold_that_calls_all_rows_alike(
    simulate: Simulate, threshold: float
) -> None:
    table = dataclasses.replace(simulate(60, 4), threshold=threshold)
    table.probs[:2], table.logits[:2] = (0.0, 1.0), (-750.0, 750.0)
    mended = calibrate(table, fit_calibration(table))
    assert ((mended.probs >= mended.threshold) == (table.probs >= threshold)).all()


@pytest.mark.parametrize("method", ["platt", "isotonic"])
def test_calibrating_keeps_decisions_of_a_model_that_learned_nothing(simulate: Simulate, method: Any) -> None:  # noqa: ANN401
    for seed in range(4):  # validation turns Platt's curve round in some of them
        table = simulate(200, strength=0.0, seed=seed)
        known = table.in_split("validation")
        mended = calibrate(table, fit_calibrator(known.labels, known.logits, method))
        assert ((table.probs >= table.threshold) == (mended.probs >= mended.threshold)).all()


def test_predict_calibrates_and_chooses(
    evaluated_corpus: Path, models: dict[str, Path], tmp_path: Path
) -> None:
    plain = {
        split: predict(models["author"], evaluated_corpus, split=split, device="cpu")
        for split in ("validation", "test")
    }
    calibrator = fit_calibration(plain["validation"])
    found = predict(
        models["author"],
        evaluated_corpus,
        calibrate=True,
        threshold="f_beta:0.5",
        output=tmp_path / "p.parquet",
        device="cpu",
    )
    expected = calibrate(plain["test"], calibrator)
    assert set(found.splits.tolist()) == {"test"}
    assert found.probs == pytest.approx(expected.probs)
    mended = calibrate(plain["validation"], calibrator)
    assert found.threshold == pytest.approx(choose_by_rule(mended, "f_beta:0.5").value)
    assert read_predictions(tmp_path / "p.parquet").threshold == found.threshold
    again = predict(models["author"], evaluated_corpus, split="all", calibrate=True, device="cpu")
    assert again.in_split("test").probs == pytest.approx(expected.probs)


def test_new_chats_without_labels_are_adjusted_by_the_validation_of_another_corpus(
    evaluated_corpus: Path,
    models: dict[str, Path],
    new_chats: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    model = models["author"]
    known = predict(model, evaluated_corpus, split="validation", device="cpu")
    plain_file = tmp_path / "plain.parquet"
    plain = predict(model, new_chats, split="all", output=plain_file, device="cpu")
    assert (plain.labels < 0).all()
    calibrator = fit_calibration(known)
    expected = calibrate(plain, calibrator)
    options: dict[str, Any] = {"split": "all", "calibrate": True, "threshold": "cost:1:5", "device": "cpu"}
    with pytest.raises(
        SplitError, match=r"no labelled validation row \(name a corpus .* --validation DATA\)"
    ):
        predict(model, new_chats, **options)
    options |= {"abstain_alpha": 0.2, "validation": evaluated_corpus}
    whole = predict(model, new_chats, output=tmp_path / "whole.parquet", **options)
    summary = predict_to_file(model, new_chats, tmp_path / "blocks.parquet", **options)
    # known scores of the new chats do not stand for those of the validation split
    predict_to_file(model, new_chats, tmp_path / "updated.parquet", update=plain_file, **options)
    assert "other splits" not in caplog.text
    rule = fit_conformal(known.labels, known.probs, alpha=0.2, groups=known.groups)
    for name in ("whole", "blocks", "updated"):
        found = read_predictions(tmp_path / f"{name}.parquet")
        assert found.ids.tolist() == plain.ids.tolist()
        assert found.probs == pytest.approx(expected.probs, abs=1e-6)
        chosen = choose_by_rule(calibrate(known, calibrator), "cost:1:5").value
        assert found.threshold == pytest.approx(chosen, abs=1e-6)
        stored = Conformal(
            **json.loads(pq.read_schema(tmp_path / f"{name}.parquet").metadata[b"tenor.abstention"])
        )
        assert stored.quantiles == pytest.approx(rule.quantiles, abs=1e-6)
    assert len(whole) == summary.rows == len(plain)


def test_what_an_adjustment_rests_on_is_said(
    evaluated_corpus: Path, models: dict[str, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model, output = models["author"], tmp_path / "p.parquet"
    known = predict(model, evaluated_corpus, split="validation", device="cpu").labelled()
    plain = predict_to_file(model, evaluated_corpus, output, device="cpu")
    assert plain.remarks == ()
    found = predict_to_file(
        model,
        evaluated_corpus,
        output,
        calibrate=True,
        threshold="recall_at_precision:1",
        abstain_alpha=0.2,
        device="cpu",
    )
    fitted, calibrated, chosen, beside = found.remarks
    positives = int(known.labels.sum())
    assert fitted == (
        f"fitted on {len(known)} labelled validation rows of {known.groups.count_distinct()} groups, "
        f"{len(known) - positives} of class 0, {positives} of class 1"
    )
    method = fit_calibration(known).method
    assert calibrated.endswith(f" by {method}" if method != "identity" else "in cross-validation")
    assert chosen.startswith("The threshold 0.") and "by recall_at_precision:1; only 22 groups" in chosen
    assert beside.startswith("decisions are those of abstention, which no threshold changes")
    assert [record.message[:35] for record in caplog.records] == [
        "threshold: only 22 groups, fewer than"[:35]
    ]
    one_class = known.select(known.labels == 0)
    assert fit_adjustment(one_class, rule="cost:1:20").threshold == 0.5
    assert "threshold: every label is of one class: 0.5 is a fallback" in caplog.text


def test_a_threshold_of_few_groups_says_so(simulate: Simulate) -> None:
    table = simulate(200)
    assert choose_by_rule(table).warning is None
    known = table.in_split("validation")
    few = known.select(np.isin(known.groups, known.groups.rank()[1][:7]))
    assert choose_by_rule(few).warning == (
        "only 7 groups, fewer than 30: it may be far off, whatever its interval"
    )


def test_adjusting_by_rows_that_the_model_may_have_seen_is_said(
    evaluated_corpus: Path, models: dict[str, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    divided_anew = import_corpus(evaluated_corpus, tmp_path / "anew", seed=5, columns={"split": None})
    predict(models["author"], divided_anew, calibrate=True, validation=evaluated_corpus, device="cpu")
    assert "trained under other splits" not in caplog.text
    predict(models["author"], evaluated_corpus, calibrate=True, validation=divided_anew, device="cpu")
    assert "anew: the model was trained under other splits than this corpus has" in caplog.text


def test_a_validation_corpus_that_nothing_is_fitted_on_is_refused(
    evaluated_corpus: Path, models: dict[str, Path], tmp_path: Path
) -> None:
    output = tmp_path / "p.parquet"
    for score in (predict, partial(predict_to_file, output=output)):
        with pytest.raises(UsageError, match="validation: expected something to fit on .* leave it out"):
            score(models["author"], evaluated_corpus, validation=evaluated_corpus)
    assert not output.exists()
    with pytest.raises(UsageError, match="output: expected another place than that of the validation"):
        predict(
            models["author"],
            tmp_path,
            output=evaluated_corpus / "p.parquet",
            calibrate=True,
            validation=evaluated_corpus,
        )


def test_abstention_keeps_its_promise_on_average(simulate: Simulate) -> None:
    """Half a point's worth of groups: coverage is that of 30 corpora together."""
    coverages, abstained = [], []
    for seed in range(30):
        table = simulate(200, 2, strength=1.5, seed=seed)
        found = measure_abstention(table, 0.2, seed=seed)
        coverages.append(found["coverage"])
        abstained.append(found["abstained"])
        assert found["alpha"] == 0.2 and found["count"] == 200
        assert found["classes"] == list(table.classes) and len(found["by_class"]) == 2
    assert 0.77 < np.mean(coverages) < 0.86
    assert 0 < np.mean(abstained) < 0.9
    table = simulate(200, 2)
    assert fit_abstention(turn_test(table), 0.1) == fit_abstention(table, 0.1)


def test_what_is_no_probability_is_refused(simulate: Simulate) -> None:
    counts = profile_predictions(simulate(), ("total_vote",))["total_vote"]
    with pytest.raises(
        UsageError, match="a calibrator needs probabilities, and these scores of profiles are counts"
    ):
        fit_calibration(counts)
    with pytest.raises(SplitError, match="a conformal rule is fitted on validation"):
        fit_abstention(simulate().in_split("test"), 0.1)
    with pytest.raises(UsageError, match="alpha must be between 0 and 1"):
        fit_abstention(simulate(), 1.5)


def test_test_model_measures_calibration_and_abstention(corpus: Path, models: dict[str, Path]) -> None:
    found = evaluate_model(
        "author", models["author"], corpus, baselines=False, abstain_alpha=0.2, device="cpu"
    )
    test = predict(models["author"], corpus, split="test", device="cpu")
    assert found["calibration"]["brier"] == pytest.approx(brier_score_loss(test.labels, test.probs))
    assert 0 <= found["abstention"]["coverage"] <= 1
    assert found["abstention"]["count"] == len(test)


@pytest.mark.parametrize("level", ["conversation", "author"])
def test_predictions_say_where_the_model_abstains(
    corpus: Path, models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, level: str
) -> None:
    """In one piece, in blocks, calibrated and updated: the sets of the rule fitted on these validation scores."""
    plain = predict(models[level], corpus, split="all", output=tmp_path / "plain.parquet", device="cpu")
    known = plain.in_split("validation")
    rule = fit_conformal(known.labels, known.probs, alpha=0.2, groups=known.groups)
    test = plain.in_split("test")
    expected = [
        [label for label, q in zip((0, 1), rule.quantiles, strict=True) if 1 - (p if label else 1 - p) <= q]
        for p in test.probs.tolist()
    ]
    decided = [labels[0] if len(labels) == 1 else None for labels in expected]
    assert 0 < decided.count(None) < len(decided)

    monkeypatch.setattr(streaming, "BLOCK_MESSAGES", 100)
    options: dict[str, Any] = {"abstain_alpha": 0.2, "device": "cpu"}
    summaries = [
        predict_to_file(models[level], corpus, tmp_path / "blocks.parquet", **options),
        predict_to_file(
            models[level], corpus, tmp_path / "updated.parquet", update=tmp_path / "plain.parquet", **options
        ),
        predict_to_file(models[level], corpus, tmp_path / "mended.parquet", calibrate=True, **options),
    ]
    predict(models[level], corpus, output=tmp_path / "whole.parquet", split="test", **options)
    assert {(s.level, s.rows, s.abstained, s.warning) for s in summaries} == {
        (level, len(test), decided.count(None), None)
    }
    for name in ("blocks", "updated", "mended", "whole"):
        file = tmp_path / f"{name}.parquet"
        table = pq.read_table(file)
        assert table["prediction_set"].to_pylist() == expected
        assert table["decision"].to_pylist() == decided
        stored = Conformal(**json.loads(table.schema.metadata[b"tenor.abstention"]))
        assert (stored.alpha, stored.counts) == (0.2, list(rule.counts))
        assert stored.quantiles == pytest.approx(rule.quantiles, abs=1e-6)
        assert read_predictions(file).ids.tolist() == test.ids.tolist()
    mended = read_predictions(tmp_path / "mended.parquet")
    assert mended.probs == pytest.approx(calibrate(test, fit_calibration(known)).probs, abs=1e-6)
    assert pq.ParquetFile(tmp_path / "blocks.parquet").num_row_groups > 1
    found = evaluate_model(level, models[level], corpus, baselines=False, abstain_alpha=0.2, device="cpu")
    assert found["abstention"]["abstained"] == pytest.approx(decided.count(None) / len(decided))
    again = predict(
        models[level],
        corpus,
        split="all",
        output=tmp_path / "all.parquet",
        update=tmp_path / "blocks.parquet",
        **options,
    )
    assert np.abs(again.logits - plain.logits).max() <= 1e-5  # a file with sets can be updated
    rows = pq.read_table(tmp_path / "all.parquet").filter(pc.field("split") == "test")
    assert rows["prediction_set"].to_pylist() == expected


def test_sets_have_a_place_in_a_file_only(
    evaluated_corpus: Path, models: dict[str, Path], tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="abstain_alpha: expected an output, .* found none"):
        predict(models["author"], evaluated_corpus, abstain_alpha=0.1, device="cpu")
    with pytest.raises(UsageError, match="alpha must be between 0 and 1, found 2"):
        predict_to_file(
            models["author"], evaluated_corpus, tmp_path / "p.parquet", abstain_alpha=2, device="cpu"
        )
    assert not (tmp_path / "p.parquet").exists()


def test_authors_are_the_units_of_profiles(corpus: Path, models: dict[str, Path]) -> None:
    options: dict[str, Any] = {"abstain_alpha": 0.2, "baselines": False, "device": "cpu"}
    found = evaluate_profile_classifier(models["author"], corpus, **options)
    sequences = concatenate_predictions(
        [predict(models["author"], corpus, split=split, device="cpu") for split in ("validation", "test")]
    )
    table = profile_predictions(sequences, ("mean",))["mean"]
    known, test = table.in_split("validation"), table.in_split("test")
    rule = fit_conformal(known.labels, known.probs, alpha=0.2)
    assert sum(rule.counts) == len(set(known.authors)) == len(known)  # type: ignore[arg-type]
    decided = rule.decide(test.probs)
    assert found["abstention"]["abstained"] == pytest.approx((decided == -1).mean())
    assert found["abstention"]["count"] == len(test)
    both = compare_aggregation_methods(
        models["author"], corpus, aggregations=("mean", "total_vote"), **options
    )
    assert both["mean"]["abstention"] == found["abstention"]
    assert "abstention" not in both["total_vote"]
    with pytest.raises(UsageError, match="a conformal rule needs probabilities"):
        evaluate_profile_classifier(models["author"], corpus, "total_vote", **options)


def test_a_corpus_that_grew_is_not_taken_for_one_of_other_splits(tmp_path: Path) -> None:
    plan = SyntheticPlan(conversations=60, messages=4, seed=3)
    rows = list(generate_conversations(plan))
    one, two = (write_jsonl(part, tmp_path / f"{len(part)}.jsonl") for part in (rows[:40], rows[40:]))
    before = open_corpus(import_corpus(one, tmp_path / "corpus"))
    anew = open_corpus(import_corpus(one, tmp_path / "anew", seed=1))
    grown = open_corpus(import_corpus(two, before.path, append=True))
    mixed = open_corpus(import_corpus(two, anew.path, append=True))
    metadata = ModelMetadata(level="author", config={}, split_hash=before.info.split_hash)
    assert grown.info.split_hash != before.info.split_hash
    assert [describe_splits(metadata, each) for each in (before, grown)] == [None, None]
    for corpus in (anew, mixed):
        caution = describe_splits(metadata, corpus)
        assert caution is not None and caution.startswith("the model was trained under other splits than")


def test_a_corpus_imported_anew_by_the_same_hash_is_not_taken_for_one_of_other_splits(tmp_path: Path) -> None:
    """From all sources, nightly: a file of before is not its first one."""
    rows = list(generate_conversations(SyntheticPlan(conversations=60, messages=4, seed=3)))
    one, two = (write_jsonl(part, tmp_path / f"{len(part)}.jsonl") for part in (rows[:40], rows[::-1]))
    before = open_corpus(import_corpus(one, tmp_path / "corpus"))
    for seed, is_known in ((0, True), (1, False)):
        anew = open_corpus(import_corpus(two, tmp_path / f"anew{seed}", seed=seed))
        view = view_sequences(before, "author")
        training = {"splits": describe_hash(view)}
        metadata = ModelMetadata(
            level="author", config={}, split_hash=before.info.split_hash, training=training
        )
        assert (describe_splits(metadata, anew) is None) is is_known
        assert describe_splits(dataclasses.replace(metadata, training={}), anew) is not None
