"""From a corpus to an analyzed corpus: every message gets a feature vector.

What is fitted is fitted on training messages only. Streams in bounded memory; knows nothing of models or
labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tenor.arguments import require_flags, require_list
from tenor.arrays import number_array
from tenor.corpus.class_order import ClassOrder
from tenor.corpus.corpus import Corpus, open_corpus
from tenor.corpus.info import INFO_NAME, EncoderInfo
from tenor.corpus.layout import FEATURE_TYPES
from tenor.corpus.ordering import blocks_of_messages
from tenor.corpus.splits import hash_training_ids, training_sequences
from tenor.corpus.writer import CorpusWriter
from tenor.encoding.dynamics import DynamicsEncoder
from tenor.encoding.encoder import Encoder, SumEncoder
from tenor.encoding.encoder_file import ENCODER_NAME, dump_encoder, hash_encoder, load_encoder
from tenor.encoding.expression import TEXT_ENCODERS, EncoderTerm, parse_encoder
from tenor.encoding.lsa import MAX_FIT_CHARACTERS, MAX_FIT_MESSAGES, LsaEncoder, fit_lsa
from tenor.encoding.pretrained import PretrainedEncoder
from tenor.encoding.sentence import load_sentence
from tenor.encoding.sharing import Task, Team, encode_blocks, own_places, share_task
from tenor.encoding.static import load_static
from tenor.encoding.updating import count_reusable_files
from tenor.errors import CorpusError, UsageError
from tenor.files import existing, require_apart, require_path, write_bytes
from tenor.progress import progress_bar
from tenor.seeding import numpy_generator

#: Messages marked, and flags looked through, at a time.
_MESSAGES_AT_A_TIME, _BLOCK_FLAGS = 1 << 14, 1 << 20

#: What the writer counts itself; other counts of the source, such as ``rejected``, are carried over.
_OWN_COUNTS = frozenset(
    "conversations messages participants author_sequences authors left_out_conversations "
    "left_out_author_sequences"
    .split()
)  # fmt: skip


def encode_corpus(
    source: Path | str,
    dest: Path | str,
    *,
    encoder: str = "lsa",
    input_size: int = 256,
    seed: int = 0,
    dtype: str = "float16",
    keep_text: bool = True,
    model_paths: Sequence[Path | str] = (),
    batch_size: int = 64,
    device: str | None = None,
    replace: bool = False,
    update: bool = False,
    progress: bool = True,
) -> Path:
    """Make an analyzed corpus: the source with features, its splits, labels and ids as they are.

    Features that the source has already are replaced. The encoder is saved with the corpus as
    ``encoder.safetensors``, so that ``like:DEST`` can encode new conversations in the same way.

    Args:
        source: a corpus.
        dest: the analyzed corpus to make; another folder than the source.
        encoder: ``lsa``, ``dynamics``, ``static:PATH_OR_HUB_ID``, ``sentence:PATH_OR_HUB_ID``, a sum of these
            such as ``lsa+dynamics``, or ``like:ANALYZED_CORPUS``: the fitted encoder of another corpus.
        input_size: F, features a message in all; lsa takes what the others of a sum leave. Without lsa the
            encoders themselves decide F, and this is not used. A corpus too small for so many lsa components
            still gets F columns: the last ones are zero.
        seed: of what is fitted.
        dtype: of the features on disk, ``float16`` or ``float32``.
        keep_text: False leaves the texts out of the analyzed corpus (privacy).
        model_paths: for ``like:`` only: where local static or sentence models lie now.
        batch_size: texts of one forward pass of a sentence encoder.
        device: of a sentence encoder, such as ``cuda``; None = the best that this machine has.
        replace: allow `dest` to exist; it is replaced when the new one is complete.
        update: bring the analyzed corpus `dest` up to date with a source that has grown: its encoder, its dtype and
            what it keeps of texts stay, and only conversations that it does not hold yet are encoded.
        progress: show progress bars.

    Returns:
        `dest`.

    Raises:
        UsageError: an unknown encoder, dtype or model; input_size below 1 or too small for the sum; dest is
            source.
        ModelFileError: a static or sentence model that cannot be read, or holds a pickle only.
        CorpusError: no corpus, no text for an encoder that reads texts, or no training messages to fit on.
        StorageError: dest exists and `replace` is False, or it cannot be written.
        MissingExtraError: an encoder's optional package is not installed.
    """
    summary = encode_with_summary(
        source,
        dest,
        encoder=encoder,
        input_size=input_size,
        seed=seed,
        dtype=dtype,
        keep_text=keep_text,
        model_paths=model_paths,
        batch_size=batch_size,
        device=device,
        replace=replace,
        update=update,
        progress=progress,
    )
    return Path(dest) if summary is None else summary.path


@dataclass(frozen=True, slots=True)
class EncodeSummary:
    """What an encoding did.

    Attributes:
        path: the analyzed corpus.
        messages: in it.
        input_size: F, features a message.
        reused_messages: of them, whose features were there already.
    """

    path: Path
    messages: int
    input_size: int
    reused_messages: int

    def line(self) -> str:
        """The summary for a person."""
        line = f"{self.path}: {self.messages:,} messages, {self.input_size} features each"
        encoded = self.messages - self.reused_messages
        return line + (
            f" ({self.reused_messages:,} reused, {encoded:,} encoded)" if self.reused_messages else ""
        )


def encode_with_summary(
    source: Path | str,
    dest: Path | str,
    *,
    encoder: str = "lsa",
    input_size: int = 256,
    seed: int = 0,
    dtype: str = "float16",
    keep_text: bool = True,
    model_paths: Sequence[Path | str] = (),
    batch_size: int = 64,
    device: str | None = None,
    replace: bool = False,
    update: bool = False,
    progress: bool = True,
    team: Team | None = None,
) -> EncodeSummary | None:
    """As `encode_corpus`, with counts returned; in several processes, a `team`, on the first one only.

    Raises:
        UsageError, CorpusError, StorageError, MissingExtraError: as `encode_corpus`.
        ProcessError: another process of the team has gone.
    """
    if team is not None and team.rank > 0:
        _help_encode(team, encoder, model_paths, batch_size, device)
        return None
    source, dest = require_path(source, "source"), require_path(dest, "dest")
    require_flags(keep_text=keep_text, replace=replace, update=update, progress=progress)
    model_paths = require_list(model_paths, "model_paths", "paths")
    base = _open_base(dest) if update else None
    terms = parse_encoder(f"like:{dest}" if update else encoder)
    _check_arguments(source, dest, input_size, dtype, replace or update)
    corpus = open_corpus(source)
    with progress_bar("fitting the encoder", None, enabled=progress):
        if terms[0].kind == "like":
            fitted = load_encoder(
                terms[0].source, model_paths=model_paths, batch_size=batch_size, device=device
            )
            info = take_encoder_info(Path(terms[0].source), fitted)
        else:
            _require_text(corpus, terms)
            parts = [_make_encoder(term, batch_size, device) for term in terms]
            fitted = SumEncoder(_fit_parts(corpus, parts, input_size, seed))
            info = _make_info(corpus, fitted)
    if base is not None:
        dtype, keep_text = str(base.info.feature_dtype), base.has_text
    reused_files = 0 if base is None else count_reusable_files(corpus, base)
    reused = 0 if base is None else sum(file.num_conversations for file in base.info.files[:reused_files])
    with CorpusWriter(
        dest,
        split=corpus.info.split,
        input_size=fitted.input_size,
        feature_dtype=dtype,
        has_text=corpus.has_text and keep_text,
        encoder=info,
        feature_names=fitted.feature_names,
        sources=corpus.info.sources,
        replace=replace or update,
        base=base,
        base_files=reused_files,
        class_order=ClassOrder(known=corpus.info.classes),
    ) as writer:
        write_bytes(writer.folder / ENCODER_NAME, dump_encoder(fitted))
        writer.extra_counts |= {
            name: count for name, count in corpus.info.counts.items() if name not in _OWN_COUNTS
        }
        reused_messages = int(corpus.message_offsets[reused])
        todo = corpus.num_messages - reused_messages
        if team is not None:
            share_task(
                team, Task(str(source.resolve()), str(writer.folder.resolve() / ENCODER_NAME), dtype, reused)
            )
        with progress_bar("encoding", todo, enabled=progress) as advance:
            for conversation in encode_blocks(corpus.conversations(reused), fitted, dtype, team):
                writer.write(conversation)
                advance(len(conversation.authors))
    return EncodeSummary(dest, corpus.num_messages, fitted.input_size, reused_messages)


def _help_encode(
    team: Team, encoder: str, model_paths: Sequence[Path | str], batch_size: int, device: str | None
) -> None:
    """What the processes after the first do: encode their share with the encoder that the first has fitted."""
    task = share_task(team, None)
    models = [term.source for term in parse_encoder(encoder) if term.kind in ("static", "sentence")]
    places = [*model_paths, *own_places(models)]
    fitted = load_encoder(task.encoder, model_paths=places, batch_size=batch_size, device=device)
    for _ in encode_blocks(open_corpus(task.source).conversations(task.start), fitted, task.dtype, team):
        pass


def _open_base(dest: Path) -> Corpus:
    """The analyzed corpus to bring up to date.

    Raises:
        CorpusError: there is none, or its features were not made by an encoder.
    """
    base = open_corpus(dest)
    if base.info.encoder is None:
        raise CorpusError(
            f"{dest}: expected a corpus that tenor encoded, found one without an encoder: encode into a new folder"
        )
    return base


def _check_arguments(source: Path, dest: Path, input_size: int, dtype: str, replace: bool) -> None:
    """Refuse what needs no reading, before anything long begins."""
    if isinstance(input_size, bool) or not isinstance(input_size, int | np.integer) or input_size < 1:
        raise UsageError(f"input_size: expected a whole number of at least 1, found {input_size!r}")
    if dtype not in FEATURE_TYPES:
        raise UsageError(f"dtype: expected one of {', '.join(sorted(FEATURE_TYPES))}, found {dtype!r}")
    require_apart({"dest": dest}, {"source": source})
    if dest.exists() and not replace:
        raise existing(dest, INFO_NAME)


def _require_text(corpus: Corpus, terms: Sequence[EncoderTerm]) -> None:
    readers = [term.kind for term in terms if term.kind in TEXT_ENCODERS]
    if readers and not corpus.has_text:
        raise CorpusError(
            f"{corpus.path}: the encoder {readers[0]} reads texts, and this corpus keeps none: import it "
            "again with its texts, or use the encoder dynamics"
        )


def _make_encoder(term: EncoderTerm, batch_size: int, device: str | None) -> Encoder | None:
    """An encoder that needs no fitting; None for lsa, which does."""
    if term.kind == "static":
        return load_static(term.source)
    if term.kind == "sentence":
        return load_sentence(term.source, batch_size=batch_size, device=device)
    return DynamicsEncoder() if term.kind == "dynamics" else None


def _fit_parts(corpus: Corpus, parts: Sequence[Encoder | None], input_size: int, seed: int) -> list[Encoder]:
    """Put a fitted lsa in the place of None, as wide as the other parts leave it."""
    if None not in parts:
        return [part for part in parts if part is not None]
    others = sum(part.input_size for part in parts if part is not None)
    if others >= input_size:
        raise UsageError(
            f"input_size: expected more than {others}, which the other encoders of the sum take, found "
            f"{input_size}: lsa takes what they leave, give {others + 256} to leave it 256"
        )
    lsa = fit_lsa(sample_training_texts(corpus, seed=seed), input_size - others, seed=seed)
    return [lsa if part is None else part for part in parts]


def sample_training_texts(
    corpus: Corpus,
    *,
    seed: int = 0,
    max_messages: int = MAX_FIT_MESSAGES,
    max_characters: int = MAX_FIT_CHARACTERS,
) -> list[str]:
    """Texts that an encoder may be fitted on: of training authors in training conversations.

    Args:
        corpus: with texts.
        seed: of the draw, where there are more than the bounds allow.
        max_messages: at most so many texts.
        max_characters: at most so many characters in all, the first text apart.

    Returns:
        Texts in the order of the corpus. They depend on the training messages and the seed alone.

    Raises:
        CorpusError: there is no training message.
    """
    view = training_sequences(corpus)
    is_training = np.zeros(corpus.num_messages, dtype=bool)
    for indices in blocks_of_messages(view.lengths, _MESSAGES_AT_A_TIME):
        is_training[view.message_rows(indices)] = True
    count = int(np.count_nonzero(is_training))
    if count == 0:
        raise CorpusError(
            f"{corpus.path}: expected training messages to fit the encoder on, found none (no author of "
            "split train in a conversation of split train): use like:ANALYZED_CORPUS, or split anew"
        )
    generator = numpy_generator(seed, "encoder sample")
    if count > max_messages:
        rows = _find_true(is_training, np.sort(generator.choice(count, max_messages, replace=False)))
    else:
        rows = np.flatnonzero(is_training)
    texts = _read_texts(corpus, rows)
    drawn = generator.permutation(len(texts))
    fits = np.cumsum([len(texts[index]) for index in drawn]) <= max_characters
    fits[0] = True
    return [texts[index] for index in np.sort(drawn[fits])]


def _find_true(flags: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Where the true flags of some rising numbers stand, counted from 0, a block of flags at a time."""
    found, before = [], 0
    for start in range(0, len(flags), _BLOCK_FLAGS):
        places = np.flatnonzero(flags[start : start + _BLOCK_FLAGS])
        first, last = np.searchsorted(numbers, [before, before + len(places)])
        found.append(start + places[numbers[first:last] - before])
        before += len(places)
    return np.concatenate(found)


def _read_texts(corpus: Corpus, rows: np.ndarray) -> list[str]:
    """The texts of message rows in rising order."""
    bounds = np.searchsorted(rows, corpus.chunk_offsets)
    texts: list[str] = []
    for chunk, base, start, stop in zip(
        corpus.text_chunks, corpus.chunk_offsets[:-1], bounds[:-1], bounds[1:], strict=True
    ):
        texts += chunk.take(number_array(rows[start:stop] - base)).to_pylist()
    return texts


def _make_info(corpus: Corpus, encoder: SumEncoder) -> EncoderInfo:
    """What the audit must know: on which training messages a part was fitted; of two answers, the one of elsewhere."""
    own = (corpus.info.split_hash, hash_training_ids(corpus))
    tuned = [part.finetuned for part in encoder.parts if isinstance(part, PretrainedEncoder)]
    fitted = [(each.fitted_split_hash, each.fitted_ids_hash) for each in tuned if each is not None]
    fitted += [own for part in encoder.parts if isinstance(part, LsaEncoder)]
    split_hash, ids_hash = next((each for each in fitted if each != own), own) if fitted else (None, None)
    return EncoderInfo(
        name=encoder.name,
        hash=hash_encoder(dump_encoder(encoder)),
        fitted_split_hash=split_hash,
        fitted_ids_hash=ids_hash,
        knows_labels=any(each is not None and each.kept_epoch > 0 for each in tuned),
    )


def take_encoder_info(folder: Path, encoder: SumEncoder) -> EncoderInfo:
    """What the corpus that `encoder` was read from says of it, once the two are proven to belong together."""
    info = open_corpus(folder, verify=False).info.encoder
    if info is None or info.hash != hash_encoder(dump_encoder(encoder)):
        raise CorpusError(
            f"{folder / ENCODER_NAME}: this is not the encoder that the corpus was encoded with: encode it "
            "again"
        )
    return info
