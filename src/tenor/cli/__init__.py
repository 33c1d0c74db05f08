"""The command line: one file a command, thin faces of the package's functions.

Nothing heavy is imported before a command runs, so that ``tenor --help`` is instant.
"""

from __future__ import annotations

from tenor.cli.app import main as main
