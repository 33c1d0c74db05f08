"""Cluster bootstrap: draw whole groups with replacement, many times, on all cores.

The draws follow from the seed and the number of groups alone, not from the number of threads or the order of
the rows; two models measured with one seed see the same draws, which is what pairs them. Knows nothing of
metrics: a function of weights is passed in.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from statistics import NormalDist

import numpy as np

from tenor.arguments import check_seed, check_whole
from tenor.errors import UsageError
from tenor.metrics.checks import Floats, Integers
from tenor.processes import count_cores
from tenor.seeding import numpy_generator

#: Replicates that share one random generator; a unit of work for a thread.
_CHUNK = 20

#: Weights gathered at once, in elements: what fits a core's cache.
_BLOCK_ELEMENTS = 1 << 18

#: Below this many rows a second thread costs more than it brings.
_ROWS_FOR_THREADS = 20_000

#: So many replicates beyond an end of an interval show where it is.
TAIL_DRAWS = 10

#: What rests on fewer groups, in effect, gets no interval: replicates of one or two are too alike to show an end, and
#: t with one degree of freedom or less puts it anywhere.
LEAST_EFFECTIVE = 3


def resample_groups(
    measure: Callable[[Integers], dict[str, Floats]],
    *,
    rows: int,
    num_groups: int,
    replicates: int = 1000,
    seed: int = 0,
    threads: int | None = None,
) -> dict[str, Floats]:
    """Call `measure` with the weights of every replicate and collect what it returns.

    Args:
        measure: weights (b, G) int64, how often each group was drawn, to arrays of first dimension b; called
            from several threads.
        rows: how many rows `measure` gathers for each replicate: sizes the blocks.
        num_groups: G.
        replicates: R.
        seed: of the draws.
        threads: None uses every core this process may use.

    Returns:
        Name -> array of first dimension R.

    Raises:
        UsageError: no groups, no replicates, or a seed that is no whole number.
    """
    seed, replicates = check_seed(seed), check_whole("replicates", replicates, 1, 10**9)
    if num_groups < 1:
        raise UsageError(f"a bootstrap needs groups and replicates, found {num_groups} and {replicates}")
    block = max(1, _BLOCK_ELEMENTS // max(rows, num_groups, 1))

    def run(chunk: int) -> list[dict[str, Floats]]:
        generator = numpy_generator(seed, "bootstrap", chunk)
        size = min(_CHUNK, replicates - chunk * _CHUNK)
        results = []
        for start in range(0, size, block):
            weights = np.empty((min(block, size - start), num_groups), dtype=np.int64)
            for weight in weights:
                drawn = generator.integers(0, num_groups, size=num_groups)
                weight[:] = np.bincount(drawn, minlength=num_groups)
            results.append(measure(weights))
        return results

    chunks = range(math.ceil(replicates / _CHUNK))
    workers = min(len(chunks), count_cores() if threads is None else threads)
    if workers <= 1 or (threads is None and rows < _ROWS_FOR_THREADS):
        parts = [part for chunk in chunks for part in run(chunk)]
    else:
        with ThreadPoolExecutor(workers) as pool:
            parts = [part for results in pool.map(run, chunks) for part in results]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _expanded_quantile(level: float, groups: float) -> float:
    """How many standard deviations an end of such an interval is off the middle, of a normal distribution."""
    if groups <= 1:
        return math.inf
    from scipy.special import stdtrit

    return math.sqrt(groups / (groups - 1)) * float(stdtrit(groups - 1, (1 + level) / 2))


def expanded_tail(level: float, groups: float) -> float:
    """The share of replicates left out on each side of an interval of this level.

    A plain percentile interval of n groups is narrow by sqrt((n - 1) / n) and uses a normal quantile where a
    t quantile belongs. The tail that mends both is Phi(-sqrt(n / (n - 1)) t_{(1 + level) / 2, n - 1}).
    Source: Hesterberg (2015), "What Teachers Should Know About the Bootstrap", The American Statistician
    69(4), section 4.3 (expanded percentile interval).
    """
    return NormalDist().cdf(-_expanded_quantile(level, groups))


def interval_of_draws(
    draws: Floats, level: float, groups: float, *, extrapolate: bool = False
) -> tuple[float, float] | None:
    """The expanded percentile interval of replicates (R,); NaN are left out; None when all are NaN.

    Args:
        draws: (R,) the replicates.
        level: of the interval.
        groups: how many they were drawn from.
        extrapolate: where fewer than TAIL_DRAWS replicates lie beyond an end, they do not show where it is: then move
            the quantile that so many do lie beyond away from the median, as far as in a normal distribution. Leave it
            where the end has a bound (a metric's 0 and 1) that this would cross.
    """
    defined = draws[~np.isnan(draws)]
    if defined.size == 0:
        return None
    quantile, tail = _expanded_quantile(level, groups), expanded_tail(level, groups)
    shown = min(max(tail, TAIL_DRAWS / defined.size), 0.25) if extrapolate and quantile < math.inf else tail
    low, high = np.quantile(defined, [shown, 1 - shown])
    if tail < shown:
        # by the quantile and not by the tail, which of few groups is below the least float
        middle, stretch = np.median(defined), -quantile / NormalDist().inv_cdf(shown)
        low, high = middle - stretch * (middle - low), middle + stretch * (high - middle)
    return float(low), float(high)


def doubt_sameness(draws: Floats, groups: float) -> str | None:
    """What replicates (R,) that are all 0, or all 1, cannot show, in words; None for others.

    No group shows an error (or none is without), so no replicate does, and the interval has no width. Where a share q
    of all groups would show one, n groups show none with probability (1 - q)^n: with 95% confidence q is at most
    1 - .05^(1 / n), about 3 / n. Source: Hanley and Lippman-Hand (1983), "If nothing goes wrong, is everything all
    right?", JAMA 249(13), the rule of three.
    """
    defined = draws[~np.isnan(draws)]
    if defined.size == 0 or defined.min() != defined.max() or defined[0] not in (0.0, 1.0):
        return None
    others = 1 - 0.05 ** (1 / groups)
    return f"no replicate differs, for none of about {groups:.0f} groups does; up to {others:.0%} of all groups may"
