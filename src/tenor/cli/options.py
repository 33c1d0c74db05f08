"""Arguments and options that several commands share, each defined once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

CorpusArgument = Annotated[Path, typer.Argument(metavar="CORPUS", help="Folder of a corpus.")]
DataArgument = Annotated[Path, typer.Argument(metavar="DATA", help="Folder of an analyzed corpus.")]
ModelArgument = Annotated[Path, typer.Argument(metavar="MODEL", help="Model file (.safetensors).")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
ProgressOption = Annotated[bool, typer.Option(help="Show progress on standard error.")]


def parse_numbers(text: str, option: str, kind: type[int] | type[float] = float) -> tuple[float, ...]:
    """Numbers from comma-separated text, such as ``3,5,7``.

    Raises:
        typer.BadParameter: something else; exit code 2.
    """
    try:
        return tuple(kind(part) for part in text.split(","))
    except ValueError as error:
        name = "whole numbers" if kind is int else "numbers"
        raise typer.BadParameter(
            f"expected {name} with commas between, found {text!r}", param_hint=option
        ) from error
