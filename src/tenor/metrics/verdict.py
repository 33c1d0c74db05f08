"""In a plain sentence: does the model beat its baselines?

Differences come in already measured. Knows nothing of how they were.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

#: Below this Holm's p speaks of a difference.
_LEVEL = 0.05


@dataclass(frozen=True)
class Lead:
    """How far the model is ahead of one rival in one metric, on the same rows of test.

    Attributes:
        rival: its name.
        value: of the model.
        rival_value: of the rival.
        difference: the model's minus the rival's.
        low, high: 95% interval of the difference; None when not estimated.
        p_holm: of the difference, adjusted for all that were tested; None where this is the only one, and its
            interval says as much.
    """

    rival: str
    value: float
    rival_value: float
    difference: float
    low: float | None = None
    high: float | None = None
    p_holm: float | None = None

    @property
    def is_clear(self) -> bool:
        """Whether the interval lies above 0; without one nothing is clear."""
        return self.low is not None and self.low > 0

    @property
    def is_clearly_behind(self) -> bool:
        """Whether the interval lies below 0, and would not by chance alone among so many that were tested."""
        return self.high is not None and self.high < 0 and (self.p_holm is None or self.p_holm < _LEVEL)


@dataclass(frozen=True)
class Verdict:
    """Whether the model beats its baselines.

    Attributes:
        kind: ``better``, ``unclear`` (level, or ahead, but an interval holds 0) or ``worse``.
        sentence: for a reader.
    """

    kind: str
    sentence: str


def judge_leads(leads: Sequence[Lead], metric: str = "ROC AUC") -> Verdict | None:
    """Judge the model by the best of the rivals that it does not clearly beat, or of all; None when there is none.

    "Better" means that the interval of the difference lies above 0; without an interval the model is ahead at best, and
    the sentence says that these are two values. "Worse than" needs Holm's p below .05 as well: the rival is the best of
    several, and the best of several equals is ahead of the model by more than chance would have one of them.

    Args:
        leads: one a rival.
        metric: what the values are, as a reader calls it.
    """
    if not leads:
        return None
    close = [lead for lead in leads if not lead.is_clear]
    lead = max(close if close else leads, key=lambda lead: lead.rival_value)
    digits = _count_digits([lead.difference, *(end for end in (lead.low, lead.high) if end is not None)])
    value, rival_value, difference = (
        format_signed(number, digits) for number in (lead.value, lead.rival_value, lead.difference)
    )
    detail = f"{metric} {value} against {rival_value}"
    if lead.low is None or lead.high is None:
        detail += ". These are two values without an interval of their difference"
    else:
        ends = f"{format_signed(lead.low, digits)} to {format_signed(lead.high, digits)}"
        detail += f", a difference of {difference} (95% interval {ends})"
    if lead.is_clear:
        each = "every baseline" if len(leads) > 1 else lead.rival
        strongest = f"; the strongest is {lead.rival}" if len(leads) > 1 else ""
        return Verdict("better", f"On test the model beats {each}{strongest}: {detail}.")
    if lead.difference == 0:
        return Verdict("unclear", f"On test the model is level with {lead.rival}: {detail}.")
    if lead.is_clearly_behind:
        return Verdict("worse", f"On test the model is worse than {lead.rival}: {detail}.")
    if lead.high is not None and lead.high < 0:
        detail += f"; among so many differences this may be chance (Holm's p {lead.p_holm:.3f})"
    is_ahead = lead.difference > 0
    beats = f"does not {'clearly ' if is_ahead else ''}beat"
    return Verdict("unclear" if is_ahead else "worse", f"On test the model {beats} {lead.rival}: {detail}.")


def _count_digits(values: Sequence[float]) -> int:
    """Three, or as many more (to six) as show that a value is not 0."""
    return next(
        (digits for digits in range(3, 6) if all(value == 0 or round(value, digits) for value in values)), 6
    )


def format_signed(value: float, digits: int = 3) -> str:
    """So many decimals, with a real minus sign; what rounds to 0 has none."""
    text = f"{value:.{digits}f}"
    return text.removeprefix("-") if not text.strip("-0.") else text.replace("-", "−")
