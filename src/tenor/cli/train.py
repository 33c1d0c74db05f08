"""``tenor train``: fit a classifier of conversations or of authors' sequences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from tenor.cli.options import (
    DataArgument,
    DeviceOption,
    FitOption,
    PrecisionOption,
    ProgressOption,
    parse_numbers,
    parse_optional,
    refuse_given,
)
from tenor.cli.output import print_line, print_metrics
from tenor.cli.seeds import print_seeds

SUMMARY = "Fit a classifier of conversations or of authors."

EXAMPLES = """
\b
Examples:
  tenor train conversation analyzed --model models/conversation.safetensors
  tenor train author analyzed --epochs 75 --batch-size 128 --monitor f1
  tenor train author analyzed --model models/author.safetensors --resume
  tenor train author analyzed --model models/author.safetensors --seeds 10
"""


def parse_pos_weight(text: str) -> str | float | None:
    """A method's name, a number, or None for ``none``."""
    if text == "none":
        return None
    try:
        return float(text)
    except ValueError:
        return text


def _refuse_idle(command: typer.Context, level: str, pos_weight: str, scheduler: str, prior: str) -> None:
    """Refuse settings that the others leave without effect.

    Their defaults pass: a model's card names all settings of its training.

    Raises:
        UsageError: naming them.
    """
    if pos_weight != "effective":
        refuse_given(command, "beta", reason="without --pos-weight effective", but_default=True)
    if pos_weight != "focal":
        refuse_given(command, "gamma", reason="without --pos-weight focal", but_default=True)
    if scheduler == "plateau":
        refuse_given(command, "warmup_fraction", reason="without --scheduler cosine", but_default=True)
    if prior == "none":
        refuse_given(command, "context", "fit_characters", reason="with --prior none", but_default=True)
    if level == "conversation":
        refuse_given(command, "context", reason="at level conversation", but_default=True)


def run(
    command: typer.Context,
    level: Annotated[
        Literal["conversation", "author"], typer.Argument(metavar="LEVEL", help="conversation or author.")
    ],
    data: DataArgument,
    model: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="Model file to write; by default models/LEVEL_classifier.pt."),
    ] = None,
    epochs: Annotated[int, typer.Option(help="Epochs at most.")] = 50,
    batch_size: Annotated[int, typer.Option(help="Sequences an optimizer step.")] = 256,
    learning_rate: Annotated[float, typer.Option(help="Highest learning rate.")] = 3e-4,
    hidden_size: Annotated[int, typer.Option(help="Width of the network.")] = 64,
    num_layers: Annotated[int, typer.Option(help="Transformer layers.")] = 2,
    num_heads: Annotated[int, typer.Option(help="Attention heads.")] = 8,
    dropout: Annotated[float, typer.Option(help="Dropout rate.")] = 0.3,
    kernel_sizes: Annotated[
        str, typer.Option(metavar="N,N,...", help="Widths of the convolutions.")
    ] = "3,5,7",
    pos_weight: Annotated[
        str,
        typer.Option(metavar="WEIGHT", help="balanced, effective, focal, sqrt, a number, or none."),
    ] = "none",
    beta: Annotated[float, typer.Option(help="Parameter of the weight effective.")] = 0.999,
    gamma: Annotated[float, typer.Option(help="Parameter of the weight focal.")] = 2.0,
    scheduler: Annotated[
        str, typer.Option(metavar="NAME", help="plateau, or cosine after a warm-up.")
    ] = "plateau",
    warmup_fraction: Annotated[
        float, typer.Option(help="Share of the steps that warm up, for cosine.")
    ] = 0.1,
    weight_decay: Annotated[float, typer.Option(help="Of AdamW.")] = 0.01,
    clip_norm: Annotated[
        str, typer.Option(metavar="NORM", help="Largest norm of the gradient, or none.")
    ] = "1.0",
    patience: Annotated[
        int, typer.Option(help="Epochs without a better validation score before stopping.")
    ] = 5,
    monitor: Annotated[
        str, typer.Option(metavar="METRIC", help="Validation score that chooses the best epoch.")
    ] = "average_precision",
    threshold: Annotated[
        str,
        typer.Option(
            metavar="RULE",
            help="How validation chooses the thresholds: f1, f_beta:2, cost:1:20, recall_at_precision:0.9, "
            "precision_at_recall:0.8 or alarms_per_thousand:5.",
        ),
    ] = "f1",
    prior: Annotated[
        str,
        typer.Option(
            metavar="PRIOR",
            help="What the network starts from: auto (texts and pooled features), lexical (texts alone), none.",
        ),
    ] = "auto",
    context: Annotated[
        str,
        typer.Option(
            metavar="CONTEXT",
            help="What the n-grams of an author are taken from: conversation (the others' messages too), own.",
        ),
    ] = "conversation",
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    seeds: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Train N models, of seed, seed + 1, ..., into PATH-seed0, PATH-seed1, ..."
        ),
    ] = None,
    device: DeviceOption = None,
    mixed_precision: PrecisionOption = "no",
    micro_batch_messages: Annotated[
        int | None,
        typer.Option(
            help="Messages that go through the network together, at most; by default 8192, on an NVIDIA GPU 65536."
        ),
    ] = None,
    fit_characters: FitOption = 16_000_000,
    checkpoint_every_steps: Annotated[
        int | None, typer.Option(metavar="STEPS", help="Save a checkpoint after so many steps.")
    ] = None,
    checkpoint_every_s: Annotated[
        str, typer.Option(metavar="SECONDS", help="Save a checkpoint after so many seconds, or none.")
    ] = "300.0",
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint.")] = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="Forget the checkpoints of a run that was interrupted.")
    ] = False,
    copies: Annotated[
        str,
        typer.Option(
            metavar="WHAT", help="About near-duplicate texts in two splits: refuse, warn or ignore."
        ),
    ] = "refuse",
    tracker: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="An accelerate tracker, such as tensorboard; repeatable."),
    ] = None,
    progress: ProgressOption = True,
) -> None:
    """Train on the train split; validation chooses the epoch and the threshold; test is not read."""
    _refuse_idle(command, level, pos_weight, scheduler, prior)
    kernels = parse_numbers(kernel_sizes, "--kernel-sizes", int)
    norm = parse_optional(clip_norm, "--clip-norm")
    seconds = parse_optional(checkpoint_every_s, "--checkpoint-every-s")
    from tenor.models.model_file import read_metadata
    from tenor.training.train import train_model

    options: dict[str, Any] = {
        "hidden_size": hidden_size,
        "num_layers": num_layers,
        "num_heads": num_heads,
        "dropout": dropout,
        "kernel_sizes": kernels,
        "pos_weight": parse_pos_weight(pos_weight),
        "beta": beta,
        "gamma": gamma,
        "scheduler": scheduler,
        "warmup_fraction": warmup_fraction,
        "weight_decay": weight_decay,
        "clip_norm": norm,
        "patience": patience,
        "monitor": monitor,
        "threshold": threshold,
        "prior": prior,
        "context": context,
        "device": device,
        "mixed_precision": mixed_precision,
        "micro_batch_messages": micro_batch_messages,
        "fit_characters": fit_characters,
        "checkpoint_every_steps": checkpoint_every_steps,
        "checkpoint_every_s": seconds,
        "resume": resume,
        "restart": restart,
        "copies": copies,
        "trackers": () if tracker is None else tracker,
        "progress": progress,
    }
    validations: dict[Path, dict[str, Any]] = {}
    remarks: Counter[str] = Counter()
    for path, own_seed in name_models(level, model, seed, seeds):
        train_model(level, data, epochs, batch_size, learning_rate, model_path=path, seed=own_seed, **options)
        metadata = read_metadata(path)
        validations[path] = metadata.training.get("validation", {})
        remarks.update(metadata.remarks)
        if metadata.aggregation is not None:
            remarks[f"profiles are by {metadata.aggregation['method']}, learned on training authors"] += 1
    if seeds is not None:
        print_runs(validations, level)
    elif validations[path]:
        print_metrics({"validation": validations[path]}, title=f"{level} classifier")
    for remark, count in remarks.items():
        print_line(remark if seeds is None else f"{count} of {len(validations)} models: {remark}")
    for path in validations:
        print_line(f"model: {path}")


def name_models(level: str, model: Path | None, seed: int, seeds: int | None) -> list[tuple[Path, int]]:
    """Where each training's model goes, and its seed: ``author.pt`` becomes ``author-seed0.pt``, ...

    Raises:
        typer.BadParameter: no seeds at all; exit code 2.
    """
    path = Path("models") / f"{level}_classifier.pt" if model is None else model
    if seeds is None:
        return [(path, seed)]
    if seeds < 1:
        raise typer.BadParameter(f"expected 1 or more, not {seeds}", param_hint="--seeds")
    return [(path.with_name(f"{path.stem}-seed{own}{path.suffix}"), own) for own in range(seed, seed + seeds)]


def print_runs(validations: Mapping[Path, Mapping[str, Any]], level: str) -> None:
    """Each training's validation metrics, their mean and their spread."""
    from tenor.metrics.seeds import summarize_seeds
    from tenor.metrics.weighted import METRICS

    rows = {path.stem: metrics for path, metrics in validations.items()}
    print_metrics(rows, title=f"{level} classifier, validation")
    runs = [{name: metrics.get(name) for name in METRICS} for metrics in validations.values()]
    summaries = {name: asdict(summary) for name, summary in summarize_seeds(runs).items()}
    print_seeds(summaries, title=f"validation over {len(runs)} seeds")
