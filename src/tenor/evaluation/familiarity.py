"""Whether what is scored is like what the model was trained on, by how many of its words training texts had.

Every text gets a score, one in another language too; this says where that is so. Knows nothing of scores.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tenor.predictions import Predictions

if TYPE_CHECKING:
    from tenor.models.metadata import ModelMetadata

#: Of validation's sequences one in twenty lies below ``low`` (lexical.familiarity). Said is what is at least twice as
#: many, and more than chance (three standard deviations of a binomial count) makes of one in twenty.
_USUAL, _UNUSUAL = 0.05, 0.1


@dataclass(slots=True)
class Familiarity:
    """Counts of sequences, a table after another.

    Attributes:
        low: the share of known words below which one in twenty of validation's sequences lay; None = not known.
        with_words: sequences with a word.
        below: of these, those with a share below `low`.
        wordless: sequences without a word.
    """

    low: float | None
    with_words: int = 0
    below: int = 0
    wordless: int = 0

    @classmethod
    def of(cls, metadata: ModelMetadata) -> Familiarity:
        """For a model's predictions; files of earlier versions say nothing of validation's words."""
        usual = metadata.training.get("known_words")
        low = usual.get("low") if isinstance(usual, dict) else None
        return cls(float(low) if isinstance(low, int | float) else None)

    def count(self, predictions: Predictions) -> Familiarity:
        """Add a table's rows; returns itself."""
        shares = predictions.known_words
        if shares is not None:
            is_wordless = np.isnan(shares)
            self.wordless += int(is_wordless.sum())
            self.with_words += int((~is_wordless).sum())
            if self.low is not None:
                self.below += int((shares < np.float32(self.low)).sum())
        return self

    def remarks(self) -> tuple[str, ...]:
        """What to know of the rows, in sentences."""
        found = []
        spread = math.sqrt(_USUAL * (1 - _USUAL) * self.with_words)
        if self.below > max(_UNUSUAL * self.with_words, _USUAL * self.with_words + 3 * spread):
            found.append(
                f"{self.below:,} of {self.with_words:,} sequences have fewer words in common with training than 95% of "
                f"validation's (less than {self.low:.0%}): another language, platform or subject, where scores mean "
                "little (column known_words)"
            )
        if self.wordless:
            found.append(
                f"{self.wordless:,} sequences have no word, so their scores are not of what was said"
            )
        return tuple(found)
