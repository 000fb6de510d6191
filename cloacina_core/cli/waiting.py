"""Waiting for a run that this process works on, and telling how it ended."""

from typing import TYPE_CHECKING

from cloacina_core.cli.console import EXIT_INTERRUPTED, Console
from cloacina_core.cli.results import exit_status, told
from cloacina_core.errors import ResultTimeoutError
from cloacina_core.model.run import RunResult

if TYPE_CHECKING:
    from cloacina_core.runtime import RunHandle


def wait(handle: "RunHandle", timeout: float | None) -> RunResult | None:
    """Wait for a run; None when Ctrl-C ended the wait, which doesn't end the run.

    Raises:
        ResultTimeoutError: it hasn't ended in time; what is done is kept.
    """
    try:
        return handle.result(timeout)
    except KeyboardInterrupt:
        return None
    except ResultTimeoutError as error:
        error.hint = f"go on with: cloacina runs resume {handle.id}"
        raise


def tell(console: Console, handle: "RunHandle", result: RunResult | None) -> int:
    """Print how a run ended, and return the exit status."""
    if result is None:
        console.say(f"left run {handle.id} as it is; go on with: cloacina runs resume {handle.id}")
        return EXIT_INTERRUPTED
    console.emit(result.to_json(), told(console, result))
    return exit_status(result)
