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
from tenor.corpus.views import SequenceView
from tenor.processes import process_rank

rows: list[npt.NDArray[np.int64]] = []
gather = SequenceView.gather_features


def count_and_gather(
    view: SequenceView,
    indices: npt.ArrayLike,
    out: npt.NDArray[np.floating] | None = None,
    begins: npt.NDArray[np.integer] | None = None,
    *,
    is_brought: bool = False,
) -> npt.NDArray[np.floating]:
    rows.append(view.message_rows(indices))
    return gather(view, indices, out, begins, is_brought=is_brought)


if __name__ == "__main__":
    SequenceView.gather_features = count_and_gather  # type: ignore[method-assign, assignment]
    try:
        main(sys.argv[1:])
    finally:
        found = np.concatenate(rows).tolist()
        with open(f"{os.environ['TENOR_COUNTS']}.{process_rank()}", "w") as file:
            json.dump(found, file)
