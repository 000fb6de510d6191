"""What is known of each release: one row in the store, which outlives the release itself.

A row is never removed. That of a deleted release stays as its tombstone, so that a version and a
file name mean the same bytes for ever.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from packaging.utils import canonicalize_version
from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Index,
    LargeBinary,
    MetaData,
    Row,
    Select,
    Table,
    Text,
    UniqueConstraint,
    and_,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from cloacina_core.foundation.clock import from_micros, to_micros
from cloacina_core.foundation.digest import Digest
from cloacina_registry.trust.keys import KeyId
from cloacina_registry.trust.verification import Signer

_metadata = MetaData()
_releases = Table(
    "registry_releases",
    _metadata,
    Column("package", Text, primary_key=True),
    Column("canonical_version", Text, primary_key=True),
    Column("version", Text, nullable=False),
    Column("filename", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("requires_python", Text),
    Column("requires_core", Text, nullable=False),
    Column("workflows", JSON, nullable=False),
    Column("signers", JSON, nullable=False),
    Column("status", Text, nullable=False),
    Column("yanked_reason", Text, nullable=False),
    Column("uploaded_at", BigInteger, nullable=False),
    Column("attestation", Text),
    UniqueConstraint("filename", name="registry_releases_filename"),
    Index("registry_releases_newest", "package", "uploaded_at"),
)

BLOBS = Table(
    "registry_blobs",
    _metadata,
    Column("digest", Text, primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("put_at", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
)
"""Where wheels are, when the setting `blob_store` is `database`."""

TABLES: Sequence[Table] = (_releases, BLOBS)
"""For the store to create."""

_c = _releases.c


class ReleaseStatus(StrEnum):
    """What may be done with a release."""

    PUBLISHED = "published"
    YANKED = "yanked"
    """It runs only when its exact version is asked for."""
    DELETED = "deleted"
    """Its bytes are gone; its version stays taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRelease:
    """One release, as the catalog knows it."""

    package: str
    """Normalised as PEP 503 says."""
    version: str
    filename: str
    digest: Digest
    """Of the wheel."""
    size: int
    """Of the wheel, in bytes."""
    requires_python: str | None
    requires_core: str
    workflows: tuple[str, ...]
    signers: tuple[Signer, ...]
    """Whose signatures were verified when it was uploaded."""
    attestation: bytes | None
    """The signed envelope that came with it; None: it was taken unsigned."""
    uploaded_at: datetime
    status: ReleaseStatus = ReleaseStatus.PUBLISHED
    yanked_reason: str = ""

    def __str__(self) -> str:
        return f"{self.package} {self.version}"


class Catalog:
    """The releases, seen through one transaction of the store."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, release: StoredRelease) -> bool:
        """Add a release. False, and nothing changes, when its version or file name is taken.

        Waits for a transaction that is adding the same release at this moment.
        """
        try:
            with self._connection.begin_nested():
                self._connection.execute(insert(_releases).values(_row(release)))
        except IntegrityError:
            return False
        return True

    def taken(self, release: StoredRelease) -> StoredRelease:
        """Return the release that `add` found in the way, locked until the transaction ends."""
        same_version = _is_version(release.package, release.version)
        query = select(_releases).where(or_(same_version, _c.filename == release.filename))
        # One row at most: checked wheels have their version in their file name.
        return _release(self._connection.execute(query.with_for_update()).one())

    def update(self, release: StoredRelease) -> None:
        """Write what is known of a release anew."""
        where = _is_version(release.package, release.version)
        self._connection.execute(update(_releases).where(where).values(_row(release)))

    def get(self, package: str, version: str, *, lock: bool = False) -> StoredRelease | None:
        """Return the release of a version, also when it is deleted; 1.0 finds 1.0.0.

        Args:
            package: the normalised name.
            version: a version of PEP 440.
            lock: keep others from changing it until the transaction ends.
        """
        query = select(_releases).where(_is_version(package, version))
        return self._first(query.with_for_update() if lock else query)

    def find(self, package: str, digest: str) -> StoredRelease | None:
        """Return the release of a package with these bytes, unless it is deleted."""
        return self._first(select(_releases).where(_is_there(), _of(package), _c.digest == digest))

    def packages(self) -> list[str]:
        """Return the names of the packages that have a release, sorted."""
        query = select(_c.package).where(_is_there()).distinct()
        return sorted(self._connection.scalars(query))

    def releases(self, package: str) -> list[StoredRelease]:
        """Return the releases of a package, newest upload first."""
        return self._all(select(_releases).where(_is_there(), _of(package)))

    def page(
        self, *, package: str | None, after: StoredRelease | None, limit: int
    ) -> list[StoredRelease]:
        """Return some releases: packages in order, of each the newest upload first.

        Args:
            package: only releases of this one; None: of all.
            after: the last release of the page before; None: begin at the beginning.
            limit: how many at most.
        """
        query = select(_releases).where(_is_there())
        if package is not None:
            query = query.where(_of(package))
        if after is not None:
            query = query.where(_comes_after(after))
        return self._all(query.limit(limit))

    def digests(self) -> set[Digest]:
        """Return the digests of all releases that aren't deleted."""
        query = select(_c.digest).where(_is_there())
        return {Digest(digest) for digest in self._connection.scalars(query)}

    def refers_to(self, digest: Digest) -> bool:
        """Whether a release that isn't deleted has these bytes."""
        query = select(_c.digest).where(_is_there(), _c.digest == digest).limit(1)
        return self._connection.scalar(query) is not None

    def keep_uploads_out(self) -> None:
        """Wait for the uploads that are being committed, and let no other begin to until our end.

        On SQLite, a transaction that writes does so by itself.
        """
        if self._connection.dialect.name == "postgresql":
            self._connection.exec_driver_sql(f"LOCK TABLE {_releases.name} IN SHARE MODE")

    def _first(self, query: Select[Any]) -> StoredRelease | None:
        row = self._connection.execute(query).first()
        return None if row is None else _release(row)

    def _all(self, query: Select[Any]) -> list[StoredRelease]:
        newest_first = query.order_by(_c.package, _c.uploaded_at.desc(), _c.canonical_version)
        return [_release(row) for row in self._connection.execute(newest_first)]


def _of(package: str) -> ColumnElement[bool]:
    return _c.package == package


def _is_version(package: str, version: str) -> ColumnElement[bool]:
    return and_(_of(package), _c.canonical_version == canonicalize_version(version))


def _is_there() -> ColumnElement[bool]:
    return _c.status != ReleaseStatus.DELETED.value


def _comes_after(last: StoredRelease) -> ColumnElement[bool]:
    """Return what holds for all releases that a page lists behind one.

    The place is found by value, so that releases which come or go between two pages neither
    repeat nor hide others.
    """
    uploaded_at = to_micros(last.uploaded_at)
    return or_(
        _c.package > last.package,
        and_(_of(last.package), _c.uploaded_at < uploaded_at),
        and_(
            _of(last.package),
            _c.uploaded_at == uploaded_at,
            _c.canonical_version > canonicalize_version(last.version),
        ),
    )


def _row(release: StoredRelease) -> dict[str, Any]:
    return {
        "package": release.package,
        "canonical_version": canonicalize_version(release.version),
        "version": release.version,
        "filename": release.filename,
        "digest": release.digest,
        "size": release.size,
        "requires_python": release.requires_python,
        "requires_core": release.requires_core,
        "workflows": list(release.workflows),
        "signers": [{"name": one.name, "key_id": one.key_id} for one in release.signers],
        "status": release.status.value,
        "yanked_reason": release.yanked_reason,
        "uploaded_at": to_micros(release.uploaded_at),
        "attestation": None if release.attestation is None else release.attestation.decode(),
    }


def _release(row: Row[Any]) -> StoredRelease:
    return StoredRelease(
        package=row.package,
        version=row.version,
        filename=row.filename,
        digest=Digest(row.digest),
        size=row.size,
        requires_python=row.requires_python,
        requires_core=row.requires_core,
        workflows=tuple(row.workflows),
        signers=tuple(Signer(one["name"], KeyId(one["key_id"])) for one in row.signers),
        attestation=None if row.attestation is None else row.attestation.encode(),
        uploaded_at=from_micros(row.uploaded_at),
        status=ReleaseStatus(row.status),
        yanked_reason=row.yanked_reason,
    )
