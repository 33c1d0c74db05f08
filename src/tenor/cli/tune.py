"""``tenor tune``: search for settings on validation, and keep the best model."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from tenor.cli.options import (
    DataArgument,
    DeviceOption,
    FitOption,
    JsonOption,
    PrecisionOption,
    ProgressOption,
)
from tenor.cli.output import METRIC_HEADINGS, print_json, print_line, print_table

if TYPE_CHECKING:
    from tenor.training.tuning import Trial, TuneResult

SUMMARY = "Search for settings on validation."

EXAMPLES = """
\b
Examples:
  tenor tune author analyzed --model models/author.safetensors --trials 20
  tenor tune author analyzed --model models/author.safetensors --trials 40 --resume
  tenor tune conversation analyzed --budget-s 3600 --epochs 30
  tenor tune conversation analyzed --search learning_rate=1e-5:1e-3 --search hidden_size=64,128 --search dropout
"""


def run(
    level: Annotated[
        Literal["conversation", "author"], typer.Argument(metavar="LEVEL", help="conversation or author.")
    ],
    data: DataArgument,
    model: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH", help="Model file to write, the best; by default models/LEVEL_classifier.pt."
        ),
    ] = None,
    trials: Annotated[int, typer.Option(help="Trainings in all, those before --resume included.")] = 20,
    budget_s: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="Begin no trial once the finished ones took so many seconds."),
    ] = None,
    search: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=RANGE",
            help="Search this and what else is named so: NAME=LOW:HIGH, NAME=A,B,C, or NAME with its own range; "
            "repeatable. By default all of hidden_size, num_layers, dropout, learning_rate, weight_decay, "
            "batch_size, scheduler, prior and patience.",
        ),
    ] = None,
    epochs: Annotated[int, typer.Option(help="Epochs at most, in each trial.")] = 50,
    monitor: Annotated[
        str, typer.Option(metavar="METRIC", help="Validation score that chooses epoch and trial.")
    ] = "average_precision",
    threshold: Annotated[
        str, typer.Option(metavar="RULE", help="How validation chooses the thresholds, as in tenor train.")
    ] = "f1",
    seed: Annotated[int, typer.Option(help="Seed of the search and of every training.")] = 0,
    device: DeviceOption = None,
    mixed_precision: PrecisionOption = "no",
    fit_characters: FitOption = 16_000_000,
    copies: Annotated[
        Literal["refuse", "warn", "ignore"],
        typer.Option(
            metavar="WHAT", help="About near-duplicate texts in two splits: refuse, warn or ignore."
        ),
    ] = "refuse",
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the trials in the folder beside the model.")
    ] = False,
    progress: ProgressOption = True,
    json: JsonOption = False,
) -> None:
    """Train with several settings, compare them on validation, and write the best model; test is not read."""
    from tenor.training.search_space import parse_space
    from tenor.training.tuning import tune_model

    result = tune_model(
        level,
        data,
        trials=trials,
        budget_s=budget_s,
        space=None if search is None else parse_space(search),
        model_path=model,
        resume=resume,
        seed=seed,
        device=device,
        copies=copies,
        progress=progress,
        num_epochs=epochs,
        monitor=monitor,
        threshold=threshold,
        mixed_precision=mixed_precision,
        fit_characters=fit_characters,
    )
    if json:
        print_json(asdict(result))
        return
    print_result(result, level, data)


def print_result(result: TuneResult, level: str, data: Path) -> None:
    """Print the trials, what the best one changes, and what to do next."""
    from tenor.models.model_file import read_metadata

    metric, names, best = METRIC_HEADINGS[result.monitor], list(result.defaults), result.best
    rows = [
        [trial.number, trial.score, trial.best_epoch, trial.seconds, list_changes(trial, result.defaults)]
        for trial in result.trials
    ]
    title = f"{level} classifier, {len(rows)} trials on validation"
    print_table(["trial", metric, "best epoch", "seconds", "settings"], rows, title=title)
    settings = [[name, _show(result.defaults[name]), _show(best.settings[name])] for name in names]
    print_table(["setting", "default", f"trial {best.number}, the best"], settings, title="settings found")
    for sentence in describe_best(result):
        print_line(sentence)
    for remark in read_metadata(result.path).remarks:
        print_line(remark)
    print_line(f"model: {result.path}")
    print_line(f"next: {shlex.join(['tenor', 'test', str(result.path), str(data)])}")


def describe_best(result: TuneResult) -> list[str]:
    """How good the best trial is on validation, and how little that means."""
    metric, found, best = METRIC_HEADINGS[result.monitor], result.interval, result.best
    ends = (
        ""
        if found.low is None or found.high is None
        else f" (95% interval {found.low:.4f} to {found.high:.4f})"
    )
    sentences = [f"validation {metric}: {best.score:.4f}{ends} with the settings of trial {best.number}"]
    first = result.trials[0]
    if first.settings == result.defaults and first.score is not None and best.number > 0:
        sentences.append(f"validation {metric} with the defaults: {first.score:.4f}")
    if found.warning:
        sentences.append(f"the interval: {found.warning}")
    equals = [trial.number for trial in result.trials if trial.score == best.score and trial is not best]
    if equals:
        sentences.append(
            f"the same score have trials {', '.join(map(str, equals))}: nothing speaks for the settings of "
            f"trial {best.number}"
        )
    if len(result.trials) > 1:
        sentences.append(
            f"the best of {len(result.trials)} trials is chosen by this very score, which is therefore too good, and "
            "its interval too: only the test split tells how good the model is"
        )
    return sentences


def list_changes(trial: Trial, defaults: Mapping[str, Any]) -> str:
    """What a trial has other than the defaults, and whether it failed."""
    changes = [f"{name} {_show(value)}" for name, value in trial.settings.items() if value != defaults[name]]
    text = ", ".join(changes) if changes else "the defaults"
    return text if trial.error is None else f"failed: {text}"


def _show(value: Any) -> str:  # noqa: ANN401 - a setting of any type
    """A setting, short: 0.00031 as 0.00031, 0.30000000001 as 0.3."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)
