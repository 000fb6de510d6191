"""Each rule of `services.secrets.sealing`, attacked."""

import hashlib
import secrets
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloacina_core.services.secrets.sealing import (
    KEY_BYTES,
    PLACE_OF_INVENTORY,
    MasterKey,
    NotOpenedError,
    Place,
    place_of_secret,
)
from cloacina_core.store.secrets import Sealed

VALUE = "correct horse battery staple"
STORE, NAME, REVISION = "5eed", "crm-password", 3
HERE = place_of_secret(STORE, NAME, REVISION)


@pytest.fixture
def key() -> MasterKey:
    return MasterKey(bytes(range(KEY_BYTES)))


@pytest.fixture
def sealed(key: MasterKey) -> Sealed:
    return key.seal(HERE, VALUE, secrets.token_bytes)


def is_refused(key: MasterKey, sealed: Sealed, place: Place = HERE) -> bool:
    try:
        key.open(place, sealed)
    except NotOpenedError:
        return True
    return False


@given(st.text(st.characters(exclude_categories=["Cs"])), st.binary(min_size=32, max_size=32))
def test_what_was_sealed_opens(value: str, raw: bytes):
    key = MasterKey(raw)

    assert key.open(HERE, key.seal(HERE, value, secrets.token_bytes)) == value


def test_a_sealed_value_has_nothing_of_the_value_in_it(sealed: Sealed):
    assert VALUE[:4].encode() not in sealed.ciphertext
    assert len(sealed.ciphertext) == len(VALUE) + 16


def test_a_value_is_never_sealed_alike_twice(key: MasterKey):
    several = [key.seal(HERE, VALUE, secrets.token_bytes) for _ in range(100)]

    assert len({one.nonce for one in several}) == 100
    assert len({one.ciphertext for one in several}) == 100


@pytest.mark.parametrize("length", [0, 16, 31, 33, 64])
def test_a_key_of_another_length_is_refused(length: int):
    with pytest.raises(ValueError, match="a master key has 32 bytes"):
        MasterKey(bytes(length))


def test_the_id_of_a_key_is_no_plain_hash_of_it(key: MasterKey):
    assert key.id not in hashlib.sha256(key.raw).hexdigest()
    assert key.id != MasterKey(bytes(KEY_BYTES)).id


def test_every_flipped_bit_is_noticed(key: MasterKey, sealed: Sealed):
    for part in ("nonce", "ciphertext"):
        data: bytes = getattr(sealed, part)
        for bit in range(len(data) * 8):
            flipped = bytearray(data)
            flipped[bit // 8] ^= 1 << bit % 8

            assert is_refused(key, replace(sealed, **{part: bytes(flipped)}))


def test_every_shorter_ciphertext_is_refused(key: MasterKey, sealed: Sealed):
    for length in range(len(sealed.ciphertext)):
        assert is_refused(key, replace(sealed, ciphertext=sealed.ciphertext[:length]))


@pytest.mark.parametrize("length", [0, 8, 11, 13, 16])
def test_a_nonce_of_another_length_is_refused(key: MasterKey, sealed: Sealed, length: int):
    assert is_refused(key, replace(sealed, nonce=bytes(length)))


def test_it_opens_under_its_own_name_only(key: MasterKey, sealed: Sealed):
    assert is_refused(key, sealed, place_of_secret(STORE, "crm-passwore", REVISION))


def test_it_opens_under_its_own_revision_only(key: MasterKey, sealed: Sealed):
    assert is_refused(key, sealed, place_of_secret(STORE, NAME, REVISION + 1))
    assert is_refused(key, sealed, place_of_secret(STORE, NAME, REVISION - 1))


def test_it_opens_in_its_own_store_only(key: MasterKey, sealed: Sealed):
    assert is_refused(key, sealed, place_of_secret("other", NAME, REVISION))


@pytest.mark.parametrize(
    "other", [("5eed", "crm-12", 3), ("5eedc", "rm-1", 23), ("", "5eedcrm-1", 23)]
)
def test_the_parts_of_a_place_can_not_be_shifted_into_each_other(
    key: MasterKey, other: tuple[str, str, int]
):
    sealed = key.seal(place_of_secret("5eed", "crm-1", 23), VALUE, secrets.token_bytes)

    assert is_refused(key, sealed, place_of_secret(*other))


def test_an_inventory_is_no_secret_and_a_secret_no_inventory(key: MasterKey, sealed: Sealed):
    assert is_refused(key, sealed, PLACE_OF_INVENTORY)
    assert is_refused(key, key.seal(PLACE_OF_INVENTORY, VALUE, secrets.token_bytes))


def test_it_opens_under_its_own_key_id_only(key: MasterKey, sealed: Sealed):
    assert is_refused(key, replace(sealed, key_id="0" * 16))


def test_another_key_opens_nothing(sealed: Sealed):
    assert is_refused(MasterKey(bytes(KEY_BYTES)), sealed)


def test_ciphertexts_that_were_swapped_are_refused(key: MasterKey, sealed: Sealed):
    other = key.seal(
        place_of_secret(STORE, "db-password", REVISION), "another value", secrets.token_bytes
    )

    assert is_refused(key, other)
    assert is_refused(key, sealed, place_of_secret(STORE, "db-password", REVISION))


def test_a_refusal_says_nothing_of_key_or_value(key: MasterKey, sealed: Sealed):
    with pytest.raises(NotOpenedError) as caught:
        key.open(place_of_secret(STORE, "other", 1), sealed)

    assert str(caught.value) == ""
    assert caught.value.__cause__ is None
    assert key.raw.hex() not in repr(key)
    assert repr(key) == f"<master key {key.id}>"
