"""What a training run is told: checked once, written into the model file and the run folder.

Knows nothing of how the values are used.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from tenor.errors import UsageError
from tenor.metrics.objectives import parse_rule
from tenor.training.imbalance import IMBALANCE_METHODS

#: Validation scores that choose the best epoch.
MONITORS = ("average_precision", "f1", "roc_auc")


@dataclass(frozen=True)
class TrainSettings:
    """The arguments of train_model that decide the result; see there for what each means."""

    level: str
    num_epochs: int
    batch_size: int
    learning_rate: float
    hidden_size: int
    num_layers: int
    num_heads: int
    dropout: float
    kernel_sizes: tuple[int, ...]
    pos_weight: str | float | None
    beta: float
    gamma: float
    scheduler: str
    warmup_fraction: float
    weight_decay: float
    clip_norm: float | None
    patience: int
    monitor: str
    threshold: str
    prior: str
    seed: int
    mixed_precision: str
    max_padded_messages: int

    def __post_init__(self) -> None:
        for name in ("num_epochs", "batch_size", "patience", "max_padded_messages"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} must be at least 1, not {getattr(self, name)}")
        if not self.learning_rate > 0:
            raise UsageError(f"learning_rate must be above 0, not {self.learning_rate}")
        if self.monitor not in MONITORS:
            raise UsageError(f"monitor must be one of {', '.join(MONITORS)}, not {self.monitor!r}")
        parse_rule(self.threshold)
        if self.prior not in ("auto", "lexical", "none"):
            raise UsageError(f"prior must be 'auto', 'lexical' or 'none', not {self.prior!r}")
        if isinstance(self.pos_weight, str) and self.pos_weight not in IMBALANCE_METHODS:
            raise UsageError(
                f"pos_weight must be a number, None, or one of {', '.join(IMBALANCE_METHODS)}, not {self.pos_weight!r}"
            )

    def to_json(self) -> dict[str, Any]:
        """The settings as plain JSON values."""
        return {**asdict(self), "kernel_sizes": list(self.kernel_sizes)}
