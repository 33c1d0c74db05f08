"""Files written whole or not at all: what an interrupt at the worst instant leaves."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

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
