"""What of a store starts runs of a release, of whichever kind."""

from cloacina_core.model.polling.enabled import EnabledTrigger
from cloacina_core.model.release import Reference
from cloacina_core.model.schedule.schedule import Schedule
from cloacina_core.model.sending.subscription import Subscription
from cloacina_core.model.starts import EnabledStarts
from cloacina_core.store.database import Database
from cloacina_core.store.schedules import ScheduleStore
from cloacina_core.store.subscriptions import SubscriptionStore
from cloacina_core.store.triggers import TriggerStore


def starts_on(database: Database, package: str, channel: str) -> EnabledStarts:
    """Return what starts runs of what a channel of a package points to."""

    def is_on(rule: Schedule | Subscription | EnabledTrigger) -> bool:
        reference = Reference.parse(rule.reference)
        return (reference.package, reference.channel) == (package, channel)

    schedules = ScheduleStore(database).all()
    subscriptions = SubscriptionStore(database).all()
    triggers = TriggerStore(database).all()
    return EnabledStarts(
        schedules=tuple(one for one in schedules if is_on(one.schedule)),
        subscriptions=tuple(one for one in subscriptions if is_on(one.subscription)),
        triggers=tuple(one for one in triggers if is_on(one.trigger)),
    )
