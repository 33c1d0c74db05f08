"""What a threshold is for, as one word with its numbers: ``f1``, ``cost:1:20``, ``recall_at_precision:0.9``.

The word stands in model files, on the command line and in arguments. Knows nothing of how a threshold is found
(``thresholds``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from tenor.errors import UsageError
from tenor.metrics.checks import Column
from tenor.metrics.parameters import OBJECTIVES, Objective, are_allowed, describe_allowed
from tenor.metrics.thresholds import Threshold, choose_threshold

#: Objective -> how it is written.
FORMS: dict[Objective, str] = {
    "f1": "f1",
    "f_beta": "f_beta:BETA",
    "cost": "cost:FALSE_ALARM:MISS",
    "recall_at_precision": "recall_at_precision:FLOOR",
    "precision_at_recall": "precision_at_recall:FLOOR",
    "alarms_per_thousand": "alarms_per_thousand:COUNT",
}


@dataclass(frozen=True)
class ThresholdRule:
    """An objective with its numbers; see choose_threshold for what each means.

    Attributes:
        objective: one of OBJECTIVES.
        parameters: none for f1; beta; the costs of a false alarm and of a miss; the floor; or the alarms.
    """

    objective: Objective = "f1"
    parameters: tuple[float, ...] = ()

    def __str__(self) -> str:
        return ":".join([self.objective, *(str(value).removesuffix(".0") for value in self.parameters)])

    def choose(
        self,
        labels: npt.ArrayLike,
        probs: npt.ArrayLike,
        *,
        groups: Column | None = None,
        splits: Column | None = None,
        seed: int = 0,
    ) -> Threshold:
        """Choose by this rule; arguments and errors as of choose_threshold."""
        arguments: dict[str, Any] = {}
        if self.objective == "f_beta":
            arguments["beta"] = self.parameters[0]
        elif self.objective == "cost":
            arguments["cost_ratio"] = self.parameters
        elif self.objective == "alarms_per_thousand":
            arguments["alarms_per_thousand"] = self.parameters[0]
        elif self.objective != "f1":
            arguments["floor"] = self.parameters[0]
        return choose_threshold(
            labels, probs, self.objective, **arguments, groups=groups, splits=splits, seed=seed
        )


def parse_rule(text: str) -> ThresholdRule:
    """Read a rule as it is written in FORMS, such as ``cost:1:20``.

    Raises:
        UsageError: an unknown objective, too few or too many numbers, or numbers outside their range.
    """
    if not isinstance(text, str):
        raise UsageError(
            f"the threshold rule must be one of {', '.join(FORMS.values())}, not {text!r} (a threshold of your own is "
            "applied to predictions: dataclasses.replace(predictions, threshold=0.5))"
        )
    name, *parts = text.split(":")
    for objective in OBJECTIVES:
        if objective == name:
            form = FORMS[objective]
            if len(parts) != form.count(":"):
                raise UsageError(f"the threshold rule {objective} is written {form}, found {text!r}")
            try:
                rule = ThresholdRule(objective, tuple(float(part) for part in parts))
            except ValueError as error:
                raise UsageError(
                    f"the threshold rule {objective} is written {form}, found {text!r}"
                ) from error
            if not are_allowed(objective, rule.parameters):
                raise UsageError(
                    f"the threshold rule {objective} is written {form}, and {describe_allowed(objective)}, found "
                    f"{text!r}{_suggest_share(objective, rule.parameters)}"
                )
            return rule
    raise UsageError(f"the threshold rule must be one of {', '.join(FORMS.values())}, not {text!r}")


def _suggest_share(objective: Objective, parameters: tuple[float, ...]) -> str:
    """What somebody meant who wrote a floor in percent."""
    if FORMS[objective].endswith(":FLOOR") and 1 < parameters[0] <= 100:
        return f" ({parameters[0]:g}% is written {objective}:{parameters[0] / 100:g})"
    return ""
