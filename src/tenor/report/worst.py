"""The worst errors of a level as the report holds them, with what led to each where a model can say so.

torch is loaded only where contributions are computed. Knows nothing of how errors look, or of what may be shown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tenor.aggregation.fixed import AGGREGATIONS
from tenor.aggregation.trained import TRAINED
from tenor.corpus.corpus import Corpus
from tenor.errors import UsageError
from tenor.evaluation.mistakes import find_errors, predict_classes
from tenor.predictions import Predictions
from tenor.report.content import ErrorMessage, WorstError
from tenor.report.levels import ScoredLevel

if TYPE_CHECKING:
    from tenor.explain.records import WrongPrediction


def require_count(num_errors: object) -> None:
    """Refuse what is no number of errors to show.

    Raises:
        UsageError: no whole number from 0 on.
    """
    if isinstance(num_errors, bool) or not isinstance(num_errors, int | np.integer) or num_errors < 0:
        raise UsageError(f"num_errors: expected a whole number from 0 on, found {num_errors!r:.80}")


def find_worst(
    level: ScoredLevel,
    corpus: Corpus | None = None,
    count: int = 5,
    *,
    with_text: bool = False,
    device: str | None = None,
) -> tuple[WorstError, ...]:
    """The test rows that the model decides wrongly and is most wrong about, worst first.

    Args:
        level: with its model's file, for contributions: each message's in a sequence, each conversation's in a
            profile (of a fixed aggregation, or of the model's own).
        corpus: that was scored; without it errors come bare.
        count: at most so many.
        with_text: bring the messages' texts, where the corpus has them.
        device: where the model computes.
    """
    if count < 1:
        return ()
    explained = level.predictions.level != "profile" or level.name in (TRAINED, *AGGREGATIONS)
    if corpus is None or level.model_path is None or not explained:
        return _find_bare(level.predictions, count)
    from tenor.explain.worst import worst_errors

    options: dict[str, Any] = {"aggregation": level.name} if level.predictions.level == "profile" else {}
    found = worst_errors(
        level.predictions,
        corpus,
        level.model_path,
        count,
        with_text=with_text and corpus.has_text,
        device=device,
        **options,
    )
    return tuple(_to_error(wrong) for wrong in found)


def _find_bare(predictions: Predictions, count: int) -> tuple[WorstError, ...]:
    rows = find_errors(predictions.in_split("test").labelled(), count)
    errors = []
    for row, chosen in enumerate(predict_classes(rows).tolist()):
        prob = rows.probs[row] if rows.probs.ndim == 1 else rows.probs[row, chosen]
        errors.append(
            WorstError(
                conversation_id=None if rows.conversation_ids is None else rows.conversation_ids[row],
                author=None if rows.authors is None else rows.authors[row],
                label=rows.classes[rows.labels[row]],
                predicted=rows.classes[chosen],
                prob=float(prob),
            )
        )
    return tuple(errors)


def _to_error(wrong: WrongPrediction) -> WorstError:
    """An explained error; a profile's conversations stand where a sequence's messages do."""
    messages = [
        ErrorMessage(message.author, message.text, message.contribution) for message in wrong.messages
    ]
    messages += [
        ErrorMessage(
            conversation.conversation_id,
            None,
            None if wrong.remark is not None else conversation.contribution,
        )
        for conversation in wrong.conversations
    ]
    return WorstError(
        conversation_id=wrong.conversation_id,
        author=wrong.author,
        label=wrong.label,
        predicted=wrong.predicted,
        prob=wrong.prob,
        messages=tuple(messages),
    )
