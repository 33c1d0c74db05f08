"""A run that is killed, or whose disk is full, at any moment: nothing good is lost, and it can go on."""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from tenor.errors import StorageError
from tenor.models.model_file import load_model, read_metadata
from tenor.training.checkpoint import RunFolder
from tenor.training.history import history_path, read_history
from tenor.training.train import train_model

Launch = Callable[..., list[Any]]

SETTINGS: dict[str, Any] = {
    "num_epochs": 4,
    "batch_size": 12,
    "hidden_size": 16,
    "num_layers": 1,
    "num_heads": 2,
    "kernel_sizes": (3,),
    "prior": "none",
    "device": "cpu",
    "progress": False,
}


def load_saves() -> ModuleType:
    """interrupted_save.py, which lies beside this file."""
    path = Path(__file__).with_name("interrupted_save.py")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


saves = load_saves()


def prepare(folder: Path) -> Path:
    """A folder where steps 1 and 2 and model 2 are saved: the next checkpoint removes an old one too."""
    RunFolder(folder / "m.run").start({})
    for number in (1, 2):
        saves.save_checkpoint(folder, number)
    saves.save_small_model(folder, 2)
    return folder


def find_litter(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob(".*"))


def require_good(folder: Path, kind: str) -> None:
    """What was saved last, or what was being saved, is there and whole; and the save can be made again."""
    run, model = RunFolder(folder / "m.run"), folder / "m.pt"
    if kind == "checkpoint":
        loaded = run.load()
        assert loaded is not None and loaded.step in (2, 3)
        expected = saves.make_checkpoint(loaded.step)
        assert torch.equal(loaded.tensors["weight"], expected.tensors["weight"])
        assert loaded.state == expected.state
    else:
        assert load_model(model).metadata.training["number"] in (2, 3)
    saves.SAVES[kind](folder, 3)
    if kind == "checkpoint":
        again = run.load()
        assert again is not None and again.step == 3
        assert (run.path / "latest").read_text() == "step-00000003"
        steps = sorted(path.name for path in run.path.iterdir() if path.is_dir())
        assert steps == ["step-00000002", "step-00000003"]
    else:
        assert read_metadata(model).training["number"] == 3


@pytest.mark.parametrize("kind", ["checkpoint", "model"])
def test_fault_31_error_at_any_call_of_a_save(tmp_path: Path, kind: str) -> None:
    start = prepare(tmp_path / "start")
    undisturbed, folder = saves.Interrupter(None), shutil.copytree(start, tmp_path / "undisturbed")
    with undisturbed.watching():
        saves.SAVES[kind](folder, 3)
    assert {"write", "fsync", "replace", "open"} <= set(undisturbed.calls)
    assert kind == "model" or {"rename", "mkdir"} <= set(undisturbed.calls)
    silent = []
    for at in range(1, len(undisturbed.calls) + 1):
        folder = shutil.copytree(start, tmp_path / str(at))
        interrupter = saves.Interrupter(at)
        try:
            with interrupter.watching():
                saves.SAVES[kind](folder, 3)
            silent.append(interrupter.calls[at - 1])
        except StorageError as error:  # anything else fails the test: an OSError would reach the user bare
            assert str(error).startswith(f"cannot write {folder}") and "No space left on device" in str(error)
        assert interrupter.calls[:at] == undisturbed.calls[:at]
        assert find_litter(folder) == [], f"{interrupter.calls[-1]}, call {at}"
        require_good(folder, kind)
    # What may fail unsaid: making a folder that is there, and removing an old step once the new one is safe.
    assert silent == (["mkdir", "mkdir", "rename", "fsync"] if kind == "checkpoint" else ["mkdir"])


@pytest.mark.parametrize("kind", ["checkpoint", "model"])
def test_fault_30_sigkill_at_any_call_of_a_save(tmp_path: Path, launch: Launch, kind: str) -> None:
    start = prepare(tmp_path / "start")
    undisturbed, folder = saves.Interrupter(None), shutil.copytree(start, tmp_path / "undisturbed")
    with undisturbed.watching():
        saves.SAVES[kind](folder, 3)
    folders = [shutil.copytree(start, tmp_path / str(at + 1)) for at in range(len(undisturbed.calls))]
    for at, folder in enumerate(folders, start=1):
        (worker,) = launch(kind, folder, at, script="interrupted_save.py")
        assert worker.wait() == -9, worker.err
        with RunFolder(folder / "m.run").locked():  # the next run clears away what the killed one left
            assert find_litter(folder / "m.run") == []
            require_good(folder, kind)


def train(corpus: Path, model: Path, *more: object) -> list[str]:
    """The command of a run with SETTINGS."""
    return (
        f"train conversation {corpus} --model {model} --epochs 4 --batch-size 12 --hidden-size 16 --num-layers 1 "
        f"--num-heads 2 --kernel-sizes 3 --prior none --device cpu --no-progress --checkpoint-every-steps 1"
    ).split() + [str(value) for value in more]


@pytest.fixture(scope="module")
def whole(small_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The model file of the run that nothing disturbed."""
    path = tmp_path_factory.mktemp("whole") / "m.pt"
    return train_model("conversation", small_corpus, model_path=path, **SETTINGS).read_bytes()


def kill_at_random(launch: Launch, corpus: Path, folder: Path, whole: bytes, kills: int, seed: int) -> None:
    """Kill a run so many times, at moments drawn over its whole length, and resume it each time."""
    generator = np.random.default_rng(seed)
    path, run = folder / "m.pt", RunFolder(folder / "m.run")
    lasts, landed, finished, under_way = 0.0, 0, 0, 0
    while landed < kills or not finished:
        started = time.monotonic()
        (worker,) = launch(*train(corpus, path, "--resume"))
        disturbed = finished and landed < kills  # the first run tells how long one lasts on this machine
        moment = started + (generator.uniform(0, 1.2 * lasts) if disturbed else np.inf)
        seen = 0
        while time.monotonic() < moment and worker.process.exitcode is None:
            with contextlib.suppress(FileNotFoundError):  # not begun, or through and cleared at this moment
                seen = max(seen, int((run.path / "latest").read_text().removeprefix("step-")))
            time.sleep(0.001)
        if worker.process.exitcode is None:
            worker.kill()
            landed, under_way = landed + 1, under_way + (seen > 0)
            require_resumable(run, path, seen, whole)
            continue
        assert worker.wait() == 0, worker.err
        lasts, finished = time.monotonic() - started, finished + 1
        assert path.read_bytes() == whole
        assert sorted(left.name for left in folder.iterdir()) == ["m.history.jsonl", "m.pt"]
        path.unlink()  # so that the next run begins anew
    assert under_way >= kills // 5  # the others fell before a checkpoint


def require_resumable(run: RunFolder, path: Path, seen: int, whole: bytes) -> None:
    """No checkpoint that was once seen is lost, unless the run was through; and all files are whole."""
    if seen and not run.exists():
        assert path.read_bytes() == whole
        return
    for folder in run._step_folders():
        assert (folder / "manifest.json").exists()
    checkpoint = run.load()
    assert (0 if checkpoint is None else checkpoint.step) >= seen
    assert not path.exists()  # what is half trained stands in the run's folder
    if run.draft.exists():
        load_model(run.draft)
    if history_path(run.draft).exists():
        assert read_history(history_path(run.draft))[0].epoch == 0


def test_a_run_killed_at_random_moments_ends_with_the_same_bytes(
    small_corpus: Path, tmp_path: Path, launch: Launch, whole: bytes
) -> None:
    kill_at_random(launch, small_corpus, tmp_path, whole, kills=5, seed=0)


@pytest.mark.long
def test_a_run_killed_a_hundred_times_ends_with_the_same_bytes(
    small_corpus: Path, tmp_path: Path, launch: Launch, whole: bytes
) -> None:
    kill_at_random(launch, small_corpus, tmp_path, whole, kills=100, seed=1)


@pytest.mark.parametrize(("fault", "name", "code"), [("term", "SIGTERM", 143), ("interrupt", "SIGINT", 130)])
def test_fault_30_sigterm_saves_and_exits_143(
    small_corpus: Path, tmp_path: Path, launch: Launch, whole: bytes, fault: str, name: str, code: int
) -> None:
    path = tmp_path / "m.pt"
    command = train(small_corpus, path)
    command[command.index("--checkpoint-every-steps") :] = ["--checkpoint-every-s", "none"]
    (worker,) = launch(*command, fault=f"{fault}:7")
    assert worker.wait() == code
    assert worker.err == f"{name}: saved step 7 in {tmp_path / 'm.run'}; resume goes on from there\n"
    checkpoint = RunFolder(tmp_path / "m.run").load()
    assert checkpoint is not None and checkpoint.step == 7
    train_model("conversation", small_corpus, model_path=path, resume=True, **SETTINGS)
    assert path.read_bytes() == whole


def test_a_model_file_that_was_lost_comes_back_when_its_run_resumes(
    small_corpus: Path, tmp_path: Path, launch: Launch, whole: bytes
) -> None:
    path = tmp_path / "m.pt"
    (worker,) = launch(*train(small_corpus, path), fault="kill:18")
    assert worker.wait() == -9
    draft = RunFolder.beside(path).draft
    draft.unlink()
    history_path(draft).unlink()
    train_model("conversation", small_corpus, model_path=path, resume=True, **SETTINGS)
    assert path.read_bytes() == whole
    assert [record.epoch for record in read_history(history_path(path))] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("fault", ["term", "kill"])
def test_a_retraining_that_is_stopped_leaves_the_model_in_use_as_it_was(
    small_corpus: Path, tmp_path: Path, launch: Launch, whole: bytes, fault: str
) -> None:
    path = tmp_path / "m.pt"
    (worker,) = launch(*train(small_corpus, path, "--seed", 1))
    assert worker.wait() == 0, worker.err
    model, history = path.read_bytes(), history_path(path).read_bytes()
    assert model != whole
    (worker,) = launch(*train(small_corpus, path), fault=f"{fault}:18")
    assert worker.wait() == (143 if fault == "term" else -9)
    assert (path.read_bytes(), history_path(path).read_bytes()) == (model, history)
    draft = RunFolder.beside(path).draft
    assert len(read_history(history_path(draft))) > 1 and load_model(draft).metadata.level == "conversation"
    train_model("conversation", small_corpus, model_path=path, resume=True, **SETTINGS)
    assert path.read_bytes() == whole
    assert sorted(left.name for left in tmp_path.iterdir()) == ["m.history.jsonl", "m.pt"]


def test_an_end_that_cannot_be_written_keeps_the_old_model_and_the_draft(
    small_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: bytes
) -> None:
    def fail(path: Path, data: bytes) -> None:
        raise StorageError(f"cannot write {path}: No space left on device")

    path = tmp_path / "m.pt"
    train_model("conversation", small_corpus, model_path=path, seed=1, **SETTINGS)
    model = path.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr("tenor.training.run.write_bytes", fail)
        with pytest.raises(StorageError, match="No space left"):
            train_model("conversation", small_corpus, model_path=path, **SETTINGS)
    assert path.read_bytes() == model
    assert RunFolder.beside(path).draft.read_bytes() == whole
    train_model("conversation", small_corpus, model_path=path, resume=True, **SETTINGS)
    assert path.read_bytes() == whole


def test_a_run_killed_while_its_end_was_tidied_is_finished(
    small_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: bytes
) -> None:
    def die(path: Path, **options: object) -> None:
        raise KeyboardInterrupt

    path = tmp_path / "m.pt"
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", die)  # after the folder's name is gone, before its files are
        with pytest.raises(KeyboardInterrupt):
            train_model("conversation", small_corpus, model_path=path, **SETTINGS)
    assert [left.name[:7] for left in tmp_path.iterdir() if left.is_dir()] == [".m.run."]
    before = path.stat().st_mtime_ns
    train_model("conversation", small_corpus, model_path=path, resume=True, **SETTINGS)
    assert path.stat().st_mtime_ns == before and path.read_bytes() == whole
    assert sorted(left.name for left in tmp_path.iterdir()) == ["m.history.jsonl", "m.pt"]


def test_a_damaged_newer_checkpoint_is_removed_once_a_good_one_is_saved(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "m.run")
    run.start({})
    for step in (10, 20, 30):
        run.save(saves.make_checkpoint(step))
    (run.path / "step-00000030" / "tensors.safetensors").write_bytes(b"")
    loaded = run.load()
    assert loaded is not None and loaded.step == 20
    run.save(saves.make_checkpoint(25))
    assert sorted(path.name for path in run.path.iterdir() if path.is_dir()) == [
        "step-00000020",
        "step-00000025",
    ]


def test_fault_31_disk_full_keeps_the_last_checkpoint(
    small_corpus: Path, tmp_path: Path, whole: bytes
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("no right to mount a small disk")
    try:
        path = disk / "m.pt"
        with pytest.raises(StorageError, match=r"cannot write .*step-\d+: No space left on device"):
            train_model("conversation", small_corpus, model_path=path, checkpoint_every_steps=1, **SETTINGS)
        kept = RunFolder(disk / "m.run").load()
        assert kept is not None
        assert find_litter(disk) == []
        load_model(RunFolder.beside(path).draft)
        subprocess.run(["mount", "-o", "remount,size=4m", str(disk)], check=True)
        train_model("conversation", small_corpus, model_path=path, resume=True, **SETTINGS)
        assert path.read_bytes() == whole
    finally:
        subprocess.run(["umount", str(disk)], check=True)
