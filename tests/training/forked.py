"""What a child of the fork server becomes: a script with its own arguments, environment and output.

Run by the fixture ``launch`` with the global CHILD.
"""

from __future__ import annotations

import os
import runpy
import sys


def become(script: str, arguments: list[str], environment: dict[str, str], out: str, err: str) -> None:
    """Run `script` as a shell would have started it."""
    os.environ.update(environment)
    for path, descriptor in ((out, 1), (err, 2)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), descriptor)
    sys.argv = [script, *arguments]
    runpy.run_path(script, run_name="__main__")


become(*globals()["CHILD"])
