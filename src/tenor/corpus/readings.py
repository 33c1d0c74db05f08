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
        with file.open("a+b") as handle:
            handle.seek(0)
            found = handle.read()
            is_torn = found != b"" and not found.endswith(b"\n")  # its writer was killed
            handle.write((b"\n" if is_torn else b"") + json.dumps(entry).encode() + b"\n")
        count = 1 + sum(_is_of_level(line, level) for line in found.splitlines())
    except OSError:
        logger.warning("%s cannot be written: this reading of the test split is not counted", file)
        return None
    logger.info("%s: test split read %d times at level %s", corpus_path, count, level)
    return count


def _is_of_level(line: bytes, level: str) -> bool:
    """Whether an entry is of a level; one that cannot be read counts for every level, for a reading it was."""
    try:
        return bool(json.loads(line)["level"] == level)
    except (ValueError, TypeError, KeyError):
        return line.strip() != b""
