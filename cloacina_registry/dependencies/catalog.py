"""Which wheels each release depends on: a row for each, which goes with the release.

A release has the wheels for the Pythons that they were fetched for. They are entered in the
transaction that publishes it, or later in one that holds its row, so that none is entered twice.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from packaging.utils import canonicalize_version
from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    and_,
    delete,
    insert,
    select,
)

from cloacina_core.foundation.digest import Digest
from cloacina_registry import tables
from cloacina_registry.dependencies.artifact import Artifact

_dependencies = tables.dependencies
_c = _dependencies.c


@dataclass(frozen=True, slots=True)
class Dependency:
    """A wheel, and the release that depends on it."""

    package: str
    canonical_version: str
    artifact: Artifact

    def __str__(self) -> str:
        wheel = f"{self.artifact.name} {self.artifact.version}"
        return f"{self.package}=={self.canonical_version}: {wheel}"


class DependencyCatalog:
    """The wheels that releases depend on, seen through one transaction of the store."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, package: str, version: str, artifacts: Iterable[Artifact]) -> None:
        """Have a release depend on wheels; its row is held by this transaction."""
        known = {artifact.digest for artifact in self.of(package, version)}
        rows = [
            _row(package, version, artifact)
            for artifact in artifacts
            if artifact.digest not in known
        ]
        if rows:
            self._connection.execute(insert(_dependencies), rows)

    def of(self, package: str, version: str) -> list[Artifact]:
        """Return the wheels that a release has, for whichever Pythons, sorted by name."""
        query = select(_dependencies).where(_is_of(package, version)).order_by(_c.name, _c.filename)
        return [_artifact(row) for row in self._connection.execute(query)]

    def let_go(self, package: str, version: str) -> None:
        """Have a release depend on nothing any more."""
        self._connection.execute(delete(_dependencies).where(_is_of(package, version)))

    def digests(self) -> set[Digest]:
        """Return the digests of all wheels that releases depend on."""
        query = select(_c.digest).distinct()
        return {Digest(digest) for digest in self._connection.scalars(query)}

    def refers_to(self, digest: Digest) -> bool:
        """Whether a release depends on these bytes."""
        query = select(_c.digest).where(_c.digest == digest).limit(1)
        return self._connection.scalar(query) is not None

    def all(self) -> Iterator[Dependency]:
        """Yield the wheels of all releases, sorted."""
        query = select(_dependencies).order_by(_c.package, _c.canonical_version, _c.name, _c.digest)
        for row in self._connection.execute(query):
            yield Dependency(row.package, row.canonical_version, _artifact(row))

    def keep_others_out(self) -> None:
        """Wait for those who enter wheels now, and let no other begin to until our end.

        On SQLite, a transaction that writes does so by itself.
        """
        if self._connection.dialect.name == "postgresql":
            self._connection.exec_driver_sql(f"LOCK TABLE {_dependencies.name} IN SHARE MODE")


def _is_of(package: str, version: str) -> ColumnElement[bool]:
    return and_(_c.package == package, _c.canonical_version == canonicalize_version(version))


def _row(package: str, version: str, artifact: Artifact) -> dict[str, object]:
    return {
        "package": package,
        "canonical_version": canonicalize_version(version),
        "digest": artifact.digest,
        "name": artifact.name,
        "version": artifact.version,
        "filename": artifact.filename,
        "size": artifact.size,
        "is_pure": artifact.is_pure,
    }


def _artifact(row: "Row[tuple[object, ...]]") -> Artifact:
    return Artifact(
        name=row.name,
        version=row.version,
        filename=row.filename,
        digest=Digest(row.digest),
        size=row.size,
        is_pure=row.is_pure,
    )
