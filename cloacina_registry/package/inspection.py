"""What is in a package, for people and programs to look at. None of its code is run."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from cloacina_core.errors import Problem
from cloacina_core.model.isolation import Placement
from cloacina_registry.errors import TrustError
from cloacina_registry.loading.placing import place
from cloacina_registry.manifest import ManifestWorkflow
from cloacina_registry.package.verdict import (
    UnreadableError,
    open_file,
    read_envelope,
    signers_to_json,
)
from cloacina_registry.placement import locked_dependencies
from cloacina_registry.trust.envelope import ENVELOPE_SUFFIX
from cloacina_registry.trust.policy import TrustPolicy
from cloacina_registry.trust.verification import Signer, verify_wheel
from cloacina_registry.wheel.checked import CheckedWheel
from cloacina_registry.wheel.lock import Lock


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What was found."""

    wheel: CheckedWheel
    lock: Lock | None
    """None: it has none."""
    placement: Placement
    """Where its tasks would run, unless the operator asks for more."""
    is_signed: bool
    """Whether there is a signature file beside it."""
    signers: tuple[Signer, ...]
    """The trusted keys among those that signed it."""
    trust_problems: tuple[Problem, ...]
    """Why it wouldn't be taken, as far as trust goes."""

    def to_json(self) -> dict[str, Any]:
        """Return what was found as a JSON object."""
        wheel = self.wheel
        return {
            "file": wheel.filename,
            "package": wheel.name,
            "version": wheel.version,
            "digest": wheel.digest,
            "size": wheel.size,
            "requires_python": wheel.requires_python,
            "requires_core": wheel.manifest.requires_core,
            "isolation": wheel.manifest.isolation,
            "capabilities": wheel.manifest.to_json()["capabilities"],
            "placement": self.placement.to_json(),
            "signed": self.is_signed,
            "signers": signers_to_json(self.signers),
            "trust_problems": [problem.to_json() for problem in self.trust_problems],
            "workflows": [_workflow_json(workflow) for workflow in wheel.manifest.workflows],
            "schedules": [one.to_json() for one in wheel.manifest.schedules],
            "subscriptions": [one.to_json() for one in wheel.manifest.subscriptions],
            "lock": _lock_json(self.lock),
            "files": {path: len(content) for path, content in wheel.files.items()},
        }


def inspect_file(path: Path, trust: TrustPolicy, now: datetime) -> Inspection:
    """Return what is in a package's file.

    Args:
        path: the wheel.
        trust: whom we trust, to name the signers.
        now: the moment at which keys must not have expired.

    Raises:
        WheelRejectedError: it isn't a package; `problems` says why.
        PlacementError: it wishes to run in a namespace, and can't.
    """
    wheel = open_file(path)
    signers: tuple[Signer, ...] = ()
    problems: tuple[Problem, ...] = ()
    try:
        verified = verify_wheel(wheel, read_envelope(path, None), trust, now)
        signers, problems = verified.signers, verified.warnings
    except TrustError as error:
        problems = error.problems or (Problem(error.code, error.message),)
    except UnreadableError as error:
        problems = (error.problem,)
    return Inspection(
        wheel=wheel,
        lock=lock_of(wheel),
        placement=place(wheel, locked_dependencies(wheel.locked)),
        is_signed=path.with_name(path.name + ENVELOPE_SUFFIX).exists(),
        signers=signers,
        trust_problems=problems,
    )


def lock_of(wheel: CheckedWheel) -> Lock | None:
    """Return the lock in a package; None if it has none."""
    return wheel.locked


def _workflow_json(workflow: ManifestWorkflow) -> Mapping[str, Any]:
    triggers = [trigger.to_json() for trigger in workflow.triggers]
    entry_point = workflow.entry_point
    return {"entry_point": entry_point, **workflow.definition.to_json(), "triggers": triggers}


def _lock_json(lock: Lock | None) -> list[dict[str, str]] | None:
    if lock is None:
        return None
    return [{"name": package.name, "version": package.version} for package in lock.packages]
