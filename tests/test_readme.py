"""Every example of the README and of the how-to pages runs, in the order of its page.

A fenced block marked ``<!-- not run -->`` on the line above it is left out. The Python blocks of a page share
one session, as a reader's would; a bash block runs with ``set -e`` and this interpreter's ``tenor``. Both
start in a folder that holds a small source ``chats.jsonl`` and its corpus ``data/analyzed_conversations``.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
NOT_RUN = "<!-- not run -->"
LANGUAGES = ("python", "bash")


@dataclass(frozen=True)
class Block:
    """One fenced block: its language, its code and the line of the page where the code begins."""

    language: str
    code: str
    line: int


def find_blocks(text: str) -> list[Block]:
    """The blocks of a page that are to run, in order."""
    lines = text.splitlines(keepends=True)
    blocks, start, language = [], None, ""
    for index, line in enumerate(lines):
        if not line.startswith("```"):
            continue
        if start is None:
            is_marked = index > 0 and lines[index - 1].strip() == NOT_RUN
            start, language = index + 1, "" if is_marked else line[3:].strip()
        else:
            if language in LANGUAGES:
                blocks.append(Block(language, "".join(lines[start:index]), start + 1))
            start = None
    return blocks


def find_pages() -> list[Path]:
    """README and the how-to pages that are there."""
    return [path for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))] if path.is_file()]


def run_bash(code: str, folder: Path) -> None:
    """Run a block as a shell would, with the scripts beside this interpreter first on the path."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", code],
        cwd=folder,
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{code}\n{done.stdout}{done.stderr}"


@pytest.mark.parametrize("page", find_pages(), ids=lambda page: page.name)
def test_every_block_of_a_page_runs(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_source: Callable[..., Path]
) -> None:
    blocks = find_blocks(page.read_text(encoding="utf-8"))
    if not blocks:
        pytest.skip(f"{page.name} has no block to run")
    from tenor import import_corpus

    monkeypatch.chdir(tmp_path)
    import_corpus(write_source(tmp_path / "chats.jsonl"), "data/analyzed_conversations")
    session: dict[str, Any] = {"__name__": "__main__"}
    for block in blocks:
        if block.language == "bash":
            run_bash(block.code, tmp_path)
        else:  # blank lines before it, so that a traceback names the page's own line
            exec(compile("\n" * (block.line - 1) + block.code, str(page), "exec"), session)


PAGE = """\
```python
pass
```
```bash
ls
```

<!-- not run -->
```bash
make demo
```

```text
tenor
```
"""


def test_blocks_are_found_with_their_lines_and_the_marked_ones_left_out() -> None:
    assert find_blocks(PAGE) == [Block("python", "pass\n", 2), Block("bash", "ls\n", 5)]
