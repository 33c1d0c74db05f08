"""SIGTERM as a wish: finish the step, save, and exit with EXIT_STATUS.

Knows nothing of what is saved.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

#: What a shell reports for a process ended by SIGTERM: 128 + 15.
EXIT_STATUS = 128 + signal.SIGTERM


class Interruption:
    """While entered, SIGTERM only sets `requested`; the old handler returns on exit.

    Signals reach the main thread alone, so in any other thread this changes nothing.
    """

    def __init__(self) -> None:
        self.requested = False
        self._before: Any = None

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGTERM, self._request)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._before is not None:
            signal.signal(signal.SIGTERM, self._before)

    def _request(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
