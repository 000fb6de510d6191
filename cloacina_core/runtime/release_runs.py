"""The runs of a release, for plugins that withdraw or promote it."""

from collections.abc import Callable

from cloacina_core.errors import IllegalTransitionError, UnknownRunError
from cloacina_core.foundation.clock import Clock
from cloacina_core.foundation.digest import Digest
from cloacina_core.foundation.ids import IdFactory, RunId
from cloacina_core.model.command import Command, CommandKind
from cloacina_core.model.run import RunCounts
from cloacina_core.store.commands import CommandStore
from cloacina_core.store.database import Database
from cloacina_core.store.usage import ReleaseUsage

_PAGE = 500


class StoredReleaseRuns:
    """A `ReleaseRuns` (see `cloacina_core.plugin`) of a store, which is opened when it is asked."""

    def __init__(
        self,
        database: Callable[[], Database],
        clock: Clock,
        *,
        user: str,
        check: Callable[[], object],
    ) -> None:
        """Prepare.

        Args:
            database: opens the store.
            clock: makes ids.
            user: for whom runs are cancelled.
            check: raises `RoleTooLowError` when they may not be.
        """
        self._database = database
        self._ids = IdFactory(clock)
        self._user = user
        self._check = check

    def live(self, digest: Digest) -> int:
        """Return how many runs of a release haven't ended."""
        return ReleaseUsage(self._database()).live(digest)

    def canary(self, digest: Digest, channel: str, since: int) -> RunCounts:
        """Return how the runs did that got a release as the canary of a channel."""
        return ReleaseUsage(self._database()).canary(digest, channel, since)

    def cancel(self, digest: Digest, reason: str) -> int:
        """Ask for the end of all runs of a release, and return of how many.

        Engines that have them obey at once, others when they take them.
        """
        self._check()
        usage, commands = ReleaseUsage(self._database()), CommandStore(self._database())
        count = 0
        last: RunId | None = None
        while page := usage.live_ids(digest, after=last, limit=_PAGE):
            last = page[-1]
            count += sum(self._cancel(commands, run_id, reason) for run_id in page)
        return count

    def _cancel(self, commands: CommandStore, run_id: RunId, reason: str) -> bool:
        command = Command(
            id=self._ids.command_id(),
            run_id=run_id,
            kind=CommandKind.CANCEL,
            name=None,
            payload=None,
            reason=reason,
            asked_by=self._user,
        )
        try:
            commands.ask(command)
        except (IllegalTransitionError, UnknownRunError):  # it ended meanwhile
            return False
        return True
