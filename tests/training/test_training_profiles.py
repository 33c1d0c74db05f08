"""How sequences make a profile, learned with the author model: out of fold, and only where that is honest."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tenor.aggregation.learned import LEARNED_AGGREGATIONS, cross_fit
from tenor.aggregation.profiles import Profiles, build_profiles
from tenor.aggregation.trained import TRAINED
from tenor.baselines import fit_baselines, score_baselines_out_of_fold
from tenor.corpus.corpus import open_corpus
from tenor.corpus.importing import import_corpus
from tenor.corpus.views import view_sequences
from tenor.errors import InputError, ModelFileError, SplitError, UsageError
from tenor.evaluation import (
    compare_aggregation_methods,
    evaluate_profile_classifier,
    predict,
    profile_predictions,
)
from tenor.evaluation.calibration import calibrate, fit_abstention
from tenor.evaluation.profile_files import profiles_to_file
from tenor.evaluation.thresholds import choose_by_rule
from tenor.explain.profiles import explain_profile
from tenor.lexical import assign_folds
from tenor.logits import to_probs
from tenor.metrics.calibration import fit_calibrator
from tenor.metrics.objectives import parse_rule
from tenor.metrics.scores import calculate_metrics
from tenor.models.metadata import parse_metadata
from tenor.models.model_file import read_metadata
from tenor.predictions import (
    Predictions,
    concatenate_predictions,
    read_predictions,
    read_sets,
    write_predictions,
)
from tenor.report.reporting import report_run
from tenor.strings import Strings
from tenor.training import profiles as learning
from tenor.training.out_of_fold import score_out_of_fold
from tenor.training.preparation import fit_data, prepare_data
from tenor.training.profiles import choose_aggregation, learn_aggregation
from tenor.training.settings import TrainSettings
from tenor.training.train import train_model

SMALL: dict[str, Any] = {
    "hidden_size": 8, "num_layers": 1, "num_heads": 2, "kernel_sizes": (3,), "batch_size": 32,
    "progress": False, "device": "cpu", "copies": "ignore",
}  # fmt: skip

CLASSES: dict[int, tuple[int | str, ...]] = {2: (0, 1), 3: ("low", "middle", "high")}


def write_chats(path: Path, num_classes: int = 2, *, authors: int = 160) -> Path:
    """Chats, three times as many as authors, who return: some of their words tell their class; features are noise."""
    draws = np.random.default_rng(5)
    words = ("apple", "brick", "cloud", "dust", "eel")
    lines = []
    for index in range(3 * authors):
        numbers = draws.choice(authors, 2, replace=False).tolist()
        messages = []
        for number in numbers * 2:
            own = words[number % num_classes] if draws.random() < 0.4 else words[draws.integers(5)]
            text = f"{own} {words[draws.integers(5)]} {draws.integers(10**6)}"
            messages.append({"author": f"a{number}", "text": text, "features": draws.normal(size=3).tolist()})
        labels = {f"a{number}": CLASSES[num_classes][number % num_classes] for number in numbers}
        record = {"conversation_id": f"c{index}", "messages": messages, "author_labels": labels}
        lines.append(json.dumps(record | {"label": index % 2}))
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def chats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("chats")
    return import_corpus(write_chats(folder / "chats.jsonl"), folder / "corpus", fractions=(0.5, 0.25, 0.25))


@pytest.fixture(scope="module")
def author_model(chats: Path) -> Path:
    path = train_model("author", chats, 1, model_path=chats.parent / "author.safetensors", **SMALL)
    assert read_metadata(path).is_start_alone
    return path


@pytest.fixture(scope="module")
def scored(chats: Path, author_model: Path) -> Predictions:
    parts = [predict(author_model, chats, split=split, device="cpu") for split in ("validation", "test")]
    return concatenate_predictions(parts).labelled()


def test_it_is_what_scores_out_of_fold_teach(chats: Path, author_model: Path, scored: Predictions) -> None:
    trained = read_metadata(author_model).trained_aggregation
    assert trained is not None
    own = profile_predictions(scored, (TRAINED,), trained=trained)[TRAINED]
    training = score_out_of_fold(author_model, chats, device="cpu")
    method = trained.fitted.method
    known = profile_predictions(scored, (method,), out_of_fold=training)[method]
    rest = known.select(known.splits != "train")
    assert own.ids.tolist() == rest.ids.tolist()
    np.testing.assert_allclose(own.logits, rest.logits, atol=1e-4)
    assert own.threshold == pytest.approx(known.threshold, abs=1e-4)
    assert read_metadata(author_model).profile_thresholds[TRAINED] == own.threshold
    choice = read_metadata(author_model).training["thresholds"][TRAINED]
    assert choice["low"] <= choice["value"] == own.threshold <= choice["high"]


def test_profiles_are_by_it_unless_told_otherwise(
    chats: Path, author_model: Path, scored: Predictions
) -> None:
    trained = read_metadata(author_model).trained_aggregation
    assert trained is not None
    found = evaluate_profile_classifier(author_model, chats, device="cpu")
    assert found["aggregation"] == TRAINED and found["threshold"] == trained.threshold
    assert found["threshold_choice"]["chosen_on"] == "training authors out of fold and validation"
    assert found["roc_auc"] > 0.8
    assert found["baselines"]["lexical"]["roc_auc"] > 0.8
    assert evaluate_profile_classifier(author_model, chats, "mean", device="cpu")["aggregation"] == "mean"
    compared = compare_aggregation_methods(author_model, chats, device="cpu")
    assert next(iter(compared)) == TRAINED
    assert [name for name, metrics in compared.items() if "baselines" in metrics] == [TRAINED]
    assert compared[TRAINED]["roc_auc"] == found["roc_auc"]
    assert sum(metrics["best_by_validation"] for metrics in compared.values()) == 1
    for given in ({"threshold": "cost:1:20"}, {"threshold": "f1"}, {"profile_label": "any"}):
        other = evaluate_profile_classifier(author_model, chats, baselines=False, device="cpu", **given)
        assert "chosen_on" not in other["threshold_choice"]  # a rule that is given chooses here


def test_profiles_of_the_training_split_are_said_to_be_known_perhaps(
    chats: Path, author_model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for split, is_known in (("all", True), ("test", False)):
        caplog.clear()
        scored = predict(author_model, chats, split=split, output=tmp_path / "s.parquet", device="cpu")
        profiles_to_file(author_model, tmp_path / "s.parquet", tmp_path / "p.parquet")
        authors = len(set(scored.in_split("train").authors.tolist()))
        sentence = (
            f"{authors} of the labelled profiles are in the split train: if the model was trained on them"
        )
        assert (sentence in caplog.text) == is_known
    caplog.clear()  # nobody has labelled new people, whose split is an accident
    new = predict(author_model, chats, split="all", device="cpu")
    new = dataclasses.replace(new, labels=np.full(len(new), -1))
    write_predictions(new, tmp_path / "new.parquet")
    profiles_to_file(author_model, tmp_path / "new.parquet", tmp_path / "p.parquet")
    assert "in the split train" not in caplog.text


def test_what_is_measured_is_what_is_written_where_labels_are_missing(chats: Path, tmp_path: Path) -> None:
    """A profile is all that an author wrote, also where only some of it is labelled."""
    records = [json.loads(line) for line in (chats.parent / "chats.jsonl").read_text().splitlines()]
    draws = np.random.default_rng(2)
    for record in records:
        record["author_labels"] = {
            name: label for name, label in record["author_labels"].items() if draws.random() < 0.6
        }
    (tmp_path / "chats.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    corpus = import_corpus(tmp_path / "chats.jsonl", tmp_path / "corpus", fractions=(0.5, 0.25, 0.25))
    model = train_model("author", corpus, 1, model_path=tmp_path / "m.safetensors", **SMALL)
    predict(model, corpus, split="all", output=tmp_path / "scores.parquet", device="cpu")
    for aggregation in (TRAINED, "mean", "total_vote"):
        found = evaluate_profile_classifier(model, corpus, aggregation, device="cpu")
        made = profiles_to_file(
            model, tmp_path / "scores.parquet", tmp_path / "p.parquet", aggregation=aggregation
        ).profiles
        test = made.in_split("test").labelled()
        assert (test.lengths > 1).sum() > 10 and found["count"] == len(test)
        assert found["threshold"] == pytest.approx(made.threshold, abs=1e-6)
        measured = calculate_metrics(test.labels, test.probs, made.threshold)
        for metric in ("roc_auc", "average_precision", "f1", "precision", "recall"):
            assert found[metric] == pytest.approx(measured[metric], abs=1e-6)
        again = profiles_to_file(
            model,
            tmp_path / "scores.parquet",
            tmp_path / "q.parquet",
            aggregation=aggregation,
            threshold="f1",
        ).profiles
        if aggregation != TRAINED:  # whose own threshold rests on training, out of fold, too
            assert again.threshold == pytest.approx(made.threshold, abs=1e-6)
    (section,) = [level for level in report_run(model, corpus).sections if level.level == "profile"]
    shown = section.model.predictions.in_split("test").labelled()
    trained = profiles_to_file(model, tmp_path / "scores.parquet", tmp_path / "p.parquet").profiles
    np.testing.assert_allclose(shown.probs, trained.in_split("test").labelled().probs, atol=1e-6)


def test_what_is_fitted_under_other_splits_is_doubted(
    author_model: Path, scored: Predictions, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    labelled = write_predictions(scored, tmp_path / "scores.parquet")
    doubtful = dataclasses.replace(scored, caution="the model was trained under other splits")
    other = write_predictions(doubtful, tmp_path / "other.parquet")
    for source, validation, is_doubted in (
        (labelled, None, False), (other, None, True), (labelled, other, True), (other, labelled, False),
    ):  # fmt: skip
        caplog.clear()
        profiles_to_file(
            author_model, source, tmp_path / "p.parquet", threshold="cost:1:20", validation=validation
        )
        assert ("what is fitted on them is too sure of itself" in caplog.text) == is_doubted


def test_profiles_to_act_on_need_no_labels(
    chats: Path, author_model: Path, scored: Predictions, tmp_path: Path
) -> None:
    """From a file of scores of people whom nobody labelled, with the threshold of the model's file."""
    trained = read_metadata(author_model).trained_aggregation
    assert trained is not None
    unlabelled = dataclasses.replace(scored, labels=np.full(len(scored), -1))
    source = write_predictions(unlabelled, tmp_path / "scores.parquet")
    made = profiles_to_file(author_model, source, tmp_path / "profiles.parquet").profiles
    read = read_predictions(tmp_path / "profiles.parquet")
    expected = profile_predictions(scored, (TRAINED,), trained=trained)[TRAINED]
    assert read.level == "profile" and (read.labels == -1).all()
    assert read.ids.tolist() == expected.ids.tolist()
    assert read.probs.tolist() == made.probs.tolist() == expected.probs.tolist()
    assert read.threshold == trained.threshold
    means = profiles_to_file(author_model, source, tmp_path / "m.parquet", aggregation="mean").profiles
    assert means.threshold == read_metadata(author_model).profile_thresholds["mean"]
    known = scored.in_split("validation")
    mender = fit_calibrator(known.labels, known.logits, groups=known.groups, method="platt")
    calibrated = write_predictions(calibrate(scored, mender), tmp_path / "calibrated.parquet")
    other = dataclasses.replace(scored, model_hash="0" * 64)
    wrong = write_predictions(other, tmp_path / "other.parquet")
    for arguments, error, message in (
        (
            (author_model, wrong, tmp_path / "p"),
            InputError,
            "expected predictions of .*, found some of .* again",
        ),
        (
            (author_model, chats, tmp_path / "p"),
            InputError,
            "expected a file of predictions .*, found a folder",
        ),
        (
            (author_model, calibrated, tmp_path / "p"),
            UsageError,
            "found some calibrated by platt .predict without --calibrate",
        ),
        (
            (author_model, source, source),
            UsageError,
            "output: expected another place than that of the predictions",
        ),
    ):
        with pytest.raises(error, match=message):
            profiles_to_file(*arguments)
    with pytest.raises(UsageError, match="profiles are aggregated by mean, .*, trained, not 'log_odds'"):
        profiles_to_file(author_model, source, tmp_path / "p", aggregation="log_odds")
    assert not (tmp_path / "p").exists()


def test_people_to_act_on_by_another_rule_and_with_abstention(
    author_model: Path, scored: Predictions, tmp_path: Path, run_cli: Callable[..., Any]
) -> None:
    """Fitted on labelled validation profiles, of the same file, or of another where nobody has labelled these."""
    trained = read_metadata(author_model).trained_aggregation
    everyone = profile_predictions(scored, (TRAINED,), trained=trained)[TRAINED]
    rule = choose_by_rule(everyone, "cost:1:20").value
    abstention = fit_abstention(everyone, 0.2)
    labelled = write_predictions(scored, tmp_path / "scores.parquet")
    unlabelled = dataclasses.replace(scored, labels=np.full(len(scored), -1)).in_split("test")
    new = write_predictions(unlabelled, tmp_path / "new.parquet")
    assert rule != everyone.threshold
    for source, validation, rows in ((labelled, None, everyone), (new, labelled, everyone.in_split("test"))):
        made = profiles_to_file(
            author_model,
            source,
            tmp_path / "p.parquet",
            threshold="cost:1:20",
            abstain_alpha=0.2,
            validation=validation,
        )
        written, sets = read_predictions(tmp_path / "p.parquet"), read_sets(tmp_path / "p.parquet")
        assert made.profiles.threshold == written.threshold == rule
        assert written.ids.tolist() == rows.ids.tolist() and written.probs.tolist() == rows.probs.tolist()
        assert sets is not None
        np.testing.assert_array_equal(sets.holds, abstention.predict_sets(rows.probs))
        assert made.abstained == sets.abstained > 0
        known = everyone.in_split("validation").labelled()
        assert made.remarks[0].startswith(
            f"fitted on {len(known)} labelled validation rows of {len(known)} groups"
        )
    options = ("--threshold", "cost:1:20", "--abstain-alpha", 0.2, "--validation", labelled)
    done = run_cli("profile", author_model, new, "-o", tmp_path / "p.parquet", *options)
    assert done.code == 0
    assert f"threshold {rule:.4f}, {made.abstained} of them without a decision" in done.out
    assert "chosen on validation by" in done.out
    few = scored.in_split("validation").labelled()
    few = write_predictions(few.select(np.isin(few.authors, few.authors[:3])), tmp_path / "few.parquet")
    warned = profiles_to_file(author_model, new, tmp_path / "p.parquet", abstain_alpha=0.1, validation=few)
    assert warned.warning is not None
    done = run_cli(
        "profile",
        author_model,
        new,
        "-o",
        tmp_path / "p.parquet",
        "--abstain-alpha",
        0.1,
        "--validation",
        few,
    )
    assert f"abstention: {warned.warning}" in done.out
    for option in (("--threshold", "f1"), ("--abstain-alpha", 0.1), ("--validation", few)):
        refused = run_cli("profile", author_model, tmp_path, "-o", tmp_path / "p", "--engine", "ray", *option)
        assert refused.code == 2 and f"{option[0]} has no effect with the engine ray" in refused.err
    plain = profiles_to_file(author_model, new, tmp_path / "p.parquet")
    assert (plain.abstained, plain.remarks, plain.warning) == (None, (), None)
    assert read_sets(tmp_path / "p.parquet") is None


def test_what_has_nothing_to_be_fitted_on_is_refused(
    author_model: Path, scored: Predictions, tmp_path: Path, run_cli: Callable[..., Any]
) -> None:
    labelled = write_predictions(scored, tmp_path / "scores.parquet")
    new = write_predictions(scored.in_split("test"), tmp_path / "new.parquet")
    other = write_predictions(dataclasses.replace(scored, model_hash="0" * 64), tmp_path / "other.parquet")
    output = tmp_path / "p.parquet"
    for options, error, message in (
        (
            {"threshold": "cost:1:20"},
            SplitError,
            "new.parquet: .*no labelled validation profile .*--validation",
        ),
        ({"abstain_alpha": 0.1, "validation": new}, SplitError, "no labelled validation profile"),
        ({"validation": labelled}, UsageError, "expected a threshold or abstention to fit on"),
        ({"threshold": "f1", "validation": other}, InputError, "expected predictions of .*, found some of"),
        ({"threshold": "f1", "validation": output}, UsageError, "output: expected another place"),
        ({"threshold": "best"}, UsageError, "threshold rule must be one of"),
        (
            {"abstain_alpha": 0.1, "validation": labelled, "aggregation": "total_vote"},
            UsageError,
            "are counts",
        ),
    ):
        with pytest.raises(error, match=message):
            profiles_to_file(author_model, new, output, **options)
        assert not output.exists()
    refused = run_cli("profile", author_model, tmp_path, "--threshold", "f1", "--validation", labelled)
    assert refused.code == 2 and "--validation has no effect without --output" in refused.err


def test_each_conversation_adds_what_is_lost_without_it(
    chats: Path, author_model: Path, scored: Predictions, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = read_metadata(author_model).trained_aggregation
    assert trained is not None and scored.authors is not None
    authors, counts = np.unique(scored.authors.tolist(), return_counts=True)
    author = str(authors[counts.argmax()])
    rows = scored.select(scored.authors == author)
    assert len(rows) > 2
    monkeypatch.setattr("tenor.explain.profiles._MOST_ROWS", 2 * len(rows))  # two at a time
    found = explain_profile(author_model, chats, author, device="cpu")
    assert (found.aggregation, found.threshold) == (TRAINED, trained.threshold)

    def score(logits: np.ndarray) -> float:
        return float(to_probs(trained.fitted.logits(logits, np.zeros(len(logits), dtype=np.int64), 1))[0])

    whole = score(rows.logits)
    assert found.score == pytest.approx(whole, abs=1e-6)
    expected = [whole - score(np.delete(rows.logits, row)) for row in range(len(rows))]
    places = [rows.conversation_ids.tolist().index(c.conversation_id) for c in found.conversations]  # type: ignore[union-attr]
    np.testing.assert_allclose(found.contributions, np.array(expected)[places], atol=1e-6)


def test_there_is_none_where_it_could_not_be_learned_honestly(
    chats: Path, tmp_path: Path, scored: Predictions, monkeypatch: pytest.MonkeyPatch
) -> None:
    conversation = train_model("conversation", chats, 1, model_path=tmp_path / "c", **SMALL)
    assert read_metadata(conversation).aggregation is None
    plain = train_model("author", chats, 1, model_path=tmp_path / "p", prior="none", **SMALL)
    assert read_metadata(plain).aggregation is None
    found = evaluate_profile_classifier(plain, chats, baselines=False, device="cpu")
    assert found["aggregation"] == "mean"
    with pytest.raises(UsageError, match="'trained' is the aggregation in a model's file, and there is none"):
        evaluate_profile_classifier(plain, chats, TRAINED, device="cpu")
    with pytest.raises(UsageError, match="'trained' is the aggregation in a model's file, and there is none"):
        explain_profile(plain, chats, str(scored.authors[0]), aggregation=TRAINED, device="cpu")  # type: ignore[index]
    config = dict(read_metadata(plain).training["config"]) | {"prior": "auto"}
    settings = TrainSettings(**{name: config[name] for name in TrainSettings.__dataclass_fields__})
    data = fit_data(prepare_data(chats, settings, copies="ignore"), settings)
    probs = np.full(len(data.validation), 0.5)
    rule = parse_rule("f1")
    assert learn_aggregation(data, 0, probs, rule)[0] is not None
    assert learn_aggregation(data, 1, probs, rule) == (None, None)  # a network has a part in the scores
    assert learn_aggregation(dataclasses.replace(data, start=None), 0, probs, rule) == (None, None)
    monkeypatch.setattr(learning, "FEWEST", 60)
    assert learn_aggregation(data, 0, probs, rule) == (None, None)
    monkeypatch.setattr(learning, "FEWEST", 20)
    monkeypatch.setattr(learning, "knows_labels", lambda corpus: True)
    assert learn_aggregation(data, 0, probs, rule) == (None, None)


@pytest.mark.parametrize("num_classes", [2, 3])
def test_scores_that_tell_the_wrong_way_teach_no_aggregation(
    author_model: Path, tmp_path: Path, num_classes: int
) -> None:
    """As those of few labels may do by chance; learned from them, profiles would come in the reverse order."""
    corpus = import_corpus(
        write_chats(tmp_path / "chats.jsonl", num_classes), tmp_path / "corpus", fractions=(0.5, 0.25, 0.25)
    )
    config = dict(read_metadata(author_model).training["config"])
    settings = TrainSettings(**{name: config[name] for name in TrainSettings.__dataclass_fields__})
    data = fit_data(prepare_data(corpus, settings, copies="ignore"), settings)
    start, rule = data.start, parse_rule("f1")
    assert start is not None
    shape = (len(data.validation),) if num_classes == 2 else (len(data.validation), num_classes)
    probs = np.full(shape, 1 / num_classes)
    honest = dataclasses.replace(
        data, start=dataclasses.replace(start, train_prior=start.train_logits(data.train.view), pooled=None)
    )
    assert learn_aggregation(honest, 0, probs, rule)[0] is not None
    turned = dataclasses.replace(
        data, start=dataclasses.replace(start, train_prior=-start.train_logits(data.train.view), pooled=None)
    )
    assert learn_aggregation(turned, 0, probs, rule) == (None, None)


@pytest.mark.parametrize("held_apart", [False, True])
def test_authors_in_several_groups_teach_only_of_such_as_are_known_too(
    tmp_path: Path, held_apart: bool
) -> None:
    """Models of other folds have read them, so where only names tell, scores "out of fold" look perfect."""
    draws = np.random.default_rng(0)
    lines = []
    for index in range(400):
        split = ("train", "train", "validation", "test")[index % 4]
        first, count = (
            {"train": (0, 60), "validation": (60, 20), "test": (80, 20)}[split] if held_apart else (0, 100)
        )
        numbers = (first + draws.choice(count, 2, replace=False)).tolist()
        messages = [
            {"author": f"a{number}", "text": f"it is me w{number} {draws.integers(9**9)}", "features": [0.0]}
            for number in numbers
        ]
        labels = {f"a{number}": number % 2 for number in numbers}
        record = {"conversation_id": f"c{index}", "messages": messages, "author_labels": labels}
        lines.append(json.dumps(record | {"group": f"g{index}", "split": split}))
    (tmp_path / "chats.jsonl").write_text("\n".join(lines) + "\n")
    corpus = import_corpus(tmp_path / "chats.jsonl", tmp_path / "corpus")
    model = train_model("author", corpus, 1, model_path=tmp_path / "m", **SMALL)
    metadata = read_metadata(model)
    assert metadata.is_start_alone and (metadata.aggregation is None) is held_apart
    if not held_apart:
        assert evaluate_profile_classifier(model, corpus, baselines=False, device="cpu")["roc_auc"] > 0.95


@pytest.mark.parametrize("seed", range(8))
def test_a_class_that_one_fold_may_take_away_ends_no_training(seed: int) -> None:
    """Two groups alone hold the lower class, beside the higher one by which groups are dealt into folds."""
    groups = Strings.of([f"g{number // 6}" for number in range(60)])
    names = Strings.of([f"a{number:02d}" for number in range(60)])
    labels = np.where(np.isin(np.arange(60), (0, 6)), 0, 1)
    profiles = build_profiles(names, groups, Strings.of(["train"] * 60), labels)
    folds = assign_folds(profiles.labels, profiles.groups, seed=seed, folds=5)
    gone = len(set(folds[profiles.labels == 0].tolist())) < 2
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(learning, "FEWEST", 1)
        assert learning._are_enough(profiles, folds, 2) is not gone


def test_baselines_learn_of_their_own_scores_of_training(chats: Path, author_model: Path) -> None:
    found = evaluate_profile_classifier(author_model, chats, device="cpu")["baselines"]
    trained = read_metadata(author_model).trained_aggregation
    assert trained is not None
    view = view_sequences(open_corpus(chats), "author").labelled()
    tables, training = fit_baselines(view), score_baselines_out_of_fold(view)
    method = trained.fitted.method
    for name in ("lexical", "length"):
        expected = profile_predictions(tables[name], (method,), out_of_fold=training[name])[method]
        assert found[name]["threshold"] == pytest.approx(expected.threshold, abs=1e-9)
        test = expected.in_split("test")
        assert found[name]["accuracy"] == np.mean((test.probs >= expected.threshold) == test.labels)


def test_on_another_corpus_the_threshold_is_said_to_be_the_model_s(
    author_model: Path, tmp_path: Path
) -> None:
    source = write_chats(tmp_path / "chats.jsonl", authors=150)
    corpus = import_corpus(source, tmp_path / "corpus", fractions=(0.4, 0.3, 0.3))
    found = evaluate_profile_classifier(author_model, corpus, baselines=False, device="cpu")
    choice = found["threshold_choice"]
    assert choice["value"] == read_metadata(author_model).profile_thresholds[TRAINED]
    assert choice["chosen_on"].endswith("validation of the corpus that the model was trained on")


def test_a_corpus_for_test_alone_needs_no_validation(author_model: Path, tmp_path: Path) -> None:
    """Its aggregation and threshold are the model's; what would choose there says what is missing."""
    source = write_chats(tmp_path / "chats.jsonl", authors=40)
    lines = [json.loads(line) | {"split": "test"} for line in source.read_text().splitlines()]
    source.write_text("".join(json.dumps(line) + "\n" for line in lines))
    corpus = import_corpus(source, tmp_path / "corpus")
    found = evaluate_profile_classifier(author_model, corpus, device="cpu")
    assert found["count"] == 40 and found["roc_auc"] > 0.8
    assert found["threshold"] == read_metadata(author_model).profile_thresholds[TRAINED]
    for options in ({"aggregation": "mean"}, {"threshold": "f1"}):
        with pytest.raises(SplitError, match="split validation is empty"):
            evaluate_profile_classifier(author_model, corpus, device="cpu", **options)


def test_several_classes_have_one_without_a_threshold(tmp_path: Path) -> None:
    corpus = import_corpus(
        write_chats(tmp_path / "chats.jsonl", 3), tmp_path / "corpus", fractions=(0.5, 0.25, 0.25)
    )
    model = train_model("author", corpus, 1, model_path=tmp_path / "m", **SMALL)
    trained = read_metadata(model).trained_aggregation
    assert trained is not None and trained.threshold is None
    found = evaluate_profile_classifier(model, corpus, device="cpu")
    assert found["aggregation"] == TRAINED and found["threshold"] is None
    assert found["accuracy"] > 0.6
    author = str(predict(model, corpus, split="test", device="cpu").authors[0])  # type: ignore[index]
    assert explain_profile(model, corpus, author, device="cpu").aggregation == TRAINED


def draw_profiles(bad_share: float | None) -> tuple[np.ndarray, Profiles]:
    """600 profiles of 20 sequences: of guilty ones all are a little higher, or a share of them much."""
    draws = np.random.default_rng(1)
    labels = (draws.random(600) < 0.3).astype(np.int64)
    codes = np.repeat(np.arange(600), 20)
    guilty = labels[codes] == 1
    logits = draws.normal(-2, 1, len(codes))
    logits += 0.5 * guilty if bad_share is None else 5 * (guilty & (draws.random(len(codes)) < bad_share))
    names = Strings.of([f"{code:03d}" for code in codes])
    return logits, build_profiles(names, names, Strings.of(["train"] * len(codes)), labels[codes])


@pytest.mark.parametrize("bad_share", [None, 0.1])
def test_log_odds_stand_unless_another_one_convinces(bad_share: float | None) -> None:
    logits, profiles = draw_profiles(bad_share)
    folds = np.arange(600) % 5
    unseen = {
        method: cross_fit(method, logits, profiles.codes, profiles.labels, folds)
        for method in LEARNED_AGGREGATIONS
    }
    chosen = choose_aggregation(unseen, profiles)
    assert (
        chosen == "log_odds" if bad_share is None else chosen in ("noisy_or", "top_k_mean", "score_summary")
    )


def test_a_file_says_nothing_of_profiles_that_it_should_not(author_model: Path) -> None:
    metadata = read_metadata(author_model)
    values = metadata.to_json()
    assert parse_metadata(values) == metadata
    with pytest.raises(
        ModelFileError, match="metadata.aggregation is for authors, found level 'conversation'"
    ):
        parse_metadata(values | {"level": "conversation"})
    with pytest.raises(ModelFileError, match="metadata.aggregation: method: expected one of"):
        parse_metadata(values | {"aggregation": values["aggregation"] | {"method": "mean"}})
    with pytest.raises(ModelFileError, match="metadata.aggregation must be an object or null, found a list"):
        parse_metadata(values | {"aggregation": []})
    fixed = {name: value for name, value in values["profile_thresholds"].items() if name != TRAINED}
    with pytest.raises(ModelFileError, match="profile_thresholds must have 'trained' of two classes"):
        parse_metadata(values | {"profile_thresholds": fixed})
    assert metadata.trained_choice is not None
    for choices in ("x", None, {TRAINED: "x"}, {TRAINED: {"value": metadata.profile_thresholds[TRAINED]}}):
        odd = parse_metadata(values | {"training": {**values["training"], "thresholds": choices}})
        assert odd.trained_choice is None
    del values["aggregation"]  # as earlier versions wrote it
    assert parse_metadata(values).trained_aggregation is None
