"""SIGTERM, and the first Ctrl-C, as a wish: finish the step, save, and exit.

Knows nothing of what is saved.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

#: Those that wait for the end of the step.
SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Interruption:
    """While entered, SIGTERM and a first SIGINT only set `requested`; a second SIGINT is a KeyboardInterrupt.

    The old handlers return on exit. Signals reach the main thread alone, so in any other thread this changes nothing.

    Attributes:
        number: the signal that came; SIGTERM as long as none did, for it may come to another process.
    """

    def __init__(self) -> None:
        self.requested = False
        self.number = signal.SIGTERM
        self._before: dict[signal.Signals, Any] = {}

    @property
    def exit_status(self) -> int:
        """What a shell reports for a process that the signal ended."""
        return 128 + self.number

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._request) for number in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _request(self, number: int, frame: FrameType | None) -> None:
        if self.requested and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.requested, self.number = True, signal.Signals(number)
