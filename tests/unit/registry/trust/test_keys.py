import base64

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from support import edwards
from support.signing import make_key, seed

from cloacina_core.errors import InputError
from cloacina_registry.errors import KeyFileError, PublicKeyError, WeakKeyError
from cloacina_registry.trust.keys import PrivateKey, PublicKey

WEAK = sorted(
    encoding for point in edwards.small_order_points() for encoding in edwards.encodings(point)
)
MADE_WITHOUT_A_KEY = edwards.encode(edwards.IDENTITY) + bytes(32)


def as_line(raw: bytes) -> str:
    return "ed25519:" + base64.b64encode(raw).decode()


def library_verifies(raw: bytes, signature: bytes, message: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(raw).verify(signature, message)
    except InvalidSignature:
        return False
    return True


def test_there_are_fourteen_encodings_of_small_order_points() -> None:
    assert len(WEAK) == len(set(WEAK)) == 14


@pytest.mark.parametrize("raw", WEAK, ids=bytes.hex)
def test_a_key_under_which_anyone_can_sign_is_refused(raw: bytes) -> None:
    # This is the danger: the library takes a signature that nobody made.
    assert any(library_verifies(raw, MADE_WITHOUT_A_KEY, bytes([n])) for n in range(64))

    with pytest.raises(WeakKeyError) as refusal:
        PublicKey.parse(as_line(raw))
    assert [problem.kind for problem in refusal.value.problems] == ["key-weak"]


def test_a_key_of_another_spelling_is_refused() -> None:
    unreduced = next(
        (edwards.PRIME + y).to_bytes(32, "little") for y in range(2, 19) if edwards.point_with(y)
    )

    with pytest.raises(WeakKeyError, match="not canonical"):
        PublicKey(unreduced)


def test_a_key_that_is_no_point_of_the_curve_is_refused() -> None:
    off_the_curve = next(y for y in range(2, 100) if edwards.point_with(y) is None)

    with pytest.raises(PublicKeyError, match="no point of the curve"):
        PublicKey(off_the_curve.to_bytes(32, "little"))


@settings(deadline=None)
@given(number=st.integers(0, 255))
def test_an_honest_key_is_never_refused(number: int) -> None:
    public = make_key(number).public

    assert PublicKey.parse(public.to_text()) == public


def test_the_first_vector_of_rfc_8032_verifies() -> None:
    public = PublicKey(
        bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
    )
    signature = bytes.fromhex(
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
        "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
    )

    assert public.verifies(signature, b"")
    assert not public.verifies(signature, b"\x00")


def test_our_plain_arithmetic_signs_as_the_library_verifies() -> None:
    signature = edwards.sign_with_nonce(seed(1), 77, b"message")

    assert make_key(1).public.verifies(signature, b"message")


def test_a_public_key_is_read_from_a_line_and_from_pem() -> None:
    public = make_key().public

    assert PublicKey.parse(f" {public.to_text()}\n") == public
    assert PublicKey.parse(public.to_pem().decode()) == public


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ed25519:",
        "ed25519:!!!",
        as_line(bytes(31)),
        as_line(bytes(33)),
        make_key().public.to_text().removeprefix("ed25519:"),
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5",
        "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----",
        "ed25519:\ud800",
        "-----BEGIN \ud800",
    ],
)
def test_what_is_no_public_key_is_refused(text: str) -> None:
    with pytest.raises(PublicKeyError):
        PublicKey.parse(text)


def test_a_public_key_of_another_kind_is_refused() -> None:
    pem = (
        generate_private_key(SECP256R1())
        .public_key()
        .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )

    with pytest.raises(PublicKeyError, match="another kind"):
        PublicKey.parse(pem.decode())


def test_a_key_id_is_the_digest_of_the_key() -> None:
    first, second = make_key(1).public, make_key(2).public

    assert first.key_id != second.key_id
    assert first.key_id == PublicKey(first.raw).key_id
    assert first.key_id.startswith("sha256:")


def test_new_keys_differ() -> None:
    assert PrivateKey.generate().public != PrivateKey.generate().public


@pytest.mark.parametrize("passphrase", [None, "correct horse", "\udcff from the environment"])
def test_a_private_key_is_read_as_it_was_written(passphrase: str | None) -> None:
    key = make_key()

    again = PrivateKey.from_pem(key.to_pem(passphrase), passphrase)

    assert again.sign(b"message") == key.sign(b"message")


def test_a_passphrase_encrypts() -> None:
    assert b"BEGIN ENCRYPTED PRIVATE KEY" in make_key().to_pem("correct horse")
    assert b"BEGIN PRIVATE KEY" in make_key().to_pem(None)


def test_a_passphrase_that_is_not_needed_does_no_harm() -> None:
    assert PrivateKey.from_pem(make_key().to_pem(None), "any").public == make_key().public


def test_a_missing_passphrase_is_told() -> None:
    pem = make_key().to_pem("correct horse")

    with pytest.raises(KeyFileError, match="is encrypted, and no passphrase was given") as error:
        PrivateKey.from_pem(pem, None)
    assert "CLOACINA_PASSPHRASE" in str(error.value.hint)


@pytest.mark.parametrize("wrong", ["wrong", "", "x" * 5000])
def test_a_wrong_passphrase_is_told(wrong: str) -> None:
    pem = make_key().to_pem("correct horse")

    with pytest.raises(KeyFileError, match="the passphrase is wrong"):
        PrivateKey.from_pem(pem, wrong)


@pytest.mark.parametrize("passphrase", ["", "x" * 1024])
def test_an_unusable_passphrase_is_refused(passphrase: str) -> None:
    with pytest.raises(InputError):
        make_key().to_pem(passphrase)


@pytest.mark.parametrize("pem", [b"", b"garbage", make_key().to_pem(None)[:80], b"\xff\x00"])
def test_a_damaged_private_key_is_told(pem: bytes) -> None:
    with pytest.raises(KeyFileError, match=r"/home/keys/lead\.pem can't be read as a private key"):
        PrivateKey.from_pem(pem, None, where="/home/keys/lead.pem")


def test_a_private_key_of_another_kind_is_refused() -> None:
    pem = generate_private_key(SECP256R1()).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )

    with pytest.raises(KeyFileError, match="another kind than Ed25519"):
        PrivateKey.from_pem(pem, None)


def test_a_private_key_doesnt_show_itself() -> None:
    key = make_key()

    assert repr(key) == f"<PrivateKey of {key.public.key_id}>"
    assert not hasattr(key, "__dict__")
