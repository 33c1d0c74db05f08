"""From a model file and a corpus to predictions.

Knows nothing of thresholds beyond the one in the file, nor of how good the scores are.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tenor.arrays import release_memory
from tenor.batching import SequenceDataset, load_dataset
from tenor.corpus.audit import require_split
from tenor.corpus.corpus import Corpus
from tenor.corpus.fingerprints import Fingerprints, fingerprint_conversations
from tenor.corpus.readings import count_test_read
from tenor.corpus.schema import SPLITS, Split
from tenor.corpus.views import SequenceView
from tenor.devices import Runtime
from tenor.errors import CorpusError, ModelFileError, SplitError, UsageError
from tenor.evaluation.calibration import Adjustment, fit_adjustment
from tenor.evaluation.labels import recode_labels, require_known_labels
from tenor.evaluation.thresholds import describe_splits
from tenor.evaluation.updating import (
    Integers,
    draw_proof,
    find_known_rows,
    require_same_model,
    require_same_scores,
)
from tenor.files import require_path, sha256_file
from tenor.logits import to_probs
from tenor.models.model_file import ModelMetadata, load_model
from tenor.models.scoring import Floats, embed_dataset, read_prior, score_dataset
from tenor.models.sequence import SequenceClassifier
from tenor.predictions import Predictions

if TYPE_CHECKING:
    from tenor.lexical import LexicalPrior

logger = logging.getLogger(__name__)

ALL_SPLITS = "all"


def parse_splits(split: str) -> tuple[Split, ...]:
    """The splits that a name stands for.

    Raises:
        UsageError: it is neither a split's nor ``"all"``.
    """
    for known in SPLITS:
        if split == known:
            return (known,)
    if split != ALL_SPLITS:
        raise UsageError(f"split must be one of {', '.join(SPLITS)} or {ALL_SPLITS}, not {split!r}")
    return SPLITS


@dataclass(frozen=True)
class Scorer:
    """A model file, opened and ready to score corpora.

    Attributes:
        path: the model file.
        hash: its SHA-256.
        model: on the runtime's device.
        metadata: what the file says of itself.
        lexical: the prior's model; None when the model has no prior.
    """

    path: Path
    hash: str
    model: SequenceClassifier
    metadata: ModelMetadata
    lexical: LexicalPrior | None
    runtime: Runtime
    progress: bool = False
    _cautions: dict[tuple[str, str], str | None] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def open(cls, model_path: str | Path, runtime: Runtime, *, progress: bool = False) -> Scorer:
        """Read a model file and put it on the runtime's device."""
        path = require_path(model_path, "model")
        with ThreadPoolExecutor(1) as pool:  # a tenth of the time that a small corpus takes
            file_hash = pool.submit(sha256_file, path)
            loaded = load_model(path)
        model = loaded.model.to(runtime.device)
        return cls(path, file_hash.result(), model, loaded.metadata, loaded.lexical, runtime, progress)

    @property
    def level(self) -> str:
        """The level the model was trained at."""
        return self.metadata.level

    def score(
        self,
        corpus: Corpus,
        splits: Sequence[Split],
        *,
        labelled: bool = False,
        optional: Sequence[Split] = (),
        known: Predictions | None = None,
    ) -> Predictions:
        """Score a corpus's sequences in some splits.

        Args:
            corpus: encoded with the model's encoder.
            splits: which.
            labelled: leave unlabelled sequences out, and require some in every split.
            optional: of the splits, those that may be empty all the same.
            known: earlier predictions, whose sequences keep their scores.

        Raises:
            ModelFileError: another encoder or width than the model's.
            CorpusError: no features, no text for the prior, or a label that the model does not know.
            SplitError: an empty split, with `labelled`.
            UsageError: `known` is not of this model, or its scores are not those of this corpus.
        """
        self.require_encoder(corpus)
        return self.score_view(self.find(corpus, splits, labelled=labelled, optional=optional), known)

    def score_view(
        self,
        view: SequenceView,
        known: Predictions | None = None,
        *,
        may_have_grown: bool = True,
        fingerprints: Fingerprints | None = None,
        rows: Integers | None = None,
    ) -> Predictions:
        """Score the sequences of a view; see `score`.

        Args:
            view: the sequences.
            known: earlier predictions.
            may_have_grown: see `find_known`.
            fingerprints: (S,) of the sequences' conversations, for an update to come; see find_known_rows.
            rows: what `find_known` says of `known`; None = it is asked here.
        """
        if known is None:
            logits, shares = self._score(view)
        else:
            if rows is None:
                rows = self.find_known(view, known, may_have_grown=may_have_grown, fingerprints=fingerprints)
            logits, shares = self._update(view, known, rows)
        return Predictions(
            level=self.level,  # type: ignore[arg-type]
            classes=self.metadata.classes,
            conversation_ids=view.conversation_ids,
            authors=view.authors,
            groups=view.groups,
            splits=view.splits,
            labels=recode_labels(view, self.metadata.classes),
            lengths=view.lengths,
            logits=logits,
            probs=to_probs(logits),
            threshold=self.metadata.threshold,
            model=self.path.name,
            model_hash=self.hash,
            caution=self.describe_splits(view.corpus),
            known_words=None if shares is None else shares.astype(np.float32),
            fingerprints=fingerprints,
            threshold_rule=None if self.metadata.threshold is None else self.metadata.threshold_objective,
        )

    def fit_adjustment(
        self,
        corpus: Corpus,
        *,
        calibrated: bool = False,
        rule: str | None = None,
        abstain_alpha: float | None = None,
        known: Predictions | None = None,
    ) -> Adjustment:
        """What a corpus's labelled validation split, scored for it, adds to predictions; see fit_adjustment.

        A warning is logged where the model may have been trained on some of it.

        Args:
            corpus: encoded with the model's encoder.
            calibrated: fit a calibrator.
            rule: of a threshold.
            abstain_alpha: fit a conformal rule.
            known: earlier predictions, whose sequences keep their scores.

        Raises:
            SplitError: no labelled validation rows.
            UsageError: as `score` and fit_adjustment.
        """
        if not calibrated and rule is None and abstain_alpha is None:
            return Adjustment()
        validation = self.score(corpus, ("validation",), labelled=True, optional=("validation",), known=known)
        if len(validation) == 0:
            raise SplitError(
                f"{corpus.path}: thresholds, calibrators and abstention are fitted on validation, and there is no "
                "labelled validation row (name a corpus that has some, such as the training's: --validation DATA)"
            )
        if self.describe_splits(corpus) is not None:
            logger.warning(
                "%s: the model was trained under other splits than this corpus has: if it was trained on conversations "
                "that stand in its validation split, what is fitted on them is too sure of itself",
                corpus.path,
            )
        return fit_adjustment(validation, calibrated=calibrated, rule=rule, abstain_alpha=abstain_alpha)

    def _score(self, view: SequenceView) -> tuple[Floats, Floats | None]:
        """A view's scores, (S,) or (S, C), and the shares of its words that are known, (S,); None without a prior."""
        # The model's classes give the logits' shape, whatever labels the corpus has.
        dataset, shares = SequenceDataset(replace(view, classes=self.metadata.classes)), None
        if self.lexical is not None:
            self._require_text(view.corpus)
            prior, shares = read_prior(self.lexical, view, self.runtime)
            dataset = dataset.with_prior(prior)
        return score_dataset(self.model, dataset, self.runtime, progress=self.progress), shares

    def find_known(
        self,
        view: SequenceView,
        known: Predictions,
        *,
        may_have_grown: bool = True,
        fingerprints: Fingerprints | None = None,
    ) -> Integers:
        """The row of each sequence of a view in earlier predictions: (S,), -1 where it is to be scored.

        Args:
            view: the sequences.
            known: earlier predictions.
            may_have_grown: since then others may have written more in the conversations of known rows.
            fingerprints: (S,) of the sequences' conversations; None = they are made where `known` has some.

        Raises:
            UsageError: `known` is not of this model.
        """
        require_same_model(known, self.level, self.metadata, self.hash)
        if fingerprints is None and known.fingerprints is not None:
            fingerprints = fingerprint_conversations(view.corpus, view.rows)
        reads_others = may_have_grown and self.lexical is not None and self.lexical.reads_others
        rows = find_known_rows(view, known, fingerprints, reads_others=reads_others)
        release_memory()  # what matching ids took
        return rows

    def _update(self, view: SequenceView, known: Predictions, rows: Integers) -> tuple[Floats, Floats | None]:
        """Take over known scores, a few of them proven, and score the rest; see _score."""
        logits = np.empty((len(view), *known.logits.shape[1:]))
        logits[rows >= 0] = known.logits[rows[rows >= 0]]
        proven = draw_proof(rows)
        todo = np.flatnonzero(rows < 0)
        chosen = np.sort(np.concatenate([todo, proven]))
        scored, shares = self._score(view.select(chosen))
        places = np.searchsorted(chosen, proven)
        require_same_scores(scored[places], logits[proven], exact=self.runtime.precision == "no")
        fresh = np.searchsorted(chosen, todo)
        logits[todo] = scored[fresh]
        logger.info("%d of %d scores were known", len(view) - len(todo), len(view))
        if shares is None or known.known_words is None:  # of an earlier version, which did not say
            return logits, None
        merged = np.empty(len(view))
        merged[rows >= 0] = known.known_words[rows[rows >= 0]]
        merged[todo] = shares[fresh]
        return logits, merged

    def describe_splits(self, corpus: Corpus) -> str | None:
        """See thresholds.describe_splits; found once a corpus, for one that has grown is read for it."""
        key = (str(corpus.path), corpus.info.split_hash)
        if key not in self._cautions:
            self._cautions[key] = describe_splits(self.metadata, corpus)
        return self._cautions[key]

    def embed(self, view: SequenceView) -> npt.NDArray[np.float32]:
        """Each sequence's vector before the model's head, (S, E)."""
        return embed_dataset(self.model, SequenceDataset(view), self.runtime)

    def find(
        self,
        corpus: Corpus,
        splits: Sequence[Split],
        *,
        labelled: bool = False,
        optional: Sequence[Split] = (),
        with_unlabelled: bool = False,
    ) -> SequenceView:
        """The sequences of some splits; see `score`.

        With `with_unlabelled` beside `labelled` the unlabelled sequences of authors with labels stay, which are part of
        their profiles.
        """
        view = load_dataset(corpus, self.level, labelled=labelled and not with_unlabelled).view
        if labelled:
            view, known = (view.of_labelled_authors(), view.labelled()) if with_unlabelled else (view, view)
            for split in splits:
                if split not in optional:
                    require_split(known, split)
        view = view.select(np.isin(view.split_codes, [SPLITS.index(split) for split in splits]))
        if labelled:
            require_known_labels(view, self.metadata.classes)
        view = view.cut_order()  # now that nobody holds the view of all
        release_memory()
        return view

    def count_left_out(self, view: SequenceView, splits: Sequence[Split]) -> int:
        """Sequences of a corpus that some splits leave out although one may have meant them.

        Those in no split where all splits were asked for; those of other splits where nothing that is scored has a
        label, so that splits mean nothing.
        """
        if tuple(splits) != SPLITS and (view.labels >= 0).any():
            return 0
        counted = "conversations" if self.level == "conversation" else "author_sequences"
        return view.corpus.info.counts.get(counted, len(view)) - len(view)

    def count_read(self, corpus: Corpus, level: str) -> int | None:
        """Enter one reading of the test split, once for all processes; see count_test_read."""
        is_main = self.runtime.is_main
        count = count_test_read(corpus.path, level=level, model_hash=self.hash) if is_main else None
        shared = int(self.runtime.sum_float(0 if count is None else count))
        return shared if shared else None

    def count_labelled_read(self, view: SequenceView) -> int | None:
        """Enter a reading of the test split where a view has labelled rows of it: whoever has their scores measures."""
        is_test = view.split_codes == SPLITS.index("test")
        return self.count_read(view.corpus, self.level) if (view.labels[is_test] >= 0).any() else None

    def _require_text(self, corpus: Corpus) -> None:
        """Refuse a corpus without text, which the prior reads."""
        if not corpus.has_text:
            raise CorpusError(
                f"{corpus.path}: {self.path} has a lexical prior, which needs the messages' text, and found none "
                "(train with prior='none' for a corpus without text)"
            )

    def require_level(self, level: str) -> None:
        """Refuse to be used at another level than the model's.

        Raises:
            ModelFileError: naming both levels.
        """
        if self.level != level:
            raise ModelFileError(f"{self.path} is a model of level {self.level!r}, not {level!r}")

    def require_encoder(self, corpus: Corpus) -> None:
        """Refuse a corpus that was not encoded with the model's encoder.

        Raises:
            CorpusError: it was not encoded at all.
            ModelFileError: another encoder or width; both are named.
        """
        corpus.require_features()
        encoder = corpus.info.encoder
        found = (None, None) if encoder is None else (encoder.name, encoder.hash)
        expected = (self.metadata.encoder_name, self.metadata.encoder_hash)
        if found != expected:
            raise ModelFileError(
                f"{corpus.path} was encoded with {_describe(*found)}, the model {self.path} expects "
                f"{_describe(*expected)} (encode it with the model's: tenor encode --encoder like:TRAINING_CORPUS)"
            )
        if corpus.info.input_size is not None and corpus.info.input_size != self.model.input_size:
            raise ModelFileError(
                f"{corpus.path} has {corpus.info.input_size} features a message, the model {self.path} reads "
                f"{self.model.input_size}"
            )


def _describe(name: str | None, digest: str | None) -> str:
    return "features made elsewhere" if name is None else f"{name} (hash {str(digest)[:12]})"
