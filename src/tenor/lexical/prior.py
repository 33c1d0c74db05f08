"""The lexical prior: several models of a sequence's words, one a part, and one of its surface; their logits add up.

A part is a voice (see ``corpus.voices``) read as one text; its own text once more by its characters alone, by the
words and by the characters that occur; or the strongest single message. The surface is how it was written, turns and
delays (``surface``). Each has been weighed before it gets here; those that did not help are left out. Knows nothing of
how the weights were found.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tenor.corpus.sampling import blocks_of_texts
from tenor.corpus.views import SequenceView
from tenor.corpus.voices import Voice, count_spoken, mark_authors, mark_voice
from tenor.lexical.authors import AuthorsModel
from tenor.lexical.familiarity import mark_known_words, share_known_words
from tenor.lexical.model import LexicalModel
from tenor.lexical.parts import (
    PARTS,
    Part,
    Tensors,
    count_voice,
    join_names,
    naming,
    read_parts,
    require_parts,
    require_same_outputs,
    split_names,
    voice_of,
)
from tenor.lexical.peaks import score_peaks
from tenor.lexical.spoken import SpokenCounts
from tenor.lexical.surface import SurfaceModel, describe_surface

FloatArray = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

#: The names of the surface's tensors and of the authors', beside those of the parts.
SURFACE, AUTHORS = "surface", "authors"


@dataclass(frozen=True, slots=True)
class LexicalPrior:
    """Fitted models by part; a sequence's logits are the sum of theirs.

    Attributes:
        models: at least one, in the order of PARTS.
        surface: None where it has no weight.
        authors: of conversations, likewise; None where authors have no labels too.
    """

    models: dict[Part, LexicalModel]
    surface: SurfaceModel | None = None
    authors: AuthorsModel | None = None

    def __post_init__(self) -> None:
        require_parts(self.models)
        outputs: dict[str, int] = {name: len(model.intercept) for name, model in self.models.items()}
        if self.surface is not None:
            outputs[SURFACE] = len(self.surface.linear.intercept)
        if self.authors is not None:
            outputs[AUTHORS] = len(self.authors.linear.intercept)
        require_same_outputs(outputs)

    @property
    def num_outputs(self) -> int:
        """1 for two classes, else C."""
        return len(next(iter(self.models.values())).intercept)

    def logits(self, view: SequenceView) -> FloatArray:
        """Score a view's sequences: (S,) for two classes, (S, C) for more; see `read`."""
        return self.read(view)[0]

    def read(self, view: SequenceView) -> tuple[FloatArray, FloatArray]:
        """Score a view's sequences, a block of texts at a time, and say how much of their own words is known.

        Returns:
            Logits, (S,) for two classes, (S, C) for more; and shares, (S,), of share_known_words.

        Raises:
            CorpusError: the corpus has no text.
        """
        scores = np.zeros((len(view),) if self.num_outputs == 1 else (len(view), self.num_outputs))
        shares, is_known = np.zeros(len(view)), mark_known_words(self.models.values())
        for rows in blocks_of_texts(view, self.count_read(view)):
            scores[rows], shares[rows] = self._read_block(view.select(rows), is_known)
        return scores, shares

    def count_read(self, view: SequenceView) -> Integers:
        """How many messages are read to score each of a view's sequences: (S,)."""
        return count_spoken(view) if self.reads_others else view.lengths

    @property
    def reads_others(self) -> bool:
        """Whether an author's score depends on what others say in the conversation."""
        return self.surface is not None or "others" in self.models

    def _read_block(
        self, view: SequenceView, is_known: npt.NDArray[np.bool_]
    ) -> tuple[FloatArray, FloatArray]:
        voices: list[Voice] = ["own", *(voice_of(part) for part in self.models)]
        spoken = SpokenCounts.of(view, voices, with_authors=self.authors is not None)
        counted, counts = None, None  # the voice whose n-grams are counted, once for all parts that read it
        total: FloatArray = np.zeros(1)
        for part, model in self.models.items():
            if part == "peak":
                total = total + score_peaks(model, spoken.messages.counts, *spoken.voices["own"], len(view))
                continue
            voice = voice_of(part)
            if voice != counted or counts is None:
                counted, counts = voice, spoken.count(voice)
            total = total + model.logits(counts)
        if self.authors is not None:
            total = total + self.authors.logits(spoken.count("authors"), spoken.conversations, len(view))
        if self.surface is not None:
            total = total + self.surface.logits(describe_surface(view))
        return total, share_known_words(spoken, is_known)

    def message_contributions(self, view: SequenceView, index: int) -> tuple[FloatArray, FloatArray]:
        """What each of one sequence's own messages adds to its logit.

        A voice's text is shared out as LexicalModel.message_contributions says; the peak belongs to the message that
        is it, and what an author adds to the author's messages; what others say and the surface belong to no message
        of the sequence, and so to the rest.

        Returns:
            (T, K) for the messages and (K,) for the rest, which add up to the logit; K = 1 for two classes, else C.
        """
        texts = next(view.texts([index]))
        found, rest = np.zeros((len(texts), self.num_outputs)), np.zeros(self.num_outputs)
        if self.surface is not None:
            rest += self.surface.logits(describe_surface(view.select([index]))).reshape(-1)
        if self.authors is not None:
            by_message, base = self.authors.message_contributions(texts, mark_authors(view, index))
            found, rest = found + by_message, rest + base
        for part, model in self.models.items():
            rest += model.intercept
            if part == "peak":
                if texts:
                    scores = model.logits(texts).reshape(len(texts), -1)
                    winners = scores.argmax(axis=0)
                    columns = np.arange(self.num_outputs)
                    found[winners, columns] += scores[winners, columns] - model.intercept
            elif part == "others":
                counts = count_voice(view.select([index]), part)
                rest += model.logits(counts).reshape(-1) - model.intercept
            else:
                meant = mark_voice(view, voice_of(part), index)
                spoken = [text for text, is_meant in zip(texts, meant.tolist(), strict=True) if is_meant]
                if spoken:
                    found[meant] += model.message_contributions(spoken).reshape(len(spoken), -1)
        return found, rest

    def ngram_contributions(self, view: SequenceView, index: int) -> dict[str, FloatArray]:
        """What each n-gram of one sequence's own messages adds to its logit: n-gram -> (K,)."""
        texts = next(view.texts([index]))
        found: dict[str, FloatArray] = {}
        for part, model in self.models.items():
            for column, text in _spoken_texts(model, part, view, index, texts):
                for ngram, weight in model.contributions(text):
                    total = found.setdefault(ngram, np.zeros(self.num_outputs))
                    total[column] += np.atleast_1d(weight)[column]
        if self.authors is not None:
            for ngram, weight in self.authors.ngram_contributions(texts, mark_authors(view, index)):
                found[ngram] = found.get(ngram, np.zeros(self.num_outputs)) + weight
        return found

    def to_tensors(self) -> Tensors:
        """The state as named arrays, ``part.name``; from_tensors takes them back."""
        found: dict[str, Tensors] = {str(part): model.to_tensors() for part, model in self.models.items()}
        if self.surface is not None:
            found[SURFACE] = self.surface.to_tensors()
        if self.authors is not None:
            found[AUTHORS] = self.authors.to_tensors()
        return join_names(found)

    @classmethod
    def from_tensors(cls, tensors: Tensors) -> LexicalPrior:
        """Take back what to_tensors gave; names without a part are those of ``own``, as in the first files.

        Raises:
            UsageError: an unknown part, or arrays that are not a part's (see LexicalModel.from_tensors).
        """
        by_part = split_names(tensors, (*PARTS, SURFACE, AUTHORS))
        surface, authors = None, None
        if SURFACE in by_part:
            with naming(SURFACE):
                surface = SurfaceModel.from_tensors(by_part[SURFACE])
        if AUTHORS in by_part:
            with naming(AUTHORS):
                authors = AuthorsModel.from_tensors(by_part[AUTHORS])
        return cls(read_parts(by_part), surface, authors)


def _spoken_texts(
    model: LexicalModel, part: Part, view: SequenceView, index: int, texts: list[str]
) -> Iterator[tuple[list[int], str]]:
    """Which of one sequence's own texts a part reads, and for which outputs (their columns)."""
    columns = list(range(len(model.intercept)))
    if part == "peak":
        if texts:
            winners = model.logits(texts).reshape(len(texts), -1).argmax(axis=0)
            for winner in np.unique(winners):
                yield np.flatnonzero(winners == winner).tolist(), texts[winner]
    elif part != "others":
        meant = mark_voice(view, voice_of(part), index).tolist()
        spoken = [text for text, is_meant in zip(texts, meant, strict=True) if is_meant]
        if spoken:
            yield columns, "\n".join(spoken)
