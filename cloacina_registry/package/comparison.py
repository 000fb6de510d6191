"""Two package files side by side: the work of `package diff`."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from cloacina_registry.package.diff import (
    Change,
    ManifestDiff,
    diff_files,
    diff_locks,
    diff_manifests,
)
from cloacina_registry.package.inspection import Inspection, inspect_file
from cloacina_registry.trust.policy import TrustPolicy


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


def compare_files(old: Path, new: Path, trust: TrustPolicy, now: datetime) -> Comparison:
    """Return what differs between the packages in two files.

    Args:
        old: the wheel to begin with.
        new: the wheel to compare with it.
        trust: whom we trust, to name the signers.
        now: the moment at which keys must not have expired.

    Raises:
        WheelRejectedError: one of them isn't a package.
    """
    before, after = inspect_file(old, trust, now), inspect_file(new, trust, now)
    signers = _signer_names(before), _signer_names(after)
    return Comparison(
        manifest=diff_manifests(before.wheel.manifest, after.wheel.manifest),
        dependencies=diff_locks(before.lock, after.lock),
        signers=() if signers[0] == signers[1] else (Change("signers", *signers),),
        files=diff_files(before.wheel.files, after.wheel.files),
    )


def _signer_names(found: Inspection) -> list[str]:
    return [signer.name for signer in found.signers]
