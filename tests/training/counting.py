"""Runs the command ``tenor`` and writes which messages' features were read, and in how many reads, as JSON.

The file is named in the environment (``TENOR_COUNTS``); each process adds its rank to the name.
"""

from __future__ import annotations

import json
import os
import sys

import numpy as np
import numpy.typing as npt

from tenor.cli import main
from tenor.corpus.mapped_rows import MappedRows
from tenor.processes import process_rank

rows: list[npt.NDArray[np.int64]] = []
find = MappedRows.find


def count_and_find(features: MappedRows, wanted: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    rows.append(wanted)
    return find(features, wanted)


if __name__ == "__main__":
    MappedRows.find = count_and_find  # type: ignore[method-assign]
    try:
        main(sys.argv[1:])
    finally:
        found = np.concatenate(rows).tolist()
        with open(f"{os.environ['TENOR_COUNTS']}.{process_rank()}", "w") as file:
            json.dump(found, file)
