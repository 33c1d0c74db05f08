"""The exceptions that tenor raises on purpose.

Each message says what was expected, what was found and the remedy. None of them ever carries the text of a
message. Knows nothing of the rest of the package.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path


class TenorError(Exception):
    """Base of every error that tenor raises on purpose; the command line prints it as one line."""


class InputError(TenorError, ValueError):
    """A source file breaks a rule of the format.

    Attributes:
        path: the file.
        line: physical line (text formats) or row (Parquet, Arrow), counted from 1; None when not known.
        field: the field, such as ``messages[3].author``; None when the rule is about the whole row.
        rule: what was expected and what was found.
        remedy: what the user can do; may be empty.
    """

    def __init__(
        self,
        rule: str,
        *,
        path: Path | str,
        line: int | None = None,
        field: str | None = None,
        remedy: str = "",
    ) -> None:
        self.path, self.line, self.field, self.rule, self.remedy = Path(path), line, field, rule, remedy
        place = str(path) if line is None else f"{path}:{line}"
        where = f"{place}: {field}: " if field is not None else f"{place}: "
        super().__init__(where + rule + (f" ({remedy})" if remedy else ""))

    def __reduce__(self) -> tuple[Callable[..., InputError], tuple[str]]:
        """How a pool of processes hands the error on; exceptions are otherwise made again of their message alone."""
        make = partial(type(self), path=self.path, line=self.line, field=self.field, remedy=self.remedy)
        return make, (self.rule,)


class CorpusError(TenorError, ValueError):
    """A corpus on disk is not what the operation needs (no features, no labels, damaged, of a newer version)."""


class SplitError(TenorError, ValueError):
    """Splits that are empty, impossible, or that share a group."""


class ModelFileError(TenorError, ValueError):
    """A model file is damaged, hostile, of a newer version, or does not fit the data."""


class TrainingError(TenorError, RuntimeError):
    """Training cannot start or go on (one class only, a loss that is not finite)."""


class StorageError(TenorError, OSError):
    """A file or folder could not be written, or is in use."""


class ProcessError(TenorError, RuntimeError):
    """Of several processes that work together, another one failed or was killed."""


class UsageError(TenorError, ValueError):
    """An argument has a value outside the allowed ones."""


class MissingExtraError(TenorError, ImportError):
    """An optional package is not installed; the message is the pip command."""

    def __init__(self, extra: str, package: str) -> None:
        super().__init__(f"this needs the package {package}: pip install 'tenor[{extra}]'")
        self.extra, self.package = extra, package

    def __reduce__(self) -> tuple[type[MissingExtraError], tuple[str, str]]:
        """As InputError's."""
        return type(self), (self.extra, self.package)


def describe_os_error(error: OSError) -> str:
    """What the system says of an error, or, where it says nothing, what the error says of itself."""
    return str(error) if error.strerror is None else error.strerror


def describe_counts(counts: Iterable[int], classes: Iterable[object] | None = None) -> str:
    """How many there are of each class, by its name, else by its index: ``2 of class 0, 5 of class 1``."""
    named = enumerate(counts) if classes is None else zip(classes, counts, strict=True)
    return ", ".join(f"{count} of class {name}" for name, count in named)


def describe_value(value: object) -> str:
    """A value in a message, as one would type it: ``none``, lists with commas, a text of digits in quotes."""
    if value is None:
        return "none"
    if isinstance(value, list | tuple):
        return ", ".join(map(describe_value, value))
    return f'"{value}"' if isinstance(value, str) and value.lstrip("-").isdigit() else str(value)
