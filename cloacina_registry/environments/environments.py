"""From a release to what a worker needs to run its code."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol, Self

from cloacina_core.foundation.digest import Digest, digest_of_text
from cloacina_core.foundation.json_value import canonical
from cloacina_core.model.isolation import VerifyDefinition, WorkerEnvironment
from cloacina_core.plugin import RuntimeView
from cloacina_registry.dependencies.artifact import Artifact
from cloacina_registry.environments.folders import UnusedFolder, WheelFolders
from cloacina_registry.errors import ManifestMismatchError
from cloacina_registry.loading.matching import match_definition
from cloacina_registry.registry import Registry
from cloacina_registry.storage.catalog import StoredRelease
from cloacina_registry.wheel.checked import CheckedWheel

_ENVIRONMENTS_KEPT = 256
"""How many environments are remembered. One that is forgotten is put together again."""


class LockedWheels(Protocol):
    """The wheels that locks name, as they are kept."""

    def of(self, release: StoredRelease, lock: bytes | None) -> Sequence[Artifact]:
        """Return those that a release needs on this host, in the order of its lock.

        Raises:
            CloacinaError: one is missing.
        """
        ...

    def data(self, artifact: Artifact) -> bytes:
        """Return the bytes of one, hashed anew.

        Raises:
            CloacinaError: they were changed, or are gone.
        """
        ...


@dataclass(frozen=True, slots=True)
class _Part:
    """One wheel of an environment."""

    digest: Digest
    filename: str
    read: Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class _Known:
    """An environment, and the wheels that it is made of."""

    environment: WorkerEnvironment
    parts: Sequence[_Part]


class Environments:
    """The environments of one home. Methods may be called from any thread."""

    def __init__(self, registry: Registry, wheels: LockedWheels, folders: WheelFolders) -> None:
        """Prepare; see `of` for the usual way.

        Args:
            registry: the releases.
            wheels: what they are locked to.
            folders: where wheels are unpacked.
        """
        self._registry = registry
        self._wheels = wheels
        self._folders = folders
        self._known: dict[Digest, _Known] = {}

    @classmethod
    def of(cls, view: RuntimeView, registry: Registry) -> Self:
        """Return the environments in the home of a runtime."""
        folders = WheelFolders(view.home / "environments" / "wheels", view.clock)
        return cls(registry, registry.dependencies, folders)

    def environment(self, release: StoredRelease, wheel: CheckedWheel) -> WorkerEnvironment:
        """Return what a worker needs to run a release's code.

        Each folder is compared with its wheel the first time that this process needs it. Nothing of
        the release is run.

        Args:
            release: the release.
            wheel: its contents, vouched for at this moment.

        Raises:
            CloacinaError: something that it needs is missing, damaged, or can't be unpacked.
        """
        known = self._known.get(release.digest)
        if known is None:
            known = self._put_together(release, wheel)
            self._known[release.digest] = known
            while len(self._known) > _ENVIRONMENTS_KEPT:
                self._known.pop(next(iter(self._known)), None)
        else:
            self._unpacked(known.parts)
        return known.environment

    def unused(self, before: datetime, *, dry_run: bool) -> list[UnusedFolder]:
        """Remove unpacked wheels that nobody used since some moment; see `WheelFolders.unused`."""
        return self._folders.unused(before, dry_run=dry_run)

    def _put_together(self, release: StoredRelease, wheel: CheckedWheel) -> _Known:
        parts = [
            _Part(release.digest, release.filename, lambda: self._registry.data(release)),
            *map(self._part, self._wheels.of(release, wheel.lock)),
        ]
        entry_points = dict(wheel.entry_points)
        capabilities = wheel.manifest.capabilities
        environment = WorkerEnvironment(
            digest=_digest(parts, entry_points),
            folders=self._unpacked(parts),
            entry_points=entry_points,
            capabilities=None if capabilities is None else frozenset(capabilities),
            verify=self._verifier(release, wheel),
        )
        return _Known(environment, parts)

    def _part(self, artifact: Artifact) -> _Part:
        return _Part(artifact.digest, artifact.filename, lambda: self._wheels.data(artifact))

    def _unpacked(self, parts: Sequence[_Part]) -> tuple[Path, ...]:
        return tuple(self._folders.folder(part.digest, part.filename, part.read) for part in parts)

    def _verifier(self, release: StoredRelease, wheel: CheckedWheel) -> VerifyDefinition:
        manifest = wheel.manifest  # not the wheel, which holds all of its files

        def verify(workflow: str, definition: Mapping[str, Any]) -> None:
            try:
                match_definition(manifest, workflow, definition)
            except ManifestMismatchError as error:
                self._registry.mark_broken(release, str(error.problems[0]))
                raise

        return verify


def _digest(parts: Sequence[_Part], entry_points: Mapping[str, str]) -> Digest:
    folders = [part.digest for part in parts]
    return digest_of_text(canonical({"folders": folders, "entry_points": dict(entry_points)}))
