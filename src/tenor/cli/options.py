"""Arguments and options that several commands share, each defined once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, TypeVar

import typer

from tenor.errors import UsageError

CorpusArgument = Annotated[Path, typer.Argument(metavar="CORPUS", help="Folder of a corpus.")]
DataArgument = Annotated[Path, typer.Argument(metavar="DATA", help="Folder of an analyzed corpus.")]
ModelArgument = Annotated[Path, typer.Argument(metavar="MODEL", help="Model file (.safetensors).")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
ReplaceOption = Annotated[bool, typer.Option("--replace", help="Replace DEST where it exists.")]
ProgressOption = Annotated[bool, typer.Option(help="Show progress on standard error.")]
DeviceOption = Annotated[
    str | None, typer.Option(metavar="DEVICE", help="cpu, cuda, ...; by default the best there is.")
]
FitOption = Annotated[
    int,
    typer.Option(
        metavar="CHARACTERS",
        help="Linear models are fitted on about so much text, a draw of more.",
    ),
]
EngineOption = Annotated[
    Literal["local", "ray"],
    typer.Option(help="local: a corpus on this machine. ray: Parquet shards in a folder or under a URL."),
]
WorkersOption = Annotated[int, typer.Option(help="Actors of the engine ray.")]
PrecisionOption = Annotated[
    Literal["no", "bf16"],
    typer.Option(help="Precision of the forward pass; bf16 is faster on GPUs, and on CPUs with AMX."),
]

Number = TypeVar("Number", int, float)


def find_given(context: typer.Context, *names: str, but_default: bool = False) -> list[str]:
    """Which of a command's options the user gave, by the flags that were typed: ``--no-baselines``, say.

    Args:
        context: of the command.
        names: of the options' parameters; one whose default was left alone is none that the user gave.
        but_default: nor is one that was given its default.
    """
    flags = []
    for parameter in context.command.params:
        source = context.get_parameter_source(str(parameter.name))
        value = context.params.get(str(parameter.name))
        if parameter.name in names and source is not None and source.name == "COMMANDLINE":
            if but_default and value == parameter.default:
                continue
            is_off = value is False
            flags.append(max(parameter.secondary_opts if is_off else parameter.opts, key=len))
    return flags


def refuse_given(context: typer.Context, *names: str, reason: str, but_default: bool = False) -> None:
    """Refuse options that would have no effect, where the user gave one: nothing that was asked for is dropped.

    Args:
        context: of the command.
        names: of the options' parameters.
        reason: why, to stand behind ``--workers has no effect``.
        but_default: let pass what was given its default.

    Raises:
        UsageError: naming those that were given.
    """
    flags = find_given(context, *names, but_default=but_default)
    if flags:
        verb, them = ("has", "it") if len(flags) == 1 else ("have", "them")
        raise UsageError(f"{' and '.join(flags)} {verb} no effect {reason}: leave {them} out")


def parse_numbers(text: str, option: str, kind: type[Number]) -> tuple[Number, ...]:
    """Numbers from comma-separated text, such as ``3,5,7``.

    Raises:
        typer.BadParameter: something else; exit code 2.
    """
    try:
        return tuple(kind(part) for part in text.split(","))
    except ValueError as error:
        wanted = "whole numbers" if kind is int else "numbers"
        raise typer.BadParameter(
            f"expected {wanted} with commas between, not {text!r}", param_hint=option
        ) from error


def parse_optional(text: str, option: str) -> float | None:
    """A number, or None for ``none``.

    Raises:
        typer.BadParameter: something else; exit code 2.
    """
    if text == "none":
        return None
    try:
        return float(text)
    except ValueError as error:
        raise typer.BadParameter(f"expected a number or none, not {text!r}", param_hint=option) from error
