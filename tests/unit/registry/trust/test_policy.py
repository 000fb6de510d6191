from datetime import timedelta

import pytest
from support.signing import NOW, make_key, trusted, trusting

from cloacina_core.errors import InputError
from cloacina_registry.errors import KeyConflictError, UnknownKeyError
from cloacina_registry.trust.policy import (
    MAX_KEYS,
    TrustedKey,
    TrustPolicy,
    matches,
    parse_pattern,
)

LEAD = trusted(make_key(1), "lead")


@pytest.mark.parametrize(
    ("pattern", "package", "fits"),
    [
        ("*", "acme-etl", True),
        ("acme-etl", "acme-etl", True),
        ("acme-etl", "acme-etl-extra", False),
        ("acme-*", "acme-etl", True),
        ("acme-*", "acme", False),
        ("acme-*", "acmeevil", False),
        ("acme-etl-*", "acme-etl", False),
    ],
)
def test_a_pattern_names_whole_words(pattern: str, package: str, *, fits: bool) -> None:
    assert matches(pattern, package) is fits


@pytest.mark.parametrize(
    ("text", "pattern"),
    [("*", "*"), ("Acme_ETL", "acme-etl"), ("acme.*", "acme-*"), ("ACME-*", "acme-*")],
)
def test_a_pattern_is_normalised(text: str, pattern: str) -> None:
    assert parse_pattern(text) == pattern


@pytest.mark.parametrize("text", ["", "acme*", "*-etl", "a*b", "**", "-*", "acme etl", "é", "a\n"])
def test_what_is_no_pattern_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="no pattern"):
        parse_pattern(text)


def test_a_trusted_key_counts_for_its_packages_alone() -> None:
    key = trusted(make_key(), packages=("acme-etl", "tools-*"))

    assert key.refusal("acme-etl", NOW) is None
    assert key.refusal("tools-x", NOW) is None
    problem = key.refusal("acme-other", NOW)
    assert problem is not None
    assert problem.kind == "not-delegated"


def test_a_key_counts_until_the_moment_it_expires() -> None:
    key = trusted(make_key(), expires_at=NOW)

    assert key.refusal("acme-etl", NOW - timedelta(microseconds=1)) is None
    problem = key.refusal("acme-etl", NOW)
    assert problem is not None
    assert problem.kind == "key-revoked"


def test_a_revoked_key_never_counts() -> None:
    problem = trusted(make_key(), revoked_at=NOW).refusal("acme-etl", NOW - timedelta(days=1))

    assert problem is not None
    assert problem.kind == "key-revoked"


def test_nobody_is_trusted_at_first() -> None:
    assert TrustPolicy().keys == ()
    assert TrustPolicy().level == "strict"
    assert TrustPolicy().threshold == 1


@pytest.mark.parametrize("threshold", [0, -1, 17])
def test_a_policy_that_asks_for_no_signer_cant_be_made(threshold: int) -> None:
    with pytest.raises(ValueError, match="must be between 1 and 16"):
        TrustPolicy(threshold=threshold)


def test_an_added_key_is_found_by_name_and_by_id() -> None:
    policy = TrustPolicy().adding(LEAD)

    assert policy.named("lead") == LEAD
    assert policy.by_id(LEAD.public.key_id) == LEAD
    assert policy.by_id("sha256:0") is None


def test_one_key_cant_have_two_names() -> None:
    # Otherwise one signer would meet a threshold of two.
    with pytest.raises(KeyConflictError, match="trusted already, as 'lead'"):
        trusting(LEAD).adding(trusted(make_key(1), "other"))


def test_one_name_cant_have_two_keys() -> None:
    with pytest.raises(KeyConflictError, match="another key is called 'lead'"):
        trusting(LEAD).adding(trusted(make_key(2), "lead"))


def test_adding_a_key_again_changes_what_it_is_trusted_with() -> None:
    later = trusted(make_key(1), packages=("acme-*",), added_at=NOW + timedelta(days=1))

    (key,) = trusting(LEAD).adding(later).keys

    assert key.packages == ("acme-*",)
    assert key.added_at == LEAD.added_at


@pytest.mark.parametrize("name", ["lead", "lead-2"])
def test_a_revoked_key_is_never_trusted_again(name: str) -> None:
    policy = trusting(LEAD).revoking("lead", NOW)

    with pytest.raises(KeyConflictError, match="was revoked"):
        policy.adding(trusted(make_key(1), name))


def test_the_name_of_a_revoked_key_stays_taken() -> None:
    policy = trusting(LEAD).revoking("lead", NOW)

    with pytest.raises(KeyConflictError, match="another key is called"):
        policy.adding(trusted(make_key(2), "lead"))


def test_revoking_twice_keeps_the_first_moment() -> None:
    once = trusting(LEAD).revoking("lead", NOW)

    twice = once.revoking("lead", NOW + timedelta(days=1))

    assert twice.named("lead").revoked_at == NOW
    assert twice.named("lead").state == "revoked"


def test_an_unknown_key_cant_be_revoked() -> None:
    with pytest.raises(UnknownKeyError) as error:
        trusting(LEAD).revoking("leat", NOW)
    assert error.value.nearest == ("lead",)


def test_a_name_that_cant_be_one_is_refused() -> None:
    with pytest.raises(InputError):
        TrustPolicy().adding(trusted(make_key(), "a b"))


def test_no_more_keys_than_fit_are_taken() -> None:
    keys = tuple(
        TrustedKey(name=f"key-{number}", public=LEAD.public, packages=("*",), added_at=NOW)
        for number in range(MAX_KEYS)
    )

    with pytest.raises(InputError, match="no more than 256 keys"):
        TrustPolicy(keys=keys).adding(trusted(make_key(2), "one-more"))
