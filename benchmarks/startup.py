"""How long `import tenor` and `tenor --help` take, beside the bare interpreter.

Claims: the import at most 0.15 s more than the bare interpreter; the help page in under 0.3 s in all.

    python benchmarks/startup.py [--quick]
"""

from __future__ import annotations

import subprocess
import sys

from _common import median, parse_options, print_claims, print_machine, print_table, seconds_of, take_turns

COMMANDS = {
    "bare interpreter": [sys.executable, "-c", "pass"],
    "import tenor": [sys.executable, "-c", "import tenor"],
    "tenor --help": [sys.executable, "-m", "tenor", "--help"],
    "import torch": [sys.executable, "-c", "import torch"],
}


def main() -> None:
    """Print the median seconds of each command and its ratio to the bare interpreter."""
    options = parse_options(__doc__)
    print_machine()

    def start(command: list[str]) -> float:
        return seconds_of(lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL))

    contestants = {name: (lambda command=command: start(command)) for name, command in COMMANDS.items()}
    take_turns(contestants, 1)  # warm: compiled modules, files in memory
    seconds = {
        name: median(found) for name, found in take_turns(contestants, 2 if options.quick else 9).items()
    }
    bare = seconds["bare interpreter"]
    rows = [
        (name, f"{value:.3f}", f"{value - bare:+.3f}", f"{value / bare:.1f}")
        for name, value in seconds.items()
    ]
    print_table(("command", "seconds", "more than bare", "ratio"), rows)
    more = seconds["import tenor"] - bare
    print_claims(
        [
            ("import tenor: 0.15 s / what it takes more than the bare interpreter", 1.0, 0.15 / more),
            ("tenor --help: 0.3 s / what it takes", 1.0, 0.3 / seconds["tenor --help"]),
        ]
    )


if __name__ == "__main__":
    main()
