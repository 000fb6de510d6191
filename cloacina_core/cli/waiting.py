"""Waiting for a run that this process works on."""

from typing import TYPE_CHECKING

from cloacina_core.cli.console import EXIT_INTERRUPTED, Console
from cloacina_core.cli.results import exit_status, told
from cloacina_core.errors import ResultTimeoutError

if TYPE_CHECKING:
    from cloacina_core.runtime import RunHandle


def wait_and_tell(console: Console, handle: "RunHandle", timeout: float | None) -> int:
    """Wait for a run, print it, and return the exit status.

    Ctrl-C ends the wait, not the run: what is done is kept, and the run can go on later.
    """
    try:
        result = handle.result(timeout)
    except KeyboardInterrupt:
        console.say(f"left run {handle.id} as it is; go on with: cloacina runs resume {handle.id}")
        return EXIT_INTERRUPTED
    except ResultTimeoutError as error:
        error.hint = f"go on with: cloacina runs resume {handle.id}"
        raise
    console.emit(result.to_json(), told(console, result))
    return exit_status(result)
