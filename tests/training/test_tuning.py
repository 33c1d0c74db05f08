"""Tuning: what is searched, that validation alone decides, and that a killed search goes on as if it had not been."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tenor.corpus.importing import import_corpus
from tenor.corpus.readings import FILE_NAME
from tenor.errors import CorpusError, MissingExtraError, StorageError, TrainingError, UsageError
from tenor.evaluation import predict
from tenor.metrics.intervals import bootstrap_metrics
from tenor.models.model_file import read_metadata
from tenor.training.history import history_path, read_history
from tenor.training.search_space import DEFAULT_SPACE, Range, check_space, parse_space, propose
from tenor.training.train import train_model
from tenor.training.tuning import DEFAULTS, TuneResult, read_trials, tune_model

FIXED: dict[str, Any] = {
    "num_epochs": 2,
    "num_heads": 2,
    "kernel_sizes": (3,),
    "num_layers": 1,
    "prior": "none",
    "device": "cpu",
    "progress": False,
}
SPACE: dict[str, Any] = {
    "hidden_size": (8, 16),
    "batch_size": (16, 256),
    "learning_rate": Range(1e-4, 1e-2, log=True),
    "dropout": Range(0.0, 0.5),
}
COMMAND = (
    *("--epochs", "3", "--trials", "4", "--device", "cpu", "--no-progress", "--search", "prior=none"),
    *("--search", "hidden_size=16,32", "--search", "num_layers=0:1", "--search", "learning_rate=1e-4:1e-2"),
    *("--search", "batch_size=8,16"),
)


def tune(corpus: Path, path: Path, **options: Any) -> TuneResult:  # noqa: ANN401 - handed on
    return tune_model(
        "conversation", corpus, model_path=path, **({"space": SPACE, "trials": 3} | FIXED | options)
    )


def drop_seconds(result: TuneResult) -> list[Any]:
    return [replace(trial, seconds=0.0) for trial in result.trials]


@pytest.fixture(scope="module")
def tuned(small_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> TuneResult:
    return tune(small_corpus, tmp_path_factory.mktemp("tuned") / "m.safetensors")


def test_the_best_trial_is_published_with_its_score(small_corpus: Path, tuned: TuneResult) -> None:
    folder = tuned.path.with_name("m.tune")
    scores = []
    for trial in tuned.trials:
        path = folder / f"trial-000{trial.number}.safetensors"
        records = read_history(history_path(path))
        best = max(record.validation["average_precision"] or 0.0 for record in records)
        assert trial.score == best
        config = read_metadata(path).training["config"]
        assert {name: config[name] for name in SPACE} == trial.settings
        assert (config["num_epochs"], config["prior"], config["seed"]) == (2, "none", 0)
        scores.append(best)
    assert tuned.best == tuned.trials[int(np.argmax(scores))]
    source = folder / f"trial-000{tuned.best.number}.safetensors"
    assert tuned.path.read_bytes() == source.read_bytes()
    assert history_path(tuned.path).read_bytes() == history_path(source).read_bytes()
    rows = predict(tuned.path, small_corpus, split="validation", device="cpu").labelled()
    expected = bootstrap_metrics(rows.labels, rows.probs, rows.groups, metrics=("average_precision",))
    assert tuned.interval == expected["average_precision"]
    assert tuned.interval.value == pytest.approx(tuned.best.score, abs=1e-6)
    assert tuned.defaults == {"hidden_size": 64, "batch_size": 256, "learning_rate": 3e-4, "dropout": 0.3}


def test_a_trial_is_the_training_with_its_settings(
    small_corpus: Path, tuned: TuneResult, tmp_path: Path
) -> None:
    settings: dict[str, Any] = FIXED | tuned.trials[2].settings
    path = train_model("conversation", small_corpus, model_path=tmp_path / "m.pt", **settings)
    assert path.read_bytes() == (tuned.path.with_name("m.tune") / "trial-0002.safetensors").read_bytes()


def test_the_first_trial_has_the_defaults_where_they_lie_in_the_space(
    small_corpus: Path, tmp_path: Path
) -> None:
    space = {"patience": DEFAULT_SPACE["patience"], "dropout": DEFAULT_SPACE["dropout"]}
    result = tune(small_corpus, tmp_path / "m.pt", space=space, trials=1, hidden_size=16)
    assert result.best.settings == {"patience": 5, "dropout": 0.3}
    assert set(DEFAULT_SPACE) <= set(DEFAULTS)
    space |= {
        "learning_rate": Range(1e-3, 1e-2, log=True),
        "scheduler": ("cosine",),
    }  # without 3e-4 and plateau
    partly = tune(small_corpus, tmp_path / "partly.pt", space=space, trials=1, hidden_size=16).best.settings
    assert (partly["patience"], partly["dropout"], partly["scheduler"]) == (5, 0.3, "cosine")
    assert 1e-3 <= partly["learning_rate"] <= 1e-2


def test_test_is_never_read_and_its_labels_change_nothing(small_source: Path, tmp_path: Path) -> None:
    def write(name: str, flip: bool) -> Path:
        lines = []
        for index, line in enumerate(small_source.read_text().splitlines()):
            record = json.loads(line)
            record["split"] = ("train", "validation", "test")[index % 3]
            if flip and record["split"] == "test":
                record["label"] = 1 - record["label"]
                for message in record["messages"]:
                    message["features"] = [-9.0] * len(message["features"])
            lines.append(json.dumps(record) + "\n")
        (tmp_path / f"{name}.jsonl").write_text("".join(lines))
        return import_corpus(tmp_path / f"{name}.jsonl", tmp_path / name)

    plain, flipped = write("plain", False), write("flipped", True)
    first, second = (tune(corpus, tmp_path / f"{corpus.name}.pt") for corpus in (plain, flipped))
    assert drop_seconds(first) == drop_seconds(second)
    assert first.interval == second.interval
    assert not (plain / FILE_NAME).exists() and not (flipped / FILE_NAME).exists()


def test_a_killed_tuning_resumes_to_the_same_trials_and_the_same_model(
    small_corpus: Path, tmp_path: Path, launch: Callable[..., Any]
) -> None:
    (worker,) = launch("tune", "conversation", small_corpus, "--model", tmp_path / "whole.pt", *COMMAND)
    assert worker.wait() == 0, worker.err
    path, folder = tmp_path / "m.pt", tmp_path / "m.tune"
    (worker,) = launch("tune", "conversation", small_corpus, "--model", path, *COMMAND)
    until = time.monotonic() + 60
    while not (
        folder / "trial-0001.history.jsonl"
    ).exists():  # in the middle of the second trial, or after it
        assert time.monotonic() < until and worker.process.is_alive(), worker.err
        time.sleep(0.001)
    worker.kill()
    assert not path.exists()
    finished = read_trials(folder)
    assert 1 <= len(finished) < 4
    for line in (folder / "trials.jsonl").read_text().splitlines():
        assert set(json.loads(line)) == {"number", "settings", "score", "best_epoch", "seconds", "error"}
    (worker,) = launch("tune", "conversation", small_corpus, "--model", path, *COMMAND, "--resume")
    assert worker.wait() == 0, worker.err
    assert path.read_bytes() == (tmp_path / "whole.pt").read_bytes()
    ours, theirs = (
        [replace(trial, seconds=0.0) for trial in read_trials(tmp_path / name)]
        for name in ("m.tune", "whole.tune")
    )
    assert ours == theirs and len(ours) == 4
    assert read_trials(folder)[: len(finished)] == finished


def test_a_finished_tuning_goes_on_with_more_trials(
    small_corpus: Path, tuned: TuneResult, tmp_path: Path
) -> None:
    path = tmp_path / "m.pt"
    tune(small_corpus, path, trials=2)
    with pytest.raises(
        StorageError, match=r"m\.tune holds an earlier tuning: go on with it \(resume, --resume"
    ):
        tune(small_corpus, path)
    with pytest.raises(TrainingError, match=r"cannot resume .*: num_epochs was 2, is 3"):
        tune(small_corpus, path, resume=True, num_epochs=3)
    assert drop_seconds(tune(small_corpus, path, resume=True)) == drop_seconds(tuned)
    assert path.read_bytes() == tuned.path.read_bytes()


def test_no_trial_begins_once_the_budget_is_spent(small_corpus: Path, tmp_path: Path) -> None:
    assert len(tune(small_corpus, tmp_path / "m.pt", budget_s=1e-6).trials) == 1
    more = tune(small_corpus, tmp_path / "m.pt", budget_s=1e-6, resume=True)  # what was spent counts
    assert len(more.trials) == 1


def test_a_trial_that_fails_is_set_aside(small_corpus: Path, tmp_path: Path) -> None:
    rates: dict[str, Any] = {"learning_rate": (1e-3, 1e12), "batch_size": (16, 17)}
    result = tune(
        small_corpus,
        tmp_path / "m.pt",
        trials=6,
        space=rates,
        clip_norm=None,
        hidden_size=8,
        scheduler="plateau",
    )
    failed = [trial for trial in result.trials if trial.score is None]
    assert {trial.settings["learning_rate"] for trial in failed} == {1e12}
    assert all(trial.error is not None and "the loss is nan" in trial.error for trial in failed)
    assert result.best.settings["learning_rate"] == 1e-3
    with pytest.raises(
        TrainingError, match=r"all 1 trials failed, the last one so: .*\(search other ranges\)"
    ):
        tune(
            small_corpus, tmp_path / "n.pt", trials=1, space={"learning_rate": (1e12,)}, clip_norm=None, hidden_size=8,
            batch_size=16,
        )  # fmt: skip


def test_few_validation_groups_are_said(
    small_corpus: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    result = tune(small_corpus, tmp_path / "m.pt", trials=1)
    assert re.search(r"validation has only \d+ groups: which trial is best is mostly chance", caplog.text)
    assert result.interval.warning is not None and "fewer than 30" in result.interval.warning


def test_validation_of_one_class_is_refused(small_source: Path, tmp_path: Path) -> None:
    records = [json.loads(line) for line in small_source.read_text().splitlines()]
    for index, record in enumerate(records):
        record |= {"split": ("train", "validation")[index % 2], "label": int(index % 4 == 0)}
    (tmp_path / "one.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    corpus = import_corpus(tmp_path / "one.jsonl", tmp_path / "one")
    with pytest.raises(
        TrainingError, match=r"validation, which needs labels of at least two classes .* \(label more"
    ):
        tune(corpus, tmp_path / "m.pt")
    assert not (tmp_path / "m.tune" / "trials.jsonl").exists()


def test_a_corpus_without_text_is_tuned_without_the_lexical_prior(
    write_source: Callable[..., Path], tmp_path: Path
) -> None:
    records = [json.loads(line) for line in write_source(tmp_path / "a.jsonl").read_text().splitlines()]
    for record in records:
        for message in record["messages"]:
            del message["text"]
    (tmp_path / "b.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    corpus = import_corpus(tmp_path / "b.jsonl", tmp_path / "b")
    fixed = {name: value for name, value in FIXED.items() if name != "prior"}
    tune_model("conversation", corpus, model_path=tmp_path / "m.pt", trials=1, **(fixed | {"hidden_size": 8}))
    config = json.loads((tmp_path / "m.tune" / "config.json").read_text())
    assert config["space"]["prior"] == ["auto", "none"]
    with pytest.raises(
        CorpusError, match=r"prior='lexical' needs text, found none \(search prior=auto,none\)"
    ):
        tune_model("conversation", corpus, model_path=tmp_path / "n.pt", space={"prior": ("lexical",)})


def test_a_missing_optuna_is_the_pip_command(
    small_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingExtraError, match=r"needs the package optuna: pip install 'tenor\[tune\]'"):
        tune(small_corpus, tmp_path / "m.pt")
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_table_of_trials_is_refused(small_corpus: Path, tmp_path: Path) -> None:
    tune(small_corpus, tmp_path / "m.pt", trials=1)
    (tmp_path / "m.tune" / "trials.jsonl").write_text("{}\n")
    with pytest.raises(TrainingError, match=r"expected one trial a line .* \(start anew: remove .*m\.tune\)"):
        tune(small_corpus, tmp_path / "m.pt", resume=True)


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({}, "expected at least one setting to search, found none (None searches all)"),
        ({"num_heads": (2, 4)}, "expected a setting to search, one of hidden_size, num_layers"),
        (
            {"dropout": Range(0.5, 0.1)},
            "dropout: expected a low end below the high one, found 0.5 and 0.1 (one",
        ),
        (
            {"learning_rate": Range(0.0, 0.1, log=True)},
            "expected a low end above 0, as its scale is logarithmic",
        ),
        ({"num_layers": Range(0.5, 2)}, "num_layers: expected two whole numbers, found 0.5 and 2"),
        ({"dropout": Range(0.0, float("nan"))}, "dropout: expected two numbers, found 0.0 and nan"),
        (
            {"hidden_size": Range(8, 64)},
            "hidden_size: expected choices, found a range (list them, such as 32,64",
        ),
        (
            {"prior": "auto"},
            "prior: expected a range or different choices, found 'auto' (such as auto,lexical",
        ),
        ({"batch_size": (8, 8)}, "batch_size: expected a range or different choices, found 8,8"),
    ],
)
def test_a_space_of_another_form_is_refused(space: Any, message: str) -> None:  # noqa: ANN401
    with pytest.raises(UsageError, match=re.escape(message)):
        check_space(space)


@pytest.mark.parametrize(
    ("space", "fixed", "message"),
    [
        ({"dropout": Range(0.0, 1.0)}, {}, "dropout must be a number at least 0 and below 1, not 1.0"),
        ({"scheduler": ("plateau", "step")}, {}, "scheduler: expected some of plateau,cosine, found 'step'"),
        (
            {"hidden_size": (8, 15)},
            {},
            "hidden_size: expected a multiple of num_heads, which is 2, found 15",
        ),
        ({"dropout": (0.1, 0.2)}, {"dropout": 0.3}, "either searched or fixed, found both of dropout"),
        (
            {"dropout": (0.1, 0.2)},
            {"epochs": 3},
            "expected a setting of train_model, one of num_epochs, batch_size",
        ),
        ({"dropout": (0.1, 0.2)}, {"trials": 0}, "trials must be a whole number from 1 to 1000000, not 0"),
        ({"dropout": (0.1, 0.2)}, {"budget_s": 0}, "budget_s must be a number above 0"),
    ],
)
def test_settings_that_training_would_refuse_are_refused_at_once(
    small_corpus: Path, tmp_path: Path, space: dict[str, Any], fixed: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        tune(small_corpus, tmp_path / "m.pt", space=space, **fixed)
    assert list(tmp_path.iterdir()) == []


def test_words_become_a_space() -> None:
    words = ["dropout", "learning_rate=1e-5:1e-3", "hidden_size=64,128", "scheduler=cosine", "patience=3:4"]
    assert parse_space(words) == {
        "dropout": Range(0.1, 0.6),
        "learning_rate": Range(1e-5, 1e-3, log=True),
        "hidden_size": (64, 128),
        "scheduler": ("cosine",),
        "patience": Range(3, 4),
    }


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["speed=1:2"], "expected a setting to search, one of hidden_size"),
        (["dropout", "dropout=0.1:0.2"], "expected each setting once, found dropout twice"),
        (
            ["dropout=low:high"],
            "expected numbers as LOW:HIGH or A,B,C, found 'low' (such as dropout=0.1:0.6)",
        ),
        (["num_layers=1.5:2"], "num_layers: expected whole numbers as LOW:HIGH or A,B,C, found '1.5'"),
    ],
)
def test_words_that_are_no_space_are_refused(words: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        parse_space(words)


def test_proposals_follow_from_seed_and_trials_and_lean_towards_what_scored() -> None:
    space = {"dropout": Range(0.0, 1.0), "num_layers": Range(0, 3), "scheduler": ("plateau", "cosine")}
    trials: list[tuple[Any, float | None]] = []
    for _ in range(40):
        settings = propose(space, trials, seed=1)
        assert settings == propose(space, trials, seed=1)
        assert isinstance(settings["num_layers"], int) and 0 <= settings["num_layers"] <= 3
        trials.append((settings, None if len(trials) == 3 else -abs(float(settings["dropout"]) - 0.7)))
    assert propose(space, [], seed=1) != propose(space, [], seed=2)
    random, later = (
        np.mean([abs(float(settings["dropout"]) - 0.7) for settings, _ in part])
        for part in (trials[:10], trials[20:])
    )
    assert later < random / 2
