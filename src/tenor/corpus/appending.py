"""Adding to a corpus: what a later import or encoding takes over from the corpus that is there already.

The earlier files are linked, never copied or changed, into the folder that replaces the corpus. Knows nothing of
sources and of encoders.
"""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from tenor.corpus.corpus import Corpus, open_corpus
from tenor.corpus.groups import flatten
from tenor.corpus.info import INFO_NAME, CorpusInfo, read_info
from tenor.corpus.layout import DATASET_INFO_NAME, STATE_NAME
from tenor.corpus.plan import SplitPlan
from tenor.corpus.readers.tally import Tally
from tenor.corpus.schema import Label, Place
from tenor.errors import CorpusError, SplitError, StorageError, UsageError, describe_os_error
from tenor.files import link_or_copy

#: Written anew for every corpus; what else lies in the folder, such as the readings of test, is taken over.
_OWN_NAMES = frozenset({STATE_NAME, DATASET_INFO_NAME, INFO_NAME})


def open_base(dest: Path, source: Path | str, plan: SplitPlan | None) -> Corpus:
    """Open a corpus to append to.

    Args:
        dest: the corpus.
        source: what is to be appended.
        plan: what was asked for; None = the corpus's own.

    Raises:
        CorpusError: there is no corpus, or it is damaged.
        SplitError: its splits are one joint assignment, which added conversations would change.
        UsageError: it is an analyzed corpus, or its own source, or another plan than its own is asked for.
    """
    base = open_corpus(dest)
    if dest.resolve() == Path(source).resolve():
        raise UsageError(f"{dest}: a corpus cannot be appended to itself: name another source")
    if base.info.encoder is not None:
        raise UsageError(
            f"{dest}: an analyzed corpus cannot be appended to: append to the corpus that it was encoded from, then "
            f"tenor encode CORPUS {shlex.quote(str(dest))} --update"
        )
    if base.info.split.strict:
        raise SplitError(
            f"{dest}: the splits of a strict plan are one joint assignment, which new conversations would change: "
            "import all sources together"
        )
    if plan not in (None, base.info.split):
        raise UsageError(
            f"{dest}: expected the corpus's own split plan ({base.info.split}), found {plan}: leave the options of "
            "the splits out, or import all sources together"
        )
    return base


def prepare_tally(base: Corpus) -> Tally:
    """A tally for reading what is appended: it knows the ids of the corpus, and what its conversations share."""
    info = base.info
    tally = Tally(appended_to=str(base.path), appended_sources=info.sources)
    identifiers = (each for chunk in base.column("conversation_id").chunks for each in chunk.to_pylist())
    for row, identifier in enumerate(identifiers, start=1):
        tally.seen.add(identifier, Place(str(base.path), row))
    tally.agreement.begin(
        Place(str(base.path), 1),
        has_text=info.has_text,
        width=info.input_size,
        feature_names=info.feature_names,
        label_types={
            name: str if pa.types.is_string(kind) else int for name, kind in label_types(base.table).items()
        },
    )
    return tally


def require_same_plan(base: Corpus, source: Path) -> None:
    """Refuse a source that is a corpus split by another plan.

    Raises:
        SplitError: naming both plans.
    """
    plan = read_info(source).split
    if plan != base.info.split:
        raise SplitError(
            f"{source} is split by {plan}, {base.path} by {base.info.split}: ignore its splits with --column split="
        )


def label_types(table: pa.Table) -> dict[str, pa.DataType]:
    """``label`` and ``author_labels`` -> their Arrow type, where the corpus has such labels."""
    columns = {"label": table["label"], "author_labels": flatten(table["participant_labels"])}
    return {name: column.type for name, column in columns.items() if column.null_count < len(column)}


def link_files(base: Corpus, names: Sequence[str], folder: Path) -> None:
    """Take over Arrow files of a corpus into an unpublished folder.

    Raises:
        StorageError: a file can be neither linked nor copied.
    """
    try:
        for name in names:
            link_or_copy(base.path / name, folder / name)
    except OSError as error:
        raise StorageError(f"cannot take over {base.path / name}: {describe_os_error(error)}") from error


def require_unchanged(base: Corpus) -> None:
    """Refuse to go on from a corpus that another writer has replaced, or removed.

    Raises:
        CorpusError: with the remedy.
    """
    if read_info(base.path) != base.info:
        raise CorpusError(f"{base.path}: has changed since it was opened: try again, one writer at a time")


def copy_companions(base: Corpus, folder: Path) -> None:
    """Copy what else lies in a corpus's folder, where the unpublished one has no file of that name.

    Raises:
        StorageError: a file cannot be copied.
    """
    own = _OWN_NAMES | {file.name for file in base.info.files}
    try:
        for path in base.path.iterdir():
            if path.name in own or path.is_symlink() or not path.is_file() or (folder / path.name).exists():
                continue
            shutil.copyfile(path, folder / path.name)
    except OSError as error:
        raise StorageError(f"cannot take over files of {base.path}: {describe_os_error(error)}") from error


def find_new_classes(earlier: CorpusInfo, now: CorpusInfo) -> tuple[Label, ...]:
    """Classes that a level has now and had not when it had others: what an earlier model does not know."""
    new = [
        label
        for level, classes in now.classes.items()
        for label in classes
        if earlier.classes[level] and label not in earlier.classes[level]
    ]
    return tuple(dict.fromkeys(new))
