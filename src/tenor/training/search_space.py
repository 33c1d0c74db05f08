"""What a tuning searches: named ranges and choices of train_model's settings, and the next point to try.

A proposal follows from the seed and the trials so far alone, so that a tuning that was killed goes on as if it had not
been. Knows nothing of training.
"""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tenor.arguments import describe_found
from tenor.errors import MissingExtraError, UsageError
from tenor.seeding import derive_seed
from tenor.training.settings import PRIORS, SCHEDULERS

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

Value = float | int | str


@dataclass(frozen=True)
class Range:
    """All numbers from `low` to `high`, both included.

    Attributes:
        low, high: two whole numbers search whole numbers only.
        log: draw evenly on a logarithmic scale; `low` must then be above 0.
    """

    low: float
    high: float
    log: bool = False


Choices = tuple[Value, ...]
Space = Mapping[str, Range | Choices]

#: Every setting that can be searched. Small networks and strong regularisation included: labelled corpora are small.
DEFAULT_SPACE: dict[str, Range | Choices] = {
    "hidden_size": (32, 64, 128, 256),
    "num_layers": Range(0, 3),
    "dropout": Range(0.1, 0.6),
    "learning_rate": Range(1e-5, 3e-3, log=True),
    "weight_decay": Range(1e-4, 0.3, log=True),
    "batch_size": (32, 64, 128, 256),
    "scheduler": SCHEDULERS,
    "prior": PRIORS,
    "patience": Range(3, 10),
}
_WHOLE = frozenset({"hidden_size", "num_layers", "batch_size", "patience"})
_WORDS = frozenset({"scheduler", "prior"})
#: Only choices of these: most whole numbers between two good ones are of no use.
_CHOICES_ONLY = frozenset({"hidden_size"}) | _WORDS


def check_space(space: Mapping[str, Range | Sequence[Value]]) -> dict[str, Range | Choices]:
    """A space as it is searched: known names, ranges that rise, choices without repeats.

    Raises:
        UsageError: something else; with what was expected. What a setting itself allows is for TrainSettings to say.
    """
    if not isinstance(space, Mapping):
        raise UsageError(
            "space: expected a mapping from a setting to its range or choices, such as {'hidden_size': (32, 64)}, "
            f"found {describe_found(space)}"
        )
    if not space:
        raise UsageError("expected at least one setting to search, found none (None searches all)")
    checked: dict[str, Range | Choices] = {}
    for name, values in space.items():
        if name not in DEFAULT_SPACE:
            raise UsageError(
                f"expected a setting to search, one of {', '.join(DEFAULT_SPACE)}, found {name!r}"
            )
        checked[name] = (
            _check_range(name, values) if isinstance(values, Range) else _check_choices(name, values)
        )
    return checked


def _check_range(name: str, values: Range) -> Range:
    if name in _CHOICES_ONLY:
        raise UsageError(f"{name}: expected choices, found a range (list them, such as {_example(name)})")
    numbers = (values.low, values.high)
    kind, what = (int, "whole numbers") if name in _WHOLE else (float | int, "numbers")
    are_numbers = all(isinstance(each, kind) and not isinstance(each, bool) for each in numbers)
    if not are_numbers or not all(map(math.isfinite, numbers)):
        raise UsageError(f"{name}: expected two {what}, found {numbers[0]!r} and {numbers[1]!r}")
    if not values.low < values.high:
        raise UsageError(
            f"{name}: expected a low end below the high one, found {values.low:g} and {values.high:g} "
            "(one value alone is fixed instead)"
        )
    if values.log and values.low <= 0:
        raise UsageError(
            f"{name}: expected a low end above 0, as its scale is logarithmic, found {values.low:g} (such as 1e-5)"
        )
    return values if name in _WHOLE else Range(float(values.low), float(values.high), values.log)


def _check_choices(name: str, values: Sequence[Value]) -> Choices:
    is_list = isinstance(values, Iterable) and not isinstance(values, str)
    choices = tuple(values) if is_list else ()
    if not choices or len(set(choices)) < len(choices):
        found = ",".join(map(str, choices)) if is_list else repr(values)
        raise UsageError(
            f"{name}: expected a range or different choices, found {found or 'none'} (such as {_example(name)})"
        )
    unknown = [choice for choice in choices if name in _WORDS and choice not in _list_choices(name)]
    if unknown:
        raise UsageError(f"{name}: expected some of {_example(name)}, found {unknown[0]!r}")
    return choices


def _list_choices(name: str) -> Choices:
    default = DEFAULT_SPACE[name]
    return () if isinstance(default, Range) else default


def _example(name: str) -> str:
    default = DEFAULT_SPACE[name]
    return f"{default.low:g}:{default.high:g}" if isinstance(default, Range) else ",".join(map(str, default))


def parse_space(texts: Sequence[str]) -> dict[str, Range | Choices]:
    """A space from words such as ``dropout``, ``learning_rate=1e-5:1e-3`` or ``hidden_size=64,128``.

    A name alone has its range of DEFAULT_SPACE; a range keeps that one's scale.

    Raises:
        UsageError: an unknown name, one that stands twice, or values of another form.
    """
    space: dict[str, Range | Choices] = {}
    for text in texts:
        name, has_values, values = text.partition("=")
        if name in space:
            raise UsageError(f"expected each setting once, found {name} twice")
        default = DEFAULT_SPACE.get(name, ())
        if not has_values or name not in DEFAULT_SPACE:
            space[name] = default
            continue
        low, is_range, high = values.partition(":")
        if is_range and name not in _WORDS:
            log = isinstance(default, Range) and default.log
            space[name] = Range(_parse(name, low), _parse(name, high), log)  # type: ignore[arg-type]
        else:
            space[name] = tuple(_parse(name, part) for part in values.split(","))
    return check_space(space)


def _parse(name: str, text: str) -> Value:
    if name in _WORDS:
        return text
    try:
        return int(text) if name in _WHOLE else float(text)
    except ValueError as error:
        what = "whole numbers" if name in _WHOLE else "numbers"
        raise UsageError(
            f"{name}: expected {what} as LOW:HIGH or A,B,C, found {text!r} (such as {name}={_example(name)})"
        ) from error


def contains(values: Range | Choices, value: Value) -> bool:
    """Whether a range or choices hold this value."""
    return values.low <= value <= values.high if isinstance(values, Range) else value in values  # type: ignore[operator]


def require_optuna() -> None:
    """Raises MissingExtraError where optuna is not installed."""
    try:
        import optuna  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingExtraError("tune", "optuna") from error


def propose(
    space: Space, trials: Sequence[tuple[Mapping[str, Value], float | None]], *, seed: int
) -> dict[str, Value]:
    """The next point to try, by a tree-structured Parzen estimator; the first ten are random.

    Source: Bergstra et al. 2011, "Algorithms for Hyper-Parameter Optimization", as optuna's TPESampler does it.

    Args:
        space: checked.
        trials: settings and score, higher being better, of each trial so far, in order; None = it failed.
        seed: the tuning's.

    Raises:
        MissingExtraError: optuna is not installed.
    """
    require_optuna()
    import optuna

    names = {name: _to_distribution(values) for name, values in space.items()}
    with _quiet():
        sampler = optuna.samplers.TPESampler(seed=derive_seed(seed, "tune", len(trials)) % 2**32)
        study = optuna.create_study(direction="maximize", sampler=sampler)
        for settings, score in trials:
            state = optuna.trial.TrialState.FAIL if score is None else optuna.trial.TrialState.COMPLETE
            study.add_trial(
                optuna.trial.create_trial(
                    state=state, params=dict(settings), distributions=names, value=score
                )
            )
        return dict(study.ask(names).params)


def _to_distribution(values: Range | Choices) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if not isinstance(values, Range):
        return CategoricalDistribution(values)
    if isinstance(values.low, int) and isinstance(values.high, int):
        return IntDistribution(values.low, values.high, log=values.log)
    return FloatDistribution(values.low, values.high, log=values.log)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without a line for every study, which here is one a proposal."""
    logger = logging.getLogger("optuna")
    before = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(before)
