"""What writers that were killed left behind goes; what a writer that lives holds stays."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tenor.files import publish_file, publish_folder

Publish = Callable[..., AbstractContextManager[Path]]

#: Begins to write PATH and is killed, or, with a third argument, waits for the end of its input before it is done.
WRITER = """
import os, signal, sys
from pathlib import Path
from tenor import files
publish = getattr(files, sys.argv[1])
with publish(Path(sys.argv[2])) as temporary:
    (temporary / "chats" if temporary.is_dir() else temporary).write_text("hello")
    print(temporary, flush=True)
    if sys.argv[3:]:
        sys.stdin.read()
    else:
        os.kill(os.getpid(), signal.SIGKILL)
"""


def make_old(path: Path) -> None:
    """As if it had been made an hour ago: what was made just now may not be held yet."""
    os.utime(path, (time.time() - 3600,) * 2)


def write(publish: Publish, path: Path, text: str) -> None:
    with publish(path) as temporary:
        (temporary / "chats" if temporary.is_dir() else temporary).write_text(text)


@pytest.mark.parametrize("publish", [publish_file, publish_folder])
def test_the_next_writer_removes_what_a_killed_one_has_left(tmp_path: Path, publish: Publish) -> None:
    command = [sys.executable, "-c", WRITER, publish.__name__, str(tmp_path / "dest")]
    killed = Path(subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip())
    assert killed.exists()
    others = [
        tmp_path / name
        for name in (
            ".other.0123456789abcdef.tmp",  # of another destination
            ".dest.0123456789abcdef.old",  # may be the only copy
            ".dest.download1.tmp",  # not made here
        )
    ]
    for path in (killed, *others):
        path.touch()
        make_old(path)
    write(publish, tmp_path / "dest", "new")
    assert sorted(tmp_path.iterdir()) == sorted([*others, tmp_path / "dest"])


@pytest.mark.parametrize("publish", [publish_file, publish_folder])
def test_what_a_writer_that_lives_holds_stays(tmp_path: Path, publish: Publish) -> None:
    command = [sys.executable, "-c", WRITER, publish.__name__, str(tmp_path / "dest"), "wait"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        temporary = Path(child.stdout.readline().strip())
        make_old(temporary)
        write(publish, tmp_path / "dest", "new")
        assert temporary.exists()
        if publish is publish_folder:
            (tmp_path / "dest" / "chats").unlink()
            (tmp_path / "dest").rmdir()
        child.communicate()
    assert child.returncode == 0
    dest = tmp_path / "dest"
    assert (dest / "chats" if dest.is_dir() else dest).read_text() == "hello"
    assert list(tmp_path.iterdir()) == [dest]


def test_what_was_made_just_now_stays(tmp_path: Path) -> None:
    """Its writer is about to hold it."""
    young = tmp_path / ".dest.0123456789abcdef.tmp"
    young.mkdir()
    write(publish_folder, tmp_path / "dest", "new")
    assert young.exists()


def test_a_link_among_them_goes_and_its_target_stays(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "chats").write_text("kept")
    make_old(tmp_path / "data")
    link = tmp_path / ".dest.0123456789abcdef.tmp"
    link.symlink_to("data")
    write(publish_folder, tmp_path / "dest", "new")
    assert not link.is_symlink()
    assert (tmp_path / "data" / "chats").read_text() == "kept"
