"""The faults of training and evaluation on the house's list, each by its number.

30, 31 and 33 need real processes and broken disks: they stand in test_crash_safety.py and test_processes.py.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from torch import nn

from tenor.batching import load_dataset, make_loader
from tenor.corpus.copies import require_no_copies
from tenor.corpus.importing import import_corpus
from tenor.errors import CorpusError, SplitError, StorageError, TrainingError, UsageError
from tenor.evaluation import test_model as evaluate_model
from tenor.metrics.scores import explain_undefined
from tenor.models.model_file import read_metadata
from tenor.models.sequence import SequenceClassifier
from tenor.training.checkpoint import RunFolder
from tenor.training.history import history_path, read_history
from tenor.training.loop import evaluate
from tenor.training.train import train_model

SETTINGS: dict[str, Any] = {
    "num_epochs": 2,
    "batch_size": 16,
    "hidden_size": 16,
    "num_layers": 1,
    "num_heads": 2,
    "kernel_sizes": (3,),
    "learning_rate": 3e-3,
    "prior": "none",
    "device": "cpu",
    "progress": False,
}

Record = dict[str, Any]
Change = Callable[[int, Record], Record]


@pytest.fixture
def import_changed(small_source: Path, tmp_path: Path) -> Callable[[Change], Path]:
    """A function (change) that imports the small source with each of its records changed."""

    def run(change: Change) -> Path:
        records = [json.loads(line) for line in small_source.read_text().splitlines()]
        file = tmp_path / "changed.jsonl"
        file.write_text("".join(json.dumps(change(*item)) + "\n" for item in enumerate(records)))
        return import_corpus(file, tmp_path / "corpus", replace=True)

    return run


def refuse(
    error: type[Exception], pattern: str, corpus: Path, tmp_path: Path, level: str = "conversation"
) -> None:
    """Training is refused before anything is fitted or written."""
    with pytest.raises(error, match=pattern):
        train_model(level, corpus, model_path=tmp_path / "out" / "m.pt", **SETTINGS)
    assert not (tmp_path / "out").exists()


def split_by_number(index: int, record: Record) -> Record:
    return record | {"split": ("train", "validation", "test")[index % 3]}


def test_fault_25_one_class_in_train(import_changed: Callable[[Change], Path], tmp_path: Path) -> None:
    corpus = import_changed(
        lambda index, record: split_by_number(index, record) | {"label": int(index % 3 > 0)}
    )
    pattern = (
        rf"^{re.escape(str(corpus))}: training needs labels of at least two classes at level conversation, "
        r"found only 0, 27 times \(label more"
    )
    refuse(TrainingError, pattern, corpus, tmp_path)


def test_fault_25_one_class_in_validation_and_test(
    import_changed: Callable[[Change], Path], tmp_path: Path
) -> None:
    corpus = import_changed(
        lambda index, record: split_by_number(index, record) | {"label": int(index % 6 == 0)}
    )
    path = train_model("conversation", corpus, model_path=tmp_path / "m.pt", **SETTINGS)
    for record in read_history(history_path(path)):
        assert record.validation["roc_auc"] is None and record.validation["average_precision"] is None
        assert record.validation["accuracy"] is not None
    metrics = evaluate_model("conversation", path, corpus, device="cpu")
    assert (metrics["count"], metrics["positives"]) == (26, 0)
    reasons = explain_undefined({key: value for key, value in metrics.items() if key != "test_reads"})
    assert reasons["roc_auc"] == reasons["average_precision"] == "no row is labelled positive"


def test_fault_26_fewer_groups_than_splits(import_changed: Callable[[Change], Path], tmp_path: Path) -> None:
    corpus = import_changed(lambda index, record: record | {"group": "site"})
    pattern = (
        rf"^{re.escape(str(corpus))}: split (train|validation) is empty at level conversation: sequences are "
        r"train (0|80), validation (0|80), test (0|80), in 1 group \(import again"
    )
    refuse(SplitError, pattern, corpus, tmp_path)


@pytest.mark.parametrize("empty", ["train", "validation"])
def test_fault_26_empty_split(import_changed: Callable[[Change], Path], tmp_path: Path, empty: str) -> None:
    corpus = import_changed(
        lambda index, record: (
            record | {"split": "test" if index % 2 else {"train": "validation"}.get(empty, "train")}
        )
    )
    pattern = (
        rf"split {empty} is empty at level conversation: .* \(the source gives the splits: give {empty} to some "
        "of its groups there, or leave the splits out"
    )
    refuse(SplitError, pattern, corpus, tmp_path)


def test_fault_26_empty_test_split_is_refused_where_it_is_read(
    import_changed: Callable[[Change], Path], tmp_path: Path
) -> None:
    corpus = import_changed(lambda index, record: record | {"split": "train" if index % 4 else "validation"})
    path = train_model("conversation", corpus, model_path=tmp_path / "m.pt", **SETTINGS)
    with pytest.raises(SplitError, match="split test is empty at level conversation: sequences are train 60"):
        evaluate_model("conversation", path, corpus, device="cpu")


def test_fault_27_group_in_two_splits(import_changed: Callable[[Change], Path], tmp_path: Path) -> None:
    corpus = import_changed(
        lambda index, record: split_by_number(index, record) | {"group": f"site-{index % 20}"}
    )
    pattern = (
        r"20 groups stand in more than one split at level conversation: 'site-\d+' in train and validation and "
        r"test; .*; .*, \.\.\. \(import again"
    )
    refuse(SplitError, pattern, corpus, tmp_path)


def test_fault_27_author_in_two_splits(import_changed: Callable[[Change], Path], tmp_path: Path) -> None:
    corpus = import_changed(split_by_number)
    refuse(
        SplitError,
        "groups stand in more than one split at level author: 'author-",
        corpus,
        tmp_path,
        "author",
    )


def copy_texts(index: int, record: dict[str, Any]) -> dict[str, Any]:
    """Conversations 1 and 2 say the same, but for one word of 80, in validation and in train."""
    record = split_by_number(index, record) | {"group": f"site-{index}"}
    if index not in (0, 1):
        return record
    words = [f"Word{number}" if index == 0 or number != 3 else "other" for number in range(80)]
    texts = [" ".join(words), *[""] * len(record["messages"])]
    messages = [message | {"text": text} for message, text in zip(record["messages"], texts, strict=False)]
    return record | {"split": "train" if index else "validation", "messages": messages}


COPIES = (
    r"1 sequences of validation have a near-duplicate in train at level conversation \(similarity 0.8 or more\): "
    r"'conversation-0' and 'conversation-1' \(0.9\d\) \(remove the copies, or give copies one named group\); or train "
    r"all the same with copies='warn'"
)


def test_fault_27_near_duplicate_in_two_splits(
    import_changed: Callable[[Change], Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    corpus = import_changed(copy_texts)
    refuse(SplitError, COPIES, corpus, tmp_path)
    train_model("conversation", corpus, model_path=tmp_path / "m.pt", copies="warn", **SETTINGS)
    assert "have a near-duplicate in train" in caplog.text
    caplog.clear()
    train_model("conversation", corpus, model_path=tmp_path / "m.pt", copies="ignore", **SETTINGS)
    assert "near-duplicate" not in caplog.text
    with pytest.raises(UsageError, match="copies must be one of refuse, warn, ignore, not 'maybe'"):
        train_model("conversation", corpus, model_path=tmp_path / "m.pt", copies="maybe", **SETTINGS)  # type: ignore[arg-type]


@pytest.mark.parametrize("why", ["many messages", "no datasketch"])
def test_fault_27_equal_texts_where_similar_ones_cannot_be_found(
    import_changed: Callable[[Change], Path],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    why: str,
) -> None:
    if why == "many messages":
        monkeypatch.setattr("tenor.corpus.copies.MAX_MESSAGES", 10)
        reason = r"two splits only, not for similar ones: [\d,]+ messages \(tenor audit "
    else:
        monkeypatch.setitem(sys.modules, "datasketch", None)
        reason = r"this needs the package datasketch: pip install 'tenor\[audit\]'"
    similar = load_dataset(import_changed(copy_texts), "conversation", labelled=True).view
    require_no_copies(similar)
    assert re.search(reason, caplog.text)

    def copy_exactly(index: int, record: dict[str, Any]) -> dict[str, Any]:
        record = copy_texts(index, record)
        for message in record["messages"] if index == 1 else ():
            message["text"] = message["text"].replace("other", "WORD3,")
        return record

    equal = load_dataset(import_changed(copy_exactly), "conversation", labelled=True).view
    with pytest.raises(SplitError, match=r"'conversation-0' and 'conversation-1' \(1.00\)"):
        require_no_copies(equal)


def test_fault_28_loss_not_finite(small_corpus: Path, tmp_path: Path) -> None:
    path = tmp_path / "m.pt"
    settings = SETTINGS | {"learning_rate": 1e12, "checkpoint_every_steps": 1}
    with pytest.raises(
        TrainingError,
        match=r"^step \d: the (loss|gradient's norm) is (nan|inf);.* sequences: conversation-\d+",
    ):
        train_model("conversation", small_corpus, model_path=path, **settings)
    checkpoint = RunFolder(tmp_path / "m.run").load()
    assert checkpoint is not None
    assert all(bool(torch.isfinite(tensor).all()) for tensor in checkpoint.tensors.values())


def test_fault_28_score_not_finite(small_corpus: Path) -> None:
    dataset = load_dataset(small_corpus, "conversation", "validation")
    model = SequenceClassifier(8, hidden_size=8, num_layers=1, num_heads=2, kernel_sizes=(3,))
    with torch.no_grad():
        model.head[-1].bias.fill_(float("inf"))
    with pytest.raises(
        TrainingError, match=r"a validation score is not finite; sequences: (conversation-\d+, ){4}.*\(lower"
    ):
        evaluate(model, make_loader(dataset), nn.BCEWithLogitsLoss(), "cpu")


def test_fault_29_two_runs_into_one_folder(small_corpus: Path, tmp_path: Path) -> None:
    path = tmp_path / "m.pt"
    run = RunFolder(tmp_path / "m.run")
    with run.locked():
        run.start({"seed": 3})
        for resume in (False, True):
            with pytest.raises(
                StorageError, match=r"m\.run is in use by another run: wait for it, or choose"
            ):
                train_model("conversation", small_corpus, model_path=path, resume=resume, **SETTINGS)
        run.require_same_config({"seed": 3})  # the other run's folder is as it was
    assert not path.exists()


class Killed(Exception):
    """Stands for a kill right after a checkpoint."""


@pytest.fixture
def killed_run(small_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The model path of a run that was killed after its second step."""
    save = RunFolder.save

    def save_and_die(folder: RunFolder, checkpoint: Any) -> None:  # noqa: ANN401
        save(folder, checkpoint)
        if checkpoint.step == 2:
            raise Killed

    path = tmp_path / "m.pt"
    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "save", save_and_die)
        with pytest.raises(Killed):
            train_model("conversation", small_corpus, model_path=path, checkpoint_every_steps=1, **SETTINGS)
    return path


def list_files(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("changes", "differences"),
    [
        ({"seed": 5, "dropout": 0.1}, "dropout was 0.3, is 0.1; seed was 0, is 5"),
        ({"batch_size": 8}, "batch_size was 16, is 8"),
        ({"kernel_sizes": (3, 5)}, r"kernel_sizes was 3, is 3, 5"),
        ({"clip_norm": None}, "clip_norm was 1.0, is none"),
    ],
)
def test_fault_32_other_settings(
    small_corpus: Path, killed_run: Path, changes: dict[str, Any], differences: str
) -> None:
    before = list_files(killed_run.parent)
    with pytest.raises(TrainingError, match=rf"cannot resume .*m\.run: {differences} \(use the run's own"):
        train_model("conversation", small_corpus, model_path=killed_run, resume=True, **SETTINGS | changes)
    assert list_files(killed_run.parent) == before


def test_fault_32_not_resumed(small_corpus: Path, killed_run: Path) -> None:
    """What an interrupted run has saved is not forgotten unasked."""
    before = list_files(killed_run.parent)
    with pytest.raises(
        TrainingError, match=r"m\.run holds checkpoints .* interrupted \(--resume goes on with it"
    ):
        train_model("conversation", small_corpus, model_path=killed_run, **SETTINGS)
    assert list_files(killed_run.parent) == before


def test_fault_32_other_settings_than_those_of_a_run_that_has_ended(
    small_corpus: Path, killed_run: Path
) -> None:
    train_model("conversation", small_corpus, model_path=killed_run, resume=True, **SETTINGS)
    before = list_files(killed_run.parent)
    with pytest.raises(
        TrainingError, match=r"cannot resume .*: that training has ended, and seed was 0, is 5"
    ):
        train_model(
            "conversation", small_corpus, model_path=killed_run, resume=True, **SETTINGS | {"seed": 5}
        )
    assert list_files(killed_run.parent).items() >= before.items()
    assert list_files(killed_run.parent) == before  # not even a lock is left
    assert not killed_run.with_name("m.run").exists()
    train_model("conversation", small_corpus, model_path=killed_run, **SETTINGS | {"seed": 5})
    assert killed_run.read_bytes() != before[str(killed_run)]


def test_fault_32_other_data(killed_run: Path, import_changed: Callable[[Change], Path]) -> None:
    corpus = import_changed(lambda index, record: record | {"label": 1 - record["label"]})
    with pytest.raises(
        TrainingError, match=r"cannot resume .*m\.run: corpus was [0-9a-f]{64}, is [0-9a-f]{64} \(use"
    ):
        train_model("conversation", corpus, model_path=killed_run, resume=True, **SETTINGS)


def test_a_restart_forgets_an_interrupted_run(
    small_corpus: Path, killed_run: Path, tmp_path: Path, import_changed: Callable[[Change], Path]
) -> None:
    """The way out that both errors name, where the corpus has changed since the run was killed."""
    corpus = import_changed(lambda index, record: record | {"label": 1 - record["label"]})
    for resume, message in (
        (False, "begins anew"),
        (True, "start anew: remove that folder, as a training does"),
    ):
        with pytest.raises(TrainingError, match=f"{message}.*--restart|--restart.*{message}"):
            train_model("conversation", corpus, model_path=killed_run, resume=resume, **SETTINGS)
    with pytest.raises(UsageError, match="expected one of resume, .* and restart, .* found both"):
        train_model("conversation", corpus, model_path=killed_run, resume=True, restart=True, **SETTINGS)
    before = list_files(killed_run.with_name("m.run"))
    with pytest.raises(CorpusError):  # which is found out before anything is forgotten
        train_model("conversation", tmp_path / "none", model_path=killed_run, restart=True, **SETTINGS)
    assert list_files(killed_run.with_name("m.run")) == before
    train_model("conversation", corpus, model_path=killed_run, restart=True, **SETTINGS)
    plain = train_model("conversation", corpus, model_path=tmp_path / "plain" / "m.pt", **SETTINGS)
    assert killed_run.read_bytes() == plain.read_bytes()
    assert not killed_run.with_name("m.run").exists()
    train_model(
        "conversation", corpus, model_path=plain, restart=True, **SETTINGS
    )  # of none there is nothing to forget


def test_the_command_restarts(small_corpus: Path, killed_run: Path, run_cli: Callable[..., Any]) -> None:
    command = (
        *(
            "train",
            "conversation",
            small_corpus,
            "--model",
            killed_run,
            "--epochs",
            "1",
            "--hidden-size",
            "8",
        ),
        *("--num-heads", "2", "--prior", "none", "--copies", "ignore", "--device", "cpu"),
    )
    done = run_cli(*command)
    assert done.code == 1 and "--restart, restart=True, begins anew" in done.err
    done = run_cli(*command, "--restart", "--resume")
    assert done.code == 2 and "expected one of resume" in done.err
    assert run_cli(*command, "--restart").code == 0
    assert not killed_run.with_name("m.run").exists()


def test_fault_32_other_level(small_corpus: Path, killed_run: Path) -> None:
    with pytest.raises(TrainingError, match="level was conversation, is author"):
        train_model("author", small_corpus, model_path=killed_run, resume=True, **SETTINGS)


def test_a_damaged_configuration_is_an_error(small_corpus: Path, killed_run: Path) -> None:
    (killed_run.with_name("m.run") / "config.json").write_text("{")
    with pytest.raises(TrainingError, match=r"cannot resume .*: config.json cannot be read \(start anew\)"):
        train_model("conversation", small_corpus, model_path=killed_run, resume=True, **SETTINGS)


def test_a_place_that_cannot_be_written_is_an_error(small_corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"cannot write .*m\.run: Not a directory"):
        train_model("conversation", small_corpus, model_path=tmp_path / "file" / "m.pt", **SETTINGS)


def test_the_model_does_not_change_when_test_rows_change(
    small_source: Path, tmp_path: Path, import_changed: Callable[[Change], Path]
) -> None:
    def change(index: int, record: Record) -> Record:
        record = split_by_number(index, record)
        if index % 3 < 2:
            return record
        messages = [
            message | {"text": "other words", "features": [-9.0] * len(message["features"])}
            for message in record["messages"]
        ]
        return record | {"label": 1 - record["label"], "messages": messages[::-1]}

    settings = SETTINGS | {"prior": "auto"}
    plain = import_changed(split_by_number).rename(tmp_path / "plain")
    models = [
        train_model("conversation", corpus, model_path=tmp_path / f"{name}.pt", **settings)
        for name, corpus in (("plain", plain), ("changed", import_changed(change)))
    ]
    first, second = (load_file(path) for path in models)
    assert first.keys() == second.keys()
    assert all(np.array_equal(first[name], second[name]) for name in first)
    thresholds = [read_metadata(path).threshold for path in models]
    assert thresholds[0] == thresholds[1]
