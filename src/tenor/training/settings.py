"""What a training run is told: checked once, written into the model file and the run folder.

Knows nothing of how the values are used.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tenor.arguments import SEEDS, check_real, check_whole, show_value
from tenor.corpus.sampling import MAX_FIT_CHARACTERS
from tenor.errors import UsageError
from tenor.metrics.objectives import parse_rule
from tenor.nn.multiscale import check_kernel_sizes
from tenor.training.imbalance import IMBALANCE_METHODS

#: Whole numbers: name -> least and most. The bounds lie far beyond use; they stop what would overflow or fill memory.
_WHOLE = {
    "num_epochs": (1, 10**9),
    "batch_size": (1, 10**9),
    "patience": (1, 10**9),
    "micro_batch_messages": (1, 10**9),
    "fit_characters": (1, 10**12),
    "hidden_size": (1, 2**14),
    "num_layers": (0, 1000),
    "num_heads": (1, 2**14),
    "seed": SEEDS,
}
#: Numbers: name -> least, whether it is allowed itself, most, whether it is allowed itself.
_REAL = {
    "learning_rate": (0.0, False, 1e12, True),
    "dropout": (0.0, True, 1.0, False),
    "beta": (0.0, True, 1.0, False),
    "gamma": (0.0, True, 1e3, True),
    "warmup_fraction": (0.0, True, 1.0, False),
    "weight_decay": (0.0, True, 1e12, True),
    "clip_norm": (0.0, False, 1e12, True),
    "pos_weight": (0.0, False, 1e12, True),
}
#: Those that may be None: see train_model for what it means.
_OPTIONAL = ("clip_norm", "pos_weight", "micro_batch_messages")
_MAX_KERNEL_SIZE, _MAX_KERNELS = 4095, 64

#: How the learning rate moves; see tenor.training.schedule.
SCHEDULERS = ("plateau", "cosine")

#: What the model starts from beside its network; see train_model.
PRIORS = ("auto", "lexical", "none")

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
    kernel_sizes: Sequence[int]  # a tuple, once checked
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
    context: str
    seed: int
    mixed_precision: str
    micro_batch_messages: int | None
    fit_characters: int = MAX_FIT_CHARACTERS

    def __post_init__(self) -> None:
        for name, (least, most) in _WHOLE.items():
            value = getattr(self, name)
            if value is not None or name not in _OPTIONAL:
                object.__setattr__(self, name, check_whole(name, value, least, most))
        for name, bounds in _REAL.items():
            value = getattr(self, name)
            is_method = name == "pos_weight" and isinstance(value, str)
            if not is_method and (value is not None or name not in _OPTIONAL):
                object.__setattr__(self, name, check_real(name, value, *bounds))
        object.__setattr__(self, "kernel_sizes", _check_sizes(self.kernel_sizes))
        if self.hidden_size % self.num_heads:
            raise UsageError(
                f"hidden_size: expected a multiple of num_heads, which is {self.num_heads}, found {self.hidden_size}"
            )
        if self.scheduler not in SCHEDULERS:
            raise UsageError(f"scheduler must be one of {', '.join(SCHEDULERS)}, not {self.scheduler!r}")
        if self.monitor not in MONITORS:
            raise UsageError(f"monitor must be one of {', '.join(MONITORS)}, not {self.monitor!r}")
        parse_rule(self.threshold)
        if self.prior not in PRIORS:
            raise UsageError(f"prior must be 'auto', 'lexical' or 'none', not {self.prior!r}")
        if self.context not in ("conversation", "own"):
            raise UsageError(f"context must be 'conversation' or 'own', not {self.context!r}")
        if isinstance(self.pos_weight, str) and self.pos_weight not in IMBALANCE_METHODS:
            raise UsageError(
                f"pos_weight must be a number, none, or one of {', '.join(IMBALANCE_METHODS)}, not {self.pos_weight!r}"
            )

    def to_json(self) -> dict[str, Any]:
        """The settings as plain JSON values."""
        return {**asdict(self), "kernel_sizes": list(self.kernel_sizes)}


def _check_sizes(kernel_sizes: object) -> tuple[int, ...]:
    """Kernel sizes as a tuple of odd numbers."""
    if isinstance(kernel_sizes, str) or not isinstance(kernel_sizes, Iterable):
        raise UsageError(f"kernel_sizes must be numbers, such as (3, 5, 7), not {show_value(kernel_sizes)}")
    sizes = tuple(kernel_sizes)
    if not 0 < len(sizes) <= _MAX_KERNELS:
        raise UsageError(f"kernel_sizes must be 1 to {_MAX_KERNELS} numbers, not {len(sizes)}")
    return check_kernel_sizes([check_whole("kernel_sizes", size, 1, _MAX_KERNEL_SIZE) for size in sizes])
