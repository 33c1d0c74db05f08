"""Finds out what a source is (file, folder, several files) and reads it with the reader of its format.

Knows nothing of the formats themselves.
"""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Literal, get_args

from tenor.corpus.readers.columns import ColumnMap, make_column_map
from tenor.corpus.readers.csv import read_csv
from tenor.corpus.readers.huggingface import read_arrow, read_huggingface
from tenor.corpus.readers.jsonl import read_jsonl
from tenor.corpus.readers.parquet import read_parquet
from tenor.corpus.readers.records import Item, Limits, Reject, RowError
from tenor.corpus.readers.streams import CODECS
from tenor.corpus.readers.tally import Tally
from tenor.errors import InputError, UsageError, describe_os_error
from tenor.files import require_path

#: ``corpus`` is a folder of tenor's own.
Format = Literal["jsonl", "csv", "parquet", "arrow", "huggingface", "corpus"]
FORMATS: tuple[Format, ...] = get_args(Format)

SUFFIXES: dict[str, Format] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".arrow": "arrow",
}

_WRITE = "write it to a file first: import reads its source twice, for its hash is recorded"

Reader = Callable[[Path, ColumnMap | None, Limits | None, Tally | None], Iterator[Item]]


def read_corpus(
    path: Path, columns: ColumnMap | None = None, limits: Limits | None = None, tally: Tally | None = None
) -> Iterator[Item]:
    """Read a corpus folder of tenor's own; its splits are kept, unless the map ignores the split column.

    Yields:
        Its conversations, and a Reject for one that does not go with those read before from elsewhere.

    Raises:
        CorpusError: it is damaged or of a newer version.
        UsageError: the map names a column by another name.
    """
    from tenor.corpus.corpus import open_corpus

    columns, tally = columns or ColumnMap(), tally or Tally()
    others = columns.find_missing(())
    if others:
        raise UsageError(
            f"column map: {path} is a corpus, whose columns have tenor's names, found {others[0]!r} for one: "
            "leave it out"
        )
    corpus = open_corpus(path)
    tally.begin(str(path), "conversation")
    for conversation in corpus.conversations():
        tally.rows += 1
        if columns.split is None:
            conversation.split = conversation.author_splits = None
        if columns.group is None:
            conversation.group = None
        try:
            tally.agreement.check(conversation, corpus.info.feature_names)
            tally.require_new(conversation.conversation_id, conversation.place)
        except RowError as error:
            yield Reject(conversation.place, error.field, error.rule, error.remedy)
            continue
        yield conversation


_READERS: dict[Format, Reader] = {
    "jsonl": read_jsonl,
    "csv": read_csv,
    "parquet": read_parquet,
    "arrow": read_arrow,
    "huggingface": read_huggingface,
    "corpus": read_corpus,
}


def read_source(
    source: Path | str,
    format: Format | None = None,  # noqa: A002 - the public name
    columns: ColumnMap | Mapping[str, str | None] | None = None,
    *,
    limits: Limits | None = None,
    tally: Tally | None = None,
) -> Iterator[Item]:
    """Read a source of any format.

    Fields and columns that tenor does not know are ignored; the tally counts how many rows carry each.

    Args:
        source: a file, a glob pattern or a folder of files of one format (read in the order of their names),
            a folder saved by datasets, or a corpus.
        format: what it is; None = by its suffix (before ``.gz`` or ``.zst``) or what the folder holds.
        columns: which column is which, as a ColumnMap or a mapping from tenor's name to the source's.
        limits: on sizes; None = the stated ones.
        tally: receives counts while the source is read.

    Yields:
        Conversations, and Rejects for rows that break a rule; both in the order of the source.

    Raises:
        InputError: there is no such source, its format is not clear, no row has a column that the map names, or as
            the reader of its format.
        UsageError: an unknown format or a wrong column map, also one that names columns of a corpus.
    """
    column_map, limits, tally = make_column_map(columns), limits or Limits(), tally or Tally()
    for path, kind in find_files(source, format):
        yield from _READERS[kind](path, column_map, limits, tally)
    tally.require_named(source)


def find_files(source: Path | str, format: Format | None = None) -> list[tuple[Path, Format]]:  # noqa: A002
    """The files (or the one folder) that a source consists of, and their format.

    Raises:
        InputError: there is none, or they are of several formats or of an unknown one.
        UsageError: an unknown format.
    """
    if format is not None and format not in FORMATS:
        raise UsageError(f"format: expected one of {', '.join(FORMATS)}, found {format!r}")
    path = require_path(source, "source")
    try:
        if path.is_dir():
            kind = _folder_format(path) if format is None else format
            if kind in ("corpus", "huggingface"):
                return [(path, kind)]
            paths, what = _list_folder(path, kind), "a folder with files of a known format"
        elif path.exists():
            _require_regular(path)
            paths, what = [path], ""
        else:
            paths = sorted(Path(name) for name in glob.glob(str(source)) if Path(name).is_file())
            what = "a file or folder"
    except OSError as error:
        raise InputError(f"cannot be read: {describe_os_error(error)}", path=path) from error
    if not paths and str(source) == "-":
        raise InputError(
            "expected a file or folder, found the sign for standard input", path=path, remedy=_WRITE
        )
    if not paths:
        remedy = f"known suffixes: {', '.join(SUFFIXES)}"
        raise InputError(f"expected {what}, found none", path=path, remedy=remedy)
    return list(zip(paths, _file_formats(paths, format), strict=True))


def _require_regular(path: Path) -> None:
    """Refuse what gives its bytes once, or without end.

    Raises:
        InputError: it is a pipe, a socket or a device.
    """
    if not path.is_file():
        raise InputError("expected a file or folder, found a pipe or a device", path=path, remedy=_WRITE)


def _list_folder(path: Path, format: Format | None) -> list[Path]:  # noqa: A002
    """A folder's files of one format, or of any known one, in the order of their names."""
    names = sorted(entry for entry in path.iterdir() if entry.is_file() and not entry.name.startswith("."))
    known = [(entry, _suffix_format(entry)) for entry in names]
    return [entry for entry, kind in known if kind is not None and format in (None, kind)]


def _folder_format(path: Path) -> Format | None:
    if (path / "tenor.json").exists():
        return "corpus"
    if (path / "state.json").exists() or (path / "dataset_dict.json").exists():
        return "huggingface"
    return None


def _suffix_format(path: Path) -> Format | None:
    name = path.with_suffix("") if path.suffix.lower() in CODECS else path
    return SUFFIXES.get(name.suffix.lower())


def _file_formats(paths: list[Path], format: Format | None) -> list[Format]:  # noqa: A002
    if format is not None:
        return [format] * len(paths)
    kinds: list[Format] = []
    for path in paths:
        kind = _suffix_format(path)
        if kind is None:
            remedy = f"name the format, or rename the file to end in {', '.join(SUFFIXES)}"
            raise InputError("expected a file of a known format by its suffix", path=path, remedy=remedy)
        if kinds and kind != kinds[0]:
            rule = f"expected files of one format, found {kind} beside {kinds[0]} ({paths[0]})"
            raise InputError(rule, path=path, remedy="import them one by one")
        kinds.append(kind)
    return kinds
