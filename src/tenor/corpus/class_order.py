"""The order of a corpus's classes: of two, the last is the positive one.

Knows nothing of files.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from tenor.corpus.schema import Label, Level
from tenor.errors import UsageError


@dataclass(frozen=True, slots=True)
class ClassOrder:
    """What decides the order; by default the alphabet.

    Attributes:
        positive: names that are to be the positive one of two, at each level where they occur.
        known: level -> its classes in an earlier corpus, whose order is kept where they are the same, also by another
            level that has them.
    """

    positive: tuple[str, ...] = ()
    known: Mapping[Level, tuple[Label, ...]] = field(default_factory=dict)

    def arrange(self, found: Mapping[Level, Collection[Label]]) -> dict[Level, tuple[Label, ...]]:
        """Put the classes in order.

        Args:
            found: level -> the distinct labels of a corpus; binary is 0 and 1, none = no labels.

        Raises:
            UsageError: a name asked for as the positive one is not one of two at any level, or both are.
        """
        classes = {level: self._arrange_level(level, labels) for level, labels in found.items()}
        reached = {label for names in classes.values() if len(names) == 2 for label in names[1:]}
        lost = [name for name in self.positive if name not in reached]
        if lost:
            levels = "; ".join(
                f"level {level}: {', '.join(map(repr, sorted(names, key=str))) or 'none'}"
                for level, names in classes.items()
                if level != "profile"  # whose classes are the author level's
            )
            asked = ", ".join(map(repr, self.positive))
            raise UsageError(
                f"positive: expected one name of two classes, found {asked} ({levels}); of several classes none is "
                "positive, and of the labels 0 and 1 it is 1"
            )
        return classes

    def _arrange_level(self, level: Level, labels: Collection[Label]) -> tuple[Label, ...]:
        orders = [self.known.get(level, ()), *self.known.values()]
        known = next((order for order in orders if set(order) == set(labels)), None)
        order = sorted(labels) if known is None else list(known)
        if len(order) == 2:
            order.sort(key=lambda label: label in self.positive)  # stable
        return tuple(order)


def describe_positive(classes: tuple[Label, ...]) -> str | None:
    """Which of two names counts as positive, for a person; None for 0 and 1, for one class and for several."""
    if len(classes) != 2 or classes == (0, 1):
        return None
    return f"positive is the class {classes[1]!r}"
