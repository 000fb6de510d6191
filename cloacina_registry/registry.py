"""The registry: takes releases in, keeps them, and vouches for them each time they are used.

An upload goes `bytes -> CheckedWheel -> VerifiedWheel -> stored by digest -> published`, and stops
at the first step that refuses. The row in the catalog is committed last, so that a crash at any
point leaves at most bytes that nothing refers to.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Self

from packaging.version import InvalidVersion, Version

from cloacina_core.errors import InputError, Problem, UnknownPackageError, UnknownReleaseError
from cloacina_core.foundation.digest import Digest
from cloacina_core.foundation.names import nearest
from cloacina_core.model.release import normalized_package
from cloacina_core.plugin import BlobStore, RuntimeView
from cloacina_registry.errors import FilenameReusedError, ReleaseExistsError, TamperedError
from cloacina_registry.storage.blobs import FileBlobStore
from cloacina_registry.storage.catalog import Catalog, ReleaseStatus, StoredRelease
from cloacina_registry.trust.store import TrustStore
from cloacina_registry.trust.verification import VerifiedWheel, verify_wheel
from cloacina_registry.wheel.checked import CheckedWheel, open_wheel, reopen_wheel

PAGE_LENGTH = 50

_CONTENTS_KEPT = 32
"""How many releases' checked contents stay in memory. What was found of some bytes holds for ever;
whether they are trusted is asked anew each time."""


@dataclass(frozen=True, slots=True)
class Upload:
    """What came of an upload."""

    release: StoredRelease
    created: bool
    """False: the same bytes were published before."""
    warnings: tuple[Problem, ...]
    """What a stricter trust policy would have refused."""


@dataclass(frozen=True, slots=True)
class ReleasePage:
    """Some releases, and how to ask for those behind them."""

    releases: Sequence[StoredRelease]
    next_after: str | None
    """What to give as `after`; None: there are no more."""


@dataclass(frozen=True, slots=True)
class StoredFiles:
    """What was uploaded, byte for byte."""

    filename: str
    """Of the wheel."""
    data: bytes
    attestation: bytes | None


class Registry:
    """The releases of one home. Methods may be called from any thread and any process."""

    def __init__(self, view: RuntimeView, blobs: BlobStore, trust: TrustStore) -> None:
        self._view = view
        self._blobs = blobs
        self._trust = trust
        self._contents = lru_cache(_CONTENTS_KEPT)(self._open)

    @classmethod
    def of(cls, view: RuntimeView) -> Self:
        """Return the registry that keeps its files in a runtime's home."""
        return cls(view, FileBlobStore(view.home / "blobs"), TrustStore(view.home, view.clock))

    def upload(self, data: bytes, filename: str, attestation: bytes | None) -> Upload:
        """Publish a wheel.

        The same bytes may be uploaded again. That changes nothing but this: a new attestation of
        someone we trust replaces the old one, damaged storage is mended, and what was deleted is
        published again.

        Args:
            data: the wheel.
            filename: its file name, without folders.
            attestation: the signed envelope that lies beside it.

        Raises:
            WheelRejectedError: it isn't a sound package.
            SignatureError: the attestation is missing, malformed, forged, or of another wheel.
            UntrustedSignerError: nobody whom we trust with the package has signed.
            ReleaseExistsError: the version was published with other bytes, be it deleted since.
            StoreUnavailableError: it can't be stored now; nothing is published.
        """
        wheel = open_wheel(data, filename)
        now = self._view.clock.now()
        verified = verify_wheel(wheel, attestation, self._trust.policy(), now)
        self._blobs.put(data)
        with self._view.begin() as connection:
            release, created = _publish(Catalog(connection), _release_of(verified, now))
            # A deletion may have removed the bytes since; now we hold the lock that it needs.
            if not self._blobs.has(release.digest):
                self._blobs.put(data)
        return Upload(release, created, verified.warnings)

    def packages(self) -> list[str]:
        """Return the normalised names of all packages, sorted."""
        with self._view.read() as connection:
            return Catalog(connection).packages()

    def releases(self, package: str) -> list[StoredRelease]:
        """Return the releases of a package, newest upload first; none for an unknown package."""
        with self._view.read() as connection:
            return Catalog(connection).releases(normalized_package(package))

    def page(
        self, *, package: str | None = None, after: str | None = None, limit: int = PAGE_LENGTH
    ) -> ReleasePage:
        """Return some releases: packages in order, of each the newest upload first.

        Args:
            package: only releases of this one.
            after: `PACKAGE==VERSION` of the last release on the page before.
            limit: how many at most.

        Raises:
            UnknownPackageError: nothing was ever published under the name.
            UnknownReleaseError: there never was the release in `after`.
            InputError: `after` isn't written so.
        """
        with self._view.read() as connection:
            catalog = Catalog(connection)
            if package is not None:
                package = normalized_package(package)
                if not catalog.releases(package):
                    raise _unknown_package(catalog, package)
            last = None if after is None else _locate(catalog, *parse_exact(after))
            found = catalog.page(package=package, after=last, limit=limit + 1)
        releases = found[:limit]
        more = len(found) > limit
        return ReleasePage(releases, exact(releases[-1]) if more else None)

    def find(self, package: str, digest: str) -> StoredRelease | None:
        """Return the release of a package with these bytes, unless it is deleted."""
        with self._view.read() as connection:
            return Catalog(connection).find(package, digest)

    def show(self, package: str, version: str | None = None) -> StoredRelease:
        """Return what is known of a release.

        Args:
            package: its package.
            version: None: the highest that isn't yanked, and no pre-release if that can be had.

        Raises:
            UnknownPackageError: there is no such package.
            UnknownReleaseError: there never was such a release. A deleted one is found.
        """
        package = normalized_package(package)
        with self._view.read() as connection:
            catalog = Catalog(connection)
            if version is not None:
                return _locate(catalog, package, version)
            releases = catalog.releases(package)
            if not releases:
                raise _unknown_package(catalog, package)
            return max(releases, key=_preference)

    def download(self, package: str, version: str) -> StoredFiles:
        """Return the files of a release, as they were uploaded.

        Raises:
            UnknownPackageError: there is no such package.
            UnknownReleaseError: there is no such release.
            TamperedError: the stored wheel was changed since.
            BlobMissingError: the stored wheel is gone.
        """
        package = normalized_package(package)
        with self._view.read() as connection:
            release = _locate_undeleted(Catalog(connection), package, version)
        return StoredFiles(release.filename, self._blobs.get(release.digest), release.attestation)

    def verified(self, release: StoredRelease) -> VerifiedWheel:
        """Return a release's contents, vouched for as of this moment.

        The stored bytes are hashed and checked as at the upload, but for the syntax of their
        sources, once in the life of this object; the signature and our trust in its keys are
        examined each time.

        Raises:
            TrustError: it isn't trusted any more.
            TamperedError: the stored wheel, or what the catalog says of it, was changed.
            BlobMissingError: the stored wheel is gone.
            WheelRejectedError: it isn't a sound package by today's rules.
        """
        wheel = self._contents(release.digest, release.filename)
        if (wheel.name, wheel.version) != (release.package, release.version):
            raise TamperedError(
                "an entry of the catalog", str(release), f"{wheel.name} {wheel.version}"
            )
        now = self._view.clock.now()
        return verify_wheel(wheel, release.attestation, self._trust.policy(), now)

    def yank(self, package: str, version: str, reason: str) -> StoredRelease:
        """Have a release run only when its exact version is asked for; runs that began go on.

        Raises:
            UnknownPackageError: there is no such package.
            UnknownReleaseError: there is no such release.
        """
        return self._set_status(package, version, ReleaseStatus.YANKED, reason)

    def unyank(self, package: str, version: str) -> StoredRelease:
        """Take a yank back.

        Raises:
            UnknownPackageError: there is no such package.
            UnknownReleaseError: there is no such release.
        """
        return self._set_status(package, version, ReleaseStatus.PUBLISHED, "")

    def delete(self, package: str, version: str) -> StoredRelease:
        """Remove a release's bytes, for good. Runs of it can't go on.

        Its entry stays as a tombstone: the version and the file name never mean other bytes.

        Raises:
            UnknownPackageError: there is no such package.
            UnknownReleaseError: there is no such release.
            StoreUnavailableError: the bytes can't be removed now; the release is deleted though.
        """
        deleted = self._set_status(package, version, ReleaseStatus.DELETED, "")
        with self._view.begin() as connection:
            # The tombstone is committed, so a crash can't leave a release without bytes. An upload
            # of the same bytes may have brought the release back meanwhile: look, and hold on.
            current = Catalog(connection).get(deleted.package, deleted.version, lock=True)
            if current is not None and current.status is ReleaseStatus.DELETED:
                self._blobs.delete(deleted.digest)
        return deleted

    def _set_status(
        self, package: str, version: str, status: ReleaseStatus, reason: str
    ) -> StoredRelease:
        package = normalized_package(package)
        with self._view.begin() as connection:
            catalog = Catalog(connection)
            release = _locate_undeleted(catalog, package, version, lock=True)
            changed = dataclasses.replace(release, status=status, yanked_reason=reason)
            catalog.update(changed)
        return changed

    def _open(self, digest: Digest, filename: str) -> CheckedWheel:
        return reopen_wheel(self._blobs.get(digest), filename, digest)


def exact(release: StoredRelease) -> str:
    """Return how a release is named: `PACKAGE==VERSION`."""
    return f"{release.package}=={release.version}"


def parse_exact(text: str) -> tuple[str, str]:
    """Return the normalised package and the version that `PACKAGE==VERSION` names.

    Raises:
        InputError: the text isn't written so.
    """
    package, separator, version = text.partition("==")
    if not package or not separator or not _is_version(version):
        raise InputError(
            f"{text[:80]!r} doesn't name a release",
            hint="write PACKAGE==VERSION, as acme-etl==1.2",
        )
    return normalized_package(package.strip()), version


def _is_version(text: str) -> bool:
    try:
        Version(text)
    except InvalidVersion:
        return False
    return True


def _release_of(verified: VerifiedWheel, now: datetime) -> StoredRelease:
    wheel = verified.wheel
    return StoredRelease(
        package=wheel.name,
        version=wheel.version,
        filename=wheel.filename,
        digest=wheel.digest,
        size=wheel.size,
        requires_python=wheel.requires_python,
        requires_core=wheel.manifest.requires_core,
        workflows=tuple(sorted(wheel.manifest.by_name)),
        signers=verified.signers,
        attestation=verified.envelope,
        uploaded_at=now,
    )


def _publish(catalog: Catalog, offered: StoredRelease) -> tuple[StoredRelease, bool]:
    """Return the release as it is published now, and whether it wasn't before."""
    if catalog.add(offered):
        return offered, True
    stored = catalog.taken(offered)
    if stored.digest != offered.digest:
        raise _taken(stored, offered)
    if stored.status is ReleaseStatus.DELETED:
        catalog.update(offered)
        return offered, True
    if offered.signers and offered.attestation != stored.attestation:
        # The same bytes, signed again: the way on when the first signer's key was revoked.
        stored = dataclasses.replace(
            stored, attestation=offered.attestation, signers=offered.signers
        )
        catalog.update(stored)
    return stored, False


def _taken(stored: StoredRelease, offered: StoredRelease) -> ReleaseExistsError:
    is_deleted = stored.status is ReleaseStatus.DELETED
    error = FilenameReusedError if is_deleted else ReleaseExistsError
    return error(stored.package, stored.version, published=stored.digest, offered=offered.digest)


def _locate(catalog: Catalog, package: str, version: str, *, lock: bool = False) -> StoredRelease:
    release = catalog.get(package, version, lock=lock)
    if release is None:
        raise _unknown_release(catalog, package, version)
    return release


def _locate_undeleted(
    catalog: Catalog, package: str, version: str, *, lock: bool = False
) -> StoredRelease:
    release = _locate(catalog, package, version, lock=lock)
    if release.status is ReleaseStatus.DELETED:
        raise _unknown_release(catalog, package, version)
    return release


def _unknown_release(
    catalog: Catalog, package: str, version: str
) -> UnknownPackageError | UnknownReleaseError:
    available = [release.version for release in catalog.releases(package)]
    if not available:
        return _unknown_package(catalog, package)
    return UnknownReleaseError(package, f"=={version}", available)


def _unknown_package(catalog: Catalog, package: str) -> UnknownPackageError:
    return UnknownPackageError(package, nearest(package, catalog.packages()))


def _preference(release: StoredRelease) -> tuple[bool, bool, Version]:
    version = Version(release.version)
    is_published = release.status is ReleaseStatus.PUBLISHED
    return is_published, not version.is_prerelease, version
