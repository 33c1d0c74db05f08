"""Whether anything leaks from one split into another.

`require_clean_fit`, `require_split` and `require_both_classes` stand before every fit, `require_clean_splits` before
that of a baseline; `audit_corpus` looks at everything and refuses nothing. Knows nothing of models.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tenor.corpus.corpus import Corpus, as_corpus
from tenor.corpus.findings import MAX_EXAMPLES, Finding, Severity, find_known_authors, find_shared
from tenor.corpus.groups import flatten, list_lengths
from tenor.corpus.growth import follows_hash
from tenor.corpus.near_duplicates import DuplicateRules, DuplicateSearch, find_near_duplicates
from tenor.corpus.schema import SPLITS, UNLABELLED, Split
from tenor.corpus.splits import hash_training_files
from tenor.corpus.views import SequenceView, view_sequences
from tenor.errors import CorpusError, SplitError, TrainingError

logger = logging.getLogger(__name__)

#: A split is taken for one by time when P(a training conversation starts before a test one) is at least this,
#: or at most one minus this: then the order was meant, and exceptions are leaks.
TIME_ORDER = 0.75


@dataclass(frozen=True, slots=True)
class AuditReport:
    """All that an audit did and found.

    Attributes:
        findings: worst first.
        checks: a sentence for each check with what it examined, what it left out, and its threshold.
    """

    findings: tuple[Finding, ...]
    checks: tuple[str, ...]

    @property
    def is_clean(self) -> bool:
        """Whether there is no error and no warning."""
        return all(finding.severity == "note" for finding in self.findings)


def audit_splits(view: SequenceView) -> list[Finding]:
    """Look for groups, authors and conversations in two splits of a view; cheap enough for every fit.

    - A group in two splits is an error. It happens where the source gave its own splits.
    - At level author, an author in two splits where the author is not the group (a named group, or splits by
      conversation, is the user's own choice): a warning. Under a strict plan: an error.
    - At level author, a conversation with participants in different splits: a note, because splitting by
      author means just that. Under a strict plan: an error.

    Args:
        view: sequences of a level, labelled or not; sequences in no split don't count.
    """
    findings = find_shared(view, "shared_groups", view.group_codes, view.group_names, "error")
    if view.author_codes is None or view.author_names is None:
        return findings
    is_strict = view.corpus.info.split.strict
    if view.group_names is not view.author_names:
        severity: Severity = "error" if is_strict else "warning"
        findings += find_shared(view, "shared_authors", view.author_codes, view.author_names, severity)
    ids = view.corpus.table["conversation_id"]
    return findings + find_shared(
        view, "shared_conversations", view.rows, ids, "error" if is_strict else "note"
    )


def require_clean_splits(view: SequenceView) -> None:
    """Refuse a view that shares what it must not between splits; see `audit_splits`.

    Raises:
        SplitError: naming up to three groups with their splits, and the remedy.
    """
    for finding in audit_splits(view):
        if finding.severity == "error":
            raise SplitError(f"{view.corpus.path}: {finding.message}")


def require_clean_fit(view: SequenceView, *, show: bool = True) -> None:
    """As `require_clean_splits`, and look at fitted state and time too; what is a warning is logged.

    Args:
        view: the sequences of a fit, of all splits.
        show: log warnings.

    Raises:
        SplitError: also where the encoder was fitted on other messages than those of train.
    """
    corpus = view.corpus
    conversations = view if view.level == "conversation" else view_sequences(corpus, "conversation")
    findings = audit_splits(view)
    for check in (_audit_time, _audit_fitted_state):
        findings += check(corpus, conversations)[0]
    for finding in findings:
        if finding.severity == "error":
            raise SplitError(f"{corpus.path}: {finding.message}")
        if finding.severity == "warning" and show:
            logger.warning("%s: %s", corpus.path, finding.message)


def require_split(view: SequenceView, split: Split) -> None:
    """Refuse a view without a sequence in a split.

    Raises:
        CorpusError: the corpus has no label at all at the view's level, and the view is of labelled
            sequences.
        SplitError: the split is empty, with what the others hold.
    """
    if (view.splits == split).any():
        return
    path, level = view.corpus.path, view.level
    if len(view) == 0 and not view.classes:
        field = "label" if level == "conversation" else "author_labels"
        raise CorpusError(f"{path}: no labels at level {level}: import a source with {field}")
    held = ", ".join(f"{name} {int((view.splits == name).sum())}" for name in SPLITS)
    groups = view.groups.count_distinct()
    units = "1 group" if groups == 1 else f"{groups} groups"
    remedy = "import again with more groups, a larger fraction for it or another split seed"
    if _are_splits_given(view):
        remedy = (
            f"the source gives the splits: give {split} to some of its groups there, or leave the splits out"
        )
    raise SplitError(
        f"{path}: split {split} is empty at level {level}: sequences are {held}, in {units} ({remedy})"
    )


def require_both_classes(view: SequenceView) -> None:
    """Refuse training labels of a single class.

    Args:
        view: training sequences.

    Raises:
        TrainingError: with the class and how often it occurs.
    """
    known = np.unique(view.labels[view.labels != UNLABELLED])
    if len(known) >= 2:
        return
    found = (
        f"only {view.classes[known[0]]!r}, {int((view.labels == known[0]).sum())} times"
        if len(known)
        else "none"
    )
    raise TrainingError(
        f"{view.corpus.path}: training needs labels of at least two classes at level {view.level}, "
        f"found {found} (label more conversations, or import again with another split seed)"
    )


def audit_corpus(
    corpus: Corpus | Path | str, *, near_duplicates: bool = True, rules: DuplicateRules | None = None
) -> AuditReport:
    """Look for every kind of leak that can be seen from a corpus.

    Args:
        corpus: an open corpus, analyzed or not, or its folder.
        near_duplicates: also compare texts across splits (extra ``audit``).
        rules: what a near-duplicate is; None = the defaults.

    Raises:
        MissingExtraError: `near_duplicates`, the corpus has text, and datasketch is not installed.
    """
    corpus = as_corpus(corpus)
    views = [view_sequences(corpus, "conversation"), view_sequences(corpus, "author")]
    findings: list[Finding] = []
    checks: list[str] = []
    for view in views:
        findings += audit_splits(view)
        units = "groups" if view.authors is None else "groups, authors and conversations"
        checks.append(f"{units} in two splits at level {view.level}: {len(view):,} sequences compared")
    found, sentence = find_known_authors(*views)
    findings += found
    checks.append(sentence)
    if not near_duplicates or not corpus.has_text:
        checks.append(
            f"near-duplicate texts: not compared, {'no text' if near_duplicates else 'not asked for'}"
        )
    else:
        rules = DuplicateRules() if rules is None else rules
        for view in views:
            search = find_near_duplicates(view, rules)
            findings += duplicate_findings(view, search, rules)
            checks.append(_describe_search(view, search, rules))
    for check in (_audit_time, _audit_fitted_state):
        found, sentence = check(corpus, views[0])
        findings += found
        checks.append(sentence)
    order: tuple[Severity, ...] = ("error", "warning", "note")
    return AuditReport(
        tuple(sorted(findings, key=lambda finding: order.index(finding.severity))), tuple(checks)
    )


def duplicate_findings(view: SequenceView, search: DuplicateSearch, rules: DuplicateRules) -> list[Finding]:
    """One finding for each two splits with near-duplicates, as a search found them."""
    findings: list[Finding] = []
    for (split, reference), pairs in search.pairs.items():
        if not pairs:
            continue
        examples = tuple(
            f"{_name(view, pair.sequence)} and {_name(view, pair.reference)} ({pair.similarity:.2f})"
            for pair in pairs[:MAX_EXAMPLES]
        )
        message = (
            f"{len(pairs)} sequences of {split} have a near-duplicate in {reference} at level {view.level} "
            f"(similarity {rules.threshold:g} or more): {'; '.join(examples)} "
            "(remove the copies, or give copies one named group)"
        )
        findings.append(Finding("near_duplicates", "error", view.level, message, len(pairs), examples))
    return findings


def _describe_search(view: SequenceView, search: DuplicateSearch, rules: DuplicateRules) -> str:
    return (
        f"near-duplicate texts at level {view.level}: {search.num_compared:,} sequences compared, "
        f"{search.num_skipped:,} of fewer than {rules.min_words} words left out; Jaccard similarity of "
        f"{rules.shingle_words}-word shingles at least {rules.threshold:g}"
    )


def _name(view: SequenceView, index: int) -> str:
    name = repr(view.conversation_ids[index][:80])
    return name if view.authors is None else f"{name} by {view.authors[index][:80]!r}"


def _audit_time(corpus: Corpus, view: SequenceView) -> tuple[list[Finding], str]:
    """Training conversations that start after evaluation has begun, where splits and times are given."""
    if not corpus.info.has_timestamps:
        return [], "future in training: not looked at, no timestamps"
    if not _are_splits_given(view):
        return [], "future in training: not looked at, the splits are made by hash and not by time"
    starts = _start_times(corpus)
    findings = []
    for split in SPLITS[1:]:
        train = np.flatnonzero((view.splits == "train") & np.isfinite(starts))
        others = np.sort(starts[(view.splits == split) & np.isfinite(starts)])
        if len(train) == 0 or len(others) == 0:
            continue
        late = train[starts[train] > others[0]]
        before = 1 - (
            np.searchsorted(others, starts[train], "left") + np.searchsorted(others, starts[train], "right")
        ) / (2 * len(others))
        if len(late):
            findings.append(_time_finding(view, split, late, float(before.mean())))
    return (
        findings,
        f"future in training: {int(np.isfinite(starts).sum()):,} conversations with a time compared",
    )


def _time_finding(view: SequenceView, split: Split, late: npt.NDArray[np.int64], order: float) -> Finding:
    is_by_time = not 1 - TIME_ORDER < order < TIME_ORDER
    examples = tuple(repr(name[:80]) for name in view.conversation_ids[late[:MAX_EXAMPLES]])
    message = (
        f"{len(late)} training conversations start after the first one of {split}: {', '.join(examples)} "
        + (
            "(move them, so that the past alone predicts)"
            if is_by_time
            else "(the given splits are not by time)"
        )
    )
    severity: Severity = "warning" if is_by_time else "note"
    return Finding("future_in_training", severity, "conversation", message, len(late), examples)


def _are_splits_given(view: SequenceView) -> bool:
    return not view.corpus.info.split.strict and not follows_hash(view)


def _start_times(corpus: Corpus) -> npt.NDArray[np.float64]:
    """When each conversation's first dated message was written, NaN where none is: (C,)."""
    column = corpus.column("timestamp")
    rows = np.repeat(np.arange(len(column)), list_lengths(column))
    table = pa.table({"row": rows, "time": flatten(column)}).group_by("row").aggregate([("time", "min")])
    starts = np.full(len(column), np.nan)
    starts[table["row"].to_numpy()] = table["time_min"].to_numpy()
    return starts


def _audit_fitted_state(corpus: Corpus, view: SequenceView) -> tuple[list[Finding], str]:
    """Whether the encoder was fitted on exactly the training messages of these splits, or of what came first."""
    encoder = corpus.info.encoder
    if encoder is None or (encoder.fitted_split_hash is None and encoder.fitted_ids_hash is None):
        return [], "fitted state: none in the corpus"
    sentence = f"fitted state: encoder {encoder.name} compared with the training messages"
    if encoder.fitted_ids_hash in hash_training_files(corpus):
        return [], sentence
    if encoder.fitted_split_hash != corpus.info.split_hash:
        message = (
            f"the encoder {encoder.name} was fitted under other splits or on another corpus, so it may have "
            "seen validation or test (encode again, unless all these conversations are new to it)"
        )
        return [Finding("fitted_state", "warning", view.level, message, 1, (encoder.name,))], sentence
    message = (
        f"the encoder {encoder.name} was fitted on other messages than those of train, so it may have "
        "seen validation or test (encode again)"
    )
    return [Finding("fitted_state", "error", view.level, message, 1, (encoder.name,))], sentence
