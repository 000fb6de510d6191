"""Who uses a release: what the registry must know before it withdraws or promotes one."""

from collections.abc import Sequence

from sqlalchemy import func, select

from cloacina_core.foundation.digest import Digest
from cloacina_core.foundation.ids import RunId
from cloacina_core.model.run import RunCounts
from cloacina_core.model.status import RunStatus
from cloacina_core.store import schema
from cloacina_core.store.database import Database

_runs = schema.runs


class ReleaseUsage:
    """The runs of releases, counted where they are."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def live(self, digest: Digest) -> int:
        """Return how many runs of a release haven't ended."""
        query = select(func.count()).where(schema.LIVE, _runs.c.digest == digest)
        with self._database.read() as connection:
            return int(connection.execute(query.select_from(_runs)).scalar_one())

    def live_ids(self, digest: Digest, *, after: RunId | None, limit: int) -> Sequence[RunId]:
        """Return runs of a release that haven't ended, by id."""
        query = select(_runs.c.id).where(schema.LIVE, _runs.c.digest == digest)
        if after is not None:
            query = query.where(_runs.c.id > after)
        query = query.order_by(_runs.c.id).limit(limit)
        with self._database.read() as connection:
            return [RunId(one) for one in connection.scalars(query)]

    def canary(self, digest: Digest, channel: str, since: int) -> RunCounts:
        """Return how the runs did that got a release as the canary of a channel.

        Args:
            digest: the release.
            channel: the name of the channel.
            since: the revision of the channel from which on they count.
        """
        query = (
            select(_runs.c.status, func.count())
            .where(
                schema.CANARY,
                _runs.c.digest == digest,
                _runs.c.channel == channel,
                _runs.c.channel_revision >= since,
            )
            .group_by(_runs.c.status)
        )
        with self._database.read() as connection:
            counts = {RunStatus(status): count for status, count in connection.execute(query)}
        return RunCounts(
            live=sum(count for status, count in counts.items() if not status.is_final),
            succeeded=counts.get(RunStatus.SUCCEEDED, 0),
            failed=counts.get(RunStatus.FAILED, 0),
            cancelled=counts.get(RunStatus.CANCELLED, 0),
        )
