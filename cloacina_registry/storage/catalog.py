"""What is known of each release: one row in the store, which outlives the release itself.

A row is never removed. That of a deleted release stays as its tombstone, so that a version and a
file name mean the same bytes for ever.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any

from packaging.utils import canonicalize_version
from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    Text,
    and_,
    cast,
    exists,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from cloacina_core.foundation.clock import from_micros, to_micros
from cloacina_core.foundation.digest import Digest
from cloacina_core.model.isolation import Isolation, Placement
from cloacina_registry import tables
from cloacina_registry.trust.keys import KeyId
from cloacina_registry.trust.verification import Signer

_packages, _releases = tables.packages, tables.releases
_c = _releases.c

PAGE_LENGTH = 50
"""How many things a page of a listing has unless it is said otherwise."""


class ReleaseStatus(StrEnum):
    """What may be done with a release."""

    PUBLISHED = "published"
    YANKED = "yanked"
    """It runs only when its exact version is asked for (PEP 592)."""
    QUARANTINED = "quarantined"
    """No new run of it starts; those that were accepted go on."""
    KILLED = "killed"
    """No new run of it starts, and none goes on."""
    RETIRED = "retired"
    """No new run of it starts, and none was left when that was said."""
    BROKEN = "broken"
    """No new run of it starts: its code isn't what its manifest says."""
    DELETED = "deleted"
    """Its bytes are gone; its version stays taken."""

    @property
    def is_there(self) -> bool:
        """Whether its bytes are there."""
        return self is not ReleaseStatus.DELETED

    def may_become(self, other: "ReleaseStatus") -> bool:
        """Whether a release may be put so. A withdrawal is never softened by another one.

        What was published again begins anew.
        """
        hardness = list(_FROM_MILD_TO_HARD)
        return other is ReleaseStatus.PUBLISHED or hardness.index(other) >= hardness.index(self)

    @property
    def starts(self) -> bool:
        """Whether new runs of it may start."""
        return self in {ReleaseStatus.PUBLISHED, ReleaseStatus.YANKED}


_FROM_MILD_TO_HARD = (
    *(ReleaseStatus.PUBLISHED, ReleaseStatus.YANKED, ReleaseStatus.BROKEN),
    *(ReleaseStatus.QUARANTINED, ReleaseStatus.RETIRED, ReleaseStatus.KILLED),
    ReleaseStatus.DELETED,
)


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
    platform: str | None
    """The tags it is for, as in its file name; None: it is pure, and for all."""
    workflows: tuple[str, ...]
    placement: Placement
    """Where its tasks run, unless the operator asks for more."""
    signers: tuple[Signer, ...]
    """Whose signatures were verified when it was uploaded."""
    attestation: bytes | None
    """The signed envelope that came with it; None: it was taken unsigned."""
    uploaded_at: datetime
    status: ReleaseStatus = ReleaseStatus.PUBLISHED
    status_reason: str = ""
    """Why it was withdrawn, for those who ask for it."""
    receipt: bytes | None = None
    """The registry's signed word that it came in; None: the registry gave none."""

    @property
    def signed_by(self) -> tuple[str, ...]:
        """The names of the keys whose signatures were verified when it was uploaded."""
        return tuple(signer.name for signer in self.signers)

    def __str__(self) -> str:
        return f"{self.package} {self.version}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseChange:
    """What choosing a release takes to know of one; less than is known of it."""

    version: str
    digest: Digest
    requires_python: str | None
    requires_core: str
    platform: str | None
    """The tags it is for, as in its file name; None: it is pure, and for all."""
    workflows: tuple[str, ...]
    signed_by: tuple[str, ...]
    """The names of the keys whose signatures were verified when it was uploaded."""
    status: ReleaseStatus
    status_reason: str
    revision: int
    """Of the package, when this became so."""


_CHANGE = (
    *(_c.version, _c.digest, _c.requires_python, _c.requires_core, _c.platform),
    *(_c.status, _c.status_reason, _c.revision),
    *(cast(column, Text).label(column.name) for column in (_c.workflows, _c.signers)),
)


@lru_cache(1000)
def _workflows(text: str) -> tuple[str, ...]:
    """Return the names of workflows. Very many releases have few different lists of them."""
    return tuple(json.loads(text))


@lru_cache(1000)
def _names(text: str) -> tuple[str, ...]:
    return tuple(signer["name"] for signer in json.loads(text))


def withdrawn(release: ReleaseChange | StoredRelease) -> str:
    """Return how a release was withdrawn, and why."""
    reason = f": {release.status_reason}" if release.status_reason else ""
    return f"{release.status}{reason}"


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
                row = {**_row(release), "revision": self._next_revision(release.package)}
                self._connection.execute(insert(_releases).values(row))
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
        row = {**_row(release), "revision": self._next_revision(release.package)}
        self._connection.execute(update(_releases).where(where).values(row))

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
        query = select(_packages.c.package).where(
            exists().where(_is_there(), _c.package == _packages.c.package)
        )
        return sorted(self._connection.scalars(query))

    def has(self, package: str) -> bool:
        """Whether a package has a release."""
        return bool(self._connection.scalar(select(exists().where(_is_there(), _of(package)))))

    def releases(self, package: str) -> list[StoredRelease]:
        """Return the releases of a package, newest upload first."""
        return self._all(select(_releases).where(_is_there(), _of(package)))

    def changes(self, package: str, after: int) -> list[ReleaseChange]:
        """Return what became of the releases of a package since some revision, in no order.

        Args:
            package: the normalised name.
            after: the highest revision that is known already; 0: all there is.
        """
        query = select(*_CHANGE).where(_of(package), _c.revision > after)
        return [
            ReleaseChange(
                version=row.version,
                digest=Digest(row.digest),
                requires_python=row.requires_python,
                requires_core=row.requires_core,
                platform=row.platform,
                workflows=_workflows(row.workflows),
                signed_by=_names(row.signers),
                status=ReleaseStatus(row.status),
                status_reason=row.status_reason,
                revision=row.revision,
            )
            for row in self._connection.execute(query)
        ]

    def page(
        self,
        *,
        package: str | None,
        after: StoredRelease | None,
        limit: int,
        with_deleted: bool = False,
    ) -> list[StoredRelease]:
        """Return some releases: packages in order, of each the newest upload first.

        Args:
            package: only releases of this one; None: of all.
            after: the last release of the page before; None: begin at the beginning.
            limit: how many at most.
            with_deleted: tombstones, too.
        """
        there = select(_releases)
        if not with_deleted:
            there = there.where(_is_there())
        if after is None:
            return self._all(there if package is None else there.where(_of(package)), limit)
        found = self._all(there.where(_of(after.package), _comes_after(after)), limit)
        if package is None and len(found) < limit:  # on to the packages behind
            behind = there.where(_c.package > after.package)
            found += self._all(behind, limit - len(found))
        return found

    def is_claimed(self, package: str) -> bool:
        """Whether a package's name is taken, whatever became of its releases."""
        return bool(self._connection.scalar(select(exists().where(_packages.c.package == package))))

    def claimed_as(self, folded: str) -> list[str]:
        """Return the packages whose names look alike; see `ownership.folded`."""
        query = select(_packages.c.package).where(_packages.c.folded == folded)
        return list(self._connection.scalars(query))

    def owners(self, package: str) -> frozenset[KeyId]:
        """Return the ids of the keys that own a package's name; none for an unknown one."""
        query = select(_packages.c.owners).where(_packages.c.package == package)
        return frozenset(map(KeyId, self._connection.scalar(query) or ()))

    def keep_claims_out(self) -> None:
        """Wait for those who claim names now, and let no others begin to until our end.

        On SQLite, a transaction that writes does so by itself.
        """
        if self._connection.dialect.name == "postgresql":
            statement = f"LOCK TABLE {_packages.name} IN SHARE ROW EXCLUSIVE MODE"
            self._connection.exec_driver_sql(statement)

    def claim(self, package: str, folded: str, owners: Sequence[KeyId]) -> None:
        """Take a package's name, or a name that nobody owns, for some keys."""
        if not self.is_claimed(package):
            row = {"package": package, "folded": folded, "owners": list(owners), "revision": 0}
            self._connection.execute(insert(_packages).values(row))
        elif owners and not self.owners(package):
            self.give(package, owners)

    def give(self, package: str, owners: Sequence[KeyId]) -> None:
        """Give a package's name to some keys."""
        of_package = _packages.c.package == package
        self._connection.execute(update(_packages).where(of_package).values(owners=list(owners)))

    def _next_revision(self, package: str) -> int:
        """Return a number that no change of the package had. Others who ask wait until we commit.

        So revisions become visible in their order, and none is missed by who asks for later ones.
        """
        if not self.is_claimed(package):
            self.claim(package, package, ())
        counted = self._connection.execute(
            update(_packages)
            .where(_packages.c.package == package)
            .values(revision=_packages.c.revision + 1)
            .returning(_packages.c.revision)
        )
        return int(counted.scalar_one())

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

    def _all(self, query: Select[Any], limit: int | None = None) -> list[StoredRelease]:
        in_order = query.order_by(_c.package, _c.uploaded_at.desc(), _c.canonical_version)
        return [_release(row) for row in self._connection.execute(in_order.limit(limit))]


def _of(package: str) -> ColumnElement[bool]:
    return _c.package == package


def _is_version(package: str, version: str) -> ColumnElement[bool]:
    return and_(_of(package), _c.canonical_version == canonicalize_version(version))


def _is_there() -> ColumnElement[bool]:
    return _c.status != ReleaseStatus.DELETED.value


def _comes_after(last: StoredRelease) -> ColumnElement[bool]:
    """Return what holds for the releases of a package that a page lists behind one.

    The place is found by value, so that releases which come or go between two pages neither
    repeat nor hide others.
    """
    uploaded_at = to_micros(last.uploaded_at)
    return and_(
        _c.uploaded_at <= uploaded_at,  # follows from what comes next; lets an index be used
        or_(
            _c.uploaded_at < uploaded_at,
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
        "platform": release.platform,
        "workflows": list(release.workflows),
        "isolation": release.placement.isolation.value,
        "isolation_reason": release.placement.reason,
        "signers": [{"name": one.name, "key_id": one.key_id} for one in release.signers],
        "status": release.status.value,
        "status_reason": release.status_reason,
        "uploaded_at": to_micros(release.uploaded_at),
        "attestation": None if release.attestation is None else release.attestation.decode(),
        "receipt": None if release.receipt is None else release.receipt.decode(),
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
        platform=row.platform,
        workflows=tuple(row.workflows),
        placement=Placement(isolation=Isolation(row.isolation), reason=row.isolation_reason),
        signers=tuple(Signer(one["name"], KeyId(one["key_id"])) for one in row.signers),
        attestation=None if row.attestation is None else row.attestation.encode(),
        uploaded_at=from_micros(row.uploaded_at),
        status=ReleaseStatus(row.status),
        status_reason=row.status_reason,
        receipt=None if row.receipt is None else row.receipt.encode(),
    )
