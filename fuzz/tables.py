"""Small tables of every form that the Parquet and Arrow readers take."""

from __future__ import annotations

import json

import pyarrow as pa

COLUMNS = pa.table(
    {
        "conversation_id": ["c", "d", "e"],
        "authors": [["a", "b"], ["a"], ["b"]],
        "text": pa.array([["x", "é"], [""], ["z"]], pa.list_(pa.large_string())),
        "timestamp": pa.array([[1, None], None, [3]], pa.list_(pa.timestamp("us"))),
        "features": pa.array([[[1, 2], [3, 4]], [[5, 6]], [[7, 8]]], pa.list_(pa.list_(pa.float16(), 2))),
        "label": pa.array(["p", "q", None]).dictionary_encode(),
        "participants": [["a", "b"], ["a"], ["b"]],
        "participant_labels": [[0, 1], [None], [1]],
        "split": ["train", "dev", None],
    }
)
MESSAGES = pa.table(
    {
        "conversation_id": [1, 2],
        "messages": [
            [{"author": "a", "text": "x", "timestamp": 1.5}],
            [{"author": "b", "text": "", "timestamp": 2.5}],
        ],
        "author_labels": pa.array([[("a", True)], None], pa.map_(pa.string(), pa.bool_())),
        "group": ["g", None],
    }
)
ROWS = pa.table(
    {
        "conversation_id": ["c", "c", "d"],
        "author": ["a", "b", "a"],
        "text": ["x", "", "y"],
        "feat_a": [1.0, 2.0, 3.0],
        "feat_b": [1, 2, 3],
        "author_label": [0, 1, None],
    }
)
ELSEWHERE = pa.table(
    {
        "conversation_id": ["c", "d"],
        "authors": [["a", "b"], ["a"]],
        "feat_x": [[1.0, 2.0], [3.0]],
        "attackers": pa.array([["b"], []], pa.list_(pa.string())),
    }
)
NAMES = {"info": {"features": {"label": {"names": ["x", "y", "z"], "_type": "ClassLabel"}}}}
CLASSES = pa.table(
    {"conversation_id": ["c", "d"], "authors": [["a"], ["b"]], "text": [["x"], ["y"]], "label": [2, -1]}
)
CLASSES = CLASSES.replace_schema_metadata({"huggingface": json.dumps(NAMES)})
TABLES = [CLASSES, COLUMNS, MESSAGES, ROWS, ELSEWHERE]
