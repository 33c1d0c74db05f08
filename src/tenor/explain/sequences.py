"""Why a sequence has its score: what each of its messages adds to the logit.

The logit is the network's plus that of the lexical prior, and so is each contribution. Knows nothing of files
of results, or of how they are shown.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tenor.arguments import require_flags
from tenor.batching import SequenceDataset
from tenor.corpus.corpus import Corpus
from tenor.corpus.schema import Conversation, Label
from tenor.errors import UsageError
from tenor.explain.gradients import STEPS, integrate_gradients
from tenor.explain.records import (
    MessageContribution,
    Method,
    NgramContribution,
    SequenceExplanation,
    require_method,
)
from tenor.explain.subsets import SubsetScorer

Floats = npt.NDArray[np.float64]

#: Leaving out one of T messages T times costs T * T messages (and more in attention): minutes from here on.
MAX_LEFT_OUT = 1000

#: N-grams that an explanation lists.
NUM_NGRAMS = 20


def explain_sequence(
    model_path: str | Path,
    dataset_path: str | Path | Corpus,
    conversation_id: str,
    author: str | None = None,
    *,
    method: str = "leave_one_out",
    with_text: bool = False,
    steps: int = STEPS,
    device: str | None = None,
    progress: bool = False,
) -> SequenceExplanation:
    """Explain the score of a conversation, or of an author's messages in one.

    Two methods:

    * ``leave_one_out``: the logit minus the logit without the message; messages that say the same
      then each seem to matter little, for without one the others still stand. The lexical prior is computed
      anew on the text without the message. Exact but for what stays as it was: who opened the conversation is still
      its opener, and features made from neighbours (the encoder ``dynamics``) are those that are stored.
    * ``integrated_gradients``: the network's logit as a sum over messages (see tenor.explain.gradients), plus
      the lexical logit as a sum over the n-grams in them; how the sequence is written, turns and delays belong to no
      single message, and so to the base.

    Of two classes the logit is that of the second, so a contribution above 0 speaks for it; of several it is the
    predicted class's.

    Args:
        model_path: a model file of train_model.
        dataset_path: a corpus encoded with the model's encoder.
        conversation_id: which conversation.
        author: whose messages in it; for a model of level author.
        method: ``"leave_one_out"`` or ``"integrated_gradients"`` (extra [explain]).
        with_text: bring the messages' texts and, for a model with a lexical prior, the n-grams.
        steps: of the integral at first; doubled as long as the sums are not complete.
        device: where to compute; None = the best there is.
        progress: show a bar.

    Raises:
        UsageError: an unknown method, conversation or author, a missing author, or too many messages to leave
            out one by one.
        ModelFileError: the file is no sound model, its encoder is not the corpus's, or it reads whole
            conversations and an author was named.
        CorpusError: the corpus has no features, or no text for the model's lexical prior or `with_text`.
        MissingExtraError: captum is not installed.
    """
    require_flags(with_text=with_text)
    subsets = SubsetScorer.open(model_path, dataset_path, device=device, progress=progress)
    index = subsets.find(conversation_id, author)
    return explain_index(subsets, index, require_method(method), with_text=with_text, steps=steps)


def explain_index(
    subsets: SubsetScorer, index: int, method: Method, *, with_text: bool = False, steps: int = STEPS
) -> SequenceExplanation:
    """Explain one sequence of the subsets' view; see explain_sequence."""
    found = contribute(subsets, index, method, steps=steps)
    view, metadata = subsets.view, subsets.scorer.metadata
    conversation, places = _read_conversation(subsets, index)
    texts = next(view.texts([index])) if with_text else None
    lexical = subsets.scorer.lexical
    messages = tuple(
        MessageContribution(
            position=place + 1,
            author=conversation.authors[place],
            contribution=network + prior,
            network=network,
            lexical=None if lexical is None else prior,
            text=text,
        )
        for place, network, prior, text in zip(
            places,
            found.network.tolist(),
            found.lexical.tolist(),
            [None] * len(places) if texts is None else texts,
            strict=True,
        )
    )
    return SequenceExplanation(
        conversation_id=conversation.conversation_id,
        author=None if view.authors is None else view.authors[index],
        level=view.level,
        split=view.splits[index],
        label=label_of(subsets, index),
        predicted=metadata.classes[found.predicted],
        target=metadata.classes[found.target],
        prob=found.prob,
        logit=found.logit,
        threshold=metadata.threshold,
        method=method,
        base=found.base,
        remainder=found.logit - found.base - float((found.network + found.lexical).sum()),
        messages=messages,
        ngrams=None if texts is None or lexical is None else _list_ngrams(subsets, index, found.target),
    )


@dataclass(frozen=True, eq=False)
class Contributions:
    """The numbers of an explanation, without names and texts; see SequenceExplanation.

    Attributes:
        network: (T,) float64.
        lexical: (T,) float64; 0 for a model without a prior.
        predicted, target: class indices.
    """

    network: Floats
    lexical: Floats
    base: float
    logit: float
    prob: float
    predicted: int
    target: int


def contribute(subsets: SubsetScorer, index: int, method: Method, *, steps: int = STEPS) -> Contributions:
    """Each message's contribution to the logit of one sequence; see explain_sequence."""
    if method == "leave_one_out":
        return _leave_one_out(subsets, index)
    return _integrate(subsets, index, steps)


def _leave_one_out(subsets: SubsetScorer, index: int) -> Contributions:
    length = int(subsets.view.lengths[index])
    if length > MAX_LEFT_OUT:
        raise UsageError(
            f"the sequence has {length:,} messages, too many to leave out one by one (at most {MAX_LEFT_OUT:,}): "
            "use the method integrated_gradients"
        )
    keep = np.ones((length + 2, length), dtype=bool)  # the whole, without each, and nothing at all
    keep[1:-1] = ~np.eye(length, dtype=bool)
    keep[-1] = False
    scores = subsets.score(index, keep)
    predicted, target, prob = subsets.predict(scores.total[0])
    parts = scores.of_class(target)
    return Contributions(
        network=parts.network[0] - parts.network[1:-1],
        lexical=parts.lexical[0] - parts.lexical[1:-1],
        base=float(parts.total[-1]),
        logit=float(parts.total[0]),
        prob=prob,
        predicted=predicted,
        target=target,
    )


def _integrate(subsets: SubsetScorer, index: int, steps: int) -> Contributions:
    model, lexical = subsets.scorer.model, subsets.scorer.lexical
    scores = subsets.score_whole(np.array([index]))
    predicted, target, prob = subsets.predict(scores.total[0])
    batch = SequenceDataset(subsets.view).batch(np.array([index])).to(subsets.scorer.runtime.device)
    targets = None if model.num_classes == 2 else np.array([target])
    found = integrate_gradients(model, batch, targets, steps=steps)
    base, prior = float(found.base[0]), np.zeros(found.contributions.shape[1])
    if lexical is not None:
        column = 0 if targets is None else target
        by_message, rest = lexical.message_contributions(subsets.view, index)
        prior = by_message[:, column]
        base += float(rest[column])
    return Contributions(
        network=found.contributions[0],
        lexical=prior,
        base=base,
        logit=float(scores.of_class(target).total[0]),
        prob=prob,
        predicted=predicted,
        target=target,
    )


def label_of(subsets: SubsetScorer, index: int) -> Label | None:
    """A sequence's label as the user wrote it; None = unlabelled."""
    code = int(subsets.view.labels[index])
    return None if code < 0 else subsets.view.classes[code]


def _read_conversation(subsets: SubsetScorer, index: int) -> tuple[Conversation, list[int]]:
    """The conversation of a sequence, and which of its messages the sequence has (from 0)."""
    view = subsets.view.select([index])
    row = int(view.conversation_rows()[0])
    places = view.message_rows([0]) - view.corpus.message_offsets[row]
    return next(view.corpus.conversations(row, row + 1)), places.tolist()


def _list_ngrams(subsets: SubsetScorer, index: int, target: int) -> tuple[NgramContribution, ...]:
    """The n-grams of the sequence's own texts that add most to the target's lexical logit."""
    lexical = subsets.scorer.lexical
    if lexical is None:
        return ()
    column = 0 if lexical.num_outputs == 1 else target
    found = lexical.ngram_contributions(subsets.view, index)
    listed = [NgramContribution(ngram, float(weights[column])) for ngram, weights in found.items()]
    listed.sort(key=lambda each: (-abs(each.contribution), each.ngram))
    return tuple(listed[:NUM_NGRAMS])
