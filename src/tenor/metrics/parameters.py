"""The numbers that go with an objective of a threshold: which it takes, how many, and between which bounds.

Knows nothing of rows, of scores, or of how an objective is written.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from numbers import Real
from typing import Literal, get_args

from tenor.errors import UsageError

Objective = Literal[
    "f1", "f_beta", "cost", "recall_at_precision", "precision_at_recall", "alarms_per_thousand"
]
OBJECTIVES: tuple[Objective, ...] = get_args(Objective)

#: Objective -> the argument it takes, its least and highest value, and how many numbers that argument holds.
_PARAMETERS: dict[str, tuple[str, float, float, int]] = {
    "f_beta": ("beta", 0.0, 1e6, 1),
    "cost": ("cost_ratio", 0.0, 1e12, 2),
    "recall_at_precision": ("floor", 0.0, 1.0, 1),
    "precision_at_recall": ("floor", 0.0, 1.0, 1),
    "alarms_per_thousand": ("alarms_per_thousand", 0.0, 1000.0, 1),
}


def check_parameters(
    objective: str,
    beta: float | None,
    cost_ratio: tuple[float, float] | None,
    floor: float | None,
    alarms_per_thousand: float | None,
) -> tuple[float, ...]:
    """The parameters that the objective takes, checked; those of other objectives must not be given.

    Raises:
        UsageError: an unknown objective; its argument missing, no number, or out of bounds; another one's given.
    """
    if objective not in OBJECTIVES:
        raise UsageError(f"objective must be one of {', '.join(OBJECTIVES)}, not {objective!r}")
    given: dict[str, object] = {
        "beta": beta,
        "cost_ratio": cost_ratio,
        "floor": floor,
        "alarms_per_thousand": alarms_per_thousand,
    }
    wanted, least, most, size = _PARAMETERS.get(objective, ("", 0.0, 0.0, 0))
    for name, value in given.items():
        if name != wanted and value is not None:
            raise UsageError(f"objective {objective} takes no {name}")
    if not wanted:
        return ()
    found = given[wanted]
    if found is None:
        raise UsageError(f"objective {objective} needs {wanted}")
    numbers: tuple[object, ...] = (found,)
    if size > 1 and isinstance(found, Iterable) and not isinstance(found, str):
        numbers = tuple(found)
    values = tuple(float(x) for x in numbers if not isinstance(x, bool) and isinstance(x, Real))
    if len(values) != len(numbers) or not are_allowed(objective, values):
        rule = f"{size} number(s) from {least} to {most}" + (", not all 0" if size > 1 else "")
        raise UsageError(f"{wanted} must be {rule}, found {found!r:.80}")
    return values


def are_allowed(objective: Objective | str, values: Sequence[float]) -> bool:
    """Whether an objective takes these numbers: as many, each within the bounds; all costs 0 choose nothing."""
    _, least, most, size = _PARAMETERS.get(objective, ("", 0.0, 0.0, 0))
    is_free = size > 1 and not any(values)
    return len(values) == size and all(least <= value <= most for value in values) and not is_free


def describe_allowed(objective: Objective) -> str:
    """What are_allowed asks, for somebody who writes the numbers in a rule."""
    name, least, most, size = _PARAMETERS[objective]
    if objective == "cost":
        return f"its costs must be {size} numbers from {least:g} to {most:g}, not all 0"
    return f"its {name} must be {size} number from {least:g} to {most:g}"
