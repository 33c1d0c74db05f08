"""Choosing a threshold on validation: by F, by cost, by a floor, or by how many alarms can be looked at.

A threshold stands midway between two scores, so that scores equal on one machine and a hair apart on another
fall on the same side. Rows of split test are refused. Knows nothing of models or files.

By F and by cost the best cut of these rows is not simply taken: of a hundred rows it is mostly their noise. The cuts
that they cannot tell from the best are those within one standard error of it (the "1 SE rule" of Breiman, Friedman,
Olshen & Stone 1984, sec. 3.4.3; here the error of the difference, since both cut the same rows). Of these the one
nearest to the threshold of calibrated probabilities is taken. By F that is F* / (1 + beta^2), F* being the best F:
one more alarm raises F where its probability is above that (F1: Lipton, Elkan & Naryanaswamy 2014, theorem 1). By
cost it is false alarm / (false alarm + miss) (Elkan 2001, eq. 2). With many rows few cuts are within the error, and
the choice goes to the best, calibrated or not. Scores outside [0, 1], such as counts, are no probabilities: there it
is the best.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tenor.errors import UsageError
from tenor.metrics.checks import Column, Floats, Integers, check_scores, count_test_rows, encode_groups
from tenor.metrics.intervals import FEW_EFFECTIVE, FEW_GROUPS
from tenor.metrics.parameters import OBJECTIVES as OBJECTIVES
from tenor.metrics.parameters import Objective as Objective
from tenor.metrics.parameters import check_parameters
from tenor.metrics.resampling import LEAST_EFFECTIVE, interval_of_draws, resample_groups

#: The threshold where nothing can be learned from the rows.
FALLBACK = 0.5

#: Share of the standard error by which rounding may move a cut that lies exactly at it.
_SLACK = 1e-9


@dataclass(frozen=True)
class Threshold:
    """A threshold with what it was chosen for, and how sure it is.

    Attributes:
        value: a row is positive at score >= value. Just above the highest score when no alarm at all is best.
        objective: one of OBJECTIVES.
        parameters: beta; the costs of a false alarm and of a miss; the floor; or the alarms per thousand.
        score: what this threshold reaches on the rows it was chosen on: F; mean cost a row (lower is better); recall
            at the precision floor; precision at the recall floor; alarms per thousand. None when undefined.
        low, high: 95% interval of `value` by resampling groups; None without groups, or with too few (LEAST_EFFECTIVE).
        warning: what to know before using it; None when there is nothing.
    """

    value: float
    objective: Objective
    parameters: tuple[float, ...]
    score: float | None
    low: float | None
    high: float | None
    warning: str | None


def choose_threshold(
    labels: npt.ArrayLike,
    probs: npt.ArrayLike,
    objective: Objective = "f1",
    *,
    beta: float | None = None,
    cost_ratio: tuple[float, float] | None = None,
    floor: float | None = None,
    alarms_per_thousand: float | None = None,
    groups: Column | None = None,
    splits: Column | None = None,
    replicates: int = 1000,
    seed: int = 0,
) -> Threshold:
    """Choose the threshold for an objective. One sort; equal scores stay together.

    By F and by cost it is within one standard error of the best on these rows (see above), by the others the best. Of
    several equally good thresholds the one with the fewest alarms is taken (for a recall floor: the most).

    Args:
        labels: (N,) 0 or 1.
        probs: (N,) scores; by F and by cost those in [0, 1] are taken for probabilities, roughly calibrated.
        objective: ``f1``; ``f_beta`` (with `beta`); ``cost`` (with `cost_ratio`); ``recall_at_precision`` and
            ``precision_at_recall`` (with `floor`); ``alarms_per_thousand`` (with the argument of that name).
        beta: how many times recall counts as much as precision (van Rijsbergen 1979).
        cost_ratio: (what a false alarm costs, what a miss costs), such as (1, 20).
        floor: in [0, 1], the precision or recall to keep.
        alarms_per_thousand: at most so many of 1,000 rows may be alarms.
        groups: (N,) groups to resample for `low` and `high`.
        splits: (N,) the rows' splits, to make sure none is test.
        replicates: of the bootstrap.
        seed: of the bootstrap.

    Raises:
        UsageError: rows of split test, splits that are no (N,) names of splits, several classes, an unknown
            objective, or its argument missing or wrong.
    """
    codes, scores = check_scores(labels, probs)
    if scores.ndim == 2:
        raise UsageError("several classes have no threshold: the highest score decides")
    _refuse_test(splits, len(codes))
    parameters = check_parameters(objective, beta, cost_ratio, floor, alarms_per_thousand)
    if len(codes) == 0 or (objective != "alarms_per_thousand" and codes.min() == codes.max()):
        reason = "no labelled row" if len(codes) == 0 else "every label is of one class"
        return Threshold(
            FALLBACK, objective, parameters, None, None, None, f"{reason}: {FALLBACK} is a fallback"
        )
    sweep = _Sweep(codes, scores)
    hits, alarms = (counts[0] for counts in sweep.count(np.ones((1, len(codes)), dtype=np.int64)))
    cut = int(_choose_cut(sweep, objective, parameters, hits[None], alarms[None])[0])
    score = _reached(objective, parameters, hits, alarms, cut)
    warning = None
    if objective == "recall_at_precision" and not _reaches(hits[cut], parameters[0], alarms[cut]):
        best = hits[cut] / alarms[cut]
        warning = (
            f"no threshold reaches precision {parameters[0]}: the one of the highest, {best:.3f}, is taken"
        )
    low, high = None, None
    if groups is not None:
        coded, num_groups = encode_groups(groups, len(codes))
        low, high = _interval(sweep, objective, parameters, coded, num_groups, replicates, seed)
        doubt = _doubt_groups(objective, codes, coded, num_groups)
        if warning is None and doubt is not None:
            warning = f"{doubt}: it may be far off, whatever its interval"
    return Threshold(float(sweep.cuts[cut]), objective, parameters, score, low, high, warning)


def _doubt_groups(objective: Objective, labels: Integers, codes: Integers, num_groups: int) -> str | None:
    """Which groups are too few to show how sure a threshold is; None where there are enough."""
    if num_groups < FEW_GROUPS:
        return f"only {num_groups} groups, fewer than {FEW_GROUPS}"
    if objective == "alarms_per_thousand":  # counts rows of either class
        return None
    for label, name in ((1, "positive"), (0, "negative")):
        found = len(np.unique(codes[labels == label]))
        if found < FEW_EFFECTIVE:
            return (
                f"only {found} group{'' if found == 1 else 's'} with {name} rows, fewer than {FEW_EFFECTIVE}"
            )
    return None


def find_best_f1(labels: npt.ArrayLike, probs: npt.ArrayLike) -> float:
    """The threshold of the highest F1 on these very rows, noise and all; choose_threshold is for other rows.

    Args:
        labels: (N,) 0 or 1; where all are of one class, or there are none, 0.5 is returned.
        probs: (N,) scores.
    """
    codes, scores = check_scores(labels, probs)
    if len(codes) == 0 or codes.min() == codes.max():
        return FALLBACK
    sweep = _Sweep(codes, scores)
    hits, alarms = sweep.count(np.ones((1, len(codes)), dtype=np.int64))
    return float(sweep.cuts[_best_cut("f1", (), hits, alarms)[0]])


def _refuse_test(splits: Column | None, rows: int) -> None:
    count = count_test_rows(splits, rows)
    if count:
        raise UsageError(
            f"a threshold is chosen on validation, and {count} rows are of split test: "
            "pass the validation rows alone (predictions.in_split('validation'))"
        )


class _Sweep:
    """Rows sorted by descending score, and the thresholds between them.

    Attributes:
        order: (N,) row numbers.
        edges: (K + 1,) alarms at each cut: 0, after each distinct score, N.
        cuts: (K + 1,) the threshold of each cut, descending.
        positives: indices into the sorted rows of those with label 1.
        are_probs: whether all scores lie in [0, 1].
    """

    def __init__(self, labels: Integers, scores: Floats) -> None:
        self.order = np.argsort(-scores, kind="stable")
        ranked = scores[self.order]
        self.edges = np.concatenate([[0], np.flatnonzero(np.diff(ranked)) + 1, [len(ranked)]])
        distinct = ranked[self.edges[:-1]]  # (K,) descending
        above = 1.0 if distinct[0] < 1 else np.nextafter(distinct[0], np.inf)
        below = 0.0 if distinct[-1] > 0 else distinct[-1]
        upper, lower = np.concatenate([[above], distinct]), np.concatenate([distinct, [below]])
        middle = lower + (upper - lower) / 2
        # between neighbouring floats there is no middle: then the upper one, so that the lower is no alarm
        self.cuts: Floats = np.where((middle > lower) | (upper == lower), middle, upper)
        self.are_probs = bool(0 <= ranked[-1] and ranked[0] <= 1)
        self.positives = np.flatnonzero(labels[self.order] == 1)
        self._found = np.searchsorted(self.positives, self.edges)

    def count(self, weights: Integers) -> tuple[Integers, Integers]:
        """Hits and alarms (R, K + 1) at each cut, of sorted rows with weights (R, N)."""
        alarms = np.zeros((len(weights), weights.shape[1] + 1), dtype=np.int64)
        np.cumsum(weights, axis=1, out=alarms[:, 1:])
        hits = np.zeros((len(weights), len(self.positives) + 1), dtype=np.int64)
        np.cumsum(weights[:, self.positives], axis=1, out=hits[:, 1:])
        return hits[:, self._found], alarms[:, self.edges]


def _choose_cut(
    sweep: _Sweep, objective: Objective, parameters: tuple[float, ...], hits: Integers, alarms: Integers
) -> Integers:
    """Which of the cuts is chosen, for each replicate: hits and alarms (R, K + 1) -> (R,)."""
    best = _best_cut(objective, parameters, hits, alarms)[:, None]
    if not sweep.are_probs or objective not in ("f1", "f_beta", "cost"):
        return best[:, 0]
    away = np.abs(sweep.cuts - _expect_threshold(objective, parameters, hits, alarms, best))  # (R, K + 1)
    # the best is never refused, so no cut that lies further away in every replicate need be looked at
    nearer = np.flatnonzero((away <= np.take_along_axis(away, best, axis=1)).any(axis=0))
    first, inside = nearer[0], slice(nearer[0], nearer[-1] + 1)
    compare = _compare_costs if objective == "cost" else _compare_f_scores
    worse, error = compare(parameters, hits[:, inside], alarms[:, inside], best - first, hits[:, -1:])
    away = np.where(worse <= (1 + _SLACK) * error, away[:, inside], np.inf)
    return np.asarray(first + away.argmin(axis=1))


def _expect_threshold(
    objective: Objective, parameters: tuple[float, ...], hits: Integers, alarms: Integers, best: Integers
) -> Floats:
    """Where the threshold would stand if scores were calibrated, by replicate: best cuts (R, 1) -> (R, 1)."""
    if objective == "cost":
        false_alarm, miss = parameters
        return np.full(best.shape, false_alarm / (false_alarm + miss))
    weight = parameters[0] ** 2 if parameters else 1.0
    best_hits, best_alarms = (np.take_along_axis(values, best, axis=1) for values in (hits, alarms))
    return _f_score(parameters, best_hits, best_alarms, hits[:, -1:]) / (1 + weight)


def _compare_f_scores(
    parameters: tuple[float, ...], hits: Integers, alarms: Integers, best: Integers, positives: Integers
) -> tuple[Floats, Floats]:
    """How much lower F is at each cut, (R, K), than at the best, (R, 1); and that difference's standard error.

    F is a ratio of two sums over rows, (1 + beta^2) hits / (beta^2 positives + alarms), and is linearised (Cochran
    1977, "Sampling Techniques", ch. 6): a row adds (its share above - F * its share below) / all below. That
    depends on its label and on the side of the cut alone, so the differences' squares are summed from counts.
    """
    weight = parameters[0] ** 2 if parameters else 1.0
    false = alarms - hits
    scores = _f_score(parameters, hits, alarms, positives)
    below = np.maximum(weight * positives + alarms, 1)
    vain = scores / below  # what a false alarm takes away; a miss takes beta^2 times as much
    gain = (1 + weight) * (1 - scores) / below  # what a hit adds
    best_score, best_vain, best_gain, best_hits, best_false = (
        np.take_along_axis(values, best, axis=1) for values in (scores, vain, gain, hits, false)
    )
    missed = positives - np.maximum(hits, best_hits)  # at both cuts
    turned_hit = np.where(hits > best_hits, gain + weight * best_vain, best_gain + weight * vain)
    turned_false = np.where(false > best_false, vain, best_vain)
    variance = (
        (np.minimum(false, best_false) + weight**2 * missed) * (vain - best_vain) ** 2
        + np.minimum(hits, best_hits) * (gain - best_gain) ** 2
        + np.abs(hits - best_hits) * turned_hit**2
        + np.abs(false - best_false) * turned_false**2
    )
    return best_score - scores, np.sqrt(variance)


def _compare_costs(
    parameters: tuple[float, ...], hits: Integers, alarms: Integers, best: Integers, _: Integers
) -> tuple[Floats, Floats]:
    """How much more each cut, (R, K), costs than the best, (R, 1); and that difference's standard error.

    The rows between two cuts are all that differ, each by what a mistake on it costs; the error is that under equal
    costs, as in McNemar's test (1947).
    """
    false_alarm, miss = parameters
    more_hits = hits - np.take_along_axis(hits, best, axis=1)
    more_false = alarms - hits - np.take_along_axis(alarms - hits, best, axis=1)
    worse = false_alarm * more_false - miss * more_hits
    variance = false_alarm**2 * np.abs(more_false) + miss**2 * np.abs(more_hits)
    return worse, np.sqrt(variance)


def _best_cut(
    objective: Objective, parameters: tuple[float, ...], hits: Integers, alarms: Integers
) -> Integers:
    """Which of the cuts is best on these rows, for each replicate: hits and alarms (R, K + 1) -> (R,)."""
    positives, count = hits[:, -1:], alarms[:, -1:]
    if objective in ("f1", "f_beta"):
        return np.asarray(_f_score(parameters, hits, alarms, positives).argmax(axis=1))
    if objective == "cost":
        false_alarm, miss = parameters
        cost = false_alarm * (alarms - hits) + miss * (positives - hits)
        return np.asarray(cost.argmin(axis=1))
    if objective == "alarms_per_thousand":
        allowed = alarms * 1000 <= parameters[0] * count
        return np.asarray(allowed.shape[1] - 1 - allowed[:, ::-1].argmax(axis=1))
    precision = hits / np.maximum(alarms, 1)
    if objective == "recall_at_precision":
        kept = _reaches(hits, parameters[0], alarms) & (alarms > 0)
        # kept cuts by recall; where none is kept, all by precision, which is below 1 there
        return np.asarray(np.where(kept, 1 + hits / np.maximum(positives, 1), precision).argmax(axis=1))
    kept = _reaches(hits, parameters[0], positives)
    reverse = np.where(kept & (alarms > 0), precision, -1.0)[:, ::-1]
    return np.asarray(reverse.shape[1] - 1 - reverse.argmax(axis=1))


def _reaches(hits: Integers, floor: float, total: Integers) -> npt.NDArray[np.bool_]:
    """Whether hits are such a share of a total; exactly, where .56 * 25 is 14.000000000000002."""
    return np.asarray(hits >= floor * total * (1 - 1e-12))


def _f_score(
    parameters: tuple[float, ...], hits: Integers, alarms: Integers, positives: Integers
) -> npt.NDArray[np.float64]:
    beta = parameters[0] if parameters else 1.0
    return np.asarray((1 + beta**2) * hits / np.maximum(beta**2 * positives + alarms, 1))


def _reached(
    objective: Objective, parameters: tuple[float, ...], hits: Integers, alarms: Integers, cut: int
) -> float:
    """What the objective comes to at a cut, in the units of Threshold.score."""
    positives, count = hits[-1], alarms[-1]
    if objective in ("f1", "f_beta"):
        return float(_f_score(parameters, hits, alarms, positives)[cut])
    if objective == "cost":
        false_alarm, miss = parameters
        cost = false_alarm * (alarms[cut] - hits[cut]) + miss * (positives - hits[cut])
        return float(cost / count)
    if objective == "alarms_per_thousand":
        return float(1000 * alarms[cut] / count)
    return float(hits[cut] / (positives if objective == "recall_at_precision" else alarms[cut]))


def _interval(
    sweep: _Sweep,
    objective: Objective,
    parameters: tuple[float, ...],
    codes: Integers,
    num_groups: int,
    replicates: int,
    seed: int,
) -> tuple[float, float] | tuple[None, None]:
    if num_groups < LEAST_EFFECTIVE:
        return None, None
    ranked_codes = codes[sweep.order]

    def measure(weights: Integers) -> dict[str, Floats]:
        hits, alarms = sweep.count(np.take(weights, ranked_codes, axis=1))
        chosen = sweep.cuts[_choose_cut(sweep, objective, parameters, hits, alarms)]
        if objective == "alarms_per_thousand":
            return {"threshold": chosen}
        one_class = (hits[:, -1] == 0) | (hits[:, -1] == alarms[:, -1])
        return {"threshold": np.where(one_class, np.nan, chosen)}

    draws = resample_groups(
        measure, rows=len(codes), num_groups=num_groups, replicates=replicates, seed=seed
    )["threshold"]
    interval = interval_of_draws(draws, 0.95, num_groups)
    return (None, None) if interval is None else interval
