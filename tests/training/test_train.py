from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tenor.batching import load_dataset
from tenor.corpus.importing import import_corpus
from tenor.errors import CorpusError, StorageError, TrainingError, UsageError
from tenor.evaluation import predict
from tenor.models.model_file import load_model, read_metadata
from tenor.training.checkpoint import RunFolder
from tenor.training.history import history_path, read_history
from tenor.training.train import train_model

SMALL: dict[str, Any] = {
    "hidden_size": 16,
    "num_layers": 1,
    "num_heads": 2,
    "kernel_sizes": (3,),
    "batch_size": 16,
    "learning_rate": 3e-3,
    "progress": False,
    "device": "cpu",
    "prior": "none",
}


@pytest.mark.parametrize(("level", "prior"), [("conversation", "none"), ("author", "lexical")])
def test_one_file_holds_all_that_scoring_needs(
    small_corpus: Path, tmp_path: Path, level: str, prior: str
) -> None:
    path = tmp_path / "models" / "classifier.pt"
    assert train_model(level, small_corpus, 6, model_path=path, **{**SMALL, "prior": prior}) == path
    loaded = load_model(path)
    history = read_history(history_path(path))
    best = max(history, key=lambda record: record.validation["average_precision"] or 0.0)
    assert loaded.metadata.level == level
    assert loaded.metadata.threshold == best.threshold
    assert loaded.metadata.training["best_epoch"] == best.epoch
    assert (loaded.lexical is not None) == (prior == "lexical")
    assert history[0].epoch == 0 and history[0].train_loss is None
    assert [record.epoch for record in history] == list(range(len(history)))
    assert not path.with_name("classifier.run").exists()
    # The file scores validation exactly as the best epoch did.
    scores = predict(path, small_corpus, split="validation", device="cpu").labelled()
    validation = load_dataset(small_corpus, level, "validation", labelled=True)
    assert scores.labels.tolist() == validation.labels.tolist()
    losses = np.where(scores.labels == 1, -np.log(scores.probs), -np.log1p(-scores.probs))
    assert losses.mean() == pytest.approx(best.validation_loss, rel=1e-4, abs=1e-6)


def test_scaling_is_that_of_the_training_sequences(small_corpus: Path, tmp_path: Path) -> None:
    path = train_model("author", small_corpus, 1, model_path=tmp_path / "m", **SMALL)
    view = load_dataset(small_corpus, "author", "train", labelled=True).view
    features = view.gather_features(np.arange(len(view))).astype(np.float64)
    model = load_model(path).model
    assert np.allclose(model.feature_mean.numpy(), features.mean(axis=0), atol=1e-5)
    assert np.allclose(model.feature_std.numpy(), features.std(axis=0), atol=1e-5)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(
    small_corpus: Path, tmp_path: Path
) -> None:
    paths = [
        train_model("conversation", small_corpus, 2, model_path=tmp_path / name, seed=seed, **SMALL)
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    ]
    first, second, third = (path.read_bytes() for path in paths)
    assert first == second != third


def test_training_stops_when_validation_no_longer_rises(small_corpus: Path, tmp_path: Path) -> None:
    path = train_model(
        "author", small_corpus, 60, model_path=tmp_path / "m", patience=2, **{**SMALL, "learning_rate": 1e-2}
    )
    history = read_history(history_path(path))
    best = read_metadata(path).training["best_epoch"]
    assert len(history) - 1 == best + 2 < 60


class Killed(Exception):
    """Stands for a kill right after a checkpoint."""


@pytest.mark.parametrize("scheduler", ["plateau", "cosine"])
def test_a_run_killed_at_any_step_resumes_to_the_same_bytes(
    small_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheduler: str
) -> None:
    options: dict[str, Any] = {**SMALL, "batch_size": 24, "scheduler": scheduler, "checkpoint_every_steps": 1}
    whole = train_model("conversation", small_corpus, 3, model_path=tmp_path / "whole", **options)
    steps = 3 * -(-len(load_dataset(small_corpus, "conversation", "train", labelled=True)) // 24)
    save = RunFolder.save
    for killed_at in range(1, steps):

        def save_and_die(folder: RunFolder, checkpoint: Any, step: int = killed_at) -> Path:  # noqa: ANN401
            saved = save(folder, checkpoint)
            if checkpoint.step == step:
                raise Killed
            return saved

        path = tmp_path / f"killed-{killed_at}"
        with monkeypatch.context() as patch:
            patch.setattr(RunFolder, "save", save_and_die)
            with pytest.raises(Killed):
                train_model("conversation", small_corpus, 3, model_path=path, **options)
        train_model("conversation", small_corpus, 3, model_path=path, resume=True, **options)
        assert path.read_bytes() == whole.read_bytes(), f"killed at step {killed_at}"
        records = [read_history(history_path(each)) for each in (whole, path)]
        assert [r.train_loss for r in records[0]] == [r.train_loss for r in records[1]]
    # A finished run has nothing to resume: the file stays as it is.
    before = path.stat().st_mtime_ns
    train_model("conversation", small_corpus, 3, model_path=path, resume=True, **options)
    assert path.stat().st_mtime_ns == before


def test_resuming_with_other_settings_lists_the_differences(
    small_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(folder: RunFolder, checkpoint: Any) -> Path:  # noqa: ANN401
        raise Killed

    path = tmp_path / "m"
    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "save", die)
        with pytest.raises(Killed):
            train_model("author", small_corpus, 2, model_path=path, checkpoint_every_steps=1, **SMALL)
    with pytest.raises(TrainingError, match=r"cannot resume .*num_epochs was 2, is 3; seed was 0, is 5"):
        train_model("author", small_corpus, 3, model_path=path, resume=True, seed=5, **SMALL)
    with RunFolder(tmp_path / "m.run").locked(), pytest.raises(StorageError, match="in use by another run"):
        train_model("author", small_corpus, 2, model_path=path, **SMALL)


def rewrite(source: Path, dest: Path, change: Any) -> Path:  # noqa: ANN401
    from tenor.corpus.importing import import_corpus

    records = [json.loads(line) for line in source.read_text().splitlines()]
    file = dest / "changed.jsonl"
    file.write_text("".join(json.dumps(change(index, record)) + "\n" for index, record in enumerate(records)))
    return import_corpus(file, dest / "corpus")


def test_one_class_in_training_is_refused(small_source: Path, tmp_path: Path) -> None:
    corpus = rewrite(small_source, tmp_path, lambda index, record: record | {"label": 0})
    with pytest.raises(TrainingError, match="at least two classes at level conversation, found only 0"):
        train_model("conversation", corpus, 1, model_path=tmp_path / "m", **SMALL)


def test_one_class_in_validation_trains_on_the_loss(small_source: Path, tmp_path: Path) -> None:
    def change(index: int, record: dict[str, Any]) -> dict[str, Any]:
        return record | {
            "split": ("train", "validation", "test")[index % 3],
            "label": index % 2 * (index % 3 != 1),
        }

    corpus = rewrite(small_source, tmp_path, change)
    path = train_model("conversation", corpus, 2, model_path=tmp_path / "m", **SMALL)
    history = read_history(history_path(path))
    assert all(record.validation["average_precision"] is None for record in history)
    assert read_metadata(path).training["best_epoch"] == min(history, key=lambda r: r.validation_loss).epoch


def test_several_classes_train_and_score(small_source: Path, tmp_path: Path) -> None:
    names = ("calm", "tense", "hostile")

    def change(index: int, record: dict[str, Any]) -> dict[str, Any]:
        guilty = sum(record["author_labels"].values())
        labels = {author: names[2 * label] for author, label in record["author_labels"].items()}
        return record | {"label": names[min(guilty, 2)], "author_labels": labels}

    corpus = rewrite(small_source, tmp_path, change)
    path = train_model("conversation", corpus, 20, model_path=tmp_path / "m", monitor="f1", **SMALL)
    scores = predict(path, corpus, split="all", device="cpu")
    assert scores.classes == ("calm", "hostile", "tense")
    assert scores.probs.shape == (len(scores), 3)
    assert np.allclose(scores.probs.sum(axis=1), 1)
    train = scores.in_split("train")
    most_frequent = np.bincount(train.labels).max() / len(train)
    assert (train.probs.argmax(axis=1) == train.labels).mean() > most_frequent + 0.2


def test_a_prior_needs_text(small_source: Path, tmp_path: Path) -> None:
    def change(index: int, record: dict[str, Any]) -> dict[str, Any]:
        messages = [{k: v for k, v in message.items() if k != "text"} for message in record["messages"]]
        return record | {"messages": messages}

    corpus = rewrite(small_source, tmp_path, change)
    with pytest.raises(CorpusError, match="prior='lexical' needs text, found none"):
        train_model("author", corpus, 1, model_path=tmp_path / "m", **{**SMALL, "prior": "lexical"})
    automatic = train_model("author", corpus, 1, model_path=tmp_path / "m", **{**SMALL, "prior": "auto"})
    assert load_model(automatic).lexical is None


def test_a_file_that_is_no_model_is_not_written_over(small_corpus: Path, tmp_path: Path) -> None:
    own = tmp_path / "thesis.pt"
    own.write_text("{}")
    with pytest.raises(UsageError, match="model_path: expected a new name, or a model that may be replaced"):
        train_model("author", small_corpus, 1, model_path=own, **SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.pt"] and own.read_text() == "{}"
    with pytest.raises(StorageError, match="cannot be written: File name too long"):
        train_model("author", small_corpus, 1, model_path=tmp_path / ("m" * 300), **SMALL)


def test_a_class_without_a_training_sequence_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lines = []
    for index in range(60):
        name, split = "abc"[index % 3], ("train", "validation", "test")[index // 3 % 3]
        if name != "b" or split != "train":
            messages = [{"author": f"a{index}", "features": [float(index % 3), 1.0]}]
            record = {"conversation_id": str(index), "messages": messages, "label": name, "split": split}
            lines.append(json.dumps(record) + "\n")
    (tmp_path / "chats.jsonl").write_text("".join(lines))
    corpus = import_corpus(tmp_path / "chats.jsonl", tmp_path / "corpus")
    train_model("conversation", corpus, 1, model_path=tmp_path / "m", **SMALL)
    assert "no training sequence is of class b: the model cannot learn it, nor decide for it" in caplog.text
    assert re.search(
        r"validation has only 21 groups and 7 of class [abc]: the epoch that it chooses", caplog.text
    )


def test_a_callers_random_numbers_are_the_same_with_and_without_a_training(
    small_corpus: Path, tmp_path: Path
) -> None:
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()  # noqa: NPY002 - a caller's
    train_model("author", small_corpus, 1, model_path=tmp_path / "m", **SMALL)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.random.get_state()[1].tolist() == before[1]  # noqa: NPY002


def test_a_group_with_most_of_a_class_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    lines = []
    for index in range(90):
        split = ("train", "validation", "test")[index % 3]
        group = f"big {split}" if index % 2 and index < 60 else f"g{index}"
        record = {
            "conversation_id": str(index),
            "messages": [{"author": f"a{index}", "features": [float(index % 2), 1.0]}],
            "label": index % 2,
            "group": group,
            "split": split,
        }
        lines.append(json.dumps(record) + "\n")
    (tmp_path / "chats.jsonl").write_text("".join(lines))
    corpus = import_corpus(tmp_path / "chats.jsonl", tmp_path / "corpus")
    train_model("conversation", corpus, 1, model_path=tmp_path / "m", **SMALL)
    said = [record.getMessage() for record in caplog.records if "are of one group" in record.getMessage()]
    assert len(said) == 1 and said[0].startswith(
        "10 of the 15 training sequences of class 1 are of one group:"
    )


def test_a_number_for_the_positive_class_of_three_is_refused(tmp_path: Path) -> None:
    lines = []
    for index in range(60):
        messages = [{"author": f"a{index}", "features": [float(index % 3), 1.0]}]
        record = {"conversation_id": str(index), "messages": messages, "label": "abc"[index % 3]}
        lines.append(json.dumps(record))
    (tmp_path / "chats.jsonl").write_text("\n".join(lines) + "\n")
    corpus = import_corpus(tmp_path / "chats.jsonl", tmp_path / "corpus", fractions=(0.5, 0.25, 0.25))
    with pytest.raises(UsageError, match=r"pos_weight: a number is for two classes, found 3 \(name a method"):
        train_model("conversation", corpus, model_path=tmp_path / "m", **{**SMALL, "pos_weight": 5.0})


def test_several_classes_have_no_threshold_to_choose(tmp_path: Path) -> None:
    lines = []
    for index in range(60):
        messages = [{"author": f"a{index}", "features": [float(index % 3), 1.0]}]
        lines.append(
            json.dumps({"conversation_id": str(index), "messages": messages, "label": "abc"[index % 3]})
        )
    (tmp_path / "chats.jsonl").write_text("\n".join(lines) + "\n")
    corpus = import_corpus(tmp_path / "chats.jsonl", tmp_path / "corpus", fractions=(0.5, 0.25, 0.25))
    with pytest.raises(
        UsageError, match=r"threshold: cost:1:20 is for two classes, found 3: several have no thresh"
    ):
        train_model(
            "conversation", corpus, 1, model_path=tmp_path / "m", **{**SMALL, "threshold": "cost:1:20"}
        )
    train_model("conversation", corpus, 1, model_path=tmp_path / "m", **SMALL)


def test_a_tracker_without_its_package_is_an_error(
    small_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """accelerate leaves it out in silence."""
    monkeypatch.setattr("accelerate.tracking.get_available_trackers", list)
    with pytest.raises(UsageError, match="the tracker wandb is not installed here: install its package"):
        train_model("author", small_corpus, model_path=tmp_path / "m", trackers=("wandb",), **SMALL)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_epochs": 0}, "num_epochs must be a whole number from 1 to 1000000000, not 0"),
        ({"learning_rate": 0.0}, "learning_rate must be a number above 0 and at most 1e\\+12, not 0.0"),
        ({"monitor": "luck"}, "monitor must be one of average_precision, f1, roc_auc, not 'luck'"),
        ({"pos_weight": "magic"}, "pos_weight must be a number, none, or one of balanced"),
        ({"kernel_sizes": (3, 4)}, "kernel_sizes must be odd numbers of at least 1, found 3, 4"),
        ({"trackers": ("paper",)}, "tracker: expected one of all, .*tensorboard.*, found 'paper'"),
        ({"mixed_precision": "fp8"}, "mixed_precision must be one of no, bf16, not 'fp8'"),
        ({"scheduler": "step"}, "scheduler must be one of plateau, cosine, not 'step'"),
        ({"warmup_fraction": 1.0}, "warmup_fraction must be a number at least 0 and below 1, not 1.0"),
        ({"hidden_size": 15}, "hidden_size: expected a multiple of num_heads, which is 2, found 15"),
        ({"prior": "yes"}, "prior must be 'auto', 'lexical' or 'none'"),
    ],
)
def test_wrong_arguments_are_named(
    small_corpus: Path, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        train_model("author", small_corpus, model_path=tmp_path / "m", **{**SMALL, **options})
