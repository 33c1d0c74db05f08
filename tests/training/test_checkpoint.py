from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tenor.errors import StorageError, TrainingError
from tenor.training.checkpoint import KEPT, Checkpoint, RunFolder


def make_checkpoint(step: int) -> Checkpoint:
    return Checkpoint(step, {"weight": torch.full((3,), float(step))}, {"epoch": step, "loss": 0.1 * step})


def test_the_newest_checkpoint_comes_back_and_few_stay(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.start({"seed": 0})
    assert folder.load() is None
    for step in (1, 2, 3, 10):
        folder.save(make_checkpoint(step))
    loaded = folder.load()
    assert loaded is not None
    assert (loaded.step, loaded.state) == (10, {"epoch": 10, "loss": 1.0})
    assert loaded.tensors["weight"].tolist() == [10.0, 10.0, 10.0]
    assert len([path for path in folder.path.iterdir() if path.is_dir()]) == KEPT
    assert (folder.path / "latest").read_text() == "step-00000010"


def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.start({})
    folder.save(make_checkpoint(1))
    newest = folder.save(make_checkpoint(2)) / "tensors.safetensors"
    data = bytearray(newest.read_bytes())
    data[-1] ^= 1
    newest.write_bytes(data)
    loaded = folder.load()
    assert loaded is not None and loaded.step == 1
    (folder.path / "step-00000001" / "manifest.json").write_text("{")
    with pytest.raises(TrainingError, match="all 2 checkpoints are damaged"):
        folder.load()


def test_other_settings_are_refused_one_by_one(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.start({"seed": 0, "batch_size": 4, "kernel_sizes": (3, 5)})
    folder.require_same_config({"seed": 0, "batch_size": 4, "kernel_sizes": [3, 5]})
    with pytest.raises(TrainingError, match=r"batch_size was 4, is 8; seed was 0, is 1 .*start anew"):
        folder.require_same_config({"seed": 1, "batch_size": 8, "kernel_sizes": [3, 5]})


@pytest.mark.parametrize("text", ["[1, 2]", "3", "{"])
def test_a_config_that_is_none_is_named(tmp_path: Path, text: str) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.start({"seed": 0})
    (folder.path / "config.json").write_text(text)
    with pytest.raises(TrainingError, match=r"config.json cannot be read \(start anew\)"):
        folder.require_same_config({"seed": 0})


def test_two_runs_cannot_hold_one_folder(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    with folder.locked(), pytest.raises(StorageError, match="in use by another run"), folder.locked():
        pass
    with folder.locked():  # and it is free again afterwards
        pass
    assert not folder.path.exists()  # of which nothing was used
    folder.start({"seed": 0})
    with folder.locked():
        pass
    assert folder.exists()
