"""Files written whole or not at all, and their hashes.

A file or folder appears under its name only after its bytes are on disk: written beside it, fsynced, renamed.
Knows nothing of what the bytes mean.
"""

from __future__ import annotations

import codecs
import contextlib
import ctypes
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from tenor.errors import StorageError, UsageError, describe_os_error
from tenor.litter import beside, held, remove_dead


def fsync_folder(path: Path) -> None:
    """Make a folder's entries durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file atomically: a reader sees the old bytes or the new, and a crash loses neither.

    Raises:
        StorageError: the disk is full or not writable; the old file is untouched.
    """
    with publish_file(path) as temporary:
        temporary.write_bytes(data)


def write_json(path: Path, value: Any) -> None:  # noqa: ANN401 - JSON is any value
    """Write JSON atomically: sorted keys, two spaces, no NaN."""
    text = json.dumps(value, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False)
    write_bytes(path, (text + "\n").encode())


@contextlib.contextmanager
def publish_file(path: Path) -> Iterator[Path]:
    """Hand out a temporary path beside `path`; on success fsync it and rename it into place.

    Of a symbolic link the target is replaced, and the link stays.

    Raises:
        StorageError: an OSError on the way; nothing is left behind.
    """
    target = _resolve(path)
    temporary = beside(target, "tmp")
    if os.path.exists(path) and not target.is_file() and not target.is_dir():
        raise StorageError(
            f"cannot write {path}: expected the name of a file, found a device or a pipe, which would be replaced "
            "(write to a file)"
        )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        remove_dead(target)
        temporary.touch(exist_ok=False)
        with held(temporary):
            yield temporary
            with temporary.open("rb+") as handle:
                os.fsync(handle.fileno())
            os.replace(temporary, target)
        fsync_folder(target.parent)
    except StorageError:
        raise
    except OSError as error:
        raise StorageError(f"cannot write {path}: {describe_os_error(error)}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def publish_folder(
    path: Path,
    *,
    replace: bool = False,
    marker: str | None = None,
    check: Callable[[], None] | None = None,
) -> Iterator[Path]:
    """Hand out a temporary folder beside `path`; on success fsync its files and rename it into place.

    Of a symbolic link the target is replaced, and the link stays.

    Args:
        path: the folder to publish.
        replace: allow `path` to exist; it is moved away only once the new folder is complete.
        marker: a file that a folder has that may be replaced, unless it is empty; None = any may.
        check: called last, when all is written and no other writer of a folder with this marker can rename one to
            `path` any more; what it raises leaves `path` as it is.

    Raises:
        StorageError: `path` exists and may not be replaced, or an OSError on the way; nothing is left behind.
    """
    target = _resolve(path)
    if target.exists() and not replace:
        raise existing(path, marker)
    temporary = beside(target, "tmp")
    try:
        if target.exists() and marker is not None:
            _require_replaceable(path, marker)
        target.parent.mkdir(parents=True, exist_ok=True)
        remove_dead(target)
        temporary.mkdir()
        with held(temporary):
            yield temporary
            for folder, _, names in os.walk(temporary):
                for name in names:
                    with open(os.path.join(folder, name), "rb+") as handle:
                        os.fsync(handle.fileno())
                fsync_folder(Path(folder))
            with contextlib.nullcontext() if marker is None else _locked(target / marker):
                if check is not None:
                    check()
                _rename_folder(temporary, target, replace=replace)
        fsync_folder(target.parent)
    except StorageError:
        raise
    except OSError as error:
        raise StorageError(f"cannot write {path}: {describe_os_error(error)}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def existing(path: Path, marker: str | None) -> StorageError:
    """The error for a folder that exists already; `marker` is as in publish_folder, None where none may be replaced."""
    may_be_replaced = marker is not None and (path / marker).is_file()
    remedy = "replace it (replace=True, --replace)" if may_be_replaced else "remove it first"
    return StorageError(f"{path} exists already: choose another destination, or {remedy}")


def require_path(value: object, what: str) -> Path:
    """A path that was given as one; anything else would end in an error about something else.

    Args:
        value: what was given.
        what: it is for, in words.

    Raises:
        UsageError: naming the type.
    """
    if isinstance(value, str | os.PathLike):
        return Path(value)
    hint = " (its .path is one)" if isinstance(getattr(value, "path", None), Path) else ""
    raise UsageError(f"{what}: expected a path, found {type(value).__name__}{hint}")


def require_replaceable(value: object, what: str, kind: str, is_own: Callable[[Path], bool]) -> Path:
    """A path at which a file may be written without another one being lost.

    Args:
        value: the path.
        what: is written there, as the user calls it.
        kind: of file that may be replaced, in words.
        is_own: whether a file is of that kind; an empty one may be replaced whatever it says.

    Raises:
        UsageError: it is no path, or that of a folder or of another file.
        StorageError: whether there is a file cannot be known, such as where the name is too long.
    """
    path = require_path(value, what)
    try:
        if path.is_dir():
            raise UsageError(f"{what} must name a file, but {path} is a folder")
        is_other = path.is_file() and path.stat().st_size > 0 and not is_own(path)
    except OSError as error:
        raise StorageError(f"{path}: cannot be written: {describe_os_error(error)}") from error
    if is_other:
        raise UsageError(
            f"{what}: expected a new name, or {kind} that may be replaced, found another file at {path} (name another, "
            "or remove that file)"
        )
    return path


def starts_with(path: Path, text: str) -> bool:
    """Whether a file begins with these characters, whatever their case, after a byte order mark or none.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as handle:
        start = handle.read(len(codecs.BOM_UTF8) + len(text.encode()))
    wanted = text.casefold().encode()
    return start.removeprefix(codecs.BOM_UTF8).lower().startswith(wanted)


def require_apart(
    written: Mapping[str, Path | str | None],
    read: Mapping[str, Path | str | None],
    *,
    closed: Collection[str] = (),
) -> None:
    """Refuse to write over what is read, or twice to one place.

    Args:
        written: what each is -> where, None = nowhere.
        read: likewise. A place that holds what is read is refused too.
        closed: what of it is a folder into which nothing else is to be written.

    Raises:
        UsageError: naming two of them; or what is no path.
    """
    targets, sources = (
        {
            what: Path(os.path.realpath(require_path(path, what)))
            for what, path in paths.items()
            if path is not None
        }
        for paths in (written, read)
    )
    for what, target in targets.items():
        for other, source in sources.items():
            if target in (source, *source.parents) or (other in closed and source in target.parents):
                raise UsageError(
                    f"{what}: expected another place than that of the {other}, found {written[what]}"
                )
    places = list(targets)
    for number, what in enumerate(places):
        for other in places[:number]:
            if targets[what] == targets[other]:
                raise UsageError(
                    f"{what}: expected another place than that of the {other}, found {written[what]}"
                )


def start_writeback(descriptor: int, start: int, stop: int) -> None:
    """Have the kernel begin to write a part of a file to disk (Linux; elsewhere it begins when it likes).

    Little memory fills with bytes that wait to be written, and then whoever needs some waits for the disk.
    """
    try:
        sync = ctypes.CDLL(None).sync_file_range
    except (AttributeError, OSError, TypeError):
        return
    write = 2  # SYNC_FILE_RANGE_WRITE of sync_file_range(2): begin, do not wait
    sync(ctypes.c_int(descriptor), ctypes.c_int64(start), ctypes.c_int64(stop - start), ctypes.c_uint(write))


def remove_folder(path: Path) -> None:
    """Remove a folder so that its name is gone at once, whole; killed on the way, only litter is left.

    Raises:
        StorageError: it cannot be moved away.
    """
    old = beside(path, "old")
    try:
        os.rename(path, old)  # needs no space on a full disk
        try:
            fsync_folder(path.parent)  # before its files go
        finally:
            shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise StorageError(f"cannot remove {path}: {describe_os_error(error)}") from error


def link_or_copy(source: Path, target: Path) -> None:
    """Give a file that is never changed in place a second name; copy it where the file system has no links.

    Raises:
        OSError: neither can be done.
    """
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


@contextlib.contextmanager
def _locked(file: Path) -> Iterator[None]:
    """Keep others who come here from replacing the folder of a file, where there is one, until the block ends.

    The lock is the file's own, so that nothing is left behind; it ends with the process, however that ends. Where the
    file system has no locks (NFS locks no file that is open for reading only) nobody is kept out.
    """
    with contextlib.ExitStack() as stack:
        while file.exists():
            handle = stack.enter_context(file.open("rb"))
            with contextlib.suppress(OSError):
                fcntl.flock(handle, fcntl.LOCK_EX)
            if os.path.samestat(os.fstat(handle.fileno()), file.stat()):
                break  # else the folder was replaced while this one waited
        yield


def _rename_folder(temporary: Path, path: Path, *, replace: bool) -> None:
    if not replace or not path.exists():
        os.rename(temporary, path)  # refused where somebody else has put files there meanwhile
        return
    if _exchange(temporary, path):  # what was at `path` goes with the temporary folder
        return
    old = beside(path, "old")
    os.rename(path, old)
    try:
        os.rename(temporary, path)
    except BaseException:
        os.rename(old, path)
        raise
    shutil.rmtree(old, ignore_errors=True)  # only now: where neither could be renamed it is the only copy


def _exchange(one: Path, other: Path) -> bool:
    """Let two names change places in one step (Linux, most file systems), so that neither is ever absent."""
    try:
        rename = ctypes.CDLL(None).renameat2
    except (AttributeError, OSError, TypeError):
        return False
    here, exchange = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of renameat2(2)
    return bool(rename(here, os.fsencode(one), here, os.fsencode(other), exchange) == 0)


def _require_replaceable(path: Path, marker: str) -> None:
    if os.path.samefile(path, os.curdir):
        raise StorageError(
            f"{path}: expected another folder than the one that you are in (choose another destination)"
        )
    if not path.is_dir() or not ((path / marker).is_file() or not any(path.iterdir())):
        raise StorageError(
            f"{path}: expected a folder with {marker}, which may be replaced, found something else (choose another "
            "destination, or remove it yourself)"
        )


def _resolve(path: Path) -> Path:
    """Where a path leads to: a link that a rename replaced would leave its target as it was."""
    return Path(os.path.realpath(path))


def sha256_file(path: Path) -> str:
    """Hex SHA-256 of a file's bytes, read in blocks."""
    with Path(path).open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
