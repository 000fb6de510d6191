"""Keys outside, by securesystemslib: what they sign is right, or isn't taken."""

import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from support.signing import NOW, checked_wheel, make_key, trusted, trusting

from cloacina_registry.errors import SignerError
from cloacina_registry.trust.external import ExternalKey
from cloacina_registry.trust.signing import sign_wheel
from cloacina_registry.trust.verification import verify_wheel

KEY, OTHER = make_key(1), make_key(2)


@pytest.fixture
def uri(tmp_path: Path) -> str:
    (tmp_path / "key.pem").write_bytes(KEY.to_pem(None))
    return f"file2:{tmp_path / 'key.pem'}"


def test_a_key_in_a_file_signs_as_one_of_our_own(uri: str) -> None:
    wheel = checked_wheel()

    envelope = sign_wheel(wheel, ExternalKey.open(uri, KEY.public))

    assert envelope == sign_wheel(wheel, KEY)
    assert verify_wheel(wheel, envelope, trusting(trusted(KEY)), NOW).signers


def test_a_signature_of_another_key_isnt_taken(uri: str) -> None:
    outside = ExternalKey.open(uri, KEY.public)
    outside.public = OTHER.public

    with pytest.raises(SignerError, match="doesn't verify under the public key"):
        outside.sign(b"message")


def test_a_public_key_that_isnt_that_of_the_file_is_refused(uri: str) -> None:
    with pytest.raises(SignerError) as error:
        ExternalKey.open(uri, OTHER.public).sign(b"message")
    assert error.value.exit_status == 2


@pytest.mark.parametrize(
    "uri", ["", "file2:/no/such/key.pem", "carrier-pigeon:7", "awskms:nothing"]
)
def test_what_names_no_key_is_refused(uri: str) -> None:
    with pytest.raises(SignerError, match="can't sign with"):
        ExternalKey.open(uri, KEY.public)


def test_a_key_of_another_kind_is_refused(tmp_path: Path) -> None:
    pem = generate_private_key(SECP256R1()).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    (tmp_path / "key.pem").write_bytes(pem)

    with pytest.raises(SignerError):
        ExternalKey.open(f"file2:{tmp_path / 'key.pem'}", KEY.public).sign(b"message")


def test_without_the_extra_it_is_told_what_to_install() -> None:
    code = (
        "import sys; sys.modules['securesystemslib'] = None\n"
        "from cloacina_registry.errors import SignerError\n"
        "from cloacina_registry.trust.external import ExternalKey\n"
        "from cloacina_registry.trust.keys import PrivateKey\n"
        "try: ExternalKey.open('file2:x', PrivateKey.generate().public)\n"
        "except SignerError as error: print(error.hint)\n"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "install it with: pip install 'cloacina[kms]'\n"
