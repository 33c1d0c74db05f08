"""Standard output and standard error as a command may need them: closed, full, or of an encoding that lacks characters.

What cannot be printed must not undo what a command has done, nor look like a bug. Knows nothing of what is printed.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from collections.abc import Iterator

from tenor.errors import StorageError, describe_os_error


@contextlib.contextmanager
def sound_streams() -> Iterator[None]:
    """Replace streams that are closed by nothing, and standard output by one whose failures are errors of tenor's."""
    with contextlib.ExitStack() as stack:
        # a closed stream's number would go to the next file that is opened: it is taken at once
        if sys.stdout is None:
            stack.enter_context(contextlib.redirect_stdout(stack.enter_context(open(os.devnull, "w"))))
        elif sys.stdout is sys.__stdout__ and isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.flush()
            output = Output(sys.stdout)
            stack.callback(output.detach)  # which else closes the file when it goes
            stack.enter_context(contextlib.redirect_stdout(output))
        if sys.stderr is None:
            stack.enter_context(contextlib.redirect_stderr(stack.enter_context(open(os.devnull, "w"))))
        yield


class Output(io.TextIOWrapper):
    """Writes where a stream writes: a question mark for what its encoding lacks.

    Its `write` and `flush` raise StorageError where that is not possible, and BrokenPipeError, which is silent, where
    nobody reads on. What is written afterwards is dropped.
    """

    def __init__(self, stream: io.TextIOWrapper) -> None:
        super().__init__(
            stream.buffer,
            stream.encoding,
            "replace",
            line_buffering=stream.line_buffering,
            write_through=False,
        )

    def write(self, text: str, /) -> int:
        """See the class."""
        with self._explained():
            return super().write(text)

    def flush(self) -> None:
        """See the class."""
        with self._explained():
            super().flush()

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            # what it holds still would fail again at the interpreter's end
            with open(os.devnull, "wb") as nowhere:
                os.dup2(nowhere.fileno(), self.fileno())
            if error.errno == errno.EPIPE:
                raise
            raise StorageError(
                f"standard output cannot be written: {describe_os_error(error)} (send it elsewhere, and run the "
                "command again for it)"
            ) from error
