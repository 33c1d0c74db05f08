"""The command ``tenor``: its commands by name, and what happens to errors.

A TenorError is one line on standard error and exit code 1; wrong usage is exit code 2; anything else is a bug
and shows its traceback. Knows nothing of what the commands do.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Annotated

import typer
from typer.main import get_command

from tenor import __version__
from tenor.cli import (
    audit,
    demo,
    encode,
    import_,
    inspect,
    predict,
    profile,
    splits,
    test,
    train,
)
from tenor.cli.output import clean_line
from tenor.errors import TenorError

#: In the order of a day's work.
COMMANDS: dict[str, ModuleType] = {
    "import": import_,
    "encode": encode,
    "splits": splits,
    "audit": audit,
    "train": train,
    "test": test,
    "profile": profile,
    "predict": predict,
    "inspect": inspect,
    "demo": demo,
}

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
        command(module.run)
    return app


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 a TenorError, 2 wrong usage, 130 interrupted.

    Args:
        arguments: instead of the process's own.
    """
    try:
        get_command(build_app()).main(None if arguments is None else list(arguments), prog_name="tenor")
    except TenorError as error:
        sys.stderr.write(f"error: {clean_line(str(error))}\n")
        sys.exit(1)
