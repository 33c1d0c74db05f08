"""One training run in flight: epochs, early stopping, checkpoints, and the kept weights on disk.

Several processes walk through this together: whatever could send them different ways (a signal, a clock, a folder) is
decided once for all, and what process 0 alone writes fails for all. Knows nothing of test data.
"""

from __future__ import annotations

import contextlib
import json
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from tenor.aggregation.learned import LearnedAggregation
from tenor.aggregation.trained import TRAINED, to_json
from tenor.batching import StepLoader, hold_on_gpu, make_loader, require_level
from tenor.devices import Runtime
from tenor.errors import TrainingError
from tenor.files import write_bytes
from tenor.litter import remove_litter
from tenor.logits import to_probs
from tenor.metrics.objectives import parse_rule
from tenor.metrics.scores import calculate_metrics
from tenor.metrics.thresholds import Threshold
from tenor.models.model_file import ModelMetadata, read_metadata, save_model
from tenor.models.scoring import make_scoring_loader, score_dataset
from tenor.models.sequence import SequenceClassifier
from tenor.nn.dropout import set_dropout_generator
from tenor.progress import progress_bar
from tenor.seeding import derive_seed
from tenor.training.checkpoint import Every, RunFolder, require_same
from tenor.training.evidence import CONVINCING, standardized_gain
from tenor.training.history import EpochRecord, history_path, write_history
from tenor.training.interruption import Interruption
from tenor.training.loop import StepResult, evaluate_loader, make_passes, run_steps
from tenor.training.passes import Pass
from tenor.training.preparation import TrainingData, build_criterion, build_model, describe_corpus
from tenor.training.profiles import learn_aggregation
from tenor.training.schedule import Schedule, make_schedule
from tenor.training.settings import TrainSettings
from tenor.training.state import Progress, pack_state, unpack_state
from tenor.training.thresholds import SEQUENCE, choose_thresholds

logger = logging.getLogger(__name__)


@dataclass
class Run:
    """One training run in flight: what it is made of, and how far it is."""

    settings: TrainSettings
    data: TrainingData
    runtime: Runtime
    path: Path
    folder: RunFolder
    model: SequenceClassifier
    criterion: nn.Module
    optimizer: torch.optim.Optimizer
    schedule: Schedule
    train_loader: StepLoader
    validation_loader: StepLoader
    generator: torch.Generator
    every: Every
    show: bool
    passes: Pass
    progress: Progress = field(default_factory=Progress)
    kept: dict[str, torch.Tensor] = field(default_factory=dict)
    kept_probs: npt.NDArray[np.float64] | None = None  # of validation; a resume begins without
    first_losses: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    thresholds: dict[str, Threshold] = field(default_factory=dict)
    aggregation: LearnedAggregation | None = None

    @classmethod
    def start(
        cls,
        settings: TrainSettings,
        data: TrainingData,
        runtime: Runtime,
        path: Path,
        every: Every,
        *,
        show: bool,
    ) -> Run:
        """Put the parts together, untrained."""
        model = build_model(data, settings, runtime).to(runtime.device)
        for tensor in model.state_dict().values():
            runtime.share(tensor)  # the same bits, should the machines differ
        generator = torch.Generator(runtime.device)
        generator.manual_seed(derive_seed(settings.seed, "dropout", runtime.rank))
        set_dropout_generator(model, generator)
        optimizer = torch.optim.AdamW(
            [parameter for parameter in model.parameters() if parameter.requires_grad],
            lr=settings.learning_rate,
            weight_decay=settings.weight_decay,
            fused=True,
        )
        size, rank, world_size = settings.micro_batch_messages, runtime.rank, runtime.world_size
        train_loader = make_loader(
            hold_on_gpu(data.train, runtime.device),
            settings.batch_size,
            shuffle=True,
            seed=settings.seed,
            micro_batch_messages=size,
            rank=rank,
            world_size=world_size,
            device=runtime.device,
        )
        most = 2 * train_loader.micro_batch_messages
        validation = hold_on_gpu(data.validation, runtime.device)
        validation_loader = make_scoring_loader(validation, runtime, micro_batch_messages=most)
        schedule = make_schedule(
            settings.scheduler,
            optimizer,
            peak=settings.learning_rate,
            warmup_fraction=settings.warmup_fraction,
            total_steps=settings.num_epochs * len(train_loader),
        )
        criterion = build_criterion(data.train.view.labels, data.train.num_classes, settings)
        folder = RunFolder.beside(path)
        return cls(
            settings, data, runtime, path, folder, model, criterion, optimizer, schedule,
            train_loader, validation_loader, generator, every, show, make_passes(model, criterion, runtime),
        )  # fmt: skip

    def config(self) -> dict[str, Any]:
        """All that decides the result, to the bit: what a resumed run must share."""
        return {
            **self.settings.to_json(),
            "micro_batch_messages": self.train_loader.micro_batch_messages,
            "corpus": self.data.corpus.info.fingerprint,
            "split_hash": self.data.corpus.info.split_hash,
            "classes": list(self.data.train.classes),
            "world_size": self.runtime.world_size,
            "device": self.runtime.device.type,
            "torch": torch.__version__,
        }

    def is_finished(self) -> bool:
        """Whether the model file is the end of this very run: its run folder is gone.

        Raises:
            TrainingError: it is the end of a run with other data or settings, which a resume would write over.
        """
        is_own = False
        with self.runtime.together():
            if self.runtime.is_main and not self.folder.exists() and self.path.exists():
                before = dict(read_metadata(self.path).training.get("config", {}))
                remedy = "name another model file, or train without resuming to write over this one"
                require_same(before, self.config(), f"{self.path}: that training has ended, and", remedy)
                is_own = True
        return self.runtime.any(is_own)[0]

    def open(self, resume: bool, trackers: Sequence[str]) -> None:
        """Begin anew, or take up the newest checkpoint; a run killed before its first one begins anew.

        Raises:
            TrainingError: a resume with other data or settings, or of damaged checkpoints; or checkpoints of a run that
                is not to be resumed.
            ProcessError: the processes do not see the same files.
        """
        config, runtime = self.config(), self.runtime
        runtime.require_same("corpus, setting or version", json.dumps(config, sort_keys=True))
        (goes_on,) = runtime.any(runtime.is_main and resume and self.folder.exists())
        checkpoint = None
        with runtime.together():
            if runtime.is_main:
                remove_litter(self.path.parent, self.path.name)
                remove_litter(self.path.parent, history_path(self.path).name)
            if goes_on:
                self.folder.require_same_config(config)
                checkpoint = self.folder.load()
            elif runtime.is_main:
                self.folder.require_unused()
                self.folder.start(config)
        runtime.require_same("checkpoint", "none" if checkpoint is None else str(checkpoint.step))
        if checkpoint is not None:
            self.kept, self.first_losses, self.progress = unpack_state(
                checkpoint, self.model, self.optimizer, self.schedule, self.generator, runtime
            )
            self._write_results(is_new=True)  # whatever became of the files since
        if trackers and runtime.accelerator is not None:
            runtime.accelerator.init_trackers("tenor", config=_plain(config))

    def train(self) -> None:
        """Epochs until the last, or until the validation score has not risen for `patience` of them.

        Raises:
            SystemExit: SIGTERM or SIGINT came; a checkpoint is saved.
        """
        total = self.settings.num_epochs * len(self.train_loader)
        with Interruption() as interruption, progress_bar("training", total, enabled=self.show) as advance:
            if not self.progress.history:
                self._validate(started=time.monotonic())
            advance(self.progress.global_step)
            while self.progress.epoch < self.settings.num_epochs and not self._stopped():
                self._train_epoch(interruption, advance)
            self._choose_thresholds()

    def _train_epoch(self, interruption: Interruption, advance: Callable[[int], None]) -> None:
        started, progress = time.monotonic(), self.progress
        self.train_loader.epoch = progress.epoch
        steps = run_steps(
            self.model, self.train_loader, self.criterion, self.optimizer, self.runtime,
            clip_norm=self.settings.clip_norm, start=progress.step, passes=self.passes,
        )  # fmt: skip
        with contextlib.closing(steps):
            self._take_steps(steps, interruption, advance)
        self._validate(started)

    def _take_steps(
        self, steps: Iterator[StepResult], interruption: Interruption, advance: Callable[[int], None]
    ) -> None:
        progress = self.progress
        for _ in range(progress.step, len(self.train_loader)):
            self.schedule.before_step(progress.global_step)
            result = next(steps)
            progress.add(result.loss_sum, result.count)
            advance(1)
            is_due = self.runtime.is_main and self.every.due(progress.global_step)  # one clock for all
            stops, is_due = self.runtime.any(interruption.requested, is_due)
            if stops or is_due:
                self._save_checkpoint()
            if stops:
                if self.runtime.is_main:
                    logger.warning(
                        "%s: saved step %d in %s; resume goes on from there",
                        interruption.number.name,
                        progress.global_step,
                        self.folder.path,
                    )
                raise SystemExit(interruption.exit_status)

    def _validate(self, started: float) -> None:
        """Score validation, keep the weights if they convince and are the best so far, write the history."""
        result = evaluate_loader(self.model, self.validation_loader, self.criterion, self.runtime)
        metrics, threshold = result.metrics, result.threshold
        rule = parse_rule(self.settings.threshold)
        if threshold is not None and rule.objective != "f1":
            threshold = rule.choose(result.labels, result.probs).value
            metrics = calculate_metrics(result.labels, result.probs, threshold)
        monitored = metrics[self.settings.monitor]
        # one class in validation: the loss must serve
        score = -result.mean_loss if monitored is None else monitored
        progress = self.progress
        epoch = progress.epoch + 1 if progress.history else 0
        if epoch == 0:
            self.first_losses = result.losses
        gain = standardized_gain(self.first_losses, result.losses, self.data.validation.view.group_codes)
        record = EpochRecord(
            epoch=epoch,
            learning_rate=float(self.optimizer.param_groups[0]["lr"]),
            train_loss=progress.mean_loss(),
            validation_loss=result.mean_loss,
            validation={key: value for key, value in metrics.items() if key != "threshold"},
            threshold=threshold,
            seconds=time.monotonic() - started,
            gain=gain,
        )
        convinces = self.data.start is None or gain >= CONVINCING
        is_kept = progress.close_epoch(record, score, convinces=convinces)
        if is_kept:
            self.kept = {
                name: tensor.detach().cpu().clone() for name, tensor in self.model.state_dict().items()
            }
            self.kept_probs = result.probs
        if epoch > 0:
            self.schedule.after_epoch(score)
        self._write_results(is_new=is_kept)
        self._track(record)

    def _choose_thresholds(self) -> None:
        """Take up the kept weights; put thresholds, with how sure they are, and the aggregation into the model file."""
        self.model.load_state_dict(self.kept)
        probs = self.kept_probs
        if probs is None:  # they were kept before the run was resumed
            probs = evaluate_loader(self.model, self.validation_loader, self.criterion, self.runtime).probs
        rule, seed, unlabelled = parse_rule(self.settings.threshold), self.settings.seed, self.data.others
        others = None
        if unlabelled is not None:
            others = unlabelled.view, to_probs(score_dataset(self.model, unlabelled, self.runtime))
        self.thresholds = choose_thresholds(self.data.validation.view, probs, rule, others=others, seed=seed)
        with self.runtime.together():
            if self.runtime.is_main:  # which alone writes it
                epoch = self.progress.kept_record().epoch
                self.aggregation, threshold = learn_aggregation(
                    self.data, epoch, probs, rule, others=others, seed=seed
                )
                if threshold is not None:
                    self.thresholds[TRAINED] = threshold
        self._write_results(is_new=True)

    def _track(self, record: EpochRecord) -> None:
        """Tell accelerate's trackers, where there are any."""
        if self.runtime.accelerator is None or not self.runtime.accelerator.trackers:
            return
        values = {
            "train_loss": record.train_loss,
            "validation_loss": record.validation_loss,
            "learning_rate": record.learning_rate,
        }
        values.update({f"validation_{key}": value for key, value in record.validation.items()})
        self.runtime.accelerator.log({k: v for k, v in values.items() if v is not None}, step=record.epoch)

    def _stopped(self) -> bool:
        return self.progress.epochs_without_progress >= self.settings.patience

    def _save_checkpoint(self) -> None:
        if not all(bool(torch.isfinite(parameter).all()) for parameter in self.model.parameters()):
            raise TrainingError(
                f"after step {self.progress.global_step} of the run a weight is not finite: no checkpoint is made, the "
                "last one stays (lower the learning rate)"
            )
        checkpoint = pack_state(
            self.model, self.kept, self.first_losses, self.optimizer, self.schedule, self.generator, self.progress,
            self.runtime,
        )  # fmt: skip
        with self.runtime.together():
            if self.runtime.is_main:
                self.folder.save(checkpoint)

    def _write_results(self, *, is_new: bool) -> None:
        """Write the history and, where it is new, the kept model, as drafts: it is never in memory only."""
        with self.runtime.together():
            if self.runtime.is_main:
                if is_new:
                    self._save_draft()
                write_history(history_path(self.folder.draft), self.progress.history)

    def _save_draft(self) -> None:
        """Write the kept weights; the model itself stays as it is."""
        record = self.progress.kept_record()
        lexical = None if self.data.start is None else self.data.start.lexical
        metadata = ModelMetadata(
            level=require_level(self.settings.level),
            classes=self.data.train.classes,
            threshold=record.threshold,
            threshold_objective=self.settings.threshold,
            profile_thresholds={
                name: chosen.value for name, chosen in self.thresholds.items() if name != SEQUENCE
            },
            aggregation=None if self.aggregation is None else to_json(self.aggregation),
            **describe_corpus(self.data.corpus),
            config=self.model.config(),
            training={
                "config": self.config(),
                "best_epoch": record.epoch,
                "validation": record.validation,
                "thresholds": {name: asdict(chosen) for name, chosen in self.thresholds.items()},
                "train_sequences": len(self.data.train),
                "validation_sequences": len(self.data.validation),
                "has_authors": lexical is not None and lexical.authors is not None,
                "known_words": self.data.known_words,
                "splits": self.data.split_by,
            },
        )
        now = {name: tensor.clone() for name, tensor in self.model.state_dict().items()}
        self.model.load_state_dict(self.kept)
        try:
            save_model(self.folder.draft, self.model, metadata, lexical=lexical)
        finally:
            self.model.load_state_dict(now)

    def finish(self) -> None:
        """The drafts become the model file and its history; the checkpoints of the finished run go."""
        draft = self.folder.draft
        with self.runtime.together():
            if self.runtime.is_main:
                if draft.exists():  # a run that had ended before has none
                    write_bytes(history_path(self.path), history_path(draft).read_bytes())
                    write_bytes(self.path, draft.read_bytes())
                self.folder.clear()
        if self.runtime.accelerator is not None:
            for tracker in self.runtime.accelerator.trackers:
                tracker.finish()


def _plain(config: dict[str, Any]) -> dict[str, Any]:
    """What trackers accept as hyper-parameters: numbers and strings."""
    return {
        key: value if isinstance(value, int | float | str) else str(value) for key, value in config.items()
    }
