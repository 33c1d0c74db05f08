"""What the fuzz targets share: any bytes given to a reader end in success or in tenor's own error, in bounded time.

Needs atheris. A target is run as ``python fuzz/fuzz_jsonl.py -max_total_time=120``; libFuzzer's other flags work too.
Knows nothing of formats.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["tenor.corpus.readers"]):
    from tenor.corpus.readers import ColumnMap, Limits, Reject, Tally
    from tenor.corpus.readers.csv import read_csv as read_csv
    from tenor.corpus.readers.huggingface import read_arrow as read_arrow
    from tenor.corpus.readers.jsonl import read_jsonl as read_jsonl
    from tenor.corpus.readers.parquet import read_parquet as read_parquet
from tenor.corpus.schema import Conversation
from tenor.errors import InputError

Reader = Callable[[Path, ColumnMap | None, Limits | None, Tally | None], Iterator[Conversation | Reject]]

#: Small, so that the fuzzer reaches them.
LIMITS = Limits(max_row_bytes=4096, max_messages=50, max_text_characters=500, ratio_free_bytes=1 << 16)
#: A single input must not take longer, nor the process more memory.
FLAGS = ["-timeout=20", "-rss_limit_mb=2048", "-print_final_stats=0"]


def check(reader: Reader, path: Path) -> None:
    """Read a file and check what comes out; only tenor's own error may leave the reader."""
    tally, rows = Tally(), 0
    try:
        for item in reader(path, None, LIMITS, tally):
            if isinstance(item, Reject):
                rows += item.rows
                continue
            rows += len(item.authors) if tally.unit == "message" else 1
            count = len(item.authors)
            lists = (item.texts, item.timestamps, item.features)
            if count == 0 or not all(item.authors) or any(x is not None and len(x) != count for x in lists):
                raise AssertionError("a conversation that breaks the rules came through")
            "".join([item.conversation_id, *item.authors, *(item.texts or [])]).encode()
    except InputError as error:
        str(error).encode("utf-8", "strict")
        return
    if rows != tally.rows:
        raise AssertionError(f"rows are lost: {tally.rows} in, {rows} out or rejected")


def fuzz(reader: Reader, suffixes: list[str], seeds: Iterable[bytes], words: Iterable[str] = ()) -> None:
    """Run libFuzzer on a reader; the first byte of an input picks the file's suffix.

    Args:
        reader: the reader.
        suffixes: of the files to write, such as ``.jsonl`` and ``.jsonl.gz``.
        seeds: contents to begin with, the first for the first suffix and so on, round and round.
        words: of the format, ASCII only, for the fuzzer to put in.
    """
    folder = Path(tempfile.mkdtemp(prefix="tenor-fuzz-"))
    corpus = folder / "corpus"
    corpus.mkdir()
    for number, seed in enumerate(seeds):
        (corpus / str(number)).write_bytes(bytes([number % len(suffixes)]) + seed)
    dictionary = folder / "words"
    escaped = ("".join(f"\\x{byte:02x}" for byte in word.encode()) for word in words)
    dictionary.write_text("".join(f'"{word}"\n' for word in escaped) + '"null"\n')

    def test_one_input(data: bytes) -> None:
        if data:
            path = folder / f"in{suffixes[data[0] % len(suffixes)]}"
            path.write_bytes(data[1:])
            check(reader, path)

    is_replay = any(Path(argument).is_file() for argument in sys.argv[1:])  # of an input that failed before
    flags = [*FLAGS, f"-dict={dictionary}", *sys.argv[1:], *([] if is_replay else [str(corpus)])]
    atheris.Setup([sys.argv[0], *flags], test_one_input)
    try:
        atheris.Fuzz()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
