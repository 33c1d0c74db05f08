"""The start stands unless validation is convinced of more."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tenor.corpus.importing import import_corpus
from tenor.errors import TrainingError
from tenor.evaluation import predict
from tenor.models.model_file import read_metadata
from tenor.training.checkpoint import Checkpoint, RunFolder
from tenor.training.evidence import CONVINCING, standardized_gain
from tenor.training.history import history_path, read_history
from tenor.training.train import train_model


def test_a_gain_is_counted_in_standard_errors_with_one_vote_a_group() -> None:
    before = np.array([1.0, 1.0, 1.0, 1.0, 1.0])
    after = np.array([0.5, 0.5, 0.5, 0.0, 2.0])  # gains by group: 1, .5 + 1, -1
    groups = np.array([0, 0, 1, 1, 2])
    assert standardized_gain(before, after, groups) == pytest.approx(1.5 / np.sqrt(1 + 1.5**2 + 1))
    assert standardized_gain(after, before, groups) == -standardized_gain(before, after, groups)
    assert standardized_gain(before, before, groups) == 0.0


def test_chance_convinces_seldom_and_a_copied_group_is_one_vote() -> None:
    draws = np.random.default_rng(0)
    gains = draws.normal(size=(2000, 60))
    groups = np.arange(60) // 3  # 20 groups
    share = np.mean([standardized_gain(row, np.zeros(60), groups) >= CONVINCING for row in gains])
    assert share < 0.04  # 2.3% of a normal distribution
    one_group = np.zeros(60, dtype=np.int64)
    assert standardized_gain(np.ones(60), np.zeros(60), one_group) == 1.0 < CONVINCING


def write_corpus(folder: Path, *, order_decides: bool) -> Path:
    """360 conversations with two marked messages; which comes first is the label, or a coin that nobody sees is."""
    draws = np.random.default_rng(5)
    records = []
    for index in range(360):
        features = draws.normal(0, 0.1, (6, 4))
        at, first = int(draws.integers(0, 5)), int(draws.integers(2))
        features[at, first] += 2.0
        features[at + 1, 1 - first] += 2.0
        messages = [{"author": "ab"[turn % 2], "features": row.tolist()} for turn, row in enumerate(features)]
        label = first if order_decides else int(draws.integers(2))
        records.append({"conversation_id": f"c{index}", "messages": messages, "label": label})
    source = folder / "chats.jsonl"
    source.write_text("".join(json.dumps(record) + "\n" for record in records))
    return import_corpus(source, folder / "corpus")


def train(corpus: Path, folder: Path, **options: Any) -> Path:  # noqa: ANN401 - of train_model
    return train_model(
        "conversation", corpus, 12, model_path=folder / "m", hidden_size=16, num_layers=1, num_heads=2,
        kernel_sizes=(3,), batch_size=16, learning_rate=3e-3, patience=12, progress=False, device="cpu",
        **options,
    )  # fmt: skip


def test_what_only_order_tells_convinces(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path, order_decides=True)
    path = train(corpus, tmp_path)
    history = read_history(history_path(path))
    kept = read_metadata(path).training["best_epoch"]
    assert kept > 0 and history[kept].gain > CONVINCING
    scores = predict(path, corpus, split="test", device="cpu").labelled()
    assert np.mean((scores.probs > 0.5) == (scores.labels == 1)) > 0.8


class Killed(Exception):
    """Stands for a kill right after a checkpoint."""


def test_a_run_killed_after_an_epoch_that_convinced_resumes_to_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The start's losses and the kept weights come back from the checkpoint, not only what is being trained."""
    corpus = write_corpus(tmp_path, order_decides=True)
    whole = train(corpus, tmp_path / "whole")
    history = read_history(history_path(whole))
    kept = read_metadata(whole).training["best_epoch"]
    assert 0 < kept < len(history) - 1
    save = RunFolder.save

    def save_and_die(folder: RunFolder, checkpoint: Checkpoint) -> Path:
        saved = save(folder, checkpoint)
        if checkpoint.state["progress"]["epoch"] > kept:
            raise Killed
        return saved

    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "save", save_and_die)
        with pytest.raises(Killed):
            train(corpus, tmp_path / "killed", checkpoint_every_steps=5)
    resumed = train(corpus, tmp_path / "killed", checkpoint_every_steps=5, resume=True)
    assert resumed.read_bytes() == whole.read_bytes()
    again = read_history(history_path(resumed))
    assert [record.gain for record in again] == [record.gain for record in history]


def test_a_checkpoint_of_before_is_refused_plainly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = write_corpus(tmp_path, order_decides=False)
    save = RunFolder.save

    def save_as_before(folder: RunFolder, checkpoint: Checkpoint) -> Path:
        names = {
            name: name.replace("kept.", "best.", 1) for name in checkpoint.tensors if name != "losses.first"
        }
        save(
            folder,
            replace(checkpoint, tensors={old: checkpoint.tensors[name] for name, old in names.items()}),
        )
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "save", save_as_before)
        with pytest.raises(Killed):
            train(corpus, tmp_path, checkpoint_every_steps=5)
    with pytest.raises(TrainingError, match="written by an earlier version of tenor"):
        train(corpus, tmp_path, resume=True)


def test_a_history_of_before_gains_were_measured_is_read(tmp_path: Path) -> None:
    path = train(write_corpus(tmp_path, order_decides=False), tmp_path)
    history = history_path(path)
    lines = [json.loads(line) for line in history.read_text().splitlines()]
    for line in lines:
        del line["gain"]
    history.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert [record.gain for record in read_history(history)] == [None] * len(lines)


def test_what_is_learned_of_noise_does_not_convince(tmp_path: Path) -> None:
    """The network learns its training data by heart, and some epoch looks better on validation; the start stays."""
    path = train(write_corpus(tmp_path, order_decides=False), tmp_path)
    history = read_history(history_path(path))
    monitored = [record.validation["average_precision"] or 0.0 for record in history]
    assert int(np.argmax(monitored)) > 0  # what would have been chosen
    assert history[-1].train_loss is not None and history[1].train_loss is not None
    assert history[-1].train_loss < history[1].train_loss
    assert max(record.gain for record in history) < CONVINCING
    assert read_metadata(path).training["best_epoch"] == 0
