from __future__ import annotations

import numpy as np
import pytest

from tenor.errors import UsageError
from tenor.metrics.objectives import FORMS, ThresholdRule, parse_rule
from tenor.metrics.thresholds import OBJECTIVES, choose_threshold

LABELS = np.array([0, 0, 1, 0, 1, 1, 0, 1])
PROBS = np.array([0.1, 0.2, 0.3, 0.35, 0.5, 0.6, 0.7, 0.9])


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("f1", {}),
        ("f_beta:2", {"beta": 2.0}),
        ("cost:1:20", {"cost_ratio": (1.0, 20.0)}),
        ("recall_at_precision:0.9", {"floor": 0.9}),
        ("precision_at_recall:0.75", {"floor": 0.75}),
        ("alarms_per_thousand:250", {"alarms_per_thousand": 250.0}),
    ],
)
def test_a_rule_chooses_as_its_objective_does(text: str, arguments: dict[str, object]) -> None:
    rule = parse_rule(text)
    expected = choose_threshold(LABELS, PROBS, rule.objective, **arguments)  # type: ignore[arg-type]
    assert rule.choose(LABELS, PROBS) == expected
    assert str(rule) == text


def test_every_objective_has_a_form() -> None:
    assert tuple(FORMS) == OBJECTIVES
    assert parse_rule("f1") == ThresholdRule()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("accuracy", "must be one of f1, f_beta:BETA, .*, not 'accuracy'"),
        ("cost:1", "cost is written cost:FALSE_ALARM:MISS, found 'cost:1'"),
        ("f1:2", "f1 is written f1, found 'f1:2'"),
        ("f_beta:two", "f_beta is written f_beta:BETA, found 'f_beta:two'"),
        ("recall_at_precision:1.5", "floor must be 1 number"),
        ("cost:0:0", "not all 0"),
        ("f_beta:nan", "beta must be"),
        (
            "cost:1:-2",
            "cost is written cost:FALSE_ALARM:MISS, and its costs must be 2 numbers from 0 to 1e.12, not all 0, found "
            "'cost:1:-2'$",
        ),
        (
            "recall_at_precision:80",
            "recall_at_precision is written recall_at_precision:FLOOR, and its floor must be 1 number from 0 to 1, "
            r"found 'recall_at_precision:80' \(80% is written recall_at_precision:0.8\)$",
        ),
        ("precision_at_recall:-1", "its floor must be 1 number from 0 to 1, found 'precision_at_recall:-1'$"),
        ("alarms_per_thousand:1001", "its alarms_per_thousand must be 1 number from 0 to 1000, found"),
    ],
)
def test_what_is_no_rule_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_rule(text)


def test_test_rows_are_refused() -> None:
    with pytest.raises(UsageError, match="8 rows are of split test"):
        ThresholdRule().choose(LABELS, PROBS, splits=np.array(["test"] * 8, dtype=object))
