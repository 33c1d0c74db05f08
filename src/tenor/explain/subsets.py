"""Score a sequence with some of its messages left out, all variants at once, along the normal data path.

A variant is a sequence of its own: its messages are gathered, padded, masked and scored as any other's, and its
lexical prior is computed anew on its text. Knows nothing of which messages to leave out, or why.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tenor.arguments import require_flags
from tenor.batching import SequenceDataset, load_dataset
from tenor.corpus.corpus import Corpus, as_corpus
from tenor.corpus.views import SequenceView
from tenor.devices import start_runtime
from tenor.errors import UsageError
from tenor.evaluation import Scorer
from tenor.logits import to_probs
from tenor.models.scoring import score_dataset

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

#: Ids that an error message lists as examples.
_EXAMPLES = 3


@dataclass(frozen=True, eq=False)
class LogitParts:
    """Logits of V variants, (V,) for two classes, else (V, C), as the sum of two parts.

    Attributes:
        network: of the network alone.
        lexical: of the prior; 0 for a model without one.
    """

    network: Floats
    lexical: Floats

    @property
    def total(self) -> Floats:
        """The model's logits."""
        return self.network + self.lexical

    def of_class(self, index: int) -> LogitParts:
        """The logits (V,) of one class; for two classes those of the second, whatever the index."""
        if self.network.ndim == 1:
            return self
        return LogitParts(self.network[:, index], self.lexical[:, index])


@dataclass(frozen=True, eq=False)
class SubsetScorer:
    """A model and the sequences of a corpus, ready to score any subset of a sequence's messages.

    Attributes:
        scorer: the opened model.
        view: every sequence of the model's level.
    """

    scorer: Scorer
    view: SequenceView

    @classmethod
    def open(
        cls,
        model_path: str | Path,
        dataset_path: str | Path | Corpus,
        *,
        device: str | None = None,
        progress: bool = False,
    ) -> SubsetScorer:
        """Open a model and a corpus.

        Raises:
            ModelFileError: no sound model, or one of another encoder than the corpus's.
            CorpusError: the corpus has no features.
            UsageError: `progress` is neither True nor False.
        """
        require_flags(progress=progress)
        scorer = Scorer.open(model_path, start_runtime(device), progress=progress)
        corpus = as_corpus(dataset_path)
        scorer.require_encoder(corpus)
        return cls(scorer, load_dataset(corpus, scorer.level).view)

    def find(self, conversation_id: str, author: str | None) -> int:
        """The sequence of a conversation, or of one author in it.

        Raises:
            UsageError: no such conversation or author, or an author missing.
            ModelFileError: an author was named and the model reads whole conversations.
        """
        if author is not None:
            self.scorer.require_level("author")
        inside = np.flatnonzero(self.view.conversation_ids == conversation_id)
        if len(inside) == 0:
            raise UsageError(
                f"{self.view.corpus.path} has no conversation {conversation_id!r}; {_some_ids(self.view)} "
                "(tenor predict MODEL DATA --split all writes a table of all)"
            )
        if self.view.authors is None:
            return int(inside[0])
        if author is None:
            raise UsageError(
                f"{self.scorer.path} reads one author's messages in a conversation, and {conversation_id!r} has "
                f"{len(inside)} authors: name one (--author NAME)"
            )
        own = inside[self.view.authors[inside] == author]
        if len(own) == 0:
            raise UsageError(
                f"conversation {conversation_id!r} has no author {author!r}; it has {len(inside)} authors"
            )
        return int(own[0])

    def score(self, index: int, keep: Bools) -> LogitParts:
        """Score V variants of one sequence of T messages.

        Args:
            index: of the sequence in the view.
            keep: (V, T) which messages each variant has; a row may be empty.
        """
        lengths = keep.sum(axis=1)
        variants = dataclasses.replace(
            self.view.select(np.full(len(keep), index)),
            lengths=lengths,
            starts=np.cumsum(lengths) - lengths,
            order=np.broadcast_to(self.view.message_rows([index]), keep.shape)[keep],
        )
        return self._score(variants)

    def score_whole(self, indices: npt.NDArray[np.int64]) -> LogitParts:
        """Score whole sequences.

        Args:
            indices: (V,) of the sequences in the view.
        """
        return self._score(self.view.select(indices))

    def predict(self, logits: Floats) -> tuple[int, int, float]:
        """What the model says of one sequence.

        Args:
            logits: () for two classes, else (C,).

        Returns:
            The predicted class's index, the target's (the class that is explained: the second of two, else the
            predicted one), and the target's probability.
        """
        probs = to_probs(logits[None])[0]
        if logits.ndim == 0:
            threshold = self.scorer.metadata.threshold
            return int(probs >= (0.5 if threshold is None else threshold)), 1, float(probs)
        best = int(logits.argmax())
        return best, best, float(probs[best])

    def _score(self, view: SequenceView) -> LogitParts:
        """The parts of a view's logits."""
        scorer = self.scorer
        # The classes are the model's, whatever the corpus knows: they give the logits' shape.
        dataset = SequenceDataset(dataclasses.replace(view, classes=scorer.metadata.classes))
        shape = (len(view),) if dataset.num_classes == 2 else (len(view), dataset.num_classes)
        lexical = np.zeros(shape)
        if scorer.model.has_prior:
            dataset = dataset.with_prior(lexical)
        network = score_dataset(scorer.model, dataset, scorer.runtime, progress=scorer.progress)
        if scorer.lexical is not None:
            lexical = scorer.lexical.logits(view)
        return LogitParts(network, lexical)


def _some_ids(view: SequenceView) -> str:
    """How many conversations there are, and a few of their ids."""
    ids = list(dict.fromkeys(view.conversation_ids.tolist()))
    return f"its {len(ids):,} conversations have ids such as {', '.join(map(repr, ids[:_EXAMPLES]))}"
