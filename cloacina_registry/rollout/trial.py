"""Whether a release can be loaded here: tried in a process of its own, before runs depend on it."""

import json
import subprocess
import sys
import tempfile
from datetime import timedelta

from cloacina_core.errors import Problem
from cloacina_registry.errors import LoadError
from cloacina_registry.rollout import trial_child
from cloacina_registry.subprocesses import end_group, environment, last_lines
from cloacina_registry.wheel.checked import CheckedWheel

TRIAL_LIMIT = timedelta(seconds=60)
"""How long a release may take to load."""


def try_loading(wheel: CheckedWheel, data: bytes, *, limit: timedelta = TRIAL_LIMIT) -> None:
    """Load every workflow of a release, as an engine of this environment would.

    Args:
        wheel: the release.
        data: the bytes of its wheel.
        limit: how long it may take.

    Raises:
        LoadError: it can't be loaded, takes too long, or isn't what its manifest says; `problems`
            says of what kind: `load-crashed`, `load-timeout`, or as loading tells.
    """
    command = [sys.executable, "-P", "-m", trial_child.__name__, wheel.filename, wheel.digest]
    # What it says goes to a file: a process that it leaves behind may keep a pipe open for ever.
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(  # noqa: S603 - this Python, with a module of ours
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            env=environment(),
            start_new_session=True,
        ) as process,
    ):
        try:
            output, _ = process.communicate(data, timeout=limit.total_seconds())
        except subprocess.TimeoutExpired:
            message = f"loading it didn't end within {limit.total_seconds():g} s"
            raise _failure(wheel, [Problem("load-timeout", message)]) from None
        finally:
            end_group(process)
        said.seek(0)
        errors = said.read()
    problems = _answer(output)
    if problems is None:
        last = last_lines(errors.decode(errors="replace")) or "it wrote nothing"
        message = f"loading it ended the process with status {process.returncode}: {last}"
        raise _failure(wheel, [Problem("load-crashed", message)])
    if problems:
        raise _failure(wheel, problems)


def _answer(output: bytes) -> list[Problem] | None:
    """Return the problems that were told; None: it ended without an answer."""
    try:
        return [Problem(**problem) for problem in json.loads(output)]
    except (ValueError, TypeError):
        return None


def _failure(wheel: CheckedWheel, problems: list[Problem]) -> LoadError:
    return LoadError(
        f"{wheel.name} {wheel.version} can't be loaded here",
        hint="nothing was changed; mend the package, or the environment of the engines",
        problems=problems,
    )
