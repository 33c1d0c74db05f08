"""A run on disk becomes a report: what belongs together is found, and nothing private gets out unasked."""

from __future__ import annotations

import dataclasses
import json
import logging
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.main import get_command

from tenor.baselines import fit_baselines
from tenor.cli.app import build_app
from tenor.corpus.corpus import open_corpus
from tenor.corpus.importing import import_corpus
from tenor.corpus.views import view_sequences
from tenor.errors import InputError, UsageError
from tenor.evaluation import (
    compare_aggregation_methods,
    evaluate_profile_classifier,
    predict,
    profile_predictions,
)
from tenor.evaluation import test_model as evaluate_model
from tenor.evaluation.calibration import calibrate
from tenor.explain.records import ConversationContribution, WrongPrediction
from tenor.metrics.calibration import Calibrator
from tenor.models.model_file import read_metadata
from tenor.predictions import concatenate_predictions, read_predictions, write_predictions
from tenor.report.card import render_model_card
from tenor.report.page import render_report
from tenor.report.reporting import report_run
from tenor.report.runs import open_run, read_run, score_model
from tenor.report.summaries import count_splits
from tenor.report.worst import _to_error
from tenor.strings import Strings
from tenor.training.train import train_model

SMALL: dict[str, Any] = {
    "hidden_size": 8,
    "num_layers": 1,
    "num_heads": 2,
    "kernel_sizes": (3,),
    "batch_size": 32,
    "learning_rate": 3e-3,
    "progress": False,
    "device": "cpu",
}
WORD = "canaryword"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus whose authors' names, ids and every message are canaries; a model of each level; a file of columns."""
    place = tmp_path_factory.mktemp("runs")
    generator = np.random.default_rng(0)
    lines, columns = [], ["conversation_id,channel"]
    for index in range(240):
        authors = [f"canaryname{n}" for n in generator.choice(90, 2, replace=False)]
        guilty = {name: int(name[10:]) % 3 == 0 for name in authors}
        messages = [
            {
                "author": name,
                "text": f"{WORD} {'bad' if guilty[name] and generator.random() < 0.5 else 'good'} {WORD}",
                "features": (generator.normal(size=4) + 0.7 * guilty[name]).tolist(),
            }
            for name in [*authors, *authors]
        ]
        labels = {name: int(value) for name, value in guilty.items()}
        record = {"conversation_id": f"canaryid{index}", "messages": messages}
        lines.append(json.dumps(record | {"label": int(any(guilty.values())), "author_labels": labels}))
        columns.append(f"canaryid{index},{'phone' if index % 2 else 'chat'}")
    (place / "chats.jsonl").write_text("\n".join(lines) + "\n")
    (place / "columns.csv").write_text("\n".join(columns) + "\n")
    import_corpus(place / "chats.jsonl", place / "corpus", fractions=(0.4, 0.3, 0.3))
    for level in ("conversation", "author"):
        train_model(level, place / "corpus", 2, model_path=place / f"{level}.pt", **SMALL)
    return place


@pytest.fixture(scope="module")
def scores(folder: Path) -> Path:
    """A folder of predictions: both models', one split a file, the author level's baselines, and what is none."""
    run = folder / "scores"
    run.mkdir()
    for level in ("conversation", "author"):
        (run / f"{level}.pt").write_bytes((folder / f"{level}.pt").read_bytes())
        for split in ("validation", "test"):
            predict(
                folder / f"{level}.pt",
                folder / "corpus",
                split=split,
                output=run / f"{level}_{split}.parquet",
                device="cpu",
            )
    for name, table in fit_baselines(view_sequences(open_corpus(folder / "corpus"), "author")).items():
        write_predictions(table, run / f"baseline_{name}.parquet")
    (run / "junk.parquet").write_bytes(b"no Parquet at all")
    return run


def test_every_threshold_is_chosen_by_the_model_s_rule(folder: Path, tmp_path: Path) -> None:
    """A report's thresholds are those of the model file, of tenor test and of tenor profile."""
    rule, model, corpus = "cost:1:20", tmp_path / "author.pt", tmp_path / "corpus"
    shutil.copytree(folder / "corpus", corpus)
    train_model("author", corpus, 2, model_path=model, threshold=rule, **SMALL)
    stored = read_metadata(model)
    author, profile = score_model(model, open_corpus(corpus), device="cpu")
    tested = evaluate_model("author", model, corpus, device="cpu")
    assert author.predictions.threshold == stored.threshold == tested["threshold"]
    for name, table in author.baselines.items():
        assert table.threshold == tested["baselines"][name]["threshold"]
    compared = compare_aggregation_methods(model, corpus, device="cpu")
    for name, metrics in compared.items():
        assert profile.aggregations[name].threshold == metrics["threshold"]
        assert metrics["threshold_choice"]["objective"] == "cost"
    assert compared["mean"]["threshold"] == stored.profile_thresholds["mean"]
    for name, baseline in compared[profile.name]["baselines"].items():
        assert profile.baselines[name].threshold == baseline["threshold"]
    alone = evaluate_profile_classifier(model, corpus, threshold="f1", device="cpu")
    assert alone["threshold_choice"]["objective"] == "f1"


def test_predictions_say_by_what_their_threshold_was_chosen(folder: Path, tmp_path: Path) -> None:
    """A report of a predictions file, without the model, decides by the model's rule, or by the one of the file."""
    rule, model, corpus = "cost:1:20", tmp_path / "author.pt", tmp_path / "corpus"
    shutil.copytree(folder / "corpus", corpus)  # whose readings of test are counted
    train_model("author", corpus, 2, model_path=model, threshold=rule, **SMALL)
    stored = read_metadata(model)
    (tmp_path / "alone").mkdir()
    path = tmp_path / "alone" / "scores.parquet"
    scored = predict(model, corpus, split="all", output=path, device="cpu")
    assert (scored.threshold, scored.threshold_rule) == (stored.threshold, rule)
    author, profile = read_run(path)
    assert author.known_rule == profile.known_rule == rule
    assert profile.name == "mean"
    assert profile.predictions.threshold == stored.profile_thresholds["mean"]
    notes = {section.level: " ".join(section.notes) for section in report_run(path).sections}
    assert "f1" not in notes["author"] and "by f1" not in notes["profile"]
    assert f"The threshold {stored.threshold:.4f} (95% interval" in notes["author"]
    assert "was chosen on validation by cost:1:20" in notes["author"]
    assert "was chosen on validation by cost:1:20" in notes["profile"]
    assert "a predictions file does not hold the model's own" in notes["profile"]
    assert "where a model has none of its own" not in notes["profile"]
    predict(model, corpus, split="all", threshold="f_beta:2", output=path, device="cpu")
    assert {level.known_rule for level in read_run(path)} == {"f_beta:2"}


def test_calibrated_predictions_are_not_calibrated_again(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "corpus", tmp_path / "corpus")
    scored = predict(folder / "author.pt", tmp_path / "corpus", split="all", device="cpu")
    mended = calibrate(scored, Calibrator("temperature", ((0.25,),), {}))
    # what is chosen anew on mended rows may be another middle between the same two
    mended = replace(mended, threshold=mended.threshold + 0.001)  # type: ignore[operator]
    path = write_predictions(mended, tmp_path / "scores.parquet")
    notes = " ".join(report_run(path).sections[0].notes)
    assert "The probabilities were calibrated by temperature before they were written: Brier " in notes
    assert "calibrated on validation" not in notes
    assert (
        f"The threshold {mended.threshold:.4f} was chosen on validation by f1; chosen before the probabilities were "
        "calibrated: no interval is known." in notes
    )
    alone = write_predictions(scored.in_split("test"), tmp_path / "test.parquet")
    assert "by f1; chosen elsewhere: there is no labelled validation row here." in " ".join(
        report_run(alone).sections[0].notes
    )
    raw = " ".join(report_run(write_predictions(scored, tmp_path / "raw.parquet")).sections[0].notes)
    assert (
        f"The threshold {scored.threshold:.4f} (95% interval" in raw and "before they were written" not in raw
    )


def test_a_profile_of_one_conversation_is_shown_without_its_contribution() -> None:
    of_profile = ConversationContribution("c1", 3, 0.05, 0.05)
    wrong = WrongPrediction(None, "ann", 1, 0, 0.05, conversations=(of_profile,))
    assert [each.contribution for each in _to_error(wrong).messages] == [0.05]
    alone = dataclasses.replace(wrong, remark="nothing to leave out")
    assert [each.contribution for each in _to_error(alone).messages] == [None]


def test_a_rule_that_is_not_known_is_said_to_be_none(folder: Path, tmp_path: Path) -> None:
    """Files of earlier versions do not say by what their threshold was chosen."""
    shutil.copytree(folder / "corpus", tmp_path / "corpus")
    scored = predict(folder / "author.pt", tmp_path / "corpus", split="all", device="cpu")
    path = write_predictions(dataclasses.replace(scored, threshold_rule=None), tmp_path / "scores.parquet")
    author, profile = report_run(path).sections
    notes = " ".join(author.notes)
    assert f"The threshold {scored.threshold:.4f} comes with the predictions, and it is not known by" in notes
    assert "was chosen on validation by" not in notes
    assert any(
        "profiles are chosen here on validation by f1, for it is not known" in x for x in profile.notes
    )
    by_f1 = profile_predictions(scored, ("mean",), threshold="f1")["mean"]
    assert profile.model.predictions.threshold == by_f1.threshold
    (tmp_path / "author.pt").write_bytes((folder / "author.pt").read_bytes())
    assert {level.known_rule for level in read_run(path)} == {"f1"}  # the model's file says


def test_a_model_is_reported_at_its_level_and_over_profiles(folder: Path) -> None:
    report = report_run(
        folder / "author.pt",
        folder / "corpus",
        attributes=folder / "columns.csv",
        by=("channel",),
        num_errors=2,
        device="cpu",
    )
    author, profile = report.sections
    assert (author.level, profile.level) == ("author", "profile")
    assert [s.name for s in author.baselines] == ["majority", "length", "lexical", "pooled", "blend"]
    assert [s.name for s in profile.baselines] == [s.name for s in author.baselines]
    assert len(profile.aggregations) == 10
    assert author.history and author.best_epoch is not None
    assert {part.column for part in author.subgroups} == {"messages", "channel"}
    assert {part.column for part in profile.subgroups} == {"conversations"}
    assert any(
        "Subgroups by channel are left out: the file has one row a conversation_id" in n
        for n in profile.notes
    )
    assert "The test split was read for the first time at this level." in author.notes
    assert any(note.startswith("The threshold ") for note in author.notes)
    assert any(note.startswith("Brier ") for note in author.notes)
    assert 0 < len(author.errors) <= 2
    assert all(m.contribution is not None and m.text is None for e in author.errors for m in e.messages)
    assert sum(len(error.messages) for error in author.errors) >= 2
    outcomes = {finding.check: finding.outcome for finding in report.audit}
    assert outcomes.pop("shared conversations, level author") == "note"  # split by author
    assert outcomes.pop("known authors, level conversation") == "note"  # people return
    assert outcomes.pop("future in training") == "skipped"
    assert set(outcomes.values()) == {"passed"}
    assert report.seeds == {"splits": 0, "training, level author": 0, "resampling": 0}
    train, command = report.command.splitlines()
    assert train.startswith(f"tenor train author {folder / 'corpus'} --model {folder / 'author.pt'} ")
    assert "--hidden-size 8" in train
    assert command == (
        f"tenor report {folder / 'author.pt'} --output report.html --data {folder / 'corpus'} "
        f"--attributes {folder / 'columns.csv'} --by channel --errors 2 --seed 0"
    )
    assert report.unrecorded == (
        f"Before these commands {folder / 'corpus'} is made by tenor import and tenor encode; their other options are "
        "not recorded.",
        "Nor is --copies of tenor train: where it stops at texts in two splits, it had --copies warn or ignore.",
    )
    assert report.unrecorded[1] in render_model_card(report).replace("\\", "")
    assert report.unrecorded[1] in render_report(report)
    for line in (train, command):  # every option is there, and has a value that it takes
        _, name, *arguments = shlex.split(line)
        commands: Any = get_command(build_app())
        commands.commands[name].make_context(name, arguments)
    majority = profile.baselines[0].predictions  # never an alarm, as at the level of sequences
    assert majority.threshold == 0.5 and majority.probs.max() < 0.5
    again = report_run(folder / "author.pt", folder / "corpus", num_errors=0, device="cpu")
    assert "The test split was read 2 times at this level." in again.sections[0].notes
    assert again.sections[0].errors == ()


def test_the_command_says_all_that_was_asked_for(scores: Path) -> None:
    report = report_run(
        scores,
        title="Who is rude?",
        question="Whether -- it's rude",
        class_names={"1": "rude", 1: "rude", 0: "civil"},
        with_names=True,
        with_text=True,  # of which there is none without a corpus
        license="mit",
        seed=3,
    )
    _, command = report.command.rsplit("\n", 1)
    assert shlex.split(command)[3:] == [
        *("--output", "report.html", "--with-names", "--title", "Who is rude?"),
        *("--question", "Whether -- it's rude", "--class-name", "1=rude", "--class-name", "0=civil"),
        *("--card", "card.md", "--license", "mit", "--seed", "3"),
    ]
    commands: Any = get_command(build_app())
    commands.commands["report"].make_context("report", shlex.split(command)[2:])
    assert f"--model {scores / 'author.pt'} " in report.command  # one path, wherever the report looks for it
    plain = report_run(scores).command.rsplit("\n", 1)[1]
    assert shlex.split(plain)[3:] == ["--output", "report.html", "--seed", "0"]


def test_a_class_that_there_is_not_is_refused_before_test_is_read(folder: Path, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    shutil.copytree(folder / "corpus", corpus)
    reads = corpus / "test_reads.jsonl"
    reads.unlink(missing_ok=True)
    with pytest.raises(UsageError, match="class names: expected some of 0, 1, found 2"):
        report_run(folder / "author.pt", corpus, class_names={2: "rude"}, device="cpu")
    assert not reads.exists()


def test_the_data_are_named_after_the_corpus(folder: Path, scores: Path) -> None:
    assert (
        report_run(folder / "conversation.pt", folder / "corpus", num_errors=0, device="cpu").dataset
        == "corpus"
    )
    assert report_run(scores, num_errors=0).dataset == ""


def test_few_groups_and_one_are_said(scores: Path, tmp_path: Path) -> None:
    parts = [read_predictions(scores / f"author_{split}.parquet") for split in ("validation", "test")]
    table = concatenate_predictions(parts)
    for count, words in (
        (5, "Test has only 5 groups, fewer than 30"),
        (1, "are of one group: there are no intervals"),
    ):
        groups = [f"g{row % count}" for row in range(len(table))]
        run = tmp_path / f"of-{count}.parquet"
        write_predictions(dataclasses.replace(table, groups=Strings.of(groups)), run)
        (author, *_) = report_run(run).sections
        assert any(words in note for note in author.notes)


def test_class_names_go_by_the_label_as_it_is_written(scores: Path) -> None:
    names = {"0": "kept to themselves", 1: "donated"}
    report = report_run(scores / "author_test.parquet", class_names=names)
    assert [report.class_name(label) for label in (0, 1)] == ["kept to themselves", "donated"]
    for wrong, message in (
        ({"2": "x"}, "class names: expected some of 0, 1, found 2"),
        (["x", "y"], "class names: expected a mapping, such as {1: 'donated'}, found list"),
    ):
        with pytest.raises(UsageError, match=message):
            report_run(scores / "author_test.parquet", class_names=wrong)  # type: ignore[arg-type]


def test_groups_are_counted_over_labelled_rows(scores: Path, tmp_path: Path) -> None:
    parts = [read_predictions(scores / f"author_{split}.parquet") for split in ("validation", "test")]
    table = concatenate_predictions(parts)
    rows = [row for row, split in enumerate(table.splits.tolist()) if split == "test"]
    known, unknown = rows[::2], rows[1::2]
    labels = table.labels.copy()
    labels[unknown] = -1
    write_predictions(dataclasses.replace(table, labels=labels), tmp_path / "run.parquet")
    (author, *_) = report_run(tmp_path / "run.parquet").sections
    test = next(counts for counts in count_splits(author) if counts.split == "test")
    assert test.labelled == len(known) and test.groups == len(set(table.groups[known].tolist()))


def test_nothing_private_gets_out_unasked(folder: Path) -> None:
    report = report_run(folder / "author.pt", folder / "corpus", num_errors=2, device="cpu")
    for text in (render_report(report), render_model_card(report)):
        for canary in ("canaryname", "canaryid", WORD):
            assert canary not in text
    shown = report_run(
        folder / "author.pt", folder / "corpus", num_errors=2, with_text=True, with_names=True, device="cpu"
    )
    page = render_report(shown)
    assert WORD in page and "canaryname" in page
    assert "canaryid" in page  # of a sequence, and of a profile's conversations
    card = render_model_card(shown)
    assert "canaryname" not in card and WORD not in card


def test_a_folder_of_predictions_is_put_together(scores: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        levels = {level.predictions.level: level for level in read_run(scores)}
    assert "junk.parquet" in caplog.text
    assert set(levels) == {"conversation", "author", "profile"}
    assert set(levels["author"].predictions.splits.tolist()) == {"validation", "test"}
    assert levels["author"].model_path == scores / "author.pt"
    assert set(levels["author"].baselines) == {"majority", "length", "lexical", "pooled", "blend"}
    assert levels["conversation"].baselines == {}
    assert set(levels["profile"].baselines) == set(levels["author"].baselines)
    assert set(levels["profile"].aggregations) == {
        *("mean", "median", "mean_vote", "total_vote", "noisy_or", "top_k_mean", "log_odds", "score_summary")
    }
    report = report_run(scores)
    assert [section.level for section in report.sections] == ["conversation", "author", "profile"]
    assert report.sections[0].errors and all(error.messages == () for error in report.sections[0].errors)
    assert report.data == {} and report.audit == ()


def test_with_the_corpus_a_folder_gets_baselines_and_explanations(scores: Path, folder: Path) -> None:
    report = report_run(scores, folder / "corpus", num_errors=1, device="cpu")
    conversation, author, profile = report.sections
    assert [s.name for s in conversation.baselines] == ["majority", "length", "lexical", "pooled", "blend"]
    assert len(author.baselines) == len(profile.baselines) == 5
    assert any(message.contribution is not None for message in conversation.errors[0].messages)
    assert report.audit


def test_profiles_of_any_name_stand_beside_the_baselines(scores: Path, folder: Path, tmp_path: Path) -> None:
    for path in scores.iterdir():
        shutil.copy(path, tmp_path / path.name)
    table = concatenate_predictions(
        [read_predictions(scores / f"author_{split}.parquet") for split in ("validation", "test")]
    )
    made = profile_predictions(table, ("mean",))["mean"]
    write_predictions(
        made, tmp_path / "pretrained-people.parquet"
    )  # holds the name of an aggregation, in a word
    (section,) = [
        s for s in report_run(tmp_path, folder / "corpus", device="cpu").sections if s.level == "profile"
    ]
    assert section.model.name == "tenor, pretrained-people"
    assert "The baselines' profiles are by the mean." in section.notes
    assert len(section.baselines) == 5


def test_profiles_that_are_there_are_taken_as_they_are(folder: Path, tmp_path: Path) -> None:
    parts = [
        predict(folder / "author.pt", folder / "corpus", split=s, device="cpu")
        for s in ("validation", "test")
    ]
    for name, table in profile_predictions(concatenate_predictions(parts), ("median", "top_k_mean")).items():
        write_predictions(table, tmp_path / f"profile_{name}_scores.parquet")
    (level,) = read_run(tmp_path)
    assert set(level.aggregations) == {"median", "top_k_mean"}
    assert level.name in level.aggregations
    assert level.model_path is None
    single = report_run(tmp_path / "profile_median_scores.parquet")
    assert single.sections[0].model.name == "tenor, median"


def test_a_report_is_about_one_model_a_level(folder: Path, tmp_path: Path) -> None:
    train_model("author", folder / "corpus", 1, model_path=tmp_path / "other.pt", **SMALL)
    for number, model in enumerate((folder / "author.pt", tmp_path / "other.pt")):
        predict(model, folder / "corpus", output=tmp_path / f"{number}.parquet", device="cpu")
    with pytest.raises(UsageError, match="has several models of level author: 0.parquet, 1.parquet"):
        read_run(tmp_path)


def test_two_files_with_the_same_rows_are_named(folder: Path, tmp_path: Path) -> None:
    for name in ("may", "june"):
        predict(folder / "author.pt", folder / "corpus", output=tmp_path / f"{name}.parquet", device="cpu")
    with pytest.raises(
        UsageError, match=r"june.parquet, may.parquet are no parts of .* repeat the id .* \(report on"
    ):
        read_run(tmp_path)


@pytest.mark.parametrize("level", ["conversation", "author"])
def test_predictions_without_a_label_in_test_are_refused(folder: Path, tmp_path: Path, level: str) -> None:
    scored = predict(folder / f"{level}.pt", folder / "corpus", split="all", device="cpu")
    for number, changes in enumerate(
        ({"labels": np.full(len(scored), -1)}, {"splits": Strings.of(["train"] * len(scored))})
    ):
        path = write_predictions(dataclasses.replace(scored, **changes), tmp_path / f"{number}.parquet")
        with pytest.raises(UsageError, match=f"level {level}: a report measures labelled rows of split test"):
            report_run(path)


def test_what_is_no_run_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such file or folder"):
        open_run(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="holds no predictions files"):
        open_run(tmp_path)
    with pytest.raises(UsageError, match="is a model file, which needs the corpus .*--data"):
        open_run(folder / "author.pt")
    with pytest.raises(UsageError, match="subgroups need both"):
        report_run(folder / "author.pt", folder / "corpus", by=("channel",))
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match="cannot be read as one"):
        open_run(tmp_path / "a.parquet")


def test_a_report_of_predictions_needs_no_torch(scores: Path, tmp_path: Path) -> None:
    code = (
        "import sys\nfrom tenor.cli import main\n"
        f"try:\n    main(['report', {str(scores)!r}, '-o', {str(tmp_path / 'r.html')!r}, "
        f"'--card', {str(tmp_path / 'card.md')!r}])\n"
        "except SystemExit as end:\n    assert not end.code\nassert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"report: {tmp_path / 'r.html'}\nmodel card: {tmp_path / 'card.md'}\n" in done.stdout
    assert (tmp_path / "r.html").read_text().startswith("<!DOCTYPE html>")
    assert "model-index:" in (tmp_path / "card.md").read_text()
