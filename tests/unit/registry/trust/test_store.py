import json
import stat
import threading
from datetime import timedelta
from pathlib import Path

import pytest
from support.signing import NOW, StoppedClock, make_key

from cloacina_core.errors import InputError
from cloacina_registry.errors import KeyConflictError, TrustDocumentError, UnknownKeyError
from cloacina_registry.trust.policy import TrustLevel, TrustPolicy
from cloacina_registry.trust.store import TrustStore


@pytest.fixture
def store(tmp_path: Path) -> TrustStore:
    return TrustStore(tmp_path, StoppedClock())


def test_without_a_document_nobody_is_trusted(store: TrustStore) -> None:
    assert store.policy() == TrustPolicy()
    assert not store.path.exists()


def test_what_was_added_is_there_for_the_next_who_asks(store: TrustStore, tmp_path: Path) -> None:
    key = store.add("lead", make_key().public, ["Acme_ETL", "tools-*"])

    assert key.packages == ("acme-etl", "tools-*")
    assert key.added_at == NOW
    assert TrustStore(tmp_path, StoppedClock()).policy().keys == (key,)


def test_the_document_is_for_its_owner_alone(store: TrustStore) -> None:
    store.add("lead", make_key().public)

    assert stat.S_IMODE(store.path.stat().st_mode) == 0o600
    assert [path.name for path in store.path.parent.iterdir()] == ["trust.json"]


def test_a_home_is_made_when_there_is_none(tmp_path: Path) -> None:
    store = TrustStore(tmp_path / "new", StoppedClock())

    store.add("lead", make_key().public)

    assert store.path.is_file()


def test_a_removed_key_stays_as_revoked(store: TrustStore) -> None:
    store.add("lead", make_key().public)

    key = store.remove("lead")

    assert (key.state, key.revoked_at) == ("revoked", NOW)
    assert store.policy().keys == (key,)


def test_a_refused_change_leaves_the_document_alone(store: TrustStore) -> None:
    store.add("lead", make_key().public)
    before = store.path.read_bytes()

    with pytest.raises(KeyConflictError):
        store.add("other", make_key().public)
    with pytest.raises(UnknownKeyError):
        store.remove("nobody")

    assert store.path.read_bytes() == before


def test_the_same_pattern_twice_is_kept_once(store: TrustStore) -> None:
    assert store.add("lead", make_key().public, ["acme-etl", "Acme.ETL"]).packages == ("acme-etl",)


@pytest.mark.parametrize("packages", [[], ["*"] * 257, ["acme*"]])
def test_patterns_that_cant_be_used_are_refused(store: TrustStore, packages: list[str]) -> None:
    with pytest.raises(InputError):
        store.add("lead", make_key().public, packages)


def test_trust_until_a_moment_that_has_passed_is_refused(store: TrustStore) -> None:
    with pytest.raises(InputError, match="has passed"):
        store.add("lead", make_key().public, expires_at=NOW)

    soon = NOW + timedelta(seconds=1)
    assert store.add("lead", make_key().public, expires_at=soon).expires_at == soon


def test_rules_change_one_by_one(store: TrustStore) -> None:
    store.add("lead", make_key().public)

    store.set_rules(threshold=2)
    store.set_rules(level=TrustLevel.WARN)

    policy = store.policy()
    assert (policy.level, policy.threshold, len(policy.keys)) == (TrustLevel.WARN, 2, 1)


@pytest.mark.parametrize("threshold", [0, 17])
def test_a_threshold_that_cant_be_met_is_refused(store: TrustStore, threshold: int) -> None:
    with pytest.raises(InputError, match="the threshold must be between 1 and 16"):
        store.set_rules(threshold=threshold)


@pytest.mark.parametrize(
    "contents",
    [b"", b"{", b"\xff", b"{}", b'{"version": 1, "version": 1}', b'{"version": NaN}'],
)
def test_a_damaged_document_is_told_and_trusts_nobody(store: TrustStore, contents: bytes) -> None:
    store.path.write_bytes(contents)
    store.path.chmod(0o600)

    with pytest.raises(TrustDocumentError, match="is damaged"):
        store.policy()
    with pytest.raises(TrustDocumentError, match="is damaged"):
        store.add("lead", make_key().public)
    assert store.path.read_bytes() == contents


def test_a_document_that_others_may_change_is_refused(store: TrustStore) -> None:
    store.add("lead", make_key().public)
    store.path.chmod(0o620)

    with pytest.raises(TrustDocumentError, match="others may change it") as error:
        store.policy()
    assert error.value.exit_status == 4


def test_the_document_is_readable_for_people(store: TrustStore) -> None:
    store.add("lead", make_key().public)

    text = store.path.read_text()

    assert text == json.dumps(json.loads(text), indent=2) + "\n"


def test_changes_at_the_same_moment_are_all_kept(tmp_path: Path) -> None:
    start = threading.Barrier(8)

    def add(number: int) -> None:
        start.wait()
        TrustStore(tmp_path, StoppedClock()).add(f"key-{number}", make_key(number).public)

    threads = [threading.Thread(target=add, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(TrustStore(tmp_path, StoppedClock()).policy().keys) == 8


def test_a_document_that_cant_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(TrustDocumentError, match="can't be written"):
        TrustStore(tmp_path / "file", StoppedClock()).add("lead", make_key().public)
