"""The command ``tenor``: its commands by name, and what happens to errors.

A TenorError is one line on standard error and exit code 1, or 2 where it is about an argument's value, as all wrong
usage is; anything else is a bug and shows its traceback. Standard output that cannot be written is such an error too,
but silent where nobody reads on. Of several processes that were launched together only the
first speaks on standard output, and warns. Knows nothing of what the commands do.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from types import FrameType, ModuleType
from typing import Annotated, Any, NoReturn

import typer
from typer.main import get_command

from tenor import __version__
from tenor.cli import (
    audit,
    compare,
    demo,
    encode,
    explain,
    import_,
    inspect,
    predict,
    profile,
    report,
    splits,
    test,
    train,
    tune,
)
from tenor.cli.output import clean_line
from tenor.cli.streams import sound_streams
from tenor.errors import TenorError, UsageError
from tenor.processes import process_count, process_rank

#: In the order of a day's work.
COMMANDS: dict[str, ModuleType] = {
    "import": import_,
    "encode": encode,
    "splits": splits,
    "audit": audit,
    "train": train,
    "tune": tune,
    "test": test,
    "profile": profile,
    "predict": predict,
    "compare": compare,
    "explain": explain,
    "report": report,
    "inspect": inspect,
    "demo": demo,
}

#: Commands whose work several processes share, and those that must be alone; of the others' the first does all.
SHARED = frozenset({"encode", "train", "test", "profile", "predict"})
ALONE = frozenset({"explain", "demo", "tune"})

EXAMPLES = """
\b
A day's work:
  tenor import chats.jsonl.gz corpus
  tenor encode corpus analyzed
  tenor splits analyzed
  tenor train conversation analyzed --model models/conversation.safetensors
  tenor test models/conversation.safetensors analyzed

\b
See it run on real chats first:
  tenor demo --out demo-out
"""


def show_version(wanted: bool) -> None:
    """Print the version and stop."""
    if wanted:
        typer.echo(f"tenor {__version__}")
        raise typer.Exit


def describe(
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Train, evaluate and explain classifiers of conversations and of the people in them."""


def build_app() -> typer.Typer:
    """The typer app with every command."""
    app = typer.Typer(
        add_completion=False,
        pretty_exceptions_enable=False,  # they show local variables, and those hold messages of chats
        rich_markup_mode=None,  # rich would cost `tenor --help` half of its time
        no_args_is_help=True,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )
    app.callback(epilog=EXAMPLES)(describe)
    for name, module in COMMANDS.items():
        is_complete = name == "demo"  # the one command that needs no arguments
        command = app.command(
            name, short_help=module.SUMMARY, epilog=module.EXAMPLES, no_args_is_help=not is_complete
        )
        command(module.run if name in SHARED else on_first_process(module.run, name))
    return app


def on_first_process(run: Callable[..., None], name: str) -> Callable[..., None]:
    """A command that returns at once in all but the first of several processes; the launcher waits for that one."""

    @functools.wraps(run)
    def run_once(**options: Any) -> None:  # noqa: ANN401 - handed on
        if name in ALONE and process_count() > 1:
            raise UsageError(
                f"tenor {name} runs in one process, not in {process_count()}: start it by itself"
            )
        if process_rank() == 0:
            run(**options)

    return run_once


@contextlib.contextmanager
def _ending_by_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP become SystemExit inside, unless somebody else handles or ignores them, as nohup does."""
    with contextlib.ExitStack() as stack:
        if threading.current_thread() is threading.main_thread():  # no other may
            for number in (signal.SIGTERM, signal.SIGHUP):
                if signal.getsignal(number) is signal.SIG_DFL:
                    stack.callback(signal.signal, number, signal.signal(number, _exit))
        yield


def _exit(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 a TenorError, 2 wrong usage (a UsageError too), 130 interrupted.

    SIGTERM and a lost terminal end a command as Ctrl-C does, with 143 and 129: what is half written, such as a copy of
    chats, is removed on the way out. Of SIGTERM the steps of a training make their own sense (training.interruption).

    Args:
        arguments: instead of the process's own.
    """
    # Arrow's own allocator keeps what it was given, which numpy then cannot have: a tenth of a profile's memory.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    rank = process_rank()
    with contextlib.ExitStack() as stack:
        stack.enter_context(sound_streams())
        stack.enter_context(_ending_by_signals())
        if rank > 0:
            silence = stack.enter_context(open(os.devnull, "w"))
            stack.enter_context(contextlib.redirect_stdout(silence))
            logger = logging.getLogger("tenor")
            stack.callback(logger.setLevel, logger.level)
            logger.setLevel(logging.ERROR)
        try:
            _run(arguments)
        except TenorError as error:
            speaker = f" (process {rank})" if rank > 0 else ""
            with contextlib.suppress(OSError):  # the exit code says it too
                sys.stderr.write(f"error{speaker}: {clean_line(str(error))}\n")
            sys.exit(2 if isinstance(error, UsageError) else 1)


def _run(arguments: Sequence[str] | None) -> None:
    """Run the command line; what it has printed is out before it ends, so that a failure to do so is known."""
    try:
        get_command(build_app()).main(None if arguments is None else list(arguments), prog_name="tenor")
    except SystemExit:
        try:
            sys.stdout.flush()
        except BrokenPipeError:
            sys.exit(1)
        raise
