"""Fuzz the JSONL reader, plain and packed."""

from __future__ import annotations

import gzip
import json

import pyarrow as pa

from fuzzing import fuzz, read_jsonl

CONVERSATION = {
    "conversation_id": "c",
    "messages": [{"author": "a", "text": "x\ud800", "timestamp": 1.5, "features": [1, 2.5]}],
    "label": 1,
    "author_labels": {"a": 0},
    "group": "g",
    "split": "val",
}
LISTS = {
    "conversation_id": "d",
    "authors": ["a", "b"],
    "text": ["", "é"],
    "timestamp": ["2024-01-01T00:00:00Z", None],
    "feat_a": [1, 2],
    "attackers": ["b"],
}
MESSAGE = {"conversation_id": "e", "author": 1, "text": "x", "author_label": "w"}

if __name__ == "__main__":
    lines = [json.dumps(value) for value in (CONVERSATION, LISTS, MESSAGE)]
    contents = [("\n".join([line, line.replace('"c"', '"f"'), "", line]) + "\n").encode() for line in lines]
    seeds = []
    for content in contents:
        seeds += [content, gzip.compress(content), pa.Codec("zstd").compress(content, asbytes=True)]
    values = [
        "null",
        "true",
        "NaN",
        "Infinity",
        "1e999",
        "9" * 30,
        "[]",
        "{}",
        '""',
        "-1",
        "0.5",
        '"\\ud800"',
    ]
    keys = sorted(CONVERSATION | LISTS | MESSAGE | {"participants": 0, "participant_labels": 0})
    words = [*values, *(f'"{key}":' for key in keys), ",", "}", "]", "[[[[", '{"a":']
    fuzz(read_jsonl, [".jsonl", ".jsonl.gz", ".jsonl.zst"], seeds, words)
