"""The surface of a conversation: how long, how loud, how fast and in which turns, whatever the words are.

One row a sequence, for a linear model beside those of n-grams: a delay says something only beside the length of what
was written meanwhile, and the n-grams know neither. Two roles are described alike: the central author and the others
(see corpus.voices). Knows nothing of labels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tenor.arrays import to_numpy
from tenor.corpus.corpus import Corpus
from tenor.corpus.messages import read_texts, read_timestamps
from tenor.corpus.sampling import blocks_of_texts
from tenor.corpus.views import SequenceView
from tenor.corpus.voices import count_spoken, lay_out_turns
from tenor.errors import UsageError
from tenor.linear import LinearModel, Table

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

ROLES = ("central", "others")
#: What is said of the messages of each role; all 0 where it has none. A word is a run of letters and digits.
ROLE_FEATURES: dict[str, str] = {
    "messages": "log(1 + messages)",
    "characters": "log(1 + characters in all)",
    "length_mean": "mean of a message's log(1 + characters)",
    "length_deviation": "standard deviation of the same",
    "length_max": "maximum of the same",
    "questions": "share of messages with a question mark",
    "exclamations": "share of messages with an exclamation mark",
    "capitals": "share of characters that are capital letters",
    "word_length": "letters and digits a word",
    "short": "share of messages of one word or none",
}
#: What is said of the whole.
TURN_FEATURES: dict[str, str] = {
    "messages": "log(1 + messages)",
    "opens": "1 where the central author wrote first",
    "closes": "1 where the central author wrote last",
    "message_share": "share of messages by the central author",
    "character_share": "share of characters by the central author",
    "switches": "share of messages but the first whose role is another than that of the one before",
    "shrinking": "mean log(1 + characters) of the first half less that of the second",
    "first_length": "log(1 + characters) of the first message",
    "last_length": "log(1 + characters) of the last message",
    "delays_known": "share of messages but the first with a time, as the one before has",
    "duration": "log(1 + seconds between messages, in all)",
    "delay_mean": "mean log(1 + seconds, a day at most) between messages",
    "delay_max": "maximum of the same",
}
SURFACE_FEATURES: dict[str, str] = {
    f"{role}.{name}": text for role in ROLES for name, text in ROLE_FEATURES.items()
} | TURN_FEATURES

_DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class SurfaceModel:
    """A linear model of the features, each held to the range that it had in training.

    Beyond it a line is a guess: a conversation that has only begun is shorter than any that was trained on.

    Attributes:
        linear: of D = len(SURFACE_FEATURES) columns.
        bounds: (2, D) float64, each feature's lowest and highest value in training.
    """

    linear: LinearModel
    bounds: Floats

    def __post_init__(self) -> None:
        expected, found = len(SURFACE_FEATURES), len(self.linear.coefficients)
        if found != expected:
            raise UsageError(f"expected {expected} coefficients of the surface, found {found}")
        if self.bounds.shape != (2, expected):
            raise UsageError(f"bounds: expected the shape {(2, expected)}, found {self.bounds.shape}")
        if not (self.bounds[0] <= self.bounds[1]).all():
            raise UsageError("bounds: expected no lowest value above its highest, found one")

    @classmethod
    def of_training(cls, linear: LinearModel, table: Table) -> SurfaceModel:
        """The model that was fitted on a table (S, D)."""
        return cls(linear, np.stack([table.min(axis=0), table.max(axis=0)]).astype(np.float64))

    def logits(self, table: Floats) -> Floats:
        """(S,) logits of a table (S, D) for two classes, (S, C) for more."""
        return self.linear.logits(np.clip(table, *self.bounds))

    def to_tensors(self) -> dict[str, npt.NDArray[np.generic]]:
        """The state as named arrays; from_tensors takes them back."""
        return {**self.linear.to_tensors(), "bounds": self.bounds}

    @classmethod
    def from_tensors(cls, tensors: dict[str, npt.NDArray[np.generic]]) -> SurfaceModel:
        """Take back what to_tensors gave.

        Raises:
            UsageError: a tensor is missing, unknown, misshapen, of another dtype or not finite, or the bounds are none.
        """
        found = tensors["bounds"].dtype if "bounds" in tensors else "none"
        if found != np.float64:
            raise UsageError(f"expected the tensor bounds in float64, found {found}")
        linear = LinearModel.from_tensors({name: each for name, each in tensors.items() if name != "bounds"})
        return cls(linear, tensors["bounds"].astype(np.float64))


def describe_surface(view: SequenceView) -> Floats:
    """The features of SURFACE_FEATURES, in that order: (S, D), finite, a block of texts at a time.

    Raises:
        CorpusError: the corpus has no text.
    """
    table = np.zeros((len(view), len(SURFACE_FEATURES)))
    for block in blocks_of_texts(view, count_spoken(view)):
        table[block] = _describe_block(view.select(block))
    return table


def _describe_block(view: SequenceView) -> Floats:
    rows, owners, is_central = lay_out_turns(view)
    if len(rows) == 0:
        return np.zeros((len(view), len(SURFACE_FEATURES)))
    texts = _measure_texts(view.corpus, rows)
    follows = np.diff(owners, prepend=-1) == 0  # another message of the same sequence stands before
    delays = np.diff(read_timestamps(view.corpus, rows), prepend=np.nan)
    delays = np.clip(np.where(follows, delays, np.nan), 0.0, _DAY)  # times that run backwards: no delay
    roles = _describe_roles(2 * owners + ~is_central, len(view), texts)
    turns = _describe_turns(owners, len(view), is_central, texts["characters"], delays, follows)
    return np.concatenate([roles, turns], axis=1)


def _measure_texts(corpus: Corpus, rows: Integers) -> dict[str, Floats]:
    """What `_measure` counts in each message: (M,) each. One that several sequences read is counted once."""
    distinct, owners = np.unique(rows, return_inverse=True)
    found: dict[str, Floats] = {}
    for places, texts in read_texts(corpus, distinct):
        for name, counts in _measure(texts).items():
            found.setdefault(name, np.zeros(len(distinct)))[places] = counts
    return {name: counts[owners] for name, counts in found.items()}


def _measure(texts: pa.Array) -> dict[str, npt.NDArray[np.generic]]:
    """Of N texts: characters, words, letters and digits, capitals, and whether one asks or exclaims, (N,) each."""
    # One regular expression that eats whole runs: counting every letter by one took seven times as long.
    words = pc.utf8_trim(pc.replace_substring_regex(texts, r"[^\pL\pN]+", " "), " ")
    gaps = to_numpy(pc.count_substring(words, " "))
    letters = to_numpy(pc.utf8_length(words)) - gaps
    return {
        "characters": to_numpy(pc.utf8_length(texts)),
        "words": gaps + (letters > 0),
        "letters": letters,
        "capitals": to_numpy(pc.count_substring_regex(texts, r"\p{Lu}")),
        "asks": to_numpy(pc.match_substring_regex(texts, "[?？؟]")),
        "exclaims": to_numpy(pc.match_substring_regex(texts, "[!！]")),
    }


def _describe_roles(codes: Integers, num: int, texts: dict[str, Floats]) -> Floats:
    """(S, 2 R): ROLE_FEATURES of each role; a message's code is 2 s if central in sequence s, else 2 s + 1."""
    count = _Groups(codes, 2 * num)
    lengths = np.log1p(texts["characters"])
    length_mean = count.mean(lengths)
    characters, words = count.sum(texts["characters"]), count.sum(texts["words"])
    columns = {
        "messages": np.log1p(count.sizes),
        "characters": np.log1p(characters),
        "length_mean": length_mean,
        "length_deviation": np.sqrt(count.mean(np.square(lengths - length_mean[codes]))),
        "length_max": count.max(lengths),
        "questions": count.mean(texts["asks"]),
        "exclamations": count.mean(texts["exclaims"]),
        "capitals": count.sum(texts["capitals"]) / np.maximum(characters, 1.0),
        "word_length": count.sum(texts["letters"]) / np.maximum(words, 1.0),
        "short": count.mean(texts["words"] <= 1),
    }
    table = np.stack([columns[name] for name in ROLE_FEATURES], axis=1)
    return table.reshape(num, 2 * len(ROLE_FEATURES))


def _describe_turns(
    owners: Integers, num: int, is_central: Bools, characters: Floats, delays: Floats, follows: Bools
) -> Floats:
    """(S, T): TURN_FEATURES, from a value a message each; delays are NaN where not known."""
    whole, later = _Groups(owners, num), np.maximum(np.bincount(owners[follows], minlength=num), 1)
    firsts = np.flatnonzero(~follows)
    lasts = np.append(firsts[1:], len(owners)) - 1
    lengths = np.log1p(characters)
    places = np.arange(len(owners)) - np.repeat(firsts, lasts - firsts + 1)
    in_first_half = places < np.maximum(whole.sizes // 2, 1)[owners]
    halves = [_Groups(owners[half], num).mean(lengths[half]) for half in (in_first_half, ~in_first_half)]
    known = np.isfinite(delays)
    waited = _Groups(owners[known], num)
    waits = np.log1p(delays[known])

    def of_sequences(values: Floats | Bools) -> Floats:  # a value a sequence with messages, as one for each
        found = np.zeros(num)
        found[owners[firsts]] = values
        return found

    columns = {
        "messages": np.log1p(whole.sizes),
        "opens": of_sequences(is_central[firsts]),
        "closes": of_sequences(is_central[lasts]),
        "message_share": whole.mean(is_central),
        "character_share": whole.sum(characters * is_central) / np.maximum(whole.sum(characters), 1.0),
        "switches": whole.sum(follows & np.diff(is_central, prepend=False)) / later,
        "shrinking": np.where(whole.sizes > 1, halves[0] - halves[1], 0.0),
        "first_length": of_sequences(lengths[firsts]),
        "last_length": of_sequences(lengths[lasts]),
        "delays_known": whole.sum(known) / later,
        "duration": np.log1p(waited.sum(delays[known])),
        "delay_mean": waited.mean(waits),
        "delay_max": waited.max(waits),
    }
    return np.stack([columns[name] for name in TURN_FEATURES], axis=1)


class _Groups:
    """Sums, means and maxima of values a message, by the group that each belongs to; 0 for groups without."""

    def __init__(self, codes: Integers, num: int) -> None:
        self.codes = codes
        self.sizes = np.bincount(codes, minlength=num)

    def sum(self, values: npt.NDArray[np.generic]) -> Floats:
        return np.bincount(self.codes, weights=values, minlength=len(self.sizes)).astype(np.float64)

    def mean(self, values: npt.NDArray[np.generic]) -> Floats:
        return np.asarray(self.sum(values) / np.maximum(self.sizes, 1))

    def max(self, values: Floats) -> Floats:  # none of the values is negative
        found = np.zeros(len(self.sizes))
        np.maximum.at(found, self.codes, values)
        return found
