"""One command that serves all tenants: an engine each, with a process and credentials of its own.

What tenants share is this process, which runs no code of theirs, and the host. An engine is given
the environment without the administrator's URL, and a role that can do what the tenant can. They
share one number of slots, evenly between those that want any: see `slot_sharing`.
"""

import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cloacina_core.errors import CloacinaError
from cloacina_core.foundation.environ import DATABASE_LOGIN
from cloacina_core.model.tenant import Tenant, TenantState
from cloacina_core.runtime.administration import DatabaseAdmin
from cloacina_core.runtime.passing_on import run_in_its_place
from cloacina_core.runtime.slot_sharing import SlotSharing
from cloacina_core.settings import ENVIRONMENT_PREFIX, NO_PROJECT, Settings

_log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
"""How often it is looked which tenants there are, and which engines ended."""

SHORTEST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
"""Seconds before an engine that ended by itself is started again; doubled each time."""

STEADY_SECONDS = 60.0
"""An engine that worked for so long begins with the shortest pause again."""

_KILL_SECONDS = 15.0
"""How much longer than it has to drain an engine may take to end before it is killed."""

_WITHHELD = DATABASE_LOGIN | frozenset(
    f"{ENVIRONMENT_PREFIX}{name}"
    for name in ("DATABASE_URL", "HOME", "BLOB_STORE", "API_KEY", "SECRET_KEY", "SECRET_PROVIDERS")
)
"""Environment variables that tell of the administrator's rights, or of what only he has."""

_SERVED = (TenantState.ACTIVE, TenantState.SUSPENDED, TenantState.DRAINING)
"""States in which an engine that works goes on: it lets what runs end."""


@dataclass(slots=True)
class _Served:
    """A tenant, and its engine if it has one."""

    tenant: Tenant
    process: "subprocess.Popen[bytes] | None" = None
    lent: str = ""
    """The credentials of the engine, to be given back."""
    started: float = 0.0
    ends_by: float | None = None
    """When the engine, which was asked to end, is killed."""
    pause: float = SHORTEST_PAUSE
    not_before: float = 0.0
    """When the next engine may be started."""


class SharedEngines:
    """Keeps an engine at work for each active tenant, found and dropped while it runs."""

    def __init__(
        self,
        admin: DatabaseAdmin,
        environment: Mapping[str, str],
        *,
        slots: int,
        drain_seconds: float,
        told: Callable[[str], object],
    ) -> None:
        """Prepare.

        Args:
            admin: of the tenants.
            environment: what engines get besides: see `environment_of_engines`.
            slots: how many tasks run at a time, of all tenants together.
            drain_seconds: how long attempts of an engine that is to end may take.
            told: told what is started and what ended.
        """
        self._admin = admin
        self._environment = environment
        self._slots = slots
        self._sharing = SlotSharing(slots)
        self._drain_seconds = drain_seconds
        self._told = told
        self._served: dict[str, _Served] = {}

    def run(self, stopping: threading.Event) -> None:
        """Serve until an event is set, then let all engines end; returns when they have."""
        try:
            self._admin.sweep_lent_roles()
            while not stopping.is_set():
                self._look()
                stopping.wait(LOOK_SECONDS)
        finally:
            self._end_all()

    def _look(self) -> None:
        """Follow what became of tenants and engines; a database that is away is waited for."""
        try:
            tenants = {tenant.name: tenant for tenant in self._admin.tenants()}
        except CloacinaError as error:
            _log.warning("tenants can't be looked at; trying again: %s", error)
            return
        for name in sorted(self._served.keys() | tenants.keys()):
            try:
                self._follow(name, tenants.get(name))
            except (CloacinaError, OSError) as error:
                _log.warning("tenant %s can't be served now; trying again: %s", name, error)

    def _follow(self, name: str, tenant: Tenant | None) -> None:
        served = self._served.get(name)
        if served is None:
            if tenant is None or tenant.state is not TenantState.ACTIVE:
                return
            served = self._served.setdefault(name, _Served(tenant))
        self._bury(served)
        is_same = tenant is not None and tenant.place == served.tenant.place
        if served.process is None:
            if tenant is None or not is_same:
                del self._served[name]
            elif tenant.state is TenantState.ACTIVE and time.monotonic() >= served.not_before:
                served.tenant = tenant
                self._start(served)
            return
        if tenant is None or not is_same or tenant.state not in _SERVED:
            self._end(served)
        elif tenant.quotas.slots != served.tenant.quotas.slots:
            self._sharing.limit(name, tenant.quotas.slots)
            served.tenant = tenant

    def _start(self, served: _Served) -> None:
        name = served.tenant.name
        served.lent, url = self._admin.lend_role(name)
        home = self._admin.made_home(name)
        variables = environment_of_tenant(self._environment, home, url)
        variables[f"{ENVIRONMENT_PREFIX}SLOTS"] = str(self._slots)
        # Where nothing else is said, code of tenants runs in processes that are kept from files.
        variables.setdefault(f"{ENVIRONMENT_PREFIX}ISOLATION", "worker")
        drain = f"--drain-timeout={self._drain_seconds:g}"
        command = [sys.executable, "-P", "-m", "cloacina_core", "engine", "run", "--quiet", drain]
        # It ends with us, however we end: what it reads from us is over then.
        with self._sharing.join(name, served.tenant.quotas.slots) as line:
            served.process = subprocess.Popen(  # noqa: S603 - our own program
                [*command, "--shared-slots"],
                env=variables,
                cwd=home,
                stdin=line.fileno(),
                stdout=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for us; we tell engines to end, once
            )
        served.started, served.ends_by = time.monotonic(), None
        self._told(f"tenant {name}: engine started, process {served.process.pid}")

    def _bury(self, served: _Served) -> None:
        """Take back what an engine had that ended, and wait before the next one."""
        process = served.process
        if process is None:
            return
        if process.poll() is None:
            if served.ends_by is not None and time.monotonic() > served.ends_by:
                process.kill()
            return
        served.process = None
        self._sharing.leave(served.tenant.name)
        self._told(f"tenant {served.tenant.name}: engine ended with {process.returncode}")
        if served.ends_by is None:  # by itself
            lasted = time.monotonic() - served.started
            served.pause = SHORTEST_PAUSE if lasted > STEADY_SECONDS else served.pause
            served.not_before = time.monotonic() + served.pause
            served.pause = min(served.pause * 2, LONGEST_PAUSE)
        self._admin.take_role_back(served.lent)

    def _end(self, served: _Served) -> None:
        if served.process is not None and served.ends_by is None:
            served.process.terminate()
            served.ends_by = time.monotonic() + self._drain_seconds + _KILL_SECONDS

    def _end_all(self) -> None:
        for served in self._served.values():
            self._end(served)
        for served in self._served.values():
            if served.process is None:
                continue
            try:
                served.process.wait(max(0.0, (served.ends_by or 0.0) - time.monotonic()))
            except subprocess.TimeoutExpired:
                served.process.kill()
                served.process.wait()
            try:
                self._bury(served)
            except CloacinaError as error:
                _log.warning("the role of an engine stays for now: %s", error)


def environment_of_tenant(base: Mapping[str, str], home: Path, url: str) -> dict[str, str]:
    """Return the environment variables of a process that acts as a tenant.

    Its settings are those of its home: the administrator's project has no say, who may keep master
    keys and secrets of his own where that tells.

    Args:
        base: what it has besides: see `environment_of_engines`.
        home: the tenant's.
        url: its credentials.
    """
    place = {f"{ENVIRONMENT_PREFIX}DATABASE_URL": url, f"{ENVIRONMENT_PREFIX}HOME": str(home)}
    return {**base, **place, NO_PROJECT: "1"}


def act_as_tenant(
    admin: DatabaseAdmin, name: str, words: Sequence[str], base: Mapping[str, str]
) -> int:
    """Have a command of ours done with a tenant's home and store; return its exit status.

    When this process is asked to end, the command is, and its credentials are taken back. When it
    is killed, the command is killed as well on Linux; elsewhere it goes on to its end. Its
    credentials, which nobody has any more, are taken back by the next sweep.

    Args:
        admin: of the tenants.
        name: of the tenant.
        words: the command and its arguments.
        base: as `environment_of_tenant` has it.

    Raises:
        UnknownTenantError: there is none of this name.
        ConflictError: it is being deleted.
    """
    lent, url = admin.lend_role(name)
    try:
        variables = environment_of_tenant(base, admin.made_home(name), url)
        program = [sys.executable, "-P", "-m", "cloacina_core.cli.lent", str(os.getpid())]
        command = [*program, *words]
        return run_in_its_place(command, variables)
    finally:
        admin.take_role_back(lent)


def environment_of_engines(environ: Mapping[str, str], settings: Settings) -> dict[str, str]:
    """Return the environment variables without those that tell of the administrator's rights.

    Args:
        environ: the environment of this process.
        settings: the administrator's.
    """
    withheld = _WITHHELD | {settings.key_variable}
    return {key: value for key, value in environ.items() if key not in withheld}
