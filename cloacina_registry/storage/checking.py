"""Looks at everything that is stored, and changes nothing.

Of each release that isn't deleted:

1. Its bytes are there.                                                     blob-missing
2. They have the digest that the catalog says.                              tampered
3. They are a sound package by today's rules, under the file name that the
   catalog says.                                                            rejected
4. What else the catalog says of it stands in the wheel: package, version,
   size, workflows, and what it requires.                                   tampered
5. Its attestation, if it has one, is about this very file.                 tampered

Whether its signers are trusted isn't asked: that is for each use, and may change without damage.

Of each wheel that a release depends on:

6. Its bytes are there.                                                     blob-missing
7. They have the digest that the catalog says.                              tampered
8. They are a wheel that would be taken today.                              rejected
9. What else the catalog says of it stands in the wheel.                    tampered

Of all bytes that are stored:

10. A release has them for its wheel, or depends on them, or they are
    younger than the grace period.                                          orphan
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from cloacina_core.errors import Problem
from cloacina_core.plugin import BlobStore, RuntimeView
from cloacina_registry.blobs import read_blob
from cloacina_registry.dependencies.artifact import Artifact
from cloacina_registry.dependencies.catalog import Dependency, DependencyCatalog
from cloacina_registry.dependencies.examination import examine
from cloacina_registry.errors import (
    BlobMissingError,
    SignatureError,
    TamperedError,
    WheelRejectedError,
)
from cloacina_registry.storage.catalog import Catalog, StoredRelease
from cloacina_registry.storage.collecting import GRACE
from cloacina_registry.trust.envelope import Envelope
from cloacina_registry.trust.statement import Statement, Subject
from cloacina_registry.wheel.checked import CheckedWheel, open_wheel

HARMLESS = frozenset({"orphan"})
"""Kinds of findings that take room, and nothing else."""

_PAGE = 100

Progress: TypeAlias = Callable[[int, int], object]
"""Told how many releases were looked at, and of how many."""


@dataclass(frozen=True, slots=True)
class StorageReport:
    """What was looked at, and what is wrong."""

    releases: int
    blobs: int
    findings: Sequence[Problem]

    @property
    def is_sound(self) -> bool:
        """Whether all that is published can be handed out as it came in."""
        return all(finding.kind in HARMLESS for finding in self.findings)


def check_storage(view: RuntimeView, blobs: BlobStore, progress: Progress) -> StorageReport:
    """Look at all releases and all bytes."""
    with view.read() as connection:
        total = len(Catalog(connection).digests())
    findings: list[Problem] = []
    count = 0
    for count, release in enumerate(_releases(view), start=1):
        findings += _release_problems(view, release, blobs)
        progress(count, max(count, total))
    findings += _dependency_problems(view, blobs)
    stored, orphans = _orphans(view, blobs)
    return StorageReport(count, stored, [*findings, *orphans])


def _releases(view: RuntimeView) -> Iterator[StoredRelease]:
    """Yield all releases, in short transactions: reading their bytes takes long."""
    last: StoredRelease | None = None
    while True:
        with view.read() as connection:
            page = Catalog(connection).page(package=None, after=last, limit=_PAGE)
        yield from page
        if len(page) < _PAGE:
            return
        last = page[-1]


def _release_problems(
    view: RuntimeView, release: StoredRelease, blobs: BlobStore
) -> Iterator[Problem]:
    where = f"{release.package}=={release.version}"
    try:
        wheel = open_wheel(read_blob(blobs, release.digest), release.filename)  # (1) to (3)
    except BlobMissingError as error:
        if not _was_deleted(view, release):
            yield Problem("blob-missing", error.message, where)
    except TamperedError as error:
        yield Problem("tampered", error.message, where)
    except WheelRejectedError as error:
        for problem in error.problems:
            yield Problem("rejected", str(problem), where)
    else:
        for message in (*_differences(release, wheel), *_envelope_faults(release, wheel)):
            yield Problem("tampered", message, where)


def _was_deleted(view: RuntimeView, release: StoredRelease) -> bool:
    """Whether a release was deleted since it was listed."""
    with view.read() as connection:
        return Catalog(connection).find(release.package, release.digest) is None


def _differences(release: StoredRelease, wheel: CheckedWheel) -> Iterator[str]:
    """Yield what the catalog says otherwise than the wheel: rule 4."""
    said_twice = (
        ("package", release.package, wheel.name),
        ("version", release.version, wheel.version),
        ("size", release.size, wheel.size),
        ("requires_python", release.requires_python, wheel.requires_python),
        ("requires_core", release.requires_core, wheel.manifest.requires_core),
        ("platform", release.platform, wheel.platform),
        ("workflows", release.workflows, tuple(sorted(wheel.manifest.by_name))),
    )
    for field, told, found in said_twice:
        if told != found:
            yield f"the catalog says {field} is {told!r}, the wheel says {found!r}"


def _envelope_faults(release: StoredRelease, wheel: CheckedWheel) -> Iterator[str]:
    """Yield why the attestation isn't one of this wheel: rule 5."""
    if release.attestation is None:
        return
    try:
        envelope = Envelope.parse(release.attestation, of=release.filename)
        statement = Statement.parse(envelope.payload, of=release.filename)
    except SignatureError as error:
        yield error.message
        return
    differences = (
        *statement.differences(Subject.of(wheel)),
        *statement.differences_inside(wheel),
    )
    for problem in differences:
        yield f"its attestation is of another file: {problem}"


def _dependency_problems(view: RuntimeView, blobs: BlobStore) -> Iterator[Problem]:
    """Yield what is wrong with the wheels that releases depend on: rules 6 to 9."""
    with view.read() as connection:
        dependencies = list(DependencyCatalog(connection).all())
    known: dict[Artifact, list[Problem]] = {}
    for dependency in dependencies:
        artifact = dependency.artifact
        if artifact not in known:  # many releases depend on few wheels
            known[artifact] = list(_artifact_problems(artifact, blobs))
        if known[artifact] and _is_needed(view, dependency):
            yield from (
                Problem(each.kind, each.message, str(dependency)) for each in known[artifact]
            )


def _artifact_problems(artifact: Artifact, blobs: BlobStore) -> Iterator[Problem]:
    try:
        data = read_blob(blobs, artifact.digest)
    except BlobMissingError as error:
        yield Problem("blob-missing", error.message)
        return
    except TamperedError as error:
        yield Problem("tampered", error.message)
        return
    found = examine(
        data,
        name=artifact.name,
        version=artifact.version,
        filename=artifact.filename,
        digest=artifact.digest,
    )
    if not isinstance(found, Artifact):
        yield from (Problem("rejected", each.message) for each in found)
    elif found != artifact:
        yield Problem("tampered", f"the catalog says {artifact}, the wheel says {found}")


def _is_needed(view: RuntimeView, dependency: Dependency) -> bool:
    """Whether a release still depends on a wheel: it may have been deleted since."""
    with view.read() as connection:
        kept = DependencyCatalog(connection).of(dependency.package, dependency.canonical_version)
    return dependency.artifact in kept


def _orphans(view: RuntimeView, blobs: BlobStore) -> tuple[int, list[Problem]]:
    """Return how many blobs there are, and those that nobody needs: rule 10."""
    kept = {blob.digest: blob for blob in blobs.blobs()}
    with view.read() as connection:
        needed = Catalog(connection).digests() | DependencyCatalog(connection).digests()
    before = view.clock.now() - GRACE
    return len(kept), [
        Problem("orphan", f"no release refers to these {blob.size} bytes", blob.digest)
        for blob in sorted(kept.values(), key=lambda blob: blob.digest)
        if blob.digest not in needed and blob.put_at < before and blobs.has(blob.digest)
    ]
