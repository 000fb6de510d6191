"""The registry: takes releases in, keeps them, and vouches for them each time they are used.

An upload goes `bytes -> CheckedWheel -> VerifiedWheel -> with its dependencies -> stored by digest
-> published`, and stops at the first step that refuses. The rows in the catalog are committed last,
so that a crash at any point leaves at most bytes that nothing refers to.

Whatever changes a release is told in the log, in the same transaction.
"""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Self

from packaging.version import InvalidVersion, Version
from sqlalchemy import Connection

from cloacina_core.errors import InputError, Problem, UnknownPackageError, UnknownReleaseError
from cloacina_core.foundation.digest import Digest
from cloacina_core.foundation.names import nearest
from cloacina_core.model.isolation import Placement
from cloacina_core.model.release import normalized_package
from cloacina_core.plugin import BlobStore, RuntimeView
from cloacina_registry.attesting import Incoming, come_in_again
from cloacina_registry.audit.entries import EntryKind, check_reason
from cloacina_registry.audit.signed import RegistryKey
from cloacina_registry.blobs import read_blob
from cloacina_registry.dependencies.artifact import Artifact
from cloacina_registry.dependencies.catalog import DependencyCatalog
from cloacina_registry.dependencies.dependencies import Dependencies
from cloacina_registry.dependencies.gathering import FetchedWheel, Provision, gather, suiting
from cloacina_registry.dependencies.sources import StoredWheels
from cloacina_registry.errors import (
    ReleaseStateError,
    TamperedError,
    UntrustedSignerError,
    WheelRejectedError,
)
from cloacina_registry.evidence import Evidence
from cloacina_registry.loading.contents import ReleaseContents
from cloacina_registry.loading.dependency import UnpackedDependency
from cloacina_registry.loading.placing import place
from cloacina_registry.ownership import claim_name
from cloacina_registry.placement import Dependency, locked_dependencies
from cloacina_registry.storage.catalog import (
    PAGE_LENGTH,
    Catalog,
    ReleaseChange,
    ReleaseStatus,
    StoredRelease,
    withdrawn,
)
from cloacina_registry.storage.checking import Progress, StorageReport, check_storage
from cloacina_registry.storage.collecting import Garbage, collect_garbage
from cloacina_registry.trust.policy import TrustPolicy
from cloacina_registry.trust.store import TrustStore
from cloacina_registry.trust.verification import VerifiedRelease, VerifiedWheel, verify_wheel
from cloacina_registry.wheel.checked import CheckedWheel, open_wheel, reopen_wheel
from cloacina_registry.wheel.filename import parse_filename

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
    """What a stricter trust policy would have refused, and what wasn't fetched."""
    dependencies: tuple[Artifact, ...] = ()
    """The wheels that were fetched, or were in the store already, for this upload."""


@dataclass(frozen=True, slots=True)
class ReleasePage:
    """Some releases, and how to ask for those behind them."""

    releases: Sequence[StoredRelease]
    next_after: str | None
    """What to give as `after`; None: there are no more."""


@dataclass(frozen=True, slots=True)
class StoredFiles:
    """What was uploaded, byte for byte, and the receipt that the registry gave for it."""

    filename: str
    """Of the wheel."""
    data: bytes
    attestation: bytes | None
    receipt: bytes | None


@dataclass(frozen=True, slots=True)
class AdmittedWheel:
    """A wheel that may be published: checked, and vouched for at the moment it came in.

    Many may be held at a time, so what was unpacked to check it isn't kept.
    """

    verified: VerifiedRelease
    release: StoredRelease
    """What the catalog is to know of it."""
    data: bytes
    dependencies: tuple[FetchedWheel, ...] = ()
    """The wheels that its lock names for the Pythons that were asked for."""
    warnings: tuple[Problem, ...] = ()

    @property
    def bodies(self) -> dict[Digest, bytes]:
        """All bytes that have to be in the store when it is published."""
        return {
            self.release.digest: self.data,
            **{wheel.artifact.digest: wheel.data for wheel in self.dependencies},
        }

    @property
    def place(self) -> tuple[str, str]:
        """Its package and version; those who publish several take them in this order."""
        return self.release.package, self.release.version


class Registry:
    """The releases of one home. Methods may be called from any thread and any process."""

    def __init__(
        self,
        view: RuntimeView,
        blobs: BlobStore,
        trust: TrustStore,
        evidence: Evidence,
        *,
        actor: str,
    ) -> None:
        """Prepare; see `of` for the usual way.

        Args:
            view: the runtime.
            blobs: where the wheels are.
            trust: whom we trust.
            evidence: the log.
            actor: who does things, for the log.
        """
        self._view = view
        self._blobs = blobs
        self._trust = trust
        self._actor = actor
        self.evidence = evidence
        """The log, and the receipts."""
        self.dependencies = Dependencies(view, blobs)
        """The wheels that releases depend on."""
        self._contents = lru_cache(_CONTENTS_KEPT)(self._open)

    @classmethod
    def of(cls, view: RuntimeView) -> Self:
        """Return the registry whose files are where the settings say.

        Raises:
            ConfigurationError: the setting `blob_store` names no place that can be used.
        """
        key = RegistryKey(view.home, os.environ.get("CLOACINA_PASSPHRASE"))
        trust = TrustStore(view.home, view.clock)
        return cls(view, view.blob_store(), trust, Evidence(view, key), actor=view.user)

    def upload(
        self,
        data: bytes,
        filename: str,
        attestation: bytes | None,
        provision: Provision | None = None,
    ) -> Upload:
        """Publish a wheel, with the wheels that it depends on.

        The same bytes may be uploaded again. That changes nothing but this: the signature of
        someone we trust, who hadn't signed, joins those that count already, damaged storage is
        mended, and what was deleted is published again.

        Args:
            data: the wheel.
            filename: its file name, without folders.
            attestation: the signed envelope that lies beside it.
            provision: for which Pythons its dependencies are wanted, and where they can be had;
                None: for this one, and from what is in the store.

        Raises:
            WheelRejectedError: it isn't a sound package.
            PlacementError: it wishes to run in a namespace, and can't.
            SignatureError: the attestation is missing, malformed, forged, or of another wheel.
            UntrustedSignerError: nobody whom we trust with the package has signed.
            DependencyMissingError: a wheel that it depends on can't be had.
            DependencyError: one is refused.
            NameNotAllowedError: the package's name isn't for those who signed.
            ReleaseExistsError: the version was published with other bytes or under another file
                name, be it deleted since.
            StoreUnavailableError: it can't be stored now; nothing is published.
            KeyFileError: the registry's own key can't be used; nothing is published.
            LogTamperedError: the log was damaged; nothing is published.
        """
        (upload,) = self.publish([self.admit(data, filename, attestation, provision)])
        return upload

    def admit(
        self,
        data: bytes,
        filename: str,
        attestation: bytes | None,
        provision: Provision | None = None,
    ) -> AdmittedWheel:
        """Return a wheel that may be published, with what it depends on. Nothing is stored.

        Raises:
            CloacinaError: it is refused, by its contents or by our trust; see `upload`.
        """
        wheel = open_wheel(data, filename)
        now = self._view.clock.now()
        verified = verify_wheel(wheel, attestation, self._trust.policy(), now)
        # Whoever isn't trusted doesn't get us to fetch anything.
        fetched, warnings = self._gather(wheel, provision or Provision())
        placement = place(wheel, _dependencies(wheel, fetched))
        release = _release_of(verified, placement, now)
        return AdmittedWheel(verified.release, release, data, fetched, warnings)

    def _gather(
        self, wheel: CheckedWheel, provision: Provision
    ) -> tuple[tuple[FetchedWheel, ...], tuple[Problem, ...]]:
        """Return the wheels that a package depends on, and what there is to say of them."""
        lock = wheel.locked
        if lock is None:
            return (), ()
        targets = suiting(provision.targets, wheel.requires_python)
        sources = (StoredWheels(self._blobs), *provision.sources)
        wanted = dataclasses.replace(provision, targets=targets, sources=sources)
        warnings: tuple[Problem, ...] = ()
        if lock.packages and not targets:
            message = f"nothing was fetched for it: it needs Python {wheel.requires_python}"
            warnings = (Problem("not-fetched", message),)
        return gather(lock, wanted, f"{wheel.name} {wheel.version}"), warnings

    def fetch(self, package: str, version: str, provision: Provision) -> list[Artifact]:
        """Fetch what a release depends on for further Pythons, and return all that it has then.

        Raises:
            UnknownPackageError: there is no such package.
            UnknownReleaseError: there is no such release.
            CloacinaError: it isn't trusted any more, or a wheel is refused; see `upload`.
        """
        package = normalized_package(package)
        with self._view.read() as connection:
            release = _locate_undeleted(Catalog(connection), package, version)
        wheels, _ = self._gather(self.verified(release).wheel, provision)
        bodies = {wheel.artifact.digest: wheel.data for wheel in wheels}
        for data in bodies.values():
            self._blobs.put(data)
        with self._view.begin() as connection:
            release = _locate_undeleted(Catalog(connection), package, version, lock=True)
            catalog = DependencyCatalog(connection)
            catalog.add(package, version, [wheel.artifact for wheel in wheels])
            self._put_again(bodies)
            return catalog.of(package, version)

    def _put_again(self, bodies: Mapping[Digest, bytes]) -> None:
        """Store what was removed since it was stored; whoever does so waits for us from here on."""
        for digest, data in bodies.items():
            if not self._blobs.has(digest):
                self._blobs.put(data)

    def publish(self, wheels: Sequence[AdmittedWheel]) -> list[Upload]:
        """Publish wheels together: all of them, or none. They come back in order of `place`.

        Raises:
            NameNotAllowedError: a package's name isn't for those who signed.
            ReleaseExistsError: a version was published with other bytes or under another file name,
                be it deleted since.
            SignatureError: a further signature can't be added to those that count.
            StoreUnavailableError: they can't be stored now; nothing is published.
            KeyFileError: the registry's own key can't be used; nothing is published.
            LogTamperedError: the log was damaged; nothing is published.
        """
        # All take their rows in one order, so that nobody waits for one who waits for them.
        in_order = sorted(wheels, key=lambda wheel: wheel.place)
        now = self._view.clock.now()
        bodies = {digest: data for wheel in in_order for digest, data in wheel.bodies.items()}
        for data in bodies.values():
            self._blobs.put(data)
        with self._view.begin() as connection:
            uploads = self._publish(connection, in_order, now)
            dependencies = DependencyCatalog(connection)
            for wheel in in_order:
                artifacts = [fetched.artifact for fetched in wheel.dependencies]
                dependencies.add(*wheel.place, artifacts)
            self._put_again(bodies)
        return uploads

    def _publish(
        self, connection: Connection, wheels: Sequence[AdmittedWheel], now: datetime
    ) -> list[Upload]:
        """Write what is to be known of wheels, and then what became of them into the log."""
        policy = self._trust.policy()
        key = self.evidence.private_key()
        catalog = Catalog(connection)
        for wheel in wheels:
            claim_name(catalog, wheel.verified, policy)
        offered = [dataclasses.replace(wheel.release, uploaded_at=now) for wheel in wheels]
        entered = [self._enter(catalog, release, policy) for release in offered]
        uploads = []
        for wheel, (published, incoming) in zip(wheels, entered, strict=True):
            release = published
            if incoming is not None:
                receipt = self.evidence.enter_upload(
                    connection,
                    incoming,
                    key,
                    actor=self._actor,
                    trust_version=policy.version or None,
                )
                release = dataclasses.replace(published, receipt=receipt)
                catalog.update(release)
            uploads.append(
                Upload(
                    release,
                    created=incoming is not None and incoming.kind is EntryKind.UPLOAD,
                    warnings=(*wheel.verified.warnings, *wheel.warnings),
                    dependencies=tuple(each.artifact for each in wheel.dependencies),
                )
            )
        return uploads

    def _enter(
        self, catalog: Catalog, offered: StoredRelease, policy: TrustPolicy
    ) -> tuple[StoredRelease, Incoming | None]:
        """Return a release as it is to be, and what is still to be told and written of it."""
        if catalog.add(offered):
            return offered, Incoming(offered, EntryKind.UPLOAD)
        stored = catalog.taken(offered)
        received = self.evidence.received(stored)
        incoming = come_in_again(stored, offered, policy, offered.uploaded_at, received)
        return (stored if incoming is None else incoming.release), incoming

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
                if not catalog.has(package):
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
            releases = [one for one in catalog.changes(package, 0) if one.status.is_there]
            if not releases:
                raise _unknown_package(catalog, package)
            return _locate(catalog, package, max(releases, key=_preference).version)

    def download(self, package: str, version: str) -> StoredFiles:
        """Return the files of a release, as they were uploaded.

        Raises:
            UnknownPackageError: there is no such package.
            UnknownReleaseError: there is no such release.
            TamperedError: the stored wheel, or its file name, was changed since.
            BlobMissingError: the stored wheel is gone.
        """
        package = normalized_package(package)
        with self._view.read() as connection:
            release = _locate_undeleted(Catalog(connection), package, version)
        _require_own_filename(release)
        data = read_blob(self._blobs, release.digest)
        return StoredFiles(release.filename, data, release.attestation, release.receipt)

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
        policy, now = self._trust.policy(), self._view.clock.now()
        try:
            return verify_wheel(wheel, release.attestation, policy, now)
        except UntrustedSignerError:
            # What came in before a key was retired, or in wrong hands, still counts.
            received = self.evidence.received(release)
            if received is None:
                raise
            return verify_wheel(wheel, release.attestation, policy, now, received=received)

    def changes(self, package: str, after: int) -> list[ReleaseChange]:
        """Return what became of a package's releases since some revision; 0: all there is."""
        with self._view.read() as connection:
            return Catalog(connection).changes(package, after)

    def data(self, release: StoredRelease) -> bytes:
        """Return the bytes of a release's wheel, hashed anew.

        Raises:
            TamperedError: they were changed since.
            BlobMissingError: they are gone.
        """
        return read_blob(self._blobs, release.digest)

    def contents(self, release: StoredRelease, wheel: CheckedWheel) -> ReleaseContents:
        """Return what a release brings into a namespace, with what it is locked to.

        Args:
            release: the release.
            wheel: its contents, vouched for at this moment.

        Raises:
            LoadError: two of the distributions have a module in common.
            CloacinaError: a wheel that it depends on is missing, or was changed.
        """
        artifacts = self.dependencies.of(release, wheel.lock)
        unpacked = (UnpackedDependency.of(one, self.dependencies.data(one)) for one in artifacts)
        return ReleaseContents.of(wheel, unpacked)

    def yank(self, package: str, version: str, reason: str) -> StoredRelease:
        """Have a release run only when its exact version is asked for; runs that began go on.

        Raises:
            ReleaseStateError: it is withdrawn harder than that.
            UnknownPackageError: there is no such package.
            UnknownReleaseError: there is no such release.
        """
        return self.set_status(package, version, ReleaseStatus.YANKED, EntryKind.YANK, reason)

    def unyank(self, package: str, version: str) -> StoredRelease:
        """Take a yank back.

        Raises:
            ReleaseStateError: it is withdrawn in another way.
            UnknownPackageError: there is no such package.
            UnknownReleaseError: there is no such release.
        """
        return self.set_status(package, version, ReleaseStatus.PUBLISHED, EntryKind.UNYANK)

    def delete(self, package: str, version: str) -> StoredRelease:
        """Remove a release's bytes, for good. Runs of it can't go on.

        The wheels that it depends on are let go: they stay as long as other releases need them, and
        then until garbage is collected.

        Its entry stays as a tombstone: the version and the file name never mean other bytes.

        Raises:
            UnknownPackageError: there is no such package.
            UnknownReleaseError: there is no such release.
            StoreUnavailableError: the bytes can't be removed now; the release is deleted though.
        """
        deleted = self.set_status(package, version, ReleaseStatus.DELETED, EntryKind.DELETE)
        with self._view.begin() as connection:
            # The tombstone is committed, so a crash can't leave a release without bytes. An upload
            # of the same bytes may have brought the release back meanwhile: look, and hold on.
            current = Catalog(connection).get(deleted.package, deleted.version, lock=True)
            dependencies = DependencyCatalog(connection)
            dependencies.keep_others_out()
            is_deleted = current is not None and current.status is ReleaseStatus.DELETED
            if is_deleted and not dependencies.refers_to(deleted.digest):
                self._blobs.delete(deleted.digest)
        return deleted

    def mark_broken(self, release: StoredRelease, reason: str) -> None:
        """Have no new run of a release start, because its code isn't what its manifest says.

        One that was withdrawn already stays withdrawn as it was.
        """
        with self._view.begin() as connection:
            catalog = Catalog(connection)
            current = catalog.get(release.package, release.version, lock=True)
            if current is not None and current.status.starts:
                broken = dataclasses.replace(
                    current, status=ReleaseStatus.BROKEN, status_reason=reason
                )
                catalog.update(broken)
                self._tell(connection, EntryKind.BROKEN, broken)

    def owners(self, package: str) -> list[str]:
        """Return who owns a package's name: the names of keys, or the ids of those without one."""
        trust = self._trust.document()
        keys = () if trust is None else trust.policy.keys
        names = {key.public.key_id: key.name for key in keys}
        with self._view.read() as connection:
            owners = Catalog(connection).owners(normalized_package(package))
        return sorted(names.get(key_id, key_id) for key_id in owners)

    def transfer(self, package: str, keys: Sequence[str], reason: str = "") -> None:
        """Give a package's name to other keys: one of them must sign each further release.

        Args:
            package: the package.
            keys: the names of trusted keys.
            reason: why, for the log.

        Raises:
            InputError: there is no key, or the reason can't be stored.
            UnknownKeyError: no key has the name.
            UnknownPackageError: nothing was ever published under the name.
        """
        check_reason(reason)
        policy = self._trust.policy()
        owners = [policy.named(name).public.key_id for name in dict.fromkeys(keys)]
        if not owners:
            raise InputError("a name is given to one key at least")
        package = normalized_package(package)
        with self._view.begin() as connection:
            catalog = Catalog(connection)
            if not catalog.is_claimed(package):
                raise _unknown_package(catalog, package)
            catalog.give(package, owners)
            facts = {"package": package, "owners": list(owners), "reason": reason or None}
            self.evidence.enter(connection, EntryKind.TRANSFER, facts, actor=self._actor)

    def note_trust(self) -> None:
        """Write what the log doesn't tell yet of the trust document.

        The document is kept apart from the store, and holds without it. So the log has to be told:
        the command line does so with each upload, and when trust is taken back.

        Raises:
            TrustDocumentError: the document, or what is kept of older ones, can't be read.
            LogTamperedError: the log was damaged.
        """
        if self._trust.policy().version > self.evidence.trust_version():
            self.evidence.enter_trust(self._trust.history(), actor=self._actor)

    def check(self, progress: Progress) -> StorageReport:
        """Read everything that is stored, and say what is wrong with it; nothing is changed."""
        return check_storage(self._view, self._blobs, progress)

    def collect_garbage(self, older_than: timedelta, *, dry_run: bool = False) -> Garbage:
        """Remove bytes that no release refers to, and what killed processes left.

        Args:
            older_than: leave what is younger; an upload stores its bytes before anything refers to
                them.
            dry_run: only say what would be removed.

        Raises:
            StoreUnavailableError: not all of it can be removed now; nothing that is needed was.
        """
        before = self._view.clock.now() - older_than
        return collect_garbage(self._view, self._blobs, before, dry_run=dry_run)

    def set_status(
        self,
        package: str,
        version: str,
        status: ReleaseStatus,
        kind: EntryKind,
        reason: str = "",
    ) -> StoredRelease:
        """Withdraw a release, or publish it again.

        One that is withdrawn already can be withdrawn harder, not softer: to yank what is
        quarantined would let it run again.

        Raises:
            InputError: the reason can't be stored.
            ReleaseStateError: it is withdrawn harder than that.
            UnknownPackageError: there is no such package.
            UnknownReleaseError: there is no such release.
        """
        check_reason(reason)
        package = normalized_package(package)
        with self._view.begin() as connection:
            catalog = Catalog(connection)
            release = _locate_undeleted(catalog, package, version, lock=True)
            is_yank_undone = kind is EntryKind.UNYANK
            if not (release.status.starts if is_yank_undone else release.status.may_become(status)):
                raise ReleaseStateError(release.package, release.version, withdrawn(release))
            changed = dataclasses.replace(release, status=status, status_reason=reason)
            catalog.update(changed)
            if status is ReleaseStatus.DELETED:
                DependencyCatalog(connection).let_go(changed.package, changed.version)
            self._tell(connection, kind, changed)
        return changed

    def _tell(self, connection: Connection, kind: EntryKind, release: StoredRelease) -> None:
        """Write what became of a release into the log."""
        facts = {
            "package": release.package,
            "version": release.version,
            "digest": release.digest,
            "reason": release.status_reason or None,
        }
        self.evidence.enter(connection, kind, facts, actor=self._actor)

    def _open(self, digest: Digest, filename: str) -> CheckedWheel:
        return reopen_wheel(read_blob(self._blobs, digest), filename, digest)


def _dependencies(wheel: CheckedWheel, fetched: Sequence[FetchedWheel]) -> list[Dependency]:
    """Return what a package is locked to; a wheel that has native code inside is none that says so.

    File names tell of all platforms, and contents of what was fetched.
    """
    native = {one.artifact.name for one in fetched if not one.artifact.is_pure}
    return [
        dataclasses.replace(known, is_pure=known.is_pure and known.name not in native)
        for known in locked_dependencies(wheel.locked)
    ]


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


def _release_of(verified: VerifiedWheel, placement: Placement, now: datetime) -> StoredRelease:
    wheel = verified.wheel
    return StoredRelease(
        package=wheel.name,
        version=wheel.version,
        filename=wheel.filename,
        digest=wheel.digest,
        size=wheel.size,
        requires_python=wheel.requires_python,
        requires_core=wheel.manifest.requires_core,
        platform=wheel.platform,
        workflows=tuple(sorted(wheel.manifest.by_name)),
        placement=placement,
        signers=verified.signers,
        attestation=verified.envelope,
        uploaded_at=now,
    )


def _require_own_filename(release: StoredRelease) -> None:
    """Refuse a file name that is no upload's: whoever writes the file would write elsewhere.

    Raises:
        TamperedError: it isn't one of a wheel of this release.
    """
    try:
        named = parse_filename(release.filename)
    except WheelRejectedError:
        named = None
    if named is None or (named.name, named.version) != (release.package, release.version):
        found = f"the file name {release.filename[:80]!a}"
        raise TamperedError("an entry of the catalog", str(release), found)


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
    available = [one.version for one in catalog.changes(package, 0) if one.status.is_there]
    if not available:
        return _unknown_package(catalog, package)
    return UnknownReleaseError(package, f"=={version}", available)


def _unknown_package(catalog: Catalog, package: str) -> UnknownPackageError:
    return UnknownPackageError(package, nearest(package, catalog.packages()))


def _preference(release: ReleaseChange) -> tuple[bool, bool, Version]:
    version = Version(release.version)
    is_published = release.status is ReleaseStatus.PUBLISHED
    return is_published, not version.is_prerelease, version
