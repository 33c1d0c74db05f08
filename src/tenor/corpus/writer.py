"""Writes conversations into a corpus folder, in bounded memory, whole or not at all.

Assigns splits as conversations come; knows nothing of where they come from or what their features mean.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Sequence
from functools import lru_cache, partial
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa

from tenor.corpus.appending import copy_companions, label_types, link_files, require_unchanged
from tenor.corpus.class_order import ClassOrder
from tenor.corpus.corpus import Corpus
from tenor.corpus.finishing import finish_corpus
from tenor.corpus.info import INFO_NAME, CorpusInfo, EncoderInfo, SourceInfo
from tenor.corpus.layout import FEATURE_TYPES, corpus_schema
from tenor.corpus.plan import SplitPlan, split_finder
from tenor.corpus.record_batch import Assigned, RowBuffer
from tenor.corpus.schema import SPLITS, Conversation, Label
from tenor.errors import CorpusError, InputError, UsageError
from tenor.files import publish_folder, start_writeback

logger = logging.getLogger(__name__)


class CorpusWriter:
    """A corpus folder in the making: a context manager that publishes the folder on a clean exit.

    After an exception, or when no conversation was written, nothing is left behind.

    Attributes:
        folder: the unpublished folder, inside the ``with``: other files of the corpus, such as an encoder's
            state, may be written into it and are published with it.
        extra_counts: more counts for `CorpusInfo.counts`, such as ``rejected``; read on exit.
        sources: read on exit, so hashes that are known at the end may be added late.
    """

    def __init__(
        self,
        dest: Path | str,
        *,
        split: SplitPlan,
        input_size: int | None = None,
        feature_dtype: str = "float16",
        has_text: bool | None = None,
        encoder: EncoderInfo | None = None,
        feature_names: Sequence[str] = (),
        sources: Sequence[SourceInfo] = (),
        replace: bool = False,
        base: Corpus | None = None,
        base_files: int | None = None,
        class_order: ClassOrder | None = None,
        batch_bytes: int = 16 << 20,
        file_bytes: int = 1 << 30,
    ) -> None:
        """Prepare the folder's content; nothing is created before ``with``.

        Args:
            dest: the corpus folder to make.
            split: how to split; conversations that bring their splits keep them.
            input_size: F; None = as the first conversation has it, with or without features.
            feature_dtype: ``float16`` or ``float32`` on disk.
            has_text: keep texts; None = as the first conversation has it; False drops them.
            encoder: what made the features.
            feature_names: F names, or none.
            sources: the files that the conversations come from.
            replace: allow `dest` to exist.
            base: a corpus whose conversations come first, as they are: its files are taken over without copying;
                texts, features and kinds of labels must be as there.
            base_files: take over so many of its files; None = all.
            class_order: of the classes; None = the alphabet's.
            batch_bytes: bound of a record batch, in bytes; one conversation may exceed it.
            file_bytes: bound of an Arrow file, in bytes.

        Raises:
            UsageError: an unknown dtype, or names that are not as many as features.
        """
        if feature_dtype not in FEATURE_TYPES:
            raise UsageError(
                f"feature_dtype: expected one of {', '.join(sorted(FEATURE_TYPES))}, found {feature_dtype!r}"
            )
        if feature_names and input_size is not None and len(feature_names) != input_size:
            raise UsageError(f"feature_names: expected {input_size} names, found {len(feature_names)}")
        self.extra_counts: dict[str, int] = {}
        self.sources = list(sources)
        self._dest, self._replace, self._plan, self._encoder = Path(dest), replace, split, encoder
        self._split_of = split_finder(split)
        self._split_of_author = lru_cache(maxsize=1 << 14)(self._split_of)  # who stands in many conversations
        self._input_size, self._dtype, self._has_text = input_size, np.dtype(feature_dtype), has_text
        self._feature_names = tuple(feature_names)
        self._batch_bytes, self._file_bytes = batch_bytes, file_bytes
        self._label_types: dict[str, pa.DataType | None] = {"label": None, "participant_labels": None}
        self._label_places: dict[str, str] = {}
        self._buffer, self._written = RowBuffer(), 0
        self._num_copied, self._is_split_given = 0, False
        self._base, self._names, self._num_taken = base, list[str](), 0
        self._class_order = ClassOrder() if class_order is None else class_order
        if base is not None:
            self._take_over(base, len(base.info.files) if base_files is None else base_files)
        self._stack = contextlib.ExitStack()
        self._folder: Path | None = None
        self._file: tuple[Any, Any, pa.Schema] | None = None  # sink, stream, schema
        self.info: CorpusInfo | None = None

    @property
    def folder(self) -> Path:
        """The unpublished folder.

        Raises:
            UsageError: outside the ``with``.
        """
        if self._folder is None:
            raise UsageError("CorpusWriter: write inside `with CorpusWriter(...) as writer:`")
        return self._folder

    def __enter__(self) -> CorpusWriter:
        """Create the unpublished folder."""
        check = None if self._base is None else partial(require_unchanged, self._base)
        self._folder = self._stack.enter_context(
            publish_folder(self._dest, replace=self._replace, marker=INFO_NAME, check=check)
        )
        if self._base is not None:
            link_files(self._base, self._names, self._folder)
        return self

    def _take_over(self, base: Corpus, files: int) -> None:
        """Begin where a corpus ends."""
        taken = base.info.files[:files]
        self._names, self._num_taken = [file.name for file in taken], len(taken)
        self._written = sum(file.num_conversations for file in taken)
        self._num_copied = self._written if self._plan.strict else 0
        self._has_text, self._input_size = base.has_text, base.info.input_size
        self._dtype = np.dtype(base.info.feature_dtype or self._dtype)
        self._feature_names = base.info.feature_names
        for name, kind in label_types(base.table.slice(0, self._written)).items():
            column = "label" if name == "label" else "participant_labels"
            self._label_types[column], self._label_places[column] = kind, f"{base.path}:1"

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Publish the folder, or after an exception remove it."""
        with self._stack:
            try:
                if error is not None:
                    raise error
                self._finish()
            finally:
                self._close_file()
                self._folder = None

    def write(self, conversation: Conversation) -> None:
        """Add one conversation.

        Raises:
            InputError: it has no message, lists of different lengths, features of another width or not
                finite, a label of another kind than before, no named group where the plan wants one, or a
                given split where the plan is strict.
        """
        if self._written == 0 and not len(self._buffer):
            self._decide_columns(conversation)
        self._check(conversation)
        self._buffer.add(conversation, self._assign(conversation))
        if self._buffer.num_bytes >= self._batch_bytes:
            self._flush()

    def _decide_columns(self, first: Conversation) -> None:
        if self._has_text is None:
            self._has_text = first.texts is not None
        if self._input_size is None and first.features is not None:
            if first.features.ndim != 2 or first.features.shape[1] == 0:
                shape = first.features.shape
                raise _error(first, "features", f"expected shape (messages, features), found {shape}")
            self._input_size = int(first.features.shape[1])
            if self._feature_names and len(self._feature_names) != self._input_size:
                raise UsageError(
                    f"feature_names: expected {self._input_size} names, found {len(self._feature_names)}"
                )

    def _check(self, conversation: Conversation) -> None:
        """Refuse what would make a corpus that does not open."""
        number = len(conversation.authors)
        if number == 0:
            raise _error(conversation, "messages", "expected at least one message, found none")
        if self._has_text and conversation.texts is None:
            raise _error(conversation, "text", "expected texts as in the first conversation, found none")
        for name, values in (("text", conversation.texts), ("timestamp", conversation.timestamps)):
            if values is not None and len(values) != number:
                raise _error(
                    conversation, name, f"expected {number} entries, one a message, found {len(values)}"
                )
        self._check_features(conversation, number)
        if conversation.label is not None:
            self._check_label("label", conversation.label, conversation)
        for label in dict.fromkeys(conversation.author_labels.values()):
            self._check_label("participant_labels", label, conversation)

    def _check_features(self, conversation: Conversation, number: int) -> None:
        features = conversation.features
        if features is None:
            if self._input_size is not None:
                raise _error(
                    conversation, "features", f"expected {self._input_size} features a message, found none"
                )
            return
        if self._input_size is None:
            raise _error(conversation, "features", "expected none as in the first conversation, found some")
        expected = (number, self._input_size)
        if features.shape != expected:
            raise _error(conversation, "features", f"expected shape {expected}, found {features.shape}")
        with np.errstate(over="ignore"):
            finite = np.isfinite(features.astype(self._dtype, copy=False)).all(axis=1)
        if not finite.all():
            message = int(np.argmin(finite))
            rule = (
                f"expected finite numbers within {self._dtype.name}, found another in message {message + 1}"
            )
            raise _error(conversation, f"messages[{message}].features", rule)

    def _check_label(self, column: str, label: Label, conversation: Conversation) -> None:
        kind = pa.string() if isinstance(label, str) else pa.int64()
        field = "label" if column == "label" else "author_labels"
        if not isinstance(label, str) and label not in (0, 1):
            rule = f"expected 0, 1 or a text, found {label!r}"
            raise _error(conversation, field, rule, "write classes of several as texts")
        known = self._label_types[column]
        if known is None:
            self._label_types[column] = kind
            self._label_places[column] = f"{conversation.place.path}:{conversation.place.line}"
        elif kind != known:
            words = {pa.string(): "a text", pa.int64(): "a number"}
            rule = f"expected {words[known]} as in {self._label_places[column]}, found {words[kind]}"
            raise _error(conversation, field, rule, "use one kind of label")

    def _assign(self, conversation: Conversation) -> Assigned:
        """The split of a conversation, and of each author in it."""
        participants = dict.fromkeys([*conversation.authors, *conversation.author_labels])
        if conversation.author_splits is not None:
            self._num_copied += 1
            return conversation.split, {name: conversation.author_splits.get(name) for name in participants}
        plan, group = self._plan, conversation.group
        if conversation.split is not None:
            if conversation.split not in SPLITS:
                rule = f"expected one of {', '.join(SPLITS)}, found {str(conversation.split)[:80]!r}"
                raise _error(conversation, "split", rule)
            if plan.strict:
                rule = "found a given split, but a strict plan makes its own"
                raise _error(conversation, "split", rule, "leave out the split column, or strict")
            if plan.by is not None and not self._is_split_given:
                logger.warning(
                    "the source brings its splits: they are kept, and only what has none is split by %s (to split all "
                    "anew ignore them: --column split=)",
                    plan.by,
                )
            self._is_split_given = True
            return conversation.split, dict.fromkeys(participants, conversation.split)
        if plan.by == "group" and group is None:
            rule = "expected a named group, found none"
            raise _error(
                conversation, "group", rule, "name a group in every conversation, or split by author"
            )
        if plan.strict:
            return None, dict.fromkeys(participants)
        named = group if plan.by in (None, "group") else None
        if plan.by == "author":
            split = self._split_of_author(conversation.authors[0])
        else:
            split = self._split_of(conversation.conversation_id if named is None else named)
        if named is not None or plan.by == "conversation":
            return split, dict.fromkeys(participants, split)
        return split, dict(zip(participants, map(self._split_of_author, participants), strict=True))

    def _schema(self) -> pa.Schema:
        has_features = self._input_size is not None
        return corpus_schema(
            has_text=bool(self._has_text),
            input_size=self._input_size,
            feature_dtype=self._dtype.name if has_features else None,
            label_type=self._label_types["label"] or pa.int64(),  # pa types are always true
            participant_label_type=self._label_types["participant_labels"] or pa.int64(),
        )

    def _flush(self) -> None:
        """Write the buffered conversations as one record batch."""
        if not len(self._buffer):
            return
        schema = self._schema()
        batch = self._buffer.make_batch(schema, self._dtype)
        if self._file is not None and (self._file[2] != schema or self._file[0].tell() >= self._file_bytes):
            self._close_file()
        if self._file is None:
            name = f"data-{len(self._names):05d}.arrow"
            self._names.append(name)
            sink = pa.OSFile(str(self.folder / name), "wb")
            self._file = sink, pa.ipc.new_stream(sink, schema), schema
        sink, stream, _ = self._file
        start = sink.tell()
        stream.write_batch(batch)
        start_writeback(sink.fileno(), start, sink.tell())
        self._written += len(self._buffer)
        self._buffer = RowBuffer()

    def _close_file(self) -> None:
        if self._file is not None:
            sink, stream, _ = self._file
            self._file = None
            stream.close()
            sink.close()

    def _finish(self) -> None:
        self._flush()
        self._close_file()
        if self._base is not None:
            require_unchanged(self._base)  # as at the end, but before all is read again
        if self._written == 0:
            raise CorpusError(f"{self._dest}: no conversation to write: check the source")
        if self._plan.strict and 0 < self._num_copied < self._written:
            raise CorpusError(
                f"{self._dest}: a strict split cannot be added to: split all conversations anew"
            )
        self.info = finish_corpus(
            self.folder,
            self._names,
            self._schema(),
            plan=self._plan,
            assign_strictly=self._plan.strict and self._num_copied == 0,
            encoder=self._encoder,
            feature_names=self._feature_names,
            sources=self.sources,
            extra_counts=self.extra_counts,
            class_order=self._class_order,
            base=self._base,
            num_taken=self._num_taken,
        )
        if self._base is not None:  # now, for the test split may have been read meanwhile
            copy_companions(self._base, self.folder)


def _error(conversation: Conversation, field: str, rule: str, remedy: str = "") -> InputError:
    place = conversation.place
    name = conversation.conversation_id[:80]
    return InputError(
        f"conversation {name!r}: {rule}", path=place.path, line=place.line, field=field, remedy=remedy
    )
