"""The mean and the spread of features over the messages of some sequences, in one pass of bounded memory.

What a model subtracts and divides by. Knows nothing of models, and not which sequences are for training: the
caller hands in those.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tenor.corpus.views import SequenceView
from tenor.errors import CorpusError

FloatArray = npt.NDArray[np.float64]

#: Messages gathered at a time, and numbers: each takes some 30 bytes.
_CHUNK_MESSAGES, _CHUNK_NUMBERS = 16_384, 1 << 20


def feature_scaling(view: SequenceView) -> tuple[FloatArray, FloatArray]:
    """Mean and standard deviation of every feature over all messages of a view.

    Chunks are merged by the formulas of Chan, Golub and LeVeque (1983, doi:10.1080/00031305.1983.10483115),
    so no large sums are subtracted from one another.

    Args:
        view: S sequences of an analyzed corpus, normally those of split train.

    Returns:
        mean (F,) and std (F,), float64; std is the population's (divisor M), and 1 for a constant feature.

    Raises:
        CorpusError: no sequences, or a corpus without features.
    """
    if len(view) == 0:
        raise CorpusError(f"{view.corpus.path}: expected sequences to scale features by, found none")
    count, mean, squares = 0, np.zeros(0), np.zeros(0)
    width = view.corpus.info.input_size
    num_messages = min(_CHUNK_MESSAGES, max(1, _CHUNK_NUMBERS // (1 if width is None else width)))
    for indices in _chunks(view.lengths, num_messages):
        values = view.gather_features(indices).astype(np.float64)  # (M, F)
        chunk_mean = values.mean(axis=0)
        chunk_squares = np.square(values - chunk_mean).sum(axis=0)
        if count == 0:
            count, mean, squares = len(values), chunk_mean, chunk_squares
            continue
        total = count + len(values)
        shift = chunk_mean - mean
        squares = squares + chunk_squares + np.square(shift) * (count * len(values) / total)
        mean = mean + shift * (len(values) / total)
        count = total
    std = np.sqrt(squares / count)
    # A constant feature: rounding in the mean may leave a spread of some units in the last place.
    std[std <= 1e-12 * np.abs(mean)] = 1.0
    std[std == 0] = 1.0
    return mean, std


def _chunks(lengths: npt.NDArray[np.int64], num_messages: int) -> list[npt.NDArray[np.int64]]:
    """Sequence numbers in order, in groups of about so many messages, none empty."""
    first = np.cumsum(lengths) - lengths
    group = first // num_messages
    return np.split(np.arange(len(lengths)), np.flatnonzero(np.diff(group)) + 1)
