"""Checkpoints: a run folder from which a killed run goes on to the same bits.

A run folder holds step folders, each published by rename with a manifest of hashes, and the file ``latest``, which is
moved last. State is tensors (safetensors) and JSON only. Knows nothing of what the tensors mean.

::

    RUN/config.json            what the run was started with
    RUN/step-00000120/         tensors.safetensors, state.json, manifest.json
    RUN/latest                 "step-00000120"
    RUN/lock                   held by the run
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import logging
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save

from tenor.errors import StorageError, TrainingError, describe_os_error, describe_value
from tenor.files import publish_folder, remove_folder, write_bytes, write_json
from tenor.litter import remove_litter

logger = logging.getLogger(__name__)

#: Good checkpoints that stay: the newest, and one more in case its disk sectors go bad.
KEPT = 2

#: Keys of a configuration that the first versions did not write.
_LATER_KEYS = ("classes",)

#: How to begin anew; a tuning, whose folder is one of these too, has no option for it.
_ANEW = "remove that folder, as a training does with --restart, restart=True"

_TENSORS, _STATE = "tensors.safetensors", "state.json"
_STEP_FOLDER = re.compile(r"step-\d{8,}")


@dataclass(frozen=True)
class Checkpoint:
    """Everything that a run needs to go on.

    Attributes:
        step: optimizer steps taken since the run began.
        tensors: weights, optimizer moments, states of random generators.
        state: counters and scores, JSON-ready.
    """

    step: int
    tensors: dict[str, torch.Tensor]
    state: dict[str, Any]


@dataclass
class Every:
    """When a checkpoint is due: after so many steps, or so many seconds."""

    steps: int | None
    seconds: float | None
    last: float = field(default_factory=time.monotonic)

    def due(self, step: int) -> bool:
        """Whether to save after global step `step`; the clock restarts when so."""
        by_steps = self.steps is not None and step % self.steps == 0
        by_time = self.seconds is not None and time.monotonic() - self.last >= self.seconds
        if by_steps or by_time:
            self.last = time.monotonic()
            return True
        return False


@dataclass(frozen=True)
class RunFolder:
    """Where one run keeps its checkpoints.

    Attributes:
        path: the folder.
    """

    path: Path

    @classmethod
    def beside(cls, model_path: Path) -> RunFolder:
        """That of the run that writes a model file."""
        return cls(model_path.with_name(model_path.stem + ".run"))

    @property
    def draft(self) -> Path:
        """The model as it is kept so far, its history beside it; the file at the model's path stays until the end."""
        return self.path / "model.safetensors"

    def exists(self) -> bool:
        """Whether a run began here and has not finished."""
        return (self.path / "config.json").exists()

    @contextlib.contextmanager
    def locked(self, enabled: bool = True) -> Iterator[None]:
        """Hold the folder for this run; of several processes only one does (`enabled`).

        Raises:
            StorageError: another run holds it.
        """
        if not enabled:
            yield
            return
        with contextlib.ExitStack() as stack:
            try:
                self.path.mkdir(parents=True, exist_ok=True)
                handle = stack.enter_context((self.path / "lock").open("w"))
            except OSError as error:
                raise StorageError(f"cannot write {self.path}: {describe_os_error(error)}") from error
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if not os.path.samestat(os.fstat(handle.fileno()), os.stat(self.path / "lock")):
                    raise BlockingIOError("the run that held it has just finished and taken the folder away")
            except OSError as error:
                raise StorageError(
                    f"{self.path} is in use by another run: wait for it, or choose another model path"
                ) from error
            remove_litter(self.path)
            remove_litter(self.path.parent, self.path.name)
            stack.callback(self._remove_unused)
            yield

    def _remove_unused(self) -> None:
        """Take away a folder that holds the lock alone, so that a run that is refused leaves nothing behind.

        Whoever waits at the lock meanwhile finds its file gone, as after a run that has finished.
        """
        with contextlib.suppress(OSError):  # the run has finished and taken it away, or it holds something
            if [entry.name for entry in self.path.iterdir()] == ["lock"]:
                (self.path / "lock").unlink()
                self.path.rmdir()

    def require_unused(self) -> None:
        """Refuse to forget what an interrupted training has saved.

        Raises:
            TrainingError: there is a checkpoint.
        """
        if self.exists() and self._step_folders():
            raise TrainingError(
                f"{self.path} holds checkpoints of a training that was interrupted (--resume goes on with it, "
                "resume=True in Python; --restart, restart=True, begins anew, as whoever removes that folder does; or "
                "name another model file)"
            )

    def forget(self) -> None:
        """Forget what an interrupted run has saved, its checkpoints oldest first.

        Raises:
            StorageError: something cannot be removed.
        """
        try:
            for name in ("latest", "config.json"):
                (self.path / name).unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(f"cannot write {self.path}: {describe_os_error(error)}") from error
        for folder in self._step_folders():
            remove_folder(folder)

    def start(self, config: dict[str, Any]) -> None:
        """Begin anew: forget what is there, then write down the configuration.

        Raises:
            StorageError: something cannot be removed or written.
        """
        self.forget()
        write_json(self.path / "config.json", config)

    def require_same_config(self, config: dict[str, Any]) -> None:
        """Refuse to go on with other data, settings or processes.

        Raises:
            TrainingError: the differences, one by one.
        """
        try:
            before = dict(json.loads((self.path / "config.json").read_text()))
        except (OSError, ValueError, TypeError) as error:
            raise TrainingError(
                f"cannot resume {self.path}: config.json cannot be read (start anew): {_ANEW}"
            ) from error
        remedy = f"use the run's own data and settings, or start anew: {_ANEW}"
        require_same(before, config, f"{self.path}:", remedy)

    def save(self, checkpoint: Checkpoint) -> Path:
        """Publish a checkpoint; older ones beyond the kept, and damaged newer ones, are removed only afterwards.

        Raises:
            StorageError: the disk is full or not writable; the last good checkpoint stays.
        """
        name = f"step-{checkpoint.step:08d}"
        with publish_folder(self.path / name, replace=True) as folder:
            data = {
                _TENSORS: save(checkpoint.tensors),
                _STATE: json.dumps(checkpoint.state, allow_nan=False).encode(),
            }
            files = {file: hashlib.sha256(each).hexdigest() for file, each in data.items()}
            manifest = json.dumps({"step": checkpoint.step, "files": files}).encode()
            for file, each in {**data, "manifest.json": manifest}.items():
                (folder / file).write_bytes(each)
        write_bytes(self.path / "latest", name.encode())
        folders = self._step_folders()
        newest = folders.index(self.path / name)
        for old in folders[: max(0, newest + 1 - KEPT)] + folders[newest + 1 :]:
            with contextlib.suppress(StorageError):  # the new one is safe: what is left over does no harm
                remove_folder(old)
        return self.path / name

    def load(self) -> Checkpoint | None:
        """The newest checkpoint whose hashes are right; None when there is none.

        Raises:
            TrainingError: there are checkpoints, but all are damaged.
        """
        folders = self._step_folders()
        for folder in reversed(folders):
            checkpoint = _read_checkpoint(folder)
            if checkpoint is not None:
                return checkpoint
            logger.warning("%s is damaged; trying the one before", folder)
        if folders:
            raise TrainingError(
                f"{self.path}: all {len(folders)} checkpoints are damaged (start anew: {_ANEW})"
            )
        return None

    def clear(self) -> None:
        """Remove the run folder of a finished run, all at once: its absence is the mark of the end.

        Raises:
            StorageError: it cannot be moved away.
        """
        remove_folder(self.path)

    def _step_folders(self) -> list[Path]:
        """Published step folders, oldest first."""
        if not self.path.exists():
            return []
        return sorted(folder for folder in self.path.iterdir() if _STEP_FOLDER.fullmatch(folder.name))


def _read_checkpoint(folder: Path) -> Checkpoint | None:
    try:
        manifest = json.loads((folder / "manifest.json").read_text())
        data = {file: (folder / file).read_bytes() for file in (_TENSORS, _STATE)}
        if {file: hashlib.sha256(each).hexdigest() for file, each in data.items()} != manifest["files"]:
            return None
        return Checkpoint(manifest["step"], load(data[_TENSORS]), json.loads(data[_STATE]))
    except (OSError, ValueError, KeyError):
        return None


def require_same(before: dict[str, Any], config: dict[str, Any], what: str, remedy: str) -> None:
    """Refuse to resume `what` where its configuration was another.

    Raises:
        TrainingError: the differences, one by one, and the remedy.
    """
    now = json.loads(json.dumps(config))  # tuples become lists, as in files
    before = {**{key: now[key] for key in _LATER_KEYS if key in now}, **before}
    different = [
        f"{key} was {describe_value(before.get(key))}, is {describe_value(now.get(key))}"
        for key in sorted(before.keys() | now.keys())
        if before.get(key) != now.get(key)
    ]
    if different:
        raise TrainingError(f"cannot resume {what} {'; '.join(different)} ({remedy})")
