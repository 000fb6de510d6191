"""The trust document of a home: how it changes, and what is refused when it is read."""

import json
import shutil
import stat
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from support.signing import NOW, ROOT, StoppedClock, make_key, put_in_force, trusted

from cloacina_core.errors import InputError
from cloacina_registry.errors import (
    KeyConflictError,
    NoTrustDocumentError,
    RootThresholdError,
    TrustDocumentError,
    TrustDraftError,
    TrustExpiredError,
    TrustRollbackError,
    UnknownKeyError,
)
from cloacina_registry.trust.beginning import begin_trust
from cloacina_registry.trust.keys import PrivateKey
from cloacina_registry.trust.policy import TrustPolicy
from cloacina_registry.trust.signed import MAX_TRUST_BYTES, Seen, SignedTrust
from cloacina_registry.trust.store import TrustStore

OTHER_ROOT, STRANGER = make_key(201), make_key(9)
Change = Callable[[TrustPolicy], TrustPolicy]


@pytest.fixture
def clock() -> StoppedClock:
    return StoppedClock()


@pytest.fixture
def empty(tmp_path: Path, clock: StoppedClock) -> TrustStore:
    return TrustStore(tmp_path / "home", clock)


@pytest.fixture
def store(empty: TrustStore) -> TrustStore:
    """Return a store whose document, version 1, has `ROOT` as its root key."""
    begin_trust(empty, ROOT, "root", NOW)
    return empty


def adding(number: int, name: str | None = None) -> Change:
    return lambda policy: policy.adding(trusted(make_key(number), name or f"key-{number}"))


def share_rule(store: TrustStore) -> None:
    """Have two root keys sign from version 2 on."""
    made = store.change(
        lambda policy: policy.rotating(add=[OTHER_ROOT.public], threshold=2), [ROOT, OTHER_ROOT]
    )
    assert made.draft is None


def at(store: TrustStore, number: int) -> SignedTrust:
    return SignedTrust.parse(store.version_path(number).read_bytes())


def lay(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    path.chmod(0o600)


# Reading and changing.


def test_without_a_document_nobody_is_trusted(empty: TrustStore) -> None:
    assert empty.policy() == TrustPolicy()
    assert empty.document() is None
    assert not empty.path.parent.exists()


def test_the_first_document_trusts_one_key_with_everything(store: TrustStore) -> None:
    policy = store.policy()

    assert policy.version == 1
    assert policy.root.keys == (ROOT.public,)
    assert policy.patterns_of("root") == ("*",)


def test_without_root_keys_there_is_no_first_document(empty: TrustStore) -> None:
    with pytest.raises(NoTrustDocumentError) as error:
        empty.change(adding(1), [ROOT])
    assert error.value.hint
    assert empty.document() is None


def test_each_change_is_a_version_that_is_kept(store: TrustStore) -> None:
    for number in (1, 2):
        made = store.change(adding(number), [ROOT])
        assert (made.policy.version, made.draft) == (number + 1, None)

    assert store.policy().version == 3
    assert [trust.version for trust in store.history()] == [1, 2, 3]
    assert store.path.read_bytes() == store.version_path(3).read_bytes()
    assert store.seen() == Seen.of(at(store, 3))


def test_what_was_changed_is_there_for_the_next_who_asks(
    store: TrustStore, clock: StoppedClock
) -> None:
    made = store.change(adding(1), [ROOT])

    assert TrustStore(store.path.parent, clock).policy() == made.policy


def test_a_change_that_changes_nothing_makes_no_version(store: TrustStore) -> None:
    made = store.change(lambda policy: policy, [])

    assert (made.policy.version, made.draft) == (1, None)
    assert not store.draft_path.exists()


def test_all_files_are_for_their_owner_alone(store: TrustStore) -> None:
    store.change(adding(1), [])

    home = store.path.parent
    found = {path.relative_to(home).as_posix(): path for path in home.rglob("*") if path.is_file()}
    assert set(found) == {"trust.json", "trust.seen.json", "trust.draft.json", "trust/1.json"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in found.values()} == {0o600}


def test_a_refused_change_leaves_the_document_alone(store: TrustStore) -> None:
    before = store.path.read_bytes()

    with pytest.raises(KeyConflictError):
        store.change(lambda policy: policy.adding(trusted(ROOT, "again")), [ROOT])
    with pytest.raises(UnknownKeyError):
        store.change(lambda policy: policy.revoking("nobody", NOW), [ROOT])

    assert store.path.read_bytes() == before


def test_changes_at_the_same_moment_are_all_kept(store: TrustStore, clock: StoppedClock) -> None:
    start = threading.Barrier(8)

    def change(number: int) -> None:
        start.wait()
        TrustStore(store.path.parent, clock).change(adding(number), [ROOT])

    threads = [threading.Thread(target=change, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(store.policy().keys) == 9
    assert store.policy().version == 9


def test_a_document_that_cant_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(TrustDocumentError, match="can't be written"):
        put_in_force(tmp_path / "file", adding(1))


def test_a_document_that_couldnt_be_read_again_isnt_written(store: TrustStore) -> None:
    wide = ["x" * 100_000 + str(number) for number in range(50)]
    before = store.path.read_bytes()

    def too_much(policy: TrustPolicy) -> TrustPolicy:
        for pattern in wide:
            policy = policy.reserving(pattern)
        return policy

    with pytest.raises(TrustDocumentError) as error:
        store.change(too_much, [ROOT])
    assert str(MAX_TRUST_BYTES) in str(error.value)
    assert store.path.read_bytes() == before


# What is refused when it is read.


@pytest.mark.parametrize("contents", [b"", b"{", b"\xff", b"{}", b'{"version": 1, "version": 1}'])
def test_a_damaged_document_is_told_and_trusts_nobody(store: TrustStore, contents: bytes) -> None:
    lay(store.path, contents)

    with pytest.raises(TrustDocumentError, match="is damaged"):
        store.policy()
    with pytest.raises(TrustDocumentError, match="is damaged"):
        store.change(adding(1), [ROOT])
    assert store.path.read_bytes() == contents


def test_a_document_that_was_edited_by_hand_is_refused(store: TrustStore) -> None:
    other = SignedTrust.unsigned(adding(9)(store.policy()))
    document = json.loads(store.path.read_bytes())
    document["payload"] = json.loads(other.to_bytes())["payload"]
    lay(store.path, json.dumps(document).encode())

    with pytest.raises(TrustDocumentError, match="can't be trusted") as error:
        store.policy()
    assert error.value.problems[0].kind == "signature-invalid"
    assert "changed by hand" in str(error.value.hint)
    assert error.value.exit_status == 4


@pytest.mark.parametrize("name", ["trust.json", "trust.seen.json"])
def test_a_file_that_others_may_change_is_refused(store: TrustStore, name: str) -> None:
    store.path.with_name(name).chmod(0o620)

    with pytest.raises(TrustDocumentError, match="others may change it") as error:
        store.policy()
    assert error.value.exit_status == 4


def test_an_old_document_that_is_put_back_is_refused(store: TrustStore) -> None:
    store.change(lambda policy: policy.revoking("root", NOW), [ROOT])

    shutil.copyfile(store.version_path(1), store.path)

    with pytest.raises(TrustRollbackError) as error:
        store.policy()
    assert error.value.code == "root-rollback"
    with pytest.raises(TrustRollbackError):
        store.change(adding(1), [ROOT])


def test_another_document_of_the_version_seen_is_refused(store: TrustStore) -> None:
    other = SignedTrust.unsigned(adding(9)(store.policy())).signed_by([ROOT])
    lay(store.path, other.to_bytes())

    with pytest.raises(TrustRollbackError, match="with other contents"):
        store.policy()


def test_a_document_that_is_gone_isnt_begun_anew(store: TrustStore) -> None:
    store.path.unlink()

    with pytest.raises(TrustRollbackError, match="is gone") as error:
        store.policy()
    assert str(store.version_path(1)) in str(error.value.hint)
    with pytest.raises(TrustRollbackError):
        begin_trust(store, STRANGER, "stranger", NOW)


def test_a_document_that_was_laid_there_by_hand_isnt_taken(
    store: TrustStore, tmp_path: Path, clock: StoppedClock
) -> None:
    other = TrustStore(tmp_path / "other", clock)
    other.path.parent.mkdir()
    shutil.copyfile(store.path, other.path)
    other.path.chmod(0o600)

    with pytest.raises(TrustDocumentError, match="never put in force here") as error:
        other.policy()
    assert "--root" in str(error.value.hint)


@pytest.mark.parametrize(
    "contents", [b"", b"[]", b"{}", b'{"version":1,"digest":"x"}', b'{"version":"1","digest":""}']
)
def test_a_damaged_note_of_what_was_seen_is_told(store: TrustStore, contents: bytes) -> None:
    lay(store.path.with_name("trust.seen.json"), contents)

    with pytest.raises(TrustDocumentError, match=r"trust\.seen\.json is damaged"):
        store.policy()


def test_an_expired_document_trusts_nobody_and_can_be_changed(
    store: TrustStore, clock: StoppedClock
) -> None:
    store.change(lambda policy: policy.expiring(NOW + timedelta(days=1)), [ROOT])
    assert store.policy().version == 2
    clock.move(timedelta(days=1))

    with pytest.raises(TrustExpiredError) as error:
        store.policy()
    assert error.value.code == "freeze"

    store.change(lambda policy: policy.expiring(None), [ROOT])
    assert store.policy().version == 3


# A crash between putting a version in force and remembering it.


def forget_back_to(store: TrustStore, number: int) -> None:
    trust = at(store, number)
    text = json.dumps({"version": trust.version, "digest": trust.digest})
    lay(store.path.with_name("trust.seen.json"), text.encode())


def test_a_version_that_wasnt_remembered_is_by_the_next_who_reads(store: TrustStore) -> None:
    store.change(adding(1), [ROOT])
    store.change(adding(2), [ROOT])
    forget_back_to(store, 1)

    assert store.policy().version == 3
    assert store.seen() == Seen.of(at(store, 3))


def test_a_version_that_wasnt_remembered_is_walked_over(store: TrustStore) -> None:
    store.change(
        lambda policy: policy.rotating(add=[OTHER_ROOT.public], remove=[ROOT.public.key_id]),
        [ROOT, OTHER_ROOT],
    )
    next_one = replace(store.policy(), version=3)
    forget_back_to(store, 1)

    store.apply([SignedTrust.unsigned(next_one).signed_by([OTHER_ROOT])])

    assert store.policy().version == 3


def test_a_version_that_doesnt_follow_from_what_was_seen_isnt_remembered(store: TrustStore) -> None:
    policy = TrustPolicy(version=2).rotating(add=[STRANGER.public])
    lay(store.path, SignedTrust.unsigned(policy).signed_by([STRANGER]).to_bytes())

    with pytest.raises(RootThresholdError):
        store.policy()
    assert store.seen() == Seen.of(at(store, 1))


def test_what_follows_from_a_version_that_isnt_kept_is_refused(store: TrustStore) -> None:
    store.change(adding(1), [ROOT])
    forget_back_to(store, 1)
    store.version_path(1).unlink()

    with pytest.raises(TrustDocumentError, match="isn't kept"):
        store.policy()


# Drafts.


def test_a_change_that_too_few_sign_is_a_draft(store: TrustStore) -> None:
    share_rule(store)

    made = store.change(adding(1), [ROOT])

    assert made.draft == store.draft_path
    assert [problem.kind for problem in made.missing] == ["root-threshold"] * 2
    assert made.policy.version == 3
    assert store.policy().version == 2


def test_a_draft_is_put_in_force_once_enough_have_signed(store: TrustStore) -> None:
    share_rule(store)
    store.change(adding(1), [ROOT])
    draft = store.draft()
    assert draft is not None
    with pytest.raises(RootThresholdError):
        store.apply([draft])

    signed = store.signed_further(draft, [STRANGER, OTHER_ROOT])

    assert store.missing(signed) == ()
    assert store.apply([signed]) == store.policy()
    assert store.policy().named("key-1")
    assert store.draft() is None


def test_a_draft_may_be_made_where_no_root_key_is(store: TrustStore) -> None:
    made = store.change(adding(1), [STRANGER])

    assert made.draft is not None
    draft = store.draft()
    assert draft is not None
    assert draft.envelope.signatures == ()


def test_a_second_change_joins_a_draft_of_our_own(store: TrustStore) -> None:
    share_rule(store)
    store.change(adding(1), [ROOT])

    made = store.change(adding(2), [ROOT])

    assert made.policy.version == 3
    assert [key.name for key in made.policy.keys] == ["root", "key-1", "key-2"]


@pytest.mark.parametrize("roots", [(), (ROOT,)])
def test_nobody_signs_what_somebody_else_laid_there(
    store: TrustStore, roots: tuple[PrivateKey, ...]
) -> None:
    evil = SignedTrust.unsigned(TrustPolicy(version=2, root=store.policy().root))
    lay(store.draft_path, evil.signed_by([STRANGER]).to_bytes())

    with pytest.raises(TrustDraftError) as error:
        store.change(adding(1), roots)
    assert str(store.draft_path) in error.value.message


def test_a_draft_of_a_version_that_has_passed_is_forgotten(store: TrustStore) -> None:
    store.change(adding(1), [])
    stale = store.draft_path.read_bytes()
    store.apply([store.signed_further(SignedTrust.parse(stale), [ROOT])])
    lay(store.draft_path, stale)

    made = store.change(adding(2), [ROOT])

    assert (made.draft, made.policy.version) == (None, 3)
    assert not store.draft_path.exists()


def test_a_stranger_cant_sign_a_draft(store: TrustStore) -> None:
    store.change(adding(1), [])
    draft = store.draft()
    assert draft is not None

    with pytest.raises(InputError, match="no root key here"):
        store.signed_further(draft, [STRANGER])


def test_nobody_signs_beside_a_forged_signature(store: TrustStore) -> None:
    share_rule(store)
    store.change(adding(1), [ROOT])
    draft = json.loads(store.draft_path.read_bytes())
    draft["signatures"][0]["keyid"] = OTHER_ROOT.public.key_id

    with pytest.raises(TrustDocumentError) as error:
        store.signed_further(SignedTrust.parse(json.dumps(draft).encode()), [OTHER_ROOT])
    assert error.value.problems[0].kind == "signature-invalid"


# Documents from elsewhere.


@pytest.fixture
def elsewhere(store: TrustStore, tmp_path: Path, clock: StoppedClock) -> TrustStore:
    """Return another home that took version 1 over."""
    other = TrustStore(tmp_path / "elsewhere", clock)
    other.apply([at(store, 1)], expected_roots=[ROOT.public.key_id])
    return other


def test_the_first_document_is_taken_from_elsewhere_by_its_root_keys(
    store: TrustStore, elsewhere: TrustStore
) -> None:
    assert elsewhere.policy() == store.policy()
    assert elsewhere.path.read_bytes() == store.path.read_bytes()


@pytest.mark.parametrize(
    "expected",
    [[], [STRANGER.public.key_id], [ROOT.public.key_id, STRANGER.public.key_id], ["x"]],
)
def test_a_first_document_with_other_root_keys_is_refused(
    store: TrustStore, tmp_path: Path, clock: StoppedClock, expected: list[str]
) -> None:
    other = TrustStore(tmp_path / "other", clock)

    with pytest.raises(InputError) as error:
        other.apply([at(store, 1)], expected_roots=expected)
    assert "--root" in str(error.value.hint)
    assert other.document() is None


def test_a_newer_document_is_walked_to(store: TrustStore, elsewhere: TrustStore) -> None:
    share_rule(store)
    store.change(
        lambda policy: policy.rotating(remove=[ROOT.public.key_id], threshold=1), [ROOT, OTHER_ROOT]
    )
    store.change(adding(1), [OTHER_ROOT])

    with pytest.raises(RootThresholdError):  # nobody whom version 1 knows has signed version 4
        elsewhere.apply([at(store, 4)])
    elsewhere.apply([at(store, number) for number in (4, 2, 3)])

    assert elsewhere.policy().version == 4
    assert [trust.version for trust in elsewhere.history()] == [1, 2, 3, 4]


def test_a_whole_chain_is_taken_the_first_time(
    store: TrustStore, tmp_path: Path, clock: StoppedClock
) -> None:
    share_rule(store)
    roots = [ROOT.public.key_id, OTHER_ROOT.public.key_id]
    other = TrustStore(tmp_path / "other", clock)

    other.apply(store.history(), expected_roots=roots)

    assert other.policy().version == 2


def test_a_chain_that_breaks_isnt_taken_the_first_time(
    store: TrustStore, tmp_path: Path, clock: StoppedClock
) -> None:
    foreign = TrustPolicy(version=2).rotating(add=[STRANGER.public])
    usurper = SignedTrust.unsigned(foreign).signed_by([STRANGER])
    other = TrustStore(tmp_path / "other", clock)

    with pytest.raises(RootThresholdError):
        other.apply([at(store, 1), usurper], expected_roots=[STRANGER.public.key_id])


def test_a_document_of_strangers_cant_take_the_place_of_ours(store: TrustStore) -> None:
    foreign = TrustPolicy(version=2).rotating(add=[STRANGER.public])
    usurper = SignedTrust.unsigned(foreign).signed_by([STRANGER])

    with pytest.raises(RootThresholdError):
        store.apply([usurper])
    with pytest.raises(RootThresholdError):
        store.apply([usurper], expected_roots=[STRANGER.public.key_id])


def test_what_is_kept_of_the_past_isnt_overwritten(
    store: TrustStore, elsewhere: TrustStore
) -> None:
    for number in (1, 2):
        store.change(adding(number), [ROOT])
    elsewhere.apply([at(store, 2)])
    kept = [elsewhere.version_path(number).read_bytes() for number in (1, 2)]
    usurpers = [
        SignedTrust.unsigned(TrustPolicy(version=number).rotating(add=[STRANGER.public]))
        for number in (1, 2)
    ]

    elsewhere.apply([usurpers[0], usurpers[1].signed_by([STRANGER]), at(store, 3)])

    assert elsewhere.policy().version == 3
    assert [elsewhere.version_path(number).read_bytes() for number in (1, 2)] == kept


def test_an_older_document_cant_be_put_in_force(store: TrustStore) -> None:
    store.change(adding(1), [ROOT])

    with pytest.raises(TrustRollbackError):
        store.apply([at(store, 1)])


def test_an_expired_document_cant_be_put_in_force(
    store: TrustStore, elsewhere: TrustStore, clock: StoppedClock
) -> None:
    store.change(lambda policy: policy.expiring(NOW + timedelta(days=1)), [ROOT])
    store.change(lambda policy: policy.expiring(None), [ROOT])
    clock.move(timedelta(days=2))

    with pytest.raises(TrustExpiredError):
        elsewhere.apply([at(store, 2)])
    elsewhere.apply([at(store, 2), at(store, 3)])  # what expired on the way doesn't matter


@pytest.mark.parametrize("harm", ["older", "gone", "damaged"])
def test_the_version_that_was_seen_can_be_put_back(store: TrustStore, harm: str) -> None:
    store.change(adding(1), [ROOT])
    right = store.path.read_bytes()
    match harm:
        case "older":
            shutil.copyfile(store.version_path(1), store.path)
        case "gone":
            store.path.unlink()
        case "damaged":
            lay(store.path, b"{")

    store.apply([at(store, 2)])

    assert store.path.read_bytes() == right
    assert store.policy().version == 2
