"""``tenor profile``: the metrics of an author model over whole profiles."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from tenor.cli.options import (
    DeviceOption,
    EngineOption,
    JsonOption,
    ModelArgument,
    ProgressOption,
    refuse_given,
)
from tenor.cli.output import print_json, print_line
from tenor.cli.standing import (
    AbstainOption,
    BaselinesOption,
    BootstrapSeedOption,
    RuleOption,
    print_standing,
)

if TYPE_CHECKING:
    from tenor.aggregation.fixed import LabelRule
    from tenor.evaluation.profile_files import WrittenProfiles

SUMMARY = "Evaluate an author model over whole profiles, or write them."

EXAMPLES = """
\b
Examples:
  tenor profile models/author.safetensors analyzed
  tenor profile models/author.safetensors analyzed --aggregation top_k_mean --threshold cost:1:20
  tenor profile models/author.safetensors analyzed --aggregation compare --json
  tenor profile models/author.safetensors analyzed --aggregation score_summary --out-of-fold 5
  tenor profile models/author.safetensors analyzed --predictions scores.parquet
  tenor profile models/author.safetensors scores.parquet --output profiles.parquet
  tenor profile models/author.safetensors new.parquet --output new-people.parquet --threshold cost:1:20 \
    --validation scores.parquet
  tenor profile models/author.safetensors scores --output profiles --engine ray
"""


def _check_out_of_fold(model: Path, aggregation: str | None) -> None:
    """Refuse what would be refused only after trainings, or what would not use them.

    Raises:
        typer.BadParameter: an aggregation that reads more than scores; exit code 2.
        UsageError, ModelFileError: an unknown aggregation; a model of another level.
    """
    from tenor.aggregation.trained import TRAINED
    from tenor.errors import ModelFileError
    from tenor.evaluation.aggregation import require_aggregations
    from tenor.evaluation.learned import ATTENTIONS
    from tenor.models.model_file import read_metadata

    if aggregation == TRAINED:
        raise typer.BadParameter(
            f"serves aggregations that are learned here, such as log_odds: {TRAINED} was learned with the model",
            param_hint="--out-of-fold",
        )
    if aggregation in ATTENTIONS:
        raise typer.BadParameter(
            f"serves every aggregation but {' and '.join(ATTENTIONS)}, whose embeddings differ from fold to fold",
            param_hint="--out-of-fold",
        )
    if aggregation not in (None, "compare"):
        require_aggregations((aggregation,))
    level = read_metadata(model).level
    if level != "author":
        raise ModelFileError(
            f"{model}: profiles need a model of level 'author', found one of level {level!r}"
        )


def _write_shards(
    model: Path, data: str, output: str, aggregation: str | None, profile_label: LabelRule
) -> None:
    """Profiles of a folder of predictions, to act on."""
    from tenor.distributed import profile_shards

    done = profile_shards(
        data, output, model_path=model, aggregation=aggregation, profile_label=profile_label
    )
    print_line(f"{output}: {done.line('profiles')}")


def _print_written(output: str, made: WrittenProfiles) -> None:
    """What was written, and what was fitted for it."""
    cut = made.profiles.threshold
    said = "without a threshold" if cut is None else f"threshold {cut:.4f}"
    said += "" if made.abstained is None else f", {made.abstained:,} of them without a decision"
    print_line(f"{output}: {len(made.profiles):,} profiles, {said}")
    for remark in made.remarks:
        print_line(remark)
    if made.warning is not None:
        print_line(f"abstention: {made.warning}")


#: What serves the evaluation of profiles, and not their making.
_MEASURING = "baselines seed predictions out_of_fold device json".split()
#: What is fitted on validation, and where.
_FITTED = "threshold abstain_alpha validation".split()


def run(
    context: typer.Context,
    model: ModelArgument,
    data: Annotated[
        str,
        typer.Argument(metavar="DATA", help="Analyzed corpus; with --output predictions (for ray a folder)."),
    ],
    aggregation: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="trained (in the model's file; the default, or mean without it or with --out-of-fold); mean, median, "
            "mean_vote, total_vote; noisy_or, top_k_mean, log_odds, score_summary, attention, gated_attention "
            "(learned on validation); or compare for all of them.",
        ),
    ] = None,
    profile_label: Annotated[
        Literal["any", "majority", "constant"],
        typer.Option(help="How an author's differing sequence labels make the profile's."),
    ] = "majority",
    baselines: BaselinesOption = True,
    threshold: RuleOption = None,
    abstain_alpha: AbstainOption = None,
    seed: BootstrapSeedOption = 0,
    validation: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="With --output: fit --threshold and --abstain-alpha on the labelled validation profiles of these "
            "predictions, by default of DATA.",
        ),
    ] = None,
    predictions: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="The model's predictions: score only sequences that they lack."),
    ] = None,
    out_of_fold: Annotated[
        int | None,
        typer.Option(
            metavar="FOLDS",
            min=2,
            help="Fit the model anew without each of so many folds of its training authors, learn the aggregation "
            "from their scores, and choose the threshold on these and validation's (attention excepted).",
        ),
    ] = None,
    device: DeviceOption = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output", "-o", metavar="PATH", help="Write the profiles of predictions, and measure nothing."
        ),
    ] = None,
    engine: EngineOption = "local",
    progress: ProgressOption = True,
    json: JsonOption = False,
) -> None:
    """Aggregate an author's sequence scores into one score a profile, and evaluate on the test split, or write them."""
    if engine == "ray" and output is None:
        raise typer.BadParameter("the engine ray needs --output", param_hint="--engine")
    if output is not None:
        how = "the engine ray" if engine == "ray" else "--output"
        refuse_given(context, *_MEASURING, reason=f"with {how}, which makes profiles and measures nothing")
        if engine == "ray":
            refuse_given(context, *_FITTED, reason=f"with {how}: profiles have the model file's threshold")
            _write_shards(model, data, output, aggregation, profile_label)
            return
        from tenor.evaluation.profile_files import profiles_to_file

        made = profiles_to_file(
            model, data, output, aggregation=aggregation, profile_label=profile_label, threshold=threshold,
            abstain_alpha=abstain_alpha, validation=validation,
        )  # fmt: skip
        _print_written(output, made)
        return
    refuse_given(context, "validation", reason="without --output: the corpus's own validation split is taken")
    from tenor.evaluation import compare_aggregation_methods, evaluate_profile_classifier
    from tenor.evaluation.calibration import check_adjustment

    check_adjustment(threshold, abstain_alpha)
    training = None
    if out_of_fold is not None:
        _check_out_of_fold(model, aggregation)
        from tenor.training.out_of_fold import score_out_of_fold

        training = score_out_of_fold(model, data, folds=out_of_fold, device=device, progress=progress)
    if aggregation == "compare":
        results = compare_aggregation_methods(
            model,
            data,
            profile_label=profile_label,
            baselines=baselines,
            threshold=threshold,
            abstain_alpha=abstain_alpha,
            seed=seed,
            out_of_fold=training,
            known=predictions,
            device=device,
            progress=progress,
        )
    else:
        metrics = evaluate_profile_classifier(
            model,
            data,
            aggregation,
            profile_label=profile_label,
            baselines=baselines,
            threshold=threshold,
            abstain_alpha=abstain_alpha,
            seed=seed,
            out_of_fold=training,
            known=predictions,
            device=device,
            progress=progress,
        )
        results = {metrics["aggregation"]: metrics}
    if json:
        print_json(results if aggregation == "compare" else metrics)
        return
    print_standing(results, title=f"profiles in the test split of {data}")
    for name, metrics in results.items():
        if metrics.get("best_by_validation"):
            print_line(f"best on validation: {name}")
