"""Does a command in a process of its own, and stands in for it towards whoever ends this one."""

import contextlib
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from types import FrameType


def run_in_its_place(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run a command to its end; return its status, which is negative when a signal ended it.

    SIGTERM is passed on, and the command's end is waited for: it isn't left behind. Ctrl-C reaches
    the command by itself, as it is in the terminal's group of processes like this one; so nothing
    is done here, and it is told once. To be called in the main thread.

    Args:
        command: the program and its arguments.
        environment: its variables.
    """
    with _told_to_end() as waiting:
        process = subprocess.Popen(command, env=environment)  # noqa: S603 - the caller's program
        waiting.process = process
        if waiting.was_told:  # before there was anybody to pass it on to
            process.terminate()
        return process.wait()


class _Waiting:
    """What is to be ended, and whether somebody has said so."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self.was_told = False

    def end(self, _number: int, _frame: FrameType | None) -> None:
        self.was_told = True
        if self.process is not None:
            self.process.terminate()

    def leave_to_the_command(self, _number: int, _frame: FrameType | None) -> None:
        # A function, since a process that is started inherits signals that are ignored.
        pass


@contextlib.contextmanager
def _told_to_end() -> Iterator[_Waiting]:
    waiting = _Waiting()
    handlers = {signal.SIGTERM: waiting.end, signal.SIGINT: waiting.leave_to_the_command}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield waiting
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
