"""The parts of a lexical prior: what each reads, how it is fitted, and how a model file names it.

Knows nothing of how parts are added up.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from tenor.corpus.schema import Level
from tenor.corpus.views import SequenceView
from tenor.corpus.voices import VOICES, Voice, count_spoken, lay_out_voices, read_voice
from tenor.errors import UsageError
from tenor.lexical.fitting import BAYES, CHARACTER_BAYES, CHARACTERS, TFIDF, Recipe, assign_folds
from tenor.lexical.helpers import Fitted, Helpers, Job, done
from tenor.lexical.model import LexicalModel
from tenor.lexical.peaks import fit_peaks
from tenor.lexical.weighting import are_in, count_texts

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

FloatArray = npt.NDArray[np.float64]
Tensors = dict[str, npt.NDArray[np.generic]]

#: A voice's whole text; of the own one its characters, so that the blend finds how much they weigh beside words, and
#: its words and its characters by naive Bayes' ratios; or the strongest of the sequence's own messages.
Part = Voice | Literal["bayes", "characters", "character_bayes", "peak"]
PARTS: tuple[Part, ...] = ("own", "bayes", "characters", "character_bayes", "first", "rest", "others", "peak")

#: How the parts are fitted that are not plain TF-IDF of all n-grams; they read the own voice.
RECIPES: dict[Part, Recipe] = {"bayes": BAYES, "characters": CHARACTERS, "character_bayes": CHARACTER_BAYES}
#: By what an author in a conversation is scored (see ``authors``). Characters alone added nothing beside these on the
#: two corpora that were looked at, in-game chat and telephone talk.
AUTHOR_PARTS: tuple[Part, ...] = ("own", "bayes", "character_bayes")


def parts_of(level: Level, *, with_context: bool = True) -> tuple[Part, ...]:
    """The parts that sequences of a level have; without context none of what others say beside an author."""
    own, *others = (voice for voice in VOICES[level] if with_context or voice != "others")
    return (own, *RECIPES, *others, "peak")


def find_parts(view: SequenceView, *, with_context: bool = True) -> tuple[Part, ...]:
    """Those of a view's parts that read something else than another one does.

    Where nobody answers in any conversation, its opener's text is the whole; where each sequence is one message, its
    strongest is; and where nobody speaks beside an author, nothing is heard.
    """
    same: set[Part] = set()
    if view.level == "conversation" and len(lay_out_voices(view, ("rest",))["rest"][0]) == 0:
        same |= {"first", "rest"}
    if view.level == "author" and (count_spoken(view) == view.lengths).all():
        same.add("others")
    if view.lengths.max(initial=0) < 2:
        same.add("peak")
    return tuple(part for part in parts_of(view.level, with_context=with_context) if part not in same)


def recipe_of(part: Part) -> Recipe:
    """How a part is fitted."""
    return RECIPES.get(part, TFIDF)


def voice_of(part: Part) -> Voice:
    """Whose text a part reads as a whole."""
    return part if part == "first" or part == "rest" or part == "others" else "own"


def count_voice(view: SequenceView, voice: Voice) -> csr_matrix:
    """The n-grams of each sequence's texts in one voice."""
    return count_texts(["\n".join(texts) for texts in read_voice(view, voice)])


def require_parts(models: Mapping[Part, LexicalModel], known: Sequence[Part] = PARTS) -> int:
    """Refuse models that are not those of known parts: other n-grams, other weights, other classes.

    Returns:
        How many outputs each has.

    Raises:
        UsageError: what was expected.
    """
    if not models or not models.keys() <= set(known):
        raise UsageError(f"lexical prior: expected parts of {', '.join(known)}, found {list(models)}")
    for name, model in models.items():
        if model.weighting != recipe_of(name).weighting:
            raise UsageError(f"lexical prior: {name} cannot weigh n-grams by {model.weighting}")
        if not are_in(model.columns, recipe_of(name).ngrams).all():
            raise UsageError(f"lexical prior: {name} reads {recipe_of(name).ngrams} alone, found others")
    return require_same_outputs({name: len(model.intercept) for name, model in models.items()})


def require_same_outputs(outputs: Mapping[Any, int]) -> int:
    """The number of outputs that all have, by name.

    Raises:
        UsageError: they differ.
    """
    if len(set(outputs.values())) > 1:
        raise UsageError(f"lexical prior: expected parts of as many outputs, found {dict(outputs)}")
    return next(iter(outputs.values()))


def join_names(tensors: Mapping[str, Tensors]) -> Tensors:
    """Named arrays of several parts as ``part.name``."""
    return {f"{part}.{name}": array for part, arrays in tensors.items() for name, array in arrays.items()}


def split_names(tensors: Tensors, known: Sequence[str]) -> dict[str, Tensors]:
    """What join_names gave, taken apart again; a name without a part is one of ``own``.

    Raises:
        UsageError: a part that is not known.
    """
    found: dict[str, Tensors] = {}
    for name, array in tensors.items():
        part, point, rest = name.partition(".")
        found.setdefault(part if point else "own", {})[rest if point else name] = array
    unknown = sorted(found.keys() - set(known))
    if unknown:
        raise UsageError(f"expected parts of {', '.join(known)}, found {', '.join(unknown)}")
    return found


def read_parts(tensors: Mapping[str, Tensors]) -> dict[Part, LexicalModel]:
    """The models of named arrays, in the order of PARTS.

    Raises:
        UsageError: arrays that are not a part's (see LexicalModel.from_tensors).
    """
    models: dict[Part, LexicalModel] = {}
    for part in PARTS:
        if part in tensors:
            with naming(part):
                models[part] = LexicalModel.from_tensors(tensors[part])
    return models


@contextlib.contextmanager
def naming(part: str) -> Iterator[None]:
    """Have an error say which part it is about."""
    try:
        yield
    except UsageError as error:
        raise UsageError(f"{part}: {error}") from error


def start_parts(
    view: SequenceView,
    parts: Sequence[Part],
    helpers: Helpers,
    *,
    seed: int,
    num_classes: int,
    folds: int,
    advance: Callable[[int], None] = lambda _: None,
) -> dict[Part, Callable[[], Fitted]]:
    """Have parts fitted, and all sequences scored out of fold: part -> what waits for it; see fit_parts."""
    labels, groups = view.labels, view.groups
    codes = assign_folds(labels, groups, seed=seed, folds=folds)
    pending: dict[Part, Callable[[], Fitted]] = {}
    counted, counts = None, None  # as in LexicalPrior
    for part in parts:
        if part == "peak":
            peaks = fit_peaks(
                list(view.texts()), labels, groups, seed=seed, num_classes=num_classes, folds=folds
            )
            pending[part] = done(peaks)
            advance(1)
            continue
        voice = voice_of(part)
        if voice != counted or counts is None:
            counted, counts = voice, count_voice(view, voice)
        job = Job(counts, labels, codes, num_classes, folds, recipe_of(part))
        pending[part] = helpers.start(job, partial(advance, 1))
    return pending


def fit_parts(
    view: SequenceView,
    parts: Sequence[Part],
    helpers: Helpers | None = None,
    *,
    seed: int,
    num_classes: int,
    folds: int,
    advance: Callable[[int], None] = lambda _: None,
) -> dict[Part, Fitted]:
    """Fit parts, and score all sequences out of fold: part -> the model, and (S,) or (S, C).

    `advance` is told of each part that is done; without helpers all is done here.
    """
    pending = start_parts(
        view,
        parts,
        Helpers(1) if helpers is None else helpers,
        seed=seed,
        num_classes=num_classes,
        folds=folds,
        advance=advance,
    )
    return {part: wait() for part, wait in pending.items()}
