"""Train a sequence classifier: one function from an analyzed corpus to a model file.

The flow: prepare (audit, scale, prior) -> ``run`` (epochs, checkpoints, best weights) -> model file. Knows nothing of
test data: no function here reads the test split.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tenor.arguments import check_real, check_whole, require_flags, require_list
from tenor.corpus.copies import OnCopies, check_on_copies
from tenor.corpus.sampling import MAX_FIT_CHARACTERS
from tenor.devices import Runtime, start_runtime
from tenor.errors import UsageError
from tenor.models.model_file import find_model_path
from tenor.training.checkpoint import Every
from tenor.training.preparation import TrainingData, fit_data, prepare_data
from tenor.training.run import Run
from tenor.training.settings import TrainSettings


def train_model(
    model_type: str,
    dataset_path: str | Path,
    num_epochs: int = 50,
    batch_size: int = 256,
    learning_rate: float = 3e-4,
    *,
    model_path: str | Path | None = None,
    hidden_size: int = 64,
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
    patience: int = 5,
    monitor: str = "average_precision",
    threshold: str = "f1",
    prior: str = "auto",
    context: str = "conversation",
    seed: int = 0,
    device: str | None = None,
    mixed_precision: str = "no",
    micro_batch_messages: int | None = None,
    fit_characters: int = MAX_FIT_CHARACTERS,
    checkpoint_every_steps: int | None = None,
    checkpoint_every_s: float | None = 300.0,
    resume: bool = False,
    restart: bool = False,
    copies: OnCopies = "refuse",
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
        monitor: the validation score that chooses the epoch: ``average_precision``, ``f1`` or ``roc_auc``. With a
            prior, among those epochs that convince validation of more than the start (tenor.training.evidence).
        threshold: the rule by which validation chooses the thresholds in the file, such as ``"cost:1:20"`` (see
            tenor.metrics.objectives.FORMS).
        prior: what the network starts from and corrects. ``"auto"``: a blend of n-gram models and a linear model of
            lengths, punctuation, turns and delays (both where the corpus has text) and one of pooled features, weighed
            out of fold; of conversations whose authors have labels of their own, also models of these authors;
            ``"lexical"``: without the pooled features; ``"none"``: from nothing, as the seed's plain
            recipe does.
        context: what the models of an author's text read. ``"conversation"``: beside the author's own messages
            what the others say in the conversation, in a large group nearest to them, unless that would tell test
            apart by what was heard in training (then a warning says so); ``"own"``: the author's messages alone.
        seed: the run's one seed: weights, dropout, order.
        device: ``"cpu"``, ``"cuda"``, ...; None = the best there is.
        mixed_precision: ``"no"`` or ``"bf16"``.
        micro_batch_messages: messages that go through the network together, at most; None = 8,192, on an NVIDIA GPU
            65,536. Fewer take less memory, and leave more micro-batches to share out among processes.
        fit_characters: what the network starts from is fitted on about so many characters of text, a draw of groups
            where there is more.
        checkpoint_every_steps: save a checkpoint after so many optimizer steps.
        checkpoint_every_s: save a checkpoint after so many seconds; None = never by time.
        resume: go on from the newest checkpoint of an interrupted run, on a CPU to the same bits.
        restart: forget the checkpoints of an interrupted run, which else stop a training that does not resume.
        copies: what to do about texts of validation or test that stand, nearly the same, in another split:
            ``"refuse"``, ``"warn"`` or ``"ignore"``.
        trackers: names of accelerate's trackers, such as ``"tensorboard"``.
        progress: show bars.

    Returns:
        The path of the model file.

    Raises:
        CorpusError: the corpus has no features or no labels.
        SplitError: a missing split, or a group or nearly the same text in two of them.
        TrainingError: one class only, a loss that is not finite, or a resume with other data or settings.
        UsageError: an argument outside its values.
        StorageError: a file cannot be written, or another run uses the folder.
        ProcessError: another of several processes failed or was killed.
        SystemExit: with 143 after SIGTERM, with 130 after Ctrl-C during the steps, once a checkpoint is saved; before
            the first step, and at a second Ctrl-C, it is a KeyboardInterrupt.
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
        kernel_sizes=kernel_sizes,
        pos_weight=pos_weight,
        beta=beta,
        gamma=gamma,
        scheduler=scheduler,
        warmup_fraction=warmup_fraction,
        weight_decay=weight_decay,
        clip_norm=clip_norm,
        patience=patience,
        monitor=monitor,
        threshold=threshold,
        prior=prior,
        context=context,
        seed=seed,
        mixed_precision=mixed_precision,
        micro_batch_messages=micro_batch_messages,
        fit_characters=fit_characters,
    )
    require_flags(resume=resume, restart=restart, progress=progress)
    if resume and restart:
        raise UsageError(
            "restart: expected one of resume, which goes on, and restart, which begins anew, found both"
        )
    check_on_copies(copies)
    trackers = require_list(trackers, "trackers")
    if checkpoint_every_steps is not None:
        checkpoint_every_steps = check_whole("checkpoint_every_steps", checkpoint_every_steps, 1, 10**12)
    if checkpoint_every_s is not None:
        checkpoint_every_s = check_real("checkpoint_every_s", checkpoint_every_s, 0.0, True, 1e9, True)
    path = find_model_path(model_path, model_type)
    runtime = start_runtime(device, mixed_precision, trackers, str(path.parent))
    with runtime.together():
        is_main = runtime.is_main
        audited = prepare_data(dataset_path, settings, copies=copies, show=is_main)
    settings = replace(settings, context=audited.context)
    data = fit_data(audited, settings, runtime=runtime, progress=progress and is_main)
    every = Every(checkpoint_every_steps, checkpoint_every_s)
    return train_on(
        data,
        settings,
        path,
        runtime=runtime,
        every=every,
        resume=resume,
        restart=restart,
        trackers=trackers,
        progress=progress,
    )


def train_on(
    data: TrainingData,
    settings: TrainSettings,
    path: Path,
    *,
    runtime: Runtime,
    every: Every,
    resume: bool = False,
    restart: bool = False,
    trackers: Sequence[str] = (),
    progress: bool = True,
) -> Path:
    """Train on data that are prepared: what `train_model` does with its own, and a tuning many times with the same.

    Args:
        data: of fit_data, whose settings had this level, prior, seed and fit_characters.
        settings: of the training.
        path: of the model file.
        runtime: device and processes.
        every: when checkpoints are due.
        resume: see train_model; so for what follows.
        restart: excludes `resume`.
        trackers: names of accelerate's.
        progress: show a bar.

    Returns:
        The path.
    """
    run = Run.start(settings, data, runtime, path, every, show=progress and runtime.is_main)
    with contextlib.ExitStack() as stack:
        with runtime.together():
            stack.enter_context(run.folder.locked(runtime.is_main))
            if restart and runtime.is_main:
                run.folder.forget()
        if not (resume and run.is_finished()):
            run.open(resume, trackers)
            run.train()
        run.finish()
    return path
