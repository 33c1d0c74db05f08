"""Unfinished files and folders: what they are called, and which of them a writer that was killed has left behind.

Knows nothing of how what is unfinished becomes finished.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

#: Beside ``name``: ``.name.RANDOM.tmp`` while it is written, ``.name.RANDOM.old`` while it is replaced.
_LITTER = re.compile(r"\.(?P<name>.+)\.[0-9a-f]{16}\.(?P<suffix>tmp|old)")
#: A writer that lives holds what is unfinished so soon after it was made, in seconds.
_HELD_AFTER_S = 2.0


def beside(path: Path, suffix: str) -> Path:
    """A name that nothing has yet; known before anything is made, so that an interrupt finds what to remove."""
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}.{suffix}")


@contextlib.contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold an unfinished file or folder of one's own: a lock that ends with the process, however that ends.

    Where the file system has no such locks, nobody holds anything, and remove_dead removes nothing.

    Raises:
        OSError: it is not there.
    """
    with _opened(path) as descriptor:
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


def remove_dead(path: Path) -> None:
    """Remove what killed writers of a file or folder have left beside it; what a live one holds stays.

    So does what was moved away (``.old``), for it may be the only copy.
    """
    found: list[Path] = []
    with contextlib.suppress(OSError):  # a folder that can be written into but not listed
        found += _find(path.parent, path.name)
    for litter in found:
        with contextlib.suppress(OSError):
            if litter.suffix == ".tmp" and time.time() - litter.stat().st_mtime > _HELD_AFTER_S:
                _remove_unless_held(litter, beside(path, "tmp"))


def remove_litter(folder: Path, name: str | None = None) -> None:
    """Remove what writers that were killed left in a folder; only for one who holds a lock against other writers.

    Args:
        folder: where to look, not deeper.
        name: only what was meant to become the file or folder `name`; None = all.
    """
    for path in _find(folder, name):
        _remove(path)


def _find(folder: Path, name: str | None) -> list[Path]:
    """What is unfinished in a folder, of one name or all."""
    if not folder.is_dir():
        return []
    found = ((path, _LITTER.fullmatch(path.name)) for path in folder.iterdir())
    return [path for path, match in found if match is not None and name in (None, match["name"])]


def _remove_unless_held(litter: Path, away: Path) -> None:
    """Raises OSError where it is held, or cannot be removed."""
    with _opened(litter) as descriptor:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # whole, so that a writer that lives after all fails, and publishes no half of a folder
        os.rename(litter, away)
        _remove(away)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
