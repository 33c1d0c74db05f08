"""Fuzz the reader of Arrow streams, which Hugging Face datasets' folders consist of."""

from __future__ import annotations

import io

import pyarrow as pa

from fuzzing import fuzz, read_arrow
from tables import TABLES

if __name__ == "__main__":
    seeds = []
    for table in TABLES:
        buffer = io.BytesIO()
        with pa.ipc.new_stream(buffer, table.schema) as stream:
            stream.write_table(table, max_chunksize=2)
        seeds.append(buffer.getvalue())
    fuzz(read_arrow, [".arrow"], seeds)
