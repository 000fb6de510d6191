"""The workflow `ledger`, run by the public test harness."""

from cloacina_core.testing import run_workflow
from team_ledger.flows import ledger


def signature_of(token: str) -> object:
    result = run_workflow(
        ledger, {"entries": [5, 7], "signed": True}, secrets={"ledger-token": token}
    )
    assert result.status == "succeeded"
    return result.context["signature"]


def test_entries_are_added_up() -> None:
    result = run_workflow(ledger, {"entries": [120, -20]})

    assert result.context["total"] == 100
    assert result.context["signature"] is None


def test_each_team_signs_with_its_own_token() -> None:
    assert signature_of("token of acme") == signature_of("token of acme")
    assert signature_of("token of acme") != signature_of("token of zenith")


def test_the_token_is_nowhere_in_what_is_kept() -> None:
    result = run_workflow(
        ledger, {"entries": [1], "signed": True}, secrets={"ledger-token": "a-token-of-ours"}
    )

    assert "a-token-of-ours" not in repr(result)
