"""The peak memory of an import, of the whole process and not only of Python's objects."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tenor.synthetic import SyntheticPlan, generate_conversations, write_jsonl

NAMES = ("conversation_id", "author", "text", "timestamp", "label", "author_label")
#: VmHWM and not getrusage's ru_maxrss, which begins at the peak of the process that started this one.
CODE = """
import re, sys
from pathlib import Path
from tenor.corpus.importing import import_corpus
import_corpus(sys.argv[1], sys.argv[2])
loaded = [name for name in ("pandas", "torch", "datasets") if name in sys.modules]
print(re.search(r"VmHWM:\\s+([0-9]+) kB", Path("/proc/self/status").read_text())[1], *loaded)
"""


pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak from /proc")


def write_source(path: Path, messages: int) -> Path:
    """A source of about so many messages, 12 a conversation, in the format of the path's suffix."""
    conversations = generate_conversations(SyntheticPlan(conversations=messages // 12))
    if ".jsonl" in path.name:
        return write_jsonl(conversations, path)
    rows = (
        (one.conversation_id, author, text, time, one.label, one.author_labels[author])
        for one in conversations
        for author, text, time in zip(one.authors, one.texts or [], one.timestamps or [], strict=True)
    )
    if path.suffix == ".csv":
        with path.open("w", newline="") as handle:
            csv.writer(handle).writerows([NAMES, *rows])
    else:
        columns = zip(*rows, strict=True)
        pq.write_table(pa.table(dict(zip(NAMES, columns, strict=True))), path, row_group_size=50_000)
    return path


def peak_of_import(folder: Path, messages: int, suffix: str) -> int:
    """The peak resident memory of a process that imports such a source, in kilobytes."""
    source = write_source(folder / f"{messages}{suffix}", messages)
    command = [sys.executable, "-c", CODE, str(source), str(folder / f"{messages}")]
    found = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    assert found[1:] == []  # an import needs none of the heavy packages
    return int(found[0])


@pytest.mark.long
@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz", ".csv", ".parquet"])
def test_ten_times_the_file_takes_at_most_half_more_memory(tmp_path: Path, suffix: str) -> None:
    small, large = (peak_of_import(tmp_path, messages, suffix) for messages in (100_000, 1_000_000))
    assert large <= 1.5 * small


def test_twice_the_file_takes_hardly_more_memory(tmp_path: Path) -> None:
    small, large = (peak_of_import(tmp_path, messages, ".jsonl") for messages in (100_000, 200_000))
    assert large <= 1.2 * small
