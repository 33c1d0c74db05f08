"""The history of a run: one JSON object an epoch, in a file that people and plots read.

Knows nothing of models.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tenor.errors import CorpusError
from tenor.files import write_bytes


@dataclass(frozen=True)
class EpochRecord:
    """What one epoch did.

    Attributes:
        epoch: from 1; 0 = before any training.
        learning_rate: at the epoch's end.
        train_loss: mean over the epoch's sequences; None for epoch 0.
        validation_loss: mean over the validation sequences.
        validation: metric -> value, None where it is undefined.
        threshold: chosen on validation by the run's rule; None for several classes.
        seconds: wall time of the epoch, validation included.
        gain: by how many standard errors validation's losses are below those of epoch 0 (see ``evidence``);
            None in histories of before it was measured.
    """

    epoch: int
    learning_rate: float
    train_loss: float | None
    validation_loss: float
    validation: dict[str, float | None]
    threshold: float | None
    seconds: float
    gain: float | None = None

    def to_json(self) -> dict[str, Any]:
        """The record as plain JSON values."""
        return asdict(self)


def history_path(model_path: Path) -> Path:
    """Where the history of a model stands: beside it."""
    return model_path.with_name(model_path.stem + ".history.jsonl")


def write_history(path: Path, records: list[EpochRecord]) -> None:
    """Write all records, whole or not at all."""
    write_bytes(
        path, b"".join(json.dumps(record.to_json(), allow_nan=False).encode() + b"\n" for record in records)
    )


def read_history(path: Path) -> list[EpochRecord]:
    """Read what write_history wrote.

    Raises:
        CorpusError: the file is not a history.
    """
    try:
        return [EpochRecord(**json.loads(line)) for line in Path(path).read_text().splitlines()]
    except (TypeError, ValueError) as error:
        raise CorpusError(f"{path}: expected one epoch a line as train_model writes it ({error})") from error
