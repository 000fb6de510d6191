"""What a program does to tenants is told as what commands do."""

from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import TypeAlias

import pytest
from support.surface import public
from support.tenants import admin_of

from cloacina_core.errors import CloacinaError, StoreError, UnknownTenantError
from cloacina_core.foundation.clock import SystemClock
from cloacina_core.foundation.ids import IdFactory
from cloacina_core.foundation.user import who_asks
from cloacina_core.model.audit import AuditEntry
from cloacina_core.runtime import DatabaseAdmin
from cloacina_core.store.administration import audit_of_commands
from cloacina_core.store.audit import Audit
from cloacina_core.store.database import Database

Asking: TypeAlias = Callable[[DatabaseAdmin, Path], object]

CHANGES: Mapping[str, Asking] = {
    "create_tenant": lambda admin, _: admin.create_tenant("acme"),
    "set_quotas": lambda admin, _: admin.set_quotas("acme", {"slots": 4}),
    "suspend_tenant": lambda admin, _: admin.suspend_tenant("acme"),
    "resume_tenant": lambda admin, _: admin.resume_tenant("acme"),
    "rotate_password": lambda admin, _: admin.rotate_password("acme"),
    "upgrade_tenant": lambda admin, _: admin.upgrade_tenant("acme"),
    "lend_role": lambda admin, _: admin.lend_role("acme"),
    "take_role_back": lambda admin, _: admin.take_role_back(admin.lend_role("acme")[0]),
    "sweep_lent_roles": lambda admin, _: admin.sweep_lent_roles(),
    "delete_tenant": lambda admin, folder: admin.delete_tenant("acme", export_to=folder),
}
"""Every function that changes something, in an order in which they work."""
ON = {"take_role_back": None, "sweep_lent_roles": None}
"""What those are told to be done to that aren't done to a tenant."""
READS = {"tenant", "tenants", "usage", "open", "close"}
MAKES_NO_MORE_THAN_A_FOLDER = {"made_home"}


def verb_of(name: str) -> str:
    verbs = {"set_quotas": "tenants.quota"}
    return verbs.get(name, f"tenants.{name.removesuffix('_tenant')}")


def told(url: str) -> list[AuditEntry]:
    """Return what the audit of an installation tells, oldest first."""
    clock = SystemClock()
    with closing(Database(url, clock, prepare=url.startswith("sqlite"))) as database:
        return [*reversed(audit_of_commands(database, IdFactory(clock), None).entries())]


def test_every_function_of_an_administrator_is_known_here() -> None:
    known = CHANGES.keys() | READS | MAKES_NO_MORE_THAN_A_FOLDER

    assert {*public(DatabaseAdmin)} == known


def test_what_programs_do_to_tenants_is_told(tmp_path: Path, empty_store_url: str) -> None:
    with admin_of(tmp_path, empty_store_url) as admin:
        for name, ask in CHANGES.items():
            before = len(told(empty_store_url)) if name != "create_tenant" else 0
            try:
                ask(admin, tmp_path)
                outcome = "done"
            except CloacinaError:  # there are no passwords on SQLite
                outcome = "failed"
            entry = told(empty_store_url)[before:][-1]

            assert (entry.deed.verb, entry.outcome.value) == (verb_of(name), outcome)
            assert entry.deed.target == ON.get(name, "acme")
            assert (entry.deed.who, entry.deed.origin) == (who_asks(), "python")


def test_what_fails_is_told_with_the_reason(tmp_path: Path, empty_store_url: str) -> None:
    with admin_of(tmp_path, empty_store_url) as admin:
        with pytest.raises(UnknownTenantError):
            admin.suspend_tenant("nobody")

        (entry,) = told(empty_store_url)

    assert (entry.outcome.value, entry.code) == ("failed", "unknown-tenant")


def test_looking_is_told_to_nobody(tmp_path: Path, empty_store_url: str) -> None:
    with admin_of(tmp_path, empty_store_url) as admin:
        admin.create_tenant("acme")
        admin.tenant("acme")
        admin.tenants()
        admin.upgrade_tenant("acme", plan=True)

    assert [one.deed.verb for one in told(empty_store_url)] == ["tenants.create"]


def test_what_cant_be_told_isnt_done(
    tmp_path: Path, empty_store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> str:
        raise StoreError("the disk is full")

    with admin_of(tmp_path, empty_store_url) as admin:
        admin.create_tenant("acme")
        monkeypatch.setattr(Audit, "enter", fail)
        with pytest.raises(StoreError, match="full"):
            admin.suspend_tenant("acme")

        assert admin.tenant("acme").state.value == "active"
