"""``tenor predict``: scores of a split as a Parquet file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from tenor.cli.options import (
    DeviceOption,
    EngineOption,
    ModelArgument,
    PrecisionOption,
    ProgressOption,
    WorkersOption,
    refuse_given,
)
from tenor.cli.output import print_line
from tenor.cli.standing import AbstainOption, RuleOption

SUMMARY = "Write the scores of a split as Parquet."

EXAMPLES = """
\b
Examples:
  tenor predict models/conversation.safetensors analyzed --output predictions.parquet
  tenor predict models/author.safetensors analyzed --split validation --output validation.parquet
  tenor predict models/author.safetensors analyzed --calibrate --threshold cost:1:20 --output scores.parquet
  tenor predict models/author.safetensors analyzed --abstain-alpha 0.1 --output decisions.parquet
  tenor predict models/author.safetensors new --split all --calibrate --validation analyzed --output new.parquet
  tenor predict models/author.safetensors analyzed --output scores.parquet --update scores.parquet
  tenor predict models/author.safetensors shards --split all --output scores --engine ray --workers 8
"""


def run(
    context: typer.Context,
    model: ModelArgument,
    data: Annotated[str, typer.Argument(metavar="DATA", help="Analyzed corpus; folder of shards for ray.")],
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="PATH", help="Parquet file to write; a folder for ray.")
    ],
    split: Annotated[
        Literal["train", "validation", "test", "all"], typer.Option(help="Which split, or all.")
    ] = "test",
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="Mend the probabilities by the validation split.")
    ] = False,
    threshold: RuleOption = None,
    abstain_alpha: AbstainOption = None,
    validation: Annotated[
        Path | None,
        typer.Option(
            metavar="DATA",
            help="Fit --calibrate, --threshold and --abstain-alpha on the validation split of this labelled corpus, "
            "such as the one that the model was trained on; by default on that of DATA.",
        ),
    ] = None,
    update: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH", help="Earlier predictions: score only what they lack. May be the output."
        ),
    ] = None,
    device: DeviceOption = None,
    mixed_precision: PrecisionOption = "no",
    engine: EngineOption = "local",
    workers: WorkersOption = 2,
    progress: ProgressOption = True,
) -> None:
    """Write ids, group, split, label, logit and prob of every sequence of a split."""
    if engine == "ray":
        idle = ("calibrate", "threshold", "abstain_alpha", "validation", "update")
        refuse_given(context, *idle, reason="with the engine ray")
        from tenor.distributed import predict_shards

        found = predict_shards(
            model, data, output, split=split, device=device, mixed_precision=mixed_precision, workers=workers
        )
        print_line(f"{output}: {found.line('predictions')}")
        return
    refuse_given(context, "workers", reason="without the engine ray")
    from tenor.evaluation import predict_to_file

    summary = predict_to_file(
        model,
        data,
        output,
        split=split,
        calibrate=calibrate,
        threshold=threshold,
        abstain_alpha=abstain_alpha,
        validation=validation,
        update=update,
        device=device,
        mixed_precision=mixed_precision,
        progress=progress,
    )
    abstained = "" if summary.abstained is None else f", {summary.abstained:,} of them without a decision"
    known = "" if summary.known is None else f", {summary.known:,} of them known"
    print_line(f"{output}: {summary.rows:,} {summary.level} predictions{known}{abstained}")
    if summary.left_out:
        why = "in no split" if split == "all" else f"not in split {split} (--split all scores all)"
        print_line(f"not scored: {summary.left_out:,} sequences that are {why}")
    for remark in summary.remarks:
        print_line(remark)
    for doubt in summary.doubts:
        print_line(f"unlike the training's texts: {doubt}")
    if summary.caution is not None:
        print_line(f"before measuring on them: {summary.caution}")
    if summary.warning is not None:
        print_line(f"abstention: {summary.warning}")
