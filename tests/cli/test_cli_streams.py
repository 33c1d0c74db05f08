"""Standard output that is full, closed, or lacks characters: real processes, one line, no traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tenor.corpus.corpus import open_corpus

TENOR = f"{sys.executable} -m tenor"
FULL = (
    "error: standard output cannot be written: No space left on device (send it elsewhere, and run the command again "
    "for it)\n"
)


def run(command: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["bash", "-c", command], env=os.environ | environment, capture_output=True, check=False
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
@pytest.mark.parametrize("arguments", ["inspect {} --json", "splits {}", "--help", "--version"])
def test_output_on_a_full_disk_is_one_line_and_exit_1(small_corpus: Path, arguments: str) -> None:
    done = run(f"{TENOR} {arguments.format(small_corpus)} > /dev/full")
    assert (done.returncode, done.stderr.decode()) == (1, FULL)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
def test_an_error_keeps_its_exit_code_where_nothing_can_say_it(tmp_path: Path) -> None:
    assert run(f"{TENOR} inspect {tmp_path}/missing > /dev/full 2>&1").returncode == 1


def test_closed_streams_are_no_error(tmp_path: Path) -> None:
    row = '{"conversation_id": "c", "messages": [{"author": "a", "text": "hello"}], "mood": 1}'
    (tmp_path / "in.jsonl").write_text(row)
    for streams in (">&-", ">&- 2>&-", "<&- >&- 2>&-"):
        done = run(f"{TENOR} import {tmp_path}/in.jsonl {tmp_path}/corpus --replace {streams}")
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
        assert len(open_corpus(tmp_path / "corpus")) == 1
    done = run(f"{TENOR} inspect {tmp_path}/missing >&- 2>&-")
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "ascii:strict"])
def test_characters_that_the_encoding_lacks_become_question_marks(tmp_path: Path, encoding: str) -> None:
    row = '{"conversation_id": "c", "messages": [{"author": "a", "text": "hello"}], "日–": 1}'
    (tmp_path / "in.jsonl").write_text(row, encoding="utf-8")
    command = f"{TENOR} import {tmp_path}/in.jsonl {tmp_path}/corpus"
    done = run(command, PYTHONIOENCODING=encoding)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.splitlines()[-1] == b"ignored fields that tenor does not know: ?? (1)"
    done = run(f"{command} --replace", PYTHONIOENCODING="utf-8")
    assert done.stdout.decode().splitlines()[-1] == "ignored fields that tenor does not know: 日– (1)"


def test_little_output_into_a_closed_pipe_is_silent(small_corpus: Path) -> None:
    done = run(f"{TENOR} splits {small_corpus} | true; exit ${{PIPESTATUS[0]}}")
    assert (done.returncode, done.stderr) == (1, b"")
