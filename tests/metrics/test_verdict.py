from __future__ import annotations

import pytest

from tenor.metrics.verdict import Lead, judge_leads


@pytest.mark.parametrize(
    ("difference", "low", "high", "kind", "words"),
    [
        (0.25, 0.1, 0.4, "better", "beats length: "),
        (0.25, -0.1, 0.6, "unclear", "does not clearly beat length: "),
        (-0.02, -0.1, 0.06, "worse", "does not beat length: "),
        (0.0, 0.0, 0.0, "worse", "does not beat length: "),
        (0.25, None, None, "better", "two values without an interval"),
    ],
)
def test_the_verdict_follows_the_interval(
    difference: float, low: float | None, high: float | None, kind: str, words: str
) -> None:
    verdict = judge_leads([Lead("length", 0.8, 0.8 - difference, difference, low, high)])
    assert verdict is not None
    assert verdict.kind == kind
    assert words in verdict.sentence


def test_the_rival_is_the_one_that_the_model_is_least_ahead_of() -> None:
    weak, strong = Lead("weak", 0.8, 0.5, 0.3, 0.2, 0.4), Lead("strong", 0.8, 0.7, 0.1, 0.02, 0.18)
    verdict = judge_leads([weak, strong])
    assert verdict is not None
    assert verdict.sentence == (
        "On test the model beats every baseline; the strongest is strong: ROC AUC 0.800 against 0.700, a "
        "difference of 0.100 (95% interval 0.020 to 0.180)."
    )
    assert judge_leads([]) is None
