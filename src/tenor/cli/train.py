"""``tenor train``: fit a classifier of conversations or of authors' sequences."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from tenor.cli.options import DataArgument, ProgressOption, parse_numbers
from tenor.cli.output import METRIC_HEADINGS, print_line, print_metrics

SUMMARY = "Fit a classifier of conversations or of authors."

EXAMPLES = """
\b
Examples:
  tenor train conversation analyzed --model models/conversation.safetensors
  tenor train author analyzed --epochs 75 --batch-size 128 --monitor f1
  tenor train author analyzed --model models/author.safetensors --resume
"""


def parse_pos_weight(text: str) -> str | float | None:
    """A method's name, a number, or ``none``."""
    if text == "none":
        return None
    try:
        return float(text)
    except ValueError:
        return text


def run(
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
    learning_rate: Annotated[float, typer.Option(help="Highest learning rate.")] = 1e-4,
    hidden_size: Annotated[int, typer.Option(help="Width of the network.")] = 256,
    num_layers: Annotated[int, typer.Option(help="Transformer layers.")] = 2,
    num_heads: Annotated[int, typer.Option(help="Attention heads.")] = 8,
    dropout: Annotated[float, typer.Option(help="Dropout rate.")] = 0.3,
    kernel_sizes: Annotated[
        str, typer.Option(metavar="N,N,...", help="Widths of the convolutions.")
    ] = "3,5,7",
    pos_weight: Annotated[
        str,
        typer.Option(metavar="WEIGHT", help="balanced, effective, focal, sqrt, none, or a number."),
    ] = "balanced",
    scheduler: Annotated[str, typer.Option(metavar="NAME", help="plateau, cosine or constant.")] = "plateau",
    warmup_fraction: Annotated[float, typer.Option(help="Share of the steps that warm up.")] = 0.1,
    weight_decay: Annotated[float, typer.Option(help="Of AdamW.")] = 0.01,
    clip_norm: Annotated[float, typer.Option(help="Largest norm of the gradient.")] = 1.0,
    patience: Annotated[
        int, typer.Option(help="Epochs without a better validation score before stopping.")
    ] = 10,
    monitor: Annotated[
        str, typer.Option(metavar="METRIC", help="Validation score that chooses the best epoch.")
    ] = "average_precision",
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint.")] = False,
    device: Annotated[
        str | None, typer.Option(metavar="DEVICE", help="cpu, cuda, ...; by default the best there is.")
    ] = None,
    mixed_precision: Annotated[
        Literal["no", "bf16", "fp16"], typer.Option(help="Precision of the forward pass.")
    ] = "no",
    tracker: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="An accelerate tracker, such as tensorboard; repeatable."),
    ] = None,
    progress: ProgressOption = True,
) -> None:
    """Train on the train split; validation chooses the epoch and the threshold; test is not read."""
    kernels = tuple(int(size) for size in parse_numbers(kernel_sizes, "--kernel-sizes", int))
    from tenor.models.model_file import read_metadata
    from tenor.training.train import train_model

    path = train_model(
        level,
        data,
        epochs,
        batch_size,
        learning_rate,
        model_path=model,
        hidden_size=hidden_size,
        num_layers=num_layers,
        num_heads=num_heads,
        dropout=dropout,
        kernel_sizes=kernels,
        pos_weight=parse_pos_weight(pos_weight),
        scheduler=scheduler,
        warmup_fraction=warmup_fraction,
        weight_decay=weight_decay,
        clip_norm=clip_norm,
        patience=patience,
        monitor=monitor,
        seed=seed,
        resume=resume,
        device=device,
        mixed_precision=mixed_precision,
        trackers=tuple(tracker) if tracker is not None else (),
        progress=progress,
    )
    training = read_metadata(path).training
    shown = {key: training[key] for key in METRIC_HEADINGS if key in training}
    if shown:
        print_metrics({"validation": shown}, title=f"{level} classifier")
    print_line(f"model: {path}")
