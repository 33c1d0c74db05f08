"""The corpus folder: Arrow schema, file names, and the JSON by which Hugging Face datasets opens it.

Knows nothing of conversations or splits: only columns, types and names.
"""

from __future__ import annotations

import json
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from tenor.corpus.readahead import expect_random_file
from tenor.errors import CorpusError, describe_os_error

STATE_NAME = "state.json"
DATASET_INFO_NAME = "dataset_info.json"
#: Written by datasets for a folder of several datasets, which is no corpus.
DATASET_DICT_NAME = "dataset_dict.json"
MAX_STATE_BYTES = 16 << 20

FEATURE_TYPES: dict[str, pa.DataType] = {"float16": pa.float16(), "float32": pa.float32()}


def corpus_schema(
    *,
    has_text: bool,
    input_size: int | None,
    feature_dtype: str | None,
    label_type: pa.DataType,
    participant_label_type: pa.DataType,
) -> pa.Schema:
    """The columns of a corpus, in order; one row a conversation.

    ``authors``, ``text``, ``timestamp`` and ``features`` have one entry a message; ``participants``,
    ``participant_labels`` and ``participant_splits`` one an author of the conversation. Null means
    unlabelled, without timestamp, without named group, or in no split.
    """
    fields = [pa.field("conversation_id", pa.string()), pa.field("authors", pa.list_(pa.string()))]
    if has_text:
        fields.append(pa.field("text", pa.list_(pa.large_string())))
    fields.append(pa.field("timestamp", pa.list_(pa.float64())))
    if input_size is not None and feature_dtype is not None:
        fields.append(pa.field("features", pa.list_(pa.list_(FEATURE_TYPES[feature_dtype], input_size))))
    fields += [
        pa.field("label", label_type),
        pa.field("participants", pa.list_(pa.string())),
        pa.field("participant_labels", pa.list_(participant_label_type)),
        pa.field("participant_splits", pa.list_(pa.string())),
        pa.field("group", pa.string()),
        pa.field("split", pa.string()),
    ]
    return pa.schema(fields)


def dataset_info_json(schema: pa.Schema) -> dict[str, Any]:
    """What ``dataset_info.json`` must say for ``datasets.load_from_disk`` (datasets 4 and later)."""
    features = {field.name: _dataset_feature(field.type) for field in schema}
    return {"citation": "", "description": "", "features": features, "homepage": "", "license": ""}


def _dataset_feature(kind: pa.DataType) -> dict[str, Any]:
    if pa.types.is_fixed_size_list(kind):
        return {"feature": _dataset_feature(kind.value_type), "length": kind.list_size, "_type": "List"}
    if pa.types.is_list(kind):
        return {"feature": _dataset_feature(kind.value_type), "_type": "List"}
    names = {"halffloat": "float16", "float": "float32", "double": "float64"}
    return {"dtype": names.get(str(kind), str(kind)), "_type": "Value"}


def state_json(file_names: Sequence[str], fingerprint: str) -> dict[str, Any]:
    """What ``state.json`` must say for ``datasets.load_from_disk``."""
    return {
        "_data_files": [{"filename": name} for name in file_names],
        "_fingerprint": fingerprint[:16],
        "_format_columns": None,
        "_format_kwargs": {},
        "_format_type": None,
        "_output_all_columns": False,
        "_split": None,
    }


def read_state(folder: Path) -> list[str]:
    """The Arrow file names that ``state.json`` lists, each proven to be a plain file inside the folder.

    Raises:
        CorpusError: state.json is absent or damaged, or a name leads elsewhere or to a symlink.
    """
    path = folder / STATE_NAME
    try:
        if path.is_symlink() or not path.is_file():
            raise CorpusError(f"{path}: expected a regular file, found none: import the source again")
        if path.stat().st_size > MAX_STATE_BYTES:
            raise CorpusError(f"{path}: expected at most {MAX_STATE_BYTES} bytes: import the source again")
        names = [record["filename"] for record in json.loads(path.read_bytes())["_data_files"]]
    except CorpusError:
        raise
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read: {describe_os_error(error)}") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CorpusError(f"{path}: damaged, no list of data files: import the source again") from error
    for name in names:
        check_file_name(name, path)
        check_plain_file(folder / name)
    return names


def check_file_name(name: object, source: Path) -> None:
    """Refuse a file name that could lead out of its folder.

    Raises:
        CorpusError: it is no text, absolute, has a folder part or ``..``, or is empty.
    """
    is_plain = isinstance(name, str) and name not in ("", ".", "..") and not set(name) & set("/\\:\0")
    if not is_plain:
        raise CorpusError(
            f"{source}: file name {str(name)[:80]!r}: expected a plain name without folders: "
            "do not trust this folder"
        )


def check_plain_file(path: Path) -> None:
    """Refuse a path that is absent, a symlink or no regular file.

    Raises:
        CorpusError: with the path.
    """
    try:
        mode = path.lstat().st_mode
    except OSError as error:
        raise CorpusError(f"{path}: absent or not readable: import the source again") from error
    if not stat.S_ISREG(mode):
        found = "a symlink" if stat.S_ISLNK(mode) else "no regular file"
        raise CorpusError(
            f"{path}: expected a regular file, found {found}: copy the file itself into the folder"
        )


def feature_dtype_name(kind: pa.DataType) -> str:
    """``float16`` or ``float32`` for an Arrow type."""
    return next(name for name, known in FEATURE_TYPES.items() if known == kind)


def recognise_file(path: Path) -> str | None:
    """What a file of tenor's own is that no source can be, as words; None for anything else, and what can't be read."""
    try:
        with path.open("rb") as handle:
            head = handle.read(9)
        if head[:4] == b"PAR1":
            import pyarrow.parquet as pq  # imported here: only who named a wrong file pays for it

            return (
                "a predictions file"
                if b"tenor.predictions" in (pq.read_schema(path).metadata or {})
                else None
            )
    except (pa.ArrowException, OSError):
        return None
    # safetensors begins with the length of its JSON, which no text does: its last bytes are 0
    return "a model file" if head[8:] == b"{" and 0 < int.from_bytes(head[:8], "little") < 1 << 40 else None


def open_table(path: Path, *, is_read_ahead: bool = False) -> pa.Table:
    """Memory-map one Arrow stream file; nothing is copied, a record batch becomes a chunk.

    Args:
        path: the file.
        is_read_ahead: the kernel is not to read ahead on its own: who reads asks (see `readahead`).

    Raises:
        CorpusError: it is absent, truncated or damaged.
    """
    try:
        with pa.memory_map(str(path)) as source:
            if is_read_ahead:
                expect_random_file(source)
            with pa.ipc.open_stream(source) as reader:
                table = reader.read_all()
        table.validate()
        table.schema.names  # noqa: B018 - decodes them: a damaged one is a ValueError
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        raise CorpusError(
            f"{path}: truncated or damaged, no readable Arrow stream: import the source again"
        ) from error
    return table
