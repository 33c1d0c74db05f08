from __future__ import annotations

import pytest

from tenor.metrics.verdict import Lead, judge_leads


@pytest.mark.parametrize(
    ("difference", "low", "high", "kind", "words"),
    [
        (0.25, 0.1, 0.4, "better", "beats length: "),
        (0.25, -0.1, 0.6, "unclear", "does not clearly beat length: "),
        (-0.02, -0.1, 0.06, "worse", "does not beat length: "),
        (-0.2, -0.3, -0.1, "worse", "On test the model is worse than length: "),
        (0.0, 0.0, 0.0, "unclear", "is level with length: "),
        (0.25, None, None, "unclear", "two values without an interval"),
    ],
)
def test_the_verdict_follows_the_interval(
    difference: float, low: float | None, high: float | None, kind: str, words: str
) -> None:
    verdict = judge_leads([Lead("length", 0.8, 0.8 - difference, difference, low, high)])
    assert verdict is not None
    assert verdict.kind == kind
    assert words in verdict.sentence


@pytest.mark.parametrize(
    ("p_holm", "words"),
    [(0.03, "the model is worse than length: "), (0.05, "the model does not beat length: ")],
)
def test_worse_than_the_best_of_several_goes_by_holms_p(p_holm: float, words: str) -> None:
    behind = Lead("length", 0.6, 0.8, -0.2, -0.38, -0.02, p_holm)
    verdict = judge_leads([behind, Lead("lexical", 0.6, 0.7, -0.1, -0.2, 0.1, 1.0)])
    assert verdict is not None and verdict.kind == "worse"
    assert words in verdict.sentence
    difference, _, chance = verdict.sentence.partition("; ")
    assert difference.removesuffix(".").endswith("a difference of −0.200 (95% interval −0.380 to −0.020)")
    assert chance == (
        "among so many differences this may be chance (Holm's p 0.050)." if p_holm == 0.05 else ""
    )


def test_the_rival_is_the_best_one() -> None:
    weak, strong = Lead("weak", 0.8, 0.5, 0.3, 0.2, 0.4), Lead("strong", 0.8, 0.7, 0.1, 0.02, 0.18)
    verdict = judge_leads([weak, strong])
    assert verdict is not None
    assert verdict.sentence == (
        "On test the model beats every baseline; the strongest is strong: ROC AUC 0.800 against 0.700, a "
        "difference of 0.100 (95% interval 0.020 to 0.180)."
    )
    assert judge_leads([]) is None


def test_of_several_that_are_not_beaten_the_best_is_named() -> None:
    beaten, close = Lead("beaten", 0.8, 0.6, 0.2, 0.1, 0.3), Lead("close", 0.8, 0.79, 0.01, -0.01, 0.03)
    unsure = Lead("unsure", 0.8, 0.7, 0.1, -0.2, 0.4)
    verdict = judge_leads([beaten, unsure, close])
    assert verdict is not None
    assert (verdict.kind, verdict.sentence) == (
        "unclear",
        "On test the model does not clearly beat close: ROC AUC 0.800 against 0.790, a difference of 0.010 (95% "
        "interval −0.010 to 0.030).",
    )


def test_a_small_lead_is_not_written_as_none() -> None:
    verdict = judge_leads([Lead("lexical", 0.96828, 0.96698, 0.0013, 0.00021, 0.0026)])
    assert verdict is not None
    assert verdict.sentence.endswith(
        "ROC AUC 0.9683 against 0.9670, a difference of 0.0013 (95% interval 0.0002 to 0.0026)."
    )
