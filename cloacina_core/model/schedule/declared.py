"""Schedules as packages declare them."""

from cloacina_core.model.declared import Declared
from cloacina_core.model.schedule.schedule import Schedule


class DeclaredSchedule(Declared[Schedule]):
    """A schedule of a package, by its own name."""

    __slots__ = ()
    noun = "schedule"
    rules = Schedule

    def __str__(self) -> str:
        return f"{self.name}: {self.workflow} at {self.rule['cron']} ({self.rule['timezone']})"
