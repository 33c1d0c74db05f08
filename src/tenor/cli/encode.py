"""``tenor encode``: texts become features, and a corpus an analyzed corpus."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from tenor.cli.options import (
    DeviceOption,
    EngineOption,
    ProgressOption,
    ReplaceOption,
    WorkersOption,
    refuse_given,
)
from tenor.cli.output import print_line
from tenor.processes import process_count

SUMMARY = "Turn texts into features: an analyzed corpus."

EXAMPLES = """
\b
Examples:
  tenor encode corpus analyzed
  tenor encode corpus analyzed --encoder lsa+dynamics --input-size 128
  tenor encode corpus analyzed --encoder sentence:path/to/model
  tenor encode corpus analyzed --encoder sentence:path/to/model --finetune-encoder author --device cuda
  tenor encode new-corpus new-analyzed --encoder like:analyzed
  tenor encode corpus analyzed --update
  tenor encode s3://bucket/shards s3://bucket/analyzed --engine ray --encoder like:analyzed --workers 8
"""


def _refuse_idle(context: typer.Context, encoder: str, engine: str, *, update: bool, is_tuned: bool) -> None:
    """Refuse options that the others leave without effect.

    Raises:
        UsageError: naming them, or an unknown encoder.
    """
    if engine == "ray":
        idle = ("input_size", "seed", "batch_size", "replace", "update")
        refuse_given(context, *idle, reason="with the engine ray")
        return
    refuse_given(context, "workers", reason="without the engine ray")
    if update:
        kept = ("encoder", "input_size", "seed", "dtype", "keep_text", "replace")
        refuse_given(context, *kept, reason="with --update, which keeps DEST as it was made")
        return
    from tenor.encoding.expression import parse_encoder

    kinds = {term.kind for term in parse_encoder(encoder)}
    if "like" in kinds:
        refuse_given(context, "input_size", "seed", reason=f"with {encoder}, which is fitted already")
        return
    refuse_given(context, "model_path", reason="without like:CORPUS or --update")
    if "lsa" not in kinds:
        refuse_given(context, "input_size", *(() if is_tuned else ("seed",)), reason="without lsa")
    if "sentence" not in kinds:
        where = () if process_count() > 1 else ("device",)  # several processes meet on a device
        refuse_given(context, "batch_size", *where, reason="without a sentence encoder")


def run(
    context: typer.Context,
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
    finetune_encoder: Annotated[
        Literal["conversation", "author"] | None,
        typer.Option(
            help="First fine-tune the sentence encoder on this level's training labels, on a GPU rather than not; it "
            "is kept in DEST.encoder, for sentence:DEST.encoder."
        ),
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
    is_tuned = finetune_encoder is not None
    if is_tuned and (engine == "ray" or update or process_count() > 1):
        raise typer.BadParameter(
            "needs the local engine, one process and a new DEST", param_hint="--finetune-encoder"
        )
    _refuse_idle(context, encoder, engine, update=update, is_tuned=is_tuned)
    if engine == "local" and device is not None:  # the engine ray's is on other machines
        from tenor.devices import check_device

        check_device(device)
    if finetune_encoder is not None:
        encoder = _finetune(source, dest, encoder, finetune_encoder, seed, device, replace, progress)
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


def _finetune(
    source: str,
    dest: str,
    encoder: str,
    level: str,
    seed: int,
    device: str | None,
    replace: bool,
    progress: bool,
) -> str:
    """Fine-tune the sentence encoder of an expression; the expression with the new one in its place.

    Raises:
        typer.BadParameter: there is none; exit code 2.
        StorageError: DEST exists already: this is said before anything long begins.
    """
    from tenor.corpus.info import INFO_NAME
    from tenor.encoding.expression import EncoderTerm, parse_encoder
    from tenor.files import existing
    from tenor.training.finetuning import finetune_encoder

    terms = parse_encoder(encoder)
    models = [term.source for term in terms if term.kind == "sentence"]
    if len(models) != 1:
        raise typer.BadParameter(
            f"needs one sentence:MODEL in the encoder, found {encoder}", param_hint="--finetune-encoder"
        )
    if Path(dest).exists() and not replace:
        raise existing(Path(dest), INFO_NAME)
    tuned = finetune_encoder(
        level,
        source,
        models[0],
        f"{dest}.encoder",
        seed=seed,
        device=device,
        replace=replace,
        progress=progress,
    )
    print_line(f"{tuned}: the fine-tuned encoder")
    named = (EncoderTerm(term.kind, str(tuned)) if term.kind == "sentence" else term for term in terms)
    return "+".join(f"{term.kind}:{term.source}" if term.source else term.kind for term in named)


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
