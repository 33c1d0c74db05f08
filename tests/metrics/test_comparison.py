from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest

from tenor.errors import UsageError
from tenor.metrics.comparison import Difference, adjust_holm, compare, compare_many, p_of_draws
from tenor.metrics.scores import calculate_metrics
from tenor.metrics.weighted import METRICS


@dataclass(frozen=True)
class Table:
    ids: np.ndarray
    labels: np.ndarray
    probs: np.ndarray
    groups: np.ndarray
    threshold: float | None = 0.5

    def take(self, rows: np.ndarray) -> Table:
        return Table(self.ids[rows], self.labels[rows], self.probs[rows], self.groups[rows], self.threshold)


def make_tables(signals: list[float], groups: int = 60, size: int = 4, seed: int = 0) -> list[Table]:
    """Tables of the same rows; each model's scores carry its signal and noise, part of it shared."""
    rng = np.random.default_rng(seed)
    rows = groups * size
    ids = np.array([f"c{i}" for i in range(rows)], dtype=object)
    names = np.array([f"g{i // size}" for i in range(rows)], dtype=object)
    labels = rng.integers(0, 2, rows)
    shared = rng.normal(size=rows)
    tables = []
    for signal in signals:
        logits = signal * (2 * labels - 1) + shared + 0.5 * rng.normal(size=rows)
        tables.append(Table(ids, labels, 1 / (1 + np.exp(-logits)), names))
    return tables


def test_a_model_equals_itself_exactly() -> None:
    (a,) = make_tables([1.0])
    copy = replace(a, probs=a.probs.copy(), ids=a.ids.copy())
    for other in (a, copy):
        found = compare(a, other, replicates=100)
        assert list(found) == list(METRICS)
        for name, difference in found.items():
            value = calculate_metrics(a.labels, a.probs)[name]
            assert difference == Difference(value, value, 0.0, 0.0, 0.0, 1.0, 1.0, 60, None)


def test_rows_that_a_model_was_trained_on_are_said() -> None:
    @dataclass(frozen=True)
    class Split(Table):
        splits: np.ndarray | None = None

    a, b = make_tables([1.0, 0.5])
    rows = len(a.labels)
    for count, splits in ((0, ["test"] * rows), (3, ["train"] * 3 + ["test"] * (rows - 3))):
        own = Split(a.ids, a.labels, a.probs, a.groups, splits=np.array(splits, dtype=object))
        warnings = {difference.warning for difference in compare(own, b, replicates=50).values()}
        if count:
            assert warnings == {
                "3 of the rows are of the split train, which a model knows: compare those of test (in_split)"
            }
        else:
            assert warnings == {None}


def test_a_better_model_is_found_and_the_sign_is_right() -> None:
    a, b = make_tables([1.2, 0.4])
    found = compare(a, b)
    for name, difference in found.items():
        value_a, value_b = (calculate_metrics(t.labels, t.probs)[name] for t in (a, b))
        assert (difference.value_a, difference.value_b) == pytest.approx((value_a, value_b))
        assert difference.difference == pytest.approx(value_a - value_b)
        assert 0 < difference.low < difference.difference < difference.high
        assert difference.p < 0.01
        assert difference.p <= difference.p_holm < 0.05
    backwards = compare(b, a)
    assert backwards["roc_auc"].low == pytest.approx(-found["roc_auc"].high)
    assert backwards["roc_auc"].p == pytest.approx(found["roc_auc"].p)


def test_pairing_makes_the_interval_narrow() -> None:
    from tenor.metrics.intervals import bootstrap_metrics

    a, b = make_tables([1.0, 0.8])
    paired = compare(a, b)["roc_auc"]
    alone = bootstrap_metrics(a.labels, a.probs, a.groups)["roc_auc"]
    assert paired.high - paired.low < alone.high - alone.low


def test_rows_are_matched_by_id_and_unlabelled_ones_left_out() -> None:
    a, b = make_tables([1.0, 0.5])
    labels = a.labels.copy()
    labels[::5] = -1
    a, b = replace(a, labels=labels), replace(b, labels=labels)
    expected = compare(a, b, replicates=50)
    order = np.random.default_rng(0).permutation(len(labels))
    assert compare(a, b.take(order), replicates=50) == expected
    kept = np.flatnonzero(labels >= 0)
    assert compare(a.take(kept), b.take(kept), replicates=50) == expected


def test_an_id_that_stands_twice_is_refused_and_named() -> None:
    a, b = make_tables([1.0, 0.5])
    twice = b.ids.copy()
    twice[1] = twice[0]
    with pytest.raises(UsageError, match=r"1 ids more than once in a, such as 'c0'"):
        compare(replace(a, ids=twice), b)
    with pytest.raises(UsageError, match=r"1 ids more than once in b, such as 'c0'"):
        compare(a, replace(b, ids=twice))


def test_tables_of_other_rows_are_refused_with_counts_and_examples() -> None:
    a, b = make_tables([1.0, 0.5], groups=3)
    message = r"b has 10 rows and a has 12.*0 rows only in b; 2 rows only in a, such as 'c10', 'c11'"
    with pytest.raises(UsageError, match=message):
        compare(a, b.take(np.arange(10)))
    other = b.ids.copy()
    other[0] = "x1\x1fann"
    with pytest.raises(
        UsageError, match=r"1 rows only in b, such as 'x1 / ann'; 1 rows only in a, such as 'c0'"
    ):
        compare(a, replace(b, ids=other))
    with pytest.raises(UsageError, match=r"different labels in 12 of 12 rows, such as 'c0', 'c1', 'c2'"):
        compare(a, replace(b, labels=1 - b.labels))
    names = b.groups.copy()
    names[5] = "g9"
    with pytest.raises(UsageError, match="different groups in 1 of 12 rows, such as 'c5'"):
        compare(a, replace(b, groups=names))
    with pytest.raises(UsageError, match="different numbers of classes"):
        compare(a, replace(b, probs=np.stack([b.probs] * 3, axis=1)))
    with pytest.raises(UsageError, match="no row is labelled"):
        compare(replace(a, labels=a.labels * 0 - 1), replace(b, labels=a.labels * 0 - 1))


def test_many_models_share_one_adjustment() -> None:
    a, b, c = make_tables([0.5, 1.5, 0.5], groups=100)
    models = {"tfidf": a, "tenor": b, "length": c}
    found = compare_many(models, "tfidf", metrics=("roc_auc", "f1"), replicates=2000)
    assert list(found) == ["tenor", "length"]
    flat = [d for by_metric in found.values() for d in by_metric.values()]
    assert [d.p_holm for d in flat] == adjust_holm([d.p for d in flat])
    assert found["tenor"]["roc_auc"].p_holm < 0.05
    assert found["length"]["roc_auc"].p_holm > 0.05
    with pytest.raises(UsageError, match="compare the reference 'x'"):
        compare_many(models, "x")


@pytest.mark.parametrize("noise", [0.0, 1e-16])
def test_a_difference_in_which_no_draw_differs_is_as_sure_as_its_groups_are_many(noise: float) -> None:
    draws = 0.5 + noise * np.random.default_rng(0).integers(-1, 2, 1999)
    few, some, many = (p_of_draws(draws, groups) for groups in (3, 20, 100))
    assert few == pytest.approx(p_of_draws(np.full(1999, 0.5), 3))
    assert few > 2.0**-19 == some  # the sign test's: twice a half to the power of the groups
    assert many == 2.0**-99
    assert p_of_draws(draws, 1e9) > 0


def test_what_is_no_predictions_is_named() -> None:
    table = make_tables([1.0])[0]
    with pytest.raises(UsageError, match=r"b: expected predictions, such as .*found str 'new\.parquet'"):
        compare(table, "new.parquet")  # type: ignore[arg-type]


def test_holm_by_hand() -> None:
    # sorted: .01 x 4, .02 x 3, .03 x 2 -> held at .06, .5 x 1
    assert adjust_holm([0.03, 0.01, 0.5, None, 0.02]) == pytest.approx([0.06, 0.04, 0.5, None, 0.06])
    assert adjust_holm([0.9, 0.8]) == [1.0, 1.0]
    assert adjust_holm([]) == []


def test_p_agrees_with_the_interval() -> None:
    from tenor.metrics.resampling import interval_of_draws

    rng = np.random.default_rng(0)
    for groups in (12.0, 100.0):
        for shift in np.linspace(0.5, 3.5, 25):
            draws = rng.normal(shift, 1, 4000)
            low, _ = interval_of_draws(draws, 0.95, groups)
            p = p_of_draws(draws, groups)
            assert (p < 0.05) == (low > 0) or abs(p - 0.05) < 0.003
    for groups in (4.0, 8.0, 12.0):  # so few that 2,000 replicates do not reach the interval's ends
        for shift in np.linspace(2.0, 8.0, 25):
            draws = rng.normal(shift, 1, 2000)
            low, _ = interval_of_draws(draws, 0.95, groups, extrapolate=True)
            p = p_of_draws(draws, groups)
            assert (p < 0.05) == (low > 0) or abs(p - 0.05) < 0.003
            assert p_of_draws(-draws, groups) == pytest.approx(p)
    assert p_of_draws(np.array([np.nan]), 10) is None
    assert p_of_draws(np.zeros(100), 10) == 1.0
    assert p_of_draws(np.full(1999, 1.0), 5) == pytest.approx(0.0423, abs=1e-4)
    far_off = p_of_draws(np.random.default_rng(0).normal(1, 0.001, 1999), 2000)
    assert far_off is not None and 0 < far_off < 1e-300


def false_alarms(make: Callable[[int], list[Table]], simulations: int, replicates: int) -> float:
    found = 0
    for seed in range(simulations):
        a, b = make(seed)
        found += (
            compare(a, b, metrics=("roc_auc",), replicates=replicates, seed=seed, threads=1)["roc_auc"].p
            < 0.05
        )
    return found / simulations


def test_equal_models_differ_as_seldom_as_promised() -> None:
    assert false_alarms(lambda seed: make_tables([0.7, 0.7], seed=seed), 120, 300) <= 0.1


@pytest.mark.long
def test_equal_models_over_a_thousand_simulations() -> None:
    share = false_alarms(lambda seed: make_tables([0.7, 0.7], groups=100, seed=seed), 1000, 500)
    assert 0.02 <= share <= 0.06


@pytest.mark.parametrize(
    ("sizes", "warning"),
    [
        ([5], "rests on about 1 group of 200"),
        ([9, 1], "rests on about 1 group of 200"),  # 1.2, by Kish's formula
        ([5, 5], "rests on about 2 groups of 200"),
        ([3, 3, 3], "rests on about 3 groups of 200"),
    ],
)
def test_models_without_signal_are_not_told_apart_by_one_or_two_groups_of_positives(
    sizes: list[int], warning: str
) -> None:
    codes = np.repeat(np.arange(200), [*sizes, *[1] * (200 - len(sizes))])
    labels = (codes < len(sizes)).astype(int)
    ids = np.array([f"r{i}" for i in range(len(codes))], dtype=object)
    names = np.array([f"g{code}" for code in codes], dtype=object)
    told = 0
    for seed in range(10):
        rng = np.random.default_rng(seed)
        scores = [0.8 * rng.normal(size=200)[codes] + 0.6 * rng.normal(size=len(codes)) for _ in "ab"]
        a, b = (Table(ids, labels, 1 / (1 + np.exp(-logits)), names) for logits in scores)
        found = compare(a, b, metrics=("roc_auc",), replicates=400, seed=seed)["roc_auc"]
        assert found.warning.split(";")[0] == warning
        assert (found.low is None) == (found.high is None) == (len(sizes) < 3)
        if found.low is None:
            assert found.difference == pytest.approx(found.value_a - found.value_b)
            assert (found.p, found.p_holm) == (1.0, 1.0)
        else:
            told += found.low > 0 or found.high < 0
    assert told <= 1


def test_no_interval_reaches_beyond_what_metrics_can_differ_by() -> None:
    """Few positives, one model perfect and one at random: an end is extrapolated."""
    ends = []
    for seed in range(8):
        (table,) = make_tables([0.0], groups=24, size=3, seed=seed)
        labels = (np.arange(72) % 18 == 0).astype(int)
        a, b = replace(table, labels=labels, probs=0.1 + 0.8 * labels), replace(table, labels=labels)
        found = compare(a, b, replicates=400)["average_precision"]
        assert -1 <= found.low <= found.difference <= found.high <= 1
        ends.append(found.high)
    assert 1 in ends, "one would be beyond"
