"""What a policy decides, and what can be done to it."""

from datetime import datetime, timedelta

import pytest
from support.signing import NOW, ROOT, make_key, trusted, trusting

from cloacina_core.errors import InputError, NotFoundError
from cloacina_registry.errors import KeyConflictError, UnknownKeyError
from cloacina_registry.trust.policy import (
    MAX_GRANTED_KEYS,
    MAX_GRANTS,
    MAX_KEYS,
    MAX_RESERVED,
    Grant,
    KeyState,
    Root,
    TrustedKey,
    TrustLevel,
    TrustPolicy,
    make_grant,
)

LEAD = trusted(make_key(1), "lead")
OTHER = trusted(make_key(2), "other")
DAY = timedelta(days=1)
ONE = make_key(1).public
TWO = make_key(2).public


def refused(key: TrustedKey, received_at: datetime | None, now: datetime = NOW) -> bool:
    problem = key.refusal(received_at, now)
    assert problem is None or problem.kind == "key-revoked"
    return problem is not None


def granting(**patterns: str) -> TrustPolicy:
    """Return a policy with grants of patterns, whose `-*` is spelled `_all`, to one key each."""
    grants = tuple(
        Grant(pattern=pattern.replace("_all", "-*").replace("_", "-"), keys=(name,))
        for pattern, name in patterns.items()
    )
    return TrustPolicy(keys=(LEAD, OTHER), grants=grants)


# Keys.


@pytest.mark.parametrize(
    ("key", "state"),
    [
        (LEAD, KeyState.TRUSTED),
        (trusted(make_key(), expires_at=NOW), KeyState.EXPIRED),
        (trusted(make_key(), expires_at=NOW + DAY), KeyState.TRUSTED),
        (trusted(make_key(), retired_at=NOW, expires_at=NOW), KeyState.RETIRED),
        (trusted(make_key(), retired_at=NOW + DAY), KeyState.TRUSTED),
        (trusted(make_key(), revoked_at=NOW, retired_at=NOW), KeyState.REVOKED),
        (trusted(make_key(), revoked_at=NOW + DAY), KeyState.REVOKED),
    ],
)
def test_the_state_of_a_key_follows_from_its_dates(key: TrustedKey, state: KeyState):
    assert key.state(NOW) is state


def test_a_key_counts_until_the_moment_it_expires():
    key = trusted(make_key(), expires_at=NOW)

    assert not refused(key, None, NOW - timedelta(microseconds=1))
    assert refused(key, None, NOW)


def test_a_receipt_from_the_time_to_come_helps_no_key():
    assert refused(trusted(make_key(), expires_at=NOW + DAY), NOW + DAY, NOW)


def test_an_added_key_is_found_by_name_and_by_id():
    policy = TrustPolicy().adding(LEAD)

    assert policy.named("lead") == LEAD
    assert policy.by_id(LEAD.public.key_id) == LEAD
    assert policy.by_id("sha256:0") is None


def test_one_key_cant_have_two_names():
    # Otherwise one signer would meet a threshold of two.
    with pytest.raises(KeyConflictError, match="trusted already, as 'lead'"):
        trusting(LEAD).adding(trusted(make_key(1), "other"))


def test_one_name_cant_have_two_keys():
    with pytest.raises(KeyConflictError, match="another key is called 'lead'"):
        trusting(LEAD).adding(trusted(make_key(2), "lead"))


def test_adding_a_key_again_changes_when_it_expires():
    later = trusted(make_key(1), added_at=NOW + DAY, expires_at=NOW + 2 * DAY)

    (key,) = trusting(LEAD).adding(later).keys

    assert key.expires_at == NOW + 2 * DAY
    assert key.added_at == LEAD.added_at


def test_adding_a_key_again_without_an_expiry_leaves_the_one_it_has():
    expiring = trusted(make_key(1), expires_at=NOW + DAY)

    assert trusting(expiring).adding(LEAD).keys == (expiring,)


@pytest.mark.parametrize("name", ["lead", "lead-2"])
def test_a_key_whose_use_has_ended_is_never_trusted_again(name: str):
    for policy in (
        trusting(LEAD).revoking("lead", NOW),
        trusting(LEAD).retiring("lead", NOW),
    ):
        with pytest.raises(KeyConflictError, match="this key was re"):
            policy.adding(trusted(make_key(1), name))


def test_the_name_of_a_revoked_key_stays_taken():
    policy = trusting(LEAD).revoking("lead", NOW)

    with pytest.raises(KeyConflictError, match="another key is called"):
        policy.adding(trusted(make_key(2), "lead"))


def test_revoking_twice_keeps_the_first_moment():
    once = trusting(LEAD).revoking("lead", NOW)

    twice = once.revoking("lead", NOW + DAY)

    assert twice.named("lead").revoked_at == NOW


def test_a_revocation_means_what_it_says_whatever_was_said_before():
    since = trusting(LEAD).revoking("lead", NOW, compromised_at=NOW - DAY)

    assert since.named("lead").compromised_at == NOW - DAY
    assert since.revoking("lead", NOW).named("lead").compromised_at is None


def test_a_key_isnt_compromised_from_a_moment_to_come():
    with pytest.raises(InputError, match="before it is revoked"):
        trusting(LEAD).revoking("lead", NOW, compromised_at=NOW + DAY)


def test_retiring_twice_keeps_the_first_moment():
    policy = trusting(LEAD).retiring("lead", NOW).retiring("lead", NOW + DAY)

    assert policy.named("lead").retired_at == NOW


def test_a_revoked_key_cant_be_retired():
    with pytest.raises(KeyConflictError, match="was revoked"):
        trusting(LEAD).revoking("lead", NOW).retiring("lead", NOW)


def test_an_unknown_key_cant_be_revoked():
    with pytest.raises(UnknownKeyError) as error:
        trusting(LEAD).revoking("leat", NOW)
    assert error.value.nearest == ("lead",)


def test_a_name_that_cant_be_one_is_refused():
    with pytest.raises(InputError):
        TrustPolicy().adding(trusted(make_key(), "a b"))


def test_no_more_keys_than_fit_are_taken():
    keys = tuple(
        TrustedKey(name=f"key-{number}", public=LEAD.public, added_at=NOW)
        for number in range(MAX_KEYS)
    )

    with pytest.raises(InputError, match="no more than 256 keys"):
        TrustPolicy(keys=keys).adding(OTHER)


# Grants.


def test_nobody_is_trusted_at_first():
    assert TrustPolicy().keys == ()
    assert TrustPolicy().grant_for("acme-etl") is None
    assert Grant(pattern="*").level == "strict"
    assert Grant(pattern="*").threshold == 1


@pytest.mark.parametrize(
    ("package", "pattern"),
    [
        ("acme-etl", "acme-etl"),
        ("acme-etl-daily", "acme-etl-*"),
        ("acme-web", "acme-*"),
        ("acme", None),
        ("tools", None),
    ],
)
def test_the_most_specific_grant_decides(package: str, pattern: str | None):
    policy = granting(acme_all="lead", acme_etl_all="other", acme_etl="lead")

    grant = policy.grant_for(package)

    assert (grant.pattern if grant else None) == pattern


def test_the_order_of_grants_doesnt_matter():
    policy = granting(acme_etl="lead", acme_all="other")
    turned = TrustPolicy(keys=policy.keys, grants=policy.grants[::-1])

    assert policy.grant_for("acme-etl") == turned.grant_for("acme-etl")


def test_what_decided_before_a_pattern_had_a_grant_is_told():
    policy = granting(acme_all="lead", acme_etl_all="other", acme_etl="lead")

    def decided(pattern: str) -> str | None:
        grant = policy.wider_than(pattern)
        return grant.pattern if grant else None

    assert decided("acme-etl-x-*") == "acme-etl-*"
    assert decided("acme-etl-*") == "acme-*"
    assert decided("acme-etl") == "acme-*"
    assert decided("*") is None


@pytest.mark.parametrize("threshold", [0, -1, 2])
def test_a_grant_that_asks_for_no_signer_or_too_many_cant_be_made(threshold: int):
    with pytest.raises(ValueError, match=r"threshold|can't sign"):
        Grant(pattern="*", keys=("lead",), threshold=threshold)


@pytest.mark.parametrize(
    ("keys", "threshold", "level", "message"),
    [
        (["lead"], 2, TrustLevel.STRICT, "2 keys can't sign what is granted to 1"),
        (["lead"], 0, TrustLevel.STRICT, "between 1 and 16, not 0"),
        ([f"k{n}" for n in range(20)], 17, TrustLevel.STRICT, "between 1 and 16, not 17"),
        (["lead"], 1, TrustLevel.OFF, "level off can't be for every package"),
        ([f"k{n}" for n in range(MAX_GRANTED_KEYS + 1)], 1, TrustLevel.WARN, "no more than 64"),
    ],
)
def test_what_cant_be_granted_is_refused(
    keys: list[str], threshold: int, level: TrustLevel, message: str
):
    with pytest.raises(InputError, match=message):
        make_grant("*", keys, threshold, level)


def test_a_key_named_twice_meets_no_threshold_of_two():
    with pytest.raises(InputError, match="can't sign"):
        make_grant("*", ["lead", "lead"], 2)


def test_a_grant_takes_the_place_of_the_one_with_its_pattern():
    policy = trusting(LEAD, OTHER).granting(make_grant("*", ["other"]))

    assert [grant.keys for grant in policy.grants] == [("other",)]


def test_a_grant_to_nobody_known_is_refused():
    with pytest.raises(UnknownKeyError):
        trusting(LEAD).granting(make_grant("*", ["leat"]))


def test_a_key_joins_those_that_are_granted_a_pattern():
    policy = trusting(LEAD, level=TrustLevel.WARN).adding(OTHER)

    joined = policy.granting_also("*", "other").granting_also("*", "other")

    assert joined.grants == (make_grant("*", ["lead", "other"], level=TrustLevel.WARN),)
    assert joined.patterns_of("other") == ("*",)


def test_no_more_grants_than_fit_are_taken():
    grants = tuple(Grant(pattern=f"p{number}") for number in range(MAX_GRANTS))

    with pytest.raises(InputError, match="no more than 256 grants"):
        TrustPolicy(grants=grants).granting(make_grant("one-more", []))


def test_what_isnt_granted_cant_be_taken_back():
    policy = trusting(LEAD)

    assert policy.ungranting("*").grants == ()
    with pytest.raises(NotFoundError):
        policy.ungranting("acme-*")


# Reserved names.


def test_names_are_reserved_once_and_no_more():
    policy = TrustPolicy().reserving("acme-*").reserving("acme-*").reserving("tools")

    assert policy.reserved == ("acme-*", "tools")
    assert policy.unreserving("acme-*").reserved == ("tools",)
    with pytest.raises(NotFoundError):
        policy.unreserving("acme")


def test_not_every_name_can_be_reserved():
    with pytest.raises(InputError):
        TrustPolicy().reserving("*")
    with pytest.raises(InputError, match="no more than 256"):
        TrustPolicy(reserved=("x",) * MAX_RESERVED).reserving("y")


# Root keys.


def test_root_keys_come_and_go():
    policy = trusting(LEAD)

    rotated = policy.rotating(add=[ONE, ONE, TWO], remove=[ROOT.public.key_id], threshold=2)

    assert rotated.root == Root((ONE, TWO), 2)
    assert rotated.rotating(add=[ONE]).root == rotated.root


@pytest.mark.parametrize(
    ("remove", "threshold", "message"),
    [
        ([ROOT.public.key_id], None, "1 to 8 root keys, not 0"),
        ([], 2, "number of root keys, 1: 2"),
        ([], 0, "number of root keys, 1: 0"),
    ],
)
def test_root_keys_that_cant_sign_are_refused(
    remove: list[str], threshold: int | None, message: str
):
    with pytest.raises(InputError, match=message):
        trusting(LEAD).rotating(remove=remove, threshold=threshold)


def test_the_threshold_doesnt_sink_by_itself():
    policy = trusting(LEAD).rotating(add=[ONE], threshold=2)

    with pytest.raises(InputError, match="number of root keys, 1: 2"):
        policy.rotating(remove=[ROOT.public.key_id])


def test_no_more_root_keys_than_fit_are_taken():
    with pytest.raises(InputError, match="1 to 8 root keys, not 9"):
        trusting().rotating(add=[make_key(number).public for number in range(8)])


def test_what_is_no_root_key_cant_be_removed():
    with pytest.raises(UnknownKeyError):
        trusting(LEAD).rotating(remove=[ONE.key_id])
