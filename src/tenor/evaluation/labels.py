"""A corpus's labels as the classes of a model, which may have been trained on others.

Knows nothing of scores.
"""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from tenor.corpus.schema import UNLABELLED, Label
from tenor.corpus.views import SequenceView
from tenor.errors import CorpusError, describe_value

logger = logging.getLogger(__name__)


def require_known_labels(view: SequenceView, classes: tuple[Label, ...]) -> None:
    """Refuse to measure on labels that a model was not trained on.

    Args:
        view: the sequences.
        classes: the model's.

    Raises:
        CorpusError: naming them.
    """
    present = {view.classes[index] for index in np.unique(view.labels[view.labels >= 0])}
    unknown = sorted(present - set(classes), key=str)
    if unknown:
        raise CorpusError(
            f"{view.corpus.path}: label {describe_value(unknown)} is unknown to the model, which knows "
            f"{describe_value(classes)} (set it to null, or train a model on it)"
        )


def with_classes(view: SequenceView, classes: tuple[Label, ...]) -> SequenceView:
    """The sequences with their labels as indices into a model's classes; see recode_labels."""
    return replace(view, labels=recode_labels(view, classes), classes=classes)


def recode_labels(view: SequenceView, classes: tuple[Label, ...]) -> npt.NDArray[np.int64]:
    """Labels as a model's class indices, (S,), -1 where unlabelled, or where the model does not know the label."""
    if view.classes == classes:
        return view.labels
    codes = {label: index for index, label in enumerate(classes)}
    table = np.array([codes.get(label, UNLABELLED) for label in view.classes] + [UNLABELLED], dtype=np.int64)
    labels: npt.NDArray[np.int64] = table[view.labels]
    lost = (labels < 0) & (view.labels >= 0)
    if lost.any():
        logger.warning(
            "%s: %d sequences count as unlabelled: the model does not know %s",
            view.corpus.path,
            int(lost.sum()),
            describe_value([view.classes[index] for index in np.unique(view.labels[lost])]),
        )
    return labels
