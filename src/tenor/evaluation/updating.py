"""Earlier predictions in place of scoring again: which rows still hold, and the proof that they do.

A row holds for the sequence of the same id whose conversation has the same fingerprint; in predictions without these,
the same number of messages, its own and, where they are read, the others'. A few are scored again, so that predictions
of other features, or mended ones, are not taken for the model's.
Knows nothing of how scores come to be.
"""

from __future__ import annotations

from itertools import pairwise, starmap

import numpy as np
import numpy.typing as npt

from tenor.corpus.fingerprints import Fingerprints
from tenor.corpus.views import SequenceView
from tenor.errors import UsageError, describe_value
from tenor.models.model_file import ModelMetadata
from tenor.predictions import Predictions
from tenor.seeding import numpy_generator
from tenor.strings import find_rows

Integers = npt.NDArray[np.int64]

#: Sequences are looked up in so many parts: the strings of all take as much memory as their scores.
_PARTS = 8

#: Known rows that are scored again.
PROVEN_ROWS = 64

#: How far a logit may lie from the known one (times its size, above 1): what batches of other sequences change in
#: float32, and in bfloat16.
_TOLERANCE, _COARSE_TOLERANCE = 1e-4, 0.1

_OTHER_MODEL = "they are of another model, such as before a training anew: predict all anew, without --update"
_ADJUSTED = (
    "nothing goes on from what is calibrated or has another threshold: keep a file of the scores as the model gives "
    "them, update that, and make the adjusted one from it with --update"
)


def require_same_model(known: Predictions, level: str, metadata: ModelMetadata, digest: str) -> None:
    """Refuse predictions of another model, or not as the model gives them.

    Args:
        known: the earlier predictions.
        level: the model's.
        metadata: the model's.
        digest: the model file's hash.

    Raises:
        UsageError: naming what differs, with the remedy.
    """
    for what, found, expected, remedy in (
        ("level", known.level, level, _OTHER_MODEL),
        ("classes", known.classes, metadata.classes, _OTHER_MODEL),
        ("model hash", known.model_hash[:12], digest[:12], _OTHER_MODEL),
        ("calibration", known.calibration, None, _ADJUSTED),
        ("threshold", known.threshold, metadata.threshold, _ADJUSTED),
    ):
        if found != expected:
            raise UsageError(
                f"earlier predictions: expected this model's, with {what} {describe_value(expected)}, found {what} "
                f"{describe_value(found)} ({remedy})"
            )


def find_known_rows(
    view: SequenceView,
    known: Predictions,
    fingerprints: Fingerprints | None = None,
    *,
    reads_others: bool = False,
) -> Integers:
    """The row of each sequence in earlier predictions: (S,), -1 where none holds for it.

    Args:
        view: the sequences.
        known: the earlier predictions.
        fingerprints: (S,) of the sequences' conversations now; compared where the earlier predictions have theirs.
        reads_others: an author's score depends on the others' messages too; then a row holds only if the known rows
            of its conversation account for all of its messages.
    """
    wanted = [column for column in (view.conversation_ids, view.authors) if column is not None]
    found = np.empty(len(view), np.int64)
    bounds = np.linspace(0, len(view), _PARTS + 1).astype(np.int64)
    for rows in starmap(slice, pairwise(bounds.tolist())):
        found[rows] = find_rows(known.id_columns, [column[rows] for column in wanted])
    if len(known):
        found[(found >= 0) & (known.lengths[found] != view.lengths)] = -1
    if len(known) and fingerprints is not None and known.fingerprints is not None:
        found[(found >= 0) & (known.fingerprints[found] != fingerprints)] = -1
    elif len(known) and reads_others and known.conversation_ids is not None:
        counted = np.bincount(known.conversation_ids.codes, weights=known.lengths)
        messages = np.diff(view.corpus.message_offsets)[view.rows]
        found[(found >= 0) & (counted[known.conversation_ids.codes[found]] != messages)] = -1
    return found


def draw_proof(rows: Integers) -> Integers:
    """Some of the sequences with a known row, in order: the same draw for the same rows."""
    known = np.flatnonzero(rows >= 0)
    if len(known) <= PROVEN_ROWS:
        return known
    return np.sort(numpy_generator(0, "proof", len(known)).choice(known, PROVEN_ROWS, replace=False))


def require_same_scores(
    scored: npt.NDArray[np.float64], known: npt.NDArray[np.float64], *, exact: bool
) -> None:
    """Refuse known logits that scoring again does not confirm.

    Args:
        scored: (N,) or (N, C) logits, now.
        known: their known values.
        exact: whether the model computes in float32.

    Raises:
        UsageError: with the largest difference.
    """
    differences, tolerance = np.abs(scored - known), _TOLERANCE if exact else _COARSE_TOLERANCE
    if not (differences <= tolerance * np.maximum(1.0, np.abs(known))).all():
        largest = float(differences.max())
        raise UsageError(
            f"update: expected scores of this model on this corpus, found some that differ by {largest:.3g} from "
            "what it gives now: they were calibrated, or the messages have changed (predict anew, without update)"
        )
