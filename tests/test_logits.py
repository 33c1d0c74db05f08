"""Every formula against the same with sixty digits, out to both ends of what a float holds."""

from __future__ import annotations

from decimal import Decimal, localcontext

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import log_loss as expected_log_loss

from tenor.logits import log_loss, log_losses, log_odds, odds_against_rest, to_probs

#: Where exp() of its negative is still a normal float.
LOGIT = st.floats(-700, 700)
ROWS = st.lists(LOGIT, min_size=2, max_size=5)
#: An exponent near 700 is itself known to 1e-13 only, and so is its power.
PRECISION = 1e-12


def softmax(row: list[float]) -> list[Decimal]:
    with localcontext() as context:
        context.prec = 700  # 1 + exp(-1400) is not 1
        powers = [Decimal(value).exp() for value in row]
        return [power / sum(powers) for power in powers]


@given(LOGIT)
def test_the_logistic_function_is_exact_in_both_tails(logit: float) -> None:
    found = to_probs(np.array([logit, -logit]))
    expected = softmax([0.0, logit])
    np.testing.assert_allclose(found, [float(expected[1]), float(expected[0])], rtol=1e-15)


@given(ROWS)
def test_the_softmax_is_exact_in_both_tails(row: list[float]) -> None:
    found, expected = to_probs(np.array([row]))[0], [float(each) for each in softmax(row)]
    # Less than the least normal float a probability has fewer digits.
    np.testing.assert_allclose(found, expected, rtol=PRECISION, atol=1e-307)
    assert found.sum() == pytest.approx(1, abs=1e-15)


@given(st.lists(LOGIT, min_size=1, max_size=20))
def test_probabilities_rise_with_logits_and_none_is_zero(logits: list[float]) -> None:
    probs = to_probs(np.sort(logits))
    assert (np.diff(probs) >= 0).all()
    assert (probs > 0).all()
    two = to_probs(np.stack([np.zeros(len(logits)), np.sort(logits)], axis=1))
    np.testing.assert_allclose(two[:, 1], probs, rtol=1e-15)


def test_what_is_not_finite_or_not_there() -> None:
    assert to_probs(np.array([-np.inf, -1e308, 0.0, 1e308, np.inf])).tolist() == [0, 0, 0.5, 1, 1]
    assert to_probs(np.array([[-np.inf, 1e308, 0.0], [-1e308, -1e308, -np.inf]])).tolist() == [
        [0, 1, 0],
        [0.5, 0.5, 0],
    ]
    assert np.isnan(to_probs(np.array([np.nan]))).all()
    assert to_probs(np.zeros(0)).shape == (0,) and to_probs(np.zeros((0, 3))).shape == (0, 3)


@given(st.floats(1e-12, 0.5))
def test_log_odds_are_exact_and_undo_the_logistic_function(prob: float) -> None:
    with localcontext() as context:
        context.prec = 60
        exact = Decimal(prob)
        expected = float((exact / (1 - exact)).ln())
    found = log_odds(prob)
    assert found.shape == ()
    assert found == pytest.approx(expected, rel=1e-14, abs=1e-15)
    np.testing.assert_allclose(to_probs(log_odds([prob, 1 - prob])), [prob, 1 - prob], rtol=1e-13)


def test_log_odds_are_finite_at_the_ends() -> None:
    found = log_odds(np.array([[0.0, 1.0], [1e-300, 0.5]]))
    np.testing.assert_allclose(found, np.log([[1e-12, 1e12], [1e-12, 1.0]]), rtol=1e-5)
    assert np.array_equal(log_odds([-3.0, 7.0]), log_odds([0.0, 1.0]))  # counts of votes are scores too


@given(ROWS)
def test_odds_against_the_rest_are_exact(row: list[float]) -> None:
    """From the logits, since of a probability next to 1 nothing is left that could tell them."""
    with localcontext() as context:
        context.prec = 60
        powers = [Decimal(value).exp() for value in row]
        rest = [sum(powers[:place] + powers[place + 1 :]) for place in range(len(row))]
        expected = [float((power / other).ln()) for power, other in zip(powers, rest, strict=True)]
    np.testing.assert_allclose(odds_against_rest(np.array([row]))[0], expected, rtol=1e-14, atol=PRECISION)


@given(ROWS, st.data())
def test_losses_are_exact_in_both_tails(row: list[float], data: st.DataObject) -> None:
    label = data.draw(st.integers(0, len(row) - 1))
    with localcontext() as context:
        context.prec = 700
        expected = float(-softmax(row)[label].ln())
        binary = [float(-each.ln()) for each in softmax([0.0, row[0]])]
    np.testing.assert_allclose(log_losses(np.array([row]), np.array([label])), expected, atol=PRECISION)
    found = log_losses(np.array([row[0]] * 2), np.array([0, 1]))
    np.testing.assert_allclose(found, binary, rtol=1e-15)
    assert np.array_equal(log_losses(np.array([row[0]] * 2), np.array([False, True])), found)


def test_the_mean_loss_equals_scikit_learns() -> None:
    generator = np.random.default_rng(3)
    labels, logits = generator.integers(0, 3, size=50), generator.normal(size=(50, 3))
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert log_loss(logits, labels) == pytest.approx(expected_log_loss(labels, probs, labels=[0, 1, 2]))
    binary = generator.integers(0, 2, size=50)
    probs = 1 / (1 + np.exp(-logits[:, 0]))
    assert log_loss(logits[:, 0], binary) == pytest.approx(expected_log_loss(binary, probs))
    assert log_loss(np.zeros(0), np.zeros(0, dtype=np.int64)) == 0
