"""What somebody guesses of the API and gets wrong: an error that names the argument and the type."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tenor
from tenor.corpus.corpus import Corpus
from tenor.errors import UsageError
from tenor.evaluation.calibration import fit_calibration
from tenor.evaluation.streaming import predict_to_file
from tenor.evaluation.thresholds import choose_by_rule
from tenor.explain import deletion_curve, worst_errors
from tenor.predictions import Predictions, export_csv
from tenor.synthetic import SyntheticPlan, generate_conversations, write_jsonl
from tenor.training.finetuning import finetune_encoder


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    folder = tmp_path_factory.mktemp("types")
    plan = SyntheticPlan(conversations=20, messages=3, input_size=4)
    source = write_jsonl(generate_conversations(plan), folder / "chats.jsonl")
    path = tenor.import_corpus(source, folder / "corpus", seed=np.int64(3))  # numpy's whole numbers are whole
    return tenor.open_corpus(path)


@pytest.fixture
def table() -> Predictions:
    return Predictions(
        level="author",
        classes=(0, 1),
        conversation_ids=["c", "d"],
        authors=["a", "b"],
        groups=["a", "b"],
        splits=["test", "test"],
        labels=[0, 1],
        lengths=[1, 1],
        logits=[0.0, 0.0],
        probs=[0.5, 0.5],
        threshold=0.5,
        model="m",
        model_hash="",
    )  # type: ignore[arg-type]


CALLS: dict[str, tuple[Callable[[Any, Any], Any], str]] = {
    "an open corpus to train": (
        lambda c, t: tenor.train_model("author", c, 1),
        r"corpus: expected a path, found Corpus \(its .path is one\)",
    ),
    "no corpus to train": (lambda c, t: tenor.train_model("author", None, 1), "corpus: .* found NoneType"),
    "an open corpus to encode": (lambda c, t: tenor.encode_corpus(c, "d"), "source: .* found Corpus"),
    "no place to encode to": (lambda c, t: tenor.encode_corpus("s", None), "dest: .* found NoneType"),
    "dicts to import": (lambda c, t: tenor.import_corpus([{}], "d"), "source: .* found list"),
    "no place to import to": (lambda c, t: tenor.import_corpus("s", None), "dest: .* found NoneType"),
    "a number as a corpus": (lambda c, t: tenor.open_corpus(3), "corpus: .* found int"),
    "a model that is a list": (lambda c, t: tenor.predict(["m"], c.path), "model: .* found list"),
    "predictions to read": (lambda c, t: tenor.read_predictions(t), "predictions: .* found Predictions"),
    "paths to compare": (lambda c, t: tenor.compare("a", "b"), "a: expected predictions, .* found str 'a'"),
    "a path to aggregate": (lambda c, t: tenor.profile_predictions("a"), "sequences: .* found str"),
    "a path to concatenate": (lambda c, t: tenor.concatenate_predictions(["a"]), "concatenate: .* found str"),
    "predictions to report on": (lambda c, t: tenor.report_run(t), "run: .* found Predictions"),
    "attributes that are no file": (
        lambda c, t: tenor.report_run("r", attributes={}, by=("x",)),
        "attributes: .* found dict",
    ),
    "a text as with_text": (
        lambda c, t: tenor.report_run("m", c.path, with_text="no"),
        "with_text: expected True or False, found 'no'",
    ),
    "a text as with_names": (
        lambda c, t: tenor.report_run("m", c.path, with_names="no"),
        "with_names: expected True or False, found 'no'",
    ),
    "a text as progress of a report": (
        lambda c, t: tenor.report_run("m", c.path, progress="no"),
        "progress: expected True or False, found 'no'",
    ),
    "a text as errors": (
        lambda c, t: tenor.report_run("m", c.path, num_errors="3"),
        "num_errors: expected a whole number from 0 on, found '3'",
    ),
    "a number as a title": (
        lambda c, t: tenor.report_run("m", c.path, title=5),
        r"title: expected a text, such as 'Who donates\?', found int",
    ),
    "a text as texts of an explanation": (
        lambda c, t: tenor.explain_sequence("m", c.path, "c1", with_text="no"),
        "with_text: expected True or False, found 'no'",
    ),
    "a text as texts of the worst errors": (
        lambda c, t: worst_errors(t, c.path, "m", with_text="no"),
        "with_text: expected True or False, found 'no'",
    ),
    "a text as progress of an explanation": (
        lambda c, t: tenor.explain_profile("m", c.path, "a", progress="no"),
        "progress: expected True or False, found 'no'",
    ),
    "a text as progress of a curve": (
        lambda c, t: deletion_curve("m", c.path, progress="no"),
        "progress: expected True or False, found 'no'",
    ),
    "no encoder": (lambda c, t: tenor.encode_corpus(c.path, "d", encoder=None), "encoder: .* found NoneType"),
    "swapped when written": (lambda c, t: tenor.write_predictions("a", t), "to write: .* found str"),
    "a report's name first": (lambda c, t: tenor.write_report("r.html", None), "report: .* found str first"),
    "no model card": (lambda c, t: tenor.write_model_card(None, "c.md"), "report: .* found NoneType first"),
    "a number as a rule": (
        lambda c, t: tenor.predict("m", c.path, threshold=0.5),
        r"threshold rule must be one of f1, .* not 0\.5 \(a threshold of your own",
    ),
    "a number of kernels": (
        lambda c, t: tenor.train_model("author", c.path, 1, kernel_sizes=3),
        r"kernel_sizes must be numbers, such as \(3, 5, 7\), not 3",
    ),
    "a number of kernels of a network": (
        lambda c, t: tenor.SequenceClassifier(8, kernel_sizes=3),
        "kernel_sizes must be odd numbers, .* found 3",
    ),
    "a text as a width": (
        lambda c, t: tenor.SequenceClassifier("8"),
        "input_size must be a whole number, found '8'",
    ),
    "a path as a network": (
        lambda c, t: tenor.ProfileClassifier("m"),
        "sequence_classifier: expected a SequenceClassifier, found str",
    ),
    "a rule as a profile's threshold": (
        lambda c, t: tenor.ProfileClassifier(tenor.SequenceClassifier(8), threshold="f1"),
        r"threshold must be in \[0, 1\], found 'f1'",
    ),
    "a rule as a measured threshold": (
        lambda c, t: tenor.calculate_metrics_threshold([0, 1], [0.1, 0.9], "f1"),
        "threshold: expected a number or None, found 'f1'",
    ),
    "names as labels": (
        lambda c, t: tenor.estimate_pos_weight(["yes", "no"]),
        r"labels: expected whole numbers of shape \(N,\)",
    ),
    "halves as labels": (lambda c, t: tenor.estimate_pos_weight([0.5, 1.0]), "expected whole numbers"),
    "one fraction": (
        lambda c, t: tenor.import_corpus("s", "d", fractions=0.7),
        "fractions: expected three numbers .* found 0.7",
    ),
    "a text as aggregations": (
        lambda c, t: tenor.compare_aggregation_methods("m", c.path, aggregations="mean"),
        r"aggregations: expected a list of names, such as \['mean'\], found the text 'mean'",
    ),
    "a list to update": (
        lambda c, t: tenor.predict("m", c.path, update=[1]),
        "update: expected predictions, .* found list",
    ),
    "a path to calibrate on": (lambda c, t: fit_calibration("a"), "a calibrator .* found str"),
    "swapped in a spreadsheet": (lambda c, t: export_csv("a.csv", t), "to write: .* found str"),
    "a number as a spreadsheet": (lambda c, t: export_csv(t, 3), "output: .* found int"),
    "a text as alpha": (
        lambda c, t: tenor.predict("m", c.path, abstain_alpha="0.1", output="o"),
        "alpha must be between 0 and 1, found 0.1",
    ),
    "a text as a strict plan": (
        lambda c, t: tenor.import_corpus(c.path, "d", strict="no"),
        "strict: expected True or False, found 'no'",
    ),
    "a text as replace": (
        lambda c, t: tenor.import_corpus(c.path, "d", replace="no"),
        "replace: expected True or False, found 'no'",
    ),
    "a number as append": (
        lambda c, t: tenor.import_corpus(c.path, "d", append=1),
        "append: expected True or False, found 1",
    ),
    "nothing as replace when encoding": (
        lambda c, t: tenor.encode_corpus(c.path, "d", replace=None),
        "replace: expected True or False, found None",
    ),
    "a text as update": (
        lambda c, t: tenor.encode_corpus(c.path, "d", update="yes"),
        "update: expected True or False, found 'yes'",
    ),
    "a text as keep_text": (
        lambda c, t: tenor.encode_corpus(c.path, "d", keep_text="no"),
        "keep_text: expected True or False, found 'no'",
    ),
    "a text as labelled": (
        lambda c, t: tenor.load_dataset(c, "author", labelled="no"),
        "labelled: expected True or False, found 'no'",
    ),
    "one place of models": (
        lambda c, t: tenor.encode_corpus(c.path, "d", model_paths="m"),
        r"model_paths: expected a list of paths, such as \['m'\], found the text 'm'",
    ),
    "a text as splits": (
        lambda c, t: tenor.read_predictions("p.parquet", splits="test"),
        "splits: expected a list of train, validation, test, found the text 'test'",
    ),
    "a split that there is not": (
        lambda c, t: tenor.read_predictions("p.parquet", splits=["test", "dev"]),
        "splits: expected some of train, validation, test, found 'dev'",
    ),
    "a number as splits": (
        lambda c, t: tenor.read_predictions("p.parquet", splits=1),
        "splits: expected a list of train, validation, test, found int",
    ),
    "a list as a column map": (
        lambda c, t: tenor.import_corpus("s", "d", columns=["author"]),
        "columns: expected a mapping .* such as {'author': 'user'}, found list",
    ),
    "a list as a space": (
        lambda c, t: tenor.tune_model("author", c.path, space=["hidden_size"]),
        r"space: expected a mapping .* such as {'hidden_size': \(32, 64\)}, found list",
    ),
    "a number as choices": (
        lambda c, t: tenor.tune_model("author", c.path, space={"hidden_size": 64}),
        "hidden_size: expected a range or different choices, found 64",
    ),
    "a text as folds": (
        lambda c, t: tenor.score_out_of_fold("m", c.path, folds="5"),
        "folds: expected a whole number of at least 2, found '5'",
    ),
    "a split's name as rows": (
        lambda c, t: t.select("test"),
        r"select: expected a mask of 2 entries or indices of rows, found str 'test' \(in_split gives",
    ),
    "fractions as rows": (
        lambda c, t: t.select(np.array([0.5, 1.0])),
        r"select: .* found float64 of shape \(2,\)",
    ),
    "a short mask": (
        lambda c, t: t.select(np.array([True])),
        r"select: expected a mask of 2 entries, found \(1,\)",
    ),
    "an index of no row": (
        lambda c, t: t.select([0, 10**6]),
        r"select: expected indices of rows, each below 2, found 1000000 \(in_split gives",
    ),
    "an index before the first row": (lambda c, t: t.select([-3]), "each below 2, found -3"),
    "a split's name as sequences": (
        lambda c, t: tenor.view_sequences(c, "author").select("test"),
        r"select: expected a mask of \d+ entries or indices of rows, found str 'test'",
    ),
    "one table to concatenate": (
        lambda c, t: tenor.concatenate_predictions(t),
        "predictions to concatenate: expected a list of them, found Predictions",
    ),
    "a text as columns": (
        lambda c, t: tenor.report_run("r", attributes="a.csv", by="long"),
        r"by: expected a list of columns, such as \['long'\], found the text 'long'",
    ),
    "a text as metrics": (
        lambda c, t: tenor.bootstrap_metrics([0, 1], [0.1, 0.9], ["a", "b"], metrics="f1"),
        r"metrics: expected a list of names, such as \['f1'\], found the text 'f1'",
    ),
    "a text as metrics to compare": (
        lambda c, t: tenor.compare(t, t, metrics="f1"),
        r"metrics: expected a list of names, such as \['f1'\], found the text 'f1'",
    ),
    "no metrics": (
        lambda c, t: tenor.compare(t, t, metrics=None),
        "metrics: expected a list of names, found NoneType",
    ),
    "a text as trackers": (
        lambda c, t: tenor.train_model("author", c.path, 1, trackers="tensorboard"),
        r"trackers: expected a list of names, such as \['tensorboard'\], found the text 'tensorboard'",
    ),
    "a text as resume": (
        lambda c, t: tenor.train_model("author", c.path, 1, resume="no"),
        "resume: expected True or False, found 'no'",
    ),
    "a number as a bar": (
        lambda c, t: tenor.train_model("author", c.path, 1, progress=1),
        "progress: expected True or False, found 1",
    ),
    "a text as resume of a tuning": (
        lambda c, t: tenor.tune_model("author", c.path, resume="no"),
        "resume: expected True or False, found 'no'",
    ),
    "a text as a bar of fine-tuning": (
        lambda c, t: finetune_encoder("author", c.path, "e", "d", progress="no"),
        "progress: expected True or False, found 'no'",
    ),
    "a text as a bar of folds": (
        lambda c, t: tenor.score_out_of_fold("m", c.path, progress="no"),
        "progress: expected True or False, found 'no'",
    ),
    "a text as calibrate": (
        lambda c, t: tenor.predict("m", c.path, calibrate="no"),
        "calibrate: expected True or False, found 'no'",
    ),
    "nothing as a bar of scores": (
        lambda c, t: predict_to_file("m", c.path, "o", progress=None),
        "progress: expected True or False, found None",
    ),
    "a text as baselines": (
        lambda c, t: tenor.test_model("author", "m", c.path, baselines="no"),
        "baselines: expected True or False, found 'no'",
    ),
    "a text as baselines of profiles": (
        lambda c, t: tenor.evaluate_profile_classifier("m", c.path, baselines="no"),
        "baselines: expected True or False, found 'no'",
    ),
    "a text as baselines of aggregations": (
        lambda c, t: tenor.compare_aggregation_methods("m", c.path, baselines="no"),
        "baselines: expected True or False, found 'no'",
    ),
    "a text as a bar of seeds": (
        lambda c, t: tenor.test_seeds("author", ["m"], c.path, progress="no"),
        "progress: expected True or False, found 'no'",
    ),
    "a text as fingerprints": (
        lambda c, t: tenor.read_predictions("p.parquet", fingerprints="no"),
        "fingerprints: expected True or False, found 'no'",
    ),
    "a text as a prior": (
        lambda c, t: tenor.SequenceClassifier(8, has_prior="no"),
        "has_prior: expected True or False, found 'no'",
    ),
    "a flag as a width": (
        lambda c, t: tenor.SequenceClassifier(True),
        "input_size must be a whole number, found True",
    ),
    "a text as dropout": (
        lambda c, t: tenor.SequenceClassifier(8, dropout="0.3"),
        "dropout must be at least 0 and below 1, found '0.3'",
    ),
    "no dropout": (
        lambda c, t: tenor.SequenceClassifier(8, dropout=None),
        "dropout must be at least 0 and below 1, found None",
    ),
    "a flag as dropout": (
        lambda c, t: tenor.SequenceClassifier(8, dropout=False),
        "dropout must be at least 0 and below 1, found False",
    ),
    "no seed of a test": (
        lambda c, t: tenor.test_model("author", "m", c.path, seed=None),
        "seed must be a whole number from .* not None",
    ),
    "a text as a test's seed": (
        lambda c, t: tenor.evaluate_profile_classifier("m", c.path, seed="bla"),
        "seed must be a whole number from .* not 'bla'",
    ),
    "a level in percent": (
        lambda c, t: tenor.bootstrap_metrics([0, 1], [0.1, 0.9], ["a", "b"], level=95),
        "level must be a number above 0 and below 1, not 95",
    ),
    "no level": (
        lambda c, t: tenor.bootstrap_metrics([0, 1], [0.1, 0.9], ["a", "b"], level=None),
        "level must be a number above 0 and below 1, not None",
    ),
    "a level of 0": (
        lambda c, t: tenor.bootstrap_metrics([0, 1], [0.1, 0.9], ["a", "b"], level=0.0),
        "level must be a number above 0 and below 1, not 0.0",
    ),
    "a level below 0": (
        lambda c, t: tenor.bootstrap_metrics([0, 1], [0.1, 0.9], ["a", "b"], level=-1),
        "level must be a number above 0 and below 1, not -1",
    ),
    "replicates and a half": (
        lambda c, t: tenor.bootstrap_metrics([0, 1], [0.1, 0.9], ["a", "b"], replicates=2.5),
        "replicates must be a whole number from 1 to 1000000000, not 2.5",
    ),
    "replicates and a half to compare": (
        lambda c, t: tenor.compare(t, t, replicates=2.5),
        "replicates must be a whole number from 1 to 1000000000, not 2.5",
    ),
    "an empty list of metrics": (
        lambda c, t: tenor.bootstrap_metrics([0, 1], [0.1, 0.9], ["a", "b"], metrics=[]),
        "metrics: expected some of accuracy, .*, log_loss, found none",
    ),
    "an empty list of metrics to compare": (
        lambda c, t: tenor.compare(t, t, metrics=[]),
        "metrics: expected some of accuracy, .*, log_loss, found none",
    ),
    "no seed of a bootstrap": (
        lambda c, t: tenor.bootstrap_metrics([0, 1], [0.1, 0.9], ["a", "b"], seed=None),
        "seed must be a whole number from .* not None",
    ),
    "nan as a seed to compare": (
        lambda c, t: tenor.compare(t, t, seed=float("nan")),
        "seed must be a whole number from .* not nan",
    ),
    "a text as a seed of profiles": (
        lambda c, t: tenor.profile_predictions(t, seed="bla"),
        "seed must be a whole number from .* not 'bla'",
    ),
    "a number as a rule of profiles": (
        lambda c, t: tenor.profile_predictions(t, threshold=0.5),
        "the threshold rule must be one of f1, .*, not 0.5",
    ),
    "a number as a rule on validation": (
        lambda c, t: choose_by_rule(replace(t, splits=["validation"] * 2), 0.5),
        "the threshold rule must be one of f1, .*, not 0.5",
    ),
    "a number as scores out of fold": (
        lambda c, t: tenor.profile_predictions(t, out_of_fold=1),
        "out_of_fold: expected predictions, .* found int",
    ),
    "a text as fractions": (
        lambda c, t: tenor.import_corpus("s", "d", fractions="0.7,0.1,0.2"),
        "fractions: expected three numbers .* found the text '0.7,0.1,0.2'",
    ),
}


def test_each_shows_itself_in_one_line_without_names(corpus: Corpus, table: Predictions) -> None:
    view, where = tenor.view_sequences(corpus, "author"), repr(str(corpus.path))
    rows = f"level author, {len(view)} sequences, {len(view)} labelled"
    assert repr(corpus) == f"Corpus({where}, 20 conversations, {corpus.num_messages} messages, 4 features)"
    assert repr(view) == f"SequenceView({where}, {rows})"
    assert repr(tenor.load_dataset(corpus, "author")) == f"SequenceDataset({where}, {rows}, 4 features)"
    assert repr(table.select([1])) == "Predictions('m', level author, 1 rows, 1 labelled)"


def test_counts_that_are_shown_have_commas(corpus: Corpus) -> None:
    many = tenor.view_sequences(corpus, "conversation").select([0] * 1017)
    assert repr(many).endswith(", level conversation, 1,017 sequences, 1,017 labelled)")


@pytest.mark.parametrize("name", CALLS)
def test_a_wrong_type_is_named(
    corpus: Corpus, table: Predictions, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    call, message = CALLS[name]
    with pytest.raises(UsageError, match=message):
        call(corpus, table)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
