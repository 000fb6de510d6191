"""What the registry signs is its own, of one type, and read strictly."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from support.signing import NOW, make_key

from cloacina_core.foundation.json_value import canonical
from cloacina_registry.audit.checkpoint import CHECKPOINT_TYPE, Checkpoint
from cloacina_registry.audit.merkle import TreeHead
from cloacina_registry.audit.receipt import RECEIPT_TYPE
from cloacina_registry.audit.signed import REGISTRY_KEY, RegistryKey
from cloacina_registry.errors import CheckpointError, KeyConflictError, KeyFileError
from cloacina_registry.trust.envelope import Envelope
from cloacina_registry.trust.keyring import KeyRing

KEY = make_key(1)
CHECKPOINT = Checkpoint(origin=KEY.public.key_id, head=TreeHead(3, bytes(range(32))), at=NOW)
DOCUMENT: dict[str, Any] = {
    "origin": KEY.public.key_id,
    "size": 3,
    "root": bytes(range(32)).hex(),
    "at": "2026-11-21T12:00:00.000000Z",
}


def signed(document: object, *, kind: str = CHECKPOINT_TYPE, number: int = 1) -> bytes:
    """Return any document, signed as a checkpoint would be."""
    return raw_signed(canonical(document).encode(), kind=kind, number=number)


def raw_signed(payload: bytes, *, kind: str = CHECKPOINT_TYPE, number: int = 1) -> bytes:
    return Envelope(payload, (), kind).signed_by(make_key(number)).to_bytes()


def test_a_checkpoint_comes_back_as_it_was_signed():
    data = CHECKPOINT.signed_by(KEY)

    assert data == signed(DOCUMENT)
    assert Checkpoint.verify(data, KEY.public) == CHECKPOINT


@pytest.mark.parametrize(
    "change",
    [
        {"origin": make_key(2).public.key_id},
        {"origin": 1},
        {"size": -1},
        {"size": True},
        {"size": 3.0},
        {"size": "3"},
        {"root": "00"},
        {"root": bytes(range(32)).hex().upper()},
        {"at": "yesterday"},
        {"at": "2026-11-21T12:00:00"},
        {"more": 1},
    ],
)
def test_a_checkpoint_that_says_anything_else_is_refused(change: dict[str, object]):
    with pytest.raises(CheckpointError) as caught:
        Checkpoint.verify(signed({**DOCUMENT, **change}), KEY.public)

    assert {problem.kind for problem in caught.value.problems} == {"checkpoint"}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"\xff",
        signed(DOCUMENT, kind=RECEIPT_TYPE),
        signed([DOCUMENT]),
        raw_signed(b'{"size":3,"size":4}'),
        raw_signed(b"\xff"),
        b" " * 100_000,
    ],
)
def test_what_is_no_checkpoint_of_the_key_is_refused(data: bytes):
    with pytest.raises(CheckpointError) as caught:
        Checkpoint.verify(data, KEY.public)

    assert caught.value.problems
    assert {problem.kind for problem in caught.value.problems} == {"checkpoint"}


def test_a_checkpoint_that_nobody_known_signed_names_the_key():
    with pytest.raises(CheckpointError) as caught:
        Checkpoint.verify(signed(DOCUMENT, number=2), KEY.public)

    (problem,) = caught.value.problems
    assert problem.kind == "registry-key"
    assert make_key(2).public.key_id in problem.message


def test_the_keys_of_other_homes_are_believed_once_they_are_laid_there(tmp_path: Path):
    folder = tmp_path / "keys" / "registry"
    key = RegistryKey(tmp_path, None)
    assert key.believed() == ()
    folder.mkdir(parents=True, mode=0o700)
    (folder / "berlin.pub").write_bytes(make_key(2).public.to_pem())
    (folder / "aachen.pub").write_text(make_key(3).public.to_text())
    (folder / "notes.txt").write_text("none")
    for path in folder.iterdir():
        path.chmod(0o600)

    assert key.believed() == (make_key(3).public, make_key(2).public)
    own = key.private().public
    assert key.believed() == (own, make_key(3).public, make_key(2).public)
    assert [entry.name for entry in KeyRing(tmp_path).list()] == ["registry"]


@pytest.mark.parametrize("harm", ["damaged", "file", "folder"])
def test_keys_of_other_homes_that_somebody_may_have_laid_there_are_refused(
    tmp_path: Path, harm: str
):
    folder = tmp_path / "keys" / "registry"
    folder.mkdir(parents=True, mode=0o700)
    path = folder / "berlin.pub"
    path.write_bytes(make_key(2).public.to_pem())
    path.chmod(0o600)
    match harm:
        case "damaged":
            path.write_text("none")
        case "file":
            path.chmod(0o620)
        case "folder":
            folder.chmod(0o770)

    with pytest.raises(KeyFileError):
        RegistryKey(tmp_path, None).believed()


def test_a_second_signature_is_refused():
    envelope = Envelope.parse(CHECKPOINT.signed_by(KEY)).signed_by(make_key(2))

    with pytest.raises(CheckpointError, match="checkpoint"):
        Checkpoint.verify(envelope.to_bytes(), KEY.public)


def test_every_change_of_a_signed_document_is_refused():
    document = json.loads(CHECKPOINT.signed_by(KEY))
    for field in ("payload", "payloadType"):
        for place in range(0, len(document[field]), 7):
            letter = "A" if document[field][place] != "A" else "B"
            changed = {
                **document,
                field: document[field][:place] + letter + document[field][place + 1 :],
            }

            with pytest.raises(CheckpointError):
                Checkpoint.verify(json.dumps(changed).encode(), KEY.public)


def test_the_key_is_made_when_it_is_first_needed(tmp_path: Path):
    key = RegistryKey(tmp_path, None)

    private = key.private()

    assert key.public() == private.public
    assert RegistryKey(tmp_path, None).private().public == private.public
    entry = KeyRing(tmp_path).entry(REGISTRY_KEY)
    assert entry.encrypted is False
    assert (tmp_path / "keys" / "registry.pem").stat().st_mode & 0o777 == 0o600


def test_a_key_that_the_operator_encrypted_takes_its_passphrase(tmp_path: Path):
    public = KeyRing(tmp_path).new(REGISTRY_KEY, "four random words together")

    assert RegistryKey(tmp_path, "four random words together").private().public == public
    for passphrase in (None, "wrong"):
        with pytest.raises(KeyFileError):
            RegistryKey(tmp_path, passphrase).private()


def test_a_key_that_others_may_read_is_not_used(tmp_path: Path):
    RegistryKey(tmp_path, None).private()
    (tmp_path / "keys" / "registry.pem").chmod(0o640)

    with pytest.raises(KeyFileError):
        RegistryKey(tmp_path, None).private()


def test_a_public_half_that_a_crash_left_out_is_written(tmp_path: Path):
    public = RegistryKey(tmp_path, None).private().public
    (tmp_path / "keys" / "registry.pub").unlink()

    RegistryKey(tmp_path, None).private()

    assert RegistryKey(tmp_path, None).public() == public


def test_a_key_whose_private_half_was_taken_away_is_not_made_anew(tmp_path: Path):
    RegistryKey(tmp_path, None).private()
    (tmp_path / "keys" / "registry.pem").unlink()

    with pytest.raises(KeyConflictError):
        RegistryKey(tmp_path, None).private()


def test_of_threads_that_need_the_key_at_once_all_get_the_same(tmp_path: Path):
    start, found = threading.Barrier(6), []

    def need() -> None:
        start.wait()
        found.append(RegistryKey(tmp_path, None).private().public)

    threads = [threading.Thread(target=need) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == 6
    assert len(set(found)) == 1
