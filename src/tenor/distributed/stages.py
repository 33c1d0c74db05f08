"""Encoding and predicting, a shard at a time, by actors that load encoder or model once.

Every shard gives one shard of the same name; what is there already and was made from the same by the same stays, so
that a run that was stopped goes on. Knows nothing of how Ray places actors.
"""

from __future__ import annotations

import logging
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tenor.corpus.class_order import ClassOrder
from tenor.corpus.corpus import open_corpus
from tenor.corpus.importing import import_with_summary
from tenor.corpus.writer import CorpusWriter
from tenor.distributed.shards import ShardFolder, corpus_to_table, make_mark, table_to_corpus
from tenor.errors import CorpusError, MissingExtraError, ModelFileError, SplitError, TenorError
from tenor.predictions.checksums import read_table

#: What an actor answers for a shard.
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ShardSummary:
    """What a run did: shards and rows written now, and shards that were there already."""

    shards: int
    rows: int
    reused_shards: int

    def line(self, what: str) -> str:
        """The summary for a person; `what` the rows are."""
        reused = f"; {self.reused_shards:,} shards were there already" if self.reused_shards else ""
        return f"{self.rows:,} {what} in {self.shards:,} shards{reused}"


@dataclass(frozen=True, slots=True)
class EncodeWork:
    """What an encoding actor is told; see `encode_shards`."""

    source: str
    dest: str
    analyzed: str
    dtype: str
    keep_text: bool
    device: str | None
    model_paths: tuple[str, ...]

    def mark(self, name: str) -> str:
        """Of the shard that is made of shard `name`."""
        encoder = open_corpus(self.analyzed, verify=False).info.encoder
        digest = "" if encoder is None else encoder.hash
        version = ShardFolder(self.source).version(name)
        return make_mark("encode", digest, self.dtype, str(self.keep_text), version)


@dataclass(frozen=True, slots=True)
class PredictWork:
    """What a predicting actor is told; see `predict_shards`."""

    source: str
    dest: str
    model: str
    model_hash: str
    split: str
    device: str | None
    mixed_precision: str

    def mark(self, name: str) -> str:
        """Of the shard that is made of shard `name`."""
        version = ShardFolder(self.source).version(name)
        return make_mark("predict", self.model_hash, self.split, self.mixed_precision, version)


class _Actor:
    """Makes one shard after another; an error of a shard is its answer, so that the others go on."""

    def __init__(self, work: EncodeWork | PredictWork) -> None:
        self.work, self.source, self.dest = work, ShardFolder(work.source), ShardFolder(work.dest)

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        rows, errors = [], []
        for name in batch["shard"]:
            try:
                rows.append(self.make(str(name)))
                errors.append("")
            except TenorError as error:
                rows.append(0)
                errors.append(f"{name}: {error}")
        return {"shard": list(batch["shard"]), "rows": rows, "error": errors}

    def make(self, name: str) -> int:
        """Write one shard; returns how many rows it has."""
        raise NotImplementedError


class Encode(_Actor):
    """Conversations to analyzed conversations."""

    def __init__(self, work: EncodeWork) -> None:
        from tenor.encoding.encode import take_encoder_info
        from tenor.encoding.encoder_file import load_encoder

        super().__init__(work)
        self.options = work
        analyzed = Path(work.analyzed)
        self.encoder = load_encoder(analyzed, model_paths=work.model_paths, device=work.device)
        self.info = take_encoder_info(analyzed, self.encoder)
        like = open_corpus(analyzed, verify=False).info
        self.plan, self.class_order = like.split, ClassOrder(known=like.classes)

    def make(self, name: str) -> int:
        """Import the shard by the analyzed corpus's plan, encode it, and write it."""
        from tenor.encoding.sharing import encode_blocks

        work = self.options
        with tempfile.TemporaryDirectory() as folder, self.source.fetch(name) as local:
            imported, analyzed = Path(folder, "imported"), Path(folder, "analyzed")
            import_with_summary(local, imported, format="parquet", plan=self.plan)
            corpus = open_corpus(imported, verify=False)
            with CorpusWriter(
                analyzed,
                split=self.plan,
                input_size=self.encoder.input_size,
                feature_dtype=work.dtype,
                has_text=corpus.has_text and work.keep_text,
                encoder=self.info,
                feature_names=self.encoder.feature_names,
                sources=corpus.info.sources,
                class_order=self.class_order,
            ) as writer:
                for conversation in encode_blocks(corpus.conversations(), self.encoder, work.dtype, None):
                    writer.write(conversation)
            table = corpus_to_table(open_corpus(analyzed, verify=False))
            self.dest.write(name, table, work.mark(name))
            return int(table.num_rows)


class Predict(_Actor):
    """Analyzed conversations to predictions."""

    def __init__(self, work: PredictWork) -> None:
        from tenor.devices import start_runtime
        from tenor.evaluation.scoring import Scorer, parse_splits

        super().__init__(work)
        self.options, self.splits = work, parse_splits(work.split)
        self.scorer = Scorer.open(work.model, start_runtime(work.device, work.mixed_precision))
        if self.scorer.hash != work.model_hash:
            raise ModelFileError(f"{work.model}: another model file than the one the run began with")

    def make(self, name: str) -> int:
        """Score the shard's sequences and write their predictions."""
        from tenor.predictions import to_arrow

        with tempfile.TemporaryDirectory() as folder, self.source.fetch(name) as local:
            table = read_table(local, remedy="remove that shard and encode again")
            corpus = table_to_corpus(table, Path(folder, "corpus"), f"{self.source.url}/{name}")
            # the corpus that the shard is of, and its splits, are not known here
            predictions = replace(self.scorer.score(corpus, self.splits), caution=None)
            self.dest.write(name, to_arrow(predictions), self.options.mark(name))
            return len(predictions)


def encode_shards(
    source: str,
    dest: str,
    *,
    analyzed: str | Path,
    dtype: str = "float16",
    keep_text: bool = True,
    model_paths: tuple[str, ...] = (),
    device: str | None = None,
    workers: int = 2,
) -> ShardSummary:
    """Encode Parquet shards of conversations with the encoder, and split by the plan, of an analyzed corpus.

    Args:
        source: a folder or URL of shards, each as `tenor import` reads it.
        dest: where shards of the same names go.
        analyzed: the corpus whose encoder is used; every machine must see it.
        dtype: of the features.
        keep_text: keep the texts beside the features; a model with n-grams needs them.
        model_paths: where local static or sentence models lie.
        device: of a sentence encoder.
        workers: actors.

    Raises:
        CorpusError: a shard cannot be read, or `dest` holds shards that `source` has not; the error names it, and the
            other shards are done.
        SplitError: the plan is strict, which needs all conversations at once.
        MissingExtraError: Ray is not installed.
    """
    if open_corpus(analyzed, verify=False).info.split.strict:
        raise SplitError(f"{analyzed}: a strict plan is one joint assignment: shards cannot be split by it")
    place = str(Path(analyzed).resolve())
    work = EncodeWork(
        make_absolute(source),
        make_absolute(dest),
        place,
        dtype,
        keep_text,
        device,
        tuple(map(str, model_paths)),
    )
    return run_shards(Encode, work, workers)


def predict_shards(
    model_path: str | Path,
    source: str,
    dest: str,
    *,
    split: str = "test",
    device: str | None = None,
    mixed_precision: str = "no",
    workers: int = 2,
) -> ShardSummary:
    """Score Parquet shards of analyzed conversations.

    Args:
        model_path: a model file; every machine must see it.
        source: a folder or URL of shards from `encode_shards`.
        dest: where predictions files of the same names go.
        split: ``"train"``, ``"validation"``, ``"test"``, or ``"all"``.
        device: where each actor computes.
        mixed_precision: ``"no"`` or ``"bf16"``.
        workers: actors.

    Raises:
        CorpusError: as `encode_shards`.
        UsageError: an unknown split.
        MissingExtraError: Ray is not installed.
    """
    from tenor.evaluation.scoring import parse_splits
    from tenor.files import sha256_file

    parse_splits(split)
    model = Path(model_path).resolve()
    work = PredictWork(
        make_absolute(source),
        make_absolute(dest),
        str(model),
        sha256_file(model),
        split,
        device,
        mixed_precision,
    )
    return run_shards(Predict, work, workers)


def run_shards(actor: type[_Actor], work: EncodeWork | PredictWork, workers: int) -> ShardSummary:
    """Let actors make the shards that are not there yet; see `encode_shards`."""
    source, dest = ShardFolder(work.source), ShardFolder(work.dest)
    names = source.names()
    if not names:
        raise CorpusError(
            f"{source.url}: expected Parquet shards, found none: name a folder of .parquet files"
        )
    dest.filesystem.makedirs(dest.path("").rstrip("/"), exist_ok=True)
    present = set(dest.names())
    strangers = sorted(present - set(names))
    if strangers:
        raise CorpusError(
            f"{dest.url}: holds shards that {source.url} has not, such as {strangers[0]}: remove them"
        )
    todo = [name for name in names if name not in present or dest.mark_of(name) != work.mark(name)]
    if not todo:
        return ShardSummary(0, 0, len(names))
    ray = start_ray()
    rows: list[Row] = (
        ray.data.from_items([{"shard": name} for name in todo], override_num_blocks=len(todo))
        .map_batches(
            actor,
            fn_constructor_args=(work,),
            batch_size=1,
            num_cpus=1,
            compute=ray.data.ActorPoolStrategy(size=min(workers, len(todo))),
        )
        .take_all()
    )
    errors = sorted(row["error"] for row in rows if row["error"])
    if errors:
        raise CorpusError(f"{len(errors)} of {len(todo)} shards failed, the others are done; {errors[0]}")
    return ShardSummary(len(rows), sum(int(row["rows"]) for row in rows), len(names) - len(todo))


def start_ray() -> Any:  # noqa: ANN401 - Ray has no types of its own here
    """Ray with its data operators, on the cluster that RAY_ADDRESS names, else on this machine.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise MissingExtraError("ray", "ray[data]") from error
    if not ray.is_initialized():
        ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    return ray


def make_absolute(place: str | Path) -> str:
    """A local path from the root, for actors elsewhere on the machine; a URL as it is."""
    text = str(place)
    return text if "://" in text else str(Path(text).resolve())
