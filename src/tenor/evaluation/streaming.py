"""Predictions of a corpus of any size, written as they come: a block of sequences, a row group.

Knows nothing of calibration, which needs all of validation at once.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tenor.corpus.corpus import open_corpus
from tenor.corpus.sampling import blocks_of_messages
from tenor.devices import start_runtime
from tenor.errors import SplitError
from tenor.evaluation.scoring import Scorer, parse_splits
from tenor.predictions import Predictions, write_parts

#: Messages scored, and held, at a time.
BLOCK_MESSAGES = 262_144


@dataclass(frozen=True, slots=True)
class PredictionSummary:
    """What was written: the level of the rows and how many there are."""

    level: str
    rows: int


def predict_to_file(
    model_path: str | Path,
    dataset_path: str | Path,
    output: str | Path,
    *,
    split: str = "test",
    device: str | None = None,
    mixed_precision: str = "no",
    progress: bool = False,
) -> PredictionSummary:
    """As `predict` into a file, in memory that does not grow with the corpus but by its view.

    Args:
        model_path: a model file of train_model.
        dataset_path: a corpus encoded with the model's encoder.
        output: the Parquet file; several processes write it once.
        split: ``"train"``, ``"validation"``, ``"test"``, or ``"all"``.
        device: where to compute; None = the best there is.
        mixed_precision: ``"no"`` or ``"bf16"``.
        progress: show a bar.

    Raises:
        ModelFileError, CorpusError, SplitError, UsageError: as `predict`.
        StorageError: the file cannot be written; an older one is untouched.
    """
    splits = parse_splits(split)
    scorer = Scorer.open(model_path, start_runtime(device, mixed_precision), progress=progress)
    corpus = open_corpus(dataset_path)
    scorer.require_encoder(corpus)
    view = scorer.find(corpus, splits)
    if len(view) == 0:
        raise SplitError(
            f"{corpus.path}: expected {scorer.level} sequences in split {split}, found none to score "
            "(score another split, such as 'all')"
        )

    def score_blocks() -> Iterator[Predictions]:
        for rows in blocks_of_messages(view, BLOCK_MESSAGES):
            yield scorer.score_view(view.select(rows))

    with contextlib.ExitStack() as stack:
        write = stack.enter_context(write_parts(output)) if scorer.runtime.is_main else None
        for part in score_blocks():
            if write is not None:
                write(part)
    return PredictionSummary(scorer.level, len(view))
