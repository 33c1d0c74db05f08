"""How often the test split was read: a number that belongs beside every test result.

Each reading is one JSON line in the corpus folder. Knows nothing of what was computed.
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from pathlib import Path

logger = logging.getLogger(__name__)

FILE_NAME = "test_reads.jsonl"


def count_test_read(corpus_path: Path, *, level: str, model_hash: str) -> int | None:
    """Enter one reading of the test split and say how many there were at this level, this one included.

    Args:
        corpus_path: the corpus folder.
        level: ``conversation``, ``author`` or ``profile``.
        model_hash: of the model file that was tested.

    Returns:
        The count, or None where the corpus folder cannot be written (the reading itself goes on).
    """
    file = corpus_path / FILE_NAME
    entry = {"level": level, "model": model_hash, "time": datetime.now(UTC).isoformat(timespec="seconds")}
    try:
        with file.open("a") as handle:
            handle.write(json.dumps(entry) + "\n")
        levels = [json.loads(line)["level"] for line in file.read_text().splitlines()]
        count = levels.count(level)
    except OSError:
        logger.warning("%s cannot be written: this reading of the test split is not counted", file)
        return None
    logger.info("%s: test split read %d times at level %s", corpus_path, count, level)
    return count
