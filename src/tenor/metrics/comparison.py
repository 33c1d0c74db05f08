"""Is one model better than another on the same rows? Differences with intervals and p, paired by group.

Both models are measured on the same draws of groups, so what makes a draw easy or hard cancels. Knows nothing
of files: anything with ids, labels, probs, groups and a threshold (tenor's Predictions, say) can be compared.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Protocol

import numpy as np
import numpy.typing as npt

from tenor.errors import UsageError, describe_value
from tenor.metrics.checks import Floats, Integers, check_scores, encode_groups
from tenor.metrics.intervals import make_interval
from tenor.metrics.resampling import LEAST_EFFECTIVE, TAIL_DRAWS, resample_groups
from tenor.metrics.weighted import METRICS, WeightedMetrics
from tenor.strings import Strings, find_rows

#: Sums of the same numbers in another order differ by less; no metric of a test split does.
_ROUNDING = 1e-12


class Scored(Protocol):
    """What a comparison reads of a table of scores; shapes as in tenor.predictions.Predictions."""

    @property
    def ids(self) -> Strings | npt.NDArray[np.object_]:
        """(N,) unique strings."""

    @property
    def labels(self) -> Integers:
        """(N,) int64, -1 = unlabelled."""

    @property
    def probs(self) -> Floats:
        """(N,) or (N, C)."""

    @property
    def groups(self) -> Strings | npt.NDArray[np.object_]:
        """(N,) what is resampled."""

    @property
    def threshold(self) -> float | None:
        """Positive at probs >= threshold."""


@dataclass(frozen=True)
class Difference:
    """How far model a is above model b in one metric.

    Attributes:
        value_a, value_b: the metric of each; None when undefined.
        difference: value_a - value_b.
        low, high: 95% interval of the difference; None when that is, or where it rests on too few groups to have one.
        p: two-sided; it agrees with the interval but for one draw: p < 0.05 where that leaves out 0, unless no draw
            differs and groups are few.
        p_holm: p adjusted for all the differences tested together (Holm 1979).
        groups: how many groups were resampled.
        warning: why not to lean on it; None when there is no reason.
    """

    value_a: float | None
    value_b: float | None
    difference: float | None
    low: float | None
    high: float | None
    p: float | None
    p_holm: float | None
    groups: int
    warning: str | None


def compare(
    a: Scored,
    b: Scored,
    *,
    metrics: Sequence[str] = METRICS,
    replicates: int | None = None,
    seed: int = 0,
    threads: int | None = None,
) -> dict[str, Difference]:
    """Compare two models on the same labelled rows, metric by metric; p is adjusted over the metrics.

    Each model keeps its own threshold. Rows may stand in any order; unlabelled rows are left out of both.

    Args:
        a: scores of one model.
        b: scores of the other, of the same ids, labels and groups.
        metrics: of METRICS and MORE_METRICS (tenor.metrics.weighted).
        replicates: of the bootstrap; None takes 2,000, or 200 a tested difference where that is more.
        seed: of the draws.
        threads: None uses every core.

    Returns:
        Metric -> Difference. compare(a, a) is exactly 0 with p = 1.

    Raises:
        UsageError: ids, labels, groups or classes of the two differ, with how many and examples; or no predictions.
    """
    found = compare_many(
        {"a": a, "b": b}, "b", metrics=metrics, replicates=replicates, seed=seed, threads=threads
    )
    return found["a"]


def compare_many(
    models: Mapping[str, Scored],
    reference: str,
    *,
    metrics: Sequence[str] = METRICS,
    replicates: int | None = None,
    seed: int = 0,
    threads: int | None = None,
) -> dict[str, dict[str, Difference]]:
    """Compare each model with the reference; p is adjusted over all models and metrics together.

    Args:
        models: name -> scores; all of the same rows.
        reference: the name of the one that is subtracted.
        metrics: as in `compare`.
        replicates: as in `compare`.
        seed: as in `compare`.
        threads: as in `compare`.

    Returns:
        Name of each model but the reference -> metric -> Difference (model - reference).

    Raises:
        UsageError: as in `compare`; or no such reference.
    """
    if reference not in models or len(models) < 2:
        raise UsageError(
            f"compare the reference {reference!r} with one model or more, found {sorted(models)}"
        )
    prepared, codes, num_groups = _prepare(models, reference, metrics)

    def measure(weights: Integers) -> dict[str, Floats]:
        return {name: np.stack(list(part.measure(weights).values()), 1) for name, part in prepared.items()}

    if replicates is None:
        replicates = max(2000, 200 * (len(models) - 1) * len(metrics))
    values = measure(np.ones((1, num_groups), dtype=np.int64))  # name -> (1, metrics)
    draws = resample_groups(
        measure, rows=len(codes), num_groups=num_groups, replicates=replicates, seed=seed, threads=threads
    )
    effective = {name: list(part.effective_groups().values()) for name, part in prepared.items()}
    differences = {
        (name, metric): _difference(
            (values[name][0, j], values[reference][0, j]),
            draws[name][:, j] - draws[reference][:, j],
            num_groups,
            min(effective[name][j], effective[reference][j]),
        )
        for name in models
        if name != reference
        for j, metric in enumerate(metrics)
    }
    return _warn_of_training(_adjust_together(differences), models.values())


def _warn_of_training(
    found: dict[str, dict[str, Difference]], models: Iterable[Scored]
) -> dict[str, dict[str, Difference]]:
    """Say with each difference that rows are of the training split, where a table tells."""
    told = [
        (splits, model.labels) for model in models if (splits := getattr(model, "splits", None)) is not None
    ]
    count = max((int(((splits == "train") & (labels >= 0)).sum()) for splits, labels in told), default=0)
    if not count:
        return found
    warning = (
        f"{count} of the rows are of the split train, which a model knows: compare those of test (in_split)"
    )
    return {
        name: {
            metric: replace(d, warning=warning if d.warning is None else f"{warning}; {d.warning}")
            for metric, d in of_name.items()
        }
        for name, of_name in found.items()
    }


def _prepare(
    models: Mapping[str, Scored], reference: str, metrics: Sequence[str]
) -> tuple[dict[str, WeightedMetrics], Integers, int]:
    """Each model on the labelled rows of the reference, in its order; the rows' group codes; how many groups."""
    for name, model in models.items():
        if not all(hasattr(model, column) for column in ("ids", "labels", "probs", "groups", "threshold")):
            raise UsageError(
                f"{name}: expected predictions, such as tenor.read_predictions(FILE) gives, found "
                f"{type(model).__name__} {str(model)[:60]!r}"
            )
    base = models[reference]
    labelled = base.labels >= 0
    codes, num_groups = encode_groups(base.groups[labelled], int(labelled.sum()))
    if num_groups == 0:
        raise UsageError("nothing to compare: no row is labelled")
    prepared = {}
    for name, model in models.items():
        rows = _match_rows(base, model, reference, name)[labelled]
        labels, probs = check_scores(model.labels[rows], model.probs[rows])
        prepared[name] = WeightedMetrics(
            labels, probs, model.threshold, codes=codes, num_groups=num_groups, metrics=metrics
        )
    return prepared, codes, num_groups


def _adjust_together(differences: dict[tuple[str, str], Difference]) -> dict[str, dict[str, Difference]]:
    adjusted = adjust_holm([difference.p for difference in differences.values()])
    result: dict[str, dict[str, Difference]] = {name: {} for name, _ in differences}
    for ((name, metric), difference), p_holm in zip(differences.items(), adjusted, strict=True):
        result[name][metric] = replace(difference, p_holm=p_holm)
    return result


def _difference(values: tuple[float, float], draws: Floats, groups: int, effective: float) -> Difference:
    a, b = (None if math.isnan(value) else float(value) for value in values)
    interval = make_interval(values[0] - values[1], draws, groups, effective=effective, extrapolate=True)
    p = None if interval.value is None else p_of_draws(draws, effective)
    # extrapolated, an end may lie beyond what metrics between 0 and 1 can differ by
    low, high = (None if end is None else min(max(end, -1.0), 1.0) for end in (interval.low, interval.high))
    return Difference(a, b, interval.value, low, high, p, p, groups, interval.warning)


def p_of_draws(draws: Floats, groups: float) -> float | None:
    """Two-sided p of "no difference" from replicates (R,) of a difference; NaN are left out.

    Twice the smaller share of replicates on one side of 0 (0s count half; one more than there are: Davison and
    Hinkley 1997, section 4.2), turned by the same expansion as the interval, so that the two agree. Where fewer than
    TAIL_DRAWS are on that side they do not show how far off 0 is: it is then as far as in a normal distribution, again
    as the interval has it. Where none differs from another but by rounding, they say that no group contradicts, and p
    is at most that of the sign test, 2^(1 - groups). Two models of equal worth came out with p < 0.05 in 3% to 4% of
    3,000 simulations, and means of 12, 8 and 4 normal differences in 5%, 6% and 8% of 1,500. Of fewer than
    LEAST_EFFECTIVE groups, which have no interval either, it is 1.
    """
    defined = draws[~np.isnan(draws)]
    if defined.size == 0:
        return None
    ties = int((defined == 0).sum())
    fewer = min(int((defined < 0).sum()), int((defined > 0).sum())) + ties / 2
    share = (fewer + 1) / (defined.size + 1)
    if share >= 0.5 or groups < LEAST_EFFECTIVE:
        return 1.0
    from scipy.special import stdtr

    t = min(NormalDist().inv_cdf(share), _extrapolate(defined, fewer)) * math.sqrt((groups - 1) / groups)
    p = float(2 * stdtr(groups - 1, t))
    if np.ptp(defined) <= _ROUNDING:
        p = min(p, 2.0 ** max(1 - groups, -1000))
    # Far off it would be rounded to 0, which no p is.
    return max(p, sys.float_info.min)


def _extrapolate(draws: Floats, beyond: float) -> float:
    """The normal quantile of 0 among draws of which so few lie beyond it; 0 where they are many, or all equal."""
    if beyond >= TAIL_DRAWS:
        return 0.0
    shown = min(TAIL_DRAWS / draws.size, 0.25)
    middle = float(np.median(draws))
    end = float(np.quantile(draws, shown if middle > 0 else 1 - shown))
    distance = abs(middle - end)
    return NormalDist().inv_cdf(shown) * abs(middle) / distance if distance > _ROUNDING else 0.0


def adjust_holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's step-down adjustment: p-values that can be held against 0.05 although many were tested.

    Source: Holm (1979), "A Simple Sequentially Rejective Multiple Test Procedure". None stays None.
    """
    known = sorted((p, i) for i, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for rank, (p, i) in enumerate(known):
        highest = max(highest, min(1.0, (len(known) - rank) * p))
        adjusted[i] = highest
    return adjusted


def _match_rows(base: Scored, other: Scored, base_name: str, other_name: str) -> Integers:
    """Indices (N,) of `other`'s rows in the order of `base`'s."""
    if base is other:
        return np.arange(len(base.labels))
    own, others = _id_columns(base), _id_columns(other)
    if len(own) != len(others):
        own, others = (Strings.of(base.ids),), (Strings.of(other.ids),)
    rows = find_rows(others, own)
    if len(base.labels) != len(other.labels) or (rows < 0).any() or len(np.unique(rows)) < len(rows):
        _refuse_other_ids(Strings.of(base.ids), Strings.of(other.ids), base_name, other_name)
    _require_same_order(base, other, base_name, other_name)
    checks = {
        "labels": base.labels != other.labels[rows],
        "groups": base.groups != other.groups[rows],
    }
    for what, differs in checks.items():
        wrong = np.flatnonzero(differs)
        if len(wrong):
            raise UsageError(
                f"{base_name} and {other_name} have different {what} in {len(wrong)} of {len(rows)} rows, "
                f"such as {_examples(Strings.of(base.ids)[wrong[:3]])}: predict both from one corpus"
            )
    if base.probs.shape[1:] != other.probs.shape[1:]:
        raise UsageError(f"{base_name} and {other_name} have different numbers of classes")
    return rows


def _require_same_order(base: Scored, other: Scored, base_name: str, other_name: str) -> None:
    """Raise UsageError where two tables have the same classes in another order, so that another one is positive."""
    own, theirs = (getattr(scored, "classes", ()) for scored in (base, other))
    if own != theirs and set(own) == set(theirs):
        raise UsageError(
            f"{base_name} has the classes {describe_value(own)}, {other_name} {describe_value(theirs)}: in that order "
            "another one is positive (train both on corpora of one order: tenor import --positive)"
        )


def _id_columns(scored: Scored) -> tuple[Strings, ...]:
    """What the ids are made of, where the table can tell: a join of ids takes more than all else here."""
    columns: tuple[Strings, ...] | None = getattr(scored, "id_columns", None)
    return (Strings.of(scored.ids),) if columns is None else columns


def _refuse_other_ids(a: Strings, b: Strings, name_a: str, name_b: str) -> None:
    """Raise UsageError about the ids that only one of two tables has, or has twice."""
    only_a, only_b = (some[find_rows([other], [some]) < 0] for some, other in ((a, b), (b, a)))
    parts = [
        f"{len(only)} rows only in {name}" + (f", such as {_examples(only.rank()[1])}" if len(only) else "")
        for name, only in ((name_a, only_a), (name_b, only_b))
    ]
    for name, ids in ((name_a, a), (name_b, b)):
        ranks, distinct = ids.rank()
        repeated = distinct[np.bincount(ranks, minlength=len(distinct)) > 1]
        if len(repeated):
            parts.append(f"{len(repeated)} ids more than once in {name}, such as {_examples(repeated)}")
    raise UsageError(
        f"{name_a} has {len(a)} rows and {name_b} has {len(b)}, which are not the same: {'; '.join(parts)}. "
        "Predict the same split of the same corpus with both models"
    )


def _examples(ids: Strings) -> str:
    return ", ".join(repr(identifier.replace("\x1f", " / ")) for identifier in ids[:3])
