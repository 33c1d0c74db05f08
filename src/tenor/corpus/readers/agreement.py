"""What all conversations of a source must have in common; the first one that has it decides.

Knows nothing of formats; an error names the place that decided.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tenor.corpus.readers.records import RowError
from tenor.corpus.schema import Conversation, Label, Place

#: ``label`` and ``author_labels`` -> type of the first label there, and where it is.
_LabelKinds = dict[str, tuple[type, Place]]


@dataclass(slots=True)
class Agreement:
    """The common properties so far.

    Attributes:
        first: place of the first conversation; None before it.
        has_text: whether conversations have texts.
        width: numbers in a feature vector; None = no features.
        feature_names: of the features, none = unnamed.
    """

    first: Place | None = None
    has_text: bool = False
    width: int | None = None
    feature_names: tuple[str, ...] = ()
    _label_kinds: _LabelKinds = field(default_factory=dict)

    def begin(
        self,
        first: Place,
        *,
        has_text: bool,
        width: int | None,
        feature_names: tuple[str, ...],
        label_types: dict[str, type],
    ) -> None:
        """Take an earlier corpus, instead of the first conversation, as what decides.

        Args:
            first: where it is.
            has_text: see Agreement.
            width: see Agreement.
            feature_names: see Agreement.
            label_types: ``label`` and ``author_labels``, where there are such labels -> int or str.
        """
        self.first, self.has_text, self.width, self.feature_names = first, has_text, width, feature_names
        self._label_kinds = {name: (kind, first) for name, kind in label_types.items()}

    def check(self, conversation: Conversation, feature_names: tuple[str, ...]) -> None:
        """Compare a conversation with those before.

        Args:
            conversation: complete and sound by itself.
            feature_names: of its features.

        Raises:
            RowError: texts or features where there were none or none where there were, features of another
                width or of other names, or a label that is text where there were numbers, or the reverse.
        """
        features = conversation.features
        width = None if features is None else int(features.shape[1])
        has_text = conversation.texts is not None
        if self.first is not None and (
            has_text != self.has_text
            or width != self.width
            or (features is not None and feature_names != self.feature_names)
        ):
            raise self._differs(conversation.conversation_id, self.first, has_text, width)
        found: _LabelKinds = {}
        if conversation.label is not None:
            self._check_label("label", conversation.label, conversation.place, found)
        for label in dict.fromkeys(conversation.author_labels.values()):
            self._check_label("author_labels", label, conversation.place, found)
        self._label_kinds |= found
        if self.first is None:
            self.first, self.has_text, self.width = conversation.place, has_text, width
            self.feature_names = feature_names if features is not None else ()

    def _differs(self, conversation_id: str, first: Place, has_text: bool, width: int | None) -> RowError:
        """The error of a conversation that has other content than the first one."""
        name = f"conversation {conversation_id[:80]!r}"
        where = f"as in {first.path}:{first.line}"
        if has_text != self.has_text:
            words = ("no texts", "texts")
            return RowError(
                "text", f"{name}: expected {words[self.has_text]} {where}, found {words[has_text]}"
            )
        if width != self.width:
            rule = f"{name}, message 1: expected {_say(self.width)} {where}, found {_say(width)}"
            return RowError("features", rule, index=0)
        rule = f"{name}: expected the {len(self.feature_names)} feature columns {where}, found others"
        return RowError("features", rule, "give every row the same feature columns")

    def _check_label(
        self, name: str, label: Label, place: Place, found: dict[str, tuple[type, Place]]
    ) -> None:
        kind, first = self._label_kinds.get(name) or found.setdefault(name, (type(label), place))
        if kind is not type(label):
            words = {int: "an integer", str: "a string"}
            rule = f"expected {words[kind]} as in {first.path}:{first.line}, found {words[type(label)]}"
            raise RowError(name, rule, "use one kind of label")


def _say(width: int | None) -> str:
    return "no features" if width is None else f"{width} numbers"
