"""The lexical prior: several models of a sequence's words, one a part, and one of its surface; their logits add up.

A part is a voice (see ``corpus.voices``) read as one text; its own text once more by its characters alone, by the
words and by the characters that occur; or the strongest single message. The surface is how it was written, turns and
delays (``surface``). Each has been weighed before it gets here; those that did not help are left out. Knows nothing of
how the weights were found.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from tenor.corpus.sampling import blocks_of_texts
from tenor.corpus.schema import Level
from tenor.corpus.views import SequenceView
from tenor.corpus.voices import VOICES, Voice, count_spoken, mark_voice, read_voice
from tenor.errors import UsageError
from tenor.lexical.fitting import BAYES, CHARACTER_BAYES, CHARACTERS, TFIDF, Recipe, fit_out_of_fold
from tenor.lexical.model import LexicalModel
from tenor.lexical.peaks import fit_peaks, score_peaks
from tenor.lexical.spoken import SpokenCounts
from tenor.lexical.surface import SurfaceModel, describe_surface
from tenor.lexical.weighting import are_in, count_texts

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

FloatArray = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

#: A voice's whole text; of the own one its characters, so that the blend finds how much they weigh beside words, and
#: its words and its characters by naive Bayes' ratios; or the strongest of the sequence's own messages.
Part = Voice | Literal["bayes", "characters", "character_bayes", "peak"]
#: The name of the surface's tensors, beside those of the parts.
SURFACE = "surface"
PARTS: tuple[Part, ...] = ("own", "bayes", "characters", "character_bayes", "first", "rest", "others", "peak")

#: How the parts are fitted that are not plain TF-IDF of all n-grams; they read the own voice.
_RECIPES: dict[Part, Recipe] = {"bayes": BAYES, "characters": CHARACTERS, "character_bayes": CHARACTER_BAYES}


def parts_of(level: Level, *, with_context: bool = True) -> tuple[Part, ...]:
    """The parts that sequences of a level have; without context none of what others say beside an author."""
    own, *others = (voice for voice in VOICES[level] if with_context or voice != "others")
    return (own, *_RECIPES, *others, "peak")


@dataclass(frozen=True, slots=True)
class LexicalPrior:
    """Fitted models by part; a sequence's logits are the sum of theirs.

    Attributes:
        models: at least one, in the order of PARTS.
        surface: None where it has no weight.
    """

    models: dict[Part, LexicalModel]
    surface: SurfaceModel | None = None

    def __post_init__(self) -> None:
        outputs: dict[str, int] = {name: len(model.intercept) for name, model in self.models.items()}
        unknown = [name for name in outputs if name not in PARTS]
        if unknown or not outputs:
            raise UsageError(f"lexical prior: expected parts of {', '.join(PARTS)}, found {list(outputs)}")
        for name, model in self.models.items():
            if model.weighting != recipe_of(name).weighting:
                raise UsageError(f"lexical prior: {name} cannot weigh n-grams by {model.weighting}")
            if not are_in(model.columns, recipe_of(name).ngrams).all():
                raise UsageError(f"lexical prior: {name} reads {recipe_of(name).ngrams} alone, found others")
        if self.surface is not None:
            outputs[SURFACE] = len(self.surface.linear.intercept)
        if len(set(outputs.values())) > 1:
            raise UsageError(f"lexical prior: expected parts of as many outputs, found {outputs}")

    @property
    def num_outputs(self) -> int:
        """1 for two classes, else C."""
        return len(next(iter(self.models.values())).intercept)

    def logits(self, view: SequenceView) -> FloatArray:
        """Score a view's sequences, a block of texts at a time: (S,) for two classes, (S, C) for more.

        Raises:
            CorpusError: the corpus has no text.
        """
        scores = np.zeros((len(view),) if self.num_outputs == 1 else (len(view), self.num_outputs))
        for rows in blocks_of_texts(view, self.count_read(view)):
            scores[rows] = self._score_block(view.select(rows))
        return scores

    def count_read(self, view: SequenceView) -> Integers:
        """How many messages are read to score each of a view's sequences: (S,)."""
        return count_spoken(view) if self.reads_others else view.lengths

    @property
    def reads_others(self) -> bool:
        """Whether an author's score depends on what others say in the conversation."""
        return self.surface is not None or "others" in self.models

    def _score_block(self, view: SequenceView) -> FloatArray:
        spoken = SpokenCounts.of(view, [_voice_of(part) for part in self.models])
        counted, counts = None, None  # the voice whose n-grams are counted, once for all parts that read it
        total: FloatArray = np.zeros(1)
        for part, model in self.models.items():
            if part == "peak":
                total = total + score_peaks(model, spoken.messages.counts, *spoken.voices["own"], len(view))
                continue
            voice = _voice_of(part)
            if voice != counted or counts is None:
                counted, counts = voice, spoken.count(voice)
            total = total + model.logits(counts)
        return total if self.surface is None else total + self.surface.logits(describe_surface(view))

    def message_contributions(self, view: SequenceView, index: int) -> tuple[FloatArray, FloatArray]:
        """What each of one sequence's own messages adds to its logit.

        A voice's text is shared out as LexicalModel.message_contributions says; the peak belongs to the message that
        is it; what others say and the surface belong to no message of the sequence, and so to the rest.

        Returns:
            (T, K) for the messages and (K,) for the rest, which add up to the logit; K = 1 for two classes, else C.
        """
        texts = next(view.texts([index]))
        found, rest = np.zeros((len(texts), self.num_outputs)), np.zeros(self.num_outputs)
        if self.surface is not None:
            rest += self.surface.logits(describe_surface(view.select([index]))).reshape(-1)
        for part, model in self.models.items():
            rest += model.intercept
            if part == "peak":
                if texts:
                    scores = model.logits(texts).reshape(len(texts), -1)
                    winners = scores.argmax(axis=0)
                    columns = np.arange(self.num_outputs)
                    found[winners, columns] += scores[winners, columns] - model.intercept
            elif part == "others":
                counts = _count_voice(view.select([index]), part)
                rest += model.logits(counts).reshape(-1) - model.intercept
            else:
                meant = mark_voice(view, _voice_of(part), index)
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
        return found

    def to_tensors(self) -> dict[str, npt.NDArray[np.generic]]:
        """The state as named arrays, ``part.name``; from_tensors takes them back."""
        found = {str(part): model.to_tensors() for part, model in self.models.items()}
        if self.surface is not None:
            found[SURFACE] = self.surface.to_tensors()
        return {f"{part}.{name}": array for part, arrays in found.items() for name, array in arrays.items()}

    @classmethod
    def from_tensors(cls, tensors: dict[str, npt.NDArray[np.generic]]) -> LexicalPrior:
        """Take back what to_tensors gave; names without a part are those of ``own``, as in the first files.

        Raises:
            UsageError: an unknown part, or arrays that are not a part's (see LexicalModel.from_tensors).
        """
        by_part: dict[str, dict[str, npt.NDArray[np.generic]]] = {}
        for name, array in tensors.items():
            part, _, rest = name.rpartition(".")
            by_part.setdefault(part if part else "own", {})[rest] = array
        unknown = sorted(by_part.keys() - {*PARTS, SURFACE})
        if unknown:
            raise UsageError(f"expected parts of {', '.join((*PARTS, SURFACE))}, found {', '.join(unknown)}")
        models: dict[Part, LexicalModel] = {}
        for part in PARTS:
            if part in by_part:
                with _naming(part):
                    models[part] = LexicalModel.from_tensors(by_part[part])
        if SURFACE not in by_part:
            return cls(models)
        with _naming(SURFACE):
            return cls(models, SurfaceModel.from_tensors(by_part[SURFACE]))


@contextlib.contextmanager
def _naming(part: str) -> Iterator[None]:
    """Have an error say which part it is about."""
    try:
        yield
    except UsageError as error:
        raise UsageError(f"{part}: {error}") from error


def fit_parts(
    view: SequenceView,
    parts: Sequence[Part],
    *,
    seed: int,
    num_classes: int,
    folds: int,
    advance: Callable[[int], None] = lambda _: None,
) -> dict[Part, tuple[LexicalModel, FloatArray]]:
    """Fit parts on labelled sequences, and score them out of fold: part -> the model, and (S,) or (S, C).

    `advance` is told of each part that is done.
    """
    labels, groups = view.labels, view.groups
    options: dict[str, int] = {"seed": seed, "num_classes": num_classes, "folds": folds}
    fitted: dict[Part, tuple[LexicalModel, FloatArray]] = {}
    counted, counts = None, None  # as in LexicalPrior
    for part in parts:
        if part == "peak":
            fitted[part] = fit_peaks(list(view.texts()), labels, groups, **options)
        else:
            voice = _voice_of(part)
            if voice != counted or counts is None:
                counted, counts = voice, _count_voice(view, voice)
            fitted[part] = fit_out_of_fold(counts, labels, groups, recipe=recipe_of(part), **options)
        advance(1)
    return fitted


def _count_voice(view: SequenceView, voice: Voice) -> csr_matrix:
    """The n-grams of each sequence's texts in one voice."""
    return count_texts(["\n".join(texts) for texts in read_voice(view, voice)])


def recipe_of(part: Part) -> Recipe:
    """How a part is fitted."""
    return _RECIPES.get(part, TFIDF)


def _voice_of(part: Part) -> Voice:
    """Whose text a part reads as a whole."""
    return part if part == "first" or part == "rest" or part == "others" else "own"


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
        meant = mark_voice(view, _voice_of(part), index).tolist()
        spoken = [text for text, is_meant in zip(texts, meant, strict=True) if is_meant]
        if spoken:
            yield columns, "\n".join(spoken)
