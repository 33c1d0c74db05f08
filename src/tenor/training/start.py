"""Where the network starts: a blend of n-gram models and a linear model of pooled features.

The n-gram models read the whole text, its characters alone, which of its words and of its characters occur, what each
part in the conversation says, and the strongest message; beside them stands how it was written, turns and delays (see
``lexical.prior``). All are scored out of fold on the training groups; the weights of the blend are those with the
lowest log loss there, held towards equal ones (stacked generalisation, Wolpert 1992). Features of an encoder that was
fine-tuned on training labels look better there than they are: then validation weighs. The network learns only what the
blend gets wrong. Knows nothing of torch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tenor.corpus.sampling import MAX_FIT_CHARACTERS, sample_groups
from tenor.corpus.views import SequenceView
from tenor.corpus.voices import count_spoken
from tenor.lexical import (
    LexicalModel,
    LexicalPrior,
    Part,
    SurfaceModel,
    assign_folds,
    describe_surface,
    fit_parts,
    parts_of,
)
from tenor.linear import LinearModel, Table, fit_best_strength
from tenor.pooled import pool_features
from tenor.progress import progress_bar

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

FOLDS = 5
#: How firmly the parts' weights are held to be equal before any label is seen: the precision of a normal prior. It
#: decides where positives are few and nothing where they are many; values of 2 to 50 differed by thousandths.
EQUALITY = 5.0


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
        return (
            self.train_prior
            if self.pooled is None
            else self.train_prior + self.pooled.logits(pool_features(view))
        )


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
    num_classes = max(2, len(view.classes))
    has_text = view.corpus.has_text
    parts = parts_of(view.level, with_context=with_context) if has_text else ()
    readers: dict[str, Callable[[SequenceView], Table]] = {}
    if has_text and (with_context or view.level == "conversation"):
        readers["surface"] = describe_surface
    if with_pooled:
        readers["pooled"] = pool_features
    with progress_bar("fitting the start", len(parts) + len(readers), enabled=progress) as advance:
        fitted = fit_parts(view, parts, seed=seed, num_classes=num_classes, folds=folds, advance=advance)
        codes = assign_folds(view.labels, view.groups, seed=seed, folds=folds)
        tables: dict[str, Table] = {}
        judged: dict[str, Table] = {}
        linear: dict[str, tuple[LinearModel, FloatArray]] = {}
        for name, read in readers.items():
            tables[name], held = read(view), None
            if judge is not None:
                judged[name] = read(judge)
                held = judged[name], judge.labels
            linear[name] = fit_best_strength(
                tables[name], view.labels, codes, num_classes=num_classes, judge=held
            )
            advance(1)
    if judge is None:
        found, shift = blend_weights(
            [unseen for _, unseen in [*fitted.values(), *linear.values()]], view.labels
        )
    else:
        held_out = [LexicalPrior({part: model}).logits(judge) for part, (model, _) in fitted.items()]
        held_out += [linear[name][0].logits(table) for name, table in judged.items()]
        found, shift = blend_weights(held_out, judge.labels)
    weights = dict(zip([*fitted, *linear], found.tolist(), strict=True))
    return _add_up(fitted, linear, tables, weights, shift)


def _add_up(
    fitted: dict[Part, tuple[LexicalModel, FloatArray]],
    linear: dict[str, tuple[LinearModel, FloatArray]],
    tables: dict[str, Table],
    weights: dict[str, float],
    shift: float,
) -> Start:
    """The start of fitted parts, their scores out of fold and their weights."""
    scores: dict[str, FloatArray] = {part: unseen for part, (_, unseen) in fitted.items()}
    scores |= {name: unseen for name, (_, unseen) in linear.items()}
    # The whole text's part stays in any case, so that there is a lexical prior wherever there is text.
    kept = [name for name, weight in weights.items() if weight > 0 or name in ("own", "pooled")]
    models = {part: fitted[part][0].scale(weights[part]) for part in fitted if part in kept}
    others = {name: model.scale(weights[name]) for name, (model, _) in linear.items() if name in kept}
    prior = sum((weights[name] * scores[name] for name in kept), np.zeros_like(scores[kept[0]]))
    pooled = others.get("pooled")
    if pooled is None:
        models["own"] = models["own"].shift(shift)
        prior += shift
    else:
        pooled = pooled.shift(shift)
        prior += shift - pooled.logits(tables["pooled"])
    surface = SurfaceModel.of_training(others["surface"], tables["surface"]) if "surface" in others else None
    return Start(LexicalPrior(models, surface) if models else None, pooled, prior)


def blend_weights(parts: list[FloatArray], labels: IntArray) -> tuple[FloatArray, float]:
    """The weights, none negative, and the shift of a sum of logits that are most probable a posteriori.

    The weights' prior is normal around equal ones, with the precision EQUALITY: chosen by the labels alone they would
    be mostly chance where positives are few. The loss is taken against smoothed labels, so that scores which separate
    few labels without an error do not run off to infinity: n₊ positives are held to be (n₊ + 1) / (n₊ + C) certain,
    and the rest is shared among the other classes (Platt 1999, "Probabilistic Outputs for Support Vector Machines",
    sec. 2.2, for C classes).

    Args:
        parts: each (N,), or (N, C) with one weight for all classes.
        labels: (N,).

    Returns:
        (weights (V,), shift); the shift is 0 for several classes, where adding it would change nothing.
    """
    from scipy.optimize import minimize

    stacked = np.stack(parts)  # (V, N) or (V, N, C)
    binary = stacked.ndim == 2
    first = np.append(np.full(len(parts), 1 / len(parts)), 0.0)
    targets = _smooth_labels(labels, 2 if binary else stacked.shape[2])  # (N, C)

    def loss(values: FloatArray) -> float:
        logits = np.tensordot(values[:-1], stacked, axes=1) + (values[-1] if binary else 0.0)
        if binary:
            logits = np.stack([np.zeros_like(logits), logits], axis=1)
        losses = np.logaddexp.reduce(logits, axis=1) - (targets * logits).sum(axis=1)
        distance = float(np.square(values[:-1] - first[:-1]).sum())
        return (float(losses.sum()) + EQUALITY / 2 * distance) / len(labels)

    bounds = [(0.0, None)] * len(parts) + [(None, None)]
    found = minimize(loss, first, method="L-BFGS-B", bounds=bounds)
    return np.asarray(found.x[:-1]), float(found.x[-1]) if binary else 0.0


def _smooth_labels(labels: IntArray, num_classes: int) -> FloatArray:
    """(N, C) probabilities that stand for labels (N,); see blend_weights."""
    counts = np.bincount(labels, minlength=num_classes)
    certain = (counts + 1) / (counts + num_classes)  # (C,)
    table = np.tile(((1 - certain) / (num_classes - 1))[:, None], (1, num_classes))
    np.fill_diagonal(table, certain)
    return np.asarray(table[labels])
