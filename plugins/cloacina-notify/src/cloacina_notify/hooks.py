"""What Cloacina calls: a command, two tables, a service beside each engine, a look at its health.

The command line imports this module at every start. What a hook needs, it imports when it is
called.
"""

import logging
import random
from collections.abc import Sequence
from typing import TYPE_CHECKING

from cloacina_core.plugin import CommandSpec, EngineService, Finding, RuntimeView, hookimpl
from cloacina_notify.access import ACTS

if TYPE_CHECKING:
    from sqlalchemy import Table

_log = logging.getLogger(__name__)


@hookimpl
def cloacina_commands() -> Sequence[CommandSpec]:
    """Contribute `cloacina notify`."""
    text = "Tell people and programs how runs end: list, test, history, retry."
    return [CommandSpec("notify", "cloacina_notify.cli:notify", text, ACTS)]


@hookimpl
def cloacina_tables() -> "Sequence[Table]":
    """Contribute the messages, and where they go."""
    from cloacina_notify.tables import TABLES  # noqa: PLC0415 - it imports SQLAlchemy

    return TABLES


@hookimpl
def cloacina_services(view: RuntimeView) -> Sequence[EngineService]:
    """Contribute what sends; nothing where there is no file that says where to.

    A wrong destination is told of and left out: it must not keep an engine from working.
    """
    from cloacina_notify.configuration import FILE, read_file  # noqa: PLC0415 - seldom needed

    found = read_file(view.home / FILE)
    for problem in found.problems:
        _log.error("nobody is told by this destination: %s", problem)
    if not found.destinations:
        return []
    from cloacina_notify.courier import Courier  # noqa: PLC0415 - it imports SQLAlchemy

    chance = random.Random().random  # noqa: S311 - spreads tries; not the common one: tasks seed it
    return [Courier(view, found.destinations, chance)]


@hookimpl
def cloacina_doctor(view: RuntimeView) -> Sequence[Finding]:
    """Say whether destinations can be used, and how long something hasn't arrived."""
    from cloacina_notify.health import findings  # noqa: PLC0415 - it imports SQLAlchemy

    return list(findings(view))
