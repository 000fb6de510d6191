"""The wheels that a release needs where it runs, as they are kept. Nothing is fetched here."""

from functools import cached_property, lru_cache
from typing import Protocol

from cloacina_core.errors import Problem
from cloacina_core.plugin import BlobStore, RuntimeView
from cloacina_registry.blobs import read_blob
from cloacina_registry.dependencies.artifact import Artifact
from cloacina_registry.dependencies.catalog import DependencyCatalog
from cloacina_registry.dependencies.choice import Choice, choose
from cloacina_registry.dependencies.sources import MISSING
from cloacina_registry.dependencies.target import Target
from cloacina_registry.errors import DependencyError, DependencyMissingError, TamperedError
from cloacina_registry.wheel.lock import Lock

_LOCKS_KEPT = 32
"""For how many locks it is remembered what this Python needs of them."""


class LockedRelease(Protocol):
    """What has to be known of a release."""

    @property
    def package(self) -> str:
        """Its package's normalised name."""
        ...

    @property
    def version(self) -> str:
        """Its version."""
        ...


class Dependencies:
    """The kept dependencies of all releases. Methods may be called from any thread."""

    def __init__(self, view: RuntimeView, blobs: BlobStore) -> None:
        self._view = view
        self._blobs = blobs
        self._choice = lru_cache(_LOCKS_KEPT)(self._choose)

    def of(self, release: LockedRelease, lock: bytes | None) -> tuple[Artifact, ...]:
        """Return the wheels that a release needs here, one of each distribution.

        Args:
            release: the release.
            lock: its `pylock.toml`, from its verified wheel; None: it has none.

        Raises:
            DependencyMissingError: some were never fetched for this Python.
            DependencyError: it isn't locked for this Python.
            BadLockError: the lock can't be used.
            TamperedError: the catalog says otherwise than the lock.
        """
        if lock is None:
            return ()
        named = f"{release.package} {release.version}"
        choice = self._choice(lock)
        if choice.problems:
            raise DependencyError(named, choice.problems)
        with self._view.read() as connection:
            kept = DependencyCatalog(connection).of(release.package, release.version)
        by_digest = {artifact.digest: artifact for artifact in kept}
        missing = [
            Problem(MISSING, f"{wanted.wheel.filename} wasn't fetched", str(wanted))
            for wanted in choice.wanted
            if wanted.digest not in by_digest
        ]
        if missing:
            exact = f"{release.package}=={release.version}"
            hint = f"fetch them with: cloacina registry fetch {exact}"
            raise DependencyMissingError(named, missing, hint=hint)
        found = tuple(by_digest[wanted.digest] for wanted in choice.wanted)
        for wanted, artifact in zip(choice.wanted, found, strict=True):
            locked = (wanted.package.name, wanted.package.version, wanted.wheel.filename)
            told = (artifact.name, artifact.version, artifact.filename)
            if told != locked:
                what = f"an entry of the catalog for {named}"
                raise TamperedError(what, " ".join(locked), " ".join(told))
        return found

    def data(self, artifact: Artifact) -> bytes:
        """Return the bytes of a wheel, hashed anew.

        Raises:
            TamperedError: they were changed since.
            BlobMissingError: they are gone.
        """
        return read_blob(self._blobs, artifact.digest)

    def kept(self, release: LockedRelease) -> list[Artifact]:
        """Return all wheels that a release has, for whichever Pythons."""
        with self._view.read() as connection:
            return DependencyCatalog(connection).of(release.package, release.version)

    def _choose(self, lock: bytes) -> Choice:
        return choose(Lock.parse(lock, "the lock of a release"), self._target)

    @cached_property
    def _target(self) -> Target:
        """This Python; it takes some milliseconds to find out what fits it."""
        return Target.here()
