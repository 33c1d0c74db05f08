"""Linking the levels: what the labels of authors teach about the conversations that they are in.

Knows nothing of torch.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from tenor.corpus.linking import hold_authors_together, view_authors_in
from tenor.corpus.sampling import blocks_of_texts
from tenor.corpus.schema import UNLABELLED
from tenor.corpus.views import SequenceView
from tenor.lexical import AUTHOR_PARTS, AuthorsModel, Helpers, assign_folds, fit_parts, read_out
from tenor.lexical.authors import add_intercepts
from tenor.lexical.spoken import SpokenCounts
from tenor.linear import fit_best_strength
from tenor.training.blending import blend_weights

FloatArray = npt.NDArray[np.float64]

#: C of the line through the authors' logits: three columns of one meaning are held less than hundreds.
_STRENGTHS = (0.03, 0.3, 0.003)


def find_labelled_authors(conversations: SequenceView) -> SequenceView | None:
    """The authors of some conversations; None where their labels tell nothing that the conversations' do not.

    That is so where they are of one class or none, or each author's is the conversation's own.

    Args:
        conversations: labelled ones, in the corpus's order.
    """
    if conversations.level != "conversation" or not conversations.corpus.info.classes["author"]:
        return None
    authors = view_authors_in(conversations)
    is_labelled = authors.labels != UNLABELLED
    labels = np.array(authors.classes, dtype=object)[authors.labels[is_labelled]]
    of_conversations = np.array(conversations.classes, dtype=object)[conversations.labels]
    above = of_conversations[np.searchsorted(conversations.rows, authors.rows[is_labelled])]
    return authors if len(set(labels.tolist())) > 1 and (labels != above).any() else None


def fit_authors(
    conversations: SequenceView,
    authors: SequenceView,
    helpers: Helpers | None = None,
    *,
    seed: int,
    num_classes: int,
    folds: int,
    advance: Callable[[int], None] = lambda _: None,
) -> tuple[AuthorsModel, FloatArray]:
    """Fit models of authors' own words on their labels, and a line through their logits on the conversations'.

    Authors without a label are scored, and left out of the fit.

    Args:
        conversations: labelled training conversations, in the corpus's order.
        authors: of find_labelled_authors.
        helpers: who fit; None = this process.
        seed: of the folds, into which the conversations' groups are dealt, and those of authors (see
            hold_authors_together).
        num_classes: of the conversations.
        folds: how many.
        advance: told of each part that is fitted.

    Returns:
        The model, and the logits of the conversations out of fold: (S,) or (S, C). Each author is scored by models that
        have not seen that author in any conversation; the few weights and slopes above them were chosen by all.
    """
    authors = hold_authors_together(authors)
    num_author_classes = max(2, len(authors.classes))
    fitted = fit_parts(
        authors,
        AUTHOR_PARTS,
        helpers,
        seed=seed,
        num_classes=num_author_classes,
        folds=folds,
        advance=advance,
    )
    is_labelled = authors.labels != UNLABELLED
    codes = assign_folds(authors.labels, authors.groups, seed=seed, folds=folds)  # as fit_parts deals them
    found, shift = blend_weights(
        [unseen[is_labelled] for _, unseen in fitted.values()],
        authors.labels[is_labelled],
        authors.group_codes[is_labelled],
        codes[is_labelled],
    )
    weights = dict(zip(fitted, found.tolist(), strict=True))
    kept = [part for part, weight in weights.items() if weight > 0 or part == "own"]
    models = {part: fitted[part][0].scale(weights[part]) for part in kept}
    models["own"] = models["own"].shift(shift)
    unseen = sum(weights[part] * fitted[part][1] for part in kept) + shift
    places = np.searchsorted(conversations.rows, authors.rows)
    table = read_out(
        np.asarray(unseen).reshape(len(authors), -1), places, len(conversations), add_intercepts(models)
    )
    linear, logits = fit_best_strength(
        table,
        conversations.labels,
        assign_folds(conversations.labels, conversations.groups, seed=seed, folds=folds),
        num_classes=num_classes,
        strengths=_STRENGTHS,
    )
    return AuthorsModel(models, linear), logits


def score_conversations(model: AuthorsModel, view: SequenceView) -> FloatArray:
    """Logits of other conversations, a block of texts at a time: (S,) or (S, C)."""
    blocks = []
    for rows in blocks_of_texts(view):
        spoken = SpokenCounts.of(view.select(rows), (), with_authors=True)
        blocks.append(model.logits(spoken.count("authors"), spoken.conversations, len(rows)))
    return np.concatenate(blocks)
