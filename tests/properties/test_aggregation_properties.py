"""Aggregation equals a plain loop over profiles, whatever the scores and whoever is empty."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenor.aggregation.fixed import AGGREGATIONS, aggregate_all, aggregate_labels


def load_reference() -> ModuleType:
    path = Path(__file__).parents[1] / "reference" / "aggregation_loop.py"
    spec = importlib.util.spec_from_file_location("aggregation_loop", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


reference = load_reference()

# Few distinct values make ties; the others fill [0, 1].
PROB = st.one_of(st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.floats(0, 1))


@st.composite
def scored_sequences(draw: st.DrawFn) -> tuple[list[float], list[int], int]:
    num_profiles = draw(st.integers(1, 8))
    pairs = draw(st.lists(st.tuples(PROB, st.integers(0, num_profiles - 1)), max_size=60))
    return [prob for prob, _ in pairs], [code for _, code in pairs], num_profiles


@given(scored_sequences(), PROB, st.randoms(use_true_random=False))
def test_binary_equals_loop_in_any_order(case: tuple, threshold: float, random: object) -> None:
    probs, codes, num_profiles = case
    results = aggregate_all(probs, codes, num_profiles, threshold)
    for method in AGGREGATIONS:
        expected = reference.aggregate_scores_loop(probs, codes, num_profiles, method, threshold)
        np.testing.assert_allclose(results[method], expected, rtol=1e-14, atol=0)
    order = list(range(len(probs)))
    random.shuffle(order)
    shuffled = aggregate_all([probs[i] for i in order], [codes[i] for i in order], num_profiles, threshold)
    for method in AGGREGATIONS:
        assert results[method].tobytes() == shuffled[method].tobytes()


@given(scored_sequences(), st.integers(2, 5), st.integers(0, 2**32))
def test_multi_class_equals_loop(case: tuple, num_classes: int, seed: int) -> None:
    _, codes, num_profiles = case
    probs = np.random.default_rng(seed).dirichlet(np.full(num_classes, 0.3), len(codes)).round(3)
    results = aggregate_all(probs, codes, num_profiles)
    for method in AGGREGATIONS:
        expected = reference.aggregate_class_scores_loop(
            probs.tolist(), codes, num_profiles, num_classes, method
        )
        np.testing.assert_allclose(results[method], expected, rtol=1e-12, atol=1e-15)


@given(
    st.lists(st.tuples(st.integers(-1, 1), st.integers(0, 5)), max_size=50),
    st.sampled_from(["any", "majority"]),
)
def test_labels_equal_loop(pairs: list, rule: str) -> None:
    labels, codes = [label for label, _ in pairs], [code for _, code in pairs]
    expected = reference.aggregate_labels_loop(labels, codes, 6, rule)
    assert aggregate_labels(labels, codes, 6, rule).tolist() == expected


@pytest.mark.parametrize("rule", ["majority", "constant"])
@given(data=st.data())
def test_class_labels_equal_loop(rule: str, data: st.DataObject) -> None:
    if rule == "constant":
        by_profile = data.draw(st.lists(st.integers(0, 4), min_size=4, max_size=4))
        codes = data.draw(st.lists(st.integers(0, 3), max_size=40))
        labels = [by_profile[code] if data.draw(st.booleans()) else -1 for code in codes]
    else:
        pairs = data.draw(st.lists(st.tuples(st.integers(-1, 4), st.integers(0, 3)), max_size=40))
        labels, codes = [label for label, _ in pairs], [code for _, code in pairs]
    expected = reference.aggregate_labels_loop(labels, codes, 4, rule)
    assert aggregate_labels(labels, codes, 4, rule).tolist() == expected
