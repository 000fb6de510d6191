"""Tenants: teams that share an installation, each with a store of its own, and how much it may use.

Names are an allow-list: PostgreSQL cuts names at 63 bytes, so two long ones would meet, and a name
ends up in paths and in what is printed.
"""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from cloacina_core.errors import InputError, Problem
from cloacina_core.foundation.clock import iso
from cloacina_core.foundation.json_value import JsonValue

MAX_TENANT_NAME = 48
"""Letters of a tenant's name, each of them one byte."""

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")
_RESERVED = frozenset(
    {"admin", "all", "cloacina", "default", "none", "postgres", "public", "system", "template"}
)
_MOST = 2**62
"""More than anybody needs, and less than what a database can count."""


def checked_tenant_name(name: object) -> str:
    """Return a tenant's name that can be used.

    Raises:
        InputError: it isn't 1 to 48 lower-case ASCII letters, digits and hyphens, begins or ends
            with a hyphen, or is reserved.
    """
    if not isinstance(name, str) or len(name) > MAX_TENANT_NAME or not _NAME.fullmatch(name):
        shown = ascii(name[: MAX_TENANT_NAME + 1]) if isinstance(name, str) else repr(name)
        raise InputError(
            f"{shown} can't be the name of a tenant",
            hint=f"use lower-case letters, digits and hyphens within, {MAX_TENANT_NAME} at most",
        )
    if name in _RESERVED or name.startswith("pg-"):
        raise InputError(f"the name {name!r} is reserved", hint="choose another name")
    return name


class TenantState(StrEnum):
    """What a tenant may do, or how far its deletion is; a deletion goes on in this order."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    DRAINING = "draining"
    """To be deleted: what runs may end."""
    EXPORTING = "exporting"
    """To be deleted: its rows are being written into a file."""
    DROPPING = "dropping"
    """To be deleted: the file is whole, and everything else goes."""

    @property
    def is_being_deleted(self) -> bool:
        """Whether there is no way back."""
        return self not in (TenantState.ACTIVE, TenantState.SUSPENDED)


@dataclass(frozen=True, slots=True)
class Quotas:
    """How much of each thing a tenant may use; None means as much as it likes."""

    live_runs: int | None = None
    """How many runs may be accepted and not yet ended."""
    runs_per_minute: int | None = None
    """How many runs may be accepted within any minute."""
    storage_bytes: int | None = None
    """How large its store may be before no run and no upload is accepted."""
    slots: int | None = None
    """How many tasks one of its engines runs at a time."""

    def checked(self) -> "Quotas":
        """Return these quotas.

        Raises:
            InputError: some aren't whole numbers from 0, or of slots from 1; all are told.
        """
        problems = []
        for name, value in self.items():
            least = 1 if name == "slots" else 0
            if value is not None and (type(value) is not int or not least <= value <= _MOST):
                message = f"it takes a whole number from {least}, not {value!r}"
                problems.append(Problem("bad-quota", message, name))
        if problems:
            raise InputError("a quota can't be used", problems=problems)
        return self

    def items(self) -> list[tuple[str, int | None]]:
        """Return each quota with its name."""
        return [(field.name, getattr(self, field.name)) for field in fields(self)]

    def to_json(self) -> dict[str, JsonValue]:
        """Return them as a JSON object; null where there is none."""
        return dict(self.items())

    def changed(self, changes: Mapping[str, int | None]) -> "Quotas":
        """Return them with some of them changed."""
        return replace(self, **changes).checked()


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """A tenant, as the administrator sees it."""

    name: str
    place: str
    """Where its store is: the name of a schema, or a folder."""
    home: Path
    """The home that it has on this host; made when something is done for it there."""
    state: TenantState
    quotas: Quotas
    made_at: datetime
    made_by: str
    """`USER@HOST`."""

    def to_json(self) -> dict[str, JsonValue]:
        """Return it as a JSON object."""
        return {
            "name": self.name,
            "place": self.place,
            "home": str(self.home),
            "state": self.state.value,
            "quotas": self.quotas.to_json(),
            "made_at": iso(self.made_at),
            "made_by": self.made_by,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspension:
    """Since when nothing new of a tenant starts, and whose decision that was."""

    since: datetime
    by: str
    """`USER@HOST`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantUsage:
    """What a tenant uses now of what its quotas limit."""

    live_runs: int = 0
    """Runs accepted and not yet ended."""
    runs_per_minute: int | None = 0
    """Runs accepted in the last 60 seconds; None where that is no quota: then nobody counts them.
    """
    storage_bytes: int = 0
    """The size of its store, with its indexes, without blobs that lie elsewhere."""
    slots: int = 0
    """Slots in use, of all its engines together."""
    engines: int = 0
    """Engines that work on its store."""

    def to_json(self) -> dict[str, JsonValue]:
        """Return it as a JSON object."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantCredentials:
    """What a tenant's people need to use its store; works as it stands."""

    name: str
    environment: Mapping[str, str]
    """Environment variables, as `CLOACINA_DATABASE_URL`. They may hold a password."""
    reaches: tuple[str, ...] = ()
    """Other databases of the server that the credentials can connect to."""

    def __repr__(self) -> str:
        return f"TenantCredentials(name={self.name!r}, environment=...)"

    def to_json(self) -> dict[str, JsonValue]:
        """Return them as a JSON object."""
        return {
            "name": self.name,
            "environment": dict(self.environment),
            "reaches": list(self.reaches),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantExport:
    """What is left of a deleted tenant: a file."""

    name: str
    path: str
    digest: str
    """`sha256:...` of the file."""
    given_up: int
    """How many runs hadn't ended when the wait for them was over."""

    def to_json(self) -> dict[str, JsonValue]:
        """Return it as a JSON object."""
        return {
            "name": self.name,
            "path": self.path,
            "digest": self.digest,
            "given_up": self.given_up,
        }
