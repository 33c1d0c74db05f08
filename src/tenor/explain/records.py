"""What explanations are made of: plain records, ready for a table, for JSON or for a report.

Knows nothing of models, corpora or torch. Texts stay out of every repr.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from tenor.corpus.schema import Label
from tenor.errors import UsageError

Method = Literal["leave_one_out", "integrated_gradients"]
METHODS: tuple[Method, ...] = get_args(Method)


@dataclass(frozen=True)
class MessageContribution:
    """One message and what it adds to the logit.

    Attributes:
        position: in its conversation, from 1.
        author: who wrote it.
        contribution: to the logit of the explanation's target class: ``network + lexical``.
        network: the part of the network.
        lexical: the part of the lexical prior; None for a model without one.
        text: None unless asked for.
    """

    position: int
    author: str
    contribution: float
    network: float
    lexical: float | None = None
    text: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class NgramContribution:
    """An n-gram of the sequence's text and what it adds to the logit of the lexical prior."""

    ngram: str = field(repr=False)
    contribution: float


@dataclass(frozen=True)
class SequenceExplanation:
    """Why a sequence has its score: ``logit = base + sum of contributions + remainder``.

    Attributes:
        conversation_id: the conversation.
        author: whose messages these are; None at level conversation.
        level: of the model.
        split: of the sequence; "" = in none.
        label: as the user wrote it; None = unlabelled.
        predicted: the class that the model chooses.
        target: the class whose logit is explained: the second of two, else the predicted one.
        prob: of the target class.
        logit: of the target class.
        threshold: of `prob`, for two classes; None = 0.5.
        method: ``leave_one_out`` or ``integrated_gradients``.
        base: the logit without evidence: with leave_one_out that of no messages at all, with
            integrated_gradients that of average messages that say no n-gram.
        remainder: what the contributions leave open: with leave_one_out what messages do only together (or
            each as well as the other), with integrated_gradients the error of the integral.
        messages: in order.
        ngrams: of the lexical prior, by falling magnitude; None unless texts were asked for.
    """

    conversation_id: str
    author: str | None
    level: str
    split: str
    label: Label | None
    predicted: Label
    target: Label
    prob: float
    logit: float
    threshold: float | None
    method: Method
    base: float
    remainder: float
    messages: tuple[MessageContribution, ...]
    ngrams: tuple[NgramContribution, ...] | None = None

    @property
    def contributions(self) -> npt.NDArray[np.float64]:
        """(T,) each message's contribution to the logit."""
        return np.array([message.contribution for message in self.messages])


@dataclass(frozen=True)
class ConversationContribution:
    """One conversation of a profile and what it adds to the profile's score.

    Attributes:
        conversation_id: the conversation.
        length: the author's messages in it.
        prob: of the explanation's target class, for this conversation alone.
        contribution: the profile's score minus the score without this conversation.
    """

    conversation_id: str
    length: int
    prob: float
    contribution: float


@dataclass(frozen=True)
class ProfileExplanation:
    """Why a profile has its score.

    Attributes:
        author: whose profile.
        split: of the profile; "" = in none.
        aggregation: one of tenor.aggregation.fixed.AGGREGATIONS, or ``"trained"``.
        label: the most frequent of the sequences' labels; None = unlabelled.
        target: the class whose score is explained: the second of two, else the one of the highest score.
        score: of the target class.
        threshold: of the score, where the model file has one for this aggregation.
        conversations: in the corpus's order.
        remark: why the contributions say nothing, in a sentence; None where they do.
    """

    author: str
    split: str
    aggregation: str
    label: Label | None
    target: Label
    score: float
    threshold: float | None
    conversations: tuple[ConversationContribution, ...]
    remark: str | None = None

    @property
    def contributions(self) -> npt.NDArray[np.float64]:
        """(S,) each conversation's contribution to the score."""
        return np.array([conversation.contribution for conversation in self.conversations])


@dataclass(frozen=True)
class WrongPrediction:
    """A row that the model decides wrongly and is most wrong about.

    Attributes:
        conversation_id: None at level profile.
        author: None at level conversation.
        label: the true class, as the user wrote it.
        predicted: the class that the model chose.
        prob: of the positive class; with several classes, of the predicted one.
        messages: in order; empty at level profile, and for a sequence too long to explain.
        conversations: of a profile; empty at the other levels.
        remark: of the profile's explanation.
    """

    conversation_id: str | None
    author: str | None
    label: Label
    predicted: Label
    prob: float
    messages: tuple[MessageContribution, ...] = ()
    conversations: tuple[ConversationContribution, ...] = ()
    remark: str | None = None


def require_method(method: str) -> Method:
    """Check the name of a method.

    Raises:
        UsageError: it is none of METHODS.
    """
    for known in METHODS:
        if method == known:
            return known
    raise UsageError(f"method must be one of {', '.join(METHODS)}, not {method!r}")
