"""What ``tenor.json`` says of a corpus: counts, classes, splits, encoder, sources, file hashes.

A frozen dataclass and its strict reading and writing as JSON. Knows nothing of Arrow.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

from tenor.corpus.plan import SplitPlan
from tenor.corpus.schema import FORMAT_VERSION, LEVELS, Label, Level
from tenor.errors import CorpusError, UsageError, describe_os_error
from tenor.files import sha256_file

INFO_NAME = "tenor.json"
#: A larger tenor.json is refused unread.
MAX_INFO_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """A file that a corpus was imported from: its name without folders, size in bytes, SHA-256."""

    name: str
    num_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class EncoderInfo:
    """The encoder that made the features.

    Attributes:
        name: such as ``lsa+dynamics``.
        hash: SHA-256 of its fitted state or of its model files.
        fitted_split_hash: `CorpusInfo.split_hash` of the corpus that it was fitted on; None when nothing was
            fitted.
        fitted_ids_hash: `IdDigest` over the (conversation_id, author) pairs whose messages it was fitted on;
            None when nothing was fitted. The audit compares both with the corpus.
        knows_labels: whether a part of it was fine-tuned on labels of training sequences, so that whatever is judged by
            the features of these looks better than it is.
    """

    name: str
    hash: str
    fitted_split_hash: str | None = None
    fitted_ids_hash: str | None = None
    knows_labels: bool = False


@dataclass(frozen=True, slots=True)
class FileInfo:
    """One Arrow file of a corpus: its name, size in bytes, SHA-256, and how many conversations it holds."""

    name: str
    num_bytes: int
    sha256: str
    num_conversations: int


@dataclass(frozen=True, slots=True)
class CorpusInfo:
    """All that a corpus says of itself.

    Attributes:
        counts: ``conversations``, ``messages``, ``participants`` (a participant is one author in one
            conversation), ``author_sequences`` (participants with a message), ``authors`` (distinct),
            ``left_out_conversations`` and ``left_out_author_sequences`` (in no split), ``alike_authors`` (names
            that differ from another by case, spaces or Unicode's form alone; only where there are some),
            ``nobody_sequences`` (author sequences under a name such as ``[deleted]``; likewise), and what importing
            adds, such as ``rejected``.
        has_text: whether the messages' texts are kept.
        has_timestamps: whether any message has a timestamp.
        input_size: F; None before encoding.
        feature_dtype: ``float16`` or ``float32``; None before encoding.
        feature_names: F names; empty when they have none.
        encoder: what made the features; None when they came with the source, or there are none.
        classes: level -> its classes in the order of the integer labels; binary is (0, 1), () = no labels.
        split: the plan.
        split_hash: SHA-256 over the sorted (level, group, split) triples: on which splits a model was
            trained.
        sources: what it was imported from.
        files: its Arrow files in order.
        fingerprint: SHA-256 over the files' hashes: the content.
        format_version: of the folder's format.
    """

    counts: dict[str, int]
    has_text: bool
    has_timestamps: bool
    input_size: int | None
    feature_dtype: str | None
    feature_names: tuple[str, ...]
    encoder: EncoderInfo | None
    classes: dict[Level, tuple[Label, ...]]
    split: SplitPlan
    split_hash: str
    sources: tuple[SourceInfo, ...]
    files: tuple[FileInfo, ...]
    fingerprint: str
    format_version: int = field(default=FORMAT_VERSION)


class IdDigest:
    """A hash over a set of (conversation_id, author) pairs in any order, in constant memory.

    The sum modulo 2^256 of the pairs' 256-bit BLAKE2b hashes; each pair is to be added once.
    """

    def __init__(self) -> None:
        self._sum = 0

    def add(self, conversation_id: str, author: str) -> None:
        """Count one pair in."""
        text = f"{len(conversation_id)}:{conversation_id}{author}"
        self._sum += int.from_bytes(blake2b(text.encode(), digest_size=32).digest(), "big")

    def hexdigest(self) -> str:
        """64 hex digits."""
        return f"{self._sum % (1 << 256):064x}"


def info_to_json(info: CorpusInfo) -> dict[str, Any]:
    """The info as plain JSON values."""
    value = dataclasses.asdict(info)
    value["split"]["fractions"] = list(info.split.fractions)
    value["classes"] = {level: list(classes) for level, classes in info.classes.items()}
    value["feature_names"] = list(info.feature_names)
    for name in ("sources", "files"):
        value[name] = list(value[name])
    return value


def read_info(folder: Path) -> CorpusInfo:
    """Read and check ``tenor.json``.

    Raises:
        CorpusError: it is absent, no JSON, of a newer version, or a field is missing, unknown or of a wrong
            type.
    """
    path = folder / INFO_NAME
    try:
        if path.is_symlink() or not path.is_file():
            raise CorpusError(f"{path}: expected a regular file, found none: import the source again")
        if path.stat().st_size > MAX_INFO_BYTES:
            raise CorpusError(f"{path}: expected at most {MAX_INFO_BYTES} bytes: import the source again")
        value = json.loads(path.read_bytes())
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read: {describe_os_error(error)}") from error
    except (ValueError, RecursionError) as error:
        if isinstance(error, CorpusError):
            raise
        raise CorpusError(f"{path}: damaged, not JSON: import the source again") from error
    return info_from_json(value, path)


def describe_source(path: Path) -> SourceInfo:
    """A file, or a corpus, that another corpus is imported from.

    Raises:
        CorpusError: the folder is no sound corpus.
        OSError: the file cannot be read.
    """
    if path.is_dir():
        info = read_info(path)
        return SourceInfo(path.name, sum(file.num_bytes for file in info.files), info.fingerprint)
    return SourceInfo(path.name, path.stat().st_size, sha256_file(path))


def info_from_json(value: object, path: Path) -> CorpusInfo:
    """Check plain JSON values and make the info; see `read_info`."""
    if not isinstance(value, dict):
        raise CorpusError(f"{path}: expected an object: import the source again")
    version = value.get("format_version")
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise CorpusError(
            f"{path}: the corpus has format version {version}, this tenor reads up to {FORMAT_VERSION}: "
            "install a newer tenor, or import the source again"
        )
    _check(value, _INFO_FIELDS, path, "")
    encoder = value["encoder"]
    if isinstance(encoder, dict):
        encoder = {"knows_labels": False, **encoder}  # corpora of before there was such a field
        _check(encoder, _ENCODER_FIELDS, path, "encoder.")
    for kind, fields in (("sources", _SOURCE_FIELDS), ("files", _FILE_FIELDS)):
        for index, record in enumerate(value[kind]):
            _check(record, fields, path, f"{kind}[{index}].")
    _check(value["split"], _SPLIT_FIELDS, path, "split.")
    try:
        plan = SplitPlan(**{**value["split"], "fractions": tuple(value["split"]["fractions"])})
    except (UsageError, TypeError) as error:
        raise CorpusError(f"{path}: split: {error}") from error
    return CorpusInfo(
        **{
            **value,
            "feature_names": tuple(value["feature_names"]),
            "encoder": None if encoder is None else EncoderInfo(**encoder),
            "classes": {level: tuple(value["classes"][level]) for level in LEVELS},
            "split": plan,
            "sources": tuple(SourceInfo(**record) for record in value["sources"]),
            "files": tuple(FileInfo(**record) for record in value["files"]),
        }
    )


Check = Callable[[Any], bool]


def _check(value: object, fields: dict[str, Check], path: Path, prefix: str) -> None:
    """Refuse an object that has not exactly these fields, each as its check wants."""
    if not isinstance(value, dict):
        raise CorpusError(f"{path}: {prefix.rstrip('.')}: expected an object: import the source again")
    missing, unknown = sorted(fields.keys() - value.keys()), sorted(value.keys() - fields.keys())
    if missing or unknown:
        lists = (("missing", missing), ("unknown", unknown))
        wrong = "; ".join(f"{what} {', '.join(map(repr, names))}" for what, names in lists if names)
        where = f"{prefix.rstrip('.')}: " if prefix else ""
        raise CorpusError(f"{path}: {where}fields {wrong}: import the source again")
    for name, is_right in fields.items():
        if not is_right(value[name]):
            raise CorpusError(f"{path}: {prefix}{name}: unexpected value: import the source again")


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 63


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_bool(value: object) -> bool:
    return isinstance(value, bool)


def _is_hash(value: object) -> bool:
    return isinstance(value, str) and len(value) == 64 and set(value) <= set("0123456789abcdef")


def _is_classes(value: object) -> bool:
    if not isinstance(value, dict) or set(value) != set(LEVELS):
        return False
    return all(
        isinstance(labels, list) and (labels in ([], [0, 1]) or _are_names(labels))
        for labels in value.values()
    )


def _are_names(labels: list[object]) -> bool:
    return all(isinstance(label, str) for label in labels) and len(set(labels)) == len(labels)


def _is_list(value: object) -> bool:
    return isinstance(value, list)


def _none_or(is_right: Check) -> Check:
    return lambda value: value is None or is_right(value)


_SOURCE_FIELDS: dict[str, Check] = {"name": _is_text, "num_bytes": _is_count, "sha256": _is_hash}
_FILE_FIELDS: dict[str, Check] = {**_SOURCE_FIELDS, "num_conversations": _is_count}
_ENCODER_FIELDS: dict[str, Check] = {
    "name": _is_text,
    "hash": _is_text,
    "fitted_split_hash": _none_or(_is_text),
    "fitted_ids_hash": _none_or(_is_text),
    "knows_labels": _is_bool,
}
_SPLIT_FIELDS: dict[str, Check] = {
    "seed": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "fractions": _is_list,
    "by": _none_or(_is_text),
    "strict": _is_bool,
}
_INFO_FIELDS: dict[str, Check] = {
    "counts": lambda value: isinstance(value, dict) and all(map(_is_count, value.values())),
    "has_text": _is_bool,
    "has_timestamps": _is_bool,
    "input_size": _none_or(lambda value: _is_count(value) and value > 0),
    "feature_dtype": _none_or(lambda value: value in ("float16", "float32")),
    "feature_names": lambda value: _is_list(value) and all(map(_is_text, value)),
    "encoder": _none_or(lambda value: isinstance(value, dict)),
    "classes": _is_classes,
    "split": lambda value: isinstance(value, dict),
    "split_hash": _is_hash,
    "sources": _is_list,
    "files": _is_list,
    "fingerprint": _is_hash,
    "format_version": lambda value: _is_count(value) and value > 0,
}
