"""Seeded corpora of any size with planted evidence, for tests and benchmarks.

One author in so many is guilty and leaves evidence in a share of their conversations: in words, in the order of
words, in timing, and in the features where there are any. The truth is in the labels. Streaming: memory does not
grow with the corpus. Knows nothing of corpora on disk, splits or models.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from tenor.corpus.schema import Conversation, Place
from tenor.errors import UsageError
from tenor.files import publish_file
from tenor.seeding import numpy_generator

Evidence = Literal["words", "order", "timing"]
EVIDENCE: tuple[Evidence, ...] = get_args(Evidence)

IntArray = npt.NDArray[np.int64]

_CONSONANTS, _VOWELS = "bdfgklmnprstvz", "aeiou"
_SYLLABLES = [consonant + vowel for consonant in _CONSONANTS for vowel in _VOWELS]
_NUM_WORDS = 2000


def _make_word(index: int) -> str:
    first, second = divmod(index, len(_SYLLABLES))
    return _SYLLABLES[first] + _SYLLABLES[second]


#: What everybody says, the frequent first (a word's frequency falls as 1 / (10 + rank)).
WORDS: tuple[str, ...] = tuple(_make_word(index) for index in range(_NUM_WORDS))

#: What the guilty say with evidence "words"; the innocent too, the more the harder it is.
TELLING_WORDS: tuple[str, ...] = tuple(_make_word(_NUM_WORDS + index) + "x" for index in range(20))

#: With evidence "order" everybody says both; the guilty say the first first.
ORDER_WORDS: tuple[str, str] = ("qupo", "quka")

_WORD_WEIGHTS = 1.0 / (10.0 + np.arange(_NUM_WORDS))
_WORD_CUTS = np.cumsum(_WORD_WEIGHTS / _WORD_WEIGHTS.sum())
_BLOCK = 512  # conversations made at a time; each block has its own generator
_EPOCH_S = 1_700_000_000.0
_YEAR_S = 365.25 * 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SyntheticPlan:
    """What to make.

    Attributes:
        conversations: how many.
        seed: of everything.
        messages: mean messages a conversation; lengths are skewed, at least 1.
        conversations_per_author: mean.
        guilty_every: one author in so many is guilty.
        bad_share: the share of a guilty author's conversations that hold evidence, in [0, 1].
        difficulty: 0 = evidence in every second message and never without guilt, 1 = no trace.
        evidence: where it is: in words, in the order of two words, or in quicker replies.
        input_size: F, also makes features whose mean is shifted in messages with evidence; None = texts only.
    """

    conversations: int
    seed: int = 0
    messages: float = 12.0
    conversations_per_author: float = 10.0
    guilty_every: int = 10
    bad_share: float = 1.0
    difficulty: float = 0.2
    evidence: Evidence = "words"
    input_size: int | None = None

    def __post_init__(self) -> None:
        rules = {
            "conversations must be 0 or more": self.conversations >= 0,
            "messages must be 1 or more": self.messages >= 1,
            "conversations_per_author must be above 0": self.conversations_per_author > 0,
            "guilty_every must be 1 or more": self.guilty_every >= 1,
            "bad_share must be in [0, 1]": 0 <= self.bad_share <= 1,
            "difficulty must be in [0, 1]": 0 <= self.difficulty <= 1,
            f"evidence must be one of {', '.join(EVIDENCE)}": self.evidence in EVIDENCE,
            "input_size must be 1 or more": self.input_size is None or self.input_size >= 1,
        }
        for rule, holds in rules.items():
            if not holds:
                raise UsageError(f"{rule}, not {getattr(self, rule.split()[0])!r}")

    @property
    def num_authors(self) -> int:
        """How many authors there are; 5 at least, so that four can meet."""
        return max(5, math.ceil(self.conversations * 3 / self.conversations_per_author))


def generate_conversations(plan: SyntheticPlan) -> Iterator[Conversation]:
    """Make the conversations of a plan, one after another; the same plan gives the same ones.

    Two to four authors take turns at random. An author is labelled 1 when guilty, in every conversation; a
    conversation is labelled 1 when it was chosen to hold a guilty author's evidence.
    """
    for first in range(0, plan.conversations, _BLOCK):
        yield from _generate_block(plan, first, min(_BLOCK, plan.conversations - first))


def write_jsonl(conversations: Iterable[Conversation], path: str | Path) -> Path:
    """Write conversations as the JSON lines that `tenor.import_corpus` reads; gzipped where the name ends in .gz.

    Raises:
        StorageError: the file cannot be written; an older one is untouched.
    """
    path = Path(path)
    with publish_file(path) as temporary, temporary.open("wb") as raw:
        # Without a time in its header a gzip file of the same conversations is the same bytes.
        is_packed = path.suffix == ".gz"
        packed = gzip.GzipFile("", "wb", compresslevel=1, fileobj=raw, mtime=0) if is_packed else None
        with contextlib.nullcontext(raw) if packed is None else packed as file:
            for conversation in conversations:
                line = json.dumps(to_record(conversation), ensure_ascii=False) + "\n"
                file.write(line.encode())
    return path


def to_record(conversation: Conversation) -> dict[str, Any]:
    """A conversation as the JSON object of one line; what it does not have is left out."""
    messages: list[dict[str, Any]] = [{"author": author} for author in conversation.authors]
    columns = {"text": conversation.texts, "timestamp": conversation.timestamps}
    if conversation.features is not None:
        columns["features"] = conversation.features.tolist()
    for name, values in columns.items():
        for message, value in zip(messages, [] if values is None else values, strict=values is not None):
            if value is not None:
                message[name] = value
    record: dict[str, Any] = {"conversation_id": conversation.conversation_id, "messages": messages}
    if conversation.author_labels:
        record["author_labels"] = conversation.author_labels
    for name in ("label", "group", "split"):
        if getattr(conversation, name) is not None:
            record[name] = getattr(conversation, name)
    return record


def _generate_block(plan: SyntheticPlan, first: int, count: int) -> Iterator[Conversation]:
    generator = numpy_generator(plan.seed, "synthetic", first)
    sizes = 1 + generator.negative_binomial(1.5, 1.5 / (0.5 + plan.messages), count)  # mean = messages
    ends = np.cumsum(sizes)
    conversation_of = np.repeat(np.arange(count), sizes)
    present = generator.integers(2, 5, count)
    # Four different authors, of which the first two to four take part.
    gaps = np.cumsum(generator.integers(1, max(2, plan.num_authors // 4), (count, 4)), axis=1)
    cast = (generator.integers(0, plan.num_authors, (count, 1)) + gaps) % plan.num_authors
    roles = generator.integers(0, present[conversation_of])
    chosen = generator.random((count, 4)) < plan.bad_share
    bad = chosen & (cast % plan.guilty_every == 0) & (np.arange(4) < present[:, None])  # (count, 4)
    bad_message = bad[conversation_of, roles]

    is_marked = _mark_messages(plan, bad_message, generator)
    delays = generator.lognormal(3.0, 1.0, len(roles))
    if plan.evidence == "timing":
        delays[bad_message] *= 0.1 ** (1.0 - plan.difficulty)
    times = np.cumsum(delays)
    starts_s = _EPOCH_S + generator.random(count) * _YEAR_S
    texts = _make_texts(len(roles), is_marked, generator)
    features = _make_features(plan, bad_message, generator)
    for index in range(count):
        rows = slice(ends[index] - sizes[index], ends[index])
        own_roles = roles[rows]
        own_texts = texts[rows]
        if plan.evidence == "order":
            _plant_order(plan, own_texts, own_roles, bad[index], generator)
        names = [f"author-{author}" for author in cast[index]]
        spoke = sorted(set(own_roles.tolist()))
        own_times = starts_s[index] + (times[rows] - times[rows.start])
        yield Conversation(
            conversation_id=f"conversation-{first + index}",
            authors=[names[role] for role in own_roles],
            texts=own_texts,
            timestamps=np.round(own_times, 1).tolist(),
            features=None if features is None else features[rows],
            label=int(bad[index][spoke].any()),
            author_labels={names[role]: int(cast[index, role] % plan.guilty_every == 0) for role in spoke},
            place=Place("synthetic", first + index + 1),
        )


def _mark_messages(
    plan: SyntheticPlan, bad_message: npt.NDArray[np.bool_], generator: np.random.Generator
) -> npt.NDArray[np.bool_]:
    """Which messages hold a telling word."""
    chances = generator.random(len(bad_message))
    if plan.evidence != "words":
        return np.zeros(len(bad_message), dtype=bool)
    innocent = 0.1 * plan.difficulty
    return chances < np.where(bad_message, 0.5 * (1.0 - plan.difficulty) + innocent, innocent)


def _make_texts(count: int, is_marked: npt.NDArray[np.bool_], generator: np.random.Generator) -> list[str]:
    """Messages of 1 to 16 words; a telling word stands anywhere in a marked one."""
    sizes = generator.integers(1, 17, count)
    words = np.searchsorted(_WORD_CUTS, generator.random(int(sizes.sum()))).tolist()
    telling = generator.integers(0, len(TELLING_WORDS), count).tolist()
    places = generator.integers(0, sizes + 1).tolist()
    texts, start = [], 0
    for size, is_told, word, place in zip(sizes.tolist(), is_marked.tolist(), telling, places, strict=True):
        parts = [WORDS[min(index, _NUM_WORDS - 1)] for index in words[start : start + size]]
        if is_told:
            parts.insert(place, TELLING_WORDS[word])
        texts.append(" ".join(parts))
        start += size
    return texts


def _plant_order(
    plan: SyntheticPlan,
    texts: list[str],
    roles: IntArray,
    bad: npt.NDArray[np.bool_],
    generator: np.random.Generator,
) -> None:
    """Give every author with two messages or more both ORDER_WORDS, in one message each."""
    swaps, places = generator.random(4), generator.random((4, 4))
    for role in range(4):
        own = np.flatnonzero(roles == role)
        if len(own) < 2:
            continue
        early = int(places[role, 0] * (len(own) - 1))
        late = early + 1 + int(places[role, 1] * (len(own) - 1 - early))
        guilty_order = bool(bad[role]) != bool(swaps[role] < 0.5 * plan.difficulty)
        words = ORDER_WORDS if guilty_order else ORDER_WORDS[::-1]
        for message, word, place in zip(own[[early, late]], words, places[role, 2:], strict=True):
            parts = texts[message].split(" ")
            parts.insert(
                int(place * (len(parts) + 1)), word
            )  # no word before or after it gives the order away
            texts[message] = " ".join(parts)


def _make_features(
    plan: SyntheticPlan, bad_message: npt.NDArray[np.bool_], generator: np.random.Generator
) -> npt.NDArray[np.float16] | None:
    if plan.input_size is None:
        return None
    features = generator.standard_normal((len(bad_message), plan.input_size), dtype=np.float32)
    # A shift of every feature by 2 / sqrt(F) moves the messages two standard deviations apart at difficulty 0.
    features[bad_message] += 2.0 * (1.0 - plan.difficulty) / math.sqrt(plan.input_size)
    return features.astype(np.float16)
