"""What those are told who are to sign a newer trust document."""

from datetime import timedelta

from support.signing import NOW, make_key, trusted, trusting

from cloacina_registry.trust.diff import policy_changes
from cloacina_registry.trust.policy import make_grant

OLD = trusting(trusted(make_key(1), "lead"))


def test_nothing_is_told_of_the_same_policy():
    assert list(policy_changes(OLD, OLD)) == []


def test_every_entry_that_is_added_is_told():
    other = trusted(make_key(2), "other")
    new = OLD.adding(other).granting(make_grant("acme-*", ["other"])).reserving("acme-*")

    key, grant, reserved = policy_changes(OLD, new)

    assert key.startswith(f"key other: added, public {other.public.to_text()}, added_at")
    assert grant == "grant acme-*: added, keys other, threshold 1, level strict"
    assert reserved == "reserved: none -> acme-*"


def test_every_entry_that_is_changed_or_removed_is_told():
    new = OLD.revoking("lead", NOW).ungranting("*").expiring(NOW + timedelta(days=1))
    new = new.rotating(add=[make_key(3).public], threshold=2)

    expiry, root, key, grant = policy_changes(OLD, new)

    assert expiry == "expires_at: never -> 2026-11-22T12:00:00.000000Z"
    assert root.startswith("root: keys ")
    assert root.endswith(f"{make_key(3).public.to_text()}, threshold 2")
    assert key.endswith("revoked_at 2026-11-21T12:00:00.000000Z")
    assert grant == "grant *: removed"
