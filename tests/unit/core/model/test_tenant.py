"""Names of tenants are an allow-list, and quotas are numbers."""

import pytest

from cloacina_core.errors import InputError
from cloacina_core.model.tenant import Quotas, TenantState, checked_tenant_name

HOSTILE = (
    *("", " ", "a ", " a", "A", "Acme", "-a", "a-", "a_b", "a.b", "a/b", "..", "../a", "a\\b"),
    *("a'b", 'a"b', "a;b", "a--;drop schema x", "a%b", "a\nb", "a\x00b", "$user", "a b"),
    *("ä", "\u0430cme", "acme\u200b", "\u202ecme", "\uff41cme", "٣", "a" * 49, "a" * 63, "a" * 64),
    *("public", "pg-catalog", "template", "postgres", "admin", "all", "default", "system"),
    None,
    7,
    b"acme",
)


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_a_name_that_could_mean_something_else_is_refused(name: object) -> None:
    with pytest.raises(InputError):
        checked_tenant_name(name)


@pytest.mark.parametrize("name", ["a", "7", "acme", "acme-2", "a--b", "x" * 48])
def test_a_name_of_letters_digits_and_hyphens_is_kept(name: str) -> None:
    assert checked_tenant_name(name) == name


def test_all_quotas_that_are_wrong_are_told_at_once() -> None:
    with pytest.raises(InputError) as told:
        Quotas(live_runs=-1, runs_per_minute=True, storage_bytes=2**63, slots=0).checked()

    assert [problem.where for problem in told.value.problems] == [
        "live_runs",
        "runs_per_minute",
        "storage_bytes",
        "slots",
    ]


def test_a_change_keeps_the_other_quotas() -> None:
    changed = Quotas(live_runs=1, slots=2).changed({"live_runs": None, "storage_bytes": 0})

    assert changed == Quotas(storage_bytes=0, slots=2)


def test_there_is_a_way_back_only_before_a_deletion() -> None:
    going = [state for state in TenantState if state.is_being_deleted]

    assert going == [TenantState.DRAINING, TenantState.EXPORTING, TenantState.DROPPING]
