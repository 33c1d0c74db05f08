"""Predictions of a corpus in memory, with what validation adds to them, and perhaps as a file.

Knows nothing of how scores come to be.
"""

from __future__ import annotations

import logging
from pathlib import Path

from tenor.corpus.corpus import open_corpus
from tenor.corpus.fingerprints import fingerprint_conversations
from tenor.devices import start_runtime
from tenor.errors import SplitError, UsageError
from tenor.evaluation.familiarity import doubt_texts
from tenor.evaluation.requests import check_request
from tenor.evaluation.scoring import Scorer, parse_splits
from tenor.predictions import Predictions, read_predictions, require_predictions, write_predictions

logger = logging.getLogger(__name__)


def predict(
    model_path: str | Path,
    dataset_path: str | Path,
    *,
    split: str = "test",
    output: str | Path | None = None,
    calibrate: bool = False,
    threshold: str | None = None,
    abstain_alpha: float | None = None,
    validation: str | Path | None = None,
    update: str | Path | Predictions | None = None,
    device: str | None = None,
    mixed_precision: str = "no",
    progress: bool = False,
) -> Predictions:
    """Score the sequences of a corpus, labelled or not.

    Args:
        model_path: a model file of train_model.
        dataset_path: a corpus encoded with the model's encoder.
        split: ``"train"``, ``"validation"``, ``"test"``, or ``"all"``.
        output: a Parquet file to write: ids, group, split, label, logit, prob.
        calibrate: mend the probabilities by temperature, Platt or isotonic regression, chosen and fitted on the
            labelled validation split; logits and threshold move with them.
        threshold: choose the threshold that goes with the predictions on the validation split by this rule
            (tenor.metrics.objectives.FORMS); None = the model file's.
        abstain_alpha: write to `output`, beside each row, the classes that are not ruled out, each class wrongly for at
            most this share of new groups, and the decision, if one is left (conformal, from validation; see
            write_predictions).
        validation: a corpus of the same encoder, such as the one that the model was trained on, whose labelled
            validation split the three are fitted on; None = the corpus that is scored.
        update: earlier predictions of the model, or their file: sequences that stand there keep their scores, only
            others are scored (see tenor.evaluation.updating). It may be `output` itself.
        device: where to compute; None = the best there is.
        mixed_precision: ``"no"`` or ``"bf16"``.
        progress: show a bar.

    Raises:
        ModelFileError: the file is no sound model, or its encoder is not the corpus's.
        CorpusError: the corpus has no features, or no text for the model's lexical prior.
        SplitError: the split is empty, or there are no labelled validation rows to calibrate or choose on.
        UsageError: an unknown split or rule, alpha out of range or without an output, a validation corpus that nothing
            is fitted on, or an update of predictions that are not of this model and corpus.
        InputError: the predictions to update cannot be read.
    """
    if abstain_alpha is not None and output is None:
        raise UsageError(
            "abstain_alpha: expected an output, which the prediction sets are written to, found none (name one, or fit "
            "the rule to predictions: tenor.evaluation.calibration.fit_abstention)"
        )
    check_request(
        model_path, dataset_path, output,
        calibrate=calibrate, threshold=threshold, abstain_alpha=abstain_alpha, validation=validation,
        progress=progress,
    )  # fmt: skip
    known = read_predictions(update, fingerprints=True) if isinstance(update, str | Path) else update
    if known is not None:
        require_predictions(known, "update")
    scorer = Scorer.open(model_path, start_runtime(device, mixed_precision), progress=progress)
    corpus = open_corpus(dataset_path)
    judge = corpus if validation is None else open_corpus(validation)
    splits = parse_splits(split)
    scorer.require_encoder(corpus)
    scorer.require_encoder(judge)
    view = scorer.find(corpus, splits)
    predictions = scorer.score_view(view, known, fingerprints=fingerprint_conversations(corpus, view.rows))
    scorer.count_labelled_read(view)
    if len(predictions) == 0:
        raise SplitError(
            f"{corpus.path}: expected {scorer.level} sequences in split {split}, found none to score "
            "(score another split, such as 'all')"
        )
    adjustment = scorer.fit_adjustment(
        judge,
        calibrated=calibrate,
        rule=threshold,
        abstain_alpha=abstain_alpha,
        known=None if validation is not None else predictions if "validation" in splits else known,
    )
    if scorer.runtime.is_main:
        left_out = scorer.count_left_out(view, splits)
        if left_out:
            why = "in no split" if split == "all" else f"not in split {split} (split='all' scores all)"
            logger.warning("%s: not scored: %s sequences that are %s", corpus.path, f"{left_out:,}", why)
        for doubt in doubt_texts(scorer.metadata, predictions):
            logger.warning("%s: %s", corpus.path, doubt)
    predictions, sets = adjustment.apply(predictions)
    if output is not None and scorer.runtime.is_main:
        write_predictions(predictions, output, sets=sets)
    return predictions
