"""Whether what is scored is like what the model was trained on, by how many of its words the model knows.

Every text gets a score, one in another language too; this says where that is so. Knows nothing of scores.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tenor.predictions import Predictions

if TYPE_CHECKING:
    from tenor.models.metadata import ModelMetadata

#: Said is what is one and a half times as frequent as among validation's sequences, and more frequent by three standard
#: errors of the difference of both shares.
_UNUSUAL, _CONVINCING = 1.5, 3.0


@dataclass(slots=True)
class Familiarity:
    """What is found of sequences, a table after another.

    Attributes:
        usual: of validation's sequences (lexical.familiarity.summarize_shares); None = not known.
        shares: of known words, of the sequences that have words.
        wordless: sequences without a word.
    """

    usual: dict[str, float] | None
    shares: list[npt.NDArray[np.float32]] = field(default_factory=list)
    wordless: int = 0

    @classmethod
    def of(cls, metadata: ModelMetadata) -> Familiarity:
        """For a model's predictions; files of earlier versions say nothing of validation's words."""
        found, names = metadata.training.get("known_words"), ("median", "low", "below", "at_most", "texts")
        is_whole = isinstance(found, dict) and all(isinstance(found.get(name), int | float) for name in names)
        return cls(found if is_whole else None)

    def count(self, predictions: Predictions) -> Familiarity:
        """Add a table's rows, but for labelled ones of the training split, which the model knows; returns itself."""
        if predictions.known_words is not None:
            is_known = (predictions.splits == "train") & (predictions.labels >= 0)
            shares = predictions.known_words[~is_known]
            is_wordless = np.isnan(shares)
            self.wordless += int(is_wordless.sum())
            self.shares.append(shares[~is_wordless])
        return self

    def remarks(self) -> tuple[str, ...]:
        """What to know of the rows, in sentences."""
        return tuple(remark for remark in (self._describe_strange(), self._describe_wordless()) if remark)

    def _describe_strange(self) -> str:
        shares = np.concatenate([np.empty(0, np.float32), *self.shares])
        if self.usual is None or len(shares) == 0:
            return ""
        # where many shares are equal, such as 1 of long texts and 0 of short ones, one of the two cuts tells them apart
        low = np.float32(self.usual["low"])
        for found, usual, words in (
            (shares < low, self.usual["below"], "less than"),
            (shares <= low, self.usual["at_most"], "at most"),
        ):
            count = int(found.sum())
            if _is_unusual(count, len(shares), usual, self.usual["texts"]):
                return (
                    f"{count:,} of {len(shares):,} sequences have {words} {low:.0%} known words, as {usual:.0%} of "
                    f"validation's had (the middle one has {np.median(shares):.0%}, validation's "
                    f"{self.usual['median']:.0%}): perhaps another language, jargon or spelling, in which scores mean "
                    "little (column known_words)"
                )
        return ""

    def _describe_wordless(self) -> str:
        if not self.wordless:
            return ""
        if self.wordless == 1:
            return "1 sequence has no word, so its score is not of what was said"
        return f"{self.wordless:,} sequences have no word, so their scores are not of what was said"


def doubt_texts(metadata: ModelMetadata, predictions: Predictions) -> tuple[str, ...]:
    """What to know of a model's predictions where their texts are unlike the training's, in sentences."""
    return Familiarity.of(metadata).count(predictions).remarks()


def _is_unusual(count: int, rows: int, usual: float, texts: float) -> bool:
    """Whether so many of some rows are more than a usual share, itself of so many texts, explains."""
    both = (count + usual * texts) / (rows + texts)
    error = math.sqrt(both * (1 - both) * (1 / rows + 1 / texts))
    return count / rows > max(_UNUSUAL * usual, usual + _CONVINCING * error)
