"""What a release declares that starts its workflows. Nothing of it is on until an operator says."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # who only runs tasks needs neither cron expressions nor time zones
    from cloacina_core.model.polling.definition import DeclaredTrigger
    from cloacina_core.model.polling.enabled import TriggerState
    from cloacina_core.model.schedule.declared import DeclaredSchedule
    from cloacina_core.model.schedule.state import ScheduleState
    from cloacina_core.model.sending.declared import DeclaredSubscription
    from cloacina_core.model.sending.subscription import SubscriptionState


@dataclass(frozen=True, slots=True, kw_only=True)
class Starts:
    """What starts the workflows of a release, once it is switched on.

    It is no part of a workflow's definition: it changes when runs begin, and not what they do.
    """

    schedules: tuple["DeclaredSchedule", ...] = ()
    """Sorted by name."""
    subscriptions: tuple["DeclaredSubscription", ...] = ()
    """Sorted by name."""
    triggers: tuple["DeclaredTrigger", ...] = ()
    """Sorted by name."""

    @property
    def by_kind(
        self,
    ) -> Mapping[str, "Sequence[DeclaredSchedule | DeclaredSubscription | DeclaredTrigger]"]:
        """All of it, by what people call each kind."""
        return {
            "schedules": self.schedules,
            "subscriptions": self.subscriptions,
            "triggers": self.triggers,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class EnabledStarts:
    """What of a store starts what a channel of a package points to: each by name."""

    schedules: tuple["ScheduleState", ...] = ()
    subscriptions: tuple["SubscriptionState", ...] = ()
    triggers: tuple["TriggerState", ...] = ()
