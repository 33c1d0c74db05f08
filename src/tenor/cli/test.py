"""``tenor test``: the metrics of a model on the test split, or of one model a seed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tenor.cli.options import (
    DataArgument,
    DeviceOption,
    FitOption,
    JsonOption,
    ProgressOption,
    refuse_given,
)
from tenor.cli.output import count_reads, print_json, print_metrics
from tenor.cli.seeds import print_seeds
from tenor.cli.standing import AbstainOption, BaselinesOption, BootstrapSeedOption, RuleOption, print_standing

SUMMARY = "Evaluate a model on the test split."

EXAMPLES = """
\b
Examples:
  tenor test models/conversation.safetensors analyzed
  tenor test models/author.safetensors analyzed --threshold recall_at_precision:0.9
  tenor test models/author.safetensors analyzed --abstain-alpha 0.1 --json
  tenor test models/author-seed*.safetensors analyzed
"""


def run(
    context: typer.Context,
    models: Annotated[
        list[Path], typer.Argument(metavar="MODEL...", help="Model file (.safetensors), or one a seed.")
    ],
    data: DataArgument,
    baselines: BaselinesOption = True,
    threshold: RuleOption = None,
    abstain_alpha: AbstainOption = None,
    fit_characters: FitOption = 16_000_000,
    seed: BootstrapSeedOption = 0,
    device: DeviceOption = None,
    progress: ProgressOption = True,
    json: JsonOption = False,
) -> None:
    """Score the test split at the threshold that validation chose, beside baselines on the same splits.

    Several models, of one training each, are shown with their mean and spread.
    """
    from tenor.evaluation import test_model, test_seeds
    from tenor.models.model_file import read_metadata

    if len(models) > 1:
        refuse_given(context, "abstain_alpha", "fit_characters", reason="with several models")
        if baselines:  # without them is how several models are tested
            refuse_given(context, "baselines", reason="with several models")
    elif not baselines:
        refuse_given(context, "fit_characters", reason="without baselines")
    level = read_metadata(models[0]).level
    if len(models) > 1:
        found = test_seeds(
            level, models, data, threshold=threshold, seed=seed, device=device, progress=progress
        )
        if json:
            print_json(found)
            return
        caption = count_reads(list(found["models"].values())[-1])  # each model's is one more
        print_metrics(found["models"], title=f"test split of {data}", caption=caption)
        print_seeds(found["seeds"], title=f"over {len(models)} models")
        return
    metrics = test_model(
        level,
        models[0],
        data,
        baselines=baselines,
        threshold=threshold,
        abstain_alpha=abstain_alpha,
        fit_characters=fit_characters,
        seed=seed,
        device=device,
        progress=progress,
    )
    if json:
        print_json(metrics)
        return
    print_standing({level: metrics}, title=f"test split of {data}")
