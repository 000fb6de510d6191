"""The process that the kill test of schedules starts: an engine that dies between two steps.

Run as `python -m support.killed_schedules HOME URL STEP`, with the step behind which it is killed:
a firing becomes a row that is due (`decided`), is claimed (`claimed`), its run is accepted
(`accepted`), and the row says so (`noted`).
"""

import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from support.runs import PATIENCE, open_runtime

import cloacina_registry.hooks
from cloacina_core.plugin.manager import Plugins
from cloacina_core.runtime import Runtime
from cloacina_core.store.schedules import ScheduleStore

STEPS: dict[str, tuple[type, str]] = {
    "decided": (ScheduleStore, "decide"),
    "claimed": (ScheduleStore, "claim"),
    "accepted": (Runtime, "_start_scheduled"),
    "noted": (ScheduleStore, "started"),
}
"""What does each step; all but the last say whether they did something."""


def killed_behind(step: Callable[..., Any], *, always: bool) -> Callable[..., Any]:
    """Return a step that kills this process when it has done something."""

    def does(*arguments: Any) -> Any:
        done = step(*arguments)
        if done or always:
            os.kill(os.getpid(), signal.SIGKILL)
        return done

    return does


def main(home: str, url: str, name: str) -> None:
    """Be an engine until the step is done."""
    owner, method = STEPS[name]
    setattr(owner, method, killed_behind(getattr(owner, method), always=name == "noted"))
    plugins = Plugins()
    plugins.add(cloacina_registry.hooks, "registry")
    with open_runtime(Path(home), url, plugins=plugins):
        threading.Event().wait(PATIENCE)


if __name__ == "__main__":
    main(*sys.argv[1:])
