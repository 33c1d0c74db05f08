"""Class labels of Hugging Face datasets: integers whose names stand in the schema's metadata.

Knows nothing of rows beyond their label columns.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tenor.corpus.readers.columns import ColumnMap
from tenor.errors import InputError

#: Half of a character: JSON can write it, Arrow cannot hold it.
_SURROGATE = re.compile("[\ud800-\udfff]")


class ClassNames:
    """Names of a file's ClassLabel columns, put in place of their integers.

    A column of two classes stays 0 and 1, as binary labels are; of more, each integer becomes its name. -1 is
    unlabelled, as datasets writes it.
    """

    def __init__(self, schema: pa.Schema, columns: ColumnMap, path: Path) -> None:
        """Find the names in a file's schema.

        Raises:
            InputError: a name that is no text.
        """
        self._path = path
        features = _read_features(schema)
        self._names: dict[str, list[str]] = {}
        for name in (columns.label, columns.author_label):
            names = _class_names(features.get(name))
            if names is not None and name in schema.names and pa.types.is_integer(schema.field(name).type):
                if any(_SURROGATE.search(each) for each in names):
                    rule = "a class name holds half of a surrogate pair, which is no character"
                    raise InputError(rule, path=path, field=name)
                self._names[name] = names

    def replace(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The batch with its class labels as tenor takes them.

        Raises:
            InputError: a label without a name.
        """
        for name, names in self._names.items():
            index = batch.schema.get_field_index(name)
            bounds = pc.min_max(batch.column(index))  # before the cast, which not every uint64 survives
            low, high = bounds["min"].as_py(), bounds["max"].as_py()
            if low is not None and not -1 <= low <= high < len(names):
                found = low if low < -1 else high
                raise InputError(
                    f"outside the label set: expected a class from 0 to {len(names) - 1}, found {found}",
                    path=self._path,
                    field=name,
                )
            codes = batch.column(index).cast(pa.int64())
            codes = pc.if_else(pc.equal(codes, -1), pa.scalar(None, pa.int64()), codes)
            labels = codes if len(names) == 2 else pa.array(names).take(codes)
            batch = batch.set_column(index, pa.field(name, labels.type), labels)
        return batch


def _read_features(schema: pa.Schema) -> dict[str, Any]:
    raw = (schema.metadata or {}).get(b"huggingface")
    if raw is None:
        return {}
    try:
        features = json.loads(raw)["info"]["features"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}  # a comment of another tool; the columns' own types decide
    return features if isinstance(features, dict) else {}


def _class_names(feature: object) -> list[str] | None:
    if not isinstance(feature, dict) or feature.get("_type") != "ClassLabel":
        return None
    names = feature.get("names")
    if not isinstance(names, list) or len(names) < 2 or not all(isinstance(name, str) for name in names):
        return None
    return names
