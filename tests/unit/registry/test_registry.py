"""What is published was checked, signed by someone we trust, and never changes."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text
from support.registry import (
    OWNER,
    STRANGER,
    StoreView,
    flows_returning,
    open_home,
    registry_on,
    signed_wheel,
)
from support.registry_processes import run_until_it_dies, upload_and_die_at_sync
from support.signing import (
    StoppedClock,
    at_level,
    grant_key,
    make_key,
    put_in_force,
    revoke_key,
    trusted,
)

from cloacina_core.errors import (
    InputError,
    StoreUnavailableError,
    UnknownPackageError,
    UnknownReleaseError,
)
from cloacina_core.foundation.digest import Digest, hex_of
from cloacina_registry.errors import (
    BlobMissingError,
    FilenameReusedError,
    ReleaseExistsError,
    ReleaseStateError,
    SignatureError,
    TamperedError,
    UntrustedSignerError,
    WheelRejectedError,
)
from cloacina_registry.registry import Registry, parse_exact
from cloacina_registry.rollout.withdrawal import Withdrawals
from cloacina_registry.storage.blobs import FileBlobStore
from cloacina_registry.storage.catalog import ReleaseStatus
from cloacina_registry.trust.policy import TrustLevel
from cloacina_registry.trust.signing import sign_wheel
from cloacina_registry.trust.store import TrustStore
from cloacina_registry.wheel.checked import open_wheel

ONE = signed_wheel("1.0", sources=flows_returning("one"))
OTHER_ONE = signed_wheel("1.0", sources=flows_returning("other one"))
TWO = signed_wheel("2.0", sources=flows_returning("two"))


@pytest.fixture
def view(tmp_path: Path) -> Iterator[StoreView]:
    yield from open_home(tmp_path / "home")


@pytest.fixture
def registry(view: StoreView) -> Registry:
    return Registry.of(view)


def trust_of(view: StoreView) -> TrustStore:
    return TrustStore(view.home, view.clock)


def blob_files(home: Path) -> list[Path]:
    return [path for path in (home / "blobs").rglob("*") if path.is_file()]


def blob_file(view: StoreView, digest: str) -> Path:
    name = hex_of(Digest(digest))
    return view.home / "blobs" / "sha256" / name[:2] / name


def kinds(error: BaseException) -> set[str]:
    return {problem.kind for problem in getattr(error, "problems", ())}


def test_an_uploaded_release_is_published(registry: Registry, view: StoreView):
    upload = ONE.upload_to(registry)

    assert upload.created
    assert upload.warnings == ()
    release = registry.show("acme-etl", "1.0")
    assert release == upload.release
    assert release.digest == ONE.digest
    assert release.size == len(ONE.data)
    assert release.workflows == ("nightly",)
    assert [signer.name for signer in release.signers] == ["owner"]
    assert release.uploaded_at == view.clock.now()
    assert release.status is ReleaseStatus.PUBLISHED


def test_a_download_is_the_upload_byte_for_byte(registry: Registry):
    ONE.upload_to(registry)

    files = registry.download("acme-etl", "1.0")

    assert (files.filename, files.data, files.attestation) == (
        ONE.filename,
        ONE.data,
        ONE.attestation,
    )


def test_another_registry_on_the_same_home_sees_it(registry: Registry, view: StoreView):
    ONE.upload_to(registry)

    assert Registry.of(view).download("acme-etl", "1.0").data == ONE.data


def test_the_same_file_again_changes_nothing(registry: Registry, view: StoreView):
    first = ONE.upload_to(registry)
    assert isinstance(view.clock, StoppedClock)
    view.clock.move(timedelta(hours=1))

    again = ONE.upload_to(registry)

    assert not again.created
    assert again.release == first.release
    assert len(registry.releases("acme-etl")) == 1


def test_other_bytes_for_a_version_are_refused(registry: Registry, view: StoreView):
    ONE.upload_to(registry)

    with pytest.raises(ReleaseExistsError) as caught:
        OTHER_ONE.upload_to(registry)

    assert caught.value.code == "release-exists"
    assert (caught.value.published, caught.value.offered) == (ONE.digest, OTHER_ONE.digest)
    [problem] = caught.value.problems
    assert problem.kind == "exists"
    assert ONE.digest in problem.message
    assert OTHER_ONE.digest in problem.message
    assert registry.download("acme-etl", "1.0").data == ONE.data


def test_another_spelling_of_a_version_is_the_same_version(registry: Registry):
    ONE.upload_to(registry)

    with pytest.raises(ReleaseExistsError) as caught:
        signed_wheel("1.0.0", sources=flows_returning("one")).upload_to(registry)

    assert caught.value.version == "1.0"


def test_a_broken_wheel_is_refused_and_nothing_is_kept(registry: Registry, view: StoreView):
    with pytest.raises(WheelRejectedError):
        registry.upload(ONE.data[:-1], ONE.filename, ONE.attestation)

    assert registry.packages() == []
    assert blob_files(view.home) == []


def test_an_unsigned_wheel_is_refused_and_nothing_is_kept(registry: Registry, view: StoreView):
    with pytest.raises(SignatureError) as caught:
        registry.upload(ONE.data, ONE.filename, None)

    assert kinds(caught.value) == {"signature-missing"}
    assert registry.packages() == []
    assert blob_files(view.home) == []


def test_a_strangers_wheel_is_refused_and_nothing_is_kept(registry: Registry, view: StoreView):
    wheel = signed_wheel("1.0", key=STRANGER)

    with pytest.raises(UntrustedSignerError) as caught:
        wheel.upload_to(registry)

    assert kinds(caught.value) == {"signer-untrusted"}
    assert registry.packages() == []
    assert blob_files(view.home) == []


def test_a_key_signs_only_the_packages_it_is_trusted_with(registry: Registry, view: StoreView):
    key = make_key(2)
    grant_key(view.home, "reports", key.public, "report-*")

    signed_wheel(name="report-daily", key=key).upload_to(registry)
    with pytest.raises(UntrustedSignerError) as caught:
        signed_wheel(name="acme-etl", key=key).upload_to(registry)

    assert kinds(caught.value) == {"not-delegated"}
    assert registry.packages() == ["report-daily"]


def test_the_signature_of_another_wheel_is_refused(registry: Registry):
    with pytest.raises(SignatureError) as caught:
        registry.upload(ONE.data, ONE.filename, OTHER_ONE.attestation)

    assert kinds(caught.value) == {"subject-mismatch"}


def test_an_unsigned_wheel_is_taken_with_a_warning_where_the_policy_says_so(
    registry: Registry, view: StoreView
):
    put_in_force(view.home, lambda policy: at_level(policy, TrustLevel.WARN))

    upload = registry.upload(ONE.data, ONE.filename, None)

    assert [problem.kind for problem in upload.warnings] == ["signature-missing"]
    assert upload.release.signers == ()
    assert registry.download("acme-etl", "1.0").attestation is None


def test_the_same_bytes_can_be_signed_again_after_a_revocation(registry: Registry, view: StoreView):
    release = ONE.upload_to(registry).release
    successor = make_key(2)
    grant_key(view.home, "successor", successor.public)
    revoke_key(view.home, "owner")
    with pytest.raises(UntrustedSignerError):
        registry.verified(release)

    attestation = sign_wheel(open_wheel(ONE.data, ONE.filename), successor)
    upload = registry.upload(ONE.data, ONE.filename, attestation)

    assert not upload.created
    assert [signer.name for signer in upload.release.signers] == ["successor"]
    assert registry.verified(registry.show("acme-etl", "1.0")).envelope == attestation


def test_a_missing_signature_never_replaces_one(registry: Registry, view: StoreView):
    ONE.upload_to(registry)
    put_in_force(view.home, lambda policy: at_level(policy, TrustLevel.WARN))

    registry.upload(ONE.data, ONE.filename, None)

    assert registry.download("acme-etl", "1.0").attestation == ONE.attestation


def test_a_release_is_verified_when_it_is_used(registry: Registry):
    release = ONE.upload_to(registry).release

    verified = registry.verified(release)

    assert verified.wheel.digest == ONE.digest
    assert [signer.name for signer in verified.signers] == ["owner"]


def test_a_revoked_key_stops_the_next_use(registry: Registry, view: StoreView):
    release = ONE.upload_to(registry).release
    registry.verified(release)

    revoke_key(view.home, "owner")

    with pytest.raises(UntrustedSignerError) as caught:
        registry.verified(release)
    assert kinds(caught.value) == {"key-revoked"}


def test_what_came_in_before_a_key_expired_still_counts(registry: Registry, view: StoreView):
    assert isinstance(view.clock, StoppedClock)
    release = ONE.upload_to(registry).release
    expires_at = view.clock.now() + timedelta(hours=1)
    put_in_force(
        view.home, lambda policy: policy.adding(trusted(OWNER, "owner", expires_at=expires_at))
    )
    registry.verified(release)

    view.clock.move(timedelta(hours=1))

    assert registry.verified(release).signers
    with pytest.raises(UntrustedSignerError):
        TWO.upload_to(registry)


@pytest.mark.parametrize("receipt", [None, b"{}"])
def test_without_a_receipt_nothing_says_when_it_came_in(
    registry: Registry, view: StoreView, receipt: bytes | None
):
    assert isinstance(view.clock, StoppedClock)
    release = replace(ONE.upload_to(registry).release, receipt=receipt)
    expires_at = view.clock.now() + timedelta(hours=1)
    put_in_force(
        view.home, lambda policy: policy.adding(trusted(OWNER, "owner", expires_at=expires_at))
    )
    view.clock.move(timedelta(hours=1))

    with pytest.raises(UntrustedSignerError):
        registry.verified(release)


@pytest.mark.parametrize(("hours", "counts"), [(-1, False), (1, True)])
def test_a_key_in_wrong_hands_counts_for_what_came_in_before(
    registry: Registry, view: StoreView, hours: int, *, counts: bool
):
    release = ONE.upload_to(registry).release
    since = view.clock.now() + timedelta(hours=hours)
    now = view.clock.now() + timedelta(hours=2)
    put_in_force(view.home, lambda policy: policy.revoking("owner", now, compromised_at=since))

    if counts:
        assert registry.verified(release).signers
    else:
        with pytest.raises(UntrustedSignerError):
            registry.verified(release)


def test_a_key_that_is_revoked_without_a_date_never_counts(registry: Registry, view: StoreView):
    release = ONE.upload_to(registry).release
    revoke_key(view.home, "owner")

    with pytest.raises(UntrustedSignerError):
        registry.verified(release)


def test_versions_of_trust_are_told_in_the_log_once(registry: Registry, view: StoreView):
    registry.note_trust()
    grant_key(view.home, "other", make_key(2).public)
    registry.note_trust()
    registry.note_trust()

    told = [entry.facts["trust_version"] for entry in registry.evidence.log().entries]
    assert told == [2, 1]


def test_a_wheel_changed_on_the_disk_is_refused(registry: Registry, view: StoreView):
    release = ONE.upload_to(registry).release
    blob_file(view, ONE.digest).write_bytes(OTHER_ONE.data)

    with pytest.raises(TamperedError):
        registry.download("acme-etl", "1.0")
    with pytest.raises(TamperedError):
        registry.verified(release)


def test_a_wheel_gone_from_the_disk_is_told(registry: Registry, view: StoreView):
    release = ONE.upload_to(registry).release
    blob_file(view, ONE.digest).unlink()

    with pytest.raises(BlobMissingError):
        registry.verified(release)


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"other")])
def test_uploading_again_mends_damaged_storage(
    registry: Registry, view: StoreView, damage: Callable[[Path], object]
):
    ONE.upload_to(registry)
    damage(blob_file(view, ONE.digest))

    ONE.upload_to(registry)

    assert registry.download("acme-etl", "1.0").data == ONE.data


def test_a_catalog_that_passes_one_release_off_as_another_is_refused(
    registry: Registry, view: StoreView
):
    ONE.upload_to(registry)
    TWO.upload_to(registry)
    with view.begin() as connection:  # someone who can write the database, but not sign
        for column in ("digest", "attestation"):
            connection.execute(
                text(
                    f"update registry_releases set {column} = "
                    f"(select {column} from registry_releases where version = '1.0') "
                    "where version = '2.0'"
                )
            )
        connection.execute(text("delete from registry_releases where version = '1.0'"))
        connection.execute(
            text("update registry_releases set filename = :name"), {"name": ONE.filename}
        )

    with pytest.raises(TamperedError) as caught:
        registry.verified(registry.show("acme-etl", "2.0"))

    assert (caught.value.expected, caught.value.found) == ("acme-etl 2.0", "acme-etl 1.0")


@pytest.mark.parametrize(
    "filename",
    [
        "../../escaped/pwned",
        "../acme_etl-1.0-py3-none-any.whl",
        "/srv/acme_etl-1.0-py3-none-any.whl",
        "acme_etl-1.0-py3-none-any/../../escaped.whl",
        "acme_etl-1.0-py3-none-any.whl\n",
        "acme_etl-2.0-py3-none-any.whl",
        "other-1.0-py3-none-any.whl",
        "",
    ],
)
def test_a_download_has_no_other_name_than_the_upload(
    registry: Registry, view: StoreView, filename: str
):
    ONE.upload_to(registry)
    with view.begin() as connection:
        connection.execute(
            text("update registry_releases set filename = :name"), {"name": filename}
        )

    with pytest.raises(TamperedError):
        registry.download("acme-etl", "1.0")


def test_the_shown_release_is_the_highest_that_anyone_would_want(registry: Registry):
    for version in ("2.0", "10.0", "11.0rc1", "12.0"):
        signed_wheel(version).upload_to(registry)
    registry.yank("acme-etl", "12.0", "wrong totals")

    assert registry.show("acme-etl").version == "10.0"


def test_pages_lead_to_each_other(registry: Registry):
    for version in ("1.0", "1.1", "1.2"):
        signed_wheel(version).upload_to(registry)

    first = registry.page(limit=2)
    second = registry.page(limit=2, after=first.next_after)

    assert [release.version for release in first.releases] == ["1.0", "1.1"]
    assert first.next_after == "acme-etl==1.1"
    assert [release.version for release in second.releases] == ["1.2"]
    assert second.next_after is None


def test_a_package_is_found_under_every_spelling_of_its_name(registry: Registry):
    ONE.upload_to(registry)

    assert registry.show("Acme_ETL", "1.0.0").digest == ONE.digest


def test_an_unknown_package_comes_with_the_nearest(registry: Registry):
    ONE.upload_to(registry)

    for ask in (
        lambda: registry.show("acme-elt"),
        lambda: registry.page(package="acme-elt"),
        lambda: registry.download("acme-elt", "1.0"),
    ):
        with pytest.raises(UnknownPackageError) as caught:
            ask()
        assert caught.value.nearest == ("acme-etl",)


def test_an_unknown_version_comes_with_those_there_are(registry: Registry):
    ONE.upload_to(registry)

    with pytest.raises(UnknownReleaseError) as caught:
        registry.download("acme-etl", "3.0")

    assert caught.value.available == ("1.0",)


@pytest.mark.parametrize("written", ["acme-etl==1.2", "Acme_ETL==1.2", " acme-etl ==1.2"])
def test_a_release_is_named_by_package_and_version(written: str):
    assert parse_exact(written) == ("acme-etl", "1.2")


@pytest.mark.parametrize(
    "written",
    [
        "acme-etl",
        "acme-etl=1.0",
        "acme-etl==",
        "==1.0",
        "acme-etl===1.0",
        "acme-etl==1.*",
        "acme-etl>=1.0",
        "acme-etl==1.0,<2",
        "acme-etl==x" + "9" * 10_000,
        "https://example.org/acme.whl",
    ],
)
def test_anything_else_names_no_release(written: str):
    with pytest.raises(InputError) as caught:
        parse_exact(written)
    assert len(caught.value.message) < 200


def test_a_yank_keeps_its_reason_and_can_be_taken_back(registry: Registry):
    ONE.upload_to(registry)

    yanked = registry.yank("acme-etl", "1.0", "wrong totals")

    assert (yanked.status, yanked.status_reason) == (ReleaseStatus.YANKED, "wrong totals")
    assert registry.show("acme-etl", "1.0") == yanked
    assert registry.unyank("acme-etl", "1.0").status is ReleaseStatus.PUBLISHED
    assert registry.show("acme-etl", "1.0").status_reason == ""


def test_uploading_a_yanked_release_again_does_not_publish_it(registry: Registry):
    ONE.upload_to(registry)
    registry.yank("acme-etl", "1.0", "wrong totals")

    upload = ONE.upload_to(registry)

    assert not upload.created
    assert upload.release.status is ReleaseStatus.YANKED


def test_a_deleted_release_is_gone_with_its_bytes(registry: Registry, view: StoreView):
    ONE.upload_to(registry)
    TWO.upload_to(registry)

    registry.delete("acme-etl", "1.0")

    assert [release.version for release in registry.releases("acme-etl")] == ["2.0"]
    assert registry.find("acme-etl", ONE.digest) is None
    assert not blob_file(view, ONE.digest).exists()
    assert registry.download("acme-etl", "2.0").data == TWO.data
    for change in (registry.download, registry.delete, registry.unyank):
        with pytest.raises(UnknownReleaseError):
            change("acme-etl", "1.0")


def test_a_deleted_version_never_means_other_bytes(registry: Registry):
    ONE.upload_to(registry)
    registry.delete("acme-etl", "1.0")

    with pytest.raises(FilenameReusedError) as caught:
        OTHER_ONE.upload_to(registry)

    assert caught.value.code == "filename-reused"
    assert registry.show("acme-etl", "1.0").status is ReleaseStatus.DELETED


def test_a_deleted_release_comes_back_with_the_same_bytes(registry: Registry):
    ONE.upload_to(registry)
    registry.delete("acme-etl", "1.0")

    upload = ONE.upload_to(registry)

    assert upload.created
    assert registry.download("acme-etl", "1.0").data == ONE.data


class DeletedMeanwhile(FileBlobStore):
    """A store whose bytes a deletion removes right after an upload has put them there."""

    def __init__(self, folder: Path, registry: Registry) -> None:
        super().__init__(folder)
        self._registry = registry
        self._puts = 0

    def put(self, data: bytes) -> Digest:
        digest = super().put(data)
        self._puts += 1
        if self._puts == 1:
            self._registry.delete("acme-etl", "1.0")
        return digest


def test_an_upload_that_meets_a_deletion_is_published_with_its_bytes(
    registry: Registry, view: StoreView
):
    ONE.upload_to(registry)
    slow = registry_on(view, DeletedMeanwhile(view.home / "blobs", registry))

    upload = ONE.upload_to(slow)

    assert upload.created
    assert registry.download("acme-etl", "1.0").data == ONE.data


class FullBlobStore(FileBlobStore):
    """A store on a full disk."""

    def put(self, data: bytes) -> Digest:
        raise StoreUnavailableError("no space left on device")


def test_nothing_is_published_that_cannot_be_stored(registry: Registry, view: StoreView):
    full = registry_on(view, FullBlobStore(view.home / "blobs"))

    with pytest.raises(StoreUnavailableError):
        ONE.upload_to(full)

    assert registry.packages() == []
    assert ONE.upload_to(registry).created


# Five times: the folders blobs, sha256 and 5f; the file; its name. And four times for the key that
# the registry makes at its first upload: two files, two names.
@pytest.mark.parametrize("number", [1, 2, 3, 4, 5, 6, 7, 8, 9])
def test_a_process_killed_while_it_writes_publishes_nothing(view: StoreView, number: int):
    run_until_it_dies(upload_and_die_at_sync, view.home, ONE, number)

    registry = Registry.of(view)
    assert registry.packages() == []
    assert ONE.upload_to(registry).created
    assert registry.download("acme-etl", "1.0").data == ONE.data


HARDER = ("yanked", "quarantined", "retired", "killed")
VERBS: dict[str, Callable[[StoreView, Registry], object]] = {
    "yanked": lambda _, registry: registry.yank("acme-etl", "1.0", "y"),
    "quarantined": lambda view, registry: Withdrawals(view, registry).quarantine(
        "acme-etl", "1.0", "q"
    ),
    "retired": lambda view, registry: Withdrawals(view, registry).retire("acme-etl", "1.0", "r"),
    "killed": lambda view, registry: Withdrawals(view, registry).kill("acme-etl", "1.0", "k"),
}


@pytest.mark.parametrize("before", HARDER)
@pytest.mark.parametrize("after", HARDER)
def test_a_withdrawal_is_never_softened_but_by_restoring(
    registry: Registry, view: StoreView, before: str, after: str
):
    ONE.upload_to(registry)
    VERBS[before](view, registry)

    if HARDER.index(after) < HARDER.index(before):
        with pytest.raises(ReleaseStateError, match=before):
            VERBS[after](view, registry)
        assert registry.show("acme-etl", "1.0").status == before
    else:
        VERBS[after](view, registry)
        assert registry.show("acme-etl", "1.0").status == after
    Withdrawals(view, registry).restore("acme-etl", "1.0")
    assert registry.show("acme-etl", "1.0").status is ReleaseStatus.PUBLISHED


@pytest.mark.parametrize("before", HARDER[1:])
def test_to_take_a_yank_back_publishes_nothing_else(
    registry: Registry, view: StoreView, before: str
):
    ONE.upload_to(registry)
    VERBS[before](view, registry)

    with pytest.raises(ReleaseStateError):
        registry.unyank("acme-etl", "1.0")

    assert registry.show("acme-etl", "1.0").status == before
