"""Bytes are kept whole, for their owner alone, and are never handed out changed."""

import stat
from pathlib import Path

import pytest
from support.registry_processes import PATIENCE, SPAWN, put_with_little_room

from cloacina_core.errors import StoreUnavailableError
from cloacina_core.foundation.digest import digest_of, hex_of
from cloacina_registry.errors import BlobMissingError, TamperedError
from cloacina_registry.storage.blobs import FileBlobStore

DATA = b"the bytes of a wheel"
DIGEST = digest_of(DATA)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "home" / "blobs"


@pytest.fixture
def blobs(folder: Path) -> FileBlobStore:
    return FileBlobStore(folder)


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def blob_file(folder: Path) -> Path:
    return folder / "sha256" / hex_of(DIGEST)[:2] / hex_of(DIGEST)


def test_bytes_come_back_by_their_digest(blobs: FileBlobStore):
    digest = blobs.put(DATA)

    assert digest == DIGEST
    assert blobs.has(DIGEST)
    assert blobs.get(DIGEST) == DATA


def test_another_process_finds_them(blobs: FileBlobStore, folder: Path):
    blobs.put(DATA)

    assert FileBlobStore(folder).get(DIGEST) == DATA


def test_the_same_bytes_are_stored_once(blobs: FileBlobStore, folder: Path):
    blobs.put(DATA)
    first = blob_file(folder).stat()

    blobs.put(DATA)

    assert blob_file(folder).stat().st_ino == first.st_ino
    assert len(files_below(folder)) == 1


def test_only_the_owner_can_read_them(blobs: FileBlobStore, folder: Path):
    blobs.put(DATA)

    path = blob_file(folder)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for above in (path.parent, path.parent.parent, folder):
        assert stat.S_IMODE(above.stat().st_mode) == 0o700


def test_unknown_bytes_are_missing(blobs: FileBlobStore):
    assert not blobs.has(DIGEST)
    with pytest.raises(BlobMissingError) as caught:
        blobs.get(DIGEST)
    assert caught.value.digest == DIGEST


@pytest.mark.parametrize("changed", [DATA[:-1] + b"!", DATA[:-1], DATA + b"\n", b""])
def test_a_changed_byte_is_refused(blobs: FileBlobStore, folder: Path, changed: bytes):
    blobs.put(DATA)
    blob_file(folder).write_bytes(changed)

    with pytest.raises(TamperedError) as caught:
        blobs.get(DIGEST)

    assert (caught.value.expected, caught.value.found) == (DIGEST, digest_of(changed))


def test_storing_again_mends_what_was_changed(blobs: FileBlobStore, folder: Path):
    blobs.put(DATA)
    blob_file(folder).write_bytes(b"something else")

    blobs.put(DATA)

    assert blobs.get(DIGEST) == DATA
    assert len(files_below(folder)) == 1


def test_deleted_bytes_are_gone_and_may_be_deleted_twice(blobs: FileBlobStore, folder: Path):
    blobs.put(DATA)

    blobs.delete(DIGEST)
    blobs.delete(DIGEST)

    assert not blobs.has(DIGEST)
    assert files_below(folder) == []


def test_a_file_in_the_place_of_the_folder_makes_the_store_unavailable(folder: Path):
    folder.parent.mkdir()
    folder.write_text("not a folder")

    with pytest.raises(StoreUnavailableError) as caught:
        FileBlobStore(folder).put(DATA)

    assert str(folder) in caught.value.message
    assert caught.value.hint is not None


def test_bytes_that_cannot_be_read_make_the_store_unavailable(blobs: FileBlobStore, folder: Path):
    blob_file(folder).mkdir(parents=True)  # reading a folder fails for every user, root included

    with pytest.raises(StoreUnavailableError):
        blobs.get(DIGEST)


def test_when_the_room_ends_in_the_middle_nothing_is_left(folder: Path):
    answers = SPAWN.Queue()
    process = SPAWN.Process(target=put_with_little_room, args=(folder, 100_000, answers))
    process.start()
    answer = answers.get(timeout=PATIENCE)
    process.join(timeout=PATIENCE)

    assert "can't be written: File too large" in answer
    assert files_below(folder) == []
