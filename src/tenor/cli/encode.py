"""``tenor encode``: texts become features, and a corpus an analyzed corpus."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from tenor.cli.options import DeviceOption, EngineOption, ProgressOption, ReplaceOption, WorkersOption
from tenor.cli.output import print_line
from tenor.processes import process_count

SUMMARY = "Turn texts into features: an analyzed corpus."

EXAMPLES = """
\b
Examples:
  tenor encode corpus analyzed
  tenor encode corpus analyzed --encoder lsa+dynamics --input-size 128
  tenor encode corpus analyzed --encoder sentence:path/to/model
  tenor encode new-corpus new-analyzed --encoder like:analyzed
  tenor encode corpus analyzed --update
  tenor encode s3://bucket/shards s3://bucket/analyzed --engine ray --encoder like:analyzed --workers 8
"""


def run(
    source: Annotated[str, typer.Argument(metavar="CORPUS", help="Folder of a corpus; of shards for ray.")],
    dest: Annotated[str, typer.Argument(metavar="DEST", help="Folder of the analyzed corpus to make.")],
    encoder: Annotated[
        str,
        typer.Option(
            metavar="ENCODER",
            help="lsa, dynamics, static:MODEL, sentence:MODEL, a sum such as lsa+dynamics, or like:CORPUS.",
        ),
    ] = "lsa",
    input_size: Annotated[int, typer.Option(help="Features a message, where there is lsa.")] = 256,
    seed: Annotated[int, typer.Option(help="Seed of the fit.")] = 0,
    dtype: Annotated[Literal["float16", "float32"], typer.Option(help="Type on disk.")] = "float16",
    keep_text: Annotated[bool, typer.Option(help="Keep the texts beside the features.")] = True,
    model_path: Annotated[
        list[Path] | None,
        typer.Option(metavar="PATH", help="For like: where a local model lies now; repeatable."),
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Texts a forward pass of a sentence encoder.")] = 64,
    device: DeviceOption = None,
    replace: ReplaceOption = False,
    update: Annotated[
        bool,
        typer.Option("--update", help="Keep DEST's encoder and features; encode only what SOURCE added."),
    ] = False,
    engine: EngineOption = "local",
    workers: WorkersOption = 2,
    progress: ProgressOption = True,
) -> None:
    """Give every message of a corpus a feature vector; what is fitted is fitted on training messages only."""
    if engine == "ray":
        _encode_shards(source, dest, encoder, dtype, keep_text, model_path, device, workers)
        return
    from tenor.encoding.encode import encode_with_summary

    team = None
    if process_count() > 1:
        from tenor.devices import start_runtime

        team = start_runtime(device)
        device = str(team.device)
    summary = encode_with_summary(
        source,
        dest,
        encoder=encoder,
        input_size=input_size,
        seed=seed,
        dtype=dtype,
        keep_text=keep_text,
        model_paths=() if model_path is None else model_path,
        batch_size=batch_size,
        device=device,
        replace=replace,
        update=update,
        progress=progress,
        team=team,
    )
    if summary is not None:
        print_line(summary.line())


def _encode_shards(
    source: str,
    dest: str,
    encoder: str,
    dtype: str,
    keep_text: bool,
    model_paths: list[Path] | None,
    device: str | None,
    workers: int,
) -> None:
    """Encode Parquet shards by Ray, with the encoder of an analyzed corpus.

    Raises:
        typer.BadParameter: another encoder; exit code 2.
    """
    kind, _, analyzed = encoder.partition(":")
    if kind != "like" or not analyzed:
        raise typer.BadParameter("the engine ray needs like:ANALYZED_CORPUS", param_hint="--encoder")
    from tenor.distributed import encode_shards

    summary = encode_shards(
        source,
        dest,
        analyzed=analyzed,
        dtype=dtype,
        keep_text=keep_text,
        model_paths=() if model_paths is None else tuple(map(str, model_paths)),
        device=device,
        workers=workers,
    )
    print_line(f"{dest}: {summary.line('conversations')}")
