"""Roles, the table of verbs, and how API keys are written."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloacina_core.model.access import (
    VERBS,
    WITHHELD,
    Principal,
    Role,
    RoleTooLowError,
    Rule,
    require,
)
from cloacina_core.model.api_key import ApiKey, ApiKeyRefusedError

ORDER = ["read", "run", "publish", "admin"]
WRITTEN = "clk_aaaqeaye_aaaqeayeaudaocajbifqydiob4ibceqtcqkrmfyydenbwha5dypqaf77b58d"
"""The key of the bytes 0, 1, 2, and so on."""


def somebody(role: Role) -> Principal:
    return Principal(name="ci", role=role, origin="ann@here")


def test_the_roles_are_in_order() -> None:
    assert [role.value for role in Role] == ORDER


@pytest.mark.parametrize(("has", "needs"), list(itertools.product(Role, Role)))
def test_a_role_covers_itself_and_those_before_it(has: Role, needs: Role) -> None:
    assert has.covers(needs) == (ORDER.index(has.value) >= ORDER.index(needs.value))


def test_a_verb_without_a_row_is_refused_to_everybody() -> None:
    with pytest.raises(RoleTooLowError) as caught:
        require(somebody(Role.ADMIN), "abolish", VERBS.get("abolish"))

    assert caught.value.needed is None


def test_a_verb_that_is_withheld_is_refused_to_everybody() -> None:
    with pytest.raises(RoleTooLowError):
        require(somebody(Role.ADMIN), "settings", WITHHELD)


def test_who_is_refused_is_told_which_role_may() -> None:
    with pytest.raises(RoleTooLowError) as caught:
        require(somebody(Role.READ), "cancel", VERBS["cancel"])

    assert caught.value.exit_status == 4
    assert caught.value.facts() == {"verb": "cancel", "needed": "run"}


@pytest.mark.parametrize(
    ("verb", "role"),
    [
        ("get", Role.READ),
        ("logs", Role.READ),
        ("submit", Role.RUN),
        ("cancel", Role.RUN),
        ("handle.cancel", Role.RUN),
        ("schedules.add", Role.RUN),
        ("set_limit", Role.ADMIN),
        ("api_keys.create", Role.ADMIN),
        ("audit.entries", Role.ADMIN),
        ("settings", None),
        ("api_keys.find", None),
        ("audit.forget", None),
    ],
)
def test_what_a_verb_needs(verb: str, role: Role | None) -> None:
    assert VERBS[verb].role is role


def test_who_only_reads_changes_nothing() -> None:
    assert [verb for verb, rule in VERBS.items() if rule.changes and rule.role is Role.READ] == []


@pytest.mark.parametrize("name", ["params", "payload", "context", "text", "value", "data"])
def test_no_row_tells_what_may_be_secret(name: str) -> None:
    def tells(rule: Rule) -> set[str | None]:
        return {rule.target, *rule.facts}

    assert [verb for verb, rule in VERBS.items() if name in tells(rule)] == []


def ascending(count: int) -> bytes:
    return bytes(range(count))


def test_a_key_has_a_prefix_an_id_and_256_random_bits() -> None:
    asked: list[int] = []

    def entropy(count: int) -> bytes:
        asked.append(count)
        return ascending(count)

    key = ApiKey.new(entropy)

    assert asked == [5, 32]
    assert key.text == WRITTEN
    assert key.id == "aaaqeaye"


def test_what_is_kept_of_a_key_is_its_sha256() -> None:
    key = ApiKey.new(ascending)

    assert key.digest == "6d7f5a2893eb2ecc0e19dc02ee5e6bdd05ca22c1a820e46d9c0e199eff4e57bb"


def test_a_key_isnt_told_by_its_repr() -> None:
    key = ApiKey.new(ascending)

    assert key.text[13:] not in repr(key)
    assert key.id in repr(key)


def test_a_key_is_read_as_it_was_written() -> None:
    key = ApiKey.new(ascending)

    assert ApiKey.parse(key.text) == key


@given(place=st.integers(0, 72), letter=st.sampled_from("abcxyz27_C é\0"))
def test_a_key_with_a_wrong_letter_is_none(place: int, letter: str) -> None:
    text = ApiKey.new(ascending).text
    wrong = text[:place] + letter + text[place + 1 :]

    if wrong != text:
        with pytest.raises(ApiKeyRefusedError) as caught:
            ApiKey.parse(wrong)
        assert wrong not in str(caught.value)


@given(st.text())
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(ApiKeyRefusedError):
        ApiKey.parse(text)
