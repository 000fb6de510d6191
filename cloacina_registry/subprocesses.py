"""Programs that we start: what they may know of our environment, and how they end."""

import contextlib
import os
import signal
from subprocess import Popen

from cloacina_core.foundation.environ import DATABASE_LOGIN
from cloacina_core.settings import ENVIRONMENT_PREFIX, Settings

_SECRET = "CLOACINA_PASSPHRASE"  # noqa: S105 - the name of a variable, not its value


def environment() -> dict[str, str]:
    """Return our environment variables without the passphrase of the signing key.

    Build backends and package code are other people's programs; signing isn't their business.
    """
    return {name: value for name, value in os.environ.items() if name != _SECRET}


def environment_of_code(settings: Settings) -> dict[str, str]:
    """Return our environment variables without those that open a store, or are settings of ours.

    Args:
        settings: in force; they may name a variable with master keys.
    """
    withheld = DATABASE_LOGIN | {settings.key_variable}
    return {
        name: value
        for name, value in os.environ.items()
        if name not in withheld and not name.startswith(ENVIRONMENT_PREFIX)
    }


def end_group(process: Popen[bytes]) -> None:
    """End a process that leads a session, with all that it has started and left behind."""
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.wait()


def last_lines(text: str, limit: int = 40) -> str:
    """Return the end of what a program wrote, which is where it says what went wrong."""
    lines = text.rstrip().splitlines()
    left_out = len(lines) - limit
    shown = lines[-limit:]
    return "\n".join([f"... {left_out} lines before", *shown] if left_out > 0 else shown)
