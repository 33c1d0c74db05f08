"""The mean and the spread of features over the messages of some sequences, in one pass of bounded memory.

What a model subtracts and divides by. Knows nothing of models, and not which sequences are for training: the
caller hands in those.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np
import numpy.typing as npt

from tenor.corpus.ordering import blocks_of_messages
from tenor.corpus.views import SequenceView
from tenor.encoding.sharing import Team
from tenor.errors import CorpusError

FloatArray = npt.NDArray[np.float64]

#: Messages gathered at a time, and numbers: each takes some 30 bytes.
_CHUNK_MESSAGES, _CHUNK_NUMBERS = 16_384, 1 << 20


def feature_scaling(view: SequenceView, team: Team | None = None) -> tuple[FloatArray, FloatArray]:
    """Mean and standard deviation of every feature over all messages of a view.

    Chunks are merged by the formulas of Chan, Golub and LeVeque (1983, doi:10.1080/00031305.1983.10483115),
    so no large sums are subtracted from one another. Each process reads its share of the chunks and merges all, so
    that any number of processes computes the bits of one.

    Args:
        view: S sequences of an analyzed corpus, normally those of split train.
        team: the processes that share the reading; None = this one alone.

    Returns:
        mean (F,) and std (F,), float64; std is the population's (divisor M), and 1 for a constant feature.

    Raises:
        CorpusError: no sequences, or a corpus without features.
        ProcessError: another process of the team has gone.
    """
    if len(view) == 0:
        raise CorpusError(f"{view.corpus.path}: expected sequences to scale features by, found none")
    count, mean, squares = 0.0, np.zeros(0), np.zeros(0)
    for chunk_count, chunk_mean, chunk_squares in _measure_chunks(view, team):
        if count == 0:
            count, mean, squares = chunk_count, chunk_mean, chunk_squares
            continue
        total = count + chunk_count
        shift = chunk_mean - mean
        squares = squares + chunk_squares + np.square(shift) * (count * chunk_count / total)
        mean = mean + shift * (chunk_count / total)
        count = total
    std = np.sqrt(squares / count)
    # A constant feature: rounding in the mean may leave a spread of some units in the last place.
    std[std <= 1e-12 * np.abs(mean)] = 1.0
    std[std == 0] = 1.0
    return mean, std


def _measure_chunks(view: SequenceView, team: Team | None) -> Iterator[tuple[float, FloatArray, FloatArray]]:
    """Each chunk's messages, mean and sum of squared distances from it, in order, on every process."""
    width = view.corpus.info.input_size
    size = min(_CHUNK_MESSAGES, max(1, _CHUNK_NUMBERS // (1 if width is None else width)))
    chunks = blocks_of_messages(view.lengths, size)
    rank, processes = (0, 1) if team is None else (team.rank, team.world_size)
    while turn := list(islice(chunks, processes)):
        own = _measure(view, turn[rank]) if rank < len(turn) else np.zeros(0)
        rows = [own]
        if team is not None:
            rows = [np.frombuffer(data) for data in team.gather_bytes(own.tobytes())]
        for row in rows[: len(turn)]:
            mean, squares = np.split(row[1:].copy(), 2)  # bytes that came are read-only
            yield float(row[0]), mean, squares


def _measure(view: SequenceView, indices: npt.NDArray[np.int64]) -> FloatArray:
    """(1 + 2F,) of one chunk."""
    values = view.gather_features(indices).astype(np.float64)  # (M, F)
    mean = values.mean(axis=0)
    return np.concatenate([[len(values)], mean, np.square(values - mean).sum(axis=0)])
