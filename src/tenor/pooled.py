"""Pooled features: mean and maximum over a sequence's messages, and its log length.

Beside n-grams a linear model of these is the other simple view of a sequence that is hard to beat; as a baseline it
stands by itself, and in a SequenceClassifier it is where the network's correction starts. Knows nothing of texts.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tenor.corpus.ordering import blocks_of_messages
from tenor.corpus.views import SequenceView

Table = npt.NDArray[np.float32]

_CHUNK_BYTES = 4 << 20  # of features gathered at a time, in float32


def pool_features(view: SequenceView) -> Table:
    """(S, 2F + 1): mean and maximum of each feature over the messages, and log(1 + messages).

    A sequence without messages has zeros.
    """
    num_features = view.corpus.info.input_size
    width = 0 if num_features is None else num_features
    table = np.zeros((len(view), 2 * width + 1), dtype=np.float32)
    filled = np.flatnonzero(view.lengths > 0)
    for block in blocks_of_messages(view.lengths[filled], max(1, _CHUNK_BYTES // (4 * max(1, width)))):
        indices = filled[block]
        lengths = view.lengths[indices]
        features = view.gather_features(indices).astype(np.float32, copy=False)  # (M, F)
        starts = np.cumsum(lengths) - lengths
        table[indices, :width] = np.add.reduceat(features, starts, axis=0) / lengths[:, None]
        table[indices, width:-1] = np.maximum.reduceat(features, starts, axis=0)
    table[:, -1] = np.log1p(view.lengths)
    return table
