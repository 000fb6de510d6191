"""What a release declares that starts its workflows. Nothing of it is on until an operator says."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # who only runs tasks needs neither cron expressions nor time zones
    from cloacina_core.model.polling.definition import DeclaredTrigger
    from cloacina_core.model.schedule.declared import DeclaredSchedule


@dataclass(frozen=True, slots=True, kw_only=True)
class Starts:
    """What starts the workflows of a release, once it is switched on.

    It is no part of a workflow's definition: it changes when runs begin, and not what they do.
    """

    schedules: tuple["DeclaredSchedule", ...] = ()
    """Sorted by name."""
    triggers: tuple["DeclaredTrigger", ...] = ()
    """Sorted by name."""
