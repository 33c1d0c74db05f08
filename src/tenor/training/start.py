"""Where the network starts: a blend of n-gram models and a linear model of pooled features.

The n-gram models read the whole text, its characters alone, which of its words and of its characters occur, what each
part in the conversation says, and the strongest message; beside them stands how it was written, turns and delays (see
``lexical.prior``), and what models of its authors say of a conversation (see ``training.authors``). All are scored out
of fold on the training groups; the weights of the blend are those with the lowest log loss there (see
``training.blending``). Features of an encoder that was fine-tuned on training labels look better there than they are:
then validation weighs. The network learns only what the blend gets wrong. Knows nothing of torch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tenor.corpus.sampling import MAX_FIT_CHARACTERS, sample_groups
from tenor.corpus.views import SequenceView
from tenor.corpus.voices import count_spoken
from tenor.lexical import (
    AUTHOR_PARTS,
    AuthorsModel,
    Helpers,
    LexicalModel,
    LexicalPrior,
    Part,
    SurfaceModel,
    assign_folds,
    count_helpers,
    describe_surface,
    find_parts,
    start_parts,
)
from tenor.linear import LinearModel, Table, fit_best_strength
from tenor.pooled import pool_features
from tenor.progress import progress_bar
from tenor.training.authors import find_labelled_authors, fit_authors, score_conversations
from tenor.training.blending import blend_weights

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

FOLDS = 5

#: Sequences whose features are pooled at once, where all of training are scored.
_BLOCK = 4096


@dataclass(frozen=True, eq=False)
class Start:
    """What the scores are before any training.

    Attributes:
        lexical: the n-gram models and the surface's, their weights in the blend multiplied in; None without text.
        pooled: the part of pooled features, likewise; None when not asked for.
        train_prior: (N,) or (N, C) for the sequences that it was fitted on: the lexical part out of fold, plus what
            the pooled part would differ out of fold. Added to the pooled part in the network it gives the blend out
            of fold, so that the network corrects honest scores. After fit_data: for all training sequences.
    """

    lexical: LexicalPrior | None
    pooled: LinearModel | None
    train_prior: FloatArray

    def train_logits(self, view: SequenceView) -> FloatArray:
        """Scores of the training sequences that it was fitted on, out of fold: (N,) or (N, C).

        Each part's model of a sequence has not seen its group. The handful of weights of the blend, and how strong
        the pooled part is held, were chosen by all of them.
        """
        if self.pooled is None:
            return self.train_prior
        logits = self.train_prior.copy()
        for begin in range(0, len(view), _BLOCK):
            rows = np.arange(begin, min(begin + _BLOCK, len(view)))
            logits[rows] += self.pooled.logits(pool_features(view.select(rows)))
        return logits


def draw_sequences(
    view: SequenceView, *, seed: int, with_context: bool, max_characters: int = MAX_FIT_CHARACTERS
) -> IntArray:
    """The sequences that a start is fitted on: all, or of a large corpus those of some groups, a draw.

    Args:
        view: training sequences.
        seed: of the draw.
        with_context: as for fit_start.
        max_characters: about so much is fitted on.

    Returns:
        Rising positions in the view.
    """
    return sample_groups(
        view,
        seed=seed,
        max_characters=max_characters,
        what="what the network starts from",
        # One voice is in memory at a time: the author's own messages, or the others'.
        lengths=np.maximum(view.lengths, count_spoken(view) - view.lengths) if with_context else None,
    )


def fit_start(
    view: SequenceView,
    *,
    seed: int,
    with_pooled: bool = True,
    with_context: bool = True,
    folds: int = FOLDS,
    judge: SequenceView | None = None,
    progress: bool = False,
) -> Start:
    """Fit all that can be said of the words and the pooled features of training sequences, and weigh it.

    Args:
        view: training sequences, all labelled; of a large corpus a draw (see draw_sequences).
        seed: of the folds.
        with_pooled: whether the pooled features take part.
        with_context: whether what others say beside an author takes part.
        folds: into which the groups are dealt.
        judge: labelled sequences of other groups by which the parts are weighed, for features that know the labels of
            training sequences; None = out of fold.
        progress: show a bar.
    """
    fitted = _fit_all(
        view,
        seed=seed,
        with_pooled=with_pooled,
        with_context=with_context,
        folds=folds,
        judge=judge,
        progress=progress,
    )
    if judge is None:
        found, shift = blend_weights(
            list(fitted.scores.values()), view.labels, view.group_codes, fitted.folds
        )
    else:
        held_out = fitted.score(judge)
        found, shift = blend_weights(
            [held_out[name] for name in fitted.scores], judge.labels, judge.group_codes
        )
    return _add_up(fitted, dict(zip(fitted.scores, found.tolist(), strict=True)), shift)


@dataclass(frozen=True, eq=False)
class _Fitted:
    """What may take part in a start, before it is weighed.

    Attributes:
        parts: the models of n-grams.
        linear: those of a table, ``surface`` and ``pooled``.
        tables: of the training sequences, by the same names.
        authors: of the people in conversations; None where there are none with labels of their own.
        scores: of the training sequences, out of fold, by all these names; ``authors`` too.
        folds: (N,) of the training sequences.
    """

    parts: dict[Part, LexicalModel]
    linear: dict[str, LinearModel]
    tables: dict[str, Table]
    authors: AuthorsModel | None
    scores: dict[str, FloatArray]
    folds: IntArray

    def score(self, view: SequenceView) -> dict[str, FloatArray]:
        """The same for other sequences."""
        scores: dict[str, FloatArray] = {
            part: LexicalPrior({part: model}).logits(view) for part, model in self.parts.items()
        }
        scores |= {name: model.logits(_read_table(name, view)) for name, model in self.linear.items()}
        if self.authors is not None:
            scores["authors"] = score_conversations(self.authors, view)
        return scores


def _fit_all(
    view: SequenceView,
    *,
    seed: int,
    with_pooled: bool,
    with_context: bool,
    folds: int,
    judge: SequenceView | None,
    progress: bool,
) -> _Fitted:
    """Fit what may take part; see fit_start."""
    num_classes, has_text = max(2, len(view.classes)), view.corpus.has_text
    parts = find_parts(view, with_context=with_context) if has_text else ()
    names = ["surface"] if has_text and (with_context or view.level == "conversation") else []
    names += ["pooled"] if with_pooled else []
    authors = find_labelled_authors(view) if has_text else None
    codes = assign_folds(view.labels, view.groups, seed=seed, folds=folds)
    options: dict[str, int] = {"seed": seed, "num_classes": num_classes, "folds": folds}
    num_steps = len(parts) + len(names) + (0 if authors is None else len(AUTHOR_PARTS))
    with (
        progress_bar("fitting the start", num_steps, enabled=progress) as advance,
        Helpers(count_helpers()) as helpers,
    ):
        pending = start_parts(view, parts, helpers, advance=advance, **options)
        tables: dict[str, Table] = {}
        linear: dict[str, LinearModel] = {}
        unseen: dict[str, FloatArray] = {}
        for name in names:
            tables[name] = _read_table(name, view)
            held = None if judge is None else (_read_table(name, judge), judge.labels)
            linear[name], unseen[name] = fit_best_strength(
                tables[name], view.labels, codes, num_classes=num_classes, judge=held
            )
            advance(1)
        linked = None
        if authors is not None:
            linked, unseen["authors"] = fit_authors(view, authors, helpers, advance=advance, **options)
        by_part = {part: wait() for part, wait in pending.items()}
    scores: dict[str, FloatArray] = {part: logits for part, (_, logits) in by_part.items()}
    models = {part: model for part, (model, _) in by_part.items()}
    return _Fitted(models, linear, tables, linked, scores | unseen, codes)


def _read_table(name: str, view: SequenceView) -> Table:
    return describe_surface(view) if name == "surface" else pool_features(view)


def _add_up(fitted: _Fitted, weights: dict[str, float], shift: float) -> Start:
    """The start of what was fitted and its weights."""
    # The whole text's part stays in any case, so that there is a lexical prior wherever there is text.
    kept = [name for name, weight in weights.items() if weight > 0 or name in ("own", "pooled")]
    models = {part: model.scale(weights[part]) for part, model in fitted.parts.items() if part in kept}
    linear = {name: model.scale(weights[name]) for name, model in fitted.linear.items() if name in kept}
    authors = (
        fitted.authors.scale(weights["authors"]) if fitted.authors is not None and "authors" in kept else None
    )
    prior = sum((weights[name] * fitted.scores[name] for name in kept), np.zeros_like(fitted.scores[kept[0]]))
    pooled = linear.get("pooled")
    if pooled is None:
        models["own"] = models["own"].shift(shift)
        prior += shift
    else:
        pooled = pooled.shift(shift)
        prior += shift - pooled.logits(fitted.tables["pooled"])
    surface = (
        SurfaceModel.of_training(linear["surface"], fitted.tables["surface"]) if "surface" in linear else None
    )
    return Start(LexicalPrior(models, surface, authors) if models else None, pooled, prior)
