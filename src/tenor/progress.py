"""Progress bars with the time left, on standard error, only where a person watches.

Knows nothing of what is counted.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def progress_bar(
    description: str, total: int | None, *, enabled: bool = True
) -> Iterator[Callable[[int], None]]:
    """Show a bar while the body runs; the body calls the yielded function with how many more are done.

    Args:
        description: what is done, such as ``"encoding"``.
        total: how many there are; None when not known.
        enabled: False shows nothing. A standard error that is no terminal shows nothing either.
    """
    from rich.console import Console  # imported here: rich costs 40 ms that `tenor --help` need not pay
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not (enabled and console.is_terminal)) as progress:
        task = progress.add_task(description, total=total)
        yield lambda count: progress.advance(task, count)
