"""Who speaks: the texts of a sequence's conversation, told apart by their authors' part in it.

Who opened a conversation and who answered is known for any conversation, whatever the names. Knows nothing of what is
done with the texts.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from itertools import chain, compress
from typing import Literal

import numpy as np
import numpy.typing as npt

from tenor.corpus.messages import read_authors
from tenor.corpus.schema import Level
from tenor.corpus.views import SequenceView
from tenor.errors import UsageError

Integers = npt.NDArray[np.int64]

#: ``own``: all of the sequence's messages. Of a conversation, ``first``: those of the author of its first message;
#: ``rest``: all others'. Of one author in it, ``others``: what everybody else says there, in a large group what is said
#: nearest to the author's own messages.
Voice = Literal["own", "first", "rest", "others"]

#: The voices that a sequence of a level has.
VOICES: dict[Level, tuple[Voice, ...]] = {
    "conversation": ("own", "first", "rest"),
    "author": ("own", "others"),
}

#: Sequences read at a time.
_BLOCK = 256
#: Of what others say beside an author, at most so many messages, or so many for each of the author's own if that is
#: more. In talk of two or a few it is all; in a group of hundreds all would be read hundreds of times.
_LEAST_HEARD, _HEARD_A_MESSAGE = 100, 10


def read_voice(view: SequenceView, voice: Voice, indices: npt.ArrayLike | None = None) -> Iterator[list[str]]:
    """Read some sequences' texts in one voice, a few sequences in memory at a time.

    Args:
        view: sequences; a message that one leaves out is left out of its voices too, but who spoke first is still
            decided by the conversation.
        voice: one that the view's level has.
        indices: which sequences; None = all.

    Yields:
        For each sequence the voice's texts, in order; often none.

    Raises:
        CorpusError: the corpus has no text.
        UsageError: another voice.
    """
    if voice not in VOICES[view.level]:
        raise UsageError(f"voice: expected one of {', '.join(VOICES[view.level])}, found {voice!r}")
    index = np.arange(len(view)) if indices is None else np.asarray(indices, dtype=np.int64)
    for start in range(0, len(index), _BLOCK):
        block = view.select(index[start : start + _BLOCK])
        if voice == "own":
            yield from block.texts()
            continue
        spoken = _add_others(block) if voice == "others" else block
        for texts, is_meant in zip(spoken.texts(), _tell_apart(spoken, block, voice), strict=True):
            yield list(compress(texts, is_meant))


def mark_voice(view: SequenceView, voice: Voice, index: int) -> npt.NDArray[np.bool_]:
    """Which of one sequence's own messages are in a voice: (T,)."""
    block = view.select([index])
    if voice in ("own", "others"):
        return np.full(int(block.lengths[0]), voice == "own")
    return np.array(next(_tell_apart(block, block, voice)), dtype=bool)


def lay_out_voices(view: SequenceView, voices: Sequence[Voice]) -> dict[Voice, tuple[Integers, Integers]]:
    """Which messages are in some voices of the sequences: as `read_voice` reads them, all at a time.

    Args:
        view: as of `read_voice`.
        voices: those of the view's level that are wanted.

    Returns:
        Voice -> the messages as rows among all of the corpus (M,), one sequence's after another; and whose they are,
        as positions in the view (M,).
    """
    everything = np.arange(len(view))
    rows, owners = view.message_rows(everything), np.repeat(everything, view.lengths)
    found: dict[Voice, tuple[Integers, Integers]] = {}
    for voice in voices:
        if voice == "own":
            found[voice] = rows, owners
            continue
        spoken = _add_others(view) if voice == "others" else view
        is_meant = np.array(list(chain(*_tell_apart(spoken, view, voice))), dtype=bool)
        found[voice] = (
            spoken.message_rows(everything)[is_meant],
            np.repeat(everything, spoken.lengths)[is_meant],
        )
    return found


def lay_out_authors(view: SequenceView) -> tuple[Integers, Integers, Integers]:
    """Which messages are each author's in the sequences' conversations, one author after another.

    Args:
        view: conversations; a message that one leaves out is left out here.

    Returns:
        The messages as rows among all of the corpus (M,); which author's each is (M,), rising numbers; and in which
        conversation each author is (A,), as positions in the view, rising. Authors of a conversation are in the order
        of their names, and only those who say something in it are there.
    """
    rows, owners = lay_out_voices(view, ("own",))["own"]
    names, codes = np.unique(read_authors(view.corpus, rows), return_inverse=True)
    num_names = max(1, len(names))
    authors, of_message = np.unique(owners * num_names + codes, return_inverse=True)
    order = np.argsort(of_message, kind="stable")
    return rows[order], of_message[order], authors // num_names


def mark_authors(view: SequenceView, index: int) -> Integers:
    """Who wrote each message of one conversation: (T,) numbers of authors, from 0 on."""
    block = view.select([index])
    rows, authors, _ = lay_out_authors(block)
    return authors[np.argsort(rows)]


def lay_out_turns(view: SequenceView) -> tuple[Integers, Integers, npt.NDArray[np.bool_]]:
    """What the sequences' conversations say, in order, and by whom.

    Central is the author of an author sequence, and of a conversation the author of its first message.

    Args:
        view: sequences; a message that one leaves out is left out here, what others say beside an author is not.

    Returns:
        The messages as rows among all of the corpus (M,), one sequence's after another; whose they are, as positions
        in the view (M,); and whether their author is the central one (M,).
    """
    everything = np.arange(len(view))
    rows, owners = view.message_rows(everything), np.repeat(everything, view.lengths)
    if view.authors is None:
        return rows, owners, np.array(list(chain(*_tell_apart(view, view, "first"))), dtype=bool)
    voices = lay_out_voices(view, ("own", "others"))
    is_central = np.arange(sum(len(found) for found, _ in voices.values())) < len(rows)
    rows, owners = (np.concatenate(parts) for parts in zip(*voices.values(), strict=True))
    order = np.lexsort((rows, owners))
    return rows[order], owners[order], is_central[order]


def count_spoken(view: SequenceView) -> Integers:
    """How many messages are read of each sequence, an author's with what the others say: (S,)."""
    if view.authors is None:
        return view.lengths
    totals = np.diff(view.corpus.message_offsets)[view.conversation_rows()]
    spoken: Integers = np.minimum(totals, view.lengths + _count_heard(view.lengths))
    return spoken


def _count_heard(lengths: Integers) -> Integers:
    """Of how many messages by others is read at most, beside so many of the author's own."""
    return np.maximum(_LEAST_HEARD, _HEARD_A_MESSAGE * lengths)


def _add_others(view: SequenceView) -> SequenceView:
    """The same sequences, an author's, with what is read of the others between their own messages."""
    offsets, rows = view.corpus.message_offsets, view.conversation_rows()
    starts, totals = offsets[rows], np.diff(offsets)[rows]
    lengths = count_spoken(view)
    if (lengths == totals).all():
        return dataclasses.replace(view, starts=starts, lengths=lengths, order=None)
    parts = []
    for index, (start, total, length) in enumerate(
        zip(starts.tolist(), totals.tolist(), lengths.tolist(), strict=True)
    ):
        if length == total:
            parts.append(np.arange(start, start + total))
        else:
            parts.append(start + _nearest(view.message_rows([index]) - start, total, length))
    return dataclasses.replace(
        view, starts=np.cumsum(lengths) - lengths, lengths=lengths, order=np.concatenate(parts)
    )


def _nearest(own: Integers, total: int, count: int) -> Integers:
    """The `own` of so many places and those nearest to any of them, `count` in all, rising.

    Of two that are as near it is the earlier; where none is own it is the first. What this takes grows with `own` and
    `count`, not with `total`: of a group of thousands each author has a turn.
    """
    if len(own) == 0:
        return np.arange(count)
    between = np.diff(own) - 1
    # Distances: up to the lower there are `count` places at most, up to the higher more, or all.
    low, high = 0, total
    while high - low > 1:
        middle = (low + high) // 2
        reached = len(own) + min(int(own[0]), middle) + min(total - 1 - int(own[-1]), middle)
        if reached + int(np.minimum(between, 2 * middle).sum()) <= count:
            low = middle
        else:
            high = middle
    ends = np.minimum(own + low + 1, total)
    begins = np.maximum(own - low, np.append(0, ends[:-1]))
    lengths = ends - begins
    near = np.arange(lengths.sum()) + np.repeat(begins - (np.cumsum(lengths) - lengths), lengths)
    next_ones = np.setdiff1d(np.concatenate([own - low - 1, own + low + 1]), near)
    next_ones = next_ones[(next_ones >= 0) & (next_ones < total)]
    return np.sort(np.append(near, next_ones[: count - len(near)]))


def _tell_apart(spoken: SequenceView, sequences: SequenceView, voice: Voice) -> Iterator[list[bool]]:
    """For each sequence, which messages of `spoken` the voice has."""
    ends = np.cumsum(spoken.lengths)
    names = read_authors(spoken.corpus, spoken.message_rows(np.arange(len(spoken))))
    central = None if sequences.authors is None else np.asarray(sequences.authors)
    if central is None:
        offsets = spoken.corpus.message_offsets
        firsts = np.minimum(offsets[spoken.conversation_rows()], max(int(offsets[-1]) - 1, 0))
        # An empty conversation has no first author, and no message to compare.
        central = read_authors(spoken.corpus, firsts) if offsets[-1] else np.full(len(spoken), "")
    for start, end, name in zip(ends - spoken.lengths, ends, central.tolist(), strict=True):
        is_central = names[start:end] == name
        yield (is_central if voice == "first" else ~is_central).tolist()
