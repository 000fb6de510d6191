"""Moves subscriptions that a package declared on to what its next release declares."""

from typing import Any

from sqlalchemy import Connection, Row

from cloacina_core.model.following import Followed
from cloacina_core.model.sending.subscription import Subscription
from cloacina_core.store import schema
from cloacina_core.store.following import FollowingStore, gone_on, rested
from cloacina_core.store.subscription_rows import change, changed_body, held


class SubscriptionFollowing(FollowingStore[Subscription]):
    """Which subscriptions follow a release.

    For each event it is decided when it is sent whether it fits, by what is declared then.
    """

    table = schema.subscriptions

    def _lock(
        self, connection: Connection, name: str, followed: Followed[Subscription]
    ) -> Row[Any] | None:
        event = None if followed.rule is None else followed.rule.event
        return held(self._database, connection, name, event)

    def _move(
        self, connection: Connection, row: Row[Any], followed: Followed[Subscription], now: int
    ) -> None:
        if followed.rule is None:
            change(connection, row.name, now, **rested(row, followed))
        else:
            body = changed_body(row, followed.rule)
            change(connection, row.name, now, **body, **gone_on(row, followed))
