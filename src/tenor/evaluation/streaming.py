"""Predictions of a corpus of any size, written as they come: a block of sequences, a row group.

Knows nothing of how scores come to be, nor of how calibrators, thresholds and conformal rules are fitted.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tenor.arrays import release_memory
from tenor.corpus.corpus import open_corpus
from tenor.corpus.fingerprints import fingerprint_conversations
from tenor.corpus.ordering import blocks_of_messages
from tenor.devices import start_runtime
from tenor.errors import SplitError
from tenor.evaluation.familiarity import Familiarity
from tenor.evaluation.requests import check_request
from tenor.evaluation.scoring import Scorer, parse_splits
from tenor.predictions import Predictions, read_predictions, write_parts

#: Messages scored, and held, at a time.
BLOCK_MESSAGES = 262_144


@dataclass(frozen=True, slots=True)
class PredictionSummary:
    """What was written.

    Attributes:
        level: of the rows.
        rows: how many.
        abstained: rows without a decision; None where the model was not asked to abstain.
        warning: what to know of the abstention; None when there is nothing.
        left_out: sequences of the corpus that were not scored although one may have meant them: those in no split where
            all splits were asked for, those of other splits where nothing is labelled.
        remarks: what was fitted on validation, in sentences; empty when nothing was.
        doubts: whether the texts are like those of the training, in sentences; empty where they are.
        caution: what to know before measuring on the scores; None when there is nothing, or no label.
        known: rows that were taken over from earlier predictions; None where there were none to update.
    """

    level: str
    rows: int
    abstained: int | None = None
    warning: str | None = None
    left_out: int = 0
    remarks: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    caution: str | None = None
    known: int | None = None


def predict_to_file(
    model_path: str | Path,
    dataset_path: str | Path,
    output: str | Path,
    *,
    split: str = "test",
    calibrate: bool = False,
    threshold: str | None = None,
    abstain_alpha: float | None = None,
    validation: str | Path | None = None,
    update: str | Path | None = None,
    device: str | None = None,
    mixed_precision: str = "no",
    progress: bool = False,
) -> PredictionSummary:
    """As `predict` into a file, in memory that does not grow with the corpus but by its view.

    What is fitted on the validation split needs its scores at once, before any row is written; an update needs the
    earlier predictions at once.

    Args:
        model_path: a model file of train_model.
        dataset_path: a corpus encoded with the model's encoder.
        output: the Parquet file; several processes write it once.
        split: ``"train"``, ``"validation"``, ``"test"``, or ``"all"``.
        calibrate: see `predict`.
        threshold: see `predict`.
        abstain_alpha: see `predict`.
        validation: see `predict`.
        update: a file of earlier predictions; see `predict`.
        device: where to compute; None = the best there is.
        mixed_precision: ``"no"`` or ``"bf16"``.
        progress: show a bar.

    Raises:
        ModelFileError, CorpusError, SplitError, UsageError, InputError: as `predict`.
        StorageError: the file cannot be written; an older one is untouched.
    """
    check_request(
        model_path, dataset_path, output,
        calibrate=calibrate, threshold=threshold, abstain_alpha=abstain_alpha, validation=validation,
        progress=progress,
    )  # fmt: skip
    known = None if update is None else read_predictions(update, fingerprints=True)
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
    adjustment = scorer.fit_adjustment(
        corpus if validation is None else open_corpus(validation),
        calibrated=calibrate,
        rule=threshold,
        abstain_alpha=abstain_alpha,
        known=known if validation is None else None,
    )

    taken = None

    def score_blocks() -> Iterator[Predictions]:
        if known is not None:
            nonlocal taken
            fingerprints = fingerprint_conversations(corpus, view.rows)
            found = scorer.find_known(view, known, fingerprints=fingerprints)
            taken = int((found >= 0).sum())
            part = scorer.score_view(view, known, fingerprints=fingerprints, rows=found)
            del found, fingerprints  # as large as the scores
            yield part
            return
        for rows in blocks_of_messages(view.lengths, BLOCK_MESSAGES):
            block = view.select(rows)
            yield scorer.score_view(block, fingerprints=fingerprint_conversations(corpus, block.rows))

    abstained, familiarity = 0, Familiarity.of(scorer.metadata)
    with contextlib.ExitStack() as stack:
        write = stack.enter_context(write_parts(output)) if scorer.runtime.is_main else None
        for part in score_blocks():
            adjusted, sets = adjustment.apply(part)
            abstained += 0 if sets is None else sets.abstained
            familiarity.count(part)
            if write is not None:
                write(adjusted, sets)
            del part, adjusted, sets
            release_memory()  # or what is held grows with the number of blocks
    scorer.count_labelled_read(view)
    return PredictionSummary(
        scorer.level,
        len(view),
        abstained=None if adjustment.abstention is None else abstained,
        warning=None if adjustment.abstention is None else adjustment.abstention.warning,
        left_out=scorer.count_left_out(view, splits),
        remarks=adjustment.remarks,
        doubts=familiarity.remarks(),
        caution=scorer.describe_splits(corpus) if (view.labels >= 0).any() else None,
        known=taken,
    )
