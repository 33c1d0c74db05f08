"""The rows that the model is most wrong about, with what led to each.

Reads labels and scores from predictions, messages from the corpus. Knows nothing of reports.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tenor.aggregation.trained import TRAINED
from tenor.arguments import require_flags
from tenor.corpus.corpus import Corpus
from tenor.errors import ModelFileError
from tenor.evaluation.mistakes import find_errors, predict_classes
from tenor.explain.profiles import MAX_TRAINED, explain_author, find_sequences
from tenor.explain.records import Method, WrongPrediction, require_method
from tenor.explain.sequences import MAX_LEFT_OUT, explain_index
from tenor.explain.subsets import SubsetScorer
from tenor.predictions import Predictions


def worst_errors(
    predictions: Predictions,
    corpus: str | Path | Corpus,
    model_path: str | Path,
    count: int = 5,
    *,
    split: str = "test",
    method: str = "leave_one_out",
    aggregation: str = "mean",
    with_text: bool = False,
    device: str | None = None,
) -> tuple[WrongPrediction, ...]:
    """The labelled rows of a split that the model decides wrongly and is most wrong about, worst first.

    How wrong: by the probability that it gave to the true class (of counts of votes by the distance from the
    threshold); of equals, the first by id. See ``find_errors``.

    Args:
        predictions: of any level, made by the model.
        corpus: that was scored, or its path.
        model_path: the model.
        count: at most so many.
        split: of the rows.
        method: see explain_sequence; a sequence too long for ``leave_one_out`` comes without messages.
        aggregation: that made the scores, at level profile: a fixed one, or ``"trained"``.
        with_text: bring the messages' texts.
        device: where to compute; None = the best there is.

    Raises:
        ModelFileError: another model made the predictions, or it does not fit the corpus.
        UsageError: a row that is not in the corpus, or an unknown split or method.
    """
    require_flags(with_text=with_text)
    checked = require_method(method)
    rows = find_errors(predictions.in_split(split).labelled(), count)
    subsets = SubsetScorer.open(model_path, corpus, device=device)
    if predictions.model_hash and predictions.model_hash != subsets.scorer.hash:
        raise ModelFileError(
            f"the predictions are those of {predictions.model} (hash {predictions.model_hash[:12]}), "
            f"{subsets.scorer.path} has the hash {subsets.scorer.hash[:12]} (predict again)"
        )
    return tuple(
        _explain_row(subsets, rows, row, checked, aggregation, with_text) for row in range(len(rows))
    )


def _explain_row(
    subsets: SubsetScorer,
    rows: Predictions,
    row: int,
    method: Method,
    aggregation: str,
    with_text: bool,
) -> WrongPrediction:
    predicted = int(predict_classes(rows)[row])
    conversation_id = None if rows.conversation_ids is None else rows.conversation_ids[row]
    author = None if rows.authors is None else rows.authors[row]
    wrong = WrongPrediction(
        conversation_id=conversation_id,
        author=author,
        label=rows.classes[rows.labels[row]],
        predicted=rows.classes[predicted],
        prob=float(rows.probs[row] if rows.probs.ndim == 1 else rows.probs[row, predicted]),
    )
    if conversation_id is None:
        subsets.scorer.require_level("author")
        count = len(find_sequences(subsets, str(author), rows.splits[row]))
        if aggregation == TRAINED and count > MAX_TRAINED:
            return wrong
        profile = explain_author(subsets, str(author), aggregation, rows.splits[row])
        return replace(wrong, conversations=profile.conversations, remark=profile.remark)
    index = subsets.find(conversation_id, author)
    if method == "leave_one_out" and subsets.view.lengths[index] > MAX_LEFT_OUT:
        return wrong
    return replace(wrong, messages=explain_index(subsets, index, method, with_text=with_text).messages)
