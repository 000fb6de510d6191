"""Two packages side by side: the work of `package diff` and `registry promote --check`."""

from dataclasses import dataclass
from typing import Any, Self

from cloacina_registry.package.diff import (
    Change,
    ManifestDiff,
    diff_files,
    diff_locks,
    diff_manifests,
)
from cloacina_registry.package.inspection import Inspection, lock_of
from cloacina_registry.trust.verification import Signer
from cloacina_registry.wheel.checked import CheckedWheel


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What differs between two packages."""

    manifest: ManifestDiff
    dependencies: tuple[Change, ...]
    signers: tuple[Change, ...]
    """One change, of the names of the trusted keys that signed; none when they are the same."""
    files: dict[str, list[str]]
    """Paths that were `added`, `removed` and `changed`."""

    def to_json(self) -> dict[str, Any]:
        """Return what differs as a JSON object."""
        return {
            **self.manifest.to_json(),
            "dependencies": [change.to_json() for change in self.dependencies],
            "signers": [change.to_json() for change in self.signers],
            "files": self.files,
        }


@dataclass(frozen=True, slots=True)
class Side:
    """One of two packages that are compared."""

    wheel: CheckedWheel
    signers: tuple[Signer, ...]
    """The trusted keys that signed it."""

    @classmethod
    def of(cls, found: Inspection) -> Self:
        """Return the package in a file."""
        return cls(found.wheel, found.signers)

    @property
    def names(self) -> list[str]:
        """The names of its signers."""
        return [signer.name for signer in self.signers]


def compare(old: Side, new: Side) -> Comparison:
    """Return what differs between two packages."""
    changed = () if old.names == new.names else (Change("signers", old.names, new.names),)
    return Comparison(
        manifest=diff_manifests(old.wheel.manifest, new.wheel.manifest),
        dependencies=diff_locks(lock_of(old.wheel), lock_of(new.wheel)),
        signers=changed,
        files=diff_files(old.wheel.files, new.wheel.files),
    )
