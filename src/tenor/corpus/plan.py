"""Which split a group belongs to: a hash of its id, so that no other row can change it.

Knows nothing of files, labels or views.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace
from numbers import Integral
from typing import Any, Literal, get_args

from tenor.arguments import require_flags
from tenor.corpus.schema import SPLITS, Split
from tenor.errors import UsageError
from tenor.seeding import fraction_hash

#: What a split is made by; None stands for both assignments, conversations and authors each by their own id.
SplitBy = Literal["author", "conversation", "group"]


@dataclass(frozen=True, slots=True)
class SplitPlan:
    """How a corpus is split: part of the corpus, so that added rows follow the same plan.

    What a hash of the id can promise, and what it cannot: a group's split follows from its id and the seed
    alone, so it is stable when rows are reordered, added or removed. Labels never enter, hence every class is
    spread over the splits in the given fractions *in expectation*, with the scatter of independent draws of
    groups: with 50 positive groups and a fraction of 0.1, validation holds 5 ± 2.1 of them. A draw that
    balances labels exactly would have to move groups whenever a row is added. `summarize_splits` shows the
    realised rates and warns.

    Attributes:
        seed: of the hash; another seed gives another, independent assignment.
        fractions: expected shares of groups in train, validation, test; they add up to 1, train is not 0.
        by: None = conversations by their id at level conversation, authors by their name at level author, and
            a named group, where a conversation has one, in place of both. ``"author"``: authors at level
            author, and a conversation goes with the author of its first message. ``"conversation"``: all
            sequences of a conversation go with it at both levels. ``"group"``: as None, but every
            conversation must name its group.
        strict: one joint assignment in which no author and no conversation is shared between splits; what
            cannot be placed is left out (see `assign_strict`).
    """

    seed: int = 0
    fractions: tuple[float, float, float] = (0.7, 0.1, 0.2)
    by: SplitBy | None = None
    strict: bool = False

    def __post_init__(self) -> None:
        given: Any = self.fractions
        is_list = isinstance(given, Iterable) and not isinstance(given, str)
        object.__setattr__(self, "fractions", tuple(given) if is_list else (given,))
        numbers = all(isinstance(part, int | float) and not isinstance(part, bool) for part in self.fractions)
        if (
            len(self.fractions) != len(SPLITS)
            or not numbers
            or not all(math.isfinite(part) and 0 <= part <= 1 for part in self.fractions)
            or not math.isclose(sum(self.fractions), 1.0, abs_tol=1e-6)
            or self.fractions[0] == 0
        ):
            found = f"the text {given!r}" if isinstance(given, str) else ", ".join(map(str, self.fractions))
            raise UsageError(
                "fractions: expected three numbers (train, validation, test) that add up to 1, train above "
                f"0, found {found}"
            )
        if self.by is not None and self.by not in get_args(SplitBy):
            raise UsageError(f"split by: expected author, conversation or group, found {self.by!r}")
        seed: Any = self.seed
        if isinstance(seed, Integral) and seed is not True and seed is not False:  # numpy's too
            object.__setattr__(self, "seed", int(seed))
        if isinstance(self.seed, bool) or not isinstance(self.seed, int):
            raise UsageError(f"split seed: expected an integer, found {self.seed!r}")
        require_flags(strict=self.strict)
        object.__setattr__(self, "strict", bool(self.strict))

    def __str__(self) -> str:
        """In words, such as ``fractions 0.7,0.1,0.2, seed 0, by group, strict``."""
        by = "" if self.by is None else f", by {self.by}"
        shares = ",".join(f"{share:g}" for share in self.fractions)
        return f"fractions {shares}, seed {self.seed}{by}{', strict' if self.strict else ''}"


@dataclass(frozen=True, slots=True)
class PlanRequest:
    """What is asked of a split plan, by the names of its attributes; None = nothing: as it is elsewhere."""

    seed: int | None = None
    fractions: tuple[float, float, float] | None = None
    by: SplitBy | None = None
    strict: bool | None = None


def complete_plan(asked: SplitPlan | PlanRequest | None, plan: SplitPlan) -> SplitPlan:
    """A plan as it was asked for, and as another one where nothing was asked.

    Raises:
        UsageError: what was asked for has a value outside the allowed ones.
    """
    if isinstance(asked, SplitPlan):
        return asked
    given = {} if asked is None else {each.name: getattr(asked, each.name) for each in fields(asked)}
    return replace(plan, **{name: value for name, value in given.items() if value is not None})


def whole_plan(asked: SplitPlan | PlanRequest | None) -> SplitPlan | None:
    """The plan that is asked for of a corpus that has its own; None = nothing is asked.

    Raises:
        UsageError: as `complete_plan`.
    """
    return None if asked in (None, PlanRequest()) else complete_plan(asked, SplitPlan())


def split_finder(plan: SplitPlan) -> Callable[[str], Split]:
    """A function from the id of a group to its split: where the id's hash falls among the cumulated fractions.

    Args:
        plan: seed and fractions; `by` and `strict` do not matter here.
    """
    fraction = fraction_hash(plan.seed)
    train, validation, test = plan.fractions

    def find(group_id: str) -> Split:
        position = fraction(group_id)
        if position < train:
            return "train"
        if position < train + validation or test == 0:
            return "validation" if validation > 0 else "train"
        return "test"

    return find
