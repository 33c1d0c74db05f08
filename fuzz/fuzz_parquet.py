"""Fuzz the Parquet reader."""

from __future__ import annotations

import io

import pyarrow.parquet as pq

from fuzzing import fuzz, read_parquet
from tables import TABLES

if __name__ == "__main__":
    seeds = []
    for table in TABLES:
        for options in ({"compression": "none", "use_dictionary": False}, {"compression": "zstd"}):
            buffer = io.BytesIO()
            pq.write_table(table, buffer, **options)
            seeds.append(buffer.getvalue())
    fuzz(read_parquet, [".parquet"], seeds)
