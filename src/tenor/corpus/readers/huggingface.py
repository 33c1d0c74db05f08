"""Folders written by Hugging Face datasets' ``save_to_disk``, and single Arrow files.

Arrow streams are memory-mapped and checked before they are read; the datasets package itself is not needed.
The keys of a DatasetDict are the splits, but for a lone key, which divides nothing. Knows nothing of how rows
become conversations.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from tenor.corpus.readers.batches import check_batches, read_batches
from tenor.corpus.readers.columns import ColumnMap
from tenor.corpus.readers.ipc import check_uncompressed
from tenor.corpus.readers.kinds import check_schema, decode_names, find_unit, kind_of
from tenor.corpus.readers.labels import ClassNames
from tenor.corpus.readers.records import ARROW_ERRORS, Item, Limits, Reject
from tenor.corpus.readers.tally import Tally
from tenor.corpus.readers.values import SPLIT_NAMES
from tenor.corpus.schema import Split
from tenor.errors import InputError

MAX_JSON_BYTES = 16 << 20


def read_huggingface(
    path: Path, columns: ColumnMap | None = None, limits: Limits | None = None, tally: Tally | None = None
) -> Iterator[Item]:
    """Read a folder saved from a Dataset or a DatasetDict; columns as for Parquet.

    Yields:
        Conversations, and Rejects for rows that break a rule; both in the order of the files.

    Raises:
        InputError: as `read_arrow`, or the folder's own files are damaged, name files elsewhere, or name a
            split that is none of train, validation (valid, val, dev), test.
    """
    columns, limits, tally = columns or ColumnMap(), limits or Limits(), tally or Tally()
    for folder, split in _list_datasets(path, columns):
        for name in _list_files(folder):
            for item in read_arrow(folder / name, columns, limits, tally):
                yield item if split is None else _give_split(item, split, tally)


def _give_split(item: Item, split: Split, tally: Tally) -> Item:
    if isinstance(item, Reject):
        return item
    if item.split not in (None, split):
        rule = f"expected the split of its dataset, {split}, found {item.split}"
        rows = len(item.authors) if tally.unit == "message" else 1
        return Reject(
            item.place,
            "split",
            rule,
            "remove the column, or ignore all splits with --column split=",
            rows=rows,
        )
    item.split = split
    return item


def _list_datasets(path: Path, columns: ColumnMap) -> list[tuple[Path, Split | None]]:
    source = path / "dataset_dict.json"
    if not source.exists():
        return [(path, None)]
    names = _read_json(source).get("splits")
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise InputError("expected a list of splits, found another value", path=source, field="splits")
    for name in names:
        _check_plain(name, source)
    if len(names) == 1 or columns.split is None:
        return [(path / name, None) for name in names]
    datasets: list[tuple[Path, Split | None]] = []
    for name in names:
        split = SPLIT_NAMES.get(name.lower())
        if split is None:
            raise InputError(
                f"expected the splits train, validation (valid, val, dev) and test, found {name[:40]!r}",
                path=source,
                field="splits",
                remedy="rename it, import its folder alone, or ignore the splits with --column split=",
            )
        datasets.append((path / name, split))
    return datasets


def _list_files(folder: Path) -> list[str]:
    source = folder / "state.json"
    records = _read_json(source).get("_data_files")
    names: list[str] = []
    for record in records if isinstance(records, list) else [None]:
        name = record.get("filename") if isinstance(record, dict) else None
        if not isinstance(name, str):
            raise InputError(
                "expected a list of file names, found another value", path=source, field="_data_files"
            )
        _check_plain(name, source)
        if (folder / name).is_symlink():
            raise InputError("expected a regular file, found a symlink", path=folder / name)
        names.append(name)
    return names


def _read_json(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise InputError(f"expected at most {MAX_JSON_BYTES} bytes", path=path)
        value = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError("missing or not readable", path=path, remedy="save the dataset again") from error
    except (ValueError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError("damaged: expected JSON", path=path, remedy="save the dataset again") from error
    if not isinstance(value, dict):
        raise InputError("damaged: expected an object", path=path, remedy="save the dataset again")
    return value


def _check_plain(name: str, source: Path) -> None:
    if name in ("", ".", "..") or set(name) & set("/\\:\0"):
        raise InputError(
            f"expected a plain file name, found {name[:40]!r}, which leads elsewhere",
            path=source,
            remedy="do not trust this folder",
        )


def read_arrow(
    path: Path, columns: ColumnMap | None = None, limits: Limits | None = None, tally: Tally | None = None
) -> Iterator[Item]:
    """Read one Arrow IPC file (stream or file format) as conversations; columns as for Parquet.

    Yields:
        Conversations, and Rejects for rows that break a rule; both in the order of the file.

    Raises:
        InputError: the file is truncated, damaged or compressed, a column is missing or of a wrong type or of
            another than in an earlier file, or rows of one conversation are apart.
    """
    columns, limits, tally = columns or ColumnMap(), limits or Limits(), tally or Tally()
    with contextlib.ExitStack() as stack:
        try:
            source = stack.enter_context(pa.memory_map(str(path)))
            check_uncompressed(source, path)
            reader = stack.enter_context(pa.ipc.open_stream(source))
            schema = reader.schema
            names = decode_names(schema)
        except FileNotFoundError as error:
            raise InputError("no such file", path=path) from error
        except ARROW_ERRORS as error:
            raise InputError("truncated, damaged, or no Arrow file", path=path) from error
        unit = find_unit(schema, columns, path)
        used = check_schema(schema, columns, path, unit)
        tally.begin(str(path), unit)
        tally.agree_on_columns({name: kind_of(schema.field(name).type) for name in used}, str(path))
        rows = tally.rows
        labels = ClassNames(schema, columns, path)
        batches = check_batches((batch.select(used) for batch in _iterate(reader, path)), path)
        yield from read_batches(map(labels.replace, batches), str(path), columns, limits, tally, unit)
        for name in names:
            if name not in used:
                tally.count_unknown(name, tally.rows - rows)


def _iterate(reader: Any, path: Path) -> Iterator[pa.RecordBatch]:  # noqa: ANN401 - pyarrow has no types
    while True:
        try:
            batch = reader.read_next_batch()
        except StopIteration:
            return
        except ARROW_ERRORS as error:
            raise InputError("truncated or damaged Arrow file", path=path) from error
        yield batch
