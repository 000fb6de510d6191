"""Keeps one engine alive: when it loses its lease, another incarnation of it goes on.

A lease is lost when the database or the network was silent for too long, or the process slept.
The next incarnation has an id of its own, so nothing that the last one still does can count.
"""

import logging
import random
import threading
from collections.abc import Callable
from datetime import timedelta

from cloacina_core.engine.engine import Engine
from cloacina_core.engine.lease_keeper import LeaseKeeper
from cloacina_core.errors import StoreError, StoreUnavailableError
from cloacina_core.foundation.clock import Clock
from cloacina_core.foundation.ids import RunId
from cloacina_core.store.ownership import Ownership

_log = logging.getLogger(__name__)

_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0
"""Seconds before it is tried again to begin anew."""

_PATIENCE_SECONDS = 10.0
"""How long one who needs an engine waits while there is none."""


class Incarnations:
    """Runs one engine after the other in a thread."""

    def __init__(
        self,
        make: Callable[[], Engine],
        *,
        ownership: Ownership,
        version: str,
        lease: timedelta,
        clock: Clock,
        on_lost: Callable[[], object],
        on_new: Callable[[], object],
    ) -> None:
        """Prepare the first one.

        Args:
            make: makes an engine with an id of its own.
            ownership: registers it and renews its lease.
            version: told to others.
            lease: after how long without a renewal others take an engine's runs.
            clock: measures that.
            on_lost: called when the lease is lost, from any thread.
            on_new: called when another incarnation goes on.
        """
        self._make = make
        self._ownership = ownership
        self._version = version
        self._lease = lease
        self._clock = clock
        self._on_lost = on_lost
        self._on_new = on_new
        self._engine = make()
        self._keeper: LeaseKeeper | None = None
        self._left: list[RunId] = []
        self._chance = random.Random()  # noqa: S311 - not the common one, which tasks may seed
        self._closing = threading.Event()
        self._is_there = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cloacina-engine", daemon=True)

    def start(self) -> None:
        """Begin.

        Raises:
            StoreError: the engine can't be registered.
        """
        self._register(self._engine)
        self._thread.start()

    @property
    def engine(self) -> Engine:
        """The engine that works now, or did last."""
        return self._engine

    def ready(self) -> Engine:
        """Return the engine that works now; wait a little when there is none at the moment.

        Raises:
            StoreUnavailableError: there still is none.
        """
        if not self._is_there.wait(0 if self._closing.is_set() else _PATIENCE_SECONDS):
            raise StoreUnavailableError(
                "the engine lost its lease and can't begin anew: the store doesn't answer",
                hint="try again; runs that were accepted go on when it answers",
            )
        return self._engine

    def left_behind(self) -> list[RunId]:
        """Return the runs that former incarnations had, and forget them."""
        left, self._left = self._left, []
        return left

    def stop(self) -> None:
        """Give all runs back and end."""
        self._closing.set()
        self._engine.request_stop()
        self._thread.join()
        if self._keeper is not None:
            self._keeper.stop()
        try:
            self._ownership.stop(self._engine.id)
        except StoreError as error:  # the engine is gone all the same: others will find that out
            _log.warning("the runs of engine %s aren't given back: %s", self._engine.id, error)

    def _register(self, engine: Engine) -> None:
        keeper = LeaseKeeper(
            lambda: self._ownership.renew(engine.id, engine.load()),
            lease=self._lease,
            clock=self._clock,
            on_lost=lambda reason: self._lose(engine, reason),
        )
        self._ownership.register(engine.id, self._version)
        self._engine, self._keeper = engine, keeper
        keeper.start()
        self._is_there.set()

    def _lose(self, engine: Engine, reason: str) -> None:
        self._is_there.clear()
        engine.fence(reason)
        self._on_lost()

    def _run(self) -> None:
        while True:
            if self._closing.is_set():  # `stop` may have asked the one before
                self._engine.request_stop()
            self._engine.run_forever()
            if self._closing.is_set():
                return
            self._is_there.clear()
            if self._keeper is not None:
                self._keeper.stop()
            self._begin_anew(self._engine)

    def _begin_anew(self, old: Engine) -> None:
        pause = _SHORTEST_PAUSE
        while not self._closing.is_set():
            try:
                self._ownership.stop(old.id)  # its runs are free at once, and no engine died
                self._register(self._make())
            except StoreError as error:
                _log.warning("the engine can't begin anew; trying again: %s", error)
                # Many engines that lost one server must not come back in step.
                self._closing.wait(pause * self._chance.uniform(0.5, 1.5))
                pause = min(pause * 2, _LONGEST_PAUSE)
            else:
                _log.warning("engine %s goes on as %s", old.id, self._engine.id)
                self._left += old.live_runs()
                self._on_new()
                return
