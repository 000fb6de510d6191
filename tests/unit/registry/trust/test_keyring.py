import stat
from pathlib import Path

import pytest
from support.signing import make_key

from cloacina_core.errors import InputError
from cloacina_registry.errors import KeyConflictError, KeyFileError, UnknownKeyError
from cloacina_registry.trust.keyring import KeyRing


@pytest.fixture
def ring(tmp_path: Path) -> KeyRing:
    return KeyRing(tmp_path)


def test_a_new_key_signs_what_its_public_half_verifies(ring: KeyRing) -> None:
    public = ring.new("lead", None)

    signature = ring.load_private("lead", None).sign(b"message")

    assert public.verifies(signature, b"message")
    assert ring.public("lead") == public


def test_keys_are_for_their_owner_alone(ring: KeyRing, tmp_path: Path) -> None:
    ring.new("lead", None)

    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "keys" / "lead.pem").stat().st_mode) == 0o600


def test_a_home_is_made_when_there_is_none(tmp_path: Path) -> None:
    KeyRing(tmp_path / "new" / "home").new("lead", None)

    assert (tmp_path / "new" / "home" / "keys" / "lead.pem").is_file()


def test_keys_are_listed_by_name(ring: KeyRing) -> None:
    ring.new("zoe", "correct horse")
    ring.new("adam", None)

    entries = ring.list()

    assert [(entry.name, entry.encrypted) for entry in entries] == [("adam", False), ("zoe", True)]
    assert entries[0].public == ring.public("adam")


def test_a_public_half_alone_is_listed_as_such(ring: KeyRing, tmp_path: Path) -> None:
    ring.new("lead", None)
    (tmp_path / "keys" / "lead.pem").unlink()

    assert ring.entry("lead").encrypted is None
    with pytest.raises(UnknownKeyError):
        ring.load_private("lead", None)


def test_a_ring_without_keys_is_empty(ring: KeyRing) -> None:
    assert ring.list() == ()


def test_a_key_is_never_overwritten(ring: KeyRing) -> None:
    public = ring.new("lead", None)

    with pytest.raises(KeyConflictError):
        ring.new("lead", None)
    assert ring.public("lead") == public


def test_a_name_whose_public_half_is_taken_leaves_no_private_half(
    ring: KeyRing, tmp_path: Path
) -> None:
    ring.new("lead", None)
    (tmp_path / "keys" / "lead.pem").unlink()

    with pytest.raises(KeyConflictError):
        ring.new("lead", None)
    assert not (tmp_path / "keys" / "lead.pem").exists()


@pytest.mark.parametrize("name", ["../lead", "a/b", "", ".hidden", "a..b", "x" * 101, "lead\n"])
def test_a_name_that_could_leave_the_folder_is_refused(
    ring: KeyRing, tmp_path: Path, name: str
) -> None:
    for use in (ring.public, ring.entry):
        with pytest.raises(InputError):
            use(name)
    for use_private in (ring.new, ring.load_private):
        with pytest.raises(InputError):
            use_private(name, None)
    assert list(tmp_path.rglob("*.p*")) == []


def test_an_unknown_key_is_told_with_the_nearest_names(ring: KeyRing) -> None:
    ring.new("release-lead", None)

    with pytest.raises(UnknownKeyError) as error:
        ring.load_private("release-led", None)
    assert error.value.nearest == ("release-lead",)
    assert error.value.exit_status == 3


def test_an_unknown_key_of_an_empty_ring_is_told_with_how_to_make_one(ring: KeyRing) -> None:
    with pytest.raises(UnknownKeyError) as error:
        ring.public("lead")
    assert error.value.hint == "make it with: cloacina key new lead"


def test_a_private_key_that_others_may_read_is_refused(ring: KeyRing, tmp_path: Path) -> None:
    ring.new("lead", None)
    (tmp_path / "keys" / "lead.pem").chmod(0o640)

    with pytest.raises(KeyFileError) as error:
        ring.load_private("lead", None)
    assert error.value.hint == f"take their rights away with: chmod 600 {tmp_path}/keys/lead.pem"
    assert error.value.exit_status == 4


def test_a_public_key_that_others_may_change_is_refused(ring: KeyRing, tmp_path: Path) -> None:
    ring.new("lead", None)
    (tmp_path / "keys" / "lead.pub").chmod(0o666)

    with pytest.raises(KeyFileError, match="others may change it"):
        ring.public("lead")


def test_an_encrypted_key_takes_its_passphrase(ring: KeyRing) -> None:
    public = ring.new("lead", "correct horse")

    assert ring.load_private("lead", "correct horse").public == public
    with pytest.raises(KeyFileError, match="the passphrase is wrong"):
        ring.load_private("lead", "wrong horse")
    with pytest.raises(KeyFileError, match="no passphrase was given"):
        ring.load_private("lead", None)


@pytest.mark.parametrize("contents", [b"", b"garbage", b"\xff", make_key().to_pem(None)])
def test_a_damaged_public_key_is_told_with_its_file(
    ring: KeyRing, tmp_path: Path, contents: bytes
) -> None:
    ring.new("lead", None)
    (tmp_path / "keys" / "lead.pub").write_bytes(contents)

    with pytest.raises(KeyFileError, match=r"lead\.pub is damaged"):
        ring.list()


def test_a_damaged_private_key_is_told_with_its_file(ring: KeyRing, tmp_path: Path) -> None:
    ring.new("lead", None)
    (tmp_path / "keys" / "lead.pem").write_bytes(b"garbage")

    with pytest.raises(KeyFileError, match=r"lead\.pem can't be read as a private key: damaged"):
        ring.load_private("lead", None)


def test_a_file_in_the_place_of_the_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "keys").write_bytes(b"")

    with pytest.raises(KeyFileError, match="can't be written"):
        KeyRing(tmp_path).new("lead", None)
