"""What the registry does is in its log, and log, releases and receipts tell one story."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text
from support.audit import forge_body, rewrite, rewrite_history
from support.registry import OWNER, StoreView, flows_returning, registry_on, signed_wheel
from support.signing import NOW, StoppedClock, grant_key, make_key

from cloacina_core.errors import InputError, StoreError, UnknownReleaseError
from cloacina_registry.audit.auditing import Audited
from cloacina_registry.audit.checkpoint import Checkpoint
from cloacina_registry.audit.entries import EntryKind
from cloacina_registry.audit.log import AuditLog
from cloacina_registry.audit.receipt import verify_receipt
from cloacina_registry.audit.signed import RegistryKey
from cloacina_registry.errors import (
    KeyFileError,
    LogTamperedError,
    ReceiptError,
    ReleaseExistsError,
    UnknownRegistryKeyError,
)
from cloacina_registry.registry import Registry
from cloacina_registry.rollout.channels import Channels
from cloacina_registry.storage.blobs import FileBlobStore
from cloacina_registry.trust.keyring import KeyRing
from cloacina_registry.trust.signing import sign_wheel
from cloacina_registry.trust.verification import Received
from cloacina_registry.wheel.checked import open_wheel

ONE = signed_wheel("1.0", sources=flows_returning("one"))
OTHER_ONE = signed_wheel("1.0", sources=flows_returning("other one"))
TWO = signed_wheel("2.0", sources=flows_returning("two"))
THREE = signed_wheel("3.0", sources=flows_returning("three"))


def opened(home: Path, url: str | None = None) -> Iterator[StoreView]:
    view = StoreView(home, url=url)
    grant_key(view.home, "owner", OWNER.public)
    yield view
    view.database.close()


@pytest.fixture
def view(tmp_path: Path) -> Iterator[StoreView]:
    yield from opened(tmp_path / "home")


@pytest.fixture
def registry(view: StoreView) -> Registry:
    return registry_on(view, FileBlobStore(view.home / "blobs"))


@pytest.fixture
def either_view(tmp_path: Path, store_url: str) -> Iterator[StoreView]:
    """On each of the databases."""
    yield from opened(tmp_path / "home", store_url)


@pytest.fixture
def filled(either_view: StoreView) -> Registry:
    """A registry in which something happened: six entries, of three releases."""
    registry = registry_on(either_view, FileBlobStore(either_view.home / "blobs"))
    ONE.upload_to(registry)
    TWO.upload_to(registry)
    registry.yank("acme-etl", "1.0", "wrong totals")
    THREE.upload_to(registry)
    registry.delete("acme-etl", "2.0")
    registry.unyank("acme-etl", "1.0")
    return registry


def kinds(registry: Registry) -> list[str]:
    return [entry.kind.value for entry in registry.evidence.log(newest_first=False).entries]


def audited(registry: Registry, checkpoint: Checkpoint | None = None) -> Audited:
    return registry.evidence.audit(checkpoint, lambda _done, _all: None)


def findings(registry: Registry, checkpoint: Checkpoint | None = None) -> list[str]:
    with pytest.raises(LogTamperedError) as caught:
        audited(registry, checkpoint)
    return [str(problem) for problem in caught.value.problems]


def kept_checkpoint(registry: Registry, view: StoreView) -> Checkpoint:
    """A checkpoint that somebody keeps elsewhere."""
    return Checkpoint.verify(registry.evidence.checkpoint(), RegistryKey(view.home, None).public())


def test_everything_that_is_done_to_releases_is_logged_in_order(filled: Registry):
    assert kinds(filled) == ["upload", "upload", "yank", "upload", "delete", "unyank"]
    upload, _, yank, *_ = filled.evidence.log(newest_first=False).entries
    assert upload.facts["version"] == "1.0"
    assert upload.facts["digest"] == ONE.digest
    assert upload.facts["signers"] == [{"name": "owner", "key_id": OWNER.public.key_id}]
    assert (upload.at, upload.actor) == (NOW, "tester@here")
    assert yank.facts["reason"] == "wrong totals"


def test_what_happened_is_audited_and_found_right(filled: Registry, either_view: StoreView):
    checkpoint = kept_checkpoint(filled, either_view)
    signed_wheel("4.0").upload_to(filled)

    done = audited(filled, checkpoint)

    assert (done.head.size, done.receipts) == (7, 4)


def test_a_log_can_be_listed_by_package_kind_and_page(registry: Registry):
    ONE.upload_to(registry)
    signed_wheel(name="reports").upload_to(registry)
    registry.yank("acme-etl", "1.0", "")

    page = registry.evidence.log(limit=2)

    assert [entry.index for entry in page.entries] == [2, 1]
    assert page.next_after == 1
    assert [entry.index for entry in registry.evidence.log(limit=2, after=1).entries] == [0]
    assert [e.index for e in registry.evidence.log(package="Acme_ETL").entries] == [2, 0]
    assert [e.index for e in registry.evidence.log(kind=EntryKind.UPLOAD).entries] == [1, 0]
    assert registry.evidence.log(package="nothing").entries == []


def test_what_changes_nothing_is_not_logged(registry: Registry):
    ONE.upload_to(registry)
    ONE.upload_to(registry)
    with pytest.raises(ReleaseExistsError):
        OTHER_ONE.upload_to(registry)

    assert kinds(registry) == ["upload"]


def test_the_actor_of_a_home_is_who_runs_the_program(view: StoreView):
    ONE.upload_to(Registry.of(view))

    (entry,) = Registry.of(view).evidence.log().entries
    assert entry.actor == view.user


def test_an_upload_that_cannot_be_logged_is_not_published(either_view: StoreView, store_url: str):
    registry = registry_on(either_view, FileBlobStore(either_view.home / "blobs"))
    with either_view.begin() as connection:
        connection.execute(text("drop table registry_log_nodes"))
        connection.execute(text("alter table registry_log rename to elsewhere"))

    with pytest.raises(StoreError):
        ONE.upload_to(registry)

    assert registry.packages() == []


def test_an_upload_to_a_damaged_log_is_not_published(registry: Registry, view: StoreView):
    ONE.upload_to(registry)
    with view.begin() as connection:
        connection.execute(text("update registry_log_head set size = 3"))

    for change in (
        lambda: TWO.upload_to(registry),
        lambda: registry.yank("acme-etl", "1.0", ""),
        lambda: registry.delete("acme-etl", "1.0"),
    ):
        with pytest.raises(LogTamperedError):
            change()

    (release,) = registry.releases("acme-etl")
    assert (release.version, release.status) == ("1.0", "published")
    assert registry.download("acme-etl", "1.0").data == ONE.data


def test_an_upload_whose_receipt_cannot_be_signed_is_not_published(
    registry: Registry, view: StoreView
):
    KeyRing(view.home).new("registry", "four random words together")

    with pytest.raises(KeyFileError):
        ONE.upload_to(registry)

    assert registry.packages() == []
    assert kinds(registry) == []


def test_a_reason_that_cannot_be_logged_is_bad_input(registry: Registry):
    ONE.upload_to(registry)

    with pytest.raises(InputError):
        registry.yank("acme-etl", "1.0", "\udcff")

    assert registry.show("acme-etl", "1.0").status == "published"


def test_an_upload_gets_a_receipt_that_comes_with_the_download(registry: Registry, view: StoreView):
    release = ONE.upload_to(registry).release

    assert release == registry.show("acme-etl", "1.0")
    assert release.receipt == registry.download("acme-etl", "1.0").receipt
    assert release.receipt is not None
    receipt = verify_receipt(release.receipt, None, RegistryKey(view.home, None).public())
    assert receipt.entry == registry.evidence.log().entries[0]
    assert registry.evidence.received(release) == Received(NOW)


def test_a_release_signed_further_has_been_received_anew(registry: Registry, view: StoreView):
    first = ONE.upload_to(registry).release
    successor = make_key(2)
    grant_key(view.home, "successor", successor.public)
    assert isinstance(view.clock, StoppedClock)
    view.clock.move(timedelta(days=1))

    attestation = sign_wheel(open_wheel(ONE.data, ONE.filename), successor)
    again = registry.upload(ONE.data, ONE.filename, attestation).release

    assert kinds(registry) == ["upload", "attest"]
    assert registry.evidence.received(first) == Received(NOW)
    assert registry.evidence.received(again) == Received(
        NOW + timedelta(days=1), {OWNER.public.key_id: NOW}
    )
    assert again.uploaded_at == NOW
    assert audited(registry).receipts == 1


def test_a_release_that_came_back_has_been_received_anew(registry: Registry):
    ONE.upload_to(registry)
    registry.delete("acme-etl", "1.0")
    ONE.upload_to(registry)

    assert kinds(registry) == ["upload", "delete", "upload"]
    assert audited(registry).receipts == 1


def test_a_receipt_that_is_not_right_tells_no_moment(registry: Registry, view: StoreView):
    ONE.upload_to(registry)
    two = TWO.upload_to(registry).release
    for receipt in (
        "null",
        "'{}'",
        "(select receipt from registry_releases where version = '1.0')",
    ):
        with view.begin() as connection:
            rewrite(
                connection,
                f"update registry_releases set receipt = {receipt} where version = '2.0'",
            )

        assert registry.evidence.received(registry.show("acme-etl", "2.0")) is None
    assert registry.evidence.received(two) == Received(NOW)


def test_a_receipt_of_another_registrys_key_tells_no_moment(registry: Registry, view: StoreView):
    release = ONE.upload_to(registry).release
    old = RegistryKey(view.home, None).public()
    for half in ("pem", "pub"):
        (view.home / "keys" / f"registry.{half}").unlink()
    assert registry.evidence.received(release) is None

    TWO.upload_to(registry)

    assert registry.evidence.received(release) is None
    with pytest.raises(UnknownRegistryKeyError) as caught:
        audited(registry)
    assert caught.value.exit_status == 4
    assert "changed" not in caught.value.message
    (problem,) = caught.value.problems
    assert problem.where == "acme-etl 1.0 signatures"
    assert old.key_id in problem.message


def test_a_key_that_is_not_known_hides_nothing_that_is_wrong(registry: Registry, view: StoreView):
    ONE.upload_to(registry)
    for half in ("pem", "pub"):
        (view.home / "keys" / f"registry.{half}").unlink()
    TWO.upload_to(registry)
    with view.begin() as connection:
        rewrite(connection, "update registry_releases set status = 'yanked' where version = '1.0'")

    (finding,) = findings(registry)

    assert "the store has yanked" in finding


def test_a_receipt_can_be_given_anew(registry: Registry, view: StoreView):
    ONE.upload_to(registry)
    TWO.upload_to(registry)

    data = registry.evidence.receipt(registry.show("acme-etl", "1.0"))

    receipt = verify_receipt(data, None, RegistryKey(view.home, None).public())
    assert (receipt.entry.index, receipt.head.size) == (0, 2)
    assert receipt.received_at == NOW


def test_no_new_receipt_is_given_for_what_has_no_right_one(registry: Registry, view: StoreView):
    ONE.upload_to(registry)
    with pytest.raises(UnknownReleaseError):
        registry.evidence.receipt(registry.show("acme-etl", "9.0"))
    with view.begin() as connection:
        rewrite(connection, "update registry_releases set receipt = null")

    with pytest.raises(ReceiptError):
        registry.evidence.receipt(registry.show("acme-etl", "1.0"))


def test_no_new_receipt_is_given_over_a_tree_that_was_changed(registry: Registry, view: StoreView):
    ONE.upload_to(registry)
    TWO.upload_to(registry)
    with view.begin() as connection:
        forge_body(connection, 1, "tester@here", "nobody@here", hashed=True)

    with pytest.raises(LogTamperedError) as caught:
        registry.evidence.receipt(registry.show("acme-etl", "1.0"))

    assert "can't be proved" in caught.value.message


def test_a_changed_entry_is_found_and_named(filled: Registry, either_view: StoreView):
    with either_view.begin() as connection:
        forge_body(connection, 2, "wrong totals", "no reason at all", hashed=False)

    with pytest.raises(LogTamperedError) as caught:
        audited(filled)

    assert caught.value.first_wrong == 2
    assert caught.value.code == "log-tampered"
    assert caught.value.exit_status == 4
    assert "the first wrong entry is 2" in caught.value.message


def test_a_history_rewritten_with_a_valid_tree_is_found_by_receipts(
    filled: Registry, either_view: StoreView
):
    with either_view.begin() as connection:
        rewrite_history(connection, "wrong totals", "no reason at all")

    (finding,) = findings(filled)

    # The receipts of 1.0 and 2.0 were given before the yank, that of 3.0 after it.
    assert "among the first 4 entries" in finding
    assert "the receipt of acme-etl 3.0" in finding


def test_a_history_rewritten_behind_the_last_receipt_is_found_by_a_checkpoint(
    filled: Registry, either_view: StoreView
):
    checkpoint = kept_checkpoint(filled, either_view)
    with either_view.begin() as connection:
        rewrite_history(connection, '"unyank"', '"restore"')

    assert audited(filled).head.size == 6  # what is kept here can't tell
    (finding,) = findings(filled, checkpoint)

    assert "the checkpoint of 2026-11-21" in finding


def cut_off(view: StoreView, size: int) -> None:
    """Cut the log off, and make the tree fit."""
    with view.begin() as connection:
        kept = AuditLog(connection).entries(limit=size)
        for table in ("registry_log", "registry_log_nodes", "registry_log_head"):
            connection.execute(text(f"delete from {table}"))
        log = AuditLog(connection)
        for entry in kept:
            log.append(entry.kind, entry.facts, at=entry.at, actor=entry.actor)


def test_a_log_cut_off_is_found_by_the_receipt_of_what_was_cut(
    filled: Registry, either_view: StoreView
):
    cut_off(either_view, 3)

    (finding,) = findings(filled)

    assert "the receipt of acme-etl 3.0 knows of 4 entries, and 3 are there" in finding


def test_a_log_cut_off_behind_the_last_receipt_is_found_by_a_checkpoint(
    filled: Registry, either_view: StoreView
):
    filled.yank("acme-etl", "3.0", "")
    filled.unyank("acme-etl", "3.0")
    checkpoint = kept_checkpoint(filled, either_view)
    cut_off(either_view, 6)

    assert audited(filled).head.size == 6  # what is kept here can't tell
    (finding,) = findings(filled, checkpoint)

    assert "knows of 8 entries, and 6 are there" in finding


AT_STABLE = "entry 6: it tells of acme-etl@stable as version 1.0 at revision 1, the store has"


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        (
            "update registry_releases set status = 'published' where version = '2.0'",
            "entry 4: it tells of acme-etl 2.0 as deleted, the store has published",
        ),
        (
            "update registry_channel_moves set version = '3.0' where revision = 1",
            f"{AT_STABLE} version 3.0 at revision 1",
        ),
        (
            "delete from registry_channel_moves",
            f"{AT_STABLE} nothing",
        ),
    ],
)
def test_a_state_that_nobody_logged_is_found(
    filled: Registry, either_view: StoreView, statement: str, told: str
):
    Channels(either_view, filled, "tester@here").promote("acme-etl", "1.0", tried=False)
    with either_view.begin() as connection:
        connection.execute(text(statement))

    assert findings(filled) == [told]


def test_a_release_that_vanished_is_found_by_the_log(filled: Registry, either_view: StoreView):
    with either_view.begin() as connection:
        rewrite(connection, "delete from registry_releases where version = '3.0'")

    (finding,) = findings(filled)

    assert "entry 3: it tells of acme-etl 3.0 as published, the store has nothing" in finding


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ("receipt = null", "receipt"),
        ("receipt = '{}'", "receipt"),
        ("digest = 'sha256:" + "0" * 64 + "'", "receipt"),
        ("attestation = null", "receipt"),
    ],
)
def test_a_release_that_is_not_the_one_of_its_receipt_is_found(
    registry: Registry, view: StoreView, change: str, kind: str
):
    ONE.upload_to(registry)
    TWO.upload_to(registry)
    with view.begin() as connection:
        rewrite(connection, f"update registry_releases set {change} where version = '2.0'")

    with pytest.raises(LogTamperedError) as caught:
        audited(registry)

    assert kind in {problem.kind for problem in caught.value.problems}
    assert any("acme-etl 2.0" in problem.where for problem in caught.value.problems)


def test_a_registry_in_which_nothing_happened_is_in_order(registry: Registry):
    assert audited(registry).head.size == 0
