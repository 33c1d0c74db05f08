"""What a report is made of: predictions, training histories, messages of single errors, and facts.

Only data, in small dataclasses; whatever is absent is left out of the page. Knows nothing of figures, of
HTML, or of how the data came to be.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tenor.arguments import require_flags
from tenor.errors import UsageError
from tenor.predictions import Label, Predictions

#: One 95% interval.
Interval = tuple[float, float]


@dataclass(frozen=True)
class Difference:
    """The model minus another scorer, on the same rows of test.

    Attributes:
        value: the difference of a metric; above 0 the model is better.
        interval: its 95% interval, from resampling groups in pairs; None when not estimated.
        p_holm: adjusted for all the differences tested together; None when it was tested alone, or not at all.
    """

    value: float
    interval: Interval | None = None
    p_holm: float | None = None


@dataclass(frozen=True, eq=False)
class Scorer:
    """One way of scoring a level: the model, a baseline, or an aggregation.

    Attributes:
        name: as the table shows it.
        predictions: rows of test, and of validation where there are any; train rows are ignored. Their
            threshold is the one that was chosen on validation.
        intervals: metric -> its interval on test, for metrics named as by `calculate_metrics`.
        differences: metric -> the report's model minus this scorer, on test; empty for the model itself.
        warnings: metric -> why not to lean on its interval.
    """

    name: str
    predictions: Predictions
    intervals: Mapping[str, Interval] = field(default_factory=dict)
    differences: Mapping[str, Difference] = field(default_factory=dict)
    warnings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Subgroup:
    """The metrics of a part of test.

    Attributes:
        column: what divides the rows, such as ``language``.
        value: which part, such as ``de``.
        count: rows with a label.
        positives: rows of the positive class; None for several classes.
        metrics: metric -> value; None where it is not defined.
        intervals: metric -> 95% interval.
        groups: how many groups the rows are of; None = not known.
    """

    column: str
    value: str
    count: int
    positives: int | None
    metrics: Mapping[str, float | None]
    intervals: Mapping[str, Interval] = field(default_factory=dict)
    groups: int | None = None


@dataclass(frozen=True)
class ErrorMessage:
    """One message of a wrongly scored sequence, or one conversation of a wrongly scored profile.

    Attributes:
        author: of the message, or the conversation's id; shown as a pseudonym unless the report is `with_names`.
        text: shown only when the report is `with_text`.
        contribution: to the logit of the predicted class; above 0 speaks for the positive class.
    """

    author: str
    text: str | None = None
    contribution: float | None = None


@dataclass(frozen=True)
class WorstError:
    """A row of test that the model got most wrong.

    Attributes:
        conversation_id: None at level profile.
        author: None at level conversation.
        label: the true class, as the user wrote it.
        predicted: the class that the model chose.
        prob: of the positive class; with several classes, of the predicted one.
        messages: in order; may be empty.
    """

    conversation_id: str | None
    author: str | None
    label: Label
    predicted: Label
    prob: float
    messages: tuple[ErrorMessage, ...] = ()


@dataclass(frozen=True)
class AuditFinding:
    """What one check of the splits found.

    Attributes:
        check: what was looked for, such as ``shared authors``.
        outcome: ``passed``; ``note``, what is no leak but worth knowing; ``skipped``, what could not be looked at;
            ``warning`` or ``failed``.
        detail: one sentence; holds no author name and no message text.
    """

    check: str
    outcome: Literal["passed", "note", "skipped", "warning", "failed"]
    detail: str = ""


@dataclass(frozen=True, eq=False)
class LevelSection:
    """Everything about one level; at level profile the model is one of the aggregations.

    Attributes:
        model: what the section is about.
        baselines: shown beside the model, in this order.
        aggregations: compared with one another; the one with the model's name is marked.
        history: one record an epoch, as in the history file: epoch, learning_rate, train_loss,
            validation_loss, validation (metric -> value), threshold, seconds; any but epoch may be absent.
        best_epoch: the epoch whose weights were kept.
        subgroups: rows of one column stand together.
        errors: worst first.
        notes: sentences under the table, such as how profile labels were made.
    """

    model: Scorer
    baselines: tuple[Scorer, ...] = ()
    aggregations: tuple[Scorer, ...] = ()
    history: tuple[Mapping[str, Any], ...] = ()
    best_epoch: int | None = None
    subgroups: tuple[Subgroup, ...] = ()
    errors: tuple[WorstError, ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        first = self.model.predictions
        if not (first.in_split("test").labels >= 0).any():
            raise UsageError(f"the report's {first.level} section has no labelled predictions of split test")
        for scorer in (*self.baselines, *self.aggregations):
            other = scorer.predictions
            if (other.level, other.classes) != (first.level, first.classes):
                raise UsageError(
                    f"{scorer.name} scores level {other.level} with classes {other.classes}; beside "
                    f"{self.model.name} a report needs level {first.level} with classes {first.classes}"
                )

    @property
    def level(self) -> str:
        """Conversation, author or profile."""
        return self.model.predictions.level

    @property
    def classes(self) -> tuple[Label, ...]:
        """The labels as the user wrote them."""
        return self.model.predictions.classes


@dataclass(frozen=True, eq=False)
class Report:
    """One run, ready to be written as a page or as a model card.

    Attributes:
        title: the page's heading.
        question: one sentence on what is predicted; may be empty.
        sections: the levels, in the order in which they are shown.
        summary: what was done, one sentence each; empty composes them from the rest.
        class_names: label -> what a reader calls it, such as ``{0: "content", 1: "unimpressed"}``.
        data: names and values about the corpus, such as ``{"conversations": "2,257"}``.
        audit: what was checked about the splits.
        seeds: purpose -> seed.
        versions: package -> version.
        files: role -> name and hash of the files that the numbers come from.
        command: what to type to get the same numbers.
        unrecorded: what the command leaves out since no file holds it, one sentence each.
        date: as it should be printed; a report without one is the same bytes each time.
        dataset: what the data are called, in the model card's front matter; empty = conversations.
        license: of the model; goes into the model card's front matter.
        with_text: show the messages' texts of the worst errors.
        with_names: show authors' names and conversations' ids.
    """

    title: str
    sections: tuple[LevelSection, ...]
    question: str = ""
    summary: tuple[str, ...] = ()
    class_names: Mapping[Label, str] = field(default_factory=dict)
    data: Mapping[str, str] = field(default_factory=dict)
    audit: tuple[AuditFinding, ...] = ()
    seeds: Mapping[str, int] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    command: str = ""
    unrecorded: tuple[str, ...] = ()
    date: str = ""
    dataset: str = ""
    license: str = ""
    with_text: bool = False
    with_names: bool = False

    def __post_init__(self) -> None:
        require_flags(with_text=self.with_text, with_names=self.with_names)
        if not self.sections:
            raise UsageError(
                "a report needs one section or more, found none: pass the predictions of a level"
            )
        levels = [section.level for section in self.sections]
        if len(set(levels)) < len(levels):
            raise UsageError(f"a report has one section a level, found {levels}")

    def class_name(self, label: Label) -> str:
        """What a reader calls a class."""
        names = {str(key): name for key, name in self.class_names.items()}  # '1' is 1, as on the command line
        return names.get(str(label), str(label))


def require_report(value: object) -> None:
    """Refuse anything but a report, such as the file's name in its place.

    Raises:
        UsageError: naming the type.
    """
    if not isinstance(value, Report):
        raise UsageError(
            f"report: expected what tenor.report_run gives, then the file's name, found {type(value).__name__} first"
        )


def redact(section: LevelSection, *, with_text: bool, with_names: bool) -> tuple[WorstError, ...]:
    """The section's errors with only what may be shown.

    Without names, authors become ``author 1``, ``author 2``, ... in the order in which they appear (an
    author has one pseudonym in the whole section), conversations ``conversation 1``, ..., and the authors'
    names inside texts are replaced too. Without texts, none is handed on. The messages of a profile stand for its
    conversations.
    """
    authors: dict[str, str] = {}
    conversations: dict[str, str] = {}
    for error in section.errors:
        parts = [(message.author, section.level == "profile") for message in error.messages]
        for name, is_conversation in ((error.author, False), *parts):
            known, word = (conversations, "conversation") if is_conversation else (authors, "author")
            if name is not None and name not in known:
                known[name] = name if with_names else f"{word} {len(known) + 1}"
    hide = None if with_names else _replacer(authors)
    shown = []
    for number, error in enumerate(section.errors, start=1):
        names = conversations if section.level == "profile" else authors
        messages = tuple(_redact_message(message, names, with_text, hide) for message in error.messages)
        conversation_id = error.conversation_id
        if conversation_id is not None and not with_names:
            conversation_id = f"conversation {number}"
        author = None if error.author is None else authors[error.author]
        shown.append(
            dataclasses.replace(error, conversation_id=conversation_id, author=author, messages=messages)
        )
    return tuple(shown)


def _replacer(authors: Mapping[str, str]) -> Callable[[str], str]:
    """A function that puts pseudonyms for whole-word author names, whatever their case, longest first."""
    names = sorted((name for name in authors if name.strip()), key=len, reverse=True)
    if not names:
        return lambda text: text
    pattern = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, names))})(?!\w)", re.IGNORECASE)
    pseudonyms = {name.casefold(): pseudonym for name, pseudonym in authors.items()}
    return lambda text: pattern.sub(lambda match: pseudonyms.get(match.group().casefold(), "author"), text)


def _redact_message(
    message: ErrorMessage, names: Mapping[str, str], with_text: bool, hide: Callable[[str], str] | None
) -> ErrorMessage:
    text = message.text if with_text else None
    if text is not None and hide is not None:
        text = hide(text)
    return dataclasses.replace(message, author=names[message.author], text=text)
