"""Learned aggregations: cross-fitted as a plain loop would, better where evidence is rare, no worse elsewhere."""

from __future__ import annotations

import dataclasses
import logging
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from tenor.aggregation.learned import LEARNED_AGGREGATIONS, fit_aggregation
from tenor.baselines import fit_baselines
from tenor.corpus.corpus import open_corpus
from tenor.corpus.importing import import_corpus
from tenor.corpus.views import view_sequences
from tenor.errors import TrainingError, UsageError
from tenor.evaluation import (
    compare_aggregation_methods,
    evaluate_profile_classifier,
    profile_predictions,
)
from tenor.evaluation.aggregation import EVERY_AGGREGATION, best_by_validation
from tenor.evaluation.learned import ATTENTIONS, FOLDS
from tenor.evaluation.profiles import measure_profiles
from tenor.evaluation.rivals import aggregate_baselines
from tenor.evaluation.standing import measure_beside, subtract
from tenor.lexical import assign_folds
from tenor.metrics.objectives import parse_rule
from tenor.predictions import Predictions
from tenor.strings import Strings
from tenor.synthetic import SyntheticPlan, generate_conversations, write_jsonl

Simulate = Callable[..., Predictions]


def score_in_a_loop(method: str, rows: Predictions) -> dict[tuple[str, str], float]:
    """(split, author) -> logit, one fold after another, with lists of authors."""
    assert rows.authors is not None
    of = {}
    for split in ("validation", "test"):
        for author in sorted(set(rows.authors[rows.splits == split].tolist())):
            mine = (rows.splits == split) & (rows.authors == author)
            of[split, author] = (rows.logits[mine], int(rows.labels[mine][0]))
    validation = [key for key in of if key[0] == "validation"]
    labels = np.array([of[key][1] for key in validation])
    names = np.array([key[1] for key in validation], dtype=object)
    folds = assign_folds(labels, names, seed=0, folds=FOLDS)

    def fit_and_score(fitted: list, scored: list) -> dict:
        codes = np.repeat(np.arange(len(fitted)), [len(of[key][0]) for key in fitted])
        logits = np.concatenate([of[key][0] for key in fitted])
        model = fit_aggregation(method, logits, codes, np.array([of[key][1] for key in fitted]))  # type: ignore[arg-type]
        return {
            key: float(model.logits(of[key][0], np.zeros(len(of[key][0]), dtype=np.int64), 1)[0])
            for key in scored
        }

    scores = {}
    for fold in range(FOLDS):
        inside = [key for key, own in zip(validation, folds, strict=True) if own == fold]
        others = [key for key, own in zip(validation, folds, strict=True) if own != fold]
        scores |= fit_and_score(others, inside)
    return scores | fit_and_score(validation, [key for key in of if key[0] == "test"])


@pytest.mark.parametrize("method", LEARNED_AGGREGATIONS)
def test_cross_fitting_equals_a_loop(simulate: Simulate, method: str) -> None:
    rows = simulate(60, 5)
    found = profile_predictions(rows, (method,))[method]
    expected = score_in_a_loop(method, rows)
    assert found.authors is not None
    keys = list(zip(found.splits.tolist(), found.authors.tolist(), strict=True))
    assert found.logits.tolist() == pytest.approx([expected[key] for key in keys], abs=1e-4)
    assert found.probs == pytest.approx(1 / (1 + np.exp(-found.logits)))


@pytest.mark.parametrize("method", [*LEARNED_AGGREGATIONS, *ATTENTIONS])
def test_no_test_label_and_no_own_label_is_seen(simulate: Simulate, method: str) -> None:
    rows = simulate(60, 3)
    embeddings = rows.logits[:, None].astype(np.float32)
    found = profile_predictions(rows, (method,), embeddings=embeddings)[method]
    turned = dataclasses.replace(rows, labels=np.where(rows.splits == "test", 1 - rows.labels, rows.labels))
    other = profile_predictions(turned, (method,), embeddings=embeddings)[method]
    assert other.probs.tolist() == found.probs.tolist()
    assert other.threshold == found.threshold
    # labels without meaning: out of fold they cannot be told, whatever the fit has memorised
    noise = dataclasses.replace(rows, labels=(np.arange(len(rows)) // 3 * 7919 % 5 < 2).astype(np.int64))
    out_of_fold = profile_predictions(noise, (method,), embeddings=embeddings)[method].in_split("validation")
    positive = out_of_fold.labels == 1
    above = (out_of_fold.logits[positive][:, None] > out_of_fold.logits[~positive]).mean()
    assert above < 0.75


#: A sum of log odds reads all sequences alike.
FOR_RARE_EVIDENCE = [name for name in LEARNED_AGGREGATIONS if name != "log_odds"]
#: Of the corpora below: 40 conversations an author.
NEEDLE = {"strength": 3.0, "bad_share": 0.05}  # one in twenty of a guilty author's is bad
UNIFORM = {"strength": 0.4, "bad_share": 1.0}


def test_rare_evidence_is_found_where_the_mean_drowns_it(simulate: Simulate) -> None:
    tables = profile_predictions(simulate(300, 40, **NEEDLE), ("mean", *FOR_RARE_EVIDENCE))
    mean = tables.pop("mean")
    found = subtract(tables, "mean", mean)
    for name in FOR_RARE_EVIDENCE:
        for difference in found[name].values():
            assert difference.low is not None and difference.low > 0.02, name
            assert difference.p_holm is not None and difference.p_holm < 0.05


@pytest.mark.parametrize("seed", range(2))
def test_where_all_sequences_tell_as_much_none_loses(simulate: Simulate, seed: int) -> None:
    tables = profile_predictions(simulate(200, 40, **UNIFORM, seed=seed), ("mean", *LEARNED_AGGREGATIONS))
    mean = tables.pop("mean")
    for name, of_name in subtract(tables, "mean", mean).items():
        for difference in of_name.values():
            assert difference.high is not None and difference.high >= 0, name
            assert difference.difference is not None and difference.difference > -0.02, name


@pytest.mark.parametrize(("options", "least", "most"), [(NEEDLE, 0.02, 1.0), (UNIFORM, -0.05, 0.05)])
def test_attention_departs_from_the_mean_where_it_pays(
    simulate: Simulate, options: dict, least: float, most: float
) -> None:
    rows = simulate(160, 15 if options is UNIFORM else 40, **options)
    noise = np.random.default_rng(5).normal(size=(len(rows), 3))
    embeddings = np.concatenate([rows.logits[:, None], noise], axis=1).astype(np.float32)
    tables = profile_predictions(rows, ("mean", *ATTENTIONS), embeddings=embeddings)
    mean = tables.pop("mean")
    for name, of_name in subtract(tables, "mean", mean).items():
        assert least < of_name["roc_auc"].difference < most, name  # type: ignore[operator]


def test_with_few_profiles_and_wide_embeddings_attention_is_the_mean(simulate: Simulate) -> None:
    """Forty validation profiles and 300 columns of noise: nothing can be learned, so nothing may be lost."""
    rows = simulate(80, 6, strength=0.8)
    noise = np.random.default_rng(3).normal(size=(len(rows), 300)).astype(np.float32)
    tables = profile_predictions(rows, ("mean", *ATTENTIONS), embeddings=noise)
    mean = tables.pop("mean")
    for name, of_name in subtract(tables, "mean", mean).items():
        assert of_name["roc_auc"].difference == pytest.approx(0, abs=0.02), name


def score_generated(folder: Path, **plan: float) -> Predictions:
    """A generated corpus of texts, 40 conversations an author, its author sequences scored by n-grams."""
    made = SyntheticPlan(conversations_per_author=40, guilty_every=3, messages=12, **plan)  # type: ignore[arg-type]
    source = write_jsonl(generate_conversations(made), folder / "chats.jsonl")
    corpus = import_corpus(source, folder / "corpus", fractions=(0.4, 0.25, 0.35))
    return fit_baselines(view_sequences(open_corpus(corpus), "author"))["lexical"]


def test_a_generated_corpus_with_one_bad_conversation_in_twenty(tmp_path: Path) -> None:
    scores = score_generated(tmp_path, conversations=4000, bad_share=0.05, difficulty=0)
    tables = profile_predictions(scores, ("mean", *FOR_RARE_EVIDENCE))
    mean = tables.pop("mean")
    for name, found in subtract(tables, "mean", mean).items():
        difference = found["average_precision"]
        assert difference.low is not None and difference.low > 0.03, name
        assert difference.p_holm is not None and difference.p_holm < 0.05, name


def test_a_generated_corpus_where_every_conversation_tells_a_little(tmp_path: Path) -> None:
    scores = score_generated(tmp_path, conversations=3000, bad_share=1.0, difficulty=0.8)
    tables = profile_predictions(scores, ("mean", *LEARNED_AGGREGATIONS))
    mean = tables.pop("mean")
    for name, found in subtract(tables, "mean", mean).items():
        for difference in found.values():
            assert difference.high is not None and difference.high >= 0, name
            assert difference.difference is not None and difference.difference > -0.03, name


def test_several_classes_are_aggregated_in_every_way() -> None:
    generator = np.random.default_rng(0)
    author = np.repeat(np.arange(90), 4)
    labels = author % 3
    logits = generator.normal(size=(360, 3)) + 1.5 * np.eye(3)[labels]
    names = np.array([f"a{number:03}" for number in author], dtype=object)
    rows = Predictions(
        level="author",
        classes=("kind", "neutral", "rude"),
        conversation_ids=np.array([f"c{index}" for index in range(360)], dtype=object),
        authors=names,
        groups=names,
        splits=np.where(author // 3 % 2 == 0, "validation", "test").astype(object),
        labels=labels,
        lengths=np.ones(360, dtype=np.int64),
        logits=logits,
        probs=np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True),
        threshold=None,
        model="m",
        model_hash="",
    )
    for name, table in profile_predictions(
        rows, EVERY_AGGREGATION, embeddings=logits.astype(np.float32)
    ).items():
        test = table.in_split("test")
        assert table.threshold is None
        assert test.probs.shape == (45, 3)
        assert (test.probs.argmax(axis=1) == test.labels).mean() > 0.8, name


def test_a_baseline_with_the_models_own_scores_is_never_beaten(simulate: Simulate) -> None:
    """Its aggregation is fitted to its own training authors, as the model's is, and not to the few of validation."""
    rows = simulate(200, 8, strength=1.0)
    training = as_training(simulate(300, 8, strength=1.0, seed=5))
    for name in LEARNED_AGGREGATIONS:
        model = profile_predictions(rows, (name,), out_of_fold=training)[name]
        twins = aggregate_baselines({"twin": rows}, name, out_of_fold={"twin": training})
        found = measure_beside(model, twins)
        assert "is level with twin" in found["verdict"], name


@pytest.mark.parametrize("name", ["mean", *LEARNED_AGGREGATIONS])
def test_out_of_fold_the_threshold_is_chosen_on_training_profiles_too(simulate: Simulate, name: str) -> None:
    rows = simulate(100, 4)
    training = as_training(simulate(200, 4, seed=5))
    table = profile_predictions(rows, (name,), out_of_fold=training)[name]
    own, others = table.in_split("train"), table.select(table.splits != "train")
    assert len(own) == 200
    deciding = table.select(table.splits != "test").labelled()
    assert table.threshold == parse_rule("f1").choose(deciding.labels, deciding.probs).value
    choice = measure_profiles(table, "f1", 0)["threshold_choice"]
    assert choice["value"] == table.threshold
    assert choice["chosen_on"] == "training authors out of fold and validation"
    if name == "mean":
        assert others.probs.tolist() == profile_predictions(rows, (name,))[name].probs.tolist()
        means = dict(
            zip(training.authors.tolist()[::4], training.probs.reshape(-1, 4).mean(axis=1), strict=True)
        )  # type: ignore[union-attr]
        assert own.probs.tolist() == pytest.approx([means[author] for author in own.authors.tolist()])  # type: ignore[union-attr]
        return
    assert roc_auc_score(own.labels, own.probs) > 0.8
    # labels without meaning: a training profile is scored by a fit that has not seen it
    noise = dataclasses.replace(
        training, labels=(np.arange(len(training)) // 4 * 7919 % 5 < 2).astype(np.int64)
    )
    unseen = profile_predictions(rows, (name,), out_of_fold=noise)[name].in_split("train")
    assert roc_auc_score(unseen.labels, unseen.probs) < 0.62


def as_training(rows: Predictions) -> Predictions:
    """The same rows as scores out of fold of other authors, all in train."""
    renamed = Strings.of([f"train-{name}" for name in rows.authors.tolist()])  # type: ignore[union-attr]
    splits = Strings.of(["train"] * len(rows))
    return dataclasses.replace(rows, authors=renamed, groups=renamed, splits=splits, model_hash="")


def test_attention_is_refused_where_validation_lacks_a_class(simulate: Simulate) -> None:
    rows = simulate(60, 4)
    three = dataclasses.replace(
        rows,
        classes=(0, 1, 2),
        logits=np.stack([0 * rows.logits, rows.logits, 0 * rows.logits], axis=1),
        probs=np.full((len(rows), 3), 1 / 3),
        threshold=None,
    )
    with pytest.raises(
        TrainingError, match="attention is fitted on validation, .* 0 of class 2 .*larger share\\)"
    ):
        profile_predictions(three, ("attention",), embeddings=np.zeros((len(rows), 1), dtype=np.float32))


def test_a_validation_that_cannot_choose_says_so(
    simulate: Simulate, caplog: pytest.LogCaptureFixture
) -> None:
    rows = simulate(60, 4)
    labels = np.where(np.asarray(rows.splits) == "validation", 0, rows.labels)
    tables = profile_predictions(dataclasses.replace(rows, labels=labels), ("mean", "median"))
    assert best_by_validation(tables) == "mean"
    assert "validation cannot choose: its average precision is undefined; mean stands first" in caplog.text


def test_what_cannot_be_fitted_is_said(simulate: Simulate) -> None:
    rows = simulate(60, 4)
    with pytest.raises(UsageError, match="attention needs the sequences' embeddings"):
        profile_predictions(rows, ("attention",))
    one_class = dataclasses.replace(rows, labels=np.zeros(len(rows), dtype=np.int64))
    for name in ("noisy_or", "attention"):
        with pytest.raises(TrainingError, match=f"{name} is fitted on validation, .* found 30 of class 0"):
            profile_predictions(one_class, (name,), embeddings=np.zeros((len(rows), 1), dtype=np.float32))
    test_only = rows.in_split("test")
    with pytest.raises(TrainingError, match="found 0 of class 0, 0 of class 1"):
        profile_predictions(test_only, ("top_k_mean",))


def test_the_comparison_names_the_best_by_validation(corpus: Path, models: dict[str, Path]) -> None:
    results = compare_aggregation_methods(models["author"], corpus, device="cpu")
    assert tuple(results) == EVERY_AGGREGATION
    best = [name for name, found in results.items() if found["best_by_validation"]]
    assert len(best) == 1
    for name, found in results.items():
        assert ("mean" in found["differences"]) == (name != "mean")
        assert ("baselines" in found) == (name == best[0])
        if name != "mean":
            difference = found["differences"]["mean"]["roc_auc"]
            assert difference["difference"] == pytest.approx(found["roc_auc"] - results["mean"]["roc_auc"])
        assert found["threshold_choice"]["value"] == found["threshold"]
    assert results[best[0]]["verdict"].startswith("On test the model ")
    alone = evaluate_profile_classifier(models["author"], corpus, "top_k_mean", device="cpu")
    assert alone["roc_auc"] == results["top_k_mean"]["roc_auc"]


def test_the_comparison_leaves_out_what_cannot_be_fitted(
    train_small: Callable[..., Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plan = SyntheticPlan(
        conversations=40, messages=3, conversations_per_author=8, guilty_every=4, input_size=8
    )
    records = write_jsonl(generate_conversations(plan), tmp_path / "chats.jsonl")
    few = import_corpus(records, tmp_path / "few", fractions=(0.5, 0.15, 0.35), seed=1)
    model = train_small("author", few, 1, model_path=tmp_path / "m.pt")
    with caplog.at_level(logging.WARNING, logger="tenor.evaluation"):
        results = compare_aggregation_methods(model, few, device="cpu")
    assert tuple(results) == ("mean", "median", "mean_vote", "total_vote")
    said = [record.getMessage() for record in caplog.records if "left out" in record.getMessage()]
    assert len(said) == 1
    assert re.search(
        r"^noisy_or, .* and \w+ are left out: each is fitted on validation, which needs", said[0]
    )
