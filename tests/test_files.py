"""Files written whole or not at all: what an interrupt at the worst instant leaves."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tenor import files
from tenor.errors import StorageError
from tenor.files import publish_file, publish_folder


@pytest.mark.parametrize(("publish", "made_by"), [(publish_file, "open"), (publish_folder, "mkdir")])
def test_an_interrupt_as_soon_as_the_temporary_exists_leaves_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    publish: Callable[[Path], AbstractContextManager[Path]],
    made_by: str,
) -> None:
    """Ctrl-C may come between the system call that makes a temporary name and the next line of Python."""
    make = getattr(os, made_by)

    def make_and_interrupt(path: Path, *args: object, **kwargs: object) -> object:
        result = make(path, *args, **kwargs)
        if ".dest." in str(path) and any(tmp_path.glob(".dest.*")):
            raise KeyboardInterrupt
        return result

    monkeypatch.setattr(os, made_by, make_and_interrupt)
    with pytest.raises(KeyboardInterrupt), publish(tmp_path / "dest"):
        pytest.fail("the interrupt came before the body")
    monkeypatch.undo()
    assert list(tmp_path.iterdir()) == []


def test_a_pipe_is_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(StorageError, match="pipe: expected the name of a file"), publish_file(pipe):
        pytest.fail("nothing is to be made")
    assert pipe.is_fifo()
    assert list(tmp_path.iterdir()) == [pipe]


def fill(folder: Path, text: str) -> None:
    (folder / "file").write_text(text)


def test_what_somebody_else_publishes_meanwhile_is_never_removed(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot write .*dest"), publish_folder(tmp_path / "dest") as mine:
        fill(mine, "mine")
        (tmp_path / "dest").mkdir()
        fill(tmp_path / "dest", "theirs")
    assert (tmp_path / "dest" / "file").read_text() == "theirs"
    assert [path.name for path in tmp_path.iterdir()] == ["dest"]


@pytest.mark.parametrize("failures", [1, 2])
def test_a_replacement_that_fails_leaves_the_old_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failures: int
) -> None:
    """Where names cannot be exchanged, and the second rename fails; with 2 also the one that puts things right."""
    path = tmp_path / "dest"
    path.mkdir()
    fill(path, "old")
    monkeypatch.setattr(files, "_exchange", lambda one, other: False)
    rename, left = os.rename, [failures]

    def rename_or_fail(source: Path, target: Path) -> None:
        if Path(target).name == "dest" and left[0]:
            left[0] -= 1
            raise OSError(5, "Input/output error")
        rename(source, target)

    monkeypatch.setattr(os, "rename", rename_or_fail)
    with (
        pytest.raises(StorageError, match="Input/output error"),
        publish_folder(tmp_path / "dest", replace=True) as new,
    ):
        fill(new, "new")
    (kept,) = tmp_path.iterdir()
    assert (kept / "file").read_text() == "old"
    assert kept.name == "dest" if failures == 1 else kept.name.endswith(".old")


@pytest.mark.parametrize("target", ["data/dest", "second"])
def test_of_a_link_the_target_is_replaced_and_the_link_stays(tmp_path: Path, target: str) -> None:
    """Also where the link leads to another one, and where nothing is at the end of it yet."""
    (tmp_path / "data").mkdir()
    (tmp_path / "second").symlink_to("data/dest")
    link = tmp_path / "link"
    link.symlink_to(target)
    for text in ("first", "another"):
        with publish_file(link) as temporary:
            assert temporary.parent == tmp_path / "data"
            temporary.write_text(text)
        assert (tmp_path / "data" / "dest").read_text() == text
    (tmp_path / "data" / "dest").unlink()
    for text in ("first", "another"):
        with publish_folder(link, replace=True, marker="file") as folder:
            fill(folder, text)
        assert (tmp_path / "data" / "dest" / "file").read_text() == text
    with pytest.raises(StorageError, match="link exists already"), publish_folder(link):
        pytest.fail("it is not to be replaced")
    assert os.readlink(link) == target
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "link", "second"]
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["dest"]


def test_one_writer_at_a_time_checks_and_renames(tmp_path: Path) -> None:
    """A second one waits for the first, and then sees what the first has put there."""
    path, order = tmp_path / "dest", list[str]()
    with publish_folder(path) as folder:
        fill(folder, "old")
    is_checking, goes_on = threading.Event(), threading.Event()

    def check_slowly() -> None:
        is_checking.set()
        assert goes_on.wait(60)
        order.append("one after " + (path / "file").read_text())

    def replace(name: str, check: Callable[[], None]) -> None:
        with publish_folder(path, replace=True, marker="file", check=check) as new:
            fill(new, name)

    one = threading.Thread(target=replace, args=("one", check_slowly))
    check = lambda: order.append("two after " + (path / "file").read_text())  # noqa: E731
    two = threading.Thread(target=replace, args=("two", check))
    one.start()
    assert is_checking.wait(60)
    two.start()
    two.join(0.3)
    assert two.is_alive()
    goes_on.set()
    one.join()
    two.join()
    assert order == ["one after old", "two after one"]
    assert (path / "file").read_text() == "two"


def test_a_check_that_fails_leaves_the_folder_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "dest"
    path.mkdir()
    fill(path, "old")

    def refuse() -> None:
        raise ValueError("changed")

    with (
        pytest.raises(ValueError, match="changed"),
        publish_folder(path, replace=True, marker="file", check=refuse) as new,
    ):
        fill(new, "new")
    assert (path / "file").read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["dest"]


def test_an_error_of_the_body_says_what_it_said(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="^the spool is full$"), publish_file(tmp_path / "dest"):
        raise StorageError("the spool is full")
    with pytest.raises(StorageError, match="cannot write .*dest: no more"), publish_file(tmp_path / "dest"):
        raise OSError("no more")
    assert list(tmp_path.iterdir()) == []
