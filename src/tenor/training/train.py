"""Train a sequence classifier: epochs, early stopping, checkpoints, one model file at the end.

The flow: prepare (audit, scale, prior) -> epochs (``loop``) -> best weights -> model file. Knows nothing of test data:
no function here reads the test split.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tenor.batching import MAX_PADDED_MESSAGES, StepLoader, make_loader, require_level
from tenor.devices import Runtime, start_runtime
from tenor.errors import UsageError
from tenor.models.model_file import ModelMetadata, read_metadata, save_model
from tenor.models.scoring import SCORING_WINDOW
from tenor.models.sequence import SequenceClassifier
from tenor.nn.dropout import set_dropout_generator
from tenor.progress import progress_bar
from tenor.seeding import derive_seed
from tenor.training.checkpoint import Checkpoint, RunFolder
from tenor.training.history import EpochRecord, history_path, write_history
from tenor.training.interruption import Interruption
from tenor.training.loop import evaluate_loader, run_steps
from tenor.training.preparation import TrainingData, build_criterion, build_model, prepare_data
from tenor.training.schedule import Schedule, make_schedule
from tenor.training.settings import TrainSettings
from tenor.training.state import Progress, pack_state, unpack_state

logger = logging.getLogger(__name__)


def train_model(
    model_type: str,
    dataset_path: str | Path,
    num_epochs: int = 50,
    batch_size: int = 256,
    learning_rate: float = 1e-4,
    *,
    model_path: str | Path | None = None,
    hidden_size: int = 256,
    num_layers: int = 2,
    num_heads: int = 8,
    dropout: float = 0.3,
    kernel_sizes: Sequence[int] = (3, 5, 7),
    pos_weight: str | float | None = None,
    beta: float = 0.999,
    gamma: float = 2.0,
    scheduler: str = "plateau",
    warmup_fraction: float = 0.1,
    weight_decay: float = 0.01,
    clip_norm: float | None = 1.0,
    patience: int = 10,
    monitor: str = "average_precision",
    prior: str = "auto",
    seed: int = 0,
    device: str | None = None,
    mixed_precision: str = "no",
    max_padded_messages: int = MAX_PADDED_MESSAGES,
    checkpoint_every_steps: int | None = None,
    checkpoint_every_s: float | None = 300.0,
    resume: bool = False,
    trackers: Sequence[str] = (),
    progress: bool = True,
) -> Path:
    """Train a classifier of conversations or of authors in them, and write one model file.

    Args:
        model_type: ``"conversation"`` or ``"author"``.
        dataset_path: an analyzed corpus with splits.
        num_epochs: passes over the training sequences, at most.
        batch_size: sequences an optimizer step.
        learning_rate: AdamW's, at its peak.
        model_path: where the model is written, always as safetensors whatever the name; default
            ``models/<model_type>_classifier.pt``. The history stands beside it (``.history.jsonl``).
        hidden_size: width of the SequenceClassifier.
        num_layers: its transformer blocks.
        num_heads: its attention heads.
        dropout: its rate.
        kernel_sizes: of its convolutions, in messages.
        pos_weight: a method of estimate_pos_weight, a number, or None for no weighting (the default: probabilities stay
            calibrated, and the threshold from validation looks after the imbalance).
        beta: parameter of the method ``effective``.
        gamma: parameter of the method ``focal``.
        scheduler: ``"plateau"`` (ReduceLROnPlateau on the monitored score) or ``"cosine"`` (warm-up and cosine).
        warmup_fraction: of all steps, for ``"cosine"``.
        weight_decay: AdamW's.
        clip_norm: the gradient's largest 2-norm; None = not clipped.
        patience: epochs without a better validation score before training stops.
        monitor: the validation score that chooses the best epoch: ``average_precision``, ``f1`` or ``roc_auc``.
        prior: ``"lexical"`` adds the logit of an n-gram model, which the network then corrects; ``"none"``
            leaves it out, ``"auto"`` uses it where the corpus has text.
        seed: the run's one seed: weights, dropout, order.
        device: ``"cpu"``, ``"cuda"``, ...; None = the best there is.
        mixed_precision: ``"no"`` or ``"bf16"``.
        max_padded_messages: bound of a micro-batch's padded size.
        checkpoint_every_steps: save a checkpoint after so many optimizer steps.
        checkpoint_every_s: save a checkpoint after so many seconds; None = never by time.
        resume: go on from the newest checkpoint of an interrupted run, to the same bits.
        trackers: names of accelerate's trackers, such as ``"tensorboard"``.
        progress: show bars.

    Returns:
        The path of the model file.

    Raises:
        CorpusError: the corpus has no features or no labels.
        SplitError: a missing split, or a group in two of them.
        TrainingError: one class only, a loss that is not finite, or a resume with other data or settings.
        UsageError: an argument outside its values.
        StorageError: a file cannot be written, or another run uses the folder.
    """
    settings = TrainSettings(
        level=model_type,
        num_epochs=num_epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        hidden_size=hidden_size,
        num_layers=num_layers,
        num_heads=num_heads,
        dropout=dropout,
        kernel_sizes=tuple(kernel_sizes),
        pos_weight=pos_weight,
        beta=beta,
        gamma=gamma,
        scheduler=scheduler,
        warmup_fraction=warmup_fraction,
        weight_decay=weight_decay,
        clip_norm=clip_norm,
        patience=patience,
        monitor=monitor,
        prior=prior,
        seed=seed,
        mixed_precision=mixed_precision,
        max_padded_messages=max_padded_messages,
    )
    path = Path(model_path) if model_path is not None else Path("models") / f"{model_type}_classifier.pt"
    if path.is_dir():
        raise UsageError(f"model_path must name a file, but {path} is a folder")
    data = prepare_data(str(dataset_path), settings)
    runtime = start_runtime(device, mixed_precision, tuple(trackers), str(path.parent))
    every = Every(checkpoint_every_steps, checkpoint_every_s)
    run = Run.start(settings, data, runtime, path, every, show=progress and runtime.is_main)
    if resume and run.is_finished():
        return path
    with run.folder.locked(runtime.is_main):
        run.open(resume, trackers)
        run.train()
        run.finish()
    return path


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
    progress: Progress = field(default_factory=Progress)
    best: dict[str, torch.Tensor] = field(default_factory=dict)

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
        model = build_model(data, settings).to(runtime.device)
        generator = torch.Generator(runtime.device)
        generator.manual_seed(derive_seed(settings.seed, "dropout", runtime.rank))
        set_dropout_generator(model, generator)
        optimizer = torch.optim.AdamW(
            model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        size, rank, world_size = settings.max_padded_messages, runtime.rank, runtime.world_size
        train_loader = make_loader(
            data.train,
            settings.batch_size,
            shuffle=True,
            seed=settings.seed,
            max_padded_messages=size,
            rank=rank,
            world_size=world_size,
        )
        validation_loader = make_loader(
            data.validation, SCORING_WINDOW, max_padded_messages=2 * size, rank=rank, world_size=world_size
        )
        schedule = make_schedule(
            settings.scheduler,
            optimizer,
            peak=settings.learning_rate,
            warmup_fraction=settings.warmup_fraction,
            total_steps=settings.num_epochs * len(train_loader),
        )
        criterion = build_criterion(data.train.view.labels, data.train.num_classes, settings)
        folder = RunFolder(path.with_name(path.stem + ".run"))
        return cls(
            settings, data, runtime, path, folder, model, criterion, optimizer, schedule,
            train_loader, validation_loader, generator, every, show,
        )  # fmt: skip

    def config(self) -> dict[str, Any]:
        """All that decides the result, to the bit: what a resumed run must share."""
        return {
            **self.settings.to_json(),
            "corpus": self.data.corpus.info.fingerprint,
            "split_hash": self.data.corpus.info.split_hash,
            "world_size": self.runtime.world_size,
            "device": self.runtime.device.type,
            "torch": torch.__version__,
        }

    def is_finished(self) -> bool:
        """Whether the model file is the end of this very run: its run folder is gone."""
        if self.folder.exists() or not self.path.exists():
            return False
        return read_metadata(self.path).training.get("config") == self.config()

    def open(self, resume: bool, trackers: Sequence[str]) -> None:
        """Begin anew, or take up the newest checkpoint; a run killed before its first one begins anew."""
        config = self.config()
        if resume and self.folder.exists():
            self.folder.require_same_config(config)
            checkpoint = self.folder.load()
            if checkpoint is not None:
                self.best, self.progress = unpack_state(
                    checkpoint, self.model, self.optimizer, self.schedule, self.generator, self.runtime
                )
        elif self.runtime.is_main:
            self.folder.start(config)
        if trackers and self.runtime.accelerator is not None:
            self.runtime.accelerator.init_trackers("tenor", config=_plain(config))

    def train(self) -> None:
        """Epochs until the last, or until the validation score has not risen for `patience` of them."""
        if not self.progress.history:
            self._validate(started=time.monotonic())
        total = self.settings.num_epochs * len(self.train_loader)
        with Interruption() as interruption, progress_bar("training", total, enabled=self.show) as advance:
            advance(self.progress.global_step)
            while self.progress.epoch < self.settings.num_epochs and not self._stopped():
                self._train_epoch(interruption, advance)

    def _train_epoch(self, interruption: Interruption, advance: Any) -> None:  # noqa: ANN401 - a callable
        started, progress = time.monotonic(), self.progress
        self.train_loader.epoch = progress.epoch
        steps = run_steps(
            self.model, self.train_loader, self.criterion, self.optimizer, self.runtime,
            clip_norm=self.settings.clip_norm, start=progress.step,
        )  # fmt: skip
        for _ in range(progress.step, len(self.train_loader)):
            self.schedule.before_step(progress.global_step)
            result = next(steps)
            progress.add(result.loss_sum, result.count)
            advance(1)
            if interruption.requested or self.every.due(progress.global_step):
                self._save_checkpoint()
                interruption.exit_if_requested()
        self._validate(started)

    def _validate(self, started: float) -> None:
        """Score validation, keep the weights if they are the best so far, write the history."""
        loss, _, _, metrics, threshold = evaluate_loader(
            self.model, self.validation_loader, self.criterion, self.runtime
        )
        monitored = metrics[self.settings.monitor]
        score = -loss if monitored is None else monitored  # one class in validation: the loss must serve
        progress = self.progress
        epoch = progress.epoch + 1 if progress.history else 0
        record = EpochRecord(
            epoch=epoch,
            learning_rate=float(self.optimizer.param_groups[0]["lr"]),
            train_loss=progress.mean_loss(),
            validation_loss=loss,
            validation={key: value for key, value in metrics.items() if key != "threshold"},
            threshold=threshold,
            seconds=time.monotonic() - started,
        )
        if progress.close_epoch(record, score):
            self.best = {
                name: tensor.detach().cpu().clone() for name, tensor in self.model.state_dict().items()
            }
            if self.runtime.is_main:
                self._save_model()
        if epoch > 0:
            self.schedule.after_epoch(score)
        if self.runtime.is_main:
            write_history(history_path(self.path), progress.history)
        if self.runtime.accelerator is not None and self.runtime.accelerator.trackers:
            values = {
                "train_loss": record.train_loss,
                "validation_loss": loss,
                "learning_rate": record.learning_rate,
            }
            values.update({f"validation_{key}": value for key, value in record.validation.items()})
            self.runtime.accelerator.log({key: v for key, v in values.items() if v is not None}, step=epoch)

    def _stopped(self) -> bool:
        return self.progress.epochs_without_progress >= self.settings.patience

    def _save_checkpoint(self) -> None:
        checkpoint: Checkpoint = pack_state(
            self.model, self.best, self.optimizer, self.schedule, self.generator, self.progress, self.runtime
        )
        if self.runtime.is_main:
            self.folder.save(checkpoint)
        self.runtime.wait()

    def _save_model(self) -> None:
        """Write the model as it is now: the best so far is never in memory only."""
        record = self.progress.history[-1]
        corpus = self.data.corpus
        encoder = corpus.info.encoder
        metadata = ModelMetadata(
            level=require_level(self.settings.level),
            classes=self.data.train.classes,
            threshold=record.threshold,
            threshold_objective="f1",
            feature_names=corpus.info.feature_names,
            encoder_name=None if encoder is None else encoder.name,
            encoder_hash=None if encoder is None else encoder.hash,
            split_hash=corpus.info.split_hash,
            config=self.model.config(),
            training={
                "config": self.config(),
                "best_epoch": record.epoch,
                "validation": record.validation,
                "train_sequences": len(self.data.train),
                "validation_sequences": len(self.data.validation),
            },
        )
        save_model(self.path, self.model, metadata, lexical=self.data.lexical)

    def finish(self) -> None:
        """The model file stands; the checkpoints of the finished run go."""
        self.runtime.wait()
        if self.runtime.is_main:
            self.folder.clear()
        self.runtime.wait()
        if self.runtime.accelerator is not None:
            self.runtime.accelerator.end_training()


def _plain(config: dict[str, Any]) -> dict[str, Any]:
    """What trackers accept as hyper-parameters: numbers and strings."""
    return {
        key: value if isinstance(value, int | float | str) else str(value) for key, value in config.items()
    }
