"""Subscriptions, as programs use them: made, switched on, changed, and asked what they did."""

from collections.abc import Sequence
from typing import Any

from cloacina_core.model.sending.subscription import Delivery, Subscription, SubscriptionState
from cloacina_core.runtime.enabling import FollowingRules
from cloacina_core.services.declarations import SUBSCRIPTIONS
from cloacina_core.store.subscription_following import SubscriptionFollowing
from cloacina_core.store.subscriptions import SubscriptionStore


class Subscriptions(FollowingRules[Subscription, SubscriptionState]):
    """Which workflows are started for sent events. Safe to use from any thread."""

    _kind = SUBSCRIPTIONS

    @property
    def _store(self) -> SubscriptionStore:
        return SubscriptionStore(self._database())

    @property
    def _following(self) -> SubscriptionFollowing:
        return SubscriptionFollowing(self._database())

    def add(
        self, name: str, reference: str, *, event: str, paused: bool = False, **options: Any
    ) -> tuple[SubscriptionState, bool]:
        """Have a run started for each event that fits, from now on; each exactly once.

        Args:
            name: unique in the store. Adding the same subscription again changes nothing.
            reference: what to run; it must mean something now, and is resolved anew for each event.
            event: the name of the events.
            paused: whether events aren't delivered until it is resumed.
            **options: `where`, a condition on what the event carries, see `Condition`; `params` of
                the runs, where a text like `"$.order.id"` is taken from there; `priority`.

        Returns:
            The subscription as it is kept, and whether it is new.

        Raises:
            InputError: a part can't be used, or the params don't fit the workflow.
            NotFoundError: there is no such package, release, channel or workflow.
            SubscriptionExistsError: another subscription has the name.
        """
        subscription = Subscription.checked(name, reference, event=event, **options)
        self._check(subscription)
        return self._store.add(subscription, is_paused=paused)

    def update(self, name: str, **changes: Any) -> SubscriptionState:
        """Change fields of a subscription, as `Subscription.to_json` names them.

        What was sent before is delivered as it was decided then.

        Raises:
            UnknownSubscriptionError: there is none of this name.
            InputError: a value can't be used, or the params don't fit the workflow.
            NotFoundError: there is no such package, release, channel or workflow.
        """
        return self._store.update(name, changes, self._check)

    def history(
        self, name: str, *, before: str | None = None, limit: int = 50
    ) -> Sequence[Delivery]:
        """Return what became of the events that fit a subscription, newest first.

        Args:
            name: of the subscription.
            before: the id of an event in it: only events that were sent before that one.
            limit: how many at most.

        Raises:
            UnknownSubscriptionError: there is none of this name.
            UnknownEventError: no such event is in its history.
        """
        return self._store.history(name, before=before, limit=limit)
