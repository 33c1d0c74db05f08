"""Importing: a source of any format becomes a corpus folder, in one streaming pass.

Joins the readers with the writer; decides what happens to rows that break a rule. Knows nothing of formats,
and nothing of how a corpus is laid out on disk.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from dataclasses import replace as replace_fields
from itertools import chain
from pathlib import Path
from typing import Literal

import numpy as np

from tenor.arguments import require_flags
from tenor.corpus.appending import find_new_classes, open_base, prepare_tally
from tenor.corpus.corpus import Corpus
from tenor.corpus.import_summary import ImportSummary
from tenor.corpus.info import CorpusInfo, EncoderInfo, describe_source, read_info
from tenor.corpus.optional_fields import OPTIONAL_FIELDS, find_carried, find_optional
from tenor.corpus.plan import PlanRequest, SplitBy, SplitPlan, whole_plan
from tenor.corpus.quarantine import Quarantine, holds_rejects
from tenor.corpus.readers.columns import ColumnMap, make_column_map
from tenor.corpus.readers.records import Limits, Reject
from tenor.corpus.readers.source import Format, read_source
from tenor.corpus.readers.tally import Tally
from tenor.corpus.schema import Conversation
from tenor.corpus.settling import Replaced, settle_class_order, settle_plan
from tenor.corpus.writer import CorpusWriter
from tenor.errors import InputError, UsageError
from tenor.files import require_apart, require_path, require_replaceable
from tenor.progress import progress_bar

logger = logging.getLogger(__name__)

#: What happens to a row that breaks a rule: stop at it, or set it aside.
OnError = Literal["raise", "quarantine"]

#: An encoder's fitted state, copied with a corpus whose features it made.
_ENCODER_STATE = "encoder.safetensors"
#: What is set aside is listed in memory up to here, and beyond it in a temporary file.
_SPOOLED_BYTES = 1 << 20
_PROGRESS_STEP = 1000


def import_corpus(
    source: Path | str,
    dest: Path | str,
    *,
    format: Format | None = None,  # noqa: A002 - the public name
    columns: ColumnMap | Mapping[str, str | None] | None = None,
    on_error: OnError = "raise",
    split_by: SplitBy | None = None,
    fractions: tuple[float, float, float] | None = None,
    seed: int | None = None,
    strict: bool | None = None,
    positive: str | Sequence[str] = (),
    rejects: Path | str | None = None,
    replace: bool = False,
    append: bool = False,
    limits: Limits | None = None,
    progress: bool = False,
) -> Path:
    """Read a source into a new corpus folder.

    Args:
        source: a JSONL, CSV or Parquet file (JSONL and CSV also packed as .gz or .zst), a glob pattern or
            folder of such files, a folder saved by Hugging Face datasets, or a corpus.
        dest: the corpus folder to make; it appears whole or not at all.
        format: ``jsonl``, ``csv``, ``parquet``, ``arrow``, ``huggingface`` or ``corpus``; None = by the
            suffix.
        columns: which column is which: a ColumnMap, or a mapping from tenor's name to the source's.
        on_error: ``raise`` stops at the first row that breaks a rule; ``quarantine`` sets such rows aside.
        split_by: None = conversations by their id and authors by their name, a named group in place of both;
            ``author``, ``conversation`` or ``group`` forces one. A given split wins; a corpus keeps its splits, and
            their plan.
        fractions: expected shares of train, validation and test; None = 0.7, 0.1, 0.2.
        seed: of the splits; None = 0.
        strict: one joint assignment in which neither an author nor a conversation is shared between splits; None = not.
        positive: the name of the class that is the positive one of two, or a name a level; by default the last in the
            alphabet's order, and of 0 and 1 always 1. A corpus keeps the order of its classes; one of a single class
            may be told with what brings the other.
        rejects: the file that lists what was set aside: place, reason and a hash of each row, never its text;
            None = ``rejects.jsonl`` in the corpus folder.
        replace: allow `dest` to exist. What is not asked for of the four arguments of its splits, and of its positive
            classes, is taken over from it, so that the same ids have the same splits.
        append: add to the corpus `dest`. Its conversations stay as they are, also their splits; new ones are split by
            its plan, an id that it holds is a broken rule, and a new class joins its classes. The result is what one
            import of all sources would give.
        limits: on sizes; None = the stated ones.
        progress: show a bar where a person watches.

    Returns:
        `dest`.

    Raises:
        InputError: a row breaks a rule (``raise``), a file cannot be read on, or no row is left.
        UsageError: an argument has a value outside the allowed ones, a split of its own for a source that is a corpus,
            `append` to an analyzed corpus, or with another `positive` than it has.
        StorageError: `dest` exists or cannot be written.
        CorpusError: the source is a corpus, and damaged, or there is none to append to.
        SplitError: the corpus to append to has a strict plan.
    """
    summary = import_with_summary(
        source,
        dest,
        format=format,
        columns=columns,
        on_error=on_error,
        plan=PlanRequest(seed=seed, fractions=fractions, by=split_by, strict=strict),
        positive=positive,
        rejects=rejects,
        replace=replace,
        append=append,
        limits=limits,
        progress=progress,
    )
    for remark in summary.remarks(with_positives=not positive):
        logger.warning("%s: %s", summary.path, remark)
    return summary.path


def import_with_summary(
    source: Path | str,
    dest: Path | str,
    *,
    format: Format | None = None,  # noqa: A002
    columns: ColumnMap | Mapping[str, str | None] | None = None,
    on_error: OnError = "raise",
    plan: SplitPlan | PlanRequest | None = None,
    positive: str | Sequence[str] = (),
    rejects: Path | str | None = None,
    replace: bool = False,
    append: bool = False,
    limits: Limits | None = None,
    progress: bool = False,
) -> ImportSummary:
    """As `import_corpus`, with the split plan as one argument, and with the counts returned.

    No plan stands for the corpus's own, where one is the source, is appended to or is replaced, else for the default
    one; a request stands for these but for what it asks.

    Raises:
        InputError, UsageError, StorageError, CorpusError: as `import_corpus`.
    """
    if on_error not in ("raise", "quarantine"):
        raise UsageError(f"on_error: expected raise or quarantine, found {on_error!r}")
    require_flags(replace=replace, append=append, progress=progress)
    wanted = whole_plan(plan)  # what is wrong with it is said before anything is read
    dest, counts, base, tally = require_path(dest, "dest"), _Counts(), None, Tally()
    replaced = Replaced.find(dest, replace=replace and not append)
    if append:
        base = open_base(dest, source, wanted)
        tally = prepare_tally(base)
    require_apart({"dest": dest}, {"source": source})
    if rejects is not None:
        require_apart({"rejects": rejects}, {"source": source})
        require_replaceable(rejects, "rejects", "a list of rejects", holds_rejects)
    column_map = make_column_map(columns)
    tally.ignored = column_map.ignored
    items = read_source(source, format, column_map, limits=limits, tally=tally)
    spooled = tempfile.SpooledTemporaryFile(_SPOOLED_BYTES)  # a file only for many rejects
    with spooled as spool, progress_bar("importing", None, enabled=progress) as advance:
        quarantine = Quarantine(spool, stop=on_error == "raise")
        conversations = quarantine.sift(items)
        first = next(conversations, None)
        if first is None:
            raise quarantine.nothing_left(source, rejects, known=tally.known)
        has_splits, path = first.author_splits is not None, Path(tally.paths[0])
        settled = settle_plan(plan, base, replaced, path, has_splits=has_splits)
        with CorpusWriter(
            dest,
            split=settled,
            feature_dtype=_feature_dtype(first),
            encoder=None if base is not None else _find_encoder(tally),
            feature_names=tally.agreement.feature_names,
            replace=replace or append,
            base=base,
            class_order=settle_class_order(positive, base, replaced, path),
        ) as writer:
            for conversation in chain([first], conversations):
                try:
                    writer.write(conversation)
                except InputError as error:  # a rule of the split plan, such as a group that is missing
                    quarantine.take(_as_reject(error, conversation, tally))
                    continue
                counts.add(conversation, tally)
                if counts.conversations % _PROGRESS_STEP == 0:
                    advance(_PROGRESS_STEP)
            if counts.conversations == 0:
                raise quarantine.nothing_left(source, rejects, known=tally.known)
            _add_facts(writer, tally, quarantine, base)
            rejects_path = quarantine.save(writer.folder, dest, rejects, earlier=base is not None)
        summary = _summarize(dest, counts, tally, quarantine, rejects_path)
        takeover = replaced.describe(plan, settled)
        return _add_corpus(summary, writer.info, base, counts.carried, replaced, takeover)


def _add_facts(writer: CorpusWriter, tally: Tally, quarantine: Quarantine, base: Corpus | None) -> None:
    """Tell the corpus where it comes from and what was changed or left out."""
    writer.sources = [describe_source(Path(path)) for path in tally.paths]
    counts = {
        "rows": tally.rows,
        "rejected": quarantine.rows,
        "replaced_surrogates": tally.replaced_surrogates,
        "truncated_texts": tally.truncated_texts,
        "ignored_fields": len(tally.unknown_fields),
    }
    if base is not None:
        writer.sources = [*base.info.sources, *writer.sources]
        counts = {name: count + base.info.counts.get(name, 0) for name, count in counts.items()}
    writer.extra_counts |= counts
    source = Path(tally.paths[0])
    if source.is_dir() and base is None:
        _copy_encoder_state(source, writer.folder)


def _summarize(
    dest: Path, counts: _Counts, tally: Tally, quarantine: Quarantine, rejects_path: Path | None
) -> ImportSummary:
    return ImportSummary(
        path=dest,
        conversations=counts.conversations,
        messages=counts.messages,
        unit=tally.unit or "conversation",
        rows=tally.rows,
        imported_rows=counts.rows,
        rejected_rows=quarantine.rows,
        rejects_path=rejects_path,
        first_rejects=tuple(str(reject.error()) for reject in quarantine.first),
        replaced_surrogates=tally.replaced_surrogates,
        truncated_texts=tally.truncated_texts,
        ignored_fields=tally.unknown_fields,
        backwards=counts.backwards,
    )


def _add_corpus(
    summary: ImportSummary,
    info: CorpusInfo | None,
    base: Corpus | None,
    carried: Collection[str],
    replaced: Replaced,
    takeover: str,
) -> ImportSummary:
    """Add what is known of the whole corpus once it is published, and of the one that was there before."""
    if info is None:
        return summary
    counts = info.counts
    summary = replace_fields(
        summary,
        left_out=(counts["left_out_conversations"], counts["left_out_author_sequences"]),
        author_sequences=counts["participants"],
        classes=info.classes,
        alike_authors=counts.get("alike_authors", 0),
        nobody_sequences=counts.get("nobody_sequences", 0),
        takeover=takeover,
        replaced_classes={} if replaced.info is None else replaced.info.classes,
    )
    if base is None:
        return summary
    return replace_fields(
        summary,
        earlier_conversations=base.num_conversations,
        earlier_messages=base.num_messages,
        new_classes=find_new_classes(base.info, info),
        lacking=tuple(name for name in find_optional(base) if name not in carried),
    )


@dataclass(slots=True)
class _Counts:
    """What was written."""

    conversations: int = 0
    messages: int = 0
    rows: int = 0
    backwards: int = 0
    carried: set[str] = field(default_factory=set)  # optional fields that some conversation has

    def add(self, conversation: Conversation, tally: Tally) -> None:
        """Count one conversation and the rows it was made of."""
        self.conversations += 1
        self.messages += len(conversation.authors)
        self.rows += _count_rows(conversation, tally)
        self.backwards += _runs_backwards(conversation.timestamps)
        if len(self.carried) < len(OPTIONAL_FIELDS):
            self.carried |= find_carried(conversation)


def _runs_backwards(timestamps: list[float | None] | None) -> bool:
    if timestamps is None:
        return False
    known = [time for time in timestamps if time is not None]
    return known != sorted(known)


def _count_rows(conversation: Conversation, tally: Tally) -> int:
    return len(conversation.authors) if tally.unit == "message" else 1


def _as_reject(error: InputError, conversation: Conversation, tally: Tally) -> Reject:
    return Reject(
        conversation.place, error.field, error.rule, error.remedy, rows=_count_rows(conversation, tally)
    )


def _feature_dtype(first: Conversation) -> str:
    """float16 where the source has it, else float32: an import does not round."""
    is_half = first.features is not None and first.features.dtype == np.float16
    return "float16" if is_half else "float32"


def _find_encoder(tally: Tally) -> EncoderInfo | None:
    """What made the features, where the source is a corpus."""
    path = Path(tally.paths[0])
    return read_info(path).encoder if path.is_dir() else None


def _copy_encoder_state(source: Path, folder: Path) -> None:
    state = source / _ENCODER_STATE
    if state.is_file() and not state.is_symlink():
        with contextlib.suppress(shutil.SameFileError):
            shutil.copyfile(state, folder / _ENCODER_STATE)
